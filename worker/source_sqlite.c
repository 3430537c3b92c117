/* A source that is an SQLite file. Every read has a connection of its own, opened read-only. */
#include "worker/source.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shared/buf.h"
#include "shared/mem.h"
#include "worker/value_sqlite.h"

#define BUSY_MS 2000
#define TICK_OPS 1000
#define TABLES_MAX 4096
#define COLUMNS_MAX 2000

struct source {
	char *path;
};

struct source_read {
	sqlite3 *db;
	struct budget budget;
};

static enum rc open_failed(int code, struct source_error *err)
{
	/* Only a file that is certainly something else is the configuration's fault. */
	if ((code & 0xff) == SQLITE_NOTADB) {
		snprintf(err->text, sizeof(err->text),
			"DATABASE_URL: the file is not an SQLite database");
		return RC_INVALID;
	}
	snprintf(err->text, sizeof(err->text), "the source database can't be read: %s",
		sqlite3_errstr(code));
	return RC_UNAVAILABLE;
}

static int tick(void *ctx)
{
	return budget_check(ctx) != BUDGET_GO;
}

static int connect_file(const char *path, const struct budget *b, sqlite3 **out)
{
	sqlite3 *db = NULL;
	int code = sqlite3_open_v2(path, &db,
		SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);

	if (code == SQLITE_OK) {
		sqlite3_busy_timeout(db, BUSY_MS);
		sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
		sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
		/* Temporary key lists hold raw keys: they stay in memory. */
		code = sqlite3_exec(
			db, "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;", NULL, NULL, NULL);
	}
	if (code == SQLITE_OK && b)
		sqlite3_progress_handler(db, TICK_OPS, tick, (void *)b);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
	if (code != SQLITE_OK) {
		sqlite3_close(db);
		return code;
	}
	*out = db;
	return SQLITE_OK;
}

/* The absolute path in sqlite:/p, sqlite:///p; NULL when there is none. */
static const char *url_path(const char *url)
{
	const char *p = url + strlen("sqlite:");

	if (strncmp(p, "//", 2) == 0)
		p += 2;
	return p[0] == '/' && p[1] != '/' && p[1] != '\0' ? p : NULL;
}

static void sqlite_close(struct source *s)
{
	if (!s)
		return;
	if (s->path)
		munlock(s->path, strlen(s->path) + 1);
	mem_free_secret(s->path);
	free(s);
}

static enum rc sqlite_open(const char *url, struct source **out, struct source_error *err)
{
	const char *path = url_path(url);
	struct source *s;
	sqlite3 *db;
	int code;

	if (!path) {
		snprintf(err->text, sizeof(err->text),
			"DATABASE_URL: an SQLite source needs an absolute path, as in "
			"sqlite:/absolute/path.db");
		return RC_INVALID;
	}
	s = xcalloc(1, sizeof(*s));
	s->path = xstrdup(path);
	/* Best effort: a small or absent allowance is no reason to refuse. */
	(void)mlock(s->path, strlen(s->path) + 1);
	code = connect_file(path, NULL, &db);
	/* The source is given out either way: the file may come back. */
	*out = s;
	if (code != SQLITE_OK) {
		enum rc rc = open_failed(code, err);

		if (rc == RC_INVALID) {
			sqlite_close(s);
			*out = NULL;
		}
		return rc;
	}
	sqlite3_close(db);
	return RC_OK;
}

/* SQLite's own rules of affinity (its documentation, "Determination Of Column Affinity"). */
static enum column_kind kind_of(const char *type)
{
	char up[64];
	size_t n = 0;

	for (; type[n] && n < sizeof(up) - 1; n++)
		up[n] = type[n] >= 'a' && type[n] <= 'z' ? (char)(type[n] - 32) : type[n];
	up[n] = '\0';
	if (strstr(up, "INT"))
		return COLUMN_INT;
	if (strstr(up, "CHAR") || strstr(up, "CLOB") || strstr(up, "TEXT"))
		return COLUMN_TEXT;
	if (!*up || strcmp(up, "ANY") == 0)
		return COLUMN_ANY;
	if (strstr(up, "BLOB"))
		return COLUMN_BLOB;
	if (strstr(up, "REAL") || strstr(up, "FLOA") || strstr(up, "DOUB"))
		return COLUMN_REAL;
	return COLUMN_NUMERIC;
}

static char *dup_column(sqlite3_stmt *stmt, int i, size_t max)
{
	const char *s = (const char *)sqlite3_column_text(stmt, i);
	size_t len = s ? strlen(s) : 0;

	/* Cut at a character, never inside one. */
	if (len > max)
		for (len = max; len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80; len--)
			;
	return xstrndup(s ? s : "", len);
}

static int read_columns(sqlite3 *db, struct source_table *t)
{
	sqlite3_stmt *stmt;
	int code;

	/* hidden 1 is a virtual table's hidden column; 2 and 3 are generated columns, which are
	 * data. */
	code = sqlite3_prepare_v2(db,
		"SELECT name, type FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid", -1,
		&stmt, NULL);
	if (code != SQLITE_OK)
		return code;
	sqlite3_bind_text(stmt, 1, t->name, -1, SQLITE_STATIC);
	t->columns = xcalloc(COLUMNS_MAX, sizeof(*t->columns));
	while (t->column_count < COLUMNS_MAX && sqlite3_step(stmt) == SQLITE_ROW) {
		struct source_column *c = &t->columns[t->column_count++];

		c->name = dup_column(stmt, 0, SOURCE_NAME_MAX);
		c->type = dup_column(stmt, 1, 63);
		c->kind = kind_of(c->type);
	}
	if (t->column_count)
		t->columns = xrealloc(t->columns, t->column_count * sizeof(*t->columns));
	/* A broken view has no columns; whoever asks for it is told so by the plan. */
	sqlite3_finalize(stmt);
	return SQLITE_OK;
}

/* The primary key and the foreign keys. A reference that names no columns is to the far primary
 * key, which is filled in when all tables are read. */
static int read_keys(sqlite3 *db, struct source_table *t)
{
	sqlite3_stmt *stmt;
	int last = -1, code;

	code = sqlite3_prepare_v2(db,
		"SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk", -1, &stmt, NULL);
	if (code != SQLITE_OK)
		return code;
	sqlite3_bind_text(stmt, 1, t->name, -1, SQLITE_STATIC);
	while (t->key_count < COLUMNS_MAX && sqlite3_step(stmt) == SQLITE_ROW) {
		t->key = xrealloc(t->key, (t->key_count + 1) * sizeof(char *));
		t->key[t->key_count++] = dup_column(stmt, 0, SOURCE_NAME_MAX);
	}
	sqlite3_finalize(stmt);
	code = sqlite3_prepare_v2(db,
		"SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1) ORDER BY "
		"id, "
		"seq",
		-1, &stmt, NULL);
	if (code != SQLITE_OK)
		return code;
	sqlite3_bind_text(stmt, 1, t->name, -1, SQLITE_STATIC);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		struct source_foreign_key *k;

		if (sqlite3_column_int(stmt, 0) != last) {
			t->foreign_keys = xrealloc(t->foreign_keys,
				(t->foreign_key_count + 1) * sizeof(*t->foreign_keys));
			t->foreign_keys[t->foreign_key_count++] = (struct source_foreign_key){
				.table = dup_column(stmt, 1, SOURCE_NAME_MAX)};
		}
		last = sqlite3_column_int(stmt, 0);
		k = &t->foreign_keys[t->foreign_key_count - 1];
		k->columns = xrealloc(k->columns, (k->column_count + 1) * sizeof(char *));
		k->far_columns = xrealloc(k->far_columns, (k->column_count + 1) * sizeof(char *));
		k->columns[k->column_count] = dup_column(stmt, 2, SOURCE_NAME_MAX);
		k->far_columns[k->column_count++] = dup_column(stmt, 3, SOURCE_NAME_MAX);
	}
	sqlite3_finalize(stmt);
	return SQLITE_OK;
}

static void fill_far_columns(struct source_schema *s, struct source_foreign_key *k)
{
	const struct source_table *far = source_schema_table(s, k->table);

	for (size_t i = 0; far && i < k->column_count && i < far->key_count; i++) {
		if (k->far_columns[i][0])
			continue;
		free(k->far_columns[i]);
		k->far_columns[i] = xstrdup(far->key[i]);
	}
}

static int read_schema(sqlite3 *db, struct source_schema *s)
{
	sqlite3_stmt *stmt;
	int code = sqlite3_prepare_v2(db,
		"SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE "
		"'sqlite\\_%' ESCAPE '\\' "
		"ORDER BY name",
		-1, &stmt, NULL);

	if (code != SQLITE_OK)
		return code;
	s->tables = xcalloc(TABLES_MAX, sizeof(*s->tables));
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW && s->table_count < TABLES_MAX)
		s->tables[s->table_count++].name = dup_column(stmt, 0, SOURCE_NAME_MAX);
	sqlite3_finalize(stmt);
	if (code == SQLITE_DONE)
		code = SQLITE_OK;
	for (size_t i = 0; code == SQLITE_OK && i < s->table_count; i++)
		code = read_columns(db, &s->tables[i]);
	for (size_t i = 0; code == SQLITE_OK && i < s->table_count; i++)
		code = read_keys(db, &s->tables[i]);
	for (size_t i = 0; code == SQLITE_OK && i < s->table_count; i++)
		for (size_t k = 0; k < s->tables[i].foreign_key_count; k++)
			fill_far_columns(s, &s->tables[i].foreign_keys[k]);
	return code;
}

static enum rc sqlite_schema(struct source *src, const struct budget *b, struct source_schema **out,
	struct source_error *err)
{
	struct source_schema *s;
	sqlite3 *db;
	int code = connect_file(src->path, b, &db);

	if (code != SQLITE_OK)
		return open_failed(code, err);
	s = xcalloc(1, sizeof(*s));
	code = read_schema(db, s);
	sqlite3_close(db);
	if (code != SQLITE_OK && code != SQLITE_ROW) {
		source_schema_free(s);
		return open_failed(code, err);
	}
	*out = s;
	return RC_OK;
}

static void sqlite_end(struct source_read *r)
{
	if (!r)
		return;
	sqlite3_close(r->db);
	free(r);
}

static enum rc sqlite_begin(struct source *s, const struct budget *b, const char *const *tables,
	size_t table_count, struct source_read **out, struct source_error *err)
{
	struct source_read *r = xcalloc(1, sizeof(*r));
	int code;

	(void)tables;
	(void)table_count;
	r->budget = *b;
	code = connect_file(s->path, &r->budget, &r->db);
	if (code == SQLITE_OK) {
		sqlite3_limit(r->db, SQLITE_LIMIT_LENGTH, (int)VALUE_BYTES_MAX + 1024);
		/* BEGIN alone takes no lock; the first read fixes the moment. The key list is made
		 * before it. */
		code = sqlite3_exec(r->db,
			"CREATE TEMP TABLE airlock_keys(k); BEGIN; SELECT count(*) FROM "
			"main.sqlite_schema;",
			NULL, NULL, NULL);
	}
	if (code != SQLITE_OK) {
		sqlite_end(r);
		return open_failed(code, err);
	}
	*out = r;
	return RC_OK;
}

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

static char *select_sql(const struct source_select *q)
{
	struct buf sql;

	buf_init(&sql, 1 << 20);
	buf_str(&sql, "SELECT ");
	for (size_t i = 0; i < q->column_count; i++) {
		buf_str(&sql, i ? ", t." : "t.");
		put_name(&sql, q->columns[i]);
	}
	buf_str(&sql, " FROM main.");
	put_name(&sql, q->table);
	if (!q->keys) {
		buf_printf(&sql, " AS t LIMIT %zu", q->sample_rows);
		return buf_steal(&sql);
	}
	buf_str(&sql, " AS t WHERE t.");
	put_name(&sql, q->filter_column);
	/* A key list without a type takes on the column's affinity in the comparison, as a bound
	 * value would. */
	buf_str(&sql, " IN (SELECT k FROM temp.airlock_keys)");
	return buf_steal(&sql);
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

static int fill_keys(struct source_read *r, const struct value_list *keys)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_exec(r->db, "DELETE FROM temp.airlock_keys", NULL, NULL, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(
			r->db, "INSERT INTO temp.airlock_keys VALUES(?1)", -1, &stmt, NULL);
	for (size_t i = 0; code == SQLITE_OK && i < keys->count; i++) {
		struct value v = value_list_get(keys, i);

		code = bind_value(stmt, 1, &v);
		if (code == SQLITE_OK && sqlite3_step(stmt) != SQLITE_DONE)
			code = sqlite3_errcode(r->db);
		sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
	return code;
}

static enum rc select_failed(int code, const char *table, struct source_error *err)
{
	switch (code & 0xff) {
	case SQLITE_TOOBIG:
		snprintf(err->text, sizeof(err->text),
			"a value in table '%s' is larger than %zu bytes", table, VALUE_BYTES_MAX);
		return RC_LIMIT;
	case SQLITE_ERROR: /* no such table or column any more */
	case SQLITE_SCHEMA:
		snprintf(err->text, sizeof(err->text),
			"table '%s' no longer fits the configuration", table);
		return RC_INVALID;
	default:
		snprintf(err->text, sizeof(err->text), "reading table '%s' failed: %s", table,
			sqlite3_errstr(code));
		return RC_UNAVAILABLE;
	}
}

/* Streams the rows of a prepared select; *code is SQLite's result where the rows did not simply
 * end. */
static enum rc stream(sqlite3_stmt *stmt, size_t columns, source_row_fn *row, void *ctx, int *code)
{
	struct value *values = xcalloc(columns, sizeof(*values));
	enum rc rc = RC_OK;

	*code = SQLITE_OK;
	while (rc == RC_OK) {
		int step = sqlite3_step(stmt);

		if (step == SQLITE_DONE)
			break;
		if (step != SQLITE_ROW) {
			*code = step;
			break;
		}
		for (size_t i = 0; i < columns; i++) {
			values[i] = value_sqlite(stmt, (int)i);
			if (values[i].kind >= VALUE_TEXT && values[i].len > VALUE_BYTES_MAX)
				*code = SQLITE_TOOBIG;
		}
		/* A text that could not be converted for want of memory would look empty. */
		if (sqlite3_errcode(sqlite3_db_handle(stmt)) == SQLITE_NOMEM)
			*code = SQLITE_NOMEM;
		if (*code != SQLITE_OK)
			break;
		rc = row(ctx, values);
	}
	free(values);
	return rc;
}

static enum rc sqlite_select(struct source_read *r, const struct source_select *q,
	source_row_fn *row, void *ctx, struct source_error *err)
{
	sqlite3_stmt *stmt = NULL;
	char *sql = select_sql(q);
	enum rc rc = RC_OK;
	int code;

	if (!sql)
		return select_failed(SQLITE_NOMEM, q->table, err);
	code = q->keys ? fill_keys(r, q->keys) : SQLITE_OK;
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(r->db, sql, -1, &stmt, NULL);
	if (code == SQLITE_OK)
		rc = stream(stmt, q->column_count, row, ctx, &code);
	if (code != SQLITE_OK)
		rc = select_failed(code, q->table, err);
	sqlite3_finalize(stmt);
	free(sql);
	return rc;
}

const struct source_ops source_sqlite = {
	.open = sqlite_open,
	.close = sqlite_close,
	.schema = sqlite_schema,
	.begin = sqlite_begin,
	.select = sqlite_select,
	.end = sqlite_end,
};
