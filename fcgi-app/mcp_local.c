#include "fcgi-app/mcp_local.h"

#include <string.h>

#define OWN_SERVER_INFO "{\"name\":\"airlock\",\"version\":\"" AIRLOCK_VERSION "\"}"
#define OWN_CAPABILITIES "{\"tools\":{}}"

static void put_raw(struct buf *out, struct jscan v)
{
	buf_add(out, v.p, v.len);
}

/* {"jsonrpc":"2.0","id":..., which every answer starts with. */
static void begin(struct buf *out, struct jscan id)
{
	buf_str(out, "{\"jsonrpc\":\"2.0\",\"id\":");
	if (id.kind == JSCAN_NONE)
		buf_str(out, "null");
	else
		put_raw(out, id);
}

static struct jscan manifest_member(const char *manifest, size_t len, const char *name)
{
	struct jscan whole, v = {NULL, 0, JSCAN_NONE};

	if (manifest && jscan_parse(manifest, len, &whole) == RC_OK)
		(void)jscan_get(whole, name, &v);
	return v;
}

static void put_member(struct buf *out, const char *name, struct jscan v, const char *otherwise)
{
	if (v.kind == JSCAN_NONE && !otherwise)
		return;
	buf_printf(out, ",\"%s\":", name);
	if (v.kind == JSCAN_NONE)
		buf_str(out, otherwise);
	else
		put_raw(out, v);
}

static bool is_legacy_version(struct jscan v)
{
	return jscan_is_str(v, MCP_LEGACY_NEWEST) || jscan_is_str(v, "2025-06-18") ||
		jscan_is_str(v, MCP_LEGACY_ASSUMED);
}

void mcp_local_initialize(
	struct buf *out, const struct mcp_request *m, const char *manifest, size_t len)
{
	struct jscan version;

	(void)jscan_get(m->params, "protocolVersion", &version);
	begin(out, m->id);
	buf_str(out, ",\"result\":{\"protocolVersion\":");
	if (is_legacy_version(version))
		put_raw(out, version);
	else
		buf_str(out, "\"" MCP_LEGACY_NEWEST "\"");
	put_member(out, "capabilities", manifest_member(manifest, len, "capabilities"),
		OWN_CAPABILITIES);
	put_member(
		out, "serverInfo", manifest_member(manifest, len, "serverInfo"), OWN_SERVER_INFO);
	put_member(out, "instructions", manifest_member(manifest, len, "instructions"), NULL);
	buf_str(out, "}}");
}

void mcp_local_ping(struct buf *out, const struct mcp_request *m)
{
	begin(out, m->id);
	buf_str(out, ",\"result\":{}}");
}

/* What the result of a modern list or discovery ends with. */
static void put_modern(struct buf *out, const char *manifest, size_t len)
{
	buf_printf(out,
		",\"resultType\":\"complete\",\"ttlMs\":%d,\"cacheScope\":\"private\",\"_meta\":{"
		"\"io.modelcontextprotocol/serverInfo\":",
		MCP_TTL_MS);
	if (manifest_member(manifest, len, "serverInfo").kind == JSCAN_NONE)
		buf_str(out, OWN_SERVER_INFO);
	else
		put_raw(out, manifest_member(manifest, len, "serverInfo"));
	buf_char(out, '}');
}

void mcp_local_discover(
	struct buf *out, const struct mcp_request *m, const char *manifest, size_t len)
{
	begin(out, m->id);
	buf_str(out, ",\"result\":{\"supportedVersions\":");
	buf_str(out, mcp_versions_json);
	put_member(out, "capabilities", manifest_member(manifest, len, "capabilities"),
		OWN_CAPABILITIES);
	put_member(out, "instructions", manifest_member(manifest, len, "instructions"), NULL);
	put_modern(out, manifest, len);
	buf_str(out, "}}");
}

void mcp_local_tools(struct buf *out, const struct mcp_request *m, const char *manifest, size_t len,
	const char *allowed, const struct toolset *withheld)
{
	begin(out, m->id);
	buf_str(out, ",\"result\":{\"tools\":");
	manifest_tools(out, manifest, len, allowed, withheld);
	if (m->era == MCP_MODERN)
		put_modern(out, manifest, len);
	buf_str(out, "}}");
}

void mcp_local_error(
	struct buf *out, struct jscan id, const struct mcp_error *e, const char *request_id)
{
	begin(out, id);
	buf_printf(out, ",\"error\":{\"code\":%d,\"message\":", e->code);
	buf_json(out, e->message);
	buf_str(out, ",\"data\":{");
	if (e->code == MCP_UNSUPPORTED_VERSION) {
		buf_str(out, "\"supported\":");
		buf_str(out, mcp_versions_json);
		buf_str(out, ",\"requested\":");
		buf_json(out, e->requested);
		buf_char(out, ',');
	}
	if (e->problem != PROBLEM_COUNT) {
		buf_str(out, "\"code\":");
		buf_json(out, problem_code(e->problem));
		buf_char(out, ',');
	}
	if (e->detail) {
		buf_str(out, "\"detail\":");
		buf_json(out, e->detail);
		buf_char(out, ',');
	}
	buf_str(out, "\"request_id\":");
	buf_json(out, request_id);
	buf_str(out, "}}}");
}
