#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/sidecar.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define TIMES "\"created_at\":1000,\"expires_at\":2000"

static enum rc clean(const char *text, struct buf *out)
{
	char id[SIDECAR_ID_MAX + 1] = "";
	int64_t expires = 0;
	enum rc rc = sidecar_clean(text, strlen(text), "t_a", "w_a", "s_a", out, id, &expires);

	if (rc == RC_OK) {
		assert_string_equal(id, "snap_abc");
		assert_int_equal(expires, 2000);
	} else {
		assert_string_equal(id, "");
		assert_int_equal(out->len, 0);
	}
	return rc;
}

static void keeps_known_members_only(void **state)
{
	static const char from[] =
		"{\"rows\":[[\"raw@example.com\"]],\"snapshot_id\":\"snap_abc\"," TIMES
		",\"engine\":\"sqlite\",\"subject_digest\":\"0af3\",\"bytes\":77,\"tenant_id\":\"t_"
		"other\","
		"\"tables\":[{\"name\":\"users\",\"rows\":3,\"sample\":\"x\",\"masked_columns\":["
		"\"email\",\"na\\\"me\"],"
		"\"excluded_columns\":[]},{\"name\":\"orders\"}]}";
	static const char want[] = "{\"snapshot_id\":\"snap_abc\",\"tenant_id\":\"t_a\",\"worker_"
				   "id\":\"w_a\",\"session_id\":\"s_a\","
				   "\"engine\":\"sqlite\",\"subject_digest\":\"0af3\",\"created_"
				   "at\":1000,\"expires_at\":2000,\"bytes\":77,"
				   "\"tables\":[{\"name\":\"users\",\"rows\":3,\"masked_columns\":["
				   "\"email\",\"na\\\"me\"],"
				   "\"excluded_columns\":[]},{\"name\":\"orders\",\"masked_"
				   "columns\":[],\"excluded_columns\":[]}]}";
	struct buf out;

	(void)state;
	buf_init(&out, 100000);
	assert_int_equal(clean(from, &out), RC_OK);
	assert_int_equal(out.len, strlen(want));
	assert_memory_equal(out.data, want, out.len);
	buf_free(&out);
}

static void refuses_mistyped_members(void **state)
{
	static const char id[] = "{\"snapshot_id\":\"snap_abc\"," TIMES;
	static const char *const rest[] = {",\"engine\":1}", ",\"engine\":\"a b\"}",
		",\"engine\":\"a\",\"engine\":\"a\"}", ",\"subject_digest\":\"Mr X\"}",
		",\"bytes\":-1}", ",\"bytes\":\"1\"}", ",\"tables\":{}}", ",\"tables\":[1]}",
		",\"tables\":[{}]}", ",\"tables\":[{\"name\":1}]}",
		",\"tables\":[{\"name\":\"\"}]}", ",\"tables\":[{\"name\":\"a\\nb\"}]}",
		",\"tables\":[{\"name\":\"a\",\"rows\":1.5}]}",
		",\"tables\":[{\"name\":\"a\",\"masked_columns\":\"x\"}]}",
		",\"tables\":[{\"name\":\"a\",\"masked_columns\":[1]}]}",
		",\"tables\":[{\"name\":\"a\",\"excluded_columns\":[{}]}]}", ",\"expires_at\":1}",
		""};
	static const char *const whole[] = {"", "[]", "{}", "{\"snapshot_id\":\"snap_abc\"}",
		"{\"snapshot_id\":\"../x\"," TIMES "}", "{\"snapshot_id\":\"snap_ABC\"," TIMES "}",
		"{\"snapshot_id\":1," TIMES "}",
		"{\"snapshot_id\":\"snap_abc\",\"created_at\":3000,\"expires_at\":2000}",
		"{\"snapshot_id\":\"snap_abc\",\"created_at\":1,\"expires_at\":99999999999999}",
		"{\"snapshot_id\":\"snap_abc\",\"created_at\":0,\"expires_at\":2000}"};
	char text[500];
	struct buf out;

	(void)state;
	buf_init(&out, 100000);
	for (size_t i = 0; i < COUNT(rest); i++) {
		(void)snprintf(text, sizeof(text), "%s%s", id, rest[i]);
		if (clean(text, &out) != RC_INVALID)
			fail_msg("accepted: %s", text);
	}
	for (size_t i = 0; i < COUNT(whole); i++)
		if (clean(whole[i], &out) != RC_INVALID)
			fail_msg("accepted: %s", whole[i]);
	(void)snprintf(text, sizeof(text), "%s,\"tables\":[{\"name\":\"%0128d\"}]}", id, 1);
	assert_int_equal(clean(text, &out), RC_INVALID);
	buf_free(&out);
}

static void a_long_sidecar_is_refused(void **state)
{
	static const char start[] = "{\"snapshot_id\":\"snap_abc\"," TIMES "}";
	char *text = malloc(SIDECAR_MAX + 2);
	struct buf out;

	(void)state;
	memset(text, ' ', SIDECAR_MAX + 1);
	memcpy(text, start, sizeof(start) - 1);
	text[SIDECAR_MAX] = '\0';
	buf_init(&out, 100000);
	assert_int_equal(clean(text, &out), RC_OK);
	buf_reset(&out);
	text[SIDECAR_MAX] = ' ';
	text[SIDECAR_MAX + 1] = '\0';
	assert_int_equal(clean(text, &out), RC_INVALID);
	buf_free(&out);
	free(text);
}

static void ids_make_safe_file_names(void **state)
{
	(void)state;
	assert_true(sidecar_id_ok("snap_a"));
	assert_true(sidecar_id_ok("snap_mfrggzdfmztwq2lk"));
	assert_false(sidecar_id_ok("snap_"));
	assert_false(sidecar_id_ok("snap"));
	assert_false(sidecar_id_ok("snap_a/b"));
	assert_false(sidecar_id_ok("snap_a.b"));
	assert_false(sidecar_id_ok("snap_A"));
	assert_false(sidecar_id_ok("snap_189"));
	assert_false(sidecar_id_ok("x_abc"));
	assert_true(
		sidecar_id_ok("snap_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
	assert_false(
		sidecar_id_ok("snap_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static int make_dir(void **state)
{
	char *dir = strdup("/tmp/test_sidecar.XXXXXX");

	*state = dir;
	return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
	char path[200];

	(void)sidecar_sweep(*state, INT64_MAX);
	(void)snprintf(path, sizeof(path), "%s/t_a/stray.json", (char *)*state);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/t_a", (char *)*state);
	(void)rmdir(path);
	(void)snprintf(path, sizeof(path), "%s/t_b", (char *)*state);
	(void)rmdir(path);
	assert_int_equal(rmdir(*state), 0);
	free(*state);
	return 0;
}

static void put(const char *dir, const char *tenant, const char *id, int created, int expires)
{
	char text[200];

	(void)snprintf(text, sizeof(text), "{\"id\":\"%s\",\"created_at\":%d,\"expires_at\":%d}",
		id, created, expires);
	assert_int_equal(sidecar_write(dir, tenant, id, text, strlen(text)), RC_OK);
}

static int count_of(const char *dir, const char *tenant, int64_t now)
{
	char next[SIDECAR_ID_MAX + 1];
	struct buf out;
	int count = 0;

	buf_init(&out, 100000);
	assert_int_equal(sidecar_list(dir, tenant, "", 1000, now, &out, next), RC_OK);
	assert_string_equal(next, "");
	for (size_t i = 0; i < out.len; i++)
		count += out.data[i] == '{';
	buf_free(&out);
	return count;
}

static void lists_newest_first_in_pages(void **state)
{
	const char *dir = *state;
	char next[SIDECAR_ID_MAX + 1], again[SIDECAR_ID_MAX + 1];
	struct buf out;

	buf_init(&out, 100000);
	assert_int_equal(sidecar_list(dir, "t_a", "", 2, 50, &out, next), RC_OK);
	assert_memory_equal(out.data, "[]", out.len);
	put(dir, "t_a", "snap_a", 10, 100);
	put(dir, "t_a", "snap_b", 30, 100);
	put(dir, "t_a", "snap_c", 20, 100);
	put(dir, "t_a", "snap_d", 20, 100);
	put(dir, "t_a", "snap_e", 40, 50); /* expired */
	put(dir, "t_b", "snap_f", 40, 100);
	buf_reset(&out);
	assert_int_equal(sidecar_list(dir, "t_a", "", 2, 50, &out, next), RC_OK);
	buf_char(&out, '\0');
	assert_string_equal((char *)out.data,
		"[{\"id\":\"snap_b\",\"created_at\":30,\"expires_at\":100},"
		"{\"id\":\"snap_d\",\"created_at\":20,\"expires_at\":100}]");
	assert_string_equal(next, "0000000000020.snap_d");
	/* The cursor stays good when its sidecar goes. */
	assert_int_equal(sidecar_remove(dir, "t_a", "snap_d"), RC_OK);
	buf_reset(&out);
	assert_int_equal(sidecar_list(dir, "t_a", next, 2, 50, &out, again), RC_OK);
	buf_char(&out, '\0');
	assert_string_equal((char *)out.data,
		"[{\"id\":\"snap_c\",\"created_at\":20,\"expires_at\":100},"
		"{\"id\":\"snap_a\",\"created_at\":10,\"expires_at\":100}]");
	assert_string_equal(again, "");
	buf_reset(&out);
	assert_int_equal(sidecar_list(dir, "t_a", "junk", 2, 50, &out, again), RC_INVALID);
	assert_int_equal(sidecar_list(dir, "../t_a", "", 2, 50, &out, again), RC_INVALID);
	buf_free(&out);
}

static void writes_and_removes_private_files(void **state)
{
	const char *dir = *state;
	char path[200];
	struct stat st;

	put(dir, "t_a", "snap_a", 10, 100);
	put(dir, "t_a", "snap_a", 11, 100);
	assert_int_equal(count_of(dir, "t_a", 50), 1);
	(void)snprintf(path, sizeof(path), "%s/t_a/snap_a.json", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	(void)snprintf(path, sizeof(path), "%s/t_a", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(sidecar_write(dir, "..", "snap_a", "{}", 2), RC_INVALID);
	assert_int_equal(sidecar_write(dir, "t_a", "snap_../x", "{}", 2), RC_INVALID);
	assert_int_equal(sidecar_remove(dir, "t_a", "../snap_a"), RC_INVALID);
	assert_int_equal(sidecar_remove(dir, "t_a", "snap_zz"), RC_NOTFOUND);
	assert_int_equal(sidecar_remove(dir, "t_a", "snap_a"), RC_OK);
	assert_int_equal(count_of(dir, "t_a", 50), 0);
}

static void sweeps_what_has_expired(void **state)
{
	const char *dir = *state;
	char path[200];
	FILE *f;

	put(dir, "t_a", "snap_a", 10, 100);
	put(dir, "t_a", "snap_b", 10, 200);
	put(dir, "t_b", "snap_c", 10, 100);
	(void)snprintf(path, sizeof(path), "%s/t_a/stray.json", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fclose(f);
	assert_int_equal(sidecar_sweep(dir, 99), 0);
	assert_int_equal(sidecar_sweep(dir, 100), 2);
	assert_int_equal(count_of(dir, "t_a", 100), 1);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(sidecar_sweep("/nonexistent", 100), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_known_members_only),
		cmocka_unit_test(refuses_mistyped_members),
		cmocka_unit_test(a_long_sidecar_is_refused),
		cmocka_unit_test(ids_make_safe_file_names),
		cmocka_unit_test_setup_teardown(lists_newest_first_in_pages, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(
			writes_and_removes_private_files, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(sweeps_what_has_expired, make_dir, drop_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
