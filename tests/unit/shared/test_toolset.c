#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/toolset.h"

static char *definition(const char *tool)
{
	struct jscan v;
	struct buf b;

	assert_int_equal(jscan_parse(tool, strlen(tool), &v), RC_OK);
	buf_init(&b, 1 << 20);
	toolset_definition(v, &b);
	assert_false(b.failed);
	return buf_steal(&b);
}

static void assert_definition(const char *tool, const char *wanted)
{
	char *text = definition(tool);

	assert_string_equal(text, wanted);
	free(text);
}

static void a_definition_is_what_a_tool_says_however_it_is_spelt(void **state)
{
	(void)state;
	assert_definition(
		"{\"name\":\"a\",\"inputSchema\":{}}", "{\"inputSchema\":{},\"name\":\"a\"}");
	assert_definition(
		"{ \"inputSchema\" : { \"b\": 1, \"a\" : [ 1.0, true ] } , \"name\":\"\\u0061\" }",
		"{\"inputSchema\":{\"a\":[1.0,true],\"b\":1},\"name\":\"a\"}");
	/* What says nothing of what it does is left out; order of arrays counts. */
	assert_definition("{\"name\":\"a\",\"icons\":[1],\"_meta\":{\"x\":1},\"title\":\"T\","
			  "\"description\":\"\\u00fc\\n\",\"annotations\":{\"readOnlyHint\":true},"
			  "\"outputSchema\":{\"enum\":[\"b\",\"a\"]},\"inputSchema\":{}}",
		"{\"annotations\":{\"readOnlyHint\":true},\"description\":\"\xc3\xbc\\n\","
		"\"inputSchema\":{},\"name\":\"a\",\"outputSchema\":{\"enum\":[\"b\",\"a\"]},"
		"\"title\":\"T\"}");
}

static void what_has_no_one_meaning_is_kept_as_it_is_spelt(void **state)
{
	(void)state;
	assert_definition("{\"name\":\"a\",\"inputSchema\":{\"max\": 18446744073709551616}}",
		"{\"inputSchema\":{\"max\": 18446744073709551616},\"name\":\"a\"}");
	assert_definition("{\"name\":\"a\",\"x\":1,\"inputSchema\":{\"a\":1,\"a\":2}}",
		"{\"inputSchema\":{\"a\":1,\"a\":2},\"name\":\"a\"}");
	assert_definition("{\"name\":\"a\",\"inputSchema\":{\"a\":\"\\ud800\"}}",
		"{\"inputSchema\":{\"a\":\"\\ud800\"},\"name\":\"a\"}");
}

static void every_part_of_a_definition_counts(void **state)
{
	static const char *const others[] = {"{\"name\":\"b\",\"inputSchema\":{}}",
		"{\"name\":\"a\",\"inputSchema\":{\"x\":1}}",
		"{\"name\":\"a\",\"inputSchema\":{},\"description\":\"\"}",
		"{\"name\":\"a\",\"inputSchema\":{},\"title\":\"\"}",
		"{\"name\":\"a\",\"inputSchema\":{},\"outputSchema\":{}}",
		"{\"name\":\"a\",\"inputSchema\":{},\"annotations\":{}}"};
	char *one = definition("{\"name\":\"a\",\"inputSchema\":{}}"), *other;

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		other = definition(others[i]);
		assert_string_not_equal(one, other);
		free(other);
	}
	free(one);
}

static void a_fingerprint_is_the_sha256_of_the_definition(void **state)
{
	uint8_t hash[CRYPTO_HASH_LEN], back[CRYPTO_HASH_LEN];
	char text[TOOLSET_FINGERPRINT_LEN + 1];

	(void)state;
	toolset_fingerprint("abc", 3, hash);
	toolset_fingerprint_text(hash, text);
	assert_string_equal(
		text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(toolset_fingerprint_read(text, back), RC_OK);
	assert_memory_equal(hash, back, sizeof(hash));
	assert_int_equal(toolset_fingerprint_read(text + 7, back), RC_INVALID);
	text[70] = 'g';
	assert_int_equal(toolset_fingerprint_read(text, back), RC_INVALID);
	assert_int_equal(toolset_fingerprint_read("sha256:", back), RC_INVALID);
}

static struct toolset read_set(const char *tools)
{
	struct toolset s;
	char text[2048];
	int len = snprintf(text, sizeof(text), "{\"tools\":[%s]}", tools);

	assert_int_equal(toolset_read(text, (size_t)len, &s), RC_OK);
	return s;
}

#define TOOL(name, title) "{\"name\":\"" name "\",\"title\":\"" title "\",\"inputSchema\":{}}"

static void tools_are_found_by_name_whatever_their_order(void **state)
{
	struct toolset s = read_set(TOOL("c", "1") "," TOOL("a", "1") "," TOOL("b", "1"));

	(void)state;
	assert_int_equal(s.count, 3);
	assert_string_equal(s.tools[0].name, "a");
	for (const char *p = "abc"; *p; p++)
		assert_int_equal(toolset_find(&s, (const char[]){*p, '\0'})->name[0], *p);
	assert_null(toolset_find(&s, ""));
	assert_null(toolset_find(&s, "bb"));
	assert_null(toolset_find(&s, "d"));
	toolset_free(&s);
	assert_null(toolset_find(&s, "a"));
}

static void what_is_no_manifest_has_no_tools(void **state)
{
	static const char *const texts[] = {"", "{", "[]", "{}", "{\"tools\":{}}",
		"{\"tools\":[1,{\"name\":2},{\"name\":\"\\ud800\"}]}"};
	struct toolset s;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(toolset_read(texts[i], strlen(texts[i]), &s), RC_OK);
		assert_int_equal(s.count, 0);
		toolset_free(&s);
	}
}

static void assert_differences(const char *was, const char *is, const char *wanted)
{
	struct toolset a = read_set(was), b = read_set(is);
	struct toolset_names n;
	struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(toolset_differences(&a, &b, &n), *wanted != '\0');
	toolset_names_text(&out, &n);
	buf_char(&out, '\0');
	assert_string_equal((const char *)out.data, wanted);
	buf_free(&out);
	toolset_free(&a);
	toolset_free(&b);
}

static void differences_are_named(void **state)
{
	(void)state;
	assert_differences("", "", "");
	assert_differences(TOOL("a", "1"), TOOL("a", "1"), "");
	assert_differences("", TOOL("b", "1") "," TOOL("a", "1"), "2 added (a, b)");
	assert_differences(TOOL("a", "1") "," TOOL("c", "1"), "", "2 gone (a, c)");
	assert_differences(TOOL("a", "1") "," TOOL("b", "1") "," TOOL("d", "1"),
		TOOL("b", "2") "," TOOL("c", "1") "," TOOL("d", "1"),
		"1 added (c), 1 gone (a), 1 changed (b)");
}

static void of_many_differences_some_are_named_and_all_counted(void **state)
{
	struct toolset none = {0}, many = {0};
	struct toolset_tool tool = {.fingerprint = {1}};
	struct toolset_names n;
	struct buf out;

	(void)state;
	for (int i = 0; i < 2 * TOOLSET_SHOWN_MAX; i++) {
		(void)snprintf(tool.name, sizeof(tool.name), "t%03d", i);
		assert_int_equal(toolset_add(&many, &tool), RC_OK);
	}
	assert_true(toolset_differences(&none, &many, &n));
	assert_int_equal(n.count[TOOLSET_ADDED], 2 * TOOLSET_SHOWN_MAX);
	buf_init(&out, 4096);
	toolset_names_text(&out, &n);
	buf_char(&out, '\0');
	assert_int_equal(strncmp((const char *)out.data, "32 added (t000, t001, ", 22), 0);
	assert_non_null(strstr((const char *)out.data, "t015, ...)"));
	assert_null(strstr((const char *)out.data, "t016"));
	buf_free(&out);
	toolset_free(&many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_definition_is_what_a_tool_says_however_it_is_spelt),
		cmocka_unit_test(what_has_no_one_meaning_is_kept_as_it_is_spelt),
		cmocka_unit_test(every_part_of_a_definition_counts),
		cmocka_unit_test(a_fingerprint_is_the_sha256_of_the_definition),
		cmocka_unit_test(tools_are_found_by_name_whatever_their_order),
		cmocka_unit_test(what_is_no_manifest_has_no_tools),
		cmocka_unit_test(differences_are_named),
		cmocka_unit_test(of_many_differences_some_are_named_and_all_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
