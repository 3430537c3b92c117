/* Snapshots: nothing masked in their bytes, one export for many calls, complete or absent, gone
 * when they should be. */
#include "tests/unit/worker/snapfix.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <semaphore.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "tests/unit/worker/duckfix.h"
#include "worker/snapshot.h"

/* --- the masking property ------------------------------------------------------------ */

static uint64_t seed;

static uint64_t draw(void)
{
	uint64_t z = (seed += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

#define SECRETS_MAX 20000
#define COLUMNS 8

/* A raw value of a masked or excluded column, as the bytes that must be nowhere. */
struct secret {
	uint8_t bytes[48];
	size_t len;
};
static struct secret *secrets;
static size_t secret_count;
/* What kept columns show: found, it proves that the search would find the others. */
static struct secret shown[64];
static size_t shown_count, shown_found;

static void remember(const void *bytes, size_t len)
{
	assert_true(secret_count < SECRETS_MAX && len <= sizeof(secrets[0].bytes));
	memcpy(secrets[secret_count].bytes, bytes, len);
	secrets[secret_count++].len = len;
}

/* Binds a random value of a random kind; a secret one is remembered in each form it could be stored
 * or printed. */
static void bind_random(sqlite3_stmt *stmt, int i, bool secret)
{
	static const char *const letters[] = {"a", "b", "Q", "7", " ", "'", "\"", "\\", "\xc3\xa9",
		"\xe2\x82\xac", "\xf0\x9f\x98\x80", "%"};
	int kind = (int)(draw() % 5);
	char text[49] = "";
	int64_t n = (int64_t)(draw() | 1ULL << 61);

	if (kind == 0) {
		sqlite3_bind_null(stmt, i);
	} else if (kind == 1) {
		uint8_t big[8];

		sqlite3_bind_int64(stmt, i, n);
		for (int b = 0; b < 8; b++)
			big[b] = (uint8_t)((uint64_t)n >> (56 - 8 * b));
		if (secret) {
			remember(big, 8);
			remember(text, (size_t)sprintf(text, "%lld", (long long)n));
		}
	} else if (kind == 2) {
		double r = (double)(n >> 12) / 1048573.0;
		uint8_t big[8];
		uint64_t bits;

		memcpy(&bits, &r, 8);
		sqlite3_bind_double(stmt, i, r);
		for (int b = 0; b < 8; b++)
			big[b] = (uint8_t)(bits >> (56 - 8 * b));
		if (secret) {
			remember(big, 8);
			remember(text, (size_t)sprintf(text, "%.14g", r));
		}
	} else {
		size_t len = 0;

		len = (size_t)sprintf(text, "%08llx", (unsigned long long)(draw() & 0xffffffff));
		for (int k = (int)(draw() % 9); k > 0; k--)
			len += (size_t)sprintf(text + len, "%s", letters[draw() % 12]);
		if (kind == 3)
			sqlite3_bind_text(stmt, i, text, (int)len, SQLITE_TRANSIENT);
		else
			sqlite3_bind_blob(stmt, i, text, (int)len, SQLITE_TRANSIENT);
		if (secret) {
			char hex[17];

			remember(text, 8);
			for (size_t b = 0; b < 8; b++) /* as bytes are shown in a text */
				sprintf(hex + 2 * b, "%02x", (uint8_t)text[b]);
			remember(hex, 16);
		} else if (shown_count < sizeof(shown) / sizeof(shown[0])) {
			memcpy(shown[shown_count].bytes, text, 8);
			shown[shown_count++].len = 8;
		}
	}
}

enum role {
	ROLE_KEEP,
	ROLE_HASH,
	ROLE_REDACT,
	ROLE_NULL,
	ROLE_PARTIAL,
	ROLE_EMAIL,
	ROLE_TOKEN,
	ROLE_BLUR,
	ROLE_EXCLUDE,
	ROLES
};

/* Columns of even number are declared as numbers, or not at all; what they hold is another matter.
 */
static bool is_numeric(int i)
{
	return i % 2 == 0;
}

static void put_table_yaml(char *yaml, const char *name, const char *relation, const char *link,
	const enum role *roles)
{
	static const char *const masks[] = {"keep", "hash", "redact", "\"null\"", "partial",
		"email", "token", "{kind: noise, percent: 20}"};
	char excluded[128] = "";

	sprintf(yaml + strlen(yaml),
		"  - name: %s\n%s    mask:\n      id: hash\n      person: redact\n      memo: "
		"text\n      born: date_shift\n      seen: {kind: bucket, to: month}\n      pay: "
		"{kind: bucket, size: 1000}\n      %s\n",
		name, relation, link);
	for (int i = 0; i < COLUMNS; i++) {
		if (roles[i] == ROLE_EXCLUDE)
			sprintf(excluded + strlen(excluded), "%sc%d", *excluded ? ", " : "", i);
		else
			sprintf(yaml + strlen(yaml), "      c%d: %s\n", i,
				roles[i] == ROLE_BLUR && !is_numeric(i) ? "redact"
									: masks[roles[i]]);
	}
	sprintf(yaml + strlen(yaml), "    exclude_columns: [%s]\n", excluded);
}

/* A name, and a memo that tells it, the subject's name from another table, and more. */
static void bind_person(sqlite3_stmt *stmt, bool subject)
{
	static char last[64];
	char person[64], mail[64], memo[512];

	sprintf(person, "Q%07llx W%07llx", (unsigned long long)(draw() & 0xfffffff),
		(unsigned long long)(draw() & 0xfffffff));
	for (char *p = person; *p; p++) /* letters alone: a name */
		if (*p >= '0' && *p <= '9')
			*p = (char)('k' + *p - '0');
	if (subject)
		strcpy(last, person);
	sprintf(mail, "%08llx.x@example.org", (unsigned long long)(draw() & 0xffffffff));
	sprintf(memo,
		"Told %.8s that %s (%s) pays with 4111 1111 1111 1111 for %s; SSN 123-45-6789",
		person + 9, last, mail, person);
	sqlite3_bind_text(stmt, 3, person, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(stmt, 4, memo, -1, SQLITE_TRANSIENT);
	remember(person, 8);
	remember(person + 9, 8);
	remember(mail, 8);
	remember("4111 1111 1111", 14);
	remember("123-45-6789", 11);
}

/* Two moments and an amount, which masks blur. */
static void bind_blurred(sqlite3_stmt *stmt)
{
	char text[32];
	int64_t pay = (int64_t)(draw() % 1000000000) * 1000 + 1000000000777;

	for (int i = 5; i <= 6; i++) {
		sprintf(text, "%d-%02d-%02d %02d:%02d:%02d", 1950 + (int)(draw() % 60),
			1 + (int)(draw() % 12), 2 + (int)(draw() % 27), (int)(draw() % 24),
			(int)(draw() % 60), 1 + (int)(draw() % 59));
		sqlite3_bind_text(stmt, i, text, -1, SQLITE_TRANSIENT);
		remember(text, strlen(text));
	}
	sqlite3_bind_int64(stmt, 7, pay);
	remember(text, (size_t)sprintf(text, "%lld", (long long)pay));
}

static void fill_table(sqlite3 *db, const char *name, const char *link, const char *link_value,
	int rows, const enum role *roles)
{
	static const char *const types[] = {"TEXT", "BLOB", "", "INTEGER", "REAL", "NUMERIC"};
	char sql[1024], id[32];
	sqlite3_stmt *stmt;
	size_t n;

	n = (size_t)sprintf(sql,
		"CREATE TABLE %s(id TEXT PRIMARY KEY, link%s TEXT, person TEXT, memo TEXT, born "
		"TEXT, "
		"seen TEXT, pay INTEGER",
		name, link);
	for (int i = 0; i < COLUMNS; i++)
		n += (size_t)sprintf(sql + n, ", c%d %s", i,
			is_numeric(i) ? types[2 + draw() % 4] : types[draw() % 2]);
	sprintf(sql + n, ")");
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sprintf(sql, "INSERT INTO %s VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", name);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	for (int r = 0; r < rows; r++) {
		sprintf(id, "key-%s-%08llx", name, (unsigned long long)(draw() & 0xffffffff));
		if (r == 0)
			sprintf(id, "key-%s-first", name);
		sqlite3_bind_text(stmt, 1, id, -1, SQLITE_TRANSIENT);
		sqlite3_bind_text(stmt, 2, link_value, -1, SQLITE_TRANSIENT);
		remember(id, strlen(id));
		for (int i = 0; i < COLUMNS; i++)
			bind_random(stmt, i + 8, roles[i] != ROLE_KEEP);
		bind_blurred(stmt);
		bind_person(stmt, r == 0 && strcmp(name, "root") == 0);
		assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
		sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
}

static void search(const char *where, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < secret_count; i++)
		if (memmem(bytes, len, secrets[i].bytes, secrets[i].len))
			fail_msg("raw value %zu (%.*s) is in %s", i, (int)secrets[i].len,
				(const char *)secrets[i].bytes, where);
}

static void count_shown(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < shown_count; i++)
		shown_found += memmem(bytes, len, shown[i].bytes, shown[i].len) != NULL;
}

static void search_files(const struct fix *f)
{
	DIR *d = opendir(f->data);
	struct dirent *e;
	int files = 0;

	while ((e = readdir(d))) {
		uint8_t *bytes = malloc(8 << 20);
		int fd = openat(dirfd(d), e->d_name, O_RDONLY);
		ssize_t len = e->d_name[0] == '.' ? 0 : read(fd, bytes, 8 << 20);

		assert_true(len < 8 << 20);
		if (len > 0) {
			struct stat st;

			assert_int_equal(fstat(fd, &st), 0);
			assert_int_equal(st.st_mode & 07777, 0600);
			search(e->d_name, bytes, (size_t)len);
			count_shown(bytes, (size_t)len);
			files++;
		}
		close(fd);
		free(bytes);
	}
	closedir(d);
	assert_int_equal(files, 1);
}

static void search_answers(struct fix *f)
{
	static const char *const calls[][2] = {{"get_schema", ""}, {"null_rates", ""},
		{"execute_sql", ",\"sql\":\"SELECT * FROM root\""},
		{"execute_sql", ",\"sql\":\"SELECT * FROM child\""},
		{"execute_sql", ",\"sql\":\"SELECT * FROM far\""},
		/* The hashes join. */
		{"execute_sql",
			",\"sql\":\"SELECT count(*) FROM root r JOIN child c ON c.link_root = r.id "
			"JOIN far f ON f.id = r.link_far\""}};
	struct tool_result r;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		char arguments[256];

		sprintf(arguments, "{\"subject_id\":\"key-root-first\"%s}", calls[i][1]);
		fix_call(f, calls[i][0], arguments, &r);
		if (r.outcome != TOOL_OK)
			fail_msg("%s", fix_text(&r));
		search(calls[i][0], r.json.data, r.json.len);
		if (i == 5)
			assert_non_null(strstr(fix_text(&r), "\"rows\":[[40]]"));
		buf_free(&r.json);
	}
	search("the sidecar", (const uint8_t *)f->sidecar, strlen(f->sidecar));
	assert_int_equal(atomic_load(&f->made), 1);
}

static void one_random_schema(uint64_t s, const char *library)
{
	char yaml[8192];
	enum role roles[3][COLUMNS];
	struct fix f;
	sqlite3 *db;

	seed = s;
	secret_count = shown_count = 0;
	sprintf(yaml, "%s%s%sroot_table: root\nroot_filter_col: id\ntables:\n",
		library ? "  duckdb_library: " : "", library ? library : "",
		library ? "\nsnapshot_engine: duckdb\n" : "");
	for (int t = 0; t < 3; t++)
		for (int i = 0; i < COLUMNS; i++)
			roles[t][i] = (enum role)(draw() % ROLES);
	/* The relating columns are masked like the keys they hold. */
	put_table_yaml(yaml, "root", "", "link_far: hash", roles[0]);
	put_table_yaml(yaml, "child", "    parent: root\n    fk: link_root\n", "link_root: hash",
		roles[1]);
	put_table_yaml(
		yaml, "far", "    via: root\n    via_fk: link_far\n", "link: redact", roles[2]);
	fix_dirs(&f, NULL);
	assert_int_equal(sqlite3_open(f.db, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
	fill_table(db, "root", "_far", "key-far-first", 3, roles[0]);
	fill_table(db, "child", "_root", "key-root-first", 40, roles[1]);
	fill_table(db, "far", "", "none at all", 10, roles[2]);
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	fix_config(&f, yaml);
	{
		struct wconfig_error err = {.text = ""};

		if (fix_tools(&f, &err) != RC_OK)
			fail_msg("%s", err.text);
	}
	search_answers(&f);
	search_files(&f);
	fix_close(&f);
}

/* What the worker writes to its log meanwhile is searched too. */
static int log_to(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600), before = dup(STDERR_FILENO);

	assert_true(fd >= 0 && before >= 0);
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	close(fd);
	return before;
}

static void search_log(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = malloc(1 << 20);
	size_t len;

	assert_non_null(file);
	len = fread(bytes, 1, 1 << 20, file);
	assert_true(len > 0 && len < 1 << 20);
	search("the log", bytes, len);
	free(bytes);
	fclose(file);
}

static void random_schemas(uint64_t count, const char *library)
{
	char path[] = "/tmp/airlock-log.XXXXXX";
	int fd = mkstemp(path), before;

	assert_true(fd >= 0);
	close(fd);
	shown_found = 0;
	secrets = malloc(SECRETS_MAX * sizeof(*secrets));
	for (uint64_t s = 1; s <= count; s++) {
		before = log_to(path);
		one_random_schema(s * 7919, library);
		assert_true(dup2(before, STDERR_FILENO) >= 0);
		close(before);
		search_log(path);
	}
	unlink(path);
	free(secrets);
	assert_true(shown_found > count);
}

static void no_raw_value_anywhere(void **state)
{
	(void)state;
	random_schemas(25, NULL);
}

static void no_raw_value_anywhere_duckdb(void **state)
{
	(void)state;
	if (!duckfix_library())
		skip();
	random_schemas(6, duckfix_library());
}

/* --- every mask, on both engines --------------------------------------------------------- */

#define MASKED_SQL                                                                             \
	"CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, mail TEXT, phone TEXT, born "  \
	"DATE, "                                                                               \
	"pay INTEGER, weight REAL, age INTEGER, seen TEXT, iban TEXT, number INTEGER, secret " \
	"TEXT, "                                                                               \
	"gone TEXT, code TEXT, note TEXT);"                                                    \
	"INSERT INTO people VALUES(1, 'Ann Vandervelde', 'Ann.V@Example.org', '+44 20 7946 "   \
	"0958', "                                                                              \
	"'1980-02-29', 52000, 71.25, 44, '2024-03-17 10:11:12', 'GB82WEST12345698765432', "    \
	"4916017583, 'hush hush', 'away', 'AB-1234-77', "                                      \
	"'Ann Vandervelde rang from +44 20 7946 0958 about ann.v@example.org');"               \
	"CREATE TABLE visits(id INTEGER PRIMARY KEY, person_id INTEGER, mail TEXT, day DATE, " \
	"cost "                                                                                \
	"REAL, note TEXT);"                                                                    \
	"INSERT INTO visits VALUES(1, 1, 'ann.v@example.org', '1980-02-29', 61234, NULL),"     \
	"(2, 1, 'none at all', 'not a day', -0.5, 'pays with 4111 1111 1111 1111'),"           \
	"(3, 1, NULL, NULL, NULL, 'Vandervelde')"
#define MASKED_YAML                                                                              \
	"root_table: people\ntables:\n  - name: people\n    mask: {name: redact, mail: email, "  \
	"phone: partial, born: date_shift, pay: {kind: noise, percent: 10}, weight: {kind: "     \
	"noise, "                                                                                \
	"amount: 5}, age: {kind: bucket, size: 10}, seen: {kind: bucket, to: month}, iban: "     \
	"token, number: token, secret: redact, gone: \"null\", code: hash, note: text}\n"        \
	"  - name: visits\n    parent: people\n    fk: person_id\n    mask: {mail: email, day: " \
	"date_shift, cost: {kind: bucket, size: 100}, note: text}\n"

/* The rows of an answer, as JSON; free(). */
static char *rows_of(struct fix *f, const char *sql)
{
	struct tool_result r;
	char arguments[256], *from, *end, *rows;

	snprintf(arguments, sizeof(arguments), "{\"subject_id\":1,\"sql\":\"%s\"}", sql);
	fix_call(f, "execute_sql", arguments, &r);
	from = strstr(fix_text(&r), "\"rows\":[");
	end = from ? strstr(from, "snapshot_id") : NULL;
	if (r.outcome != TOOL_OK || !end) {
		fail_msg("%s: %s", sql, fix_text(&r));
		return NULL;
	}
	rows = strndup(from, (size_t)(end - from));
	buf_free(&r.json);
	return rows;
}

static void masks_alike_on_both_engines(void **state)
{
	static const char *const statements[] = {"SELECT * FROM people",
		"SELECT * FROM visits ORDER BY id",
		/* Equal values stay equal across tables, numbers stay numbers, dates sort. */
		"SELECT p.id, v.id FROM people p JOIN visits v ON v.mail = p.mail",
		"SELECT v.id FROM people p JOIN visits v ON v.day = p.born",
		"SELECT pay > 40000 AND pay < 60000, weight > 60, age FROM people"};
	static const char *const raw[] = {"Vandervelde", "ann.v", "7946", "1980-02-29", "52000",
		"71.25", "61234", "10:11:12", "12345698765432", "4916017583", "hush", "away",
		"AB-1234", "4111 1111"};
	char yaml[4096];
	struct fix lite, duck;

	(void)state;
	if (!duckfix_library())
		skip();
	snprintf(yaml, sizeof(yaml), "  duckdb_library: %s\nsnapshot_engine: duckdb\n%s",
		duckfix_library(), MASKED_YAML);
	fix_open(&lite, MASKED_SQL, MASKED_YAML);
	fix_open(&duck, MASKED_SQL, yaml);
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
		char *a = rows_of(&lite, statements[i]), *b = rows_of(&duck, statements[i]);

		assert_string_equal(a, b);
		for (size_t k = 0; k < sizeof(raw) / sizeof(raw[0]); k++)
			if (strstr(b, raw[k]))
				fail_msg("%s is in %s", raw[k], b);
		if (i == 0) {
			assert_non_null(strstr(b, "@example.org\",\"****0958\""));
			assert_non_null(strstr(b, ",\"[40,50)\",\"2024-03-01\","));
			assert_non_null(strstr(b, "\"[redacted]\",null,\"h_"));
			assert_non_null(
				strstr(b, "\"[redacted] rang from [phone] about [email]\""));
		} else {
			assert_null(strstr(b, "\"rows\":[]"));
		}
		free(a);
		free(b);
	}
	fix_close(&lite);
	fix_close(&duck);
}

/* --- life and death ------------------------------------------------------------------- */

#define SQL                                                                                      \
	"CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT);"                             \
	"CREATE TABLE orders(id INTEGER PRIMARY KEY, customer_id INTEGER, note TEXT);"           \
	"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20) INSERT "   \
	"INTO customers SELECT x, 'n' || x FROM c;"                                              \
	"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 4000) INSERT " \
	"INTO orders SELECT x, 1 + x % 20, 'note ' || x FROM c;"
#define YAML                                                                          \
	"root_table: customers\ntables:\n  - {name: customers, mask: {name: hash}}\n" \
	"  - {name: orders, parent: customers, fk: customer_id, mask: {note: redact}}\n"

static void made_once_and_kept(void **state)
{
	struct fix f;
	struct tool_result a, b;
	struct stat st;
	char path[512];
	DIR *d;
	struct dirent *e;

	(void)state;
	fix_open(&f, SQL, YAML);
	fix_call(&f, "get_schema", "{\"subject_id\":1}", &a);
	fix_call(&f, "get_schema", "{\"subject_id\":\"1\"}", &b);
	assert_int_equal(a.outcome, TOOL_OK);
	assert_string_equal(a.snapshot_id, b.snapshot_id);
	assert_int_equal(strncmp(a.snapshot_id, "snap_", 5), 0);
	assert_int_equal(atomic_load(&f.made), 1);
	assert_int_equal(stat(f.data, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	d = opendir(f.data);
	while ((e = readdir(d))) {
		if (!strstr(e->d_name, ".db"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", f.data, e->d_name);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	closedir(d);
	assert_int_equal(fix_files(&f, ".db"), 1);
	assert_int_equal(fix_files(&f, ".tmp"), 0);
	assert_non_null(strstr(f.sidecar, "\"engine\":\"sqlite\",\"subject_digest\":\""));
	assert_non_null(strstr(f.sidecar,
		"\"tables\":[{\"name\":\"customers\",\"rows\":1,\"masked_columns\":[\"name\"],"
		"\"excluded_columns\":[]},"
		"{\"name\":\"orders\",\"rows\":200,\"masked_columns\":[\"note\"],\"excluded_"
		"columns\":[]}]}"));
	buf_free(&a.json);
	buf_free(&b.json);
	fix_close(&f);
	assert_int_equal(atomic_load(&f.gone), 1);
}

static void ttl(void **state)
{
	struct fix f;
	int64_t now, wait;

	(void)state;
	fix_open(&f, SQL, YAML "snapshot_ttl_s: 60\n");
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, NULL);
	now = clock_mono_ms();
	wait = tools_expire(f.t, now);
	assert_true(wait > 50000 && wait <= 60000);
	assert_int_equal(atomic_load(&f.gone), 0);
	tools_expire(f.t, now + 60001);
	assert_int_equal(atomic_load(&f.gone), 1);
	assert_int_equal(fix_files(&f, ".db"), 0);
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, NULL);
	assert_int_equal(atomic_load(&f.made), 2);
	fix_close(&f);
}

static void least_recently_used_goes(void **state)
{
	struct tool_result r;
	char first[80];
	struct fix f;

	(void)state;
	fix_open(&f, SQL, YAML "limits: {snapshots_max: 2}\n");
	fix_call(&f, "get_schema", "{\"subject_id\":1}", &r);
	snprintf(first, sizeof(first), "%s", r.snapshot_id);
	buf_free(&r.json);
	fix_expect(&f, "get_schema", "{\"subject_id\":2}", TOOL_OK, NULL);
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, NULL);
	fix_expect(&f, "get_schema", "{\"subject_id\":3}", TOOL_OK, NULL); /* 2 goes */
	assert_int_equal(atomic_load(&f.made), 3);
	assert_int_equal(atomic_load(&f.gone), 1);
	assert_int_equal(fix_files(&f, ".db"), 2);
	fix_call(&f, "get_schema", "{\"subject_id\":1}", &r);
	assert_string_equal(r.snapshot_id, first);
	buf_free(&r.json);
	fix_close(&f);
	assert_int_equal(atomic_load(&f.gone), 3);
}

static void leftovers(void **state)
{
	static const char ours[] = "s_abcdefghijklmnopqrstuvwxyz";
	static const char *const suffixes[] = {".tmp", ".tmp-journal", ".tmp.wal", ".db.wal"};
	struct wconfig_error err = {.text = ""};
	char path[256];
	struct tools *second = NULL;
	struct fix f;
	pid_t child;
	int status;

	(void)state;
	fix_dirs(&f, SQL);
	fix_config(&f, YAML);
	/* A worker that dies with a snapshot in its hands. */
	child = fork();
	if (child == 0) {
		struct tool_call call = {
			.name = "get_schema", .deadline_mono_ms = clock_mono_ms() + 20000};
		struct tool_result r = {.outcome = TOOL_ERROR};

		if (fix_tools(&f, &err) != RC_OK ||
			jscan_parse("{\"subject_id\":1}", 16, &call.arguments) != RC_OK)
			_exit(1);
		buf_init(&r.json, 1 << 20);
		tools_call(f.t, &call, &r);
		_exit(r.outcome == TOOL_OK ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(fix_files(&f, ".db"), 1);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s%s", f.data, ours, suffixes[i]);
		close(open(path, O_CREAT | O_WRONLY, 0600));
	}
	/* Not ours: stays. */
	snprintf(path, sizeof(path), "%s/customer.db", f.data);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	snprintf(path, sizeof(path), "%s/%s1.db", f.data, ours);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(fix_tools(&f, &err), RC_OK);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		assert_int_equal(fix_files(&f, suffixes[i]), 0);
	assert_int_equal(fix_files(&f, ".db"), 2);
	/* The directory is taken. */
	assert_int_equal(
		tools_open(f.c, f.url, (const uint8_t[32]){0}, fix_notify, &f, &second, &err),
		RC_INVALID);
	assert_null(second);
	assert_non_null(strstr(err.text, "another worker uses it"));
	fix_close(&f);
}

static void bad_directory(void **state)
{
	struct wconfig_error err = {.text = ""};
	struct fix f;
	FILE *file;

	(void)state;
	fix_dirs(&f, SQL);
	fix_config(&f, YAML);
	file = fopen(f.data, "w");
	fclose(file);
	assert_int_equal(fix_tools(&f, &err), RC_INVALID);
	assert_non_null(strstr(err.text, "worker.data_dir"));
	unlink(f.data);
	assert_int_equal(symlink("/tmp", f.data), 0);
	assert_int_equal(fix_tools(&f, &err), RC_INVALID);
	unlink(f.data);
	f.t = NULL;
	fix_close(&f);
}

/* The directory is for its owner alone, whatever it was; and one on a disk is told. */
static void directory_mode_and_disk(void **state)
{
	char log[] = "/tmp/airlock-log.XXXXXX", *dirs[] = {"/dev/shm", "/var/tmp"};
	int fd = mkstemp(log), before;

	(void)state;
	close(fd);
	for (size_t i = 0; i < 2; i++) {
		struct wconfig_error err = {.text = ""};
		struct statfs fs;
		struct stat st;
		struct fix f;
		char text[4096] = "";
		FILE *in;

		if (access(dirs[i], W_OK) != 0)
			continue;
		fix_dirs(&f, SQL);
		snprintf(f.data, sizeof(f.data), "%s/airlock-test.XXXXXX", dirs[i]);
		assert_non_null(mkdtemp(f.data));
		assert_int_equal(chmod(f.data, 0755), 0);
		fix_config(&f, YAML);
		before = log_to(log);
		assert_int_equal(fix_tools(&f, &err), RC_OK);
		assert_true(dup2(before, STDERR_FILENO) >= 0);
		close(before);
		assert_int_equal(stat(f.data, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0700);
		in = fopen(log, "r");
		assert_non_null(in);
		(void)!fread(text, 1, sizeof(text) - 1, in);
		fclose(in);
		assert_int_equal(statfs(f.data, &fs), 0);
		assert_int_equal(strstr(text, "is not on tmpfs") == NULL, fs.f_type == TMPFS_MAGIC);
		tools_close(f.t);
		f.t = NULL;
		nftw(f.data, fix_remove, 8, FTW_DEPTH | FTW_PHYS);
		fix_close(&f);
	}
	unlink(log);
}

static void caps(void **state)
{
	struct fix f;

	(void)state;
	fix_open(&f, SQL, YAML "limits: {snapshot_max_rows: 100}\n");
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_ERROR,
		"this subject has more than 100 rows (the limit was reached in table 'orders')");
	assert_int_equal(fix_files(&f, ".db") + fix_files(&f, ".tmp"), 0);
	assert_int_equal(atomic_load(&f.made), 0);
	fix_close(&f);
	fix_open(&f, SQL, YAML "limits: {snapshot_max_rows: 201}\n");
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, NULL);
	fix_close(&f);
	fix_open(&f, SQL "UPDATE orders SET note = hex(zeroblob(1000))",
		"root_table: customers\ntables: [{name: customers}, {name: orders, parent: "
		"customers, fk: customer_id}]\n"
		"limits: {snapshot_max_bytes: 65536}\n");
	fix_expect(
		&f, "get_schema", "{\"subject_id\":1}", TOOL_ERROR, "needs more than 65536 bytes");
	assert_int_equal(fix_files(&f, ".db") + fix_files(&f, ".tmp"), 0);
	fix_close(&f);
	fix_open(&f, SQL "UPDATE orders SET note = hex(zeroblob(600000)) WHERE id = 20", YAML);
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_ERROR,
		"a value in table 'orders' is larger than 1048576 bytes");
	fix_expect(&f, "get_schema", "{\"subject_id\":2}", TOOL_OK, NULL);
	fix_close(&f);
}

struct caller {
	struct fix *f;
	pthread_barrier_t *barrier;
	char id[80];
	enum tool_outcome outcome;
};

static void *call_at_once(void *arg)
{
	struct caller *c = arg;
	struct tool_result r;

	pthread_barrier_wait(c->barrier);
	fix_call(c->f, "execute_sql", "{\"subject_id\":1,\"sql\":\"SELECT count(*) FROM orders\"}",
		&r);
	snprintf(c->id, sizeof(c->id), "%s", r.snapshot_id);
	c->outcome = r.outcome;
	buf_free(&r.json);
	return NULL;
}

static void single_flight(void **state)
{
	struct caller callers[8];
	pthread_t threads[8];
	pthread_barrier_t barrier;
	struct fix f;

	(void)state;
	fix_open(&f, SQL, YAML);
	for (int round = 1; round <= 10; round++) {
		pthread_barrier_init(&barrier, NULL, 8);
		for (int i = 0; i < 8; i++) {
			callers[i] = (struct caller){.f = &f, .barrier = &barrier};
			pthread_create(&threads[i], NULL, call_at_once, &callers[i]);
		}
		for (int i = 0; i < 8; i++)
			pthread_join(threads[i], NULL);
		pthread_barrier_destroy(&barrier);
		for (int i = 0; i < 8; i++) {
			assert_int_equal(callers[i].outcome, TOOL_OK);
			assert_string_equal(callers[i].id, callers[0].id);
		}
		assert_int_equal(atomic_load(&f.made), round);
		tools_expire(f.t, clock_mono_ms() + 400000);
	}
	assert_int_equal(atomic_load(&f.gone), 10);
	fix_close(&f);
}

/* --- a source that waits for the test ---------------------------------------------------- */

struct source_read {
	const struct budget *budget;
};

static sem_t slow_begun, slow_go;
static atomic_int slow_reads, slow_stopped;

static enum rc slow_begin(struct source *s, const struct budget *b, const char *const *tables,
	size_t table_count, struct source_read **out, struct source_error *err)
{
	(void)s;
	(void)tables;
	(void)table_count;
	(void)err;
	*out = calloc(1, sizeof(**out));
	(*out)->budget = b;
	return RC_OK;
}

static void slow_end(struct source_read *r)
{
	free(r);
}

/* One row once the test says so; stops with its budget until then. */
static enum rc slow_select(struct source_read *r, const struct source_select *q, source_row_fn *row,
	void *ctx, struct source_error *err)
{
	struct value values[2] = {value_int(1), value_text("n", 1)};

	(void)err;
	if (strcmp(q->table, "customers") != 0)
		return RC_OK;
	atomic_fetch_add(&slow_reads, 1);
	sem_post(&slow_begun);
	while (sem_trywait(&slow_go) != 0) {
		if (budget_check(r->budget) != BUDGET_GO) {
			atomic_fetch_add(&slow_stopped, 1);
			return RC_UNAVAILABLE;
		}
		usleep(500);
	}
	return row(ctx, values);
}

static const struct source_ops slow_source = {
	.begin = slow_begin, .select = slow_select, .end = slow_end};

struct slow {
	struct fix f;
	struct plan *plan;
	struct mask mask;
	struct snapshots *snapshots;
	atomic_bool closing;
};

static void slow_open(struct slow *s)
{
	static struct source_column customers[] = {
		{"id", "INTEGER", COLUMN_INT}, {"name", "TEXT", COLUMN_TEXT}};
	static struct source_column orders[] = {{"id", "INTEGER", COLUMN_INT},
		{"customer_id", "INTEGER", COLUMN_INT}, {"note", "TEXT", COLUMN_TEXT}};
	static struct source_table tables[] = {
		{.name = "customers", .columns = customers, .column_count = 2},
		{.name = "orders", .columns = orders, .column_count = 3}};
	struct source_schema schema = {tables, 2};
	struct wconfig_error err = {.text = ""};

	fix_dirs(&s->f, NULL);
	fix_config(&s->f, YAML);
	atomic_init(&s->closing, false);
	mask_init(&s->mask, (const uint8_t[32]){1});
	assert_int_equal(plan_build(s->f.c, &schema, &s->plan, &err), RC_OK);
	assert_int_equal(snapshots_open(s->f.c, &engine_sqlite, &s->closing, fix_notify, &s->f,
				 &s->snapshots, &err),
		RC_OK);
	sem_init(&slow_begun, 0, 0);
	sem_init(&slow_go, 0, 0);
	atomic_store(&slow_reads, 0);
	atomic_store(&slow_stopped, 0);
}

static void slow_close(struct slow *s)
{
	snapshots_close(s->snapshots);
	plan_release(s->plan);
	s->f.t = NULL;
	fix_close(&s->f);
	sem_destroy(&slow_begun);
	sem_destroy(&slow_go);
}

struct slow_call {
	struct slow *s;
	int64_t timeout_ms;
	atomic_bool cancelled;
	pthread_t thread;
	enum export_status status;
	char id[80];
};

static void *slow_get(void *arg)
{
	struct slow_call *c = arg;
	struct snapshot *sn = NULL;
	struct engine_message m;
	struct snapshot_wish wish = {.subject = "i:1",
		.value = value_int(1),
		.source_ops = &slow_source,
		.plan = c->s->plan,
		.mask = &c->s->mask,
		.deadline_mono_ms = clock_mono_ms() + c->timeout_ms,
		.cancelled = &c->cancelled};

	c->status = snapshots_get(c->s->snapshots, &wish, &sn, &m);
	if (sn) {
		snprintf(c->id, sizeof(c->id), "%s", sn->id);
		snapshots_put(c->s->snapshots, sn);
	}
	return NULL;
}

static void slow_start(struct slow *s, struct slow_call *c, int64_t timeout_ms)
{
	memset(c, 0, sizeof(*c));
	c->s = s;
	c->timeout_ms = timeout_ms;
	pthread_create(&c->thread, NULL, slow_get, c);
}

/* Who started the export leaves; who joined still gets it. */
static void leader_leaves(void **state)
{
	struct slow_call a, b;
	struct slow s;

	(void)state;
	slow_open(&s);
	slow_start(&s, &a, 20000);
	sem_wait(&slow_begun);
	slow_start(&s, &b, 20000);
	while (snapshots_waiting(s.snapshots) == 0)
		usleep(1000);
	atomic_store(&a.cancelled, true);
	usleep(50000); /* for the export to stop, if it did */
	assert_int_equal(atomic_load(&slow_stopped), 0);
	sem_post(&slow_go);
	pthread_join(a.thread, NULL);
	pthread_join(b.thread, NULL);
	assert_int_equal(b.status, EXPORT_OK);
	assert_int_equal(atomic_load(&slow_reads), 1);
	assert_int_equal(atomic_load(&s.f.made), 1);
	slow_close(&s);
}

/* Nobody wants it any more: the export stops, leaves nothing, and the next call starts anew. */
static void everybody_leaves(void **state)
{
	struct slow_call a, b, c;
	struct slow s;

	(void)state;
	slow_open(&s);
	slow_start(&s, &a, 20000);
	sem_wait(&slow_begun);
	slow_start(&s, &b, 100);
	pthread_join(b.thread, NULL);
	assert_int_equal(b.status, EXPORT_TIMEOUT);
	assert_int_equal(atomic_load(&slow_stopped), 0);
	atomic_store(&a.cancelled, true);
	pthread_join(a.thread, NULL);
	assert_int_equal(a.status, EXPORT_CANCELLED);
	assert_int_equal(atomic_load(&slow_stopped), 1);
	assert_int_equal(fix_files(&s.f, ".tmp") + fix_files(&s.f, ".db"), 0);
	slow_start(&s, &c, 20000);
	sem_wait(&slow_begun);
	sem_post(&slow_go);
	pthread_join(c.thread, NULL);
	assert_int_equal(c.status, EXPORT_OK);
	assert_int_equal(atomic_load(&s.f.made), 1);
	slow_close(&s);
}

static void export_past_its_deadline(void **state)
{
	struct slow_call a;
	struct slow s;

	(void)state;
	slow_open(&s);
	slow_start(&s, &a, 60);
	pthread_join(a.thread, NULL);
	assert_int_equal(a.status, EXPORT_TIMEOUT);
	assert_int_equal(fix_files(&s.f, ".tmp") + fix_files(&s.f, ".db"), 0);
	slow_close(&s);
}

/* A snapshot that is dropped while somebody holds it lives until it is put back. */
static void held_while_dropped(void **state)
{
	struct snapshot *sn = NULL;
	struct engine_message m;
	struct slow s;

	(void)state;
	slow_open(&s);
	sem_post(&slow_go);
	{
		struct snapshot_wish wish = {.subject = "i:1",
			.value = value_int(1),
			.source_ops = &slow_source,
			.plan = s.plan,
			.mask = &s.mask,
			.deadline_mono_ms = clock_mono_ms() + 20000};

		assert_int_equal(snapshots_get(s.snapshots, &wish, &sn, &m), EXPORT_OK);
	}
	snapshots_expire(s.snapshots, clock_mono_ms() + 400000);
	assert_int_equal(fix_files(&s.f, ".db"), 1);
	assert_int_equal(atomic_load(&s.f.gone), 0);
	snapshots_put(s.snapshots, sn);
	assert_int_equal(fix_files(&s.f, ".db"), 0);
	assert_int_equal(atomic_load(&s.f.gone), 1);
	slow_close(&s);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_raw_value_anywhere),
		cmocka_unit_test(no_raw_value_anywhere_duckdb),
		cmocka_unit_test(masks_alike_on_both_engines),
		cmocka_unit_test(made_once_and_kept),
		cmocka_unit_test(ttl),
		cmocka_unit_test(least_recently_used_goes),
		cmocka_unit_test(leftovers),
		cmocka_unit_test(bad_directory),
		cmocka_unit_test(directory_mode_and_disk),
		cmocka_unit_test(caps),
		cmocka_unit_test(single_flight),
		cmocka_unit_test(leader_leaves),
		cmocka_unit_test(everybody_leaves),
		cmocka_unit_test(export_past_its_deadline),
		cmocka_unit_test(held_while_dropped),
	};

	DUCKFIX_MAIN(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
