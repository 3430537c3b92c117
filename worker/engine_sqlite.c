/* The snapshot engine that is an SQLite file: written once, then opened read-only and immutable
 * behind the guard. */
#include "worker/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/buf.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "worker/guard.h"
#include "worker/heap.h"
#include "worker/value_sqlite.h"

#define PAGE_SIZE 4096
#define IDLE_MAX 2 /* connections kept open for a snapshot between statements */

struct engine_build {
	sqlite3 *db;
	char *path;
	const struct engine_shape *shape;
	sqlite3_stmt **inserts; /* one a table */
};

struct connection {
	sqlite3 *db;
	struct guard guard;
};

struct engine {
	char *uri;
	const struct engine_shape *shape;
	pthread_mutex_t lock; /* over idle */
	struct connection *idle[IDLE_MAX];
};

static enum rc failed(sqlite3 *db, int code, const char *what)
{
	if ((code & 0xff) == SQLITE_FULL || (code & 0xff) == SQLITE_TOOBIG)
		return RC_LIMIT;
	/* SQLite's text is left out: it may quote names and values of the customer's. */
	log_err("snapshot engine: %s: %s%s%s", what, sqlite3_errstr(code),
		db && sqlite3_system_errno(db) ? ": " : "",
		db && sqlite3_system_errno(db) ? strerror(sqlite3_system_errno(db)) : "");
	return RC_INTERNAL;
}

/* --- building ---------------------------------------------------------------- */

static void put_name(struct buf *sql, const char *name)
{
	buf_char(sql, '"');
	for (; *name; name++) {
		if (*name == '"')
			buf_char(sql, '"');
		buf_char(sql, *name);
	}
	buf_char(sql, '"');
}

/* The declared type gives the column the affinity it had at the source, so values are stored as
 * they come. */
static const char *type_name(enum column_kind kind)
{
	switch (kind) {
	case COLUMN_INT:
		return " INTEGER";
	case COLUMN_REAL:
		return " REAL";
	case COLUMN_NUMERIC:
		return " NUMERIC";
	case COLUMN_TEXT:
		return " TEXT";
	case COLUMN_BLOB:
		return " BLOB";
	case COLUMN_ANY:
		break;
	}
	return "";
}

static int build_table(struct engine_build *b, size_t i)
{
	const struct engine_table *t = &b->shape->tables[i];
	struct buf sql;
	char *text;
	int code;

	buf_init(&sql, 1 << 20);
	buf_str(&sql, "CREATE TABLE ");
	put_name(&sql, t->name);
	for (size_t k = 0; k < t->column_count; k++) {
		buf_str(&sql, k ? ", " : "(");
		put_name(&sql, t->columns[k].name);
		buf_str(&sql, type_name(t->columns[k].kind));
	}
	buf_str(&sql, ")");
	text = buf_steal(&sql);
	code = text ? sqlite3_exec(b->db, text, NULL, NULL, NULL) : SQLITE_NOMEM;
	free(text);
	if (code != SQLITE_OK)
		return code;
	buf_str(&sql, "INSERT INTO ");
	put_name(&sql, t->name);
	for (size_t k = 0; k < t->column_count; k++)
		buf_str(&sql, k ? ", ?" : " VALUES(?");
	buf_str(&sql, ")");
	text = buf_steal(&sql);
	code = text ? sqlite3_prepare_v2(b->db, text, -1, &b->inserts[i], NULL) : SQLITE_NOMEM;
	free(text);
	return code;
}

static void build_free(struct engine_build *b)
{
	for (size_t i = 0; i < b->shape->table_count; i++)
		sqlite3_finalize(b->inserts[i]);
	sqlite3_close(b->db);
	free(b->inserts);
	free(b->path);
	free(b);
}

static void sqlite_abandon(struct engine_build *b)
{
	if (!b)
		return;
	if (unlink(b->path) != 0 && errno != ENOENT)
		log_err("snapshot engine: can't remove an unfinished snapshot: %s",
			strerror(errno));
	build_free(b);
}

static enum rc make_file(const char *path)
{
	/* Made here and not by SQLite, so that it is never there with a wider mode. */
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0) {
		log_err("snapshot engine: can't make a file in data_dir: %s", strerror(errno));
		return errno == ENOSPC || errno == EDQUOT ? RC_LIMIT : RC_INTERNAL;
	}
	close(fd);
	return RC_OK;
}

static enum rc sqlite_create(const char *path, const struct engine_shape *shape, int64_t max_bytes,
	struct engine_build **out)
{
	struct engine_build *b;
	char pragmas[256];
	enum rc rc = make_file(path);
	int code;

	if (rc != RC_OK)
		return rc;
	b = xcalloc(1, sizeof(*b));
	b->path = xstrdup(path);
	b->shape = shape;
	b->inserts = xcalloc(shape->table_count + 1, sizeof(sqlite3_stmt *));
	code = sqlite3_open_v2(path, &b->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
	/* Nobody reads it before it is sealed and a half-made one is thrown away: no journal, no
	 * sync. */
	snprintf(pragmas, sizeof(pragmas),
		"PRAGMA page_size = %d; PRAGMA max_page_count = %lld; PRAGMA journal_mode = OFF; "
		"PRAGMA synchronous = OFF;"
		"PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY; BEGIN EXCLUSIVE;",
		PAGE_SIZE, (long long)(max_bytes / PAGE_SIZE > 0 ? max_bytes / PAGE_SIZE : 1));
	if (code == SQLITE_OK)
		code = sqlite3_exec(b->db, pragmas, NULL, NULL, NULL);
	for (size_t i = 0; code == SQLITE_OK && i < shape->table_count; i++)
		code = build_table(b, i);
	if (code != SQLITE_OK) {
		rc = failed(b->db, code, "create");
		sqlite_abandon(b);
		return rc;
	}
	*out = b;
	return RC_OK;
}

static int bind_value(sqlite3_stmt *stmt, int i, const struct value *v)
{
	switch (v->kind) {
	case VALUE_NULL:
		return sqlite3_bind_null(stmt, i);
	case VALUE_INT:
		return sqlite3_bind_int64(stmt, i, v->i);
	case VALUE_REAL:
		return sqlite3_bind_double(stmt, i, v->r);
	case VALUE_TEXT:
		return sqlite3_bind_text64(stmt, i, v->p, v->len, SQLITE_STATIC, SQLITE_UTF8);
	case VALUE_BLOB:
		return sqlite3_bind_blob64(stmt, i, v->p, v->len, SQLITE_STATIC);
	}
	return SQLITE_MISUSE;
}

static enum rc sqlite_insert(struct engine_build *b, size_t table, const struct value *row)
{
	sqlite3_stmt *stmt = b->inserts[table];
	int code = SQLITE_OK;

	for (size_t i = 0; code == SQLITE_OK && i < b->shape->tables[table].column_count; i++)
		code = bind_value(stmt, (int)i + 1, &row[i]);
	if (code == SQLITE_OK && sqlite3_step(stmt) != SQLITE_DONE)
		code = sqlite3_extended_errcode(b->db);
	sqlite3_reset(stmt);
	return code == SQLITE_OK ? RC_OK : failed(b->db, code, "insert");
}

static enum rc sqlite_seal(struct engine_build *b, const char *path)
{
	int code = sqlite3_exec(b->db, "COMMIT", NULL, NULL, NULL);
	enum rc rc = RC_OK;

	for (size_t i = 0; i < b->shape->table_count; i++) {
		sqlite3_finalize(b->inserts[i]);
		b->inserts[i] = NULL;
	}
	if (code == SQLITE_OK)
		code = sqlite3_close(b->db);
	if (code != SQLITE_OK) {
		rc = failed(b->db, code, "seal");
		sqlite_abandon(b);
		return rc;
	}
	b->db = NULL;
	if (rename(b->path, path) != 0) {
		log_err("snapshot engine: can't put a snapshot in place: %s", strerror(errno));
		sqlite_abandon(b);
		return RC_INTERNAL;
	}
	build_free(b);
	return RC_OK;
}

/* --- reading ------------------------------------------------------------------ */

static void connection_free(struct connection *c)
{
	if (!c)
		return;
	sqlite3_close(c->db);
	guard_detach(&c->guard);
	free(c);
}

static enum rc connection_new(const struct engine *e, struct connection **out)
{
	struct connection *c = xcalloc(1, sizeof(*c));
	int code = sqlite3_open_v2(e->uri, &c->db,
		SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
			SQLITE_OPEN_PRIVATECACHE,
		NULL);

	if (code == SQLITE_OK)
		code = guard_attach(&c->guard, c->db, e->shape);
	if (code != SQLITE_OK) {
		enum rc rc = failed(c->db, code, "open");

		connection_free(c);
		return rc == RC_LIMIT ? RC_INTERNAL : rc;
	}
	*out = c;
	return RC_OK;
}

static enum rc connection_take(struct engine *e, struct connection **out)
{
	struct connection *c = NULL;

	pthread_mutex_lock(&e->lock);
	for (int i = 0; i < IDLE_MAX && !c; i++) {
		c = e->idle[i];
		e->idle[i] = NULL;
	}
	pthread_mutex_unlock(&e->lock);
	if (!c)
		return connection_new(e, out);
	*out = c;
	return RC_OK;
}

static void connection_give(struct engine *e, struct connection *c)
{
	pthread_mutex_lock(&e->lock);
	for (int i = 0; i < IDLE_MAX && c; i++) {
		if (!e->idle[i]) {
			e->idle[i] = c;
			c = NULL;
		}
	}
	pthread_mutex_unlock(&e->lock);
	connection_free(c);
}

static char *make_uri(const char *path)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-_.~";
	struct buf uri;

	buf_init(&uri, 65536);
	buf_str(&uri, "file:");
	for (; *path; path++) {
		if (strchr(plain, *path))
			buf_char(&uri, *path);
		else
			buf_printf(&uri, "%%%02x", (unsigned)(unsigned char)*path);
	}
	buf_str(&uri, "?mode=ro&immutable=1");
	return buf_steal(&uri);
}

static void sqlite_close(struct engine *e)
{
	if (!e)
		return;
	for (int i = 0; i < IDLE_MAX; i++)
		connection_free(e->idle[i]);
	pthread_mutex_destroy(&e->lock);
	free(e->uri);
	free(e);
}

static enum rc sqlite_open(const char *path, const struct engine_shape *shape, struct engine **out)
{
	struct engine *e = xcalloc(1, sizeof(*e));
	enum rc rc;

	pthread_mutex_init(&e->lock, NULL);
	e->shape = shape;
	e->uri = make_uri(path);
	rc = e->uri ? connection_new(e, &e->idle[0]) : RC_INTERNAL;
	if (rc != RC_OK) {
		sqlite_close(e);
		return rc;
	}
	*out = e;
	return RC_OK;
}

static enum rc give_columns(sqlite3_stmt *stmt, int count, const struct engine_sink *sink)
{
	const char **names = xcalloc((size_t)count, sizeof(*names));
	enum rc rc;

	for (int i = 0; i < count; i++) {
		names[i] = sqlite3_column_name(stmt, i);
		if (!names[i])
			names[i] = "";
	}
	rc = sink->columns(sink->ctx, names, (size_t)count);
	free(names);
	return rc;
}

static enum engine_status run(struct connection *c, sqlite3_stmt *stmt,
	const struct engine_sink *sink, struct engine_message *message)
{
	int count = sqlite3_column_count(stmt), code;
	struct value *values = xcalloc((size_t)count, sizeof(*values));
	enum engine_status status = ENGINE_OK;
	enum rc rc = give_columns(stmt, count, sink);

	while (rc == RC_OK && (code = sqlite3_step(stmt)) != SQLITE_DONE) {
		if (code != SQLITE_ROW) {
			status = guard_step_failed(&c->guard, c->db, code, message);
			break;
		}
		for (int i = 0; i < count; i++)
			values[i] = value_sqlite(stmt, i);
		rc = sink->row(sink->ctx, values, (size_t)count);
	}
	if (rc != RC_OK && rc != RC_LIMIT)
		status = ENGINE_FAILED;
	free(values);
	return status;
}

static enum engine_status sqlite_query(struct engine *e, const struct engine_query *q,
	const struct engine_sink *sink, struct engine_message *message)
{
	struct connection *c;
	sqlite3_stmt *stmt;
	enum engine_status status;

	message->text[0] = '\0';
	if (connection_take(e, &c) != RC_OK)
		return ENGINE_FAILED;
	c->guard.budget = q->budget;
	heap_begin(q->max_memory, guard_may_go_on, &c->guard);
	status = guard_prepare(&c->guard, c->db, q->sql, q->len, &stmt, message);
	if (status == ENGINE_OK) {
		status = run(c, stmt, sink, message);
		sqlite3_finalize(stmt);
	}
	c->guard.budget = NULL;
	/* A connection that ran out of memory may hold half of a cache; the next statement gets a
	 * fresh one. */
	if (heap_end())
		connection_free(c);
	else
		connection_give(e, c);
	return status;
}

static enum rc sqlite_init(const struct engine_settings *settings, struct engine_message *why)
{
	enum rc rc = heap_install();

	(void)settings;
	if (rc != RC_OK)
		snprintf(why->text, sizeof(why->text), "the snapshot engine can't be started");
	return rc;
}

const struct engine_ops engine_sqlite = {
	.name = "sqlite",
	.dialect = "SQLite",
	.init = sqlite_init,
	.create = sqlite_create,
	.insert = sqlite_insert,
	.seal = sqlite_seal,
	.abandon = sqlite_abandon,
	.open = sqlite_open,
	.query = sqlite_query,
	.close = sqlite_close,
};
