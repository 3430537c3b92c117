#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "shared/crypto.h"
#include "shared/log.h"
#include "shared/store_sql.h"
#include "tests/unit/shared/store_fixture.h"

#define THREADS 4
#define ROWS_EACH 15
#define HANDLES 2

static int mode_of(const char *path, const char *suffix)
{
	char name[128];
	struct stat st;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	assert_int_equal(stat(name, &st), 0);
	return (int)(st.st_mode & 0777);
}

static void pragma_is(struct db *db, const char *name, const char *expected)
{
	char sql[64];
	sqlite3_stmt *st;

	snprintf(sql, sizeof(sql), "PRAGMA %s", name);
	assert_int_equal(sqlite3_prepare_v2(db->handle, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(st, 0), expected);
	sqlite3_finalize(st);
}

static void files_are_for_the_owner_alone(void **state)
{
	struct fixture *f = fixture_of(state);

	fixture_tenant(f->db, "acme");
	assert_int_equal(mode_of(f->path, ""), 0600);
	assert_int_equal(mode_of(f->path, "-wal"), 0600);
	assert_int_equal(mode_of(f->path, "-shm"), 0600);
}

static void a_handle_is_set_up_for_durability(void **state)
{
	struct fixture *f = fixture_of(state);

	pragma_is(f->db, "journal_mode", "wal");
	pragma_is(f->db, "synchronous", "2");
	pragma_is(f->db, "foreign_keys", "1");
	pragma_is(f->db, "trusted_schema", "0");
	pragma_is(f->db, "busy_timeout", "5000");
	pragma_is(f->db, "integrity_check", "ok");
}

static void every_table_is_strict(void **state)
{
	struct fixture *f = fixture_of(state);
	sqlite3_stmt *st;
	int tables = 0;

	assert_int_equal(sqlite3_prepare_v2(f->db->handle,
				 "SELECT strict FROM pragma_table_list"
				 " WHERE schema = 'main' AND name NOT LIKE 'sqlite_%'",
				 -1, &st, NULL),
		SQLITE_OK);
	for (; sqlite3_step(st) == SQLITE_ROW; tables++)
		assert_int_equal(sqlite3_column_int(st, 0), 1);
	sqlite3_finalize(st);
	assert_true(tables >= 9);
}

static void what_can_not_be_opened_is_told(void **state)
{
	struct fixture *f = fixture_of(state);
	static const char text[] = "This is not a database. It is a text that is long enough to "
				   "be taken for a header of one hundred bytes, but is not.";
	struct db *db = NULL;
	char path[128];
	int fd;

	assert_int_equal(db_open("/tmp/no/such/directory/state.db", &db), RC_UNAVAILABLE);
	snprintf(path, sizeof(path), "%s/text", f->dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
	close(fd);
	assert_int_equal(db_open(path, &db), RC_UNAVAILABLE);
	assert_null(db);
}

static void a_newer_schema_is_refused(void **state)
{
	struct fixture *f = fixture_of(state);
	struct db *db = NULL;

	assert_int_equal(sql_run(f->db, "PRAGMA user_version=1000"), RC_OK);
	assert_int_equal(db_open(f->path, &db), RC_INVALID);
	assert_null(db);
}

static void migrating_again_changes_nothing(void **state)
{
	struct fixture *f = fixture_of(state);
	struct tenant t = fixture_tenant(f->db, "acme"), u;

	assert_int_equal(db_migrate(f->db), RC_OK);
	assert_int_equal(tenant_get(f->db, "t_acme", &u), RC_OK);
	assert_int_equal(t.version, u.version);
}

/* Several processes open and migrate one new file at once: nobody fails. */
static void first_opens_may_race(void **state)
{
	struct fixture *f = fixture_of(state);
	pid_t child[THREADS];
	int go[2], status;
	char c;

	snprintf(f->path, sizeof(f->path), "%s/new.db", f->dir);
	assert_int_equal(pipe(go), 0);
	for (int i = 0; i < THREADS; i++) {
		child[i] = fork();
		if (child[i] == 0) {
			struct db *db;

			close(go[1]);
			(void)!read(go[0], &c, 1); /* the end of the file is the signal */
			_exit(db_open(f->path, &db) != RC_OK || db_migrate(db) != RC_OK);
		}
	}
	close(go[0]);
	close(go[1]);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(waitpid(child[i], &status, 0), child[i]);
		assert_int_equal(status, 0);
	}
}

struct writer {
	const char *name, *path;
	bool failed;
};

static void *write_rows(void *arg)
{
	struct writer *w = arg;
	struct audit_record who = fixture_who();
	struct tenant t;
	struct db *db;
	char slug[32];

	w->failed = db_open(w->path, &db) != RC_OK;
	for (int i = 0; !w->failed && i < ROWS_EACH; i++) {
		snprintf(slug, sizeof(slug), "%s-%d", w->name, i);
		w->failed = tenant_create(db, slug, "x", NULL, &who, &t) != RC_OK;
	}
	db_close(db);
	return NULL;
}

static void writers_wait_for_each_other(void **state)
{
	struct fixture *f = fixture_of(state);
	static const char *const names[THREADS] = {"a", "b", "c", "d"};
	struct writer writer[THREADS];
	pthread_t thread[THREADS];
	struct tenant *list;
	size_t count;
	char next[STORE_CURSOR_MAX + 1];
	bool seen[THREADS * ROWS_EACH + 1] = {false};

	for (int i = 0; i < THREADS; i++) {
		writer[i] = (struct writer){names[i], f->path, false};
		assert_int_equal(pthread_create(&thread[i], NULL, write_rows, &writer[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_false(writer[i].failed);
	}
	assert_int_equal(tenant_list(f->db, NULL, "", 1000, &list, &count, next), RC_OK);
	assert_int_equal(count, THREADS * ROWS_EACH);
	/* Each change had a version of its own. */
	for (size_t i = 0; i < count; i++) {
		assert_in_range(list[i].version, 1, THREADS * ROWS_EACH);
		assert_false(seen[list[i].version]);
		seen[list[i].version] = true;
	}
	free(list);
	assert_int_equal(fixture_records(f->db, "tenant.create", NULL), THREADS * ROWS_EACH);
}

/* A child creates tenants and tells of each once it is acknowledged; it is killed in the middle. */
static _Noreturn void create_for_ever(const struct fixture *f, int out)
{
	struct db *db = fixture_open(f);
	char slug[32];

	for (int i = 0;; i++) {
		snprintf(slug, sizeof(slug), "n%d", i);
		fixture_tenant(db, slug);
		if (write(out, &i, sizeof(i)) != sizeof(i))
			_exit(1);
	}
}

static bool has_record(struct db *db, const char *tenant_id)
{
	struct outbox_row *rows;
	size_t count;
	bool found = false;

	assert_int_equal(outbox_list(db, 0, 100000, &rows, &count), RC_OK);
	for (size_t i = 0; i < count && !found; i++)
		found = strcmp(rows[i].record.target, tenant_id) == 0;
	free(rows);
	return found;
}

static void what_was_acknowledged_survives_a_kill(void **state)
{
	struct fixture *f = fixture_of(state);
	int fd[2], last = -1, i;
	struct tenant t;
	char id[32];
	pid_t child;

	assert_int_equal(pipe(fd), 0);
	db_close(f->db);
	child = fork();
	if (child == 0)
		create_for_ever(f, fd[1]);
	close(fd[1]);
	while (last < 30 && read(fd[0], &i, sizeof(i)) == sizeof(i))
		last = i;
	kill(child, SIGKILL);
	while (read(fd[0], &i, sizeof(i)) == sizeof(i))
		last = i;
	waitpid(child, NULL, 0);
	close(fd[0]);
	assert_true(last >= 30);
	f->db = fixture_open(f);
	pragma_is(f->db, "integrity_check", "ok");
	for (i = 0; i <= last; i++) {
		snprintf(id, sizeof(id), "t_n%d", i);
		assert_int_equal(tenant_get(f->db, id, &t), RC_OK);
		assert_true(has_record(f->db, id));
	}
}

/* What the log says while something runs: standard output and error stay as they are. */
static size_t logged(const struct fixture *f, char *text, size_t cap)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/log", f->dir);
	fd = open(path, O_RDONLY);
	n = read(fd, text, cap - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static void log_to_file(const struct fixture *f)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/log", f->dir);
	log_init("test", open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600),
		LOG_FORMAT_JSON);
}

static size_t lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* A busy and a full database: one line in the log, without values, and nothing half done. */
static void a_lock_that_does_not_come_free_is_unavailable(void **state)
{
	struct fixture *f = fixture_of(state);
	struct audit_record who = fixture_who();
	struct db *other = fixture_open(f);
	struct tenant t;
	char text[4096];

	log_to_file(f);
	sqlite3_busy_timeout(other->handle, 20);
	assert_int_equal(db_begin(f->db), RC_OK);
	assert_int_equal(tenant_create(other, "canary", "canary", NULL, &who, &t), RC_UNAVAILABLE);
	db_rollback(f->db);
	assert_true(logged(f, text, sizeof(text)) > 0);
	assert_int_equal(lines(text), 1);
	assert_null(strstr(text, "canary"));
	assert_int_equal(tenant_create(other, "canary", "canary", NULL, &who, &t), RC_OK);
	db_close(other);
	log_init("test", 2, LOG_FORMAT_JSON);
}

static void a_full_disk_leaves_nothing_half_done(void **state)
{
	struct fixture *f = fixture_of(state);
	struct audit_record who = fixture_who();
	char slug[32], text[4096];
	struct tenant t;
	size_t made;
	enum rc rc = RC_OK;

	log_to_file(f);
	assert_int_equal(sqlite3_exec(f->db->handle, "PRAGMA max_page_count=30", NULL, NULL, NULL),
		SQLITE_OK);
	for (made = 0; rc == RC_OK && made < 10000; made += rc == RC_OK) {
		snprintf(slug, sizeof(slug), "canary-%zu", made);
		rc = tenant_create(f->db, slug, "canary", NULL, &who, &t);
	}
	assert_int_equal(rc, RC_UNAVAILABLE);
	assert_int_equal(tenant_by_slug(f->db, slug, &t), RC_NOTFOUND);
	assert_int_equal(fixture_records(f->db, "tenant.create", NULL), made);
	assert_true(logged(f, text, sizeof(text)) > 0);
	assert_int_equal(lines(text), 1);
	assert_null(strstr(text, "canary"));
	/* Room again: it goes on. */
	assert_int_equal(
		sqlite3_exec(f->db->handle, "PRAGMA max_page_count=1000", NULL, NULL, NULL),
		SQLITE_OK);
	assert_int_equal(tenant_create(f->db, slug, "canary", NULL, &who, &t), RC_OK);
	log_init("test", 2, LOG_FORMAT_JSON);
}

/* SQLite ends a transaction by itself when the disk is full: what the caller does next in it must
 * not be committed. */
static void a_lost_transaction_takes_no_more_changes(void **state)
{
	struct fixture *f = fixture_of(state);
	struct audit_record who = fixture_who();
	struct tenant t;

	assert_int_equal(db_begin(f->db), RC_OK);
	assert_int_equal(tenant_create(f->db, "before", "x", NULL, &who, &t), RC_OK);
	assert_int_equal(sqlite3_exec(f->db->handle, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(tenant_create(f->db, "after", "x", NULL, &who, &t), RC_UNAVAILABLE);
	assert_int_not_equal(db_commit(f->db), RC_OK);
	assert_int_equal(tenant_by_slug(f->db, "before", &t), RC_NOTFOUND);
	assert_int_equal(tenant_by_slug(f->db, "after", &t), RC_NOTFOUND);
	assert_int_equal(tenant_create(f->db, "after", "x", NULL, &who, &t), RC_OK);
}

static void a_rolled_back_change_leaves_no_record(void **state)
{
	struct fixture *f = fixture_of(state);
	struct tenant t;

	assert_int_equal(db_begin(f->db), RC_OK);
	fixture_tenant(f->db, "ghost");
	db_rollback(f->db);
	db_rollback(f->db);
	assert_int_equal(tenant_by_slug(f->db, "ghost", &t), RC_NOTFOUND);
	assert_int_equal(fixture_records(f->db, "tenant.create", NULL), 0);
}

/* In the caller's transaction a failed change takes back itself, not what came before. */
static void a_failed_part_takes_back_itself_alone(void **state)
{
	struct fixture *f = fixture_of(state);
	struct audit_record who = fixture_who();
	struct enrollment e = {.expires_at = clock_wall_s() + 60};
	uint8_t hash[CRYPTO_HASH_LEN] = {1}, key[CRYPTO_PUBLIC_LEN] = {3};
	struct enrollment *list;
	struct worker w;
	size_t count;
	char next[STORE_CURSOR_MAX + 1];

	fixture_tenant(f->db, "acme");
	strcpy(e.tenant_id, "t_acme");
	strcpy(e.name, "w");
	strcpy(e.id, "one");
	assert_int_equal(enrollment_create(f->db, &e, hash, &who), RC_OK);
	assert_int_equal(worker_enroll(f->db, "one", hash, key, NULL, &who, &w), RC_OK);
	assert_int_equal(db_begin(f->db), RC_OK);
	strcpy(e.id, "two");
	assert_int_equal(enrollment_create(f->db, &e, hash, &who), RC_OK);
	assert_int_equal(worker_enroll(f->db, "two", hash, key, NULL, &who, &w), RC_CONFLICT);
	assert_int_equal(db_commit(f->db), RC_OK);
	assert_int_equal(enrollment_list(f->db, "t_acme", "", 10, &list, &count, next), RC_OK);
	assert_int_equal(count, 2);
	assert_string_equal(list[0].id, "two");
	assert_int_equal(list[0].used_at, 0); /* the token was not spent */
	free(list);
	assert_int_equal(fixture_records(f->db, "worker.enroll", NULL), 1);
	assert_int_equal(fixture_records(f->db, "enrollment.create", NULL), 2);
}

/* The lock that another process sees on the database file; POSIX locks go when the process closes
 * any descriptor of it. */
static bool locked_for_others(const char *path)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		int fd = open(path, O_RDWR);

		_exit(fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static void a_second_handle_leaves_the_first_one_its_locks(void **state)
{
	struct fixture *f = fixture_of(state);
	struct db *second;

	fixture_tenant(f->db, "acme");
	assert_true(locked_for_others(f->path));
	second = fixture_open(f);
	assert_true(locked_for_others(f->path));
	db_close(second);
	assert_true(locked_for_others(f->path));
}

static int statements(struct db *db)
{
	int n = 0;

	for (sqlite3_stmt *st = NULL; (st = sqlite3_next_stmt(db->handle, st));)
		n++;
	return n;
}

static void the_hot_path_prepares_once(void **state)
{
	struct fixture *f = fixture_of(state);
	struct api_key_row row;
	int64_t version;
	int before;

	fixture_tenant(f->db, "acme");
	fixture_key(f->db, "t_acme", "k1", NULL, 1);
	before = statements(f->db);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(api_key_version(f->db, "k1", &version), RC_OK);
		assert_int_equal(api_key_version(f->db, "none", &version), RC_NOTFOUND);
		assert_int_equal(api_key_find(f->db, "k1", &row), RC_OK);
		api_key_clear(&row.key);
	}
	assert_int_equal(statements(f->db), before + 2);
}

static void a_full_cache_of_statements_makes_room(void **state)
{
	static char sql[SQL_STATEMENTS_MAX * 2][32];
	struct fixture *f = fixture_of(state);
	struct tenant t;

	for (int i = 0; i < SQL_STATEMENTS_MAX * 2; i++) {
		snprintf(sql[i], sizeof(sql[i]), "SELECT ? + %d", i);
		assert_int_equal(sql_exists(f->db, sql[i], "1"), RC_OK);
	}
	assert_int_equal(statements(f->db), SQL_STATEMENTS_MAX);
	fixture_tenant(f->db, "acme");
	assert_int_equal(tenant_get(f->db, "t_acme", &t), RC_OK);
}

/* --- the pool
 * ----------------------------------------------------------------------------------------- */

static void the_pool_hands_out_the_warmest_handle(void **state)
{
	struct fixture *f = fixture_of(state);
	struct db_pool *p = db_pool_new(f->path, HANDLES);
	struct db *a, *b, *c;

	assert_int_equal(db_pool_get(p, &a), RC_OK);
	assert_int_equal(db_pool_get(p, &b), RC_OK);
	db_pool_put(p, a);
	db_pool_put(p, b);
	assert_int_equal(db_pool_get(p, &c), RC_OK);
	assert_ptr_equal(c, b);
	db_pool_put(p, c);
	db_pool_put(p, NULL);
	db_pool_free(p);
	db_pool_free(NULL);
}

static void a_handle_comes_back_without_its_transaction(void **state)
{
	struct fixture *f = fixture_of(state);
	struct db_pool *p = db_pool_new(f->path, 1);
	struct tenant t;
	struct db *db;

	assert_int_equal(db_pool_get(p, &db), RC_OK);
	assert_int_equal(db_begin(db), RC_OK);
	fixture_tenant(db, "ghost");
	db_pool_put(p, db);
	assert_int_equal(db_pool_get(p, &db), RC_OK);
	assert_int_equal(tenant_by_slug(db, "ghost", &t), RC_NOTFOUND);
	fixture_tenant(db, "real");
	db_pool_put(p, db);
	assert_int_equal(tenant_by_slug(f->db, "real", &t), RC_OK);
	db_pool_free(p);
}

struct borrower {
	struct db_pool *pool;
	pthread_mutex_t *lock;
	int *out, *most;
	bool failed; /* guarded by lock, like what is pointed to */
};

static void *borrow(void *arg)
{
	struct borrower *w = arg;
	struct tenant t;
	struct db *db;

	for (int i = 0; i < 50; i++) {
		bool failed = db_pool_get(w->pool, &db) != RC_OK;

		pthread_mutex_lock(w->lock);
		if (++*w->out > *w->most)
			*w->most = *w->out;
		pthread_mutex_unlock(w->lock);
		failed = failed || tenant_get(db, "t_acme", &t) != RC_OK;
		pthread_mutex_lock(w->lock);
		--*w->out;
		w->failed |= failed;
		pthread_mutex_unlock(w->lock);
		if (failed)
			break;
		db_pool_put(w->pool, db);
	}
	return NULL;
}

static void the_pool_is_bounded(void **state)
{
	struct fixture *f = fixture_of(state);
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int out = 0, most = 0;
	struct borrower w = {db_pool_new(f->path, HANDLES), &lock, &out, &most, false};
	pthread_t thread[THREADS];

	fixture_tenant(f->db, "acme");
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, borrow, &w), 0);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	}
	assert_false(w.failed);
	assert_in_range(most, 1, HANDLES);
	db_pool_free(w.pool);
}

static void a_pool_without_a_database_says_so_each_time(void **state)
{
	struct db_pool *p = db_pool_new("/tmp/no/such/directory/state.db", 1);
	struct db *db;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(db_pool_get(p, &db), RC_UNAVAILABLE);
	db_pool_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(files_are_for_the_owner_alone),
		FIXTURE_TEST(a_handle_is_set_up_for_durability),
		FIXTURE_TEST(every_table_is_strict),
		FIXTURE_TEST(what_can_not_be_opened_is_told),
		FIXTURE_TEST(a_newer_schema_is_refused),
		FIXTURE_TEST(migrating_again_changes_nothing),
		FIXTURE_TEST(first_opens_may_race),
		FIXTURE_TEST(writers_wait_for_each_other),
		FIXTURE_TEST(what_was_acknowledged_survives_a_kill),
		FIXTURE_TEST(a_lock_that_does_not_come_free_is_unavailable),
		FIXTURE_TEST(a_full_disk_leaves_nothing_half_done),
		FIXTURE_TEST(a_lost_transaction_takes_no_more_changes),
		FIXTURE_TEST(a_rolled_back_change_leaves_no_record),
		FIXTURE_TEST(a_failed_part_takes_back_itself_alone),
		FIXTURE_TEST(a_second_handle_leaves_the_first_one_its_locks),
		FIXTURE_TEST(the_hot_path_prepares_once),
		FIXTURE_TEST(a_full_cache_of_statements_makes_room),
		FIXTURE_TEST(the_pool_hands_out_the_warmest_handle),
		FIXTURE_TEST(a_handle_comes_back_without_its_transaction),
		FIXTURE_TEST(the_pool_is_bounded),
		cmocka_unit_test(a_pool_without_a_database_says_so_each_time),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
