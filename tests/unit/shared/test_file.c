#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/file.h"

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_file.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static const char *in_dir(const char *name)
{
	static char paths[4][128];
	static unsigned turn;
	char *path = paths[turn++ % 4];

	snprintf(path, 128, "%s/%s", dir, name);
	return path;
}

static int count_files(void)
{
	DIR *d = opendir(dir);
	int n = -2; /* . and .. */

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void content_is(const char *path, const char *expected)
{
	char *data;
	size_t len;

	assert_int_equal(file_read(path, 100, &data, &len), RC_OK);
	assert_int_equal(len, strlen(expected));
	assert_string_equal(data, expected);
	free(data);
}

static void writes_and_replaces(void **state)
{
	struct stat st;

	(void)state;
	umask(077);
	assert_int_equal(file_write_atomic(in_dir("a"), "one", 3, 0640), RC_OK);
	content_is(in_dir("a"), "one");
	assert_int_equal(stat(in_dir("a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640); /* whatever the umask */
	assert_int_equal(file_write_atomic(in_dir("a"), "", 0, 0600), RC_OK);
	content_is(in_dir("a"), "");
	assert_int_equal(count_files(), 1);
}

static void new_files_are_never_replaced(void **state)
{
	(void)state;
	assert_int_equal(file_write_new(in_dir("n"), "one", 3, 0600), RC_OK);
	assert_int_equal(file_write_new(in_dir("n"), "two", 3, 0600), RC_CONFLICT);
	content_is(in_dir("n"), "one");
	assert_int_equal(count_files(), 1);
	assert_int_equal(symlink("/nonexistent", in_dir("link")), 0);
	assert_int_equal(file_write_new(in_dir("link"), "two", 3, 0600), RC_CONFLICT);
}

static void a_failed_write_leaves_nothing(void **state)
{
	(void)state;
	assert_int_equal(file_write_atomic(in_dir("missing/a"), "x", 1, 0600), RC_UNAVAILABLE);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(mkdir(in_dir("d"), 0700), 0);
	assert_int_equal(file_write_atomic(in_dir("d"), "x", 1, 0600), RC_UNAVAILABLE);
	assert_int_equal(errno, EISDIR);
	assert_int_equal(count_files(), 1);
}

static void reads_within_a_bound(void **state)
{
	char *data = NULL;
	size_t len = 42;
	char *big = malloc(100000);

	(void)state;
	memset(big, 'x', 100000);
	assert_int_equal(file_write_atomic(in_dir("big"), big, 100000, 0600), RC_OK);
	assert_int_equal(file_read(in_dir("big"), 99999, &data, &len), RC_LIMIT);
	assert_null(data);
	assert_int_equal(len, 42);
	assert_int_equal(file_read(in_dir("big"), 100000, &data, &len), RC_OK);
	assert_int_equal(len, 100000);
	assert_memory_equal(data, big, len);
	assert_int_equal(data[len], '\0');
	free(data);
	free(big);
	assert_int_equal(file_read(in_dir("none"), 10, &data, &len), RC_NOTFOUND);
	assert_int_equal(file_read(dir, 10, &data, &len), RC_UNAVAILABLE);
	assert_int_equal(errno, EISDIR);
}

/* What has no size beforehand: it comes in pieces, and more of it than the first one holds. */
static void reads_what_has_no_size(void **state)
{
	static char sent[10000];
	char path[32];
	char *data;
	size_t len;
	int fds[2];

	(void)state;
	memset(sent, 'p', sizeof(sent));
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], sent, sizeof(sent)), sizeof(sent));
	close(fds[1]);
	snprintf(path, sizeof(path), "/dev/fd/%d", fds[0]);
	assert_int_equal(file_read(path, sizeof(sent), &data, &len), RC_OK);
	close(fds[0]);
	assert_int_equal(len, sizeof(sent));
	assert_memory_equal(data, sent, len);
	free(data);
	assert_int_equal(file_read("/dev/zero", 5000, &data, &len), RC_LIMIT);
}

static void sweeps_its_own_leftovers(void **state)
{
	(void)state;
	assert_int_equal(file_write_atomic(in_dir("key"), "k", 1, 0600), RC_OK);
	assert_int_equal(file_write_atomic(in_dir("key.tmp.abc123"), "x", 1, 0600), RC_OK);
	assert_int_equal(file_write_atomic(in_dir("key.tmp.abc12"), "x", 1, 0600), RC_OK);
	assert_int_equal(file_write_atomic(in_dir("other.tmp.abc123"), "x", 1, 0600), RC_OK);
	file_sweep(in_dir("key"));
	assert_int_equal(access(in_dir("key"), F_OK), 0);
	assert_int_equal(access(in_dir("key.tmp.abc123"), F_OK), -1);
	assert_int_equal(access(in_dir("key.tmp.abc12"), F_OK), 0);
	assert_int_equal(access(in_dir("other.tmp.abc123"), F_OK), 0);
}

static void directories(void **state)
{
	struct stat st;
	char out[PATH_MAX];

	(void)state;
	umask(077);
	assert_int_equal(file_make_dirs(in_dir("x//y/z/"), 0750), RC_OK);
	assert_int_equal(stat(in_dir("x/y/z"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(chmod(in_dir("x"), 0711), 0);
	assert_int_equal(file_make_dirs(in_dir("x/y"), 0700), RC_OK);
	assert_int_equal(stat(in_dir("x"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711); /* what exists stays as it is */
	assert_int_equal(file_make_dirs("/", 0700), RC_OK);
	assert_int_equal(file_write_atomic(in_dir("file"), "", 0, 0600), RC_OK);
	assert_int_equal(file_make_dirs(in_dir("file/below"), 0700), RC_UNAVAILABLE);
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(file_make_dirs(in_dir("file"), 0700), RC_UNAVAILABLE);
	assert_int_equal(file_make_dirs("/proc/none", 0700), RC_UNAVAILABLE);
	assert_true(file_dir("/a/b", out));
	assert_string_equal(out, "/a");
	assert_true(file_dir("/a", out));
	assert_string_equal(out, "/");
	assert_true(file_dir("a", out));
	assert_string_equal(out, ".");
}

static void a_lock_that_must_be_there_is_not_made(void **state)
{
	int lock, other;

	(void)state;
	errno = 0;
	assert_int_equal(file_lock_existing(in_dir("lock")), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(count_files(), 0);
	close(file_lock(in_dir("lock")));
	lock = file_lock_existing(in_dir("lock"));
	assert_true(lock >= 0);
	other = open(in_dir("lock"), O_RDWR);
	assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1);
	close(other);
	close(lock);
}

static void one_directory_under_two_names_is_one(void **state)
{
	(void)state;
	assert_int_equal(mkdir(in_dir("a"), 0700), 0);
	assert_int_equal(mkdir(in_dir("b"), 0700), 0);
	assert_int_equal(symlink(in_dir("a"), in_dir("c")), 0);
	assert_true(file_same_dir(in_dir("a/x"), in_dir("a/y")));
	assert_true(file_same_dir(in_dir("a/x"), in_dir("c/y")));
	assert_false(file_same_dir(in_dir("a/x"), in_dir("b/x")));
	assert_false(file_same_dir(in_dir("none/x"), in_dir("none/x")));
}

static void locks(void **state)
{
	int mine = file_lock(in_dir("lock"));
	int other;

	(void)state;
	assert_true(mine >= 0);
	other = open(in_dir("lock"), O_RDWR);
	assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	close(mine);
	assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
	close(other);
	assert_int_equal(file_lock(in_dir("none/lock")), -1);
}

static void a_claim_is_one_openers_and_can_be_asked_for(void **state)
{
	int mine, other;

	(void)state;
	mine = open(in_dir("log"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	other = open(in_dir("log"), O_RDWR | O_CLOEXEC);
	assert_false(file_claimed(other));
	assert_true(file_claim(mine));
	assert_true(file_claimed(other));
	assert_false(file_claimed(mine)); /* by somebody else */
	assert_false(file_claim(other));
	close(open(in_dir("log"), O_RDONLY | O_CLOEXEC)); /* another one's end ends nothing */
	assert_true(file_claimed(other));
	close(mine);
	assert_false(file_claimed(other));
	assert_true(file_claim(other));
	close(other);
}

static void reads_at_a_place_all_or_nothing(void **state)
{
	char bytes[8] = "........";
	int fd;

	(void)state;
	assert_int_equal(file_write_new(in_dir("at"), "0123456789", 10, 0600), RC_OK);
	fd = open(in_dir("at"), O_RDONLY);
	assert_true(fd >= 0);
	assert_true(file_read_at(fd, bytes, 4, 6));
	assert_memory_equal(bytes, "6789....", 8);
	assert_true(file_read_at(fd, bytes, 0, 99));
	errno = 0;
	assert_false(file_read_at(fd, bytes, 5, 6));
	assert_int_equal(errno, EIO);
	assert_int_equal(close(fd), 0);
	assert_false(file_read_at(fd, bytes, 1, 0));
	assert_int_equal(errno, EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(writes_and_replaces, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(new_files_are_never_replaced, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			a_failed_write_leaves_nothing, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(reads_within_a_bound, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			reads_at_a_place_all_or_nothing, make_dir, remove_dir),
		cmocka_unit_test(reads_what_has_no_size),
		cmocka_unit_test_setup_teardown(sweeps_its_own_leftovers, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(directories, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			a_claim_is_one_openers_and_can_be_asked_for, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(locks, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			a_lock_that_must_be_there_is_not_made, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			one_directory_under_two_names_is_one, make_dir, remove_dir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
