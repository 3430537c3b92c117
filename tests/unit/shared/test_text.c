#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void hex(void **state)
{
	static const uint8_t bytes[] = {0x00, 0x7f, 0xa5, 0xff};
	uint8_t back[4] = {0};
	char text[9];

	(void)state;
	text_hex(bytes, 4, text);
	assert_string_equal(text, "007fa5ff");
	assert_int_equal(text_unhex("007FA5fF", back, 4), RC_OK);
	assert_memory_equal(back, bytes, 4);
	assert_int_equal(text_unhex("007fa5f", back, 4), RC_INVALID);
	assert_int_equal(text_unhex("007fa5ff00", back, 4), RC_INVALID);
	assert_int_equal(text_unhex("007fa5fg", back, 4), RC_INVALID);
	assert_int_equal(text_unhex("", back, 0), RC_OK);
}

/* RFC 4648 section 10 */
static void base64_vectors(void **state)
{
	static const char *const cases[][3] = {
		{"", "", ""},
		{"f", "Zg==", "Zg"},
		{"fo", "Zm8=", "Zm8"},
		{"foo", "Zm9v", "Zm9v"},
		{"foob", "Zm9vYg==", "Zm9vYg"},
		{"fooba", "Zm9vYmE=", "Zm9vYmE"},
		{"foobar", "Zm9vYmFy", "Zm9vYmFy"},
		{"\xfb\xff\xfe", "+//+", "-__-"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = strlen(cases[i][0]);
		char text[TEXT_B64_LEN(6) + 1];
		uint8_t back[6];
		size_t n = 99;

		text_b64((const uint8_t *)cases[i][0], len, text);
		assert_string_equal(text, cases[i][1]);
		assert_int_equal(text_unb64(text, strlen(text), back, len, &n), RC_OK);
		assert_int_equal(n, len);
		assert_memory_equal(back, cases[i][0], len);
		text_b64url((const uint8_t *)cases[i][0], len, text);
		assert_string_equal(text, cases[i][2]);
		assert_int_equal(text_unb64url(text, strlen(text), back, len, &n), RC_OK);
		assert_int_equal(n, len);
		assert_memory_equal(back, cases[i][0], len);
	}
}

static void base64_refuses(void **state)
{
	static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg===", "=",
		"====", "Z===", "Zh==", "Zm9=", "Zm9v\n", "Zm 9", "Zm9-", "Z=g=", "Zg==Zg=="};
	static const char *const bad_url[] = {"Z", "Zg==", "Zh", "Zm9+", "Zm9/", "Zm9vA"};
	uint8_t out[16];
	size_t n = 99;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(
			text_unb64(bad[i], strlen(bad[i]), out, sizeof(out), &n), RC_INVALID);
	for (size_t i = 0; i < COUNT(bad_url); i++)
		assert_int_equal(
			text_unb64url(bad_url[i], strlen(bad_url[i]), out, sizeof(out), &n),
			RC_INVALID);
	assert_int_equal(text_unb64("Zm9v", 4, out, 2, &n), RC_INVALID); /* does not fit */
	assert_int_equal(n, 99);
}

static void base32_vectors(void **state)
{
	static const char *const cases[][2] = {{"", ""}, {"f", "my"}, {"fo", "mzxq"},
		{"foo", "mzxw6"}, {"foob", "mzxw6yq"}, {"fooba", "mzxw6ytb"},
		{"foobar", "mzxw6ytboi"}, {"\xff\xff\xff\xff\xff", "77777777"}};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[TEXT_B32_LEN(6) + 1];

		text_b32((const uint8_t *)cases[i][0], strlen(cases[i][0]), text);
		assert_string_equal(text, cases[i][1]);
		assert_int_equal(strlen(text), TEXT_B32_LEN(strlen(cases[i][0])));
	}
}

static void utf8(void **state)
{
	static const char *const good[] = {"", "a", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80",
		"\xED\x9F\xBF", "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"};
	static const char *const bad[] = {"\x80", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2\x41",
		"\xE0\x9F\xBF", "\xE2\x82", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
		"\xF5\x80\x80\x80", "\xFF", "\xE2\x82\x41"};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		assert_true(text_utf8_ok(good[i], strlen(good[i])));
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(text_utf8_ok(bad[i], strlen(bad[i])));
	assert_true(text_utf8_ok("a\0b", 3));
	assert_int_equal(text_utf8_len("\xE2\x82\xAC!", 4), 3);
	assert_int_equal(text_utf8_len("\xE2\x82\xAC", 2), 0);
	assert_int_equal(text_utf8_len("", 0), 0);
}

static void slugs(void **state)
{
	char longest[65];

	(void)state;
	memset(longest, 'a', 64);
	longest[63] = '\0';
	assert_true(text_slug_ok(longest));
	longest[63] = 'a';
	longest[64] = '\0';
	assert_false(text_slug_ok(longest));
	assert_true(text_slug_ok("a"));
	assert_true(text_slug_ok("acme-2"));
	assert_false(text_slug_ok(""));
	assert_false(text_slug_ok("-a"));
	assert_false(text_slug_ok("a-"));
	assert_false(text_slug_ok("Acme"));
	assert_false(text_slug_ok("a_b"));
	assert_false(text_slug_ok("a/b"));
	assert_false(text_slug_ok("\xC3\xA9"));
}

static void names(void **state)
{
	(void)state;
	assert_true(text_name_ok("Acme Corp. \xC3\xA9", 20));
	assert_true(text_name_ok("12345", 5));
	assert_false(text_name_ok("123456", 5));
	assert_false(text_name_ok("", 5));
	assert_false(text_name_ok("a\nb", 5));
	assert_false(text_name_ok("a\x7f", 5));
	assert_false(text_name_ok("a\xC2\x85", 5)); /* NEL, a C1 control */
	assert_false(text_name_ok("a\xC3", 5));
}

static void nearest(void **state)
{
	static const char *const words[] = {"processes", "threads", "run_dir", "fsync"};

	(void)state;
	assert_string_equal(text_nearest("proceses", words, COUNT(words)), "processes");
	assert_string_equal(text_nearest("process", words, COUNT(words)), "processes");
	assert_string_equal(
		text_nearest("thraeds", words, COUNT(words)), "threads"); /* neighbours swapped */
	assert_string_equal(text_nearest("rundir", words, COUNT(words)), "run_dir");
	assert_string_equal(text_nearest("fsnc", words, COUNT(words)), "fsync");
	assert_null(text_nearest("colour", words, COUNT(words)));
	assert_null(text_nearest("", words, COUNT(words)));
	assert_null(text_nearest("x", words, 0));
	assert_null(
		text_nearest("a-word-that-is-longer-than-any-name-could-ever-be-expected-to-become",
			words, COUNT(words)));
}

static void nocase(void **state)
{
	(void)state;
	assert_true(text_equal_nocase("TRUE", "true"));
	assert_true(text_equal_nocase("", ""));
	assert_false(text_equal_nocase("tru", "true"));
	assert_false(text_equal_nocase("true", "tru"));
	assert_false(text_equal_nocase("[", "{"));
}

static void spans(void **state)
{
	(void)state;
	assert_int_equal(text_span("", "_-"), 0);
	assert_int_equal(text_span("aZ09_-", "_-"), 6);
	assert_int_equal(text_span("aZ09_-", ""), 4);
	assert_int_equal(text_span("ab c", "_-"), 2);
	for (int c = 1; c < 256; c++) {
		const char text[] = {(char)c, '\0'};
		bool plain =
			(c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

		assert_int_equal(text_span(text, "/"), plain || c == '/');
	}
}

static void loopback(void **state)
{
	static const char *const yes[] = {"localhost", "LOCALHOST", "localhost.", "a.b.localhost",
		"127.0.0.1", "127.255.3.4", "127.1", "2130706433", "0x7f000001", "::1", "[::1]",
		"0:0:0:0:0:0:0:1", "::", "[::]", "0.0.0.0", "::ffff:127.0.0.1",
		"[::ffff:127.0.0.1]"};
	static const char *const no[] = {"", "example.com", "localhost.example.com", "notlocalhost",
		"128.0.0.1", "10.0.0.1", "::2", "2001:db8::1", "127.0.0.1.example.com", "[", "]",
		"[]"};

	(void)state;
	for (size_t i = 0; i < COUNT(yes); i++)
		assert_true(text_host_is_loopback(yes[i]));
	for (size_t i = 0; i < COUNT(no); i++)
		assert_false(text_host_is_loopback(no[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hex),
		cmocka_unit_test(base64_vectors),
		cmocka_unit_test(base64_refuses),
		cmocka_unit_test(base32_vectors),
		cmocka_unit_test(utf8),
		cmocka_unit_test(slugs),
		cmocka_unit_test(names),
		cmocka_unit_test(nearest),
		cmocka_unit_test(spans),
		cmocka_unit_test(nocase),
		cmocka_unit_test(loopback),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
