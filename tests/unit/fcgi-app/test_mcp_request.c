#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi-app/mcp_front.h"
#include "fcgi-app/mcp_request.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define META(version)                                                       \
	"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" version \
	"\",\"io.modelcontextprotocol/clientCapabilities\":{}}"
#define MODERN META("2026-07-28")
#define RPC "\"jsonrpc\":\"2.0\""
#define REQ(method, params) "{" RPC ",\"id\":1,\"method\":\"" method "\",\"params\":{" params "}}"
#define BARE(method) "{" RPC ",\"id\":1,\"method\":\"" method "\"}"
#define CALL(params) REQ("tools/call", params)
#define JSON "application/json"
#define NOW "2026-07-28"

/* Each row: what comes, and what must be made of it. status 0: accepted. */
struct row {
	const char *what;
	const char *version, *method, *name; /* MCP-Protocol-Version, Mcp-Method, Mcp-Name */
	const char *body;
	int status, code;
	enum mcp_kind kind;
	enum mcp_era era;
	enum mcp_action action;
};

static const struct row rows[] = {
	/* --- modern, accepted */
	{"discover", NOW, "server/discover", NULL, REQ("server/discover", MODERN), 0, 0,
		MCP_REQUEST, MCP_MODERN, MCP_DO_DISCOVER},
	{"list", NOW, "tools/list", NULL, REQ("tools/list", MODERN), 0, 0, MCP_REQUEST, MCP_MODERN,
		MCP_DO_LIST_TOOLS},
	{"call", NOW, "tools/call", "a", CALL("\"name\":\"a\",\"arguments\":{}," MODERN), 0, 0,
		MCP_REQUEST, MCP_MODERN, MCP_DO_CALL_TOOL},
	{"call without arguments", NOW, "tools/call", "a", CALL("\"name\":\"a\"," MODERN), 0, 0,
		MCP_REQUEST, MCP_MODERN, MCP_DO_CALL_TOOL},
	{"name in base64", NOW, "tools/call", "=?base64?YQ==?=", CALL("\"name\":\"a\"," MODERN), 0,
		0, MCP_REQUEST, MCP_MODERN, MCP_DO_CALL_TOOL},
	{"white space around headers", " 2026-07-28\t", " tools/call ", "  a  ",
		CALL("\"name\":\"a\"," MODERN), 0, 0, MCP_REQUEST, MCP_MODERN, MCP_DO_CALL_TOOL},
	{"escaped method", NOW, "tools/list", NULL, REQ("tools\\/list", MODERN), 0, 0, MCP_REQUEST,
		MCP_MODERN, MCP_DO_LIST_TOOLS},
	{"read a resource", NOW, "resources/read", "a://b,c",
		REQ("resources/read", "\"uri\":\"a://b,c\"," MODERN), 0, 0, MCP_REQUEST, MCP_MODERN,
		MCP_DO_RELAY},
	{"resource outside ASCII", NOW, "resources/read",
		"=?base64?w6k=?=", REQ("resources/read", "\"uri\":\"\xc3\xa9\"," MODERN), 0, 0,
		MCP_REQUEST, MCP_MODERN, MCP_DO_RELAY},
	{"get a prompt", NOW, "prompts/get", "p", REQ("prompts/get", "\"name\":\"p\"," MODERN), 0,
		0, MCP_REQUEST, MCP_MODERN, MCP_DO_RELAY},
	{"listen", NOW, "subscriptions/listen", NULL, REQ("subscriptions/listen", MODERN), 0, 0,
		MCP_REQUEST, MCP_MODERN, MCP_DO_LISTEN},
	{"unknown method goes to the worker", NOW, "x/y", NULL, REQ("x/y", MODERN), 0, 0,
		MCP_REQUEST, MCP_MODERN, MCP_DO_RELAY},
	{"with client info", NOW, "x", NULL,
		REQ("x",
			"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
			"\"io.modelcontextprotocol/clientInfo\":{\"name\":\"c\"},"
			"\"io.modelcontextprotocol/clientCapabilities\":{\"roots\":{}}}"),
		0, 0, MCP_REQUEST, MCP_MODERN, MCP_DO_RELAY},
	{"retry of a multi-round-trip request", NOW, "tools/call", "a",
		CALL("\"name\":\"a\",\"inputResponses\":{\"x\":{}},\"requestState\":\"s\"," MODERN),
		0, 0, MCP_REQUEST, MCP_MODERN, MCP_DO_CALL_TOOL},
	{"notification", NOW, "notifications/x", NULL, "{" RPC ",\"method\":\"notifications/x\"}",
		0, 0, MCP_NOTIFICATION, MCP_MODERN, 0},
	/* --- modern, the methods that are gone: 404 */
	{"initialize", NOW, "initialize", NULL, REQ("initialize", MODERN), 404,
		MCP_METHOD_NOT_FOUND, 0, 0, 0},
	{"ping", NOW, "ping", NULL, REQ("ping", MODERN), 404, MCP_METHOD_NOT_FOUND, 0, 0, 0},
	{"logging", NOW, "logging/setLevel", NULL, REQ("logging/setLevel", MODERN), 404,
		MCP_METHOD_NOT_FOUND, 0, 0, 0},
	{"subscribe", NOW, "resources/subscribe", NULL, REQ("resources/subscribe", MODERN), 404,
		MCP_METHOD_NOT_FOUND, 0, 0, 0},
	{"unsubscribe", NOW, "resources/unsubscribe", NULL, REQ("resources/unsubscribe", MODERN),
		404, MCP_METHOD_NOT_FOUND, 0, 0, 0},
	/* --- modern, envelope: 400, -32602 */
	{"no params", NOW, "x", NULL, BARE("x"), 400, MCP_INVALID_PARAMS, 0, 0, 0},
	{"no _meta", NOW, "x", NULL, REQ("x", ""), 400, MCP_INVALID_PARAMS, 0, 0, 0},
	{"no version in _meta", NOW, "x", NULL,
		REQ("x", "\"_meta\":{\"io.modelcontextprotocol/clientCapabilities\":{}}"), 400,
		MCP_INVALID_PARAMS, 0, 0, 0},
	{"no capabilities", NOW, "x", NULL,
		REQ("x", "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}"),
		400, MCP_INVALID_PARAMS, 0, 0, 0},
	{"capabilities no object", NOW, "x", NULL,
		REQ("x",
			"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
			"\"io.modelcontextprotocol/clientCapabilities\":[]}"),
		400, MCP_INVALID_PARAMS, 0, 0, 0},
	{"version no string", NOW, "x", NULL,
		REQ("x",
			"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":1,"
			"\"io.modelcontextprotocol/clientCapabilities\":{}}"),
		400, MCP_INVALID_PARAMS, 0, 0, 0},
	{"client info no object", NOW, "x", NULL,
		REQ("x",
			"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
			"\"io.modelcontextprotocol/clientInfo\":\"c\","
			"\"io.modelcontextprotocol/clientCapabilities\":{}}"),
		400, MCP_INVALID_PARAMS, 0, 0, 0},
	/* --- modern, headers: 400, -32020 */
	{"no version header", NULL, "x", NULL, REQ("x", MODERN), 400, MCP_HEADER_MISMATCH, 0, 0, 0},
	{"legacy version header", "2025-11-25", "x", NULL, REQ("x", MODERN), 400,
		MCP_HEADER_MISMATCH, 0, 0, 0},
	{"other version in _meta", NOW, "x", NULL, REQ("x", META("v999.0.0")), 400,
		MCP_HEADER_MISMATCH, 0, 0, 0},
	{"no method header", NOW, NULL, NULL, REQ("x", MODERN), 400, MCP_HEADER_MISMATCH, 0, 0, 0},
	{"other method header", NOW, "y", NULL, REQ("x", MODERN), 400, MCP_HEADER_MISMATCH, 0, 0,
		0},
	{"method header in capitals", NOW, "TOOLS/LIST", NULL, REQ("tools/list", MODERN), 400,
		MCP_HEADER_MISMATCH, 0, 0, 0},
	{"no name header", NOW, "tools/call", NULL, CALL("\"name\":\"a\"," MODERN), 400,
		MCP_HEADER_MISMATCH, 0, 0, 0},
	{"other name header", NOW, "tools/call", "b", CALL("\"name\":\"a\"," MODERN), 400,
		MCP_HEADER_MISMATCH, 0, 0, 0},
	{"name header in capitals", NOW, "tools/call", "A", CALL("\"name\":\"a\"," MODERN), 400,
		MCP_HEADER_MISMATCH, 0, 0, 0},
	{"other name in base64", NOW, "tools/call", "=?base64?Yg==?=",
		CALL("\"name\":\"a\"," MODERN), 400, MCP_HEADER_MISMATCH, 0, 0, 0},
	{"broken base64", NOW, "tools/call", "=?base64?YQ?=", CALL("\"name\":\"a\"," MODERN), 400,
		MCP_HEADER_MISMATCH, 0, 0, 0},
	{"no base64 at all", NOW, "tools/call", "=?base64?Y!==?=", CALL("\"name\":\"a\"," MODERN),
		400, MCP_HEADER_MISMATCH, 0, 0, 0},
	{"base64 marker in capitals", NOW, "tools/call", "=?BASE64?YQ==?=",
		CALL("\"name\":\"a\"," MODERN), 400, MCP_HEADER_MISMATCH, 0, 0, 0},
	{"no name header for a resource", NOW, "resources/read", NULL,
		REQ("resources/read", "\"uri\":\"a\"," MODERN), 400, MCP_HEADER_MISMATCH, 0, 0, 0},
	{"no name header for a prompt", NOW, "prompts/get", NULL,
		REQ("prompts/get", "\"name\":\"a\"," MODERN), 400, MCP_HEADER_MISMATCH, 0, 0, 0},
	{"raw bytes in a header", NOW, "resources/read", "\xc3\xa9",
		REQ("resources/read", "\"uri\":\"\xc3\xa9\"," MODERN), 400, MCP_HEADER_MISMATCH, 0,
		0, 0},
	{"notification with another method header", NOW, "y", NULL, "{" RPC ",\"method\":\"x\"}",
		400, MCP_HEADER_MISMATCH, 0, 0, 0},
	{"notification with another version", "2025-11-25", NULL, NULL,
		"{" RPC ",\"method\":\"x\",\"params\":{" MODERN "}}", 400, MCP_HEADER_MISMATCH, 0,
		0, 0},
	/* --- versions: 400, -32022 */
	{"unknown version", "v999.0.0", "x", NULL, REQ("x", META("v999.0.0")), 400,
		MCP_UNSUPPORTED_VERSION, 0, 0, 0},
	{"old version in _meta", "2024-11-05", "x", NULL, REQ("x", META("2024-11-05")), 400,
		MCP_UNSUPPORTED_VERSION, 0, 0, 0},
	{"unknown version header alone", "v999.0.0", NULL, NULL, BARE("x"), 400,
		MCP_UNSUPPORTED_VERSION, 0, 0, 0},
	{"empty version header", "", NULL, NULL, BARE("ping"), 400, MCP_UNSUPPORTED_VERSION, 0, 0,
		0},
	{"SSE-era version header", "2024-11-05", NULL, NULL, BARE("ping"), 400,
		MCP_UNSUPPORTED_VERSION, 0, 0, 0},
	/* --- modern, the rest */
	{"a response", NOW, NULL, NULL, "{" RPC ",\"id\":1,\"result\":{}}", 400,
		MCP_INVALID_REQUEST, 0, 0, 0},
	{"a batch", NOW, NULL, NULL, "[" REQ("x", MODERN) "]", 400, MCP_INVALID_REQUEST, 0, 0, 0},
	{"a batch without header", NULL, NULL, NULL, "[" REQ("x", MODERN) "]", 400,
		MCP_INVALID_REQUEST, 0, 0, 0},
	{"name twice", NOW, "tools/call", "a", CALL("\"name\":\"a\",\"name\":\"b\"," MODERN), 400,
		MCP_INVALID_REQUEST, 0, 0, 0},
	{"name twice, one escaped", NOW, "tools/call", "a",
		CALL("\"name\":\"a\",\"n\\u0061me\":\"b\"," MODERN), 400, MCP_INVALID_REQUEST, 0, 0,
		0},
	{"_meta twice", NOW, "x", NULL, REQ("x", MODERN "," MODERN), 400, MCP_INVALID_REQUEST, 0, 0,
		0},
	{"arguments twice", NOW, "tools/call", "a",
		CALL("\"name\":\"a\",\"arguments\":{},\"arguments\":{}," MODERN), 400,
		MCP_INVALID_REQUEST, 0, 0, 0},
	{"no name", NOW, "tools/call", NULL, CALL(MODERN), 200, MCP_INVALID_PARAMS, 0, 0, 0},
	{"no tool's name", NOW, "tools/call", "a b", CALL("\"name\":\"a b\"," MODERN), 200,
		MCP_INVALID_PARAMS, 0, 0, 0},
	{"arguments no object", NOW, "tools/call", "a",
		CALL("\"name\":\"a\",\"arguments\":[]," MODERN), 200, MCP_INVALID_PARAMS, 0, 0, 0},
	{"a cursor", NOW, "tools/list", NULL, REQ("tools/list", "\"cursor\":\"x\"," MODERN), 200,
		MCP_INVALID_PARAMS, 0, 0, 0},
	/* --- legacy, accepted */
	{"initialize", NULL, NULL, NULL, REQ("initialize", "\"protocolVersion\":\"2025-11-25\""), 0,
		0, MCP_REQUEST, MCP_LEGACY, MCP_DO_INITIALIZE},
	{"ping", "2025-11-25", NULL, NULL, BARE("ping"), 0, 0, MCP_REQUEST, MCP_LEGACY,
		MCP_DO_PING},
	{"ping in 2025-06-18", "2025-06-18", NULL, NULL, BARE("ping"), 0, 0, MCP_REQUEST,
		MCP_LEGACY, MCP_DO_PING},
	{"ping in 2025-03-26", "2025-03-26", NULL, NULL, BARE("ping"), 0, 0, MCP_REQUEST,
		MCP_LEGACY, MCP_DO_PING},
	{"no header", NULL, NULL, NULL, BARE("tools/list"), 0, 0, MCP_REQUEST, MCP_LEGACY,
		MCP_DO_LIST_TOOLS},
	{"_meta of the client's own", NULL, NULL, NULL,
		REQ("tools/list", "\"_meta\":{\"progressToken\":1}"), 0, 0, MCP_REQUEST, MCP_LEGACY,
		MCP_DO_LIST_TOOLS},
	{"call", "2025-11-25", NULL, NULL, CALL("\"name\":\"a\""), 0, 0, MCP_REQUEST, MCP_LEGACY,
		MCP_DO_CALL_TOOL},
	{"new headers mean nothing", "2025-11-25", "y", "b", CALL("\"name\":\"a\""), 0, 0,
		MCP_REQUEST, MCP_LEGACY, MCP_DO_CALL_TOOL},
	{"log level", "2025-11-25", NULL, NULL, BARE("logging/setLevel"), 0, 0, MCP_REQUEST,
		MCP_LEGACY, MCP_DO_RELAY},
	{"unknown method goes to the worker", NULL, NULL, NULL, BARE("x"), 0, 0, MCP_REQUEST,
		MCP_LEGACY, MCP_DO_RELAY},
	{"notification", "2025-11-25", NULL, NULL,
		"{" RPC ",\"method\":\"notifications/initialized\"}", 0, 0, MCP_NOTIFICATION,
		MCP_LEGACY, 0},
	{"response", "2025-11-25", NULL, NULL, "{" RPC ",\"id\":\"a\",\"result\":{}}", 0, 0,
		MCP_RESPONSE, MCP_LEGACY, 0},
	{"error response", NULL, NULL, NULL, "{" RPC ",\"id\":1,\"error\":{\"code\":1}}", 0, 0,
		MCP_RESPONSE, MCP_LEGACY, 0},
	{"batch", NULL, NULL, NULL, "[" BARE("ping") "]", 0, 0, MCP_BATCH, MCP_LEGACY, 0},
	{"batch in 2025-03-26", "2025-03-26", NULL, NULL, "[" BARE("ping") ",1]", 0, 0, MCP_BATCH,
		MCP_LEGACY, 0},
	{"_meta names a legacy version", "2025-11-25", NULL, NULL, REQ("ping", META("2025-11-25")),
		0, 0, MCP_REQUEST, MCP_LEGACY, MCP_DO_PING},
	/* --- legacy, refused */
	{"discover", NULL, NULL, NULL, BARE("server/discover"), 200, MCP_METHOD_NOT_FOUND, 0, 0, 0},
	{"listen", "2025-11-25", NULL, NULL, BARE("subscriptions/listen"), 200,
		MCP_METHOD_NOT_FOUND, 0, 0, 0},
	{"batch in 2025-11-25", "2025-11-25", NULL, NULL, "[" BARE("ping") "]", 400,
		MCP_INVALID_REQUEST, 0, 0, 0},
	{"batch in 2025-06-18", "2025-06-18", NULL, NULL, "[" BARE("ping") "]", 400,
		MCP_INVALID_REQUEST, 0, 0, 0},
	{"empty batch", NULL, NULL, NULL, "[]", 400, MCP_INVALID_REQUEST, 0, 0, 0},
	{"two legacy versions", "2025-11-25", NULL, NULL, REQ("ping", META("2025-06-18")), 400,
		MCP_HEADER_MISMATCH, 0, 0, 0},
	{"no tool's name", NULL, NULL, NULL, CALL("\"name\":1"), 200, MCP_INVALID_PARAMS, 0, 0, 0},
	{"a cursor", NULL, NULL, NULL, REQ("tools/list", "\"cursor\":\"x\""), 200,
		MCP_INVALID_PARAMS, 0, 0, 0},
	/* --- JSON-RPC */
	{"empty", NULL, NULL, NULL, "", 400, MCP_PARSE_ERROR, 0, 0, 0},
	{"no JSON", NULL, NULL, NULL, "{", 400, MCP_PARSE_ERROR, 0, 0, 0},
	{"two messages", NULL, NULL, NULL, BARE("ping") BARE("ping"), 400, MCP_PARSE_ERROR, 0, 0,
		0},
	{"no UTF-8", NULL, NULL, NULL, "{\"a\":\"\xff\"}", 400, MCP_PARSE_ERROR, 0, 0, 0},
	{"no object", NULL, NULL, NULL, "1", 400, MCP_INVALID_REQUEST, 0, 0, 0},
	{"no jsonrpc", NULL, NULL, NULL, "{\"id\":1,\"method\":\"ping\"}", 400, MCP_INVALID_REQUEST,
		0, 0, 0},
	{"jsonrpc 1.0", NULL, NULL, NULL, "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}", 400,
		MCP_INVALID_REQUEST, 0, 0, 0},
	{"jsonrpc a number", NULL, NULL, NULL, "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"ping\"}",
		400, MCP_INVALID_REQUEST, 0, 0, 0},
	{"null id", NULL, NULL, NULL, "{" RPC ",\"id\":null,\"method\":\"ping\"}", 400,
		MCP_INVALID_REQUEST, 0, 0, 0},
	{"fraction id", NULL, NULL, NULL, "{" RPC ",\"id\":1.5,\"method\":\"ping\"}", 400,
		MCP_INVALID_REQUEST, 0, 0, 0},
	{"huge id", NULL, NULL, NULL, "{" RPC ",\"id\":99999999999999999999,\"method\":\"ping\"}",
		400, MCP_INVALID_REQUEST, 0, 0, 0},
	{"object id", NULL, NULL, NULL, "{" RPC ",\"id\":{},\"method\":\"ping\"}", 400,
		MCP_INVALID_REQUEST, 0, 0, 0},
	{"bool id", NULL, NULL, NULL, "{" RPC ",\"id\":true,\"method\":\"ping\"}", 400,
		MCP_INVALID_REQUEST, 0, 0, 0},
	{"id twice", NULL, NULL, NULL, "{" RPC ",\"id\":1,\"id\":2,\"method\":\"ping\"}", 400,
		MCP_INVALID_REQUEST, 0, 0, 0},
	{"method twice", NULL, NULL, NULL,
		"{" RPC ",\"id\":1,\"method\":\"ping\",\"method\":\"x\"}", 400, MCP_INVALID_REQUEST,
		0, 0, 0},
	{"params twice", NULL, NULL, NULL,
		"{" RPC ",\"id\":1,\"method\":\"ping\",\"params\":{},\"params\":{}}", 400,
		MCP_INVALID_REQUEST, 0, 0, 0},
	{"method a number", NULL, NULL, NULL, "{" RPC ",\"id\":1,\"method\":1}", 400,
		MCP_INVALID_REQUEST, 0, 0, 0},
	{"method empty", NULL, NULL, NULL, BARE(""), 400, MCP_INVALID_REQUEST, 0, 0, 0},
	{"method with NUL", NULL, NULL, NULL, BARE("a\\u0000b"), 400, MCP_INVALID_REQUEST, 0, 0, 0},
	{"params an array", NULL, NULL, NULL,
		"{" RPC ",\"id\":1,\"method\":\"ping\",\"params\":[]}", 400, MCP_INVALID_REQUEST, 0,
		0, 0},
	{"neither kind", NULL, NULL, NULL, "{" RPC ",\"id\":1}", 400, MCP_INVALID_REQUEST, 0, 0, 0},
	{"result without id", NULL, NULL, NULL, "{" RPC ",\"result\":{}}", 400, MCP_INVALID_REQUEST,
		0, 0, 0},
	{"result and error", NULL, NULL, NULL, "{" RPC ",\"id\":1,\"result\":{},\"error\":{}}", 400,
		MCP_INVALID_REQUEST, 0, 0, 0},
	{"request and response", NULL, NULL, NULL,
		"{" RPC ",\"id\":1,\"method\":\"ping\",\"result\":{}}", 400, MCP_INVALID_REQUEST, 0,
		0, 0},
};

/* The body is copied without a terminator, so that ASan sees a read past its end. Slices die with
 * *copy. */
static enum rc read_row(const struct mcp_headers *h, const char *body, char **copy,
	struct mcp_request *m, struct mcp_error *why)
{
	size_t len = strlen(body);

	*copy = malloc(len ? len : 1);
	memcpy(*copy, body, len);
	memset(why, 0, sizeof(*why));
	return mcp_request_read(h, *copy, len, m, why);
}

static void every_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *r = &rows[i];
		const struct mcp_headers h = {JSON, "application/json, text/event-stream",
			r->version, r->method, r->name, false};
		struct mcp_request m;
		struct mcp_error why;
		char *copy;
		enum rc rc = read_row(&h, r->body, &copy, &m, &why);

		if ((rc == RC_OK) != (r->status == 0) ||
			(rc != RC_OK &&
				(why.status != r->status || why.code != r->code || why.plain)))
			fail_msg("%s (%s): %s -> %d %d, not %d %d", r->what,
				r->version ? r->version : "-", r->body,
				rc == RC_OK ? 0 : why.status, rc == RC_OK ? 0 : why.code, r->status,
				r->code);
		if (rc == RC_OK && (m.kind != r->kind || m.era != r->era || m.action != r->action))
			fail_msg("%s: kind %d era %d action %d", r->what, m.kind, m.era, m.action);
		free(copy);
	}
}

static void content_type_and_accept(void **state)
{
	static const struct {
		const char *type, *accept;
		int status;
	} cases[] = {
		{JSON, NULL, 0},
		{JSON, "", 0},
		{JSON, "*/*", 0},
		{JSON, "application/*", 0},
		{JSON, "text/event-stream, application/json;q=0.9", 0},
		{JSON, "text/html,APPLICATION/JSON ; q=0.01", 0},
		{JSON, "text/event-stream", 406},
		{JSON, "text/html", 406},
		{JSON, "application/json;q=0", 406},
		{JSON, "application/json; q=0.000", 406},
		{JSON, "application/jsonx", 406},
		{"Application/JSON", NULL, 0},
		{"application/json; charset=utf-8", NULL, 0},
		{"application/json;charset=\"UTF-8\"", NULL, 0},
		{" application/json ", NULL, 0},
		{"application/json; charset=latin1", NULL, 415},
		{"application/jsonp", NULL, 415},
		{"text/plain", NULL, 415},
		{"application/x-www-form-urlencoded", NULL, 415},
		{"", NULL, 415},
		{NULL, NULL, 415},
		{"text/plain", "text/plain", 415},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct mcp_headers h = {
			.content_type = cases[i].type, .accept = cases[i].accept};
		struct mcp_request m;
		struct mcp_error why = {0};
		enum rc rc = mcp_request_read(&h, BARE("ping"), strlen(BARE("ping")), &m, &why);

		if ((rc == RC_OK ? 0 : why.status) != cases[i].status ||
			(rc != RC_OK && !why.plain))
			fail_msg("%s | %s: %d", cases[i].type ? cases[i].type : "-",
				cases[i].accept ? cases[i].accept : "-", why.status);
	}
}

static void members_are_found(void **state)
{
	const struct mcp_headers h = {.content_type = JSON};
	struct mcp_request m;
	struct mcp_error why;
	char *copy;

	(void)state;
	assert_int_equal(
		read_row(&h,
			"{" RPC ",\"id\":\"x\\u0041\",\"method\":\"tools/call\",\"params\":"
			"{\"name\":\"execute_sql\",\"arguments\":{\"a\":[1]}}}",
			&copy, &m, &why),
		RC_OK);
	assert_string_equal(m.method, "tools/call");
	assert_string_equal(m.tool, "execute_sql");
	assert_int_equal(m.id.len, 9);
	assert_memory_equal(m.id.p, "\"x\\u0041\"", 9);
	assert_int_equal(m.arguments.len, 9);
	assert_memory_equal(m.arguments.p, "{\"a\":[1]}", 9);
	assert_ptr_equal(m.message.p, copy);
	free(copy);
	/* The id is known in refusals that come after it. */
	assert_int_equal(
		read_row(&h, "{" RPC ",\"id\":7,\"method\":1}", &copy, &m, &why), RC_INVALID);
	assert_int_equal(m.id.kind, JSCAN_NUMBER);
	free(copy);
	assert_int_equal(read_row(&h, "{" RPC ",\"id\":null,\"method\":\"x\"}", &copy, &m, &why),
		RC_INVALID);
	assert_int_equal(m.id.kind, JSCAN_NONE);
	free(copy);
}

static void unsupported_versions_are_echoed(void **state)
{
	const struct mcp_headers h = {.content_type = JSON, .version = "1900-01-01", .method = "x"};
	struct mcp_request m;
	struct mcp_error why;
	char *copy;

	(void)state;
	assert_int_equal(read_row(&h, REQ("x", META("1900-01-01")), &copy, &m, &why), RC_INVALID);
	assert_string_equal(why.requested, "1900-01-01");
	free(copy);
	assert_int_equal(read_row(&h, BARE("x"), &copy, &m, &why), RC_INVALID);
	assert_string_equal(why.requested, "1900-01-01");
	free(copy);
	assert_string_equal(
		mcp_versions_json, "[\"2026-07-28\",\"2025-11-25\",\"2025-06-18\",\"2025-03-26\"]");
}

static void repeated_name_headers(void **state)
{
	struct mcp_headers h = {.content_type = JSON,
		.version = NOW,
		.method = "tools/call",
		.name = "a",
		.name_repeated = true};
	struct mcp_request m;
	struct mcp_error why;
	char *copy;

	(void)state;
	assert_int_equal(read_row(&h, CALL("\"name\":\"a\"," MODERN), &copy, &m, &why), RC_INVALID);
	assert_int_equal(why.code, MCP_HEADER_MISMATCH);
	free(copy);
	/* One value that holds a comma looks the same to the front, and is right when the body has
	 * it too. */
	h.method = "resources/read";
	h.name = "a:b,c";
	assert_int_equal(
		read_row(&h, REQ("resources/read", "\"uri\":\"a:b,c\"," MODERN), &copy, &m, &why),
		RC_OK);
	free(copy);
}

static void long_ids_and_methods(void **state)
{
	const struct mcp_headers h = {.content_type = JSON};
	struct mcp_request m;
	struct mcp_error why;
	char body[4096], *copy;

	(void)state;
	(void)snprintf(body, sizeof(body), "{" RPC ",\"id\":\"%01024d\",\"method\":\"ping\"}", 1);
	assert_int_equal(read_row(&h, body, &copy, &m, &why), RC_OK);
	free(copy);
	(void)snprintf(body, sizeof(body), "{" RPC ",\"id\":\"%01025d\",\"method\":\"ping\"}", 1);
	assert_int_equal(read_row(&h, body, &copy, &m, &why), RC_INVALID);
	free(copy);
	(void)snprintf(body, sizeof(body), "{" RPC ",\"id\":1,\"method\":\"%0127d\"}", 1);
	assert_int_equal(read_row(&h, body, &copy, &m, &why), RC_OK);
	free(copy);
	(void)snprintf(body, sizeof(body), "{" RPC ",\"id\":1,\"method\":\"%0128d\"}", 1);
	assert_int_equal(read_row(&h, body, &copy, &m, &why), RC_INVALID);
	free(copy);
}

static void batches(void **state)
{
	const struct mcp_headers h = {.content_type = JSON};
	char body[8192] = "[" BARE("ping");
	struct mcp_request m, e;
	struct mcp_error why;
	struct jscan_iter it;
	struct jscan key, element;
	char *copy;

	(void)state;
	for (int i = 1; i < MCP_BATCH_MAX; i++)
		strcat(body, "," BARE("ping"));
	strcat(body, "]");
	assert_int_equal(read_row(&h, body, &copy, &m, &why), RC_OK);
	free(copy);
	body[strlen(body) - 1] = '\0';
	strcat(body, "," BARE("ping") "]");
	assert_int_equal(read_row(&h, body, &copy, &m, &why), RC_INVALID);
	assert_int_equal(why.code, MCP_INVALID_REQUEST);
	free(copy);
	assert_int_equal(
		read_row(&h,
			"[" BARE("ping") "," REQ("initialize",
				"") ",{" RPC ",\"method\":\"n\"},7," BARE("server/discover") "]",
			&copy, &m, &why),
		RC_OK);
	it = jscan_iter(m.message);
	assert_true(jscan_next(&it, &key, &element));
	assert_int_equal(mcp_request_element(element, &e, &why), RC_OK);
	assert_int_equal(e.action, MCP_DO_PING);
	assert_true(jscan_next(&it, &key, &element));
	assert_int_equal(mcp_request_element(element, &e, &why), RC_INVALID);
	assert_int_equal(e.id.kind, JSCAN_NUMBER);
	assert_true(jscan_next(&it, &key, &element));
	assert_int_equal(mcp_request_element(element, &e, &why), RC_OK);
	assert_int_equal(e.kind, MCP_NOTIFICATION);
	assert_true(jscan_next(&it, &key, &element));
	assert_int_equal(mcp_request_element(element, &e, &why), RC_INVALID);
	assert_int_equal(e.id.kind, JSCAN_NONE);
	assert_true(jscan_next(&it, &key, &element));
	assert_int_equal(mcp_request_element(element, &e, &why), RC_INVALID);
	assert_int_equal(why.code, MCP_METHOD_NOT_FOUND);
	assert_false(jscan_next(&it, &key, &element));
	free(copy);
}

/* --- headers that mirror arguments ------------------------------------------------------------ */

#define TOOL                                                                                \
	"{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\",\"properties\":{"             \
	"\"region\":{\"type\":\"string\",\"x-mcp-header\":\"Region\"},"                     \
	"\"n\":{\"type\":\"integer\",\"x-mcp-header\":\"N\"},"                              \
	"\"b\":{\"type\":\"boolean\",\"x-mcp-header\":\"B\"},"                              \
	"\"free\":{\"type\":\"string\"},"                                                   \
	"\"deep\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"string\",\"x-mcp-" \
	"header\":\"Deep-X\"}}}}}}"

struct sent {
	const char *name, *value;
};

static const char *sent_header(void *ctx, const char *name)
{
	const struct sent *s = ctx;

	return s->name && !strcmp(s->name, name) ? s->value : NULL;
}

static void params_are_mirrored(void **state)
{
	static const struct {
		const char *arguments;
		struct sent sent;
		const char *wrong; /* NULL: fine */
	} cases[] = {
		{"{}", {NULL, NULL}, NULL},
		{"{\"free\":\"x\"}", {NULL, NULL}, NULL},
		{"{\"region\":null}", {NULL, NULL}, NULL},
		{"{\"region\":\"us\"}", {"Mcp-Param-Region", "us"}, NULL},
		{"{\"region\":\"us\"}", {"Mcp-Param-Region", " us\t"}, NULL},
		{"{\"region\":\"Hello\"}", {"Mcp-Param-Region", "=?base64?SGVsbG8=?="}, NULL},
		{"{\"region\":\"=?base64?SGVsbG8=\"}", {"Mcp-Param-Region", "=?base64?SGVsbG8="},
			NULL},
		{"{\"region\":\"SGVsbG8=\"}", {"Mcp-Param-Region", "SGVsbG8="}, NULL},
		{"{\"region\":\"Hello\"}", {"Mcp-Param-Region", "=?base64?SGVsbG8?="},
			"Mcp-Param-Region"},
		{"{\"region\":\"Hello\"}", {"Mcp-Param-Region", "=?base64?SGVs!!!bG8=?="},
			"Mcp-Param-Region"},
		{"{\"region\":\"us\"}", {NULL, NULL}, "Mcp-Param-Region"},
		{"{\"region\":\"us\"}", {"Mcp-Param-Region", "eu"}, "Mcp-Param-Region"},
		{"{\"region\":\"us\"}", {"Mcp-Param-Region", "US"}, "Mcp-Param-Region"},
		{"{\"n\":42}", {"Mcp-Param-N", "42"}, NULL},
		{"{\"n\":42}", {"Mcp-Param-N", "42.0"}, NULL},
		{"{\"n\":-7}", {"Mcp-Param-N", "-7"}, NULL},
		{"{\"n\":42}", {"Mcp-Param-N", "43"}, "Mcp-Param-N"},
		{"{\"n\":42}", {"Mcp-Param-N", "0x2a"}, "Mcp-Param-N"},
		{"{\"n\":42}", {"Mcp-Param-N", ""}, "Mcp-Param-N"},
		{"{\"b\":true}", {"Mcp-Param-B", "true"}, NULL},
		{"{\"b\":false}", {"Mcp-Param-B", "true"}, "Mcp-Param-B"},
		{"{\"deep\":{\"x\":\"y\"}}", {"Mcp-Param-Deep-X", "y"}, NULL},
		{"{\"deep\":{\"x\":\"y\"}}", {"Mcp-Param-Deep-X", "z"}, "Mcp-Param-Deep-X"},
		{"{\"r\\u0065gion\":\"us\"}", {NULL, NULL}, "Mcp-Param-Region"},
	};
	struct jscan tool, arguments;
	char wrong[96];

	(void)state;
	assert_int_equal(jscan_parse(TOOL, strlen(TOOL), &tool), RC_OK);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct sent s = cases[i].sent;
		bool ok;

		wrong[0] = '\0';
		assert_int_equal(
			jscan_parse(cases[i].arguments, strlen(cases[i].arguments), &arguments),
			RC_OK);
		ok = mcp_params_ok(tool, arguments, sent_header, &s, wrong, sizeof(wrong));
		if (ok != !cases[i].wrong ||
			strcmp(wrong, cases[i].wrong ? cases[i].wrong : "") != 0)
			fail_msg("%s with %s: %s", cases[i].arguments, s.value ? s.value : "-",
				wrong);
	}
	/* A tool without schema, a call without arguments. */
	assert_true(mcp_params_ok((struct jscan){NULL, 0, JSCAN_NONE}, arguments, sent_header,
		&(struct sent){0}, wrong, sizeof(wrong)));
	assert_true(mcp_params_ok(tool, (struct jscan){NULL, 0, JSCAN_NONE}, sent_header,
		&(struct sent){0}, wrong, sizeof(wrong)));
}

static void schemas_are_followed_so_deep(void **state)
{
	char schema[2048] = "{\"inputSchema\":", arguments[512] = "";
	struct jscan tool, args;
	char wrong[96];

	(void)state;
	for (int i = 0; i < 12; i++) {
		strcat(schema, "{\"properties\":{\"a\":");
		strcat(arguments, "{\"a\":");
	}
	strcat(schema, "{\"x-mcp-header\":\"A\"}");
	strcat(arguments, "\"v\"");
	for (int i = 0; i < 12; i++) {
		strcat(schema, "}}");
		strcat(arguments, "}");
	}
	strcat(schema, "}");
	assert_int_equal(jscan_parse(schema, strlen(schema), &tool), RC_OK);
	assert_int_equal(jscan_parse(arguments, strlen(arguments), &args), RC_OK);
	assert_true(
		mcp_params_ok(tool, args, sent_header, &(struct sent){0}, wrong, sizeof(wrong)));
}

static void header_values_are_decoded(void **state)
{
	char text[16];

	(void)state;
	assert_int_equal(mcp_header_value(" a b ", text, sizeof(text)), RC_OK);
	assert_string_equal(text, "a b");
	assert_int_equal(mcp_header_value("", text, sizeof(text)), RC_OK);
	assert_string_equal(text, "");
	assert_int_equal(mcp_header_value("=?base64?"
					  "?=",
				 text, sizeof(text)),
		RC_OK);
	assert_string_equal(text, "");
	assert_int_equal(mcp_header_value("=?base64?IHBhZGRlZCA=?=", text, sizeof(text)), RC_OK);
	assert_string_equal(text, " padded ");
	assert_int_equal(
		mcp_header_value("=?base64?AGE=?=", text, sizeof(text)), RC_INVALID); /* NUL */
	assert_int_equal(
		mcp_header_value("=?base64?/w==?=", text, sizeof(text)), RC_INVALID); /* no UTF-8 */
	assert_int_equal(mcp_header_value("a\x01", text, sizeof(text)), RC_INVALID);
	assert_int_equal(mcp_header_value("a\x7f", text, sizeof(text)), RC_INVALID);
	assert_int_equal(mcp_header_value("0123456789abcdef", text, sizeof(text)), RC_INVALID);
	assert_int_equal(mcp_header_value("=?base64?", text, sizeof(text)), RC_OK);
}

static void answers_have_their_status(void **state)
{
	static const struct {
		enum mcp_era era;
		const char *answer;
		int status;
	} cases[] = {
		{MCP_MODERN, "{\"id\":1,\"result\":{}}", 200},
		{MCP_MODERN, "{\"id\":1,\"error\":{\"code\":-32601}}", 404},
		{MCP_MODERN, "{\"id\":1,\"error\":{\"code\":-32021}}", 400},
		{MCP_MODERN, "{\"id\":1,\"error\":{\"code\":-32602}}", 200},
		{MCP_MODERN, "{\"id\":1,\"error\":{\"code\":-32603}}", 200},
		{MCP_MODERN, "{\"id\":1,\"result\":{\"error\":{\"code\":-32601}}}", 200},
		{MCP_MODERN, "sealed bytes with \"error\" in them", 200},
		{MCP_MODERN, "", 200},
		{MCP_LEGACY, "{\"id\":1,\"error\":{\"code\":-32601}}", 200},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(
			mcp_result_status(cases[i].era, cases[i].answer, strlen(cases[i].answer)),
			cases[i].status);
}

static void hosts_are_checked(void **state)
{
	static const struct {
		const char *host, *url;
		bool ok;
	} cases[] = {
		{"cp.example.com", "https://cp.example.com", true},
		{"CP.example.com:443", "https://cp.example.com", true},
		{"cp.example.com.", "https://cp.example.com", true},
		{"cp.example.com:8443", "https://cp.example.com:8443/base", true},
		{"evil.com", "https://cp.example.com", false},
		{"cp.example.com.evil.com", "https://cp.example.com", false},
		{"localhost", "https://cp.example.com", false},
		{"127.0.0.1:8080", "https://cp.example.com", false},
		{"", "https://cp.example.com", false},
		{":80", "https://cp.example.com", false},
		{"localhost:8080", "http://localhost:8080", true},
		{"127.0.0.1:9", "http://localhost:8080", true},
		{"[::1]:9", "http://127.0.0.1", true},
		{"[::1", "http://127.0.0.1", false},
		{"evil.com:8080", "http://localhost:8080", false},
		{"localhost.evil.com", "http://localhost:8080", false},
		{"[2001:db8::1]:1", "http://[2001:db8::1]", true},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		if (mcp_front_host_ok(cases[i].host, cases[i].url) != cases[i].ok)
			fail_msg("%s for %s", cases[i].host, cases[i].url);
}

static void origins_are_compared_with_the_host(void **state)
{
	(void)state;
	assert_true(mcp_front_same_origin("http://localhost:8080", "localhost:8080"));
	assert_true(mcp_front_same_origin("https://cp.example.com", "CP.example.com"));
	assert_false(mcp_front_same_origin("http://localhost:8081", "localhost:8080"));
	assert_false(mcp_front_same_origin("http://evil.com", "localhost"));
	assert_false(mcp_front_same_origin("null", "localhost"));
	assert_false(mcp_front_same_origin("ftp://localhost", "localhost"));
	assert_false(mcp_front_same_origin("http://", "localhost"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row),
		cmocka_unit_test(content_type_and_accept),
		cmocka_unit_test(members_are_found),
		cmocka_unit_test(unsupported_versions_are_echoed),
		cmocka_unit_test(repeated_name_headers),
		cmocka_unit_test(long_ids_and_methods),
		cmocka_unit_test(batches),
		cmocka_unit_test(params_are_mirrored),
		cmocka_unit_test(schemas_are_followed_so_deep),
		cmocka_unit_test(header_values_are_decoded),
		cmocka_unit_test(answers_have_their_status),
		cmocka_unit_test(hosts_are_checked),
		cmocka_unit_test(origins_are_compared_with_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
