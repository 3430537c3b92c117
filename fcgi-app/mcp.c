#include "fcgi-app/mcp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi-app/cors.h"
#include "fcgi-app/mcp_filter.h"
#include "fcgi-app/mcp_front.h"
#include "fcgi-app/mcp_listen.h"
#include "fcgi-app/mcp_local.h"
#include "fcgi-app/mcp_manifest.h"
#include "fcgi-app/mcp_pins.h"
#include "fcgi-app/mcp_relay.h"
#include "fcgi-app/mcp_request.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"

/* How old a manifest may be that only guides a call; lists are always asked for afresh. */
#define GUIDE_AGE_MS 10000
/* Of a resource that an older client subscribes to. */
#define URI_MAX 512
/* The line of keys to be verified has most likely moved on then. */
#define KEYS_RETRY_AFTER_S "5"
#define LOCAL_ANSWER_MAX ((size_t)4 << 20)

/* What a request is answered with, before it is known whether it goes out alone or in a batch. */
struct reply {
	int status;
	int64_t retry_after_ms;
	bool gone; /* the agent hung up */
	bool handed_over; /* the answer is a stream that somebody else sends */
	struct buf body; /* our own answer ... */
	struct mcp_answer answer; /* ... or a worker's, when relayed */
	bool relayed;
	struct mcp_stream stream; /* where the answer goes once it is open */
};

/* One POST, from its first check to its answer. It lasts longer than the handler when it is with a
 * worker. */
struct mcp_call {
	struct request *rq;
	struct apikey_grant grant;
	struct mcp_request request;
	struct reply reply;
	struct mcp_exchange exchange;
};

static const char *slug_of(const struct request *rq)
{
	return rq->arg[0];
}

/* --- refusals before the message is read ---------------------------------------------------- */

/* One audit row; without it there is no answer but that there is none. */
static bool write_down(
	struct request *rq, const char *event, const char *tenant_id, const char *outcome)
{
	struct audit_record r = rq->who;

	(void)str_copy(r.event, sizeof(r.event), event);
	(void)str_copy(r.tenant_id, sizeof(r.tenant_id), tenant_id);
	(void)str_copy(r.outcome, sizeof(r.outcome), outcome);
	if (text_slug_ok(slug_of(rq)))
		(void)str_copy(r.target, sizeof(r.target), slug_of(rq));
	if (http_audit(rq, &r) == RC_OK)
		return true;
	http_problem(rq, PROBLEM_AUDIT_DOWN, NULL);
	return false;
}

static void refuse(struct request *rq, const char *tenant_id, enum problem p, const char *outcome,
	const char *detail)
{
	if (write_down(rq, "access.refused", tenant_id, outcome))
		http_problem(rq, p, detail);
}

/* The key is good, the request is not. */
static void refuse_request(struct request *rq, enum problem p, const char *detail)
{
	if (write_down(rq, "mcp.refused", rq->who.tenant_id, problem_code(p)))
		http_problem(rq, p, detail);
}

/* Is the request meant for us? */
static bool host_ok(struct request *rq, const char **host)
{
	enum rc rc = http_header_once(rq, "Host", host);

	/* A browser always names a host: without one there is nothing to rebind. */
	if (rc == RC_NOTFOUND || (rc == RC_OK && mcp_front_host_ok(*host, rq->config->public_url)))
		return true;
	refuse(rq, "", PROBLEM_BAD_HOST, problem_code(PROBLEM_BAD_HOST),
		"Use the host of the control plane's public URL.");
	return false;
}

/* And not steered here by a page of somebody else's? */
static bool front_ok(struct request *rq)
{
	const char *origin, *host;
	enum rc rc = http_header_once(rq, "Origin", &origin);

	if (rc == RC_CONFLICT) {
		http_problem(rq, PROBLEM_AMBIGUOUS_HEADER, "Send Origin once.");
		return false;
	}
	if (!host_ok(rq, &host))
		return false;
	if (rc != RC_OK || cors_origin_ok(rq->config, origin) ||
		(host && mcp_front_same_origin(origin, host)))
		return true;
	refuse(rq, "", PROBLEM_BAD_ORIGIN, problem_code(PROBLEM_BAD_ORIGIN),
		"Pages of this origin may not call this endpoint.");
	return false;
}

static void refuse_key(struct request *rq, const struct apikey_grant *grant)
{
	char header[1200] = "Bearer";

	(void)str_copy(rq->who.key_id, sizeof(rq->who.key_id), grant->key_id);
	if (text_slug_ok(slug_of(rq)))
		(void)snprintf(header, sizeof(header),
			"Bearer "
			"resource_metadata=\"%s/.well-known/oauth-protected-resource/mcp/%s\"",
			rq->config->public_url, slug_of(rq));
	http_add_header(rq, "WWW-Authenticate", header);
	refuse(rq, "", PROBLEM_UNAUTHORIZED, "unauthorized",
		"Send an API key of this tenant as Authorization: Bearer alk_...");
}

static void become(struct request *rq, const struct apikey_grant *grant)
{
	struct audit_record *who = &rq->who;

	(void)str_copy(who->actor_kind, sizeof(who->actor_kind), "agent");
	(void)str_copy(who->actor_id, sizeof(who->actor_id), grant->key_id);
	(void)str_copy(who->actor_name, sizeof(who->actor_name), grant->key_name);
	(void)str_copy(who->key_id, sizeof(who->key_id), grant->key_id);
	(void)str_copy(who->tenant_id, sizeof(who->tenant_id), grant->tenant_id);
	log_context(rq->request_id, grant->tenant_id, rq->remote_ip);
}

/* True: *grant says who calls. */
static bool authorize(struct request *rq, struct apikey_grant *grant)
{
	const char *token;
	enum rc rc = http_bearer(rq, &token);

	if (rc == RC_CONFLICT) {
		refuse(rq, "", PROBLEM_AMBIGUOUS_HEADER, problem_code(PROBLEM_AMBIGUOUS_HEADER),
			"Send Authorization once.");
		return false;
	}
	if (rc != RC_OK)
		token = "";
	if (rq->loop &&
		!apikey_recall(rq->app->keys, rq->app->db, token, slug_of(rq), clock_wall_s(),
			grant, &rc)) {
		(void)http_defer(rq);
		return false;
	}
	if (!rq->loop)
		rc = apikey_check(rq->app->keys, rq->app->db, token, slug_of(rq), clock_wall_s(),
			&rq->place, grant);
	if (rq->place.trial) {
		/* No thread waits for a turn: the loop has the request until that comes. */
		log_debug("the key waits to be verified");
		rq->deferred = true;
		return false;
	}
	switch (rc) {
	case RC_OK:
		break;
	case RC_DENIED:
		refuse_key(rq, grant);
		return false;
	case RC_LIMIT:
		log_warn("a key was not verified: too many wait for that");
		http_add_header(rq, "Retry-After", KEYS_RETRY_AFTER_S);
		refuse(rq, "", PROBLEM_OVERLOADED, problem_code(PROBLEM_OVERLOADED),
			"Too many keys wait to be verified at this moment.");
		return false;
	default:
		http_problem(rq, PROBLEM_STATE_DOWN, NULL);
		return false;
	}
	become(rq, grant);
	if (grant->tenant_suspended) {
		refuse(rq, grant->tenant_id, PROBLEM_TENANT_SUSPENDED,
			problem_code(PROBLEM_TENANT_SUSPENDED), NULL);
		return false;
	}
	return true;
}

static bool read_body(struct request *rq)
{
	switch (http_body(rq)) {
	case RC_OK:
		return true;
	case RC_LIMIT:
		refuse_request(rq, PROBLEM_TOO_LARGE,
			"The request is longer than limits.max_request_bytes.");
		return false;
	case RC_INVALID:
		refuse_request(rq, PROBLEM_BAD_REQUEST, "The body ended early or took too long.");
		return false;
	default:
		http_problem(rq, PROBLEM_INTERNAL, NULL);
		return false;
	}
}

static bool read_headers(struct request *rq, struct mcp_headers *h)
{
	const char *once;

	*h = (struct mcp_headers){
		.accept = http_header(rq, "Accept"), .name = http_header(rq, "Mcp-Name")};
	h->name_repeated = http_header_once(rq, "Mcp-Name", &once) == RC_CONFLICT;
	if (http_header_once(rq, "Content-Type", &h->content_type) == RC_CONFLICT ||
		http_header_once(rq, "MCP-Protocol-Version", &h->version) == RC_CONFLICT ||
		http_header_once(rq, "Mcp-Method", &h->method) == RC_CONFLICT) {
		refuse_request(rq, PROBLEM_AMBIGUOUS_HEADER,
			"Send Content-Type, MCP-Protocol-Version and Mcp-Method once each.");
		return false;
	}
	return true;
}

/* --- one request --------------------------------------------------------------------------------
 */

static void reply_error(
	struct request *rq, struct reply *r, struct jscan id, const struct mcp_error *e)
{
	buf_reset(&r->body);
	mcp_local_error(&r->body, id, e, rq->request_id);
	r->status = e->status;
	r->relayed = false;
}

static void reply_problem(
	struct request *rq, struct reply *r, struct jscan id, enum problem p, const char *detail)
{
	const struct mcp_error e = mcp_relay_error(p, detail);

	reply_error(rq, r, id, &e);
}

/* The manifest for an answer of our own; false when there is an error instead. */
static bool get_manifest(struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m, struct reply *r, struct mcp_manifest **out)
{
	bool list = m->action == MCP_DO_LIST_TOOLS;
	enum rc rc = mcp_manifest_known(rq, grant->tenant_id, list ? 0 : GUIDE_AGE_MS, out);

	if (rc == RC_OK)
		return true;
	*out = NULL;
	if (rc == RC_NOTFOUND && !list)
		return true; /* an agent may greet us before the first worker comes */
	reply_problem(rq, r, m->id,
		rc == RC_NOTFOUND           ? PROBLEM_NO_WORKER
			: rc == RC_INTERNAL ? PROBLEM_STATE_DOWN
					    : PROBLEM_TUNNEL_DOWN,
		NULL);
	return false;
}

static void answer_locally(struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m, struct reply *r)
{
	struct mcp_manifest *manifest = NULL;
	struct toolset withheld = {0};
	const char *text;
	size_t len;

	if (m->action == MCP_DO_PING) {
		mcp_local_ping(&r->body, m);
		return;
	}
	if (!get_manifest(rq, grant, m, r, &manifest))
		return;
	text = manifest ? manifest->text : NULL;
	len = manifest ? manifest->len : 0;
	if (m->action == MCP_DO_INITIALIZE)
		mcp_local_initialize(&r->body, m, text, len);
	else if (m->action == MCP_DO_DISCOVER)
		mcp_local_discover(&r->body, m, text, len);
	else if (mcp_pins_withheld(rq, grant->tenant_id, manifest, &withheld) != RC_OK)
		reply_problem(rq, r, m->id, PROBLEM_STATE_DOWN, NULL);
	else
		mcp_local_tools(&r->body, m, text, len, grant->tools, &withheld);
	toolset_free(&withheld);
	mcp_manifest_put(manifest);
}

/* A key that may not use a tool: 403 and one audit row. */
static void deny_tool(struct request *rq, const struct mcp_request *m, struct reply *r)
{
	struct audit_record row = rq->who;

	(void)str_copy(row.event, sizeof(row.event), "tool.call");
	(void)str_copy(row.method, sizeof(row.method), m->method);
	(void)str_copy(row.tool, sizeof(row.tool), m->tool);
	(void)str_copy(row.outcome, sizeof(row.outcome), "denied");
	row.bytes_in = (int64_t)m->message.len;
	if (http_audit(rq, &row) != RC_OK)
		reply_problem(rq, r, m->id, PROBLEM_AUDIT_DOWN, NULL);
	else
		reply_problem(rq, r, m->id, PROBLEM_DENIED, NULL);
}

static const char *header_of(void *ctx, const char *name)
{
	return http_header(ctx, name);
}

/* Do the Mcp-Param headers agree with the arguments, as the tool's schema wants? A manifest that is
 * not of this moment may be outdated, so a refusal is looked at again with a fresh one. */
static bool params_ok(struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m, struct mcp_manifest **manifest, char *wrong, size_t cap)
{
	struct mcp_manifest *fresh;
	struct jscan tool;

	if (m->era != MCP_MODERN || !(*manifest)->marks_headers)
		return true;
	tool = manifest_tool((*manifest)->text, (*manifest)->len, m->tool);
	if (mcp_params_ok(tool, m->arguments, header_of, rq, wrong, cap))
		return true;
	if (mcp_manifest_live(rq, grant->tenant_id, 0, &fresh) != RC_OK)
		return false;
	mcp_manifest_put(*manifest);
	*manifest = fresh;
	tool = manifest_tool(fresh->text, fresh->len, m->tool);
	return mcp_params_ok(tool, m->arguments, header_of, rq, wrong, cap);
}

/* What the manifest has to say about a call: false when it refuses it. Without a manifest the call
 * goes on, and tunneld says (and writes down) that there is no worker. */
static bool guide_call(struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m, struct reply *r, char affinity[MCP_AFFINITY_LEN + 1])
{
	struct mcp_manifest *manifest;
	struct mcp_error e = {.status = 400,
		.code = MCP_HEADER_MISMATCH,
		.message = "Header mismatch: a header differs from the argument it repeats",
		.problem = PROBLEM_COUNT};
	char wrong[96];
	bool ok;

	affinity[0] = '\0';
	if (mcp_manifest_live(rq, grant->tenant_id, GUIDE_AGE_MS, &manifest) != RC_OK)
		return true;
	ok = params_ok(rq, grant, m, &manifest, wrong, sizeof(wrong));
	if (ok) {
		mcp_relay_affinity(rq->config->public_url, grant->tenant_id, m->arguments,
			manifest->subject, affinity);
	} else {
		e.detail = wrong;
		reply_error(rq, r, m->id, &e);
	}
	mcp_manifest_put(manifest);
	return ok;
}

/* Nobody can write a row now. It comes into the journal once the tunnel daemon is back; should the
 * daemon have died between a call's own row and its answer, the two rows have one request id. */
static enum rc write_down_later(
	struct request *rq, const struct apikey_grant *grant, const struct mcp_request *m)
{
	struct audit_record r = rq->who;

	(void)str_copy(r.event, sizeof(r.event), "mcp.refused");
	(void)str_copy(r.tenant_id, sizeof(r.tenant_id), grant->tenant_id);
	(void)str_copy(r.method, sizeof(r.method), m->method);
	(void)str_copy(r.tool, sizeof(r.tool), m->tool);
	(void)str_copy(r.outcome, sizeof(r.outcome), problem_code(PROBLEM_TUNNEL_DOWN));
	r.bytes_in = (int64_t)m->message.len;
	return http_audit_later(rq, &r);
}

static bool is_subscription(const struct mcp_request *m)
{
	return m->era == MCP_LEGACY &&
		(!strcmp(m->method, "resources/subscribe") ||
			!strcmp(m->method, "resources/unsubscribe"));
}

/* A subscription that the worker has taken is remembered for the stream that will tell of it. */
static void note_subscription(struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m, struct reply *r)
{
	bool off = !strcmp(m->method, "resources/unsubscribe");
	struct jscan answer, v;
	char uri[URI_MAX + 1];

	if (!is_subscription(m) || jscan_get(m->params, "uri", &v) != RC_OK ||
		jscan_parse((const char *)r->answer.payload, r->answer.len, &answer) != RC_OK ||
		jscan_get(answer, "result", &answer) != RC_OK)
		return;
	/* What was read from tunneld is gone with the next exchange. */
	mcp_answer_keep(&r->answer);
	if (jscan_str(v, uri, sizeof(uri)) != RC_OK ||
		mcp_listen_watch(rq, grant, uri, off) != RC_OK)
		reply_problem(rq, r, m->id, PROBLEM_OVERLOADED,
			"There are too many subscriptions, or this URI is too long for one.");
}

/* What became of an exchange with a worker. */
static void take_answer(struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m, struct reply *r)
{
	r->relayed = r->answer.kind == MCP_ANSWER_RESULT;
	r->gone = r->answer.kind == MCP_ANSWER_GONE;
	if (r->relayed) {
		r->status = mcp_result_status(m->era, r->answer.payload, r->answer.len);
		note_subscription(rq, grant, m, r);
	} else if (!r->gone) {
		r->retry_after_ms = r->answer.retry_after_ms;
		reply_error(rq, r, m->id, &r->answer.error);
		if (r->answer.error.problem == PROBLEM_TUNNEL_DOWN &&
			write_down_later(rq, grant, m) != RC_OK)
			reply_problem(rq, r, m->id, PROBLEM_AUDIT_DOWN, NULL);
	}
}

static void relay(struct request *rq, const struct apikey_grant *grant, const struct mcp_request *m,
	struct reply *r)
{
	char affinity[MCP_AFFINITY_LEN + 1] = "";

	if (m->action == MCP_DO_CALL_TOOL) {
		if (!apikey_may_call(grant, m->tool)) {
			deny_tool(rq, m, r);
			return;
		}
		if (!guide_call(rq, grant, m, r, affinity))
			return;
	}
	if (is_subscription(m) && http_defer(rq))
		return; /* tunneld is asked a second time for it */
	if (rq->loop) {
		if (!rq->deferred &&
			mcp_relay_begin(&rq->call->exchange, rq, grant, m, affinity, &r->stream,
				&r->answer) != RC_OK)
			(void)http_defer(rq);
		return;
	}
	mcp_relay(rq, grant, m, affinity, &r->stream, &r->answer);
	take_answer(rq, grant, m, r);
}

/* --- streams that outlive their request --------------------------------------------------------
 */

static bool takes_events(const char *accept)
{
	return accept && strstr(accept, "text/event-stream");
}

/* Reads the filter in the light of what the worker announced. False: there is an answer. */
static bool read_filter(struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m, struct reply *r, struct mcp_filter *f)
{
	struct mcp_error e = {.status = 400,
		.code = MCP_INVALID_PARAMS,
		.message = "Invalid params",
		.problem = PROBLEM_COUNT};
	struct jscan whole, capabilities = {NULL, 0, JSCAN_NONE};
	struct mcp_manifest *manifest;
	bool ok;

	if (!get_manifest(rq, grant, m, r, &manifest))
		return false;
	if (manifest && jscan_parse(manifest->text, manifest->len, &whole) == RC_OK)
		(void)jscan_get(whole, "capabilities", &capabilities);
	ok = mcp_filter_read(m->params, capabilities, f, &e.detail) == RC_OK;
	if (!ok)
		reply_error(rq, r, m->id, &e);
	mcp_manifest_put(manifest);
	return ok;
}

static void listen_to_changes(struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m, struct reply *r)
{
	struct mcp_filter f;
	enum problem p;

	if (!takes_events(http_header(rq, "Accept"))) {
		reply_problem(rq, r, m->id, PROBLEM_NOT_ACCEPTABLE,
			"The answer is a stream: send Accept: application/json, "
			"text/event-stream.");
		return;
	}
	if (!read_filter(rq, grant, m, r, &f))
		return;
	p = mcp_listen_open(rq, grant, m, &f, &r->retry_after_ms);
	if (p != PROBLEM_COUNT)
		reply_problem(rq, r, m->id, p, NULL);
	else
		r->handed_over = true;
}

static void serve(struct request *rq, const struct apikey_grant *grant, const struct mcp_request *m,
	struct reply *r)
{
	r->status = 200;
	if (m->action == MCP_DO_LISTEN) {
		if (!http_defer(rq))
			listen_to_changes(rq, grant, m, r);
		return;
	}
	if (m->action == MCP_DO_CALL_TOOL || m->action == MCP_DO_RELAY)
		relay(rq, grant, m, r);
	else if (!http_defer(rq))
		answer_locally(rq, grant, m, r);
	if (r->body.failed)
		reply_problem(rq, r, m->id, PROBLEM_RESULT_TOO_LARGE, NULL);
}

/* --- going out ----------------------------------------------------------------------------------
 */

static void reply_init(struct reply *r)
{
	*r = (struct reply){.status = 200};
	buf_init(&r->body, LOCAL_ANSWER_MAX);
}

static void reply_free(struct reply *r)
{
	buf_free(&r->body);
	mcp_answer_free(&r->answer);
}

static void add_retry_after(struct request *rq, int status, int64_t ms)
{
	char seconds[24];

	if (ms <= 0 && status != 503 && status != 429)
		return;
	(void)snprintf(seconds, sizeof(seconds), "%lld",
		ms <= 1000 ? 1LL : (long long)((ms + 999) / 1000));
	http_add_header(rq, "Retry-After", seconds);
}

static void give_up(struct request *rq)
{
	rq->answered = true;
	rq->status = problem_status(PROBLEM_CANCELLED);
	log_info("the agent hung up; its call is cancelled");
}

static void send_reply(struct request *rq, struct reply *r)
{
	const struct buf *own = &r->body;

	if (r->handed_over)
		return;
	if (r->gone) {
		give_up(rq);
		return;
	}
	if (r->stream.open) {
		if (!mcp_stream_event(&r->stream, rq, r->relayed ? r->answer.payload : own->data,
			    r->relayed ? r->answer.len : own->len, clock_mono_ms()))
			log_info("the agent hung up before its answer was sent");
		return;
	}
	add_retry_after(rq, r->status, r->retry_after_ms);
	if (r->relayed)
		http_reply(rq, r->status, "application/json", r->answer.payload, r->answer.len);
	else
		http_reply(rq, r->status, "application/json", own->data, own->len);
}

/* Appends one member's answer, if it has one. False when the agent is gone. */
static bool serve_element(
	struct request *rq, const struct apikey_grant *grant, struct jscan element, struct buf *all)
{
	struct mcp_request m;
	struct mcp_error why;
	struct reply r;
	bool gone;

	reply_init(&r);
	if (mcp_request_element(element, &m, &why) != RC_OK)
		reply_error(rq, &r, m.id, &why);
	else if (m.kind == MCP_REQUEST)
		serve(rq, grant, &m, &r);
	if (r.relayed || r.body.len > 0) {
		buf_char(all, all->len ? ',' : '[');
		if (r.relayed)
			buf_add(all, r.answer.payload, r.answer.len);
		else
			buf_add(all, r.body.data, r.body.len);
	}
	gone = r.gone;
	reply_free(&r);
	return !gone;
}

/* One after the other: a batch is an old client's way to save round trips, not a way to get more
 * than one call at a time. */
static void serve_batch(struct request *rq, const struct apikey_grant *grant, struct jscan batch)
{
	struct jscan_iter it = jscan_iter(batch);
	struct jscan key, element, no_id = {NULL, 0, JSCAN_NONE};
	struct buf all;
	bool here = true;

	buf_init(&all, (size_t)rq->config->max_result_bytes);
	while (here && !all.failed && jscan_next(&it, &key, &element))
		here = serve_element(rq, grant, element, &all);
	if (all.len)
		buf_char(&all, ']');
	if (!here) {
		give_up(rq);
	} else if (all.failed) {
		struct reply r;

		reply_init(&r);
		reply_problem(rq, &r, no_id, PROBLEM_RESULT_TOO_LARGE, NULL);
		send_reply(rq, &r);
		reply_free(&r);
	} else if (all.len) {
		http_reply(rq, 200, "application/json", all.data, all.len);
	} else {
		http_reply(rq, 202, NULL, NULL, 0);
	}
	buf_free(&all);
}

/* A name for the client, so that its cancellations mean its own calls. Nothing is kept for it: it
 * need not come back. */
static void name_session(struct request *rq, const struct mcp_request *m)
{
	char session[32];

	if (m->action != MCP_DO_INITIALIZE)
		return;
	crypto_id("mcp", session, sizeof(session));
	http_add_header(rq, "Mcp-Session-Id", session);
}

/* A notification or a response: 202 whatever becomes of it, as long as it can be passed on. */
static void take_aside(
	struct request *rq, const struct apikey_grant *grant, const struct mcp_request *m)
{
	enum rc rc = RC_OK;

	if (m->kind == MCP_RESPONSE)
		rc = mcp_relay_response(rq, grant, m);
	else if (m->era == MCP_LEGACY && !strcmp(m->method, "notifications/cancelled"))
		rc = mcp_relay_cancel(rq, grant, m);
	if (rc == RC_OK || rc == RC_NOTFOUND)
		http_reply(rq, 202, NULL, NULL, 0);
	else
		http_problem(rq, PROBLEM_TUNNEL_DOWN, NULL);
}

static void serve_post(struct request *rq, struct mcp_call *c)
{
	const struct apikey_grant *grant = &c->grant;
	struct mcp_request *m = &c->request;
	struct reply *r = &c->reply;
	struct mcp_headers headers;
	struct mcp_error why;

	if (!read_body(rq) || !read_headers(rq, &headers))
		return;
	if (mcp_request_read(&headers, rq->body.data, rq->body.len, m, &why) != RC_OK) {
		if (why.plain) {
			refuse_request(rq, why.problem, why.detail);
		} else if (why.code != MCP_PARSE_ERROR ||
			write_down(rq, "mcp.refused", grant->tenant_id,
				problem_code(PROBLEM_INVALID_JSON))) {
			reply_error(rq, r, m->id, &why);
			send_reply(rq, r);
		}
	} else if (m->kind != MCP_REQUEST && http_defer(rq)) {
		return;
	} else if (m->kind == MCP_BATCH) {
		serve_batch(rq, grant, m->message);
	} else if (m->kind == MCP_REQUEST) {
		mcp_stream_init(&r->stream, takes_events(headers.accept),
			headers.version && !strcmp(headers.version, MCP_LEGACY_NEWEST),
			clock_mono_ms(), rq->config->call_timeout_ms);
		serve(rq, grant, m, r);
		/* On the loop it is with a worker now, or a thread is to find out why not. */
		if (rq->loop) {
			if (!c->exchange.rq)
				(void)http_defer(rq);
			return;
		}
		name_session(rq, m);
		send_reply(rq, r);
	} else {
		take_aside(rq, grant, m);
	}
}

static void call_free(struct mcp_call *c)
{
	c->rq->call = NULL;
	reply_free(&c->reply);
	mcp_exchange_free(&c->exchange);
	apikey_grant_clear(&c->grant);
	free(c);
}

void mcp_post(struct request *rq)
{
	struct mcp_call *c = xcalloc(1, sizeof(*c));

	c->rq = rq;
	rq->call = c;
	reply_init(&c->reply);
	if (front_ok(rq) && authorize(rq, &c->grant))
		serve_post(rq, c);
	if (!rq->loop || rq->deferred || !c->exchange.rq)
		call_free(c);
}

/* --- what the loop does with a call that is with a worker ---------------------------------------
 */

bool mcp_needs_thread(
	const struct mcp_call *c, enum dispatch_event event, const struct msg *m, size_t at_once)
{
	const struct reply *r = &c->reply;

	if (event != DISPATCH_MESSAGE || m->type != MSG_RESULT)
		return true;
	return !m->more && (r->stream.open || r->answer.joined.len + m->payload_len > at_once);
}

bool mcp_event(struct mcp_call *c, enum dispatch_event event, const struct msg *m)
{
	struct request *rq = c->rq;

	log_context(rq->request_id, c->grant.tenant_id, rq->remote_ip);
	if (mcp_relay_event(&c->exchange, event, m) == MCP_GOES_ON)
		return true;
	take_answer(rq, &c->grant, &c->request, &c->reply);
	send_reply(rq, &c->reply);
	rq->detached = c->exchange.detached;
	call_free(c);
	return false;
}

int64_t mcp_due(const struct mcp_call *c)
{
	return mcp_relay_due(&c->exchange);
}

static void not_allowed(struct request *rq, const char *allow, const char *detail)
{
	http_add_header(rq, "Allow", allow);
	http_problem(rq, PROBLEM_METHOD_NOT_ALLOWED, detail);
}

/* The stream of clients before 2026-07-28 (MCP 2025-11-25, "Listening for Messages from the
 * Server"). It can't be resumed, so Last-Event-ID says nothing. */
static void open_get_stream(struct request *rq, const struct apikey_grant *grant)
{
	static const struct mcp_filter all = {.tools = true, .prompts = true, .resources = true};
	int64_t retry_after_ms;
	enum problem p = mcp_listen_open(rq, grant, NULL, &all, &retry_after_ms);

	if (p == PROBLEM_COUNT)
		return;
	add_retry_after(rq, problem_status(p), retry_after_ms);
	http_problem(rq, p, NULL);
}

void mcp_get(struct request *rq)
{
	struct apikey_grant grant = {0};
	const char *version;
	enum rc rc = http_header_once(rq, "MCP-Protocol-Version", &version);

	if (!front_ok(rq))
		return;
	if (rc == RC_OK && !strcmp(version, MCP_MODERN_VERSION)) {
		not_allowed(rq, "POST",
			"In this version streams come on a POST: subscriptions/listen.");
		return;
	}
	if (authorize(rq, &grant)) {
		if (rc == RC_CONFLICT || (rc == RC_OK && !mcp_request_legacy_version(version)))
			refuse_request(rq, PROBLEM_BAD_REQUEST,
				"MCP-Protocol-Version must be one that this server speaks.");
		else if (!takes_events(http_header(rq, "Accept")))
			http_problem(rq, PROBLEM_NOT_ACCEPTABLE, "Send Accept: text/event-stream.");
		else
			open_get_stream(rq, &grant);
	}
	apikey_grant_clear(&grant);
}

void mcp_delete(struct request *rq)
{
	if (front_ok(rq))
		not_allowed(rq, "GET, POST",
			"This endpoint keeps no sessions: there is nothing to delete.");
}

void mcp_resource_metadata(struct request *rq)
{
	char url[2048];
	struct buf body;

	if (!text_slug_ok(slug_of(rq))) {
		http_problem(rq, PROBLEM_NOT_FOUND, NULL);
		return;
	}
	(void)snprintf(url, sizeof(url), "%s/mcp/%s", rq->config->public_url, slug_of(rq));
	buf_init(&body, 8192);
	buf_str(&body, "{\"resource\":");
	buf_json(&body, url);
	buf_str(&body, ",\"resource_name\":\"Airlock\",\"bearer_methods_supported\":[\"header\"]}");
	http_reply(rq, 200, "application/json", body.data, body.len);
	buf_free(&body);
}
