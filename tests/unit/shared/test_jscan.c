#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/jscan.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void is_same(struct jscan a, struct jscan b)
{
	assert_ptr_equal(a.p, b.p);
	assert_int_equal(a.len, b.len);
	assert_int_equal(a.kind, b.kind);
}

/* Read member by member, a text is the same object as read at once, or none. */
static void reads_alike(const char *text, size_t len)
{
	struct jscan_reader r = jscan_reader(text, len);
	struct jscan whole, read, key, value, expected_key, expected;
	struct jscan_iter it = {NULL, NULL, JSCAN_NONE};
	bool object = jscan_parse(text, len, &whole) == RC_OK && whole.kind == JSCAN_OBJECT;
	enum rc rc;

	if (object)
		it = jscan_iter(whole);
	while ((rc = jscan_read(&r, &key, &value, &read)) == RC_OK) {
		if (!object)
			continue;
		assert_true(jscan_next(&it, &expected_key, &expected));
		is_same(key, expected_key);
		is_same(value, expected);
		is_same(jscan_checked(value.p, value.len), expected);
	}
	assert_int_equal(rc, object ? RC_NOTFOUND : RC_INVALID);
	assert_false(jscan_next(&it, &expected_key, &expected));
	if (object)
		is_same(read, whole);
}

/* The text is copied to the heap without a terminator, so that ASan sees a read past its end. */
static enum rc parse_exact(const char *text, size_t len, char **copy, struct jscan *out)
{
	*copy = malloc(len ? len : 1);
	memcpy(*copy, text, len);
	reads_alike(*copy, len);
	return jscan_parse(*copy, len, out);
}

static struct jscan parsed(const char *text)
{
	struct jscan v;

	if (jscan_parse(text, strlen(text), &v) != RC_OK)
		fail_msg("not accepted: %s", text);
	return v;
}

static void accepts_json(void **state)
{
	static const struct {
		const char *text;
		enum jscan_kind kind;
		size_t len;
	} cases[] = {
		{"{}", JSCAN_OBJECT, 2},
		{"[]", JSCAN_ARRAY, 2},
		{" \t\r\n{ } \n", JSCAN_OBJECT, 3},
		{"\"\"", JSCAN_STRING, 2},
		{"\"a\\\"b\"", JSCAN_STRING, 6},
		{"\"\\u00e9\\ud83d\\ude00\"", JSCAN_STRING, 20},
		{"\"\xc3\xa9\xf0\x9f\x98\x80\"", JSCAN_STRING, 8},
		{"0", JSCAN_NUMBER, 1},
		{"-0", JSCAN_NUMBER, 2},
		{"-12.50e+3", JSCAN_NUMBER, 9},
		{"1E9", JSCAN_NUMBER, 3},
		{"123456789012345678901234567890", JSCAN_NUMBER, 30},
		{"true", JSCAN_TRUE, 4},
		{"false", JSCAN_FALSE, 5},
		{" null ", JSCAN_NULL, 4},
		{"{\"a\":[1,{\"b\":null},[]],\"c\":{}}", JSCAN_OBJECT, 30},
		{"[ 1 , 2 ]", JSCAN_ARRAY, 9},
		{"{ \"a\" : 1 , \"a\" : 2 }", JSCAN_OBJECT, 21},
		{"\"\x7f\"", JSCAN_STRING, 3},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct jscan v;
		char *copy;

		if (parse_exact(cases[i].text, strlen(cases[i].text), &copy, &v) != RC_OK)
			fail_msg("refused: %s", cases[i].text);
		assert_int_equal(v.kind, cases[i].kind);
		assert_int_equal(v.len, cases[i].len);
		free(copy);
	}
}

static void refuses_what_is_not_json(void **state)
{
	static const char *const cases[] = {"", " ", "{", "}", "[", "]", "{]", "[}", "[1", "[1,",
		"[1,]", "[,1]", "[1 2]", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}",
		"{\"a\" 1}", "{a:1}", "{1:1}", "{'a':1}", "{} {}", "1 2", "01", "-", "-01", "+1",
		".5", "1.", "1.e5", "1e", "1e+", "0x10", "NaN", "Infinity", "nul", "nulll", "tru",
		"True", "\"", "\"a", "\"a\\\"", "\"\\x\"", "\"\\\"", "\"\\u12\"", "\"\\u12g4\"",
		"\"a\nb\"", "\"\t\"", "\"\x01\"", "\"\x80\"", "\"\xc3\"", "\"\xc0\xaf\"",
		"\"\xed\xa0\x80\"", "\"\xf5\x80\x80\x80\"", "\xc3\xa9", "/* */1", "1//",
		"\xef\xbb\xbf{}", "{\"a\":1}x", "[1]]", "\"\\u", "\"\\ud83d\\u"};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct jscan v;
		char *copy;

		if (parse_exact(cases[i], strlen(cases[i]), &copy, &v) != RC_INVALID)
			fail_msg("accepted: %s", cases[i]);
		free(copy);
	}
}

static void a_nul_byte_is_no_json(void **state)
{
	struct jscan v;

	(void)state;
	assert_int_equal(jscan_parse("{}\0", 3, &v), RC_INVALID);
	assert_int_equal(jscan_parse("\0", 1, &v), RC_INVALID);
	assert_int_equal(jscan_parse("\"a\0b\"", 5, &v), RC_INVALID);
	assert_int_equal(jscan_parse("\"\\\0\"", 4, &v), RC_INVALID);
}

static void half_a_surrogate_pair_is_json_but_no_text(void **state)
{
	static const char *const cases[] = {"\"\\ud800\"", "\"\\ud800x\"", "\"\\ud800\\n\"",
		"\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\\udc00\\ud800\"", "\"x\\udfff\"",
		"\"\\ud83e\\ud83e\\udd8a\""};
	struct jscan upper;
	char text[16];

	(void)state;
	assert_int_equal(jscan_parse("\"\\uD800\"", 8, &upper), RC_OK);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct jscan v;
		char *copy;

		if (parse_exact(cases[i], strlen(cases[i]), &copy, &v) != RC_OK)
			fail_msg("refused: %s", cases[i]);
		assert_int_equal(v.len, strlen(cases[i]));
		assert_int_equal(jscan_str(v, text, sizeof(text)), RC_INVALID);
		assert_string_equal(text, "");
		assert_false(jscan_is_str(v, "\xef\xbf\xbd"));
		assert_true(jscan_same_str(v, v));
		assert_int_equal(jscan_same_str(v, upper), i == 0);
		free(copy);
	}
}

static void depth_has_an_end(void **state)
{
	char text[2 * (JSCAN_DEPTH_MAX + 1)];
	struct jscan v;

	(void)state;
	memset(text, '[', JSCAN_DEPTH_MAX);
	memset(text + JSCAN_DEPTH_MAX, ']', JSCAN_DEPTH_MAX);
	assert_int_equal(jscan_parse(text, (size_t)2 * JSCAN_DEPTH_MAX, &v), RC_OK);
	memset(text, '[', JSCAN_DEPTH_MAX + 1);
	memset(text + JSCAN_DEPTH_MAX + 1, ']', JSCAN_DEPTH_MAX + 1);
	assert_int_equal(jscan_parse(text, sizeof(text), &v), RC_INVALID);
}

/* The object counts, too. */
static void depth_has_the_same_end_member_by_member(void **state)
{
	char text[2 * (JSCAN_DEPTH_MAX + 1) + 5];

	(void)state;
	for (int depth = JSCAN_DEPTH_MAX - 2; depth <= JSCAN_DEPTH_MAX; depth++) {
		int len = snprintf(text, sizeof(text), "{\"a\":%0*d%0*d}", depth, 0, depth, 0);

		memset(text + 5, '[', (size_t)depth);
		memset(text + 5 + depth, ']', (size_t)depth);
		reads_alike(text, (size_t)len);
	}
}

static void an_object_ends_where_a_member_ends(void **state)
{
	static const char *const cases[] = {"{\"a\":1 , \"b\":[{}] , \"c\":\"}\"}",
		"{\"a\":1,,\"b\":2}", "{,\"a\":1}", "{\"a\":1}}", "{\"a\":1},", "{\"a\":1]",
		"{\"a\":}", "{\"a\"}", "{\"a\":1\"b\":2}", "{\"a\":[1}", "{\"a\":1,\"b", " {",
		"{\"a\" :1}", "{\"a\": 1}\n "};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *copy = malloc(strlen(cases[i]));

		memcpy(copy, cases[i], strlen(cases[i]));
		for (size_t len = 0; len <= strlen(cases[i]); len++)
			reads_alike(copy, len);
		free(copy);
	}
}

static void walks_members_and_elements(void **state)
{
	struct jscan v = parsed("{ \"a\" : [1, \"]\\\"\", {\"x\":[]}] , \"b\":-2.5e3,\"c\":true }");
	struct jscan_iter it = jscan_iter(v), inner;
	struct jscan key, value;

	(void)state;
	assert_true(jscan_next(&it, &key, &value));
	assert_true(jscan_is_str(key, "a"));
	assert_int_equal(value.kind, JSCAN_ARRAY);
	inner = jscan_iter(value);
	assert_true(jscan_next(&inner, &key, &value));
	assert_int_equal(key.kind, JSCAN_NONE);
	assert_int_equal(value.len, 1);
	assert_true(jscan_next(&inner, &key, &value));
	assert_true(jscan_is_str(value, "]\""));
	assert_true(jscan_next(&inner, &key, &value));
	assert_int_equal(value.len, 8);
	assert_memory_equal(value.p, "{\"x\":[]}", 8);
	assert_false(jscan_next(&inner, &key, &value));
	assert_true(jscan_next(&it, &key, &value));
	assert_int_equal(value.len, 6);
	assert_memory_equal(value.p, "-2.5e3", 6);
	assert_true(jscan_next(&it, &key, &value));
	assert_int_equal(value.kind, JSCAN_TRUE);
	assert_false(jscan_next(&it, &key, &value));
	assert_false(jscan_next(&it, &key, &value));

	it = jscan_iter(parsed("[]"));
	assert_false(jscan_next(&it, &key, &value));
	it = jscan_iter(parsed("{ }"));
	assert_false(jscan_next(&it, &key, &value));
	it = jscan_iter(parsed("\"{}\""));
	assert_false(jscan_next(&it, &key, &value));
}

static void finds_members(void **state)
{
	struct jscan v = parsed(
		"{\"a\":1,\"b\":{\"c\":{\"d\":\"x\"}},\"\\u0065\":2,\"dup\":1,\"d\\u0075p\":2}");
	struct jscan out;

	(void)state;
	assert_int_equal(jscan_get(v, "a", &out), RC_OK);
	assert_memory_equal(out.p, "1", 1);
	assert_int_equal(jscan_get(v, "e", &out), RC_OK);
	assert_int_equal(jscan_get(v, "x", &out), RC_NOTFOUND);
	assert_int_equal(out.kind, JSCAN_NONE);
	assert_int_equal(jscan_get(v, "c", &out), RC_NOTFOUND);
	assert_int_equal(jscan_get(v, "dup", &out), RC_CONFLICT);
	assert_int_equal(out.kind, JSCAN_NONE);
	assert_int_equal(jscan_get(parsed("[1]"), "a", &out), RC_NOTFOUND);
	assert_int_equal(jscan_path(v, &out, "b", "c", "d", NULL), RC_OK);
	assert_true(jscan_is_str(out, "x"));
	assert_int_equal(jscan_path(v, &out, "b", "x", "d", NULL), RC_NOTFOUND);
	assert_int_equal(jscan_path(v, &out, "a", "x", NULL), RC_NOTFOUND);
}

static void unescapes_strings(void **state)
{
	static const struct {
		const char *json, *text;
	} cases[] = {
		{"\"\"", ""},
		{"\"abc\"", "abc"},
		{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
		{"\"\\u0041\\u00E9\\u20ac\\ud83d\\ude00\"",
			"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"\"\xc3\xa9\"", "\xc3\xa9"},
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(jscan_str(parsed(cases[i].json), text, sizeof(text)), RC_OK);
		assert_string_equal(text, cases[i].text);
		assert_true(jscan_is_str(parsed(cases[i].json), cases[i].text));
		assert_int_equal(
			jscan_str(parsed(cases[i].json), text, strlen(cases[i].text) + 1), RC_OK);
		assert_int_equal(
			jscan_str(parsed(cases[i].json), text, strlen(cases[i].text)), RC_INVALID);
		assert_string_equal(strlen(cases[i].text) ? text : "", "");
	}
	assert_int_equal(jscan_str(parsed("\"a\\u0000b\""), text, sizeof(text)), RC_INVALID);
	assert_string_equal(text, "");
	assert_int_equal(jscan_str(parsed("1"), text, sizeof(text)), RC_INVALID);
	assert_int_equal(
		jscan_str((struct jscan){NULL, 0, JSCAN_NONE}, text, sizeof(text)), RC_INVALID);
}

static void compares_strings(void **state)
{
	(void)state;
	assert_false(jscan_is_str(parsed("\"abc\""), "ab"));
	assert_false(jscan_is_str(parsed("\"ab\""), "abc"));
	assert_false(jscan_is_str(parsed("\"a\\u0000\""), "a"));
	assert_false(jscan_is_str(parsed("\"\\u20ac\""), "\xe2\x82"));
	assert_false(jscan_is_str(parsed("1"), "1"));
	assert_false(jscan_is_str((struct jscan){NULL, 0, JSCAN_NONE}, ""));
	assert_true(jscan_same_str(parsed("\"\\u00e9x\""), parsed("\"\xc3\xa9\\u0078\"")));
	assert_true(jscan_same_str(parsed("\"\\u0000\""), parsed("\"\\u0000\"")));
	assert_false(jscan_same_str(parsed("\"a\\u0000\""), parsed("\"a\"")));
	assert_false(jscan_same_str(parsed("\"a\""), parsed("\"ab\"")));
	assert_false(jscan_same_str(parsed("1"), parsed("1")));
}

static void reads_integers(void **state)
{
	static const struct {
		const char *json;
		int64_t value;
	} good[] = {{"0", 0}, {"-0", 0}, {"7", 7}, {"-12", -12}, {"9223372036854775807", INT64_MAX},
		{"-9223372036854775808", INT64_MIN}};
	static const char *const bad[] = {"1.0", "1e3", "9223372036854775808",
		"-9223372036854775809", "99999999999999999999", "\"1\"", "null"};
	int64_t n;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_int_equal(jscan_int(parsed(good[i].json), &n), RC_OK);
		assert_true(n == good[i].value);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		if (jscan_int(parsed(bad[i]), &n) != RC_INVALID)
			fail_msg("accepted: %s", bad[i]);
}

/* Strings are read eight bytes at a time: what ends or spoils one may be at any place in them. */
static void a_string_is_read_right_wherever_its_characters_stand(void **state)
{
	static const struct {
		const char *spelt, *means; /* NULL: refused */
	} cases[] = {{"\\\"", "\""}, {"\\\\", "\\"}, {"\\u0041", "A"}, {"\xc3\xa9", "\xc3\xa9"},
		{"\x7f", "\x7f"}, {"!", "!"}, {"#", "#"}, {"]", "]"}, {"\x1f", NULL}, {"\n", NULL},
		{"\"", NULL}, {"\\x", NULL}, {"\xc3", NULL}, {"\x80", NULL}};
	static const char filler[] = "abcdefghijklmnopqrstuvwxyz";
	char text[96], expected[64], got[64];
	struct jscan v, second;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int before = 0; before < 20; before++) {
			for (int after = 0; after < 10; after++) {
				(void)snprintf(text, sizeof(text), "[\"%.*s%s%.*s\",\"x\"]", before,
					filler, cases[i].spelt, after, filler);
				if (!cases[i].means) {
					assert_int_equal(
						jscan_parse(text, strlen(text), &v), RC_INVALID);
					continue;
				}
				assert_int_equal(jscan_parse(text, strlen(text), &v), RC_OK);
				struct jscan_iter it = jscan_iter(v);

				assert_true(jscan_next(&it, &second, &v));
				(void)snprintf(expected, sizeof(expected), "%.*s%s%.*s", before,
					filler, cases[i].means, after, filler);
				assert_int_equal(jscan_str(v, got, sizeof(got)), RC_OK);
				assert_string_equal(got, expected);
				assert_true(jscan_is_str(v, expected));
				expected[strlen(expected) - 1]++;
				assert_false(jscan_is_str(v, expected));
				assert_true(jscan_next(&it, &second, &v));
				assert_true(jscan_is_str(v, "x"));
				assert_false(jscan_is_str(v, "xy"));
				assert_false(jscan_is_str(v, ""));
				assert_false(jscan_next(&it, &second, &v));
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_json),
		cmocka_unit_test(refuses_what_is_not_json),
		cmocka_unit_test(a_nul_byte_is_no_json),
		cmocka_unit_test(half_a_surrogate_pair_is_json_but_no_text),
		cmocka_unit_test(depth_has_an_end),
		cmocka_unit_test(depth_has_the_same_end_member_by_member),
		cmocka_unit_test(an_object_ends_where_a_member_ends),
		cmocka_unit_test(walks_members_and_elements),
		cmocka_unit_test(finds_members),
		cmocka_unit_test(unescapes_strings),
		cmocka_unit_test(compares_strings),
		cmocka_unit_test(reads_integers),
		cmocka_unit_test(a_string_is_read_right_wherever_its_characters_stand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
