/* The closed files of the audit log are archived, shortened, compressed and deleted, and whatever
 * instant a kill comes at, the log that is left holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/audit_chain.h"
#include "shared/audit_reader.h"
#include "shared/audit_segments.h"
#include "shared/clock.h"
#include "shared/db.h"
#include "shared/file.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "tunneld/audit_keeper.h"
#include "tunneld/command.h"

#define KILLS 40
#define DAY_MS ((int64_t)86400 * 1000)

struct world {
	char dir[32], path[64], state[64], archive[96];
	struct config config;
	struct crypto_identity id;
	struct audit_writer *w;
	struct audit_keeper_stats stats;
};

static void open_writer(struct world *t)
{
	const struct audit_writer_options o = {.path = t->path,
		.fsync = CONFIG_FSYNC_INTERVAL,
		.fsync_interval_ms = 1000,
		.identity = &t->id,
		.checkpoint_rows = 7,
		.checkpoint_seconds = 3600,
		.rotate_bytes = 4000};

	int64_t deadline = clock_mono_ms() + 8000;
	enum rc rc;

	/* A command that was being started when its parent was killed holds the lock until it is.
	 */
	do
		rc = audit_writer_open(&o, &t->w);
	while (rc == RC_CONFLICT && clock_mono_ms() < deadline);
	assert_int_equal(rc, RC_OK);
}

static int setup(void **state)
{
	struct world *t = xcalloc(1, sizeof(*t));
	struct audit_record who;
	struct tenant tenant;
	struct db *db;

	crypto_init();
	log_init("test", 2, LOG_FORMAT_TEXT);
	log_set_level(getenv("TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR + 1);
	memcpy(t->dir, "/tmp/test_keeper.XXXXXX", sizeof("/tmp/test_keeper.XXXXXX"));
	assert_non_null(mkdtemp(t->dir));
	(void)snprintf(t->path, sizeof(t->path), "%s/audit.jsonl", t->dir);
	(void)snprintf(t->state, sizeof(t->state), "%s/state.db", t->dir);
	(void)snprintf(t->archive, sizeof(t->archive), "cp %%p %s/archive-%%f 2>/dev/null", t->dir);
	t->config = (struct config){.audit_log_path = t->path,
		.state_path = t->state,
		.audit_archive_command = (char *)"",
		.audit_head_command = (char *)"",
		.audit_command_timeout_s = 60};
	crypto_identity_new(&t->id);
	assert_int_equal(db_open(t->state, &db), RC_OK);
	assert_int_equal(db_migrate(db), RC_OK);
	audit_init(&who, "");
	assert_int_equal(tenant_create(db, "short", "Short", NULL, &who, &tenant), RC_OK);
	audit_init(&who, "");
	assert_int_equal(tenant_keep(db, "t_short", 30, &who, &tenant), RC_OK);
	assert_int_equal(tenant.audit_keep_days, 30);
	audit_init(&who, "");
	assert_int_equal(tenant_keep(db, "t_short", 36501, &who, &tenant), RC_INVALID);
	db_close(db);
	open_writer(t);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct world *t = *state;
	char command[64];

	audit_writer_close(t->w);
	(void)snprintf(command, sizeof(command), "rm -rf %s", t->dir);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a path of our own */
	free(t);
	return 0;
}

static void append(struct world *t, const char *event, const char *tenant)
{
	const struct audit_record *row;
	struct audit_record r;
	size_t written;

	audit_init(&r, event);
	(void)str_copy(r.tenant_id, sizeof(r.tenant_id), tenant);
	row = &r;
	assert_int_equal(audit_writer_append(t->w, &row, 1, &written), RC_OK);
}

/* So many rows of each of two tenants, with an act between. */
static void fill(struct world *t, int rows)
{
	for (int i = 0; i < rows; i++) {
		append(t, "tool.call", "t_short");
		append(t, "key.create", "t_short");
		append(t, "tool.call", "t_long");
	}
}

static void keep(struct world *t, int days)
{
	audit_keeper_round(&t->config, &t->id, t->w, clock_wall_ms() + days * DAY_MS, &t->stats);
}

static void feed(struct audit_chain *c, const char *path)
{
	struct audit_reader *in;
	const char *line;
	size_t len;
	enum rc rc;

	assert_int_equal(audit_reader_open(path, &in), RC_OK);
	while ((rc = audit_reader_line(in, &line, &len)) == RC_OK)
		if (!audit_chain_line(c, line, len))
			fail_msg("%s: %s", path, c->why);
	assert_int_equal(rc, RC_NOTFOUND);
	audit_reader_close(in);
}

/* The whole log holds. */
static struct audit_chain check(struct world *t, size_t *files, size_t *compressed)
{
	struct audit_chain_options o = {.have_key = true, .first_seq = 1};
	struct audit_segment *list;
	struct audit_chain c;

	memcpy(o.key, t->id.public_key, sizeof(o.key));
	assert_int_equal(audit_segments_list(t->path, &list, files), RC_OK);
	if (*files > 0 && list[0].first > 1) {
		o.first_seq = list[0].first;
		o.deleted_before = true;
	}
	*compressed = 0;
	audit_chain_init(&c, &o);
	for (size_t i = 0; i < *files; i++) {
		*compressed += list[i].compressed;
		feed(&c, list[i].path);
	}
	feed(&c, t->path);
	if (!audit_chain_end(&c, false))
		fail_msg("%s", c.why);
	audit_chain_free(&c);
	audit_segments_free(list, *files);
	return c;
}

static void stop_writer(struct world *t)
{
	audit_writer_close(t->w);
	t->w = NULL;
}

static int count_files(const struct world *t, const char *prefix)
{
	char command[128], text[16] = "";
	FILE *p;

	(void)snprintf(command, sizeof(command), "ls %s | grep -c '^%s'", t->dir, prefix);
	p = popen(command, "r"); /* NOLINT(cert-env33-c): a path of our own */
	assert_non_null(fgets(text, sizeof(text), p));
	(void)pclose(p);
	return (int)strtol(text, NULL, 10);
}

static void closed_files_are_compressed_but_the_newest(void **state)
{
	struct world *t = *state;
	size_t files, compressed;

	t->config.audit_compress = true;
	fill(t, 40);
	keep(t, 0);
	(void)check(t, &files, &compressed);
	assert_true(files > 3);
	assert_int_equal(compressed, files - 1);
	assert_int_equal(t->stats.compressed, compressed);
	keep(t, 0);
	assert_int_equal(t->stats.compressed, 0);
	/* The log goes on behind them. */
	stop_writer(t);
	open_writer(t);
	fill(t, 1);
	(void)check(t, &files, &compressed);
}

static void rows_of_a_tenant_expire_and_the_chain_holds(void **state)
{
	struct world *t = *state;
	size_t files, compressed;
	struct audit_chain c;
	int64_t expired;

	t->config.audit_compress = true;
	fill(t, 40);
	keep(t, 29);
	assert_int_equal(t->stats.expired_rows, 0);
	keep(t, 31);
	expired = (int64_t)t->stats.expired_rows;
	assert_true(expired > 20);
	c = check(t, &files, &compressed);
	assert_int_equal(c.expired, expired);
	keep(t, 32);
	assert_int_equal(t->stats.expired_rows, 0);
	/* The others go when a rule for all of them says so; of the first nothing is left to go. */
	t->config.audit_tenant_keep_days = 60;
	keep(t, 61);
	/* What the rounds themselves wrote may have closed one more file. */
	assert_true((int64_t)t->stats.expired_rows >= expired);
	c = check(t, &files, &compressed);
	assert_true(c.expired >= 2 * expired);
}

static void a_file_that_was_changed_gets_no_seal(void **state)
{
	struct world *t = *state;
	struct audit_segment *list;
	size_t files, len;
	char *text;

	fill(t, 40);
	assert_int_equal(audit_segments_list(t->path, &list, &files), RC_OK);
	assert_int_equal(file_read(list[0].path, 1 << 20, &text, &len), RC_OK);
	strstr(text, "t_short")[4] = 'i';
	assert_int_equal(file_write_atomic(list[0].path, text, len, 0600), RC_OK);
	keep(t, 31);
	assert_int_equal(t->stats.damaged, 1);
	free(text);
	assert_int_equal(file_read(list[0].path, 1 << 20, &text, &len), RC_OK);
	assert_non_null(strstr(text, "t_shirt"));
	assert_null(strstr(text, "\"event\":\"seal\""));
	free(text);
	audit_segments_free(list, files);
}

static void what_is_old_or_too_much_is_deleted(void **state)
{
	struct world *t = *state;
	size_t before, files, compressed;

	fill(t, 40);
	(void)check(t, &before, &compressed);
	t->config.audit_keep_bytes = 10000;
	keep(t, 0);
	assert_true(t->stats.deleted > 0);
	assert_true(t->stats.bytes <= 10000);
	(void)check(t, &files, &compressed);
	assert_true(files < before);
	t->config.audit_keep_bytes = 0;
	t->config.audit_keep_days = 10;
	keep(t, 9);
	assert_int_equal(t->stats.deleted, 0);
	keep(t, 11);
	(void)check(t, &files, &compressed);
	assert_int_equal(files, 1); /* the newest stays */
	/* Without the row that says so the rest would not hold: check() has asked for it. */
}

static void nothing_goes_that_is_not_archived(void **state)
{
	struct world *t = *state;
	size_t before, files, compressed;

	fill(t, 40);
	(void)check(t, &before, &compressed);
	t->config.audit_compress = true;
	t->config.audit_keep_bytes = 1;
	t->config.audit_tenant_keep_days = 1;
	t->config.audit_archive_command = (char *)"exit 3";
	keep(t, 100);
	(void)check(t, &files, &compressed);
	assert_int_equal(files, before);
	assert_int_equal(compressed, 0);
	assert_false(t->stats.archive_ok);
	assert_int_equal(t->stats.archive_failures, 1);
	assert_int_equal(t->stats.unarchived, before);
	t->config.audit_archive_command = t->archive;
	keep(t, 100);
	assert_true(t->stats.archive_ok);
	assert_int_equal(t->stats.archived, before);
	assert_int_equal(count_files(t, "archive-audit-"), before);
	assert_true(t->stats.deleted > 0);
	(void)check(t, &files, &compressed);
	assert_true(files < before);
}

static void heads_are_pushed(void **state)
{
	struct world *t = *state;
	struct audit_stats now;
	char command[160], path[64], want[128], *text;
	size_t len;

	(void)snprintf(path, sizeof(path), "%s/head", t->dir);
	(void)snprintf(command, sizeof(command),
		"echo %%s:%%h %%t $AIRLOCK_AUDIT_SEQ:$AIRLOCK_AUDIT_HASH "
		"$AIRLOCK_CP_OPERATOR_TOKEN >%s",
		path);
	t->config.audit_head_command = command;
	assert_int_equal(setenv("AIRLOCK_CP_OPERATOR_TOKEN", "not-for-commands", 1), 0);
	fill(t, 5);
	audit_writer_stats(t->w, &now);
	assert_true(now.head_seq > 0);
	keep(t, 0);
	assert_int_equal(t->stats.pushed, 1);
	assert_int_equal(t->stats.head_seq, now.head_seq);
	assert_int_equal(file_read(path, 4096, &text, &len), RC_OK);
	(void)snprintf(want, sizeof(want), "%lld:%s ", (long long)now.head_seq, now.head_hash);
	assert_ptr_equal(strstr(text, want), text);
	want[strlen(want) - 1] = '\n';
	assert_non_null(strstr(text, want)); /* and nothing behind it */
	free(text);
}

static void commands_have_their_words_and_their_time(void **state)
{
	static const char *const env[] = {NULL};
	static const struct command_word good[] = {{'p', "/a/b-1.jsonl"}},
					 bad[] = {{'p', "/a b;c"}};
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	assert_int_equal(command_expand("x %p 100%% ", good, 1, &b), RC_OK);
	buf_char(&b, '\0');
	assert_string_equal((char *)b.data, "x /a/b-1.jsonl 100% ");
	assert_int_equal(command_expand("%x", good, 1, &b), RC_INVALID);
	assert_int_equal(command_expand("end %", good, 1, &b), RC_INVALID);
	assert_int_equal(command_expand("%p", bad, 1, &b), RC_INVALID);
	buf_free(&b);
	assert_int_equal(command_run("c", "exit 0", env, 10000, -1), COMMAND_OK);
	assert_int_equal(command_run("c", "exit 1", env, 10000, -1), COMMAND_FAILED);
	assert_int_equal(command_run("c", "kill -9 $$", env, 10000, -1), COMMAND_FAILED);
	/* Its children too. */
	assert_int_equal(command_run("c", "sleep 1000 | sleep 1000", env, 50, -1), COMMAND_TIMEOUT);
}

/* Rounds over and over with everything on, killed at any instant. */
static void whenever_it_is_killed_the_log_holds(void **state)
{
	struct world *t = *state;
	size_t files, compressed;

	t->config.audit_compress = true;
	t->config.audit_archive_command = t->archive;
	fill(t, 60);
	stop_writer(t);
	for (int i = 0; i < KILLS; i++) {
		int ready[2], status;
		pid_t pid;
		char byte;

		assert_int_equal(pipe(ready), 0);
		pid = fork();
		if (pid == 0) {
			log_set_level(LOG_LEVEL_ERROR + 1);
			open_writer(t);
			(void)!write(ready[1], "", 1);
			/* A little older each time, so that there is always something to do. */
			t->config.audit_tenant_keep_days = i > KILLS / 2 ? 90 : 0;
			t->config.audit_keep_bytes = i > KILLS * 3 / 4 ? 4000 : 0;
			keep(t, 31 + 2 * i);
			stop_writer(t);
			_exit(0);
		}
		(void)close(ready[1]);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		(void)close(ready[0]);
		(void)nanosleep(&(struct timespec){0, (long)(i % 20) * 1000000}, NULL);
		(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		/* Another process finds a whole log, and takes it up. */
		open_writer(t);
		(void)check(t, &files, &compressed);
		if (i % 5 == 0)
			fill(t, 5);
		stop_writer(t);
	}
	open_writer(t);
	fill(t, 60); /* the killed may have left nothing that is too much */
	t->config.audit_tenant_keep_days = 90;
	t->config.audit_keep_bytes = 4000;
	keep(t, 200);
	assert_true(t->stats.deleted > 0);
	keep(t, 200); /* the rows about the first round have closed files too */
	(void)check(t, &files, &compressed);
	assert_true(t->stats.bytes <= 10000);
	assert_int_equal(count_files(t, "audit.jsonl.rewriting"), 0);
	assert_int_equal(count_files(t, "audit.jsonl.[a-z]*.tmp"), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(closed_files_are_compressed_but_the_newest),
		T(rows_of_a_tenant_expire_and_the_chain_holds),
		T(a_file_that_was_changed_gets_no_seal),
		T(what_is_old_or_too_much_is_deleted),
		T(nothing_goes_that_is_not_archived),
		T(heads_are_pushed),
		T(commands_have_their_words_and_their_time),
		T(whenever_it_is_killed_the_log_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
