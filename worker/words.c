#include "worker/words.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "shared/crypto.h"
#include "shared/mem.h"
#include "shared/text.h"

#define FOLDED_MAX 128 /* bytes of a word that are folded at once; a longer one is several */
#define DECOMPOSED_MAX 24 /* code points that one becomes */

struct split {
	struct words *words;
	const uint8_t *key;
	struct word now; /* the word in hand, chars 0: none */
	size_t folded_len;
	char folded[FOLDED_MAX + 4 * DECOMPOSED_MAX];
};

static void finish(struct split *s, size_t end)
{
	struct words *w = s->words;

	if (s->now.chars == 0)
		return;
	s->now.end = (uint32_t)end;
	s->now.hash = crypto_short_hash(s->key, s->folded, s->folded_len);
	if (w->count == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 64;
		w->list = xrealloc(w->list, w->cap * sizeof(*w->list));
	}
	w->list[w->count++] = s->now;
	s->now.chars = 0;
	s->folded_len = 0;
}

static void begin(struct split *s, size_t at, bool capital)
{
	if (s->now.chars > 0)
		return;
	s->now = (struct word){
		.start = (uint32_t)at, .digits = true, .letters = true, .capital = capital};
}

static void take_ascii(struct split *s, size_t at, unsigned char c)
{
	bool digit = c >= '0' && c <= '9', upper = c >= 'A' && c <= 'Z';

	if (!digit && !upper && !(c >= 'a' && c <= 'z')) {
		finish(s, at);
		return;
	}
	begin(s, at, upper);
	s->now.chars++;
	s->now.digits &= digit;
	s->now.letters &= !digit;
	s->folded[s->folded_len++] = (char)(upper ? c | 0x20 : c);
}

/* Scripts that put no spaces between words, and those that put endings onto names. */
static bool stands_alone(utf8proc_int32_t c)
{
	return (c >= 0x2e80 && c <= 0x9fff) || (c >= 0xac00 && c <= 0xd7a3) ||
		(c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x3ffff) ||
		(c >= 0xe00 && c <= 0xeff) || (c >= 0x1000 && c <= 0x109f) ||
		(c >= 0x1780 && c <= 0x17ff);
}

static void fold(struct split *s, utf8proc_int32_t c)
{
	utf8proc_int32_t parts[DECOMPOSED_MAX];
	int boundary = 0;
	utf8proc_ssize_t n = utf8proc_decompose_char(c, parts, DECOMPOSED_MAX,
		UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_STRIPMARK |
			UTF8PROC_IGNORE,
		&boundary);

	for (utf8proc_ssize_t i = 0; i < n && i < DECOMPOSED_MAX; i++)
		s->folded_len += (size_t)utf8proc_encode_char(
			parts[i], (utf8proc_uint8_t *)s->folded + s->folded_len);
}

static void take_other(struct split *s, size_t at, utf8proc_int32_t c)
{
	utf8proc_category_t k = utf8proc_category(c);
	bool letter = k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
	bool mark = k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME;
	bool digit = k == UTF8PROC_CATEGORY_ND;
	/* Invisible characters inside a word must not hide it. */
	bool nothing = k == UTF8PROC_CATEGORY_CF;

	if (mark || nothing)
		return;
	if (!letter && !digit) {
		finish(s, at);
		return;
	}
	if (stands_alone(c))
		finish(s, at);
	begin(s, at, letter && k != UTF8PROC_CATEGORY_LL);
	s->now.chars++;
	s->now.digits &= digit;
	s->now.letters &= letter;
	fold(s, c);
}

/* --- JSON --------------------------------------------------------------------------------- */

bool words_json(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len && (text[at] == ' ' || (text[at] >= '\t' && text[at] <= '\r')))
		at++;
	return at < len && (text[at] == '{' || text[at] == '[' || text[at] == '"');
}

/* \uXXXX; -1: it is none. */
static int32_t unit(const char *text, size_t len)
{
	uint8_t bytes[2];
	char hex[5];

	if (len < 6 || text[0] != '\\' || text[1] != 'u')
		return -1;
	memcpy(hex, text + 2, 4);
	hex[4] = '\0';
	return text_unhex(hex, bytes, 2) == RC_OK ? bytes[0] << 8 | bytes[1] : -1;
}

size_t words_escape(const char *text, size_t len, int32_t *point)
{
	static const char letters[] = "bfnrt\"\\/", controls[] = "\b\f\n\r\t\"\\/";
	const char *letter;
	int32_t low;

	if (len < 2 || text[0] != '\\')
		return 0;
	letter = text[1] ? strchr(letters, text[1]) : NULL;
	if (letter) {
		*point = (unsigned char)controls[letter - letters];
		return 2;
	}
	*point = unit(text, len);
	if (*point < 0)
		return 0;
	low = *point >= 0xd800 && *point < 0xdc00 ? unit(text + 6, len - 6) : -1;
	if (low < 0xdc00 || low > 0xdfff)
		return 6;
	*point = 0x10000 + ((*point - 0xd800) << 10) + (low - 0xdc00);
	return 12;
}

void words_unescape(const char *text, size_t len, struct buf *out)
{
	size_t at = 0;

	while (at < len) {
		int32_t c = 0;
		size_t n = text[at] == '\\' ? words_escape(text + at, len - at, &c) : 0;
		utf8proc_uint8_t utf8[4];

		if (n < 6 || c < 0x20 || c == '"' || c == '\\' || (c >= 0xd800 && c <= 0xdfff))
			buf_add(out, text + at, n ? n : 1);
		else
			buf_add(out, utf8, (size_t)utf8proc_encode_char(c, utf8));
		at += n ? n : 1;
	}
}

void words_split(struct words *w, const uint8_t key[WORDS_KEY_LEN], const char *text, size_t len)
{
	struct split s = {.words = w, .key = key};
	bool json = words_json(text, len);
	size_t at = 0;

	if (len > WORDS_BYTES_MAX)
		len = WORDS_BYTES_MAX;
	w->count = 0;
	while (at < len) {
		unsigned char c = (unsigned char)text[at];
		utf8proc_int32_t point = 0;
		utf8proc_ssize_t n = 1;
		size_t escape = json && c == '\\' ? words_escape(text + at, len - at, &point) : 0;

		if (escape > 0) {
			n = (utf8proc_ssize_t)escape;
			if (point < 0x80)
				take_ascii(&s, at, (unsigned char)point);
			else
				take_other(&s, at, point);
		} else if (c < 0x80) {
			take_ascii(&s, at, c);
		} else {
			n = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
				(utf8proc_ssize_t)(len - at), &point);
			if (n > 0)
				take_other(&s, at, point);
			else
				finish(&s, at);
		}
		at += n > 0 ? (size_t)n : 1;
		if (s.folded_len > FOLDED_MAX || (s.now.chars > 0 && point && stands_alone(point)))
			finish(&s, at);
	}
	finish(&s, len);
	mem_wipe(s.folded, sizeof(s.folded));
}

void words_free(struct words *w)
{
	free(w->list);
	*w = (struct words){.list = NULL};
}
