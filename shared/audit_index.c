#include "shared/audit_index.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/audit_index_internal.h"
#include "shared/log.h"
#include "shared/mem.h"

/* Counts up with every change of the schema, of the words or of their hash: an index of another
 * version is made anew. */
#define VERSION 2
#define VERSION_TEXT "2"
#define BUSY_MS 5000
/* A page takes most buckets without an overflow page. */
#define PAGE_BYTES "8192"
#define MAP_BYTES "1073741824"

#define BLOCK_COLUMNS "first, last, segment, offset, end, min_ms, max_ms, mark, last_offset"
#define SPAN_COLUMNS "first, last, min_ms, max_ms, merged"
#define AFTER(table)                                                              \
	" WHERE first >= coalesce((SELECT first FROM " table " WHERE first <= ?1" \
	" ORDER BY first DESC LIMIT 1), 0) AND last > ?1 ORDER BY first LIMIT 1"
static const char *const sql[AUDIT_INDEX_QUERIES] = {
	[AUDIT_INDEX_LAST] = "SELECT " BLOCK_COLUMNS " FROM block ORDER BY first DESC LIMIT 1",
	[AUDIT_INDEX_WHOLE] = "SELECT last FROM span s WHERE NOT EXISTS"
			      " (SELECT 1 FROM span n WHERE n.first = s.last + 1)"
			      " ORDER BY first LIMIT 1",
	[AUDIT_INDEX_BEFORE] =
		"SELECT " BLOCK_COLUMNS " FROM block WHERE first < ?1 ORDER BY first DESC LIMIT 1",
	/* The one that holds seq + 1 begins at or before it. */
	[AUDIT_INDEX_AFTER] = "SELECT " BLOCK_COLUMNS " FROM block" AFTER("block"),
	[AUDIT_INDEX_PLACES] = "SELECT bytes FROM place WHERE block = ?1",
	[AUDIT_INDEX_SPAN_BEFORE] =
		"SELECT " SPAN_COLUMNS " FROM span WHERE first < ?1 ORDER BY first DESC LIMIT 1",
	[AUDIT_INDEX_SPAN_AFTER] = "SELECT " SPAN_COLUMNS " FROM span" AFTER("span"),
	[AUDIT_INDEX_BUCKET] = "SELECT words FROM bucket WHERE key = ?1",
	[AUDIT_INDEX_APART] = "SELECT rows FROM apart WHERE key = ?1",
	/* By the index of those alone. */
	[AUDIT_INDEX_FRESH] = "SELECT " SPAN_COLUMNS " FROM span WHERE merged = 0 AND first >= ?1"
			      " ORDER BY first LIMIT 1",
	[AUDIT_INDEX_ADD] = "INSERT INTO block VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[AUDIT_INDEX_ADD_PLACES] = "INSERT INTO place VALUES (?1, ?2)",
	[AUDIT_INDEX_ADD_SPAN] = "INSERT INTO span VALUES (?1, ?2, ?3, ?4, ?5)",
	[AUDIT_INDEX_ADD_BUCKET] = "INSERT INTO bucket VALUES (?1, ?2)",
	[AUDIT_INDEX_ADD_APART] = "INSERT INTO apart VALUES (?1, ?2)",
	[AUDIT_INDEX_FORGET] = "DELETE FROM block WHERE first BETWEEN ?1 AND ?2",
	[AUDIT_INDEX_FORGET_PLACES] = "DELETE FROM place WHERE block BETWEEN ?1 AND ?2",
	[AUDIT_INDEX_FORGET_SPANS] = "DELETE FROM span WHERE first BETWEEN ?1 AND ?2",
	[AUDIT_INDEX_FORGET_BUCKETS] = "DELETE FROM bucket WHERE key BETWEEN ?1 AND ?2",
	[AUDIT_INDEX_FORGET_APART] = "DELETE FROM apart WHERE key BETWEEN ?1 AND ?2",
	[AUDIT_INDEX_FORGET_FRESH_APART] =
		"DELETE FROM apart WHERE key BETWEEN ?1 AND ?2 AND key % 2 = 0",
};

struct audit_index {
	sqlite3 *handle;
	sqlite3_stmt *query[AUDIT_INDEX_QUERIES];
	dev_t dev;
	ino_t ino;
};

enum rc audit_index_path(const char *path, const char *configured, char out[PATH_MAX])
{
	static const char suffix[] = ".jsonl";
	size_t len = strlen(path);
	int n;

	if (*configured)
		return str_copy(out, PATH_MAX, configured) ? RC_OK : RC_LIMIT;
	if (len > sizeof(suffix) - 1 && strcmp(path + len - (sizeof(suffix) - 1), suffix) == 0)
		len -= sizeof(suffix) - 1;
	n = snprintf(out, PATH_MAX, "%.*s-index.db", (int)len, path);
	return n > 0 && n < PATH_MAX ? RC_OK : RC_LIMIT;
}

/* --- opening ----------------------------------------------------------------------------- */

static enum rc failed(struct audit_index *ix, int code)
{
	switch (code & 0xFF) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_SCHEMA:
		log_err("the audit index is damaged: %s", sqlite3_errmsg(ix->handle));
		return RC_INVALID;
	case SQLITE_CONSTRAINT:
		return RC_CONFLICT;
	default:
		log_err("the audit index can't be used: %s", sqlite3_errmsg(ix->handle));
		return RC_UNAVAILABLE;
	}
}

enum rc audit_index_run(struct audit_index *ix, const char *text)
{
	int code = sqlite3_exec(ix->handle, text, NULL, NULL, NULL);

	return code == SQLITE_OK ? RC_OK : failed(ix, code);
}

static int version(sqlite3 *handle)
{
	sqlite3_stmt *st = NULL;
	int v = -1;

	if (sqlite3_prepare_v2(handle, "PRAGMA user_version", -1, &st, NULL) == SQLITE_OK &&
		sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return v;
}

static void remember_file(struct audit_index *ix, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0) {
		ix->dev = st.st_dev;
		ix->ino = st.st_ino;
	}
}

static struct audit_index *open_handle(const char *path, int flags)
{
	struct audit_index *ix = xcalloc(1, sizeof(*ix));

	if (sqlite3_open_v2(path, &ix->handle, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		audit_index_close(ix);
		return NULL;
	}
	(void)sqlite3_busy_timeout(ix->handle, BUSY_MS);
	(void)sqlite3_extended_result_codes(ix->handle, 1);
	(void)sqlite3_exec(ix->handle, "PRAGMA mmap_size=" MAP_BYTES "; PRAGMA trusted_schema=OFF;",
		NULL, NULL, NULL);
	remember_file(ix, path);
	return ix;
}

enum rc audit_index_open(const char *path, struct audit_index **out)
{
	struct audit_index *ix;

	if (access(path, R_OK) != 0)
		return RC_NOTFOUND;
	ix = open_handle(path, SQLITE_OPEN_READONLY);
	/* In one transaction: what is read fits together, and no statement needs locks of its own.
	 */
	if (!ix || audit_index_run(ix, "BEGIN") != RC_OK || version(ix->handle) != VERSION) {
		audit_index_close(ix);
		return RC_NOTFOUND;
	}
	*out = ix;
	return RC_OK;
}

void audit_index_remove(const char *path)
{
	static const char *const endings[] = {"", "-wal", "-shm"};
	char name[PATH_MAX + 8];

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", path, endings[i]);
		if (unlink(name) != 0 && errno != ENOENT)
			log_warn("cannot remove %s: %s", name, strerror(errno));
	}
}

/* The file is made first, for the owner alone: SQLite would take the umask's mode. */
static struct audit_index *open_or_make(const char *path)
{
	static const char make[] =
		"BEGIN IMMEDIATE;"
		"CREATE TABLE block (first INTEGER PRIMARY KEY, last INTEGER NOT NULL,"
		" segment INTEGER NOT NULL, offset INTEGER NOT NULL, end INTEGER NOT NULL,"
		" min_ms INTEGER NOT NULL, max_ms INTEGER NOT NULL, mark INTEGER NOT NULL,"
		" last_offset INTEGER NOT NULL) STRICT;"
		"CREATE TABLE place (block INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;"
		"CREATE TABLE span (first INTEGER PRIMARY KEY, last INTEGER NOT NULL,"
		" min_ms INTEGER NOT NULL, max_ms INTEGER NOT NULL, merged INTEGER NOT NULL) "
		"STRICT;"
		"CREATE INDEX span_fresh ON span (first) WHERE merged = 0;"
		"CREATE TABLE bucket (key INTEGER PRIMARY KEY, words BLOB NOT NULL) STRICT;"
		"CREATE TABLE apart (key INTEGER PRIMARY KEY, rows BLOB NOT NULL) STRICT;"
		"PRAGMA user_version=" VERSION_TEXT "; COMMIT;";
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), found;
	struct audit_index *ix;

	if (fd >= 0)
		(void)close(fd);
	else if (errno != EEXIST)
		return NULL;
	ix = open_handle(path, SQLITE_OPEN_READWRITE);
	if (!ix)
		return NULL;
	found = version(ix->handle);
	if (audit_index_run(ix,
		    "PRAGMA page_size=" PAGE_BYTES
		    "; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;") == RC_OK &&
		(found == VERSION || (found == 0 && audit_index_run(ix, make) == RC_OK) ||
			version(ix->handle) == VERSION))
		return ix;
	audit_index_close(ix);
	return NULL;
}

enum rc audit_index_open_write(const char *path, struct audit_index **out)
{
	struct audit_index *ix = open_or_make(path);

	if (!ix) {
		log_warn("the audit index %s is damaged or of another version: it is made anew",
			path);
		audit_index_remove(path);
		ix = open_or_make(path);
	}
	if (!ix) {
		log_err("cannot make the audit index %s: %s", path, strerror(errno));
		return RC_UNAVAILABLE;
	}
	*out = ix;
	return RC_OK;
}

void audit_index_close(struct audit_index *ix)
{
	if (!ix)
		return;
	for (size_t i = 0; i < AUDIT_INDEX_QUERIES; i++)
		sqlite3_finalize(ix->query[i]);
	sqlite3_close(ix->handle);
	free(ix);
}

bool audit_index_current(const struct audit_index *ix, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_dev == ix->dev && st.st_ino == ix->ino;
}

/* --- statements -------------------------------------------------------------------------- */

/* Prepared once, its numbers bound from ?1 on. NULL, logged, when that fails. */
static sqlite3_stmt *bind(struct audit_index *ix, enum audit_index_query q, const int64_t *numbers,
	int count, enum rc *rc)
{
	sqlite3_stmt *st = ix->query[q];
	int code = SQLITE_OK;

	if (!st)
		code = sqlite3_prepare_v3(
			ix->handle, sql[q], -1, SQLITE_PREPARE_PERSISTENT, &ix->query[q], NULL);
	st = ix->query[q];
	for (int i = 0; code == SQLITE_OK && i < count; i++)
		code = sqlite3_bind_int64(st, i + 1, numbers[i]);
	*rc = code == SQLITE_OK ? RC_OK : failed(ix, code);
	return *rc == RC_OK ? st : NULL;
}

/* RC_NOTFOUND at the end. */
static enum rc step(struct audit_index *ix, sqlite3_stmt *st)
{
	int code = sqlite3_step(st);

	if (code == SQLITE_ROW)
		return RC_OK;
	return code == SQLITE_DONE ? RC_NOTFOUND : failed(ix, code);
}

static void blob(sqlite3_stmt *st, const uint8_t **bytes, size_t *len)
{
	*bytes = sqlite3_column_blob(st, 0);
	*len = (size_t)sqlite3_column_bytes(st, 0);
}

/* --- reading ----------------------------------------------------------------------------- */

static enum rc read_block(struct audit_index *ix, enum audit_index_query q, const int64_t *numbers,
	int count, struct audit_index_block *out)
{
	enum rc rc;
	sqlite3_stmt *st = bind(ix, q, numbers, count, &rc);
	struct audit_index_block b = {0};

	if (!st)
		return rc;
	rc = step(ix, st);
	if (rc == RC_OK) {
		b.first = sqlite3_column_int64(st, 0);
		b.last = sqlite3_column_int64(st, 1);
		b.at.segment = b.end.segment = sqlite3_column_int64(st, 2);
		b.at.offset = sqlite3_column_int64(st, 3);
		b.end.offset = sqlite3_column_int64(st, 4);
		b.min_ms = sqlite3_column_int64(st, 5);
		b.max_ms = sqlite3_column_int64(st, 6);
		b.mark = (uint64_t)sqlite3_column_int64(st, 7);
		b.last_offset = sqlite3_column_int64(st, 8);
		if (b.first < 1 || b.last < b.first || b.last - b.first >= AUDIT_BLOCK_ROWS ||
			b.at.offset < 0)
			rc = RC_INVALID;
	}
	(void)sqlite3_reset(st);
	if (rc == RC_OK)
		*out = b;
	return rc;
}

enum rc audit_index_last(struct audit_index *ix, struct audit_index_block *out)
{
	return read_block(ix, AUDIT_INDEX_LAST, NULL, 0, out);
}

enum rc audit_index_whole(struct audit_index *ix, int64_t *seq)
{
	enum rc rc;
	sqlite3_stmt *st = bind(ix, AUDIT_INDEX_WHOLE, NULL, 0, &rc);

	if (!st)
		return rc;
	rc = step(ix, st);
	if (rc == RC_OK)
		*seq = sqlite3_column_int64(st, 0);
	(void)sqlite3_reset(st);
	return rc;
}

enum rc audit_index_before(struct audit_index *ix, int64_t seq, struct audit_index_block *out)
{
	return read_block(ix, AUDIT_INDEX_BEFORE, &seq, 1, out);
}

enum rc audit_index_after(struct audit_index *ix, int64_t seq, struct audit_index_block *out)
{
	return read_block(ix, AUDIT_INDEX_AFTER, &seq, 1, out);
}

enum rc audit_index_places(struct audit_index *ix, const struct audit_index_block *b,
	struct audit_row_place out[AUDIT_BLOCK_ROWS])
{
	enum rc rc;
	sqlite3_stmt *st = bind(ix, AUDIT_INDEX_PLACES, &b->first, 1, &rc);
	const uint8_t *bytes;
	size_t len;

	if (!st)
		return rc;
	rc = step(ix, st);
	if (rc == RC_OK) {
		blob(st, &bytes, &len);
		rc = audit_block_places(
			bytes, len, b->at.offset, (size_t)(b->last - b->first + 1), out);
	}
	(void)sqlite3_reset(st);
	return rc;
}

static bool sound(struct audit_index *ix)
{
	sqlite3_stmt *st = NULL;
	bool ok;

	ok = sqlite3_prepare_v2(ix->handle, "PRAGMA quick_check(1)", -1, &st, NULL) == SQLITE_OK &&
		sqlite3_step(st) == SQLITE_ROW &&
		strcmp((const char *)sqlite3_column_text(st, 0), "ok") == 0;
	sqlite3_finalize(st);
	return ok;
}

void audit_index_look(const char *path, bool closely, struct audit_index_state *out)
{
	struct audit_index_block last = {0};
	struct audit_index *ix;
	enum rc rc;

	*out = (struct audit_index_state){0};
	if (audit_index_open(path, &ix) != RC_OK)
		return;
	rc = audit_index_last(ix, &last);
	out->sound = (rc == RC_OK || rc == RC_NOTFOUND) && (!closely || sound(ix));
	out->last = last.last;
	audit_index_close(ix);
}

/* --- spans ------------------------------------------------------------------------------- */

enum rc audit_index_get_span(struct audit_index *ix, enum audit_index_query q, int64_t number,
	struct audit_index_span *out)
{
	enum rc rc;
	sqlite3_stmt *st = bind(ix, q, &number, 1, &rc);
	struct audit_index_span s;

	if (!st)
		return rc;
	rc = step(ix, st);
	if (rc == RC_OK) {
		s = (struct audit_index_span){.first = sqlite3_column_int64(st, 0),
			.last = sqlite3_column_int64(st, 1),
			.min_ms = sqlite3_column_int64(st, 2),
			.max_ms = sqlite3_column_int64(st, 3),
			.merged = sqlite3_column_int(st, 4) != 0};
		if (s.first < 1 || s.last < s.first || s.last - s.first >= (int64_t)AUDIT_SPAN_ROWS)
			rc = RC_INVALID;
	}
	(void)sqlite3_reset(st);
	if (rc == RC_OK)
		*out = s;
	return rc;
}

enum rc audit_index_span_before(struct audit_index *ix, int64_t seq, struct audit_index_span *out)
{
	return audit_index_get_span(ix, AUDIT_INDEX_SPAN_BEFORE, seq, out);
}

enum rc audit_index_span_after(struct audit_index *ix, int64_t seq, struct audit_index_span *out)
{
	return audit_index_get_span(ix, AUDIT_INDEX_SPAN_AFTER, seq, out);
}

enum rc audit_index_get_bytes(
	struct audit_index *ix, enum audit_index_query q, int64_t key, struct buf *out)
{
	enum rc rc;
	sqlite3_stmt *st = bind(ix, q, &key, 1, &rc);
	const uint8_t *bytes;
	size_t len;

	if (!st)
		return rc;
	rc = step(ix, st);
	if (rc == RC_OK) {
		blob(st, &bytes, &len);
		buf_add(out, bytes, len);
	}
	(void)sqlite3_reset(st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc add_apart(struct audit_index *ix, const struct audit_index_span *span, size_t place,
	struct audit_set *s)
{
	int64_t key = audit_index_apart_key(span->first, span->merged, place);
	enum rc rc;
	sqlite3_stmt *st = bind(ix, AUDIT_INDEX_APART, &key, 1, &rc);
	const uint8_t *bytes;
	size_t len;

	if (!st)
		return rc;
	rc = place <= (size_t)(span->last - span->first) ? step(ix, st) : RC_NOTFOUND;
	if (rc == RC_OK) {
		blob(st, &bytes, &len);
		rc = audit_set_add(s, bytes, len);
	}
	(void)sqlite3_reset(st);
	return rc == RC_NOTFOUND ? RC_INVALID : rc;
}

static enum rc add_entry(struct audit_index *ix, const struct audit_index_span *span,
	const struct audit_bucket_entry *e, struct audit_set *s)
{
	return e->apart ? add_apart(ix, span, e->len, s) : audit_set_add(s, e->set, e->len);
}

enum rc audit_index_rows(struct audit_index *ix, const struct audit_index_span *span, uint32_t word,
	struct audit_set *s)
{
	int64_t key = audit_index_bucket_key(span->first, span->merged, audit_bucket_of(word));
	enum rc rc;
	sqlite3_stmt *st = bind(ix, AUDIT_INDEX_BUCKET, &key, 1, &rc);
	struct audit_bucket_entry e;
	const uint8_t *bytes;
	size_t len;

	if (!st)
		return rc;
	rc = step(ix, st);
	if (rc == RC_OK) {
		blob(st, &bytes, &len);
		rc = audit_bucket_find(bytes, len, word, &e);
	}
	if (rc == RC_OK)
		rc = add_entry(ix, span, &e, s);
	(void)sqlite3_reset(st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc audit_index_rows_where(struct audit_index *ix, const struct audit_index_span *span,
	enum audit_word_kind kind, bool (*wanted)(void *ctx, uint32_t word), void *ctx,
	struct audit_set *s)
{
	int64_t key = audit_index_bucket_key(span->first, span->merged, kind);
	enum rc rc;
	sqlite3_stmt *st = bind(ix, AUDIT_INDEX_BUCKET, &key, 1, &rc);
	struct audit_bucket_walk w;
	struct audit_bucket_entry e;
	const uint8_t *bytes;
	size_t len;

	if (!st)
		return rc;
	rc = step(ix, st);
	if (rc == RC_OK) {
		blob(st, &bytes, &len);
		w = audit_bucket_walk(bytes, len);
		while (rc == RC_OK && audit_bucket_next(&w, &e))
			if (wanted(ctx, e.word))
				rc = add_entry(ix, span, &e, s);
		rc = w.wrong ? RC_INVALID : rc;
	}
	(void)sqlite3_reset(st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* --- for the writer ------------------------------------------------------------------------ */

enum rc audit_index_do(struct audit_index *ix, enum audit_index_query q, const int64_t *numbers,
	int count, const struct buf *bytes)
{
	enum rc rc;
	sqlite3_stmt *st = bind(ix, q, numbers, count, &rc);

	if (!st)
		return rc;
	/* Of an empty one there are no bytes to point to, and NULL would be none. */
	if (bytes &&
		sqlite3_bind_blob(st, count + 1, bytes->len > 0 ? (const void *)bytes->data : "",
			(int)bytes->len, SQLITE_STATIC) != SQLITE_OK)
		rc = RC_UNAVAILABLE;
	if (rc == RC_OK)
		rc = step(ix, st);
	(void)sqlite3_reset(st);
	if (bytes)
		(void)sqlite3_bind_null(st, count + 1);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc audit_index_end(struct audit_index *ix, enum rc rc)
{
	if (rc == RC_OK)
		rc = audit_index_run(ix, "COMMIT");
	if (rc != RC_OK && !sqlite3_get_autocommit(ix->handle))
		(void)sqlite3_exec(ix->handle, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}
