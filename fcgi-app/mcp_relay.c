#include "fcgi-app/mcp_relay.h"

#include <string.h>

#include "fcgi-app/loop.h"
#include "fcgi-app/spare.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/msg.h"
#include "shared/text.h"

/* tunneld ends a call that outlives its time; we wait a little longer for it to say so. */
#define GRACE_MS 10000
#define SUBJECT_MAX 1024
#define TRACESTATE_MAX 512
#define RPC_ID_MAX 64
#define CLIENT_MAX 64

struct mcp_error mcp_relay_error(enum problem p, const char *detail)
{
	return (struct mcp_error){.status = problem_status(p),
		.code = problem_rpc_code(p),
		.message = problem_title(p),
		.detail = detail,
		.problem = p};
}

static void fail(struct mcp_answer *a, enum problem p)
{
	a->kind = MCP_ANSWER_ERROR;
	a->error = mcp_relay_error(p, a->detail[0] ? a->detail : NULL);
}

/* --- affinity -------------------------------------------------------------------------------- */

void mcp_relay_affinity(const char *public_url, const char *tenant_id, struct jscan arguments,
	const char *argument, char out[MCP_AFFINITY_LEN + 1])
{
	uint8_t key[CRYPTO_HASH_LEN], digest[CRYPTO_HASH_LEN];
	char subject[SUBJECT_MAX + 1];
	struct jscan v;

	out[0] = '\0';
	if (jscan_get(arguments, argument, &v) != RC_OK || v.kind == JSCAN_NULL)
		return;
	crypto_blake2b(NULL, 0, public_url, strlen(public_url), key);
	crypto_blake2b(key, sizeof(key), tenant_id, strlen(tenant_id), key);
	/* 7 and "7" name the same subject; what is too long to unescape is taken as it is spelt. */
	if (jscan_str(v, subject, sizeof(subject)) == RC_OK)
		crypto_blake2b(key, sizeof(key), subject, strlen(subject), digest);
	else
		crypto_blake2b(key, sizeof(key), v.p, v.len, digest);
	text_hex(digest, sizeof(digest), out);
	mem_wipe(subject, sizeof(subject));
}

/* --- the call --------------------------------------------------------------------------------- */

static const char *action_event(const struct mcp_request *m)
{
	return m->action == MCP_DO_CALL_TOOL ? "tool.call" : "mcp.request";
}

/* W3C Trace Context, version 00: passed on only when it is exactly that. */
static bool traceparent_ok(const char *s)
{
	static const char shape[] = "00-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";

	for (size_t i = 0; i < sizeof(shape); i++) {
		if (shape[i] == 'x' ? !s[i] || !strchr("0123456789abcdef", s[i]) : s[i] != shape[i])
			return false;
	}
	return true;
}

static void put_trace(struct buf *b, const struct request *rq)
{
	const char *parent = http_header(rq, "traceparent");
	const char *state = http_header(rq, "tracestate");

	if (!parent || !traceparent_ok(parent))
		return;
	msg_put_str(b, "traceparent", parent);
	if (state && strlen(state) <= TRACESTATE_MAX && text_name_ok(state, TRACESTATE_MAX))
		msg_put_str(b, "tracestate", state);
}

static void put_audit(struct buf *b, const struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m)
{
	struct audit_record r = rq->who;
	struct buf text;

	(void)str_copy(r.event, sizeof(r.event), action_event(m));
	(void)str_copy(r.tenant_id, sizeof(r.tenant_id), grant->tenant_id);
	(void)str_copy(r.method, sizeof(r.method), m->method);
	(void)str_copy(r.tool, sizeof(r.tool), m->tool);
	r.bytes_in = (int64_t)m->message.len;
	buf_init(&text, MSG_HEADER_MAX);
	audit_put(&text, &r);
	if (text.failed)
		b->failed = true;
	else
		msg_put_json(b, "audit", (const char *)text.data, text.len);
	buf_free(&text);
}

/* The id as it is spelt; what is long goes as a digest, which serves to find it again just as well.
 */
static void put_rpc_id(struct buf *b, struct jscan id)
{
	char text[RPC_ID_MAX + 1];
	uint8_t digest[CRYPTO_HASH_LEN];

	if (id.kind == JSCAN_NONE)
		return;
	if (!str_copy_len(text, sizeof(text), id.p, id.len)) {
		crypto_sha256(id.p, id.len, digest);
		text_hex(digest, sizeof(digest), text);
	}
	msg_put_str(b, "rpc_id", text);
}

/* Ours are short; what is no plausible session id counts as none. */
void mcp_relay_put_client(struct buf *b, const struct request *rq)
{
	const char *session;

	if (http_header_once(rq, "Mcp-Session-Id", &session) == RC_OK &&
		strlen(session) <= CLIENT_MAX && text_name_ok(session, CLIENT_MAX))
		msg_put_str(b, "client", session);
}

int64_t mcp_relay_rate(const struct request *rq, const struct apikey_grant *grant)
{
	return grant->rate_per_minute >= 0 ? grant->rate_per_minute
					   : rq->config->key_requests_per_minute;
}

static void put_fields(struct buf *b, const struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m, const char *affinity)
{
	int64_t rate = mcp_relay_rate(rq, grant);

	msg_put_str(b, "tenant_id", grant->tenant_id);
	msg_put_str(b, "method", m->method);
	msg_put_str(b, "tool", m->tool);
	msg_put_str(b, "affinity", affinity);
	msg_put_str(b, "key_id", grant->key_id);
	msg_put_str(b, "key_name", grant->key_name);
	if (rate > 0)
		msg_put_int(b, "rate", rate);
	msg_put_str(b, "era", m->era == MCP_MODERN ? "modern" : "legacy");
	put_rpc_id(b, m->id);
	mcp_relay_put_client(b, rq);
	put_trace(b, rq);
	msg_put_int(b, "timeout_ms", rq->config->call_timeout_ms);
	put_audit(b, rq, grant, m);
}

static enum rc send_call(struct dispatch *d, const struct request *rq,
	const struct apikey_grant *grant, const struct mcp_request *m, const char *affinity)
{
	const char *p = m->message.p;
	size_t left = m->message.len;
	bool first = true;
	enum rc rc = RC_OK;

	while (rc == RC_OK && (first || left > 0)) {
		size_t part = left < MSG_PART_DEFAULT ? left : MSG_PART_DEFAULT;
		struct buf *b = dispatch_message(d);

		msg_begin(b, MSG_CALL, NULL);
		if (part < left)
			msg_put_flag(b, "more", true);
		if (first)
			put_fields(b, rq, grant, m, affinity);
		msg_end(b, p, part);
		rc = dispatch_send(d);
		p += part;
		left -= part;
		first = false;
	}
	return rc;
}

/* On the loop a request is short. */
static enum rc queue_call(struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m, const char *affinity)
{
	struct buf *b = loop_call_begin(rq->loop, rq);

	if (!b)
		return RC_UNAVAILABLE;
	msg_begin(b, MSG_CALL, NULL);
	put_fields(b, rq, grant, m, affinity);
	msg_end(b, m->message.p, m->message.len);
	return loop_call_queue(rq->loop, rq);
}

/* A connection kept from before may be to a tunneld that has gone. What was not sent whole was not
 * begun, so it may be sent again; what was sent is never sent twice. */
static enum rc start_call(struct dispatch **d, const struct request *rq,
	const struct apikey_grant *grant, const struct mcp_request *m, const char *affinity)
{
	enum rc rc = RC_UNAVAILABLE;
	bool fresh = false;

	while (!fresh) {
		rc = dispatch_mine(rq->app->dispatch_path, d, &fresh);
		if (rc != RC_OK)
			return rc;
		rc = send_call(*d, rq, grant, m, affinity);
		if (rc == RC_OK)
			return RC_OK;
		dispatch_mine_drop();
	}
	return rc;
}

/* --- the answer --------------------------------------------------------------------------------
 */

static void take_fail(struct mcp_answer *a, const struct msg *m)
{
	char code[48];
	enum problem p = PROBLEM_INTERNAL;

	if (msg_str(m, "code", code, sizeof(code)) == RC_OK &&
		problem_from_code(code) != PROBLEM_COUNT)
		p = problem_from_code(code);
	(void)msg_str(m, "detail", a->detail, sizeof(a->detail));
	if (msg_int(m, "retry_after_ms", &a->retry_after_ms) != RC_OK || a->retry_after_ms < 0)
		a->retry_after_ms = 0;
	fail(a, p);
}

/* True when the answer is complete. The usual one is one message, and is not copied. Nothing goes
 * out before the last part: it comes only once the call's audit row is on disk. */
static bool take_result(struct mcp_answer *a, const struct msg *m)
{
	if (a->joined.len == 0 && !m->more) {
		a->payload = m->payload;
		a->len = m->payload_len;
	} else {
		if (!a->joined.data)
			spare_take(a->spare, &a->joined);
		buf_add(&a->joined, m->payload, m->payload_len);
		a->payload = a->joined.data;
		a->len = a->joined.len;
	}
	if (a->joined.failed)
		fail(a, PROBLEM_RESULT_TOO_LARGE);
	else if (!m->more && a->len == 0)
		fail(a, PROBLEM_PROTOCOL_ERROR); /* a worker's answer is never nothing */
	else
		a->kind = MCP_ANSWER_RESULT;
	return !m->more || a->joined.failed;
}

static bool call_of(struct jscan id, char call[MSG_ID_MAX + 1]);
static void put_response(struct buf *b, struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m);

/* An agent that takes no stream can't be asked anything: a question is answered for it, so that the
 * call does not wait for ever. This call's own connection is in use. */
static void refuse_question(struct mcp_exchange *x, const void *json, size_t len)
{
	struct jscan event, method;
	struct mcp_request answer = {.kind = MCP_RESPONSE};
	char call[MSG_ID_MAX + 1];
	struct dispatch *d;
	struct msg out;
	struct buf b;

	if (jscan_parse(json, len, &event) != RC_OK ||
		jscan_get(event, "method", &method) != RC_OK ||
		jscan_get(event, "id", &answer.id) != RC_OK || !call_of(answer.id, call) ||
		dispatch_open(x->rq->app->dispatch_path, &d) != RC_OK)
		return;
	buf_init(&b, MSG_HEADER_MAX);
	buf_str(&b, "{\"jsonrpc\":\"2.0\",\"id\":");
	buf_add(&b, answer.id.p, answer.id.len);
	buf_str(&b,
		",\"error\":{\"code\":-32601,\"message\":\"The client can't be asked: it does not "
		"accept text/event-stream\"}}");
	answer.message = (struct jscan){(const char *)b.data, b.len, JSCAN_OBJECT};
	put_response(dispatch_message(d), x->rq, x->grant, &answer);
	if (b.failed || dispatch_ask(d, MSG_REPLY, &out) != RC_OK)
		log_debug("a question could not be refused: the tunnel daemon is gone");
	buf_free(&b);
	dispatch_close(d);
}

/* False: the agent is gone. */
static bool give_event(struct mcp_exchange *x, const void *json, size_t len)
{
	if (x->stream->allowed)
		return mcp_stream_event(x->stream, x->rq, json, len, clock_mono_ms());
	refuse_question(x, json, len);
	return true;
}

/* False: the agent is gone. */
static bool take_event(struct mcp_exchange *x, const struct msg *m)
{
	bool here = true;

	if (m->more || x->event.len > 0)
		buf_add(&x->event, m->payload, m->payload_len);
	if (m->more)
		return true;
	if (x->event.failed)
		log_warn("an event of a worker was dropped: it is longer than "
			 "limits.max_result_bytes");
	else if (x->event.len > 0)
		here = give_event(x, x->event.data, x->event.len);
	else
		here = give_event(x, m->payload, m->payload_len);
	buf_reset(&x->event);
	return here;
}

/* The agent hung up: in the modern era that cancels the call; before, the call goes on for nobody.
 */
static enum mcp_progress agent_gone(struct mcp_exchange *x)
{
	struct buf *b;

	x->answer->kind = MCP_ANSWER_GONE;
	x->detached = x->legacy;
	if (x->d && x->detached) {
		b = dispatch_message(x->d);
		msg_begin(b, MSG_DETACH, NULL);
		msg_end(b, NULL, 0);
		if (dispatch_send(x->d) != RC_OK)
			log_debug("a call could not be left to itself: the tunnel daemon is gone");
	}
	return MCP_LEFT;
}

/* The agent is told, behind all that waits for it, since to it the stream would only seem short. */
static enum mcp_progress agent_behind(struct mcp_exchange *x)
{
	log_info("the agent takes too slowly what its worker sends; its call is cancelled");
	(void)str_copy(x->answer->detail, sizeof(x->answer->detail),
		"The server's messages came faster than they were taken.");
	fail(x->answer, PROBLEM_CANCELLED);
	return MCP_LEFT;
}

static enum mcp_progress take_message(struct mcp_exchange *x, const struct msg *m)
{
	switch (m->type) {
	case MSG_RESULT:
		if (!take_result(x->answer, m))
			return MCP_GOES_ON;
		return m->more ? MCP_LEFT : MCP_OVER;
	case MSG_FAIL:
		take_fail(x->answer, m);
		return MCP_OVER;
	case MSG_EVENT:
		return take_event(x, m) ? MCP_GOES_ON : agent_gone(x);
	default:
		log_warn("the tunnel daemon answered a call with %s", msg_type_name(m->type));
		fail(x->answer, PROBLEM_INTERNAL);
		return MCP_LEFT;
	}
}

/* Nothing came for a while: a sign of life to the agent, or the end of waiting. */
static enum mcp_progress take_silence(struct mcp_exchange *x)
{
	int64_t now = clock_mono_ms();

	if (now >= x->deadline_ms) {
		fail(x->answer, PROBLEM_TIMEOUT);
		return MCP_LEFT;
	}
	return mcp_stream_tick(x->stream, x->rq, now) ? MCP_GOES_ON : agent_gone(x);
}

enum mcp_progress mcp_relay_event(
	struct mcp_exchange *x, enum dispatch_event event, const struct msg *m)
{
	switch (event) {
	case DISPATCH_MESSAGE:
		return take_message(x, m);
	case DISPATCH_TIMEOUT:
		return take_silence(x);
	case DISPATCH_HANGUP:
		return agent_gone(x);
	case DISPATCH_BEHIND:
		return agent_behind(x);
	case DISPATCH_LOST:
		break;
	}
	fail(x->answer, PROBLEM_TUNNEL_DOWN);
	return MCP_LEFT;
}

int64_t mcp_relay_due(const struct mcp_exchange *x)
{
	return x->stream->allowed && x->stream->tick_ms < x->deadline_ms ? x->stream->tick_ms
									 : x->deadline_ms;
}

static void exchange_init(struct mcp_exchange *x, struct request *rq,
	const struct apikey_grant *grant, const struct mcp_request *m, struct mcp_stream *stream,
	struct mcp_answer *out)
{
	*x = (struct mcp_exchange){.rq = rq,
		.stream = stream,
		.answer = out,
		.grant = grant,
		.legacy = m->era == MCP_LEGACY,
		.deadline_ms = clock_mono_ms() + rq->config->call_timeout_ms + GRACE_MS};
	*out = (struct mcp_answer){.kind = MCP_ANSWER_ERROR, .spare = rq->app->spare};
	buf_init(&out->joined, (size_t)rq->config->max_result_bytes);
	buf_init(&x->event, (size_t)rq->config->max_result_bytes);
}

void mcp_exchange_free(struct mcp_exchange *x)
{
	buf_free(&x->event);
}

static void fail_begin(struct mcp_answer *out, enum rc rc)
{
	fail(out, rc == RC_UNAVAILABLE ? PROBLEM_TUNNEL_DOWN : PROBLEM_INTERNAL);
}

enum rc mcp_relay_begin(struct mcp_exchange *x, struct request *rq,
	const struct apikey_grant *grant, const struct mcp_request *m, const char *affinity,
	struct mcp_stream *stream, struct mcp_answer *out)
{
	enum rc rc;

	exchange_init(x, rq, grant, m, stream, out);
	rc = queue_call(rq, grant, m, affinity);
	if (rc != RC_OK)
		fail_begin(out, rc);
	return rc;
}

void mcp_relay(struct request *rq, const struct apikey_grant *grant, const struct mcp_request *m,
	const char *affinity, struct mcp_stream *stream, struct mcp_answer *out)
{
	enum mcp_progress progress = MCP_GOES_ON;
	struct mcp_exchange x;
	struct msg message;
	enum rc rc;

	exchange_init(&x, rq, grant, m, stream, out);
	rc = start_call(&x.d, rq, grant, m, affinity);
	if (rc != RC_OK) {
		fail_begin(out, rc);
		return;
	}
	while (progress == MCP_GOES_ON) {
		enum dispatch_event event =
			dispatch_wait(x.d, http_fd(rq), mcp_relay_due(&x), &message);

		progress = mcp_relay_event(&x, event, &message);
	}
	if (progress == MCP_LEFT)
		dispatch_mine_drop(); /* which cancels the call, unless it was detached */
	mcp_exchange_free(&x);
}

/* --- what is about a call, and comes on a request of its own --------------------------------- */

/* One question, one answer, on this thread's connection; sent again once when that was an old one.
 */
static enum rc ask(struct request *rq,
	void (*put)(struct buf *b, struct request *rq, const struct apikey_grant *grant,
		const struct mcp_request *m),
	const struct apikey_grant *grant, const struct mcp_request *m, enum msg_type answer)
{
	struct dispatch *d;
	struct msg out;
	bool fresh;
	enum rc rc;

	if (http_defer(rq))
		return RC_UNAVAILABLE;
	rc = dispatch_mine(rq->app->dispatch_path, &d, &fresh);
	if (rc != RC_OK)
		return rc;
	put(dispatch_message(d), rq, grant, m);
	rc = dispatch_ask(d, answer, &out);
	if (rc != RC_OK)
		dispatch_mine_drop();
	else if (out.type == MSG_FAIL)
		rc = RC_NOTFOUND;
	return rc;
}

/* "<call id>.<n>", as the worker made it. */
static bool call_of(struct jscan id, char call[MSG_ID_MAX + 1])
{
	char text[MSG_ID_MAX + 24];
	char *dot;

	if (jscan_str(id, text, sizeof(text)) != RC_OK)
		return false;
	dot = strrchr(text, '.');
	if (!dot)
		return false;
	*dot = '\0';
	return *text && str_copy(call, MSG_ID_MAX + 1, text) && !text[text_span(text, "_-")];
}

static void put_response(struct buf *b, struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m)
{
	char call[MSG_ID_MAX + 1] = "";

	(void)rq;
	(void)call_of(m->id, call);
	msg_begin(b, MSG_REPLY, call);
	msg_put_str(b, "tenant_id", grant->tenant_id);
	msg_end(b, m->message.p, m->message.len);
}

enum rc mcp_relay_response(
	struct request *rq, const struct apikey_grant *grant, const struct mcp_request *m)
{
	char call[MSG_ID_MAX + 1];

	if (!call_of(m->id, call) || m->message.len > MSG_MAX_DEFAULT - MSG_HEADER_MAX)
		return RC_NOTFOUND;
	return ask(rq, put_response, grant, m, MSG_REPLY);
}

static void put_cancel(struct buf *b, struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m)
{
	struct jscan id = {NULL, 0, JSCAN_NONE};

	(void)jscan_get(m->params, "requestId", &id);
	msg_begin(b, MSG_CANCEL, NULL);
	msg_put_str(b, "tenant_id", grant->tenant_id);
	msg_put_str(b, "key_id", grant->key_id);
	put_rpc_id(b, id);
	mcp_relay_put_client(b, rq);
	msg_end(b, NULL, 0);
}

enum rc mcp_relay_cancel(
	struct request *rq, const struct apikey_grant *grant, const struct mcp_request *m)
{
	return ask(rq, put_cancel, grant, m, MSG_CANCEL_OK);
}

void mcp_answer_keep(struct mcp_answer *a)
{
	if (a->kind != MCP_ANSWER_RESULT || a->payload == a->joined.data)
		return;
	buf_add(&a->joined, a->payload, a->len);
	if (a->joined.failed) {
		fail(a, PROBLEM_RESULT_TOO_LARGE);
		return;
	}
	a->payload = a->joined.data;
}

void mcp_answer_free(struct mcp_answer *a)
{
	if (a->spare)
		spare_give(a->spare, &a->joined, clock_mono_ms());
	else
		buf_free(&a->joined);
}
