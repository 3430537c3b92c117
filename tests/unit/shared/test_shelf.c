#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/shelf.h"

#define PLACE ((size_t)65536)

struct both {
	struct shelf *reader, *writer;
	int fd;
};

static int setup(void **state)
{
	static struct both b;

	assert_int_equal(shelf_make(4, PLACE, &b.reader, &b.fd), RC_OK);
	assert_int_equal(shelf_open(b.fd, 4, PLACE, &b.writer), RC_OK);
	*state = &b;
	return 0;
}

static int teardown(void **state)
{
	struct both *b = *state;

	shelf_drop(b->reader);
	shelf_drop(b->writer);
	(void)close(b->fd);
	return 0;
}

static void what_is_written_is_read(void **state)
{
	struct both *b = *state;

	assert_int_equal(shelf_places(b->writer), 4);
	assert_int_equal(shelf_place_len(b->writer), PLACE);
	for (uint32_t i = 0; i < 4; i++) {
		assert_true(shelf_fill(b->writer, i, 0, PLACE));
		memset(shelf_at(b->writer, i), 'a' + (int)i, PLACE);
	}
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(shelf_at(b->reader, i)[0], 'a' + (int)i);
		assert_int_equal(shelf_at(b->reader, i)[PLACE - 1], 'a' + (int)i);
	}
}

static void memory_is_taken_when_it_is_filled_and_given_back(void **state)
{
	struct both *b = *state;
	struct stat st;

	assert_int_equal(fstat(b->fd, &st), 0);
	assert_int_equal(st.st_blocks, 0);
	assert_true(shelf_fill(b->writer, 1, 0, PLACE / 2));
	memset(shelf_at(b->writer, 1), 'x', PLACE / 2);
	assert_int_equal(fstat(b->fd, &st), 0);
	assert_int_equal(st.st_blocks, PLACE / 2 / 512);
	shelf_empty(b->writer, 1, PLACE / 2);
	assert_int_equal(fstat(b->fd, &st), 0);
	assert_int_equal(st.st_blocks, 0);
	assert_int_equal(shelf_at(b->reader, 1)[0], 0);
}

static void nobody_makes_it_smaller(void **state)
{
	const struct both *b = *state;

	assert_int_equal(ftruncate(b->fd, 0), -1);
	assert_int_equal(ftruncate(b->fd, (off_t)(8 * PLACE)), -1);
	assert_int_equal(fcntl(b->fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
}

static void only_what_is_as_said_is_taken(void **state)
{
	const struct both *b = *state;
	struct shelf *s = NULL;
	int fd;

	assert_int_equal(shelf_open(b->fd, 5, PLACE, &s), RC_INVALID);
	assert_int_equal(shelf_open(b->fd, 4, PLACE / 2, &s), RC_INVALID);
	assert_int_equal(shelf_open(b->fd, 4, PLACE - 1, &s), RC_INVALID);
	assert_int_equal(shelf_open(b->fd, 0, PLACE, &s), RC_INVALID);
	assert_int_equal(shelf_open(b->fd, UINT32_MAX, PLACE, &s), RC_INVALID);
	assert_int_equal(shelf_open(-1, 4, PLACE, &s), RC_INVALID);
	/* One that could be cut off under our feet. */
	fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, (off_t)(4 * PLACE)), 0);
	assert_int_equal(shelf_open(fd, 4, PLACE, &s), RC_INVALID);
	(void)close(fd);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(shelf_open(fd, 4, PLACE, &s), RC_INVALID);
	(void)close(fd);
	assert_null(s);
	assert_int_equal(shelf_make(4, PLACE + 1, &s, &fd), RC_INVALID);
}

static void it_lasts_as_long_as_somebody_holds_it(void **state)
{
	struct both *b = *state;
	struct shelf *again = shelf_hold(b->reader);

	assert_true(shelf_fill(b->writer, 0, 0, PLACE));
	shelf_at(b->writer, 0)[0] = 'x';
	shelf_drop(b->reader);
	assert_int_equal(shelf_at(again, 0)[0], 'x');
	shelf_drop(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_is_read),
		TEST(memory_is_taken_when_it_is_filled_and_given_back),
		TEST(nobody_makes_it_smaller),
		TEST(only_what_is_as_said_is_taken),
		TEST(it_lasts_as_long_as_somebody_holds_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
