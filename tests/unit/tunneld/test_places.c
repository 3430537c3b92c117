#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tunneld/places.h"

#define PLACE ((size_t)24 * 1024 * 1024)

struct setup {
	struct places *places;
	struct shelf *reader;
	int fd;
};

static int setup(void **state)
{
	static struct setup s;
	struct shelf *writer;

	assert_int_equal(shelf_make(3, PLACE, &s.reader, &s.fd), RC_OK);
	assert_int_equal(shelf_open(s.fd, 3, PLACE, &writer), RC_OK);
	s.places = places_new(writer);
	*state = &s;
	return 0;
}

static int teardown(void **state)
{
	struct setup *s = *state;

	places_free(s->places);
	shelf_drop(s->reader);
	(void)close(s->fd);
	return 0;
}

static size_t memory(const struct setup *s)
{
	struct stat st;

	assert_int_equal(fstat(s->fd, &st), 0);
	return (size_t)st.st_blocks * 512;
}

static void each_place_is_used_by_one_and_the_last_one_first(void **state)
{
	struct setup *s = *state;
	int a = places_take(s->places), b = places_take(s->places), c = places_take(s->places);

	assert_true(a >= 0 && b >= 0 && c >= 0 && a != b && b != c && a != c);
	assert_int_equal(places_take(s->places), -1);
	places_drop(s->places, b, 0);
	places_hand_over(s->places, a);
	assert_true(places_return(s->places, a, 0));
	assert_int_equal(places_take(s->places), a);
	assert_int_equal(places_take(s->places), b);
	assert_int_equal(places_take(s->places), -1);
}

static void only_what_was_handed_over_comes_back(void **state)
{
	struct setup *s = *state;
	int a = places_take(s->places);

	assert_false(places_return(s->places, a, 0));
	assert_false(places_return(s->places, a == 0 ? 1 : 0, 0));
	assert_false(places_return(s->places, -1, 0));
	assert_false(places_return(s->places, 3, 0));
	assert_false(places_return(s->places, INT64_MAX, 0));
	places_hand_over(s->places, a);
	assert_true(places_return(s->places, a, 0));
	assert_false(places_return(s->places, a, 0));
}

static void parts_lie_one_behind_the_other(void **state)
{
	struct setup *s = *state;
	int a = places_take(s->places);
	uint8_t *p = places_room(s->places, a, 0, 3);

	memset(p, 'a', 3);
	assert_ptr_equal(places_room(s->places, a, 3, 500000), p + 3);
	memset(p + 3, 'x', 500000);
	assert_memory_equal(shelf_at(s->reader, (uint32_t)a), "aaaxx", 5);
	assert_non_null(places_room(s->places, a, PLACE - 1, 1));
	assert_non_null(places_room(s->places, a, PLACE, 0));
	assert_null(places_room(s->places, a, PLACE, 1));
	assert_null(places_room(s->places, a, PLACE - 1, 2));
	assert_null(places_room(s->places, a, 1, SIZE_MAX));
}

static void memory_that_lies_unused_is_given_back(void **state)
{
	struct setup *s = *state;
	int a = places_take(s->places), b = places_take(s->places);

	assert_non_null(places_room(s->places, a, 0, 1000000));
	assert_non_null(places_room(s->places, b, 0, 1000000));
	places_drop(s->places, a, 5000);
	assert_true(memory(s) >= 2000000);
	assert_true(places_trim(s->places, 5000 + PLACES_MS - 1));
	assert_true(memory(s) >= 2000000);
	/* What is in use stays. */
	assert_false(places_trim(s->places, 5000 + PLACES_MS));
	assert_true(memory(s) >= 1000000 && memory(s) < 2000000);
	places_drop(s->places, b, 7000);
	assert_true(places_trim(s->places, 7000));
	assert_false(places_trim(s->places, 7000 + PLACES_MS));
	assert_int_equal(memory(s), 0);
	/* And can be taken again. */
	assert_int_equal(places_take(s->places), b);
	assert_non_null(places_room(s->places, b, 0, 1));
}

static void no_more_than_a_bound_is_kept(void **state)
{
	struct setup *s = *state;
	int a = places_take(s->places), b = places_take(s->places);

	assert_non_null(places_room(s->places, a, 0, PLACE));
	assert_non_null(places_room(s->places, b, 0, PLACE));
	assert_true(memory(s) > PLACES_KEEP);
	places_drop(s->places, a, 0);
	places_drop(s->places, b, 0);
	assert_true(memory(s) <= PLACES_KEEP);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_place_is_used_by_one_and_the_last_one_first),
		TEST(only_what_was_handed_over_comes_back),
		TEST(parts_lie_one_behind_the_other),
		TEST(memory_that_lies_unused_is_given_back),
		TEST(no_more_than_a_bound_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
