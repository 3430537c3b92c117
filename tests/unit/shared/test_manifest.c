#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/manifest.h"
#include "shared/toolset.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define INFO "\"serverInfo\":{\"name\":\"demo\",\"version\":\"1\"}"
#define TOOL(name) "{\"name\":\"" name "\",\"inputSchema\":{\"type\":\"object\"}}"

static enum rc check(const char *text)
{
	char why[200] = "";
	enum rc rc = manifest_check(text, strlen(text), why, sizeof(why));

	assert_int_equal(rc != RC_OK, why[0] != '\0');
	return rc;
}

static void accepts_manifests(void **state)
{
	static const char *const cases[] = {"{" INFO ",\"tools\":[]}",
		"{" INFO ",\"tools\":[" TOOL("a") "," TOOL("b/c.d-e_F9") "]}",
		"{" INFO
		",\"instructions\":\"Ask for a subject first.\",\"capabilities\":{\"tools\":{}},"
		"\"engine\":\"sqlite\",\"limits\":{},\"subject_argument\":\"subject_id\","
		"\"unknown\":[1],"
		"\"tools\":[{\"name\":\"a\",\"title\":\"A\",\"description\":\"d\",\"inputSchema\":{"
		"},"
		"\"outputSchema\":{},\"annotations\":{},\"_meta\":{}}]}"};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		if (check(cases[i]) != RC_OK)
			fail_msg("refused: %s", cases[i]);
}

static void refuses_malformed_manifests(void **state)
{
	static const char *const cases[] = {"", "[]", "{", "{}", "{" INFO "}", "{\"tools\":[]}",
		"{\"serverInfo\":{\"name\":\"x\"},\"tools\":[]}",
		"{\"serverInfo\":{\"name\":1,\"version\":\"1\"},\"tools\":[]}",
		"{\"serverInfo\":{\"name\":\"\",\"version\":\"1\"},\"tools\":[]}",
		"{\"serverInfo\":{\"name\":\"a\\nb\",\"version\":\"1\"},\"tools\":[]}",
		"{\"serverInfo\":[],\"tools\":[]}", "{" INFO "," INFO ",\"tools\":[]}",
		"{" INFO ",\"tools\":{}}", "{" INFO ",\"tools\":[],\"tools\":[]}",
		"{" INFO ",\"tools\":[1]}", "{" INFO ",\"tools\":[{}]}",
		"{" INFO ",\"tools\":[{\"name\":\"a\"}]}",
		"{" INFO ",\"tools\":[{\"name\":\"a\",\"inputSchema\":[]}]}",
		"{" INFO ",\"tools\":[{\"name\":\"a\",\"name\":\"b\",\"inputSchema\":{}}]}",
		"{" INFO ",\"tools\":[{\"name\":\"a\",\"inputSchema\":{},\"description\":1}]}",
		"{" INFO ",\"tools\":[" TOOL("") "]}", "{" INFO ",\"tools\":[" TOOL("a b") "]}",
		"{" INFO ",\"tools\":[" TOOL("a") "," TOOL("b") "," TOOL("\\u0061") "]}",
		"{" INFO ",\"tools\":[" TOOL(
			"a1234567890123456789012345678901234567890123456789012345678901234") "]}",
		"{" INFO ",\"tools\":[],\"capabilities\":[]}",
		"{" INFO ",\"tools\":[],\"instructions\":1}",
		"{" INFO ",\"tools\":[],\"subject_argument\":1}",
		"{" INFO ",\"tools\":[],\"subject_argument\":\"\"}", "{" INFO ",\"tools\":[]} x"};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		if (check(cases[i]) != RC_INVALID)
			fail_msg("accepted: %s", cases[i]);
}

static void tools_have_a_limit(void **state)
{
	struct buf b;

	(void)state;
	for (int count = 1024; count <= 1025; count++) {
		buf_init(&b, 1 << 20);
		buf_str(&b, "{" INFO ",\"tools\":[");
		for (int i = 0; i < count; i++)
			buf_printf(&b, "%s{\"name\":\"t%d\",\"inputSchema\":{}}", i ? "," : "", i);
		buf_str(&b, "]}");
		buf_char(&b, '\0');
		assert_int_equal(check((const char *)b.data), count == 1024 ? RC_OK : RC_INVALID);
		buf_free(&b);
	}
}

static void a_database_url_is_denied(void **state)
{
	(void)state;
	assert_int_equal(check("{" INFO ",\"tools\":[],\"x\":{\"y\":[\"postgres://u:p@h/db\"]}}"),
		RC_DENIED);
	assert_int_equal(
		check("{" INFO ",\"tools\":[],\"limits\":{\"database_url\":\"\"}}"), RC_DENIED);
	/* Also in what is no manifest at all. */
	assert_int_equal(check("postgres://u:p@h/db"), RC_DENIED);
}

static bool has_url(const char *text)
{
	const size_t len = strlen(text);
	char *copy = malloc(len + 1);
	bool found;

	for (size_t i = 0; i < len; i++) /* not terminated on purpose */
		copy[i] = text[i];
	found = manifest_has_database_url(copy, len);
	free(copy);
	return found;
}

static void finds_database_urls(void **state)
{
	static const char *const schemes[] = {"postgres", "postgresql", "mysql", "mariadb",
		"mongodb", "mongodb+srv", "redis", "rediss", "sqlserver", "mssql", "oracle",
		"clickhouse", "snowflake", "duckdb", "sqlite", "postgresql+asyncpg",
		"mysql+pymysql", "POSTGRES", "PostgreSQL"};
	static const char *const texts[] = {"jdbc:oracle:thin:@//h:1521/x", "JDBC:postgresql://h/d",
		"sqlite:data.db", "sqlite:/var/x.db", "x: sqlite:./a.db", "{\"a\":\"sqlite:a.db\"}",
		"\"postgres:\\/\\/h/d\"", "\"\\u0070ostgres://h/d\"", "\"postgres\\u003a//h/d\"",
		"\"postgres\\x3A//h/d\"", "\"post\\\n   gres://h/d\"", "export X=postgres://h",
		"DATABASE_URL=postgres://h", "['mysql://h']", "(redis://h)", "{\"database_url\":1}",
		"{\"DATABASE_URL\" : 1}", "{\"databaseUrl\":null}", "{\"a\":{\"Database_Url\":{}}}",
		"{\"d\\u0061tabase_url\":1}", "database_url: x", "a:\n  DATABASE_URL: x\n",
		"'database_url': x", "- database_url: x", "{database_url: x}",
		"{a: 1, databaseUrl: x}", "database_url:"};
	char text[200];

	(void)state;
	for (size_t i = 0; i < COUNT(schemes); i++) {
		(void)snprintf(
			text, sizeof(text), "{\"dsn\":\"%s://user:pw@host/db\"}", schemes[i]);
		if (!has_url(text))
			fail_msg("not found: %s", text);
		(void)snprintf(text, sizeof(text), "dsn: %s://host", schemes[i]);
		if (!has_url(text))
			fail_msg("not found: %s", text);
	}
	for (size_t i = 0; i < COUNT(texts); i++)
		if (!has_url(texts[i]))
			fail_msg("not found: %s", texts[i]);
}

static void leaves_other_text_alone(void **state)
{
	static const char *const texts[] = {"", "\\", "\"\\", "\\u", "\\x1", "{}",
		"https://example.com/postgres", "http://h/?x=1", "engine: sqlite", "sqlite: true",
		"{\"sqlite\":1}", "postgres: yes", "postgres:/ /x", "mypostgres://h", "postgres",
		"://", "a://b", "wss://h/v1/tunnel", "{\"a\":\"DATABASE_URL\"}",
		"[\"database_url\",\":\"]", "database_url_file: x", "my_database_url: x",
		"Set DATABASE_URL in the environment of the worker.", "file:///etc/passwd",
		"test://static-text", "notjdbc:x"};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		if (has_url(texts[i]))
			fail_msg("found in: %s", texts[i]);
}

static void tool_names_are_checked(void **state)
{
	(void)state;
	assert_true(manifest_tool_ok("execute_sql"));
	assert_true(manifest_tool_ok("A-b_c./9"));
	assert_false(manifest_tool_ok(""));
	assert_false(manifest_tool_ok("a b"));
	assert_false(manifest_tool_ok("a\n"));
	assert_false(manifest_tool_ok("\xc3\xa9"));
	assert_true(manifest_tool_ok(
		"0123456789012345678901234567890123456789012345678901234567890123"));
	assert_false(manifest_tool_ok(
		"01234567890123456789012345678901234567890123456789012345678901234"));
}

#define THREE    \
	"{" INFO \
	",\"tools\":[ {\"name\":\"a\", \"n\":1e400} ,{\"name\":\"\\u0062\"},{\"name\":\"c\"}]}"

static void lists(const char *allowed, const char *want)
{
	struct buf b;

	buf_init(&b, 4096);
	manifest_tools(&b, THREE, strlen(THREE), allowed, NULL);
	assert_int_equal(b.len, strlen(want));
	assert_memory_equal(b.data, want, b.len);
	buf_free(&b);
}

static void lists_allowed_tools(void **state)
{
	struct toolset_tool tool;
	struct toolset withheld = {&tool, 1};
	struct buf b;

	(void)state;
	lists(NULL, "[{\"name\":\"a\", \"n\":1e400},{\"name\":\"\\u0062\"},{\"name\":\"c\"}]");
	lists("[\"b\",\"x\"]", "[{\"name\":\"\\u0062\"}]");
	lists("[\"c\",\"a\"]", "[{\"name\":\"a\", \"n\":1e400},{\"name\":\"c\"}]");
	lists("[]", "[]");
	lists("nonsense", "[]");
	tool = (struct toolset_tool){.name = "b"};
	buf_init(&b, 4096);
	manifest_tools(&b, THREE, strlen(THREE), "[\"a\",\"b\"]", &withheld);
	buf_char(&b, '\0');
	assert_string_equal((const char *)b.data, "[{\"name\":\"a\", \"n\":1e400}]");
	buf_free(&b);
	buf_init(&b, 100);
	manifest_tools(&b, "{}", 2, NULL, NULL);
	assert_memory_equal(b.data, "[]", 2);
	buf_free(&b);
}

static void finds_a_tool(void **state)
{
	struct jscan tool = manifest_tool(THREE, strlen(THREE), "b");

	(void)state;
	assert_int_equal(tool.kind, JSCAN_OBJECT);
	assert_int_equal(tool.len, strlen("{\"name\":\"\\u0062\"}"));
	assert_int_equal(manifest_tool(THREE, strlen(THREE), "d").kind, JSCAN_NONE);
	assert_int_equal(manifest_tool("x", 1, "d").kind, JSCAN_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_manifests),
		cmocka_unit_test(refuses_malformed_manifests),
		cmocka_unit_test(tools_have_a_limit),
		cmocka_unit_test(a_database_url_is_denied),
		cmocka_unit_test(finds_database_urls),
		cmocka_unit_test(leaves_other_text_alone),
		cmocka_unit_test(tool_names_are_checked),
		cmocka_unit_test(lists_allowed_tools),
		cmocka_unit_test(finds_a_tool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
