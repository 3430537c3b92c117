/* The files of a log at one moment: what belongs to it, how much of the current one, and what
 * happens to a file that goes while others read it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/audit_files.h"
#include "shared/audit_form.h"
#include "shared/audit_segments.h"
#include "shared/file.h"
#include "shared/mem.h"

#define OLD "one\ntwo\n"
#define NEW "three\nfour\n"

static char dir[64], log_path[96], closed[PATH_MAX];

static int setup(void **state)
{
	(void)state;
	memcpy(dir, "/tmp/test_files.XXXXXX", sizeof("/tmp/test_files.XXXXXX"));
	assert_non_null(mkdtemp(dir));
	(void)snprintf(log_path, sizeof(log_path), "%s/audit.jsonl", dir);
	return audit_segment_path(log_path, 1, 2, closed) == RC_OK ? 0 : -1;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command); /* NOLINT(cert-env33-c): a path of our own */
}

static void put(const char *path, const char *text)
{
	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600), RC_OK);
}

/* All lines of one of them, with a blank behind each. */
static void expect_lines(const struct audit_files *f, size_t i, const char *want)
{
	struct audit_reader *in = audit_files_reader(f, i);
	char got[256] = "";
	const char *line;
	size_t len, at = 0;
	enum rc rc;

	while ((rc = audit_reader_line(in, &line, &len)) == RC_OK)
		at += (size_t)snprintf(got + at, sizeof(got) - at, "%.*s ", (int)len, line);
	assert_int_equal(rc, RC_NOTFOUND);
	assert_false(audit_reader_torn(in));
	audit_reader_close(in);
	assert_string_equal(got, want);
}

static void a_log_that_is_not_there(void **state)
{
	struct audit_files f;

	(void)state;
	assert_int_equal(audit_files_open(log_path, &f), RC_NOTFOUND);
	assert_int_equal(errno, ENOENT);
	audit_files_close(&f);
	assert_int_equal(audit_files_open("/none/audit.jsonl", &f), RC_UNAVAILABLE);
	audit_files_close(&f);
}

static void closed_files_and_the_current_one(void **state)
{
	struct audit_files f;

	(void)state;
	put(closed, OLD);
	assert_int_equal(audit_files_open(log_path, &f), RC_OK);
	assert_int_equal(f.count, 1);
	assert_false(f.current);
	audit_files_close(&f);

	put(log_path, NEW);
	assert_int_equal(audit_files_open(log_path, &f), RC_OK);
	assert_int_equal(f.count, 2);
	assert_true(f.current && !f.written && !f.torn);
	assert_string_equal(f.file[0].path, closed);
	assert_string_equal(f.file[1].path, log_path);
	assert_int_equal(f.file[0].first, 1);
	assert_int_equal(f.file[1].first, 3);
	expect_lines(&f, 0, "one two ");
	expect_lines(&f, 1, "three four ");
	expect_lines(&f, 0, "one two "); /* once more, from the beginning */
	audit_files_close(&f);
}

/* link() first, rename() then: in between one file has both names. */
static void a_file_with_both_names_is_one(void **state)
{
	struct audit_files f;

	(void)state;
	put(log_path, OLD);
	assert_int_equal(link(log_path, closed), 0);
	assert_int_equal(audit_files_open(log_path, &f), RC_OK);
	assert_int_equal(f.count, 1);
	assert_true(f.current);
	assert_int_equal(f.file[0].first, 1);
	expect_lines(&f, 0, "one two ");
	audit_files_close(&f);
}

static void what_is_open_stays_what_it_was(void **state)
{
	struct audit_files f;
	int fd;

	(void)state;
	put(closed, OLD);
	put(log_path, NEW);
	assert_int_equal(audit_files_open(log_path, &f), RC_OK);
	fd = open(log_path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(fd, "five\n", 5), 5);
	close(fd);
	assert_int_equal(unlink(closed), 0);
	put(log_path, "six\n");
	expect_lines(&f, 0, "one two ");
	expect_lines(&f, 1, "three four ");
	audit_files_close(&f);
}

/* A writer that is at work is about to write the rest. */
static void a_begun_line_is_torn_when_nobody_writes(void **state)
{
	struct audit_files f;
	int writer;

	(void)state;
	put(log_path, NEW "fi");
	assert_int_equal(audit_files_open(log_path, &f), RC_OK);
	assert_true(f.torn && !f.written);
	expect_lines(&f, 0, "three four ");
	audit_files_close(&f);

	writer = open(log_path, O_RDWR | O_CLOEXEC);
	assert_true(file_claim(writer));
	assert_int_equal(audit_files_open(log_path, &f), RC_OK);
	assert_true(!f.torn && f.written);
	expect_lines(&f, 0, "three four ");
	audit_files_close(&f);
	close(writer);
}

static void what_is_longer_than_any_line_is_not_hidden(void **state)
{
	size_t len = (size_t)3 * AUDIT_LINE_MAX;
	char *text = xmalloc(len + 1);
	struct audit_reader *in;
	struct audit_files f;
	const char *line;

	(void)state;
	memset(text, 'x', len);
	text[len] = '\0';
	put(log_path, text);
	free(text);
	assert_int_equal(audit_files_open(log_path, &f), RC_OK);
	in = audit_files_reader(&f, 0);
	assert_int_equal(audit_reader_line(in, &line, &len), RC_LIMIT);
	audit_reader_close(in);
	audit_files_close(&f);
}

#define MANY 200

static void more_files_than_a_process_may_open_by_default(void **state)
{
	struct rlimit before, low;
	struct audit_files f;
	char path[PATH_MAX];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(audit_segment_path(log_path, i + 1, i + 1, path), RC_OK);
		put(path, "a\n");
	}
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = MANY / 2;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(audit_files_open(log_path, &f), RC_OK);
	assert_int_equal(f.count, MANY);
	expect_lines(&f, MANY - 1, "a ");
	audit_files_close(&f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_log_that_is_not_there, setup, teardown),
		cmocka_unit_test_setup_teardown(closed_files_and_the_current_one, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_with_both_names_is_one, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_open_stays_what_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_begun_line_is_torn_when_nobody_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_is_longer_than_any_line_is_not_hidden, setup, teardown),
		cmocka_unit_test_setup_teardown(
			more_files_than_a_process_may_open_by_default, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
