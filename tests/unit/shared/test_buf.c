#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/buf.h"

static void grows_up_to_its_max(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	for (int i = 0; i < 1000; i++)
		buf_char(&b, (char)('a' + i % 26));
	assert_false(b.failed);
	assert_int_equal(b.len, 1000);
	assert_int_equal(b.data[999], 'a' + 999 % 26);
	buf_char(&b, 'x');
	assert_true(b.failed);
	assert_int_equal(b.len, 1000);
	buf_free(&b);
}

static void failure_is_sticky_until_reset(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4);
	buf_str(&b, "12345");
	assert_true(b.failed);
	buf_str(&b, "1");
	assert_int_equal(b.len, 0);
	assert_null(buf_reserve(&b, 1));
	assert_null(buf_steal(&b));
	assert_false(b.failed);
	buf_str(&b, "1234");
	assert_false(b.failed);
	buf_free(&b);
}

static void an_overflowing_length_fails(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX);
	buf_str(&b, "x");
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_true(b.failed);
	buf_reset(&b);
	assert_null(buf_reserve(&b, SIZE_MAX)); /* no room for the spare byte */
	buf_free(&b);
}

static void reserve_and_commit(void **state)
{
	struct buf b;
	uint8_t *p;

	(void)state;
	buf_init(&b, 100);
	p = buf_reserve(&b, 10);
	assert_non_null(p);
	memset(p, 'a', 3);
	buf_commit(&b, 3);
	assert_int_equal(b.len, 3);
	buf_commit(&b, 5000); /* more than was ever reserved */
	assert_true(b.failed);
	buf_free(&b);
}

static void formats_long_and_short(void **state)
{
	char wide[601];
	struct buf b;

	(void)state;
	memset(wide, 'w', 600);
	wide[600] = '\0';
	buf_init(&b, 605);
	buf_printf(&b, "%d-", 42);
	buf_printf(&b, "%s", wide);
	assert_int_equal(b.len, 603);
	assert_memory_equal(b.data, "42-www", 6);
	buf_printf(&b, "%s", wide);
	assert_true(b.failed);
	buf_free(&b);
}

static void json_strings(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		const char *out;
	} cases[] = {
		{"", 0, "\"\""}, {"plain", 5, "\"plain\""}, {"a\"b\\c/", 6, "\"a\\\"b\\\\c/\""},
		{"\b\t\n\f\r\x01\x1f\x7f", 8, "\"\\b\\t\\n\\f\\r\\u0001\\u001f\x7f\""},
		{"a\0b", 3, "\"a\\u0000b\""},
		{"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9,
			"\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
		{"\xC3", 1, "\"\xEF\xBF\xBD\""},
		{"x\xED\xA0\x80y", 5,
			"\"x\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDy\""}, /* a surrogate */
		{"\xC0\xAF", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\""}, /* overlong */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b;
		char *s;

		buf_init(&b, 200);
		buf_json_len(&b, cases[i].in, cases[i].len);
		s = buf_steal(&b);
		assert_string_equal(s, cases[i].out);
		free(s);
	}
}

/* Eight bytes are looked at together: what needs an escape may be any of them. */
static void json_strings_wherever_the_escape_stands(void **state)
{
	(void)state;
	for (size_t len = 1; len <= 20; len++) {
		for (size_t at = 0; at < len; at++) {
			static const unsigned char odd[] = {'"', '\\', 0x1f, 0x00, 0x80, 0xff};
			static const char *const escaped[] = {"\\\"", "\\\\", "\\u001f", "\\u0000",
				"\xEF\xBF\xBD", "\xEF\xBF\xBD"};

			for (size_t i = 0; i < sizeof(odd); i++) {
				char in[20], out[64];
				struct buf b;

				memset(in, '~', sizeof(in));
				in[at] = (char)odd[i];
				(void)snprintf(out, sizeof(out), "\"%.*s%s%.*s\"", (int)at,
					"~~~~~~~~~~~~~~~~~~~~", escaped[i], (int)(len - at - 1),
					"~~~~~~~~~~~~~~~~~~~~");
				buf_init(&b, 200);
				buf_json_len(&b, in, len);
				assert_int_equal(b.len, strlen(out));
				assert_memory_equal(b.data, out, b.len);
				buf_free(&b);
			}
		}
	}
}

static void a_json_string_has_to_fit(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 6);
	buf_json(&b, "four");
	assert_int_equal(b.len, 6);
	assert_false(b.failed);
	buf_json(&b, "");
	assert_true(b.failed);
	buf_free(&b);
}

static void integers(void **state)
{
	static const struct {
		int64_t n;
		const char *text;
	} cases[] = {{0, "0"}, {7, "7"}, {-1, "-1"}, {10, "10"}, {-907, "-907"},
		{INT64_MAX, "9223372036854775807"}, {INT64_MIN, "-9223372036854775808"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b;

		buf_init(&b, 20);
		buf_int(&b, cases[i].n);
		assert_int_equal(b.len, strlen(cases[i].text));
		assert_memory_equal(b.data, cases[i].text, b.len);
		buf_free(&b);
	}
}

static void consumes_from_the_front(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	buf_str(&b, "abcdef");
	buf_consume(&b, 2);
	assert_int_equal(b.len, 4);
	assert_memory_equal(b.data, "cdef", 4);
	buf_consume(&b, 99);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

static void steals_a_string(void **state)
{
	struct buf b;
	char *s;

	(void)state;
	buf_init(&b, 3);
	s = buf_steal(&b); /* of nothing */
	assert_string_equal(s, "");
	free(s);
	buf_str(&b, "abc"); /* full to the brim: the NUL still fits */
	s = buf_steal(&b);
	assert_string_equal(s, "abc");
	free(s);
	assert_null(b.data);
	assert_int_equal(b.len, 0);
	buf_str(&b, "xyz");
	assert_false(b.failed);
	buf_free(&b);
}

static void wipes_all_of_it(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	buf_str(&b, "secret");
	buf_wipe(&b);
	assert_int_equal(b.len, 0);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(b.data[i], 0);
	buf_free(&b);
	buf_wipe(&b); /* no memory at all */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_up_to_its_max),
		cmocka_unit_test(failure_is_sticky_until_reset),
		cmocka_unit_test(an_overflowing_length_fails),
		cmocka_unit_test(reserve_and_commit),
		cmocka_unit_test(formats_long_and_short),
		cmocka_unit_test(json_strings),
		cmocka_unit_test(json_strings_wherever_the_escape_stands),
		cmocka_unit_test(a_json_string_has_to_fit),
		cmocka_unit_test(integers),
		cmocka_unit_test(consumes_from_the_front),
		cmocka_unit_test(steals_a_string),
		cmocka_unit_test(wipes_all_of_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
