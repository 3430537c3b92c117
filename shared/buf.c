#include "shared/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/json_word.h"
#include "shared/mem.h"
#include "shared/text.h"

#define GROW_MIN 256

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_free(struct buf *b)
{
	free(b->data);
	buf_init(b, b->max);
}

void buf_wipe(struct buf *b)
{
	mem_wipe(b->data, b->cap);
	buf_reset(b);
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

/* One byte more than cap is allocated always, so that buf_steal() has room for its NUL. */
static bool grow(struct buf *b, size_t want)
{
	size_t cap = b->cap ? b->cap : GROW_MIN;

	while (cap < want)
		cap = cap > SIZE_MAX / 2 ? want : cap * 2;
	if (cap > b->max && want <= b->max)
		cap = b->max;
	if (cap == SIZE_MAX)
		return false;
	uint8_t *data = realloc(b->data, cap + 1);
	if (!data)
		return false;
	b->data = data;
	b->cap = cap;
	return true;
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
	if (b->failed)
		return NULL;
	if (b->len > b->max || len > b->max - b->len) {
		b->failed = true;
		return NULL;
	}
	if ((!b->data || len > b->cap - b->len) && !grow(b, b->len + len)) {
		b->failed = true;
		return NULL;
	}
	return b->data + b->len;
}

void buf_commit(struct buf *b, size_t len)
{
	if (b->failed)
		return;
	if (len > b->cap - b->len)
		b->failed = true; /* more than was reserved: a bug, kept from becoming worse */
	else
		b->len += len;
}

/* Nearly always there is room. */
static uint8_t *room(struct buf *b, size_t len)
{
	return b->data && !b->failed && len <= b->cap - b->len ? b->data + b->len
							       : buf_reserve(b, len);
}

void buf_add(struct buf *b, const void *bytes, size_t len)
{
	uint8_t *dst = room(b, len);

	if (!dst)
		return;
	if (len)
		memcpy(dst, bytes, len);
	b->len += len;
}

void buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_int(struct buf *b, int64_t n)
{
	/* From the last digit on; INT64_MIN has no positive twin. */
	char text[20], *at = text + sizeof(text);
	bool negative = n < 0;

	do {
		int digit = (int)(n % 10);

		*--at = (char)('0' + (negative ? -digit : digit));
		n /= 10;
	} while (n != 0);
	if (negative)
		*--at = '-';
	buf_add(b, at, (size_t)(text + sizeof(text) - at));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	char small[256];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	size_t len = (size_t)n;
	if (len < sizeof(small)) {
		buf_add(b, small, len);
		return;
	}
	uint8_t *dst = buf_reserve(b, len);
	if (!dst)
		return;
	/* The NUL lands in the spare byte that grow() allocates. */
	va_start(ap, fmt);
	vsnprintf((char *)dst, len + 1, fmt, ap);
	va_end(ap);
	b->len += len;
}

void buf_json(struct buf *b, const char *s)
{
	buf_json_len(b, s, strlen(s));
}

static void json_escape(struct buf *b, unsigned char c)
{
	static const char short_for[] = "b\bt\tn\nf\fr\r\"\"\\\\";

	for (size_t i = 0; i + 1 < sizeof(short_for); i += 2) {
		if (c == (unsigned char)short_for[i + 1]) {
			char pair[2] = {'\\', short_for[i]};

			buf_add(b, pair, 2);
			return;
		}
	}
	buf_printf(b, "\\u%04x", c);
}

/* The bytes from s on that JSON has as they are, ASCII alone. */
static size_t plain_ascii(const char *s, size_t len)
{
	size_t i = 0;

	for (; len - i >= JSON_WORD_LEN; i += JSON_WORD_LEN) {
		uint64_t word = json_word_get(s + i);
		uint64_t marks = json_word_special(word) | (word & JSON_WORD_EACH(0x80));

		if (marks)
			return i + json_word_at(marks);
	}
	while (i < len && (unsigned char)(s[i] - 0x20) < 0x60 && s[i] != '"' && s[i] != '\\')
		i++;
	return i;
}

static void put_plain(struct buf *b, const char *s, size_t len)
{
	uint8_t *dst = len < SIZE_MAX - 2 ? room(b, len + 2) : NULL;

	if (!dst) {
		b->failed = true;
		return;
	}
	dst[0] = dst[len + 1] = '"';
	memcpy(dst + 1, s, len);
	b->len += len + 2;
}

void buf_json_len(struct buf *b, const char *s, size_t len)
{
	size_t i = plain_ascii(s, len);
	size_t plain = 0; /* start of the run that needs no escape */

	if (i == len) {
		put_plain(b, s, len);
		return;
	}
	buf_char(b, '"');
	while (i < len) {
		unsigned char c = (unsigned char)s[i];
		size_t step = c < 0x80 ? 1 : text_utf8_len(s + i, len - i);

		if (step > 1 || (step == 1 && c >= 0x20 && c != '"' && c != '\\')) {
			i += step;
			continue;
		}
		buf_add(b, s + plain, i - plain);
		if (step == 0)
			buf_str(b, "\xEF\xBF\xBD");
		else
			json_escape(b, c);
		plain = ++i;
	}
	buf_add(b, s + plain, len - plain);
	buf_char(b, '"');
}

void buf_consume(struct buf *b, size_t len)
{
	if (len >= b->len) {
		b->len = 0;
		return;
	}
	memmove(b->data, b->data + len, b->len - len);
	b->len -= len;
}

char *buf_steal(struct buf *b)
{
	buf_reserve(b, 0); /* an empty buffer has no memory yet */
	if (b->failed) {
		buf_free(b);
		return NULL;
	}
	char *s = (char *)b->data;

	s[b->len] = '\0';
	buf_init(b, b->max);
	return s;
}
