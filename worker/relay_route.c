#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/crypto.h"
#include "shared/log.h"
#include "shared/manifest.h"
#include "shared/mem.h"
#include "worker/jsplice.h"
#include "worker/relay_internal.h"
#include "worker/upstream.h"

#define TIMEOUT_DEFAULT_MS 60000
#define TIMEOUT_MAX_MS ((int64_t)3600 * 1000)
#define CURSOR_MAX 1024
#define TASK_ID_MAX 256
#define RESOURCE_NOT_FOUND (-32002) /* of legacy servers */
#define SUBSCRIPTION "io.modelcontextprotocol/subscriptionId"

/* --- the end of a call ------------------------------------------------------------------ */

static void free_call(struct relay *r, struct rcall *c)
{
	LIST_REMOVE(c, entry);
	r->call_count--;
	buf_free(&c->in.request);
	free(c);
	r->owner.ended(r->owner.ctx);
}

/* Takes the payload over. */
static void end(struct relay *r, struct rcall *c, const char *outcome, struct buf *payload)
{
	struct link *l = r->owner.link(r->owner.ctx);
	char who[LINK_CALLER_MAX];

	log_info("call %s of %s by %s: %s in %lld ms", c->in.request_id,
		manifest_tool_ok(c->in.tool) ? c->in.tool : c->method, link_caller(&c->in, who),
		outcome, (long long)(clock_mono_ms() - c->started_ms));
	if (l != NULL) {
		link_result(l, c->in.id, outcome, "", payload);
		if (!link_has_room(l))
			relay_flow(r, false);
	}
	buf_free(payload);
	free_call(r, c);
}

static void refuse(
	struct relay *r, struct rcall *c, enum mcp_code code, const char *outcome, const char *text)
{
	struct buf b;

	buf_init(&b, c->in.request.len + 1024);
	mcp_error(&b, c->id, code, text);
	end(r, c, outcome, &b);
}

static void answer(struct relay *r, struct rcall *c, const char *result)
{
	struct buf b;

	buf_init(&b, c->id.len + strlen(result) + 64);
	buf_str(&b, "{\"jsonrpc\":\"2.0\",\"id\":");
	buf_add(&b, c->id.p, c->id.len);
	buf_printf(&b, ",\"result\":%s}", result);
	end(r, c, "ok", &b);
}

/* --- to one server ---------------------------------------------------------------------- */

static enum rc hand_over(
	struct rcall *c, struct server *s, const char *text, size_t len, bool quiet, int64_t now)
{
	const struct upstream_identity who = {.tenant_id = c->tenant_id,
		.key_id = c->in.key_id,
		.key_name = c->in.key_name,
		.request_id = c->in.request_id,
		.traceparent = c->in.traceparent,
		.tracestate = c->in.tracestate};
	struct upstream_call call = {.call = c,
		.id = c->in.id,
		.text = text,
		.len = len,
		.modern = c->modern,
		.listen = c->listen,
		.quiet = quiet,
		.deadline_ms = c->deadline_ms,
		.result_max = c->result_max,
		.identity = &who,
		.tell = s->conf->forward_identity};

	return upstream_call(s->u, &call, now);
}

/* The call may have ended when this returns. */
static void send_text(
	struct relay *r, struct rcall *c, struct server *s, const char *text, size_t len)
{
	char why[160];

	c->at = (size_t)(s - r->servers);
	switch (hand_over(c, s, text, len, false, clock_mono_ms())) {
	case RC_OK:
		return;
	case RC_LIMIT:
		(void)snprintf(why, sizeof why,
			"The server \"%s\" has too many calls in hand; try again later",
			s->conf->name);
		refuse(r, c, MCP_OVERLOADED, "overloaded", why);
		return;
	case RC_DENIED:
		refuse(r, c, MCP_INVALID_PARAMS, "tool_error",
			"requestState is not one that this server gave for this request");
		return;
	case RC_UNAVAILABLE:
		(void)snprintf(why, sizeof why,
			"The server \"%s\" is not running; it is being started again",
			s->conf->name);
		refuse(r, c, MCP_INTERNAL, "tool_error", why);
		return;
	default:
		refuse(r, c, MCP_INVALID_REQUEST, "tool_error", "The request can't be relayed");
	}
}

static void send_to(struct relay *r, struct rcall *c, struct server *s)
{
	send_text(r, c, s, (const char *)c->in.request.data, c->in.request.len);
}

/* The next server from there on that offers it; NULL at the end. */
static struct server *next_with(struct relay *r, size_t from, const char *what)
{
	for (size_t i = from; i < r->count; i++)
		if (upstream_ready(r->servers[i].u) && server_offers(&r->servers[i], what))
			return &r->servers[i];
	return NULL;
}

static struct server *any_with(struct relay *r, const char *what)
{
	struct server *s = next_with(r, 0, what);

	for (size_t i = 0; s == NULL && i < r->count; i++)
		if (server_offers(&r->servers[i], what))
			s = &r->servers[i];
	return s;
}

static void method_unknown(struct relay *r, struct rcall *c)
{
	refuse(r, c, MCP_METHOD_NOT_FOUND, "tool_error", "Method not found");
}

/* --- which server ----------------------------------------------------------------------- */

static void route_prompt(struct relay *r, struct rcall *c, struct jscan name)
{
	struct server *best = NULL;
	char text[256];

	if (jscan_str(name, text, sizeof text) != RC_OK)
		text[0] = '\0';
	for (size_t i = 0; i < r->count; i++) {
		struct server *s = &r->servers[i];
		size_t len = strlen(s->conf->prefix);

		if (server_offers(s, "prompts") && strncmp(text, s->conf->prefix, len) == 0 &&
			(best == NULL || len > strlen(best->conf->prefix)))
			best = s;
	}
	if (best != NULL && text[0] != '\0')
		send_to(r, c, best);
	else
		refuse(r, c, MCP_INVALID_PARAMS, "tool_error", "Unknown prompt");
}

static void route_prompt_get(struct relay *r, struct rcall *c)
{
	struct jscan name;

	(void)jscan_get(c->params, "name", &name);
	route_prompt(r, c, name);
}

static bool wants_uri(const struct rcall *c, struct jscan uri);

/* Does a stream want to hear of what one client no longer wants to? */
static bool others_want(const struct relay *r, const struct rcall *c)
{
	const struct rcall *o;
	struct jscan uri;

	if (strcmp(c->method, "resources/unsubscribe") != 0)
		return false;
	(void)jscan_get(c->params, "uri", &uri);
	LIST_FOREACH(o, &r->calls, entry)
	{
		if (o->joined && wants_uri(o, uri))
			return true;
	}
	return false;
}

/* Who has a resource is not told by its URI: one after another is asked. */
static void route_resource(struct relay *r, struct rcall *c)
{
	struct server *s = any_with(r, "resources");
	bool subscribes = strstr(c->method, "subscribe") != NULL;

	if (s == NULL) {
		method_unknown(r, c);
	} else if ((subscribes && upstream_modern(s->u)) || others_want(r, c)) {
		/* Modern servers know subscriptions of listeners alone; the interest itself reaches
		 * them with the listener that the control plane keeps. */
		answer(r, c, "{}");
	} else {
		c->trying = true;
		send_to(r, c, s);
	}
}

static void route_completion(struct relay *r, struct rcall *c)
{
	struct jscan name;
	struct server *s = any_with(r, "completions");

	if (s == NULL) {
		method_unknown(r, c);
	} else if (jscan_path(c->params, &name, "ref", "name", NULL) == RC_OK) {
		route_prompt(r, c, name);
	} else {
		c->trying = true;
		send_to(r, c, s);
	}
}

static const char *offered_as(const char *method)
{
	if (strncmp(method, "prompts/", 8) == 0)
		return "prompts";
	return strncmp(method, "completion/", 11) == 0 ? "completions" : "resources";
}

/* Lists of several servers follow each other: a cursor is "<server>.<its own cursor>". */
static void route_list(struct relay *r, struct rcall *c)
{
	const char *what = offered_as(c->method);
	struct server *s = any_with(r, what);
	struct jscan cursor;
	struct jsplice splice = {0};
	struct buf b, text;
	char given[CURSOR_MAX], *rest;
	unsigned long at;

	c->paging = r->count > 1;
	if (s == NULL) {
		method_unknown(r, c);
		return;
	}
	if (!c->paging || jscan_get(c->params, "cursor", &cursor) != RC_OK) {
		send_to(r, c, s);
		return;
	}
	if (jscan_str(cursor, given, sizeof given) != RC_OK ||
		(at = strtoul(given, &rest, 10), rest == given) || *rest != '.' || at >= r->count) {
		refuse(r, c, MCP_INVALID_PARAMS, "tool_error", "Invalid cursor");
		return;
	}
	buf_init(&b, 6 * (size_t)CURSOR_MAX);
	buf_init(&text, c->in.request.len + 6 * (size_t)CURSOR_MAX);
	buf_json(&b, rest + 1);
	if (rest[1] != '\0')
		jsplice_replace(&splice, cursor, (const char *)b.data, b.len);
	else
		jsplice_remove(&splice, c->params, "cursor");
	jsplice_apply(&splice, (const char *)c->in.request.data, c->in.request.len, &text);
	jsplice_free(&splice);
	send_text(r, c, &r->servers[at], (const char *)text.data, text.len);
	buf_free(&text);
	buf_free(&b);
}

static void digest_task(struct jscan id, uint8_t out[16])
{
	uint8_t whole[CRYPTO_HASH_LEN];
	char text[TASK_ID_MAX];

	if (jscan_str(id, text, sizeof text) != RC_OK)
		text[0] = '\0';
	crypto_blake2b(NULL, 0, text, strlen(text), whole);
	memcpy(out, whole, 16);
}

static struct server *find_task(struct relay *r, struct jscan id)
{
	size_t n = r->task_count < RELAY_TASKS_MAX ? r->task_count : RELAY_TASKS_MAX;
	uint8_t digest[16];

	digest_task(id, digest);
	for (size_t i = 0; i < n; i++)
		if (memcmp(r->tasks[i].digest, digest, sizeof digest) == 0)
			return r->tasks[i].server;
	return NULL;
}

static void note_task(struct relay *r, struct server *s, struct jscan root)
{
	struct jscan id;

	if (jscan_path(root, &id, "result", "taskId", NULL) != RC_OK &&
		jscan_path(root, &id, "result", "task", "taskId", NULL) != RC_OK)
		return;
	if (find_task(r, id) == s)
		return;
	struct task *t = &r->tasks[r->task_count++ % RELAY_TASKS_MAX];

	digest_task(id, t->digest);
	t->server = s;
}

static void route_task(struct relay *r, struct rcall *c)
{
	struct jscan id;
	struct server *s = r->count == 1 ? &r->servers[0] : NULL;

	(void)jscan_get(c->params, "taskId", &id);
	if (s == NULL)
		s = find_task(r, id);
	if (s != NULL)
		send_to(r, c, s);
	else
		refuse(r, c, MCP_INVALID_PARAMS, "tool_error", "Unknown task");
}

static void route_level(struct relay *r, struct rcall *c)
{
	/* Nobody's level can be set for others: clients get what there is from info on. */
	if (any_with(r, "logging") != NULL)
		answer(r, c, "{}");
	else
		method_unknown(r, c);
}

static void route_local(struct relay *r, struct rcall *c)
{
	struct mcp_request rq = {.text = (const char *)c->in.request.data,
		.len = c->in.request.len,
		.era = c->modern ? MCP_ERA_MODERN : MCP_ERA_LEGACY,
		.deadline_mono_ms = c->deadline_ms};
	struct mcp_answer a;
	struct buf b;

	buf_init(&b, c->result_max);
	mcp_server_handle(r->server, &rq, &b, &a);
	end(r, c, a.outcome, &b);
}

/* --- subscriptions ---------------------------------------------------------------------- */

static bool wants(const struct rcall *c, const char *flag)
{
	struct jscan v;

	return jscan_path(c->params, &v, "notifications", flag, NULL) == RC_OK &&
		v.kind == JSCAN_TRUE;
}

static bool wants_uri(const struct rcall *c, struct jscan uri)
{
	struct jscan list, key, v;

	(void)jscan_path(c->params, &list, "notifications", "resourceSubscriptions", NULL);
	for (struct jscan_iter it = jscan_iter(list);
		list.kind == JSCAN_ARRAY && jscan_next(&it, &key, &v);)
		if (jscan_same_str(v, uri))
			return true;
	return false;
}

static void acknowledge(struct relay *r, struct rcall *c)
{
	static const char *const flags[] = {
		"toolsListChanged", "promptsListChanged", "resourcesListChanged"};
	static const char *const lists[] = {"resourceSubscriptions", "taskIds"};
	struct link *l = r->owner.link(r->owner.ctx);
	struct jscan v;
	struct buf b;
	const char *comma = "";

	buf_init(&b, c->in.request.len + 1024);
	buf_str(&b,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\","
		"\"params\":{\"_meta\":{\"" SUBSCRIPTION "\":");
	buf_add(&b, c->id.p, c->id.len);
	buf_str(&b, "},\"notifications\":{");
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		if (!wants(c, flags[i]))
			continue;
		buf_printf(&b, "%s\"%s\":true", comma, flags[i]);
		comma = ",";
	}
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		if (jscan_path(c->params, &v, "notifications", lists[i], NULL) != RC_OK ||
			v.kind != JSCAN_ARRAY)
			continue;
		buf_printf(&b, "%s\"%s\":", comma, lists[i]);
		buf_add(&b, v.p, v.len);
		comma = ",";
	}
	buf_str(&b, "}}}");
	if (l == NULL || link_event(l, c->in.id, b.data, b.len) != RC_OK)
		log_debug("an acknowledgement is dropped");
	buf_free(&b);
}

static void subscribe_legacy(struct rcall *c, struct server *s)
{
	struct jscan list, key, v;

	(void)jscan_path(c->params, &list, "notifications", "resourceSubscriptions", NULL);
	for (struct jscan_iter it = jscan_iter(list);
		list.kind == JSCAN_ARRAY && jscan_next(&it, &key, &v);)
		if (v.kind == JSCAN_STRING)
			upstream_subscribe(s->u, v);
}

static void route_listen(struct relay *r, struct rcall *c)
{
	struct jscan v;

	c->listen = true;
	if (r->count == 1 && upstream_modern(r->servers[0].u)) {
		send_to(r, c, &r->servers[0]);
		return;
	}
	if (jscan_get(c->params, "notifications", &v) != RC_OK || v.kind != JSCAN_OBJECT) {
		refuse(r, c, MCP_INVALID_PARAMS, "tool_error",
			"params.notifications must be an object");
		return;
	}
	c->joined = true;
	acknowledge(r, c);
	for (size_t i = 0; i < r->count; i++) {
		struct server *s = &r->servers[i];

		if (!upstream_modern(s->u))
			subscribe_legacy(c, s);
		else if (hand_over(c, s, (const char *)c->in.request.data, c->in.request.len, true,
				 clock_mono_ms()) != RC_OK)
			log_warn("upstream %s takes no subscription now", s->conf->name);
	}
}

static void tell(struct relay *r, struct rcall *c, struct jscan message)
{
	struct link *l = r->owner.link(r->owner.ctx);
	struct jscan params, meta;
	struct jsplice s = {0};
	struct buf tag, b;

	(void)jscan_get(message, "params", &params);
	(void)jscan_get(params, "_meta", &meta);
	buf_init(&tag, c->id.len + 128);
	buf_init(&b, message.len + c->id.len + 128);
	if (params.kind != JSCAN_OBJECT)
		buf_str(&tag, "\"params\":{");
	if (meta.kind != JSCAN_OBJECT)
		buf_str(&tag, "\"_meta\":{");
	buf_str(&tag, "\"" SUBSCRIPTION "\":");
	buf_add(&tag, c->id.p, c->id.len);
	if (meta.kind != JSCAN_OBJECT)
		buf_char(&tag, '}');
	if (params.kind != JSCAN_OBJECT)
		buf_char(&tag, '}');
	jsplice_insert(&s,
		meta.kind == JSCAN_OBJECT             ? meta
			: params.kind == JSCAN_OBJECT ? params
						      : message,
		(const char *)tag.data, tag.len);
	jsplice_apply(&s, message.p, message.len, &b);
	if (l == NULL || link_event(l, c->in.id, b.data, b.len) != RC_OK)
		log_debug("a notification is dropped: too much waits to be sent");
	jsplice_free(&s);
	buf_free(&tag);
	buf_free(&b);
}

void route_notified(struct relay *r, const char *method, struct jscan message)
{
	struct link *l = r->owner.link(r->owner.ctx);
	const char *what = NULL;
	struct jscan uri;
	struct rcall *c;

	/* Changed tools are told of when they have been listed anew: as another manifest. */
	if (strcmp(method, "notifications/prompts/list_changed") == 0)
		what = "prompts";
	else if (strcmp(method, "notifications/resources/list_changed") == 0)
		what = "resources";
	if (what != NULL && l != NULL && link_changed(l, what) != RC_OK)
		log_warn("a change of the %s is not told: too much waits to be sent", what);
	if (strcmp(method, "notifications/resources/updated") != 0)
		return;
	(void)jscan_path(message, &uri, "params", "uri", NULL);
	LIST_FOREACH(c, &r->calls, entry)
	{
		if (c->joined && wants_uri(c, uri))
			tell(r, c, message);
	}
}

/* --- a call comes in -------------------------------------------------------------------- */

static const struct {
	const char *method;
	bool legacy, modern;
	void (*route)(struct relay *r, struct rcall *c);
} routes[] = {
	{"tools/list", true, true, route_local},
	{"server/discover", false, true, route_local},
	{"initialize", true, false, route_local},
	{"ping", true, false, route_local},
	{"logging/setLevel", true, false, route_level},
	{"prompts/list", true, true, route_list},
	{"prompts/get", true, true, route_prompt_get},
	{"resources/list", true, true, route_list},
	{"resources/templates/list", true, true, route_list},
	{"resources/read", true, true, route_resource},
	{"resources/subscribe", true, false, route_resource},
	{"resources/unsubscribe", true, false, route_resource},
	{"completion/complete", true, true, route_completion},
	{"subscriptions/listen", true, true, route_listen},
	{"tasks/get", true, true, route_task},
	{"tasks/update", false, true, route_task},
	{"tasks/cancel", true, true, route_task},
	{"tasks/result", true, false, route_task},
	{"tasks/list", true, false, route_task},
};

static void route(struct relay *r, struct rcall *c)
{
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		if (strcmp(routes[i].method, c->method) != 0)
			continue;
		if (c->modern ? routes[i].modern : routes[i].legacy)
			routes[i].route(r, c);
		else
			method_unknown(r, c);
		return;
	}
	/* An extension: it can only be meant for the one that is there. */
	if (r->count == 1)
		send_to(r, c, &r->servers[0]);
	else
		method_unknown(r, c);
}

static struct server *tool_server(const struct relay *r, struct jscan name)
{
	char text[65];

	if (jscan_str(name, text, sizeof text) != RC_OK)
		return NULL;
	for (size_t i = 0; i < r->name_count; i++)
		if (strcmp(r->names[i].name, text) == 0)
			return r->names[i].server;
	return NULL;
}

static bool modern_request(const struct link_call *call, struct jscan params)
{
	struct jscan v;

	if (mcp_era_parse(call->era) != MCP_ERA_UNSAID)
		return mcp_era_parse(call->era) == MCP_ERA_MODERN;
	return jscan_path(params, &v, "_meta", "io.modelcontextprotocol/protocolVersion", NULL) ==
		RC_OK;
}

bool relay_take(struct relay *r, struct link *l, struct link_call *call)
{
	int64_t timeout = call->timeout_ms > 0 ? call->timeout_ms : TIMEOUT_DEFAULT_MS;
	struct jscan root, id, method, params, name;
	struct server *s = NULL;
	struct rcall *c;
	bool tool;

	/* What is no request is answered by the server that checks the envelope. */
	if (r->count == 0 || call->refused != NULL ||
		jscan_parse((const char *)call->request.data, call->request.len, &root) != RC_OK ||
		jscan_get(root, "id", &id) != RC_OK ||
		(id.kind != JSCAN_STRING && id.kind != JSCAN_NUMBER) ||
		jscan_get(root, "method", &method) != RC_OK || method.kind != JSCAN_STRING ||
		jscan_get(root, "params", &params) == RC_CONFLICT)
		return false;
	tool = jscan_is_str(method, "tools/call");
	if (tool) {
		(void)jscan_get(params, "name", &name);
		s = tool_server(r, name);
		if (s == NULL)
			return false; /* one of our own, or of nobody */
	}
	c = xcalloc(1, sizeof *c);
	c->in = *call;
	call->request = (struct buf){0};
	c->root = root;
	c->id = id;
	c->params = params;
	if (jscan_str(method, c->method, sizeof c->method) != RC_OK)
		c->method[0] = '\0';
	c->modern = modern_request(call, params);
	c->started_ms = clock_mono_ms();
	c->deadline_ms = c->started_ms + (timeout < TIMEOUT_MAX_MS ? timeout : TIMEOUT_MAX_MS);
	c->result_max = link_max_result(l);
	(void)str_copy(c->tenant_id, sizeof c->tenant_id, link_tenant_id(l));
	LIST_INSERT_HEAD(&r->calls, c, entry);
	r->call_count++;
	if (tool)
		send_to(r, c, s);
	else if (params.kind != JSCAN_NONE && params.kind != JSCAN_OBJECT)
		refuse(r, c, MCP_INVALID_PARAMS, "tool_error", "params must be an object");
	else
		route(r, c);
	return true;
}

/* --- a result comes back ---------------------------------------------------------------- */

/* The server does not know what was asked for; another may. */
static bool try_next(struct relay *r, struct rcall *c, struct jscan root)
{
	struct jscan code;
	struct server *s;
	int64_t n;

	if (jscan_path(root, &code, "error", "code", NULL) != RC_OK ||
		jscan_int(code, &n) != RC_OK ||
		(n != RESOURCE_NOT_FOUND && n != MCP_INVALID_PARAMS))
		return false;
	s = next_with(r, c->at + 1, offered_as(c->method));
	if (s == NULL)
		return false;
	send_to(r, c, s);
	return true;
}

static void put_cursor(struct relay *r, struct rcall *c, struct jscan root, struct buf *payload)
{
	struct server *next = next_with(r, c->at + 1, offered_as(c->method));
	struct jscan result, cursor;
	struct jsplice s = {0};
	struct buf b;
	char text[48];

	if (jscan_get(root, "result", &result) != RC_OK)
		return;
	if (jscan_get(result, "nextCursor", &cursor) == RC_OK && cursor.kind == JSCAN_STRING) {
		(void)snprintf(text, sizeof text, "%zu.", c->at);
		jsplice_prepend(&s, cursor, text, strlen(text));
	} else if (next != NULL) {
		(void)snprintf(
			text, sizeof text, "\"nextCursor\":\"%zu.\"", (size_t)(next - r->servers));
		jsplice_insert(&s, result, text, strlen(text));
	}
	buf_init(&b, payload->len + sizeof text);
	jsplice_apply(&s, root.p, root.len, &b);
	jsplice_free(&s);
	buf_free(payload);
	*payload = b;
}

void route_result(struct relay *r, struct server *s, struct rcall *c, const char *outcome,
	struct buf *payload)
{
	struct jscan root;

	if (c->joined) {
		/* One part of a subscription has ended; the others go on. */
		buf_free(payload);
		return;
	}
	if (r->count > 1 &&
		jscan_parse((const char *)payload->data, payload->len, &root) == RC_OK) {
		note_task(r, s, root);
		if (c->trying && try_next(r, c, root)) {
			buf_free(payload);
			return;
		}
		if (c->paging)
			put_cursor(r, c, root, payload);
	}
	end(r, c, outcome, payload);
}

/* --- the rest --------------------------------------------------------------------------- */

static struct rcall *find(struct relay *r, const char *id)
{
	struct rcall *c;

	LIST_FOREACH(c, &r->calls, entry)
	{
		if (strcmp(c->in.id, id) == 0)
			return c;
	}
	return NULL;
}

static void cancel(struct relay *r, struct rcall *c, const char *reason)
{
	for (size_t i = 0; i < r->count; i++)
		upstream_cancel(r->servers[i].u, c, reason);
}

void relay_cancel(struct relay *r, const char *id)
{
	struct rcall *c = find(r, id);

	if (c == NULL)
		return;
	cancel(r, c, "cancelled");
	refuse(r, c, MCP_CANCELLED, "cancelled", "The call was cancelled");
}

void relay_end_listens(struct relay *r)
{
	struct rcall *next;

	for (struct rcall *c = LIST_FIRST(&r->calls); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		if (!c->listen)
			continue;
		cancel(r, c, "shutdown");
		refuse(r, c, MCP_CANCELLED, "cancelled", "The worker is going down");
	}
}

void relay_cancel_all(struct relay *r)
{
	for (struct rcall *c = LIST_FIRST(&r->calls), *next; c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		cancel(r, c, "shutdown");
		refuse(r, c, MCP_CANCELLED, "cancelled", "The worker is going down");
	}
}

void relay_lost(struct relay *r)
{
	for (struct rcall *c = LIST_FIRST(&r->calls), *next; c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		cancel(r, c, "connection lost");
		free_call(r, c);
	}
}

void relay_reply(struct relay *r, const char *id, const void *text, size_t len)
{
	struct rcall *c = find(r, id);

	for (size_t i = 0; c != NULL && i < r->count; i++) {
		size_t before = r->call_count;

		upstream_reply(r->servers[i].u, c, text, len, clock_mono_ms());
		if (r->call_count != before)
			return; /* it has ended in there */
	}
}

size_t relay_calls(const struct relay *r)
{
	return r->call_count;
}
