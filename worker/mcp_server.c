#include "worker/mcp_server.h"

#include <stdio.h>
#include <string.h>

#define METHOD_MAX 128
#define MODERN_VERSION "2026-07-28"
#define NEWEST_LEGACY_VERSION "2025-11-25"
#define LIST_TTL_MS 60000

static const char *const legacy_versions[] = {NEWEST_LEGACY_VERSION, "2025-06-18", "2025-03-26"};

/* One request while it is being answered. */
struct exchange {
	const struct mcp_server *server;
	const struct mcp_request *rq;
	struct jscan id, params;
	bool modern;
	struct buf *out;
	struct mcp_answer *answer;
};

enum mcp_era mcp_era_parse(const char *text)
{
	if (strcmp(text, "modern") == 0)
		return MCP_ERA_MODERN;
	if (strcmp(text, "legacy") == 0)
		return MCP_ERA_LEGACY;
	return MCP_ERA_UNSAID;
}

/* Revisions are dates, so text order is time order. */
static bool version_is_modern(struct jscan params)
{
	struct jscan v;
	char version[32];

	return jscan_path(params, &v, "_meta", "io.modelcontextprotocol/protocolVersion", NULL) ==
		RC_OK &&
		jscan_str(v, version, sizeof version) == RC_OK &&
		strcmp(version, MODERN_VERSION) >= 0;
}

static bool id_ok(struct jscan id)
{
	return id.kind == JSCAN_STRING || id.kind == JSCAN_NUMBER;
}

struct jscan mcp_request_id(const char *text, size_t len)
{
	struct jscan root, id = {0};

	if (jscan_parse(text, len, &root) == RC_OK && jscan_get(root, "id", &id) == RC_OK &&
		id_ok(id))
		return id;
	return (struct jscan){0};
}

static void open_response(struct buf *out, struct jscan id)
{
	buf_str(out, "{\"jsonrpc\":\"2.0\",\"id\":");
	if (id.kind == JSCAN_NONE)
		buf_str(out, "null");
	else
		buf_add(out, id.p, id.len); /* the agent's own bytes */
}

void mcp_error(struct buf *out, struct jscan id, enum mcp_code code, const char *message)
{
	open_response(out, id);
	buf_printf(out, ",\"error\":{\"code\":%d,\"message\":", (int)code);
	buf_json(out, message);
	buf_str(out, "}}");
}

static void refuse(struct exchange *x, enum mcp_code code, const char *outcome, const char *message)
{
	mcp_error(x->out, x->id, code, message);
	x->answer->outcome = outcome;
}

/* The members come from the caller; "resultType" is what makes a result a modern one. */
static void open_result(struct exchange *x)
{
	open_response(x->out, x->id);
	buf_str(x->out, ",\"result\":{");
	if (x->modern)
		buf_str(x->out, "\"resultType\":\"complete\"");
}

static void comma(struct buf *out)
{
	if (out->len > 0 && out->data[out->len - 1] != '{')
		buf_char(out, ',');
}

static void put_description(const struct mcp_server *s, struct buf *out)
{
	comma(out);
	buf_str(out, "\"serverInfo\":");
	if (s->info.kind == JSCAN_OBJECT) {
		buf_add(out, s->info.p, s->info.len);
	} else {
		buf_str(out, "{\"name\":");
		buf_json(out, s->name);
		buf_str(out, ",\"version\":");
		buf_json(out, s->version);
		buf_char(out, '}');
	}
	buf_str(out, ",\"capabilities\":");
	if (s->capabilities.kind == JSCAN_OBJECT)
		buf_add(out, s->capabilities.p, s->capabilities.len);
	else
		buf_str(out, "{\"tools\":{\"listChanged\":true}}");
	if (s->instructions != NULL) {
		buf_str(out, ",\"instructions\":");
		buf_json(out, s->instructions);
	}
}

static void put_tools(const struct mcp_server *s, struct buf *out)
{
	comma(out);
	buf_str(out, "\"tools\":");
	s->backend.list(s->backend.ctx, out);
}

static void put_cache_hints(struct buf *out)
{
	/* Private: each API key sees its own selection of the tools. */
	buf_printf(out, ",\"ttlMs\":%d,\"cacheScope\":\"private\"", LIST_TTL_MS);
}

static void handle_list(struct exchange *x)
{
	open_result(x);
	put_tools(x->server, x->out);
	if (x->modern)
		put_cache_hints(x->out);
	buf_str(x->out, "}}");
}

static void handle_ping(struct exchange *x)
{
	open_result(x);
	buf_str(x->out, "}}");
}

static void handle_initialize(struct exchange *x)
{
	struct jscan wanted;
	const char *version = NEWEST_LEGACY_VERSION;

	if (jscan_get(x->params, "protocolVersion", &wanted) != RC_OK ||
		wanted.kind != JSCAN_STRING) {
		refuse(x, MCP_INVALID_PARAMS, "tool_error",
			"params.protocolVersion must be a string");
		return;
	}
	for (size_t i = 0; i < sizeof legacy_versions / sizeof *legacy_versions; i++) {
		if (jscan_is_str(wanted, legacy_versions[i]))
			version = legacy_versions[i];
	}
	open_result(x);
	buf_printf(x->out, "\"protocolVersion\":\"%s\"", version);
	put_description(x->server, x->out);
	buf_str(x->out, "}}");
}

static void handle_discover(struct exchange *x)
{
	open_result(x);
	buf_str(x->out, ",\"supportedVersions\":[\"" MODERN_VERSION "\"");
	for (size_t i = 0; i < sizeof legacy_versions / sizeof *legacy_versions; i++)
		buf_printf(x->out, ",\"%s\"", legacy_versions[i]);
	buf_char(x->out, ']');
	put_description(x->server, x->out);
	put_cache_hints(x->out);
	buf_str(x->out, "}}");
}

/* A CallToolResult as the tool made it: its bytes stay, a modern one gets resultType in front. */
static void put_tool_result(struct exchange *x, const struct buf *json)
{
	if (json->failed) {
		x->out->failed = true; /* it was larger than any answer may be */
		return;
	}
	if (json->len < 2 || json->data[0] != '{' || json->data[json->len - 1] != '}') {
		refuse(x, MCP_INTERNAL, "tool_error", "The tool gave no result");
		return;
	}
	open_result(x);
	if (json->len > 2) {
		comma(x->out);
		buf_add(x->out, json->data + 1, json->len - 2);
	}
	buf_str(x->out, "}}");
}

static void put_outcome(struct exchange *x, const char *name, const struct tool_result *r)
{
	char message[METHOD_MAX + 64];

	switch (r->outcome) {
	case TOOL_OK:
		x->answer->outcome = "ok";
		put_tool_result(x, &r->json);
		return;
	case TOOL_ERROR:
		x->answer->outcome = "tool_error";
		put_tool_result(x, &r->json);
		return;
	case TOOL_UNKNOWN:
		(void)snprintf(message, sizeof message, "Unknown tool: %s", name);
		refuse(x, MCP_INVALID_PARAMS, "tool_error", message);
		return;
	case TOOL_CANCELLED:
		refuse(x, MCP_CANCELLED, "cancelled", "The call was cancelled");
		return;
	case TOOL_TIMEOUT:
		/* What the tool has to say about it helps a model ask for less. */
		x->answer->outcome = "timeout";
		if (r->json.len > 0)
			put_tool_result(x, &r->json);
		else
			refuse(x, MCP_TIMEOUT, "timeout", "The call did not end in time");
		return;
	}
	refuse(x, MCP_INTERNAL, "tool_error", "The tool gave no result");
}

static void handle_call(struct exchange *x)
{
	struct jscan v;
	char name[METHOD_MAX];
	struct tool_call call = {
		.deadline_mono_ms = x->rq->deadline_mono_ms, .cancelled = x->rq->cancelled};
	struct tool_result result = {0};

	if (x->params.kind != JSCAN_OBJECT) {
		refuse(x, MCP_INVALID_PARAMS, "tool_error",
			"params must be an object with a tool's name");
		return;
	}
	if (jscan_get(x->params, "name", &v) != RC_OK || jscan_str(v, name, sizeof name) != RC_OK ||
		name[0] == '\0') {
		refuse(x, MCP_INVALID_PARAMS, "tool_error",
			"params.name must be the name of a tool");
		return;
	}
	switch (jscan_get(x->params, "arguments", &call.arguments)) {
	case RC_OK:
		if (call.arguments.kind == JSCAN_OBJECT)
			break;
		/* fall through */
	case RC_CONFLICT:
		refuse(x, MCP_INVALID_PARAMS, "tool_error", "params.arguments must be one object");
		return;
	default:
		break;
	}
	buf_init(&result.json, x->out->max);
	call.name = name;
	x->server->backend.call(x->server->backend.ctx, &call, &result);
	memcpy(x->answer->snapshot_id, result.snapshot_id, sizeof x->answer->snapshot_id);
	put_outcome(x, name, &result);
	buf_free(&result.json);
}

/* The control plane answers most of these itself; a third party's may not. */
static const struct method {
	const char *name;
	bool legacy, modern;
	void (*handle)(struct exchange *x);
} methods[] = {
	{"tools/call", true, true, handle_call},
	{"tools/list", true, true, handle_list},
	{"ping", true, false, handle_ping},
	{"initialize", true, false, handle_initialize},
	{"server/discover", false, true, handle_discover},
};

static void dispatch(struct exchange *x, const char *name)
{
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
		const struct method *m = &methods[i];
		if (strcmp(m->name, name) == 0 && (x->modern ? m->modern : m->legacy)) {
			m->handle(x);
			return;
		}
	}
	refuse(x, MCP_METHOD_NOT_FOUND, "tool_error", "Method not found");
}

/* The envelope: RC_INVALID when it was refused already, RC_NOTFOUND for a notification. */
static enum rc read_envelope(struct exchange *x, char method[METHOD_MAX])
{
	struct jscan root, v;
	enum rc rc;

	if (jscan_parse(x->rq->text, x->rq->len, &root) != RC_OK) {
		refuse(x, MCP_PARSE_ERROR, "tool_error", "The message is not valid JSON");
		return RC_INVALID;
	}
	rc = jscan_get(root, "id", &x->id);
	if (rc == RC_CONFLICT || (rc == RC_OK && !id_ok(x->id))) {
		x->id = (struct jscan){0};
		refuse(x, MCP_INVALID_REQUEST, "tool_error", "id must be one string or number");
		return RC_INVALID;
	}
	if (jscan_get(root, "jsonrpc", &v) != RC_OK || !jscan_is_str(v, "2.0") ||
		jscan_get(root, "method", &v) != RC_OK || v.kind != JSCAN_STRING) {
		refuse(x, MCP_INVALID_REQUEST, "tool_error",
			"The message is not a JSON-RPC 2.0 request");
		return RC_INVALID;
	}
	if (x->id.kind == JSCAN_NONE)
		return RC_NOTFOUND;
	/* One that does not fit is none we know. */
	if (jscan_str(v, method, METHOD_MAX) != RC_OK)
		method[0] = '\0';
	if (jscan_get(root, "params", &x->params) == RC_CONFLICT) {
		refuse(x, MCP_INVALID_REQUEST, "tool_error", "params is there twice");
		return RC_INVALID;
	}
	return RC_OK;
}

void mcp_server_handle(const struct mcp_server *s, const struct mcp_request *rq, struct buf *out,
	struct mcp_answer *answer)
{
	struct exchange x = {.server = s, .rq = rq, .out = out, .answer = answer};
	char method[METHOD_MAX];

	*answer = (struct mcp_answer){.outcome = "ok"};
	if (read_envelope(&x, method) == RC_OK) {
		x.modern = rq->era == MCP_ERA_MODERN ||
			(rq->era == MCP_ERA_UNSAID && version_is_modern(x.params));
		dispatch(&x, method);
	}
	if (out->failed) {
		buf_free(out);
		refuse(&x, MCP_TOO_LARGE, "too_large",
			"The result is larger than the control plane takes; ask for fewer rows or "
			"columns");
	}
}

void mcp_server_manifest(const struct mcp_server *s, struct buf *out)
{
	buf_char(out, '{');
	put_description(s, out);
	put_tools(s, out);
	if (s->engine == NULL) {
		buf_char(out, '}');
		return;
	}
	buf_str(out, ",\"subject_argument\":\"subject_id\",\"engine\":");
	buf_json(out, s->engine);
	buf_printf(out,
		",\"limits\":{\"query_timeout_ms\":%lld,\"result_max_rows\":%lld,\"result_max_"
		"bytes\":%lld}}",
		(long long)s->query_timeout_ms, (long long)s->result_max_rows,
		(long long)s->result_max_bytes);
}
