#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "shared/file.h"
#include "shared/problem.h"

/* Run from the root of the repository. */
static void the_manual_has_every_row(void **state)
{
	char *text;
	size_t len;
	int rows = 0;

	(void)state;
	assert_int_equal(file_read("docs/errors.md", 65536, &text, &len), RC_OK);
	for (int p = 0; p < PROBLEM_COUNT; p++) {
		char row[128];

		snprintf(row, sizeof(row), "\n| `%s` | %d | %d | ", problem_code((enum problem)p),
			problem_status((enum problem)p), problem_rpc_code((enum problem)p));
		if (!strstr(text, row))
			fail_msg("docs/errors.md has no row%s", row);
	}
	for (const char *at = text; (at = strstr(at, "\n| `")); at++)
		rows++;
	assert_int_equal(rows, PROBLEM_COUNT); /* and none that is gone */
	free(text);
}

static void codes_are_unique_and_found(void **state)
{
	(void)state;
	for (int p = 0; p < PROBLEM_COUNT; p++)
		assert_int_equal(problem_from_code(problem_code((enum problem)p)), p);
	assert_int_equal(problem_from_code("no_such_code"), PROBLEM_COUNT);
	assert_int_equal(problem_from_code(""), PROBLEM_COUNT);
}

static void result_codes_have_a_problem(void **state)
{
	(void)state;
	assert_int_equal(problem_from_rc(RC_INVALID), PROBLEM_INVALID_FIELD);
	assert_int_equal(problem_from_rc(RC_NOTFOUND), PROBLEM_NOT_FOUND);
	assert_int_equal(problem_from_rc(RC_CONFLICT), PROBLEM_CONFLICT);
	assert_int_equal(problem_from_rc(RC_DENIED), PROBLEM_FORBIDDEN);
	assert_int_equal(problem_from_rc(RC_LIMIT), PROBLEM_OVERLOADED);
	assert_int_equal(problem_from_rc(RC_UNAVAILABLE), PROBLEM_STATE_DOWN);
	assert_int_equal(problem_from_rc(RC_INTERNAL), PROBLEM_INTERNAL);
	assert_string_equal(rc_name(RC_NOTFOUND), "not_found");
	assert_string_equal(rc_name(RC_OK), "ok");
}

static json_t *problem(enum problem p, const char *detail, const char *request_id)
{
	struct buf b;
	json_t *json;

	buf_init(&b, 2000);
	problem_json(&b, p, detail, request_id);
	assert_false(b.failed);
	json = json_loadb((const char *)b.data, b.len, JSON_REJECT_DUPLICATES, NULL);
	buf_free(&b);
	assert_non_null(json);
	return json;
}

static void the_body_is_a_problem_document(void **state)
{
	json_t *json = problem(PROBLEM_NO_WORKER, "start \"one\"\n", "req_1");

	(void)state;
	assert_string_equal(
		json_string_value(json_object_get(json, "type")), "urn:airlock:problem:no_worker");
	assert_string_equal(json_string_value(json_object_get(json, "title")),
		problem_title(PROBLEM_NO_WORKER));
	assert_int_equal(json_integer_value(json_object_get(json, "status")), 503);
	assert_string_equal(json_string_value(json_object_get(json, "code")), "no_worker");
	assert_string_equal(json_string_value(json_object_get(json, "detail")), "start \"one\"\n");
	assert_string_equal(json_string_value(json_object_get(json, "request_id")), "req_1");
	json_decref(json);

	json = problem(PROBLEM_INTERNAL, NULL, "");
	assert_int_equal(json_object_size(json), 4);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_manual_has_every_row),
		cmocka_unit_test(codes_are_unique_and_found),
		cmocka_unit_test(result_codes_have_a_problem),
		cmocka_unit_test(the_body_is_a_problem_document),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
