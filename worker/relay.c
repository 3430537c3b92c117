#include "worker/relay.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/wait.h>

#include "shared/clock.h"
#include "shared/crypto.h"
#include "shared/log.h"
#include "shared/manifest.h"
#include "shared/mem.h"
#include "worker/backoff.h"
#include "worker/relay_internal.h"
#include "worker/upstream.h"
#include "worker/upstream_http.h"
#include "worker/upstream_stdio.h"

#define TICK_S 0.1
#define TIMEOUT_DEFAULT_MS 60000
#define STABLE_MS 30000 /* one that ran this long is started again at once */
#define GARBAGE_MAX 1000 /* lines in a row that are no message */
#define INSTRUCTIONS_MAX 4096

/* --- starting and ending the servers ---------------------------------------------------- */

static void start(struct server *s)
{
	int64_t now = clock_mono_ms();

	s->restart_at = 0;
	s->up_at = now;
	s->garbage = 0;
	if (s->http != NULL || (s->stdio != NULL && upstream_stdio_start(s->stdio) == RC_OK))
		upstream_up(s->u, now);
	else
		s->restart_at = now + backoff_next(&s->backoff, now, UINT32_MAX / 2);
}

static void on_line(void *ctx, const char *text, size_t len)
{
	struct server *s = ctx;

	if (upstream_message(s->u, text, len, 0, clock_mono_ms())) {
		s->garbage = 0;
	} else if (++s->garbage == 1) {
		log_warn("upstream %s: a line that is no JSON-RPC message is ignored",
			s->conf->name);
	} else if (s->garbage >= GARBAGE_MAX) {
		log_err("upstream %s writes no JSON-RPC: it is stopped", s->conf->name);
		upstream_stdio_stop(s->stdio, clock_mono_ms());
	}
}

/* Returns how long it takes until it is tried again. */
static int64_t plan_restart(struct server *s, int64_t now)
{
	uint32_t dice;

	if (now - s->up_at >= STABLE_MS)
		backoff_reset(&s->backoff);
	crypto_random(&dice, sizeof dice);
	s->restart_at = now + backoff_next(&s->backoff, now, dice);
	return s->restart_at - now;
}

static void on_ended(void *ctx, int status)
{
	struct server *s = ctx;
	long long wait = (long long)plan_restart(s, clock_mono_ms());

	if (WIFSIGNALED(status))
		log_warn("upstream %s was ended by signal %d; it starts again in %lld ms",
			s->conf->name, WTERMSIG(status), wait);
	else
		log_warn("upstream %s has ended with status %d; it starts again in %lld ms",
			s->conf->name, WEXITSTATUS(status), wait);
	upstream_down(s->u);
}

static void on_too_long(void *ctx)
{
	upstream_too_long(((struct server *)ctx)->u, 0);
}

static void on_http_too_long(void *ctx, uint64_t number)
{
	upstream_too_long(((struct server *)ctx)->u, number);
}

static void on_http(void *ctx, const char *text, size_t len, uint64_t number)
{
	struct server *s = ctx;

	(void)upstream_message(s->u, text, len, number, clock_mono_ms());
}

static void on_http_failed(void *ctx, uint64_t number, long status)
{
	struct server *s = ctx;

	upstream_failed(s->u, number, status, clock_mono_ms());
}

static struct jscan on_http_tool(void *ctx, struct jscan name)
{
	struct server *s = ctx;

	return upstream_marked_tool(s->u, name);
}

static bool on_http_trace(
	void *ctx, uint64_t number, const char **traceparent, const char **tracestate)
{
	const struct server *s = ctx;

	return upstream_trace(s->u, number, traceparent, tracestate);
}

static void on_http_lost(void *ctx)
{
	struct server *s = ctx;

	log_warn("upstream %s has forgotten its session", s->conf->name);
	s->stop = true;
}

static void give_up_http(struct server *s, int64_t now)
{
	s->stop = false;
	log_info("upstream %s is tried again in %lld ms", s->conf->name,
		(long long)plan_restart(s, now));
	upstream_http_reset(s->http);
	upstream_down(s->u);
}

static void stop(struct server *s)
{
	if (s->stdio != NULL)
		upstream_stdio_stop(s->stdio, clock_mono_ms());
	else
		s->stop = true;
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct relay *r = w->data;
	int64_t now = clock_mono_ms();

	(void)loop;
	(void)revents;
	for (size_t i = 0; i < r->count; i++) {
		struct server *s = &r->servers[i];

		upstream_tick(s->u, now);
		if (s->stdio != NULL)
			upstream_stdio_tick(s->stdio, now);
		else if (s->stop && s->http != NULL)
			give_up_http(s, now);
		if (s->restart_at != 0 && now >= s->restart_at)
			start(s);
	}
	if (!r->settled && (relay_settled(r) || now - r->started_at >= RELAY_START_MS)) {
		r->settled = true;
		r->owner.changed(r->owner.ctx);
	}
}

/* Nothing of this process's environment but what is harmless and what was asked for. */
static char **build_env(const struct wconfig_upstream *conf, const char *database_url)
{
	static const char *const always[] = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL",
		"LC_CTYPE", "TZ", "TMPDIR", "SHELL"};
	size_t fixed = sizeof always / sizeof *always, n = 0;
	char **env = xcalloc(fixed + conf->env_count + 1, sizeof *env);

	for (size_t i = 0; i < fixed + conf->env_count; i++) {
		const char *name = i < fixed ? always[i] : conf->env[i - fixed];
		const char *value = getenv(name);
		size_t len;

		if (strcmp(name, "DATABASE_URL") == 0)
			value = database_url;
		if (value == NULL)
			continue;
		len = strlen(name) + strlen(value) + 2;
		env[n] = xmalloc(len);
		(void)snprintf(env[n++], len, "%s=%s", name, value);
	}
	return env;
}

/* --- what an upstream tells us ---------------------------------------------------------- */

static enum rc owner_send(void *ctx, const void *text, size_t len)
{
	struct server *s = ctx;

	if (s->stdio != NULL)
		return upstream_stdio_send(s->stdio, text, len);
	return s->http != NULL ? upstream_http_send(s->http, text, len) : RC_UNAVAILABLE;
}

static bool owner_event(void *ctx, void *call, const void *text, size_t len)
{
	struct server *s = ctx;
	struct rcall *c = call;
	struct link *l = s->relay->owner.link(s->relay->owner.ctx);

	return l != NULL && link_event(l, c->in.id, text, len) == RC_OK;
}

static void owner_changed(void *ctx)
{
	struct server *s = ctx;

	if (s->relay->settled)
		s->relay->owner.changed(s->relay->owner.ctx);
}

static void owner_broken(void *ctx, const char *why)
{
	struct server *s = ctx;

	log_err("upstream %s %s: it is stopped and started again", s->conf->name, why);
	stop(s);
}

static void owner_result(void *ctx, void *call, const char *outcome, struct buf *payload)
{
	struct server *s = ctx;

	route_result(s->relay, s, call, outcome, payload);
}

static void owner_notified(void *ctx, const char *method, struct jscan message)
{
	struct server *s = ctx;

	route_notified(s->relay, method, message);
}

/* --- making and ending ------------------------------------------------------------------ */

static void init_server(struct relay *r, struct server *s, const struct wconfig_upstream *conf,
	const char *database_url)
{
	struct upstream_config config = {.name = conf->name,
		.prefix = conf->prefix,
		.max_calls = conf->max_calls,
		.timeout_ms = conf->timeout_ms};
	struct upstream_owner owner = {.ctx = s,
		.send = owner_send,
		.event = owner_event,
		.result = owner_result,
		.changed = owner_changed,
		.notified = owner_notified,
		.broken = owner_broken};
	struct upstream_stdio_owner child = {
		.ctx = s, .line = on_line, .too_long = on_too_long, .ended = on_ended};
	struct upstream_http_owner http = {.ctx = s,
		.message = on_http,
		.failed = on_http_failed,
		.too_long = on_http_too_long,
		.tool = on_http_tool,
		.trace = on_http_trace,
		.lost = on_http_lost};

	s->relay = r;
	s->conf = conf;
	s->u = upstream_new(&config, &owner);
	s->env = build_env(conf, database_url);
	if (conf->command != NULL)
		s->stdio = upstream_stdio_new(r->loop, conf->name, conf->command, s->env, &child);
	else
		s->http = upstream_http_new(r->loop, conf->name, conf->url, &http);
}

struct relay *relay_new(struct ev_loop *loop, const struct wconfig *config,
	const struct mcp_server *server, const char *database_url, const struct relay_owner *owner)
{
	struct relay *r = xcalloc(1, sizeof *r);

	r->loop = loop;
	r->server = server;
	r->owner = *owner;
	r->count = config->upstream_count;
	r->servers = xcalloc(r->count + 1, sizeof *r->servers);
	LIST_INIT(&r->calls);
	for (size_t i = 0; i < r->count; i++)
		init_server(r, &r->servers[i], &config->upstreams[i], database_url);
	ev_timer_init(&r->tick, on_tick, TICK_S, TICK_S);
	r->tick.data = r;
	return r;
}

void relay_start(struct relay *r)
{
	if (r->count == 0) {
		r->settled = true;
		r->owner.changed(r->owner.ctx);
		return;
	}
	r->started_at = clock_mono_ms();
	for (size_t i = 0; i < r->count; i++)
		start(&r->servers[i]);
	ev_timer_start(r->loop, &r->tick);
}

void relay_free(struct relay *r)
{
	if (r == NULL)
		return;
	ev_timer_stop(r->loop, &r->tick);
	relay_lost(r);
	for (size_t i = 0; i < r->count; i++) {
		struct server *s = &r->servers[i];

		upstream_stdio_free(s->stdio);
		upstream_http_free(s->http);
		upstream_free(s->u);
		for (char **e = s->env; *e != NULL; e++)
			mem_free_secret(*e);
		free(s->env);
	}
	free(r->servers);
	free(r->names);
	free(r);
}

bool relay_settled(const struct relay *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (!upstream_ready(r->servers[i].u))
			return r->settled;
	return true;
}

void relay_flow(struct relay *r, bool room)
{
	for (size_t i = 0; i < r->count; i++) {
		if (r->servers[i].stdio != NULL)
			upstream_stdio_read(r->servers[i].stdio, room);
		else if (r->servers[i].http != NULL)
			upstream_http_read(r->servers[i].http, room);
	}
}

/* --- what they offer -------------------------------------------------------------------- */

static bool name_taken(const struct relay *r, struct jscan own, const char *name)
{
	struct jscan key, tool, v;

	for (struct jscan_iter it = jscan_iter(own); jscan_next(&it, &key, &tool);)
		if (jscan_get(tool, "name", &v) == RC_OK && jscan_is_str(v, name))
			return true;
	for (size_t i = 0; i < r->name_count; i++)
		if (strcmp(r->names[i].name, name) == 0)
			return true;
	return false;
}

static enum rc add_tools(
	struct relay *r, struct server *s, struct jscan own, struct buf *out, char collision[65])
{
	const struct buf *tools = upstream_tools(s->u);
	struct jscan list, key, tool, v;
	struct tool_name n = {.server = s};
	struct buf array;
	enum rc rc = RC_OK;

	buf_init(&array, tools->len + 2);
	buf_char(&array, '[');
	buf_add(&array, tools->data, tools->len);
	buf_char(&array, ']');
	if (jscan_parse((const char *)array.data, array.len, &list) != RC_OK)
		list = (struct jscan){0};
	for (struct jscan_iter it = jscan_iter(list); jscan_next(&it, &key, &tool);) {
		if (jscan_get(tool, "name", &v) != RC_OK ||
			jscan_str(v, n.name, sizeof n.name) != RC_OK)
			continue;
		if (name_taken(r, own, n.name)) {
			(void)str_copy(collision, 65, n.name);
			rc = RC_CONFLICT;
			continue;
		}
		r->names = xrealloc(r->names, (r->name_count + 1) * sizeof *r->names);
		r->names[r->name_count++] = n;
		if (out->len > 0 && out->data[out->len - 1] != '[')
			buf_char(out, ',');
		buf_add(out, tool.p, tool.len);
	}
	buf_free(&array);
	return rc;
}

enum rc relay_tools(struct relay *r, struct jscan own, struct buf *out, char collision[65])
{
	enum rc rc = RC_OK;

	r->name_count = 0;
	for (size_t i = 0; i < r->count; i++)
		if (add_tools(r, &r->servers[i], own, out, collision) != RC_OK)
			rc = RC_CONFLICT;
	return rc;
}

static bool any_true(const struct relay *r, const char *what, const char *flag)
{
	struct jscan v;

	for (size_t i = 0; i < r->count; i++)
		if (jscan_path(upstream_capabilities(r->servers[i].u), &v, what, flag, NULL) ==
				RC_OK &&
			v.kind == JSCAN_TRUE)
			return true;
	return false;
}

bool server_offers(const struct server *s, const char *what)
{
	struct jscan v;

	return jscan_get(upstream_capabilities(s->u), what, &v) == RC_OK && v.kind == JSCAN_OBJECT;
}

static const struct server *first_with(const struct relay *r, const char *what)
{
	for (size_t i = 0; i < r->count; i++)
		if (server_offers(&r->servers[i], what))
			return &r->servers[i];
	return NULL;
}

/* Objects of names that each stand for themselves: of all servers, the first one with a name
 * counts.
 */
static void add_united(const struct relay *r, const char *what, struct buf *out)
{
	struct jscan object, key, value, other;
	const char *comma = "";

	buf_printf(out, ",\"%s\":{", what);
	for (size_t i = 0; i < r->count; i++) {
		if (jscan_get(upstream_capabilities(r->servers[i].u), what, &object) != RC_OK)
			continue;
		for (struct jscan_iter it = jscan_iter(object); jscan_next(&it, &key, &value);) {
			char name[128];
			bool known = jscan_str(key, name, sizeof name) != RC_OK ||
				manifest_has_database_url(value.p, value.len);

			for (size_t j = 0; j < i && !known; j++)
				known = jscan_path(upstream_capabilities(r->servers[j].u), &other,
						what, name, NULL) == RC_OK;
			if (known)
				continue;
			buf_str(out, comma);
			buf_add(out, key.p, key.len);
			buf_char(out, ':');
			buf_add(out, value.p, value.len);
			comma = ",";
		}
	}
	buf_char(out, '}');
}

void relay_capabilities(const struct relay *r, struct buf *out)
{
	/* Objects of which the first server's counts: those of several do not add up. */
	static const char *const whole[] = {"completions", "logging", "tasks"};
	static const char *const united[] = {"extensions", "experimental"};
	struct jscan v;

	buf_str(out, "{\"tools\":{\"listChanged\":true}");
	if (first_with(r, "prompts") != NULL)
		buf_printf(out, ",\"prompts\":{%s}",
			any_true(r, "prompts", "listChanged") ? "\"listChanged\":true" : "");
	if (first_with(r, "resources") != NULL) {
		bool subscribe = any_true(r, "resources", "subscribe");
		bool changed = any_true(r, "resources", "listChanged");

		buf_printf(out, ",\"resources\":{%s%s%s}", subscribe ? "\"subscribe\":true" : "",
			subscribe && changed ? "," : "", changed ? "\"listChanged\":true" : "");
	}
	for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
		const struct server *s = first_with(r, whole[i]);

		if (s == NULL || jscan_get(upstream_capabilities(s->u), whole[i], &v) != RC_OK ||
			manifest_has_database_url(v.p, v.len))
			continue;
		buf_printf(out, ",\"%s\":", whole[i]);
		buf_add(out, v.p, v.len);
	}
	for (size_t i = 0; i < sizeof united / sizeof *united; i++)
		if (first_with(r, united[i]) != NULL)
			add_united(r, united[i], out);
	buf_char(out, '}');
}

void relay_instructions(const struct relay *r, struct buf *out)
{
	char text[INSTRUCTIONS_MAX];

	for (size_t i = 0; i < r->count; i++) {
		struct jscan v = upstream_instructions(r->servers[i].u);

		if (v.kind != JSCAN_STRING)
			continue;
		if (jscan_str(v, text, sizeof text) != RC_OK ||
			manifest_has_database_url(text, strlen(text))) {
			log_warn("upstream %s: its instructions are left out: longer than %d "
				 "bytes, or "
				 "with a database URL in them",
				r->servers[i].conf->name, INSTRUCTIONS_MAX);
			continue;
		}
		buf_printf(out, "%s%s", out->len > 0 ? "\n\n" : "", text);
	}
}

struct jscan relay_info(const struct relay *r)
{
	return r->count == 1 ? upstream_info(r->servers[0].u) : (struct jscan){0};
}
