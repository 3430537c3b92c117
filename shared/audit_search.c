#include "shared/audit_search.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/audit_index.h"
#include "shared/audit_log.h"
#include "shared/audit_words.h"
#include "shared/log.h"
#include "shared/mem.h"

/* Newest first, what the index does not have yet is gathered before it is given: this much of it,
 * which is several times what the indexer leaves. */
#define TAIL_ROWS ((size_t)8 * AUDIT_BLOCK_ROWS)
/* With so many tenants in scope it is cheaper to look at all the tenants of a span. */
#define SCOPE_SEEKS 8
#define ASKED_MAX (5 + AUDIT_FILTER_TERMS_MAX)

struct hashed_tenant {
	uint32_t word;
	int64_t since_ms;
};

struct run {
	const struct audit_search *s;
	struct audit_log *log;
	struct audit_index *index; /* NULL: there is none */
	audit_found_fn found;
	void *ctx;
	int64_t lines; /* read so far */
	int64_t seq; /* of the row looked at last */
	bool enough; /* the caller's word */
	bool spent; /* lines_max is reached */

	uint32_t asked[ASKED_MAX];
	int asked_count;
	struct hashed_tenant *scope; /* by word */
	size_t scope_count;
	int64_t span_max_ms;
	struct audit_set *rows, *one; /* of a span */
	struct audit_row_place *places; /* of a block */
};

static bool over(const struct run *r)
{
	return r->enough || r->spent;
}

static bool read_one(struct run *r)
{
	r->spent = r->s->lines_max > 0 && r->lines >= r->s->lines_max;
	r->lines += !r->spent;
	return !r->spent;
}

/* --- what is asked for, as hashes ---------------------------------------------------------- */

static int by_word(const void *a, const void *b)
{
	const struct hashed_tenant *x = a, *y = b;

	return (x->word > y->word) - (x->word < y->word);
}

static void ask(struct run *r, enum audit_word_kind kind, const char *word, size_t len)
{
	if (len > 0)
		r->asked[r->asked_count++] = audit_word_hash(kind, word, len);
}

static void ask_all(struct run *r)
{
	const struct audit_filter *f = r->s->filter;

	/* The rarest first, as a rule: an empty set ends a span early. */
	for (int i = 0; i < f->term_count; i++)
		ask(r, AUDIT_WORD_TEXT, f->text + f->term[i].at, f->term[i].len);
	ask(r, AUDIT_WORD_ACTOR, f->actor, strlen(f->actor));
	ask(r, AUDIT_WORD_TENANT, f->tenant, strlen(f->tenant));
	ask(r, AUDIT_WORD_TOOL, f->tool, strlen(f->tool));
	ask(r, AUDIT_WORD_OUTCOME, f->outcome, strlen(f->outcome));
	ask(r, AUDIT_WORD_EVENT, f->event, strlen(f->event));
	if (!f->scope)
		return;
	r->scope_count = f->scope->count;
	r->scope = xcalloc(r->scope_count + 1, sizeof(*r->scope));
	for (size_t i = 0; i < r->scope_count; i++) {
		const struct audit_scope_tenant *t = &f->scope->tenants[i];

		r->scope[i] = (struct hashed_tenant){
			audit_word_hash(AUDIT_WORD_TENANT, t->id, strlen(t->id)), t->since_ms};
	}
	if (r->scope_count > 1)
		qsort(r->scope, r->scope_count, sizeof(*r->scope), by_word);
}

/* --- which rows of a span ------------------------------------------------------------------ */

static bool in_scope(void *ctx, uint32_t word)
{
	const struct run *r = ctx;
	const struct hashed_tenant key = {.word = word};
	const struct hashed_tenant *t =
		bsearch(&key, r->scope, r->scope_count, sizeof(*r->scope), by_word);

	return t && t->since_ms <= r->span_max_ms;
}

static enum rc scope_rows(struct run *r, const struct audit_index_span *span, struct audit_set *s)
{
	enum rc rc = RC_OK;

	r->span_max_ms = span->max_ms;
	if (r->scope_count > SCOPE_SEEKS)
		return audit_index_rows_where(r->index, span, AUDIT_WORD_TENANT, in_scope, r, s);
	for (size_t i = 0; rc == RC_OK && i < r->scope_count; i++)
		if (r->scope[i].since_ms <= span->max_ms)
			rc = audit_index_rows(r->index, span, r->scope[i].word, s);
	return rc;
}

/* What the filter's times leave of something from min to max. */
static bool in_time(const struct run *r, int64_t min_ms, int64_t max_ms)
{
	const struct audit_filter *f = r->s->filter;

	return max_ms >= f->since_ms && (f->until_ms == 0 || min_ms < f->until_ms);
}

/* The rows that the index thinks match, in r->rows; *any says whether there are some. */
static enum rc candidates(struct run *r, const struct audit_index_span *span, bool *any)
{
	size_t rows = (size_t)(span->last - span->first + 1);
	enum rc rc = RC_OK;

	*any = in_time(r, span->min_ms, span->max_ms);
	if (*any)
		audit_set_fill(r->rows, rows);
	for (int i = 0; rc == RC_OK && *any && i < r->asked_count; i++) {
		audit_set_clear(r->one, rows);
		rc = audit_index_rows(r->index, span, r->asked[i], r->one);
		audit_set_and(r->rows, r->one);
		*any = audit_set_any(r->rows, 0, rows);
	}
	if (rc != RC_OK || !*any || !r->s->filter->scope)
		return rc;
	audit_set_clear(r->one, rows);
	rc = scope_rows(r, span, r->one);
	audit_set_and(r->rows, r->one);
	*any = audit_set_any(r->rows, 0, rows);
	return rc;
}

/* --- giving them ----------------------------------------------------------------------------- */

/* Gives the row when its line is there and is one. */
static enum rc give(struct run *r, struct audit_place at, size_t len, int64_t seq)
{
	const char *line;
	enum rc rc;

	if (!read_one(r))
		return RC_OK;
	rc = audit_log_line(r->log, at, len, seq, &line);
	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc == RC_OK && audit_filter_match(r->s->filter, line, len))
		r->enough = !r->found(r->ctx, seq, line, len);
	return rc;
}

static bool after_from(const struct run *r, int64_t seq)
{
	const struct audit_search *s = r->s;

	if (s->oldest_first)
		return seq > s->from;
	return s->from == 0 || seq < s->from;
}

/* base: where the block's rows begin in r->rows. */
static enum rc give_block(struct run *r, const struct audit_index_block *b, size_t base)
{
	size_t count = (size_t)(b->last - b->first + 1);
	enum rc rc;

	if (!in_time(r, b->min_ms, b->max_ms) || !audit_set_any(r->rows, base, count))
		return RC_OK;
	rc = audit_index_places(r->index, b, r->places);
	for (size_t i = 0; rc == RC_OK && i < count && !over(r); i++) {
		size_t row = r->s->oldest_first ? i : count - 1 - i;
		const struct audit_row_place *p = &r->places[row];
		int64_t seq = b->first + (int64_t)row;

		if (!audit_set_has(r->rows, base + row) || !after_from(r, seq) ||
			seq > r->s->durable || !in_time(r, p->wall_ms, p->wall_ms))
			continue;
		rc = give(r, (struct audit_place){b->at.segment, p->offset}, p->len, seq);
		if (!r->spent)
			r->seq = seq;
	}
	return rc;
}

/* The blocks of a span from r->seq on, in the direction that is asked for. */
static enum rc give_span(struct run *r, const struct audit_index_span *span)
{
	bool up = r->s->oldest_first;
	struct audit_index_block b;
	enum rc rc = RC_OK;

	if (up && r->seq < span->first - 1)
		r->seq = span->first - 1;
	else if (!up && r->seq > span->last)
		r->seq = span->last + 1;
	while (rc == RC_OK && !over(r) && (up ? r->seq < span->last : r->seq > span->first)) {
		rc = up ? audit_index_after(r->index, r->seq, &b)
			: audit_index_before(r->index, r->seq, &b);
		if (rc == RC_OK && (b.first < span->first || b.last > span->last))
			rc = RC_INVALID;
		if (rc == RC_OK)
			rc = give_block(r, &b, (size_t)(b.first - span->first));
		if (rc == RC_OK && !over(r))
			r->seq = up ? b.last : b.first;
	}
	return rc;
}

/* All spans from r->seq on. */
static enum rc give_spans(struct run *r)
{
	bool up = r->s->oldest_first, any = false;
	struct audit_index_span span;
	enum rc rc = RC_OK;

	while (rc == RC_OK && !over(r)) {
		rc = up ? audit_index_span_after(r->index, r->seq, &span)
			: audit_index_span_before(r->index, r->seq, &span);
		if (rc == RC_OK)
			rc = candidates(r, &span, &any);
		if (rc == RC_OK && any)
			rc = give_span(r, &span);
		if (rc == RC_OK && !over(r))
			r->seq = up ? span.last : span.first;
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* --- what is not in the index yet ----------------------------------------------------------- */

struct spot {
	struct audit_place at;
	size_t len;
	int64_t seq;
};

struct tail {
	struct spot *spots; /* lines that may match, oldest first */
	size_t count, cap;
	int64_t behind;
};

/* Where the index ends; without one, where the log begins. */
static enum rc tail_seek(struct run *r, int64_t *indexed)
{
	struct audit_index_block last;
	struct audit_place at = {0};
	enum rc rc = r->index ? audit_index_last(r->index, &last) : RC_NOTFOUND;

	*indexed = rc == RC_OK ? last.last : 0;
	if (rc == RC_OK && (rc = audit_log_seek(r->log, last.end)) != RC_NOTFOUND)
		return rc;
	if (rc != RC_NOTFOUND)
		return rc;
	/* The file that the index ends in may be gone. */
	rc = audit_log_segment_of(r->log, *indexed + 1, &at.segment);
	if (rc == RC_NOTFOUND)
		at.segment = audit_log_oldest(r->log);
	return audit_log_seek(r->log, at);
}

static void note(struct tail *t, const struct audit_line *line)
{
	if (t->count == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 256;
		t->spots = xrealloc(t->spots, t->cap * sizeof(*t->spots));
	}
	t->spots[t->count++] = (struct spot){line->at, line->len, line->seq};
}

/* Forward, since lines can't be found from behind, and remembered; the few that are given are
 * looked at closely. */
static enum rc gather(struct run *r, struct tail *t)
{
	struct audit_line line = {0};
	size_t lines = 0;
	int64_t indexed;
	enum rc rc = tail_seek(r, &indexed);

	while (rc == RC_OK && (rc = audit_log_next(r->log, &line)) == RC_OK) {
		if (line.seq > r->s->durable || !after_from(r, line.seq))
			break;
		if (lines++ == TAIL_ROWS) {
			t->behind = r->s->durable < INT64_MAX ? r->s->durable - line.seq + 1 : 1;
			break;
		}
		if (line.seq > indexed && audit_filter_may(r->s->filter, line.text, line.len))
			note(t, &line);
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc newest_first(struct run *r, struct audit_search_end *end)
{
	struct audit_index_block last;
	struct tail t = {0};
	enum rc rc = r->index ? audit_index_last(r->index, &last) : RC_NOTFOUND;

	r->seq = r->s->from > 0 ? r->s->from : INT64_MAX;
	if (rc == RC_NOTFOUND || (rc == RC_OK && r->seq > last.last + 1))
		rc = gather(r, &t);
	for (size_t i = t.count; rc == RC_OK && i > 0 && !over(r); i--) {
		rc = give(r, t.spots[i - 1].at, t.spots[i - 1].len, t.spots[i - 1].seq);
		if (!r->spent)
			r->seq = t.spots[i - 1].seq;
	}
	free(t.spots);
	end->behind = t.behind;
	if (rc == RC_OK && r->index && !over(r))
		rc = give_spans(r);
	return rc;
}

static enum rc oldest_first(struct run *r)
{
	struct audit_line line;
	int64_t indexed;
	enum rc rc = RC_OK;

	r->seq = r->s->from;
	if (r->index)
		rc = give_spans(r);
	if (rc == RC_OK && !over(r))
		rc = tail_seek(r, &indexed);
	while (rc == RC_OK && !over(r) && (rc = audit_log_next(r->log, &line)) == RC_OK) {
		if (line.seq > r->s->durable)
			break;
		if (line.seq <= r->seq || !read_one(r))
			continue;
		r->seq = line.seq;
		if (audit_filter_match(r->s->filter, line.text, line.len))
			r->enough = !r->found(r->ctx, line.seq, line.text, line.len);
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* --- all of it ------------------------------------------------------------------------------ */

static enum rc run_open(struct run *r)
{
	enum rc rc = audit_index_open(r->s->index_path, &r->index);

	if (rc != RC_OK && rc != RC_NOTFOUND)
		return rc;
	if (audit_log_open(r->s->log_path, &r->log) == RC_OK)
		return RC_OK;
	log_err("cannot read the audit log %s: %s", r->s->log_path, strerror(errno));
	return RC_UNAVAILABLE;
}

static void run_close(struct run *r)
{
	audit_index_close(r->index);
	audit_log_close(r->log);
	free(r->rows);
	free(r->one);
	free(r->places);
	free(r->scope);
}

enum rc audit_search(
	const struct audit_search *s, audit_found_fn found, void *ctx, struct audit_search_end *end)
{
	struct run r = {.s = s, .found = found, .ctx = ctx};
	struct audit_search_end got = {0};
	enum rc rc = run_open(&r);

	if (rc == RC_OK) {
		r.rows = xmalloc(sizeof(*r.rows));
		r.one = xmalloc(sizeof(*r.one));
		r.places = xcalloc(AUDIT_BLOCK_ROWS, sizeof(*r.places));
		ask_all(&r);
		rc = s->oldest_first ? oldest_first(&r) : newest_first(&r, &got);
	}
	if (rc == RC_OK && over(&r))
		got.next = r.seq;
	if (rc != RC_OK && rc != RC_INTERNAL)
		log_err("a search of the audit log failed: %s", rc_name(rc));
	run_close(&r);
	if (rc == RC_OK)
		*end = got;
	return rc == RC_OK ? RC_OK : RC_UNAVAILABLE;
}

enum rc audit_search_seek(struct audit_log *log, const char *index_path, int64_t seq)
{
	struct audit_index_block b;
	struct audit_place at = {0};
	struct audit_index *ix = NULL;
	enum rc rc = audit_index_open(index_path, &ix);

	if (rc == RC_OK)
		rc = audit_index_before(ix, seq + 1, &b);
	if (rc == RC_OK)
		rc = audit_log_seek(log, b.last < seq ? b.end : b.at);
	audit_index_close(ix);
	if (rc == RC_OK)
		return RC_OK;
	if (audit_log_segment_of(log, seq, &at.segment) != RC_OK)
		at.segment = audit_log_oldest(log);
	return audit_log_seek(log, at);
}
