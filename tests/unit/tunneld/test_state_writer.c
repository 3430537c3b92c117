#include "tests/unit/tunneld/fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

struct ticket {
	struct flush_ticket ticket;
	int answer; /* -1: none yet */
};

static void on_flushed(struct flush_ticket *t, bool ok)
{
	((struct ticket *)(void *)t)->answer = ok;
}

static bool answered(void *ctx)
{
	return ((struct ticket *)ctx)->answer >= 0;
}

static bool flush(struct fixture *f)
{
	struct ticket t = {.ticket = {.done = on_flushed}, .answer = -1};

	state_writer_flush(f->hub.state, &t.ticket);
	fixture_wait(f, answered, &t);
	return t.answer == 1;
}

static void put(struct db *db, const char *target)
{
	struct audit_record r;

	audit_init(&r, "tenant.rename");
	(void)str_copy(r.target, sizeof(r.target), target);
	(void)str_copy(r.request_id, sizeof(r.request_id), "req_x");
	assert_int_equal(outbox_put(db, &r), RC_OK);
}

static size_t outbox_size(struct db *db)
{
	struct outbox_row *rows = NULL;
	size_t count = 0;

	assert_int_equal(outbox_list(db, 0, 100, &rows, &count), RC_OK);
	free(rows);
	return count;
}

static void a_flush_moves_every_row_committed_before_it(void **state)
{
	struct fixture *f = *state;
	struct db *db;

	assert_int_equal(db_open(f->state_path, &db), RC_OK);
	for (int i = 0; i < 150; i++)
		put(db, "t_flushed");
	assert_true(flush(f));
	assert_int_equal(fixture_count(f, "t_flushed"), 150);
	assert_int_equal(outbox_size(db), 0);
	assert_true(flush(f));
	assert_int_equal(fixture_count(f, "t_flushed"), 150);
	db_close(db);
}

static bool two_rows(void *ctx)
{
	return fixture_count(ctx, "t_forgotten") >= 2;
}

static void rows_that_nobody_flushes_are_moved_too(void **state)
{
	struct fixture *f = *state;
	struct db *db;

	assert_int_equal(db_open(f->state_path, &db), RC_OK);
	put(db, "t_forgotten");
	put(db, "t_forgotten");
	db_close(db);
	fixture_wait(f, two_rows, f);
	assert_int_equal(fixture_count(f, "t_forgotten"), 2);
}

/* The state as it is when the process dies after the journal's sync and before the outbox was
 * emptied: the rows are in both. */
static void put_back(const struct fixture *f, const char *dump)
{
	char command[512];

	(void)snprintf(command, sizeof(command), "cp %s %s && rm -f %s-wal %s-shm", dump,
		f->state_path, f->state_path, f->state_path);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): paths of our own */
}

static void a_crash_between_journal_and_outbox_writes_no_row_twice(void **state)
{
	struct fixture *f = *state;
	char dump[80], command[512];
	struct db *db;

	assert_true(flush(f));
	fixture_close(f);
	assert_int_equal(db_open(f->state_path, &db), RC_OK);
	for (int i = 0; i < 5; i++)
		put(db, "t_once");
	db_close(db); /* the last handle: everything is in the one file */
	(void)snprintf(dump, sizeof(dump), "%s/dump", f->dir);
	(void)snprintf(command, sizeof(command), "cp %s %s", f->state_path, dump);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): paths of our own */
	fixture_open(f);
	assert_true(flush(f));
	assert_int_equal(fixture_count(f, "t_once"), 5);
	fixture_close(f);
	put_back(f, dump);
	/* And one more that the dead process never saw. */
	assert_int_equal(db_open(f->state_path, &db), RC_OK);
	put(db, "t_later");
	assert_int_equal(outbox_size(db), 6);
	db_close(db);
	fixture_open(f);
	assert_true(flush(f));
	assert_int_equal(fixture_count(f, "t_once"), 5);
	assert_int_equal(fixture_count(f, "t_later"), 1);
	assert_int_equal(db_open(f->state_path, &db), RC_OK);
	assert_int_equal(outbox_size(db), 0);
	db_close(db);
}

/* A state that was made anew counts from 1 again; its rows are not those of the journal. */
static void rows_of_another_state_with_the_same_numbers_are_not_lost(void **state)
{
	struct fixture *f = *state;
	char command[512];
	struct db *db;

	assert_true(flush(f));
	fixture_close(f);
	(void)snprintf(command, sizeof(command), "rm -f %s*", f->state_path);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a path of our own */
	assert_int_equal(db_open(f->state_path, &db), RC_OK);
	assert_int_equal(db_migrate(db), RC_OK);
	put(db, "t_anew");
	put(db, "t_anew");
	put(db, "t_anew");
	db_close(db);
	fixture_open(f);
	assert_true(flush(f));
	assert_int_equal(fixture_count(f, "t_anew"), 3);
}

static void limit_file_size(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static bool audit_returned(void *ctx)
{
	return audit_writer_ok(((struct fixture *)ctx)->hub.audit);
}

static void a_journal_that_fails_keeps_the_rows_in_the_outbox(void **state)
{
	struct fixture *f = *state;
	struct db *db;
	struct stat st;
	char spaces[4096];
	int fd;

	(void)signal(SIGXFSZ, SIG_IGN);
	log_set_level(LOG_LEVEL_ERROR + 1);
	/* The limit is for every file: the journal must be the longest, or the database would fail
	 * first. */
	fixture_close(f);
	memset(spaces, ' ', sizeof(spaces));
	fd = open(f->audit_path, O_WRONLY | O_TRUNC | O_APPEND);
	for (int i = 0; i < 1024; i++) {
		char line[2100];
		int len = snprintf(line, sizeof(line), "{\"v\":1,\"seq\":%d,\"pad\":\"%.2000s\"}\n",
			i + 1, spaces);

		assert_int_equal(write(fd, line, (size_t)len), len);
	}
	(void)close(fd);
	fixture_open(f);
	assert_true(flush(f));
	assert_int_equal(db_open(f->state_path, &db), RC_OK);
	assert_int_equal(stat(f->audit_path, &st), 0);
	limit_file_size((rlim_t)st.st_size);
	put(db, "t_kept");
	assert_false(flush(f));
	assert_int_equal(outbox_size(db), 1);
	assert_int_equal(fixture_count(f, "t_kept"), 0);
	limit_file_size(RLIM_INFINITY);
	fixture_wait(f, audit_returned, f);
	assert_true(flush(f));
	assert_int_equal(fixture_count(f, "t_kept"), 1);
	assert_int_equal(outbox_size(db), 0);
	db_close(db);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_flush_moves_every_row_committed_before_it),
		TEST(rows_that_nobody_flushes_are_moved_too),
		TEST(a_crash_between_journal_and_outbox_writes_no_row_twice),
		TEST(rows_of_another_state_with_the_same_numbers_are_not_lost),
		TEST(a_journal_that_fails_keeps_the_rows_in_the_outbox),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
