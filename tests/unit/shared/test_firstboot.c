#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/config_internal.h"
#include "shared/file.h"
#include "shared/firstboot.h"
#include "shared/log.h"
#include "shared/restoremark.h"
#include "shared/store.h"

#define KILLS 50
#define RACES 10

static char dir[64];
static char quiet[] = "/dev/null";

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_firstboot.XXXXXX");
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
	static char paths[4][160];
	static unsigned turn;
	char *path = paths[turn++ % 4];

	snprintf(path, 160, "%s/%s", dir, name);
	return path;
}

/* A configuration whose state is in dir. extra is one more variable or NULL. */
static void make_config(struct config *c, const char *demo, const char *extra)
{
	char text[600];
	char demo_var[64];
	char snapshots[160];
	char extra_var[320] = "";
	char *env[] = {"AIRLOCK_CP_OPERATOR_TOKEN=0123456789abcdef",
		"AIRLOCK_CP_PUBLIC_URL=https://cp.example.com", demo_var, snapshots,
		extra ? extra_var : NULL, NULL};
	struct config_error err;
	struct buf warnings;

	memset(c, 0, sizeof(*c));
	snprintf(extra_var, sizeof(extra_var), "%s", extra ? extra : "");
	snprintf(demo_var, sizeof(demo_var), "AIRLOCK_DEMO_TENANT_REGISTER=%s", demo);
	snprintf(snapshots, sizeof(snapshots), "AIRLOCK_CP_SNAPSHOT_DIR=%s/state/snapshots", dir);
	snprintf(text, sizeof(text),
		"server:\n  cp_private_key_path: %s/state/cp_ed25519.pem\n  audit_log_path: "
		"%s/state/audit.jsonl\n"
		"  run_dir: %s/run\n",
		dir, dir, dir);
	buf_init(&warnings, 1000);
	assert_int_equal(config_load_env(c, env, &warnings, &err), RC_OK);
	assert_int_equal(config_load_yaml(c, "config.yaml", text, strlen(text), &err), RC_OK);
	config_derive(c);
	buf_free(&warnings);
}

static void mode_is(const char *name, unsigned mode)
{
	struct stat st;

	assert_int_equal(stat(in_dir(name), &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
}

/* Everything is there, and nothing else but SQLite's own companions of the database. */
static void assert_complete(void)
{
	DIR *d = opendir(in_dir("state"));
	struct dirent *entry;
	int files = 0;

	assert_non_null(d);
	while ((entry = readdir(d))) {
		if (strncmp(entry->d_name, "state.db-", 9) == 0 ||
			strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (strstr(entry->d_name, ".tmp."))
			fail_msg("%s was left behind", entry->d_name);
		files++;
	}
	closedir(d);
	assert_int_equal(files, 5);
	mode_is("state/cp_ed25519.pem", 0600);
	mode_is("state/audit.jsonl", 0640);
	mode_is("state/state.db", 0600);
	mode_is("state/snapshots", 0700);
	mode_is("state/.boot.lock", 0600);
	mode_is("run", 0750);
}

static enum rc demo_tenant(const struct config *c)
{
	struct db *db;
	struct tenant t;
	enum rc rc;

	assert_int_equal(db_open(c->state_path, &db), RC_OK);
	rc = tenant_get(db, "t_fintech", &t);
	db_close(db);
	return rc;
}

static void a_new_volume_is_filled(void **state)
{
	struct config c;
	struct crypto_identity first;
	struct crypto_identity again;

	(void)state;
	make_config(&c, "true", NULL);
	firstboot(&c, &first);
	assert_complete();
	mode_is("state", 0700);
	assert_int_equal(demo_tenant(&c), RC_OK);
	firstboot(&c, &again);
	assert_complete();
	assert_memory_equal(&first, &again, sizeof(first));
	config_clear(&c);
}

static void demo_tenants_only_when_asked_for(void **state)
{
	struct config c;
	struct crypto_identity id;

	(void)state;
	make_config(&c, "false", NULL);
	firstboot(&c, &id);
	assert_int_equal(demo_tenant(&c), RC_NOTFOUND);
	config_clear(&c);
}

static void what_is_there_stays(void **state)
{
	struct config c;
	struct crypto_identity id;
	char *text;
	size_t len;

	(void)state;
	assert_int_equal(mkdir(in_dir("state"), 0711), 0);
	assert_int_equal(file_write_atomic(in_dir("state/audit.jsonl"), "{}\n", 3, 0600), RC_OK);
	make_config(&c, "true", NULL);
	firstboot(&c, &id);
	assert_int_equal(file_read(in_dir("state/audit.jsonl"), 10, &text, &len), RC_OK);
	assert_string_equal(text, "{}\n");
	free(text);
	mode_is("state/audit.jsonl", 0600);
	mode_is("state", 0711);
	config_clear(&c);
}

/* Boots in a child and gives its pid; it waits for start (-1: at once) and writes its public key
 * into report. */
static pid_t boot(const struct config *c, int start, int report)
{
	struct crypto_identity id;
	char byte;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	log_init("test", open(quiet, O_WRONLY), LOG_FORMAT_TEXT);
	if (start >= 0 && read(start, &byte, 1) != 0)
		_exit(3);
	firstboot(c, &id);
	if (report >= 0 &&
		write(report, id.public_key, sizeof(id.public_key)) != sizeof(id.public_key))
		_exit(4);
	_exit(0);
}

static int status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void two_daemons_boot_at_once(void **state)
{
	(void)state;
	for (int round = 0; round < RACES; round++) {
		struct config c;
		int start[2];
		int report[2];
		pid_t pids[2];
		uint8_t keys[2][CRYPTO_PUBLIC_LEN];

		make_dir(NULL);
		make_config(&c, "true", NULL);
		assert_int_equal(pipe2(start, O_CLOEXEC), 0);
		assert_int_equal(pipe2(report, O_CLOEXEC), 0);
		for (int i = 0; i < 2; i++) {
			pids[i] = fork();
			if (pids[i] == 0) {
				close(start[1]); /* or the end of the file would never come */
				waitpid(boot(&c, start[0], report[1]), &i, 0);
				_exit(WIFEXITED(i) ? WEXITSTATUS(i) : 5);
			}
		}
		close(start[0]);
		close(start[1]); /* off they go */
		for (int i = 0; i < 2; i++) {
			assert_int_equal(status_of(pids[i]), 0);
			assert_int_equal(
				read(report[0], keys[i], sizeof(keys[i])), sizeof(keys[i]));
		}
		assert_memory_equal(keys[0], keys[1], sizeof(keys[0]));
		assert_complete();
		close(report[0]);
		close(report[1]);
		config_clear(&c);
		remove_dir(NULL);
	}
}

static int64_t boot_time_us(void)
{
	struct config c;
	int64_t start;

	make_dir(NULL);
	make_config(&c, "true", NULL);
	start = clock_mono_us();
	assert_int_equal(status_of(boot(&c, -1, -1)), 0);
	config_clear(&c);
	remove_dir(NULL);
	return clock_mono_us() - start;
}

/* Kills a boot at a random instant of its life, then boots again: all is complete, and a key once
 * made is kept. */
static void a_boot_may_be_killed_at_any_instant(void **state)
{
	int64_t longest = boot_time_us();
	int killed = 0;

	(void)state;
	srandom(4711);
	for (int round = 0; round < KILLS; round++) {
		struct config c;
		struct crypto_identity kept;
		struct crypto_identity id;
		enum rc had_key;
		int64_t life_us = random() % 1000 * longest / 1000;
		struct timespec life = {life_us / 1000000, life_us % 1000000 * 1000};
		pid_t pid;

		make_dir(NULL);
		make_config(&c, "true", NULL);
		pid = boot(&c, -1, -1);
		nanosleep(&life, NULL);
		kill(pid, SIGKILL);
		if (WIFSIGNALED(status_of(pid)))
			killed++;
		had_key = crypto_identity_load(c.cp_private_key_path, &kept);
		assert_true(had_key == RC_OK || had_key == RC_NOTFOUND); /* never half a key */
		assert_int_equal(status_of(boot(&c, -1, -1)), 0);
		assert_complete();
		assert_int_equal(crypto_identity_load(c.cp_private_key_path, &id), RC_OK);
		if (had_key == RC_OK)
			assert_memory_equal(&id, &kept, sizeof(id));
		assert_int_equal(demo_tenant(&c), RC_OK);
		config_clear(&c);
		remove_dir(NULL);
	}
	assert_true(killed > 0);
}

static void dies_rather_than_half_boot(void **state)
{
	struct config c;
	struct crypto_identity id;

	(void)state;
	make_config(&c, "true", NULL);
	/* The state directory's name is taken by a file. */
	assert_int_equal(file_write_atomic(in_dir("state"), "", 0, 0600), RC_OK);
	assert_int_equal(WEXITSTATUS(status_of(boot(&c, -1, -1))), 1);
	assert_int_equal(unlink(in_dir("state")), 0);
	/* The key lies open, or is none. */
	firstboot(&c, &id);
	assert_int_equal(chmod(in_dir("state/cp_ed25519.pem"), 0644), 0);
	assert_int_equal(WEXITSTATUS(status_of(boot(&c, -1, -1))), 1);
	assert_int_equal(file_write_atomic(in_dir("state/cp_ed25519.pem"), "x", 1, 0600), RC_OK);
	assert_int_equal(WEXITSTATUS(status_of(boot(&c, -1, -1))), 1);
	config_clear(&c);
}

/* Does it wait for an flock()? Such a one is in /proc/locks with an arrow. */
static bool waits_for_lock(pid_t pid)
{
	char line[256], want[32];
	FILE *f = fopen("/proc/locks", "r");
	bool found = false;

	assert_non_null(f);
	snprintf(want, sizeof(want), " %d ", (int)pid);
	while (!found && fgets(line, sizeof(line), f))
		found = strstr(line, "-> FLOCK") && strstr(line, want);
	fclose(f);
	return found;
}

/* Says with its status how it ended: 0 for RC_OK, 1 for die(). */
static int seed(const char *path)
{
	pid_t pid = fork();

	if (pid == 0) {
		log_init("test", open(quiet, O_WRONLY), LOG_FORMAT_TEXT);
		_exit(firstboot_config(path) == RC_OK ? 0 : 2);
	}
	return WEXITSTATUS(status_of(pid));
}

static void nothing_is_made_or_read_where_a_restore_is_unfinished(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(mkdir(in_dir("etc"), 0700), 0);
	assert_int_equal(restoremark_lay(in_dir("etc/config.yaml"), "0", "/b.tar"), RC_OK);
	assert_int_equal(seed(in_dir("etc/config.yaml")), 1);
	assert_int_equal(access(in_dir("etc/config.yaml"), F_OK), -1);
	/* The same where the file is there, with and without a lock. */
	assert_int_equal(file_write_atomic(in_dir("etc/config.yaml"), "", 0, 0600), RC_OK);
	assert_int_equal(seed(in_dir("etc/config.yaml")), 1);
	assert_int_equal(unlink(in_dir("etc/.boot.lock")), 0);
	assert_int_equal(seed(in_dir("etc/config.yaml")), 1);
	assert_int_equal(restoremark_remove(in_dir("etc/config.yaml")), RC_OK);
	assert_int_equal(seed(in_dir("etc/config.yaml")), 0);
	assert_int_equal(access(in_dir("etc/.boot.lock"), F_OK), -1);

	make_config(&c, "true", NULL);
	assert_int_equal(mkdir(in_dir("state"), 0700), 0);
	assert_int_equal(restoremark_lay(c.audit_log_path, "0", "/b.tar"), RC_OK);
	assert_int_equal(WEXITSTATUS(status_of(boot(&c, -1, -1))), 1);
	assert_int_equal(access(c.state_path, F_OK), -1);
	assert_int_equal(access(c.cp_private_key_path, F_OK), -1);
	assert_int_equal(access(in_dir("run"), F_OK), -1);
	config_clear(&c);
}

/* A daemon that is started while a restore is at work waits for its end. */
static void who_comes_while_the_lock_is_held_looks_when_it_is_free(void **state)
{
	char config[160];
	int lock, status;
	pid_t pid;

	(void)state;
	strcpy(config, in_dir("config.yaml"));
	assert_int_equal(file_write_atomic(config, "", 0, 0600), RC_OK);
	lock = firstboot_lock(config);
	assert_true(lock >= 0);
	assert_int_equal(restoremark_lay(config, "0", "/b.tar"), RC_OK);
	pid = fork();
	if (pid == 0) {
		close(lock); /* the parent's alone holds it */
		_exit(firstboot_config(config) == RC_OK ? 0 : 2);
	}
	/* Once it sleeps in flock() it can see no more what is done until then. */
	while (!waits_for_lock(pid))
		assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_int_equal(restoremark_remove(config), RC_OK);
	assert_int_equal(close(lock), 0);
	assert_int_equal(WEXITSTATUS(status_of(pid)), 0);
}

static void a_bad_state_file_stops_the_boot(void **state)
{
	char var[160];
	struct config c;
	struct crypto_identity id;

	(void)state;
	snprintf(var, sizeof(var), "AIRLOCK_CP_STATE_PATH=%s", in_dir("state/state.yaml"));
	make_config(&c, "true", var);
	firstboot(&c, &id); /* no such file: nothing to import */
	assert_int_equal(demo_tenant(&c), RC_OK);
	config_clear(&c);
	remove_dir(NULL);
	make_dir(NULL);
	snprintf(var, sizeof(var), "AIRLOCK_CP_STATE_PATH=%s", in_dir("state/state.yaml"));
	make_config(&c, "true", var);
	assert_int_equal(mkdir(in_dir("state"), 0700), 0);
	assert_int_equal(
		file_write_atomic(in_dir("state/state.yaml"), "tenants: [", 10, 0600), RC_OK);
	assert_int_equal(WEXITSTATUS(status_of(boot(&c, -1, -1))), 1);
	config_clear(&c);
}

static int init(void **state)
{
	(void)state;
	crypto_init();
	log_init("test", open(quiet, O_WRONLY), LOG_FORMAT_TEXT);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_new_volume_is_filled, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			demo_tenants_only_when_asked_for, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(what_is_there_stays, make_dir, remove_dir),
		cmocka_unit_test(two_daemons_boot_at_once),
		cmocka_unit_test(a_boot_may_be_killed_at_any_instant),
		cmocka_unit_test_setup_teardown(
			nothing_is_made_or_read_where_a_restore_is_unfinished, make_dir,
			remove_dir),
		cmocka_unit_test_setup_teardown(
			who_comes_while_the_lock_is_held_looks_when_it_is_free, make_dir,
			remove_dir),
		cmocka_unit_test_setup_teardown(dies_rather_than_half_boot, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			a_bad_state_file_stops_the_boot, make_dir, remove_dir),
	};
	return cmocka_run_group_tests(tests, init, NULL);
}
