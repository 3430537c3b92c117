/* snapshot: what a worker's snapshots cost, beside COPY of the same rows and beside the engine
 * itself. Prints one JSON object.
 *   snapshot DATABASE_URL AIRLOCK_YAML SUBJECTS ROUNDS
 * Subjects are 1 to SUBJECTS; each is exported ROUNDS times, and so are its rows by COPY, in turn. */
#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/buf.h"
#include "shared/clock.h"
#include "shared/jscan.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "worker/duckdb_helper.h"
#include "worker/engine.h"
#include "worker/tools.h"
#include "worker/wconfig.h"

#define RUNS_MAX 256
#define WARM_CALLS 400
#define QUERY "SELECT id, customer_id, amount, status, placed_at FROM orders ORDER BY id LIMIT 100"

struct samples {
	double ms[RUNS_MAX];
	int count;
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void add(struct samples *s, double ms)
{
	if (s->count < RUNS_MAX)
		s->ms[s->count++] = ms;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void put_samples(const char *name, const struct samples *s)
{
	printf("\"%s\":[", name);
	for (int i = 0; i < s->count; i++)
		printf("%s%.4f", i ? "," : "", s->ms[i]);
	printf("],");
}

static void fail(const char *what)
{
	fprintf(stderr, "snapshot: %s\n", what);
	exit(1);
}

static long resident_kib(const char *key)
{
	char line[256];
	long kib = 0;
	FILE *in = fopen("/proc/self/status", "r");

	while (in && fgets(line, sizeof(line), in))
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtol(line + strlen(key), NULL, 10);
	if (in)
		fclose(in);
	return kib;
}

static void ignore(void *ctx, const char *id, const char *json, size_t len)
{
	(void)ctx;
	(void)id;
	(void)json;
	(void)len;
}

/* One call of execute_sql; ms. */
static double call(struct tools *t, int subject, const char *sql)
{
	struct tool_call c = {
		.name = "execute_sql", .deadline_mono_ms = clock_mono_ms() + 120000};
	struct tool_result r;
	char arguments[512];
	double begun;

	snprintf(arguments, sizeof(arguments), "{\"subject_id\":%d,\"sql\":\"%s\"}", subject, sql);
	if (jscan_parse(arguments, strlen(arguments), &c.arguments) != RC_OK)
		fail("arguments");
	buf_init(&r.json, 64 << 20);
	begun = now_ms();
	tools_call(t, &c, &r);
	begun = now_ms() - begun;
	if (r.outcome != TOOL_OK) {
		fprintf(stderr, "%.*s\n", (int)r.json.len, (const char *)r.json.data);
		fail("a call failed");
	}
	buf_free(&r.json);
	return begun;
}

static void copy_out(PGconn *conn, FILE *out, const char *sql)
{
	PGresult *res = PQexec(conn, sql);
	char *data;
	int n;

	if (PQresultStatus(res) != PGRES_COPY_OUT)
		fail(PQerrorMessage(conn));
	PQclear(res);
	while ((n = PQgetCopyData(conn, &data, 0)) > 0) {
		fwrite(data, 1, (size_t)n, out);
		PQfreemem(data);
	}
	while ((res = PQgetResult(conn)))
		PQclear(res);
}

/* The same rows as text in a file, as `psql \copy` makes it: connecting and all. */
static double copy(const char *url, const char *path, int subject)
{
	static const char *const statements[] = {
		"COPY (SELECT * FROM customers WHERE id = %d) TO STDOUT",
		"COPY (SELECT * FROM orders WHERE customer_id = %d) TO STDOUT",
		"COPY (SELECT * FROM items WHERE order_id IN (SELECT id FROM orders WHERE "
		"customer_id = %d)) TO STDOUT"};
	double begun = now_ms();
	PGconn *conn = PQconnectdb(url);
	FILE *out = fopen(path, "w");
	char sql[256];

	if (PQstatus(conn) != CONNECTION_OK || !out)
		fail("COPY can't begin");
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
		snprintf(sql, sizeof(sql), statements[i], subject);
		copy_out(conn, out, sql);
	}
	fclose(out);
	PQfinish(conn);
	return now_ms() - begun;
}

/* --- the engine itself --------------------------------------------------------------- */

static enum rc count_columns(void *ctx, const char *const *names, size_t count)
{
	(void)ctx;
	(void)names;
	(void)count;
	return RC_OK;
}

static enum rc count_row(void *ctx, const struct value *values, size_t count)
{
	size_t *bytes = ctx;

	for (size_t i = 0; i < count; i++)
		*bytes += values[i].kind >= VALUE_TEXT ? values[i].len : 8;
	return RC_OK;
}

/* A statement on the snapshot's engine without the tool around it. */
static double engine_call(const struct engine_ops *ops, struct engine *e, const char *sql)
{
	struct budget none = {.check = NULL};
	struct engine_query q = {
		.sql = sql, .len = strlen(sql), .max_memory = 64 << 20, .budget = &none};
	size_t bytes = 0;
	struct engine_sink sink = {count_columns, count_row, &bytes};
	struct engine_message m;
	double begun = now_ms();

	if (ops->query(e, &q, &sink, &m) != ENGINE_OK || bytes == 0)
		fail(m.text);
	return now_ms() - begun;
}

static const struct engine_column order_columns[] = {{"id", COLUMN_INT},
	{"customer_id", COLUMN_INT}, {"amount", COLUMN_REAL}, {"status", COLUMN_TEXT},
	{"placed_at", COLUMN_TEXT}};
static const struct engine_table tables[] = {{"orders", order_columns, 5}};
static const struct engine_shape shape = {tables, 1};

static struct engine *make_plain(const struct engine_ops *ops, const char *dir, const char *path)
{
	struct engine_build *b;
	struct engine *e;
	char tmp[512];

	snprintf(tmp, sizeof(tmp), "%s/plain.tmp", dir);
	if (ops->create(tmp, &shape, 1 << 28, &b) != RC_OK)
		fail("create");
	for (int i = 0; i < 3000; i++) {
		struct value row[5] = {value_int(i), value_int(1),
			{.kind = VALUE_REAL, .r = i / 100.0}, value_text("paid", 4),
			value_text("2024-03-01T04:30:00.125Z", 24)};

		if (ops->insert(b, 0, row) != RC_OK)
			fail("insert");
	}
	if (ops->seal(b, path) != RC_OK || ops->open(path, &shape, &e) != RC_OK)
		fail("seal");
	return e;
}

static void warm(struct tools *t, const struct wconfig *c)
{
	const struct engine_ops *ops = tools_engine(c);
	struct samples tool = {.count = 0}, engine = {.count = 0};
	struct engine *plain;
	char path[512];

	snprintf(path, sizeof(path), "%s/plain.db", c->data_dir);
	plain = make_plain(ops, c->data_dir, path);
	for (int i = 0; i < WARM_CALLS; i++) {
		double a = call(t, 1, QUERY), b = engine_call(ops, plain, QUERY);

		if (i >= WARM_CALLS - RUNS_MAX) {
			add(&tool, a);
			add(&engine, b);
		}
	}
	qsort(tool.ms, (size_t)tool.count, sizeof(double), by_size);
	qsort(engine.ms, (size_t)engine.count, sizeof(double), by_size);
	printf("\"warm_tool_ms\":%.4f,\"warm_engine_ms\":%.4f,\"warm_tool_p99_ms\":%.4f,",
		tool.ms[tool.count / 2], engine.ms[engine.count / 2], tool.ms[tool.count * 99 / 100]);
	ops->close(plain);
	(void)unlink(path); /* an engine may open it anew at any time */
}

static void export_and_copy(
	struct tools *t, const struct wconfig *c, const char *url, int subjects, int rounds)
{
	struct samples export = {.count = 0}, copied = {.count = 0}, called = {.count = 0};
	char path[512];

	snprintf(path, sizeof(path), "%s/copy.txt", c->data_dir);
	/* The server's cache is warm for both. */
	for (int s = 1; s <= subjects; s++)
		(void)copy(url, path, s);
	for (int r = 0; r < rounds; r++)
		for (int s = 1; s <= subjects; s++) {
			add(&export, call(t, s, "SELECT 1"));
			add(&copied, copy(url, path, s));
			add(&called, call(t, s, "SELECT 1"));
			(void)tools_expire(t, clock_mono_ms() + 100000000);
		}
	(void)unlink(path);
	put_samples("export_ms", &export);
	put_samples("copy_ms", &copied);
	put_samples("again_ms", &called);
}

int main(int argc, char *argv[])
{
	static const uint8_t secret[32] = {7};
	struct wconfig_error err = {.text = ""};
	struct wconfig *c;
	struct tools *t;
	long before;

	if (argc == 2 && strcmp(argv[1], DUCKDB_HELPER_COMMAND) == 0)
		return duckdb_helper_run();
	if (argc != 5)
		fail("usage: snapshot DATABASE_URL AIRLOCK_YAML SUBJECTS ROUNDS");
	log_init("snapshot", 2, LOG_FORMAT_TEXT);
	log_set_level(LOG_LEVEL_ERROR);
	if (wconfig_load(argv[2], &c, &err) != RC_OK ||
		tools_open(c, argv[1], secret, ignore, NULL, &t, &err) != RC_OK)
		fail(err.text);
	before = resident_kib("VmRSS:");
	printf("{");
	export_and_copy(t, c, argv[1], atoi(argv[3]), atoi(argv[4]));
	warm(t, c);
	printf("\"before_kib\":%ld,\"peak_kib\":%ld}\n", before, resident_kib("VmHWM:"));
	tools_close(t);
	wconfig_free(c);
	return 0;
}
