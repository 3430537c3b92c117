#include <stdio.h>
#include <string.h>

#include "fcgi-app/admin_common.h"
#include "fcgi-app/admin_handlers.h"
#include "fcgi-app/auth.h"
#include "fcgi-app/cors.h"
#include "shared/clock.h"
#include "shared/mem.h"

static const char *secure(const struct config *config)
{
	return strncmp(config->public_url, "https://", 8) == 0 ? "; Secure" : "";
}

static void set_cookie(struct request *rq, const char *value, int max_age_s)
{
	char cookie[AUTH_SESSION_MAX + 200];

	(void)snprintf(cookie, sizeof(cookie),
		"%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict%s", AUTH_COOKIE, value,
		max_age_s, secure(rq->config));
	http_add_header(rq, "Set-Cookie", cookie);
	mem_wipe(cookie, sizeof(cookie));
}

static json_t *session_json(
	const char *kind, const char *name, const char *role, const char *org, int64_t expires_at)
{
	json_t *j = json_object();

	json_object_set_new(j, "kind", json_string(kind));
	json_object_set_new(j, "name", json_string(name));
	json_object_set_new(j, "role", json_string(role));
	json_object_set_new(j, "org_id", json_string(*org ? org : "*"));
	admin_set_time(j, "expires_at", expires_at);
	return j;
}

/* Another site's page must not sign its visitor in. */
static bool origin_allowed(struct request *rq)
{
	const char *origin;
	enum rc rc = http_header_once(rq, "Origin", &origin);

	if (rc == RC_NOTFOUND || (rc == RC_OK && cors_origin_ok(rq->config, origin)))
		return true;
	auth_refuse(rq, PROBLEM_BAD_ORIGIN, NULL, NULL);
	return false;
}

static bool token_ok(struct request *rq)
{
	static const char *const fields[] = {"operator_token", NULL};
	const char *token;
	json_t *body;
	bool ok;

	if (!admin_body(rq, fields, &body))
		return false;
	ok = admin_string(rq, body, "operator_token", true, 4096, &token);
	if (ok && !auth_operator_token_ok(rq->config, token)) {
		auth_refuse(rq, PROBLEM_UNAUTHORIZED, NULL,
			"This is not the operator token that the control plane runs with.");
		ok = false;
	}
	admin_wipe(body, "operator_token");
	json_decref(body);
	return ok;
}

static bool audited(struct request *rq)
{
	struct audit_record r = rq->who;

	(void)str_copy(r.event, sizeof(r.event), "session.create");
	(void)str_copy(r.outcome, sizeof(r.outcome), "ok");
	if (http_audit(rq, &r) == RC_OK)
		return true;
	http_problem(rq, PROBLEM_AUDIT_DOWN, NULL);
	return false;
}

void admin_session_create(struct request *rq)
{
	struct auth_caller caller = {.operator_token = true};
	struct session_claims *claims = &caller.claims;
	char token[AUTH_SESSION_MAX];

	if (!rq->config->session_secret) {
		http_problem(rq, PROBLEM_STATE_DOWN,
			"Sessions are off: set AIRLOCK_SESSION_SECRET (32 random bytes, for "
			"instance from "
			"\"openssl rand -hex 32\") and restart the control plane.");
		return;
	}
	if (!origin_allowed(rq) || !token_ok(rq))
		return;
	*claims = (struct session_claims){.sub = "operator", .org = "*", .role = "admin"};
	claims->iat = clock_wall_s();
	claims->exp = claims->iat + AUTH_SESSION_S;
	auth_remember(rq, &caller);
	if (!audited(rq))
		return;
	if (session_issue(rq->config->session_secret, claims, token, sizeof(token)) != RC_OK) {
		http_problem(rq, PROBLEM_INTERNAL, NULL);
		return;
	}
	set_cookie(rq, token, AUTH_SESSION_S);
	mem_wipe(token, sizeof(token));
	http_reply_json(rq, 201,
		session_json("session", claims->sub, claims->role, claims->org, claims->exp));
}

void admin_session_get(struct request *rq)
{
	http_reply_json(rq, 200,
		session_json(rq->who.actor_kind, rq->who.actor_name, rq->role, rq->org_id,
			rq->credential_expires_at));
}

void admin_session_delete(struct request *rq)
{
	set_cookie(rq, "", 0);
	http_reply(rq, 204, NULL, NULL, 0);
}
