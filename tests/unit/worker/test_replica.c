/* Replicas that behave badly: a real primary and its hot standby. Calls fail and say what to do,
 * and the next one after it is over is answered, without anybody's help. */
#include "tests/unit/worker/pgfix.h"

static struct pgfix primary, standby;
static struct fix f;

#define PEOPLE                                                                                   \
	"CREATE ROLE reader LOGIN; CREATE TABLE people(id int PRIMARY KEY, name text);"          \
	"INSERT INTO people SELECT i, 'canary-name-' || i FROM generate_series(1, 2000) i;"      \
	"CREATE TABLE visits(id int PRIMARY KEY, person_id int, note text);"                     \
	"INSERT INTO visits SELECT i, 1 + i % 20, 'note ' || i FROM generate_series(1, 4000) i;" \
	"CREATE VIEW slow AS SELECT id, pg_sleep(1)::text AS s, id % 20 + 1 AS person_id "       \
	"FROM people; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"

#define YAML                                                                    \
	"root_table: people\ntables:\n  - {name: people, mask: {name: hash}}\n" \
	"  - {name: visits, parent: people, fk: person_id, mask: {note: redact}}\n"
#define SLOW_YAML YAML "  - {name: slow, parent: people, fk: person_id}\n"

static void start_standby(void)
{
	int status;
	pid_t pid;

	memset(&standby, 0, sizeof(standby));
	snprintf(standby.dir, sizeof(standby.dir), "%s", "/tmp/airlock-pg.XXXXXX");
	assert_non_null(mkdtemp(standby.dir));
	assert_int_equal(chmod(standby.dir, 0755), 0);
	snprintf(standby.server, sizeof(standby.server), "%s/server", standby.dir);
	pid = fork();
	if (pid == 0) {
		execl(PG_SCRIPT, PG_SCRIPT, "standby", standby.server, primary.server,
			(char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	pgfix_start(&standby);
}

static int start(void **state)
{
	(void)state;
	pgfix_init(&primary);
	pgfix_sql(&primary, PEOPLE, NULL);
	pgfix_sql(&primary, "ALTER SYSTEM SET autovacuum = off", NULL);
	start_standby();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	pgfix_free(&standby);
	pgfix_free(&primary);
	return 0;
}

static void open_on(const struct pgfix *p, const char *yaml)
{
	struct wconfig_error err = {.text = ""};

	fix_dirs(&f, NULL);
	pgfix_url(p, "reader", "", f.url, sizeof(f.url));
	fix_config(&f, yaml);
	if (fix_tools(&f, &err) != RC_OK)
		fail_msg("%s", err.text);
}

static void lags(void **state)
{
	(void)state;
	open_on(&standby, YAML "limits: {replica_max_lag_s: 1}\n");
	pgfix_sql(&primary, "UPDATE people SET name = name WHERE id = 2", NULL);
	/* Nothing was written for a while, and it is not behind for that. */
	pgfix_wait(&standby,
		"SELECT clock_timestamp() - pg_last_xact_replay_timestamp() > interval '1.1 s' AND "
		"pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()",
		"t");
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, "visits");
	pgfix_sql(&standby, "SELECT pg_wal_replay_pause()", NULL);
	pgfix_wait(&standby, "SELECT pg_get_wal_replay_pause_state()", "paused");
	pgfix_sql(&primary, "UPDATE people SET name = name WHERE id = 1", NULL);
	pgfix_wait(&standby,
		"SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn() AND "
		"clock_timestamp() - pg_last_xact_replay_timestamp() > interval '1 s'",
		"t");
	fix_expect(&f, "get_schema", "{\"subject_id\":2}", TOOL_ERROR,
		"the database replica is more than 1 s behind: try again in a minute");
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, NULL); /* held */
	pgfix_sql(&standby, "SELECT pg_wal_replay_resume()", NULL);
	pgfix_wait(&standby, "SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()", "t");
	fix_expect(&f, "get_schema", "{\"subject_id\":2}", TOOL_OK, "visits");
	fix_close(&f);
}

/* A call in a thread of its own, since what disturbs it comes meanwhile. */
struct call {
	pthread_t thread;
	struct tool_result r;
	const char *arguments;
};

static void *call_main(void *arg)
{
	struct call *c = arg;

	fix_call(&f, "get_schema", c->arguments, &c->r);
	return NULL;
}

static void call_begin(struct call *c, const char *arguments)
{
	c->arguments = arguments;
	assert_int_equal(pthread_create(&c->thread, NULL, call_main, c), 0);
}

static void call_end(struct call *c, enum tool_outcome outcome, const char *text)
{
	pthread_join(c->thread, NULL);
	if (c->r.outcome != outcome || !strstr(fix_text(&c->r), text))
		fail_msg("outcome %d: %s", (int)c->r.outcome, fix_text(&c->r));
	buf_free(&c->r.json);
	/* Complete or absent. */
	assert_int_equal(fix_files(&f, ".tmp"), 0);
}

#define READING                                                                          \
	"SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND query LIKE " \
	"'%slow%' AND state = 'active' AND query LIKE '%ANY%'"

/* Rows that a running copy still sees are removed on the primary: the standby ends the copy. */
static void conflicts(void **state)
{
	struct call c;

	(void)state;
	pgfix_sql(&standby, "ALTER SYSTEM SET max_standby_streaming_delay = 0", NULL);
	pgfix_sql(&standby, "SELECT pg_reload_conf()", NULL);
	open_on(&standby, SLOW_YAML);
	call_begin(&c, "{\"subject_id\":3}");
	pgfix_wait(&standby, READING, "1");
	pgfix_sql(&primary, "DELETE FROM people WHERE id > 1500", NULL);
	pgfix_sql(&primary, "VACUUM people", NULL);
	call_end(&c, TOOL_ERROR, "the database replica interrupted the copy: try again now");
	pgfix_sql(&primary,
		"CREATE OR REPLACE VIEW slow AS SELECT id, ''::text AS s, id % 20 + 1 "
		"AS person_id FROM people",
		NULL);
	pgfix_wait(&standby,
		"SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND "
		"pg_get_viewdef('slow') NOT LIKE '%sleep%'",
		"t");
	fix_expect(&f, "get_schema", "{\"subject_id\":3}", TOOL_OK, "slow");
	fix_close(&f);
}

/* The connection ends in the middle of a table. */
static void drops(void **state)
{
	struct call c;

	(void)state;
	pgfix_sql(&primary,
		"CREATE OR REPLACE VIEW slow AS SELECT id, pg_sleep(1)::text AS s, "
		"id % 20 + 1 AS person_id FROM people",
		NULL);
	open_on(&primary, SLOW_YAML);
	call_begin(&c, "{\"subject_id\":4}");
	pgfix_wait(&primary, READING, "1");
	pgfix_sql(&primary,
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'",
		NULL);
	call_end(&c, TOOL_ERROR, "the database was restarted: try again in a minute");
	assert_int_equal(fix_files(&f, ".db"), 0);
	/* The whole server goes away without a word. */
	call_begin(&c, "{\"subject_id\":4}");
	pgfix_wait(&primary, READING, "1");
	kill(primary.pid, SIGQUIT);
	assert_int_equal(waitpid(primary.pid, NULL, 0), primary.pid);
	call_end(&c, TOOL_ERROR, "try again in a minute");
	pgfix_start(&primary);
	pgfix_sql(&primary,
		"CREATE OR REPLACE VIEW slow AS SELECT id, ''::text AS s, id % 20 + 1 "
		"AS person_id FROM people",
		NULL);
	fix_expect(&f, "get_schema", "{\"subject_id\":4}", TOOL_OK, "slow");
	fix_close(&f);
}

#define SLOTS_MAX 200

/* Others hold every connection that the server has for users. */
static void full(void **state)
{
	PGconn *held[SLOTS_MAX];
	int count = 0;
	char url[256];

	(void)state;
	open_on(&primary, YAML);
	pgfix_url(&primary, "reader", "", url, sizeof(url));
	for (; count < SLOTS_MAX; count++) {
		held[count] = PQconnectdb(url);
		if (PQstatus(held[count]) != CONNECTION_OK)
			break;
	}
	assert_true(count > 10 && count < SLOTS_MAX);
	PQfinish(held[count]);
	fix_expect(&f, "get_schema", "{\"subject_id\":5}", TOOL_ERROR,
		"the database has no free connection at the moment: try again in a minute");
	while (count > 0)
		PQfinish(held[--count]);
	pgfix_wait(&primary, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'", "0");
	fix_expect(&f, "get_schema", "{\"subject_id\":5}", TOOL_OK, "visits");
	fix_close(&f);
}

/* Twenty calls at once for one subject read the database once. */
static void shares(void **state)
{
	struct call calls[20];

	(void)state;
	pgfix_sql(&primary,
		"CREATE OR REPLACE VIEW slow AS SELECT id, pg_sleep(0.002)::text AS s, "
		"id % 20 + 1 AS person_id FROM people",
		NULL);
	open_on(&primary, SLOW_YAML);
	for (int i = 0; i < 20; i++)
		call_begin(&calls[i], "{\"subject_id\":6}");
	for (int i = 0; i < 20; i++) {
		pthread_join(calls[i].thread, NULL);
		assert_int_equal(calls[i].r.outcome, TOOL_OK);
		assert_string_equal(calls[i].r.snapshot_id, calls[0].r.snapshot_id);
		buf_free(&calls[i].r.json);
	}
	assert_int_equal(atomic_load(&f.made), 1);
	assert_int_equal(fix_files(&f, ".db"), 1);
	fix_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lags),
		cmocka_unit_test(conflicts),
		cmocka_unit_test(drops),
		cmocka_unit_test(full),
		cmocka_unit_test(shares),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
