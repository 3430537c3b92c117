#include "shared/db.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/mem.h"
#include "shared/store_sql.h"

#define STATEMENTS_MAX 64
#define BUSY_MS 5000

struct cached {
	const char *sql;
	sqlite3_stmt *statement;
};

struct db {
	sqlite3 *handle;
	struct cached cache[STATEMENTS_MAX];
	size_t cached;
	bool in_transaction;
};

/* Forward only: a landed entry is never edited, a change is a new entry. */
static const char *const migrations[] = {
	"CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;"
	"CREATE TABLE counter (only INTEGER PRIMARY KEY CHECK (only = 1), value INTEGER NOT NULL) STRICT;"
	"INSERT INTO counter VALUES (1, 0);"
	"CREATE TABLE orgs (id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at INTEGER NOT NULL) STRICT;"
	"INSERT INTO orgs VALUES ('o_default', 'Default', unixepoch());"
	"CREATE TABLE tenants ("
	" id TEXT PRIMARY KEY, slug TEXT NOT NULL UNIQUE, name TEXT NOT NULL,"
	" org_id TEXT NOT NULL REFERENCES orgs(id), suspended INTEGER NOT NULL DEFAULT 0,"
	" created_at INTEGER NOT NULL, version INTEGER NOT NULL) STRICT;"
	"CREATE TABLE api_keys ("
	" id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id) ON DELETE CASCADE,"
	" name TEXT NOT NULL, hash TEXT NOT NULL, tools TEXT, rate_per_minute INTEGER NOT NULL DEFAULT -1,"
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
	" scope TEXT NOT NULL, key TEXT NOT NULL, request_hash BLOB NOT NULL, status INTEGER NOT NULL,"
	" body TEXT NOT NULL, expires_at INTEGER NOT NULL, PRIMARY KEY (scope, key)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX idempotency_expiry ON idempotency (expires_at);"
	"CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, record TEXT NOT NULL) STRICT;",
};
#define SCHEMA_VERSION ((int)(sizeof migrations / sizeof migrations[0]))

sqlite3 *db_raw(struct db *db)
{
	return db->handle;
}

enum rc sql_error(struct db *db, int code)
{
	switch (code & 0xff) {
	case SQLITE_CONSTRAINT:
		return RC_CONFLICT;
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
		log_err("state database: %s", sqlite3_errstr(code));
		return RC_UNAVAILABLE;
	default:
		/* errmsg may quote names of the schema, never bound values. */
		log_err("state database: %s (%d)", sqlite3_errmsg(db->handle), code);
		return RC_INTERNAL;
	}
}

static int user_version(struct db *db)
{
	sqlite3_stmt *st;
	int version = -1;

	if (sqlite3_prepare_v2(db->handle, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK)
		return -1;
	if (sqlite3_step(st) == SQLITE_ROW)
		version = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return version;
}

/* SQLite would create the file with the umask's mode: make it first, for the owner alone. A file that is there is never
 * opened here: closing it again would drop the POSIX locks that this process's other handles hold on it. */
static bool make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	else if (errno != EEXIST)
		log_err("%s: %s", path, strerror(errno));
	return fd >= 0 || errno == EEXIST;
}

static bool configure(sqlite3 *handle)
{
	static const char pragmas[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
				      "PRAGMA trusted_schema=OFF; PRAGMA cache_size=-256; PRAGMA temp_store=MEMORY;";

	sqlite3_busy_timeout(handle, BUSY_MS);
	sqlite3_extended_result_codes(handle, 1);
	sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	return sqlite3_exec(handle, pragmas, NULL, NULL, NULL) == SQLITE_OK;
}

enum rc db_open(const char *path, struct db **out)
{
	struct db *db = xcalloc(1, sizeof *db);
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;

	if (!make_file(path) || sqlite3_open_v2(path, &db->handle, flags, NULL) != SQLITE_OK || !configure(db->handle)) {
		log_err("%s: can't open the state database: %s", path, db->handle ? sqlite3_errmsg(db->handle) : "no memory");
		db_close(db);
		return RC_UNAVAILABLE;
	}
	if (user_version(db) > SCHEMA_VERSION) {
		log_err("%s was written by a newer version of this program: its schema is %d, this program knows %d", path,
			user_version(db), SCHEMA_VERSION);
		db_close(db);
		return RC_INVALID;
	}
	*out = db;
	return RC_OK;
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

static enum rc run(struct db *db, const char *sql)
{
	int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

	return code == SQLITE_OK ? RC_OK : sql_error(db, code);
}

static enum rc migrate_one(struct db *db, int from)
{
	char pragma[48];
	enum rc rc = db_begin(db);

	if (rc != RC_OK)
		return rc;
	sqlite3_snprintf(sizeof pragma, pragma, "PRAGMA user_version=%d", from + 1);
	rc = run(db, migrations[from]);
	if (rc == RC_OK)
		rc = run(db, pragma);
	if (rc == RC_OK)
		rc = db_commit(db);
	db_rollback(db);
	return rc;
}

enum rc db_migrate(struct db *db)
{
	int version = user_version(db);
	enum rc rc = version < 0 ? RC_UNAVAILABLE : RC_OK;

	for (; rc == RC_OK && version < SCHEMA_VERSION; version++)
		rc = migrate_one(db, version);
	return rc;
}

enum rc db_begin(struct db *db)
{
	enum rc rc = run(db, "BEGIN IMMEDIATE");

	if (rc == RC_OK)
		db->in_transaction = true;
	return rc;
}

enum rc db_commit(struct db *db)
{
	enum rc rc = run(db, "COMMIT");

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

sqlite3_stmt *sql_prepare(struct db *db, const char *sql)
{
	sqlite3_stmt *st;

	for (size_t i = 0; i < db->cached; i++) {
		if (db->cache[i].sql == sql) {
			sqlite3_reset(db->cache[i].statement);
			sqlite3_clear_bindings(db->cache[i].statement);
			return db->cache[i].statement;
		}
	}
	if (db->cached == STATEMENTS_MAX) {
		sqlite3_finalize(db->cache[--db->cached].statement);
	}
	if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK) {
		log_err("state database: %s", sqlite3_errmsg(db->handle));
		return NULL;
	}
	db->cache[db->cached++] = (struct cached){sql, st};
	return st;
}

static bool bind_list(sqlite3_stmt *st, const char *types, va_list args)
{
	int code = SQLITE_OK;

	for (int i = 1; *types && code == SQLITE_OK; types++, i++) {
		switch (*types) {
		case 's':
			code = sqlite3_bind_text(st, i, va_arg(args, const char *), -1, SQLITE_STATIC);
			break;
		case 'i':
			code = sqlite3_bind_int64(st, i, va_arg(args, int64_t));
			break;
		default: {
			const void *bytes = va_arg(args, const void *);
			size_t len = va_arg(args, size_t);

			code = sqlite3_bind_blob64(st, i, bytes, len, SQLITE_STATIC);
			break;
		}
		}
	}
	return code == SQLITE_OK;
}

bool sql_bind(sqlite3_stmt *st, const char *types, ...)
{
	va_list args;
	bool ok;

	if (!st)
		return false;
	va_start(args, types);
	ok = bind_list(st, types, args);
	va_end(args);
	return ok;
}

enum rc sql_step(struct db *db, sqlite3_stmt *st)
{
	int code = sqlite3_step(st);

	if (code == SQLITE_ROW)
		return RC_OK;
	sqlite3_reset(st);
	return code == SQLITE_DONE ? RC_NOTFOUND : sql_error(db, code);
}

enum rc sql_exec(struct db *db, int *changes, const char *sql, const char *types, ...)
{
	sqlite3_stmt *st = sql_prepare(db, sql);
	va_list args;
	enum rc rc;
	bool bound;

	if (!st)
		return RC_INTERNAL;
	va_start(args, types);
	bound = bind_list(st, types, args);
	va_end(args);
	if (!bound)
		return RC_INTERNAL;
	rc = sql_step(db, st);
	sqlite3_reset(st);
	if (rc == RC_NOTFOUND)
		rc = RC_OK;
	if (rc == RC_OK && changes)
		*changes = sqlite3_changes(db->handle);
	return rc;
}

void sql_text(sqlite3_stmt *st, int column, char *dst, size_t cap)
{
	const char *text = (const char *)sqlite3_column_text(st, column);

	if (!str_copy(dst, cap, text ? text : ""))
		log_warn("state database: a value is longer than this version allows");
}

int64_t sql_int(sqlite3_stmt *st, int column)
{
	return sqlite3_column_int64(st, column);
}

enum rc sql_change_begin(struct db *db, struct sql_change *c)
{
	c->db = db;
	c->own = !db->in_transaction;
	return c->own ? db_begin(db) : RC_OK;
}

enum rc sql_change_end(struct sql_change *c, enum rc rc)
{
	if (!c->own)
		return rc;
	if (rc == RC_OK)
		return db_commit(c->db);
	db_rollback(c->db);
	return rc;
}

enum rc sql_next_version(struct db *db, int64_t *version)
{
	sqlite3_stmt *st = sql_prepare(db, "UPDATE counter SET value = value + 1 RETURNING value");
	enum rc rc;

	if (!st)
		return RC_INTERNAL;
	rc = sql_step(db, st);
	if (rc == RC_OK)
		*version = sql_int(st, 0);
	sqlite3_reset(st);
	return rc;
}

struct db_pool {
	pthread_mutex_t lock;
	pthread_cond_t returned;
	char *path;
	int max, open, idle_count;
	struct db *idle[];
};

struct db_pool *db_pool_new(const char *path, int max)
{
	struct db_pool *p = xcalloc(1, sizeof *p + (size_t)max * sizeof p->idle[0]);

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->returned, NULL);
	p->path = xstrdup(path);
	p->max = max;
	return p;
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
	free(p);
}
