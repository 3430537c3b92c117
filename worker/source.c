#include "worker/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void source_schema_free(struct source_schema *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->table_count; i++) {
		for (size_t k = 0; k < s->tables[i].column_count; k++) {
			free(s->tables[i].columns[k].name);
			free(s->tables[i].columns[k].type);
		}
		free(s->tables[i].columns);
		free(s->tables[i].name);
	}
	free(s->tables);
	free(s);
}

const struct source_table *source_schema_table(const struct source_schema *s, const char *name)
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
	if (starts(url, "postgres:") || starts(url, "postgresql:"))
		snprintf(err->text, sizeof(err->text),
			"DATABASE_URL: PostgreSQL is not supported yet; use "
			"sqlite:/absolute/path.db");
	else
		snprintf(err->text, sizeof(err->text),
			"DATABASE_URL: unknown kind of database; use sqlite:/absolute/path.db");
	return RC_INVALID;
}
