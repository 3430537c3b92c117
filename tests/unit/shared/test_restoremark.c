#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/file.h"
#include "shared/restoremark.h"

#define DIGEST "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static char dir[64], config[96], mark[96];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_restoremark.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(config, sizeof(config), "%s/config.yaml", dir);
	snprintf(mark, sizeof(mark), "%s/.restore-unfinished", dir);
	return 0;
}

static int remove_dir(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void a_mark_says_of_which_backup_it_is(void **state)
{
	struct restoremark m;
	struct stat st;
	char *text;
	size_t len;

	(void)state;
	assert_false(restoremark_find(config, &m));
	assert_int_equal(restoremark_lay(config, DIGEST, "/backup/a  b.tar"), RC_OK);
	assert_int_equal(file_read(mark, 1000, &text, &len), RC_OK);
	assert_string_equal(text, DIGEST "  /backup/a  b.tar\n");
	free(text);
	assert_int_equal(stat(mark, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(restoremark_find(config, &m));
	assert_string_equal(m.path, mark);
	assert_string_equal(m.digest, DIGEST);
	assert_string_equal(m.backup, "/backup/a  b.tar");
}

static void it_is_written_anew_and_removed(void **state)
{
	struct restoremark m;
	char left[160];

	(void)state;
	assert_int_equal(restoremark_remove(config), RC_OK);
	assert_int_equal(restoremark_lay(config, DIGEST, "/a"), RC_OK);
	/* As a writer leaves it that was killed. */
	snprintf(left, sizeof(left), "%s.tmp.abcdef", mark);
	assert_int_equal(file_write_atomic(left, "x", 1, 0600), RC_OK);
	assert_int_equal(restoremark_lay(config, DIGEST, "/b"), RC_OK);
	assert_int_equal(access(left, F_OK), -1);
	assert_true(restoremark_find(config, &m));
	assert_string_equal(m.backup, "/b");
	assert_int_equal(restoremark_remove(config), RC_OK);
	assert_false(restoremark_find(config, &m));
}

/* Whatever is in it: that it is there is what counts. */
static void a_mark_that_can_not_be_read_is_a_mark(void **state)
{
	static const char long_path[PATH_MAX] = {0};
	static const struct {
		const char *text;
		size_t len;
	} cases[] = {
		{"", 0},
		{"\n", 1},
		{DIGEST, 64},
		{DIGEST "  ", 66},
		{DIGEST "  \n", 67},
		{DIGEST " /backup/a.tar\n", 79},
		{"E" DIGEST "  /a\n", 70},
		{DIGEST "  /a\0b\n", 71},
		{long_path, sizeof(long_path)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct restoremark m = {.digest = "x", .backup = "x"};

		assert_int_equal(file_write_atomic(mark, cases[i].text, cases[i].len, 0600), RC_OK);
		assert_true(restoremark_find(config, &m));
		assert_string_equal(m.path, mark);
		assert_string_equal(m.digest, "");
		assert_string_equal(m.backup, "");
	}
	assert_int_equal(unlink(mark), 0);
	assert_int_equal(mkdir(mark, 0700), 0);
	struct restoremark m;
	assert_true(restoremark_find(config, &m));
	assert_string_equal(m.backup, "");
}

static void a_path_of_the_longest_kind_fits(void **state)
{
	char backup[PATH_MAX];
	struct restoremark m;

	(void)state;
	memset(backup, 'b', sizeof(backup) - 1);
	backup[0] = '/';
	backup[sizeof(backup) - 1] = '\0';
	assert_int_equal(restoremark_lay(config, DIGEST, backup), RC_OK);
	assert_true(restoremark_find(config, &m));
	assert_string_equal(m.backup, backup);
}

static void where_none_can_be_written_it_says_why(void **state)
{
	char missing[160];

	(void)state;
	snprintf(missing, sizeof(missing), "%s/missing/config.yaml", dir);
	assert_int_equal(restoremark_lay(missing, DIGEST, "/a"), RC_UNAVAILABLE);
	assert_int_equal(errno, ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_mark_says_of_which_backup_it_is, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			it_is_written_anew_and_removed, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			a_mark_that_can_not_be_read_is_a_mark, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			a_path_of_the_longest_kind_fits, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			where_none_can_be_written_it_says_why, make_dir, remove_dir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
