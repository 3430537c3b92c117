#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/print.h"

static void assert_text(struct buf *b, const char *expected)
{
	buf_char(b, '\0');
	assert_false(b->failed);
	assert_string_equal((const char *)b->data, expected);
	buf_free(b);
}

static void a_table_is_aligned_by_characters(void **state)
{
	static const struct print_column columns[] = {{"ID", "id", PRINT_TEXT},
		{"TOOLS", "tools", PRINT_LIST}, {"AT", "at", PRINT_TIME},
		{"REVOKED", "revoked", PRINT_FLAG}, {"N", "n", PRINT_COUNT}};
	json_t *rows = json_loads("[{\"id\":\"t_\\u00e4\\u00f6\",\"tools\":[\"a\",\"b\"],\"at\":"
				  "1764000000,\"revoked\":0,\"n\":[1,2,3]},"
				  "{\"id\":\"longer\",\"tools\":null,\"at\":\"2025-11-24T16:00:01."
				  "999Z\",\"revoked\":17,\"n\":7},{}]",
		0, NULL);
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	print_table(&b, columns, 5, rows);
	assert_text(&b,
		"ID      TOOLS  AT                    REVOKED  N\n"
		"t_\u00e4\u00f6    a,b    2025-11-24 16:00:00Z  -        3\n"
		"longer  all    2025-11-24 16:00:01Z  yes      7\n"
		"-       all    -                     -        -\n");
	json_decref(rows);
}

static void an_empty_table_has_its_titles(void **state)
{
	static const struct print_column columns[] = {
		{"ID", "id", PRINT_TEXT}, {"NAME", "name", PRINT_TEXT}};
	json_t *rows = json_array();
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	print_table(&b, columns, 2, rows);
	assert_text(&b, "ID  NAME\n");
	json_decref(rows);
}

static void control_characters_never_get_through(void **state)
{
	static const struct print_column columns[] = {{"NAME", "name", PRINT_TEXT}};
	json_t *rows = json_pack("[{s:s}]", "name",
		"a\033[2Jb\nc\xC2\x9B"
		"d\x7F");
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	print_table(&b, columns, 1, rows);
	assert_text(&b, "NAME\na?[2Jb c?d?\n");
	buf_init(&b, 100);
	print_plain(&b, "line\n\ttab \r\033 \xC3\xA4");
	assert_text(&b, "line\n\ttab ?? \xC3\xA4");
	json_decref(rows);
}

static void a_long_cell_is_cut_not_overrun(void **state)
{
	static const struct print_column columns[] = {{"L", "l", PRINT_LIST}};
	json_t *list = json_array(), *rows = json_array();
	struct buf b;

	(void)state;
	for (int i = 0; i < 100; i++)
		json_array_append_new(list, json_string("tool_name"));
	json_array_append_new(rows, json_pack("{s:o}", "l", list));
	buf_init(&b, 10000);
	print_table(&b, columns, 1, rows);
	assert_false(b.failed);
	assert_in_range(b.len, 190, 210);
	buf_free(&b);
	json_decref(rows);
}

static void objects_are_walked(void **state)
{
	json_t *o = json_loads("{\"version\":\"1\",\"tunneld\":{\"sessions\":3,\"ok\":true},"
			       "\"created_at\":1764000000,"
			       "\"tools\":[\"a\",\"b\"],\"none\":null}",
		0, NULL);
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	print_object(&b, o);
	assert_text(&b,
		"version           1\n"
		"tunneld.sessions  3\n"
		"tunneld.ok        yes\n"
		"created_at        2025-11-24 16:00:00Z\n"
		"tools             a,b\n"
		"none              -\n");
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_table_is_aligned_by_characters),
		cmocka_unit_test(an_empty_table_has_its_titles),
		cmocka_unit_test(control_characters_never_get_through),
		cmocka_unit_test(a_long_cell_is_cut_not_overrun),
		cmocka_unit_test(objects_are_walked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
