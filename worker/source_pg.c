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
#include "worker/pg_catalog.h"
#include "worker/pg_type.h"

#define SQL_MAX ((size_t)1 << 20)
#define KEYS_MAX ((size_t)160 << 20) /* the literal of all keys of one select */
#define SCRATCH_MAX (2 * VALUE_BYTES_MAX)

struct source {
	char *url;
	int max_lag_s; /* 0: however far behind */
	struct pg_types types;
};

struct source_read {
	struct pg pg;
	struct source *source;
	struct pg_table *tables; /* those that it was begun for */
	size_t table_count;
};

static void pg_source_close(struct source *s)
{
	if (!s)
		return;
	pg_types_free(&s->types);
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
	pg_types_init(&s->types);
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
	pg_tables_free(r->tables, r->table_count);
	free(r);
}

/* statement_timeout and lock_timeout can be made shorter for the user or in the URL, never longer.
 * The other settings fix the text forms that pg_type reads. */
static const char begin_sql[] =
	"SET default_transaction_read_only = on;"
	"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
	"SELECT pg_catalog.set_config(n, CASE WHEN extract(epoch FROM "
	"pg_catalog.current_setting(n)::pg_catalog.interval) * 1000 BETWEEN 1 AND most "
	"THEN pg_catalog.current_setting(n) ELSE most::text END, true) "
	"FROM (VALUES ('statement_timeout', 60000), ('lock_timeout', 5000), "
	"('idle_in_transaction_session_timeout', 60000)) AS m(n, most);"
	"SET LOCAL search_path = " PG_SCHEMA_DEFAULT ";"
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
	"> pg_catalog.make_interval(secs => %d)";

static enum rc too_far_behind(int max_s, struct source_error *err)
{
	snprintf(err->text, sizeof(err->text),
		"the replica is more than %d s behind its primary (limits.replica_max_lag_s)",
		max_s);
	snprintf(err->advice, sizeof(err->advice),
		"the database replica is more than %d s behind: try again in a minute", max_s);
	return RC_UNAVAILABLE;
}

/* Texts of a database without an encoding are bytes, and the server would stop at those that are no
 * UTF-8. Answers show them as U+FFFD. */
static const char bytes_sql[] = "SET client_encoding = SQL_ASCII;";

/* All in one round trip. */
static enum rc begin_transaction(struct source_read *r, struct source_error *err)
{
	int max_lag_s = r->source->max_lag_s, rows = 0;
	struct buf sql;
	enum rc rc;

	buf_init(&sql, SQL_MAX);
	if (pg_encoding(&r->pg) == PG_ENCODING_NONE)
		buf_str(&sql, bytes_sql);
	buf_str(&sql, begin_sql);
	if (max_lag_s > 0) {
		buf_char(&sql, ';');
		buf_printf(&sql, lag_sql, max_lag_s);
	}
	buf_char(&sql, '\0');
	rc = pg_run(&r->pg, (const char *)sql.data, NULL, &rows, err);
	buf_free(&sql);
	return rc == RC_OK && rows > 0 ? too_far_behind(max_lag_s, err) : rc;
}

static enum rc pg_begin(struct source *s, const struct budget *b, const char *const *tables,
	size_t table_count, struct source_read **out, struct source_error *err)
{
	struct source_read *r = xcalloc(1, sizeof(*r));
	enum rc rc = pg_connect(&r->pg, s->url, b, err);

	r->source = s;
	if (rc == RC_OK)
		rc = begin_transaction(r, err);
	if (rc == RC_OK && table_count > 0) {
		rc = pg_catalog_columns(&r->pg, &s->types, tables, table_count, &r->tables, err);
		r->table_count = rc == RC_OK ? table_count : 0;
	}
	if (rc != RC_OK)
		pg_end(r);
	else
		*out = r;
	return rc;
}

static enum rc pg_schema(struct source *src, const struct budget *b, struct source_schema **out,
	struct source_error *err)
{
	struct source_schema *s = xcalloc(1, sizeof(*s));
	struct source_read *r = NULL;
	enum rc rc = pg_begin(src, b, NULL, 0, &r, err);

	if (rc == RC_OK)
		rc = pg_catalog_schema(&r->pg, s, err);
	pg_end(r);
	if (rc == RC_OK)
		*out = s;
	else
		source_schema_free(s);
	return rc;
}

/* --- selecting -------------------------------------------------------------------------- */

/* One select in hand. */
struct work {
	struct pg *pg;
	const struct source_select *q;
	struct source_error *err;
	const struct pg_table *table;
	enum pg_form *forms; /* of the columns that are wanted */
	struct buf sql, keys;
};

/* NULL with the error said when it is not there any more. */
static const struct pg_column *find_column(struct work *w, const char *name)
{
	for (size_t i = 0; i < w->table->column_count; i++)
		if (strcmp(w->table->columns[i].name, name) == 0)
			return &w->table->columns[i];
	snprintf(w->err->text, sizeof(w->err->text),
		w->table->column_count
			? "table '%s' no longer has a column '%s' that may be read"
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
		const struct pg_column *c = find_column(w, name);
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

/* Whether any text that a subject or another table brings is one that the type can hold. */
static bool takes_any_text(const struct work *w, const struct pg_type *t)
{
	return pg_type_is_text(t) && pg_encoding(w->pg) != PG_ENCODING_OTHER;
}

static enum rc put_filter(struct work *w, const struct pg_column *filter)
{
	/* Integers of all sizes compare with int8, and an index serves it. */
	bool is_int = pg_type_is_int(&filter->type);
	const char *type = is_int ? "int8" : filter->base;
	enum rc rc = put_keys(w, type, false);

	if (rc == RC_OK && !takes_any_text(w, &filter->type) && !(is_int && all_ints(w->q->keys))) {
		rc = keys_fit(w, type, (const char *)w->keys.data);
		if (rc == RC_NOTFOUND)
			rc = put_keys(w, type, true);
	}
	buf_str(&w->sql, " WHERE t.");
	put_name(w, filter->name);
	/* The operators of enums and ranges do not take a domain over one. */
	if (filter->type.kind != 'b')
		buf_printf(&w->sql, "::%s", filter->base);
	buf_printf(&w->sql, " = ANY($1::%s[])", type);
	return rc;
}

static enum rc make_sql(struct work *w)
{
	char schema[SOURCE_NAME_MAX + 1];
	const struct pg_column *filter = w->q->keys ? find_column(w, w->q->filter_column) : NULL;
	const char *table;
	enum rc rc = filter || !w->q->keys ? put_columns(w) : RC_INVALID;

	if (rc != RC_OK)
		return rc;
	pg_catalog_split(w->q->table, schema, &table);
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
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < w->q->column_count; i++) {
		int n = (int)i;

		if (PQgetisnull(row, 0, n)) {
			values[i] = (struct value){.kind = VALUE_NULL};
			continue;
		}
		rc = pg_type_value(w->forms[i], PQgetvalue(row, 0, n),
			(size_t)PQgetlength(row, 0, n), &scratch[i], &values[i]);
		if (rc == RC_LIMIT)
			snprintf(w->err->text, sizeof(w->err->text),
				"a value in '%s.%s' is larger than %zu bytes", w->q->table,
				w->q->columns[i], VALUE_BYTES_MAX);
		else if (rc != RC_OK)
			snprintf(w->err->text, sizeof(w->err->text),
				"the type of '%s.%s' is another one now", w->q->table,
				w->q->columns[i]);
	}
	return rc;
}

static enum rc stream(struct work *w, source_row_fn *fn, void *ctx)
{
	const char *params[1] = {(const char *)w->keys.data};
	struct value *values = xcalloc(w->q->column_count + 1, sizeof(*values));
	struct buf *scratch = xcalloc(w->q->column_count + 1, sizeof(*scratch));
	PGresult *row;
	enum rc rc = pg_send(w->pg, PG_FORMAT_BINARY, (const char *)w->sql.data, params,
		w->q->keys ? 1 : 0, w->q->table, w->err);

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

static const struct pg_table *find_table(const struct source_read *r, const char *name)
{
	for (size_t i = 0; i < r->table_count; i++)
		if (strcmp(r->tables[i].name, name) == 0)
			return &r->tables[i];
	return NULL;
}

static enum rc pg_select(struct source_read *r, const struct source_select *q, source_row_fn *row,
	void *ctx, struct source_error *err)
{
	struct work w = {.pg = &r->pg, .q = q, .err = err, .table = find_table(r, q->table)};
	struct pg_table *own = NULL; /* of a table that the read was not begun for */
	enum rc rc = RC_OK;

	buf_init(&w.sql, SQL_MAX);
	buf_init(&w.keys, KEYS_MAX);
	w.forms = xcalloc(q->column_count + 1, sizeof(*w.forms));
	if (!w.table) {
		rc = pg_catalog_columns(&r->pg, &r->source->types, &q->table, 1, &own, err);
		w.table = own;
	}
	if (rc == RC_OK)
		rc = make_sql(&w);
	if (rc == RC_OK)
		rc = stream(&w, row, ctx);
	if (rc == RC_INVALID)
		pg_types_forget(&r->source->types);
	pg_tables_free(own, 1);
	free(w.forms);
	buf_free(&w.sql);
	buf_wipe(&w.keys);
	buf_free(&w.keys);
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
