#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/audit_chain.h"
#include "shared/clock.h"
#include "shared/crypto.h"
#include "shared/file.h"
#include "shared/jscan.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"
#include "tunneld/audit_writer.h"
#include "tunneld/journal.h"
#include "tunneld/torn.h"

#define PATIENCE_MS 30000

struct world {
	char dir[32];
	char path[64];
	int wake;
	struct audit_writer *w;
	struct crypto_identity id;
};

struct row {
	struct audit_entry entry;
	int number;
};

/* In the order in which done() was called. */
#define ROWS_MAX 4096
static int order[ROWS_MAX];
static bool durables[ROWS_MAX];
static int done_count;

static void notify(void *ctx)
{
	const uint64_t one = 1;

	assert_int_equal(write(((struct world *)ctx)->wake, &one, sizeof(one)), sizeof(one));
}

static void open_writer_as(struct world *t, enum config_fsync fsync, int64_t min_free)
{
	const struct audit_writer_options o = {.path = t->path,
		.fsync = fsync,
		.fsync_interval_ms = 20,
		.min_free_bytes = min_free,
		.notify = notify,
		.ctx = t};

	assert_int_equal(audit_writer_open(&o, &t->w), RC_OK);
}

static void open_writer(struct world *t)
{
	open_writer_as(t, CONFIG_FSYNC_BATCH, 0);
}

static int setup(void **state)
{
	struct world *t = xcalloc(1, sizeof(*t));

	crypto_init();
	log_init("test", 2, LOG_FORMAT_TEXT);
	log_set_level(LOG_LEVEL_ERROR + 1);
	(void)signal(SIGXFSZ, SIG_IGN);
	memcpy(t->dir, "/tmp/test_audit.XXXXXX", sizeof("/tmp/test_audit.XXXXXX"));
	assert_non_null(mkdtemp(t->dir));
	(void)snprintf(t->path, sizeof(t->path), "%s/audit.jsonl", t->dir);
	t->wake = eventfd(0, EFD_NONBLOCK);
	done_count = 0;
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct world *t = *state;
	char command[64];

	audit_writer_close(t->w);
	(void)close(t->wake);
	(void)snprintf(command, sizeof(command), "rm -rf %s", t->dir);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a path of our own */
	free(t);
	return 0;
}

static void on_done(struct audit_entry *e, bool durable)
{
	struct row *r = (struct row *)(void *)e;

	order[done_count] = r->number;
	durables[done_count++] = durable;
	free(r);
}

static void add(struct world *t, int number)
{
	struct row *r = xcalloc(1, sizeof(*r));

	audit_init(&r->entry.record, "tool.call");
	(void)snprintf(
		r->entry.record.request_id, sizeof(r->entry.record.request_id), "req_%d", number);
	r->entry.done = on_done;
	r->number = number;
	audit_writer_add(t->w, &r->entry);
}

static void wait_done(struct world *t, int count)
{
	int64_t deadline = clock_mono_ms() + PATIENCE_MS;
	struct pollfd fd = {.fd = t->wake, .events = POLLIN};
	uint64_t n;

	audit_writer_reap(t->w);
	while (done_count < count) {
		assert_true(clock_mono_ms() < deadline);
		(void)poll(&fd, 1, 100);
		(void)!read(t->wake, &n, sizeof(n));
		audit_writer_reap(t->w);
	}
	assert_int_equal(done_count, count);
}

static void wait_ok(struct world *t, bool ok)
{
	int64_t deadline = clock_mono_ms() + PATIENCE_MS;
	struct audit_stats stats;

	do {
		assert_true(clock_mono_ms() < deadline);
		(void)poll(NULL, 0, 20);
		audit_writer_stats(t->w, &stats);
	} while (stats.ok != ok);
}

/* Every line is whole, the numbers have no gap, and each names the hash of the one before. Returns
 * how many. */
static int check_chain(const struct world *t)
{
	char *text, *line, prev[AUDIT_HASH_LEN + 1], given[AUDIT_HASH_LEN + 1];
	struct jscan row, v;
	uint8_t hash[CRYPTO_HASH_LEN];
	int64_t seq;
	size_t len;
	int count = 0;

	assert_int_equal(file_read(t->path, 1 << 24, &text, &len), RC_OK);
	assert_true(len == 0 || text[len - 1] == '\n');
	memset(prev, '0', AUDIT_HASH_LEN);
	prev[AUDIT_HASH_LEN] = '\0';
	for (line = text; *line;) {
		char *end = strchr(line, '\n');

		assert_int_equal(jscan_parse(line, (size_t)(end - line), &row), RC_OK);
		assert_int_equal(jscan_get(row, "seq", &v), RC_OK);
		assert_int_equal(jscan_int(v, &seq), RC_OK);
		assert_int_equal(seq, ++count);
		assert_int_equal(jscan_get(row, "prev", &v), RC_OK);
		assert_int_equal(jscan_str(v, given, sizeof(given)), RC_OK);
		assert_string_equal(given, prev);
		crypto_sha256(line, (size_t)(end - line), hash);
		text_hex(hash, sizeof(hash), prev);
		line = end + 1;
	}
	free(text);
	return count;
}

/* With a key, checkpoints are written. */
static void open_signing(struct world *t, int rows, int seconds)
{
	const struct audit_writer_options o = {.path = t->path,
		.fsync = CONFIG_FSYNC_BATCH,
		.identity = &t->id,
		.checkpoint_rows = rows,
		.checkpoint_seconds = seconds,
		.notify = notify,
		.ctx = t};

	assert_int_equal(audit_writer_open(&o, &t->w), RC_OK);
}

/* The whole file holds against the world's key. Returns how many of its lines are checkpoints. */
static int64_t verify(const struct world *t, int64_t *lines, int64_t *signed_seq)
{
	struct audit_chain_options o = {.have_key = true};
	struct audit_chain c;
	char *text, *end;
	size_t len;

	memcpy(o.key, t->id.public_key, sizeof(o.key));
	assert_int_equal(file_read(t->path, 1 << 24, &text, &len), RC_OK);
	audit_chain_init(&c, &o);
	for (char *line = text; (end = strchr(line, '\n')); line = end + 1)
		if (!audit_chain_line(&c, line, (size_t)(end - line)))
			fail_msg("line %lld: %s", (long long)c.fault_line, c.why);
	assert_true(audit_chain_end(&c, false));
	audit_chain_free(&c);
	free(text);
	*lines = c.lines;
	*signed_seq = c.signed_seq;
	return c.checkpoints;
}

static void append_text(const struct world *t, const char *text)
{
	int fd = open(t->path, O_WRONLY | O_APPEND | O_CREAT, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
}

static void rows_are_chained_and_released_in_order(void **state)
{
	struct world *t = *state;
	struct stat st;
	struct audit_stats stats;

	open_writer(t);
	for (int i = 0; i < 200; i++)
		add(t, i);
	wait_done(t, 200);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(order[i], i);
		assert_true(durables[i]);
	}
	assert_int_equal(check_chain(t), 200);
	assert_int_equal(stat(t->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	audit_writer_stats(t->w, &stats);
	assert_int_equal(stats.rows, 200);
	assert_int_equal(stats.seq, 200);
	assert_int_equal(stats.queue, 0);
	assert_true(stats.batches <= 200 && stats.fsync_count == stats.batches);
	assert_true(stats.free_bytes > 0);
}

static void the_chain_goes_on_after_a_restart(void **state)
{
	struct world *t = *state;

	for (int i = 0; i < 3; i++) {
		open_writer(t);
		add(t, i);
		audit_writer_close(t->w); /* writes and reaps what waits */
		t->w = NULL;
		assert_int_equal(done_count, i + 1);
	}
	assert_int_equal(check_chain(t), 3);
}

static void a_torn_last_line_is_set_aside(void **state)
{
	static const char torn[] = "{\"v\":1,\"seq\":3,\"ts\":\"2026-";
	struct world *t = *state;
	char pattern[80], *text, *repaired;
	glob_t found;
	size_t len;

	open_writer(t);
	add(t, 1);
	add(t, 2);
	wait_done(t, 2);
	audit_writer_close(t->w);
	append_text(t, torn);
	open_writer(t);
	add(t, 3);
	wait_done(t, 3);
	assert_int_equal(check_chain(t), 3);
	(void)snprintf(pattern, sizeof(pattern), "%s.torn-*", t->path);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_int_equal(found.gl_pathc, 1);
	assert_int_equal(file_read(found.gl_pathv[0], 1024, &text, &len), RC_OK);
	assert_string_equal(text, torn);
	free(text);
	globfree(&found);
	/* What was set aside is recorded, once, whatever happens in between. */
	torn_record(t->w, t->path);
	audit_writer_close(t->w);
	open_writer(t);
	torn_record(t->w, t->path);
	audit_writer_close(t->w);
	t->w = NULL;
	assert_int_equal(file_read(t->path, 65536, &text, &len), RC_OK);
	repaired = strstr(text, "\"event\":\"journal.repaired\"");
	assert_non_null(repaired);
	assert_non_null(strstr(repaired, "\"target\":\"audit.jsonl.torn-"));
	assert_null(strstr(repaired, "unrecorded"));
	assert_non_null(strstr(repaired, "\"change\":{\"bytes\":26}"));
	assert_null(strstr(strchr(repaired, '\n'), "journal.repaired"));
	free(text);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_int_equal(found.gl_pathc, 1);
	assert_null(strstr(found.gl_pathv[0], "unrecorded"));
	globfree(&found);
}

static void a_torn_first_line_is_set_aside_too(void **state)
{
	struct world *t = *state;

	append_text(t, "{\"v\":1,\"se");
	open_writer(t);
	add(t, 1);
	wait_done(t, 1);
	assert_int_equal(check_chain(t), 1);
}

static void a_file_that_is_no_journal_is_left_alone(void **state)
{
	struct world *t = *state;
	const struct audit_writer_options o = {.path = t->path};
	char *text;
	size_t len;

	append_text(t, "something else\n");
	assert_int_equal(audit_writer_open(&o, &t->w), RC_INVALID);
	assert_null(t->w);
	assert_int_equal(file_read(t->path, 1024, &text, &len), RC_OK);
	assert_string_equal(text, "something else\n");
	free(text);
}

static void there_is_one_writer(void **state)
{
	struct world *t = *state;
	const struct audit_writer_options o = {.path = t->path};
	struct audit_writer *second = NULL;

	open_writer(t);
	assert_int_equal(audit_writer_open(&o, &second), RC_CONFLICT);
	assert_null(second);
}

static void limit_file_size(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static bool lost_row;

static void on_patient(struct audit_entry *e, bool durable)
{
	lost_row = !durable;
	free(e);
}

static void add_patient(struct world *t)
{
	struct audit_entry *e = xcalloc(1, sizeof(*e));

	audit_init(&e->record, "session.close");
	e->done = on_patient;
	e->patient = true;
	audit_writer_add(t->w, e);
}

/* A file size limit stands in for the full disk: write() fails in the middle of a batch. */
static void a_full_disk_fails_the_rows_and_service_returns(void **state)
{
	struct world *t = *state;
	struct stat before, after;
	struct audit_stats stats;

	open_writer(t);
	add(t, 1);
	wait_done(t, 1);
	assert_int_equal(stat(t->path, &before), 0);
	limit_file_size((rlim_t)before.st_size + 50);
	lost_row = true;
	add_patient(t);
	add(t, 2);
	wait_done(t, 2);
	assert_false(durables[1]);
	assert_false(audit_writer_ok(t->w));
	assert_int_equal(stat(t->path, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	add(t, 3);
	wait_done(t, 3);
	assert_false(durables[2]);
	limit_file_size(RLIM_INFINITY);
	wait_ok(t, true);
	add(t, 4);
	wait_done(t, 4);
	assert_true(durables[3]);
	/* The row that nobody waited for was kept meanwhile; its place is before. */
	assert_false(lost_row);
	assert_int_equal(check_chain(t), 3);
	audit_writer_stats(t->w, &stats);
	assert_true(stats.failures >= 1);
	assert_int_equal(stats.lost, 0);
}

static int rows_with(const struct world *t, const char *what)
{
	char *text, *at;
	size_t len;
	int count = 0;

	assert_int_equal(file_read(t->path, 1 << 24, &text, &len), RC_OK);
	for (at = text; (at = strstr(at, what)); at++)
		count++;
	free(text);
	return count;
}

/* More than one batch: while one is on its way to the disk the lines of the next are made already,
 * and they must not be written when it failed. */
static void what_was_made_ready_falls_with_the_batch_before_it(void **state)
{
	struct world *t = *state;
	int64_t lines, signed_seq;
	int durable = 0;

	crypto_identity_new(&t->id);
	open_signing(t, 100, 60);
	for (int i = 0; i < 3; i++) {
		int first = done_count;

		limit_file_size((rlim_t)(i + 1) * 60000);
		for (int k = 0; k < 1200; k++) {
			add(t, first + k);
			if (k % 400 == 0)
				add_patient(t);
		}
		wait_done(t, first + 1200);
		for (int k = first; k < done_count; k++) {
			assert_int_equal(order[k], k);
			assert_true(!durables[k] || k == first || durables[k - 1]);
			durable += durables[k];
		}
		assert_false(durables[done_count - 1]);
		limit_file_size(RLIM_INFINITY);
		wait_ok(t, true);
	}
	add(t, done_count);
	wait_done(t, done_count + 1);
	assert_true(durable > 0);
	assert_int_equal(rows_with(t, "\"event\":\"tool.call\""), durable + 1);
	assert_int_equal(rows_with(t, "\"event\":\"session.close\""), 9);
	for (int k = 0; k < done_count; k++) {
		char id[48];

		(void)snprintf(id, sizeof(id), "\"req_%d\"", k);
		if (k % 50 == 0)
			assert_int_equal(rows_with(t, id), durables[k]);
	}
	audit_writer_close(t->w);
	t->w = NULL;
	(void)verify(t, &lines, &signed_seq);
	assert_int_equal(signed_seq, lines);
}

static void a_journal_that_never_comes_back_does_not_keep_the_end_waiting(void **state)
{
	struct world *t = *state;

	open_writer(t);
	add(t, 1);
	wait_done(t, 1);
	limit_file_size(1);
	lost_row = false;
	add_patient(t);
	add(t, 2);
	audit_writer_close(t->w);
	t->w = NULL;
	limit_file_size(RLIM_INFINITY);
	assert_int_equal(done_count, 2);
	assert_false(durables[1]);
	assert_true(lost_row);
	assert_int_equal(check_chain(t), 1);
}

static void too_little_space_is_told_before_it_is_used_up(void **state)
{
	struct world *t = *state;

	open_writer_as(t, CONFIG_FSYNC_BATCH, INT64_MAX);
	assert_false(audit_writer_ok(t->w));
	add(t, 1);
	wait_done(t, 1);
	assert_false(durables[0]);
	assert_int_equal(check_chain(t), 0);
}

static void interval_mode_syncs_later(void **state)
{
	struct world *t = *state;
	struct audit_stats stats;
	int64_t deadline = clock_mono_ms() + PATIENCE_MS;

	open_writer_as(t, CONFIG_FSYNC_INTERVAL, 0);
	for (int i = 0; i < 50; i++)
		add(t, i);
	wait_done(t, 50);
	do {
		assert_true(clock_mono_ms() < deadline);
		(void)poll(NULL, 0, 10);
		audit_writer_stats(t->w, &stats);
	} while (stats.fsync_count == 0);
	assert_int_equal(check_chain(t), 50);
}

static void other_threads_append_and_wait(void **state)
{
	struct world *t = *state;
	struct audit_record r[3];
	const struct audit_record *rows[3] = {&r[0], &r[1], &r[2]};
	size_t written;

	open_writer(t);
	for (int i = 0; i < 3; i++) {
		audit_init(&r[i], "tenant.create");
		r[i].outbox_id = i + 1;
	}
	assert_int_equal(audit_writer_append(t->w, rows, 3, &written), RC_OK);
	assert_int_equal(written, 3);
	assert_int_equal(check_chain(t), 3);
	limit_file_size(1);
	assert_int_equal(audit_writer_append(t->w, rows, 3, &written), RC_UNAVAILABLE);
	assert_int_equal(written, 0);
	limit_file_size(RLIM_INFINITY);
	assert_int_equal(check_chain(t), 3);
}

static void the_last_outbox_row_is_found_from_the_end(void **state)
{
	struct world *t = *state;
	struct audit_record r;
	const struct audit_record *row = &r;
	size_t written;
	int64_t id = 0;
	char *line = NULL;

	open_writer(t);
	assert_int_equal(journal_last_outbox(t->path, &id, &line), RC_NOTFOUND);
	for (int i = 1; i <= 3; i++) {
		audit_init(&r, "tenant.create");
		r.outbox_id = 40 + i;
		(void)snprintf(r.target, sizeof(r.target), "t_%d", i);
		assert_int_equal(audit_writer_append(t->w, &row, 1, &written), RC_OK);
		add(t, i);
	}
	wait_done(t, 3);
	assert_int_equal(journal_last_outbox(t->path, &id, &line), RC_OK);
	assert_int_equal(id, 43);
	assert_non_null(strstr(line, "\"target\":\"t_3\""));
	free(line);
}

static void checkpoints_come_by_rows_and_at_the_end(void **state)
{
	struct world *t = *state;
	int64_t lines, signed_seq;

	crypto_identity_new(&t->id);
	open_signing(t, 4, 3600);
	for (int i = 1; i <= 9; i++) {
		add(t, i);
		wait_done(t, i);
	}
	audit_writer_close(t->w);
	t->w = NULL;
	/* Two after four rows each, the third over the last row. */
	assert_int_equal(verify(t, &lines, &signed_seq), 3);
	assert_int_equal(lines, 12);
	assert_int_equal(signed_seq, 12);
	/* Nothing came: nothing to sign. */
	open_signing(t, 4, 3600);
	audit_writer_close(t->w);
	t->w = NULL;
	assert_int_equal(verify(t, &lines, &signed_seq), 3);
	assert_int_equal(check_chain(t), 12);
}

static void a_checkpoint_comes_by_time_over_what_a_crash_left(void **state)
{
	struct world *t = *state;
	int64_t deadline = clock_mono_ms() + PATIENCE_MS, lines, signed_seq;
	struct audit_stats stats;

	crypto_identity_new(&t->id);
	open_writer(t); /* without a key: as if it had ended before its checkpoint */
	add(t, 1);
	wait_done(t, 1);
	audit_writer_close(t->w);
	open_signing(t, 1000, 1);
	do {
		assert_true(clock_mono_ms() < deadline);
		(void)poll(NULL, 0, 20);
		audit_writer_stats(t->w, &stats);
	} while (stats.checkpoints == 0);
	assert_int_equal(stats.rows, 0);
	assert_int_equal(verify(t, &lines, &signed_seq), 1);
	assert_int_equal(lines, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rows_are_chained_and_released_in_order),
		TEST(the_chain_goes_on_after_a_restart),
		TEST(a_torn_last_line_is_set_aside),
		TEST(a_torn_first_line_is_set_aside_too),
		TEST(a_file_that_is_no_journal_is_left_alone),
		TEST(there_is_one_writer),
		TEST(a_full_disk_fails_the_rows_and_service_returns),
		TEST(what_was_made_ready_falls_with_the_batch_before_it),
		TEST(a_journal_that_never_comes_back_does_not_keep_the_end_waiting),
		TEST(too_little_space_is_told_before_it_is_used_up),
		TEST(interval_mode_syncs_later),
		TEST(other_threads_append_and_wait),
		TEST(the_last_outbox_row_is_found_from_the_end),
		TEST(checkpoints_come_by_rows_and_at_the_end),
		TEST(a_checkpoint_comes_by_time_over_what_a_crash_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
