#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "shared/crypto.h"
#include "shared/db.h"
#include "shared/dbmark.h"
#include "shared/mem.h"
#include "shared/store.h"

static char dir[64], path[96];

static int fresh(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/dbmark.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/state.db", dir);
	return 0;
}

static int gone(void **state)
{
	static const char *const suffix[] = {"", "-wal", "-shm"};
	char name[128];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffix[i]);
		unlink(name);
	}
	return rmdir(dir);
}

static struct db *open_db(void)
{
	struct db *db;

	assert_int_equal(db_open(path, &db), RC_OK);
	assert_int_equal(db_migrate(db), RC_OK);
	return db;
}

static void add_tenant(struct db *db, const char *slug)
{
	struct audit_record who;
	struct tenant t;

	audit_init(&who, "");
	assert_int_equal(tenant_create(db, slug, "x", NULL, &who, &t), RC_OK);
}

static void a_commit_anywhere_moves_the_mark(void **state)
{
	struct db *db = open_db(), *other = open_db();
	struct dbmark_watch *w;
	struct dbmark before, after;
	struct tenant t;
	pid_t child;

	(void)state;
	assert_int_equal(dbmark_open(path, &w), RC_OK);
	assert_true(dbmark_read(w, &before));
	assert_int_equal(tenant_get(db, "t_none", &t), RC_NOTFOUND);
	assert_true(dbmark_read(w, &after));
	assert_true(dbmark_equal(&before, &after));

	add_tenant(other, "same-process");
	assert_true(dbmark_read(w, &after));
	assert_false(dbmark_equal(&before, &after));

	before = after;
	child = fork();
	if (child == 0) {
		/* A handle of its own: SQLite's must not cross a fork. */
		add_tenant(open_db(), "other-process");
		_exit(0);
	}
	waitpid(child, NULL, 0);
	assert_true(dbmark_read(w, &after));
	assert_false(dbmark_equal(&before, &after));
	assert_int_equal(tenant_get(db, "t_other-process", &t), RC_OK);

	before = after;
	assert_int_equal(db_begin(db), RC_OK);
	db_rollback(db);
	assert_true(dbmark_read(w, &after));
	assert_true(dbmark_equal(&before, &after));
	db_close(other);
	db_close(db);
	free(w);
}

static void without_a_database_nothing_is_said(void **state)
{
	struct dbmark_watch *w = NULL;
	struct dbmark m;

	(void)state;
	assert_int_equal(dbmark_open(path, &w), RC_UNAVAILABLE);
	assert_false(dbmark_read(NULL, &m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_commit_anywhere_moves_the_mark, fresh, gone),
		cmocka_unit_test_setup_teardown(without_a_database_nothing_is_said, fresh, gone),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
