#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi-app/http_parse.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void targets(void **state)
{
	static const struct {
		const char *uri;
		enum rc rc;
		const char *path, *query;
	} cases[] = {
		{"/", RC_OK, "/", ""},
		{"/health", RC_OK, "/health", ""},
		{"/v1/tenants/", RC_OK, "/v1/tenants/", ""},
		{"/v1/tenants?limit=2&cursor=%2F", RC_OK, "/v1/tenants", "limit=2&cursor=%2F"},
		{"/a?", RC_OK, "/a", ""},
		{"/a?b?c", RC_OK, "/a", "b?c"},
		{"/caf%C3%A9", RC_OK, "/caf\xC3\xA9", ""},
		{"/caf\xC3\xA9", RC_OK, "/caf\xC3\xA9", ""},
		{"/%61%2D", RC_OK, "/a-", ""},
		{"/%252f", RC_OK, "/%2f", ""}, /* decoded once, not twice */
		{"/a+b", RC_OK, "/a+b", ""},
		{"/...", RC_OK, "/...", ""},
		{"", RC_INVALID, "", ""},
		{"*", RC_INVALID, "", ""},
		{"health", RC_INVALID, "", ""},
		{"http://host/health", RC_INVALID, "", ""},
		{"//health", RC_INVALID, "", ""},
		{"/a//b", RC_INVALID, "", ""},
		{"/.", RC_INVALID, "", ""},
		{"/..", RC_INVALID, "", ""},
		{"/a/../b", RC_INVALID, "", ""},
		{"/a/./b", RC_INVALID, "", ""},
		{"/a/%2e%2e/b", RC_INVALID, "", ""},
		{"/a/.%2E", RC_INVALID, "", ""},
		{"/a%2fb", RC_INVALID, "", ""},
		{"/a%2Fb", RC_INVALID, "", ""},
		{"/a%00b", RC_INVALID, "", ""},
		{"/a%0d%0ab", RC_INVALID, "", ""},
		{"/a%7f", RC_INVALID, "", ""},
		{"/a\nb", RC_INVALID, "", ""},
		{"/a b", RC_INVALID, "", ""},
		{"/a#b", RC_INVALID, "", ""},
		{"/a%", RC_INVALID, "", ""},
		{"/a%4", RC_INVALID, "", ""},
		{"/a%zz", RC_INVALID, "", ""},
		{"/%ff", RC_INVALID, "", ""},
		{"/%C0%AF", RC_INVALID, "", ""}, /* an overlong slash */
		{"/a?b c", RC_INVALID, "", ""},
		{"/a?b\x01", RC_INVALID, "", ""},
		{"/0123456789012345678901234567890", RC_OK, "/0123456789012345678901234567890", ""},
		{"/01234567890123456789012345678901", RC_LIMIT, "", ""},
		{"/a?01234567890123456789012345678901", RC_LIMIT, "", ""},
	};
	char path[33];
	char query[32];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		enum rc rc =
			http_parse_target(cases[i].uri, path, sizeof(path), query, sizeof(query));

		if (rc != cases[i].rc || strcmp(path, cases[i].path) != 0 ||
			strcmp(query, cases[i].query) != 0)
			fail_msg("%s: rc %d, path %s, query %s", cases[i].uri, rc, path, query);
	}
}

static void queries(void **state)
{
	static const struct {
		const char *query;
		enum rc rc;
		const char *value;
	} cases[] = {
		{"", RC_NOTFOUND, ""},
		{"name=a", RC_OK, "a"},
		{"x=1&name=a&y=2", RC_OK, "a"},
		{"name=", RC_OK, ""},
		{"name", RC_OK, ""},
		{"na%6De=a", RC_OK, "a"},
		{"name=a+b%2Bc", RC_OK, "a b+c"},
		{"name=a%20b", RC_OK, "a b"},
		{"name=a=b", RC_OK, "a=b"},
		{"names=a", RC_NOTFOUND, ""},
		{"nam=a", RC_NOTFOUND, ""},
		{"xname=a", RC_NOTFOUND, ""},
		{"&&name=a&&", RC_OK, "a"},
		{"name=a&name=a", RC_CONFLICT, ""},
		{"name=a&na%6de=b&x=1", RC_CONFLICT, ""},
		{"name=%zz", RC_INVALID, ""},
		{"name=%00", RC_INVALID, ""},
		{"name=%ff", RC_INVALID, ""},
		{"name=1234567890", RC_LIMIT, ""},
	};
	char out[10];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		enum rc rc = http_parse_query(cases[i].query, "name", out, sizeof(out));

		if (rc != cases[i].rc || strcmp(out, cases[i].value) != 0)
			fail_msg("%s: rc %d, %s", cases[i].query, rc, out);
	}
}

static void cookies(void **state)
{
	static const struct {
		const char *header;
		enum rc rc;
		const char *value;
	} cases[] = {
		{"", RC_NOTFOUND, ""},
		{"name=a", RC_OK, "a"},
		{"x=1; name=a; y=2", RC_OK, "a"},
		{"x=1;name=a", RC_OK, "a"},
		{"name=a=b", RC_OK, "a=b"},
		{"xname=a", RC_NOTFOUND, ""},
		{"names=a", RC_NOTFOUND, ""},
		{"name", RC_NOTFOUND, ""},
		{"name=", RC_OK, ""},
		{"name=a; name=b", RC_CONFLICT, ""},
		{"name=a\x01", RC_INVALID, ""},
		{"name=1234567890", RC_LIMIT, ""},
	};
	char out[10];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		enum rc rc = http_parse_cookie(cases[i].header, "name", out, sizeof(out));

		if (rc != cases[i].rc || strcmp(out, cases[i].value) != 0)
			fail_msg("%s: rc %d, %s", cases[i].header, rc, out);
	}
}

static void bearers(void **state)
{
	static const struct {
		const char *header, *token; /* token NULL: refused */
	} cases[] = {
		{"Bearer abc", "abc"},
		{"bearer abc", "abc"},
		{"BEARER   a.b-c_d~e+f/g==", "a.b-c_d~e+f/g=="},
		{"Bearer", NULL},
		{"Bearer ", NULL},
		{"Bearer\tabc", NULL},
		{"Bearerabc", NULL},
		{"Basic abc", NULL},
		{"Bearer a b", NULL},
		{"Bearer a,b", NULL},
		{"Bearer a=b", NULL},
		{"Bearer =", NULL},
		{"Bearer \xC3\xA9", NULL},
		{"", NULL},
		{" Bearer abc", NULL},
		{"Bea", NULL},
	};
	char long_one[HTTP_TOKEN_MAX + 16] = "Bearer ";
	const char *token;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		enum rc rc = http_parse_bearer(cases[i].header, &token);

		if (rc != (cases[i].token ? RC_OK : RC_INVALID) ||
			(cases[i].token && strcmp(token, cases[i].token) != 0))
			fail_msg("'%s': rc %d", cases[i].header, rc);
	}
	memset(long_one + 7, 'a', HTTP_TOKEN_MAX);
	assert_int_equal(http_parse_bearer(long_one, &token), RC_OK);
	long_one[7 + HTTP_TOKEN_MAX] = 'a';
	assert_int_equal(http_parse_bearer(long_one, &token), RC_INVALID);
}

static void lengths(void **state)
{
	int64_t n = 7;

	(void)state;
	assert_int_equal(http_parse_length(NULL, &n), RC_OK);
	assert_int_equal(n, -1);
	assert_int_equal(http_parse_length("", &n), RC_OK);
	assert_int_equal(n, -1);
	assert_int_equal(http_parse_length("-1", &n), RC_OK);
	assert_int_equal(n, -1);
	assert_int_equal(http_parse_length("0", &n), RC_OK);
	assert_int_equal(n, 0);
	assert_int_equal(http_parse_length("4194305", &n), RC_OK);
	assert_int_equal(n, 4194305);
	assert_int_equal(http_parse_length("-2", &n), RC_INVALID);
	assert_int_equal(http_parse_length("+1", &n), RC_INVALID);
	assert_int_equal(http_parse_length("1 ", &n), RC_INVALID);
	assert_int_equal(http_parse_length("0x10", &n), RC_INVALID);
	assert_int_equal(http_parse_length("1, 1", &n), RC_INVALID);
	assert_int_equal(http_parse_length("9999999999999999999", &n), RC_INVALID);
}

static void types(void **state)
{
	(void)state;
	assert_true(http_parse_type_is("application/json", "application/json"));
	assert_true(http_parse_type_is("Application/JSON; charset=utf-8", "application/json"));
	assert_true(http_parse_type_is("application/json ;x=y", "application/json"));
	assert_false(http_parse_type_is("application/jsonp", "application/json"));
	assert_false(http_parse_type_is("application/json x", "application/json"));
	assert_false(http_parse_type_is("text/plain; application/json", "application/json"));
	assert_false(http_parse_type_is("", "application/json"));
}

static void words(void **state)
{
	(void)state;
	assert_true(http_parse_request_id_ok("req_abcd"));
	assert_true(http_parse_request_id_ok("0123456789012345678901234567890"));
	assert_false(http_parse_request_id_ok("01234567890123456789012345678901"));
	assert_false(http_parse_request_id_ok("short_1"));
	assert_false(http_parse_request_id_ok("has space"));
	assert_false(http_parse_request_id_ok("has\nline1"));
	assert_false(http_parse_request_id_ok(""));

	assert_true(http_parse_method_ok("GET"));
	assert_false(http_parse_method_ok("get"));
	assert_false(http_parse_method_ok(""));
	assert_false(http_parse_method_ok("GE T"));
	assert_true(http_parse_method_ok("ABCDEFGHIJKLMNO"));
	assert_false(http_parse_method_ok("ABCDEFGHIJKLMNOP"));

	assert_true(http_parse_idempotency_key_ok("0f8c-\"x\""));
	assert_false(http_parse_idempotency_key_ok(""));
	assert_false(http_parse_idempotency_key_ok("a b"));
	assert_false(http_parse_idempotency_key_ok("a,b"));
	assert_false(http_parse_idempotency_key_ok("a\xC3\xA9"));
}

static void param_names(void **state)
{
	char out[24];

	(void)state;
	assert_true(http_parse_param_name("Mcp-Method", out, sizeof(out)));
	assert_string_equal(out, "HTTP_MCP_METHOD");
	assert_true(http_parse_param_name("content-type", out, sizeof(out)));
	assert_string_equal(out, "CONTENT_TYPE");
	assert_true(http_parse_param_name("Content-Length", out, sizeof(out)));
	assert_string_equal(out, "CONTENT_LENGTH");
	assert_false(http_parse_param_name("A-Name-That-Is-Too-Long", out, sizeof(out)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets),
		cmocka_unit_test(queries),
		cmocka_unit_test(cookies),
		cmocka_unit_test(bearers),
		cmocka_unit_test(lengths),
		cmocka_unit_test(types),
		cmocka_unit_test(words),
		cmocka_unit_test(param_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
