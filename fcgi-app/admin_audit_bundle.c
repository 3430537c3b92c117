/* A signed part of the audit log as the answer to GET /v1/admin/audit/export?format=bundle
 * (shared/audit_bundle.h): which rows it goes over, and sending it without holding it. The caller
 * says which rows; what is signed is what we have made of them. */
#include <errno.h>
#include <string.h>

#include "fcgi-app/admin_audit.h"
#include "shared/audit_bundle.h"
#include "shared/audit_log.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"

#define PIECE ((size_t)65536)
/* One line, or what was kept back until row first came. */
#define OUT_MAX ((size_t)64 << 20)

static bool take_first(void *ctx, int64_t seq, const char *line, size_t len)
{
	(void)line;
	(void)len;
	*(int64_t *)ctx = seq;
	return false;
}

/* The first row in a direction; 0: none. */
static enum rc first_row(const struct admin_audit *a, const struct audit_filter *filter,
	bool oldest_first, int64_t from, int64_t *seq)
{
	struct audit_search s = a->search;
	struct audit_search_end end;

	s.filter = filter;
	s.oldest_first = oldest_first;
	s.from = from;
	*seq = 0;
	return audit_search(&s, take_first, seq, &end);
}

static void checkpoints(struct audit_filter *f)
{
	audit_filter_init(f);
	(void)str_copy(f->event, sizeof(f->event), "checkpoint");
}

bool admin_audit_bundle_range(
	struct request *rq, const struct admin_audit *a, int64_t *first, int64_t *last)
{
	struct audit_filter signed_rows;
	int64_t checkpoint = 0;
	enum rc rc;

	checkpoints(&signed_rows);
	rc = first_row(a, a->search.filter, true, 0, first);
	if (rc == RC_OK)
		rc = first_row(a, a->search.filter, false, 0, last);
	if (rc == RC_OK)
		rc = first_row(a, &signed_rows, false, 0, &checkpoint);
	if (rc != RC_OK) {
		http_problem(rq, PROBLEM_STATE_DOWN, ADMIN_AUDIT_UNREADABLE);
		return false;
	}
	if (*first == 0) {
		http_problem(rq, PROBLEM_NOT_FOUND, "No row is as it was asked for.");
		return false;
	}
	if (*first > checkpoint) {
		http_problem(rq, PROBLEM_NOT_FOUND,
			"No checkpoint vouches for these rows yet; one comes within "
			"audit.checkpoint_seconds.");
		return false;
	}
	*last = *last < checkpoint ? *last : checkpoint;
	return true;
}

struct sending {
	struct request *rq;
	struct audit_bundle bundle;
	struct buf out;
	bool gone; /* the client */
};

static bool flush(struct sending *s, size_t from)
{
	if (s->out.len < from)
		return true;
	s->gone = !http_write(s->rq, s->out.data, s->out.len);
	buf_reset(&s->out);
	return !s->gone;
}

static enum rc ask_stamp(struct dispatch *d, void *ctx)
{
	return dispatch_stamp(d, ctx);
}

/* The tunnel daemon has the key. */
static enum rc put_stamp(struct sending *s)
{
	struct audit_stamp stamp;
	enum rc rc = audit_bundle_stamp(&s->bundle, &stamp);

	if (rc == RC_OK)
		rc = http_dispatch(s->rq, ask_stamp, &stamp);
	if (rc != RC_OK) {
		log_err("a bundle of the audit log could not be signed (%s)", rc_name(rc));
		return rc;
	}
	return audit_bundle_stamped(&s->bundle, &stamp, &s->out);
}

/* From the checkpoint before row first, or the log's beginning, to the one behind row last. */
static enum rc send_lines(
	struct sending *s, const struct admin_audit *a, struct audit_log *log, int64_t from)
{
	struct audit_line line;
	enum rc rc = audit_search_seek(log, a->index_path, from);

	while (rc == RC_OK && !audit_bundle_done(&s->bundle)) {
		rc = audit_log_next(log, &line);
		if (rc != RC_OK || line.seq < from)
			continue;
		rc = audit_bundle_line(&s->bundle, line.text, line.len,
			audit_filter_match(a->search.filter, line.text, line.len), &s->out);
		if (rc == RC_OK && audit_bundle_stamp_due(&s->bundle))
			rc = put_stamp(s);
		if (rc == RC_OK && !flush(s, PIECE))
			return RC_OK;
	}
	return rc;
}

static enum rc send_bundle(struct sending *s, const struct admin_audit *a, int64_t first)
{
	struct audit_filter signed_rows;
	struct audit_log *log;
	int64_t from;
	enum rc rc;

	checkpoints(&signed_rows);
	rc = first_row(a, &signed_rows, false, first, &from);
	if (rc != RC_OK)
		return rc;
	rc = audit_log_open(a->search.log_path, &log);
	if (rc != RC_OK) {
		log_err("cannot read the audit log %s: %s", a->search.log_path, strerror(errno));
		return rc;
	}
	rc = send_lines(s, a, log, from);
	audit_log_close(log);
	return rc == RC_OK && !s->gone && !flush(s, 1) ? RC_OK : rc;
}

void admin_audit_bundle_send(struct request *rq, const struct admin_audit *a, const char *type,
	int64_t first, int64_t last)
{
	struct sending s = {.rq = rq};
	struct buf filter;
	enum rc rc;

	http_add_header(rq, "X-Accel-Buffering", "no");
	http_begin(rq, 200, type);
	if (!strcmp(rq->method, "HEAD"))
		return;
	buf_init(&s.out, OUT_MAX);
	buf_init(&filter, AUDIT_BUNDLE_FILTER_MAX);
	admin_audit_describe(rq, &filter);
	/* Its members, each with a comma before it. */
	if (filter.len > 0 && !filter.failed) {
		filter.data[0] = '{';
		buf_str(&filter, "}");
	}
	buf_char(&filter, '\0');
	audit_bundle_begin(&s.bundle, first, last,
		filter.failed || filter.len == 1 ? NULL : (const char *)filter.data,
		clock_wall_ms());
	rc = send_bundle(&s, a, first);
	if (s.gone)
		log_info("the client of an export of the audit log went away");
	else if (rc != RC_OK)
		http_abort(rq);
	audit_bundle_free(&s.bundle);
	buf_free(&s.out);
	buf_free(&filter);
}
