#include "fcgi-app/mcp_filter.h"

static bool offers(struct jscan capabilities, const char *what, const char *flag)
{
	struct jscan v;

	return jscan_path(capabilities, &v, what, flag, NULL) == RC_OK && v.kind == JSCAN_TRUE;
}

static bool has_extensions(struct jscan capabilities)
{
	struct jscan v;

	return jscan_get(capabilities, "extensions", &v) == RC_OK && v.kind == JSCAN_OBJECT;
}

static enum rc read_flag(struct jscan v, bool *out)
{
	*out = v.kind == JSCAN_TRUE;
	return v.kind == JSCAN_TRUE || v.kind == JSCAN_FALSE ? RC_OK : RC_INVALID;
}

/* A list of strings; *any tells whether there is one in it. */
static enum rc read_uris(struct jscan list, bool *any)
{
	struct jscan_iter it = jscan_iter(list);
	struct jscan key, uri;

	if (list.kind != JSCAN_ARRAY)
		return RC_INVALID;
	while (jscan_next(&it, &key, &uri)) {
		if (uri.kind != JSCAN_STRING)
			return RC_INVALID;
		*any = true;
	}
	return RC_OK;
}

static enum rc read_member(struct jscan name, struct jscan v, struct mcp_filter *f, bool *uris,
	bool *others, const char **why)
{
	if (jscan_is_str(name, "toolsListChanged") || jscan_is_str(name, "promptsListChanged") ||
		jscan_is_str(name, "resourcesListChanged")) {
		*why = "toolsListChanged, promptsListChanged and resourcesListChanged must be true "
		       "or false.";
		return read_flag(v,
			jscan_is_str(name, "toolsListChanged")             ? &f->tools
				: jscan_is_str(name, "promptsListChanged") ? &f->prompts
									   : &f->resources);
	}
	if (jscan_is_str(name, "resourceSubscriptions")) {
		*why = "resourceSubscriptions must be an array of URIs.";
		return read_uris(v, uris);
	}
	*others = true;
	return RC_OK;
}

enum rc mcp_filter_read(
	struct jscan params, struct jscan capabilities, struct mcp_filter *out, const char **why)
{
	struct mcp_filter f = {0};
	struct jscan filter, name, v;
	bool uris = false, others = false;

	if (jscan_get(params, "notifications", &filter) != RC_OK || filter.kind != JSCAN_OBJECT) {
		*why = "params.notifications must be an object that says what to listen for.";
		return RC_INVALID;
	}
	for (struct jscan_iter it = jscan_iter(filter); jscan_next(&it, &name, &v);)
		if (read_member(name, v, &f, &uris, &others, why) != RC_OK)
			return RC_INVALID;
	f.prompts = f.prompts && offers(capabilities, "prompts", "listChanged");
	f.resources = f.resources && offers(capabilities, "resources", "listChanged");
	f.worker = (uris && offers(capabilities, "resources", "subscribe")) ||
		(others && has_extensions(capabilities));
	*out = f;
	return RC_OK;
}

void mcp_filter_acknowledge(struct buf *out, struct jscan id, const struct mcp_filter *f)
{
	const char *comma = "";

	buf_str(out,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\","
		"\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":");
	buf_add(out, id.p, id.len);
	buf_str(out, "},\"notifications\":{");
	if (f->tools) {
		buf_str(out, "\"toolsListChanged\":true");
		comma = ",";
	}
	if (f->prompts) {
		buf_printf(out, "%s\"promptsListChanged\":true", comma);
		comma = ",";
	}
	if (f->resources)
		buf_printf(out, "%s\"resourcesListChanged\":true", comma);
	buf_str(out, "}}}");
}
