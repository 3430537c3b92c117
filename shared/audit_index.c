#include "shared/audit_index.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/mem.h"

/* Counts up with every change of the schema, of the words or of their hash: an index of another
 * version is made anew. */
#define VERSION 1
#define BUSY_MS 5000
/* A page takes the bit map of a whole block without an overflow page. */
#define PAGE_BYTES "8192"
#define MAP_BYTES "1073741824"

enum query {
	LAST,
	WHOLE,
	BEFORE,
	AFTER,
	ROWS,
	ROWS_WHERE,
	PLACES,
	ADD,
	ADD_PLACES,
	ADD_ROWS,
	FORGET,
	FORGET_PLACES,
	FORGET_ROWS
};

#define BLOCK_COLUMNS "first, last, segment, offset, end, min_ms, max_ms, mark, last_offset"
static const char *const sql[] = {
	[LAST] = "SELECT " BLOCK_COLUMNS " FROM block ORDER BY first DESC LIMIT 1",
	[WHOLE] = "SELECT last FROM block b WHERE NOT EXISTS"
		  " (SELECT 1 FROM block n WHERE n.first = b.last + 1) ORDER BY first LIMIT 1",
	[BEFORE] =
		"SELECT " BLOCK_COLUMNS " FROM block WHERE first < ?1 ORDER BY first DESC LIMIT 1",
	/* The block that holds seq + 1 begins at or before it. */
	[AFTER] = "SELECT " BLOCK_COLUMNS
		  " FROM block WHERE first >= coalesce((SELECT first FROM block WHERE first <= ?1"
		  " ORDER BY first DESC LIMIT 1), 0) AND last > ?1 ORDER BY first LIMIT 1",
	[ROWS] = "SELECT rows FROM posting WHERE block = ?1 AND word = ?2",
	[ROWS_WHERE] = "SELECT rows, word FROM posting WHERE block = ?1 AND word BETWEEN ?2 AND ?3",
	[PLACES] = "SELECT bytes FROM place WHERE block = ?1",
	[ADD] = "INSERT INTO block VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[ADD_PLACES] = "INSERT INTO place VALUES (?1, ?2)",
	[ADD_ROWS] = "INSERT INTO posting VALUES (?1, ?2, ?3)",
	[FORGET] = "DELETE FROM block WHERE first BETWEEN ?1 AND ?2",
	[FORGET_PLACES] = "DELETE FROM place WHERE block BETWEEN ?1 AND ?2",
	[FORGET_ROWS] = "DELETE FROM posting WHERE block BETWEEN ?1 AND ?2",
};
#define QUERY_COUNT (sizeof(sql) / sizeof(sql[0]))

struct audit_index {
	sqlite3 *handle;
	sqlite3_stmt *query[QUERY_COUNT];
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

static enum rc run(struct audit_index *ix, const char *text)
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
	if (!ix || run(ix, "BEGIN") != RC_OK || version(ix->handle) != VERSION) {
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
		"CREATE TABLE posting (block INTEGER NOT NULL, word INTEGER NOT NULL,"
		" rows BLOB NOT NULL, PRIMARY KEY (block, word)) STRICT, WITHOUT ROWID;"
		"PRAGMA user_version=1; COMMIT;";
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
	if (run(ix,
		    "PRAGMA page_size=" PAGE_BYTES
		    "; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;") == RC_OK &&
		(found == VERSION || (found == 0 && run(ix, make) == RC_OK) ||
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
	for (size_t i = 0; i < QUERY_COUNT; i++)
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
static sqlite3_stmt *bind(
	struct audit_index *ix, enum query q, const int64_t *numbers, int count, enum rc *rc)
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

static enum rc read_block(struct audit_index *ix, enum query q, const int64_t *numbers, int count,
	struct audit_index_block *out)
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
	return read_block(ix, LAST, NULL, 0, out);
}

enum rc audit_index_whole(struct audit_index *ix, int64_t *seq)
{
	enum rc rc;
	sqlite3_stmt *st = bind(ix, WHOLE, NULL, 0, &rc);

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
	return read_block(ix, BEFORE, &seq, 1, out);
}

enum rc audit_index_after(struct audit_index *ix, int64_t seq, struct audit_index_block *out)
{
	return read_block(ix, AFTER, &seq, 1, out);
}

static size_t rows_of(const struct audit_index_block *b)
{
	return (size_t)(b->last - b->first + 1);
}

enum rc audit_index_rows(struct audit_index *ix, const struct audit_index_block *b, uint32_t word,
	struct audit_set *s)
{
	const int64_t numbers[] = {b->first, word};
	enum rc rc;
	sqlite3_stmt *st = bind(ix, ROWS, numbers, 2, &rc);
	const uint8_t *bytes;
	size_t len;

	if (!st)
		return rc;
	rc = step(ix, st);
	if (rc == RC_OK) {
		blob(st, &bytes, &len);
		rc = audit_set_add(s, bytes, len, rows_of(b));
	}
	(void)sqlite3_reset(st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc audit_index_rows_where(struct audit_index *ix, const struct audit_index_block *b,
	uint32_t from, uint32_t to, bool (*wanted)(void *ctx, uint32_t word), void *ctx,
	struct audit_set *s)
{
	const int64_t numbers[] = {b->first, from, to};
	enum rc rc;
	sqlite3_stmt *st = bind(ix, ROWS_WHERE, numbers, 3, &rc);
	const uint8_t *bytes;
	size_t len;

	if (!st)
		return rc;
	while ((rc = step(ix, st)) == RC_OK) {
		if (!wanted(ctx, (uint32_t)sqlite3_column_int64(st, 1)))
			continue;
		blob(st, &bytes, &len);
		rc = audit_set_add(s, bytes, len, rows_of(b));
		if (rc != RC_OK)
			break;
	}
	(void)sqlite3_reset(st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc audit_index_places(struct audit_index *ix, const struct audit_index_block *b,
	struct audit_row_place out[AUDIT_BLOCK_ROWS])
{
	enum rc rc;
	sqlite3_stmt *st = bind(ix, PLACES, &b->first, 1, &rc);
	const uint8_t *bytes;
	size_t len;

	if (!st)
		return rc;
	rc = step(ix, st);
	if (rc == RC_OK) {
		blob(st, &bytes, &len);
		rc = audit_block_places(bytes, len, b->at.offset, rows_of(b), out);
	}
	(void)sqlite3_reset(st);
	return rc;
}

/* --- writing ----------------------------------------------------------------------------- */

/* One row whose last column is bytes. */
static enum rc put_blob(struct audit_index *ix, enum query q, const int64_t *numbers, int count,
	const struct buf *bytes)
{
	enum rc rc;
	sqlite3_stmt *st = bind(ix, q, numbers, count, &rc);

	if (!st)
		return rc;
	rc = sqlite3_bind_blob(st, count + 1, bytes->data, (int)bytes->len, SQLITE_STATIC) ==
			SQLITE_OK
		? step(ix, st)
		: RC_UNAVAILABLE;
	(void)sqlite3_reset(st);
	(void)sqlite3_bind_null(st, count + 1);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

struct adding {
	struct audit_index *ix;
	const struct audit_block *b;
};

static enum rc put_rows(void *ctx, uint32_t word, const uint16_t *rows, size_t count)
{
	struct adding *a = ctx;
	const int64_t numbers[] = {a->b->first, word};
	uint8_t bytes[AUDIT_SET_BYTES_MAX];
	const struct buf set = {
		.data = bytes, .len = audit_set_encode(rows, count, a->b->rows, bytes)};

	return put_blob(a->ix, ADD_ROWS, numbers, 2, &set);
}

static enum rc put_block(struct audit_index *ix, const struct audit_block *b)
{
	const int64_t numbers[] = {b->first, b->first + (int64_t)b->rows - 1, b->at.segment,
		b->at.offset, b->end.offset, b->min_ms, b->max_ms, (int64_t)b->mark,
		b->last_offset};
	enum rc rc;
	sqlite3_stmt *st = bind(ix, ADD, numbers, 9, &rc);

	if (!st)
		return rc;
	rc = step(ix, st);
	(void)sqlite3_reset(st);
	return rc == RC_NOTFOUND ? put_blob(ix, ADD_PLACES, numbers, 1, &b->places) : rc;
}

static enum rc end_change(struct audit_index *ix, enum rc rc)
{
	if (rc == RC_OK)
		rc = run(ix, "COMMIT");
	if (rc != RC_OK && !sqlite3_get_autocommit(ix->handle))
		(void)sqlite3_exec(ix->handle, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

enum rc audit_index_add(struct audit_index *ix, struct audit_block *b)
{
	struct adding a = {ix, b};
	struct audit_index_block before = {0};
	enum rc rc = run(ix, "BEGIN IMMEDIATE");

	if (rc != RC_OK)
		return rc;
	rc = audit_index_before(ix, b->first + (int64_t)b->rows, &before);
	if (rc == RC_OK && before.last >= b->first)
		rc = RC_CONFLICT;
	else if (rc == RC_OK || rc == RC_NOTFOUND)
		rc = put_block(ix, b);
	if (rc == RC_OK)
		rc = audit_block_words(b, put_rows, &a);
	return end_change(ix, rc);
}

static enum rc forget(struct audit_index *ix, enum query q, int64_t first, int64_t last)
{
	const int64_t numbers[] = {first, last};
	enum rc rc;
	sqlite3_stmt *st = bind(ix, q, numbers, 2, &rc);

	if (!st)
		return rc;
	rc = step(ix, st);
	(void)sqlite3_reset(st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc audit_index_forget(struct audit_index *ix, int64_t first, int64_t last)
{
	struct audit_index_block b = {0};
	enum rc rc = run(ix, "BEGIN IMMEDIATE");

	if (rc != RC_OK)
		return rc;
	/* A block that begins before and reaches in goes too. */
	rc = audit_index_before(ix, first, &b);
	if (rc == RC_OK && b.last >= first)
		first = b.first;
	if (rc == RC_OK || rc == RC_NOTFOUND)
		rc = forget(ix, FORGET, first, last);
	if (rc == RC_OK)
		rc = forget(ix, FORGET_PLACES, first, last);
	if (rc == RC_OK)
		rc = forget(ix, FORGET_ROWS, first, last);
	return end_change(ix, rc);
}
