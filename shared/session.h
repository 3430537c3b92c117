/* session: checking (and, for the console, issuing) the HS256 session token. Issuing is apart from
 * checking so that another issuer can stand in. Pure but for the key handed in. */
#ifndef SHARED_SESSION_H
#define SHARED_SESSION_H

#include <stdint.h>

#include "shared/rc.h"
#include "shared/store.h"

struct session_claims {
	char sub[STORE_NAME_MAX + 1];
	char org[STORE_ID_MAX + 1]; /* "*": every org (issued for the operator token) */
	char role[32];
	int64_t iat, exp; /* UTC seconds */
};
/* JWS compact (RFC 7515, 7519), alg HS256 only. */
enum rc session_issue(
	const char *secret, const struct session_claims *claims, char *out, size_t cap) MUST_CHECK;
/* RC_DENIED for anything wrong: other alg, bad signature, expired, missing claims, too long. */
enum rc session_check(const char *secret, const char *token, int64_t now_s,
	struct session_claims *out) MUST_CHECK;

#endif
