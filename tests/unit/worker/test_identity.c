/* What a worker keeps on disk, how it reads a URL and the control plane's enrollment answer, and
 * when it dials again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/backoff.h"
#include "worker/endpoint.h"
#include "worker/enroll.h"
#include "worker/identity.h"
#include "worker/secretenv.h"

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof dir, "/tmp/test_identity.XXXXXX");
	return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
	static const char *const names[] = {"worker_ed25519.pem", "worker_ed25519.pem.new",
		"mask.key", "enrollment.json", "lock"};
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir); /* fails when something was left that should not be */
}

static unsigned mode_of(const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static void write_file(const char *name, const char *text, unsigned mode)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void keys_are_staged_then_committed(void **state)
{
	struct identity_error err;
	struct crypto_identity first, second, loaded;

	(void)state;
	assert_int_equal(identity_load_key(dir, &loaded, &err), RC_NOTFOUND);
	assert_int_equal(identity_stage_key(dir, &first, &err), RC_OK);
	assert_int_equal(identity_load_key(dir, &loaded, &err), RC_NOTFOUND);
	assert_int_equal(identity_commit_key(dir, &err), RC_OK);
	assert_int_equal(identity_load_key(dir, &loaded, &err), RC_OK);
	assert_memory_equal(loaded.public_key, first.public_key, CRYPTO_PUBLIC_LEN);
	assert_int_equal(mode_of("worker_ed25519.pem"), 0600);

	/* A second one, staged twice as after a kill: the first stays until the commit. */
	assert_int_equal(identity_stage_key(dir, &second, &err), RC_OK);
	assert_int_equal(identity_stage_key(dir, &second, &err), RC_OK);
	assert_int_equal(identity_load_key(dir, &loaded, &err), RC_OK);
	assert_memory_equal(loaded.public_key, first.public_key, CRYPTO_PUBLIC_LEN);
	assert_int_equal(identity_commit_key(dir, &err), RC_OK);
	assert_int_equal(identity_load_key(dir, &loaded, &err), RC_OK);
	assert_memory_equal(loaded.public_key, second.public_key, CRYPTO_PUBLIC_LEN);
	assert_int_equal(mode_of("worker_ed25519.pem.new"), 0);
}

static void a_key_that_others_can_read_is_refused(void **state)
{
	struct identity_error err;
	struct crypto_identity id;
	char path[128];

	(void)state;
	assert_int_equal(identity_stage_key(dir, &id, &err), RC_OK);
	assert_int_equal(identity_commit_key(dir, &err), RC_OK);
	snprintf(path, sizeof path, "%s/worker_ed25519.pem", dir);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(identity_load_key(dir, &id, &err), RC_DENIED);
	assert_non_null(strstr(err.text, "chmod 600"));
	write_file("worker_ed25519.pem", "no key\n", 0600);
	assert_int_equal(identity_load_key(dir, &id, &err), RC_INVALID);
}

static void the_masking_secret_is_made_once(void **state)
{
	struct identity_error err;
	uint8_t a[IDENTITY_MASK_LEN] = {0}, b[IDENTITY_MASK_LEN], zero[IDENTITY_MASK_LEN] = {0};

	(void)state;
	assert_int_equal(identity_mask_secret(dir, a, &err), RC_OK);
	assert_memory_not_equal(a, zero, sizeof a);
	assert_int_equal(mode_of("mask.key"), 0600);
	assert_int_equal(identity_mask_secret(dir, b, &err), RC_OK);
	assert_memory_equal(a, b, sizeof a);
	write_file("mask.key", "short", 0600);
	assert_int_equal(identity_mask_secret(dir, b, &err), RC_INVALID);
	write_file("mask.key", "0123456789abcdef0123456789abcdef", 0644);
	assert_int_equal(identity_mask_secret(dir, b, &err), RC_DENIED);
}

/* Two workers of a tenant have the same secret from one file, in either form; two tenants have not.
 */
static void a_tenants_workers_share_a_secret(void **state)
{
	struct identity_error err;
	uint8_t a[IDENTITY_MASK_LEN], b[IDENTITY_MASK_LEN];
	char path[512], print[IDENTITY_PRINT_LEN + 1], other[IDENTITY_PRINT_LEN + 1];

	(void)state;
	snprintf(path, sizeof path, "%s/shared.key", dir);
	assert_int_equal(identity_shared_secret(path, "t_a", a, &err), RC_NOTFOUND);
	assert_non_null(strstr(err.text, "openssl rand"));
	write_file("shared.key", "0123456789abcdef0123456789abcdef", 0640);
	assert_int_equal(identity_shared_secret(path, "t_a", a, &err), RC_OK);
	write_file("shared.key",
		"3031323334353637383961626364656630313233343536373839616263646566\n", 0600);
	assert_int_equal(identity_shared_secret(path, "t_a", b, &err), RC_OK);
	assert_memory_equal(a, b, sizeof a);
	identity_secret_print(a, print);
	assert_int_equal(identity_shared_secret(path, "t_b", b, &err), RC_OK);
	assert_memory_not_equal(a, b, sizeof a);
	identity_secret_print(b, other);
	assert_string_not_equal(print, other);
	write_file("shared.key", "too short\n", 0600);
	assert_int_equal(identity_shared_secret(path, "t_a", b, &err), RC_INVALID);
	write_file("shared.key", "0123456789abcdef0123456789abcdef", 0644);
	assert_int_equal(identity_shared_secret(path, "t_a", b, &err), RC_DENIED);
	assert_int_equal(unlink(path), 0);
}

static void one_process_at_a_time(void **state)
{
	struct identity_error err;
	int fd, status;

	(void)state;
	assert_int_equal(identity_open_dir(dir, &fd, &err), RC_OK);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int other;
		_exit(identity_open_dir(dir, &other, &err) == RC_CONFLICT ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fd);
	assert_int_equal(identity_open_dir(dir, &fd, &err), RC_OK);
	close(fd);
}

static struct enrolled sample(void)
{
	struct enrolled e = {.worker_id = "w_abc",
		.tenant_id = "t_acme",
		.tenant_slug = "acme",
		.tunnel_url = "wss://cp.example.com/v1/tunnel",
		.url = "https://cp.example.com"};

	for (size_t i = 0; i < CRYPTO_PUBLIC_LEN; i++) {
		e.cp_key[i] = (uint8_t)i;
		e.public_key[i] = (uint8_t)(255 - i);
	}
	return e;
}

static void enrollment_survives_the_disk(void **state)
{
	struct identity_error err;
	struct enrolled e = sample(), back;

	(void)state;
	assert_int_equal(identity_load_enrolled(dir, &back, &err), RC_NOTFOUND);
	assert_int_equal(identity_save_enrolled(dir, &e, &err), RC_OK);
	assert_int_equal(mode_of("enrollment.json"), 0600);
	assert_int_equal(identity_load_enrolled(dir, &back, &err), RC_OK);
	assert_memory_equal(&e, &back, sizeof e);
	write_file("enrollment.json", "{\"worker_id\":\"w_abc\"", 0600);
	assert_int_equal(identity_load_enrolled(dir, &back, &err), RC_INVALID);
}

static void every_member_of_enrollment_is_needed(void **state)
{
	static const char *const names[] = {"\"worker_id\"", "\"tenant_id\"", "\"tenant_slug\"",
		"\"cp_public_key\"", "\"public_key\"", "\"tunnel_url\"", "\"url\""};
	struct enrolled e = sample(), back;
	struct buf text;

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		buf_init(&text, 65536);
		identity_enrolled_json(&e, &text);
		buf_char(&text, '\0');
		assert_int_equal(
			identity_enrolled_parse((char *)text.data, text.len - 1, &back), RC_OK);
		char *at = strstr((char *)text.data, names[i]);
		assert_non_null(at);
		at[1] = 'X';
		assert_int_equal(identity_enrolled_parse((char *)text.data, text.len - 1, &back),
			RC_INVALID);
		buf_free(&text);
	}
}

static void urls(void **state)
{
	static const struct {
		const char *url, *host, *authority, *path;
		int port;
		bool tls, websocket, safe;
	} good[] = {
		{"https://cp.example.com", "cp.example.com", "cp.example.com", "/", 443, true,
			false, true},
		{"wss://cp.example.com/v1/tunnel", "cp.example.com", "cp.example.com", "/v1/tunnel",
			443, true, true, true},
		{"ws://127.0.0.1:8080/v1/tunnel/", "127.0.0.1", "127.0.0.1:8080", "/v1/tunnel",
			8080, false, true, true},
		{"http://localhost:80/", "localhost", "localhost:80", "/", 80, false, false, true},
		{"ws://[::1]:9/x", "::1", "[::1]:9", "/x", 9, false, true, true},
		{"ws://10.0.0.5/v1/tunnel", "10.0.0.5", "10.0.0.5", "/v1/tunnel", 80, false, true,
			false},
		{"http://cp.example.com", "cp.example.com", "cp.example.com", "/", 80, false, false,
			false},
	};
	static const char *const bad[] = {"", "cp.example.com", "ftp://x", "https://", "https:///x",
		"https://:80/", "https://u:p@cp.example.com", "https://cp.example.com:0",
		"https://cp.example.com:65536",
		"https://cp.example.com:", "https://cp.example.com:8x", "https://[::1",
		"https://[::1]x", "https://cp.example.com/?a", "https://cp.example.com/#a",
		"https://cp example.com", "https://cp.example.com/\r\nX: y",
		"https://cp.example.com/\xc3\xa4"};
	struct endpoint e;
	char why[128];

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(endpoint_parse(good[i].url, &e, why, sizeof why), RC_OK);
		assert_string_equal(e.host, good[i].host);
		assert_string_equal(e.authority, good[i].authority);
		assert_string_equal(e.path, good[i].path);
		assert_int_equal(e.port, good[i].port);
		assert_int_equal(e.tls, good[i].tls);
		assert_int_equal(e.websocket, good[i].websocket);
		assert_int_equal(endpoint_safe(&e), good[i].safe);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		why[0] = '\0';
		assert_int_equal(endpoint_parse(bad[i], &e, why, sizeof why), RC_INVALID);
		assert_true(why[0] != '\0');
	}
}

#define CP_KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static void enrollment_answers(void **state)
{
	static const char good[] =
		"{\"worker_id\":\"w_1\",\"tenant_id\":\"t_a\",\"tenant_slug\":\"a\",\"cp_public_"
		"key\":\"" CP_KEY "\",\"tunnel_url\":\"wss://cp/v1/tunnel\",\"later\":[1]}";
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		/* a key that is too short, no key, a tunnel that is none, a member that is missing,
		   one that is too long */
		"{\"worker_id\":\"w_1\",\"tenant_id\":\"t_a\",\"tenant_slug\":\"a\",\"cp_public_"
		"key\":\"AAEC\",\"tunnel_url\":\"wss://cp/x\"}",
		"{\"worker_id\":\"w_1\",\"tenant_id\":\"t_a\",\"tenant_slug\":\"a\",\"cp_public_"
		"key\":7,\"tunnel_url\":\"wss://cp/x\"}",
		"{\"worker_id\":\"w_1\",\"tenant_id\":\"t_a\",\"tenant_slug\":\"a\",\"cp_public_"
		"key\":\"" CP_KEY "\",\"tunnel_url\":\"https://cp/x\"}",
		"{\"tenant_id\":\"t_a\",\"tenant_slug\":\"a\",\"cp_public_key\":\"" CP_KEY
		"\",\"tunnel_url\":\"wss://cp/x\"}",
		"{\"worker_id\":\"w_"
		"0123456789012345678901234567890123456789012345678901234567890123456789012345678901"
		"234567890\","
		"\"tenant_id\":\"t_a\",\"tenant_slug\":\"a\",\"cp_public_key\":\"" CP_KEY
		"\",\"tunnel_url\":\"wss://cp/x\"}",
	};
	struct enrolled e;

	(void)state;
	assert_int_equal(enroll_answer_parse(good, strlen(good), &e), RC_OK);
	assert_string_equal(e.worker_id, "w_1");
	assert_string_equal(e.tenant_slug, "a");
	assert_int_equal(e.cp_key[31], 31);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(enroll_answer_parse(bad[i], strlen(bad[i]), &e), RC_INVALID);
}

static void the_enrollment_request(void **state)
{
	uint8_t key[CRYPTO_PUBLIC_LEN];
	struct buf out;

	(void)state;
	for (size_t i = 0; i < sizeof key; i++)
		key[i] = (uint8_t)i;
	buf_init(&out, 4096);
	enroll_request_json("tok\"en", key, "näme", &out);
	buf_char(&out, '\0');
	assert_string_equal((char *)out.data,
		"{\"token\":\"tok\\\"en\",\"public_key\":\"" CP_KEY "\",\"name\":\"näme\"}");
	buf_free(&out);
}

static void dialing_again(void **state)
{
	struct backoff b = {0};
	int64_t now = 1000000, wait, longest = 0;

	(void)state;
	/* The first try comes within a second, whatever the dice say. */
	assert_in_range(backoff_next(&b, now, UINT32_MAX), 1, 1000);
	/* Within a minute of outage never more than 4 s apart, and not always less than 3. */
	while (now < 1000000 + 59000) {
		wait = backoff_next(&b, now, UINT32_MAX - 1);
		assert_in_range(wait, 1, BACKOFF_SHORT_CAP_MS);
		longest = wait > longest ? wait : longest;
		now += 1000;
	}
	/* After it, up to half a minute. */
	now += 10000;
	longest = 0;
	for (uint32_t dice = 0; dice < 40000; dice += 13) {
		wait = backoff_next(&b, now, dice);
		assert_in_range(wait, 1, BACKOFF_LONG_CAP_MS);
		longest = wait > longest ? wait : longest;
	}
	assert_in_range(longest, 20000, BACKOFF_LONG_CAP_MS);
	/* A good session makes it forget. */
	backoff_reset(&b);
	assert_in_range(backoff_next(&b, now + 3600000, UINT32_MAX), 1, 1000);
	for (uint32_t dice = 0; dice < 20000; dice += 7)
		assert_in_range(backoff_spread(2000, dice), 2000, 4000);
}

static void a_secret_leaves_the_environment(void **state)
{
	(void)state;
	assert_int_equal(setenv("TEST_SECRET", "hunter2", 1), 0);
	const char *inside = getenv("TEST_SECRET");
	char *copy = secretenv_take("TEST_SECRET");
	assert_string_equal(copy, "hunter2");
	assert_null(getenv("TEST_SECRET"));
	assert_memory_equal(inside, "\0\0\0\0\0\0\0", 7);
	free(copy);
	assert_null(secretenv_take("TEST_SECRET"));
	assert_int_equal(setenv("TEST_SECRET", "", 1), 0);
	assert_null(secretenv_take("TEST_SECRET"));
}

#define WITH_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(keys_are_staged_then_committed),
		WITH_DIR(a_key_that_others_can_read_is_refused),
		WITH_DIR(the_masking_secret_is_made_once),
		WITH_DIR(a_tenants_workers_share_a_secret),
		WITH_DIR(one_process_at_a_time),
		WITH_DIR(enrollment_survives_the_disk),
		cmocka_unit_test(every_member_of_enrollment_is_needed),
		cmocka_unit_test(urls),
		cmocka_unit_test(enrollment_answers),
		cmocka_unit_test(the_enrollment_request),
		cmocka_unit_test(dialing_again),
		cmocka_unit_test(a_secret_leaves_the_environment),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
