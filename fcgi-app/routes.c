#include "fcgi-app/routes.h"

#include <string.h>

#include "fcgi-app/admin_handlers.h"
#include "fcgi-app/auth.h"
#include "fcgi-app/cors.h"
#include "fcgi-app/enroll.h"
#include "fcgi-app/health.h"
#include "fcgi-app/mcp.h"
#include "fcgi-app/status.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"

#define ADMIN "/v1/admin/tenants"
#define TENANT ADMIN "/{tenant_id}"
#define AUDIT "/v1/admin/audit"

/* docs/openapi.yaml describes the same routes; a test holds the two together. */
const struct route routes[] = {
	{"POST", "/mcp/{slug}", GUARD_OWN, false, mcp_post},
	{"GET", "/mcp/{slug}", GUARD_OWN, false, mcp_get},
	{"DELETE", "/mcp/{slug}", GUARD_OWN, false, mcp_delete},
	{"GET", "/.well-known/oauth-protected-resource/mcp/{slug}", GUARD_NONE, false,
		mcp_resource_metadata},
	{"GET", "/health", GUARD_NONE, false, health_get},
	{"GET", "/v1/tenants", GUARD_NONE, false, status_public},
	{"POST", "/v1/enroll", GUARD_OWN, true, enroll_post},
	{"POST", "/v1/session", GUARD_OWN, false, admin_session_create},
	{"GET", "/v1/session", GUARD_OPERATOR, false, admin_session_get},
	{"DELETE", "/v1/session", GUARD_OWN, false, admin_session_delete},
	{"GET", "/v1/admin/status", GUARD_OPERATOR, false, status_admin},
	{"GET", ADMIN, GUARD_OPERATOR, false, admin_tenants_list},
	{"POST", ADMIN, GUARD_OPERATOR, true, admin_tenants_create},
	{"GET", TENANT, GUARD_OPERATOR, false, admin_tenants_get},
	{"PATCH", TENANT, GUARD_OPERATOR, true, admin_tenants_change},
	{"DELETE", TENANT, GUARD_OPERATOR, true, admin_tenants_delete},
	{"GET", TENANT "/keys", GUARD_OPERATOR, false, admin_keys_list},
	{"POST", TENANT "/keys", GUARD_OPERATOR, true, admin_keys_create},
	{"DELETE", TENANT "/keys/{key_id}", GUARD_OPERATOR, true, admin_keys_revoke},
	{"GET", TENANT "/enrollments", GUARD_OPERATOR, false, admin_enrollments_list},
	{"POST", TENANT "/enrollments", GUARD_OPERATOR, true, admin_enrollments_create},
	{"DELETE", TENANT "/enrollments/{enrollment_id}", GUARD_OPERATOR, true,
		admin_enrollments_revoke},
	{"GET", TENANT "/workers", GUARD_OPERATOR, false, admin_workers_list},
	{"DELETE", TENANT "/workers/{worker_id}", GUARD_OPERATOR, true, admin_workers_revoke},
	{"GET", TENANT "/tools", GUARD_OPERATOR, false, admin_tools_list},
	{"GET", TENANT "/tools/definition", GUARD_OPERATOR, false, admin_tools_show},
	{"POST", TENANT "/tools/pins", GUARD_OPERATOR, true, admin_tools_pin},
	{"DELETE", TENANT "/tools/pins", GUARD_OPERATOR, true, admin_tools_unpin},
	{"GET", AUDIT, GUARD_OPERATOR, false, admin_audit_list},
	{"GET", AUDIT "/export", GUARD_OPERATOR, false, admin_audit_export},
	{"GET", AUDIT "/stream", GUARD_OPERATOR, false, admin_audit_stream},
	{"GET", AUDIT "/verify", GUARD_OPERATOR, false, admin_audit_verify},
	{"GET", TENANT "/snapshots", GUARD_OPERATOR, false, admin_snapshots_list},
	{0},
};

/* Does the path match, segment by segment? Fills arg with what stands for {names}. */
static bool matches(const char *pattern, const char *path, char arg[4][128])
{
	int n = 0;

	while (*pattern == '/' && *path == '/') {
		size_t want = strcspn(++pattern, "/");
		size_t have = strcspn(++path, "/");

		if (*pattern == '{') {
			if (n == 4 || have == 0 || !str_copy_len(arg[n++], 128, path, have))
				return false;
		} else if (want != have || memcmp(pattern, path, have) != 0) {
			return false;
		}
		pattern += want;
		path += have;
	}
	return !*pattern && !*path;
}

static void allow_add(char *allow, size_t cap, const char *method)
{
	size_t len = strlen(allow);

	if (len + strlen(method) + 3 > cap)
		return;
	if (len)
		memcpy(allow + len, ", ", 3);
	memcpy(allow + strlen(allow), method, strlen(method) + 1);
}

static bool method_matches(const struct route *r, const char *method)
{
	/* HEAD is GET without the body (RFC 9110); not for streams. */
	return !strcmp(r->method, method) ||
		(!strcmp(method, "HEAD") && !strcmp(r->method, "GET") && r->guard != GUARD_OWN);
}

const struct route *routes_find(struct request *rq, char *allow, size_t allow_cap)
{
	char arg[4][128] = {{0}};

	allow[0] = '\0';
	for (const struct route *r = routes; r->method; r++) {
		if (!matches(r->pattern, rq->path, arg))
			continue;
		rq->pattern = r->pattern;
		if (method_matches(r, rq->method)) {
			memcpy(rq->arg, arg, sizeof(arg));
			return r;
		}
		allow_add(allow, allow_cap, r->method);
	}
	return NULL;
}

static enum rc ask_ping(struct dispatch *d, void *ctx)
{
	return dispatch_ping(d, ctx);
}

/* No change without its audit row: the journal must be there before anything is changed. */
static bool may_write(struct request *rq)
{
	struct msg pong;

	if (http_dispatch(rq, ask_ping, &pong) != RC_OK) {
		http_problem(
			rq, PROBLEM_TUNNEL_DOWN, "Nothing was changed. Try again in a moment.");
		return false;
	}
	if (!msg_flag(&pong, "audit_ok")) {
		http_problem(rq, PROBLEM_AUDIT_DOWN,
			"Nothing was changed. Make room on the volume of the audit log.");
		return false;
	}
	return true;
}

void routes_serve(struct request *rq)
{
	char allow[64];
	const struct route *r = routes_find(rq, allow, sizeof(allow));

	if (cors_apply(rq) != RC_OK) {
		http_problem(rq, PROBLEM_AMBIGUOUS_HEADER, "Send Origin once.");
		return;
	}
	if (!r && !*allow) {
		http_problem(rq, PROBLEM_NOT_FOUND, NULL);
		return;
	}
	if (!r && !strcmp(rq->method, "OPTIONS")) {
		cors_preflight(rq, allow);
		return;
	}
	if (!r) {
		http_add_header(rq, "Allow", allow);
		http_problem(rq, PROBLEM_METHOD_NOT_ALLOWED, NULL);
		return;
	}
	/* Everything but a call may have to wait, for the state or for a disk. */
	if (r->handle != mcp_post && http_defer(rq))
		return;
	if (r->guard == GUARD_OPERATOR && !auth_guard(rq))
		return;
	if (r->writes && !may_write(rq))
		return;
	r->handle(rq);
}

void routes_log(const struct request *rq)
{
	void (*log_line)(const char *fmt, ...) PRINTF_LIKE(1, 2) = log_debug;
	const char *admin = "/v1/";

	/* Calls and probes are many and have their audit rows and metrics. */
	if (!strncmp(rq->pattern, admin, strlen(admin)) && strcmp(rq->pattern, "/v1/tenants") != 0)
		log_line = log_info;
	log_line("%s %s %d, %lld bytes in, %lld out, %lld us", rq->method,
		*rq->pattern ? rq->pattern : "(no route)", rq->status, (long long)rq->body.len,
		(long long)rq->bytes_out, (long long)(clock_mono_us() - rq->started_us));
}
