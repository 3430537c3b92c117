#include "tunneld/loop.h"

#include <ev.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "tunneld/dispatch_server.h"
#include "tunneld/fds.h"
#include "tunneld/hub.h"
#include "tunneld/listen.h"
#include "tunneld/lws_server.h"
#include "tunneld/lws_tunnel.h"
#include "tunneld/relay.h"
#include "tunneld/tunnel.h"

#define GOAWAY_RETRY_MS 500
/* For close frames and last answers to leave. */
#define CLOSING_MS 1000

enum phase { RUNNING, DRAINING, CLOSING };

struct loop {
	struct ev_loop *ev;
	struct hub hub;
	struct lws_context *lws; /* declared in lws_server.h */
	struct dispatch_server *dispatch;
	enum phase phase;
	ev_async wake;
	ev_timer deadlines; /* the one for every call, handshake and heartbeat */
	ev_timer drain;
	ev_prepare flush; /* before every wait: what was queued meanwhile goes out */
	ev_prepare drained; /* looks for the end of a phase, only while there is one to come */
	ev_signal term, interrupt, hangup;
};

/* --- deadlines and wake-ups --------------------------------------------------------------- */

static void notify(void *ctx)
{
	struct loop *l = ctx;

	ev_async_send(l->ev, &l->wake);
}

static void on_wake(struct ev_loop *ev, ev_async *w, int events)
{
	struct loop *l = w->data;

	(void)ev;
	(void)events;
	hub_reap(&l->hub);
}

static void arm(void *ctx, int64_t due_ms)
{
	struct loop *l = ctx;
	int64_t wait_ms = due_ms - clock_mono_ms();

	/* libev counts from the time when this turn of the loop began. */
	ev_now_update(l->ev);
	ev_timer_stop(l->ev, &l->deadlines);
	ev_timer_set(&l->deadlines, wait_ms > 0 ? (double)wait_ms / 1000 : 0, 0);
	ev_timer_start(l->ev, &l->deadlines);
}

static void on_deadline(struct ev_loop *ev, ev_timer *w, int events)
{
	struct loop *l = w->data;

	(void)ev;
	(void)events;
	hub_tick(&l->hub, clock_mono_ms());
}

/* --- the way to the end --------------------------------------------------------------------- */

static void begin_closing(struct loop *l)
{
	l->phase = CLOSING;
	if (l->hub.calls.count > 0)
		log_warn("%zu calls were cut off by the shutdown", l->hub.calls.count);
	relay_abort_all(&l->hub);
	tunnel_end_all(&l->hub, TUNNEL_END_GOING_AWAY);
	ev_timer_stop(l->ev, &l->drain);
	ev_timer_set(&l->drain, CLOSING_MS / 1000.0, 0);
	ev_timer_start(l->ev, &l->drain);
}

static void on_drain_timeout(struct ev_loop *ev, ev_timer *w, int events)
{
	struct loop *l = w->data;

	(void)events;
	if (l->phase == DRAINING)
		begin_closing(l);
	else
		ev_break(ev, EVBREAK_ALL);
}

static void on_flush(struct ev_loop *ev, ev_prepare *w, int events)
{
	struct loop *l = w->data;

	(void)ev;
	(void)events;
	lws_tunnel_flush(&l->hub);
}

static void on_prepare(struct ev_loop *ev, ev_prepare *w, int events)
{
	struct loop *l = w->data;

	(void)events;
	if (l->phase == DRAINING && l->hub.calls.count == 0)
		begin_closing(l);
	if (l->phase == CLOSING && l->hub.calls.count == 0 && l->hub.tunnel_count == 0 &&
		l->hub.audit_streams.count == 0 && l->hub.listens.count == 0)
		ev_break(ev, EVBREAK_ALL);
}

static void on_term(struct ev_loop *ev, ev_signal *w, int events)
{
	struct loop *l = w->data;

	(void)events;
	if (l->phase != RUNNING) {
		log_warn("signal %d again: ending at once", w->signum);
		relay_abort_all(&l->hub);
		tunnel_end_all(&l->hub, TUNNEL_END_GOING_AWAY);
		ev_break(ev, EVBREAK_ALL);
		return;
	}
	log_info("signal %d: draining %zu calls on %zu sessions", w->signum, l->hub.calls.count,
		l->hub.registry.session_count);
	l->phase = DRAINING;
	l->hub.draining = true;
	audit_stream_end_all(&l->hub);
	listen_end_all(&l->hub, LISTEN_END_DRAINING);
	tunnel_goaway_all(&l->hub, GOAWAY_RETRY_MS);
	ev_timer_set(&l->drain, l->hub.config->drain_timeout_ms / 1000.0, 0);
	ev_timer_start(ev, &l->drain);
	ev_prepare_start(ev, &l->drained);
}

static void on_hangup(struct ev_loop *ev, ev_signal *w, int events)
{
	struct loop *l = w->data;
	const struct config *old = l->hub.config;
	struct config *fresh = config_reload();

	(void)ev;
	(void)events;
	if (!fresh)
		return;
	/* The threads have copies of what they need. */
	l->hub.config = fresh;
	config_free((struct config *)old);
	log_info("what can be reloaded was reloaded");
}

/* --- opening and closing ---------------------------------------------------------------------- */

static void init_watchers(struct loop *l)
{
	ev_async_init(&l->wake, on_wake);
	ev_timer_init(&l->deadlines, on_deadline, 0, 0);
	ev_timer_init(&l->drain, on_drain_timeout, 0, 0);
	ev_prepare_init(&l->flush, on_flush);
	ev_prepare_init(&l->drained, on_prepare);
	ev_signal_init(&l->term, on_term, SIGTERM);
	ev_signal_init(&l->interrupt, on_term, SIGINT);
	ev_signal_init(&l->hangup, on_hangup, SIGHUP);
	l->wake.data = l->deadlines.data = l->drain.data = l->drained.data = l;
	l->flush.data = l;
	l->term.data = l->interrupt.data = l->hangup.data = l;
	ev_async_start(l->ev, &l->wake);
	ev_prepare_start(l->ev, &l->flush);
	ev_signal_start(l->ev, &l->term);
	ev_signal_start(l->ev, &l->interrupt);
	ev_signal_start(l->ev, &l->hangup);
}

enum rc loop_open(
	const struct config *config, const struct crypto_identity *identity, struct loop **out)
{
	struct loop *l = xcalloc(1, sizeof(*l));
	enum rc rc = RC_INTERNAL;

	l->ev = ev_loop_new(EVFLAG_AUTO);
	if (!l->ev) {
		log_err("libev does not start");
		free(l);
		return RC_INTERNAL;
	}
	init_watchers(l);
	rc = hub_open(&l->hub, config, identity, notify, l);
	if (rc == RC_OK) {
		l->hub.arm = arm;
		l->hub.arm_ctx = l;
		l->hub.loop = l->ev;
		l->hub.max_connections = fds_for_tunnels(config, dispatch_server_max(config));
		rc = lws_server_open(l->ev, &l->hub, &l->lws);
	}
	if (rc == RC_OK)
		rc = dispatch_server_open(l->ev, &l->hub, &l->dispatch);
	if (rc == RC_OK)
		*out = l;
	else
		loop_close(l);
	return rc;
}

void loop_run(struct loop *l)
{
	(void)ev_run(l->ev, 0);
}

void loop_close(struct loop *l)
{
	const struct config *config;

	if (!l)
		return;
	config = l->hub.config;
	if (l->hub.audit) {
		/* Rows of sessions that end only now still go into the journal, and answers that
		 * wait for a row still go out. */
		lws_server_close(l->lws, &l->hub);
		hub_flush(&l->hub);
		dispatch_server_close(l->dispatch);
		hub_free(&l->hub);
	}
	ev_async_stop(l->ev, &l->wake);
	ev_prepare_stop(l->ev, &l->flush);
	ev_loop_destroy(l->ev);
	free(l);
	config_free((struct config *)config);
}
