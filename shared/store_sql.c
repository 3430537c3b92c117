#include "shared/store_sql.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/log.h"
#include "shared/mem.h"

static enum rc constraint_error(struct db *db, int code)
{
	switch (code) {
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
	case SQLITE_CONSTRAINT_UNIQUE:
		return RC_CONFLICT;
	case SQLITE_CONSTRAINT_FOREIGNKEY:
		return RC_INVALID;
	default:
		/* Names a column, never a value. */
		log_err("state database: %s", sqlite3_errmsg(db->handle));
		return RC_INTERNAL;
	}
}

enum rc sql_error(struct db *db, int code)
{
	switch (code & 0xff) {
	case SQLITE_CONSTRAINT:
		return constraint_error(db, code);
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
	case SQLITE_PROTOCOL:
		log_err("state database: %s (%d)", sqlite3_errstr(code), code);
		return RC_UNAVAILABLE;
	default:
		/* The message may quote SQL text of ours, never a bound value. */
		log_err("state database: %s (%d)", sqlite3_errmsg(db->handle), code);
		return RC_INTERNAL;
	}
}

enum rc sql_run(struct db *db, const char *sql)
{
	int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

	return code == SQLITE_OK ? RC_OK : sql_error(db, code);
}

/* Where a new statement goes: at the end, or in the place of one that nobody is stepping through.
 */
static size_t free_place(struct db *db)
{
	if (db->cached < SQL_STATEMENTS_MAX) {
		db->cache[db->cached].statement = NULL;
		return db->cached++;
	}
	for (size_t i = 0; i < SQL_STATEMENTS_MAX; i++) {
		if (!sqlite3_stmt_busy(db->cache[i].statement))
			return i;
	}
	return SQL_STATEMENTS_MAX;
}

static enum rc prepare(struct db *db, const char *sql, sqlite3_stmt **out)
{
	sqlite3_stmt *st;
	size_t place;
	int code;

	for (size_t i = 0; i < db->cached; i++) {
		if (db->cache[i].sql == sql) {
			*out = db->cache[i].statement;
			sqlite3_reset(*out);
			sqlite3_clear_bindings(*out);
			return RC_OK;
		}
	}
	code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
	if (code != SQLITE_OK)
		return sql_error(db, code);
	place = free_place(db);
	if (place == SQL_STATEMENTS_MAX) {
		sqlite3_finalize(st);
		log_err("state database: too many statements at once");
		return RC_INTERNAL;
	}
	sqlite3_finalize(db->cache[place].statement);
	db->cache[place].sql = sql;
	db->cache[place].statement = st;
	*out = st;
	return RC_OK;
}

/* clang-tidy loses sight of va_start() when it is given several files at once. */
/* NOLINTBEGIN(clang-analyzer-valist.Uninitialized) */
static int bind_list(sqlite3_stmt *st, const char *types, va_list *args)
{
	int code = SQLITE_OK;

	for (int i = 1; *types && code == SQLITE_OK; types++, i++) {
		if (*types == 's') {
			code = sqlite3_bind_text(
				st, i, va_arg(*args, const char *), -1, SQLITE_STATIC);
		} else if (*types == 'i') {
			code = sqlite3_bind_int64(st, i, va_arg(*args, int64_t));
		} else {
			const void *bytes = va_arg(*args, const void *);
			size_t len = va_arg(*args, size_t);

			code = sqlite3_bind_blob64(st, i, bytes, len, SQLITE_STATIC);
		}
	}
	return code;
}
/* NOLINTEND(clang-analyzer-valist.Uninitialized) */

static enum rc query(
	struct db *db, sqlite3_stmt **st, const char *sql, const char *types, va_list *args)
{
	enum rc rc = prepare(db, sql, st);
	int code;

	if (rc != RC_OK)
		return rc;
	code = bind_list(*st, types, args);
	return code == SQLITE_OK ? RC_OK : sql_error(db, code);
}

enum rc sql_query(struct db *db, sqlite3_stmt **st, const char *sql, const char *types, ...)
{
	va_list args;
	enum rc rc;

	va_start(args, types);
	rc = query(db, st, sql, types, &args);
	va_end(args);
	return rc;
}

enum rc sql_step(struct db *db, sqlite3_stmt *st)
{
	int code = sqlite3_step(st);
	enum rc rc;

	if (code == SQLITE_ROW)
		return RC_OK;
	rc = code == SQLITE_DONE ? RC_NOTFOUND : sql_error(db, code);
	sqlite3_reset(st);
	return rc;
}

enum rc sql_exec(struct db *db, int *changes, const char *sql, const char *types, ...)
{
	sqlite3_stmt *st;
	va_list args;
	enum rc rc;

	va_start(args, types);
	rc = query(db, &st, sql, types, &args);
	va_end(args);
	if (rc != RC_OK)
		return rc;
	rc = sql_step(db, st);
	sqlite3_reset(st);
	if (rc == RC_NOTFOUND)
		rc = RC_OK;
	if (rc == RC_OK && changes)
		*changes = sqlite3_changes(db->handle);
	return rc;
}

enum rc sql_exists(struct db *db, const char *sql, const char *key)
{
	sqlite3_stmt *st;
	enum rc rc = sql_query(db, &st, sql, "s", key);

	if (rc != RC_OK)
		return rc;
	rc = sql_step(db, st);
	sqlite3_reset(st);
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
	if (c->own)
		return db_begin(db);
	/* A full disk ends a transaction behind our back: what came now would be committed by
	 * itself. */
	if (sqlite3_get_autocommit(db->handle))
		return RC_UNAVAILABLE;
	return sql_run(db, "SAVEPOINT change");
}

enum rc sql_change_end(struct sql_change *c, enum rc rc)
{
	if (c->own && rc == RC_OK)
		return db_commit(c->db);
	if (c->own) {
		db_rollback(c->db);
		return rc;
	}
	if (rc == RC_OK)
		return sql_run(c->db, "RELEASE change");
	if (!sqlite3_get_autocommit(c->db->handle) &&
		sql_run(c->db, "ROLLBACK TO change; RELEASE change") != RC_OK)
		return RC_UNAVAILABLE;
	return rc;
}

enum rc sql_next_version(struct db *db, int64_t *version)
{
	sqlite3_stmt *st;
	enum rc rc = sql_query(db, &st, "UPDATE counter SET value = value + 1 RETURNING value", "");

	if (rc != RC_OK)
		return rc;
	rc = sql_step(db, st);
	if (rc == RC_OK)
		*version = sql_int(st, 0);
	sqlite3_reset(st);
	return rc;
}

static void free_rows(char *rows, size_t count, const struct sql_row_kind *kind)
{
	for (size_t i = 0; kind->clear && i < count; i++)
		kind->clear(rows + i * kind->size);
	free(rows);
}

enum rc sql_page(struct db *db, sqlite3_stmt *st, size_t limit, const struct sql_row_kind *kind,
	void *list, size_t *count, bool *more)
{
	char *rows = xcalloc(limit + 1, kind->size);
	size_t n = 0;
	enum rc rc;

	while ((rc = sql_step(db, st)) == RC_OK && n <= limit)
		kind->read(st, rows + n++ * kind->size);
	sqlite3_reset(st);
	if (rc != RC_NOTFOUND) {
		free_rows(rows, n, kind);
		return rc == RC_OK ? RC_INTERNAL : rc;
	}
	*more = n > limit;
	if (*more && kind->clear)
		kind->clear(rows + limit * kind->size);
	*count = *more ? limit : n;
	memcpy(list, &rows, sizeof(rows)); /* list is a pointer to some row pointer */
	return RC_OK;
}

/* The cursor "<time>_<id>". */
static void cursor_put(char *dst, size_t cap, int64_t number, const char *id)
{
	snprintf(dst, cap, "%lld_%s", (long long)number, id);
}

/* RC_INVALID when malformed. "" gives a number above every time. */
static enum rc cursor_get(const char *cursor, int64_t *number, char *id, size_t cap)
{
	char *end;
	long long n;

	*number = INT64_MAX;
	id[0] = '\0';
	if (!*cursor)
		return RC_OK;
	errno = 0;
	n = strtoll(cursor, &end, 10);
	if (end == cursor || *end != '_' || errno == ERANGE || !str_copy(id, cap, end + 1))
		return RC_INVALID;
	*number = n;
	return RC_OK;
}

enum rc sql_newest(struct db *db, const char *sql, const char *tenant_id, const char *after,
	size_t limit, const struct sql_row_kind *kind, void *list, size_t *count,
	char next[STORE_CURSOR_MAX + 1])
{
	char id[STORE_CURSOR_MAX + 1], *rows, *last;
	sqlite3_stmt *st;
	int64_t time;
	bool more;
	enum rc rc = cursor_get(after, &time, id, sizeof(id));

	if (rc == RC_OK)
		rc = sql_query(db, &st, sql, "sisi", tenant_id, time, id, (int64_t)limit + 1);
	if (rc == RC_OK)
		rc = sql_page(db, st, limit, kind, &rows, count, &more);
	if (rc != RC_OK)
		return rc;
	next[0] = '\0';
	if (more && *count > 0) {
		last = rows + (*count - 1) * kind->size;
		memcpy(&time, last + kind->time_at, sizeof(time));
		cursor_put(next, STORE_CURSOR_MAX + 1, time, last + kind->id_at);
	}
	memcpy(list, &rows, sizeof(rows));
	return RC_OK;
}
