/* Hostile statements, tests/unit/worker/attacks.txt, against each snapshot engine: none changes
 * anything, reads anything outside, hangs, crashes or takes all memory, and the engine works on
 * after each. */
#include "tests/unit/worker/snapfix.h"

#include <fcntl.h>
#include <sys/resource.h>

#include "shared/crypto.h"
#include "tests/unit/worker/duckfix.h"

#define CORPUS "tests/unit/worker/attacks.txt"
#define SECRET "outside secret"
#define TIMEOUT_MS 120
#define PATIENCE_MS 30000
#define LATE_MS 30000 /* the machine may be busy; without a deadline these run for minutes */
#define MEMORY ((int64_t)32 << 20)
/* What a process may come to: the library, the snapshot, what the statement may have. */
#define RESIDENT_MAX_KIB (256L << 10)

static const struct engine_column people_columns[] = {{"id", COLUMN_INT}, {"name", COLUMN_TEXT},
	{"email", COLUMN_TEXT}, {"score", COLUMN_REAL}, {"raw", COLUMN_BLOB}};
static const struct engine_column order_columns[] = {{"id", COLUMN_INT}, {"person_id", COLUMN_INT},
	{"amount", COLUMN_INT}, {"placed_at", COLUMN_TEXT}, {"extra", COLUMN_TEXT}};
static const struct engine_table tables[] = {
	{"people", people_columns, 5}, {"orders", order_columns, 5}};
static const struct engine_shape shape = {tables, 2};

struct attack {
	const struct engine_ops *ops;
	struct engine *engine;
	struct fix f;
	char file[128];
	int64_t deadline;
	int wrong;
};

static void fill(struct attack *a, struct engine_build *b)
{
	for (int i = 1; i <= 100; i++) {
		char name[32];
		struct value row[5] = {value_int(i)};

		snprintf(name, sizeof(name), "person %d", i);
		row[1] = row[2] = value_text(name, strlen(name));
		row[3] = (struct value){.kind = VALUE_REAL, .r = i / 4.0};
		row[4] = (struct value){.kind = VALUE_BLOB, .p = "\0\1\377", .len = 3};
		assert_int_equal(a->ops->insert(b, 0, row), RC_OK);
		row[1] = value_int(1 + i % 10);
		row[2] = value_int(i * 100L);
		row[3] = value_text("2025-01-01 10:00:00", 19);
		row[4] = value_text("{\"a\":[1,2,{\"b\":3}]}", 19);
		assert_int_equal(a->ops->insert(b, 1, row), RC_OK);
	}
}

static void put_outside(const struct attack *a, const char *name)
{
	char path[128];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", a->f.dir, name);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs("id,secret\n1," SECRET "\n", out);
	fclose(out);
}

static void start(struct attack *a, const struct engine_ops *ops)
{
	struct engine_settings settings = {.library = duckfix_library(), .max_memory = MEMORY};
	struct engine_message why;
	struct engine_build *b;
	char tmp[128];

	memset(a, 0, sizeof(*a));
	a->ops = ops;
	fix_dirs(&a->f, "CREATE TABLE outside(secret); INSERT INTO outside VALUES('" SECRET "')");
	put_outside(a, "outside.csv");
	put_outside(a, "outside.parquet");
	put_outside(a, "outside.so");
	snprintf(tmp, sizeof(tmp), "%s/outside.db", a->f.dir);
	assert_int_equal(rename(a->f.db, tmp), 0);
	assert_int_equal(mkdir(a->f.data, 0700), 0);
	assert_int_equal(ops->init(&settings, &why), RC_OK);
	snprintf(tmp, sizeof(tmp), "%s/a.tmp", a->f.data);
	snprintf(a->file, sizeof(a->file), "%s/a.db", a->f.data);
	assert_int_equal(ops->create(tmp, &shape, 1 << 24, &b), RC_OK);
	fill(a, b);
	assert_int_equal(ops->seal(b, a->file), RC_OK);
	assert_int_equal(ops->open(a->file, &shape, &a->engine), RC_OK);
}

static enum budget_state check(void *ctx)
{
	const struct attack *a = ctx;

	return clock_mono_ms() >= a->deadline ? BUDGET_TIMEOUT : BUDGET_GO;
}

struct got {
	int64_t rows;
	int64_t sum; /* of the first row's integers */
	bool secret;
};

static enum rc got_columns(void *ctx, const char *const *names, size_t count)
{
	struct got *g = ctx;

	for (size_t i = 0; i < count; i++)
		g->secret = g->secret || strstr(names[i], SECRET);
	return RC_OK;
}

static enum rc got_row(void *ctx, const struct value *v, size_t count)
{
	struct got *g = ctx;

	for (size_t i = 0; i < count; i++) {
		if (v[i].kind == VALUE_INT && g->rows == 0)
			g->sum += v[i].i;
		if (v[i].kind >= VALUE_TEXT &&
			(memmem(v[i].p, v[i].len, SECRET, strlen(SECRET)) ||
				memmem(v[i].p, v[i].len, "root:x:", 7)))
			g->secret = true;
	}
	return ++g->rows == 1000 ? RC_LIMIT : RC_OK;
}

static enum engine_status query(
	struct attack *a, const char *sql, size_t len, struct got *g, struct engine_message *m)
{
	struct budget b = {check, a};
	struct engine_query q = {.sql = sql, .len = len, .max_memory = MEMORY, .budget = &b};
	struct engine_sink sink = {got_columns, got_row, g};

	memset(g, 0, sizeof(*g));
	return a->ops->query(a->engine, &q, &sink, m);
}

static void complain(struct attack *a, const char *line, const char *what, int64_t took_ms,
	enum engine_status s, const struct engine_message *m)
{
	a->wrong++;
	print_error("%s: %s: %s (status %d after %lld ms: %s)\n", a->ops->name, line, what, (int)s,
		(long long)took_ms, m->text);
}

static void still_works(struct attack *a, const char *after)
{
	static const char sql[] = "SELECT count(*), sum(id) FROM people";
	struct engine_message m;
	struct got g;
	enum engine_status s;

	a->deadline = clock_mono_ms() + PATIENCE_MS;
	s = query(a, sql, strlen(sql), &g, &m);
	if (s != ENGINE_OK || g.rows != 1 || g.sum != 5150)
		complain(a, after, "broke the engine", 0, s, &m);
}

/* R: refused. S: refused, or stopped by its deadline. H: it may be answered, as long as that does
 * no harm. */
static bool fits(char class, enum engine_status s)
{
	switch (class) {
	case 'R':
		return s == ENGINE_REFUSED;
	case 'S':
		return s == ENGINE_REFUSED || s == ENGINE_TIMEOUT;
	default:
		return s == ENGINE_OK || s == ENGINE_REFUSED || s == ENGINE_TIMEOUT;
	}
}

static void attack(struct attack *a, char class, const char *sql, size_t len, const char *line)
{
	int64_t begun = clock_mono_ms(), took;
	struct engine_message m;
	struct got g;
	enum engine_status s;

	/* What must be refused is, however busy the machine. */
	a->deadline = begun + (class == 'R' ? PATIENCE_MS : TIMEOUT_MS);
	s = query(a, sql, len, &g, &m);
	took = clock_mono_ms() - begun;
	if (!fits(class, s))
		complain(a, line, "another answer than expected", took, s, &m);
	if (class != 'R' && took > LATE_MS)
		complain(a, line, "late", took, s, &m);
	/* A refusal may repeat a path that the statement has, and no other. */
	if (g.secret || strstr(m.text, SECRET) ||
		(strstr(m.text, a->f.dir) && !memmem(sql, len, a->f.dir, strlen(a->f.dir))))
		complain(a, line, "tells what is outside", took, s, &m);
	if (s == ENGINE_REFUSED && !m.text[0])
		complain(a, line, "refused without a reason", took, s, &m);
	/* A refusal while parsing leaves nothing behind that could be broken. */
	if (class != 'R' || s != ENGINE_REFUSED)
		still_works(a, line);
}

/* \n, \t, \\ and \xNN, and {DIR} for the directory of what is outside. */
static size_t unescape(const struct attack *a, const char *s, char *out)
{
	size_t n = 0;

	while (*s) {
		if (strncmp(s, "{DIR}", 5) == 0) {
			n += (size_t)sprintf(out + n, "%s", a->f.dir);
			s += 5;
		} else if (*s == '\\' && s[1] == 'x') {
			char hex[3] = {s[2], s[3], '\0'};

			out[n++] = (char)strtoul(hex, NULL, 16);
			s += 4;
		} else if (*s == '\\' && strchr("nt\\", s[1])) {
			out[n++] = s[1] == 'n' ? '\n' : s[1] == 't' ? '\t' : '\\';
			s += 2;
		} else {
			out[n++] = *s++;
		}
	}
	return n;
}

static void digest_of(const char *path, uint8_t out[32])
{
	static char bytes[4 << 20];
	FILE *in = fopen(path, "r");
	size_t len;

	assert_non_null(in);
	len = fread(bytes, 1, sizeof(bytes), in);
	assert_true(len > 0 && len < sizeof(bytes));
	fclose(in);
	crypto_sha256(bytes, len, out);
}

static int count_files(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void all_attacks(struct attack *a, int column)
{
	static char line[8192], sql[16384];
	FILE *in = fopen(CORPUS, "r");
	int count = 0;

	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		size_t len = strlen(line);

		assert_true(len > 0 && line[len - 1] == '\n');
		line[len - 1] = '\0';
		if (*line == '#' || !*line)
			continue;
		assert_true(strspn(line, "RSH") == 2 && line[2] == ' ');
		len = unescape(a, line + 3, sql);
		attack(a, line[column], sql, len, line + 3);
		count++;
	}
	fclose(in);
	assert_true(count >= 300);
}

static void corpus(const struct engine_ops *ops, int column)
{
	uint8_t before[32], after[32];
	struct rusage self, children;
	struct attack a;

	start(&a, ops);
	digest_of(a.file, before);
	all_attacks(&a, column);
	digest_of(a.file, after);
	assert_memory_equal(before, after, 32);
	assert_int_equal(count_files(a.f.data), 1);
	assert_int_equal(count_files(a.f.dir), 5); /* the four from outside, and data */
	assert_int_not_equal(access("/tmp/airlock-escape.db", F_OK), 0);
	assert_int_not_equal(access("/tmp/airlock-escape", F_OK), 0);
	ops->close(a.engine);
	fix_close(&a.f);
	getrusage(RUSAGE_SELF, &self);
	getrusage(RUSAGE_CHILDREN, &children);
#ifndef __SANITIZE_ADDRESS__
	assert_in_range(self.ru_maxrss, 1, RESIDENT_MAX_KIB);
	assert_in_range(children.ru_maxrss, 0, RESIDENT_MAX_KIB);
#endif
	if (a.wrong)
		fail_msg("%d complaints", a.wrong);
}

static void against_sqlite(void **state)
{
	(void)state;
	corpus(&engine_sqlite, 0);
}

static void against_duckdb(void **state)
{
	(void)state;
	if (!duckfix_library())
		skip(); /* npm has no DuckDB for this machine */
	corpus(&engine_duckdb, 1);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(against_sqlite),
		cmocka_unit_test(against_duckdb),
	};

	DUCKFIX_MAIN(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
