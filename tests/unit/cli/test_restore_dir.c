#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "cli/restore_dir.h"
#include "shared/file.h"

static char dir[64], config[96];

static int make_dir(void **state)
{
	(void)state;
	/* What shells take for a pattern is a name like any other. */
	strcpy(dir, "/tmp/test_restore_[d]ir.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(config, sizeof(config), "%s/config.yaml", dir);
	return 0;
}

static int remove_dir(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static void put(const char *parent, const char *name)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", parent, name);
	assert_int_equal(file_write_atomic(path, "x", 1, 0600), RC_OK);
}

/* As after a kill: nobody holds it, and all is in it. */
static void let_go(struct restore_dir *d)
{
	assert_int_equal(close(d->hold), 0);
	d->hold = -1;
}

static void what_a_killed_restore_left_is_found_and_removed(void **state)
{
	struct restore_dir first, second;
	char left[PATH_MAX], sub[PATH_MAX + 64];
	struct stat st;

	(void)state;
	assert_false(restore_dir_left(config, left));
	assert_int_equal(restore_dir_make(config, &first), RC_OK);
	assert_int_equal(stat(first.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	snprintf(sub, sizeof(sub), "%s/audit", first.path);
	assert_int_equal(mkdir(sub, 0700), 0);
	put(sub, "audit.jsonl");
	put(first.path, "cp_ed25519.pem");
	let_go(&first);
	assert_true(restore_dir_left(config, left));
	assert_string_equal(left, first.path);
	assert_int_equal(restore_dir_make(config, &second), RC_OK);
	assert_int_equal(access(first.path, F_OK), -1);
	restore_dir_remove(&second);
	assert_int_equal(access(second.path, F_OK), -1);
}

static void one_that_is_worked_in_stays(void **state)
{
	struct restore_dir first, second;
	char left[PATH_MAX];

	(void)state;
	assert_int_equal(restore_dir_make(config, &first), RC_OK);
	put(first.path, "state.db");
	assert_false(restore_dir_left(config, left));
	assert_int_equal(restore_dir_make(config, &second), RC_OK);
	assert_int_equal(access(first.path, F_OK), 0);
	restore_dir_remove(&second);
	restore_dir_remove(&first);
	restore_dir_remove(&first); /* is as good */
}

static void what_is_called_otherwise_is_not_ours(void **state)
{
	static const char *const names[] = {".restore-unfinished", ".restore-ab", "restore-abcdef"};
	struct restore_dir d;
	char path[PATH_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	put(dir, ".restore-filexx");
	assert_false(restore_dir_left(config, path));
	assert_int_equal(restore_dir_make(config, &d), RC_OK);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		assert_int_equal(access(path, F_OK), 0);
	}
	restore_dir_remove(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_a_killed_restore_left_is_found_and_removed, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(one_that_is_worked_in_stays, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			what_is_called_otherwise_is_not_ours, make_dir, remove_dir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
