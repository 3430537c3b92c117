/* auth: who may use the operator's API: the operator token, or a session (bearer or cookie) with a
 * role and an org. Agents' keys and workers' tokens are checked elsewhere: the three credentials
 * are never interchangeable. */
#ifndef FCGI_APP_AUTH_H
#define FCGI_APP_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "fcgi-app/http.h"
#include "shared/session.h"

#define AUTH_COOKIE "airlock_session"
#define AUTH_SESSION_S 43200 /* 12 hours */
#define AUTH_SESSION_MAX 4096 /* a session token's text */

struct auth_caller {
	bool operator_token; /* else a session */
	struct session_claims
		claims; /* for the operator token: sub "operator", org "*", role "admin", exp 0 */
};
/* Compares in constant time and without telling the length. Pure. */
bool auth_operator_token_ok(const struct config *config, const char *token);
/* The operator token or a session. RC_DENIED for anything else. Pure. */
enum rc auth_identify(const struct config *config, const char *credential, int64_t now_s,
	struct auth_caller *out) MUST_CHECK;

struct auth_request { /* what is asked for, as far as it matters here */
	bool writes; /* not GET or HEAD */
	bool by_cookie;
	bool csrf_header;
	bool origin_ok; /* no Origin header, or an allowed one */
};
/* PROBLEM_COUNT: go on. Roles: "admin" reads and writes, "viewer" reads. A browser sends cookies by
 * itself, so a request that has its credential from one must come from an allowed origin and a
 * write needs the header besides. Pure. */
enum problem auth_decide(const struct auth_caller *caller, const struct auth_request *asked);

/* Guards a request: fills what the guard fills of struct request. False: refused, answered and
 * audited. */
bool auth_guard(struct request *rq);
/* Fills rq->who, rq->org_id, rq->role for a caller who is known. */
void auth_remember(struct request *rq, const struct auth_caller *caller);
/* Answers a refusal after its audit row (event access.refused) is durable; 503 when it can't be
 * written. Takes actor and ids from rq->who; target may be NULL for the route's pattern. */
void auth_refuse(struct request *rq, enum problem p, const char *target, const char *detail);

#endif
