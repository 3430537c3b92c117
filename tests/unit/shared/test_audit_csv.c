/* Lines of the audit log as CSV. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/audit_csv.h"

static void expect(const char *line, const char *csv)
{
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(audit_csv_row(&b, line, strlen(line)), RC_OK);
	buf_char(&b, '\0');
	assert_string_equal((const char *)b.data, csv);
	buf_free(&b);
}

static void rows(void **state)
{
	(void)state;
	expect("{\"v\":1,\"seq\":7,\"ts\":\"T\",\"event\":\"tool.call\",\"latency_ms\":5,\"prev\":"
	       "\"ff\"}",
		"7,T,tool.call,,,,,,,,,,,,,,,,5,,,,ff\r\n");
	expect("{\"actor_name\":\"a, \\\"b\\\"\\nc\",\"change\":{\"name\":\"x\"}}",
		",,,,,,\"a, \"\"b\"\"\nc\",,,,,,,,,,,\"{\"\"name\"\":\"\"x\"\"}\",,,,,\r\n");
}

/* RFC 4180 quotes, and an apostrophe before what a spreadsheet would run. */
static void formulas(void **state)
{
	(void)state;
	expect("{\"actor_name\":\"=1+1\"}", ",,,,,,\"'=1+1\",,,,,,,,,,,,,,,,\r\n");
	expect("{\"actor_name\":\"+1\"}", ",,,,,,\"'+1\",,,,,,,,,,,,,,,,\r\n");
	expect("{\"actor_name\":\"-1\"}", ",,,,,,\"'-1\",,,,,,,,,,,,,,,,\r\n");
	expect("{\"actor_name\":\"@x\"}", ",,,,,,\"'@x\",,,,,,,,,,,,,,,,\r\n");
	expect("{\"actor_name\":\"\\t=1\"}", ",,,,,,\"'\t=1\",,,,,,,,,,,,,,,,\r\n");
	expect("{\"actor_name\":\"1=1\"}", ",,,,,,1=1,,,,,,,,,,,,,,,,\r\n");
}

static void head(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	audit_csv_head(&b);
	assert_memory_equal(b.data, "seq,ts,event,tenant_id,", 23);
	assert_memory_equal(b.data + b.len - 7, ",prev\r\n", 7);
	buf_free(&b);
}

static void no_rows(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	assert_int_equal(audit_csv_row(&b, "{", 1), RC_INVALID);
	assert_int_equal(audit_csv_row(&b, "[]", 2), RC_INVALID);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows),
		cmocka_unit_test(formulas),
		cmocka_unit_test(head),
		cmocka_unit_test(no_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
