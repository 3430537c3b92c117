/* A source that is a PostgreSQL server, often a replica. Every read has a connection and a
 * read-only REPEATABLE READ transaction of its own, so a lost connection costs one read and the
 * next makes a new one. */
#include "worker/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shared/buf.h"
#include "shared/mem.h"
#include "worker/pg.h"
#include "worker/pg_type.h"

#define SQL_MAX ((size_t)1 << 20)
#define KEYS_MAX ((size_t)160 << 20) /* the literal of all keys of one select */
#define SCRATCH_MAX (2 * VALUE_BYTES_MAX)
#define COLUMNS_MAX 1600 /* PostgreSQL's own limit */
#define TABLES_MAX 4096
#define DEFAULT_SCHEMA "public"

struct source {
	char *url;
	int max_lag_s; /* 0: however far behind */
};

struct source_read {
	struct pg pg;
};

static void pg_source_close(struct source *s)
{
	if (!s)
		return;
	munlock(s->url, strlen(s->url) + 1);
	mem_free_secret(s->url);
	free(s);
}

static enum rc pg_source_open(const char *url, struct source **out, struct source_error *err)
{
	struct budget unlimited = {.check = NULL};
	struct source *s;
	struct pg pg = {.conn = NULL};
	enum rc rc = pg_url_check(url, err);

	if (rc != RC_OK)
		return rc;
	s = xcalloc(1, sizeof(*s));
	s->url = xstrdup(url);
	/* Best effort: a small or absent allowance is no reason to refuse. */
	(void)mlock(s->url, strlen(s->url) + 1);
	rc = pg_connect(&pg, s->url, &unlimited, err);
	pg_close(&pg);
	*out = s;
	return rc;
}

/* --- a transaction -------------------------------------------------------------------- */

static void pg_end(struct source_read *r)
{
	if (!r)
		return;
	pg_close(&r->pg);
	free(r);
}

/* statement_timeout and lock_timeout can be made shorter for the user or in the URL, never longer.
 * The other settings fix the text forms that pg_type reads. */
static const char begin_sql[] =
	"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
	"SELECT pg_catalog.set_config(n, CASE WHEN extract(epoch FROM "
	"pg_catalog.current_setting(n)::pg_catalog.interval) * 1000 BETWEEN 1 AND most "
	"THEN pg_catalog.current_setting(n) ELSE most::text END, true) "
	"FROM (VALUES ('statement_timeout', 60000), ('lock_timeout', 5000), "
	"('idle_in_transaction_session_timeout', 60000)) AS m(n, most);"
	"SET LOCAL search_path = " DEFAULT_SCHEMA ";"
	"SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = "
	"iso_8601;"
	"SET LOCAL bytea_output = hex; SET LOCAL extra_float_digits = 1; SET LOCAL xmloption = "
	"content";

static void pg_max_lag(struct source *s, int seconds)
{
	s->max_lag_s = seconds;
}

/* A row when a replica is too far behind. One that has replayed all it received, and is connected,
 * is not, however long ago the last transaction was. */
static const char lag_sql[] =
	"SELECT 1 WHERE pg_catalog.pg_is_in_recovery() AND NOT ("
	"pg_catalog.pg_last_wal_receive_lsn() IS NOT DISTINCT FROM "
	"pg_catalog.pg_last_wal_replay_lsn() "
	"AND EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver)) "
	"AND pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp() "
	"> pg_catalog.make_interval(secs => $1::float8)";

static enum rc check_lag(struct source_read *r, int max_s, struct source_error *err)
{
	char seconds[16];
	const char *params[1] = {seconds};
	PGresult *row;
	bool behind = false;
	enum rc rc;

	snprintf(seconds, sizeof(seconds), "%d", max_s);
	rc = pg_send(&r->pg, lag_sql, params, 1, "the replica's lag", err);
	while (rc == RC_OK && (rc = pg_next(&r->pg, "the replica's lag", &row, err)) == RC_OK &&
		row) {
		behind = true;
		PQclear(row);
	}
	if (rc != RC_OK || !behind)
		return rc;
	snprintf(err->text, sizeof(err->text),
		"the replica is more than %d s behind its primary (limits.replica_max_lag_s)",
		max_s);
	snprintf(err->advice, sizeof(err->advice),
		"the database replica is more than %d s behind: try again in a minute", max_s);
	return RC_UNAVAILABLE;
}

static enum rc pg_begin(struct source *s, const struct budget *b, struct source_read **out,
	struct source_error *err)
{
	struct source_read *r = xcalloc(1, sizeof(*r));
	enum rc rc = pg_connect(&r->pg, s->url, b, err);

	if (rc == RC_OK)
		rc = pg_run(&r->pg, begin_sql, NULL, err);
	if (rc == RC_OK && s->max_lag_s > 0)
		rc = check_lag(r, s->max_lag_s, err);
	if (rc != RC_OK)
		pg_end(r);
	else
		*out = r;
	return rc;
}

/* --- the catalog ------------------------------------------------------------------------ */

/* Columns that may be read, with domains followed down to the type they are based on. */
#define CATALOG_SQL                                                                               \
	"WITH RECURSIVE d(id, base, mod) AS ("                                                    \
	"SELECT oid, typbasetype, typtypmod FROM pg_type WHERE typtype = 'd' UNION ALL "          \
	"SELECT d.id, t.typbasetype, CASE WHEN d.mod < 0 THEN t.typtypmod ELSE d.mod END "        \
	"FROM d JOIN pg_type t ON t.oid = d.base WHERE t.typtype = 'd'), "                        \
	"domains AS (SELECT d.* FROM d JOIN pg_type t ON t.oid = d.base WHERE t.typtype <> 'd') " \
	"SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), b.oid, "   \
	"b.typtype, b.typcategory, b.typlen, coalesce(domains.mod, a.atttypmod), "                \
	"quote_ident(bn.nspname) || '.' || quote_ident(b.typname) "                               \
	"FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "                          \
	"JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "      \
	"LEFT JOIN domains ON domains.id = a.atttypid "                                           \
	"JOIN pg_type b ON b.oid = coalesce(domains.base, a.atttypid) "                           \
	"JOIN pg_namespace bn ON bn.oid = b.typnamespace "                                        \
	"WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') "                                           \
	"AND n.nspname NOT IN ('pg_catalog', 'information_schema') "                              \
	"AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%' "               \
	"AND has_schema_privilege(n.oid, 'USAGE') "                                               \
	"AND has_column_privilege(c.oid, a.attnum, 'SELECT') "

enum { C_SCHEMA, C_TABLE, C_COLUMN, C_SHOWN, C_OID, C_KIND, C_CATEGORY, C_LEN, C_MOD, C_BASE };

static void read_type(const PGresult *row, struct pg_type *t)
{
	*t = (struct pg_type){.oid = (unsigned)strtoul(PQgetvalue(row, 0, C_OID), NULL, 10),
		.kind = *PQgetvalue(row, 0, C_KIND),
		.category = *PQgetvalue(row, 0, C_CATEGORY),
		.len = (int)strtol(PQgetvalue(row, 0, C_LEN), NULL, 10),
		.mod = (int)strtol(PQgetvalue(row, 0, C_MOD), NULL, 10)};
}

/* The name in airlock.yaml; false when it has none there. */
static bool table_name(const char *schema, const char *table, char out[SOURCE_NAME_MAX + 1])
{
	bool plain = strcmp(schema, DEFAULT_SCHEMA) == 0 && !strchr(table, '.');
	int n = plain ? snprintf(out, SOURCE_NAME_MAX + 1, "%s", table)
		      : snprintf(out, SOURCE_NAME_MAX + 1, "%s.%s", schema, table);

	return !strchr(schema, '.') && n > 0 && n <= SOURCE_NAME_MAX;
}

/* The other way. */
static void split_name(const char *name, char schema[SOURCE_NAME_MAX + 1], const char **table)
{
	const char *dot = strchr(name, '.');

	*table = dot ? dot + 1 : name;
	if (!dot || !str_copy_len(schema, SOURCE_NAME_MAX + 1, name, (size_t)(dot - name)))
		str_copy(schema, SOURCE_NAME_MAX + 1, DEFAULT_SCHEMA);
}

static void add_column(struct source_table *t, const PGresult *row)
{
	const char *shown = PQgetvalue(row, 0, C_SHOWN);
	struct source_column *c;
	struct pg_type type;
	size_t len = strlen(shown);

	if (t->column_count == COLUMNS_MAX)
		return;
	/* Cut at a character, never inside one. */
	if (len > 63)
		for (len = 63; len > 0 && ((unsigned char)shown[len] & 0xc0) == 0x80; len--)
			;
	read_type(row, &type);
	t->columns = xrealloc(t->columns, (t->column_count + 1) * sizeof(*t->columns));
	c = &t->columns[t->column_count++];
	c->name = xstrdup(PQgetvalue(row, 0, C_COLUMN));
	c->type = xstrndup(shown, len);
	c->kind = pg_type_kind(&type);
}

static enum rc read_tables(struct pg *pg, struct source_schema *s, struct source_error *err)
{
	struct source_table *t = NULL;
	PGresult *row;
	enum rc rc =
		pg_send(pg, CATALOG_SQL "ORDER BY 1, 2, a.attnum", NULL, 0, "the catalog", err);

	s->tables = xcalloc(TABLES_MAX, sizeof(*s->tables));
	while (rc == RC_OK && (rc = pg_next(pg, "the catalog", &row, err)) == RC_OK && row) {
		char name[SOURCE_NAME_MAX + 1];

		if (table_name(PQgetvalue(row, 0, C_SCHEMA), PQgetvalue(row, 0, C_TABLE), name)) {
			if ((!t || strcmp(t->name, name) != 0) && s->table_count < TABLES_MAX) {
				t = &s->tables[s->table_count++];
				t->name = xstrdup(name);
			}
			if (t && strcmp(t->name, name) == 0)
				add_column(t, row);
		}
		PQclear(row);
	}
	return rc;
}

/* Primary keys (far side NULL) and foreign keys, a row for each column. */
static const char keys_sql[] =
	"SELECT n.nspname, c.relname, k.oid, a.attname, fn.nspname, f.relname, fa.attname "
	"FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid "
	"JOIN pg_namespace n ON n.oid = c.relnamespace "
	"CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS u(col, far, pos) "
	"JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.col "
	"LEFT JOIN pg_class f ON f.oid = k.confrelid LEFT JOIN pg_namespace fn ON fn.oid = "
	"f.relnamespace "
	"LEFT JOIN pg_attribute fa ON fa.attrelid = f.oid AND fa.attnum = u.far "
	"WHERE k.contype IN ('p', 'f') AND k.conparentid = 0 ORDER BY k.oid, u.pos";

enum { K_SCHEMA, K_TABLE, K_ID, K_COLUMN, K_FAR_SCHEMA, K_FAR_TABLE, K_FAR_COLUMN };

static void add_name(char ***names, size_t count, const char *name)
{
	*names = xrealloc(*names, (count + 1) * sizeof(char *));
	(*names)[count] = xstrdup(name);
}

/* id is the constraint of the row before. */
static void add_key(struct source_schema *s, const PGresult *row, bool continues)
{
	char name[SOURCE_NAME_MAX + 1], far[SOURCE_NAME_MAX + 1];
	struct source_foreign_key *k;
	struct source_table *t;

	if (!table_name(PQgetvalue(row, 0, K_SCHEMA), PQgetvalue(row, 0, K_TABLE), name) ||
		!(t = source_schema_table(s, name)))
		return;
	if (PQgetisnull(row, 0, K_FAR_COLUMN)) {
		add_name(&t->key, t->key_count++, PQgetvalue(row, 0, K_COLUMN));
		return;
	}
	if (!table_name(PQgetvalue(row, 0, K_FAR_SCHEMA), PQgetvalue(row, 0, K_FAR_TABLE), far))
		return;
	if (!continues) {
		t->foreign_keys = xrealloc(
			t->foreign_keys, (t->foreign_key_count + 1) * sizeof(*t->foreign_keys));
		t->foreign_keys[t->foreign_key_count++] =
			(struct source_foreign_key){.table = xstrdup(far)};
	}
	k = &t->foreign_keys[t->foreign_key_count - 1];
	add_name(&k->columns, k->column_count, PQgetvalue(row, 0, K_COLUMN));
	add_name(&k->far_columns, k->column_count, PQgetvalue(row, 0, K_FAR_COLUMN));
	k->column_count++;
}

static enum rc read_keys(struct pg *pg, struct source_schema *s, struct source_error *err)
{
	char last[16] = "";
	PGresult *row;
	enum rc rc = pg_send(pg, keys_sql, NULL, 0, "the catalog", err);

	while (rc == RC_OK && (rc = pg_next(pg, "the catalog", &row, err)) == RC_OK && row) {
		const char *id = PQgetvalue(row, 0, K_ID);

		add_key(s, row, strcmp(id, last) == 0);
		str_copy(last, sizeof(last), id);
		PQclear(row);
	}
	return rc;
}

static enum rc pg_schema(struct source *src, const struct budget *b, struct source_schema **out,
	struct source_error *err)
{
	struct source_schema *s = xcalloc(1, sizeof(*s));
	struct source_read *r = NULL;
	enum rc rc = pg_begin(src, b, &r, err);

	if (rc == RC_OK)
		rc = read_tables(&r->pg, s, err);
	if (rc == RC_OK)
		rc = read_keys(&r->pg, s, err);
	pg_end(r);
	if (rc == RC_OK)
		*out = s;
	else
		source_schema_free(s);
	return rc;
}

/* --- selecting -------------------------------------------------------------------------- */

struct column {
	char *name;
	struct pg_type type;
	char *base; /* the type's name, quoted; "character" and "bit" without a length would be 1
		       long */
};

/* One select in hand. */
struct work {
	struct pg *pg;
	const struct source_select *q;
	struct source_error *err;
	struct column *columns; /* all of the table's */
	size_t count;
	enum pg_form *forms; /* of those that are wanted */
	struct buf sql, keys;
};

static enum rc read_columns(struct work *w)
{
	char schema[SOURCE_NAME_MAX + 1];
	const char *params[2] = {schema, NULL};
	PGresult *row;
	enum rc rc;

	split_name(w->q->table, schema, &params[1]);
	rc = pg_send(w->pg, CATALOG_SQL "AND n.nspname = $1 AND c.relname = $2", params, 2,
		w->q->table, w->err);
	w->columns = xcalloc(COLUMNS_MAX, sizeof(*w->columns));
	while (rc == RC_OK && (rc = pg_next(w->pg, w->q->table, &row, w->err)) == RC_OK && row) {
		if (w->count < COLUMNS_MAX) {
			struct column *c = &w->columns[w->count++];

			c->name = xstrdup(PQgetvalue(row, 0, C_COLUMN));
			c->base = xstrdup(PQgetvalue(row, 0, C_BASE));
			read_type(row, &c->type);
		}
		PQclear(row);
	}
	return rc;
}

/* NULL with the error said when it is not there any more. */
static const struct column *find_column(struct work *w, const char *name)
{
	for (size_t i = 0; i < w->count; i++)
		if (strcmp(w->columns[i].name, name) == 0)
			return &w->columns[i];
	snprintf(w->err->text, sizeof(w->err->text),
		w->count ? "table '%s' no longer has a column '%s' that may be read"
			 : "there is no table '%s' any more that may be read (wanted: '%s')",
		w->q->table, name);
	return NULL;
}

static void put_name(struct work *w, const char *name)
{
	char *quoted = PQescapeIdentifier(w->pg->conn, name, strlen(name));

	if (quoted)
		buf_str(&w->sql, quoted);
	else
		w->sql.failed = true;
	PQfreemem(quoted);
}

static enum rc put_columns(struct work *w)
{
	for (size_t i = 0; i < w->q->column_count; i++) {
		const char *name = w->q->columns[i];
		const struct column *c = find_column(w, name);
		char *quoted;

		if (!c)
			return RC_INVALID;
		quoted = PQescapeIdentifier(w->pg->conn, name, strlen(name));
		if (!quoted)
			return RC_INVALID;
		w->forms[i] = pg_type_form(&c->type);
		buf_str(&w->sql, i ? ", " : "SELECT ");
		pg_type_select(&c->type, quoted, &w->sql);
		PQfreemem(quoted);
	}
	return RC_OK;
}

/* Whether the server understands a list of keys as the type: "abc" is no uuid. RC_NOTFOUND: not. */
static enum rc keys_fit(struct work *w, const char *type, const char *literal)
{
	char sql[512];

	snprintf(sql, sizeof(sql), "SELECT $1::%s[] IS NULL", type);
	return pg_try(w->pg, sql, literal, w->q->table, w->err);
}

static enum rc lone_key_fits(struct work *w, const char *type, const struct value *v)
{
	struct buf one;
	enum rc rc;

	buf_init(&one, KEYS_MAX);
	buf_char(&one, '{');
	pg_type_element(v, &one);
	buf_str(&one, "}");
	buf_char(&one, '\0');
	rc = one.failed ? RC_LIMIT : keys_fit(w, type, (const char *)one.data);
	buf_wipe(&one);
	buf_free(&one);
	return rc;
}

/* All keys as one array, which is one parameter. When check is set, those that the type does not
 * understand are left out: they equal no value of it, but the server would stop at them. */
static enum rc put_keys(struct work *w, const char *type, bool check)
{
	enum rc rc = RC_OK;

	buf_reset(&w->keys);
	buf_char(&w->keys, '{');
	for (size_t i = 0; rc == RC_OK && i < w->q->keys->count; i++) {
		struct value v = value_list_get(w->q->keys, i);

		/* PostgreSQL's text has no NUL, so nothing there equals such a key. */
		if (v.kind == VALUE_TEXT && memchr(v.p, '\0', v.len))
			continue;
		if (check && (rc = lone_key_fits(w, type, &v)) == RC_NOTFOUND) {
			rc = RC_OK;
			continue;
		}
		if (w->keys.len > 1)
			buf_char(&w->keys, ',');
		pg_type_element(&v, &w->keys);
	}
	buf_str(&w->keys, "}");
	buf_char(&w->keys, '\0');
	if (rc == RC_OK && w->keys.failed) {
		snprintf(w->err->text, sizeof(w->err->text),
			"the keys that select rows of table '%s' take too much memory",
			w->q->table);
		rc = RC_LIMIT;
	}
	return rc;
}

static bool all_ints(const struct value_list *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		if (keys->items[i].kind != VALUE_INT)
			return false;
	return true;
}

static enum rc put_filter(struct work *w, const struct column *filter)
{
	/* Integers of all sizes compare with int8, and an index serves it. */
	bool is_int = pg_type_is_int(&filter->type);
	const char *type = is_int ? "int8" : filter->base;
	enum rc rc = put_keys(w, type, false);

	if (rc == RC_OK && !pg_type_is_text(&filter->type) && !(is_int && all_ints(w->q->keys))) {
		rc = keys_fit(w, type, (const char *)w->keys.data);
		if (rc == RC_NOTFOUND)
			rc = put_keys(w, type, true);
	}
	buf_str(&w->sql, " WHERE t.");
	put_name(w, filter->name);
	buf_printf(&w->sql, " = ANY($1::%s[])", type);
	return rc;
}

static enum rc make_sql(struct work *w)
{
	char schema[SOURCE_NAME_MAX + 1];
	const struct column *filter = w->q->keys ? find_column(w, w->q->filter_column) : NULL;
	const char *table;
	enum rc rc = filter || !w->q->keys ? put_columns(w) : RC_INVALID;

	if (rc != RC_OK)
		return rc;
	split_name(w->q->table, schema, &table);
	buf_str(&w->sql, " FROM ");
	put_name(w, schema);
	buf_char(&w->sql, '.');
	put_name(w, table);
	buf_str(&w->sql, " AS t");
	if (filter)
		rc = put_filter(w, filter);
	else
		buf_printf(&w->sql, " LIMIT %zu", w->q->sample_rows);
	buf_char(&w->sql, '\0');
	return rc == RC_OK && w->sql.failed ? RC_LIMIT : rc;
}

static enum rc take_row(
	struct work *w, const PGresult *row, struct value *values, struct buf *scratch)
{
	for (size_t i = 0; i < w->q->column_count; i++) {
		int n = (int)i;

		if (PQgetisnull(row, 0, n)) {
			values[i] = (struct value){.kind = VALUE_NULL};
			continue;
		}
		if (pg_type_value(w->forms[i], PQgetvalue(row, 0, n),
			    (size_t)PQgetlength(row, 0, n), &scratch[i], &values[i]))
			continue;
		snprintf(w->err->text, sizeof(w->err->text),
			"a value in '%s.%s' is larger than %zu bytes", w->q->table,
			w->q->columns[i], VALUE_BYTES_MAX);
		return RC_LIMIT;
	}
	return RC_OK;
}

static enum rc stream(struct work *w, source_row_fn *fn, void *ctx)
{
	const char *params[1] = {(const char *)w->keys.data};
	struct value *values = xcalloc(w->q->column_count + 1, sizeof(*values));
	struct buf *scratch = xcalloc(w->q->column_count + 1, sizeof(*scratch));
	PGresult *row;
	enum rc rc = pg_send(
		w->pg, (const char *)w->sql.data, params, w->q->keys ? 1 : 0, w->q->table, w->err);

	for (size_t i = 0; i < w->q->column_count; i++)
		buf_init(&scratch[i], SCRATCH_MAX);
	while (rc == RC_OK && (rc = pg_next(w->pg, w->q->table, &row, w->err)) == RC_OK && row) {
		rc = take_row(w, row, values, scratch);
		if (rc == RC_OK)
			rc = fn(ctx, values);
		PQclear(row);
	}
	for (size_t i = 0; i < w->q->column_count; i++) {
		buf_wipe(&scratch[i]);
		buf_free(&scratch[i]);
	}
	free(scratch);
	free(values);
	return rc;
}

static void work_free(struct work *w)
{
	for (size_t i = 0; i < w->count; i++) {
		free(w->columns[i].name);
		free(w->columns[i].base);
	}
	free(w->columns);
	free(w->forms);
	buf_free(&w->sql);
	buf_wipe(&w->keys);
	buf_free(&w->keys);
}

static enum rc pg_select(struct source_read *r, const struct source_select *q, source_row_fn *row,
	void *ctx, struct source_error *err)
{
	struct work w = {.pg = &r->pg, .q = q, .err = err};
	enum rc rc;

	buf_init(&w.sql, SQL_MAX);
	buf_init(&w.keys, KEYS_MAX);
	w.forms = xcalloc(q->column_count + 1, sizeof(*w.forms));
	rc = read_columns(&w);
	if (rc == RC_OK)
		rc = make_sql(&w);
	if (rc == RC_OK)
		rc = stream(&w, row, ctx);
	work_free(&w);
	return rc;
}

const struct source_ops source_pg = {
	.open = pg_source_open,
	.close = pg_source_close,
	.max_lag = pg_max_lag,
	.schema = pg_schema,
	.begin = pg_begin,
	.select = pg_select,
	.end = pg_end,
};
