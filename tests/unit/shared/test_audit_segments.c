#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/audit_segments.h"
#include "shared/file.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	memcpy(dir, "/tmp/test_segments.XXXXXX", sizeof("/tmp/test_segments.XXXXXX"));
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command); /* NOLINT(cert-env33-c): a path of our own */
}

static void put(const char *name)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(file_write_atomic(path, "", 0, 0600), RC_OK);
}

static void names_hold_both_numbers(void **state)
{
	char path[PATH_MAX], longest[PATH_MAX];

	(void)state;
	assert_int_equal(audit_segment_path("/state/audit.jsonl", 1, 1001, path), RC_OK);
	assert_string_equal(path, "/state/audit-000000000001-000000001001.jsonl");
	assert_int_equal(audit_segment_path("log", 5, 1234567890123, path), RC_OK);
	assert_string_equal(path, "log-000000000005-1234567890123.jsonl");
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(audit_segment_path(longest, 1, 2, path), RC_LIMIT);
}

static void segments_are_listed_in_their_order(void **state)
{
	struct audit_segment *list = NULL;
	char path[100];
	size_t count;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/audit.jsonl", dir);
	assert_int_equal(audit_segments_list(path, &list, &count), RC_OK);
	assert_int_equal(count, 0);
	put("audit.jsonl");
	put("audit-000000000011-000000000020.jsonl");
	put("audit-000000000001-000000000010.jsonl");
	put("audit-1000000000000-1000000000009.jsonl");
	/* None of these is one. */
	put("audit-000000000021-000000000020.jsonl");
	put("audit-000000000000-000000000020.jsonl");
	put("audit-1-2.jsonl");
	put("audit-000000000021-000000000030.jsonl.tmp");
	put("other-000000000021-000000000030.jsonl");
	put("audit.jsonl.torn-1795468000000");
	assert_int_equal(audit_segments_list(path, &list, &count), RC_OK);
	assert_int_equal(count, 3);
	assert_int_equal(list[0].first, 1);
	assert_int_equal(list[0].last, 10);
	assert_int_equal(list[1].first, 11);
	assert_int_equal(list[2].first, 1000000000000);
	assert_non_null(strstr(list[0].path, "/audit-000000000001-000000000010.jsonl"));
	audit_segments_free(list, count);
	assert_int_equal(
		audit_segments_list("/nowhere/audit.jsonl", &list, &count), RC_UNAVAILABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_hold_both_numbers),
		cmocka_unit_test(segments_are_listed_in_their_order),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
