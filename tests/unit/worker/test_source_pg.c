/* The PostgreSQL source against a real server: every type, keys and foreign keys, what happens when
 * the server goes, is slow, full, locked or changed, and that nothing raw is in a snapshot. */
#include "tests/unit/worker/pgfix.h"

#include <math.h>

#include "worker/source.h"

static struct pgfix pg;
static struct budget unlimited = {NULL, NULL};

#define RESET                                                                               \
	"DROP SCHEMA IF EXISTS public, sales, \"we\"\"ird\" CASCADE; CREATE SCHEMA public;" \
	"GRANT USAGE ON SCHEMA public TO reader;"                                           \
	"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader;"

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

/* --- reading straight from the source ---------------------------------------------------- */

static struct source *open_source(const char *more)
{
	struct source_error err = {.text = ""};
	struct source *s = NULL;
	char url[256];

	pgfix_url(&pg, "reader", more, url, sizeof(url));
	if (source_pg.open(url, &s, &err) != RC_OK)
		fail_msg("%s", err.text);
	return s;
}

static struct source_schema *read_schema(void)
{
	struct source_error err = {.text = ""};
	struct source_schema *s = NULL;
	struct source *src = open_source("");

	if (source_pg.schema(src, &unlimited, &s, &err) != RC_OK)
		fail_msg("%s", err.text);
	source_pg.close(src);
	return s;
}

#define CELLS 128
static char cells[CELLS][256];
static size_t cell_count, row_count, width;

static enum rc keep_row(void *ctx, const struct value *row)
{
	(void)ctx;
	row_count++;
	for (size_t i = 0; i < width && cell_count < CELLS; i++) {
		char *to = cells[cell_count++];

		switch (row[i].kind) {
		case VALUE_NULL:
			snprintf(to, sizeof(cells[0]), "null");
			break;
		case VALUE_INT:
			snprintf(to, sizeof(cells[0]), "i:%lld", (long long)row[i].i);
			break;
		case VALUE_REAL:
			snprintf(to, sizeof(cells[0]), "r:%.17g", row[i].r);
			break;
		case VALUE_TEXT:
			snprintf(to, sizeof(cells[0]), "t:%.*s", (int)row[i].len,
				(const char *)row[i].p);
			break;
		case VALUE_BLOB:
			snprintf(to, sizeof(cells[0]), "b:%zu:", row[i].len);
			for (size_t k = 0; k < row[i].len && k < 8; k++)
				sprintf(to + strlen(to), "%02x", ((const uint8_t *)row[i].p)[k]);
			break;
		}
	}
	return RC_OK;
}

static enum rc select_keys(struct source_read *r, const char *table, const char *const *columns,
	size_t count, const char *filter, const struct value *keys, size_t key_count,
	source_row_fn *fn, struct source_error *err)
{
	struct value_list list;
	struct source_select q = {.table = table,
		.columns = columns,
		.column_count = count,
		.filter_column = filter,
		.keys = &list};
	enum rc rc;

	value_list_init(&list, 100000, 1 << 24);
	for (size_t i = 0; i < key_count; i++)
		assert_int_equal(value_list_add(&list, &keys[i]), RC_OK);
	cell_count = row_count = 0;
	width = count;
	rc = source_pg.select(r, &q, fn, NULL, err);
	value_list_free(&list);
	return rc;
}

static struct source_read *begin(struct source *s)
{
	struct source_error err = {.text = ""};
	struct source_read *r = NULL;

	if (source_pg.begin(s, &unlimited, NULL, 0, &r, &err) != RC_OK)
		fail_msg("%s", err.text);
	return r;
}

/* One select with a transaction of its own, which must go well. */
static void select_one(const char *table, const char *column, const char *filter,
	const struct value *keys, size_t key_count)
{
	struct source_error err = {.text = ""};
	struct source *s = open_source("");
	struct source_read *r = begin(s);

	if (select_keys(r, table, &column, 1, filter, keys, key_count, keep_row, &err) != RC_OK)
		fail_msg("%s", err.text);
	source_pg.end(r);
	source_pg.close(s);
}

static struct value text(const char *s)
{
	return value_text(s, strlen(s));
}

/* --- types --------------------------------------------------------------------------------- */

static const struct {
	const char *type, *literal, *want;
	enum column_kind kind;
} types[] = {
	{"int2", "-32768", "i:-32768", COLUMN_INT},
	{"int4", "2147483647", "i:2147483647", COLUMN_INT},
	{"int8", "-9223372036854775808", "i:-9223372036854775808", COLUMN_INT},
	{"oid", "4294967295", "i:4294967295", COLUMN_INT},
	{"numeric", "12345678901234567890.1234567890", "t:12345678901234567890.1234567890",
		COLUMN_ANY},
	{"numeric", "42", "i:42", COLUMN_ANY},
	{"numeric", "9223372036854775808", "t:9223372036854775808", COLUMN_ANY},
	{"numeric", "0.5", "r:0.5", COLUMN_ANY},
	{"numeric", "NaN", "t:NaN", COLUMN_ANY},
	{"numeric(12,2)", "12.34", "r:12.34", COLUMN_REAL},
	{"numeric(18)", "-999999999999999999", "i:-999999999999999999", COLUMN_INT},
	{"numeric(20,2)", "123456789012345678.91", "t:123456789012345678.91", COLUMN_ANY},
	{"money", "12.34", "r:12.34", COLUMN_ANY},
	{"float4", "0.1", "r:0.10000000000000001", COLUMN_REAL},
	{"float8", "1e308", "r:1e+308", COLUMN_REAL},
	{"float8", "NaN", "t:NaN", COLUMN_REAL},
	{"float8", "-Infinity", "t:-Infinity", COLUMN_REAL},
	{"bool", "true", "i:1", COLUMN_INT},
	{"bool", "false", "i:0", COLUMN_INT},
	{"text", "it''s \"\\x\\\" \xe2\x82\xac", "t:it's \"\\x\\\" \xe2\x82\xac", COLUMN_TEXT},
	{"text", "", "t:", COLUMN_TEXT},
	{"varchar(10)", "abc", "t:abc", COLUMN_TEXT},
	{"char(5)", "ab", "t:ab   ", COLUMN_TEXT},
	{"timestamptz", "2024-02-29 23:30:00.125-05", "t:2024-03-01T04:30:00.125Z", COLUMN_TEXT},
	{"timestamptz", "infinity", "t:infinity", COLUMN_TEXT},
	{"timestamptz", "0044-03-15 12:00:00+00 BC", "t:0044-03-15 12:00:00+00 BC", COLUMN_TEXT},
	{"timestamp", "2024-02-29 23:30:00", "t:2024-02-29 23:30:00", COLUMN_TEXT},
	{"date", "2024-02-29", "t:2024-02-29", COLUMN_TEXT},
	{"time", "23:59:59.5", "t:23:59:59.5", COLUMN_TEXT},
	{"timetz", "01:02:03+02", "t:01:02:03+02", COLUMN_TEXT},
	{"interval", "1 year 2 days 03:04:05", "t:P1Y2DT3H4M5S", COLUMN_TEXT},
	{"json", "{\"a\" : 1}", "t:{\"a\" : 1}", COLUMN_TEXT},
	{"jsonb", "{\"b\":null,\"a\":[1]}", "t:{\"a\": [1], \"b\": null}", COLUMN_TEXT},
	{"int4[]", "{1,NULL,3}", "t:[1,null,3]", COLUMN_TEXT},
	{"text[]", "{{a,\"b\\\"\"},{c,NULL}}", "t:[[\"a\",\"b\\\"\"],[\"c\",null]]", COLUMN_TEXT},
	{"timestamptz[]", "{2024-01-01 00:00:00+01}", "t:[\"2023-12-31T23:00:00+00:00\"]",
		COLUMN_TEXT},
	{"uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "t:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
		COLUMN_TEXT},
	{"bytea", "\\x00ff10ab", "b:4:00ff10ab", COLUMN_BLOB},
	{"bytea", "", "b:0:", COLUMN_BLOB},
	{"mood", "so so", "t:so so", COLUMN_TEXT},
	{"int4range", "[1,5)", "t:[1,5)", COLUMN_TEXT},
	{"tstzrange", "[2024-01-01 00:00+01,)", "t:[\"2023-12-31 23:00:00+00\",)", COLUMN_TEXT},
	{"inet", "10.0.0.1/8", "t:10.0.0.1/8", COLUMN_TEXT},
	{"pair", "(1,x)", "t:{\"a\":1,\"b\":\"x\"}", COLUMN_TEXT},
	{"tiny", "7", "i:7", COLUMN_INT},
	{"cents", "1.25", "r:1.25", COLUMN_REAL},
	{"tags", "{x,y}", "t:[\"x\",\"y\"]", COLUMN_TEXT},
	{"xml", "<a>b</a>", "t:<a>b</a>", COLUMN_TEXT},
	{"bit(4)", "1010", "t:1010", COLUMN_TEXT},
	{"tsvector", "a b", "t:'a' 'b'", COLUMN_TEXT},
	{"tsquery", "a & b", "t:'a' & 'b'", COLUMN_TEXT},
	{"int4multirange", "{[1,3),[5,9)}", "t:{[1,3),[5,9)}", COLUMN_TEXT},
	{"datemultirange", "{[2024-01-01,2024-02-01)}", "t:{[2024-01-01,2024-02-01)}", COLUMN_TEXT},
	{"cidr", "10.1.0.0/16", "t:10.1.0.0/16", COLUMN_TEXT},
	{"macaddr", "08:00:2B:01:02:03", "t:08:00:2b:01:02:03", COLUMN_TEXT},
	{"bit varying", "10101", "t:10101", COLUMN_TEXT},
	{"point", "(1.5,2)", "t:(1.5,2)", COLUMN_TEXT},
	{"name", "abc", "t:abc", COLUMN_TEXT},
	{"mood[]", "{\"so so\",fine}", "t:[\"so so\",\"fine\"]", COLUMN_TEXT},
	{"jsonb[]", "{\"{\\\"a\\\": 1}\"}", "t:[{\"a\": 1}]", COLUMN_TEXT},
	{"bytea[]", "{\"\\\\x00ff\"}", "t:[\"\\\\x00ff\"]", COLUMN_TEXT},
	{"timestamptz", "-infinity", "t:-infinity", COLUMN_TEXT},
	{"timestamptz", "0001-01-01 00:00:00+00", "t:0001-01-01T00:00:00Z", COLUMN_TEXT},
	{"timestamptz", "1999-12-31 23:59:59.999999+00", "t:1999-12-31T23:59:59.999999Z",
		COLUMN_TEXT},
	{"timestamptz", "9999-12-31 23:59:59.5+00", "t:9999-12-31T23:59:59.5Z", COLUMN_TEXT},
	{"timestamptz", "10000-01-01 00:00:00+00", "t:10000-01-01 00:00:00+00", COLUMN_TEXT},
	{"timestamptz", "294276-12-31 23:59:59.25+00", "t:294276-12-31 23:59:59.25+00",
		COLUMN_TEXT},
	{"timestamptz", "4713-01-01 00:00:00+00 BC", "t:4713-01-01 00:00:00+00 BC", COLUMN_TEXT},
	{"numeric", "14.0000000000000000", "r:14", COLUMN_ANY},
	{"numeric", "-1234567890.12345000000000000000", "r:-1234567890.12345", COLUMN_ANY},
	{"float4", "-1e-30", "r:-1.0000000000000001e-30", COLUMN_REAL},
	{"float4", "NaN", "t:NaN", COLUMN_REAL},
	{"float4", "Infinity", "t:Infinity", COLUMN_REAL},
	{"float8", "-0.0000123", "r:-1.2300000000000001e-05", COLUMN_REAL},
	{"numeric", "-0.00000000000000000000000000000000000000000000000000000000000000000125",
		"r:-1.2499999999999999e-66", COLUMN_ANY},
	{"numeric", "Infinity", "t:Infinity", COLUMN_ANY},
	{"numeric", "-Infinity", "t:-Infinity", COLUMN_ANY},
	{"money", "-92233720368547758.08", "t:-92233720368547758.08", COLUMN_ANY},
	{"date", "infinity", "t:infinity", COLUMN_TEXT},
	{"date", "0044-03-15 BC", "t:0044-03-15 BC", COLUMN_TEXT},
	{"timestamp", "-infinity", "t:-infinity", COLUMN_TEXT},
	{"interval", "-1 year -2 days -03:04:05.5", "t:P-1Y-2DT-3H-4M-5.5S", COLUMN_TEXT},
	{"interval", "1 year -2 days 00:00:00.000001", "t:P1Y-2DT0.000001S", COLUMN_TEXT},
	{"interval", "0", "t:PT0S", COLUMN_TEXT},
	{"json", "{\"a\":\"\\u0000\"}", "t:{\"a\":\"\\u0000\"}", COLUMN_TEXT},
	{"int4[]", "[0:1]={7,8}", "t:[7,8]", COLUMN_TEXT},
	{"int4[]", "{}", "t:[]", COLUMN_TEXT},
	{"int4[]", "{{{1,2},{3,NULL}}}", "t:[[[1,2],[3,null]]]", COLUMN_TEXT},
	{"pair[]", "{\"(1,x)\",NULL}", "t:[{\"a\":1,\"b\":\"x\"},null]", COLUMN_TEXT},
	{"tiny[]", "{7,NULL}", "t:[7,null]", COLUMN_TEXT},
	{"int4range[]", "{\"[1,5)\",empty}", "t:[\"[1,5)\",\"empty\"]", COLUMN_TEXT},
	{"float8[]", "{NaN,-Infinity}", "t:[\"NaN\",\"-Infinity\"]", COLUMN_TEXT},
	{"timestamptz[]", "{infinity,NULL}", "t:[\"infinity\",null]", COLUMN_TEXT},
	{"interval[]", "{-1 day}", "t:[\"P-1D\"]", COLUMN_TEXT},
	{"nest", "(\"(1,x)\",\"{1,2}\")", "t:{\"p\":{\"a\":1,\"b\":\"x\"},\"q\":[1,2]}",
		COLUMN_TEXT},
	{"shade", "fine", "t:fine", COLUMN_TEXT},
	{"int4range", "empty", "t:empty", COLUMN_TEXT},
	{"numrange", "(0.50,)", "t:(0.50,)", COLUMN_TEXT},
	{"inet", "2001:db8::1/64", "t:2001:db8::1/64", COLUMN_TEXT},
	{"macaddr8", "08:00:2b:01:02:03:04:05", "t:08:00:2b:01:02:03:04:05", COLUMN_TEXT},
	{"pg_lsn", "16/B374D848", "t:16/B374D848", COLUMN_TEXT},
	{"\"char\"", "x", "t:x", COLUMN_TEXT},
	{"path", "[(0,0),(1,2)]", "t:[(0,0),(1,2)]", COLUMN_TEXT},
	/* Of extensions, whose types nobody here knows. */
	{"hstore", "a=>1, b=>NULL", "t:\"a\"=>\"1\", \"b\"=>NULL", COLUMN_TEXT},
	{"citext", "AbC", "t:AbC", COLUMN_TEXT},
};
#define TYPES (sizeof(types) / sizeof(types[0]))

/* A table with every type: row 1 has the values, row 2 is NULL throughout. */
static void every_type(void **state)
{
	struct source_error err = {.text = ""};
	struct value keys[] = {value_int(1), value_int(2)};
	const char *columns[TYPES];
	char names[TYPES][8];
	struct source_schema *schema;
	struct source *s;
	struct source_read *r;
	struct buf sql;

	(void)state;
	buf_init(&sql, 1 << 16);
	buf_str(&sql,
		RESET
		"CREATE TYPE mood AS ENUM ('so so', 'fine'); CREATE TYPE pair AS (a int, b text);"
		"CREATE DOMAIN small AS int CHECK (value < 100); CREATE DOMAIN tiny AS small;"
		"CREATE DOMAIN cents AS numeric(10,2); CREATE DOMAIN tags AS text[];"
		"CREATE TYPE nest AS (p pair, q int[]); CREATE DOMAIN shade AS mood;"
		"CREATE EXTENSION hstore; CREATE EXTENSION citext;"
		"CREATE TABLE every(id int PRIMARY KEY");
	for (size_t i = 0; i < TYPES; i++) {
		snprintf(names[i], sizeof(names[i]), "c%zu", i);
		columns[i] = names[i];
		buf_printf(&sql, ", %s %s", names[i], types[i].type);
	}
	buf_str(&sql, "); INSERT INTO every VALUES (1");
	for (size_t i = 0; i < TYPES; i++)
		buf_printf(&sql, ", '%s'", types[i].literal);
	buf_str(&sql, "); INSERT INTO every(id) VALUES (2)");
	buf_char(&sql, '\0');
	/* The server's own settings must not show. */
	pgfix_sql(&pg, "ALTER DATABASE postgres SET TimeZone = 'Asia/Tokyo'", NULL);
	pgfix_sql(&pg, "ALTER DATABASE postgres SET DateStyle = 'German'", NULL);
	pgfix_sql(&pg, "ALTER DATABASE postgres SET bytea_output = 'escape'", NULL);
	pgfix_sql(&pg, "SET DateStyle = 'ISO, MDY'", NULL);
	pgfix_sql(&pg, (const char *)sql.data, NULL);
	buf_free(&sql);

	schema = read_schema();
	for (size_t i = 0; i < TYPES; i++) {
		const struct source_column *c =
			source_table_column(source_schema_table(schema, "every"), names[i]);

		assert_non_null(c);
		if (c->kind != types[i].kind)
			fail_msg("%s: kind %d", types[i].type, (int)c->kind);
	}
	assert_string_equal(source_table_column(source_schema_table(schema, "every"), "c9")->type,
		"numeric(12,2)");
	source_schema_free(schema);

	s = open_source("");
	r = begin(s);
	if (select_keys(r, "every", columns, TYPES, "id", keys, 1, keep_row, &err) != RC_OK)
		fail_msg("%s", err.text);
	assert_int_equal(row_count, 1);
	for (size_t i = 0; i < TYPES; i++)
		if (strcmp(cells[i], types[i].want) != 0)
			fail_msg("%s: %s, not %s", types[i].type, cells[i], types[i].want);
	assert_int_equal(
		select_keys(r, "every", columns, TYPES, "id", keys + 1, 1, keep_row, &err), RC_OK);
	assert_int_equal(row_count, 1);
	for (size_t i = 0; i < TYPES; i++)
		assert_string_equal(cells[i], "null");
	source_pg.end(r);
	source_pg.close(s);
}

/* Types without an equality, or whose text is not their own, can't relate tables. */
static bool compared(const char *type)
{
	static const char *const not [] = {"json", "xml", "pair", "int4[]", "text[]",
		"timestamptz[]", "tags", "money", "point", "mood[]", "jsonb[]", "bytea[]", "pair[]",
		"tiny[]", "int4range[]", "float8[]", "interval[]", "nest", "path"};

	for (size_t i = 0; i < sizeof(not ) / sizeof(not [0]); i++)
		if (strcmp(type, not [i]) == 0)
			return false;
	return true;
}

/* What the source gives for a value, given back as a key, finds the row again. */
static void keys_of_every_type(void **state)
{
	(void)state;
	for (size_t i = 0; i < TYPES; i++) {
		const char *w = types[i].want;
		struct value v = text(w + 2);
		uint8_t bytes[] = {0, 255, 16, 171};
		char column[8];

		if (!compared(types[i].type))
			continue;
		if (*w == 'i')
			v = value_int(strtoll(w + 2, NULL, 10));
		else if (*w == 'r')
			v = (struct value){.kind = VALUE_REAL, .r = strtod(w + 2, NULL)};
		else if (*w == 'b')
			v = (struct value){
				.kind = VALUE_BLOB, .p = bytes, .len = (size_t)(w[2] - '0')};
		/* 0.1 as a float4 is another number than as a float8; the key is cast to it. */
		snprintf(column, sizeof(column), "c%zu", i);
		select_one("every", "id", column, &v, 1);
		if (row_count != 1 || strcmp(cells[0], "i:1") != 0)
			fail_msg("%s: %zu rows for %s", types[i].type, row_count, w);
	}
}

static void keys_that_do_not_fit(void **state)
{
	static const char attack[] = "1}'); DROP TABLE every; --";
	struct value many[] = {text("zzz"), text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
		value_text("a\0b", 3), text("{}"), value_int(5)};
	struct value ints[] = {value_int(1), text("x"), value_int(INT64_MAX), text("2")};
	struct value one = text(attack);
	struct value *big;

	(void)state;
	select_one("every", "id", "c36", many, 5);
	assert_int_equal(row_count, 1);
	select_one("every", "id", "id", ints, 4);
	assert_int_equal(row_count, 2);
	for (size_t i = 0; i < TYPES; i++) {
		char column[8];

		snprintf(column, sizeof(column), "c%zu", i);
		if (!compared(types[i].type))
			continue;
		select_one("every", "id", column, &one, 1);
		assert_int_equal(row_count, 0);
	}
	big = calloc(50000, sizeof(*big));
	for (int i = 0; i < 50000; i++)
		big[i] = value_int(i);
	select_one("every", "id", "id", big, 50000);
	assert_int_equal(row_count, 2);
	free(big);
}

/* --- the catalog ---------------------------------------------------------------------------- */

static void names_and_keys(void **state)
{
	struct source_schema *s;
	const struct source_table *t;
	struct value key = text("k");

	(void)state;
	pgfix_sql(&pg,
		RESET
		"CREATE SCHEMA sales; CREATE SCHEMA \"we\"\"ird\"; GRANT USAGE ON SCHEMA sales, "
		"\"we\"\"ird\" TO reader;"
		"CREATE TABLE sales.orders(tenant int, nr int, next_nr int, boss int, PRIMARY "
		"KEY(tenant, nr), FOREIGN KEY(tenant, next_nr) REFERENCES sales.orders);"
		"CREATE TABLE people(id int PRIMARY KEY, boss int REFERENCES people, home int);"
		"CREATE TABLE homes(id int PRIMARY KEY, owner int REFERENCES people);"
		"ALTER TABLE people ADD FOREIGN KEY (home) REFERENCES homes;"
		"ALTER TABLE sales.orders ADD FOREIGN KEY (boss) REFERENCES people;"
		"CREATE TABLE \"a.b\"(\"se\"\"l;--\" text, \"\xe2\x82\xac\" int);"
		"CREATE TABLE \"we\"\"ird\".\"t\"\"'\"(\"se\"\"l;--\" text);"
		"INSERT INTO \"we\"\"ird\".\"t\"\"'\" VALUES ('k'); INSERT INTO \"a.b\" VALUES "
		"('k', 3);"
		"CREATE VIEW v AS SELECT id FROM people; CREATE TABLE lonely(person_id int);"
		"CREATE TABLE hidden(id int); REVOKE ALL ON hidden FROM reader;"
		"CREATE TABLE part(id int, secret text); REVOKE ALL ON part FROM reader; GRANT "
		"SELECT(id) ON part TO reader",
		NULL);
	s = read_schema();
	t = source_schema_table(s, "sales.orders");
	assert_non_null(t);
	assert_int_equal(t->key_count, 2);
	assert_string_equal(t->key[0], "tenant");
	assert_string_equal(t->key[1], "nr");
	assert_int_equal(t->foreign_key_count, 2);
	assert_string_equal(t->foreign_keys[0].table, "sales.orders");
	assert_int_equal(t->foreign_keys[0].column_count, 2);
	assert_string_equal(t->foreign_keys[0].columns[1], "next_nr");
	assert_string_equal(t->foreign_keys[0].far_columns[1], "nr");
	assert_string_equal(t->foreign_keys[1].table, "people");
	t = source_schema_table(s, "people");
	assert_int_equal(t->key_count, 1);
	assert_int_equal(t->foreign_key_count, 2);
	assert_string_equal(t->foreign_keys[0].table, "people");
	assert_string_equal(t->foreign_keys[1].table, "homes");
	assert_string_equal(source_schema_table(s, "homes")->foreign_keys[0].table, "people");
	assert_int_equal(source_schema_table(s, "lonely")->foreign_key_count, 0);
	assert_int_equal(source_schema_table(s, "lonely")->key_count, 0);
	assert_non_null(source_schema_table(s, "v"));
	assert_non_null(source_schema_table(s, "public.a.b"));
	assert_null(source_schema_table(s, "a.b"));
	assert_null(source_schema_table(s, "public.people"));
	assert_null(source_schema_table(s, "hidden"));
	assert_null(source_schema_table(s, "pg_catalog.pg_class"));
	assert_int_equal(source_schema_table(s, "part")->column_count, 1);
	source_schema_free(s);
	select_one("we\"ird.t\"'", "se\"l;--", "se\"l;--", &key, 1);
	assert_int_equal(row_count, 1);
	select_one("public.a.b", "\xe2\x82\xac", "se\"l;--", &key, 1);
	assert_string_equal(cells[0], "i:3");
}

/* --- what can go wrong ------------------------------------------------------------------------ */

static enum rc end_connection(void *ctx, const struct value *row)
{
	(void)ctx;
	(void)row;
	if (row_count++ == 0)
		pgfix_sql(&pg,
			"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE "
			"usename = "
			"'reader'",
			NULL);
	return RC_OK;
}

static enum rc stop_at_once(void *ctx, const struct value *row)
{
	(void)ctx;
	(void)row;
	row_count++;
	return RC_LIMIT;
}

static void one_moment_and_lost(void **state)
{
	struct source_error err = {.text = ""};
	struct value key = value_int(1);
	const char *column = "pad";
	struct source *s;
	struct source_read *r;

	(void)state;
	pgfix_sql(&pg,
		RESET "CREATE TABLE big(k int, pad text); INSERT INTO big SELECT 1, repeat('x', "
		      "1000) FROM "
		      "generate_series(1, 20000)",
		NULL);
	s = open_source("");
	r = begin(s);
	assert_int_equal(select_keys(r, "big", &column, 1, "k", &key, 1, keep_row, &err), RC_OK);
	assert_int_equal(row_count, 20000);
	pgfix_sql(&pg, "DELETE FROM big WHERE ctid < '(1,1)'", NULL);
	assert_int_equal(select_keys(r, "big", &column, 1, "k", &key, 1, keep_row, &err), RC_OK);
	assert_int_equal(row_count, 20000);
	assert_int_equal(select_keys(r, "big", &column, 1, "k", &key, 1, end_connection, &err),
		RC_UNAVAILABLE);
	assert_true(row_count < 20000);
	assert_non_null(strstr(err.text, "big: "));
	source_pg.end(r);
	/* The next read makes a connection of its own. */
	r = begin(s);
	assert_int_equal(
		select_keys(r, "big", &column, 1, "k", &key, 1, stop_at_once, &err), RC_LIMIT);
	assert_int_equal(row_count, 1);
	source_pg.end(r);
	source_pg.close(s);
}

static void never_writes(void **state)
{
	struct source_error err = {.text = ""};
	struct value key = value_int(1);
	const char *column = "id";
	struct source *s;
	struct source_read *r;
	char *count;

	(void)state;
	pgfix_sql(&pg,
		RESET "CREATE TABLE log(at int); CREATE FUNCTION note() RETURNS int LANGUAGE sql "
		      "SECURITY "
		      "DEFINER AS 'INSERT INTO public.log VALUES (1) RETURNING 1';"
		      "CREATE VIEW trap AS SELECT 1 AS id, note() AS n",
		NULL);
	s = open_source("");
	r = begin(s);
	column = "n";
	assert_int_equal(
		select_keys(r, "trap", &column, 1, "id", &key, 1, keep_row, &err), RC_INVALID);
	assert_non_null(strstr(err.text, "SQLSTATE 25006"));
	source_pg.end(r);
	source_pg.close(s);
	pgfix_sql(&pg, "SELECT count(*) FROM log", &count);
	assert_string_equal(count, "0");
	free(count);
}

/* --- through the tools --------------------------------------------------------------------------
 */

static struct fix f;

#define PEOPLE                                                                                    \
	RESET                                                                                     \
	"CREATE SCHEMA sales; GRANT USAGE ON SCHEMA sales TO reader;"                             \
	"CREATE TABLE people(id int PRIMARY KEY, mail text, born date, note text, boss int "      \
	"REFERENCES "                                                                             \
	"people, pin bytea, worth numeric, doc jsonb, tags text[]);"                              \
	"CREATE TABLE sales.orders(id uuid PRIMARY KEY, person_id int REFERENCES people, amount " \
	"numeric(10,2), at timestamptz, ok bool);"                                                \
	"INSERT INTO people VALUES (1, 'canary-mail-1@example.org', '1971-02-03', 'canary note "  \
	"1', "                                                                                    \
	"NULL, '\\x63616e61727962797465', 987654321987654321987.5, '{\"a\":\"canary-json\"}', "   \
	"'{canary-tag,b}'), (2, NULL, NULL, NULL, 1, NULL, NULL, NULL, NULL);"                    \
	"INSERT INTO sales.orders SELECT md5(i::text)::uuid, 1 + i % 2, i / 100.0, "              \
	"'2024-01-01'::timestamptz + i * interval '1 hour', i % 3 = 0 FROM generate_series(1, "   \
	"1000) i"

#define PEOPLE_YAML                                                                                \
	"root_table: people\ntables:\n  - name: people\n    mask: {mail: hash, born: redact, "     \
	"note: "                                                                                   \
	"\"null\", pin: hash, worth: hash, doc: redact, tags: hash}\n  - name: sales.orders\n    " \
	"parent: people\n    fk: person_id\n    mask: {amount: redact}\n"

static void open_tools(const char *sql, const char *yaml, const char *more)
{
	struct wconfig_error err = {.text = ""};

	pgfix_sql(&pg, sql, NULL);
	fix_dirs(&f, NULL);
	pgfix_url(&pg, "reader", more, f.url, sizeof(f.url));
	fix_config(&f, yaml);
	if (fix_tools(&f, &err) != RC_OK)
		fail_msg("%s", err.text);
}

static bool file_has(const char *path, const char *bytes)
{
	FILE *file = fopen(path, "rb");
	char *data = malloc(16 << 20);
	size_t len;
	bool found;

	assert_non_null(file);
	len = fread(data, 1, 16 << 20, file);
	assert_true(len > 0 && len < 16 << 20);
	found = memmem(data, len, bytes, strlen(bytes)) != NULL;
	fclose(file);
	free(data);
	return found;
}

static void nothing_raw_in_the_file(void **state)
{
	static const char *const raw[] = {"canary-mail-1", "1971-02-03", "canary note",
		"canarybyte", "63616e617279", "987654321987654321987", "canary-json", "canary-tag"};
	struct dirent *e;
	DIR *d;
	int files = 0;

	(void)state;
	open_tools(PEOPLE, PEOPLE_YAML, "");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":1,\"sql\":\"SELECT mail LIKE 'h\\\\_%' ESCAPE '\\\\', born, note, "
		"length(pin), length(worth), doc, length(tags), boss FROM people\"}",
		TOOL_OK, "[1,\\\"[redacted]\\\",null,26,26,\\\"[redacted]\\\",26,null]");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":\"1\",\"sql\":\"SELECT count(*), min(amount), min(at), sum(ok) "
		"FROM "
		"\\\"sales.orders\\\"\"}",
		TOOL_OK, "[500,\\\"[redacted]\\\",\\\"2023-12-31T17:00:00Z\\\",166]");
	fix_expect(&f, "execute_sql", "{\"subject_id\":2,\"sql\":\"SELECT * FROM people\"}",
		TOOL_OK, "[2,null,null,null,1,null,null,null,null]");
	fix_expect(&f, "execute_sql", "{\"subject_id\":2,\"sql\":\"SELECT * FROM sales.orders\"}",
		TOOL_ERROR, "in double quotes");
	fix_expect(&f, "execute_sql", "{\"subject_id\":3,\"sql\":\"SELECT 1\"}", TOOL_ERROR,
		"no such subject");
	fix_expect(&f, "execute_sql", "{\"subject_id\":3000000000,\"sql\":\"SELECT 1\"}",
		TOOL_ERROR, "no such subject");
	d = opendir(f.data);
	while ((e = readdir(d))) {
		char path[512];

		if (*e->d_name == '.' || !strstr(e->d_name, ".db"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", f.data, e->d_name);
		files++;
		for (size_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++)
			if (file_has(path, raw[i]))
				fail_msg("%s is in the snapshot", raw[i]);
	}
	closedir(d);
	assert_int_equal(files, 2);
	fix_close(&f);
}

static void goes_and_comes_back(void **state)
{
	(void)state;
	open_tools(PEOPLE, PEOPLE_YAML, "");
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, "sales.orders");
	pgfix_stop(&pg);
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, "sales.orders"); /* held */
	fix_expect(&f, "get_schema", "{\"subject_id\":2}", TOOL_ERROR, "try again in a minute");
	pgfix_start(&pg);
	fix_expect(&f, "get_schema", "{\"subject_id\":2}", TOOL_OK, "sales.orders");
	fix_close(&f);
}

static void starts_without_it(void **state)
{
	struct wconfig_error err = {.text = ""};

	(void)state;
	pgfix_sql(&pg, PEOPLE, NULL);
	pgfix_stop(&pg);
	fix_dirs(&f, NULL);
	pgfix_url(&pg, "reader", "", f.url, sizeof(f.url));
	fix_config(&f, PEOPLE_YAML);
	assert_int_equal(fix_tools(&f, &err), RC_UNAVAILABLE);
	assert_null(strstr(err.text, pg.server));
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_ERROR, "try again in a minute");
	pgfix_start(&pg);
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, "sales.orders");
	fix_close(&f);
}

#define SLOW                                                          \
	RESET                                                         \
	"CREATE TABLE people(id int); INSERT INTO people VALUES (1);" \
	"CREATE VIEW slow AS SELECT 1 AS id, pg_sleep(600)::text AS s"
#define SLOW_YAML                                                                                 \
	"root_table: people\ntables:\n  - name: people\n  - name: slow\n    parent: people\n    " \
	"fk: id\n"

static void slow(void **state)
{
	struct tool_result r;

	(void)state;
	open_tools(SLOW, SLOW_YAML, "&options=-c%20statement_timeout%3D1500");
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_ERROR, "the database was too slow");
	fix_close(&f);
	/* The call's own deadline, and the statement does not go on without us. */
	open_tools(SLOW, SLOW_YAML, "");
	fix_call_until(&f, "get_schema", "{\"subject_id\":1}", 300, NULL, &r);
	assert_int_equal(r.outcome, TOOL_TIMEOUT);
	buf_free(&r.json);
	fix_close(&f);
	pgfix_wait(&pg,
		"SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND state = "
		"'active'",
		"0");
}

static void locked_full_and_denied(void **state)
{
	PGconn *other;

	(void)state;
	open_tools(PEOPLE, PEOPLE_YAML, "&options=-c%20lock_timeout%3D100");
	other = pgfix_connect(&pg);
	PQclear(PQexec(other, "BEGIN; LOCK TABLE sales.orders IN ACCESS EXCLUSIVE MODE"));
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_ERROR, "a table is locked");
	PQclear(PQexec(other, "ROLLBACK"));
	PQfinish(other);
	pgfix_sql(&pg, "ALTER ROLE reader CONNECTION LIMIT 0", NULL);
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_ERROR, "no free connection");
	pgfix_sql(&pg, "ALTER ROLE reader CONNECTION LIMIT -1 NOLOGIN", NULL);
	fix_expect(
		&f, "get_schema", "{\"subject_id\":1}", TOOL_ERROR, "refuses the worker's login");
	pgfix_sql(&pg, "ALTER ROLE reader LOGIN", NULL);
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, NULL);
	fix_close(&f);
}

static void schema_changes(void **state)
{
	(void)state;
	open_tools(PEOPLE, PEOPLE_YAML, "");
	pgfix_sql(&pg, "ALTER TABLE people RENAME note TO notes", NULL);
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_ERROR, "does not fit");
	pgfix_sql(&pg, "ALTER TABLE people RENAME notes TO note", NULL);
	pgfix_sql(&pg, "ALTER TABLE people ADD extra text", NULL);
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, "extra");
	pgfix_sql(&pg, "REVOKE SELECT ON sales.orders FROM reader", NULL);
	fix_expect(&f, "get_schema", "{\"subject_id\":2}", TOOL_ERROR, "does not fit");
	pgfix_sql(&pg, "GRANT SELECT ON sales.orders TO reader", NULL);
	fix_expect(&f, "get_schema", "{\"subject_id\":2}", TOOL_OK, NULL);
	fix_close(&f);
}

static void large_values(void **state)
{
	(void)state;
	open_tools(RESET
		"CREATE TABLE people(id int, a text, b bytea, c jsonb);"
		"INSERT INTO people VALUES (1, repeat('\xe2\x82\xac', 300000), NULL, NULL), (2, "
		"repeat('x', 50000000), NULL, NULL), (3, NULL, convert_to(repeat('y', 1048576), "
		"'UTF8'), NULL), "
		"(4, NULL, convert_to(repeat('y', 1048577), 'UTF8'), NULL), (5, NULL, NULL, "
		"to_jsonb(repeat('z', 3000000)))",
		"root_table: people\ntables:\n  - name: people\n", "");
	fix_expect(&f, "execute_sql", "{\"subject_id\":1,\"sql\":\"SELECT length(a) FROM people\"}",
		TOOL_OK, "[300000]");
	fix_expect(&f, "get_schema", "{\"subject_id\":2}", TOOL_ERROR, "'people.a' is larger");
	fix_expect(&f, "execute_sql", "{\"subject_id\":3,\"sql\":\"SELECT length(b) FROM people\"}",
		TOOL_OK, "[1048576]");
	fix_expect(&f, "get_schema", "{\"subject_id\":4}", TOOL_ERROR, "'people.b' is larger");
	fix_expect(&f, "get_schema", "{\"subject_id\":5}", TOOL_ERROR, "'people.c' is larger");
	fix_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type),
		cmocka_unit_test(keys_of_every_type),
		cmocka_unit_test(keys_that_do_not_fit),
		cmocka_unit_test(names_and_keys),
		cmocka_unit_test(one_moment_and_lost),
		cmocka_unit_test(never_writes),
		cmocka_unit_test(nothing_raw_in_the_file),
		cmocka_unit_test(goes_and_comes_back),
		cmocka_unit_test(starts_without_it),
		cmocka_unit_test(slow),
		cmocka_unit_test(locked_full_and_denied),
		cmocka_unit_test(schema_changes),
		cmocka_unit_test(large_values),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
