/* Searching an audit log, beside reading all of it: with an index of any age, over closed files,
 * after files were removed or rewritten, and with an index that is damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/audit_filter.h"
#include "shared/audit_form.h"
#include "shared/audit_index.h"
#include "shared/audit_indexing.h"
#include "shared/audit_search.h"
#include "shared/audit_segments.h"
#include "shared/audit_zst.h"
#include "shared/file.h"
#include "shared/log.h"
#include "shared/mem.h"

#define ROWS 11000
#define ROWS_MAX (ROWS + 1000)
#define START_MS INT64_C(1795467845000)
#define NO_HASH "0000000000000000000000000000000000000000000000000000000000000000"

struct world {
	char dir[32], path[64], index[PATH_MAX];
	struct audit_indexing *x;
	char *line[ROWS_MAX + 1]; /* by row; NULL: gone */
	int64_t rows;
	uint64_t random;
};

static uint64_t any(struct world *t, uint64_t below)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return t->random % below;
}

static void make_line(struct world *t, int64_t seq)
{
	struct audit_record r;
	struct buf b;

	audit_init(&r, any(t, 10) ? "tool.call" : "key.create");
	(void)snprintf(r.tenant_id, sizeof(r.tenant_id), "t_%d", (int)any(t, 12));
	(void)str_copy(r.actor_kind, sizeof(r.actor_kind), any(t, 3) ? "agent" : "session");
	(void)snprintf(r.actor_id, sizeof(r.actor_id), "actor-%d", (int)any(t, 30));
	(void)snprintf(r.tool, sizeof(r.tool), "tool%d", (int)any(t, 4));
	(void)str_copy(r.outcome, sizeof(r.outcome), any(t, 50) ? "ok" : "denied");
	(void)snprintf(r.request_id, sizeof(r.request_id), "req_%lld", (long long)seq);
	if (any(t, 20) == 0) {
		(void)str_copy(r.tenant_id, sizeof(r.tenant_id), "");
		(void)str_copy(r.change, sizeof(r.change), "{\"name\":\"Blue Moon\"}");
	}
	buf_init(&b, 8192);
	/* Clocks are set back now and then. */
	audit_line(&b, &r, seq, START_MS + seq * 100 - (int64_t)any(t, 500), NO_HASH);
	free(t->line[seq]);
	t->line[seq] = buf_steal(&b);
	assert_non_null(t->line[seq]);
}

/* Rows of one file. */
static void write_rows(struct world *t, const char *path, int64_t first, int64_t last)
{
	FILE *out = fopen(path, first == t->rows + 1 ? "a" : "w");

	assert_non_null(out);
	for (int64_t seq = first; seq <= last; seq++)
		(void)fprintf(out, "%s\n", t->line[seq]);
	assert_int_equal(fclose(out), 0);
}

static void append(struct world *t, int64_t count)
{
	for (int64_t seq = t->rows + 1; seq <= t->rows + count; seq++)
		make_line(t, seq);
	write_rows(t, t->path, t->rows + 1, t->rows + count);
	t->rows += count;
}

static void rotate(struct world *t, int64_t first, int64_t last)
{
	char segment[PATH_MAX];

	assert_int_equal(audit_segment_path(t->path, first, last, segment), RC_OK);
	assert_int_equal(rename(t->path, segment), 0);
}

static void pass(struct world *t, int64_t durable, bool all)
{
	assert_int_equal(audit_indexing_pass(t->x, durable, all, NULL, NULL), RC_OK);
}

static int setup(void **state)
{
	struct world *t = xcalloc(1, sizeof(*t));

	log_init("test", 2, LOG_FORMAT_TEXT);
	log_set_level(LOG_LEVEL_ERROR + 1);
	memcpy(t->dir, "/tmp/test_search.XXXXXX", sizeof("/tmp/test_search.XXXXXX"));
	assert_non_null(mkdtemp(t->dir));
	(void)snprintf(t->path, sizeof(t->path), "%s/audit.jsonl", t->dir);
	assert_int_equal(audit_index_path(t->path, "", t->index), RC_OK);
	t->random = 88172645463325252U;
	t->x = audit_indexing_new(t->path, t->index);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct world *t = *state;
	char command[64];

	audit_indexing_free(t->x);
	for (int64_t seq = 0; seq <= ROWS_MAX; seq++)
		free(t->line[seq]);
	(void)snprintf(command, sizeof(command), "rm -rf %s", t->dir);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a path of our own */
	free(t);
	return 0;
}

/* --- beside reading everything ------------------------------------------------------------- */

struct found {
	const struct world *t;
	int64_t seq[ROWS_MAX];
	int count, limit;
};

static bool take(void *ctx, int64_t seq, const char *line, size_t len)
{
	struct found *f = ctx;

	assert_int_equal(strlen(f->t->line[seq]), len);
	assert_memory_equal(f->t->line[seq], line, len);
	f->seq[f->count++] = seq;
	return f->limit == 0 || f->count % f->limit != 0;
}

/* In pages of limit rows, or all at once; each search may read lines_max lines. */
static void search(struct world *t, const struct audit_filter *filter, bool oldest, int limit,
	int64_t lines_max, int64_t durable, struct found *out)
{
	struct audit_search s = {t->path, t->index, filter, oldest, 0, durable, lines_max};
	struct audit_search_end end;

	*out = (struct found){.t = t, .limit = limit};
	do {
		assert_int_equal(audit_search(&s, take, out, &end), RC_OK);
		assert_int_equal(end.behind, 0);
		s.from = end.next;
	} while (end.next > 0);
}

static int expected(
	struct world *t, const struct audit_filter *filter, int64_t durable, int64_t *out)
{
	int count = 0;

	for (int64_t seq = 1; seq <= t->rows && seq <= durable; seq++)
		if (t->line[seq] && audit_filter_match(filter, t->line[seq], strlen(t->line[seq])))
			out[count++] = seq;
	return count;
}

static void same(struct world *t, const struct audit_filter *filter, int64_t durable)
{
	int64_t *want = xcalloc(ROWS_MAX, sizeof(*want));
	struct found *got = xcalloc(1, sizeof(*got));
	int count = expected(t, filter, durable, want);

	search(t, filter, true, 0, 0, durable, got);
	assert_int_equal(got->count, count);
	for (int i = 0; i < count; i++)
		assert_int_equal(got->seq[i], want[i]);
	search(t, filter, false, 0, 0, durable, got);
	assert_int_equal(got->count, count);
	for (int i = 0; i < count; i++)
		assert_int_equal(got->seq[i], want[count - 1 - i]);
	search(t, filter, false, 499, 0, durable, got);
	assert_int_equal(got->count, count);
	search(t, filter, true, 499, 0, durable, got);
	assert_int_equal(got->count, count);
	search(t, filter, false, 0, 2003, durable, got);
	assert_int_equal(got->count, count);
	for (int i = 0; i < count; i++)
		assert_int_equal(got->seq[i], want[count - 1 - i]);
	free(want);
	free(got);
}

static void questions(struct world *t, int64_t durable)
{
	struct audit_scope_tenant tenants[10];
	struct audit_scope scope = {tenants, 0};
	struct audit_filter f;

	for (int i = 0; i < 13; i++) {
		audit_filter_init(&f);
		if (i % 2)
			(void)snprintf(f.tenant, sizeof(f.tenant), "t_%d", (int)any(t, 13));
		if (i % 3 == 1)
			(void)snprintf(f.actor, sizeof(f.actor), "actor-%d", (int)any(t, 31));
		if (i % 5 == 1)
			(void)snprintf(f.tool, sizeof(f.tool), "tool%d", (int)any(t, 4));
		if (i % 4 == 3)
			(void)str_copy(f.outcome, sizeof(f.outcome), "denied");
		if (i % 7 == 2)
			(void)str_copy(f.event, sizeof(f.event), "key.*");
		if (i % 8 == 4)
			assert_int_equal(audit_filter_text(&f, "moon BLUE"), RC_OK);
		if (i % 6 == 5) {
			f.since_ms = START_MS + (int64_t)any(t, ROWS) * 100;
			f.until_ms = f.since_ms + (int64_t)any(t, ROWS) * 50;
		}
		if (i % 8 == 6) {
			scope.count = i % 3 ? 3 : 10;
			for (size_t k = 0; k < scope.count; k++) {
				(void)snprintf(tenants[k].id, sizeof(tenants[k].id), "t_%zu", k);
				tenants[k].since_ms =
					k % 2 ? START_MS + (int64_t)any(t, ROWS) * 100 : 0;
			}
			audit_scope_sort(&scope);
			f.scope = &scope;
		}
		same(t, &f, durable);
	}
	audit_filter_init(&f);
	assert_int_equal(audit_filter_text(&f, "req_77"), RC_OK);
	same(t, &f, durable);
}

/* --- the tests ------------------------------------------------------------------------------- */

static void without_index(void **state)
{
	struct world *t = *state;

	questions(t, INT64_MAX); /* there is no log even */
	append(t, 300);
	questions(t, INT64_MAX);
	rotate(t, 1, 300);
	append(t, 300);
	questions(t, INT64_MAX);
	questions(t, 450);
}

/* More than a block in one file, small files, and an end that is not indexed. */
static void with_index(void **state)
{
	struct world *t = *state;
	struct audit_index_block last;
	struct audit_index *ix;

	append(t, 9000);
	pass(t, INT64_MAX, false);
	assert_int_equal(audit_index_open(t->index, &ix), RC_OK);
	assert_int_equal(audit_index_last(ix, &last), RC_OK);
	assert_int_equal(last.last, AUDIT_BLOCK_ROWS);
	audit_index_close(ix);
	questions(t, INT64_MAX);
	rotate(t, 1, 9000);
	append(t, 500);
	pass(t, INT64_MAX, false);
	rotate(t, 9001, 9500);
	append(t, 700);
	questions(t, INT64_MAX); /* the index ends in the first file */
	pass(t, INT64_MAX, false);
	append(t, 100);
	questions(t, INT64_MAX);
	questions(t, 10250);
	pass(t, INT64_MAX, true);
	questions(t, INT64_MAX);
}

/* No more than is on disk is taken in, whatever the file holds. */
static void durable_only(void **state)
{
	struct world *t = *state;
	struct audit_index_block last;
	struct audit_index *ix;

	append(t, 400);
	pass(t, 250, true);
	assert_int_equal(audit_index_open(t->index, &ix), RC_OK);
	assert_int_equal(audit_index_last(ix, &last), RC_OK);
	assert_int_equal(last.last, 250);
	audit_index_close(ix);
	questions(t, INT64_MAX);
}

/* Another process, as after a restart, goes on where the index ends. */
static void goes_on_after_restart(void **state)
{
	struct world *t = *state;

	append(t, 300);
	rotate(t, 1, 300);
	append(t, 300);
	pass(t, INT64_MAX, false);
	audit_indexing_free(t->x);
	append(t, 100);
	t->x = audit_indexing_new(t->path, t->index);
	pass(t, INT64_MAX, true);
	questions(t, INT64_MAX);
}

static void removed_files(void **state)
{
	struct world *t = *state;
	char segment[PATH_MAX];

	for (int i = 0; i < 3; i++) {
		append(t, 300);
		rotate(t, (int64_t)i * 300 + 1, ((int64_t)i + 1) * 300);
	}
	append(t, 50);
	pass(t, INT64_MAX, true);
	assert_int_equal(audit_segment_path(t->path, 1, 300, segment), RC_OK);
	assert_int_equal(unlink(segment), 0);
	for (int64_t seq = 1; seq <= 300; seq++) {
		free(t->line[seq]);
		t->line[seq] = NULL;
	}
	questions(t, INT64_MAX); /* rows that are no longer there are not given */
	audit_indexing_free(t->x);
	t->x = audit_indexing_new(t->path, t->index);
	pass(t, INT64_MAX, true);
	questions(t, INT64_MAX);
}

/* What stands before the first row of such a file is no row. */
static void put_seal(const char *segment)
{
	struct audit_seal seal = {.first = 301, .last = 600, .count = 100};
	struct crypto_identity id;
	struct buf b;
	char *bytes;
	size_t len;

	crypto_init();
	crypto_identity_new(&id);
	memcpy(seal.ts, "2026-11-24T00:00:00.000Z", sizeof(seal.ts));
	assert_int_equal(file_read(segment, (size_t)64 << 20, &bytes, &len), RC_OK);
	buf_init(&b, SIZE_MAX);
	audit_seal_line(&b, &id, &seal);
	buf_char(&b, '\n');
	buf_add(&b, bytes, len);
	assert_int_equal(file_write_atomic(segment, b.data, b.len, 0600), RC_OK);
	buf_free(&b);
	free(bytes);
}

/* As when rows of a tenant expire: other lines stand in their place, and all places change. */
static void rewritten_files(void **state)
{
	struct world *t = *state;
	char segment[PATH_MAX];

	for (int i = 0; i < 3; i++) {
		append(t, 300);
		rotate(t, (int64_t)i * 300 + 1, ((int64_t)i + 1) * 300);
	}
	append(t, 50);
	pass(t, INT64_MAX, true);
	for (int64_t seq = 301; seq <= 600; seq += 3) {
		free(t->line[seq]);
		assert_true(
			asprintf(&t->line[seq],
				"{\"v\":1,\"seq\":%lld,\"event\":\"expired\",\"hash\":\"" NO_HASH
				"\",\"prev\":\"" NO_HASH "\"}",
				(long long)seq) > 0);
	}
	assert_int_equal(audit_segment_path(t->path, 301, 600, segment), RC_OK);
	write_rows(t, segment, 301, 600);
	put_seal(segment);
	audit_indexing_free(t->x);
	t->x = audit_indexing_new(t->path, t->index);
	pass(t, INT64_MAX, true);
	questions(t, INT64_MAX);
}

/* Closed files are compressed at any time, and nothing has to be indexed anew for it. */
static void compress(struct world *t, int64_t first, int64_t last)
{
	char plain[PATH_MAX], packed[PATH_MAX + 8];
	struct audit_zst_writer *w;
	char *bytes;
	size_t len;
	int fd;

	assert_int_equal(audit_segment_path(t->path, first, last, plain), RC_OK);
	(void)snprintf(packed, sizeof(packed), "%s.zst", plain);
	assert_int_equal(file_read(plain, (size_t)64 << 20, &bytes, &len), RC_OK);
	fd = open(packed, O_RDWR | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	w = audit_zst_writer_new(fd, 3);
	assert_int_equal(audit_zst_write(w, bytes, len), RC_OK);
	assert_int_equal(audit_zst_end(w), RC_OK);
	audit_zst_writer_free(w);
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(plain), 0);
	free(bytes);
}

static void compressed_files(void **state)
{
	struct world *t = *state;

	append(t, 9000); /* several mebibytes: more than one frame */
	pass(t, INT64_MAX, true);
	rotate(t, 1, 9000);
	append(t, 300);
	compress(t, 1, 9000);
	questions(t, INT64_MAX);
	rotate(t, 9001, 9300);
	compress(t, 9001, 9300);
	append(t, 300);
	pass(t, INT64_MAX, true);
	questions(t, INT64_MAX);
	audit_index_remove(t->index);
	questions(t, INT64_MAX);
	audit_indexing_free(t->x);
	t->x = audit_indexing_new(t->path, t->index);
	pass(t, INT64_MAX, true);
	questions(t, INT64_MAX);
}

/* A crash can take rows that the index has (audit.fsync: interval), and others come in their place.
 */
static void lost_end(void **state)
{
	struct world *t = *state;
	off_t keep = 0;

	append(t, 600);
	pass(t, INT64_MAX, true);
	for (int64_t seq = 1; seq <= 500; seq++)
		keep += (off_t)strlen(t->line[seq]) + 1;
	assert_int_equal(truncate(t->path, keep), 0);
	t->rows = 500;
	audit_indexing_free(t->x);
	t->x = audit_indexing_new(t->path, t->index);
	append(t, 200);
	pass(t, INT64_MAX, true);
	questions(t, INT64_MAX);
}

/* What killed an indexing in the middle of a file left a gap. */
static void gaps_are_closed(void **state)
{
	struct world *t = *state;
	struct audit_index_gone gone;
	struct audit_index *ix;

	for (int i = 0; i < 3; i++) {
		append(t, 300);
		rotate(t, (int64_t)i * 300 + 1, ((int64_t)i + 1) * 300);
	}
	pass(t, INT64_MAX, true);
	assert_int_equal(audit_index_open_write(t->index, &ix), RC_OK);
	assert_int_equal(audit_index_forget(ix, 302, 599, &gone), RC_OK);
	assert_int_equal(gone.first, 301); /* whole ones */
	assert_int_equal(gone.last, 600);
	assert_int_equal(gone.at.segment, 301);
	assert_int_equal(audit_index_forget(ix, 302, 599, &gone), RC_NOTFOUND);
	audit_index_close(ix);
	audit_indexing_free(t->x);
	t->x = audit_indexing_new(t->path, t->index);
	pass(t, INT64_MAX, true);
	questions(t, INT64_MAX);
}

/* --- spans of many blocks ------------------------------------------------------------------ */

static void spans_are(struct world *t, int merged, int fresh)
{
	struct audit_index_span s;
	struct audit_index *ix;
	int64_t seq = 0;

	assert_int_equal(audit_index_open(t->index, &ix), RC_OK);
	for (; audit_index_span_after(ix, seq, &s) == RC_OK; seq = s.last) {
		merged -= s.merged;
		fresh -= !s.merged;
	}
	audit_index_close(ix);
	assert_int_equal(merged, 0);
	assert_int_equal(fresh, 0);
}

static void many_files(struct world *t, int64_t count, int64_t rows)
{
	for (int64_t i = 0; i < count; i++) {
		append(t, rows);
		rotate(t, t->rows - rows + 1, t->rows);
	}
}

static void anew(struct world *t)
{
	audit_indexing_free(t->x);
	t->x = audit_indexing_new(t->path, t->index);
	pass(t, INT64_MAX, true);
}

static void blocks_become_spans(void **state)
{
	struct world *t = *state;

	many_files(t, 64, 20);
	pass(t, INT64_MAX, true);
	spans_are(t, 0, 64); /* the newest may yet be lost */
	many_files(t, 86, 20);
	pass(t, INT64_MAX, true);
	spans_are(t, 2, 22);
	questions(t, INT64_MAX);
	questions(t, 1500);
	append(t, 300);
	questions(t, INT64_MAX);
	/* As without any merging, and once more from the start. */
	audit_index_remove(t->index);
	anew(t);
	spans_are(t, 2, 23);
	questions(t, INT64_MAX);
}

/* What is in one span with a file that was rewritten is read again with it. */
static void rewritten_in_a_span(void **state)
{
	struct world *t = *state;
	char segment[PATH_MAX];

	many_files(t, 150, 20);
	pass(t, INT64_MAX, true);
	spans_are(t, 2, 22);
	for (int64_t seq = 401; seq <= 420; seq += 3) {
		free(t->line[seq]);
		assert_true(
			asprintf(&t->line[seq],
				"{\"v\":1,\"seq\":%lld,\"event\":\"expired\",\"hash\":\"" NO_HASH
				"\",\"prev\":\"" NO_HASH "\"}",
				(long long)seq) > 0);
	}
	assert_int_equal(audit_segment_path(t->path, 401, 420, segment), RC_OK);
	write_rows(t, segment, 401, 420);
	anew(t);
	spans_are(t, 2, 22);
	questions(t, INT64_MAX);
}

/* A span goes when all of its rows are gone, and one that is half gone answers for what is left. */
static void removed_from_a_span(void **state)
{
	struct world *t = *state;
	char segment[PATH_MAX];

	many_files(t, 150, 20);
	pass(t, INT64_MAX, true);
	for (int64_t i = 0; i < 100; i++) {
		assert_int_equal(
			audit_segment_path(t->path, i * 20 + 1, i * 20 + 20, segment), RC_OK);
		assert_int_equal(unlink(segment), 0);
		for (int64_t seq = i * 20 + 1; seq <= i * 20 + 20; seq++) {
			free(t->line[seq]);
			t->line[seq] = NULL;
		}
	}
	questions(t, INT64_MAX);
	anew(t);
	spans_are(t, 1, 22);
	questions(t, INT64_MAX);
}

struct removing {
	struct found found;
	char segment[PATH_MAX];
};

static bool take_and_remove(void *ctx, int64_t seq, const char *line, size_t len)
{
	struct removing *r = ctx;

	if (r->found.count == 0)
		assert_int_equal(unlink(r->segment), 0);
	return take(&r->found, seq, line, len);
}

/* Files that are deleted while a search reads those before them: what comes behind them is given.
 */
static void removed_amidst_a_search(void **state)
{
	struct world *t = *state;
	struct removing *r = xcalloc(1, sizeof(*r));
	struct audit_filter all;
	struct audit_search s = {t->path, t->index, &all, true, 0, INT64_MAX, 0};
	struct audit_search_end end;

	many_files(t, 5, 20);
	audit_filter_init(&all);
	r->found.t = t;
	assert_int_equal(audit_segment_path(t->path, 21, 40, r->segment), RC_OK);
	assert_int_equal(audit_search(&s, take_and_remove, r, &end), RC_OK);
	assert_int_equal(r->found.count, t->rows - 20);
	assert_int_equal(r->found.seq[19], 20);
	assert_int_equal(r->found.seq[20], 41);
	free(r);
}

/* Rows that the index has in a span are not there, and others come in their place. */
static void lost_from_a_span(void **state)
{
	struct world *t = *state;
	char segment[PATH_MAX];

	many_files(t, 100, 20);
	pass(t, INT64_MAX, true);
	spans_are(t, 1, 36);
	for (int64_t i = 50; i < 100; i++) {
		assert_int_equal(
			audit_segment_path(t->path, i * 20 + 1, i * 20 + 20, segment), RC_OK);
		assert_int_equal(unlink(segment), 0);
	}
	t->rows = 1000;
	append(t, 200);
	anew(t);
	spans_are(t, 0, 51);
	questions(t, INT64_MAX);
}

static bool never(void *ctx, int64_t seq)
{
	(void)seq;
	return --*(int *)ctx > 0;
}

/* Ended at any block, the next pass goes on. */
static void interrupted(void **state)
{
	struct world *t = *state;

	many_files(t, 70, 20);
	for (int steps = 1; steps < 40; steps += 6) {
		int left = steps;

		assert_int_equal(audit_indexing_pass(t->x, INT64_MAX, true, never, &left), RC_OK);
		if (steps % 4 == 1) {
			audit_indexing_free(t->x);
			t->x = audit_indexing_new(t->path, t->index);
		}
	}
	questions(t, INT64_MAX);
	pass(t, INT64_MAX, true);
	spans_are(t, 1, 6);
	questions(t, INT64_MAX);
}

static void damaged_index(void **state)
{
	struct world *t = *state;

	append(t, 300);
	assert_int_equal(file_write_atomic(t->index, "no database", 11, 0600), RC_OK);
	questions(t, INT64_MAX); /* as if there were none */
	pass(t, INT64_MAX, true);
	questions(t, INT64_MAX);
}

/* Two that write it, as tunneld and reindex do, do not repeat a row. */
static void two_writers(void **state)
{
	struct world *t = *state;
	struct audit_indexing *other = audit_indexing_new(t->path, t->index);

	append(t, 300);
	pass(t, 200, false);
	assert_int_equal(audit_indexing_pass(other, INT64_MAX, true, NULL, NULL), RC_OK);
	rotate(t, 1, 300);
	append(t, 50);
	pass(t, INT64_MAX, true);
	questions(t, INT64_MAX);
	/* And one that removes it, as reindex does. */
	audit_index_remove(t->index);
	pass(t, INT64_MAX, true);
	questions(t, INT64_MAX);
	audit_indexing_free(other);
}

/* Without an index, more than the newest rows can't be looked at newest first: the answer says so.
 */
static void says_how_far_behind(void **state)
{
	struct world *t = *state;
	struct audit_filter f;
	struct audit_search s = {t->path, t->index, &f, false, 0, 70000, 0};
	struct audit_search_end end;
	struct found *got = xcalloc(1, sizeof(*got));
	FILE *out = fopen(t->path, "w");

	assert_non_null(out);
	for (int seq = 1; seq <= 70000; seq++)
		(void)fprintf(out,
			"{\"v\":1,\"seq\":%d,\"ts\":\"2026-11-23T21:04:05.678Z\",\"event\":\"x\"}"
			"\n",
			seq);
	assert_int_equal(fclose(out), 0);
	audit_filter_init(&f);
	(void)str_copy(f.event, sizeof(f.event), "none");
	assert_int_equal(audit_search(&s, take, got, &end), RC_OK);
	assert_int_equal(end.behind, 70000 - 8 * AUDIT_BLOCK_ROWS);
	pass(t, INT64_MAX, false);
	assert_int_equal(audit_search(&s, take, got, &end), RC_OK);
	assert_int_equal(end.behind, 0);
	free(got);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(without_index),
		TEST(with_index),
		TEST(durable_only),
		TEST(goes_on_after_restart),
		TEST(removed_files),
		TEST(rewritten_files),
		TEST(compressed_files),
		TEST(lost_end),
		TEST(gaps_are_closed),
		TEST(blocks_become_spans),
		TEST(rewritten_in_a_span),
		TEST(removed_from_a_span),
		TEST(removed_amidst_a_search),
		TEST(lost_from_a_span),
		TEST(interrupted),
		TEST(damaged_index),
		TEST(two_writers),
		TEST(says_how_far_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
