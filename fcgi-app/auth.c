#include "fcgi-app/auth.h"

#include <stdlib.h>
#include <string.h>

#include "fcgi-app/cors.h"
#include "shared/clock.h"
#include "shared/crypto.h"
#include "shared/mem.h"

bool auth_operator_token_ok(const struct config *config, const char *token)
{
	uint8_t ours[CRYPTO_HASH_LEN];
	uint8_t theirs[CRYPTO_HASH_LEN];
	bool ok;

	/* Digests have one length, whatever was sent. */
	crypto_blake2b(NULL, 0, config->operator_token, strlen(config->operator_token), ours);
	crypto_blake2b(NULL, 0, token, strlen(token), theirs);
	ok = crypto_equal(ours, sizeof(ours), theirs, sizeof(theirs));
	mem_wipe(ours, sizeof(ours));
	mem_wipe(theirs, sizeof(theirs));
	return ok;
}

enum rc auth_identify(
	const struct config *config, const char *credential, int64_t now_s, struct auth_caller *out)
{
	struct auth_caller caller = {0};

	if (auth_operator_token_ok(config, credential)) {
		caller.operator_token = true;
		caller.claims = (struct session_claims){
			.sub = "operator", .org = "*", .role = "admin", .iat = now_s};
	} else if (!config->session_secret ||
		session_check(config->session_secret, credential, now_s, &caller.claims) != RC_OK) {
		return RC_DENIED;
	}
	*out = caller;
	return RC_OK;
}

enum problem auth_decide(const struct auth_caller *caller, const struct auth_request *asked)
{
	bool admin = !strcmp(caller->claims.role, "admin");

	if (asked->by_cookie && !asked->origin_ok)
		return PROBLEM_BAD_ORIGIN;
	if (asked->by_cookie && asked->writes && !asked->csrf_header)
		return PROBLEM_CSRF;
	if (!admin && (asked->writes || strcmp(caller->claims.role, "viewer") != 0))
		return PROBLEM_FORBIDDEN;
	return PROBLEM_COUNT;
}

void auth_refuse(struct request *rq, enum problem p, const char *target, const char *detail)
{
	struct audit_record r = rq->who;

	(void)str_copy(r.event, sizeof(r.event), "access.refused");
	(void)str_copy(r.outcome, sizeof(r.outcome), problem_code(p));
	(void)str_copy(r.method, sizeof(r.method), rq->method);
	(void)str_copy(r.target, sizeof(r.target), target ? target : rq->pattern);
	if (http_audit(rq, &r) != RC_OK) {
		http_problem(rq, PROBLEM_AUDIT_DOWN, NULL);
		return;
	}
	if (problem_status(p) == 401)
		http_add_header(rq, "WWW-Authenticate", "Bearer");
	http_problem(rq, p, detail);
}

/* The credential that the request presents. RC_NOTFOUND: none; RC_CONFLICT: more than one;
 * RC_INVALID: malformed. */
static enum rc presented(struct request *rq, char *cookie, size_t cap, const char **credential)
{
	enum rc rc = http_bearer(rq, credential);

	if (rc != RC_NOTFOUND)
		return rc;
	rc = http_cookie(rq, AUTH_COOKIE, cookie, cap);
	if (rc == RC_OK) {
		rq->by_cookie = true;
		*credential = cookie;
	}
	return rc;
}

static bool origin_ok(const struct request *rq)
{
	const char *origin;
	enum rc rc = http_header_once(rq, "Origin", &origin);

	return rc == RC_NOTFOUND || (rc == RC_OK && cors_origin_ok(rq->config, origin));
}

void auth_remember(struct request *rq, const struct auth_caller *caller)
{
	const struct session_claims *claims = &caller->claims;

	(void)str_copy(rq->who.actor_kind, sizeof(rq->who.actor_kind),
		caller->operator_token ? "operator" : "session");
	/* A subject longer than an id may be is cut there; the name has all of it. */
	(void)str_copy_len(rq->who.actor_id, sizeof(rq->who.actor_id), claims->sub,
		strnlen(claims->sub, AUDIT_ID_MAX));
	(void)str_copy(rq->who.actor_name, sizeof(rq->who.actor_name), claims->sub);
	if (strcmp(claims->org, "*") != 0)
		(void)str_copy(rq->org_id, sizeof(rq->org_id), claims->org);
	(void)str_copy(rq->role, sizeof(rq->role), claims->role);
	rq->credential_expires_at = claims->exp;
}

static const char *advice(const struct config *config)
{
	return config->session_secret
		? "Send the operator token or a session token as \"Authorization: Bearer ...\"."
		: "Send the operator token as \"Authorization: Bearer ...\".";
}

/* True when the credential is good; else refused. */
static bool identify(struct request *rq, char *cookie, struct auth_caller *caller)
{
	const char *credential = NULL;
	enum rc rc = presented(rq, cookie, AUTH_SESSION_MAX, &credential);

	if (rc == RC_CONFLICT) {
		auth_refuse(rq, PROBLEM_AMBIGUOUS_HEADER, NULL,
			"The credential came more than once: send it in one header or one cookie.");
		return false;
	}
	if (rc == RC_OK)
		rc = auth_identify(rq->config, credential, clock_wall_s(), caller);
	/* An empty org would mean every org to the store: a session without one belongs nowhere.
	 * And the operator token is never a cookie: we don't issue such. */
	if (rc == RC_OK && (!*caller->claims.org || (rq->by_cookie && caller->operator_token)))
		rc = RC_DENIED;
	if (rc != RC_OK)
		auth_refuse(rq, PROBLEM_UNAUTHORIZED, NULL, advice(rq->config));
	return rc == RC_OK;
}

bool auth_guard(struct request *rq)
{
	char *cookie = xcalloc(1, AUTH_SESSION_MAX);
	struct auth_caller caller;
	struct auth_request asked;
	enum problem p;
	bool ok = identify(rq, cookie, &caller);

	mem_wipe(cookie, AUTH_SESSION_MAX);
	free(cookie);
	if (!ok)
		return false;
	auth_remember(rq, &caller);
	asked = (struct auth_request){
		.writes = strcmp(rq->method, "GET") != 0 && strcmp(rq->method, "HEAD") != 0,
		.by_cookie = rq->by_cookie,
		.csrf_header = http_header(rq, "X-Airlock-Csrf") != NULL,
		.origin_ok = origin_ok(rq),
	};
	p = auth_decide(&caller, &asked);
	if (p == PROBLEM_COUNT)
		return true;
	auth_refuse(rq, p, NULL,
		p == PROBLEM_FORBIDDEN ? "This session's role may not do that." : NULL);
	return false;
}
