#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "shared/crypto.h"
#include "shared/session.h"

#define SECRET "0123456789abcdef0123456789abcdef"

static const struct session_claims claims = {.sub = "operator", .org = "*", .role = "admin", .iat = 1000, .exp = 2000};

static void an_issued_token_is_checked(void **state)
{
	struct session_claims c;
	char token[1024];

	(void)state;
	assert_int_equal(session_issue(SECRET, &claims, token, sizeof token), RC_OK);
	assert_int_equal(session_check(SECRET, token, 1500, &c), RC_OK);
	assert_string_equal(c.sub, "operator");
	assert_string_equal(c.org, "*");
	assert_string_equal(c.role, "admin");
	assert_int_equal(session_check(SECRET, token, 2000, &c), RC_DENIED);
	assert_int_equal(session_check("another secret, also long enough", token, 1500, &c), RC_DENIED);
}

/* Every single changed character makes it worthless. */
static void no_changed_token_is_believed(void **state)
{
	struct session_claims c;
	char token[1024];
	size_t len;

	(void)state;
	assert_int_equal(session_issue(SECRET, &claims, token, sizeof token), RC_OK);
	len = strlen(token);
	for (size_t i = 0; i < len; i++) {
		char old = token[i];

		token[i] = old == 'A' ? 'B' : 'A';
		assert_int_equal(session_check(SECRET, token, 1500, &c), RC_DENIED);
		token[i] = old;
	}
}

static void foreign_tokens(void **state)
{
	static const char *const refused[] = {
		"", ".", "..", "a.b.c", "....",
		/* {"alg":"none"} . claims . */
		"eyJhbGciOiJub25lIn0.eyJzdWIiOiJvcGVyYXRvciIsIm9yZyI6IioiLCJyb2xlIjoiYWRtaW4iLCJpYXQiOjEwMDAsImV4cCI6MjAwMH0.",
	};
	struct session_claims c;

	(void)state;
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
		assert_int_equal(session_check(SECRET, refused[i], 1500, &c), RC_DENIED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_issued_token_is_checked),
		cmocka_unit_test(no_changed_token_is_believed),
		cmocka_unit_test(foreign_tokens),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
