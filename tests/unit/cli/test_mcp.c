#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/mcp.h"

static void the_request_is_the_modern_one(void **state)
{
	json_t *m = mcp_request("execute_sql", json_pack("{s:s}", "sql", "select 1"));
	char *text = json_dumps(m, JSON_COMPACT | JSON_SORT_KEYS);

	(void)state;
	assert_string_equal(text,
		"{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{\"_meta\":{"
		"\"io.modelcontextprotocol/clientCapabilities\":{},"
		"\"io.modelcontextprotocol/"
		"clientInfo\":{\"name\":\"airlockctl\",\"version\":\"" AIRLOCK_VERSION "\"},"
		"\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"},"
		"\"arguments\":{\"sql\":\"select 1\"},\"name\":\"execute_sql\"}}");
	free(text);
	json_decref(m);
}

static void arguments_are_strings_or_json(void **state)
{
	json_t *o = json_object();
	char why[200], *text;

	(void)state;
	assert_int_equal(mcp_argument(o, "sql=select a=b", why, sizeof(why)), RC_OK);
	assert_int_equal(mcp_argument(o, "n:=[1,null]", why, sizeof(why)), RC_OK);
	assert_int_equal(mcp_argument(o, "empty=", why, sizeof(why)), RC_OK);
	text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, "{\"empty\":\"\",\"n\":[1,null],\"sql\":\"select a=b\"}");
	free(text);
	assert_int_equal(mcp_argument(o, "sql=again", why, sizeof(why)), RC_INVALID);
	assert_string_equal(why, "--arg sql is given twice");
	assert_int_equal(mcp_argument(o, "x:=nope", why, sizeof(why)), RC_INVALID);
	assert_int_equal(mcp_argument(o, "x=\xff", why, sizeof(why)), RC_INVALID);
	assert_int_equal(mcp_argument(o, "\xff=x", why, sizeof(why)), RC_INVALID);
	assert_int_equal(mcp_argument(o, "=x", why, sizeof(why)), RC_INVALID);
	assert_int_equal(mcp_argument(o, ":=1", why, sizeof(why)), RC_INVALID);
	assert_int_equal(mcp_argument(o, "x", why, sizeof(why)), RC_INVALID);
	assert_int_equal(json_object_size(o), 3);
	json_decref(o);
}

static json_int_t answer_of(const char *type, const char *body)
{
	json_t *m = mcp_response(type, body, strlen(body));
	json_int_t n = m ? json_integer_value(json_object_get(m, "result")) : -1;

	json_decref(m);
	return n;
}

static void the_response_is_found_in_json_and_in_events(void **state)
{
	const char *stream = "text/event-stream; charset=utf-8";

	(void)state;
	assert_int_equal(answer_of("application/json", "{\"id\":1,\"result\":5}"), 5);
	assert_int_equal(answer_of("application/json", "{\"id\":1}"), -1);
	assert_int_equal(answer_of("application/json", "nonsense"), -1);
	assert_int_equal(answer_of("application/json", ""), -1);
	assert_int_equal(
		answer_of(stream,
			": comment\n\ndata: {\"method\":\"notifications/progress\"}\n\n"
			"event: message\r\ndata: {\"id\":1,\r\ndata:\"result\":6}\r\n\r\n"),
		6);
	assert_int_equal(answer_of(stream, "data: {\"id\":1,\"result\":6}\n"),
		-1); /* the event never ended */
	assert_int_equal(answer_of(stream, "data: {\"id\":1,\n\ndata: \"result\":6}\n\n"), -1);
	assert_int_equal(answer_of(stream, ""), -1);
}

static void the_text_of_a_result(void **state)
{
	json_t *r = json_loads("{\"content\":[{\"type\":\"text\",\"text\":\"one\"},{\"type\":"
			       "\"image\",\"data\":\"\"},"
			       "{\"type\":\"text\",\"text\":\"two\\n\"},3],\"isError\":true}",
		0, NULL);
	json_t *empty = json_object();
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_true(mcp_result_text(r, &b));
	buf_char(&b, '\0');
	assert_string_equal((const char *)b.data, "one\n[image]\ntwo\n[content of no type]\n");
	buf_reset(&b);
	assert_false(mcp_result_text(empty, &b));
	assert_int_equal(b.len, 0);
	buf_free(&b);
	json_decref(r);
	json_decref(empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_request_is_the_modern_one),
		cmocka_unit_test(arguments_are_strings_or_json),
		cmocka_unit_test(the_response_is_found_in_json_and_in_events),
		cmocka_unit_test(the_text_of_a_result),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
