/* The tools: what they answer, refuse and withhold. */
#include "tests/unit/worker/snapfix.h"

#include "shared/manifest.h"

#define SQL                                                                                        \
	"CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT, email TEXT, born DATE, secret " \
	"TEXT, city TEXT);"                                                                        \
	"CREATE TABLE orders(id INTEGER PRIMARY KEY, customer_id INTEGER, product_id INTEGER, "    \
	"big INTEGER, price REAL, note TEXT, pic BLOB);"                                           \
	"CREATE TABLE products(id INTEGER PRIMARY KEY, label TEXT);"                               \
	"INSERT INTO customers VALUES(1,'Ada "                                                     \
	"Raw','ada@example.com','1990-01-01','s3cret','X'),(2,'Bob "                               \
	"Raw','bob@example.com',NULL,'s3cret','Y'),(3,'Nil',NULL,NULL,NULL,NULL);"                 \
	"INSERT INTO products VALUES(10,'ten'),(11,'eleven'),(12,'twelve');"                       \
	"INSERT INTO orders VALUES(100,1,10,9007199254740993,2.0,'call Ada "                       \
	"Raw',x'00ff'),(101,1,11,-9223372036854775808,0.1,NULL,NULL),"                             \
	"(102,2,12,1,1e300,'x',NULL),(103,1,10,NULL,3.5,'tab\there \"q\" \\\\',x'');"
#define YAML                                                                                     \
	"description: Shop\nroot_table: customers\nroot_filter_col: id\ntables:\n"               \
	"  - {name: customers, mask: {name: redact, email: hash, born: null}, exclude_columns: " \
	"[secret]}\n"                                                                            \
	"  - {name: orders, parent: customers, fk: customer_id}\n"                               \
	"  - {name: products, via: orders, via_fk: product_id}\n"                                \
	"hints: [Be kind]\nsample_queries: [{title: All, sql: SELECT 1}]\n"

/* Without a deadline or a stop it takes a minute or for ever; the machine may be busy. */
#define LATE_MS 20000

static struct fix f;

static int setup(void **state)
{
	(void)state;
	fix_open(&f, SQL, YAML "limits: {null_rates_min_group: 3}\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fix_close(&f);
	return 0;
}

static void listing(void **state)
{
	static const char *const names[] = {"get_schema", "execute_sql", "null_rates"};
	struct jscan v, tool, key, name = {NULL, 0, JSCAN_NONE};
	struct jscan_iter it;
	struct buf b, manifest;
	char why[200] = "";
	int i = 0;

	(void)state;
	buf_init(&b, 1 << 20);
	tools_list(f.t, &b);
	assert_int_equal(jscan_parse((char *)b.data, b.len, &v), RC_OK);
	it = jscan_iter(v);
	for (; i < 3; i++) {
		struct jscan schema, out, no_more;

		assert_true(jscan_next(&it, &key, &tool));
		assert_int_equal(jscan_get(tool, "name", &name), RC_OK);
		assert_true(jscan_is_str(name, names[i]));
		assert_int_equal(jscan_get(tool, "inputSchema", &schema), RC_OK);
		assert_int_equal(jscan_get(schema, "additionalProperties", &no_more), RC_OK);
		assert_int_equal(no_more.kind, JSCAN_FALSE);
		assert_int_equal(jscan_get(schema, "required", &out), RC_OK);
		assert_int_equal(jscan_get(tool, "outputSchema", &out), RC_OK);
		assert_int_equal(
			jscan_path(tool, &out, "annotations", "readOnlyHint", NULL), RC_OK);
		assert_int_equal(out.kind, JSCAN_TRUE);
		assert_int_equal(
			jscan_path(tool, &out, "annotations", "openWorldHint", NULL), RC_OK);
		assert_int_equal(out.kind, JSCAN_FALSE);
	}
	assert_false(jscan_next(&it, &key, &tool));
	/* And the control plane takes them. */
	buf_init(&manifest, 1 << 20);
	buf_str(&manifest,
		"{\"serverInfo\":{\"name\":\"w\",\"version\":\"1\"},\"capabilities\":{\"tools\":{}}"
		",\"tools\":");
	buf_add(&manifest, b.data, b.len);
	buf_str(&manifest, ",\"subject_argument\":\"subject_id\"}");
	if (manifest_check((char *)manifest.data, manifest.len, why, sizeof(why)) != RC_OK)
		fail_msg("%s", why);
	buf_free(&manifest);
	buf_free(&b);
}

static void schema(void **state)
{
	struct tool_result r;
	const char *text;

	(void)state;
	fix_call(&f, "get_schema", "{\"subject_id\":1}", &r);
	assert_int_equal(r.outcome, TOOL_OK);
	text = strstr(fix_text(&r), "\"structuredContent\":");
	assert_non_null(text);
	assert_non_null(strstr(text,
		"{\"subject\":{\"table\":\"customers\",\"column\":\"id\"},\"engine\":\"sqlite\","
		"\"description\":\"Shop\""));
	assert_non_null(strstr(text,
		"{\"name\":\"customers\",\"rows\":1,\"columns\":{\"id\":\"INTEGER\",\"name\":"
		"\"TEXT\",\"email\":\"TEXT\",\"born\":\"DATE\",\"city\":\"TEXT\"},"
		"\"masked\":{\"name\":\"redact\",\"email\":\"hash\",\"born\":\"null\"}}"));
	assert_non_null(strstr(text,
		"\"relations\":[\"orders.customer_id = customers.id\",\"orders.product_id = "
		"products.id\"]"));
	assert_non_null(strstr(text,
		"\"hints\":[\"Be kind\"],\"sample_queries\":[{\"title\":\"All\",\"sql\":\"SELECT "
		"1\"}]"));
	assert_non_null(strstr(text, "\"name\":\"products\",\"rows\":2"));
	assert_null(strstr(fix_text(&r), "secret"));
	assert_non_null(strstr(text, r.snapshot_id));
	buf_free(&r.json);
}

/* One statement's answer, without the envelope and the snapshot. */
static void rows(const char *sql, const char *expected)
{
	struct tool_result r;
	struct buf args;
	char *text;

	buf_init(&args, 1 << 20);
	buf_str(&args, "{\"subject_id\":1,\"sql\":");
	buf_json(&args, sql);
	buf_str(&args, "}");
	buf_char(&args, '\0');
	fix_call(&f, "execute_sql", (char *)args.data, &r);
	if (r.outcome != TOOL_OK)
		fail_msg("%s: %s", sql, fix_text(&r));
	text = strstr((char *)r.json.data, "\"structuredContent\":{");
	assert_non_null(text);
	text += strlen("\"structuredContent\":{");
	*strstr(text, ",\"snapshot_id\"") = '\0';
	assert_string_equal(text, expected);
	buf_free(&r.json);
	buf_free(&args);
}

static void values(void **state)
{
	(void)state;
	rows("SELECT id, name, born, city FROM customers",
		"\"columns\":[\"id\",\"name\",\"born\",\"city\"],\"rows\":[[1,\"[redacted]\",null,"
		"\"X\"]],\"row_count\":1,\"truncated\":false");
	rows("SELECT big, price, note, pic FROM orders ORDER BY id",
		"\"columns\":[\"big\",\"price\",\"note\",\"pic\"],\"rows\":[[9007199254740993,2.0,"
		"\"call Ada Raw\",{\"$base64\":\"AP8=\"}],"
		"[-9223372036854775808,0.1,null,null],[null,3.5,\"tab\\there \\\"q\\\" "
		"\\\\\\\\\",{\"$base64\":\"\"}]],\"row_count\":3,\"truncated\":false");
	rows("SELECT 9e999 AS a, -9e999 AS a, 1e300, 0.1 + 0.2, 1.0 / 3",
		"\"columns\":[\"a\",\"a\",\"1e300\",\"0.1 + 0.2\",\"1.0 / "
		"3\"],\"rows\":[[\"Infinity\",\"-Infinity\",1e+300,0.30000000000000004,0."
		"3333333333333333]],"
		"\"row_count\":1,\"truncated\":false");
	rows("SELECT * FROM orders WHERE 0",
		"\"columns\":[\"id\",\"customer_id\",\"product_id\",\"big\",\"price\",\"note\","
		"\"pic\"],\"rows\":[],\"row_count\":0,\"truncated\":false");
	rows("SELECT p.label, count(*) FROM orders o JOIN products p ON p.id = o.product_id GROUP "
	     "BY 1 ORDER BY 1",
		"\"columns\":[\"label\",\"count(*)\"],\"rows\":[[\"eleven\",1],[\"ten\",2]],\"row_"
		"count\":2,\"truncated\":false");
	rows("SELECT CAST(x'ff41' AS TEXT)",
		"\"columns\":[\"CAST(x'ff41' AS TEXT)\"],\"rows\":[[\"\xef\xbf\xbd"
		"A\"]],\"row_count\":1,\"truncated\":false");
	rows("SELECT substr(email, 1, 2), length(email) FROM customers",
		"\"columns\":[\"substr(email, 1, "
		"2)\",\"length(email)\"],\"rows\":[[\"h_\",26]],\"row_count\":1,\"truncated\":"
		"false");
}

static void text_is_the_same(void **state)
{
	struct tool_result r;
	struct jscan v, content, first, key, text, structured;
	struct jscan_iter it;
	char copy[4096];

	(void)state;
	fix_call(&f, "execute_sql", "{\"subject_id\":\"1\",\"sql\":\"SELECT note FROM orders\"}",
		&r);
	assert_int_equal(jscan_parse((char *)r.json.data, r.json.len, &v), RC_OK);
	assert_int_equal(jscan_get(v, "content", &content), RC_OK);
	it = jscan_iter(content);
	assert_true(jscan_next(&it, &key, &first));
	assert_int_equal(jscan_get(first, "text", &text), RC_OK);
	assert_int_equal(jscan_get(v, "structuredContent", &structured), RC_OK);
	assert_int_equal(jscan_str(text, copy, sizeof(copy)), RC_OK);
	assert_int_equal(strlen(copy), structured.len);
	assert_memory_equal(copy, structured.p, structured.len);
	buf_free(&r.json);
}

static void bad_arguments(void **state)
{
	static const struct {
		const char *tool, *arguments, *text;
	} cases[] = {
		{"get_schema", NULL, "subject_id is missing"},
		{"get_schema", "{}", "subject_id is missing"},
		{"get_schema", "{\"subject_id\":null}",
			"subject_id must be an integer, or a string of 1 to 256 bytes"},
		{"get_schema", "{\"subject_id\":\"\"}", "subject_id must be"},
		{"get_schema", "{\"subject_id\":1.5}", "subject_id must be"},
		{"get_schema", "{\"subject_id\":99999999999999999999}", "subject_id must be"},
		{"get_schema", "{\"subject_id\":{}}", "subject_id must be"},
		{"get_schema", "{\"subject_id\":\"a\\u0000b\"}", "subject_id must be"},
		{"get_schema", "{\"subject_id\":1,\"subject_id\":2}",
			"argument 'subject_id' is there twice"},
		{"get_schema", "{\"subject\":1}", "unknown argument 'subject'"},
		{"get_schema", "{\"subjectid\":1}",
			"unknown argument 'subjectid'; did you mean 'subject_id'?"},
		{"execute_sql", "{\"subject_id\":1}", "sql is missing"},
		{"execute_sql", "{\"subject_id\":1,\"sql\":1}", "sql must be a string"},
		{"execute_sql", "{\"subject_id\":1,\"sql\":\"SELECT 1\\u0000\"}",
			"without NUL characters"},
		{"execute_sql", "{\"subject_id\":1,\"sql\":\"SELECT 1\",\"max_rows\":0}",
			"max_rows must be an integer from 1 to 1000"},
		{"execute_sql", "{\"subject_id\":1,\"sql\":\"SELECT 1\",\"max_rows\":\"5\"}",
			"max_rows must be"},
		{"execute_sql", "{\"subject_id\":1,\"sql\":\"SELECT 1\",\"max_rows\":1001}",
			"max_rows must be"},
		{"execute_sql", "{\"subject_id\":1,\"sql\":\"DROP TABLE orders\"}",
			"only one SELECT statement is allowed"},
		{"execute_sql", "{\"subject_id\":1,\"sql\":\"SELECT nam FROM customers\"}",
			"no such column: nam; did you mean 'name'?"},
		{"execute_sql", "{\"subject_id\":1,\"sql\":\"SELECT secret FROM customers\"}",
			"no such column: secret"},
		{"null_rates", "{\"subject_id\":1,\"table\":\"order\"}",
			"no such table: order; did you mean 'orders'?"},
		{"null_rates", "{\"subject_id\":1,\"table\":\"\"}",
			"table must be the name of a table"},
		{"get_schema", "{\"subject_id\":4}",
			"{\"content\":[{\"type\":\"text\",\"text\":\"no such "
			"subject\"}],\"isError\":true}"},
		{"get_schema", "{\"subject_id\":\"1 OR 1=1\"}", "\"no such subject\""},
		{"get_schema", "{\"subject_id\":\"01\"}", "\"no such subject\""},
		{"get_schema", "{\"subject_id\":\"' UNION SELECT 1--\"}", "\"no such subject\""},
	};
	char long_id[400], big[70000];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		fix_expect(&f, cases[i].tool, cases[i].arguments, TOOL_ERROR, cases[i].text);
	sprintf(long_id, "{\"subject_id\":\"");
	memset(long_id + 15, 'x', 257);
	sprintf(long_id + 15 + 257, "\"}");
	fix_expect(&f, "get_schema", long_id, TOOL_ERROR, "subject_id must be");
	sprintf(big, "{\"subject_id\":1,\"sql\":\"");
	memset(big + 23, 'x', 65536);
	sprintf(big + 23 + 65536, "\"}");
	fix_expect(&f, "execute_sql", big, TOOL_ERROR,
		"sql must be a string shorter than 65536 bytes");
	fix_expect(&f, "drop_table", "{\"subject_id\":1}", TOOL_UNKNOWN, NULL);
}

static void row_and_byte_caps(void **state)
{
	(void)state;
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":1,\"sql\":\"SELECT id FROM orders ORDER BY 1\",\"max_rows\":2}",
		TOOL_OK, "\"rows\":[[100],[101]],\"row_count\":2,\"truncated\":true");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":1,\"sql\":\"SELECT id FROM orders ORDER BY 1\",\"max_rows\":3}",
		TOOL_OK, "\"row_count\":3,\"truncated\":false");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":1,\"sql\":\"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + "
		"1 FROM c) SELECT x FROM c\"}",
		TOOL_OK, "\"row_count\":1000,\"truncated\":true");
	fix_close(&f);
	fix_open(&f, SQL, YAML "limits: {result_max_bytes: 1024}\n");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":1,\"sql\":\"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + "
		"1 FROM c) SELECT printf('%100d', x) AS n FROM c\"}",
		TOOL_OK, "\"row_count\":9,\"truncated\":true");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":1,\"sql\":\"SELECT printf('%900s', 1), printf('%900s', 2)\"}",
		TOOL_ERROR, "one row is larger than 1024 bytes");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":1,\"sql\":\"WITH RECURSIVE b(s) AS (SELECT char(1) UNION ALL "
		"SELECT s || s FROM b WHERE length(s) < 1000000) "
		"SELECT s FROM b ORDER BY length(s) DESC\"}",
		TOOL_ERROR, "one row is larger than 1024 bytes");
}

static void rates(void **state)
{
	(void)state;
	fix_expect(&f, "null_rates", "{\"subject_id\":1}", TOOL_OK,
		"{\"tables\":[{\"name\":\"customers\",\"rows\":1,\"withheld\":\"fewer than 3 "
		"rows\"},{\"name\":\"orders\",\"rows\":3,\"null_rates\":"
		"{\"id\":0,\"customer_id\":0,\"product_id\":0,\"big\":0.3333,\"price\":0,\"note\":"
		"0.3333,\"pic\":0.3333}},"
		"{\"name\":\"products\",\"rows\":2,\"withheld\":\"fewer than 3 "
		"rows\"}],\"min_group\":3,");
	fix_expect(&f, "null_rates", "{\"subject_id\":1,\"table\":\"products\"}", TOOL_OK,
		"{\"tables\":[{\"name\":\"products\",\"rows\":2,");
	fix_expect(&f, "null_rates", "{\"subject_id\":3,\"table\":\"orders\"}", TOOL_OK,
		"\"rows\":0,\"withheld\"");
}

/* More columns than one statement counts, with names that need quoting. */
static void wide_tables(void **state)
{
	struct buf sql;
	char *text;

	(void)state;
	fix_close(&f);
	buf_init(&sql, 1 << 20);
	buf_str(&sql, "CREATE TABLE \"w \"\"\xc3\xbc\"(id INTEGER");
	for (int i = 0; i < 249; i++)
		buf_printf(&sql, ", \"c \"\"%d \xe2\x82\xac\" TEXT", i);
	buf_str(&sql, "); INSERT INTO \"w \"\"\xc3\xbc\"(id) VALUES(1)");
	text = buf_steal(&sql);
	fix_open(&f, text,
		"root_table: 'w \"\xc3\xbc'\ntables: [{name: 'w \"\xc3\xbc', mask: {'c \"7 "
		"\xe2\x82\xac': hash}}]\nlimits: {null_rates_min_group: 1}\n");
	free(text);
	fix_expect(&f, "null_rates", "{\"subject_id\":1}", TOOL_OK,
		"\"c \\\"99 \xe2\x82\xac\":1,\"c \\\"100 \xe2\x82\xac\":1,");
	fix_expect(
		&f, "null_rates", "{\"subject_id\":1}", TOOL_OK, "\"c \\\"248 \xe2\x82\xac\":1}}]");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":1,\"sql\":\"SELECT id, \\\"c \\\"\\\"7 \xe2\x82\xac\\\" FROM "
		"\\\"w \\\"\\\"\xc3\xbc\\\"\"}",
		TOOL_OK, "\"rows\":[[1,null]]");
}

static void deadlines(void **state)
{
	static const char bomb[] = "{\"subject_id\":1,\"sql\":\"WITH RECURSIVE c(x) AS (SELECT 1 "
				   "UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c\"}";
	atomic_bool cancelled = true;
	struct tool_result r;
	int64_t start;

	(void)state;
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, NULL);
	start = clock_mono_ms();
	fix_call_until(&f, "execute_sql", bomb, 200, NULL, &r);
	assert_int_equal(r.outcome, TOOL_TIMEOUT);
	assert_non_null(strstr(fix_text(&r), "ran too long"));
	assert_true(clock_mono_ms() - start >= 200 && clock_mono_ms() - start < LATE_MS);
	buf_free(&r.json);
	fix_call_until(&f, "execute_sql", bomb, 20000, &cancelled, &r);
	assert_int_equal(r.outcome, TOOL_CANCELLED);
	buf_free(&r.json);
	fix_close(&f);
	fix_open(&f, SQL, YAML "limits: {query_timeout_ms: 150}\n");
	start = clock_mono_ms();
	fix_expect(&f, "execute_sql", bomb, TOOL_TIMEOUT, "ran too long");
	assert_true(clock_mono_ms() - start < LATE_MS);
}

static void *call_bomb(void *arg)
{
	enum tool_outcome *outcome = arg;
	struct tool_result r;

	fix_call_until(&f, "execute_sql",
		"{\"subject_id\":1,\"sql\":\"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + "
		"1 FROM c) SELECT count(*) FROM c\"}",
		60000, NULL, &r);
	*outcome = r.outcome;
	buf_free(&r.json);
	return NULL;
}

static void close_interrupts(void **state)
{
	enum tool_outcome outcome = TOOL_OK;
	int64_t start = clock_mono_ms();
	pthread_t thread;

	(void)state;
	pthread_create(&thread, NULL, call_bomb, &outcome);
	while (atomic_load(&f.made) == 0)
		usleep(1000);
	tools_close(f.t);
	f.t = NULL;
	pthread_join(thread, NULL);
	assert_int_equal(outcome, TOOL_CANCELLED);
	assert_true(clock_mono_ms() - start < LATE_MS);
	assert_int_equal(fix_files(&f, ".db"), 0);
	assert_int_equal(atomic_load(&f.gone), 1);
}

/* The database is away when the worker starts, comes, goes and comes back. */
static void source_comes_and_goes(void **state)
{
	struct wconfig_error err = {.text = ""};
	char away[128];

	(void)state;
	fix_close(&f);
	fix_dirs(&f, NULL);
	fix_config(&f, YAML);
	assert_int_equal(fix_tools(&f, &err), RC_UNAVAILABLE);
	assert_non_null(f.t);
	assert_null(strstr(err.text, f.db));
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_ERROR,
		"can't reach its database at the moment");
	fix_sql(f.db, SQL);
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, NULL);
	snprintf(away, sizeof(away), "%s.away", f.db);
	assert_int_equal(rename(f.db, away), 0);
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, NULL); /* from its snapshot */
	fix_expect(&f, "get_schema", "{\"subject_id\":2}", TOOL_ERROR,
		"can't read its database at the moment");
	assert_int_equal(rename(away, f.db), 0);
	fix_expect(&f, "get_schema", "{\"subject_id\":2}", TOOL_OK, NULL);
}

static void schema_changes(void **state)
{
	(void)state;
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, "\"city\":\"TEXT\"");
	fix_sql(f.db,
		"ALTER TABLE customers RENAME COLUMN city TO town; ALTER TABLE customers ADD "
		"COLUMN extra INTEGER");
	fix_expect(&f, "get_schema", "{\"subject_id\":2}", TOOL_OK,
		"\"town\":\"TEXT\",\"extra\":\"INTEGER\"");
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK,
		"\"city\":\"TEXT\""); /* its snapshot is older */
	fix_sql(f.db, "ALTER TABLE customers RENAME COLUMN email TO mail");
	fix_expect(&f, "get_schema", "{\"subject_id\":3}", TOOL_ERROR,
		"does not fit the worker's airlock.yaml");
	fix_sql(f.db, "ALTER TABLE customers RENAME COLUMN mail TO email");
	fix_expect(&f, "get_schema", "{\"subject_id\":3}", TOOL_OK, NULL);
}

static void does_not_fit(void **state)
{
	struct wconfig_error err = {.text = ""};
	struct tools *t = NULL;

	(void)state;
	fix_close(&f);
	fix_dirs(&f, "CREATE TABLE customer(id)");
	fix_config(&f, YAML);
	assert_int_equal(fix_tools(&f, &err), RC_INVALID);
	assert_non_null(strstr(
		err.text, "the database has no table 'customers'; did you mean 'customer'?"));
	assert_int_equal(tools_open(f.c, "mysql://u:pw@h/d", (const uint8_t[32]){0}, fix_notify, &f,
				 &t, &err),
		RC_INVALID);
	assert_non_null(strstr(err.text, "unknown kind of database"));
	assert_null(strstr(err.text, "pw"));
	assert_null(t);
}

/* Text subjects with odd bytes, and more keys than one statement could bind. */
static void odd_subjects(void **state)
{
	(void)state;
	fix_close(&f);
	fix_open(&f,
		"CREATE TABLE people(id INTEGER PRIMARY KEY, nr TEXT, any); CREATE TABLE "
		"visits(pid, n INTEGER, place_id INTEGER);"
		"CREATE TABLE places(id INTEGER PRIMARY KEY, name TEXT);"
		"INSERT INTO people VALUES(1, 'a''b\"c;--\xc3\xa9', 5), (2, '42', '5'), (3, 'x', "
		"NULL);"
		"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 70000) "
		"INSERT INTO places SELECT x, 'p' || x FROM c;"
		"INSERT INTO visits SELECT 1, id, id FROM places WHERE id % 2; INSERT INTO visits "
		"VALUES(2, 1, NULL), (2, 2, 1), (2, 3, 1)",
		"root_table: people\nroot_filter_col: nr\ntables:\n  - {name: people}\n  - {name: "
		"visits, parent: people, fk: pid}\n"
		"  - {name: places, via: visits, via_fk: place_id}\n");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":\"a'b\\\"c;--\xc3\xa9\",\"sql\":\"SELECT (SELECT count(*) FROM "
		"visits), count(*), count(DISTINCT id) FROM places\"}",
		TOOL_OK, "\"rows\":[[35000,35000,35000]]");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":42,\"sql\":\"SELECT (SELECT count(*) FROM visits), count(*) FROM "
		"places\"}",
		TOOL_OK, "\"rows\":[[3,1]]");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":\"x\",\"sql\":\"SELECT (SELECT count(*) FROM visits), count(*) "
		"FROM places\"}",
		TOOL_OK, "\"rows\":[[0,0]]");
	fix_expect(&f, "get_schema", "{\"subject_id\":\"X\"}", TOOL_ERROR, "no such subject");
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(listing), TEST(schema), TEST(values),
		TEST(text_is_the_same), TEST(bad_arguments), TEST(row_and_byte_caps), TEST(rates),
		TEST(wide_tables), TEST(deadlines), TEST(close_interrupts),
		TEST(source_comes_and_goes), TEST(schema_changes), TEST(does_not_fit),
		TEST(odd_subjects)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
