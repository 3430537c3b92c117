#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi-app/spare.h"

static void fill(struct buf *b, size_t len)
{
	buf_init(b, SPARE_MAX);
	assert_non_null(buf_reserve(b, len));
	buf_commit(b, len);
}

static void memory_goes_out_again_empty(void **state)
{
	struct spare *s = spare_new();
	struct buf b;
	uint8_t *data;

	(void)state;
	fill(&b, SPARE_MIN);
	data = b.data;
	spare_give(s, &b, 0);
	assert_null(b.data);
	buf_init(&b, SPARE_MAX);
	spare_take(s, &b);
	assert_ptr_equal(b.data, data);
	assert_int_equal(b.len, 0);
	assert_int_equal(b.max, SPARE_MAX);
	spare_give(s, &b, 0);
	/* It is not given to a buffer that may not become as long. */
	buf_init(&b, SPARE_MIN / 2);
	spare_take(s, &b);
	assert_null(b.data);
	spare_free(s);
}

static void what_is_short_or_too_much_is_not_kept(void **state)
{
	struct spare *s = spare_new();
	struct buf b;

	(void)state;
	fill(&b, SPARE_MIN / 2 - 1);
	spare_give(s, &b, 0);
	assert_int_equal(spare_trim(s, 0), INT64_MAX);
	/* The second would be more than is kept in all. */
	for (int i = 0; i < 2; i++) {
		fill(&b, SPARE_MAX / 2 + 1);
		spare_give(s, &b, 0);
		assert_null(b.data);
	}
	buf_init(&b, SPARE_MAX);
	spare_take(s, &b);
	assert_non_null(b.data);
	buf_free(&b);
	spare_take(s, &b);
	assert_null(b.data);
	for (int i = 0; i < SPARE_PIECES + 1; i++) {
		fill(&b, SPARE_MIN);
		spare_give(s, &b, 0);
	}
	for (int i = 0; i < SPARE_PIECES; i++) {
		buf_init(&b, SPARE_MAX);
		spare_take(s, &b);
		assert_non_null(b.data);
		buf_free(&b);
	}
	spare_take(s, &b);
	assert_null(b.data);
	spare_free(s);
}

static void what_nobody_wants_is_given_back(void **state)
{
	struct spare *s = spare_new();
	struct buf b;

	(void)state;
	fill(&b, SPARE_MIN);
	spare_give(s, &b, 1000);
	fill(&b, SPARE_MIN);
	spare_give(s, &b, 1500);
	assert_int_equal(spare_trim(s, 1000 + SPARE_MS - 1), 1000 + SPARE_MS);
	assert_int_equal(spare_trim(s, 1000 + SPARE_MS), 1500 + SPARE_MS);
	assert_int_equal(spare_trim(s, 1500 + SPARE_MS), INT64_MAX);
	buf_init(&b, SPARE_MAX);
	spare_take(s, &b);
	assert_null(b.data);
	spare_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_goes_out_again_empty),
		cmocka_unit_test(what_is_short_or_too_much_is_not_kept),
		cmocka_unit_test(what_nobody_wants_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
