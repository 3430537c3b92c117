/* pg_catalog: what a PostgreSQL server has: tables, keys, and how the columns that are read are
 * stored. Types are asked for once a process, since asking costs more than most tables' rows. */
#ifndef WORKER_PG_CATALOG_H
#define WORKER_PG_CATALOG_H

#include <pthread.h>
#include <stddef.h>

#include "shared/rc.h"
#include "worker/pg.h"
#include "worker/pg_type.h"
#include "worker/source.h"

#define PG_SCHEMA_DEFAULT "public"

/* Tables and views that may be read, with their columns and keys. source_schema_free() whatever the
 * result. */
enum rc pg_catalog_schema(
	struct pg *pg, struct source_schema *out, struct source_error *err) MUST_CHECK;

/* schema and *table of a name as airlock.yaml has it; *table points into name. */
void pg_catalog_split(const char *name, char schema[SOURCE_NAME_MAX + 1], const char **table);

struct pg_column {
	char *name;
	struct pg_type type;
	char *base; /* the type's name, quoted */
};

struct pg_table {
	const char *name; /* borrowed */
	struct pg_column *columns;
	size_t column_count; /* 0: there is no such table */
};

/* Types that are known, by what a server calls them. Of one server; safe from several threads. */
struct pg_types {
	pthread_mutex_t lock;
	struct pg_known_type *list;
	size_t count;
};
void pg_types_init(struct pg_types *t);
void pg_types_free(struct pg_types *t);
/* After something did not fit: a type may have been renamed. */
void pg_types_forget(struct pg_types *t);

/* The columns of all these tables, *out being one a name (pg_tables_free()). */
enum rc pg_catalog_columns(struct pg *pg, struct pg_types *types, const char *const *names,
	size_t count, struct pg_table **out, struct source_error *err) MUST_CHECK;
void pg_tables_free(struct pg_table *tables, size_t count);

#endif
