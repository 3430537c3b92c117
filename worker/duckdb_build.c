#include "worker/duckdb_build.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"
#include "shared/text.h"

#define TABLES_MAX 4096
#define COLUMNS_MAX 4096
#define EXACT_MAX INT64_C(9007199254740992) /* every integer up to it is a double */

/* What a column holds by now. HOLDS_NOTHING is declared BIGINT meanwhile. */
enum holds { HOLDS_NOTHING, HOLDS_INT, HOLDS_REAL, HOLDS_TEXT, HOLDS_BLOB };

struct column {
	char *name;
	enum holds holds;
	bool inexact; /* an integer that is no double was put in */
};

struct table {
	char *name;
	struct column *columns;
	size_t column_count;
};

struct duckdb_build {
	const struct duckdb_api *api;
	duckdb_handle con;
	struct table *tables;
	size_t table_count;
	duckdb_handle appender; /* of tables[at], or NULL */
	size_t at;
	struct value *row;
	struct buf text;
	bool begun;
	int error; /* DuckDB's kind of the last one */
};

struct duckdb_build *duckdb_build_new(const struct duckdb_api *api, duckdb_handle con)
{
	struct duckdb_build *b = xcalloc(1, sizeof(*b));

	b->api = api;
	b->con = con;
	b->tables = xcalloc(TABLES_MAX, sizeof(*b->tables));
	b->row = xcalloc(COLUMNS_MAX, sizeof(*b->row));
	buf_init(&b->text, 4 * VALUE_BYTES_MAX);
	return b;
}

void duckdb_build_free(struct duckdb_build *b)
{
	if (!b)
		return;
	if (b->appender)
		(void)b->api->appender_destroy(&b->appender);
	for (size_t i = 0; i < b->table_count; i++) {
		for (size_t k = 0; k < b->tables[i].column_count; k++)
			free(b->tables[i].columns[k].name);
		free(b->tables[i].columns);
		free(b->tables[i].name);
	}
	free(b->tables);
	free(b->row);
	buf_free(&b->text);
	free(b);
}

static enum rc run(struct duckdb_build *b, const char *sql)
{
	struct duckdb_result r;
	int failed = b->api->query(b->con, sql, &r);

	if (failed)
		b->error = b->api->result_error_type(&r);
	b->api->destroy_result(&r);
	if (!failed)
		return RC_OK;
	return b->error == DUCKDB_ERROR_IO || b->error == DUCKDB_ERROR_OUT_OF_MEMORY ? RC_LIMIT
										     : RC_INTERNAL;
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

static const char *type_name(enum holds holds)
{
	switch (holds) {
	case HOLDS_REAL:
		return "DOUBLE";
	case HOLDS_TEXT:
		return "VARCHAR";
	case HOLDS_BLOB:
		return "BLOB";
	case HOLDS_NOTHING:
	case HOLDS_INT:
		break;
	}
	return "BIGINT";
}

static enum holds holds_at_first(unsigned kind)
{
	switch (kind) {
	case COLUMN_INT:
		return HOLDS_INT;
	case COLUMN_REAL:
		return HOLDS_REAL;
	case COLUMN_TEXT:
		return HOLDS_TEXT;
	case COLUMN_BLOB:
		return HOLDS_BLOB;
	default: /* COLUMN_NUMERIC and COLUMN_ANY: as its values are */
		return HOLDS_NOTHING;
	}
}

static enum rc run_buf(struct duckdb_build *b, struct buf *sql)
{
	char *text = buf_steal(sql);
	enum rc rc = text ? run(b, text) : RC_LIMIT;

	free(text);
	return rc;
}

/* --- tables ------------------------------------------------------------------------ */

static enum rc create_table(struct duckdb_build *b, const struct table *t)
{
	struct buf sql;

	buf_init(&sql, 1 << 20);
	buf_str(&sql, "CREATE TABLE ");
	put_name(&sql, t->name);
	for (size_t i = 0; i < t->column_count; i++) {
		buf_str(&sql, i ? ", " : "(");
		put_name(&sql, t->columns[i].name);
		buf_printf(&sql, " %s", type_name(t->columns[i].holds));
	}
	buf_str(&sql, ")");
	return run_buf(b, &sql);
}

enum rc duckdb_build_table(struct duckdb_build *b, struct wire_cursor *c, const char **why)
{
	struct table *t = &b->tables[b->table_count];
	enum rc rc = RC_OK;

	*why = "create a table";
	if (b->table_count == TABLES_MAX || !(t->name = wire_dup_str(c)))
		return RC_INVALID;
	b->table_count++;
	t->columns = xcalloc(COLUMNS_MAX, sizeof(*t->columns));
	while (wire_more(c) && t->column_count < COLUMNS_MAX) {
		struct column *col = &t->columns[t->column_count];

		col->holds = holds_at_first(wire_get_u8(c));
		if (!(col->name = wire_dup_str(c)))
			return RC_INVALID;
		t->column_count++;
	}
	if (c->bad || wire_more(c) || t->column_count == 0)
		return RC_INVALID;
	/* One transaction: DuckDB then writes rows to where they stay, and not to its journal
	 * first. */
	if (!b->begun)
		rc = run(b, "BEGIN");
	b->begun = true;
	return rc == RC_OK ? create_table(b, t) : rc;
}

/* --- rows ----------------------------------------------------------------------------- */

static enum rc close_appender(struct duckdb_build *b)
{
	int failed = b->appender ? b->api->appender_close(b->appender) : 0;

	if (b->appender)
		(void)b->api->appender_destroy(&b->appender);
	b->appender = NULL;
	/* Its kind is not told: with sane rows it is the disk or the memory. */
	return failed ? RC_LIMIT : RC_OK;
}

static enum rc open_appender(struct duckdb_build *b, size_t table)
{
	if (b->appender && b->at == table)
		return RC_OK;
	if (close_appender(b) != RC_OK)
		return RC_LIMIT;
	b->at = table;
	if (b->api->appender_create(b->con, NULL, b->tables[table].name, &b->appender) != 0) {
		(void)b->api->appender_destroy(&b->appender);
		b->appender = NULL;
		return RC_INTERNAL;
	}
	return RC_OK;
}

/* Gives a column another type; rows so far are converted. */
static enum rc widen(struct duckdb_build *b, struct table *t, struct column *col, enum holds to)
{
	struct buf sql;
	enum rc rc;

	if (col->holds == HOLDS_NOTHING && to == HOLDS_INT) {
		col->holds = to;
		return RC_OK;
	}
	rc = close_appender(b);
	if (rc != RC_OK)
		return rc;
	buf_init(&sql, 1 << 16);
	buf_str(&sql, "ALTER TABLE ");
	put_name(&sql, t->name);
	buf_str(&sql, " ALTER ");
	put_name(&sql, col->name);
	buf_printf(&sql, " TYPE %s", type_name(to));
	if (col->holds == HOLDS_BLOB) {
		buf_str(&sql, " USING '\\x' || lower(hex(");
		put_name(&sql, col->name);
		buf_str(&sql, "))");
	}
	col->holds = to;
	return run_buf(b, &sql);
}

static bool special_real(const struct value *v, double *out)
{
	static const struct {
		const char *text;
		double r;
	} specials[] = {{"NaN", NAN}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY}};

	for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++) {
		if (v->len != strlen(specials[i].text) ||
			memcmp(v->p, specials[i].text, v->len) != 0)
			continue;
		*out = specials[i].r;
		return true;
	}
	return false;
}

static bool is_exact(int64_t i)
{
	return i <= EXACT_MAX && i >= -EXACT_MAX;
}

/* What the column must hold for this value to be in it. */
static enum holds wanted(const struct column *col, const struct value *v)
{
	static const enum holds natural[] = {[VALUE_NULL] = HOLDS_NOTHING,
		[VALUE_INT] = HOLDS_INT,
		[VALUE_REAL] = HOLDS_REAL,
		[VALUE_TEXT] = HOLDS_TEXT,
		[VALUE_BLOB] = HOLDS_BLOB};
	enum holds own = natural[v->kind];
	double r;

	if (v->kind == VALUE_NULL || own == col->holds || col->holds == HOLDS_TEXT)
		return col->holds;
	if (col->holds == HOLDS_NOTHING)
		return own;
	if (col->holds == HOLDS_INT && v->kind == VALUE_REAL && !col->inexact)
		return HOLDS_REAL;
	if (col->holds == HOLDS_REAL &&
		((v->kind == VALUE_INT && is_exact(v->i)) ||
			(v->kind == VALUE_TEXT && special_real(v, &r))))
		return HOLDS_REAL;
	return HOLDS_TEXT;
}

/* DuckDB's texts are UTF-8. */
static void put_utf8(struct buf *out, const char *s, size_t len)
{
	while (len > 0) {
		size_t n = text_utf8_len(s, len);

		if (n)
			buf_add(out, s, n);
		else
			buf_str(out, "\xef\xbf\xbd");
		s += n ? n : 1;
		len -= n ? n : 1;
	}
}

static void put_text(struct buf *out, const struct value *v)
{
	char text[40];

	switch (v->kind) {
	case VALUE_INT:
		buf_printf(out, "%" PRId64, v->i);
		break;
	case VALUE_REAL:
		for (int digits = 15; digits <= 17; digits++) {
			snprintf(text, sizeof(text), "%.*g", digits, v->r);
			if (strtod(text, NULL) == v->r)
				break;
		}
		buf_str(out, text);
		if (!strpbrk(text, ".en"))
			buf_str(out, ".0");
		break;
	case VALUE_BLOB:
		buf_str(out, "\\x");
		for (size_t i = 0; i < v->len; i++)
			buf_printf(out, "%02x", ((const unsigned char *)v->p)[i]);
		break;
	case VALUE_TEXT:
		put_utf8(out, v->p, v->len);
		break;
	case VALUE_NULL:
		break;
	}
}

static int append_text(struct duckdb_build *b, const struct value *v)
{
	if (v->kind == VALUE_TEXT && text_utf8_ok(v->p, v->len))
		return b->api->append_varchar_length(b->appender, v->p, v->len);
	buf_reset(&b->text);
	put_text(&b->text, v);
	return b->text.failed ||
		b->api->append_varchar_length(b->appender, (const char *)b->text.data, b->text.len);
}

static int append(struct duckdb_build *b, struct column *col, const struct value *v)
{
	double r = 0;

	if (v->kind == VALUE_NULL)
		return b->api->append_null(b->appender);
	switch (col->holds) {
	case HOLDS_INT:
		col->inexact = col->inexact || !is_exact(v->i);
		return b->api->append_int64(b->appender, v->i);
	case HOLDS_REAL:
		if (v->kind == VALUE_TEXT)
			(void)special_real(v, &r);
		else
			r = v->kind == VALUE_INT ? (double)v->i : v->r;
		return b->api->append_double(b->appender, r);
	case HOLDS_BLOB:
		return b->api->append_blob(b->appender, v->len ? v->p : "", v->len);
	case HOLDS_TEXT:
		return append_text(b, v);
	case HOLDS_NOTHING:
		break;
	}
	return 1;
}

static enum rc append_row(struct duckdb_build *b, size_t table)
{
	struct table *t = &b->tables[table];
	int failed = 0;
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < t->column_count; i++) {
		enum holds want = wanted(&t->columns[i], &b->row[i]);

		if (want != t->columns[i].holds)
			rc = widen(b, t, &t->columns[i], want);
	}
	if (rc == RC_OK)
		rc = open_appender(b, table);
	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; !failed && i < t->column_count; i++)
		failed = append(b, &t->columns[i], &b->row[i]);
	return failed || b->api->appender_end_row(b->appender) ? RC_LIMIT : RC_OK;
}

enum rc duckdb_build_rows(struct duckdb_build *b, struct wire_cursor *c, const char **why)
{
	size_t table = wire_get_u16(c);
	enum rc rc = RC_OK;

	*why = "insert";
	if (c->bad || table >= b->table_count)
		return RC_INVALID;
	while (rc == RC_OK && wire_more(c)) {
		for (size_t i = 0; i < b->tables[table].column_count; i++)
			b->row[i] = wire_get_value(c);
		rc = c->bad ? RC_INVALID : append_row(b, table);
	}
	return rc;
}

enum rc duckdb_build_seal(struct duckdb_build *b, const char **why)
{
	enum rc rc = close_appender(b);

	*why = "seal";
	/* Without a value it may as well be text, which compares with anything. */
	for (size_t i = 0; i < b->table_count; i++)
		for (size_t k = 0; rc == RC_OK && k < b->tables[i].column_count; k++)
			if (b->tables[i].columns[k].holds == HOLDS_NOTHING)
				rc = widen(b, &b->tables[i], &b->tables[i].columns[k], HOLDS_TEXT);
	if (rc == RC_OK && b->begun)
		rc = run(b, "COMMIT");
	return rc == RC_OK ? run(b, "CHECKPOINT") : rc;
}
