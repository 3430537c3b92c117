/* The PostgreSQL source on databases as they are found: other encodings, row level security, tables
 * of all kinds and far more rows than memory should ever hold. */
#include "tests/unit/worker/duckfix.h"
#include "tests/unit/worker/pgfix.h"

#include <fcntl.h>

#include "worker/propose.h"
#include "worker/source.h"

#define STR(x) #x
#define XSTR(x) STR(x)

static struct pgfix pg;
static struct fix f;

static int start_server(void **state)
{
	(void)state;
	return pgfix_with_reader(&pg);
}

static int stop_server(void **state)
{
	(void)state;
	pgfix_free(&pg);
	return 0;
}

/* A database of its own, named as its encoding is, filled by the superuser in the encoding client.
 */
static void make_database(const char *encoding, const char *client, const char *sql)
{
	char text[256], more[64];
	PGconn *conn;
	PGresult *res;

	snprintf(text, sizeof(text),
		"CREATE DATABASE \"%s\" ENCODING '%s' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE "
		"template0",
		encoding, encoding);
	pgfix_sql(&pg, text, NULL);
	snprintf(more, sizeof(more), "&dbname=%s&client_encoding=%s", encoding, client);
	pgfix_url(&pg, "airlock", more, text, sizeof(text));
	conn = PQconnectdb(text);
	assert_int_equal(PQstatus(conn), CONNECTION_OK);
	res = PQexec(conn, sql);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		fail_msg("%s", PQerrorMessage(conn));
	PQclear(res);
	PQfinish(conn);
}

static void open_tools(const char *database, const char *yaml)
{
	struct wconfig_error err = {.text = ""};
	char more[64];

	fix_dirs(&f, NULL);
	snprintf(more, sizeof(more), "&dbname=%s", database);
	pgfix_url(&pg, "reader", more, f.url, sizeof(f.url));
	fix_config(&f, yaml);
	if (fix_tools(&f, &err) != RC_OK)
		fail_msg("%s", err.text);
}

/* --- encodings ---------------------------------------------------------------------------- */

static void latin1(void **state)
{
	(void)state;
	make_database("LATIN1", "UTF8",
		"CREATE TABLE kunden(name text PRIMARY KEY, \"gr\xc3\xb6\xc3\x9f"
		"e\" text, mail varchar(50), alias text[]);"
		"INSERT INTO kunden VALUES ('\xc3\x9cnal', 'm\xc3\xa4\xc3\x9fig', "
		"'\xc3\xbcnal@example.org', '{\xc3\xa9}');"
		"CREATE TABLE briefe(id int, kunde text REFERENCES kunden);"
		"INSERT INTO briefe VALUES (1, '\xc3\x9cnal'), (2, '\xc3\x9cnal');"
		"GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader");
	open_tools("LATIN1",
		"root_table: kunden\nroot_filter_col: name\ntables:\n"
		"  - {name: kunden, key: name, mask: {mail: email}}\n"
		"  - {name: briefe, key: id, parent: kunden, fk: kunde}\n");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":\"\xc3\x9cnal\",\"sql\":\"SELECT \\\"gr\xc3\xb6\xc3\x9f"
		"e\\\", mail LIKE 'u~_%@example.org' ESCAPE '~', alias, (SELECT count(*) FROM "
		"briefe) FROM kunden\"}",
		TOOL_OK, "[\\\"m\xc3\xa4\xc3\x9fig\\\",1,\\\"[\\\\\\\"\xc3\xa9\\\\\\\"]\\\",2]");
	/* What the encoding can't say is no subject, and no trouble of the database's. */
	fix_expect(&f, "get_schema", "{\"subject_id\":\"\xe6\x97\xa5\xe6\x9c\xac\"}", TOOL_ERROR,
		"no such subject");
	fix_close(&f);
}

#define BYTES_YAML                                                                         \
	"root_table: people\nroot_filter_col: name\ntables:\n"                             \
	"  - {name: people, key: home, mask: {mail: hash, phone: token, note: text, pin: " \
	"partial}}\n"                                                                      \
	"  - {name: letters, parent: people, fk: place}\n"

/* A database that never checked what its clients sent. */
static void bytes(const char *yaml)
{
	open_tools("SQL_ASCII", yaml);
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":\"j\xc3\xb6rg\",\"sql\":\"SELECT home, substr(mail, 1, 2), "
		"substr(phone, 1, 2), note, pin, kept FROM people\"}",
		TOOL_OK,
		"[\\\"K\xef\xbf\xbdln\\\",\\\"h_\\\",\\\"h_\\\",\\\"\xef\xbf\xbd [email] "
		"\xef\xbf\xbd\\\",\\\"[redacted]\\\","
		"\\\"\xef\xbf\xbd\xef\xbf\xbd\\\"]");
	/* Keys are compared as the bytes they are. */
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":\"j\xc3\xb6rg\",\"sql\":\"SELECT id FROM letters\"}", TOOL_OK,
		"\"rows\":[[1]]");
	fix_close(&f);
}

static void sql_ascii(void **state)
{
	char yaml[4096];

	(void)state;
	make_database("SQL_ASCII", "SQL_ASCII",
		"CREATE TABLE people(name text, home text, mail text, phone text, note text, "
		"pin text, kept varchar(20));"
		"INSERT INTO people VALUES ('j\xc3\xb6rg', 'K\xf6ln', 'j\xf6rg@example.org', "
		"'\xff"
		"12345678', '\xe4 ann@example.org \xe4', '\xe9\xe9\xe9\xe9\xe9\xe9\xe9\xe9\xe9"
		"', "
		"'\xc3\xff');"
		"CREATE TABLE letters(id int, place text);"
		"INSERT INTO letters VALUES (1, 'K\xf6ln'), (2, 'K\xc3\xb6ln');"
		"GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader");
	bytes(BYTES_YAML);
	if (!duckfix_library())
		return;
	snprintf(yaml, sizeof(yaml), "  duckdb_library: %s\nsnapshot_engine: duckdb\n%s",
		duckfix_library(), BYTES_YAML);
	bytes(yaml);
}

/* --- tables of all kinds -------------------------------------------------------------------- */

#define KINDS                                                                                      \
	"CREATE TABLE people(id int PRIMARY KEY, gone text, name text, shout text GENERATED "      \
	"ALWAYS AS (upper(name)) STORED); ALTER TABLE people DROP COLUMN gone;"                    \
	"ALTER TABLE people ADD late text DEFAULT 'later';"                                        \
	"INSERT INTO people(id, name) VALUES (1, 'ann'), (2, 'bob');"                              \
	"CREATE TABLE visits(id int, day date, person_id int REFERENCES people, PRIMARY KEY(id, "  \
	"day)) PARTITION BY RANGE (day);"                                                          \
	"CREATE TABLE visits_a PARTITION OF visits FOR VALUES FROM ('2024-01-01') TO "             \
	"('2025-01-01');"                                                                          \
	"CREATE TABLE visits_b PARTITION OF visits DEFAULT;"                                       \
	"INSERT INTO visits VALUES (1, '2024-05-01', 1), (2, '1999-05-01', 1), (3, '2024-05-01', " \
	"2);"                                                                                      \
	"CREATE TABLE base(id int, person_id int); CREATE TABLE derived(more text) INHERITS "      \
	"(base); INSERT INTO base VALUES (1, 1); INSERT INTO derived VALUES (2, 1, 'x');"          \
	"CREATE VIEW seen AS SELECT id AS person_id, name || '!' AS said FROM people;"             \
	"CREATE MATERIALIZED VIEW kept AS SELECT 1 AS person_id, 'm'::text AS m;"                  \
	"CREATE TABLE notes(id int, person_id int, note text);"                                    \
	"INSERT INTO notes VALUES (1, 1, 'shown'), (2, 1, 'hidden');"                              \
	"ALTER TABLE notes ENABLE ROW LEVEL SECURITY;"                                             \
	"CREATE POLICY p ON notes FOR SELECT TO reader USING (note <> 'hidden');"                  \
	"CREATE DOMAIN mood AS text; CREATE TYPE shade_base AS ENUM ('dark', 'light');"            \
	"CREATE DOMAIN shade AS shade_base;"                                                       \
	"CREATE TABLE shades(shade shade, person_id int); INSERT INTO shades VALUES ('dark', 1);"  \
	"CREATE TABLE tints(shade shade, tint text); INSERT INTO tints VALUES ('dark', 'navy'), "  \
	"('light', 'sky');"                                                                        \
	"GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"

#define KINDS_YAML                                                                \
	"root_table: people\ntables:\n"                                           \
	"  - {name: people, mask: {name: redact, shout: hash}}\n"                 \
	"  - {name: visits, parent: people, fk: person_id}\n"                     \
	"  - {name: base, parent: people, fk: person_id}\n"                       \
	"  - {name: seen, parent: people, fk: person_id, mask: {said: redact}}\n" \
	"  - {name: kept, parent: people, fk: person_id}\n"                       \
	"  - {name: notes, parent: people, fk: person_id}\n"                      \
	"  - {name: shades, key: shade, parent: people, fk: person_id}\n"         \
	"  - {name: tints, parent: shades, fk: shade}\n"

static void every_kind_of_table(void **state)
{
	static const char *const cases[][2] = {
		{"SELECT id, name, substr(shout, 1, 2), late FROM people",
			"[1,\\\"[redacted]\\\",\\\"h_\\\",\\\"later\\\"]"},
		{"SELECT count(*), min(day) FROM visits", "[2,\\\"1999-05-01\\\"]"},
		{"SELECT count(*) FROM base", "[[2]]"},
		{"SELECT said FROM seen", "[\\\"[redacted]\\\"]"},
		{"SELECT m FROM kept", "[\\\"m\\\"]"},
		/* What the policy hides from the worker's user does not exist for it. */
		{"SELECT note FROM notes", "[[\\\"shown\\\"]]"},
		/* Related by a domain over an enum. */
		{"SELECT tint FROM tints", "[[\\\"navy\\\"]]"},
	};

	(void)state;
	make_database("UTF8", "UTF8", KINDS);
	open_tools("UTF8", KINDS_YAML);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char arguments[256];

		snprintf(arguments, sizeof(arguments), "{\"subject_id\":1,\"sql\":\"%s\"}",
			cases[i][0]);
		fix_expect(&f, "execute_sql", arguments, TOOL_OK, cases[i][1]);
	}
	fix_close(&f);
}

/* --- init ------------------------------------------------------------------------------------- */

/* A name with a line break stays inside its comment; what a snapshot can't hold beside another is
 * left out; and the proposal is good as it stands. */
static void a_proposal_of_odd_names(void **state)
{
	struct source_error err = {.text = ""};
	struct source *source = NULL;
	struct buf out;
	char url[256];

	(void)state;
	pgfix_sql(&pg,
		"CREATE TABLE \"Ku\"\"nde; --\"(\"Id\" int PRIMARY KEY, \"E-Mail\" text, "
		"\"e-mail\" "
		"text, \"x\n    mask: {}\n#_id\" int, "
		"\"\xc3\xbc"
		"ber_ein_sehr_langer_name_mit_genau_dreiundsechzig_bytes_abcdef\" text);"
		"INSERT INTO \"Ku\"\"nde; --\" VALUES (1, 'ann@example.org', 'canary@example.org', "
		"2, "
		"'x');"
		"GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
		NULL);
	pgfix_url(&pg, "reader", "", url, sizeof(url));
	if (source_pg.open(url, &source, &err) != RC_OK)
		fail_msg("%s", err.text);
	buf_init(&out, 1 << 20);
	if (propose(&source_pg, source, "Ku\"nde; --", &out, &err) != RC_OK)
		fail_msg("%s", err.text);
	source_pg.close(source);
	buf_char(&out, '\0');
	assert_non_null(strstr((char *)out.data, "# x?    mask: {}?#_id: named like a reference"));
	assert_non_null(strstr(
		(char *)out.data, "- \"e-mail\" # differs from another column in case alone"));
	assert_null(strstr((char *)out.data, "canary"));
	open_tools("postgres", (char *)out.data);
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":1,\"sql\":\"SELECT * FROM \\\"Ku\\\"\\\"nde; --\\\"\"}", TOOL_OK,
		"[1,\\\"u_");
	fix_close(&f);
	buf_free(&out);
}

/* --- memory ---------------------------------------------------------------------------------- */

/* KiB of /proc/self/status. */
static long resident(const char *name)
{
	char line[256];
	long kib = -1;
	FILE *in = fopen("/proc/self/status", "r");

	assert_non_null(in);
	while (fgets(line, sizeof(line), in))
		if (strncmp(line, name, strlen(name)) == 0)
			kib = strtol(line + strlen(name), NULL, 10);
	fclose(in);
	assert_true(kib > 0);
	return kib;
}

#define BIG_ROWS 60000
#define BIG_KIB (BIG_ROWS * 1024L / 1024) /* of one subject's texts */
#define GROWTH_MAX_KIB (BIG_KIB / 2)

/* A subject far larger than what the copy takes of memory. */
static void memory_is_bounded(void **state)
{
	long before, grown;
	int fd;

	(void)state;
	pgfix_sql(&pg,
		"CREATE TABLE people(id int PRIMARY KEY, name text); INSERT INTO people VALUES (1, "
		"'Ann Vandervelde'), (2, 'Bob');"
		"CREATE TABLE letters(id int, person_id int, sender text, body text);"
		"INSERT INTO letters SELECT i, 1, 'sender ' || i, rpad('letter ' || i || ' ', "
		"1024, 'x')"
		" FROM generate_series(1, " XSTR(
			BIG_ROWS) ") i;"
				  "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
		NULL);
	open_tools("postgres",
		"root_table: people\ntables:\n  - {name: people, mask: {name: redact}}\n"
		"  - {name: letters, parent: people, fk: person_id, mask: {sender: hash}}\n");
	/* Whatever is allocated once is there. */
	fix_expect(&f, "get_schema", "{\"subject_id\":2}", TOOL_OK, NULL);
	fd = open("/proc/self/clear_refs", O_WRONLY);
	assert_true(fd >= 0 && write(fd, "5", 1) == 1); /* VmHWM begins anew */
	close(fd);
	before = resident("VmHWM:");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":1,\"sql\":\"SELECT count(*), sum(length(body)) / 1024 FROM "
		"letters\"}",
		TOOL_OK, "[[" XSTR(BIG_ROWS) "," XSTR(BIG_ROWS) "]]");
	grown = resident("VmHWM:") - before;
	print_message("%ld KiB of texts, %ld KiB more memory\n", BIG_KIB, grown);
#ifndef __SANITIZE_ADDRESS__
	assert_in_range(grown, 0, GROWTH_MAX_KIB);
#endif
	fix_close(&f);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(latin1),
		cmocka_unit_test(sql_ascii),
		cmocka_unit_test(every_kind_of_table),
		cmocka_unit_test(a_proposal_of_odd_names),
		cmocka_unit_test(memory_is_bounded),
	};

	DUCKFIX_MAIN(argc, argv);
	return cmocka_run_group_tests(tests, start_server, stop_server);
}
