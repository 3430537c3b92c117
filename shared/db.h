/* db: one SQLite handle and the rules for opening it: WAL, foreign keys, busy timeout, synchronous
 * FULL, no extensions, numbered forward-only migrations (user_version). <sqlite3.h> is included in
 * db.c and store_*.c only (and by the worker's own snapshot engine, which is another database
 * altogether). */
#ifndef SHARED_DB_H
#define SHARED_DB_H

#include <stdbool.h>

#include "shared/rc.h"

struct db;

/* Opens for reading and writing. RC_UNAVAILABLE when the file can't be opened; RC_INVALID when its
 * schema is newer than this program (message logged: a newer version wrote it). Does not migrate.
 * Used by one thread at a time. */
enum rc db_open(const char *path, struct db **out) MUST_CHECK;
void db_close(struct db *db);
/* Brings the schema up to date, each migration in its own transaction. Called by firstboot() under
 * its lock. */
enum rc db_migrate(struct db *db) MUST_CHECK;

/* What a database is, for those who look at one rather than use it. */
struct db_look {
	int schema; /* its version */
	int known; /* the one of this program */
	bool sound; /* SQLite finds no damage */
};
/* Opens path for reading alone. RC_UNAVAILABLE, logged. */
enum rc db_look(const char *path, struct db_look *out) MUST_CHECK;
/* A consistent copy of a database that may be in use, at a path that does not exist, mode 0600.
 * RC_CONFLICT when it does; RC_UNAVAILABLE, logged, when it can't be read or written. */
enum rc db_copy(const char *from, const char *to) MUST_CHECK;

/* A write: BEGIN IMMEDIATE. RC_UNAVAILABLE when the disk is full or the lock does not come free.
 * Nested calls are a bug. */
enum rc db_begin(struct db *db) MUST_CHECK;
enum rc db_commit(struct db *db) MUST_CHECK;
/* No effect when nothing is open. */
void db_rollback(struct db *db);

/* A few handles shared by many threads: a request borrows one for a moment. */
struct db_pool;
struct db_pool *db_pool_new(const char *path, int max);
/* Waits for a free handle; opens one when fewer than max are open. */
enum rc db_pool_get(struct db_pool *p, struct db **out) MUST_CHECK;
/* Rolls back what was left open. */
void db_pool_put(struct db_pool *p, struct db *db);
/* The database's mark (dbmark.h). False until the pool's first handle is open, or when there is
 * none to be had. */
struct dbmark;
bool db_pool_mark(const struct db_pool *p, struct dbmark *out);
void db_pool_free(struct db_pool *p);

#endif
