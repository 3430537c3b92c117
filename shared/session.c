#include "shared/session.h"

#include <string.h>

#include "shared/buf.h"
#include "shared/crypto.h"
#include "shared/jscan.h"
#include "shared/mem.h"
#include "shared/text.h"

#define TOKEN_MAX 4096
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

static void put_part(struct buf *b, const void *bytes, size_t len)
{
	char text[TOKEN_MAX];

	if (TEXT_B64_LEN(len) >= sizeof text) {
		b->failed = true;
		return;
	}
	text_b64url(bytes, len, text);
	buf_str(b, text);
}

static void put_claims(struct buf *b, const struct session_claims *claims)
{
	buf_str(b, "{\"sub\":");
	buf_json(b, claims->sub);
	buf_str(b, ",\"org\":");
	buf_json(b, claims->org);
	buf_str(b, ",\"role\":");
	buf_json(b, claims->role);
	buf_printf(b, ",\"iat\":%lld,\"exp\":%lld}", (long long)claims->iat, (long long)claims->exp);
}

enum rc session_issue(const char *secret, const struct session_claims *claims, char *out, size_t cap)
{
	uint8_t mac[CRYPTO_HASH_LEN];
	struct buf json, token;
	bool fits;

	buf_init(&json, 2048);
	buf_init(&token, TOKEN_MAX);
	put_claims(&json, claims);
	put_part(&token, HEADER, strlen(HEADER));
	buf_char(&token, '.');
	put_part(&token, json.data, json.len);
	crypto_hmac_sha256(secret, strlen(secret), token.data, token.len, mac);
	buf_char(&token, '.');
	put_part(&token, mac, sizeof mac);
	fits = !json.failed && !token.failed && str_copy_len(out, cap, (const char *)token.data, token.len);
	buf_wipe(&token);
	buf_free(&token);
	buf_free(&json);
	return fits ? RC_OK : RC_LIMIT;
}

/* Decodes one part and scans it as a JSON object. */
static enum rc part_object(const char *part, size_t len, char *text, size_t cap, struct jscan *out)
{
	size_t n;

	if (text_unb64url(part, len, (uint8_t *)text, cap, &n) != RC_OK || jscan_parse(text, n, out) != RC_OK ||
		out->kind != JSCAN_OBJECT)
		return RC_DENIED;
	return RC_OK;
}

static bool header_ok(struct jscan header)
{
	struct jscan v;

	if (jscan_get(header, "alg", &v) != RC_OK || !jscan_is_str(v, "HS256"))
		return false;
	if (jscan_get(header, "crit", &v) != RC_NOTFOUND)
		return false;
	switch (jscan_get(header, "typ", &v)) {
	case RC_OK:
		return jscan_is_str(v, "JWT");
	case RC_NOTFOUND:
		return true;
	default:
		return false;
	}
}

static bool claim_text(struct jscan claims, const char *name, char *dst, size_t cap)
{
	struct jscan v;

	return jscan_get(claims, name, &v) == RC_OK && jscan_str(v, dst, cap) == RC_OK && *dst;
}

static bool claim_int(struct jscan claims, const char *name, int64_t *out)
{
	struct jscan v;

	return jscan_get(claims, name, &v) == RC_OK && jscan_int(v, out) == RC_OK;
}

enum rc session_check(const char *secret, const char *token, int64_t now_s, struct session_claims *out)
{
	char header_text[512], claims_text[TOKEN_MAX];
	uint8_t mac[CRYPTO_HASH_LEN], presented[CRYPTO_HASH_LEN];
	struct session_claims c = {.iat = 0};
	struct jscan header, claims;
	const char *first, *second;
	size_t len = strnlen(token, TOKEN_MAX + 1), presented_len;

	first = strchr(token, '.');
	second = first ? strchr(first + 1, '.') : NULL;
	if (len > TOKEN_MAX || !second || strchr(second + 1, '.'))
		return RC_DENIED;
	crypto_hmac_sha256(secret, strlen(secret), token, (size_t)(second - token), mac);
	if (text_unb64url(second + 1, strlen(second + 1), presented, sizeof presented, &presented_len) != RC_OK ||
		!crypto_equal(mac, sizeof mac, presented, presented_len))
		return RC_DENIED;
	if (part_object(token, (size_t)(first - token), header_text, sizeof header_text, &header) != RC_OK || !header_ok(header) ||
		part_object(first + 1, (size_t)(second - first - 1), claims_text, sizeof claims_text, &claims) != RC_OK)
		return RC_DENIED;
	if (!claim_text(claims, "sub", c.sub, sizeof c.sub) || !claim_text(claims, "org", c.org, sizeof c.org) ||
		!claim_text(claims, "role", c.role, sizeof c.role) || !claim_int(claims, "iat", &c.iat) ||
		!claim_int(claims, "exp", &c.exp) || c.exp <= now_s)
		return RC_DENIED;
	*out = c;
	return RC_OK;
}
