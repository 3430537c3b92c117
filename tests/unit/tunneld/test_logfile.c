/* The disk here is a model of a kernel's page cache over one: what a failed fdatasync() could not
 * write counts as clean from then on and is not written by the next one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/log.h"
#include "tunneld/logfile.h"

#define PAGE 4096
#define PAGES 4096
#define FILE_MAX ((size_t)PAGE * PAGES)

static struct {
	uint8_t *bytes; /* what a power cut would leave */
	off_t size;
	bool dirty[PAGES];
	int fd;
	int fail_sync, fail_write, fail_truncate; /* so many of the next ones */
	int short_write; /* the next ones write one byte */
	int lie; /* the next syncs say yes and write nothing */
	int syncs;
} disk;

static off_t size_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_size;
}

static void touch(off_t at, size_t len)
{
	for (off_t p = at / PAGE; len > 0 && p <= (at + (off_t)len - 1) / PAGE; p++)
		disk.dirty[p] = true;
}

/* These stand in for libc's in the whole program. */
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	if (fd != disk.fd)
		return syscall(SYS_pwrite64, fd, bytes, len, at);
	if (disk.fail_write > 0 && disk.fail_write-- > 0) {
		errno = EIO;
		return -1;
	}
	if (disk.short_write > 0 && disk.short_write-- > 0)
		len = 1;
	touch(at, len);
	return syscall(SYS_pwrite64, fd, bytes, len, at);
}

int ftruncate(int fd, off_t size)
{
	if (fd == disk.fd) {
		if (disk.fail_truncate > 0 && disk.fail_truncate-- > 0) {
			errno = EIO;
			return -1;
		}
		if (size % PAGE)
			touch(size, 1);
	}
	return (int)syscall(SYS_ftruncate, fd, size);
}

int fdatasync(int fd)
{
	bool ok, lie;

	if (fd != disk.fd)
		return (int)syscall(SYS_fdatasync, fd);
	ok = disk.fail_sync <= 0 || disk.fail_sync-- <= 0;
	lie = disk.lie > 0 && disk.lie-- > 0;
	disk.syncs++;
	for (size_t p = 0; p < PAGES; p++) {
		if (disk.dirty[p] && ok && !lie)
			(void)syscall(SYS_pread64, fd, disk.bytes + p * PAGE, PAGE, p * PAGE);
		disk.dirty[p] = false;
	}
	if (ok)
		disk.size = size_of(fd);
	errno = EIO;
	return ok ? 0 : -1;
}

/* Clean pages go; whoever reads them again gets the disk's. */
int posix_fadvise(int fd, off_t at, off_t len, int advice)
{
	(void)len;
	assert_int_equal(advice, POSIX_FADV_DONTNEED);
	for (size_t p = (size_t)at / PAGE; p < PAGES && (off_t)(p * PAGE) < size_of(fd); p++) {
		size_t n = (size_t)size_of(fd) - p * PAGE;

		if (!disk.dirty[p])
			(void)syscall(SYS_pwrite64, fd, disk.bytes + p * PAGE, n < PAGE ? n : PAGE,
				p * PAGE);
	}
	return 0;
}

struct world {
	struct logfile f;
	uint8_t *accepted; /* all that was appended with success */
	size_t len;
};

static int setup(void **state)
{
	struct world *t = calloc(1, sizeof(*t));

	log_init("test", 2, LOG_FORMAT_TEXT);
	log_set_level(LOG_LEVEL_ERROR + 1);
	memset(&disk, 0, sizeof(disk));
	disk.bytes = calloc(1, FILE_MAX);
	disk.fd = memfd_create("log", 0);
	t->accepted = calloc(1, FILE_MAX);
	assert_true(logfile_init(&t->f, disk.fd, 0));
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct world *t = *state;

	logfile_close(&t->f);
	disk.fd = -1;
	free(disk.bytes);
	free(t->accepted);
	free(t);
	return 0;
}

static bool append(struct world *t, size_t len, bool sync)
{
	static unsigned number;
	uint8_t *at = t->accepted + t->len;

	assert_true(t->len + len < FILE_MAX);
	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)(1 + (number + i) % 255);
	number += 37;
	if (!logfile_append(&t->f, at, len, sync))
		return false;
	t->len += len;
	assert_int_equal(t->f.size, t->len);
	return true;
}

static void assert_on_disk(const struct world *t)
{
	assert_int_equal(t->f.synced, t->len);
	assert_int_equal(disk.size, t->len);
	assert_memory_equal(disk.bytes, t->accepted, t->len);
}

static void a_failed_sync_appends_nothing(void **state)
{
	struct world *t = *state;

	assert_true(append(t, 100, true));
	disk.fail_sync = 1;
	assert_false(append(t, 5000, true));
	assert_int_equal(size_of(disk.fd), 100);
	assert_true(append(t, 50, true));
	assert_on_disk(t);
}

static void a_failed_or_short_write_appends_nothing(void **state)
{
	struct world *t = *state;

	assert_true(append(t, 4000, true));
	disk.short_write = 1;
	assert_true(append(t, 200, true));
	disk.short_write = 1;
	disk.fail_write = 0;
	assert_true(append(t, 9000, true));
	disk.fail_write = 1;
	assert_false(append(t, 9000, true));
	assert_true(append(t, 1, true));
	assert_on_disk(t);
}

/* The heart of it: rows that were taken over without a sync, a sync that fails, and one that then
 * succeeds without having written them. */
static void a_sync_that_failed_once_is_not_believed_the_next_time(void **state)
{
	struct world *t = *state;

	assert_true(append(t, 3000, true));
	assert_true(append(t, 6000, false));
	assert_true(append(t, 100, false));
	disk.fail_sync = 1;
	assert_false(logfile_sync(&t->f));
	assert_true(logfile_sync(&t->f));
	assert_on_disk(t);
}

static void nothing_is_appended_until_the_end_is_certain_again(void **state)
{
	struct world *t = *state;
	int syncs;

	assert_true(append(t, 6000, false));
	disk.fail_sync = 2;
	disk.fail_truncate = 1;
	assert_false(logfile_sync(&t->f));
	assert_false(append(t, 10, false));
	assert_int_equal(t->f.size, 6000);
	assert_true(logfile_sync(&t->f));
	assert_on_disk(t);
	syncs = disk.syncs;
	assert_true(logfile_sync(&t->f)); /* all is certain: the disk is not asked */
	assert_int_equal(disk.syncs, syncs);
}

static void a_disk_that_says_yes_and_reads_back_something_else_is_not_believed(void **state)
{
	struct world *t = *state;

	assert_true(append(t, 6000, false));
	disk.fail_sync = 1;
	assert_false(logfile_sync(&t->f));
	disk.lie = 1;
	assert_false(logfile_sync(&t->f));
	assert_int_equal(errno, EIO);
	assert_true(logfile_sync(&t->f));
	assert_on_disk(t);
}

static void much_without_a_sync_is_synced_after_all(void **state)
{
	struct world *t = *state;

	for (int i = 0; i < 9; i++)
		assert_true(append(t, (size_t)1024 * 1024, false));
	assert_true(disk.syncs > 0);
	assert_true(t->f.kept.len < (size_t)9 * 1024 * 1024);
	assert_true(logfile_sync(&t->f));
	assert_on_disk(t);
}

static void a_probe_leaves_nothing(void **state)
{
	struct world *t = *state;

	assert_true(append(t, 5000, true));
	assert_true(logfile_probe(&t->f, 8192));
	assert_int_equal(size_of(disk.fd), 5000);
	disk.fail_sync = 1;
	assert_false(logfile_probe(&t->f, 8192));
	assert_true(logfile_probe(&t->f, 8192));
	assert_true(append(t, 1, true));
	assert_on_disk(t);
}

static void a_cut_file_goes_on_from_there(void **state)
{
	struct world *t = *state;

	assert_true(append(t, 5000, true));
	assert_true(logfile_cut(&t->f, 4500));
	t->len = 4500;
	disk.fail_sync = 1;
	assert_false(append(t, 10, true));
	assert_true(append(t, 10, true));
	assert_on_disk(t);
}

/* Whatever fails when: what was appended is on the disk once a sync has said so. */
static void a_disk_that_fails_at_random_loses_nothing(void **state)
{
	struct world *t = *state;
	unsigned seed = 4711, good = 0;

	for (int i = 0; i < 4000; i++) {
		seed = seed * 1103515245U + 12345U;
		disk.fail_sync = (seed >> 8) % 5 == 0;
		disk.fail_write = (seed >> 12) % 7 == 0;
		disk.fail_truncate = (seed >> 16) % 3 == 0;
		disk.short_write = (seed >> 20) % 4 == 0;
		if ((seed >> 24) % 4 == 0 ? logfile_sync(&t->f)
					  : append(t, 1 + (seed >> 10) % 3000, (seed >> 5) % 2)) {
			good++;
			if (t->f.synced == t->f.size)
				assert_on_disk(t);
		}
	}
	assert_true(good > 1000);
	disk.fail_sync = disk.fail_write = disk.fail_truncate = 0;
	assert_true(logfile_sync(&t->f));
	assert_on_disk(t);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_failed_sync_appends_nothing),
		TEST(a_failed_or_short_write_appends_nothing),
		TEST(a_sync_that_failed_once_is_not_believed_the_next_time),
		TEST(nothing_is_appended_until_the_end_is_certain_again),
		TEST(a_disk_that_says_yes_and_reads_back_something_else_is_not_believed),
		TEST(much_without_a_sync_is_synced_after_all),
		TEST(a_probe_leaves_nothing),
		TEST(a_cut_file_goes_on_from_there),
		TEST(a_disk_that_fails_at_random_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
