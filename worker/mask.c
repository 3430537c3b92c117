#include "worker/mask.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/crypto.h"
#include "shared/mem.h"
#include "shared/text.h"
#include "worker/mask_number.h"
#include "worker/scrub.h"
#include "worker/token.h"

#define HASH_BYTES (MASK_HASH_CHARS * 5 / 8)
#define NUMBER_MAX 40

static void derive(const uint8_t *secret, const char *label, uint8_t out[MASK_SECRET_LEN])
{
	crypto_blake2b(secret, MASK_SECRET_LEN, label, strlen(label), out);
}

void mask_init(struct mask *m, const uint8_t secret[MASK_SECRET_LEN])
{
	static const char *const labels[] = {
		[VALUE_NULL] = "airlock mask null",
		[VALUE_INT] = "airlock mask integer",
		[VALUE_REAL] = "airlock mask real",
		[VALUE_TEXT] = "airlock mask text",
		[VALUE_BLOB] = "airlock mask blob",
	};

	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
		derive(secret, labels[i], m->value_keys[i]);
	derive(secret, "airlock subject digest", m->subject_key);
	derive(secret, "airlock mask email", m->mail_key);
	derive(secret, "airlock mask token", m->token_key);
	derive(secret, "airlock mask date_shift", m->shift_key);
	derive(secret, "airlock mask noise", m->noise_key);
}

void mask_clear(struct mask *m)
{
	mem_wipe(m, sizeof(*m));
}

/* --- values as bytes ------------------------------------------------------------------ */

struct bytes {
	const char *p;
	size_t len;
	enum value_kind kind; /* VALUE_INT for a real that is whole: 5.0 joins with 5 */
	char number[NUMBER_MAX];
};

static void bytes_of(const struct value *in, struct bytes *b)
{
	b->kind = in->kind;
	b->p = b->number;
	b->number[0] = '\0';
	if (in->kind == VALUE_REAL && in->r >= -9007199254740992.0 && in->r <= 9007199254740992.0 &&
		in->r == (double)(int64_t)in->r) {
		b->kind = VALUE_INT;
		snprintf(b->number, sizeof(b->number), "%" PRId64, (int64_t)in->r);
	} else if (in->kind == VALUE_REAL) {
		snprintf(b->number, sizeof(b->number), "%.17g", in->r);
	} else if (in->kind == VALUE_INT) {
		snprintf(b->number, sizeof(b->number), "%" PRId64, in->i);
	} else if (in->kind != VALUE_NULL) {
		b->p = in->len ? in->p : "";
		b->len = in->len;
		return;
	}
	b->len = strlen(b->number);
}

static void bytes_wipe(struct bytes *b)
{
	mem_wipe(b->number, sizeof(b->number));
}

/* A number of 64 bits that nobody can tell from chance without the key. */
static uint64_t random_of(const uint8_t key[MASK_SECRET_LEN], const void *p, size_t len)
{
	uint8_t digest[CRYPTO_HASH_LEN];
	uint64_t n = 0;

	crypto_blake2b(key, MASK_SECRET_LEN, p, len, digest);
	for (size_t i = 0; i < 8; i++)
		n = n << 8 | digest[i];
	mem_wipe(digest, sizeof(digest));
	return n;
}

void mask_run_init(struct mask_run *r, const struct mask *m, const struct value *subject)
{
	struct bytes b;

	*r = (struct mask_run){.m = m};
	bytes_of(subject, &b);
	r->shift = random_of(m->shift_key, b.p, b.len);
	bytes_wipe(&b);
}

void mask_run_free(struct mask_run *r)
{
	words_free(&r->words);
	mem_wipe(&r->shift, sizeof(r->shift));
}

/* --- the masks ---------------------------------------------------------------------------- */

static struct value taken(const struct buf *room)
{
	return room->failed ? value_text(MASK_REDACTED, strlen(MASK_REDACTED))
			    : value_text(room->len ? (const char *)room->data : "", room->len);
}

static void put_digest(const uint8_t *key, const void *p, size_t len, struct buf *room)
{
	uint8_t digest[CRYPTO_HASH_LEN];
	char text[MASK_HASH_CHARS + 1];

	crypto_blake2b(key, MASK_SECRET_LEN, p, len, digest);
	text_b32(digest, HASH_BYTES, text);
	buf_str(room, text);
}

static struct value hash(const struct mask *m, const struct bytes *b, struct buf *room)
{
	buf_reset(room);
	buf_str(room, "h_");
	put_digest(m->value_keys[b->kind], b->p, b->len, room);
	return taken(room);
}

/* The last characters, when they are at most half of it. A fixed number of stars, so that the
 * length does not show. */
static struct value partial(const struct mask_spec *s, const struct bytes *b, struct buf *room)
{
	size_t chars = 0, from = b->len;
	int left = s->last;

	for (size_t i = 0; i < b->len; i++)
		chars += ((unsigned char)b->p[i] & 0xc0) != 0x80;
	while (from > 0 && left > 0 && chars >= 2 * (size_t)s->last)
		left -= ((unsigned char)b->p[--from] & 0xc0) != 0x80;
	buf_reset(room);
	buf_str(room, "****");
	buf_add(room, b->p + from, b->len - from);
	return taken(room);
}

/* Letters of ASCII in lower case, as mail systems compare addresses in practice. */
static void put_lower(struct buf *out, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf_char(out, (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] | 0x20 : p[i]));
}

/* What a domain is made of, with a dot. Beyond ASCII that is letters, which begin with none of the
 * bytes that blanks, signs and invisible characters begin with. */
static bool is_domain(const char *p, size_t len)
{
	bool dot = false;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c >= 0x80 ? c == 0xc2 || c == 0xe2 || c == 0xef
			      : !isalnum(c) && c != '-' && c != '.')
			return false;
		dot |= c == '.';
	}
	return dot && text_utf8_ok(p, len);
}

static struct value email(const struct mask *m, const struct bytes *b, struct buf *room)
{
	const char *at = memrchr(b->p, '@', b->len);
	size_t domain = at ? b->len - (size_t)(at - b->p) : 0;
	struct buf lower;

	/* What is no address, or has something behind it, has no domain to keep. */
	if (!at || at == b->p || !is_domain(at + 1, domain - 1) ||
		memchr(b->p, '@', (size_t)(at - b->p)))
		return hash(m, b, room);
	buf_init(&lower, VALUE_BYTES_MAX + 1);
	put_lower(&lower, b->p, b->len);
	buf_reset(room);
	buf_str(room, "u_");
	put_digest(m->mail_key, lower.data, lower.len, room);
	put_lower(room, at, domain);
	buf_wipe(&lower);
	buf_free(&lower);
	return taken(room);
}

static struct value token(const struct mask *m, const struct bytes *b, struct buf *room)
{
	uint8_t *to;

	if (b->kind == VALUE_BLOB || b->len == 0)
		return hash(m, b, room);
	buf_reset(room);
	to = buf_reserve(room, b->len);
	if (!to || !token_make(m->token_key, b->p, b->len, (char *)to))
		return hash(m, b, room);
	buf_commit(room, b->len);
	return taken(room);
}

static struct value text(struct mask_run *r, const struct bytes *b, struct buf *room)
{
	if (b->kind == VALUE_BLOB)
		return value_text(MASK_REDACTED, strlen(MASK_REDACTED));
	buf_reset(room);
	(void)scrub(b->p, b->len, r->known, r->words_key, &r->words, room);
	return taken(room);
}

/* The same number and bound get the same noise, so that asking again does not average it away. */
static uint64_t noise_random(const struct mask *m, const struct mask_spec *s, const struct bytes *b)
{
	struct buf text;
	uint64_t n;

	buf_init(&text, VALUE_BYTES_MAX + 64);
	buf_printf(&text, "%.17g/%.17g/", s->percent, s->amount);
	buf_add(&text, b->p, b->len);
	n = random_of(m->noise_key, text.data, text.len);
	buf_wipe(&text);
	buf_free(&text);
	return n;
}

static bool blur(struct mask_run *r, const struct mask_spec *s, const struct value *in,
	const struct bytes *b, struct buf *room, struct value *out)
{
	switch (s->kind) {
	case MASK_DATE_SHIFT:
		return mask_shift(s, r->shift, in, room, out);
	case MASK_NOISE:
		return mask_noise(s, noise_random(r->m, s, b), in, out);
	default:
		return s->size > 0 ? mask_range(s, in, room, out) : mask_truncate(s, in, room, out);
	}
}

void mask_value(struct mask_run *r, const struct mask_spec *spec, const struct value *in,
	struct buf *room, struct value *out)
{
	struct value masked = value_text(MASK_REDACTED, strlen(MASK_REDACTED));
	struct bytes b = {.len = 0};

	if (spec->kind == MASK_NULL || in->kind == VALUE_NULL) {
		*out = (struct value){.kind = VALUE_NULL};
		return;
	}
	if (spec->kind == MASK_KEEP) {
		*out = *in;
		return;
	}
	bytes_of(in, &b);
	switch (spec->kind) {
	case MASK_HASH:
		masked = hash(r->m, &b, room);
		break;
	case MASK_PARTIAL:
		/* What is no UTF-8 has no characters that could be counted. */
		if (b.kind != VALUE_BLOB && text_utf8_ok(b.p, b.len))
			masked = partial(spec, &b, room);
		break;
	case MASK_EMAIL:
		masked = b.kind == VALUE_BLOB ? hash(r->m, &b, room) : email(r->m, &b, room);
		break;
	case MASK_TOKEN:
		masked = token(r->m, &b, room);
		break;
	case MASK_TEXT:
		masked = text(r, &b, room);
		break;
	case MASK_DATE_SHIFT:
	case MASK_NOISE:
	case MASK_BUCKET:
		if (!blur(r, spec, in, &b, room, &masked))
			masked = (struct value){.kind = VALUE_NULL};
		break;
	case MASK_KEEP:
	case MASK_NULL:
	case MASK_REDACT:
		break;
	}
	bytes_wipe(&b);
	*out = masked;
}

void mask_subject_digest(const struct mask *m, const char *subject, size_t len, char out[65])
{
	uint8_t digest[CRYPTO_HASH_LEN];

	crypto_blake2b(m->subject_key, MASK_SECRET_LEN, subject, len, digest);
	text_hex(digest, sizeof(digest), out);
}
