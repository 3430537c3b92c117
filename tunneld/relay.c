#include "tunneld/relay.h"

#include <stdlib.h>
#include <string.h>

#include "shared/audit.h"
#include "shared/clock.h"
#include "shared/dispatch.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/sidecar.h"
#include "tunneld/tunnel.h"

/* Payload bytes of one frame to a client; a worker's message may be a little longer. */
#define FRAME_PAYLOAD_MAX (MSG_MAX_DEFAULT - MSG_HEADER_MAX)
#define FRAMES_MAX (4 * (size_t)MSG_MAX_DEFAULT)
/* A client that has this much to take stops its tunnel. */
#define CLIENT_HIGH ((size_t)256 * 1024)
#define DRAINING_RETRY_MS 1000
/* A shorter result that comes in one piece is not worth a place of its own. */
#define ASIDE_MIN ((size_t)32 * 1024)

/* --- what goes to a client -------------------------------------------------------------- */

void relay_frame_begin(struct relay_frame *f, enum msg_type type, const char *id)
{
	buf_init(&f->buf, FRAMES_MAX);
	f->start = frame_open(&f->buf);
	msg_begin(&f->buf, type, id);
}

static void send_frames(struct client *c, struct buf *frames)
{
	if (frames->failed) {
		log_err("an answer could not be made: no memory, or too long");
		buf_free(frames);
		c->given = false;
		relay_fail(c, PROBLEM_INTERNAL, NULL, 0);
		return;
	}
	c->io->send(c, frames);
}

static void send_answer(struct client *c, struct buf *frames)
{
	c->given = c->aside;
	send_frames(c, frames);
}

void relay_frame_send(struct client *c, struct relay_frame *f, const void *payload, size_t len)
{
	msg_end(&f->buf, payload, len);
	frame_close(&f->buf, f->start);
	send_frames(c, &f->buf);
}

void relay_fail(struct client *c, enum problem p, const char *detail, int64_t retry_after_ms)
{
	struct relay_frame f;

	relay_frame_begin(&f, MSG_FAIL, NULL);
	msg_put_str(&f.buf, "code", problem_code(p));
	msg_put_str(&f.buf, "detail", detail);
	if (retry_after_ms > 0)
		msg_put_int(&f.buf, "retry_after_ms", retry_after_ms);
	msg_end(&f.buf, NULL, 0);
	frame_close(&f.buf, f.start);
	if (f.buf.failed)
		buf_free(&f.buf); /* no memory for a hundred bytes: the caller's own deadline ends
				     it */
	else
		c->io->send(c, &f.buf);
}

static void put_header(struct buf *b, const struct msg *m, bool more, const char *outcome)
{
	msg_begin(b, m->type, m->id);
	if (more) {
		msg_put_flag(b, "more", true);
	} else if (outcome) {
		msg_put_str(b, "outcome", outcome);
		msg_put_str(b, "status", "ok");
	}
	msg_end(b, NULL, 0);
}

/* A worker's message in frames; the last part of a RESULT says how it ended. */
static void keep_message(struct buf *b, const struct msg *m, const char *outcome)
{
	const uint8_t *p = m->payload;
	size_t left = m->payload_len;

	buf_init(b, FRAMES_MAX);
	(void)buf_reserve(b, left + 512);
	do {
		size_t n = left > FRAME_PAYLOAD_MAX ? FRAME_PAYLOAD_MAX : left,
		       start = frame_open(b);

		left -= n;
		put_header(b, m, left > 0 || m->more, outcome);
		buf_add(b, p, n);
		frame_close(b, start);
		p += n;
	} while (left > 0);
}

/* The last message about a result that is where the client reads it. */
static void keep_name(struct buf *b, struct client *c, const struct msg *m, const char *outcome)
{
	size_t start;

	buf_init(b, FRAMES_MAX);
	start = frame_open(b);
	msg_begin(b, m->type, m->id);
	msg_put_str(b, "outcome", outcome);
	msg_put_str(b, "status", "ok");
	c->io->name_room(c, b);
	msg_end(b, NULL, 0);
	frame_close(b, start);
}

/* The same at once, from where it is. False: no memory. */
static bool pass_message(struct client *c, const struct msg *m)
{
	const uint8_t *p = m->payload;
	size_t left = m->payload_len;
	struct buf header;
	bool ok;

	buf_init(&header, MSG_HEADER_MAX + 1);
	do {
		size_t n = left > FRAME_PAYLOAD_MAX ? FRAME_PAYLOAD_MAX : left;

		left -= n;
		buf_reset(&header);
		put_header(&header, m, left > 0 || m->more, NULL);
		ok = !header.failed;
		if (ok)
			c->io->pass(c, &header, p, n);
		p += n;
	} while (ok && left > 0);
	buf_free(&header);
	return ok;
}

static void pause_if_behind(struct client *c, struct session *s)
{
	if (c->paused || c->io->backlog(c) < CLIENT_HIGH)
		return;
	c->paused = tunnel_of(s);
	tunnel_pause(c->paused);
}

static void note_slow(struct hub *hub, const struct call *call)
{
	hub->metrics.refused[METRICS_REFUSED_CALL_BACKLOG]++;
	log_warn("a call of tenant %s ends: its agent reads too slowly what its worker says "
		 "(limits.call_backlog_bytes)",
		call->tenant->id);
}

void relay_client_drained(struct client *c)
{
	if (!c->paused)
		return;
	tunnel_resume(c->paused);
	c->paused = NULL;
}

/* A call that was refused because the journal can't be written has its row as soon as it can:
 * nobody waits for that one. */
static void note_unwritten(struct hub *hub, const struct audit_record *of)
{
	struct audit_record r = *of;

	(void)str_copy(r.event, sizeof(r.event), "mcp.refused");
	if (r.vouch > 0)
		(void)str_copy(r.worker_outcome, sizeof(r.worker_outcome), of->outcome);
	(void)str_copy(r.outcome, sizeof(r.outcome), problem_code(PROBLEM_AUDIT_DOWN));
	audit_writer_note(hub->audit, &r);
}

/* --- how a call ends ------------------------------------------------------------------------ */

static void on_durable(struct audit_entry *e, bool durable)
{
	struct call *call = (struct call *)(void *)((char *)e - offsetof(struct call, row));
	struct client *c = call->client;

	(void)call_step(&call->hub->calls, call, CALL_DURABLE);
	if (!durable)
		note_unwritten(call->hub, &e->record);
	if (c) {
		c->call = NULL;
		if (!durable)
			relay_fail(c, PROBLEM_AUDIT_DOWN, NULL, 0);
		else if (call->answer.len > 0 || call->answer.failed)
			send_answer(c, &call->answer);
		else
			relay_fail(c, call->problem, call->detail, call->retry_after_ms);
	}
	call_free(&call->hub->calls, call);
}

/* The outcome stands: count it and give the row to the writer. Whatever answer there is waits for
 * on_durable(). */
static void settle(struct call *call, enum outcome outcome)
{
	struct audit_record *r = &call->row.record;
	int64_t us = clock_mono_us() - call->started_us;

	(void)str_copy(r->outcome, sizeof(r->outcome), outcome_name(outcome));
	r->latency_ms = us / 1000;
	if (r->bytes_in < 0)
		r->bytes_in = call->bytes_in;
	r->bytes_out = call->bytes_out;
	if (call->tool)
		metrics_call(call->tool, outcome, us);
	else
		call->hub->metrics.requests[outcome]++;
	call->row.done = on_durable;
	audit_writer_add(call->hub->audit, &call->row);
}

static void tell_worker(struct call *call, const char *reason)
{
	struct buf b;

	tunnel_begin(&b);
	msg_begin(&b, MSG_CANCEL, call->id);
	msg_put_str(&b, "reason", reason);
	msg_end(&b, NULL, 0);
	(void)tunnel_send(tunnel_of(call->session), MSG_CANCEL, &b);
}

/* Ends a call that is with a worker; cancel names the reason that the worker is told, or NULL. */
static void end_call(
	struct call *call, enum outcome outcome, enum problem problem, const char *cancel)
{
	struct client *c = call->client;

	if (call->state >= CALL_SETTLING)
		return;
	if (cancel) {
		tell_worker(call, cancel);
		vouch_owe(&call->session->vouch, &call->row.record);
	}
	if (c)
		relay_client_drained(c);
	call->problem = problem;
	(void)call_step(&call->hub->calls, call, CALL_END);
	settle(call, outcome);
}

void relay_client_gone(struct hub *hub, struct client *c)
{
	struct call *call = c->call;

	(void)hub;
	relay_client_drained(c);
	c->call = NULL;
	if (!call)
		return;
	call->client = NULL;
	end_call(call, OUTCOME_CANCELLED, PROBLEM_CANCELLED, "client_gone");
}

void relay_client_slow(struct hub *hub, struct client *c)
{
	if (c->call && c->call->state < CALL_SETTLING)
		note_slow(hub, c->call);
	relay_client_gone(hub, c);
}

void relay_session_lost(struct hub *hub, struct session *s, enum outcome outcome)
{
	(void)hub;
	while (s->calls)
		end_call(s->calls, outcome, outcome_problem(outcome), NULL);
}

void relay_tick(struct hub *hub, int64_t now_ms)
{
	struct call *call;

	while ((call = calls_expired(&hub->calls, now_ms)))
		end_call(call, OUTCOME_TIMEOUT, PROBLEM_TIMEOUT, "timeout");
}

void relay_abort_all(struct hub *hub)
{
	struct call *call;

	while ((call = calls_expired(&hub->calls, DEADLINE_NEVER)))
		end_call(call, OUTCOME_CANCELLED, PROBLEM_DRAINING, "cancelled");
}

/* --- a call comes in -------------------------------------------------------------------------- */

struct request {
	char tenant_id[AUDIT_ID_MAX + 1];
	char method[AUDIT_NAME_MAX + 1];
	char tool[AUDIT_NAME_MAX + 1];
	char affinity[129];
	char key_id[AUDIT_ID_MAX + 1];
	char key_name[AUDIT_NAME_MAX + 1];
	char era[16];
	char traceparent[64];
	char tracestate[513];
	char rpc_id[CALL_RPC_ID_MAX + 1];
	char client[CALL_RPC_ID_MAX + 1];
	int64_t rate, timeout_ms;
	struct audit_record record;
};

static enum rc read_number(struct jscan v, int64_t *out)
{
	return v.kind == JSCAN_NONE ? RC_OK : jscan_int(v, out);
}

#define TEXTS 11

struct text_field {
	const char *name;
	char *dst;
	size_t cap;
};

/* What is no text. */
struct other_fields {
	struct jscan audit, rate, timeout;
};

/* *next is the text to begin with: they come in the order in which the pool writes them. */
static enum rc read_one(struct jscan key, struct jscan value, const struct text_field texts[TEXTS],
	size_t *next, struct other_fields *others)
{
	for (size_t i = 0; i < TEXTS; i++) {
		size_t at = (*next + i) % TEXTS;

		if (!jscan_is_str(key, texts[at].name))
			continue;
		*next = at + 1;
		return jscan_str(value, texts[at].dst, texts[at].cap);
	}
	if (jscan_is_str(key, "audit"))
		others->audit = value;
	else if (jscan_is_str(key, "rate"))
		others->rate = value;
	else if (jscan_is_str(key, "timeout_ms"))
		others->timeout = value;
	return RC_OK;
}

/* One look at each field: this is on every call's way. */
static enum rc read_request(const struct msg *m, struct request *rq)
{
	const struct text_field texts[TEXTS] = {{"tenant_id", rq->tenant_id, sizeof(rq->tenant_id)},
		{"method", rq->method, sizeof(rq->method)}, {"tool", rq->tool, sizeof(rq->tool)},
		{"affinity", rq->affinity, sizeof(rq->affinity)},
		{"key_id", rq->key_id, sizeof(rq->key_id)},
		{"key_name", rq->key_name, sizeof(rq->key_name)}, {"era", rq->era, sizeof(rq->era)},
		{"rpc_id", rq->rpc_id, sizeof(rq->rpc_id)},
		{"client", rq->client, sizeof(rq->client)},
		{"traceparent", rq->traceparent, sizeof(rq->traceparent)},
		{"tracestate", rq->tracestate, sizeof(rq->tracestate)}};
	const struct jscan none = {NULL, 0, JSCAN_NONE};
	struct other_fields others = {none, none, none};
	size_t next = 0;

	for (size_t i = 0; i < TEXTS; i++)
		texts[i].dst[0] = '\0';
	rq->rate =
		0; /* the caller knows the configured default; without a rate there is no limit */
	rq->timeout_ms = 0;
	for (size_t i = 0; i < m->count; i++)
		if (read_one(msg_key_at(m, i), msg_value_at(m, i), texts, &next, &others) != RC_OK)
			return RC_INVALID;
	if (!*rq->tenant_id || !*rq->method || read_number(others.rate, &rq->rate) != RC_OK ||
		read_number(others.timeout, &rq->timeout_ms) != RC_OK)
		return RC_INVALID;
	audit_init(&rq->record, "");
	return audit_get(others.audit, &rq->record);
}

static bool is_tool_call(const struct request *rq)
{
	return !strcmp(rq->method, "tools/call");
}

/* What the row says that does not depend on the outcome. The caller gave actor, request id, address
 * and size. */
static void fill_record(struct request *rq)
{
	struct audit_record *r = &rq->record;

	(void)str_copy(r->event, sizeof(r->event), is_tool_call(rq) ? "tool.call" : "mcp.request");
	(void)str_copy(r->tenant_id, sizeof(r->tenant_id), rq->tenant_id);
	(void)str_copy(r->method, sizeof(r->method), rq->method);
	(void)str_copy(r->tool, sizeof(r->tool), rq->tool);
	/* What the worker is told too, or it could not vouch for it. */
	(void)str_copy(r->key_id, sizeof(r->key_id), rq->key_id);
	r->call_id[0] = r->result_sha256[0] = r->worker_outcome[0] = '\0';
	r->outbox_id = r->vouch = -1;
}

struct refusal {
	enum metrics_refusal counter;
	enum outcome outcome;
	enum problem problem;
	int64_t retry_after_ms;
};

static void refuse(struct hub *hub, struct client *c, const struct request *rq, const struct msg *m,
	int64_t now_us, const struct refusal *why)
{
	struct call *call = call_refused(&hub->calls, now_us);

	hub->metrics.refused[why->counter]++;
	call->hub = hub;
	call->client = c;
	c->call = call;
	call->row.record = rq->record;
	/* A denied call whose key may not make it has no target. */
	if (why->problem == PROBLEM_TOOL_CHANGED)
		(void)str_copy(call->row.record.target, sizeof(call->row.record.target),
			problem_code(why->problem));
	call->tool = is_tool_call(rq) ? metrics_tool(&hub->metrics, rq->tool, false) : NULL;
	call->problem = why->problem;
	call->retry_after_ms = why->retry_after_ms;
	call->bytes_in = (int64_t)m->payload_len;
	settle(call, why->outcome);
}

/* The limits, in the order in which they are looked at. False with *why filled when one was
 * reached. */
static bool admit(struct hub *hub, const struct request *rq, const struct msg *m, int64_t now_us,
	struct session **s, struct refusal *why)
{
	const struct config *cf = hub->config;
	struct registry_tenant *t = registry_tenant(&hub->registry, rq->tenant_id);

	if ((int64_t)m->payload_len > cf->max_request_bytes) {
		*why = (struct refusal){
			METRICS_REFUSED_REQUEST_SIZE, OUTCOME_TOO_LARGE, PROBLEM_TOO_LARGE, 0};
		return false;
	}
	*why = (struct refusal){METRICS_REFUSED_RATE, OUTCOME_OVERLOADED, PROBLEM_RATE_LIMITED, 0};
	if (*rq->key_id &&
		!rate_take(&hub->rates, rq->key_id, rq->rate, now_us / 1000, &why->retry_after_ms))
		return false;
	*why = (struct refusal){
		METRICS_REFUSED_TENANT_CALLS, OUTCOME_OVERLOADED, PROBLEM_OVERLOADED, 0};
	if (t && t->call_count >= cf->calls_per_tenant)
		return false;
	switch (t ? registry_pick(t, rq->tool, rq->affinity, cf->calls_per_session, s)
		  : REGISTRY_NO_WORKER) {
	case REGISTRY_PICKED:
		return true;
	case REGISTRY_BUSY:
		*why = (struct refusal){
			METRICS_REFUSED_SESSION_CALLS, OUTCOME_OVERLOADED, PROBLEM_OVERLOADED, 0};
		return false;
	case REGISTRY_CHANGED:
		*why = (struct refusal){
			METRICS_REFUSED_TOOL_CHANGED, OUTCOME_DENIED, PROBLEM_TOOL_CHANGED, 0};
		return false;
	case REGISTRY_NO_WORKER:
		break;
	}
	*why = (struct refusal){METRICS_REFUSED_NO_WORKER, OUTCOME_NO_WORKER, PROBLEM_NO_WORKER, 0};
	return false;
}

static bool forward_first(
	struct call *call, const struct request *rq, const struct msg *m, int64_t timeout_ms)
{
	struct buf b;

	tunnel_begin(&b);
	(void)buf_reserve(&b, m->payload_len + 1024);
	msg_begin(&b, MSG_CALL, call->id);
	if (m->more)
		msg_put_flag(&b, "more", true);
	msg_put_str(&b, "method", rq->method);
	msg_put_str(&b, "tool", rq->tool);
	msg_put_int(&b, "timeout_ms", timeout_ms);
	msg_put_str(&b, "request_id", rq->record.request_id);
	msg_put_str(&b, "key_id", rq->key_id);
	msg_put_str(&b, "key_name", rq->key_name);
	msg_put_str(&b, "era", rq->era);
	msg_put_str(&b, "traceparent", rq->traceparent);
	msg_put_str(&b, "tracestate", rq->tracestate);
	return tunnel_send_signed(
		tunnel_of(call->session), MSG_CALL, &b, m->payload, m->payload_len);
}

static void start_call(struct hub *hub, struct client *c, const struct request *rq,
	const struct msg *m, int64_t now_us, struct session *s)
{
	int64_t timeout_ms = hub->config->call_timeout_ms;
	struct audit_record *r;
	struct call *call;

	if (rq->timeout_ms > 0 && rq->timeout_ms < timeout_ms)
		timeout_ms = rq->timeout_ms;
	call = call_new(&hub->calls, s, now_us, now_us / 1000 + timeout_ms);
	hub_arm(hub, call->deadline.due_ms);
	call->hub = hub;
	call->client = c;
	c->call = call;
	c->told = c->aside = c->given = false;
	call->tool = is_tool_call(rq)
		? metrics_tool(&hub->metrics, rq->tool,
			  s->manifest && catalog_has_tool(s->manifest, rq->tool))
		: NULL;
	(void)str_copy(call->rpc_id, sizeof(call->rpc_id), rq->rpc_id);
	(void)str_copy(call->agent, sizeof(call->agent), rq->client);
	r = &call->row.record;
	*r = rq->record;
	(void)str_copy(r->session_id, sizeof(r->session_id), s->id);
	(void)str_copy(r->worker_id, sizeof(r->worker_id), s->worker_id);
	(void)str_copy(r->call_id, sizeof(r->call_id), call->id);
	call->bytes_in = (int64_t)m->payload_len;
	if (!forward_first(call, rq, m, timeout_ms)) {
		log_err("a call could not be passed on: no memory, or its header is too long");
		end_call(call, OUTCOME_OVERLOADED, PROBLEM_INTERNAL, NULL);
	} else if (!m->more) {
		(void)call_step(&hub->calls, call, CALL_REQUEST_END);
	}
}

static void refuse_unwritten(struct hub *hub, struct client *c, const struct request *rq)
{
	hub->metrics.refused[METRICS_REFUSED_AUDIT]++;
	note_unwritten(hub, &rq->record);
	relay_fail(c, PROBLEM_AUDIT_DOWN, NULL, 0);
}

static void begin_call(struct hub *hub, struct client *c, const struct msg *m, int64_t now_us)
{
	struct request rq;
	struct refusal why;
	struct session *s = NULL;

	if (hub->draining) {
		hub->metrics.refused[METRICS_REFUSED_DRAINING]++;
		relay_fail(c, PROBLEM_DRAINING, NULL, DRAINING_RETRY_MS);
	} else if (read_request(m, &rq) != RC_OK) {
		hub->metrics.refused[METRICS_REFUSED_BAD_DISPATCH]++;
		relay_fail(c, PROBLEM_BAD_REQUEST,
			"a field of the call is missing, mistyped or too long", 0);
	} else {
		fill_record(&rq);
		if (!audit_writer_ok(hub->audit))
			refuse_unwritten(hub, c, &rq);
		else if (admit(hub, &rq, m, now_us, &s, &why))
			start_call(hub, c, &rq, m, now_us, s);
		else
			refuse(hub, c, &rq, m, now_us, &why);
	}
}

static void forward_part(struct hub *hub, struct call *call, const struct msg *m)
{
	struct buf b;

	call->bytes_in += (int64_t)m->payload_len;
	if (call->bytes_in > hub->config->max_request_bytes) {
		hub->metrics.refused[METRICS_REFUSED_REQUEST_SIZE]++;
		end_call(call, OUTCOME_TOO_LARGE, PROBLEM_TOO_LARGE, "cancelled");
		return;
	}
	tunnel_begin(&b);
	(void)buf_reserve(&b, m->payload_len + 256);
	msg_begin(&b, MSG_CALL, call->id);
	if (m->more)
		msg_put_flag(&b, "more", true);
	if (!tunnel_send_signed(tunnel_of(call->session), MSG_CALL, &b, m->payload, m->payload_len))
		end_call(call, OUTCOME_OVERLOADED, PROBLEM_INTERNAL, "cancelled");
	else if (!m->more)
		(void)call_step(&hub->calls, call, CALL_REQUEST_END);
}

bool relay_call(struct hub *hub, struct client *c, const struct msg *m, int64_t now_us)
{
	bool further = c->sending;

	if (!further && c->call)
		return false;
	c->sending = m->more;
	if (!further)
		begin_call(hub, c, m, now_us);
	else if (c->call && c->call->state < CALL_SETTLING)
		forward_part(hub, c->call, m);
	/* Otherwise it belongs to a call that was refused or has ended: dropped. */
	return true;
}

void relay_reply(struct hub *hub, struct client *c, const struct msg *m)
{
	struct map_node *n = map_get(&hub->calls.by_id, m->id);
	struct call *call = n ? MAP_ENTRY(n, struct call, by_id) : NULL;
	char tenant_id[AUDIT_ID_MAX + 1];
	struct relay_frame f;
	struct buf b;

	if (msg_str(m, "tenant_id", tenant_id, sizeof(tenant_id)) != RC_OK || !call ||
		strcmp(tenant_id, call->tenant->id) != 0) {
		relay_fail(c, PROBLEM_NOT_FOUND, NULL, 0);
		return;
	}
	tunnel_begin(&b);
	msg_begin(&b, MSG_REPLY, call->id);
	if (!tunnel_send_signed(
		    tunnel_of(call->session), MSG_REPLY, &b, m->payload, m->payload_len)) {
		relay_fail(c, PROBLEM_INTERNAL, NULL, 0);
		return;
	}
	relay_frame_begin(&f, MSG_REPLY, m->id);
	relay_frame_send(c, &f, NULL, 0);
}

/* Is it the call that a CANCEL means? Without a client's name on both sides the key and the id must
 * do. */
static bool is_meant(
	const struct call *call, const char *key_id, const char *client, const char *rpc_id)
{
	return !strcmp(call->rpc_id, rpc_id) && !strcmp(call->row.record.key_id, key_id) &&
		!strcmp(call->agent, client);
}

static int count_meant(const struct registry_tenant *t, const char *key_id, const char *client,
	const char *rpc_id, struct call **one)
{
	int n = 0;

	for (size_t i = 0; i < t->count; i++) {
		for (struct call *call = t->sessions[i]->calls; call; call = call->next) {
			if (is_meant(call, key_id, client, rpc_id)) {
				*one = call;
				n++;
			}
		}
	}
	return n;
}

void relay_cancel(struct hub *hub, struct client *c, const struct msg *m)
{
	char tenant_id[AUDIT_ID_MAX + 1], key_id[AUDIT_ID_MAX + 1],
		client[CALL_RPC_ID_MAX + 1] = "", rpc_id[CALL_RPC_ID_MAX + 1];
	const struct registry_tenant *t;
	struct call *call = NULL;
	struct relay_frame f;
	int count = 0;

	if (msg_str(m, "tenant_id", tenant_id, sizeof(tenant_id)) != RC_OK ||
		msg_str(m, "key_id", key_id, sizeof(key_id)) != RC_OK ||
		msg_str(m, "client", client, sizeof(client)) == RC_INVALID ||
		msg_str(m, "rpc_id", rpc_id, sizeof(rpc_id)) != RC_OK) {
		relay_fail(c, PROBLEM_BAD_REQUEST, NULL, 0);
		return;
	}
	t = registry_tenant(&hub->registry, tenant_id);
	if (t)
		count = count_meant(t, key_id, client, rpc_id, &call);
	/* Two clients may share a key and count their requests alike: a guess would stop somebody
	 * else's call. */
	if (count == 1)
		end_call(call, OUTCOME_CANCELLED, PROBLEM_CANCELLED, "cancelled");
	relay_frame_begin(&f, MSG_CANCEL_OK, NULL);
	msg_put_int(&f.buf, "count", count == 1);
	relay_frame_send(c, &f, NULL, 0);
}

void relay_detach(struct client *c)
{
	relay_client_drained(c);
	if (c->call)
		c->call->client = NULL;
	c->call = NULL;
}

/* --- an answer comes back -------------------------------------------------------------------- */

/* A process that is behind with a result takes it soon, and the tunnel waits for it. One that is
 * behind with events waits itself, for an agent that reads slowly: neither the tunnel nor the calls
 * of others on it may. What waits for such a one is bounded, before its next event, by a setting; a
 * result has a bound of its own. */
static void hold_back(struct call *call, const struct msg *m, size_t waited)
{
	struct client *c = call->client;

	c->told = c->told || m->type == MSG_EVENT;
	if (c->shared || !c->told) {
		pause_if_behind(c, call->session);
	} else if (m->type == MSG_EVENT && waited > (size_t)call->hub->config->call_backlog_bytes) {
		note_slow(call->hub, call);
		call->detail = "The server's messages came faster than they were taken.";
		end_call(call, OUTCOME_CANCELLED, PROBLEM_CANCELLED, "client_gone");
	}
}

static void pass_on(struct call *call, const struct msg *m)
{
	struct client *c = call->client;
	size_t waited;

	if (!c)
		return; /* detached: nobody listens */
	waited = c->io->backlog(c);
	if (pass_message(c, m))
		hold_back(call, m, waited);
	else
		end_call(call, OUTCOME_OVERLOADED, PROBLEM_INTERNAL, "cancelled");
}

/* A long result goes to where its client reads it, if there is such a place, instead of through a
 * socket. */
static bool put_aside(struct client *c, const struct msg *m)
{
	uint8_t *room = c->io->room ? c->io->room(c, m->payload_len) : NULL;

	if (!room)
		return false;
	memcpy(room, m->payload, m->payload_len);
	c->aside = true;
	return true;
}

/* A part of a result that is not the last. */
static void take_part(struct call *call, const struct msg *m)
{
	struct client *c = call->client;
	bool first = call->state != CALL_RELAYING;

	(void)call_step(&call->hub->calls, call, CALL_RESULT_PART);
	if (!c || !(first || c->aside) || !put_aside(c, m)) {
		if (c && c->aside)
			end_call(call, OUTCOME_OVERLOADED, PROBLEM_INTERNAL, "cancelled");
		else
			pass_on(call, m);
	}
}

bool relay_event(struct hub *hub, struct session *s, const struct msg *m)
{
	struct call *call = call_find(&hub->calls, m->id, s);

	if (!*m->id)
		return false;
	if (call)
		pass_on(call, m);
	else
		hub->metrics.stray++;
	return true;
}

/* False: there is no memory for the end of it. */
static bool keep_answer(struct call *call, const struct msg *m, const char *outcome)
{
	struct client *c = call->client;
	bool whole = call->state != CALL_RELAYING, aside = c->aside;

	relay_client_drained(c);
	if ((aside || (whole && m->payload_len >= ASIDE_MIN)) && put_aside(c, m))
		keep_name(&call->answer, c, m, outcome);
	else if (!aside)
		keep_message(&call->answer, m, outcome);
	else
		return false;
	return true;
}

static bool finish(struct hub *hub, struct call *call, const struct msg *m)
{
	char name[32], snapshot_id[SIDECAR_ID_MAX + 1];
	enum outcome outcome;
	enum rc rc;

	if (msg_str(m, "outcome", name, sizeof(name)) != RC_OK)
		return false;
	outcome = outcome_from_worker(name);
	rc = msg_str(m, "snapshot_id", snapshot_id, sizeof(snapshot_id));
	if (outcome == OUTCOME_COUNT || rc == RC_INVALID ||
		(rc == RC_OK && !sidecar_id_ok(snapshot_id)) ||
		!vouch_result(&call->session->vouch, m, &call->row.record))
		return false;
	if (rc == RC_OK)
		(void)str_copy(call->row.record.snapshot_id, sizeof(call->row.record.snapshot_id),
			snapshot_id);
	if (call->client && !keep_answer(call, m, name)) {
		(void)str_copy(call->row.record.worker_outcome,
			sizeof(call->row.record.worker_outcome), name);
		outcome = OUTCOME_OVERLOADED;
		call->problem = PROBLEM_INTERNAL;
	}
	(void)call_step(&hub->calls, call, CALL_END);
	settle(call, outcome);
	return true;
}

/* The end of a result that nobody waits for any more. */
static bool late(struct hub *hub, struct session *s, const struct msg *m)
{
	struct audit_record row;

	if (!vouch_late(&s->vouch, m, &row))
		return false;
	if (row.vouch > 0)
		audit_writer_note(hub->audit, &row);
	return true;
}

bool relay_result(struct hub *hub, struct session *s, const struct msg *m)
{
	struct call *call = call_find(&hub->calls, m->id, s);

	if (!*m->id)
		return false;
	if (!call) {
		hub->metrics.stray++;
		return m->more || late(hub, s, m);
	}
	if (call->bytes_out + (int64_t)m->payload_len > hub->config->max_result_bytes) {
		end_call(call, OUTCOME_TOO_LARGE, PROBLEM_RESULT_TOO_LARGE, "cancelled");
		return m->more || late(hub, s, m);
	}
	call->bytes_out += (int64_t)m->payload_len;
	if (!m->more)
		return finish(hub, call, m);
	take_part(call, m);
	return true;
}
