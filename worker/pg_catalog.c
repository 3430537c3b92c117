#include "worker/pg_catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/buf.h"
#include "shared/mem.h"

#define COLUMNS_MAX 1600 /* PostgreSQL's own limit */
#define TABLES_MAX 4096
#define TYPES_MAX 4096
#define NAMES_MAX ((size_t)1 << 20)
#define WHAT "the catalog"

/* --- names --------------------------------------------------------------------------- */

/* The name in airlock.yaml; false when it has none there. */
static bool table_name(const char *schema, const char *table, char out[SOURCE_NAME_MAX + 1])
{
	bool plain = strcmp(schema, PG_SCHEMA_DEFAULT) == 0 && !strchr(table, '.');
	int n = plain ? snprintf(out, SOURCE_NAME_MAX + 1, "%s", table)
		      : snprintf(out, SOURCE_NAME_MAX + 1, "%s.%s", schema, table);

	return !strchr(schema, '.') && n > 0 && n <= SOURCE_NAME_MAX;
}

/* The other way. */
void pg_catalog_split(const char *name, char schema[SOURCE_NAME_MAX + 1], const char **table)
{
	const char *dot = strchr(name, '.');

	*table = dot ? dot + 1 : name;
	if (!dot || !str_copy_len(schema, SOURCE_NAME_MAX + 1, name, (size_t)(dot - name)))
		str_copy(schema, SOURCE_NAME_MAX + 1, PG_SCHEMA_DEFAULT);
}

/* --- all of it ----------------------------------------------------------------------- */

/* Columns that may be read, with domains followed down to the type they are based on. */
static const char catalog_sql[] =
	"WITH RECURSIVE d(id, base, mod) AS ("
	"SELECT oid, typbasetype, typtypmod FROM pg_type WHERE typtype = 'd' UNION ALL "
	"SELECT d.id, t.typbasetype, CASE WHEN d.mod < 0 THEN t.typtypmod ELSE d.mod END "
	"FROM d JOIN pg_type t ON t.oid = d.base WHERE t.typtype = 'd'), "
	"domains AS (SELECT d.* FROM d JOIN pg_type t ON t.oid = d.base WHERE t.typtype <> 'd') "
	"SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), b.oid, "
	"b.typtype, b.typcategory, b.typlen, coalesce(domains.mod, a.atttypmod) "
	"FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
	"JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
	"LEFT JOIN domains ON domains.id = a.atttypid "
	"JOIN pg_type b ON b.oid = coalesce(domains.base, a.atttypid) "
	"WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') "
	"AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
	"AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%' "
	"AND has_schema_privilege(n.oid, 'USAGE') "
	"AND has_column_privilege(c.oid, a.attnum, 'SELECT') ORDER BY 1, 2, a.attnum";

enum { C_SCHEMA, C_TABLE, C_COLUMN, C_SHOWN, C_OID, C_KIND, C_CATEGORY, C_LEN, C_MOD };

static void read_type(const PGresult *row, struct pg_type *t)
{
	*t = (struct pg_type){.oid = (unsigned)strtoul(PQgetvalue(row, 0, C_OID), NULL, 10),
		.kind = *PQgetvalue(row, 0, C_KIND),
		.category = *PQgetvalue(row, 0, C_CATEGORY),
		.len = (int)strtol(PQgetvalue(row, 0, C_LEN), NULL, 10),
		.mod = (int)strtol(PQgetvalue(row, 0, C_MOD), NULL, 10)};
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
	enum rc rc = pg_send(pg, PG_FORMAT_TEXT, catalog_sql, NULL, 0, WHAT, err);

	s->tables = xcalloc(TABLES_MAX, sizeof(*s->tables));
	while (rc == RC_OK && (rc = pg_next(pg, WHAT, &row, err)) == RC_OK && row) {
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
	enum rc rc = pg_send(pg, PG_FORMAT_TEXT, keys_sql, NULL, 0, WHAT, err);

	while (rc == RC_OK && (rc = pg_next(pg, WHAT, &row, err)) == RC_OK && row) {
		const char *id = PQgetvalue(row, 0, K_ID);

		add_key(s, row, strcmp(id, last) == 0);
		str_copy(last, sizeof(last), id);
		PQclear(row);
	}
	return rc;
}

enum rc pg_catalog_schema(struct pg *pg, struct source_schema *out, struct source_error *err)
{
	enum rc rc = read_tables(pg, out, err);

	return rc == RC_OK ? read_keys(pg, out, err) : rc;
}

/* --- types ------------------------------------------------------------------------------ */

/* As a column's atttypid says it: a domain is its base type, and may say the modifier. */
struct pg_known_type {
	unsigned id;
	struct pg_type type;
	char *base;
};

void pg_types_init(struct pg_types *t)
{
	*t = (struct pg_types){.list = NULL};
	pthread_mutex_init(&t->lock, NULL);
}

void pg_types_forget(struct pg_types *t)
{
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->count; i++)
		free(t->list[i].base);
	free(t->list);
	t->list = NULL;
	t->count = 0;
	pthread_mutex_unlock(&t->lock);
}

void pg_types_free(struct pg_types *t)
{
	pg_types_forget(t);
	pthread_mutex_destroy(&t->lock);
}

static const struct pg_known_type *find_type(const struct pg_types *t, unsigned id)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->list[i].id == id)
			return &t->list[i];
	return NULL;
}

/* False when it is not known. The column's own modifier comes in out->type.mod. */
static bool describe(struct pg_types *t, struct pg_column *out)
{
	const struct pg_known_type *known;
	int mod = out->type.mod;

	pthread_mutex_lock(&t->lock);
	known = find_type(t, out->type.oid);
	if (known) {
		out->type = known->type;
		if (out->type.mod < 0)
			out->type.mod = mod;
		out->base = xstrdup(known->base);
	}
	pthread_mutex_unlock(&t->lock);
	return known;
}

/* Domains are followed down to the type they are based on. */
static const char types_sql[] =
	"WITH RECURSIVE d(id, base, mod) AS ("
	"SELECT oid, oid, -1 FROM pg_type WHERE oid = ANY($1::oid[]) UNION ALL "
	"SELECT d.id, t.typbasetype, CASE WHEN d.mod < 0 THEN t.typtypmod ELSE d.mod END "
	"FROM d JOIN pg_type t ON t.oid = d.base WHERE t.typtype = 'd') "
	"SELECT d.id, d.mod, b.oid, b.typtype, b.typcategory, b.typlen, "
	"quote_ident(n.nspname) || '.' || quote_ident(b.typname) "
	"FROM d JOIN pg_type b ON b.oid = d.base JOIN pg_namespace n ON n.oid = b.typnamespace "
	"WHERE b.typtype <> 'd'";

enum { T_ID, T_MOD, T_OID, T_KIND, T_CATEGORY, T_LEN, T_BASE };

static unsigned get_oid(const PGresult *row, int field)
{
	return (unsigned)strtoul(PQgetvalue(row, 0, field), NULL, 10);
}

static int get_int(const PGresult *row, int field)
{
	return (int)strtol(PQgetvalue(row, 0, field), NULL, 10);
}

static void add_type(struct pg_types *t, const PGresult *row)
{
	unsigned id = get_oid(row, T_ID);

	pthread_mutex_lock(&t->lock);
	if (!find_type(t, id) && t->count < TYPES_MAX) {
		t->list = xrealloc(t->list, (t->count + 1) * sizeof(*t->list));
		t->list[t->count++] = (struct pg_known_type){.id = id,
			.type = {.oid = get_oid(row, T_OID),
				.kind = *PQgetvalue(row, 0, T_KIND),
				.category = *PQgetvalue(row, 0, T_CATEGORY),
				.len = get_int(row, T_LEN),
				.mod = get_int(row, T_MOD)},
			.base = xstrdup(PQgetvalue(row, 0, T_BASE))};
	}
	pthread_mutex_unlock(&t->lock);
}

/* ids is an array literal. */
static enum rc read_types(
	struct pg *pg, struct pg_types *types, const char *ids, struct source_error *err)
{
	const char *params[1] = {ids};
	PGresult *row;
	enum rc rc = pg_send(pg, PG_FORMAT_TEXT, types_sql, params, 1, WHAT, err);

	while (rc == RC_OK && (rc = pg_next(pg, WHAT, &row, err)) == RC_OK && row) {
		add_type(types, row);
		PQclear(row);
	}
	return rc;
}

/* --- the columns of some tables ----------------------------------------------------------- */

/* Cheap, since it runs for each copy, on a connection that knows nothing yet. Whether a column may
 * be read is seen when it is. */
static const char columns_sql[] =
	"SELECT r.number, a.attname, a.atttypid, a.atttypmod "
	"FROM unnest($1::text[]) WITH ORDINALITY AS r(name, number) "
	"JOIN pg_attribute a ON a.attrelid = to_regclass(r.name) "
	"WHERE a.attnum > 0 AND NOT a.attisdropped ORDER BY r.number, a.attnum";

enum { A_TABLE, A_NAME, A_TYPE, A_MOD };

static void put_quoted(struct pg *pg, const char *name, struct buf *out)
{
	char *quoted = PQescapeIdentifier(pg->conn, name, strlen(name));

	if (quoted)
		buf_str(out, quoted);
	else
		out->failed = true;
	PQfreemem(quoted);
}

/* Quoted names as an array literal. */
static void put_tables(struct pg *pg, const char *const *names, size_t count, struct buf *out)
{
	struct buf name;

	buf_init(&name, NAMES_MAX);
	buf_char(out, '{');
	for (size_t i = 0; i < count; i++) {
		char schema[SOURCE_NAME_MAX + 1];
		const char *table;
		struct value v;

		pg_catalog_split(names[i], schema, &table);
		buf_reset(&name);
		put_quoted(pg, schema, &name);
		buf_char(&name, '.');
		put_quoted(pg, table, &name);
		v = value_text((const char *)name.data, name.len);
		if (i > 0)
			buf_char(out, ',');
		pg_type_element(&v, out);
		out->failed = out->failed || name.failed;
	}
	buf_char(out, '}');
	buf_char(out, '\0');
	buf_free(&name);
}

static void add_pg_column(struct pg_table *tables, size_t count, const PGresult *row)
{
	size_t number = (size_t)strtoul(PQgetvalue(row, 0, A_TABLE), NULL, 10);
	struct pg_table *t;

	if (number < 1 || number > count || tables[number - 1].column_count == COLUMNS_MAX)
		return;
	t = &tables[number - 1];
	t->columns = xrealloc(t->columns, (t->column_count + 1) * sizeof(*t->columns));
	t->columns[t->column_count++] =
		(struct pg_column){.name = xstrdup(PQgetvalue(row, 0, A_NAME)),
			.type = {.oid = get_oid(row, A_TYPE), .mod = get_int(row, A_MOD)}};
}

/* What is not known is asked for, once, and put in. */
static enum rc describe_all(struct pg *pg, struct pg_types *types, struct pg_table *tables,
	size_t count, struct source_error *err)
{
	struct buf ids;
	enum rc rc = RC_OK;

	buf_init(&ids, NAMES_MAX);
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < tables[i].column_count; k++)
			if (!describe(types, &tables[i].columns[k]))
				buf_printf(&ids, "%c%u", ids.len ? ',' : '{',
					tables[i].columns[k].type.oid);
	if (ids.len) {
		buf_char(&ids, '}');
		buf_char(&ids, '\0');
		rc = ids.failed ? RC_LIMIT : read_types(pg, types, (const char *)ids.data, err);
	}
	for (size_t i = 0; rc == RC_OK && i < count; i++)
		for (size_t k = 0; rc == RC_OK && k < tables[i].column_count; k++)
			if (!tables[i].columns[k].base && !describe(types, &tables[i].columns[k]))
				rc = RC_INVALID;
	if (rc == RC_INVALID)
		snprintf(err->text, sizeof(err->text), "the type of a column is gone");
	buf_free(&ids);
	return rc;
}

enum rc pg_catalog_columns(struct pg *pg, struct pg_types *types, const char *const *names,
	size_t count, struct pg_table **out, struct source_error *err)
{
	struct pg_table *tables = xcalloc(count + 1, sizeof(*tables));
	const char *params[1];
	struct buf list;
	PGresult *row;
	enum rc rc;

	for (size_t i = 0; i < count; i++)
		tables[i].name = names[i];
	buf_init(&list, NAMES_MAX);
	put_tables(pg, names, count, &list);
	params[0] = (const char *)list.data;
	rc = list.failed ? RC_LIMIT
			 : pg_send(pg, PG_FORMAT_TEXT, columns_sql, params, 1, WHAT, err);
	while (rc == RC_OK && (rc = pg_next(pg, WHAT, &row, err)) == RC_OK && row) {
		add_pg_column(tables, count, row);
		PQclear(row);
	}
	if (rc == RC_OK)
		rc = describe_all(pg, types, tables, count, err);
	buf_free(&list);
	if (rc == RC_OK)
		*out = tables;
	else
		pg_tables_free(tables, count);
	return rc;
}

void pg_tables_free(struct pg_table *tables, size_t count)
{
	for (size_t i = 0; tables && i < count; i++) {
		for (size_t k = 0; k < tables[i].column_count; k++) {
			free(tables[i].columns[k].name);
			free(tables[i].columns[k].base);
		}
		free(tables[i].columns);
	}
	free(tables);
}
