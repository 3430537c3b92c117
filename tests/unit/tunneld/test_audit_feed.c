/* Those who watch the audit log get each row once, in order, from wherever they go on; who is too
 * slow is let go and says so; an org sees its own rows alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/audit_index.h"
#include "shared/audit_segments.h"
#include "shared/clock.h"
#include "shared/db.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "tunneld/audit_feed.h"

#define NO_HASH "0000000000000000000000000000000000000000000000000000000000000000"
#define BACKLOG ((size_t)32768)
#define WATCHERS 1000
#define PATIENCE_MS 30000

struct world {
	char dir[32], path[64], state[64], index[PATH_MAX];
	struct audit_feed *feed;
	int event; /* the feed's notify() */
	int64_t rows, first; /* in all; the first one of the current file */
};

static void notify(void *ctx)
{
	const uint64_t one = 1;

	assert_int_equal(write(((struct world *)ctx)->event, &one, sizeof(one)), sizeof(one));
}

static int setup(void **state)
{
	struct world *t = xcalloc(1, sizeof(*t));
	struct db *db;

	crypto_init();
	log_init("test", 2, LOG_FORMAT_TEXT);
	log_set_level(LOG_LEVEL_ERROR + 1);
	memcpy(t->dir, "/tmp/test_feed.XXXXXX", sizeof("/tmp/test_feed.XXXXXX"));
	assert_non_null(mkdtemp(t->dir));
	(void)snprintf(t->path, sizeof(t->path), "%s/audit.jsonl", t->dir);
	(void)snprintf(t->state, sizeof(t->state), "%s/state.db", t->dir);
	assert_int_equal(audit_index_path(t->path, "", t->index), RC_OK);
	assert_int_equal(db_open(t->state, &db), RC_OK);
	assert_int_equal(db_migrate(db), RC_OK);
	db_close(db);
	t->event = eventfd(0, 0);
	t->first = 1;
	assert_int_equal(audit_feed_open(&(struct audit_feed_options){.log_path = t->path,
						 .index_path = t->index,
						 .state_path = t->state,
						 .backlog_bytes = BACKLOG,
						 .notify = notify,
						 .ctx = t},
				 &t->feed),
		RC_OK);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct world *t = *state;
	char command[64];

	audit_feed_close(t->feed);
	(void)close(t->event);
	(void)snprintf(command, sizeof(command), "rm -rf %s", t->dir);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a path of our own */
	free(t);
	return 0;
}

/* Rows of a tenant that are not durable yet. */
static void write_rows(struct world *t, int count, const char *tenant, const char *event)
{
	FILE *out = fopen(t->path, "a");
	struct audit_record r;
	struct buf b;

	assert_non_null(out);
	for (int i = 0; i < count; i++) {
		audit_init(&r, event);
		(void)str_copy(r.tenant_id, sizeof(r.tenant_id), tenant);
		buf_init(&b, 8192);
		audit_line(&b, &r, ++t->rows, clock_wall_ms(), NO_HASH);
		buf_char(&b, '\n');
		assert_int_equal(fwrite(b.data, 1, b.len, out), b.len);
		buf_free(&b);
	}
	assert_int_equal(fclose(out), 0);
}

static void append_event(struct world *t, int count, const char *tenant, const char *event)
{
	write_rows(t, count, tenant, event);
	audit_feed_durable(t->feed, t->rows);
}

static void append(struct world *t, int count, const char *tenant)
{
	append_event(t, count, tenant, "tool.call");
}

static void rotate(struct world *t)
{
	char segment[PATH_MAX];

	assert_int_equal(audit_segment_path(t->path, t->first, t->rows, segment), RC_OK);
	assert_int_equal(rename(t->path, segment), 0);
	t->first = t->rows + 1;
}

/* --- a reader ------------------------------------------------------------------------------ */

struct reader {
	struct audit_watcher *w;
	bool ready, kept_up;
	int64_t start, last, rows; /* last: of the rows it was given */
	int64_t dropped_after; /* -1: it was not */
};

static void on_ready(void *owner)
{
	((struct reader *)owner)->ready = true;
}

static void watch(
	struct world *t, struct reader *r, const char *tenant, const char *org, int64_t after)
{
	struct audit_filter f;

	audit_filter_init(&f);
	(void)str_copy(f.tenant, sizeof(f.tenant), tenant);
	*r = (struct reader){.start = -1, .last = -1, .dropped_after = -1, .kept_up = true};
	r->w = audit_feed_watch(t->feed, &f, org, after, r);
}

static int64_t number_behind(const char *at, const char *text)
{
	const char *found = strstr(at, text);

	assert_non_null(found);
	return strtoll(found + strlen(text), NULL, 10);
}

static void see_event(struct reader *r, char *event)
{
	int64_t id = number_behind(event, "id: ");

	if (strncmp(event, "event: start\n", 13) == 0) {
		assert_int_equal(r->start, -1);
		r->start = r->last = number_behind(event, "{\"after\":");
		assert_int_equal(id, r->start);
	} else if (strncmp(event, "event: dropped\n", 15) == 0) {
		r->dropped_after = number_behind(event, "\"after\":");
		assert_int_equal(id, r->dropped_after);
	} else {
		assert_int_equal(number_behind(event, "\"seq\":"), id);
		assert_true(id > r->last);
		r->last = id;
		r->rows++;
	}
}

static void take(struct world *t, struct reader *r)
{
	struct buf out;
	char *text, *rest, *end;

	r->ready = false;
	buf_init(&out, 4 * BACKLOG);
	r->kept_up = audit_feed_take(t->feed, r->w, &out);
	assert_true(out.len <= BACKLOG + 4096);
	rest = text = buf_steal(&out);
	for (; text && (end = strstr(rest, "\n\n")); rest = end + 2) {
		*end = '\0';
		see_event(r, rest);
	}
	free(text);
}

/* Takes what comes until every reader has seen that row, or what shows that it looked past it. */
static void until_row(struct world *t, struct reader *r, size_t count, int64_t row)
{
	int64_t deadline = clock_mono_ms() + PATIENCE_MS;
	struct pollfd p = {.fd = t->event, .events = POLLIN};
	size_t done;
	uint64_t n;

	for (;;) {
		audit_feed_reap(t->feed, on_ready);
		done = 0;
		for (size_t i = 0; i < count; i++) {
			if (r[i].ready)
				take(t, &r[i]);
			done += r[i].last >= row;
		}
		if (done == count)
			return;
		assert_true(clock_mono_ms() < deadline);
		if (poll(&p, 1, 1000) == 1)
			assert_int_equal(read(t->event, &n, sizeof(n)), sizeof(n));
	}
}

/* --- the tests ------------------------------------------------------------------------------- */

static void rows_come_live(void **state)
{
	struct world *t = *state;
	struct reader r[2];

	append(t, 10, "t_a");
	watch(t, &r[0], "", "", -1);
	watch(t, &r[1], "t_b", "", -1);
	until_row(t, r, 2, 10); /* the start */
	assert_int_equal(r[0].start, 10);
	append(t, 3, "t_a");
	append(t, 2, "t_b");
	until_row(t, r, 2, 15);
	assert_int_equal(r[0].rows, 5);
	assert_int_equal(r[1].rows, 2);
	rotate(t);
	append(t, 1, "t_b");
	until_row(t, r, 2, 16);
	audit_feed_unwatch(t->feed, r[0].w);
	audit_feed_unwatch(t->feed, r[1].w);
	/* Nobody watched these: who comes then begins behind them. */
	append(t, 100, "t_a");
	watch(t, &r[0], "", "", -1);
	until_row(t, r, 1, 116);
	assert_int_equal(r[0].start, 116);
	assert_int_equal(r[0].rows, 0);
	audit_feed_unwatch(t->feed, r[0].w);
}

/* Rows that could not be made durable, and what comes in their place. */
static void rows_that_are_taken_back_are_given_to_nobody(void **state)
{
	struct world *t = *state;
	struct reader r[4];
	struct stat st;

	append(t, 1, "t_kept");
	watch(t, &r[0], "", "", -1);
	watch(t, &r[1], "t_kept", "", -1);
	watch(t, &r[2], "t_taken_back", "", -1);
	watch(t, &r[3], "t_in_their_place", "", -1);
	until_row(t, r, 4, 1); /* the start */
	write_rows(t, 1, "t_kept", "tool.call");
	assert_int_equal(stat(t->path, &st), 0);
	write_rows(t, 3, "t_taken_back", "tool.call");
	audit_feed_durable(t->feed, 2);
	until_row(t, r, 2, 2);
	assert_int_equal(truncate(t->path, st.st_size), 0);
	t->rows = 2;
	write_rows(t, 2, "t_in_their_place", "tool.call");
	write_rows(t, 1, "t_kept", "tool.call");
	audit_feed_durable(t->feed, t->rows);
	until_row(t, r, 2, 5);
	take(t, &r[2]);
	take(t, &r[3]);
	assert_int_equal(r[0].rows, 4);
	assert_int_equal(r[1].rows, 2);
	assert_int_equal(r[2].rows, 0);
	assert_int_equal(r[3].rows, 2);
	for (int i = 0; i < 4; i++)
		audit_feed_unwatch(t->feed, r[i].w);
}

/* Far more than a queue takes, over files, while rows go on coming. */
static void what_was_missed_comes_first(void **state)
{
	struct world *t = *state;
	struct reader r[2];

	for (int i = 0; i < 3; i++) {
		append(t, 400, "t_a");
		append(t, 5, "t_b");
		rotate(t);
	}
	append(t, 100, "t_a");
	watch(t, &r[0], "", "", 17);
	watch(t, &r[1], "t_b", "", 404);
	until_row(t, r, 2, 500);
	append(t, 50, "t_b");
	until_row(t, r, 2, t->rows);
	assert_int_equal(r[0].rows, t->rows - 17);
	assert_int_equal(r[1].rows, 11 + 50);
	assert_int_equal(r[0].dropped_after, -1);
	audit_feed_unwatch(t->feed, r[0].w);
	audit_feed_unwatch(t->feed, r[1].w);
}

/* Its memory does not grow: it is let go, knows where, and misses nothing when it comes back. */
static void slow_readers_are_let_go(void **state)
{
	struct world *t = *state;
	struct reader r[2];
	int64_t rows;

	watch(t, &r[0], "", "", -1);
	watch(t, &r[1], "", "", -1);
	until_row(t, r, 2, 0);
	for (int i = 0; i < 50; i++) {
		append(t, 20, "t_a");
		until_row(t, r, 1, t->rows); /* the other takes nothing */
	}
	assert_int_equal(r[0].rows, 1000);
	take(t, &r[1]);
	assert_false(r[1].kept_up);
	assert_true(r[1].rows > 0 && r[1].rows < 1000);
	assert_int_equal(r[1].dropped_after, r[1].last);
	rows = r[1].rows;
	audit_feed_unwatch(t->feed, r[1].w);
	watch(t, &r[1], "", "", r[1].last);
	until_row(t, &r[1], 1, 1000);
	assert_int_equal(rows + r[1].rows, 1000);
	audit_feed_unwatch(t->feed, r[0].w);
	audit_feed_unwatch(t->feed, r[1].w);
}

static void make_tenant(struct world *t, const char *slug)
{
	struct audit_record who;
	struct tenant made;
	struct db *db;

	audit_init(&who, "");
	assert_int_equal(db_open(t->state, &db), RC_OK);
	assert_int_equal(tenant_create(db, slug, slug, NULL, &who, &made), RC_OK);
	db_close(db);
}

static void an_org_sees_its_own(void **state)
{
	struct world *t = *state;
	struct reader r[2];

	make_tenant(t, "mine");
	watch(t, &r[0], "", "o_default", -1);
	watch(t, &r[1], "", "o_other", -1);
	until_row(t, r, 2, 0);
	append(t, 3, "t_other");
	append(t, 2, "t_mine");
	append(t, 1, "");
	/* One that comes while they watch. */
	make_tenant(t, "later");
	append_event(t, 1, "t_later", "tenant.create");
	until_row(t, r, 1, 7);
	assert_int_equal(r[0].rows, 3);
	audit_feed_unwatch(t->feed, r[1].w);
	watch(t, &r[1], "", "o_default", 0);
	until_row(t, &r[1], 1, 7);
	assert_int_equal(r[1].rows, 3);
	audit_feed_unwatch(t->feed, r[0].w);
	audit_feed_unwatch(t->feed, r[1].w);
}

static void a_thousand_watch(void **state)
{
	struct world *t = *state;
	struct reader *r = xcalloc(WATCHERS, sizeof(*r));
	char tenant[16];

	for (int i = 0; i < WATCHERS; i++) {
		(void)snprintf(tenant, sizeof(tenant), "t_%d", i % 10);
		watch(t, &r[i], i % 2 ? tenant : "", "", -1);
	}
	until_row(t, r, WATCHERS, 0);
	for (int i = 0; i < 40; i++) {
		(void)snprintf(tenant, sizeof(tenant), "t_%d", i % 10);
		append(t, 1, tenant);
	}
	/* The last row of t_1 is 32. */
	until_row(t, r, WATCHERS, 32);
	for (int i = 0; i < WATCHERS; i++) {
		until_row(t, &r[i], 1, i % 2 ? 31 + i % 10 : 40);
		assert_int_equal(r[i].rows, i % 2 ? 4 : 40);
		assert_int_equal(r[i].dropped_after, -1);
	}
	for (int i = 0; i < WATCHERS; i++)
		audit_feed_unwatch(t->feed, r[i].w);
	free(r);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(rows_come_live),
		TEST(rows_that_are_taken_back_are_given_to_nobody),
		TEST(what_was_missed_comes_first),
		TEST(slow_readers_are_let_go),
		TEST(an_org_sees_its_own),
		TEST(a_thousand_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
