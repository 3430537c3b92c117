#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tunneld/rate.h"

static bool take(struct rates *r, const char *key, int64_t per_minute, int64_t now_ms)
{
	int64_t retry;

	return rate_take(r, key, per_minute, now_ms, &retry);
}

static void a_bucket_holds_a_minute_and_refills_evenly(void **state)
{
	struct rates r;
	int64_t retry;

	(void)state;
	rates_init(&r, 8, 1);
	assert_true(rate_take(&r, "k", 2, 1000, &retry));
	assert_true(rate_take(&r, "k", 2, 1000, &retry));
	assert_false(rate_take(&r, "k", 2, 1000, &retry));
	assert_int_equal(retry, 30000);
	assert_false(rate_take(&r, "k", 2, 30999, &retry));
	assert_int_equal(retry, 1);
	assert_true(rate_take(&r, "k", 2, 31000, &retry));
	assert_false(rate_take(&r, "k", 2, 31000, &retry));
	/* Another key has its own. */
	assert_true(rate_take(&r, "other", 2, 31000, &retry));
	rates_free(&r);
}

static void a_long_rest_fills_it_and_no_more(void **state)
{
	struct rates r;

	(void)state;
	rates_init(&r, 8, 1);
	for (int round = 0; round < 2; round++) {
		int64_t now = 1000 + round * 86400000LL;

		for (int i = 0; i < 3; i++)
			assert_true(take(&r, "k", 3, now));
		assert_false(take(&r, "k", 3, now));
	}
	/* Time that goes backwards gives nothing. */
	assert_false(take(&r, "k", 3, 0));
	rates_free(&r);
}

static void no_rate_is_no_limit(void **state)
{
	struct rates r;

	(void)state;
	rates_init(&r, 8, 1);
	for (int i = 0; i < 1000; i++)
		assert_true(take(&r, "k", 0, 5));
	assert_int_equal(r.by_key.count, 0);
	rates_free(&r);
}

static void the_table_forgets_the_key_used_longest_ago(void **state)
{
	struct rates r;

	(void)state;
	rates_init(&r, 2, 1);
	assert_true(take(&r, "a", 1, 0));
	assert_true(take(&r, "b", 1, 0));
	assert_false(take(&r, "a", 1, 0)); /* used again: b is older now */
	assert_true(take(&r, "c", 1, 0));
	assert_int_equal(r.by_key.count, 2);
	assert_false(take(&r, "a", 1, 0));
	assert_true(take(&r, "b", 1, 0));
	rates_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_holds_a_minute_and_refills_evenly),
		cmocka_unit_test(a_long_rest_fills_it_and_no_more),
		cmocka_unit_test(no_rate_is_no_limit),
		cmocka_unit_test(the_table_forgets_the_key_used_longest_ago),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
