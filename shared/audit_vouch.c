#include "shared/audit_vouch.h"

#include <stdio.h>
#include <string.h>

static const char call_label[] = "airlock.tunnel.v1 vouched call";
static const char vouch_label[] = "airlock.tunnel.v1 vouch";

/* A transcript as the handshake has them: the label with its NUL, then fields behind their lengths.
 * The longest texts of a row fit; what is longer is no row's and is cut, so that it fits no row
 * either. */
#define TRANSCRIPT_MAX 2048
struct transcript {
	uint8_t bytes[TRANSCRIPT_MAX];
	size_t len;
};

static void begin(struct transcript *t, const char *label, size_t len)
{
	memcpy(t->bytes, label, len);
	t->len = len;
}

static void field(struct transcript *t, const void *bytes, size_t len)
{
	if (len > TRANSCRIPT_MAX - 4 - t->len)
		len = TRANSCRIPT_MAX - 4 - t->len;
	for (int shift = 24; shift >= 0; shift -= 8)
		t->bytes[t->len++] = (uint8_t)(len >> shift);
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
}

static void text(struct transcript *t, const char *s)
{
	field(t, s, strnlen(s, 256));
}

static void number(struct transcript *t, int64_t n)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%lld", (long long)n);

	field(t, digits, (size_t)len);
}

void audit_vouch_leaf(const struct audit_vouched *v, uint8_t leaf[CRYPTO_HASH_LEN])
{
	struct transcript t;

	begin(&t, call_label, sizeof(call_label));
	number(&t, v->n);
	text(&t, v->call_id);
	text(&t, v->request_id);
	text(&t, v->key_id);
	text(&t, v->method);
	text(&t, v->tool);
	text(&t, v->outcome);
	field(&t, v->result_sha256, CRYPTO_HASH_LEN);
	crypto_sha256(t.bytes, t.len, leaf);
}

static void statement(const struct audit_vouch *v, struct transcript *t)
{
	begin(t, vouch_label, sizeof(vouch_label));
	text(t, v->worker_id);
	text(t, v->session_id);
	number(t, v->first);
	number(t, v->last);
	field(t, v->digest, CRYPTO_HASH_LEN);
}

void audit_vouch_sign(const struct audit_vouch *v, const struct crypto_identity *worker,
	uint8_t sig[CRYPTO_SIG_LEN])
{
	struct transcript t;

	statement(v, &t);
	crypto_sign(worker, t.bytes, t.len, sig);
}

bool audit_vouch_good(const struct audit_vouch *v, const uint8_t key[CRYPTO_PUBLIC_LEN],
	const uint8_t sig[CRYPTO_SIG_LEN])
{
	struct transcript t;

	statement(v, &t);
	return crypto_verify(key, t.bytes, t.len, sig);
}
