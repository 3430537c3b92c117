/* DuckDB as snapshot engine: agents see what they would see with SQLite, limits hold, and a process
 * that is late, crashes or is missing costs one statement. */
#include "tests/unit/worker/snapfix.h"

#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/worker/duckfix.h"
#include "worker/result.h"

#define MEMORY ((int64_t)64 << 20)

static const struct engine_column columns[] = {{"id", COLUMN_INT}, {"name", COLUMN_TEXT},
	{"score", COLUMN_REAL}, {"raw", COLUMN_BLOB}, {"amount", COLUMN_ANY}, {"exact", COLUMN_ANY},
	{"na\"me \xc3\xa9", COLUMN_TEXT}, {"nothing", COLUMN_ANY}};
static const struct engine_column order_columns[] = {{"id", COLUMN_INT}, {"person_id", COLUMN_INT}};
static const struct engine_table tables[] = {
	{"people", columns, 8}, {"shop.orders", order_columns, 2}};
static const struct engine_shape shape = {tables, 2};

static struct fix f;
static struct engine *engine;
static char file[128];
static int64_t deadline;

static struct value real(double r)
{
	return (struct value){.kind = VALUE_REAL, .r = r};
}

static void insert(const struct engine_ops *ops, struct engine_build *b)
{
	static const struct value null = {.kind = VALUE_NULL};
	struct value rows[4][8] = {
		{value_int(1), value_text("Ann", 3), real(0.5),
			{.kind = VALUE_BLOB, .p = "\0\1\377", .len = 3}, value_int(3),
			value_int(INT64_MAX), value_text("x", 1), null},
		{value_int(2), value_text("", 0), real(-2), {.kind = VALUE_BLOB, .p = "", .len = 0},
			real(2.25), value_text("12345678901234567890.123", 24), null, null},
		{value_int(-3),
			value_text("a\xff"
				   "b",
				3),
			value_text("NaN", 3), null, null, null, value_text("it's \"q\"", 8), null},
		{null, value_text("a text of more than twelve bytes", 32),
			value_text("-Infinity", 9), null, value_int(-4), value_int(0), null, null}};

	for (int i = 0; i < 4; i++)
		assert_int_equal(ops->insert(b, 0, rows[i]), RC_OK);
	for (int i = 0; i < 5000; i++) {
		struct value row[2] = {value_int(i), value_int(1 + i % 2)};

		assert_int_equal(ops->insert(b, 1, row), RC_OK);
	}
}

static void make_file(const struct engine_ops *ops, const char *path, struct engine **out)
{
	struct engine_build *b;
	char tmp[160];

	snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	assert_int_equal(ops->create(tmp, &shape, 1 << 24, &b), RC_OK);
	insert(ops, b);
	assert_int_equal(ops->seal(b, path), RC_OK);
	assert_int_equal(ops->open(path, &shape, out), RC_OK);
}

static void make(const struct engine_ops *ops, const char *path, struct engine **out)
{
	struct engine_settings settings = {.library = duckfix_library(), .max_memory = MEMORY};
	struct engine_message why;

	if (ops->init(&settings, &why) != RC_OK)
		fail_msg("%s", why.text);
	make_file(ops, path, out);
}

static int setup(void **state)
{
	(void)state;
	fix_dirs(&f, NULL);
	snprintf(f.data, sizeof(f.data), "%s/o d *{x} %%41#", f.dir);
	assert_int_equal(mkdir(f.data, 0700), 0);
	snprintf(file, sizeof(file), "%s/a.db", f.data);
	if (duckfix_library())
		make(&engine_duckdb, file, &engine);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	engine_duckdb.close(engine);
	engine_duckdb.stop();
	fix_close(&f);
	return 0;
}

/* npm has no DuckDB for this machine */
#define NEEDS_DUCKDB()          \
	do {                    \
		(void)state;    \
		if (!engine)    \
			skip(); \
	} while (0)

static enum budget_state check(void *ctx)
{
	(void)ctx;
	return clock_mono_ms() >= deadline ? BUDGET_TIMEOUT : BUDGET_GO;
}

/* As execute_sql answers it. */
static enum engine_status ask(const struct engine_ops *ops, struct engine *e, const char *sql,
	int64_t max_rows, int64_t max_bytes, char out[4096], struct engine_message *m)
{
	struct budget b = {check, NULL};
	struct engine_query q = {
		.sql = sql, .len = strlen(sql), .max_memory = MEMORY, .budget = &b};
	struct engine_sink sink;
	struct result r;
	struct buf json;
	enum engine_status s;

	buf_init(&json, 1 << 20);
	result_begin(&r, &json, max_rows, max_bytes, &sink);
	s = ops->query(e, &q, &sink, m);
	result_end(&r);
	assert_true(json.len < 4096);
	memcpy(out, json.data, json.len);
	out[json.len] = '\0';
	buf_free(&json);
	return s;
}

static enum engine_status ask_duckdb(const char *sql, char out[4096], struct engine_message *m)
{
	deadline = clock_mono_ms() + 20000;
	return ask(&engine_duckdb, engine, sql, 1000, 1 << 16, out, m);
}

static void same_as_sqlite(void **state)
{
	static const char *const statements[] = {
		"SELECT * FROM people ORDER BY id NULLS LAST",
		"SELECT id, score, raw, \"na\"\"me \xc3\xa9\" FROM people WHERE id > 0 ORDER BY 1",
		"SELECT count(*) AS n, sum(id) AS s, avg(id) AS a, max(name) AS m FROM people",
		"SELECT count(*) AS n, sum(person_id) AS s FROM \"shop.orders\"",
		"SELECT p.name AS n, count(*) AS c FROM people p JOIN \"shop.orders\" o ON "
		"o.person_id = p.id GROUP BY p.id, p.name ORDER BY c DESC, n",
		"SELECT id > 1 AS b, id = 1 AS c, NOT id = 1 AS d FROM people WHERE id > 0 ORDER "
		"BY id",
		"SELECT 1.5 AS a, 2 * 3 AS b, 'x' || 'y' AS c, NULL AS d, 1e3 AS e",
		"SELECT id FROM people WHERE amount > 2.5 ORDER BY id",
		"SELECT id FROM people WHERE name LIKE '%text%'",
		"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 50) "
		"SELECT sum(x) AS s FROM c",
	};
	char path[160], a[4096], b[4096];
	struct engine_message m;
	struct engine *sqlite;

	NEEDS_DUCKDB();
	snprintf(path, sizeof(path), "%s/sqlite.db", f.data);
	make(&engine_sqlite, path, &sqlite);
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
		deadline = clock_mono_ms() + 20000;
		assert_int_equal(
			ask(&engine_sqlite, sqlite, statements[i], 100, 4000, a, &m), ENGINE_OK);
		if (ask_duckdb(statements[i], b, &m) != ENGINE_OK)
			fail_msg("%s: %s", statements[i], m.text);
		/* What is between: a column of numbers and texts is one of texts, since DuckDB's
		 * columns have one type. */
		if (i == 0) {
			assert_non_null(strstr(b, "\"12345678901234567890.123\""));
			assert_non_null(strstr(b, "\"9223372036854775807\""));
			continue;
		}
		assert_string_equal(a, b);
	}
	engine_sqlite.close(sqlite);
}

static void types(void **state)
{
	static const struct {
		const char *expression, *json;
	} cases[] = {
		{"true", "1"},
		{"(-128)::TINYINT", "-128"},
		{"255::UTINYINT", "255"},
		{"65535::USMALLINT", "65535"},
		{"4294967295::UINTEGER", "4294967295"},
		{"18446744073709551615::UBIGINT", "\"18446744073709551615\""},
		{"170141183460469231731687303715884105727::HUGEINT",
			"\"170141183460469231731687303715884105727\""},
		{"(-170141183460469231731687303715884105728)::HUGEINT",
			"\"-170141183460469231731687303715884105728\""},
		{"340282366920938463463374607431768211455::UHUGEINT",
			"\"340282366920938463463374607431768211455\""},
		{"7::UHUGEINT", "7"},
		{"7::HUGEINT", "7"},
		{"0.5::FLOAT", "0.5"},
		{"'nan'::DOUBLE", "\"NaN\""},
		{"'-inf'::DOUBLE", "\"-Infinity\""},
		{"1.50", "1.5"},
		{"(-0.05)::DECIMAL(4,2)", "-0.05"},
		{"12::DECIMAL(9,0)", "12"},
		{"12345678901234567890.12", "\"12345678901234567890.12\""},
		{"DATE '2024-02-29'", "\"2024-02-29\""},
		{"DATE '1969-12-31'", "\"1969-12-31\""},
		{"DATE '0001-01-01'", "\"0001-01-01\""},
		{"DATE 'infinity'", "\"infinity\""},
		{"TIME '01:02:03.4'", "\"01:02:03.4\""},
		{"TIMESTAMP '2024-03-01 04:30:00.125'", "\"2024-03-01 04:30:00.125\""},
		{"TIMESTAMP '1899-12-31 23:59:59.000001'", "\"1899-12-31 23:59:59.000001\""},
		{"'2024-03-01 04:30:00'::TIMESTAMP_S", "\"2024-03-01 04:30:00\""},
		{"'2024-03-01 04:30:00.5'::TIMESTAMP_MS", "\"2024-03-01 04:30:00.5\""},
		{"'2024-03-01 04:30:00.5'::TIMESTAMP_NS", "\"2024-03-01 04:30:00.5\""},
		{"to_timestamp(0)", "\"1970-01-01T00:00:00Z\""},
		{"INTERVAL 14 MONTH + INTERVAL 3 DAY + INTERVAL 3723 SECOND", "\"P1Y2M3DT1H2M3S\""},
		{"INTERVAL 0 DAY", "\"PT0S\""},
		{"INTERVAL (-1500) MILLISECOND", "\"PT-1.500000S\""},
		{"'00112233-4455-6677-8899-aabbccddeeff'::UUID",
			"\"00112233-4455-6677-8899-aabbccddeeff\""},
		{"[1, NULL, 3]", "\"[1,null,3]\""},
		{"[['a'], []]", "\"[[\\\"a\\\"],[]]\""},
		{"{'a': 1, 'b': 'x\"y', 'c': true, 'd': 0.5}",
			"\"{\\\"a\\\":1,\\\"b\\\":\\\"x\\\\\\\"y\\\",\\\"c\\\":true,\\\"d\\\":0.5}"
			"\""},
		{"MAP {1: 'x', 2: NULL}", "\"{\\\"1\\\":\\\"x\\\",\\\"2\\\":null}\""},
		{"[1, 2]::INTEGER[2]", "\"[1,2]\""},
		{"'\\x00\\xFF'::BLOB", "{\"$base64\":\"AP8=\"}"},
		{"repeat('long ', 5)", "\"long long long long long \""},
		{"NULL", "null"},
	};
	char sql[256], out[4096], want[256];
	struct engine_message m;

	NEEDS_DUCKDB();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(sql, sizeof(sql), "SELECT %s AS v", cases[i].expression);
		snprintf(want, sizeof(want),
			"\"columns\":[\"v\"],\"rows\":[[%s]],\"row_count\":1,\"truncated\":false",
			cases[i].json);
		if (ask_duckdb(sql, out, &m) != ENGINE_OK || strcmp(out, want) != 0)
			fail_msg("%s: %s %s, not %s", sql, m.text, out, want);
	}
	assert_int_equal(ask_duckdb("SELECT '[1]'::BLOB AS b, ['\\x00'::BLOB] AS l", out, &m),
		ENGINE_REFUSED);
	assert_string_equal(
		m.text, "column 'l' has a type that can't be shown: CAST it to VARCHAR");
}

static void messages(void **state)
{
	static const struct {
		const char *sql, *message;
	} cases[] = {
		{"SELECT nme FROM people", "no such column: nme; did you mean 'name'?"},
		{"SELECT p.nme FROM people p", "no such column: nme; did you mean 'name'?"},
		{"SELECT * FROM peple", "no such table: peple; did you mean 'people'?"},
		{"SELECT * FROM shop.orders", "'shop' can't be read: a snapshot has one schema"},
		{"SELEC 1", "syntax error near 'SELEC'"},
		{"SELECT 1 + 'secret' 'value' 'more'",
			"syntax error near a literal or quoted name"},
		{"SELECT", "syntax error: the statement ends early, or is no SQL"},
		{"SELECT no_such(1)", "function 'no_such' is not available here"},
		{"SELECT read_text('x')", "function 'read_text' is not available here"},
		{"SELECT * FROM read_csv('x')", "function 'read_csv' is not available here"},
		{"DELETE FROM people",
			"only one SELECT statement is allowed: a snapshot is read only"},
		{"SELECT 1; SELECT 2",
			"only one statement is allowed: leave out what comes after the first"},
		{"", "there is no statement in sql"},
		{"-- nothing", "there is no statement in sql"},
		{"SELECT ?", "parameters can't be bound here: write the value into the statement"},
		{"SELECT x'41'::nothing", "a type that the statement names is not available here"},
		{"SELECT name::INTEGER FROM people",
			"a value can't be converted to the type that the statement wants: use "
			"TRY_CAST, or compare it as text"},
		{"DESCRIBE people",
			"DESCRIBE, SUMMARIZE and SHOW are not available here: call get_schema"},
	};
	struct engine_message m;
	char out[4096];

	NEEDS_DUCKDB();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (ask_duckdb(cases[i].sql, out, &m) != ENGINE_REFUSED ||
			strcmp(m.text, cases[i].message) != 0)
			print_error("%s: %s\n", cases[i].sql, m.text), fail();
}

static void caps(void **state)
{
	char out[4096];
	struct engine_message m;

	NEEDS_DUCKDB();
	deadline = clock_mono_ms() + 20000;
	assert_int_equal(
		ask(&engine_duckdb, engine, "SELECT id FROM \"shop.orders\"", 2, 1000, out, &m),
		ENGINE_OK);
	assert_non_null(strstr(out, "\"row_count\":2,\"truncated\":true"));
	assert_int_equal(
		ask(&engine_duckdb, engine, "SELECT id FROM people", 4, 1000, out, &m), ENGINE_OK);
	assert_non_null(strstr(out, "\"row_count\":4,\"truncated\":false"));
	assert_int_equal(
		ask(&engine_duckdb, engine, "SELECT id FROM \"shop.orders\"", 1000, 200, out, &m),
		ENGINE_OK);
	assert_non_null(strstr(out, "\"truncated\":true"));
	/* More than the sockets hold, and it works on. */
	assert_int_equal(
		ask(&engine_duckdb, engine,
			"SELECT a.id, repeat('x', 200) FROM \"shop.orders\" a, \"shop.orders\" b",
			3, 3000, out, &m),
		ENGINE_OK);
	assert_non_null(strstr(out, "\"row_count\":3,\"truncated\":true"));
	assert_int_equal(ask_duckdb("SELECT 1 AS one", out, &m), ENGINE_OK);
}

/* A statement that does not look at the interrupt is ended with its process; the next one works.
 * Neither of these comes to an end of its own, by its memory say, before the deadline is seen. */
static void deadline_is_kept(void **state)
{
	static const char *const slow[] = {
		"SELECT levenshtein(repeat('a', 1000000), repeat('b', 1000000))",
		"SELECT count(*) FROM range(100000) a, range(100000) b, range(100000) c"};
	char out[4096];
	struct engine_message m;

	NEEDS_DUCKDB();
	for (size_t i = 0; i < 2; i++) {
		deadline = clock_mono_ms() + 50;
		if (ask(&engine_duckdb, engine, slow[i], 10, 1000, out, &m) != ENGINE_TIMEOUT)
			fail_msg("%s: %s", slow[i], m.text);
		assert_int_equal(ask_duckdb("SELECT 1 AS one", out, &m), ENGINE_OK);
	}
}

static int children(pid_t *pids, int max)
{
	char path[64], line[4096];
	char *at = line;
	int n = 0;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	in = fopen(path, "r");
	if (!in || !fgets(line, sizeof(line), in))
		*line = '\0';
	if (in)
		fclose(in);
	while (n < max && *at) {
		pids[n] = (pid_t)strtol(at, &at, 10);
		if (pids[n] > 0)
			n++;
		while (*at == ' ')
			at++;
	}
	return n;
}

/* The process that waits for a statement dies, and so do those that wait for any work; statements
 * do not notice. */
static void processes_die(void **state)
{
	struct engine *other = NULL;
	struct engine_message m;
	char out[4096], path[160];
	pid_t pids[8] = {0};
	int count;

	NEEDS_DUCKDB();
	assert_int_equal(ask_duckdb("SELECT 1 AS one", out, &m), ENGINE_OK);
	count = children(pids, 8);
	assert_int_equal(count, 1 + 2);
	for (int i = 0; i < count; i++) {
		siginfo_t info = {.si_pid = 0};

		assert_int_equal(kill(pids[i], SIGKILL), 0);
		/* Not reaped: that is the engine's. */
		assert_int_equal(waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOWAIT), 0);
	}
	assert_int_equal(ask_duckdb("SELECT 2 AS two", out, &m), ENGINE_OK);
	assert_non_null(strstr(out, "[[2]]"));
	snprintf(path, sizeof(path), "%s/other.db", f.data);
	make_file(&engine_duckdb, path, &other);
	engine_duckdb.close(other);
	assert_int_equal(unlink(path), 0);
}

/* A call finds processes that have loaded the library; there are never more than two, and none
 * after the end. */
static void spares(void **state)
{
	struct engine *others[4];
	struct engine_message m;
	char out[4096], path[160];
	pid_t before[8] = {0}, after[8] = {0};
	int taken = 0, count;

	NEEDS_DUCKDB();
	assert_int_equal(ask_duckdb("SELECT 1 AS one", out, &m), ENGINE_OK);
	count = children(before, 8);
	snprintf(path, sizeof(path), "%s/first.db", f.data);
	make_file(&engine_duckdb, path, &others[0]);
	assert_int_equal(children(after, 8), count + 1);
	/* One of them wrote and is gone, the other reads. */
	for (int i = 0; i < count; i++)
		taken += kill(before[i], 0) != 0;
	assert_int_equal(taken, 1);
	for (int i = 1; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/n%d.db", f.data, i);
		make_file(&engine_duckdb, path, &others[i]);
	}
	assert_int_equal(children(after, 8), count + 4);
	for (int i = 0; i < 4; i++)
		engine_duckdb.close(others[i]);
	engine_duckdb.stop();
	assert_int_equal(children(after, 8), 1);
	assert_int_equal(ask_duckdb("SELECT 1 AS one", out, &m), ENGINE_OK);
}

/* The file is masked rows for this user alone. */
static void file_mode(void **state)
{
	struct stat st;

	NEEDS_DUCKDB();
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fix_files(&f, ".tmp") + fix_files(&f, ".wal"), 0);
}

static void too_many_bytes(void **state)
{
	struct value row[2];
	struct engine_build *b;
	char tmp[128], path[128];
	enum rc rc = RC_OK;

	NEEDS_DUCKDB();
	snprintf(tmp, sizeof(tmp), "%s/big.tmp", f.data);
	snprintf(path, sizeof(path), "%s/big.db", f.data);
	assert_int_equal(engine_duckdb.create(tmp, &shape, 200000, &b), RC_OK);
	for (int64_t i = 0; rc == RC_OK && i < 2000000; i++) {
		row[0] = value_int(i * 2654435761 % 4294967296);
		row[1] = value_int(i * 40503 % 65536);
		rc = engine_duckdb.insert(b, 1, row);
	}
	if (rc == RC_OK)
		rc = engine_duckdb.seal(b, path);
	else
		engine_duckdb.abandon(b);
	assert_int_equal(rc, RC_LIMIT);
	assert_int_equal(fix_files(&f, ".tmp") + fix_files(&f, ".wal"), 0);
	assert_int_equal(access(path, F_OK), -1);
}

static void abandoned(void **state)
{
	struct engine_build *b;
	char tmp[128];

	NEEDS_DUCKDB();
	snprintf(tmp, sizeof(tmp), "%s/left.tmp", f.data);
	assert_int_equal(engine_duckdb.create(tmp, &shape, 1 << 24, &b), RC_OK);
	insert(&engine_duckdb, b);
	engine_duckdb.abandon(b);
	engine_duckdb.abandon(NULL);
	assert_int_equal(fix_files(&f, ".tmp") + fix_files(&f, ".wal"), 0);
}

static void no_library(void **state)
{
	struct engine_settings settings = {.library = "/nonexistent/libduckdb.so"};
	struct engine_message why;

	NEEDS_DUCKDB();
	assert_int_equal(engine_duckdb.init(&settings, &why), RC_INVALID);
	assert_non_null(strstr(why.text, "/nonexistent/libduckdb.so was not found; download "));
	settings.library = "/proc/self/exe"; /* a program, and none of DuckDB's functions */
	assert_int_equal(engine_duckdb.init(&settings, &why), RC_INVALID);
	settings = (struct engine_settings){.library = duckfix_library(), .max_memory = MEMORY};
	assert_int_equal(engine_duckdb.init(&settings, &why), RC_OK);
}

struct asker {
	int number;
	bool ok;
};

static void *ask_often(void *arg)
{
	struct asker *a = arg;
	char sql[64], out[4096], want[32];
	struct engine_message m;

	a->ok = true;
	for (int i = 0; i < 20; i++) {
		snprintf(sql, sizeof(sql), "SELECT %d + %d AS sum", a->number, i);
		snprintf(want, sizeof(want), "[[%d]]", a->number + i);
		a->ok = a->ok && ask(&engine_duckdb, engine, sql, 10, 1000, out, &m) == ENGINE_OK &&
			strstr(out, want);
	}
	return NULL;
}

static void at_once(void **state)
{
	struct asker askers[4];
	pthread_t threads[4];

	NEEDS_DUCKDB();
	deadline = clock_mono_ms() + 60000;
	for (int i = 0; i < 4; i++) {
		askers[i] = (struct asker){.number = 1000 * i};
		pthread_create(&threads[i], NULL, ask_often, &askers[i]);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_true(askers[i].ok);
	}
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_sqlite),
		cmocka_unit_test(types),
		cmocka_unit_test(messages),
		cmocka_unit_test(caps),
		cmocka_unit_test(deadline_is_kept),
		cmocka_unit_test(processes_die),
		cmocka_unit_test(spares),
		cmocka_unit_test(file_mode),
		cmocka_unit_test(too_many_bytes),
		cmocka_unit_test(abandoned),
		cmocka_unit_test(no_library),
		cmocka_unit_test(at_once),
	};

	DUCKFIX_MAIN(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
