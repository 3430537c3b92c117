#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/mem.h"

static void copies_only_what_fits(void **state)
{
	char dst[5] = "old";

	(void)state;
	assert_true(str_copy(dst, sizeof(dst), "abcd"));
	assert_string_equal(dst, "abcd");
	assert_false(str_copy(dst, sizeof(dst), "abcde"));
	assert_string_equal(dst, "");
	assert_true(str_copy_len(dst, sizeof(dst), "xyzzy", 2));
	assert_string_equal(dst, "xy");
	assert_true(str_copy_len(dst, sizeof(dst), "", 0));
	assert_string_equal(dst, "");
	assert_false(str_copy(dst, 0, ""));
}

static void duplicates(void **state)
{
	char *s = xstrndup("hello", 3);

	(void)state;
	assert_string_equal(s, "hel");
	free(s);
	s = xstrndup("hi", 100); /* stops at the NUL */
	assert_string_equal(s, "hi");
	free(s);
	s = xstrdup("");
	assert_string_equal(s, "");
	free(s);
}

static void sizes_of_zero_are_fine(void **state)
{
	void *a = xmalloc(0);
	void *b = xcalloc(0, 8);
	void *c = xrealloc(NULL, 0);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
	free(a);
	free(b);
	free(c);
}

static void wipes(void **state)
{
	char secret[] = "secret";
	static const char zeros[sizeof(secret)];

	(void)state;
	mem_wipe(secret, sizeof(secret));
	assert_memory_equal(secret, zeros, sizeof(secret));
	mem_wipe(NULL, 0);
	mem_free_secret(NULL);
	mem_free_secret(xstrdup("secret"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_only_what_fits),
		cmocka_unit_test(duplicates),
		cmocka_unit_test(sizes_of_zero_are_fine),
		cmocka_unit_test(wipes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
