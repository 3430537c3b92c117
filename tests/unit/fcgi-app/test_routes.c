#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi-app/routes.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct route *find(
	struct request *rq, const char *method, const char *path, char allow[64])
{
	memset(rq, 0, sizeof(*rq));
	(void)snprintf(rq->method, sizeof(rq->method), "%s", method);
	(void)snprintf(rq->path, sizeof(rq->path), "%s", path);
	rq->pattern = "";
	return routes_find(rq, allow, 64);
}

static void found(void **state)
{
	static const struct {
		const char *method, *path, *pattern, *arg0, *arg1;
	} cases[] = {
		{"GET", "/health", "/health", "", ""},
		{"HEAD", "/health", "/health", "", ""},
		{"GET", "/v1/tenants", "/v1/tenants", "", ""},
		{"POST", "/mcp/fintech", "/mcp/{slug}", "fintech", ""},
		{"GET", "/mcp/x", "/mcp/{slug}", "x", ""},
		{"GET", "/.well-known/oauth-protected-resource/mcp/hr",
			"/.well-known/oauth-protected-resource/mcp/{slug}", "hr", ""},
		{"PATCH", "/v1/admin/tenants/t_a", "/v1/admin/tenants/{tenant_id}", "t_a", ""},
		{"DELETE", "/v1/admin/tenants/t_a/keys/k1",
			"/v1/admin/tenants/{tenant_id}/keys/{key_id}", "t_a", "k1"},
		{"POST", "/v1/admin/tenants/keys/keys", "/v1/admin/tenants/{tenant_id}/keys",
			"keys", ""},
		{"GET", "/v1/admin/status", "/v1/admin/status", "", ""},
		{"POST", "/v1/enroll", "/v1/enroll", "", ""},
	};
	struct request *rq = calloc(1, sizeof(*rq));
	char allow[64];

	(void)state;
	assert_non_null(rq);
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct route *r = find(rq, cases[i].method, cases[i].path, allow);

		if (!r || strcmp(r->pattern, cases[i].pattern) != 0 ||
			strcmp(rq->pattern, cases[i].pattern) != 0 ||
			strcmp(rq->arg[0], cases[i].arg0) != 0 ||
			strcmp(rq->arg[1], cases[i].arg1) != 0)
			fail_msg("%s %s", cases[i].method, cases[i].path);
	}
	free(rq);
}

/* One character more than an argument may have. */
static const char long_segment[] =
	"/v1/admin/tenants/"
	"01234567890123456789012345678901234567890123456789012345678901234"
	"567890123456789012345678901234567890123456789012345678901234567";

static void not_found(void **state)
{
	static const char *const paths[] = {"/", "/healthz", "/health/", "/v1", "/v1/tenants/",
		"/mcp", "/mcp/", "/mcp/a/b", "/v1/admin/tenants/", "/v1/admin/tenants//keys",
		"/v1/admin/tenants/t_a/keys/", "/v1/admin/tenants/t_a/keys/k/x", "/HEALTH",
		"/.well-known/oauth-authorization-server", "/v1/admin", "/v1/tunnel", long_segment};
	struct request *rq = calloc(1, sizeof(*rq));
	char allow[64];

	(void)state;
	assert_non_null(rq);
	for (size_t i = 0; i < COUNT(paths); i++) {
		if (find(rq, "GET", paths[i], allow) || *allow || *rq->pattern)
			fail_msg("%s", paths[i]);
	}
	free(rq);
}

static void other_methods(void **state)
{
	static const struct {
		const char *method, *path, *allow;
	} cases[] = {
		{"PUT", "/v1/admin/tenants", "GET, POST"},
		{"OPTIONS", "/v1/admin/tenants/t_a", "GET, PATCH, DELETE"},
		{"POST", "/health", "GET"},
		{"GET", "/v1/enroll", "POST"},
		{"PUT", "/mcp/x", "POST, GET, DELETE"},
		{"HEAD", "/mcp/x", "POST, GET, DELETE"}, /* a stream has no head alone */
		{"get", "/health", "GET"},
	};
	struct request *rq = calloc(1, sizeof(*rq));
	char allow[64];

	(void)state;
	assert_non_null(rq);
	for (size_t i = 0; i < COUNT(cases); i++) {
		if (find(rq, cases[i].method, cases[i].path, allow) ||
			strcmp(allow, cases[i].allow) != 0)
			fail_msg("%s %s: %s", cases[i].method, cases[i].path, allow);
	}
	free(rq);
}

/* Everything of the operator's is guarded, and everything that changes something there needs the
 * journal. */
static void guards(void **state)
{
	(void)state;
	for (const struct route *r = routes; r->method; r++) {
		bool admin = strncmp(r->pattern, "/v1/admin/", 10) == 0;

		assert_non_null(r->handle);
		if (admin && r->guard != GUARD_OPERATOR)
			fail_msg("%s %s is not guarded", r->method, r->pattern);
		if (admin && r->writes != (strcmp(r->method, "GET") != 0))
			fail_msg("%s %s: writes", r->method, r->pattern);
	}
}

static void no_row_twice(void **state)
{
	(void)state;
	for (const struct route *a = routes; a->method; a++) {
		for (const struct route *b = a + 1; b->method; b++) {
			if (!strcmp(a->method, b->method) && !strcmp(a->pattern, b->pattern))
				fail_msg("%s %s", a->method, a->pattern);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found),
		cmocka_unit_test(not_found),
		cmocka_unit_test(other_methods),
		cmocka_unit_test(guards),
		cmocka_unit_test(no_row_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
