/* Session tokens: any text. By itself nothing is believed; signed with the right secret, so that
 * header and claims are read too, only what is complete and not expired. */
#include <stdlib.h>
#include <string.h>

#include "shared/session.h"
#include "shared/text.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW 1000
#define PART_MAX 1400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void unsigned_text(const char *text)
{
	struct session_claims claims;

	/* Nobody can sign with this secret by chance. */
	if (session_check(SECRET, text, 0, &claims) == RC_OK)
		abort();
}

/* Returns where the next part goes. */
static char *put_part(char *at, const uint8_t *bytes, size_t len)
{
	text_b64url(bytes, len, at);
	return at + strlen(at);
}

/* The input is the header, a NUL, the claims. */
static void signed_text(const uint8_t *data, size_t size)
{
	char token[2 * TEXT_B64_LEN(PART_MAX) + 100];
	char *at = token;
	const uint8_t *nul = memchr(data, 0, size);
	uint8_t mac[CRYPTO_HASH_LEN];
	struct session_claims c;
	size_t header_len;

	if (!nul || size > PART_MAX)
		return;
	header_len = (size_t)(nul - data);
	at = put_part(at, data, header_len);
	*at++ = '.';
	at = put_part(at, nul + 1, size - header_len - 1);
	crypto_hmac_sha256(SECRET, strlen(SECRET), token, (size_t)(at - token), mac);
	*at++ = '.';
	put_part(at, mac, sizeof(mac));
	if (session_check(SECRET, token, NOW, &c) != RC_OK)
		return;
	if (!*c.sub || !*c.org || !*c.role || c.exp <= NOW)
		abort();
	if (!memmem(data, header_len, "alg", 3) && !memmem(data, header_len, "\\u", 2))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	unsigned_text(text);
	signed_text(data, size);
	free(text);
	return 0;
}
