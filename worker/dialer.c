#include "worker/dialer.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "worker/backoff.h"
#include "worker/lws_client.h"
#include "worker/resolver.h"

#define TICK_S 1.0
#define STABLE_MS 5000 /* a session that lasted this long was a good one */
#define CLOSE_GOING_AWAY 1001
#define CLOSE_REPLACED 4409
/* Results come and go: so much of their memory is not given back to the kernel in between. */
#define KEEP_BYTES (8 * 1024 * 1024)

struct dialer {
	struct dialer_config config;
	struct dialer_owner owner;
	struct lws_client *client;
	struct resolver *resolver;
	struct resolver_answer addresses;
	size_t address_turn;
	struct link *link; /* from the WebSocket's standing to its close */
	struct backoff backoff;
	ev_timer retry, tick;
	ev_async resolved;
	int64_t opened_at;
	bool opened, leaving, gone;
	bool going; /* the control plane said GOAWAY */
	int64_t going_after_ms;
	bool hopeless; /* the last end was one that trying again will hardly change */
	char refused_as[48]; /* the reason that was logged already */
};

static uint32_t dice(void)
{
	uint32_t n;

	crypto_random(&n, sizeof n);
	return n;
}

static void dial_in(struct dialer *d, int64_t ms)
{
	ev_timer_stop(d->config.loop, &d->retry);
	ev_timer_set(&d->retry, (double)ms / 1000.0, 0.);
	ev_timer_start(d->config.loop, &d->retry);
}

static void failed(struct dialer *d)
{
	int64_t wait = d->hopeless ? BACKOFF_HOPELESS_MS
				   : backoff_next(&d->backoff, clock_mono_ms(), dice());

	log_debug("next try in %lld ms", (long long)wait);
	dial_in(d, wait);
}

/* --- finding and connecting --- */

static void on_wake_resolver(void *ctx)
{
	struct dialer *d = ctx;

	ev_async_send(d->config.loop, &d->resolved);
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct dialer *d = w->data;

	(void)loop;
	(void)revents;
	if (d->leaving || d->resolver != NULL)
		return;
	d->resolver = resolver_start(d->config.endpoint->host, on_wake_resolver, d);
	if (d->resolver == NULL)
		failed(d);
}

static void on_resolved(struct ev_loop *loop, ev_async *w, int revents)
{
	struct dialer *d = w->data;

	(void)loop;
	(void)revents;
	if (d->resolver == NULL || !resolver_done(d->resolver, &d->addresses))
		return;
	resolver_drop(d->resolver);
	d->resolver = NULL;
	if (d->leaving)
		return;
	if (d->addresses.count == 0) {
		log_warn("can't find %s: %s", d->config.endpoint->host, d->addresses.why);
		failed(d);
		return;
	}
	/* The addresses take turns, so that one that is dead does not keep us out. */
	size_t turn = d->address_turn++ % d->addresses.count;
	if (lws_client_connect(d->client, d->config.endpoint, d->addresses.address[turn]) != RC_OK)
		failed(d);
}

/* --- the link's owner --- */

static void link_opened(void *ctx, const char *session_id)
{
	struct dialer *d = ctx;

	d->opened = true;
	d->opened_at = clock_mono_ms();
	d->refused_as[0] = '\0';
	lws_client_set_max(d->client, link_max_message(d->link));
	log_info("connected to %s as %s, session %s", d->config.endpoint->authority,
		d->config.enrolled->worker_id, session_id);
	d->owner.opened(d->owner.ctx, d->link);
}

static void link_called(void *ctx, struct link_call *call)
{
	struct dialer *d = ctx;

	d->owner.call(d->owner.ctx, d->link, call);
}

static void link_cancelled(void *ctx, const char *id)
{
	struct dialer *d = ctx;

	d->owner.cancel(d->owner.ctx, id);
}

static void link_replied(void *ctx, const char *id, const void *text, size_t len)
{
	struct dialer *d = ctx;

	d->owner.reply(d->owner.ctx, id, text, len);
}

static void link_goes(void *ctx, int64_t retry_after_ms)
{
	struct dialer *d = ctx;

	if (!d->going)
		log_info("the control plane is going away: finishing the calls in hand, then back "
			 "in %lld ms or a little more",
			(long long)retry_after_ms);
	d->going = true;
	d->going_after_ms = retry_after_ms;
	dialer_poke(d);
}

static void link_wakes(void *ctx)
{
	struct dialer *d = ctx;

	lws_client_want_write(d->client);
}

/* --- the connection's owner --- */

static void log_refusal(struct dialer *d)
{
	const struct link_refusal *r = link_refusal(d->link);

	d->hopeless = !r->retry;
	if (strcmp(d->refused_as, r->reason) == 0) {
		log_debug("refused again: HELLO_NACK reason=%s", r->reason);
		return;
	}
	(void)str_copy(d->refused_as, sizeof d->refused_as, r->reason);
	if (r->retry)
		log_warn("HELLO_NACK reason=%s: %s", r->reason, r->detail);
	else
		log_err("HELLO_NACK reason=%s: %s. Trying again once a minute; that helps only "
			"when the "
			"control plane's operator changes something, or this worker enrolls anew",
			r->reason, r->detail);
}

static void end_connection(struct dialer *d, enum link_end end)
{
	ev_timer_stop(d->config.loop, &d->tick);
	if (end == LINK_REFUSED)
		log_refusal(d);
	else if (end == LINK_IMPOSTOR || end == LINK_BAD_MAC)
		log_err("%s", link_end_text(end));
	else
		log_warn("%s", link_end_text(end));
	if (end == LINK_SILENT)
		lws_client_kill(d->client); /* nobody is there to answer a close */
	else
		lws_client_close(d->client, link_close_code(end));
}

static void client_up(void *ctx)
{
	struct dialer *d = ctx;
	struct link_config config = {.identity = d->config.identity,
		.enrolled = d->config.enrolled,
		.agent = d->config.agent,
		.manifest = d->config.manifest};
	struct link_owner owner = {.ctx = d,
		.opened = link_opened,
		.call = link_called,
		.cancel = link_cancelled,
		.reply = link_replied,
		.goaway = link_goes,
		.wake = link_wakes};

	d->link = link_new(&config, &owner, clock_mono_ms());
	lws_client_set_max(d->client, link_max_message(d->link));
	ev_timer_again(d->config.loop, &d->tick);
}

static void client_message(void *ctx, const uint8_t *bytes, size_t len)
{
	struct dialer *d = ctx;
	enum link_end end = link_message(d->link, bytes, len, clock_mono_ms(), clock_wall_ms());

	if (end != LINK_GOES_ON)
		end_connection(d, end);
}

static void client_pong(void *ctx)
{
	struct dialer *d = ctx;

	link_heard(d->link, clock_mono_ms());
}

static bool client_next(void *ctx, struct buf *out, const uint8_t **rest, size_t *rest_len)
{
	struct dialer *d = ctx;

	if (link_open(d->link))
		d->owner.refill(d->owner.ctx, d->link);
	if (link_next(d->link, out, rest, rest_len))
		return true;
	dialer_poke(d);
	return false;
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct dialer *d = w->data;
	bool ping;

	(void)loop;
	(void)revents;
	if (d->link == NULL)
		return;
	enum link_end end = link_tick(d->link, clock_mono_ms(), &ping);
	if (end != LINK_GOES_ON)
		end_connection(d, end);
	else if (ping)
		lws_client_ping(d->client);
}

static void log_close(const struct dialer *d, int code, const char *why)
{
	if (d->link == NULL)
		log_warn("can't connect to %s: %s", d->config.endpoint->authority,
			why[0] != '\0' ? why : "no answer");
	else if (code == CLOSE_REPLACED)
		log_err("this session was replaced: another process runs with the identity of %s. "
			"Enroll each worker on its own",
			d->config.enrolled->worker_id);
	else if (code != 0)
		log_info("the connection was closed by the control plane: %d %s", code, why);
	else
		log_info("the connection is closed%s%s", why[0] != '\0' ? ": " : "", why);
}

static void drop_link(struct dialer *d)
{
	ev_timer_stop(d->config.loop, &d->tick);
	if (d->opened) {
		d->opened = false;
		d->owner.lost(d->owner.ctx);
	}
	link_free(d->link);
	d->link = NULL;
}

static void gone(struct dialer *d)
{
	if (d->gone)
		return;
	d->gone = true;
	d->owner.left(d->owner.ctx);
}

static void client_closed(void *ctx, int code, const char *why)
{
	struct dialer *d = ctx;
	bool stable = d->opened && clock_mono_ms() - d->opened_at >= STABLE_MS;

	if (!d->gone)
		log_close(d, code, why);
	drop_link(d);
	if (d->leaving) {
		gone(d);
		return;
	}
	d->hopeless = d->hopeless || code == CLOSE_REPLACED;
	if (stable)
		backoff_reset(&d->backoff);
	if (d->going)
		dial_in(d, backoff_spread(d->going_after_ms, dice()));
	else
		failed(d);
	d->going = d->hopeless = false;
}

/* --- for the owner --- */

enum rc dialer_new(
	const struct dialer_config *config, const struct dialer_owner *owner, struct dialer **out)
{
	struct dialer *d = xcalloc(1, sizeof *d);
	struct lws_client_owner callbacks = {.ctx = d,
		.up = client_up,
		.message = client_message,
		.pong = client_pong,
		.next = client_next,
		.closed = client_closed};

	mem_keep(KEEP_BYTES);
	d->config = *config;
	d->owner = *owner;
	enum rc rc = lws_client_new(config->loop, config->ca_file, &callbacks, &d->client);
	if (rc != RC_OK) {
		free(d);
		return rc;
	}
	ev_timer_init(&d->retry, on_retry, 0., 0.);
	ev_timer_init(&d->tick, on_tick, TICK_S, TICK_S);
	ev_async_init(&d->resolved, on_resolved);
	d->retry.data = d->tick.data = d->resolved.data = d;
	ev_async_start(config->loop, &d->resolved);
	*out = d;
	return RC_OK;
}

void dialer_start(struct dialer *d)
{
	dial_in(d, 0);
}

struct link *dialer_link(struct dialer *d)
{
	return d->opened ? d->link : NULL;
}

void dialer_goodbye(struct dialer *d)
{
	d->leaving = true;
	ev_timer_stop(d->config.loop, &d->retry);
	if (!d->opened)
		lws_client_kill(d->client);
	else if (link_goaway(d->link) != RC_OK)
		log_debug("the control plane could not be told");
}

void dialer_leave(struct dialer *d)
{
	d->leaving = true;
	ev_timer_stop(d->config.loop, &d->retry);
	if (d->link != NULL)
		lws_client_close(d->client, CLOSE_GOING_AWAY);
	else
		gone(d);
}

void dialer_again(struct dialer *d)
{
	if (d->opened && !d->leaving)
		lws_client_close(d->client, CLOSE_GOING_AWAY);
}

void dialer_poke(struct dialer *d)
{
	if (d->going && !d->leaving && d->opened && link_idle(d->link))
		lws_client_close(d->client, CLOSE_GOING_AWAY);
}

void dialer_free(struct dialer *d)
{
	if (d == NULL)
		return;
	d->leaving = d->gone = true;
	resolver_drop(d->resolver);
	lws_client_free(d->client);
	ev_timer_stop(d->config.loop, &d->retry);
	ev_timer_stop(d->config.loop, &d->tick);
	ev_async_stop(d->config.loop, &d->resolved);
	link_free(d->link);
	free(d);
}
