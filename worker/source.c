#include "worker/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void names_free(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

static void foreign_key_free(struct source_foreign_key *k)
{
	names_free(k->columns, k->column_count);
	names_free(k->far_columns, k->column_count);
	free(k->table);
}

static void table_free(struct source_table *t)
{
	for (size_t i = 0; i < t->column_count; i++) {
		free(t->columns[i].name);
		free(t->columns[i].type);
	}
	for (size_t i = 0; i < t->foreign_key_count; i++)
		foreign_key_free(&t->foreign_keys[i]);
	free(t->foreign_keys);
	names_free(t->key, t->key_count);
	free(t->columns);
	free(t->name);
}

void source_schema_free(struct source_schema *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->table_count; i++)
		table_free(&s->tables[i]);
	free(s->tables);
	free(s);
}

struct source_table *source_schema_table(const struct source_schema *s, const char *name)
{
	for (size_t i = 0; i < s->table_count; i++)
		if (strcmp(s->tables[i].name, name) == 0)
			return &s->tables[i];
	return NULL;
}

const struct source_column *source_table_column(const struct source_table *t, const char *name)
{
	for (size_t i = 0; i < t->column_count; i++)
		if (strcmp(t->columns[i].name, name) == 0)
			return &t->columns[i];
	return NULL;
}

static bool starts(const char *url, const char *scheme)
{
	return strncasecmp(url, scheme, strlen(scheme)) == 0;
}

enum rc source_for_url(const char *url, const struct source_ops **out, struct source_error *err)
{
	if (starts(url, "sqlite:")) {
		*out = &source_sqlite;
		return RC_OK;
	}
	if (starts(url, "postgres://") || starts(url, "postgresql://")) {
		*out = &source_pg;
		return RC_OK;
	}
	snprintf(err->text, sizeof(err->text),
		"DATABASE_URL: unknown kind of database; use postgresql://user:password@host/name "
		"or sqlite:/absolute/path.db");
	return RC_INVALID;
}
