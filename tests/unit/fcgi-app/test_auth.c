#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi-app/auth.h"
#include "shared/crypto.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW 1795475786

static char operator_token[] = "0123456789abcdef0123456789abcdef";
static char session_secret[] = "a-secret-of-at-least-32-characters";

static struct config config(bool sessions)
{
	return (struct config){
		.operator_token = operator_token,
		.session_secret = sessions ? session_secret : NULL,
	};
}

static void issue(
	const char *secret, const char *org, const char *role, int64_t exp, char *out, size_t cap)
{
	struct session_claims claims = {.sub = "ada@example.com", .iat = NOW - 10, .exp = exp};

	(void)snprintf(claims.org, sizeof(claims.org), "%s", org);
	(void)snprintf(claims.role, sizeof(claims.role), "%s", role);
	assert_int_equal(session_issue(secret, &claims, out, cap), RC_OK);
}

static void operator_tokens(void **state)
{
	struct config c = config(false);
	static const char *const wrong[] = {"", "0", "0123456789abcdef0123456789abcdeF",
		"0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcdef0"};

	(void)state;
	assert_true(auth_operator_token_ok(&c, "0123456789abcdef0123456789abcdef"));
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_false(auth_operator_token_ok(&c, wrong[i]));
}

static void operator_is_everywhere(void **state)
{
	struct config c = config(true);
	struct auth_caller caller;

	(void)state;
	assert_int_equal(auth_identify(&c, operator_token, NOW, &caller), RC_OK);
	assert_true(caller.operator_token);
	assert_string_equal(caller.claims.org, "*");
	assert_string_equal(caller.claims.role, "admin");
}

static void sessions(void **state)
{
	struct config c = config(true);
	struct config off = config(false);
	struct auth_caller caller;
	char token[AUTH_SESSION_MAX];

	(void)state;
	issue(session_secret, "o_acme", "viewer", NOW + 60, token, sizeof(token));
	assert_int_equal(auth_identify(&c, token, NOW, &caller), RC_OK);
	assert_false(caller.operator_token);
	assert_string_equal(caller.claims.sub, "ada@example.com");
	assert_string_equal(caller.claims.org, "o_acme");
	assert_string_equal(caller.claims.role, "viewer");
	/* Without a secret no session is believed. */
	assert_int_equal(auth_identify(&off, token, NOW, &caller), RC_DENIED);
	/* Expired. */
	assert_int_equal(auth_identify(&c, token, NOW + 60, &caller), RC_DENIED);
	/* Changed by one character. */
	token[strlen(token) - 5] = token[strlen(token) - 5] == 'A' ? 'B' : 'A';
	assert_int_equal(auth_identify(&c, token, NOW, &caller), RC_DENIED);
	issue("another-secret-of-32-characters-x", "o_acme", "admin", NOW + 60, token,
		sizeof(token));
	assert_int_equal(auth_identify(&c, token, NOW, &caller), RC_DENIED);
}

/* {"alg":"none"} and good claims */
static const char none_alg[] = "eyJhbGciOiJub25lIn0."
			       "eyJzdWIiOiJhIiwib3JnIjoiKiIsInJvbGUiOiJhZG1pbiIsImlhdCI6MSwiZXhwIj"
			       "o5OTk5OTk5OTk5fQ.";

static void other_credentials(void **state)
{
	static const char *const wrong[] = {"", "wrong", "a.b.c", "..",
		"alk_ta2ncg3g55t75bly_tzyqx3zktf6fbvua7tqwhvtkpscheeeynlb7wky2hfjqxjqdefgq",
		none_alg};
	struct config c = config(true);
	struct auth_caller caller = {.operator_token = true};

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_int_equal(auth_identify(&c, wrong[i], NOW, &caller), RC_DENIED);
	assert_true(caller.operator_token); /* untouched */
}

static void decisions(void **state)
{
	static const struct {
		const char *role;
		struct auth_request asked;
		enum problem answer;
	} cases[] = {
		/* role, {writes, by_cookie, csrf_header, origin_ok} */
		{"admin", {false, false, false, true}, PROBLEM_COUNT},
		{"admin", {true, false, false, true}, PROBLEM_COUNT},
		{"viewer", {false, false, false, true}, PROBLEM_COUNT},
		{"viewer", {true, false, false, true}, PROBLEM_FORBIDDEN},
		{"owner", {false, false, false, true}, PROBLEM_FORBIDDEN},
		{"", {false, false, false, true}, PROBLEM_FORBIDDEN},
		/* A bearer is no browser's own doing: neither header nor origin matter. */
		{"admin", {true, false, false, false}, PROBLEM_COUNT},
		{"admin", {false, true, false, true}, PROBLEM_COUNT},
		{"admin", {true, true, true, true}, PROBLEM_COUNT},
		{"admin", {true, true, false, true}, PROBLEM_CSRF},
		{"admin", {true, true, true, false}, PROBLEM_BAD_ORIGIN},
		{"admin", {false, true, false, false}, PROBLEM_BAD_ORIGIN},
		{"viewer", {true, true, true, true}, PROBLEM_FORBIDDEN},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct auth_caller caller = {0};

		(void)snprintf(caller.claims.role, sizeof(caller.claims.role), "%s", cases[i].role);
		if (auth_decide(&caller, &cases[i].asked) != cases[i].answer)
			fail_msg("case %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operator_tokens),
		cmocka_unit_test(operator_is_everywhere),
		cmocka_unit_test(sessions),
		cmocka_unit_test(other_credentials),
		cmocka_unit_test(decisions),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
