/* What changes the index: blocks come, become spans together, and go. */
#include <stdlib.h>
#include <string.h>

#include "shared/audit_index_internal.h"
#include "shared/mem.h"

/* A longer set is kept apart, so that whoever looks for another word need not read it. */
#define SET_MAX 512
#define SET_BYTES_MAX (2 + AUDIT_SPAN_ROWS)
#define BUCKET_BYTES_MAX ((size_t)64 << 20)

/* --- the words of a span --------------------------------------------------------------------- */

struct span_writer {
	struct audit_index *ix;
	int64_t first;
	bool merged;
	size_t rows, apart; /* so many sets are kept apart */
	unsigned bucket; /* the one that is being filled */
	struct buf words, set;
	uint32_t last;
};

static struct span_writer span_begin(
	struct audit_index *ix, int64_t first, size_t rows, bool merged)
{
	struct span_writer w = {.ix = ix, .first = first, .rows = rows, .merged = merged};

	buf_init(&w.words, BUCKET_BYTES_MAX);
	buf_init(&w.set, SET_BYTES_MAX);
	return w;
}

static void span_free(struct span_writer *w)
{
	buf_free(&w->words);
	buf_free(&w->set);
}

static enum rc end_bucket(struct span_writer *w)
{
	int64_t key = audit_index_bucket_key(w->first, w->merged, w->bucket);
	enum rc rc = RC_OK;

	if (w->words.failed || w->set.failed)
		return RC_UNAVAILABLE;
	if (w->words.len > 0)
		rc = audit_index_do(w->ix, AUDIT_INDEX_ADD_BUCKET, &key, 1, &w->words);
	buf_reset(&w->words);
	w->last = 0;
	return rc;
}

/* Words ascending. */
static enum rc span_put(void *ctx, uint32_t word, const uint32_t *rows, size_t count)
{
	struct span_writer *w = ctx;
	struct audit_bucket_entry e = {.word = word};
	enum rc rc = RC_OK;

	if (audit_bucket_of(word) != w->bucket)
		rc = end_bucket(w);
	w->bucket = audit_bucket_of(word);
	buf_reset(&w->set);
	audit_set_spell(&w->set, rows, count, w->rows);
	e.set = w->set.data;
	e.len = w->set.len;
	if (rc == RC_OK && w->set.len > SET_MAX && w->apart < w->rows) {
		int64_t key = audit_index_apart_key(w->first, w->merged, w->apart);

		e = (struct audit_bucket_entry){.word = word, .apart = true, .len = w->apart++};
		rc = audit_index_do(w->ix, AUDIT_INDEX_ADD_APART, &key, 1, &w->set);
	}
	audit_bucket_put(&w->words, &w->last, &e);
	return rc;
}

/* --- one block more ----------------------------------------------------------------------------
 */

static enum rc put_block(struct audit_index *ix, const struct audit_block *b)
{
	int64_t last = b->first + (int64_t)b->rows - 1;
	const int64_t numbers[] = {b->first, last, b->at.segment, b->at.offset, b->end.offset,
		b->min_ms, b->max_ms, (int64_t)b->mark, b->last_offset};
	const int64_t span[] = {b->first, last, b->min_ms, b->max_ms, 0};
	enum rc rc = audit_index_do(ix, AUDIT_INDEX_ADD, numbers, 9, NULL);

	if (rc == RC_OK)
		rc = audit_index_do(ix, AUDIT_INDEX_ADD_PLACES, numbers, 1, &b->places);
	return rc == RC_OK ? audit_index_do(ix, AUDIT_INDEX_ADD_SPAN, span, 5, NULL) : rc;
}

enum rc audit_index_add(struct audit_index *ix, struct audit_block *b)
{
	struct span_writer w = span_begin(ix, b->first, b->rows, false);
	struct audit_index_block before = {0};
	enum rc rc = audit_index_run(ix, "BEGIN IMMEDIATE");

	if (rc != RC_OK)
		return rc;
	rc = audit_index_before(ix, b->first + (int64_t)b->rows, &before);
	if (rc == RC_OK && before.last >= b->first)
		rc = RC_CONFLICT;
	else if (rc == RC_OK || rc == RC_NOTFOUND)
		rc = put_block(ix, b);
	if (rc == RC_OK)
		rc = audit_block_words(b, span_put, &w);
	if (rc == RC_OK)
		rc = end_bucket(&w);
	span_free(&w);
	return audit_index_end(ix, rc);
}

/* --- many spans, one span -------------------------------------------------------------------- */

struct run {
	struct audit_index_span span[AUDIT_SPAN_BLOCKS];
	size_t count;
	bool closed; /* no more can come to it */
};

/* The spans of one block each from row seq on that stand together. A newest one stays as it is: its
 * rows may yet turn out to be lost. */
static enum rc collect(struct audit_index *ix, int64_t seq, struct run *r)
{
	struct audit_index_span s;
	enum rc rc = audit_index_get_span(ix, AUDIT_INDEX_FRESH, seq, &s);

	*r = (struct run){0};
	while (rc == RC_OK && r->count < AUDIT_SPAN_BLOCKS && !s.merged &&
		(r->count == 0 || s.first == r->span[r->count - 1].last + 1)) {
		r->span[r->count++] = s;
		rc = audit_index_span_after(ix, s.last, &s);
	}
	r->closed = rc == RC_OK;
	return rc == RC_NOTFOUND && r->count > 0 ? RC_OK : rc;
}

/* One word in the bucket of one of them. */
struct part {
	struct audit_bucket_entry e;
	uint32_t base;
	size_t rows;
	int64_t first;
};

struct merging {
	struct span_writer to;
	const struct run *run;
	struct buf bytes, set;
	struct part *parts;
	size_t count, cap;
	uint32_t *rows;
};

static int by_word(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	if (x->e.word != y->e.word)
		return (x->e.word > y->e.word) - (x->e.word < y->e.word);
	return (x->base > y->base) - (x->base < y->base);
}

static enum rc take_bucket(
	struct merging *m, const uint8_t *bytes, size_t len, const struct audit_index_span *s)
{
	struct audit_bucket_walk w = audit_bucket_walk(bytes, len);
	struct part p = {.base = (uint32_t)(s->first - m->to.first),
		.rows = (size_t)(s->last - s->first + 1),
		.first = s->first};

	while (audit_bucket_next(&w, &p.e)) {
		if (m->count == m->cap) {
			m->cap = m->cap ? 2 * m->cap : 4096;
			m->parts = xrealloc(m->parts, m->cap * sizeof(*m->parts));
		}
		m->parts[m->count++] = p;
	}
	return w.wrong ? RC_INVALID : RC_OK;
}

/* The parts of one word become one set. */
static enum rc join(struct merging *m, size_t from, size_t to)
{
	size_t count = 0;
	enum rc rc = RC_OK;

	for (size_t i = from; rc == RC_OK && i < to; i++) {
		const struct part *p = &m->parts[i];
		const uint8_t *set = p->e.set;
		size_t len = p->e.len;

		if (p->e.apart) {
			buf_reset(&m->set);
			rc = audit_index_get_bytes(m->to.ix, AUDIT_INDEX_APART,
				audit_index_apart_key(p->first, false, p->e.len), &m->set);
			set = m->set.data;
			len = m->set.len;
			if (rc == RC_OK && (len == 0 || m->set.failed))
				rc = RC_INVALID;
		}
		if (rc == RC_OK)
			rc = audit_set_rows(
				set, len, p->rows, p->base, m->rows, &count, m->to.rows);
	}
	return rc == RC_OK ? span_put(&m->to, m->parts[from].e.word, m->rows, count) : rc;
}

static enum rc merge_bucket(struct merging *m, unsigned bucket)
{
	size_t end[AUDIT_SPAN_BLOCKS] = {0}, at = 0;
	enum rc rc = RC_OK;

	buf_reset(&m->bytes);
	m->count = 0;
	for (size_t i = 0; rc == RC_OK && i < m->run->count; i++) {
		rc = audit_index_get_bytes(m->to.ix, AUDIT_INDEX_BUCKET,
			audit_index_bucket_key(m->run->span[i].first, false, bucket), &m->bytes);
		end[i] = m->bytes.len;
	}
	if (m->bytes.failed)
		rc = RC_UNAVAILABLE;
	/* Only now: the bytes have moved while they grew. */
	for (size_t i = 0; rc == RC_OK && i < m->run->count; at = end[i++])
		if (end[i] > at)
			rc = take_bucket(m, m->bytes.data + at, end[i] - at, &m->run->span[i]);
	if (m->count > 1)
		qsort(m->parts, m->count, sizeof(*m->parts), by_word);
	for (size_t i = 0, next; rc == RC_OK && i < m->count; i = next) {
		for (next = i + 1; next < m->count && m->parts[next].e.word == m->parts[i].e.word;)
			next++;
		rc = join(m, i, next);
	}
	return rc;
}

static enum rc forget_range(
	struct audit_index *ix, enum audit_index_query q, int64_t from, int64_t to)
{
	const int64_t numbers[] = {from, to};

	return audit_index_do(ix, q, numbers, 2, NULL);
}

static enum rc forget_words(struct audit_index *ix, int64_t first, int64_t last)
{
	enum rc rc = forget_range(ix, AUDIT_INDEX_FORGET_SPANS, first, last);

	if (rc == RC_OK)
		rc = forget_range(ix, AUDIT_INDEX_FORGET_BUCKETS,
			audit_index_bucket_key(first, false, 0),
			audit_index_bucket_key(last + 1, false, 0) - 1);
	return rc == RC_OK
		? forget_range(ix, AUDIT_INDEX_FORGET_APART, audit_index_apart_key(first, false, 0),
			  audit_index_apart_key(last, true, 0))
		: rc;
}

/* What the one span takes the place of. */
static enum rc forget_parts(struct audit_index *ix, const struct run *r)
{
	int64_t first = r->span[0].first, last = r->span[r->count - 1].last;
	enum rc rc = forget_range(ix, AUDIT_INDEX_FORGET_SPANS, first, last);

	for (size_t i = 0; rc == RC_OK && i < r->count; i++)
		rc = forget_range(ix, AUDIT_INDEX_FORGET_BUCKETS,
			audit_index_bucket_key(r->span[i].first, false, 0),
			audit_index_bucket_key(r->span[i].first, true, 0) - 1);
	return rc == RC_OK ? forget_range(ix, AUDIT_INDEX_FORGET_FRESH_APART, 2 * first, 2 * last)
			   : rc;
}

static enum rc put_span(struct audit_index *ix, const struct run *r)
{
	int64_t numbers[] = {r->span[0].first, r->span[r->count - 1].last, r->span[0].min_ms,
		r->span[0].max_ms, 1};

	for (size_t i = 1; i < r->count; i++) {
		numbers[2] = r->span[i].min_ms < numbers[2] ? r->span[i].min_ms : numbers[2];
		numbers[3] = r->span[i].max_ms > numbers[3] ? r->span[i].max_ms : numbers[3];
	}
	return audit_index_do(ix, AUDIT_INDEX_ADD_SPAN, numbers, 5, NULL);
}

static enum rc merge(struct audit_index *ix, const struct run *r)
{
	size_t rows = (size_t)(r->span[r->count - 1].last - r->span[0].first + 1);
	struct merging m = {.to = span_begin(ix, r->span[0].first, rows, true), .run = r};
	enum rc rc = rows <= AUDIT_SPAN_ROWS ? RC_OK : RC_INVALID;

	buf_init(&m.bytes, BUCKET_BYTES_MAX);
	buf_init(&m.set, SET_BYTES_MAX);
	m.rows = xmalloc(AUDIT_SPAN_ROWS * sizeof(*m.rows));
	for (unsigned bucket = 0; rc == RC_OK && bucket < AUDIT_BUCKETS; bucket++)
		rc = merge_bucket(&m, bucket);
	if (rc == RC_OK)
		rc = end_bucket(&m.to);
	if (rc == RC_OK)
		rc = forget_parts(ix, r);
	if (rc == RC_OK)
		rc = put_span(ix, r);
	span_free(&m.to);
	buf_free(&m.bytes);
	buf_free(&m.set);
	free(m.parts);
	free(m.rows);
	return rc;
}

enum rc audit_index_merge(struct audit_index *ix)
{
	struct run *r = xcalloc(1, sizeof(*r));
	bool found = false;
	int64_t seq = 0;
	enum rc rc = audit_index_run(ix, "BEGIN IMMEDIATE");

	while (rc == RC_OK && !found && (rc = collect(ix, seq, r)) == RC_OK) {
		/* All blocks that can come are there, and one behind them. */
		found = r->closed;
		seq = r->span[r->count - 1].last + 1;
	}
	if (rc == RC_OK)
		rc = merge(ix, r);
	free(r);
	return audit_index_end(ix, rc);
}

/* --- forgetting ------------------------------------------------------------------------------ */

/* Widened to whole spans. RC_NOTFOUND: there are none. */
static enum rc widen(
	struct audit_index *ix, int64_t *first, int64_t *last, struct audit_index_gone *gone)
{
	struct audit_index_span s;
	struct audit_index_block b;
	enum rc rc = audit_index_span_after(ix, *first - 1, &s);

	if (rc != RC_OK || s.first > *last)
		return rc == RC_OK ? RC_NOTFOUND : rc;
	*first = s.first;
	rc = audit_index_after(ix, s.first - 1, &b);
	if (rc == RC_OK)
		rc = audit_index_span_before(ix, *last < INT64_MAX ? *last + 1 : *last, &s);
	if (rc == RC_OK) {
		*last = s.last;
		*gone = (struct audit_index_gone){*first, s.last, b.at};
	}
	return rc;
}

enum rc audit_index_forget(
	struct audit_index *ix, int64_t first, int64_t last, struct audit_index_gone *gone)
{
	enum rc rc = audit_index_run(ix, "BEGIN IMMEDIATE");

	if (rc != RC_OK)
		return rc;
	rc = widen(ix, &first, &last, gone);
	if (rc == RC_OK)
		rc = forget_range(ix, AUDIT_INDEX_FORGET, first, last);
	if (rc == RC_OK)
		rc = forget_range(ix, AUDIT_INDEX_FORGET_PLACES, first, last);
	if (rc == RC_OK)
		rc = forget_words(ix, first, last);
	return audit_index_end(ix, rc);
}
