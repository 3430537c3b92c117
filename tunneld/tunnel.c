#include "tunneld/tunnel.h"

#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/sidecar.h"
#include "tunneld/greeting.h"
#include "tunneld/lineup.h"
#include "tunneld/listen.h"
#include "tunneld/relay.h"

/* A session with this much waiting gets no new calls. */
#define BACKLOG_HIGH ((size_t)1024 * 1024)
/* Pings may go out this part of the interval early: one wake-up for many, however many tunnels
 * there are. */
#define PING_EARLY 32

static const struct {
	const char *name;
	int code;
} ends[] = {
#define X(name, text, code) {text, code},
	TUNNEL_END_TABLE(X)
#undef X
};

struct tunnel *tunnel_of(struct session *s)
{
	return (struct tunnel *)(void *)((char *)s - offsetof(struct tunnel, session));
}

static struct tunnel *tunnel_by_beat(struct deadline *d)
{
	return DEADLINE_OF(d, struct tunnel, beat);
}

/* --- sending ------------------------------------------------------------------------ */

void tunnel_begin(struct buf *b)
{
	static const uint8_t headroom[TUNNEL_HEADROOM];

	buf_init(b, TUNNEL_HEADROOM + MSG_MAX_DEFAULT);
	buf_add(b, headroom, sizeof(headroom));
}

bool tunnel_send(struct tunnel *t, enum msg_type type, struct buf *b)
{
	if (b->failed || t->state == TUNNEL_ENDED) {
		buf_free(b);
		return false;
	}
	t->hub->metrics.tunnel_out[type]++;
	t->hub->metrics.tunnel_bytes_out += b->len - TUNNEL_HEADROOM;
	t->io->send(t->ctx, b);
	if (t->io->backlog(t->ctx) > BACKLOG_HIGH)
		t->session.congested = true;
	return true;
}

bool tunnel_send_signed(
	struct tunnel *t, enum msg_type type, struct buf *b, const void *payload, size_t len)
{
	msg_end_mac(b, TUNNEL_HEADROOM, t->key, t->signed_count + 1, payload, len);
	/* Counted only when it goes out: the worker takes no number twice and none out of turn. */
	if (!tunnel_send(t, type, b))
		return false;
	t->signed_count++;
	return true;
}

void tunnel_drained(struct tunnel *t)
{
	t->session.congested = false;
}

void tunnel_pause(struct tunnel *t)
{
	if (t->pauses++ == 0 && t->state != TUNNEL_ENDED)
		t->io->pause(t->ctx, true);
}

void tunnel_resume(struct tunnel *t)
{
	if (--t->pauses == 0 && t->state != TUNNEL_ENDED)
		t->io->pause(t->ctx, false);
}

/* --- beginning and end ------------------------------------------------------------------ */

static void watch(struct tunnel *t, struct deadlines *list, int64_t due_ms)
{
	deadline_set(list, &t->beat, due_ms);
	t->pinged = list == &t->hub->pinged;
	hub_arm(t->hub, due_ms);
}

struct tunnel *tunnel_new(struct hub *hub, const struct tunnel_io *io, void *ctx,
	const char *remote_ip, int64_t now_ms)
{
	struct tunnel *t = xcalloc(1, sizeof(*t));

	t->hub = hub;
	t->io = io;
	t->ctx = ctx;
	t->heard_ms = now_ms;
	incoming_init(&t->incoming);
	(void)str_copy(t->session.remote_ip, sizeof(t->session.remote_ip), remote_ip);
	t->next = hub->tunnels;
	if (t->next)
		t->next->prev = t;
	hub->tunnels = t;
	hub->tunnel_count++;
	watch(t, &hub->handshakes, now_ms + hub->config->handshake_timeout_ms);
	greeting_begin(t);
	return t;
}

static void log_end(const struct tunnel *t, enum tunnel_end why)
{
	const struct session *s = &t->session;

	if (t->state == TUNNEL_READY)
		log_info("session %s of worker %s (%s, from %s) ended: %s", s->id, s->worker_id,
			s->tenant_id, s->remote_ip, ends[why].name);
	else if (why != TUNNEL_END_REFUSED) /* that has its own line */
		log_info("tunnel from %s ended in the handshake: %s", s->remote_ip, ends[why].name);
}

static void record(struct tunnel *t, const char *event, const char *outcome, const char *target,
	struct audit_record *r)
{
	const struct session *s = &t->session;

	audit_init(r, event);
	(void)str_copy(r->tenant_id, sizeof(r->tenant_id), s->tenant_id);
	(void)str_copy(r->actor_kind, sizeof(r->actor_kind), "worker");
	(void)str_copy(r->actor_id, sizeof(r->actor_id), s->worker_id);
	(void)str_copy(r->worker_id, sizeof(r->worker_id), s->worker_id);
	(void)str_copy(r->session_id, sizeof(r->session_id), s->id);
	(void)str_copy(r->remote_ip, sizeof(r->remote_ip), s->remote_ip);
	(void)str_copy(r->outcome, sizeof(r->outcome), outcome);
	(void)str_copy(r->target, sizeof(r->target), target);
}

void tunnel_note(struct tunnel *t, const char *event, const char *outcome, const char *target)
{
	struct audit_record r;

	record(t, event, outcome, target, &r);
	audit_writer_note(t->hub->audit, &r);
}

void tunnel_remember(struct tunnel *t, bool announced)
{
	const char *slash = strrchr(t->session.agent, '/');

	state_writer_seen(t->hub->state,
		&(struct state_seen){.tenant_id = t->session.tenant_id,
			.worker_id = t->session.worker_id,
			.version = slash ? slash + 1 : t->session.agent,
			.at = clock_wall_s(),
			.manifest = catalog_ref(t->session.manifest),
			.announced = announced});
}

/* The session is over: nothing finds it any more. */
static void close_session(struct tunnel *t, enum tunnel_end why)
{
	lineup_leaves(&t->session);
	registry_remove(&t->hub->registry, &t->session);
	relay_session_lost(t->hub, &t->session,
		why == TUNNEL_END_PROTOCOL_ERROR ? OUTCOME_PROTOCOL_ERROR : OUTCOME_NO_WORKER);
	listen_session_down(t->hub, &t->session, t->session.tenant_id);
	listen_refresh(t->hub, t->session.tenant_id);
	tunnel_note(t, "session.close", ends[why].name, "");
	tunnel_remember(t, false);
	catalog_drop(&t->hub->catalog, t->session.manifest);
	t->session.manifest = NULL;
	vouch_free(&t->session.vouch);
	mem_wipe(t->key, sizeof(t->key));
}

void tunnel_end(struct tunnel *t, enum tunnel_end why)
{
	bool was_ready = t->state == TUNNEL_READY;

	if (t->state == TUNNEL_ENDED)
		return;
	log_end(t, why);
	if (why == TUNNEL_END_PROTOCOL_ERROR)
		t->hub->metrics.closed_4400++;
	else
		t->hub->metrics.closed_other++;
	deadline_clear(&t->beat);
	t->state = TUNNEL_ENDED;
	if (was_ready)
		close_session(t, why);
	greeting_free(t);
	buf_free(&t->parts);
	if (t->pauses > 0)
		t->io->pause(t->ctx, false);
	if (ends[why].code)
		t->io->close(t->ctx, ends[why].code);
}

void tunnel_closed(struct tunnel *t)
{
	if (!t)
		return;
	tunnel_end(t, TUNNEL_END_CLOSED);
	*(t->prev ? &t->prev->next : &t->hub->tunnels) = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->hub->tunnel_count--;
	incoming_reset(&t->incoming);
	free(t);
}

void tunnel_goaway_all(struct hub *hub, int64_t retry_after_ms)
{
	struct buf b;

	for (struct tunnel *t = hub->tunnels; t; t = t->next) {
		if (t->state != TUNNEL_READY)
			continue;
		tunnel_begin(&b);
		msg_begin(&b, MSG_GOAWAY, NULL);
		msg_put_int(&b, "retry_after_ms", retry_after_ms);
		msg_end(&b, NULL, 0);
		(void)tunnel_send(t, MSG_GOAWAY, &b);
	}
}

void tunnel_end_all(struct hub *hub, enum tunnel_end why)
{
	for (struct tunnel *t = hub->tunnels, *next; t; t = next) {
		next = t->next;
		tunnel_end(t, why);
	}
}

/* May this worker still be connected, says the state? The end to give it, or TUNNEL_END_CLOSED when
 * it may stay. */
static enum tunnel_end judge(struct hub *hub, const struct session *s)
{
	struct worker w;
	struct tenant tenant;

	switch (worker_with_tenant(hub->db, s->worker_id, &w, &tenant)) {
	case RC_OK:
		if (w.revoked_at || strcmp(w.tenant_id, s->tenant_id) != 0)
			return TUNNEL_END_REVOKED;
		return tenant.suspended ? TUNNEL_END_SUSPENDED : TUNNEL_END_CLOSED;
	case RC_NOTFOUND:
		return TUNNEL_END_REVOKED;
	default:
		log_err("worker %s could not be checked again: the state can't be read",
			s->worker_id);
		return TUNNEL_END_CLOSED;
	}
}

void tunnel_recheck(struct hub *hub, const char *tenant_id)
{
	struct registry_tenant *t = registry_tenant(&hub->registry, tenant_id);

	if (!t)
		return;
	/* Backwards: ending a session moves the last one into its place. */
	for (size_t i = t->count; i-- > 0;) {
		enum tunnel_end why = judge(hub, t->sessions[i]);

		if (why != TUNNEL_END_CLOSED)
			tunnel_end(tunnel_of(t->sessions[i]), why);
	}
}

/* --- time ------------------------------------------------------------------------------------ */

void tunnel_watch_heartbeat(struct tunnel *t, int64_t now_ms)
{
	watch(t, &t->hub->quiet, now_ms + t->hub->config->heartbeat_ms);
}

void tunnel_pong(struct tunnel *t, int64_t now_ms)
{
	t->heard_ms = now_ms;
	t->session.last_pong_at = clock_wall_s();
	if (t->pinged)
		tunnel_watch_heartbeat(t, now_ms);
}

static void ping(struct tunnel *t, int64_t now_ms)
{
	t->pinged_ms = now_ms;
	t->io->ping(t->ctx);
	watch(t, &t->hub->pinged, now_ms + t->hub->config->heartbeat_timeout_ms);
}

/* A pong may be stuck behind what we do not read for the moment, or behind a long message. */
static bool alive(const struct tunnel *t)
{
	return t->heard_ms >= t->pinged_ms || t->pauses > 0;
}

void tunnel_tick(struct hub *hub, int64_t now_ms)
{
	int64_t early_ms = hub->config->heartbeat_ms / PING_EARLY;
	struct deadline *d;

	while ((d = deadlines_due(&hub->handshakes, now_ms)))
		tunnel_end(tunnel_by_beat(d), TUNNEL_END_HANDSHAKE_TIMEOUT);
	while ((d = deadlines_due(&hub->quiet, now_ms + early_ms)))
		ping(tunnel_by_beat(d), now_ms);
	while ((d = deadlines_due(&hub->pinged, now_ms))) {
		struct tunnel *t = tunnel_by_beat(d);

		if (alive(t))
			tunnel_watch_heartbeat(t, now_ms);
		else
			tunnel_end(t, TUNNEL_END_HEARTBEAT_TIMEOUT);
	}
}

/* --- receiving ---------------------------------------------------------------------------------
 */

static bool handle_snapshot(struct tunnel *t, const struct msg *m)
{
	const struct session *s = &t->session;
	char id[SIDECAR_ID_MAX + 1];
	int64_t expires_at_ms;
	struct buf clean;
	bool ok;

	buf_init(&clean, SIDECAR_MAX);
	ok = !m->more &&
		sidecar_clean((const char *)m->payload, m->payload_len, s->tenant_id, s->worker_id,
			s->id, &clean, id, &expires_at_ms) == RC_OK;
	if (ok && state_writer_sidecar(t->hub->state, s->tenant_id, id, &clean) != RC_OK)
		t->hub->metrics.refused[METRICS_REFUSED_SIDECARS]++;
	buf_free(&clean);
	return ok;
}

static bool handle_snapshot_gone(struct tunnel *t, const struct msg *m)
{
	char id[SIDECAR_ID_MAX + 1];

	if (msg_str(m, "snapshot_id", id, sizeof(id)) != RC_OK || !sidecar_id_ok(id))
		return false;
	if (state_writer_sidecar_gone(t->hub->state, t->session.tenant_id, id) != RC_OK)
		t->hub->metrics.refused[METRICS_REFUSED_SIDECARS]++;
	return true;
}

static bool handle_manifest(struct tunnel *t, const struct msg *m)
{
	const uint8_t *text;
	size_t len;
	struct catalog_entry *entry, *was;
	enum nack nack;

	if (!greeting_collect(t, m, &text, &len))
		return false;
	if (m->more)
		return true;
	nack = greeting_manifest(t->hub, text, len, &entry);
	buf_free(&t->parts);
	if (nack != NACK_NONE) {
		log_warn("worker %s sent another manifest that is refused: %s",
			t->session.worker_id, nack_reason(nack));
		return false;
	}
	was = t->session.manifest;
	t->session.manifest = entry;
	registry_announce(&t->hub->registry, &t->session);
	catalog_drop(&t->hub->catalog, was);
	tunnel_remember(t, true);
	listen_refresh(t->hub, t->session.tenant_id);
	return true;
}

/* A worker's statement about its results, for the audit log. */
static bool handle_vouch(struct tunnel *t, const struct msg *m)
{
	struct session *s = &t->session;
	struct audit_record r;

	record(t, "worker.vouch", "ok", "", &r);
	if (!vouch_statement(&s->vouch, m, s->worker_id, s->id, &r)) {
		log_warn("worker %s vouches wrongly for its results", s->worker_id);
		return false;
	}
	audit_writer_note(t->hub->audit, &r);
	return true;
}

static bool handle_answer(struct tunnel *t, const struct msg *m)
{
	if (listen_is_call(m->id))
		return listen_event(t->hub, &t->session, m);
	return m->type == MSG_RESULT ? relay_result(t->hub, &t->session, m)
				     : relay_event(t->hub, &t->session, m);
}

static bool handle_goaway(struct tunnel *t)
{
	log_info("worker %s is leaving; session %s gets no new calls", t->session.worker_id,
		t->session.id);
	t->session.leaving = true;
	return true;
}

/* False: the worker broke the protocol. */
static bool handle_ready(struct tunnel *t, const struct msg *m)
{
	switch (m->type) {
	case MSG_RESULT:
	case MSG_EVENT:
		return handle_answer(t, m);
	case MSG_SNAPSHOT:
		return handle_snapshot(t, m);
	case MSG_SNAPSHOT_GONE:
		return handle_snapshot_gone(t, m);
	case MSG_MANIFEST:
		return handle_manifest(t, m);
	case MSG_VOUCH:
		return handle_vouch(t, m);
	case MSG_CHANGED:
		return listen_changed(t->hub, &t->session, m);
	case MSG_GOAWAY:
		return handle_goaway(t);
	case MSG_UNKNOWN:
		return true;
	default:
		return false;
	}
}

static bool handle(struct tunnel *t, const struct msg *m, int64_t now_ms)
{
	if (t->state == TUNNEL_READY)
		return handle_ready(t, m);
	if (m->type == MSG_HELLO)
		return greeting_hello(t, m, now_ms);
	return m->type == MSG_UNKNOWN;
}

/* Memory is wanted for bytes that have come. False: no more (the tunnel has been ended). */
static bool may_buffer(struct tunnel *t, size_t bytes)
{
	return t->state == TUNNEL_READY ||
		(t->state == TUNNEL_GREETING && greeting_may_buffer(t, bytes));
}

static void take_piece(
	struct tunnel *t, const uint8_t *bytes, size_t len, bool last, int64_t now_ms)
{
	struct msg m;

	switch (incoming_add(&t->incoming, bytes, len, last, &m)) {
	case INCOMING_WAITS:
		return;
	case INCOMING_MESSAGE:
		break;
	case INCOMING_BAD:
	case INCOMING_TOO_LONG:
		tunnel_end(t, TUNNEL_END_PROTOCOL_ERROR);
		return;
	}
	if (last)
		t->hub->metrics.tunnel_in[m.type]++;
	if (!handle(t, &m, now_ms))
		tunnel_end(t, TUNNEL_END_PROTOCOL_ERROR);
}

void tunnel_received(struct tunnel *t, const uint8_t *bytes, size_t len, bool last, int64_t now_ms)
{
	if (!may_buffer(t, len))
		return;
	t->heard_ms = now_ms;
	t->hub->metrics.tunnel_bytes_in += len;
	take_piece(t, bytes, len, last, now_ms);
	if (last || t->state == TUNNEL_ENDED)
		incoming_reset(&t->incoming);
}
