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

	if (TEXT_B64_LEN(len) >= sizeof(text)) {
		b->failed = true;
		return;
	}
	text_b64url(bytes, len, text);
	buf_str(b, text);
	mem_wipe(text, sizeof(text));
}

static void put_claims(struct buf *b, const struct session_claims *claims)
{
	buf_str(b, "{\"sub\":");
	buf_json(b, claims->sub);
	buf_str(b, ",\"org\":");
	buf_json(b, claims->org);
	buf_str(b, ",\"role\":");
	buf_json(b, claims->role);
	buf_printf(
		b, ",\"iat\":%lld,\"exp\":%lld}", (long long)claims->iat, (long long)claims->exp);
}

enum rc session_issue(
	const char *secret, const struct session_claims *claims, char *out, size_t cap)
{
	uint8_t mac[CRYPTO_HASH_LEN];
	struct buf json, token;
	bool fits;

	if (!*secret)
		return RC_INVALID;
	buf_init(&json, 2048);
	buf_init(&token, TOKEN_MAX);
	put_claims(&json, claims);
	put_part(&token, HEADER, strlen(HEADER));
	buf_char(&token, '.');
	put_part(&token, json.data, json.len);
	crypto_hmac_sha256(secret, strlen(secret), token.data, token.len, mac);
	buf_char(&token, '.');
	put_part(&token, mac, sizeof(mac));
	fits = !json.failed && !token.failed &&
		str_copy_len(out, cap, (const char *)token.data, token.len);
	mem_wipe(mac, sizeof(mac));
	buf_wipe(&token);
	buf_free(&token);
	buf_free(&json);
	return fits ? RC_OK : RC_LIMIT;
}

/* Decodes one part and scans it as a JSON object. */
static enum rc part_object(const char *part, size_t len, char *text, size_t cap, struct jscan *out)
{
	size_t n;

	if (text_unb64url(part, len, (uint8_t *)text, cap, &n) != RC_OK ||
		jscan_parse(text, n, out) != RC_OK || out->kind != JSCAN_OBJECT)
		return RC_DENIED;
	return RC_OK;
}

/* Nothing but alg HS256 and, perhaps, typ JWT: a header that asks for more is not ours. */
static bool header_ok(struct jscan header)
{
	struct jscan_iter it = jscan_iter(header);
	struct jscan key, value;
	int alg = 0, typ = 0;

	while (jscan_next(&it, &key, &value)) {
		if (jscan_is_str(key, "alg") && jscan_is_str(value, "HS256"))
			alg++;
		else if (jscan_is_str(key, "typ") && jscan_is_str(value, "JWT"))
			typ++;
		else
			return false;
	}
	return alg == 1 && typ <= 1;
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

/* "Not before" is optional, but counts when it is there. */
static bool begun(struct jscan claims, int64_t now_s)
{
	struct jscan v;
	int64_t nbf;

	switch (jscan_get(claims, "nbf", &v)) {
	case RC_OK:
		return jscan_int(v, &nbf) == RC_OK && nbf <= now_s;
	case RC_NOTFOUND:
		return true;
	default:
		return false;
	}
}

static bool read_claims(struct jscan claims, int64_t now_s, struct session_claims *c)
{
	return claim_text(claims, "sub", c->sub, sizeof(c->sub)) &&
		claim_text(claims, "org", c->org, sizeof(c->org)) &&
		claim_text(claims, "role", c->role, sizeof(c->role)) &&
		claim_int(claims, "iat", &c->iat) && claim_int(claims, "exp", &c->exp) &&
		c->exp > now_s && begun(claims, now_s);
}

static bool signature_ok(const char *secret, const char *token, const char *dot)
{
	uint8_t mac[CRYPTO_HASH_LEN], presented[CRYPTO_HASH_LEN];
	size_t len;
	bool ok;

	if (text_unb64url(dot + 1, strlen(dot + 1), presented, sizeof(presented), &len) != RC_OK)
		return false;
	crypto_hmac_sha256(secret, strlen(secret), token, (size_t)(dot - token), mac);
	ok = crypto_equal(mac, sizeof(mac), presented, len);
	mem_wipe(mac, sizeof(mac));
	return ok;
}

enum rc session_check(
	const char *secret, const char *token, int64_t now_s, struct session_claims *out)
{
	char header_text[256], claims_text[TOKEN_MAX];
	struct session_claims c;
	struct jscan header, claims;
	const char *first, *second;

	/* An empty secret would let anyone sign. */
	if (!*secret || strnlen(token, TOKEN_MAX + 1) > TOKEN_MAX)
		return RC_DENIED;
	first = strchr(token, '.');
	second = first ? strchr(first + 1, '.') : NULL;
	if (!second || strchr(second + 1, '.') || !signature_ok(secret, token, second))
		return RC_DENIED;
	if (part_object(token, (size_t)(first - token), header_text, sizeof(header_text),
		    &header) != RC_OK ||
		!header_ok(header))
		return RC_DENIED;
	if (part_object(first + 1, (size_t)(second - first - 1), claims_text, sizeof(claims_text),
		    &claims) != RC_OK ||
		!read_claims(claims, now_s, &c))
		return RC_DENIED;
	*out = c;
	return RC_OK;
}
