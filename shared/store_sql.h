/* store_sql: what db.c and the store_*.c files share: the handle, cached statements, binding,
 * columns, changes that nest, pages of lists, and what an SQLite error means. Included by them
 * only. */
#ifndef SHARED_STORE_SQL_H
#define SHARED_STORE_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/audit.h"
#include "shared/buf.h"
#include "shared/db.h"
#include "shared/rc.h"
#include "shared/store.h"

#define SQL_STATEMENTS_MAX 64

struct db {
	sqlite3 *handle;
	struct {
		const char *sql;
		sqlite3_stmt *statement;
	} cache[SQL_STATEMENTS_MAX];
	size_t cached;
	bool in_transaction; /* between db_begin() and its end, also when SQLite gave up meanwhile
			      */
};

/* The meaning of an SQLite result code. Logs what is no plain constraint failure; never a bound
 * value. RC_CONFLICT: it is there already. RC_INVALID: it names a row that is not there. */
enum rc sql_error(struct db *db, int code);
/* Several statements without rows or parameters. */
enum rc sql_run(struct db *db, const char *sql) MUST_CHECK;

/* *st gets the prepared statement for this text, bound and ready for sql_step(). It is prepared
 * once per handle: sql must be a string literal, its address is the cache's key. types, in order: s
 * text (NULL binds null), i int64_t, b bytes and size_t. Text and bytes are borrowed until the
 * reset. After the last step: sqlite3_reset(). */
enum rc sql_query(
	struct db *db, sqlite3_stmt **st, const char *sql, const char *types, ...) MUST_CHECK;
/* RC_OK with a row, RC_NOTFOUND at the end (the statement is reset then, and after an error). */
enum rc sql_step(struct db *db, sqlite3_stmt *st) MUST_CHECK;
/* A statement without rows from start to end; *changes (or NULL) gets the row count. */
enum rc sql_exec(struct db *db, int *changes, const char *sql, const char *types, ...) MUST_CHECK;
/* RC_OK when the query has a row, RC_NOTFOUND when not. One text parameter. */
enum rc sql_exists(struct db *db, const char *sql, const char *key) MUST_CHECK;

/* A text column into a fixed array ("" for null). */
void sql_text(sqlite3_stmt *st, int column, char *dst, size_t cap);
int64_t sql_int(sqlite3_stmt *st, int column);

/* A change is all or nothing. It is a transaction of its own, or a part of the one that the caller
 * began: then a failure takes back this part alone, and the caller may go on. */
struct sql_change {
	struct db *db;
	bool own;
};
enum rc sql_change_begin(struct db *db, struct sql_change *c) MUST_CHECK;
/* Keeps it, or takes it back when rc is not RC_OK; returns the final code. */
enum rc sql_change_end(struct sql_change *c, enum rc rc) MUST_CHECK;
/* The next value of the one version counter, inside a change. */
enum rc sql_next_version(struct db *db, int64_t *version) MUST_CHECK;

/* How a list's rows are read; clear may be NULL. */
struct sql_row_kind {
	size_t size;
	void (*read)(sqlite3_stmt *st, void *row);
	void (*clear)(void *row);
	/* For sql_newest(): where a row has the time, an int64_t, and the id that order it. */
	size_t time_at, id_at;
};
/* Steps through a query that asks for one row more than limit. *list is freed by the caller; *more:
 * there was that row. */
enum rc sql_page(struct db *db, sqlite3_stmt *st, size_t limit, const struct sql_row_kind *kind,
	void *list, size_t *count, bool *more) MUST_CHECK;
/* One page of what a tenant has, newest first. The query's parameters: the tenant, the time and id
 * to go on behind, and how many. next gets the following page's cursor, "" when this is the last.
 */
enum rc sql_newest(struct db *db, const char *sql, const char *tenant_id, const char *after,
	size_t limit, const struct sql_row_kind *kind, void *list, size_t *count,
	char next[STORE_CURSOR_MAX + 1]) MUST_CHECK;

/* Fills event, tenant, target, change (a JSON object, or NULL) and the outcome "ok" and puts the
 * record into the outbox. */
enum rc store_record(struct db *db, struct audit_record *who, const char *event,
	const char *tenant_id, const char *target, const struct buf *change) MUST_CHECK;
/* {"name":"..."}: the change of most records. */
void store_name_change(struct buf *b, const char *name);

#endif
