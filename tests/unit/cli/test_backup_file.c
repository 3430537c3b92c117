#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/backup_file.h"
#include "shared/crypto.h"
#include "shared/file.h"

static char dir[64], path[128], out[96];

static int setup(void **state)
{
	(void)state;
	crypto_init();
	memcpy(dir, "/tmp/test_backup.XXXXXX", sizeof("/tmp/test_backup.XXXXXX"));
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/b.tar", dir);
	(void)snprintf(out, sizeof(out), "%s/out", dir);
	return 0;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command); /* NOLINT(cert-env33-c): a path of our own */
}

/* A tar as somebody else would make it. */
struct member {
	const char *name, *text;
	const char *link; /* a symbolic link to there instead */
};

static void forge(const struct member *m, size_t count)
{
	struct archive *a = archive_write_new();

	assert_int_equal(archive_write_set_format_pax_restricted(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
	for (size_t i = 0; i < count; i++) {
		struct archive_entry *e = archive_entry_new();

		archive_entry_set_pathname(e, m[i].name);
		archive_entry_set_perm(e, 0644);
		archive_entry_set_filetype(e, m[i].link ? AE_IFLNK : AE_IFREG);
		if (m[i].link)
			archive_entry_set_symlink(e, m[i].link);
		else
			archive_entry_set_size(e, (la_int64_t)strlen(m[i].text));
		assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
		if (!m[i].link)
			(void)archive_write_data(a, m[i].text, strlen(m[i].text));
		archive_entry_free(e);
	}
	assert_int_equal(archive_write_free(a), ARCHIVE_OK);
}

static void assert_refused(const char *says)
{
	json_t *manifest = NULL;
	char why[512] = "";

	assert_int_not_equal(backup_read(path, out, &manifest, why, sizeof(why)), RC_OK);
	assert_null(manifest);
	if (!strstr(why, says))
		fail_msg("'%s' is not in '%s'", says, why);
}

#define REFUSED(says, ...)                               \
	do {                                             \
		const struct member m[] = {__VA_ARGS__}; \
		forge(m, sizeof(m) / sizeof(m[0]));      \
		assert_refused(says);                    \
	} while (0)

/* SHA-256 of "hello". */
#define HELLO "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define FILES(...) "{\"files\":[" __VA_ARGS__ "]}"
#define ONE(name) "{\"name\":\"" name "\",\"size\":5,\"sha256\":\"" HELLO "\"}"

static void what_is_written_reads_back(void **state)
{
	json_t *facts = json_pack("{s:s}", "kind", "test"), *back = NULL;
	struct backup_out *o;
	const char *temporary;
	char why[512], *text, member[128];
	struct stat st;
	size_t len;
	int fd;

	(void)state;
	for (int i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/b.tar%s", dir, i ? ".zst" : "");
		(void)snprintf(out, sizeof(out), "%s/out%d", dir, i);
		assert_int_equal(backup_out_open(path, &o), RC_OK);
		backup_out_bytes(o, "a/b/c.txt", "hello", 5);
		backup_out_bytes(o, "empty", "", 0);
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		assert_int_equal(fstat(fd, &st), 0);
		backup_out_file(o, "program", fd, st.st_size);
		(void)close(fd);
		assert_int_equal(backup_out_end(o, facts, &temporary), RC_OK);
		assert_int_not_equal(access(path, F_OK), 0);
		assert_int_equal(backup_out_publish(o), RC_OK);
		backup_out_free(o);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		assert_int_equal(backup_read(path, out, &back, why, sizeof(why)), RC_OK);
		assert_true(json_equal(facts, back));
		json_decref(back);
		(void)snprintf(member, sizeof(member), "%s/a/b/c.txt", out);
		assert_int_equal(file_read(member, 100, &text, &len), RC_OK);
		assert_string_equal(text, "hello");
		free(text);
	}
	json_decref(facts);
}

static void nothing_is_left_of_a_backup_that_was_not_finished(void **state)
{
	struct backup_out *o;
	char command[160];

	(void)state;
	assert_int_equal(backup_out_open(path, &o), RC_OK);
	backup_out_bytes(o, "a", "hello", 5);
	backup_out_free(o);
	(void)snprintf(command, sizeof(command), "test -z \"$(ls -A %s)\"", dir);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a path of our own */
}

static void a_file_that_is_there_is_not_written_over(void **state)
{
	json_t *facts = json_object();
	struct backup_out *o;
	const char *temporary;
	char *text;
	size_t len;

	(void)state;
	assert_int_equal(backup_out_open(path, &o), RC_OK);
	assert_int_equal(file_write_atomic(path, "mine", 4, 0600), RC_OK);
	assert_int_equal(backup_out_end(o, facts, &temporary), RC_OK);
	assert_int_equal(backup_out_publish(o), RC_CONFLICT);
	backup_out_free(o);
	json_decref(facts);
	assert_int_equal(backup_out_open(path, &o), RC_CONFLICT);
	assert_int_equal(file_read(path, 100, &text, &len), RC_OK);
	assert_string_equal(text, "mine");
	free(text);
}

static void a_member_that_shrinks_meanwhile_is_an_error(void **state)
{
	json_t *facts = json_object();
	struct backup_out *o;
	const char *temporary;
	int fd = memfd_create("x", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(write(fd, "hello", 5), 5);
	assert_int_equal(backup_out_open(path, &o), RC_OK);
	backup_out_file(o, "a", fd, 50);
	assert_int_equal(backup_out_end(o, facts, &temporary), RC_UNAVAILABLE);
	backup_out_free(o);
	json_decref(facts);
	(void)close(fd);
}

static void names_are_plain_and_stay_inside(void **state)
{
	static const char *const good[] = {
		"a", "state.db", "audit/audit-1-2.jsonl.zst", "snapshots/t_x/snap_abc.json"};
	static const char *const bad[] = {"", "/etc/passwd", "../x", "a/../b", "a//b", "a/",
		".hidden", "a/.hidden", "./a", "a b", "a\nb", "caf\xc3\xa9"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(backup_name_ok(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(backup_name_ok(bad[i]));
}

static void a_forged_backup_is_refused(void **state)
{
	(void)state;
	REFUSED("no backup of ours has such a member", {"../out/x", "hello", NULL});
	REFUSED("no backup of ours has such a member", {"/tmp/x", "hello", NULL});
	REFUSED("no backup of ours has such a member", {"a", NULL, "/etc"});
	REFUSED("it is there twice", {"a", "hello", NULL}, {"a", "hello", NULL});
	(void)remove(path);
	REFUSED("it is missing", {"b", "hello", NULL});
	REFUSED("no manifest", {"c", "hello", NULL}, {"manifest.json", "[]", NULL});
	REFUSED("no manifest", {"d", "hello", NULL}, {"manifest.json", "{}", NULL});
	REFUSED("does not name it", {"e", "hello", NULL}, {"manifest.json", FILES(), NULL});
	REFUSED("it is missing", {"f", "hello", NULL},
		{"manifest.json", FILES(ONE("f") "," ONE("g")), NULL});
	REFUSED("not what was backed up", {"h", "hellO", NULL},
		{"manifest.json", FILES(ONE("h")), NULL});
	REFUSED("behind the manifest", {"i", "hello", NULL},
		{"manifest.json", FILES(ONE("i")), NULL}, {"j", "hello", NULL});
}

static void what_is_no_tar_is_refused(void **state)
{
	(void)state;
	assert_refused("can't be read");
	assert_int_equal(file_write_atomic(path, "this is no tar at all", 21, 0600), RC_OK);
	assert_refused("no backup");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_reads_back),
		TEST(nothing_is_left_of_a_backup_that_was_not_finished),
		TEST(a_file_that_is_there_is_not_written_over),
		TEST(a_member_that_shrinks_meanwhile_is_an_error),
		TEST(names_are_plain_and_stay_inside),
		TEST(a_forged_backup_is_refused),
		TEST(what_is_no_tar_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
