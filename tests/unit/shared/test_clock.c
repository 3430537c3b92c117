#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/clock.h"

static const struct {
	int64_t ms;
	const char *text;
} moments[] = {
	{0, "1970-01-01T00:00:00.000Z"},
	{1, "1970-01-01T00:00:00.001Z"},
	{-1, "1969-12-31T23:59:59.999Z"},
	{951782400000, "2000-02-29T00:00:00.000Z"},
	{1795467845678, "2026-11-23T21:04:05.678Z"},
	{4107542400000, "2100-03-01T00:00:00.000Z"},
	{253402300799999, "9999-12-31T23:59:59.999Z"},
	{-62167219200000, "0000-01-01T00:00:00.000Z"},
};
#define MOMENTS (sizeof(moments) / sizeof(moments[0]))

static void writes(void **state)
{
	char text[CLOCK_TEXT_LEN + 1];

	(void)state;
	for (size_t i = 0; i < MOMENTS; i++) {
		clock_text(moments[i].ms, text);
		assert_string_equal(text, moments[i].text);
	}
	clock_text(INT64_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
	clock_text(INT64_MIN, text);
	assert_string_equal(text, "0000-01-01T00:00:00.000Z");
}

static void reads_what_it_writes(void **state)
{
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < MOMENTS; i++) {
		assert_int_equal(clock_parse(moments[i].text, &ms), RC_OK);
		assert_true(ms == moments[i].ms);
	}
}

static void reads_other_forms(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{"1970-01-01T00:00:01Z", 1000},
		{"1970-01-01T00:00:01.5Z", 1500},
		{"1970-01-01T00:00:01.123456Z", 1123},
		{"1970-01-01T00:00:01.123456+00:00", 1123},
	};
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(clock_parse(cases[i].text, &ms), RC_OK);
		assert_true(ms == cases[i].ms);
	}
}

static void refuses(void **state)
{
	static const char *const bad[] = {"", "2026", "2026-11-23", "2026-11-23T21:04:05",
		"2026-11-23T21:04:05+01:00", "2026-11-23 21:04:05Z", "2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z",
		"2026-04-31T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z",
		"2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00.Z",
		"2026-01-01T00:00:00.1234567890Z", "2026-01-01T00:00:00Zx", "+026-01-01T00:00:00Z"};
	int64_t ms = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(clock_parse(bad[i], &ms), RC_INVALID);
		assert_true(ms == 42);
	}
}

static void clocks_agree(void **state)
{
	int64_t us = clock_mono_us();
	int64_t ms = clock_mono_ms();
	int64_t wall = clock_wall_ms();

	(void)state;
	assert_in_range(ms - us / 1000, 0, 10000);
	assert_in_range(clock_wall_s() - wall / 1000, 0, 10);
	assert_true(wall > 1600000000000);
	assert_true(clock_mono_us() >= us);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes),
		cmocka_unit_test(reads_what_it_writes),
		cmocka_unit_test(reads_other_forms),
		cmocka_unit_test(refuses),
		cmocka_unit_test(clocks_agree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
