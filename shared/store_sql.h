/* store_sql: what db.c and the store_*.c files share: cached statements, binding, columns, and what an SQLite
 * error means. Included by them only. */
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

sqlite3 *db_raw(struct db *db);
/* The prepared statement for this SQL text, reset and without bindings. sql must be a string literal: its address is
 * the cache's key. NULL when it can't be prepared (logged). */
sqlite3_stmt *sql_prepare(struct db *db, const char *sql);
/* Binds in order: s text (NULL binds null), i int64_t, b bytes and size_t. Text and bytes are borrowed until the next reset. */
bool sql_bind(sqlite3_stmt *st, const char *types, ...);
/* A statement without rows: prepare, bind, step, reset. RC_CONFLICT on a constraint; *changes (or NULL) gets the row count. */
enum rc sql_exec(struct db *db, int *changes, const char *sql, const char *types, ...) MUST_CHECK;
/* RC_OK with a row, RC_NOTFOUND at the end (the statement is reset then). */
enum rc sql_step(struct db *db, sqlite3_stmt *st) MUST_CHECK;
/* The meaning of an SQLite result code; logs what is no plain constraint failure. Never logs bound values. */
enum rc sql_error(struct db *db, int code);
/* A text column into a fixed array ("" for null). */
void sql_text(sqlite3_stmt *st, int column, char *dst, size_t cap);
int64_t sql_int(sqlite3_stmt *st, int column);

/* A write that may be part of a caller's transaction: begins one only when none is open. */
struct sql_change {
	struct db *db;
	bool own;
};
enum rc sql_change_begin(struct db *db, struct sql_change *c) MUST_CHECK;
/* Commits, or rolls back when rc is not RC_OK; returns the final code. */
enum rc sql_change_end(struct sql_change *c, enum rc rc) MUST_CHECK;
/* The next value of the global version counter, inside a change. */
enum rc sql_next_version(struct db *db, int64_t *version) MUST_CHECK;

/* Fills event, tenant, target, change (a JSON object, or NULL) and the outcome "ok" and puts the record into the outbox. */
enum rc store_record(struct db *db, struct audit_record *who, const char *event, const char *tenant_id, const char *target,
	const struct buf *change) MUST_CHECK;
/* A keyset cursor "<number>_<id>" of lists ordered by a time, newest first. An empty one means the first page. */
void store_cursor_put(char *dst, size_t cap, int64_t number, const char *id);
/* RC_INVALID when malformed. For "" the largest number and a text above every id. */
enum rc store_cursor_get(const char *cursor, int64_t *number, char *id, size_t cap) MUST_CHECK;

#endif
