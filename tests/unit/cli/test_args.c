#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/args.h"

#define ALL 0xffffffffu

static enum rc parse(
	unsigned allowed, struct args *out, char why[200], int argc, const char *const words[])
{
	char *argv[16];

	for (int i = 0; i < argc; i++)
		argv[i] = (char *)words[i];
	why[0] = '\0';
	return args_parse(argc, argv, allowed, out, why, 200);
}
#define PARSE(allowed, out, why, ...)                                                           \
	parse(allowed, out, why, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), \
		(const char *[]){__VA_ARGS__})

static void operands_and_options_mix(void **state)
{
	struct args a;
	char why[200];

	(void)state;
	assert_int_equal(PARSE(ALL, &a, why, "one", "--json", "--url", "http://x", "two",
				 "--name=N=1", "-q"),
		RC_OK);
	assert_int_equal(a.operand_count, 2);
	assert_string_equal(a.operand[0], "one");
	assert_string_equal(a.operand[1], "two");
	assert_true(args_has(&a, ARG_JSON));
	assert_true(args_has(&a, ARG_QUIET));
	assert_false(args_has(&a, ARG_HELP));
	assert_string_equal(a.value[ARG_URL], "http://x");
	assert_string_equal(a.value[ARG_NAME], "N=1");
}

static void two_dashes_end_the_options(void **state)
{
	struct args a;
	char why[200];

	(void)state;
	assert_int_equal(PARSE(ALL, &a, why, "--", "--json", "-"), RC_OK);
	assert_int_equal(a.operand_count, 2);
	assert_string_equal(a.operand[0], "--json");
	assert_string_equal(a.operand[1], "-");
}

static void repeated_options_keep_their_order(void **state)
{
	struct args a;
	char why[200];

	(void)state;
	assert_int_equal(PARSE(ALL, &a, why, "--arg", "a=1", "--tool=t", "--arg=b:=2"), RC_OK);
	assert_int_equal(a.many_count, 3);
	assert_int_equal(a.many[0].option, ARG_ARG);
	assert_string_equal(a.many[0].value, "a=1");
	assert_int_equal(a.many[1].option, ARG_TOOL);
	assert_string_equal(a.many[2].value, "b:=2");
}

static void bad_words_are_refused_with_a_reason(void **state)
{
	const uint64_t allowed = ARG_BIT(ARG_JSON) | ARG_BIT(ARG_URL) | ARG_BIT(ARG_ARG);
	struct args a;
	char why[200];

	(void)state;
	assert_int_equal(PARSE(allowed, &a, why, "--jsno"), RC_INVALID);
	assert_string_equal(why, "there is no option '--jsno' here; did you mean '--json'?");
	assert_int_equal(PARSE(allowed, &a, why, "--name", "x"), RC_INVALID);
	assert_non_null(strstr(why, "no option '--name'"));
	assert_int_equal(PARSE(allowed, &a, why, "-x"), RC_INVALID);
	assert_int_equal(PARSE(allowed, &a, why, "-qq"), RC_INVALID);
	assert_int_equal(PARSE(allowed, &a, why, "--url"), RC_INVALID);
	assert_string_equal(why, "--url needs a value: URL");
	assert_int_equal(PARSE(allowed, &a, why, "--url="), RC_INVALID);
	assert_int_equal(PARSE(allowed, &a, why, "--json=1"), RC_INVALID);
	assert_string_equal(why, "--json takes no value");
	assert_int_equal(PARSE(allowed, &a, why, "--url", "a", "--url", "b"), RC_INVALID);
	assert_string_equal(why, "--url is given twice");
	assert_int_equal(PARSE(allowed, &a, why, "a", "b", "c", "d"), RC_INVALID);
	assert_string_equal(why, "one word too many: 'd'");
}

static void an_option_given_too_often_is_refused(void **state)
{
	char *argv[ARGS_MANY_MAX + 1];
	struct args a;
	char why[200];

	(void)state;
	for (int i = 0; i <= ARGS_MANY_MAX; i++)
		argv[i] = (char *)"--arg=a=1";
	assert_int_equal(args_parse(ARGS_MANY_MAX, argv, ALL, &a, why, sizeof(why)), RC_OK);
	assert_int_equal(
		args_parse(ARGS_MANY_MAX + 1, argv, ALL, &a, why, sizeof(why)), RC_INVALID);
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds; /* 0: refused */
	} cases[] = {{"90", 90}, {"90s", 90}, {"15m", 900}, {"12h", 43200}, {"30d", 2592000},
		{"3650d", 315360000}, {"3651d", 0}, {"0", 0}, {"0d", 0}, {"", 0}, {"d", 0},
		{"1w", 0}, {"-1", 0}, {"+1", 0}, {" 1", 0}, {"1.5h", 0},
		{"99999999999999999999", 0}, {"1dd", 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t seconds = -1;
		enum rc rc = args_duration(cases[i].text, &seconds);
		if (rc != (cases[i].seconds ? RC_OK : RC_INVALID) ||
			(rc == RC_OK && seconds != cases[i].seconds))
			fail_msg("'%s' gave %lld", cases[i].text, (long long)seconds);
		if (rc != RC_OK)
			assert_int_equal(seconds, -1);
	}
}

static void counts(void **state)
{
	int64_t n = -1;

	(void)state;
	assert_int_equal(args_count("0", 10, &n), RC_OK);
	assert_int_equal(n, 0);
	assert_int_equal(args_count("10", 10, &n), RC_OK);
	assert_int_equal(n, 10);
	assert_int_equal(args_count("11", 10, &n), RC_INVALID);
	assert_int_equal(args_count("", 10, &n), RC_INVALID);
	assert_int_equal(args_count("1x", 10, &n), RC_INVALID);
	assert_int_equal(args_count("9999999999999999999", INT64_MAX, &n), RC_INVALID);
	assert_int_equal(n, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operands_and_options_mix),
		cmocka_unit_test(two_dashes_end_the_options),
		cmocka_unit_test(repeated_options_keep_their_order),
		cmocka_unit_test(bad_words_are_refused_with_a_reason),
		cmocka_unit_test(an_option_given_too_often_is_refused),
		cmocka_unit_test(durations),
		cmocka_unit_test(counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
