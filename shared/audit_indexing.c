#include "shared/audit_indexing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/audit_block.h"
#include "shared/audit_index.h"
#include "shared/audit_log.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"

/* How often closed files are looked at, whether they are still what was indexed. */
#define LOOK_MS 60000

struct seen {
	int64_t first;
	uint64_t stamp;
};

struct audit_indexing {
	char *log_path, *index_path;
	struct audit_index *index;
	struct audit_block block;
	struct seen *seen; /* files that were looked at */
	size_t seen_count;
	int64_t looked_ms; /* 0: never */
};

struct pass {
	struct audit_indexing *x;
	struct audit_log *log;
	int64_t durable;
	bool all;
	bool (*go_on)(void *ctx, int64_t seq);
	void *ctx;
	bool stop;
	int64_t taken; /* the last row that this pass wrote; 0: none */
};

struct audit_indexing *audit_indexing_new(const char *log_path, const char *index_path)
{
	struct audit_indexing *x = xcalloc(1, sizeof(*x));

	x->log_path = xstrdup(log_path);
	x->index_path = xstrdup(index_path);
	return x;
}

static void close_index(struct audit_indexing *x)
{
	audit_index_close(x->index);
	x->index = NULL;
	audit_block_reset(&x->block);
	x->looked_ms = 0;
	x->seen_count = 0;
}

void audit_indexing_free(struct audit_indexing *x)
{
	if (!x)
		return;
	close_index(x);
	audit_block_clear(&x->block);
	free(x->seen);
	free(x->log_path);
	free(x->index_path);
	free(x);
}

/* --- taking lines in ----------------------------------------------------------------------- */

/* RC_CONFLICT: another process writes the index too, and is further. */
static enum rc write_block(struct pass *p)
{
	struct audit_indexing *x = p->x;
	int64_t last = x->block.first + (int64_t)x->block.rows - 1;
	enum rc rc = x->block.rows > 0 ? audit_index_add(x->index, &x->block) : RC_OK;

	if (x->block.rows > 0 && rc == RC_OK) {
		p->taken = last;
		p->stop = p->go_on && !p->go_on(p->ctx, last);
	}
	audit_block_reset(&x->block);
	return rc;
}

/* Reads on from where the walk is; until: the first row that is not wanted. */
static enum rc take_lines(struct pass *p, int64_t until)
{
	struct audit_block *b = &p->x->block;
	struct audit_line line;
	enum rc rc = RC_OK;

	while (!p->stop && (rc = audit_log_next(p->log, &line)) == RC_OK && line.seq < until) {
		if (audit_block_add(b, &line))
			continue;
		rc = write_block(p);
		if (rc != RC_OK)
			return rc;
		(void)audit_block_add(b, &line);
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* --- where to begin -------------------------------------------------------------------------- */

static bool still_there(struct pass *p, const struct audit_index_block *b)
{
	size_t len = (size_t)(b->end.offset - b->last_offset - 1);
	const char *line;

	return b->end.offset > b->last_offset + 1 &&
		audit_log_line(p->log, (struct audit_place){b->at.segment, b->last_offset}, len,
			b->last, &line) == RC_OK &&
		audit_block_mark(line, len) == b->mark;
}

static enum rc forget(struct pass *p, int64_t first, int64_t last)
{
	struct audit_index_gone gone;
	enum rc rc = audit_index_forget(p->x->index, first, last, &gone);

	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* Where the rows go on that the index does not have. A crash can have taken rows from the log's end
 * that the index has: they are forgotten. */
static enum rc seek_end(struct pass *p)
{
	struct audit_index_block last;
	struct audit_place at = {0};
	enum rc rc;

	while ((rc = audit_index_last(p->x->index, &last)) == RC_OK && !still_there(p, &last)) {
		rc = forget(p, last.first, INT64_MAX);
		if (rc != RC_OK)
			return rc;
	}
	if (rc == RC_OK)
		return audit_log_seek(p->log, last.end);
	if (rc != RC_NOTFOUND)
		return rc;
	at.segment = audit_log_oldest(p->log);
	return audit_log_seek(p->log, at);
}

static enum rc take_new(struct pass *p)
{
	struct audit_indexing *x = p->x;
	int64_t until = p->durable < INT64_MAX ? p->durable + 1 : INT64_MAX;
	enum rc rc;

	do {
		rc = x->block.rows > 0 ? audit_log_seek(p->log, x->block.end) : seek_end(p);
		if (rc == RC_OK)
			rc = take_lines(p, until);
		if (rc == RC_OK && p->all && !p->stop)
			rc = write_block(p);
		/* No such file: it is gone, or there is none yet. */
		if (rc == RC_NOTFOUND || rc == RC_CONFLICT)
			audit_block_reset(&x->block);
	} while (rc == RC_CONFLICT);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* --- looking back ---------------------------------------------------------------------------- */

static bool was_seen(const struct audit_indexing *x, int64_t first, uint64_t stamp)
{
	for (size_t i = 0; i < x->seen_count; i++)
		if (x->seen[i].first == first)
			return stamp != 0 && x->seen[i].stamp == stamp;
	return false;
}

/* Where to begin to read again what was forgotten. Its beginning may be in a file that is gone. */
static enum rc seek_gone(struct pass *p, const struct audit_index_gone *gone)
{
	struct audit_place at = gone->at;
	enum rc rc;

	/* Other lines may stand before the first row now. */
	if (at.segment == gone->first)
		at.offset = 0;
	rc = audit_log_seek(p->log, at);
	if (rc != RC_NOTFOUND)
		return rc;
	return audit_log_seek(p->log, (struct audit_place){audit_log_oldest(p->log), 0});
}

/* A file whose lines were rewritten, as when rows expire, is read again, and what shares a span
 * with it. */
static enum rc look_at_file(struct pass *p, int64_t first, int64_t last)
{
	struct audit_indexing *x = p->x;
	struct audit_index_gone gone;
	struct audit_index_block b;
	enum rc rc = audit_index_before(x->index, last + 1, &b);

	if (rc != RC_OK || b.at.segment != first || still_there(p, &b))
		return rc == RC_NOTFOUND ? RC_OK : rc;
	log_info("the file of rows %lld to %lld of the audit log was rewritten: indexing it anew",
		(long long)first, (long long)b.last);
	audit_block_reset(&x->block);
	rc = audit_index_forget(x->index, first, b.last, &gone);
	if (rc == RC_OK)
		rc = seek_gone(p, &gone);
	if (rc == RC_OK)
		rc = take_lines(p, gone.last + 1);
	return rc == RC_OK ? write_block(p) : rc;
}

/* What reads a file again can end in the middle: all behind the gap that it left is read again. */
static enum rc close_gap(struct pass *p)
{
	int64_t whole;
	enum rc rc = audit_index_whole(p->x->index, &whole);

	if (rc == RC_OK)
		rc = forget(p, whole + 1, INT64_MAX);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* Rows whose files are gone. A span that has younger ones too stays. */
static enum rc forget_old(struct pass *p, int64_t oldest)
{
	struct audit_index_span s;
	enum rc rc;

	while ((rc = audit_index_span_after(p->x->index, 0, &s)) == RC_OK && s.last < oldest) {
		rc = forget(p, s.first, s.last);
		if (rc != RC_OK)
			return rc;
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc look_back(struct pass *p)
{
	struct audit_indexing *x = p->x;
	size_t count = audit_log_files(p->log);
	struct seen *seen = xcalloc(count + 1, sizeof(*seen));
	uint64_t stamp;
	enum rc rc = RC_OK;

	if (count > 0 && audit_log_oldest(p->log) > 1)
		rc = forget_old(p, audit_log_oldest(p->log));
	if (rc == RC_OK && x->looked_ms == 0)
		rc = close_gap(p);
	/* The current file is seek_end()'s matter. */
	for (size_t i = 0; rc == RC_OK && i + 1 < count; i++) {
		int64_t first = audit_log_file(p->log, i, &stamp);
		int64_t next = audit_log_file(p->log, i + 1, &seen[i].stamp);

		seen[i] = (struct seen){first, stamp};
		if (!was_seen(x, first, stamp))
			rc = look_at_file(p, first, next - 1);
	}
	free(x->seen);
	x->seen = seen;
	x->seen_count = rc == RC_OK && count > 0 ? count - 1 : 0;
	x->looked_ms = rc == RC_OK && !p->stop ? clock_mono_ms() : 0;
	return rc;
}

/* --- a pass ---------------------------------------------------------------------------------- */

static enum rc open_index(struct audit_indexing *x)
{
	if (x->index && !audit_index_current(x->index, x->index_path))
		close_index(x);
	return x->index ? RC_OK : audit_index_open_write(x->index_path, &x->index);
}

/* Only when no file is being read again: its blocks would become spans one by one. */
static enum rc merge_all(struct pass *p)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK && !p->stop) {
		rc = audit_index_merge(p->x->index);
		if (rc == RC_OK && p->go_on)
			p->stop = !p->go_on(p->ctx, p->taken);
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc audit_indexing_pass(struct audit_indexing *x, int64_t durable, bool all,
	bool (*go_on)(void *ctx, int64_t seq), void *ctx)
{
	struct pass p = {.x = x, .durable = durable, .all = all, .go_on = go_on, .ctx = ctx};
	enum rc rc;

	if (audit_log_open(x->log_path, &p.log) != RC_OK) {
		log_err("cannot read the audit log %s: %s", x->log_path, strerror(errno));
		return RC_UNAVAILABLE;
	}
	rc = open_index(x);
	if (rc == RC_OK && (x->looked_ms == 0 || clock_mono_ms() - x->looked_ms >= LOOK_MS))
		rc = look_back(&p);
	if (rc == RC_OK)
		rc = take_new(&p);
	if (rc == RC_OK && p.taken > 0)
		rc = merge_all(&p);
	audit_log_close(p.log);
	if (rc == RC_INVALID) {
		log_warn("the audit index %s is made anew", x->index_path);
		close_index(x);
		audit_index_remove(x->index_path);
	}
	return rc == RC_OK ? RC_OK : RC_UNAVAILABLE;
}
