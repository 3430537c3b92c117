#include "worker/mask.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/crypto.h"
#include "shared/mem.h"
#include "shared/text.h"

#define HASH_BYTES (MASK_HASH_CHARS * 5 / 8)

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
}

void mask_clear(struct mask *m)
{
	mem_wipe(m, sizeof(*m));
}

static void hash(const struct mask *m, const struct value *in, char text[MASK_TEXT_MAX + 1])
{
	uint8_t digest[CRYPTO_HASH_LEN];
	enum value_kind kind = in->kind;
	const void *bytes;
	size_t len;
	char number[40];

	if (kind == VALUE_REAL && in->r >= -9007199254740992.0 && in->r <= 9007199254740992.0 &&
		in->r == (double)(int64_t)in->r) {
		/* 5.0 joins with 5, so it must hash like it. */
		kind = VALUE_INT;
		snprintf(number, sizeof(number), "%" PRId64, (int64_t)in->r);
	} else if (kind == VALUE_REAL) {
		snprintf(number, sizeof(number), "%.17g", in->r);
	} else if (kind == VALUE_INT) {
		snprintf(number, sizeof(number), "%" PRId64, in->i);
	}
	if (kind == VALUE_INT || kind == VALUE_REAL) {
		bytes = number;
		len = strlen(number);
	} else {
		bytes = in->p;
		len = in->len;
	}
	crypto_blake2b(m->value_keys[kind], MASK_SECRET_LEN, bytes, len, digest);
	text[0] = 'h';
	text[1] = '_';
	text_b32(digest, HASH_BYTES, text + 2);
	if (bytes == number)
		mem_wipe(number, sizeof(number));
}

void mask_value(const struct mask *m, enum mask_kind kind, const struct value *in,
	char text[MASK_TEXT_MAX + 1], struct value *out)
{
	if (kind == MASK_NULL || in->kind == VALUE_NULL) {
		*out = (struct value){.kind = VALUE_NULL};
		return;
	}
	switch (kind) {
	case MASK_KEEP:
		*out = *in;
		return;
	case MASK_HASH:
		hash(m, in, text);
		*out = value_text(text, MASK_TEXT_MAX);
		return;
	case MASK_REDACT:
	case MASK_NULL:
		break;
	}
	*out = value_text(MASK_REDACTED, strlen(MASK_REDACTED));
}

enum column_kind mask_column_kind(enum mask_kind mask, enum column_kind source)
{
	return mask == MASK_HASH || mask == MASK_REDACT ? COLUMN_TEXT : source;
}

void mask_subject_digest(const struct mask *m, const char *subject, size_t len, char out[65])
{
	uint8_t digest[CRYPTO_HASH_LEN];

	crypto_blake2b(m->subject_key, MASK_SECRET_LEN, subject, len, digest);
	text_hex(digest, sizeof(digest), out);
}

const char *mask_name(enum mask_kind kind)
{
	switch (kind) {
	case MASK_HASH:
		return "hash";
	case MASK_REDACT:
		return "redact";
	case MASK_NULL:
		return "null";
	case MASK_KEEP:
		break;
	}
	return "keep";
}
