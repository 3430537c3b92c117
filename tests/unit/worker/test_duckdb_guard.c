/* The guard on DuckDB's parse trees, without DuckDB: what it does not know is refused. Also the
 * frames between the worker and DuckDB's process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/duckdb_api.h"
#include "worker/duckdb_guard.h"
#include "worker/duckdb_wire.h"

static const struct engine_column columns[] = {{"id", COLUMN_INT}, {"user", COLUMN_TEXT}};
static const struct engine_table tables[] = {{"people", columns, 2}};
static const struct engine_shape shape = {tables, 1};

#define STATEMENT(node) "{\"error\":false,\"statements\":[{\"node\":" node "}]}"
#define SELECT(more) STATEMENT("{\"type\":\"SELECT_NODE\"," more "}")
#define FROM(ref) SELECT("\"from_table\":" ref)
#define TABLE(name) "{\"type\":\"BASE_TABLE\",\"table_name\":\"" name "\"}"
#define SHOW(expression) SELECT("\"select_list\":[" expression "]")
#define CALL(name) "{\"class\":\"FUNCTION\",\"type\":\"FUNCTION\",\"function_name\":\"" name "\"}"
#define QUERY(more) "{\"query\":{\"node\":{\"type\":\"SELECT_NODE\"," more "}}}"
#define WITH(name, query) "{\"key\":\"" name "\",\"value\":" query "}"

static void trees(void **state)
{
	static const struct {
		const char *json, *message; /* NULL: allowed */
	} cases[] = {
		{FROM(TABLE("people")), NULL},
		{FROM(TABLE("PEOPLE")), NULL},
		{FROM("{\"type\":\"BASE_TABLE\",\"schema_name\":\"main\",\"table_name\":"
		      "\"people\"}"),
			NULL},
		{FROM("{\"type\":\"BASE_TABLE\",\"schema_name\":\"x\",\"table_name\":\"people\"}"),
			"'x' can't be read"},
		{FROM("{\"type\":\"BASE_TABLE\",\"catalog_name\":\"memory\",\"table_name\":"
		      "\"people\"}"),
			"('catalog_name') is not available"},
		{FROM("{\"type\":\"BASE_TABLE\",\"table_name\":\"people\",\"at_clause\":1}"),
			"('at_clause') is not available"},
		{FROM(TABLE("secrets.csv")), "no such table: secrets.csv"},
		{FROM("{\"type\":\"SHOW_REF\"}"), "SHOW are not available"},
		{FROM("{\"type\":\"COLUMN_DATA\"}"), "(COLUMN_DATA) is not available"},
		{FROM("{\"type\":\"TABLE_FUNCTION\",\"function\":" CALL("range") "}"), NULL},
		{FROM("{\"type\":\"TABLE_FUNCTION\",\"function\":" CALL("read_csv") "}"),
			"function 'read_csv' is not available"},
		{FROM("{\"type\":\"TABLE_FUNCTION\",\"function\":" CALL("length") "}"),
			"function 'length' is not available"},
		{FROM("{\"type\":\"TABLE_FUNCTION\"}"), "table function is not available"},
		{FROM("{\"type\":\"TABLE_FUNCTION\",\"function\":{\"class\":\"CONSTANT\"}}"),
			"table function is not available"},
		{SHOW(CALL("length")), NULL},
		{SHOW(CALL("read_csv")), "function 'read_csv'"},
		{SHOW(CALL("getenv")), "function 'getenv'"},
		{SHOW(CALL("")), "function ''"},
		{SHOW(CALL("abs acos")), "function 'abs acos'"},
		{SHOW("{\"class\":\"FUNCTION\",\"function_name\":1}"), "can't be read"},
		{SHOW("{\"class\":\"WINDOW\",\"function_name\":\"sum\"}"), NULL},
		{SHOW("{\"class\":\"WINDOW\",\"function_name\":\"nothing\"}"),
			"function 'nothing'"},
		{SHOW("{\"class\":\"PARAMETER\"}"), "parameters can't be bound"},
		{SHOW("{\"class\":\"NEW_THING\"}"), "(NEW_THING) is not available"},
		{SHOW("{\"class\":\"OPERATOR\",\"type\":\"OPERATOR_NEW\"}"), "(OPERATOR_NEW)"},
		{SHOW("{\"class\":7}"), "this expression is not available"},
		{SHOW("{\"class\":\"COLUMN_REF\",\"column_names\":[\"current_date\"]}"), NULL},
		{SHOW("{\"class\":\"COLUMN_REF\",\"column_names\":[\"user\"]}"), NULL},
		{SHOW("{\"class\":\"COLUMN_REF\",\"column_names\":[\"session_user\"]}"),
			"'session_user' is not available"},
		{SHOW("{\"class\":\"COLUMN_REF\",\"column_names\":[\"Current_Catalog\"]}"),
			"'Current_Catalog' is not available"},
		{SHOW("{\"class\":\"CAST\",\"cast_type\":{\"id\":\"INTEGER\"}}"), NULL},
		{SHOW("{\"class\":\"CAST\",\"cast_type\":{\"id\":\"USER\"}}"), "type 'USER'"},
		{SHOW("{\"class\":\"CAST\"}"), "is not available"},
		{STATEMENT("{\"type\":\"DELETE_NODE\"}"), "(DELETE_NODE) is not available"},
		{STATEMENT("{\"type\":\"SELECT_NODE\",\"type\":\"DELETE_NODE\"}"),
			"is not available"},
		/* A common table expression is in sight of what follows it, and of nothing else. */
		{SELECT("\"cte_map\":{\"map\":[" WITH("x",
			 QUERY("\"from_table\":" TABLE("people"))) "]},\"from_table\":" TABLE("x")),
			NULL},
		{SELECT("\"cte_map\":{\"map\":[" WITH(
			 "x", QUERY("\"from_table\":" TABLE("y"))) "," WITH("y",
			 QUERY("\"from_table\":" TABLE("people"))) "]}"),
			"no such table: y"},
		{SELECT("\"cte_map\":{\"map\":[" WITH(
			 "x", QUERY("\"from_table\":" TABLE("x"))) "]}"),
			"no such table: x"},
		{SELECT("\"where_clause\":{\"class\":\"SUBQUERY\",\"subquery\":{\"node\":{\"type\":"
			"\"SELECT_NODE\",\"cte_map\":{\"map\":[" WITH("x",
				QUERY("\"select_list\":[]")) "]}}}},\"from_table\":" TABLE("x")),
			"no such table: x"},
		{SELECT("\"cte_map\":{\"map\":[" WITH(
			 "duckdb_tables", QUERY("\"select_list\":[]")) "]}"),
			"can't be called 'duckdb_tables'"},
		{SELECT("\"cte_map\":{\"map\":[" WITH("x",
			 "{\"query\":{\"node\":{\"type\":"
			 "\"RECURSIVE_CTE_NODE\",\"cte_name\":\"x\",\"left\":{\"type\":\"SELECT_"
			 "NODE\"},"
			 "\"right\":{\"type\":\"SELECT_NODE\",\"from_table\":" TABLE(
				 "x") "}}}}") "]}"),
			NULL},
		{SELECT("\"cte_map\":{\"map\":[" WITH("x",
			 "{\"query\":{\"node\":{\"type\":"
			 "\"RECURSIVE_CTE_NODE\",\"cte_name\":\"x\",\"right\":{\"type\":\"SELECT_"
			 "NODE\"},"
			 "\"left\":{\"type\":\"SELECT_NODE\",\"from_table\":" TABLE(
				 "x") "}}}}") "]}"),
			"no such table: x"},
		{"{\"error\":false,\"statements\":[]}", "there is no statement"},
		{"{\"error\":false,\"statements\":[{\"node\":{\"type\":\"SELECT_NODE\"}},{}]}",
			"only one statement"},
		{"{\"error\":false,\"statements\":[{\"node\":{\"type\":\"SELECT_NODE\"},"
		 "\"named_param_map\":[]}]}",
			"parameters"},
		{"{\"error\":true,\"error_type\":\"not implemented\"}",
			"only one SELECT statement"},
		{"{\"statements\":[{\"node\":{\"type\":\"SELECT_NODE\"}}]}", "nested too deeply"},
		{"nothing", "nested too deeply"},
		{"", "nested too deeply"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct engine_message m;
		enum engine_status s =
			duckdb_guard_check(cases[i].json, strlen(cases[i].json), &shape, &m);

		if (cases[i].message ? s != ENGINE_REFUSED || !strstr(m.text, cases[i].message)
				     : s != ENGINE_OK)
			fail_msg("%s: %d %s", cases[i].json, (int)s, m.text);
	}
}

static void errors(void **state)
{
	struct engine_message m;

	(void)state;
	assert_int_equal(duckdb_guard_error_type("Binder Error: x"), DUCKDB_ERROR_BINDER);
	assert_int_equal(duckdb_guard_error_type(NULL), DUCKDB_ERROR_INVALID_INPUT);
	assert_int_equal(duckdb_guard_explain(DUCKDB_ERROR_BINDER,
				 "Binder Error: Referenced column \"idd\" not found", &shape, &m),
		ENGINE_REFUSED);
	assert_string_equal(m.text, "no such column: idd; did you mean 'id'?");
	/* What may quote a value is not repeated. */
	(void)duckdb_guard_explain(DUCKDB_ERROR_CONVERSION,
		"Conversion Error: Could not convert string 'secret' to INT32", &shape, &m);
	assert_null(strstr(m.text, "secret"));
	(void)duckdb_guard_explain(
		DUCKDB_ERROR_BINDER, "Binder Error: no type for 'secret'\nLINE 1", &shape, &m);
	assert_null(strstr(m.text, "secret"));
	(void)duckdb_guard_explain(
		DUCKDB_ERROR_BINDER, "Binder Error: some words\nLINE 1: 'secret'", &shape, &m);
	assert_string_equal(m.text, "some words");
}

static void frames(void **state)
{
	static const uint8_t wire[] = {
		9, 0, 0, 0, 'r', 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	struct value v = value_int(-2), text = value_text("ab", 2);
	struct wire_cursor bad = {.p = wire, .end = wire + 3};
	struct wire_frame f;
	struct buf b;
	size_t begin;

	(void)state;
	buf_init(&b, 1000);
	begin = wire_begin(&b, WIRE_ROWS);
	wire_value(&b, &v);
	wire_end(&b, begin);
	assert_int_equal(b.len, sizeof(wire));
	assert_memory_equal(b.data, wire, sizeof(wire));
	for (size_t i = 0; i < sizeof(wire); i++)
		assert_int_equal(wire_parse(wire, i, &f), WIRE_MORE);
	assert_int_equal(wire_parse(wire, sizeof(wire), &f), WIRE_FRAME);
	assert_int_equal(f.kind, WIRE_ROWS);
	assert_int_equal(f.size, sizeof(wire));
	v = wire_get_value(&f.payload);
	assert_true(v.kind == VALUE_INT && v.i == -2 && !f.payload.bad && !wire_more(&f.payload));
	v = wire_get_value(&f.payload);
	assert_true(f.payload.bad && v.kind == VALUE_NULL);
	(void)wire_get_i64(&bad);
	assert_true(bad.bad && wire_get_u8(&bad) == 0);
	assert_int_equal(wire_parse((const uint8_t *)"\xff\xff\xff\xff"
						     "r",
				 5, &f),
		WIRE_BAD);
	buf_reset(&b);
	begin = wire_begin(&b, WIRE_ROWS);
	wire_value(&b, &text);
	wire_end(&b, begin);
	b.data[WIRE_HEAD + 1] = 200; /* a text longer than its frame */
	assert_int_equal(wire_parse(b.data, b.len, &f), WIRE_FRAME);
	(void)wire_get_value(&f.payload);
	assert_true(f.payload.bad);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trees),
		cmocka_unit_test(errors),
		cmocka_unit_test(frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
