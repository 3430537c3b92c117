#include "fcgi-app/mcp_listen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi-app/mcp_relay.h"
#include "shared/mem.h"
#include "shared/msg.h"

/* Where the front fetches streams; conf/nginx and conf/caddy know it too. */
#define REDIRECT "/.airlock/listen/"
#define TICKET_MAX 64

struct question {
	struct request *rq;
	const struct apikey_grant *grant;
	const struct mcp_request *m;
	const struct mcp_filter *f;
	char ticket[TICKET_MAX + 1];
	enum problem problem; /* PROBLEM_COUNT: none */
	int64_t retry_after_ms;
};

static void put_audit(struct buf *b, const struct question *q)
{
	struct audit_record r = q->rq->who;
	struct buf text;

	(void)str_copy(r.tenant_id, sizeof(r.tenant_id), q->grant->tenant_id);
	(void)str_copy(r.method, sizeof(r.method), q->m ? q->m->method : "GET");
	buf_init(&text, MSG_HEADER_MAX);
	audit_put(&text, &r);
	if (text.failed)
		b->failed = true;
	else
		msg_put_json(b, "audit", (const char *)text.data, text.len);
	buf_free(&text);
}

/* What every answer of ours has, and what this one's CORS asks for. */
static void put_headers(struct buf *b, struct request *rq)
{
	struct buf lines;
	char *text;

	buf_init(&lines, 4096);
	buf_printf(
		&lines, "X-Request-Id: %s\r\nX-Content-Type-Options: nosniff\r\n", rq->request_id);
	buf_add(&lines, rq->headers.data, rq->headers.len);
	text = buf_steal(&lines);
	msg_put_str(b, "headers", text);
	free(text);
}

static void put_fields(struct buf *b, const struct question *q)
{
	int64_t rate = mcp_relay_rate(q->rq, q->grant);

	msg_put_str(b, "tenant_id", q->grant->tenant_id);
	msg_put_str(b, "key_id", q->grant->key_id);
	msg_put_str(b, "key_name", q->grant->key_name);
	if (rate > 0)
		msg_put_int(b, "rate", rate);
	msg_put_str(b, "era", q->m ? "modern" : "legacy");
	if (q->m)
		msg_put_json(b, "subscription", q->m->id.p, q->m->id.len);
	else
		mcp_relay_put_client(b, q->rq);
	if (q->f->tools)
		msg_put_flag(b, "tools", true);
	if (q->f->prompts)
		msg_put_flag(b, "prompts", true);
	if (q->f->resources)
		msg_put_flag(b, "resources", true);
	if (q->f->worker)
		msg_put_flag(b, "worker", true);
	put_headers(b, q->rq);
	put_audit(b, q);
}

static void end_message(struct buf *b, const struct question *q)
{
	struct buf ack;

	if (!q->m) {
		msg_end(b, NULL, 0);
	} else if (q->f->worker) {
		msg_end(b, q->m->message.p, q->m->message.len);
	} else {
		buf_init(&ack, MSG_HEADER_MAX);
		mcp_filter_acknowledge(&ack, q->m->id, q->f);
		b->failed = b->failed || ack.failed;
		msg_end(b, ack.data, ack.len);
		buf_free(&ack);
	}
}

static enum rc ask(struct dispatch *d, void *ctx)
{
	struct question *q = ctx;
	struct buf *b = dispatch_message(d);
	char code[48];
	struct msg m;
	enum rc rc;

	msg_begin(b, MSG_LISTEN, NULL);
	put_fields(b, q);
	end_message(b, q);
	rc = dispatch_ask(d, MSG_LISTEN_OK, &m);
	if (rc != RC_OK)
		return rc;
	if (m.type == MSG_LISTEN_OK)
		return msg_str(&m, "ticket", q->ticket, sizeof(q->ticket)) == RC_OK
			? RC_OK
			: RC_UNAVAILABLE;
	q->problem = PROBLEM_INTERNAL;
	if (msg_str(&m, "code", code, sizeof(code)) == RC_OK &&
		problem_from_code(code) != PROBLEM_COUNT)
		q->problem = problem_from_code(code);
	(void)msg_int(&m, "retry_after_ms", &q->retry_after_ms);
	return RC_OK;
}

enum problem mcp_listen_open(struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m, const struct mcp_filter *f, int64_t *retry_after_ms)
{
	struct question q = {.rq = rq, .grant = grant, .m = m, .f = f, .problem = PROBLEM_COUNT};
	char path[sizeof(REDIRECT) + TICKET_MAX];

	*retry_after_ms = 0;
	if (http_dispatch(rq, ask, &q) != RC_OK)
		return PROBLEM_TUNNEL_DOWN;
	if (q.problem != PROBLEM_COUNT) {
		*retry_after_ms = q.retry_after_ms;
		return q.problem;
	}
	(void)snprintf(path, sizeof(path), REDIRECT "%s", q.ticket);
	http_add_header(rq, "X-Accel-Redirect", path);
	http_reply(rq, 200, "text/event-stream", NULL, 0);
	return PROBLEM_COUNT;
}

struct note {
	struct request *rq;
	const struct apikey_grant *grant;
	const char *uri;
	bool off, refused;
};

static enum rc tell(struct dispatch *d, void *ctx)
{
	struct note *n = ctx;
	struct buf *b = dispatch_message(d);
	struct msg m;
	enum rc rc;

	msg_begin(b, MSG_WATCH, NULL);
	msg_put_str(b, "tenant_id", n->grant->tenant_id);
	msg_put_str(b, "key_id", n->grant->key_id);
	mcp_relay_put_client(b, n->rq);
	if (n->off)
		msg_put_flag(b, "off", true);
	msg_end(b, n->uri, strlen(n->uri));
	rc = dispatch_ask(d, MSG_WATCH_OK, &m);
	n->refused = rc == RC_OK && m.type == MSG_FAIL;
	return rc;
}

enum rc mcp_listen_watch(
	struct request *rq, const struct apikey_grant *grant, const char *uri, bool off)
{
	struct note n = {rq, grant, uri, off, false};
	enum rc rc = http_dispatch(rq, tell, &n);

	return rc == RC_OK && n.refused ? RC_LIMIT : rc;
}
