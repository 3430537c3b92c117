/* source: the customer's database, read only. One implementation per kind of database stands behind
 * a table of functions; which one is chosen by DATABASE_URL. Gives raw values: masking is the
 * caller's. The URL appears in no message. */
#ifndef WORKER_SOURCE_H
#define WORKER_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/rc.h"
#include "worker/budget.h"
#include "worker/value.h"

#define SOURCE_NAME_MAX 127

struct source_error {
	char text[256]; /* for the operator's log; names tables and columns, never values */
	char advice[192]; /* for agents: what to do; "" when there is nothing better to say than
			   * the usual */
};

struct source_column {
	char *name;
	char *type; /* as declared there, at most 63 bytes; "" when it has none */
	enum column_kind kind;
};

/* columns[i] holds table's far_columns[i]. table may be the one it belongs to. */
struct source_foreign_key {
	char *table;
	char **columns, **far_columns;
	size_t column_count;
};

struct source_table {
	char *name;
	struct source_column *columns;
	size_t column_count;
	char **key; /* the primary key's columns */
	size_t key_count; /* 0: it has none */
	struct source_foreign_key *foreign_keys;
	size_t foreign_key_count;
};

/* A table outside of the database's default schema is called schema.table. */
struct source_schema {
	struct source_table *tables;
	size_t table_count;
};
void source_schema_free(struct source_schema *s);
/* Exact names. NULL when absent. */
struct source_table *source_schema_table(const struct source_schema *s, const char *name);
const struct source_column *source_table_column(const struct source_table *t, const char *name);

/* SELECT columns FROM table WHERE filter_column is one of keys; each row once. Names are quoted by
 * the source, keys are always bound. */
struct source_select {
	const char *table;
	const char *const *columns;
	size_t column_count;
	const char *filter_column;
	const struct value_list *keys;
	size_t sample_rows; /* when keys is NULL: so many rows, whichever, and no filter */
};
/* One row; values are borrowed for the call. Anything but RC_OK ends the select with that code. */
typedef enum rc source_row_fn(void *ctx, const struct value *row);

struct source; /* one database; safe from several threads */
struct source_read; /* one consistent read of it; used by one thread */

struct source_ops {
	/* Checks that the database can be reached. RC_INVALID: the URL is wrong; RC_UNAVAILABLE:
	 * not now, but *out is set too and may be tried again. */
	enum rc (*open)(const char *url, struct source **out, struct source_error *err) MUST_CHECK;
	void (*close)(struct source *s);
	/* begin() is RC_UNAVAILABLE while the database is a replica that is so far behind; 0:
	 * never. Before the first begin(). NULL where there are no replicas. */
	void (*max_lag)(struct source *s, int seconds);
	/* Tables and views with their columns. */
	enum rc (*schema)(struct source *s, const struct budget *b, struct source_schema **out,
		struct source_error *err) MUST_CHECK;
	/* Everything read through *out is of one moment. b is asked while rows stream and is
	 * borrowed until end(), as are tables: those that will be selected from, as far as that is
	 * known, since it is cheaper to prepare for them together. */
	enum rc (*begin)(struct source *s, const struct budget *b, const char *const *tables,
		size_t table_count, struct source_read **out, struct source_error *err) MUST_CHECK;
	/* RC_UNAVAILABLE: lost, busy, or the budget is spent (ask it which); RC_INVALID: table or
	 * column no longer there; RC_LIMIT: a value above VALUE_BYTES_MAX; or what row() returned.
	 */
	enum rc (*select)(struct source_read *r, const struct source_select *q, source_row_fn *row,
		void *ctx, struct source_error *err) MUST_CHECK;
	void (*end)(struct source_read *r);
};

/* The functions for a URL. RC_INVALID with err when the URL is of no kind known here. */
enum rc source_for_url(
	const char *url, const struct source_ops **out, struct source_error *err) MUST_CHECK;

extern const struct source_ops source_sqlite;
extern const struct source_ops source_pg;

#endif
