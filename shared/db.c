#include "shared/db.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/dbmark.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/store_sql.h"

#define BUSY_MS 5000
#define WAL_RETRY_MS 5

/* Forward only: a landed entry is never edited, a change is a new entry. */
static const char *const migrations[] = {
	"CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;"
	"CREATE TABLE counter (only INTEGER PRIMARY KEY CHECK (only = 1), value INTEGER NOT NULL) "
	"STRICT;"
	"INSERT INTO counter VALUES (1, 0);"
	"CREATE TABLE orgs (id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at INTEGER NOT NULL) "
	"STRICT;"
	"INSERT INTO orgs VALUES ('o_default', 'Default', unixepoch());"
	"CREATE TABLE tenants ("
	" id TEXT PRIMARY KEY, slug TEXT NOT NULL UNIQUE, name TEXT NOT NULL,"
	" org_id TEXT NOT NULL REFERENCES orgs(id), suspended INTEGER NOT NULL DEFAULT 0,"
	" created_at INTEGER NOT NULL, version INTEGER NOT NULL) STRICT;"
	"CREATE TABLE api_keys ("
	" id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id) ON DELETE CASCADE,"
	" name TEXT NOT NULL, hash TEXT NOT NULL, tools TEXT, rate_per_minute INTEGER NOT NULL "
	"DEFAULT -1,"
	" created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL DEFAULT 0,"
	" last_used_at INTEGER NOT NULL DEFAULT 0, revoked_at INTEGER NOT NULL DEFAULT 0,"
	" version INTEGER NOT NULL) STRICT;"
	"CREATE INDEX api_keys_list ON api_keys (tenant_id, created_at, id);"
	"CREATE TABLE enrollments ("
	" id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id) ON DELETE CASCADE,"
	" name TEXT NOT NULL, secret_hash BLOB NOT NULL, created_at INTEGER NOT NULL,"
	" expires_at INTEGER NOT NULL, used_at INTEGER NOT NULL DEFAULT 0,"
	" revoked_at INTEGER NOT NULL DEFAULT 0, worker_id TEXT) STRICT;"
	"CREATE INDEX enrollments_list ON enrollments (tenant_id, created_at, id);"
	"CREATE TABLE workers ("
	" id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id) ON DELETE CASCADE,"
	" name TEXT NOT NULL, public_key BLOB NOT NULL UNIQUE, version TEXT NOT NULL DEFAULT '',"
	" enrolled_at INTEGER NOT NULL, last_seen_at INTEGER NOT NULL DEFAULT 0,"
	" revoked_at INTEGER NOT NULL DEFAULT 0, manifest TEXT, manifest_digest TEXT) STRICT;"
	"CREATE INDEX workers_list ON workers (tenant_id, enrolled_at, id);"
	"CREATE INDEX workers_seen ON workers (tenant_id, last_seen_at);"
	"CREATE TABLE idempotency ("
	" scope TEXT NOT NULL, key TEXT NOT NULL, request_hash BLOB NOT NULL, status INTEGER NOT "
	"NULL,"
	" body TEXT NOT NULL, expires_at INTEGER NOT NULL, PRIMARY KEY (scope, key)) STRICT, "
	"WITHOUT ROWID;"
	"CREATE INDEX idempotency_expiry ON idempotency (expires_at);"
	"CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, record TEXT NOT NULL) STRICT;",
	"ALTER TABLE tenants ADD COLUMN audit_keep_days INTEGER NOT NULL DEFAULT -1;",
	"CREATE TABLE tool_pins ("
	" tenant_id TEXT NOT NULL REFERENCES tenants(id) ON DELETE CASCADE, tool TEXT NOT NULL,"
	" fingerprint TEXT NOT NULL, definition TEXT NOT NULL, pinned_at INTEGER NOT NULL,"
	" pinned_by TEXT NOT NULL, noticed TEXT NOT NULL DEFAULT '',"
	" PRIMARY KEY (tenant_id, tool)) STRICT, WITHOUT ROWID;",
};
#define SCHEMA_VERSION ((int)(sizeof(migrations) / sizeof(migrations[0])))

/* -1 when it can't be read. */
static int pragma_int(sqlite3 *handle, const char *sql)
{
	sqlite3_stmt *st;
	int value = -1;

	if (sqlite3_prepare_v2(handle, sql, -1, &st, NULL) != SQLITE_OK)
		return -1;
	if (sqlite3_step(st) == SQLITE_ROW)
		value = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return value;
}

/* SQLite says no when it can't have a write-ahead log here, but not with an error. While another
 * process makes the same change to a new file it says busy at once, without its busy handler, since
 * waiting inside could be a deadlock: so it is asked again from outside. */
static bool set_wal(sqlite3 *handle)
{
	sqlite3_stmt *st;
	bool ok = false;
	int code = SQLITE_BUSY;

	if (sqlite3_prepare_v2(handle, "PRAGMA journal_mode=WAL", -1, &st, NULL) != SQLITE_OK)
		return false;
	for (int waited = 0; waited < BUSY_MS && (code & 0xff) == SQLITE_BUSY;
		waited += WAL_RETRY_MS) {
		code = sqlite3_step(st);
		if (code == SQLITE_ROW)
			ok = strcmp((const char *)sqlite3_column_text(st, 0), "wal") == 0;
		sqlite3_reset(st);
		if ((code & 0xff) == SQLITE_BUSY)
			sqlite3_sleep(WAL_RETRY_MS);
	}
	sqlite3_finalize(st);
	return ok;
}

/* SQLite would create the file with the umask's mode: make it first, for the owner alone. The -wal
 * and -shm files get the mode of the database. A file that is there is never opened here: closing
 * it again would drop the POSIX locks that this process's other handles hold on it. */
static bool make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	else if (errno != EEXIST)
		log_err("can't open the state database %s: %s", path, strerror(errno));
	return fd >= 0 || errno == EEXIST;
}

/* The page cache is small: handles are many, the working set is not. */
static bool configure(sqlite3 *handle)
{
	static const char pragmas[] = "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
				      "PRAGMA trusted_schema=OFF; PRAGMA cache_size=-256;"
				      "PRAGMA temp_store=MEMORY;";

	sqlite3_busy_timeout(handle, BUSY_MS);
	sqlite3_extended_result_codes(handle, 1);
	sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	return set_wal(handle) && sqlite3_exec(handle, pragmas, NULL, NULL, NULL) == SQLITE_OK;
}

static enum rc open_handle(const char *path, sqlite3 **handle)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;

	if (!make_file(path))
		return RC_UNAVAILABLE;
	if (sqlite3_open_v2(path, handle, flags, NULL) == SQLITE_OK && configure(*handle))
		return RC_OK;
	log_err("can't open the state database %s: %s", path,
		*handle ? sqlite3_errmsg(*handle) : "no memory");
	return RC_UNAVAILABLE;
}

enum rc db_open(const char *path, struct db **out)
{
	struct db *db = xcalloc(1, sizeof(*db));
	enum rc rc = open_handle(path, &db->handle);
	int version = rc == RC_OK ? pragma_int(db->handle, "PRAGMA user_version") : 0;

	if (version < 0) {
		log_err("can't read the state database %s: %s", path, sqlite3_errmsg(db->handle));
		rc = RC_UNAVAILABLE;
	} else if (version > SCHEMA_VERSION) {
		log_err("the state database %s was written by a newer version: its schema is %d, "
			"this program knows %d",
			path, version, SCHEMA_VERSION);
		rc = RC_INVALID;
	}
	if (rc == RC_OK)
		*out = db;
	else
		db_close(db);
	return rc;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	for (size_t i = 0; i < db->cached; i++)
		sqlite3_finalize(db->cache[i].statement);
	sqlite3_close(db->handle);
	free(db);
}

/* One step up. *version is read again under the write lock: another process may have migrated
 * meanwhile. */
static enum rc migrate_one(struct db *db, int *version)
{
	char pragma[48];
	enum rc rc = db_begin(db);

	if (rc != RC_OK)
		return rc;
	*version = pragma_int(db->handle, "PRAGMA user_version");
	if (*version < 0)
		rc = RC_UNAVAILABLE;
	if (rc == RC_OK && *version < SCHEMA_VERSION) {
		sqlite3_snprintf(sizeof(pragma), pragma, "PRAGMA user_version=%d", *version + 1);
		rc = sql_run(db, migrations[*version]);
		if (rc == RC_OK)
			rc = sql_run(db, pragma);
		++*version;
	}
	if (rc == RC_OK)
		return db_commit(db);
	db_rollback(db);
	return rc;
}

enum rc db_migrate(struct db *db)
{
	int version = pragma_int(db->handle, "PRAGMA user_version");
	enum rc rc = version < 0 ? RC_UNAVAILABLE : RC_OK;

	while (rc == RC_OK && version < SCHEMA_VERSION)
		rc = migrate_one(db, &version);
	return rc;
}

enum rc db_begin(struct db *db)
{
	enum rc rc = sql_run(db, "BEGIN IMMEDIATE");

	if (rc == RC_OK)
		db->in_transaction = true;
	return rc;
}

enum rc db_commit(struct db *db)
{
	enum rc rc = sql_run(db, "COMMIT");

	if (rc == RC_OK)
		db->in_transaction = false;
	else
		db_rollback(db);
	return rc;
}

void db_rollback(struct db *db)
{
	for (size_t i = 0; i < db->cached; i++)
		sqlite3_reset(db->cache[i].statement);
	if (!sqlite3_get_autocommit(db->handle))
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
	db->in_transaction = false;
}

static bool sound(sqlite3 *handle)
{
	sqlite3_stmt *st;
	bool ok = false;

	if (sqlite3_prepare_v2(handle, "PRAGMA quick_check(1)", -1, &st, NULL) != SQLITE_OK)
		return false;
	if (sqlite3_step(st) == SQLITE_ROW)
		ok = strcmp((const char *)sqlite3_column_text(st, 0), "ok") == 0;
	sqlite3_finalize(st);
	return ok;
}

enum rc db_look(const char *path, struct db_look *out)
{
	sqlite3 *handle = NULL;
	enum rc rc = RC_UNAVAILABLE;

	if (sqlite3_open_v2(path, &handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) ==
			SQLITE_OK &&
		sqlite3_busy_timeout(handle, BUSY_MS) == SQLITE_OK) {
		*out = (struct db_look){
			pragma_int(handle, "PRAGMA user_version"), SCHEMA_VERSION, sound(handle)};
		if (out->schema >= 0)
			rc = RC_OK;
	}
	if (rc != RC_OK)
		log_err("can't read the state database %s: %s", path,
			handle ? sqlite3_errmsg(handle) : "no memory");
	sqlite3_close(handle);
	return rc;
}

/* All pages in one step, under one read transaction: writers go on in the write-ahead log. */
static int copy_pages(sqlite3 *from, sqlite3 *to)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
	int code;

	if (!b)
		return sqlite3_errcode(to);
	do {
		code = sqlite3_backup_step(b, -1);
		if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
			sqlite3_sleep(WAL_RETRY_MS);
	} while (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED);
	(void)sqlite3_backup_finish(b);
	/* Without a write-ahead log of its own the copy is one file. */
	if (code == SQLITE_DONE)
		code = sqlite3_exec(to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
	return code;
}

enum rc db_copy(const char *from, const char *to)
{
	sqlite3 *source = NULL, *copy = NULL;
	int fd = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), code;

	if (fd < 0)
		return errno == EEXIST ? RC_CONFLICT : RC_UNAVAILABLE;
	close(fd);
	code = sqlite3_open_v2(from, &source, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_busy_timeout(source, BUSY_MS);
	if (code == SQLITE_OK)
		code = sqlite3_open_v2(
			to, &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (code == SQLITE_OK)
		code = copy_pages(source, copy);
	if (code != SQLITE_OK)
		log_err("can't copy the state database %s to %s: %s", from, to,
			sqlite3_errstr(code));
	sqlite3_close(copy);
	sqlite3_close(source);
	if (code == SQLITE_OK)
		return RC_OK;
	(void)unlink(to);
	return RC_UNAVAILABLE;
}

struct db_pool {
	pthread_mutex_t lock;
	pthread_cond_t returned;
	char *path;
	int max, open, idle_count;
	struct dbmark_watch *_Atomic watch; /* set once, with the first handle */
	struct db *idle[];
};

struct db_pool *db_pool_new(const char *path, int max)
{
	struct db_pool *p = xcalloc(1, sizeof(*p) + (size_t)max * sizeof(struct db *));

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->returned, NULL);
	p->path = xstrdup(path);
	p->max = max;
	return p;
}

/* The wal-index is there once a handle has read; from then on one handle of the pool stays open, as
 * the watch requires. */
static void watch(struct db_pool *p)
{
	struct dbmark_watch *w;

	pthread_mutex_lock(&p->lock);
	if (!atomic_load(&p->watch) && dbmark_open(p->path, &w) == RC_OK)
		atomic_store(&p->watch, w);
	pthread_mutex_unlock(&p->lock);
}

bool db_pool_mark(const struct db_pool *p, struct dbmark *out)
{
	return dbmark_read(atomic_load(&p->watch), out);
}

enum rc db_pool_get(struct db_pool *p, struct db **out)
{
	enum rc rc = RC_OK;

	pthread_mutex_lock(&p->lock);
	while (p->idle_count == 0 && p->open == p->max)
		pthread_cond_wait(&p->returned, &p->lock);
	if (p->idle_count > 0) {
		*out = p->idle[--p->idle_count];
		pthread_mutex_unlock(&p->lock);
		return RC_OK;
	}
	p->open++;
	pthread_mutex_unlock(&p->lock);
	rc = db_open(p->path, out);
	if (rc != RC_OK) {
		pthread_mutex_lock(&p->lock);
		p->open--;
		pthread_cond_signal(&p->returned);
		pthread_mutex_unlock(&p->lock);
	} else if (!atomic_load(&p->watch)) {
		watch(p);
	}
	return rc;
}

void db_pool_put(struct db_pool *p, struct db *db)
{
	if (!db)
		return;
	db_rollback(db);
	pthread_mutex_lock(&p->lock);
	p->idle[p->idle_count++] = db;
	pthread_cond_signal(&p->returned);
	pthread_mutex_unlock(&p->lock);
}

void db_pool_free(struct db_pool *p)
{
	if (!p)
		return;
	for (int i = 0; i < p->idle_count; i++)
		db_close(p->idle[i]);
	pthread_cond_destroy(&p->returned);
	pthread_mutex_destroy(&p->lock);
	free(p->path);
	free(atomic_load(&p->watch));
	free(p);
}
