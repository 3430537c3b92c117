/* GET /v1/admin/audit/stream: lets the operator in, and has the front fetch the stream from tunneld
 * with a ticket: what lasts as long as a connection is not ours. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi-app/admin_audit.h"
#include "fcgi-app/admin_common.h"
#include "fcgi-app/admin_handlers.h"
#include "fcgi-app/http_parse.h"
#include "shared/mem.h"
#include "shared/msg.h"

struct watch {
	const struct request *rq;
	const struct admin_audit *a;
	int64_t after; /* -1: from now on */
	struct msg answer;
};

static enum rc ask_watch(struct dispatch *d, void *ctx)
{
	struct watch *w = ctx;
	const struct audit_filter *f = &w->a->filter;
	char text[AUDIT_FILTER_TEXT_MAX + 1];
	struct buf *b = dispatch_message(d);

	msg_begin(b, MSG_AUDIT_WATCH, NULL);
	msg_put_str(b, "tenant", f->tenant);
	msg_put_str(b, "actor", f->actor);
	msg_put_str(b, "tool", f->tool);
	msg_put_str(b, "outcome", f->outcome);
	msg_put_str(b, "event", f->event);
	if (http_query(w->rq, "q", text, sizeof(text)) == RC_OK)
		msg_put_str(b, "q", text);
	msg_put_str(b, "org_id", w->rq->org_id);
	if (w->after >= 0)
		msg_put_int(b, "after", w->after);
	if (w->rq->credential_expires_at > 0)
		msg_put_int(b, "expires_at", w->rq->credential_expires_at);
	msg_end(b, NULL, 0);
	return dispatch_ask(d, MSG_AUDIT_WATCH_OK, &w->answer);
}

/* Where a watcher goes on that was away: EventSource sends the header by itself. */
static bool read_after(struct request *rq, int64_t *after)
{
	char text[24];
	const char *header;

	*after = -1;
	switch (http_header_once(rq, "Last-Event-ID", &header)) {
	case RC_OK:
		break;
	case RC_NOTFOUND:
		switch (http_query(rq, "after", text, sizeof(text))) {
		case RC_OK:
			header = text;
			break;
		case RC_NOTFOUND:
			return true;
		default:
			header = "";
		}
		break;
	default:
		header = "";
	}
	if (*header && http_parse_length(header, after) == RC_OK && *after >= 0)
		return true;
	admin_field_problem(rq, "Last-Event-ID", "must be the number of a row, as an \"id\" was.");
	return false;
}

/* Who watches is in the log, as who searches is not: a stream shows what others do from now on. */
static bool audited(struct request *rq)
{
	struct audit_record r = rq->who;
	struct buf change;
	bool ok;

	(void)str_copy(r.event, sizeof(r.event), "audit.stream");
	(void)str_copy(r.outcome, sizeof(r.outcome), "ok");
	buf_init(&change, AUDIT_CHANGE_MAX);
	admin_audit_describe(rq, &change);
	if (change.len > 0 && !change.failed) {
		change.data[0] = '{';
		buf_str(&change, "}");
		if (!change.failed)
			(void)str_copy_len(
				r.change, sizeof(r.change), (const char *)change.data, change.len);
	}
	buf_free(&change);
	ok = http_audit(rq, &r) == RC_OK;
	if (!ok)
		http_problem(rq, PROBLEM_AUDIT_DOWN, NULL);
	return ok;
}

static void refused(struct request *rq, const struct msg *fail)
{
	char code[48] = "";
	enum problem p;

	(void)msg_str(fail, "code", code, sizeof(code));
	p = problem_from_code(code);
	if (p == PROBLEM_OVERLOADED)
		http_add_header(rq, "Retry-After", "10");
	http_problem(rq, p == PROBLEM_COUNT ? PROBLEM_INTERNAL : p,
		p == PROBLEM_OVERLOADED ? "There are as many streams as audit.streams allows."
					: NULL);
}

static void hand_over(struct request *rq, struct watch *w)
{
	char ticket[64], path[128];

	if (http_dispatch(rq, ask_watch, w) != RC_OK) {
		http_problem(rq, PROBLEM_TUNNEL_DOWN, NULL);
		return;
	}
	if (w->answer.type != MSG_AUDIT_WATCH_OK ||
		msg_str(&w->answer, "ticket", ticket, sizeof(ticket)) != RC_OK) {
		refused(rq, &w->answer);
		return;
	}
	(void)snprintf(path, sizeof(path), "/.airlock/audit/%s", ticket);
	http_add_header(rq, "X-Accel-Redirect", path);
	http_reply(rq, 200, "text/event-stream", NULL, 0);
}

void admin_audit_stream(struct request *rq)
{
	static const char *const names[] = {
		"tenant", "actor", "tool", "outcome", "event", "q", "after", NULL};
	struct admin_audit *a = xcalloc(1, sizeof(*a));
	struct watch w = {.rq = rq, .a = a};

	if (admin_audit_read(rq, names, true, a) && read_after(rq, &w.after)) {
		if (!strcmp(rq->method, "HEAD"))
			http_reply(rq, 200, "text/event-stream", NULL, 0);
		else if (audited(rq))
			hand_over(rq, &w);
	}
	admin_audit_clear(a);
	free(a);
}
