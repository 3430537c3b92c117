#include "worker/upstream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/crypto.h"
#include "shared/log.h"
#include "shared/manifest.h"
#include "shared/mem.h"
#include "worker/mcp_server.h"
#include "worker/upstream_internal.h"
#include "worker/upstream_meta.h"

#define HELLO_MAX ((size_t)256 << 10)
#define TOOLS_MAX ((size_t)1 << 20)
#define PAGES_MAX 64
#define MARK "\"x-mcp-header\""
#define LEGACY_NOT_FOUND (-32002) /* a resource; -32602 in the newer era */
#define LEGACY_OPEN_URL (-32042) /* elicitation of the kind that opens a page */
#define OWN_DEADLINE_MS 30000
#define OWN_META                                                                \
	"\"_meta\":{\"" META "protocolVersion\":\"" MODERN_VERSION "\",\"" META \
	"clientCapabilities\":{},\"" META                                       \
	"clientInfo\":{\"name\":\"airlock-worker\",\"version\":\"" AIRLOCK_VERSION "\"}}"

static const char *const levels[] = {
	"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"};

static int level_of(struct jscan text)
{
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
		if (jscan_is_str(text, levels[i]))
			return (int)i;
	return -1;
}

/* --- making and ending ------------------------------------------------------------------ */

struct upstream *upstream_new(
	const struct upstream_config *config, const struct upstream_owner *owner)
{
	struct upstream *u = xcalloc(1, sizeof *u);

	u->config = *config;
	u->owner = *owner;
	LIST_INIT(&u->pending);
	buf_init(&u->hello, HELLO_MAX);
	buf_init(&u->listing, TOOLS_MAX);
	buf_init(&u->tools, TOOLS_MAX);
	buf_init(&u->marking, TOOLS_MAX);
	buf_init(&u->marked, TOOLS_MAX);
	crypto_random(u->key, sizeof u->key);
	return u;
}

void upstream_free(struct upstream *u)
{
	if (u == NULL)
		return;
	for (struct pending *p = LIST_FIRST(&u->pending), *next; p != NULL; p = next) {
		next = LIST_NEXT(p, entry);
		upstream_forget(u, p);
	}
	buf_free(&u->hello);
	buf_free(&u->listing);
	buf_free(&u->tools);
	buf_free(&u->marking);
	buf_free(&u->marked);
	free(u);
}

struct pending *upstream_find(struct upstream *u, uint64_t number)
{
	struct pending *p;

	LIST_FOREACH(p, &u->pending, entry)
	{
		if (p->number == number)
			return p;
	}
	return NULL;
}

static struct pending *begin(struct upstream *u, enum kind kind, bool listen)
{
	struct pending *p = xcalloc(1, sizeof *p);

	p->kind = kind;
	p->listen = listen;
	p->number = ++u->last;
	p->log_level = -1;
	STAILQ_INIT(&p->asked);
	LIST_INSERT_HEAD(&u->pending, p, entry);
	if (kind == CLIENTS)
		*(listen ? &u->listens : &u->calls) += 1;
	return p;
}

void upstream_forget(struct upstream *u, struct pending *p)
{
	LIST_REMOVE(p, entry);
	if (p->kind == CLIENTS)
		*(p->listen ? &u->listens : &u->calls) -= 1;
	bridge_free_asked(p);
	buf_free(&p->late);
	free(p->id);
	free(p->token);
	free(p->text);
	free(p->state);
	free(p->identity);
	free(p->traceparent);
	free(p->tracestate);
	free(p);
}

void upstream_error(
	struct buf *out, struct jscan id, int code, const char *name, const char *message)
{
	char text[512];

	(void)snprintf(text, sizeof text, "The server \"%s\" %s", name, message);
	mcp_error(out, id, (enum mcp_code)code, text);
}

static struct jscan raw(const char *text)
{
	return (struct jscan){text, strlen(text), JSCAN_STRING};
}

void upstream_fail(
	struct upstream *u, struct pending *p, int code, const char *outcome, const char *message)
{
	struct buf out;
	void *call = p->call;

	bridge_withdraw(u, p);
	buf_init(&out, UPSTREAM_MESSAGE_MAX);
	if (p->id != NULL)
		upstream_error(&out, raw(p->id), code, u->config.name, message);
	upstream_forget(u, p);
	if (call != NULL)
		u->owner.result(u->owner.ctx, call, outcome, &out);
	buf_free(&out);
}

void upstream_set_text(char **to, struct jscan value)
{
	free(*to);
	*to = value.kind == JSCAN_NONE ? NULL : xstrndup(value.p, value.len);
}

void upstream_set_token(struct pending *p, struct jscan params)
{
	struct jscan token;

	(void)jscan_path(params, &token, "_meta", "progressToken", NULL);
	upstream_set_text(&p->token, token);
}

/* --- our own requests ------------------------------------------------------------------- */

static void own(struct upstream *u, enum kind kind, const char *method, const char *params,
	int64_t now_ms, bool for_ever)
{
	struct pending *p = begin(u, kind, false);
	struct buf b;

	if (!for_ever)
		p->deadline_ms = now_ms + OWN_DEADLINE_MS;
	buf_init(&b, HELLO_MAX);
	buf_printf(&b, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"method\":\"%s\",\"params\":{",
		p->number, method);
	if (u->modern || kind == OWN_PROBE)
		buf_printf(&b, "%s%s", OWN_META, params[0] != '\0' ? "," : "");
	buf_printf(&b, "%s}}", params);
	if (u->owner.send(u->owner.ctx, b.data, b.len) != RC_OK)
		log_debug("upstream %s: %s was not sent", u->config.name, method);
	buf_free(&b);
}

static void notify(struct upstream *u, const char *text)
{
	if (u->owner.send(u->owner.ctx, text, strlen(text)) != RC_OK)
		log_debug("upstream %s: a notification was not sent", u->config.name);
}

static void enter(struct upstream *u, enum phase phase, int64_t now_ms)
{
	/* Listing anew while calls go on is no new start. */
	if (phase != LISTING || u->phase != READY)
		u->phase = phase;
	u->phase_since = now_ms;
}

static void initialize(struct upstream *u, int64_t now_ms)
{
	u->modern = false;
	enter(u, INITIALIZING, now_ms);
	own(u, OWN_INIT, "initialize",
		"\"protocolVersion\":\"" LEGACY_VERSION
		"\",\"capabilities\":{\"sampling\":{},\"elicitation\":{},\"roots\":{}},"
		"\"clientInfo\":{\"name\":\"airlock-worker\",\"version\":\"" AIRLOCK_VERSION "\"}",
		now_ms, true);
}

void upstream_up(struct upstream *u, int64_t now_ms)
{
	u->suspect_since = 0;
	u->modern = false;
	u->relist = false;
	if (u->skip_probe) {
		initialize(u, now_ms);
		return;
	}
	enter(u, PROBING, now_ms);
	own(u, OWN_PROBE, "server/discover", "", now_ms, true);
}

void upstream_down(struct upstream *u)
{
	/* Some legacy servers leave when they are asked something before initialize. */
	u->skip_probe = u->phase == PROBING || (u->phase >= LISTING && !u->modern);
	u->phase = DOWN;
	for (struct pending *p = LIST_FIRST(&u->pending), *next; p != NULL; p = next) {
		next = LIST_NEXT(p, entry);
		upstream_fail(u, p, MCP_INTERNAL, "tool_error",
			"has stopped before it answered; it is being started again");
	}
}

static void list_tools(struct upstream *u, const char *cursor, size_t len, int64_t now_ms)
{
	struct buf b;

	buf_init(&b, HELLO_MAX);
	if (len > 0) {
		buf_str(&b, "\"cursor\":");
		buf_add(&b, cursor, len);
	}
	buf_char(&b, '\0');
	if (!b.failed)
		own(u, OWN_TOOLS, "tools/list", (const char *)b.data, now_ms, false);
	buf_free(&b);
}

static void start_listing(struct upstream *u, int64_t now_ms);

static void become_ready(struct upstream *u, int64_t now_ms)
{
	bool first = u->phase != READY;
	bool same = u->listed && u->tools.len == u->listing.len &&
		(u->tools.len == 0 || memcmp(u->tools.data, u->listing.data, u->tools.len) == 0);

	enter(u, READY, now_ms);
	if (!same) {
		buf_reset(&u->tools);
		buf_add(&u->tools, u->listing.data, u->listing.len);
		u->listed = true;
	}
	buf_reset(&u->marked);
	buf_add(&u->marked, u->marking.data, u->marking.len);
	if (u->marked.len > 0)
		buf_char(&u->marked, ']');
	if (first) {
		struct jscan v;

		log_info("upstream %s is ready, speaking MCP %s", u->config.name,
			u->modern ? MODERN_VERSION : "of " LEGACY_VERSION " or before");
		if (u->modern &&
			jscan_path(u->capabilities, &v, "tools", "listChanged", NULL) == RC_OK &&
			v.kind == JSCAN_TRUE)
			own(u, OWN_OTHER, "subscriptions/listen",
				"\"notifications\":{\"toolsListChanged\":true,"
				"\"promptsListChanged\":true,\"resourcesListChanged\":true}",
				now_ms, true);
		if (!u->modern && jscan_get(u->capabilities, "logging", &v) == RC_OK)
			own(u, OWN_OTHER, "logging/setLevel", "\"level\":\"info\"", now_ms, false);
	}
	if (first || !same)
		u->owner.changed(u->owner.ctx);
	if (u->relist) {
		u->relist = false;
		start_listing(u, now_ms);
	}
}

static void start_listing(struct upstream *u, int64_t now_ms)
{
	struct pending *p;
	struct jscan v;

	LIST_FOREACH(p, &u->pending, entry)
	{
		if (p->kind == OWN_TOOLS) {
			u->relist = true;
			return;
		}
	}
	enter(u, LISTING, now_ms);
	buf_free(&u->listing);
	buf_free(&u->marking);
	u->pages = 0;
	if (jscan_get(u->capabilities, "tools", &v) != RC_OK)
		become_ready(u, now_ms);
	else
		list_tools(u, "", 0, now_ms);
}

/* A tool that the control plane would refuse must not take the others with it. */
static bool tool_fits(const struct buf *tool)
{
	struct buf b;
	char why[128];

	buf_init(&b, tool->len + 128);
	buf_str(&b, "{\"serverInfo\":{\"name\":\"x\",\"version\":\"1\"},\"tools\":[");
	buf_add(&b, tool->data, tool->len);
	buf_str(&b, "]}");
	bool ok = !b.failed && !tool->failed &&
		manifest_check((const char *)b.data, b.len, why, sizeof why) == RC_OK;
	buf_free(&b);
	return ok;
}

static void add_tool(struct upstream *u, struct jscan tool)
{
	struct jsplice s = {0};
	struct buf b;
	struct jscan name;

	buf_init(&b, TOOLS_MAX);
	if (jscan_get(tool, "name", &name) == RC_OK && name.kind == JSCAN_STRING)
		jsplice_prepend(&s, name, u->config.prefix, strlen(u->config.prefix));
	jsplice_apply(&s, tool.p, tool.len, &b);
	jsplice_free(&s);
	if (tool_fits(&b)) {
		if (u->listing.len > 0)
			buf_char(&u->listing, ',');
		buf_add(&u->listing, b.data, b.len);
		if (memmem(tool.p, tool.len, MARK, sizeof MARK - 1) != NULL) {
			buf_char(&u->marking, u->marking.len > 0 ? ',' : '[');
			buf_add(&u->marking, tool.p, tool.len);
		}
	} else {
		log_warn(
			"upstream %s: a tool is left out: its name with the prefix must be 1 to 64 "
			"characters of A-Z a-z 0-9 _ . / -, its schemas objects, and it must not "
			"hold a database URL",
			u->config.name);
	}
	buf_free(&b);
}

static void take_tools(struct upstream *u, struct jscan result, int64_t now_ms)
{
	struct jscan tools, key, tool, cursor;

	if (jscan_get(result, "tools", &tools) != RC_OK || tools.kind != JSCAN_ARRAY) {
		u->owner.broken(u->owner.ctx, "gave no list of tools");
		return;
	}
	for (struct jscan_iter it = jscan_iter(tools); jscan_next(&it, &key, &tool);)
		add_tool(u, tool);
	if (u->listing.failed || u->pages++ > PAGES_MAX)
		u->owner.broken(u->owner.ctx, "lists more tools than fit into a manifest");
	else if (jscan_get(result, "nextCursor", &cursor) == RC_OK && cursor.kind == JSCAN_STRING)
		list_tools(u, cursor.p, cursor.len, now_ms);
	else
		become_ready(u, now_ms);
}

static bool take_hello(struct upstream *u, struct jscan result)
{
	struct jscan root;

	buf_free(&u->hello);
	buf_add(&u->hello, result.p, result.len);
	u->capabilities = u->info = u->instructions = (struct jscan){0};
	if (u->hello.failed ||
		jscan_parse((const char *)u->hello.data, u->hello.len, &root) != RC_OK)
		return false;
	(void)jscan_get(root, "capabilities", &u->capabilities);
	(void)jscan_get(root, "instructions", &u->instructions);
	if (jscan_get(root, "serverInfo", &u->info) != RC_OK)
		(void)jscan_path(root, &u->info, "_meta", META "serverInfo", NULL);
	return true;
}

static bool speaks_modern(struct jscan result)
{
	struct jscan list, key, v;

	if (jscan_get(result, "supportedVersions", &list) != RC_OK || list.kind != JSCAN_ARRAY)
		return false;
	for (struct jscan_iter it = jscan_iter(list); jscan_next(&it, &key, &v);)
		if (jscan_is_str(v, MODERN_VERSION))
			return true;
	return false;
}

static void take_own(struct upstream *u, struct pending *p, struct jscan root, int64_t now_ms)
{
	enum kind kind = p->kind;
	struct jscan result;

	(void)jscan_get(root, "result", &result);
	upstream_forget(u, p);
	if (kind == OWN_PROBE && u->phase == PROBING) {
		u->modern = speaks_modern(result) && take_hello(u, result);
		if (u->modern)
			start_listing(u, now_ms);
		else
			initialize(u, now_ms);
	} else if (kind == OWN_INIT) {
		if (result.kind != JSCAN_OBJECT || !take_hello(u, result)) {
			u->skip_probe = false;
			u->owner.broken(u->owner.ctx, "refused to be initialized");
			return;
		}
		notify(u, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
		start_listing(u, now_ms);
	} else if (kind == OWN_TOOLS) {
		take_tools(u, result, now_ms);
	}
}

/* --- a client's request goes out -------------------------------------------------------- */

/* Names carry our prefix for clients only. */
static void strip_prefix(
	const struct upstream *u, struct jsplice *s, struct jscan value, struct buf *store)
{
	char name[NAME_MAX_LEN];
	size_t n = strlen(u->config.prefix);

	if (n > 0 && jscan_str(value, name, sizeof name) == RC_OK &&
		strncmp(name, u->config.prefix, n) == 0) {
		buf_json(store, name + n);
		jsplice_replace(s, value, (const char *)store->data, store->len);
	}
}

static void strip_names(const struct upstream *u, const struct pending *p, struct jsplice *s,
	struct jscan params, struct buf *store)
{
	struct jscan v;

	if (strcmp(p->method, "tools/call") == 0 || strcmp(p->method, "prompts/get") == 0)
		(void)jscan_get(params, "name", &v);
	else if (strcmp(p->method, "completion/complete") == 0)
		(void)jscan_path(params, &v, "ref", "name", NULL);
	else
		return;
	strip_prefix(u, s, v, store);
}

enum rc upstream_forward(
	struct upstream *u, struct pending *p, const char *text, size_t len, const char *more)
{
	struct jscan root, id, params;
	struct upstream_meta meta = {0};
	struct jsplice s = {0};
	struct buf out, name;
	enum rc rc;

	if (jscan_parse(text, len, &root) != RC_OK || jscan_get(root, "id", &id) != RC_OK)
		return RC_INVALID;
	buf_init(&name, (size_t)NAME_MAX_LEN * 6);
	rc = upstream_meta_put(&meta, &s, u, p, root, more);
	buf_init(&out, len + meta.extra.len + strlen(more) + 4096);
	if (rc == RC_OK) {
		(void)jscan_get(root, "params", &params);
		jsplice_replace(&s, id, meta.number, strlen(meta.number));
		strip_names(u, p, &s, params, &name);
		jsplice_apply(&s, text, len, &out);
		rc = out.failed ? RC_LIMIT : u->owner.send(u->owner.ctx, out.data, out.len);
	}
	jsplice_free(&s);
	buf_free(&out);
	buf_free(&name);
	upstream_meta_free(&meta);
	return rc;
}

static bool has(struct jscan object, const char *name)
{
	struct jscan v;

	return jscan_get(object, name, &v) == RC_OK && v.kind == JSCAN_OBJECT;
}

static void describe(
	struct upstream *u, struct pending *p, const struct upstream_call *c, struct jscan root)
{
	struct jscan v, params, meta;

	p->call = c->call;
	p->modern = c->modern;
	p->quiet = c->quiet;
	p->result_max = c->result_max;
	p->deadline_ms = c->listen ? 0 : c->deadline_ms;
	(void)str_copy(p->tunnel_id, sizeof p->tunnel_id, c->id);
	(void)jscan_get(root, "id", &v);
	upstream_set_text(&p->id, v);
	(void)jscan_get(root, "method", &v);
	if (jscan_str(v, p->method, sizeof p->method) != RC_OK)
		p->method[0] = '\0';
	(void)jscan_get(root, "params", &params);
	upstream_set_token(p, params);
	(void)jscan_get(params, "_meta", &meta);
	if (c->identity != NULL && c->tell)
		p->identity = upstream_meta_identity(c->identity, meta);
	if (c->identity != NULL && c->identity->traceparent[0] != '\0') {
		p->traceparent = xstrdup(c->identity->traceparent);
		p->tracestate = xstrdup(c->identity->tracestate);
	}
	(void)jscan_get(meta, META "logLevel", &v);
	p->log_level = p->modern ? level_of(v) : strcmp(p->method, "tools/call") == 0 ? 0 : -1;
	(void)jscan_get(meta, META "clientCapabilities", &v);
	p->sampling = has(v, "sampling");
	p->elicitation = has(v, "elicitation");
	p->roots = has(v, "roots");
	if (u->modern && !p->modern) {
		p->text = xstrndup(c->text, c->len);
		p->len = c->len;
	}
	if (!u->modern && p->modern)
		bridge_bind(u, p, params);
}

enum rc upstream_call(struct upstream *u, const struct upstream_call *c, int64_t now_ms)
{
	struct jscan root;
	struct pending *p;
	enum rc rc;

	if (u->phase != READY)
		return RC_UNAVAILABLE;
	if (jscan_parse(c->text, c->len, &root) != RC_OK)
		return RC_INVALID;
	if (!u->modern && c->modern) {
		rc = bridge_resume(u, c, root, now_ms);
		if (rc != RC_NOTFOUND)
			return rc;
	}
	if (c->listen ? u->listens >= UPSTREAM_LISTENS_MAX
		      : u->calls >= (size_t)u->config.max_calls)
		return RC_LIMIT;
	p = begin(u, CLIENTS, c->listen);
	describe(u, p, c, root);
	if (p->deadline_ms != 0 && p->deadline_ms > now_ms + u->config.timeout_ms)
		p->deadline_ms = now_ms + u->config.timeout_ms;
	rc = upstream_forward(u, p, c->text, c->len, "");
	if (rc != RC_OK)
		upstream_forget(u, p);
	return rc;
}

static void send_cancelled(struct upstream *u, const struct pending *p, const char *reason)
{
	char text[192];

	(void)snprintf(text, sizeof text,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
		"\"requestId\":%" PRIu64 ",\"reason\":\"%s\"}}",
		p->number, reason);
	notify(u, text);
}

void upstream_cancel(struct upstream *u, const void *call, const char *reason)
{
	struct pending *next;

	for (struct pending *p = LIST_FIRST(&u->pending); p != NULL; p = next) {
		next = LIST_NEXT(p, entry);
		if (p->kind != CLIENTS || p->call != call)
			continue;
		send_cancelled(u, p, reason);
		upstream_forget(u, p);
	}
}

/* --- a message of the server comes in --------------------------------------------------- */

/* Prompt names get the prefix that clients know them by. */
static void prefix_prompts(struct upstream *u, struct jsplice *s, struct jscan result)
{
	struct jscan list, key, prompt, name;

	if (jscan_get(result, "prompts", &list) != RC_OK || list.kind != JSCAN_ARRAY)
		return;
	for (struct jscan_iter it = jscan_iter(list); jscan_next(&it, &key, &prompt);)
		if (jscan_get(prompt, "name", &name) == RC_OK && name.kind == JSCAN_STRING)
			jsplice_prepend(s, name, u->config.prefix, strlen(u->config.prefix));
}

static const char *modern_members(const struct pending *p)
{
	static const char *const cacheable[] = {
		"prompts/list", "resources/list", "resources/templates/list", "resources/read"};

	for (size_t i = 0; i < sizeof cacheable / sizeof *cacheable; i++)
		if (strcmp(p->method, cacheable[i]) == 0)
			return "\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\"";
	return "\"resultType\":\"complete\"";
}

/* An error of a legacy server that a modern client must not be sent. True: it was another. */
static bool cross_error(struct upstream *u, struct pending *p, struct jscan code, struct jsplice *s)
{
	static const char invalid_params[] = "-32602";
	int64_t n;

	if (u->modern || !p->modern || jscan_int(code, &n) != RC_OK)
		return true;
	if (n == LEGACY_NOT_FOUND)
		jsplice_replace(s, code, invalid_params, sizeof invalid_params - 1);
	return n != LEGACY_OPEN_URL;
}

/* The response as the client has to see it, and the end of its call. */
void upstream_answer(struct upstream *u, struct pending *p, struct jscan root)
{
	struct jscan id, result, v;
	struct jsplice s = {0};
	struct buf out;
	const char *outcome = "ok";
	void *call = p->call;

	buf_init(&out, p->result_max);
	(void)jscan_get(root, "id", &id);
	(void)jscan_get(root, "result", &result);
	if (jscan_path(root, &v, "error", "code", NULL) == RC_OK && !cross_error(u, p, v, &s)) {
		upstream_fail(u, p, MCP_INTERNAL, "tool_error",
			"wants the user to open a page first, which its revision can't say to a "
			"client of 2026-07-28");
		return;
	}
	jsplice_replace(&s, id, p->id, strlen(p->id));
	if (result.kind != JSCAN_OBJECT ||
		(jscan_get(result, "isError", &v) == RC_OK && v.kind == JSCAN_TRUE))
		outcome = "tool_error";
	if (p->listen && jscan_path(result, &v, "_meta", META "subscriptionId", NULL) == RC_OK)
		jsplice_replace(&s, v, p->id, strlen(p->id));
	if (strcmp(p->method, "prompts/list") == 0)
		prefix_prompts(u, &s, result);
	if (result.kind == JSCAN_OBJECT && u->modern && !p->modern)
		jsplice_remove(&s, result, "resultType");
	if (result.kind == JSCAN_OBJECT && !u->modern && p->modern) {
		const char *members = modern_members(p);

		if (jscan_get(result, "resultType", &v) == RC_NOTFOUND)
			jsplice_insert(&s, result, members, strlen(members));
	}
	jsplice_apply(&s, root.p, root.len, &out);
	jsplice_free(&s);
	if (out.failed) {
		buf_free(&out);
		upstream_fail(u, p, MCP_TOO_LARGE, "too_large",
			"gave a result larger than the control plane takes");
		return;
	}
	bridge_withdraw(u, p);
	upstream_forget(u, p);
	u->owner.result(u->owner.ctx, call, outcome, &out);
	buf_free(&out);
}

static void take_response(struct upstream *u, struct jscan root, int64_t now_ms)
{
	struct jscan id, result, v;
	struct pending *p;
	int64_t number;

	if (jscan_get(root, "id", &id) != RC_OK || jscan_int(id, &number) != RC_OK || number <= 0 ||
		(p = upstream_find(u, (uint64_t)number)) == NULL)
		return; /* of a call that was cancelled */
	if (p->kind != CLIENTS) {
		take_own(u, p, root, now_ms);
		return;
	}
	(void)jscan_get(root, "result", &result);
	if (p->call == NULL) {
		buf_init(&p->late, UPSTREAM_MESSAGE_MAX);
		buf_add(&p->late, root.p, root.len);
	} else if (u->modern && !p->modern && jscan_get(result, "resultType", &v) == RC_OK &&
		jscan_is_str(v, "input_required")) {
		bridge_input_required(u, p, result, now_ms);
	} else {
		upstream_answer(u, p, root);
	}
}

/* The one call that can be meant when the server does not say which; with two, a message could
 * reach the wrong client, so then there is none. */
static struct pending *only_call(struct upstream *u, bool wants_logs)
{
	struct pending *p, *found = NULL;

	LIST_FOREACH(p, &u->pending, entry)
	{
		if (p->kind != CLIENTS || p->listen || (wants_logs && p->log_level < 0))
			continue;
		if (found != NULL)
			return NULL;
		found = p;
	}
	return found;
}

/* Passes a notification on with one value changed back to the client's own. */
static void pass_on(struct upstream *u, const struct pending *p, struct jscan root,
	struct jscan value, const char *with)
{
	struct jsplice s = {0};
	struct buf out;

	if (p == NULL || p->call == NULL)
		return;
	buf_init(&out, root.len + (with != NULL ? strlen(with) : 0));
	if (with != NULL)
		jsplice_replace(&s, value, with, strlen(with));
	jsplice_apply(&s, root.p, root.len, &out);
	jsplice_free(&s);
	if (!out.failed && !u->owner.event(u->owner.ctx, p->call, out.data, out.len))
		log_debug("upstream %s: a notification is dropped: too much waits to be sent",
			u->config.name);
	buf_free(&out);
}

static void take_subscribed(struct upstream *u, struct pending *p, struct jscan root,
	struct jscan value, const char *method, int64_t now_ms)
{
	if (p == NULL)
		return;
	if (p->kind != CLIENTS) {
		if (strcmp(method, "notifications/tools/list_changed") == 0)
			start_listing(u, now_ms);
		else
			u->owner.notified(u->owner.ctx, method, root);
		return;
	}
	/* Of lists that have changed the control plane tells every client at once. */
	if (strstr(method, "/list_changed") != NULL)
		return;
	if (!p->quiet || strcmp(method, "notifications/subscriptions/acknowledged") != 0)
		pass_on(u, p, root, value, p->id);
}

static void take_log(struct upstream *u, struct jscan root, struct jscan params, uint64_t on_behalf)
{
	struct pending *p = on_behalf != 0 ? upstream_find(u, on_behalf) : only_call(u, true);
	struct jscan level;

	(void)jscan_get(params, "level", &level);
	if (p != NULL && p->log_level >= 0 && level_of(level) >= p->log_level)
		pass_on(u, p, root, (struct jscan){0}, NULL);
}

static void take_notification(struct upstream *u, struct jscan root, const char *method,
	uint64_t on_behalf, int64_t now_ms)
{
	struct jscan params, v;
	struct pending *p;
	int64_t number;

	(void)jscan_get(root, "params", &params);
	if (strcmp(method, "notifications/progress") == 0) {
		if (jscan_get(params, "progressToken", &v) == RC_OK &&
			jscan_int(v, &number) == RC_OK &&
			(p = upstream_find(u, (uint64_t)number)) != NULL && p->token != NULL)
			pass_on(u, p, root, v, p->token);
	} else if (jscan_path(params, &v, "_meta", META "subscriptionId", NULL) == RC_OK) {
		if (jscan_int(v, &number) == RC_OK)
			take_subscribed(
				u, upstream_find(u, (uint64_t)number), root, v, method, now_ms);
	} else if (strcmp(method, "notifications/message") == 0) {
		take_log(u, root, params, on_behalf);
	} else if (strcmp(method, "notifications/cancelled") == 0) {
		bridge_cancelled(u, root, params);
	} else if (!u->modern && u->phase == READY) {
		if (strcmp(method, "notifications/tools/list_changed") == 0)
			start_listing(u, now_ms);
		u->owner.notified(u->owner.ctx, method, root);
	}
}

bool upstream_message(
	struct upstream *u, const char *text, size_t len, uint64_t on_behalf, int64_t now_ms)
{
	struct jscan root, v;
	char method[METHOD_MAX];

	if (jscan_parse(text, len, &root) != RC_OK || root.kind != JSCAN_OBJECT)
		return false;
	u->suspect_since = 0;
	switch (jscan_get(root, "method", &v)) {
	case RC_NOTFOUND:
		take_response(u, root, now_ms);
		return true;
	case RC_OK:
		break;
	default:
		return false;
	}
	if (jscan_str(v, method, sizeof method) != RC_OK)
		return false;
	if (jscan_get(root, "id", &v) == RC_OK)
		bridge_request(u, root, method, on_behalf);
	else
		take_notification(u, root, method, on_behalf, now_ms);
	return true;
}

void upstream_too_long(struct upstream *u, uint64_t number)
{
	struct pending *p = number != 0 ? upstream_find(u, number) : only_call(u, false);

	u->suspect_since = 0;
	if (p != NULL && p->kind == CLIENTS)
		upstream_fail(u, p, MCP_TOO_LARGE, "too_large",
			"gave a result larger than the worker takes");
}

void upstream_failed(struct upstream *u, uint64_t number, long status, int64_t now_ms)
{
	struct pending *p = upstream_find(u, number);
	enum kind kind = p != NULL ? p->kind : OWN_OTHER;
	char why[64] = "could not be reached";

	if (p == NULL)
		return;
	if (status >= 400)
		(void)snprintf(why, sizeof why, "answers with HTTP status %ld", status);
	else if (status != 0)
		(void)snprintf(why, sizeof why, "closed the connection before it answered");
	if (kind == CLIENTS) {
		upstream_fail(u, p, MCP_INTERNAL, "tool_error", why);
		return;
	}
	upstream_forget(u, p);
	if (kind == OWN_PROBE && u->phase == PROBING)
		initialize(u, now_ms);
	else if (kind != OWN_OTHER)
		u->owner.broken(u->owner.ctx, why);
}

/* --- time ------------------------------------------------------------------------------- */

static void expire(struct upstream *u, struct pending *p, int64_t now_ms)
{
	if (p->kind == OWN_TOOLS) {
		upstream_forget(u, p);
		u->owner.broken(u->owner.ctx, "did not list its tools in time");
	} else if (p->kind != CLIENTS) {
		upstream_forget(u, p);
	} else {
		bool parked = p->call == NULL;

		send_cancelled(u, p, "timeout");
		upstream_fail(u, p, MCP_TIMEOUT, "timeout", "did not answer in time");
		if (u->suspect_since == 0 && !parked) {
			u->suspect_since = now_ms;
			own(u, OWN_OTHER, u->modern ? "server/discover" : "ping", "", now_ms,
				false);
		}
	}
}

void upstream_tick(struct upstream *u, int64_t now_ms)
{
	if (u->phase == DOWN)
		return;
	for (struct pending *p = LIST_FIRST(&u->pending), *next; p != NULL; p = next) {
		next = LIST_NEXT(p, entry);
		if (p->deadline_ms != 0 && now_ms >= p->deadline_ms)
			expire(u, p, now_ms);
	}
	if (u->phase == PROBING && now_ms - u->phase_since >= UPSTREAM_PROBE_MS)
		initialize(u, now_ms);
	else if (u->phase != DOWN && u->phase != READY &&
		now_ms - u->phase_since >= UPSTREAM_START_MS)
		u->owner.broken(u->owner.ctx, "did not finish its start in time");
	else if (u->suspect_since != 0 && now_ms - u->suspect_since >= UPSTREAM_HANG_MS)
		u->owner.broken(u->owner.ctx, "hangs");
}

void upstream_subscribe(struct upstream *u, struct jscan uri)
{
	struct buf b;

	if (u->phase != READY || u->modern)
		return;
	buf_init(&b, HELLO_MAX / 2);
	buf_str(&b, "\"uri\":");
	buf_add(&b, uri.p, uri.len);
	buf_char(&b, '\0');
	/* No more than one start's time from now; the clock is the phase's. */
	if (!b.failed)
		own(u, OWN_OTHER, "resources/subscribe", (const char *)b.data, u->phase_since,
			true);
	buf_free(&b);
}

/* --- looking ---------------------------------------------------------------------------- */

bool upstream_ready(const struct upstream *u)
{
	return u->phase == READY;
}

bool upstream_modern(const struct upstream *u)
{
	return u->modern;
}

size_t upstream_calls(const struct upstream *u)
{
	return u->calls;
}

struct jscan upstream_capabilities(const struct upstream *u)
{
	return u->capabilities;
}

struct jscan upstream_info(const struct upstream *u)
{
	return u->info;
}

struct jscan upstream_instructions(const struct upstream *u)
{
	return u->instructions;
}

const struct buf *upstream_tools(const struct upstream *u)
{
	return &u->tools;
}

bool upstream_trace(const struct upstream *u, uint64_t number, const char **traceparent,
	const char **tracestate)
{
	const struct pending *p;

	LIST_FOREACH(p, &u->pending, entry)
	{
		if (p->number != number || p->traceparent == NULL)
			continue;
		*traceparent = p->traceparent;
		*tracestate = p->tracestate;
		return true;
	}
	return false;
}

struct jscan upstream_marked_tool(const struct upstream *u, struct jscan name)
{
	struct jscan list, key, tool, v;

	if (u->marked.len == 0 || u->marked.failed ||
		jscan_parse((const char *)u->marked.data, u->marked.len, &list) != RC_OK)
		return (struct jscan){NULL, 0, JSCAN_NONE};
	for (struct jscan_iter it = jscan_iter(list); jscan_next(&it, &key, &tool);)
		if (jscan_get(tool, "name", &v) == RC_OK && jscan_same_str(v, name))
			return tool;
	return (struct jscan){NULL, 0, JSCAN_NONE};
}
