#include "worker/run.h"

#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/crypto.h"
#include "shared/log.h"
#include "shared/manifest.h"
#include "shared/mem.h"
#include "worker/announce.h"
#include "worker/calls.h"
#include "worker/dialer.h"
#include "worker/engine.h"
#include "worker/identity.h"
#include "worker/keeper.h"
#include "worker/relay.h"
#include "worker/secretenv.h"
#include "worker/wconfig.h"

#define AGENT "airlock-worker/" AIRLOCK_VERSION
#define MANIFEST_MAX ((size_t)1 << 20)
#define INSTRUCTIONS_MAX 16384
#define DRAIN_S 10.0 /* running calls may finish */
#define CANCEL_S 2.0 /* cancelled ones may notice */
#define FAREWELL_S 3.0 /* the control plane may hear of the end */
#define LAST_RESORT_S 10 /* for all that comes after the calls; then the kernel ends us */

enum stage { SERVING, DRAINING, CANCELLING, CLEANING, LEAVING };

struct run {
	struct wconfig *wconfig;
	char *database_url; /* NULL once the tools have it */
	struct crypto_identity identity;
	struct enrolled enrolled;
	struct endpoint endpoint;
	uint8_t mask_secret[IDENTITY_MASK_LEN];
	int lock_fd;
	struct buf instructions, manifest, own_tools, all_tools, capabilities;
	struct mcp_server server;
	struct announce *announce;
	struct tools *tools; /* the keeper's, once there is one */
	struct keeper *keeper;
	struct calls *calls;
	struct relay *relay;
	struct dialer *dialer;
	struct ev_loop *loop;
	ev_async wake;
	ev_signal on_term, on_int, on_hup;
	ev_timer patience;
	enum stage stage;
	bool started; /* the dialer */
	bool failed; /* what the upstreams offer can't be served */
	bool left;
};

/* --- reading what is there --- */

/* The tenant's own key where its workers share one; else this worker's. */
static enum rc load_mask_secret(struct run *r, struct identity_error *err)
{
	const char *file = r->wconfig->mask_key_file;
	char print[IDENTITY_PRINT_LEN + 1];
	enum rc rc = file ? identity_shared_secret(file, r->enrolled.tenant_id, r->mask_secret, err)
			  : identity_mask_secret(r->wconfig->state_dir, r->mask_secret, err);

	if (rc == RC_OK) {
		identity_secret_print(r->mask_secret, print);
		log_info("masking key %s, %s", print,
			file ? "shared by the tenant's workers" : "of this worker alone");
	}
	return rc;
}

static bool load_identity(struct run *r)
{
	struct identity_error err;
	const char *dir = r->wconfig->state_dir;

	if (identity_open_dir(dir, &r->lock_fd, &err) != RC_OK ||
		identity_load_enrolled(dir, &r->enrolled, &err) != RC_OK ||
		identity_load_key(dir, &r->identity, &err) != RC_OK ||
		load_mask_secret(r, &err) != RC_OK) {
		log_err("%s", err.text);
		return false;
	}
	if (!crypto_equal(r->enrolled.public_key, sizeof r->enrolled.public_key,
		    r->identity.public_key, sizeof r->identity.public_key)) {
		log_err("the key in %s is not the one that was enrolled: restore it, or run "
			"`airlock-worker enroll --force` with a new token",
			dir);
		return false;
	}
	return true;
}

static bool load_endpoint(struct run *r, bool allow_insecure)
{
	char why[128];

	if (endpoint_parse(r->enrolled.tunnel_url, &r->endpoint, why, sizeof why) != RC_OK ||
		!r->endpoint.websocket) {
		log_err("enrollment.json holds no usable tunnel_url: enroll again with --force");
		return false;
	}
	if (!endpoint_safe(&r->endpoint) && !allow_insecure) {
		log_err("%s is not encrypted: the control plane must be reached over https (wss). "
			"For a trial "
			"inside one network there is --allow-insecure",
			r->enrolled.tunnel_url);
		return false;
	}
	if (r->wconfig->ca_file != NULL && access(r->wconfig->ca_file, R_OK) != 0) {
		log_err("worker.ca_file %s can't be read: %s", r->wconfig->ca_file,
			strerror(errno));
		return false;
	}
	return true;
}

static void put_own_instructions(const struct wconfig *c, struct buf *b)
{
	if (c->description != NULL)
		buf_printf(b, "%s%s", c->description, c->root_table != NULL ? "\n\n" : "");
	if (c->root_table != NULL)
		buf_str(b,
			"Every database tool works on the rows of one subject: pass its id as "
			"subject_id. Call get_schema first. The data is a read-only copy in which "
			"personal data is masked.");
	for (size_t i = 0; i < c->hint_count; i++)
		buf_printf(b, "%s- %s", b->len > 0 ? "\n" : "", c->hints[i]);
}

static void build_instructions(struct run *r)
{
	struct buf *b = &r->instructions;

	buf_free(b);
	buf_init(b, INSTRUCTIONS_MAX);
	put_own_instructions(r->wconfig, b);
	relay_instructions(r->relay, b);
	if (b->len > 0)
		buf_char(b, '\0');
	if (b->failed) {
		log_warn("the description and the hints in %s, and what upstreams say, are longer "
			 "than %d bytes together; agents get none of them",
			r->wconfig->path, INSTRUCTIONS_MAX);
		buf_free(b);
	}
}

static void backend_list(void *ctx, struct buf *out)
{
	struct run *r = ctx;

	buf_add(out, r->all_tools.data, r->all_tools.len);
}

static void backend_call(void *ctx, const struct tool_call *call, struct tool_result *out)
{
	struct run *r = ctx;

	if (r->tools != NULL)
		tools_call(r->tools, call, out);
	else
		out->outcome = TOOL_UNKNOWN;
}

/* Our own tools, and those of the upstreams beside them. False: two have the same name. */
static bool build_tools(struct run *r)
{
	struct buf *all = &r->all_tools;
	struct jscan own = {0};
	char name[65] = "";
	enum rc rc;

	if (r->own_tools.len == 0) {
		buf_init(&r->own_tools, MANIFEST_MAX);
		if (r->tools != NULL)
			tools_list(r->tools, &r->own_tools);
		else
			buf_str(&r->own_tools, "[]");
	}
	buf_free(all);
	buf_init(all, MANIFEST_MAX);
	buf_add(all, r->own_tools.data, r->own_tools.len - 1);
	if (jscan_parse((const char *)r->own_tools.data, r->own_tools.len, &own) != RC_OK)
		own = (struct jscan){0};
	rc = relay_tools(r->relay, own, all, name);
	buf_char(all, ']');
	if (rc != RC_OK)
		log_err("two tools are called %s: give the upstreams in %s different prefixes",
			name, r->wconfig->path);
	return rc == RC_OK;
}

/* What never changes: threads that run our own tools read it. */
static void init_server(struct run *r)
{
	r->server = (struct mcp_server){
		.name = "airlock-worker",
		.version = AIRLOCK_VERSION,
		.engine = r->wconfig->root_table != NULL ? tools_engine(r->wconfig)->name : NULL,
		.query_timeout_ms = r->wconfig->query_timeout_ms,
		.result_max_rows = r->wconfig->result_max_rows,
		.result_max_bytes = r->wconfig->result_max_bytes,
		.backend = {.ctx = r, .list = backend_list, .call = backend_call},
	};
}

/* What the upstreams change. False: two tools have the same name; the first of them counts. */
static bool build_server(struct run *r)
{
	bool database = r->wconfig->root_table != NULL;
	bool upstreams = r->wconfig->upstream_count > 0;

	build_instructions(r);
	buf_free(&r->capabilities);
	buf_init(&r->capabilities, MANIFEST_MAX);
	relay_capabilities(r->relay, &r->capabilities);
	r->server.instructions = (const char *)r->instructions.data;
	if (!database)
		r->server.info = relay_info(r->relay);
	r->server.capabilities = (struct jscan){0};
	if (upstreams && !r->capabilities.failed &&
		jscan_parse((const char *)r->capabilities.data, r->capabilities.len,
			&r->server.capabilities) != RC_OK)
		r->server.capabilities = (struct jscan){0};
	return build_tools(r);
}

/* The control plane would refuse a bad one; said here, it names the file. RC_NOTFOUND: it says what
 * the last one said. */
static enum rc build_manifest(struct run *r)
{
	char why[256] = "";
	struct buf b;
	enum rc rc;

	buf_init(&b, MANIFEST_MAX);
	mcp_server_manifest(&r->server, &b);
	if (!b.failed && b.len == r->manifest.len && memcmp(b.data, r->manifest.data, b.len) == 0) {
		buf_free(&b);
		return RC_NOTFOUND;
	}
	rc = b.failed ? RC_LIMIT : manifest_check((const char *)b.data, b.len, why, sizeof why);
	if (rc == RC_OK) {
		buf_free(&r->manifest);
		r->manifest = b;
		return RC_OK;
	}
	if (rc == RC_DENIED)
		log_err("a description, hint or name in %s, or of an upstream, looks like a "
			"database "
			"URL: the control plane must never see one. Remove it",
			r->wconfig->path);
	else
		log_err("the tools that %s describes make no valid manifest%s%s", r->wconfig->path,
			why[0] != '\0' ? ": " : " of at most 1 MiB", why);
	buf_free(&b);
	return rc;
}

/* --- the upstreams ----------------------------------------------------------------------- */

static struct link *relay_link(void *ctx)
{
	struct run *r = ctx;

	return r->dialer != NULL ? dialer_link(r->dialer) : NULL;
}

static void relay_ended(void *ctx)
{
	struct run *r = ctx;

	ev_async_send(r->loop, &r->wake);
}

/* The first time, the worker begins to serve. Later, the control plane is told what has changed. */
static void relay_changed(void *ctx)
{
	struct run *r = ctx;
	struct link *l = relay_link(r);
	bool distinct = build_server(r);
	enum rc rc = build_manifest(r);

	if (!r->started && (!distinct || rc != RC_OK)) {
		r->failed = true;
		ev_break(r->loop, EVBREAK_ALL);
	} else if (!r->started) {
		r->started = true;
		if (r->stage == SERVING)
			dialer_start(r->dialer);
	} else if (rc == RC_OK && l != NULL &&
		link_manifest(l, r->manifest.data, r->manifest.len) != RC_OK) {
		log_warn("the control plane could not be told of changed tools: connecting anew");
		dialer_again(r->dialer);
	} else if (rc == RC_NOTFOUND && l != NULL && link_changed(l, "tools") != RC_OK) {
		log_debug("a change of the tools is not told: too much waits to be sent");
	}
}

/* --- going down, step by step --- */

static void wait_for(struct run *r, double seconds)
{
	ev_timer_stop(r->loop, &r->patience);
	ev_timer_set(&r->patience, seconds, 0.);
	ev_timer_start(r->loop, &r->patience);
}

/* The one place where the stage changes. Each step lets go of what the next one takes down. */
static void enter(struct run *r, enum stage stage)
{
	r->stage = stage;
	switch (stage) {
	case SERVING:
		break;
	case DRAINING:
		log_info("stopping: telling the control plane, finishing %zu calls",
			calls_count(r->calls) + relay_calls(r->relay));
		relay_end_listens(r->relay);
		dialer_goodbye(r->dialer);
		wait_for(r, DRAIN_S);
		break;
	case CANCELLING:
		log_warn("cancelling %zu calls that still run",
			calls_count(r->calls) + relay_calls(r->relay));
		calls_cancel_all(r->calls);
		relay_cancel_all(r->relay);
		wait_for(r, CANCEL_S);
		break;
	case CLEANING:
		ev_timer_stop(r->loop, &r->patience);
		/* A tool that does not notice its cancellation must not keep the process for ever.
		 */
		(void)alarm(LAST_RESORT_S);
		calls_stop(r->calls);
		if (r->keeper != NULL)
			keeper_stop(r->keeper);
		break;
	case LEAVING:
		wait_for(r, FAREWELL_S);
		break;
	}
}

static bool all_sent(struct run *r)
{
	struct link *l = dialer_link(r->dialer);

	return l == NULL || link_idle(l);
}

static void step_down(struct run *r)
{
	if ((r->stage == DRAINING || r->stage == CANCELLING) && calls_count(r->calls) == 0 &&
		relay_calls(r->relay) == 0 && all_sent(r))
		enter(r, CLEANING);
	if (r->stage == CLEANING && (r->keeper == NULL || keeper_stopped(r->keeper)))
		enter(r, LEAVING);
	/* The keeper may have told of the last snapshots' end after the loop last looked. */
	if (r->stage == LEAVING && dialer_link(r->dialer) != NULL)
		announce_send(r->announce, dialer_link(r->dialer));
	if (r->stage != LEAVING || !all_sent(r))
		return;
	if (r->left)
		ev_break(r->loop, EVBREAK_ALL);
	else
		dialer_leave(r->dialer);
}

static void on_patience(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct run *r = w->data;

	(void)revents;
	if (r->stage == DRAINING)
		enter(r, CANCELLING);
	else if (r->stage == CANCELLING)
		enter(r, CLEANING);
	else if (r->stage == LEAVING)
		ev_break(loop, EVBREAK_ALL); /* the peer does not answer */
}

static void on_term(struct ev_loop *loop, ev_signal *w, int revents)
{
	struct run *r = w->data;

	(void)loop;
	(void)revents;
	if (r->stage == SERVING)
		enter(r, DRAINING);
	else if (r->stage == DRAINING)
		enter(r, CANCELLING); /* asked twice */
	step_down(r);
}

static void on_hup(struct ev_loop *loop, ev_signal *w, int revents)
{
	struct run *r = w->data;

	(void)loop;
	(void)revents;
	log_info("SIGHUP: nothing to do; %s is read at start", r->wconfig->path);
}

/* --- what happens while it runs --- */

/* Any thread. */
static void wake(void *ctx)
{
	struct run *r = ctx;

	ev_async_send(r->loop, &r->wake);
}

static void on_wake(struct ev_loop *loop, ev_async *w, int revents)
{
	struct run *r = w->data;
	struct link *l = dialer_link(r->dialer);

	(void)loop;
	(void)revents;
	/* Snapshots first, so that a result that names one comes after its description. */
	if (l != NULL)
		announce_send(r->announce, l);
	calls_collect(r->calls, l);
	dialer_poke(r->dialer);
	step_down(r);
}

static void dialer_opened(void *ctx, struct link *l)
{
	struct run *r = ctx;

	announce_session(r->announce);
	announce_send(r->announce, l);
}

static void dialer_called(void *ctx, struct link *l, struct link_call *call)
{
	struct run *r = ctx;

	if (!relay_take(r->relay, l, call))
		calls_start(r->calls, l, call);
}

static void dialer_cancelled(void *ctx, const char *id)
{
	struct run *r = ctx;

	calls_cancel(r->calls, id);
	relay_cancel(r->relay, id);
}

static void dialer_replied(void *ctx, const char *id, const void *text, size_t len)
{
	struct run *r = ctx;

	relay_reply(r->relay, id, text, len);
}

static void dialer_lost(void *ctx)
{
	struct run *r = ctx;

	calls_lost(r->calls);
	relay_lost(r->relay);
	relay_flow(r->relay, true);
	wake(r); /* to drop what has finished meanwhile */
}

static void dialer_refill(void *ctx, struct link *l)
{
	struct run *r = ctx;

	announce_send(r->announce, l);
	calls_collect(r->calls, l);
	relay_flow(r->relay, link_has_room(l));
	if (r->stage != SERVING)
		wake(r); /* perhaps the last byte of the drain is out */
}

static void dialer_left(void *ctx)
{
	struct run *r = ctx;

	r->left = true;
	wake(r);
}

/* --- putting it together --- */

static bool open_tools(struct run *r)
{
	struct wconfig_error err = {.text = ""};
	enum rc rc;

	if (r->wconfig->root_table == NULL) {
		log_info("%s names no root_table: no database, upstreams alone", r->wconfig->path);
		return true;
	}
	if (r->database_url == NULL) {
		log_err("DATABASE_URL is not set: name the database in the environment, such as "
			"postgresql://user:password@host/name or sqlite:///path/to/file.db");
		return false;
	}
	rc = tools_open(r->wconfig, r->database_url, r->mask_secret, announce_note, r->announce,
		&r->tools, &err);
	mem_free_secret(r->database_url);
	r->database_url = NULL;
	if (rc == RC_UNAVAILABLE) {
		log_warn("the database can't be reached: %s. Agents are told so until it can be",
			err.text);
		rc = RC_OK;
	}
	if (rc != RC_OK)
		log_err("%s", err.text);
	return rc == RC_OK && keeper_new(r->tools, wake, r, &r->keeper) == RC_OK;
}

static bool open_dialer(struct run *r)
{
	struct dialer_config config = {.loop = r->loop,
		.identity = &r->identity,
		.enrolled = &r->enrolled,
		.endpoint = &r->endpoint,
		.ca_file = r->wconfig->ca_file,
		.agent = AGENT,
		.manifest = &r->manifest};
	struct dialer_owner owner = {.ctx = r,
		.opened = dialer_opened,
		.call = dialer_called,
		.cancel = dialer_cancelled,
		.reply = dialer_replied,
		.lost = dialer_lost,
		.refill = dialer_refill,
		.left = dialer_left};

	return dialer_new(&config, &owner, &r->dialer) == RC_OK;
}

static void start_watchers(struct run *r)
{
	ev_async_start(r->loop, &r->wake);
	ev_signal_init(&r->on_term, on_term, SIGTERM);
	ev_signal_init(&r->on_int, on_term, SIGINT);
	ev_signal_init(&r->on_hup, on_hup, SIGHUP);
	ev_timer_init(&r->patience, on_patience, 0., 0.);
	r->on_term.data = r->on_int.data = r->on_hup.data = r->patience.data = r;
	ev_signal_start(r->loop, &r->on_term);
	ev_signal_start(r->loop, &r->on_int);
	ev_signal_start(r->loop, &r->on_hup);
}

/* False, with the reason logged, when it can't. */
static bool set_up(struct run *r, const struct run_options *options)
{
	if (!load_identity(r) || !load_endpoint(r, options->allow_insecure))
		return false;
	r->loop = ev_loop_new(EVFLAG_AUTO);
	if (r->loop == NULL) {
		log_err("no event loop can be made");
		return false;
	}
	ev_async_init(&r->wake, on_wake);
	r->wake.data = r;
	r->announce = announce_new(2 * (size_t)r->wconfig->snapshots_max + 64, wake, r);
	init_server(r);
	r->relay = relay_new(r->loop, r->wconfig, &r->server, r->database_url,
		&(struct relay_owner){.ctx = r,
			.link = relay_link,
			.changed = relay_changed,
			.ended = relay_ended});
	if (!open_tools(r) ||
		calls_new(&r->server, r->wconfig->threads, wake, r, &r->calls) != RC_OK ||
		!open_dialer(r))
		return false;
	start_watchers(r);
	return true;
}

/* Whatever set_up() left, in an order in which nothing is used after it is gone. */
static void tear_down(struct run *r)
{
	dialer_free(r->dialer);
	r->dialer = NULL;
	relay_free(r->relay);
	calls_free(r->calls);
	if (r->keeper != NULL)
		keeper_free(r->keeper);
	else
		tools_close(r->tools);
	announce_free(r->announce);
	if (r->loop != NULL)
		ev_loop_destroy(r->loop);
	buf_free(&r->manifest);
	buf_free(&r->instructions);
	buf_free(&r->own_tools);
	buf_free(&r->all_tools);
	buf_free(&r->capabilities);
	mem_free_secret(r->database_url);
	crypto_identity_wipe(&r->identity);
	mem_wipe(r->mask_secret, sizeof r->mask_secret);
	if (r->lock_fd >= 0)
		close(r->lock_fd);
	wconfig_free(r->wconfig);
}

int worker_run(const struct run_options *options)
{
	struct run r = {.lock_fd = -1, .database_url = secretenv_take("DATABASE_URL")};
	struct wconfig_error err = {.text = ""};

	if (wconfig_load(options->config_path, &r.wconfig, &err) != RC_OK) {
		log_err("%s", err.text);
		tear_down(&r);
		return 1;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	/* libwebsockets would take an HTTP proxy from here; the tunnel is dialed directly. */
	(void)unsetenv("http_proxy");

	bool ok = set_up(&r, options);
	if (ok) {
		log_info("%s for tenant %s starts with %d threads", r.enrolled.worker_id,
			r.enrolled.tenant_slug, r.wconfig->threads);
		relay_start(r.relay);
		if (!r.failed)
			ev_run(r.loop, 0);
		ok = !r.failed;
		log_info("stopped");
	}
	tear_down(&r);
	return ok ? 0 : 1;
}
