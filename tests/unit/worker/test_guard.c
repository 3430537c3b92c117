/* The guard on SQLite: legitimate queries work, what is too long, deep or slow is refused, and the
 * messages help. test_attacks has the hostile statements. */
#include "tests/unit/worker/snapfix.h"

#include "worker/engine.h"

#define TIMEOUT_MS 300 /* for what never ends by itself */
#define PATIENCE_MS 20000
/* s is about n characters of 'a'. */
#define BIG(n) "big(s) AS (SELECT 'a' UNION ALL SELECT s || s FROM big WHERE length(s) < " #n ")"
#define COUNTER "c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
#define LATE_MS 15000 /* the machine may be busy; without a deadline these run for minutes */

static struct engine *engine;
static struct fix f;
static char file[128];
static atomic_bool cancelled;
static int64_t deadline;

static const struct engine_column people_columns[] = {{"id", COLUMN_INT}, {"name", COLUMN_TEXT},
	{"email", COLUMN_TEXT}, {"score", COLUMN_REAL}, {"raw", COLUMN_BLOB},
	{"na\"me \xc3\xa9", COLUMN_ANY}};
static const struct engine_column order_columns[] = {{"id", COLUMN_INT}, {"person_id", COLUMN_INT},
	{"amount", COLUMN_INT}, {"placed_at", COLUMN_TEXT}, {"extra", COLUMN_TEXT}};
static const struct engine_table tables[] = {
	{"people", people_columns, 6}, {"orders", order_columns, 5}};
static const struct engine_shape shape = {tables, 2};

static void fill(struct engine_build *b)
{
	for (int i = 1; i <= 100; i++) {
		char name[32], date[32];
		struct value row[6] = {value_int(i)};

		snprintf(name, sizeof(name), "person %d", i);
		snprintf(date, sizeof(date), "2025-01-%02d 10:00:00", 1 + i % 28);
		row[1] = row[2] = value_text(name, strlen(name));
		row[3] = (struct value){.kind = VALUE_REAL, .r = i / 4.0};
		row[4] = (struct value){.kind = VALUE_BLOB, .p = "\0\1\377", .len = 3};
		row[5] = i % 2 ? value_int(i) : (struct value){.kind = VALUE_NULL};
		assert_int_equal(engine_sqlite.insert(b, 0, row), RC_OK);
		row[1] = value_int(1 + i % 10);
		row[2] = value_int(i * 100L);
		row[3] = value_text(date, strlen(date));
		row[4] = value_text("{\"a\":[1,2,{\"b\":3}]}", 19);
		assert_int_equal(engine_sqlite.insert(b, 1, row), RC_OK);
	}
}

static int setup(void **state)
{
	struct engine_build *b;
	char tmp[128];

	(void)state;
	fix_dirs(&f, "CREATE TABLE outside(secret); INSERT INTO outside VALUES('outside secret')");
	assert_int_equal(mkdir(f.data, 0700), 0);
	snprintf(tmp, sizeof(tmp), "%s/a.tmp", f.data);
	snprintf(file, sizeof(file), "%s/a?b %%41#.db", f.data);
	assert_int_equal(engine_sqlite.create(tmp, &shape, 1 << 24, &b), RC_OK);
	fill(b);
	assert_int_equal(engine_sqlite.seal(b, file), RC_OK);
	assert_int_equal(engine_sqlite.open(file, &shape, &engine), RC_OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	engine_sqlite.close(engine);
	engine = NULL;
	fix_close(&f);
	return 0;
}

static enum budget_state check(void *ctx)
{
	(void)ctx;
	if (atomic_load(&cancelled))
		return BUDGET_CANCELLED;
	return clock_mono_ms() >= deadline ? BUDGET_TIMEOUT : BUDGET_GO;
}

/* Collects the first row as text, values parted by '|'. */
struct got {
	char text[512];
	int64_t rows;
};

static enum rc got_columns(void *ctx, const char *const *names, size_t count)
{
	(void)ctx;
	for (size_t i = 0; i < count; i++)
		assert_non_null(names[i]);
	return RC_OK;
}

static enum rc got_row(void *ctx, const struct value *v, size_t count)
{
	struct got *g = ctx;
	size_t n = 0;

	if (g->rows++ > 0)
		return g->rows > 2000 ? RC_LIMIT : RC_OK;
	for (size_t i = 0; i < count && n < 400; i++) {
		const char *bar = i ? "|" : "";
		size_t room = sizeof(g->text) - n;

		if (v[i].kind == VALUE_INT)
			n += (size_t)snprintf(g->text + n, room, "%s%lld", bar, (long long)v[i].i);
		else if (v[i].kind == VALUE_REAL)
			n += (size_t)snprintf(g->text + n, room, "%s%g", bar, v[i].r);
		else if (v[i].kind == VALUE_NULL)
			n += (size_t)snprintf(g->text + n, room, "%sNULL", bar);
		else
			n += (size_t)snprintf(g->text + n, room, "%s%.*s", bar,
				(int)(v[i].len < 60 ? v[i].len : 60), (const char *)v[i].p);
	}
	return RC_OK;
}

static enum engine_status query_for(
	int64_t ms, const char *sql, size_t len, struct got *g, struct engine_message *m)
{
	struct budget b = {check, NULL};
	struct engine_query q = {.sql = sql, .len = len, .max_memory = 32 << 20, .budget = &b};
	struct engine_sink sink = {got_columns, got_row, g};

	memset(g, 0, sizeof(*g));
	deadline = clock_mono_ms() + ms;
	return engine_sqlite.query(engine, &q, &sink, m);
}

/* However busy the machine. */
static enum engine_status query(
	const char *sql, size_t len, struct got *g, struct engine_message *m)
{
	return query_for(PATIENCE_MS, sql, len, g, m);
}

static void still_works(const char *after)
{
	struct engine_message m;
	struct got g;
	static const char sql[] = "SELECT count(*), sum(id), max(name) FROM people";

	if (query(sql, strlen(sql), &g, &m) != ENGINE_OK ||
		strcmp(g.text, "100|5050|person 99") != 0)
		fail_msg("after %s: %s %s", after, g.text, m.text);
}

static void legitimate(void **state)
{
	static const struct {
		const char *sql, *first;
	} cases[] = {
		{"SELECT 1", "1"},
		{"select id, name from people order by id limit 1;", "1|person 1"},
		{"-- which?\n/* a comment */ SELECT count(*) FROM orders -- the end", "100"},
		{";; SELECT 2 ; ; -- done", "2"},
		{"VALUES (1, 'a')", "1|a"},
		{"SELECT p.name, sum(o.amount) FROM people p JOIN orders o ON o.person_id = p.id "
		 "GROUP BY p.id ORDER BY 2 DESC, 1",
			"person 1|55000"},
		{"WITH t AS (SELECT person_id AS p, count(*) AS n FROM orders GROUP BY 1) SELECT "
		 "count(*) FROM t",
			"10"},
		{"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 50) "
		 "SELECT sum(x) FROM c",
			"1275"},
		{"WITH unused AS (SELECT 1) SELECT count(*) FROM unused, people", "100"},
		{"SELECT id, row_number() OVER (ORDER BY amount DESC) FROM orders LIMIT 1",
			"100|1"},
		{"SELECT person_id, amount - lag(amount) OVER (PARTITION BY person_id ORDER BY id) "
		 "FROM orders ORDER BY id DESC LIMIT 1",
			"1|1000"},
		{"SELECT strftime('%Y-%m', placed_at), count(*) FROM orders GROUP BY 1",
			"2025-01|100"},
		{"SELECT date('2025-03-01', '-1 day'), julianday('2000-01-01')",
			"2025-02-28|2.45154e+06"},
		{"SELECT json_extract(extra, '$.a[2].b'), extra ->> '$.a[0]', extra -> '$.a[2]' "
		 "FROM orders LIMIT 1",
			"3|1|{\"b\":3}"},
		{"SELECT e.key, e.value FROM orders, json_each(extra, '$.a') AS e LIMIT 1", "0|1"},
		{"SELECT count(*) FROM json_tree('{\"a\":[1,2]}')", "4"},
		{"SELECT group_concat(id, '-') FROM (SELECT id FROM people LIMIT 3)", "1-2-3"},
		{"SELECT printf('%05.1f %s', 3.14159, 'x'), format('%d', 5)", "003.1 x|5"},
		{"SELECT printf('%,d|%+d|%-6d|%06.2f|%x|%X|%o|%e', 1234567, 5, 42, 3.14159, 255, "
		 "255, 8, 12345.678)",
			"1,234,567|+5|42    |003.14|ff|FF|10|1.234568e+04"},
		{"SELECT printf('%s-%10s-%-10s|%.3s', 'a', 'b', 'c', 'abcdef'), printf('%z%5z', "
		 "'a', 'b')",
			"a-         b-c         |abc|a    b"},
		{"SELECT printf('%q %Q %Q %w', 'it''s', 'it''s', NULL, 'a\"b'), "
		 "printf('%c%3c%.3c', 'xyz', '\xc3\xa9', '-')",
			"it''s 'it''s' NULL a\"\"b|x  \xc3\xa9---"},
		{"SELECT printf('%*d|%-*d|%.*f|%*d', 5, 42, 5, 42, 2, 1.239, -4, 7), "
		 "printf('%d%%', '12abc'), printf('%s %d'), printf(NULL)",
			"   42|42   |1.24|7   |12%| 0|NULL"},
		{"SELECT \"na\"\"me \xc3\xa9\", typeof(raw), hex(raw) FROM people WHERE id = 1",
			"1|blob|0001FF"},
		{"SELECT name FROM people WHERE name LIKE '%9_' AND name GLOB '*[0-9]' ORDER BY id "
		 "LIMIT 1",
			"person 90"},
		{"SELECT (SELECT max(amount) FROM orders o WHERE o.person_id = p.id) FROM people p "
		 "WHERE p.id = 2",
			"9100"},
		{"SELECT id FROM people EXCEPT SELECT person_id FROM orders ORDER BY 1 LIMIT 1",
			"11"},
		{"SELECT CASE WHEN score > 10 THEN 'hi' ELSE 'lo' END, CAST(score AS INTEGER) FROM "
		 "people WHERE id = 50",
			"hi|12"},
		{"SELECT coalesce(NULL, ifnull(NULL, iif(1, nullif(1, 2), 0)))", "1"},
		{"SELECT round(sqrt(2), 3), pow(2, 10), abs(-3), sign(-2)", "1.414|1024|3|-1"},
		{"SELECT avg(score), total(id), min(id), max(id) FROM people", "12.625|5050|1|100"},
		{"SELECT main.people.id FROM main.people WHERE rowid = 7", "7"},
		{"SELECT upper('a') || lower('B') || length('abc') || substr('hello', 2, 3)",
			"Ab3ell"},
		{"SELECT x'41' = 'A', quote('it''s'), unicode('A'), char(66)", "0|'it''s'|65|B"},
		{"SELECT EXISTS (SELECT 1 FROM orders WHERE amount > 9999)", "1"},
		{"SELECT id FROM people WHERE (id, name) IN (VALUES (3, 'person 3'))", "3"},
		/* Our own instr, replace and trim give what SQLite's give. */
		{"SELECT instr('h\xc3\xa9llo', 'l'), instr('abc', ''), instr('abc', 'd'), "
		 "instr(NULL, 'a'), instr(x'010203', x'03'), instr(123, 2)",
			"3|1|0|NULL|3|2"},
		{"SELECT replace('aXbXc', 'X', '--'), replace('abc', '', 'x'), replace('abc', 'b', "
		 "''), replace(NULL, 'a', 'b'), replace('a', 'a', NULL), replace(1213, 1, 9)",
			"a--b--c|abc|ac|NULL|NULL|9293"},
		{"SELECT trim('  a b '), ltrim('xxaxx', 'x'), rtrim('xxaxx', 'x'), "
		 "trim('\xc3\xa9\xc3\xa9h\xc3\xa9', '\xc3\xa9'), trim('abc', ''), trim(NULL), "
		 "trim('a', NULL)",
			"a b|axx|xxa|h|abc|NULL|NULL"},
	};
	struct engine_message m;
	struct got g;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum engine_status s = query(cases[i].sql, strlen(cases[i].sql), &g, &m);

		if (s != ENGINE_OK || strcmp(g.text, cases[i].first) != 0)
			fail_msg("%s: status %d, %s, %s", cases[i].sql, (int)s, g.text, m.text);
	}
}

/* Statements that are made: long, deep, wide. */
static void made_bombs(void **state)
{
	char *sql = malloc(1 << 20);
	struct engine_message m;
	struct got g;
	int64_t start;
	size_t n;

	(void)state;
	memset(sql, '(', 60000);
	sprintf(sql, "SELECT ");
	memset(sql + 7, '(', 50000);
	sql[50007] = '\0';
	assert_int_equal(query(sql, strlen(sql), &g, &m), ENGINE_REFUSED);
	still_works("parentheses");
	n = (size_t)sprintf(sql, "SELECT 1");
	while (n < 60000)
		n += (size_t)sprintf(sql + n, "+1");
	assert_int_equal(query(sql, n, &g, &m), ENGINE_REFUSED);
	n = (size_t)sprintf(sql, "SELECT 1");
	while (n < 60000)
		n += (size_t)sprintf(sql + n, " UNION ALL SELECT 1");
	assert_int_equal(query(sql, n, &g, &m), ENGINE_REFUSED);
	n = (size_t)sprintf(sql, "SELECT 1");
	while (n < 60000)
		n += (size_t)sprintf(sql + n, ",1");
	assert_int_equal(query(sql, n, &g, &m), ENGINE_REFUSED);
	n = (size_t)sprintf(sql, "SELECT count(*) FROM people");
	while (n < 60000)
		n += (size_t)sprintf(sql + n, ",people");
	assert_int_equal(query(sql, n, &g, &m), ENGINE_REFUSED);
	/* Each expression doubles the one before: 2^40 selects if all were compiled. */
	n = (size_t)sprintf(sql, "WITH c0 AS (SELECT id AS x FROM people)");
	for (int i = 1; i < 40; i++)
		n += (size_t)sprintf(
			sql + n, ", c%d AS (SELECT a.x FROM c%d a, c%d b)", i, i - 1, i - 1);
	n += (size_t)sprintf(sql + n, " SELECT * FROM c39");
	start = clock_mono_ms();
	assert_int_not_equal(query_for(TIMEOUT_MS, sql, n, &g, &m), ENGINE_OK);
	assert_true(clock_mono_ms() - start < LATE_MS);
	still_works("doubling");
	n = (size_t)sprintf(sql, "SELECT '");
	memset(sql + n, 'x', 70000);
	sprintf(sql + n + 70000, "'");
	assert_int_equal(query(sql, strlen(sql), &g, &m), ENGINE_REFUSED);
	assert_string_equal(m.text, "the statement is too long");
	memset(sql, ';', 60000);
	assert_int_equal(query(sql, 60000, &g, &m), ENGINE_REFUSED);
	assert_int_equal(query("SELECT 1\0; DROP", 15, &g, &m), ENGINE_REFUSED);
	/* Many text functions in a row, each on a megabyte, between two looks at the clock. */
	n = (size_t)sprintf(sql,
		"WITH RECURSIVE " BIG(
			1000000) ", " COUNTER
				 " SELECT count(*) FROM c, big WHERE length(s) > 900000 AND (0");
	for (int i = 0; i < 60; i++)
		n += (size_t)sprintf(sql + n, " OR trim(s, 'bcd%c') = x OR instr(s, 'aab%d' || x)",
			'e' + i % 20, i);
	n += (size_t)sprintf(sql + n, ")");
	start = clock_mono_ms();
	if (query_for(TIMEOUT_MS, sql, n, &g, &m) != ENGINE_TIMEOUT)
		fail_msg("%s", m.text);
	assert_true(clock_mono_ms() - start < LATE_MS);
	still_works("text functions");
	free(sql);
}

static void messages(void **state)
{
	static const struct {
		const char *sql, *message;
	} cases[] = {
		{"SELECT nme FROM people", "no such column: nme; did you mean 'name'?"},
		{"SELECT p.nme FROM people p", "no such column: p.nme; did you mean 'name'?"},
		{"SELECT people.zzzzzzzz FROM people",
			"no such column: people.zzzzzzzz; its columns: id, name, email, score, "
			"raw, na\"me \xc3\xa9"},
		{"SELECT zzzzzzzz FROM people",
			"no such column: zzzzzzzz; get_schema lists the columns; text needs single "
			"quotes"},
		{"SELECT * FROM peple", "no such table: peple; did you mean 'people'?"},
		{"SELECT * FROM zzzzzzzz", "no such table: zzzzzzzz; tables here: people, orders"},
		{"SELEC 1", "syntax error near 'SELEC'"},
		{"SELECT 1 + 'secret' 'value' 'more'",
			"syntax error near a literal or quoted name"},
		{"SELECT 1 4111111111111111", "syntax error near a literal or quoted name"},
		{"SELECT 'secret", "syntax error near a literal or quoted name"},
		{"SELECT id FROM people, orders", "ambiguous column name: id"},
		{"SELECT no_such(1)", "no such function: no_such"},
		{"SELECT length()", "wrong number of arguments to function length()"},
		{"SELECT * FROM sqlite_master",
			"the catalog 'sqlite_master' can't be read: call get_schema for tables and "
			"columns"},
		{"SELECT randomblob(1)", "function 'randomblob' is not available here"},
		{"DELETE FROM people",
			"only one SELECT statement is allowed: a snapshot is read only"},
		{"SELECT 1; SELECT 2",
			"only one statement is allowed: leave out what comes after the first"},
		{"", "there is no statement in sql"},
		{"SELECT ?", "parameters can't be bound here: write the value into the statement"},
		{"SELECT json_extract('{}', name) FROM people",
			"a JSON path is malformed: it should look like $.name or $[0]"},
		{"SELECT json_extract(name, '$.a') FROM people", "malformed JSON"},
		{"SELECT abs(-9223372036854775807 - 1)", "integer overflow"},
		{"SELECT printf('%.1000000000c', 'x')",
			"a conversion in the format of printf is unknown or too wide"},
		{"WITH RECURSIVE " BIG(1000000) " SELECT length(s || s || s) FROM big",
			"a value grew too large: build smaller texts"},
		{"SELECT * FROM people a, people b, people c, people d ORDER BY a.name || b.name "
		 "|| c.name || d.name",
			"the statement needs too much memory: select fewer rows or columns, sort "
			"or join less"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct budget b = {NULL, NULL};
		struct engine_query q = {.sql = cases[i].sql,
			.len = strlen(cases[i].sql),
			.max_memory = 32 << 20,
			.budget = &b};
		struct got g = {.rows = 0};
		struct engine_sink sink = {got_columns, got_row, &g};
		struct engine_message m;

		if (engine_sqlite.query(engine, &q, &sink, &m) != ENGINE_REFUSED ||
			strcmp(m.text, cases[i].message) != 0)
			fail_msg("%s: %s", cases[i].sql, m.text);
	}
}

static void long_names_stay_bounded(void **state)
{
	char sql[2000], name[1500];
	struct engine_message m;
	struct got g;

	(void)state;
	memset(name, 'q', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(sql, sizeof(sql), "SELECT %s FROM people", name);
	assert_int_equal(query(sql, strlen(sql), &g, &m), ENGINE_REFUSED);
	assert_true(strlen(m.text) < 200);
	snprintf(sql, sizeof(sql), "SELECT * FROM %s", name);
	assert_int_equal(query(sql, strlen(sql), &g, &m), ENGINE_REFUSED);
	assert_true(strlen(m.text) < 200);
	snprintf(sql, sizeof(sql), "SELECT %s(1)", name);
	assert_int_equal(query(sql, strlen(sql), &g, &m), ENGINE_REFUSED);
	assert_true(strlen(m.text) < 200);
	snprintf(sql, sizeof(sql), "SELECT \"\n\t\x1b[31m\" FROM people");
	assert_int_equal(query(sql, strlen(sql), &g, &m), ENGINE_REFUSED);
	assert_null(strpbrk(m.text, "\n\t\x1b"));
}

static void *cancel_soon(void *arg)
{
	atomic_int *begun = arg;

	while (atomic_load(begun) == 0)
		usleep(1000);
	atomic_store(&cancelled, true);
	return NULL;
}

static atomic_int begun;

static enum rc begin_row(void *ctx, const struct value *v, size_t count)
{
	(void)ctx;
	(void)v;
	(void)count;
	atomic_store(&begun, 1);
	return RC_OK;
}

/* The flag is set by another thread while the statement runs. */
static void cancel(void **state)
{
	static const char sql[] =
		"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c";
	struct budget b = {check, NULL};
	struct engine_query q = {
		.sql = sql, .len = strlen(sql), .max_memory = 8 << 20, .budget = &b};
	struct engine_sink sink = {got_columns, begin_row, NULL};
	struct engine_message m;
	pthread_t thread;

	(void)state;
	deadline = clock_mono_ms() + PATIENCE_MS;
	pthread_create(&thread, NULL, cancel_soon, &begun);
	assert_int_equal(engine_sqlite.query(engine, &q, &sink, &m), ENGINE_CANCELLED);
	pthread_join(thread, NULL);
	atomic_store(&cancelled, false);
	still_works("cancel");
}

static void deadline_is_kept(void **state)
{
	static const char sql[] = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
				  "SELECT count(*) FROM c";
	struct engine_message m;
	struct got g;
	int64_t start = clock_mono_ms(), took;

	(void)state;
	assert_int_equal(query_for(TIMEOUT_MS, sql, strlen(sql), &g, &m), ENGINE_TIMEOUT);
	took = clock_mono_ms() - start;
	assert_true(took >= TIMEOUT_MS && took < LATE_MS);
}

static void *hammer(void *arg)
{
	static const char bad[] =
		"SELECT * FROM people a, people b, people c ORDER BY a.name || b.name || c.name";
	static const char good[] = "SELECT count(*), sum(id), max(name) FROM people";
	struct budget b = {NULL, NULL};
	struct engine_message m;
	int *wrong = arg;

	for (int i = 0; i < 20; i++) {
		bool is_bad = (i + *wrong) % 2;
		struct engine_query q = {.sql = is_bad ? bad : good,
			.max_memory = is_bad ? 2 << 20 : 8 << 20,
			.budget = &b};
		struct got g = {.rows = 0};
		struct engine_sink sink = {got_columns, got_row, &g};
		enum engine_status s;

		q.len = strlen(q.sql);
		s = engine_sqlite.query(engine, &q, &sink, &m);
		if (is_bad ? s != ENGINE_REFUSED
			   : s != ENGINE_OK || strcmp(g.text, "100|5050|person 99") != 0)
			return "wrong";
	}
	return NULL;
}

/* A statement that runs out of its own memory leaves its neighbours theirs. */
static void neighbours(void **state)
{
	pthread_t threads[4];
	int odd[4] = {0, 1, 0, 1};

	(void)state;
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, hammer, &odd[i]);
	for (int i = 0; i < 4; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(legitimate),
		cmocka_unit_test(made_bombs),
		cmocka_unit_test(messages),
		cmocka_unit_test(long_names_stay_bounded),
		cmocka_unit_test(cancel),
		cmocka_unit_test(deadline_is_kept),
		cmocka_unit_test(neighbours),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
