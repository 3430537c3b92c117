/* The worker's MCP server: literal requests and literal answers, in both eras. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/manifest.h"
#include "worker/mcp_server.h"

#define META "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}"
#define TOOL "[{\"name\":\"get_schema\",\"inputSchema\":{\"type\":\"object\"}}]"

/* A backend whose tools do what their names say, and remember what they were given. */
static char got_arguments[256];
static int calls_made;

static void fake_list(void *ctx, struct buf *out)
{
	(void)ctx;
	buf_str(out, TOOL);
}

static void fake_call(void *ctx, const struct tool_call *call, struct tool_result *out)
{
	static const struct {
		const char *name;
		enum tool_outcome outcome;
		const char *json;
	} tools[] = {
		{"good", TOOL_OK,
			"{\"content\":[{\"type\":\"text\",\"text\":\"4711\"}],\"isError\":false}"},
		{"bare", TOOL_OK, "{}"},
		{"bad", TOOL_ERROR, "{\"content\":[],\"isError\":true}"},
		{"cancelled", TOOL_CANCELLED, ""},
		{"slow", TOOL_TIMEOUT, ""},
		{"slow_but_talking", TOOL_TIMEOUT, "{\"content\":[],\"isError\":true}"},
		{"broken", TOOL_OK, ""},
		{"huge", TOOL_OK, NULL},
	};

	(void)ctx;
	calls_made++;
	snprintf(got_arguments, sizeof got_arguments, "%.*s",
		(int)(call->arguments.kind == JSCAN_NONE ? 0 : call->arguments.len),
		call->arguments.p);
	(void)snprintf(out->snapshot_id, sizeof out->snapshot_id, "snap_a");
	out->outcome = TOOL_UNKNOWN;
	for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
		if (strcmp(tools[i].name, call->name) != 0)
			continue;
		out->outcome = tools[i].outcome;
		if (tools[i].json != NULL) {
			buf_str(&out->json, tools[i].json);
			continue;
		}
		buf_str(&out->json, "{\"content\":[\"");
		for (int n = 0; n < 5000; n++)
			buf_char(&out->json, 'x');
		buf_str(&out->json, "\"]}");
	}
}

static const struct mcp_server server = {.name = "airlock-worker",
	.version = "9.9",
	.instructions = "Say \"please\".",
	.engine = "sqlite",
	.query_timeout_ms = 1,
	.result_max_rows = 2,
	.result_max_bytes = 3,
	.backend = {.list = fake_list, .call = fake_call}};

static const struct test_case {
	const char *request;
	enum mcp_era era;
	const char *answer, *outcome;
} cases[] = {
	/* tools/call: results of both eras; the id's exact bytes come back. */
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"good\"}}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\","
		"\"text\":\"4711\"}],\"isError\":false}}",
		"ok"},
	{"{\"jsonrpc\":\"2.0\",\"id\":\"a\\u0041\\\"\",\"method\":\"tools/"
	 "call\",\"params\":{\"name\":\"good\"}}",
		MCP_ERA_MODERN,
		"{\"jsonrpc\":\"2.0\",\"id\":\"a\\u0041\\\"\",\"result\":{\"resultType\":"
		"\"complete\",\"content\":[{\"type\":\"text\","
		"\"text\":\"4711\"}],\"isError\":false}}",
		"ok"},
	{" { \"method\" : \"tools/call\" , \"id\" : 123456789012345678901234567890 , \"jsonrpc\" : "
	 "\"2.0\" , \"params\" : "
	 "{ \"name\" : \"bare\" } } ",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":123456789012345678901234567890,\"result\":{}}", "ok"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"bare\"}}",
		MCP_ERA_MODERN,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\"}}", "ok"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
	 "call\",\"params\":{\"name\":\"bare\"," META "}}",
		MCP_ERA_UNSAID,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\"}}", "ok"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"bad\"}}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[],\"isError\":true}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
	 "call\",\"params\":{\"name\":\"cancelled\"}}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32057,\"message\":\"The call "
		"was cancelled\"}}",
		"cancelled"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"slow\"}}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32052,\"message\":\"The call "
		"did not end in time\"}}",
		"timeout"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
	 "call\",\"params\":{\"name\":\"slow_but_talking\"}}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[],\"isError\":true}}",
		"timeout"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
	 "call\",\"params\":{\"name\":\"broken\"}}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32603,\"message\":\"The tool "
		"gave no result\"}}",
		"tool_error"},
	/* tools/call: what is refused. */
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"rm\"}}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":\"Unknown "
		"tool: rm\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\"}", MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":\"params "
		"must be an object with a tool's name\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":[\"good\"]}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":\"params "
		"must be an object with a tool's name\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":7}}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":\"params."
		"name must be the name of a tool\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
	 "call\",\"params\":{\"name\":\"good\",\"name\":\"bad\"}}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":\"params."
		"name must be the name of a tool\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
	 "call\",\"params\":{\"name\":\"good\",\"arguments\":[]}}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":\"params."
		"arguments must be one object\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
	 "call\",\"params\":{\"name\":\"good\",\"arguments\":null}}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":\"params."
		"arguments must be one object\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
	 "call\",\"params\":{\"name\":\"good\",\"arguments\":{},\"arguments\":{}}}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":\"params."
		"arguments must be one object\"}}",
		"tool_error"},
	/* The methods that the control plane usually answers itself. */
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}", MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":" TOOL "}}", "ok"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" META "}}",
		MCP_ERA_UNSAID,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\","
		"\"tools\":" TOOL ",\"ttlMs\":60000,\"cacheScope\":\"private\"}}",
		"ok"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", "ok"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", MCP_ERA_MODERN,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"Method not "
		"found\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
	 "\"2025-06-18\"}}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-06-18\","
		"\"serverInfo\":{\"name\":\"airlock-worker\","
		"\"version\":\"9.9\"},\"capabilities\":{\"tools\":{\"listChanged\":true}},"
		"\"instructions\":\"Say \\\"please\\\".\"}}",
		"ok"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
	 "\"1999-01-01\"}}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-11-25\","
		"\"serverInfo\":{\"name\":\"airlock-worker\","
		"\"version\":\"9.9\"},\"capabilities\":{\"tools\":{\"listChanged\":true}},"
		"\"instructions\":\"Say \\\"please\\\".\"}}",
		"ok"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{}}", MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":\"params."
		"protocolVersion must be a string\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
	 "\"2026-07-28\"}}",
		MCP_ERA_MODERN,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"Method not "
		"found\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server/discover\"}", MCP_ERA_MODERN,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\","
		"\"supportedVersions\":[\"2026-07-28\",\"2025-11-25\","
		"\"2025-06-18\",\"2025-03-26\"],\"serverInfo\":{\"name\":\"airlock-worker\","
		"\"version\":\"9.9\"},\"capabilities\":{\"tools\":"
		"{\"listChanged\":true}},\"instructions\":\"Say "
		"\\\"please\\\".\",\"ttlMs\":60000,\"cacheScope\":\"private\"}}",
		"ok"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server/discover\"}", MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"Method not "
		"found\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/list\"}", MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"Method not "
		"found\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"prompts/list\"}", MCP_ERA_MODERN,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"Method not "
		"found\"}}",
		"tool_error"},
	/* Envelopes. */
	{"{\"jsonrpc\":\"2.0\",\"id\":1,", MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"The "
		"message is not valid JSON\"}}",
		"tool_error"},
	{"", MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"The "
		"message is not valid JSON\"}}",
		"tool_error"},
	{"[]", MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"The "
		"message is not a JSON-RPC 2.0 request\"}}",
		"tool_error"},
	{"{\"id\":5,\"method\":\"ping\"}", MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":5,\"error\":{\"code\":-32600,\"message\":\"The "
		"message is not a JSON-RPC 2.0 request\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":null}", MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":5,\"error\":{\"code\":-32600,\"message\":\"The "
		"message is not a JSON-RPC 2.0 request\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}", MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"id must "
		"be one string or number\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"ping\"}", MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"id must "
		"be one string or number\"}}",
		"tool_error"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
	 "call\",\"params\":{\"name\":\"good\"},\"params\":{\"name\":\"bad\"}}",
		MCP_ERA_LEGACY,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32600,\"message\":\"params is "
		"there twice\"}}",
		"tool_error"},
	/* A notification gets no answer. */
	{"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", MCP_ERA_LEGACY, "",
		"ok"},
};

static void handle(
	const char *request, enum mcp_era era, struct buf *out, struct mcp_answer *answer)
{
	atomic_bool cancelled = false;
	/* A heap copy of the exact length lets the sanitizers see a read beyond it. */
	size_t len = strlen(request);
	struct buf copy;

	buf_init(&copy, len);
	buf_add(&copy, request, len);
	char *exact = realloc(copy.data, len > 0 ? len : 1);
	struct mcp_request rq = {.text = exact, .len = len, .era = era, .cancelled = &cancelled};

	assert_non_null(exact);
	mcp_server_handle(&server, &rq, out, answer);
	free(exact);
}

static void literal_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct mcp_answer answer;
		struct buf out;

		buf_init(&out, 4096);
		handle(cases[i].request, cases[i].era, &out, &answer);
		buf_char(&out, '\0');
		assert_false(out.failed);
		assert_string_equal((char *)out.data, cases[i].answer);
		assert_string_equal(answer.outcome, cases[i].outcome);
		buf_free(&out);
	}
}

static void the_backend_gets_the_arguments_untouched(void **state)
{
	struct mcp_answer answer;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	handle("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
	       "call\",\"params\":{\"name\":\"good\",\"arguments\":{ \"n\" : 1e400, "
	       "\"n\":2 }}}",
		MCP_ERA_LEGACY, &out, &answer);
	assert_string_equal(got_arguments, "{ \"n\" : 1e400, \"n\":2 }");
	assert_string_equal(answer.snapshot_id, "snap_a");
	buf_reset(&out);
	handle("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
	       "call\",\"params\":{\"name\":\"good\"}}",
		MCP_ERA_LEGACY, &out, &answer);
	assert_string_equal(got_arguments, "");
	buf_free(&out);
}

static void nothing_malformed_reaches_the_backend(void **state)
{
	(void)state;
	calls_made = 0;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct mcp_answer answer;
		struct buf out;

		if (strstr(cases[i].answer, "params") == NULL)
			continue;
		buf_init(&out, 4096);
		handle(cases[i].request, cases[i].era, &out, &answer);
		buf_free(&out);
	}
	assert_int_equal(calls_made, 0);
}

static void a_result_over_the_limit_becomes_an_error(void **state)
{
	struct mcp_answer answer;
	struct buf out;

	(void)state;
	buf_init(&out, 1024);
	handle("{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"tools/"
	       "call\",\"params\":{\"name\":\"huge\"}}",
		MCP_ERA_MODERN, &out, &answer);
	assert_false(out.failed);
	buf_char(&out, '\0');
	assert_string_equal(answer.outcome, "too_large");
	assert_non_null(strstr((char *)out.data, "\"id\":\"x\",\"error\":{\"code\":-32054,"));
	buf_free(&out);
}

static void the_manifest_passes_the_control_planes_check(void **state)
{
	struct buf out;
	char why[128] = "";

	(void)state;
	buf_init(&out, 65536);
	mcp_server_manifest(&server, &out);
	assert_int_equal(manifest_check((char *)out.data, out.len, why, sizeof why), RC_OK);
	buf_char(&out, '\0');
	assert_string_equal((char *)out.data,
		"{\"serverInfo\":{\"name\":\"airlock-worker\",\"version\":\"9.9\"},"
		"\"capabilities\":{\"tools\":{\"listChanged\":true}},"
		"\"instructions\":\"Say \\\"please\\\".\",\"tools\":" TOOL
		",\"subject_argument\":\"subject_id\",\"engine\":\"sqlite\",\"limits\":{\"query_"
		"timeout_ms\":1,\"result_max_rows\":2,"
		"\"result_max_bytes\":3}}");
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literal_cases),
		cmocka_unit_test(the_backend_gets_the_arguments_untouched),
		cmocka_unit_test(nothing_malformed_reaches_the_backend),
		cmocka_unit_test(a_result_over_the_limit_becomes_an_error),
		cmocka_unit_test(the_manifest_passes_the_control_planes_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
