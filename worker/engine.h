/* engine: what holds a snapshot and answers SQL about it. One implementation per kind of engine
 * stands behind a table of functions. A snapshot is built once, sealed, and from then on only read;
 * values arrive masked. */
#ifndef WORKER_ENGINE_H
#define WORKER_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"
#include "worker/budget.h"
#include "worker/value.h"

/* The shape of a snapshot; borrowed by everything below for as long as it lives. */
struct engine_column {
	const char *name;
	enum column_kind kind;
};
struct engine_table {
	const char *name;
	const struct engine_column *columns;
	size_t column_count;
};
struct engine_shape {
	const struct engine_table *tables;
	size_t table_count;
};

enum engine_status {
	ENGINE_OK,
	ENGINE_REFUSED, /* the statement is wrong, not allowed or too big: message says how to
			   repair it */
	ENGINE_TIMEOUT, /* stopped by the budget */
	ENGINE_CANCELLED, /* stopped by the budget */
	ENGINE_FAILED, /* the machine's fault; logged */
};

struct engine_message {
	char text[512]; /* for agents: names from the snapshot's shape and the statement, never
			   values of rows */
};

/* Where a result goes. columns() comes once, before any row. row() may answer RC_LIMIT: enough,
 * which ends the query with ENGINE_OK. */
struct engine_sink {
	enum rc (*columns)(void *ctx, const char *const *names, size_t count);
	enum rc (*row)(void *ctx, const struct value *values, size_t count);
	void *ctx;
};

struct engine_query {
	const char *sql;
	size_t len;
	int64_t max_memory; /* bytes that this statement may allocate */
	const struct budget *budget;
};

struct engine_build; /* a snapshot in the making; one thread */
struct engine; /* a sealed snapshot; safe from several threads */

/* What an engine is told before it is used. */
struct engine_settings {
	const char *library; /* DuckDB's, or NULL: where it usually is */
	int64_t max_memory; /* the largest that engine_query will say */
};

struct engine_ops {
	const char *
		name; /* "sqlite": in sidecars and in get_schema, so that agents know the dialect */
	const char *dialect; /* for people and models */
	/* Before anything else uses the engine's library; what settings holds is copied. RC_INVALID
	 * with why: it can't be used here, and what to do about it. */
	enum rc (*init)(
		const struct engine_settings *settings, struct engine_message *why) MUST_CHECK;
	/* A new file at path (mode 0600, must not exist) that may not grow above max_bytes. */
	enum rc (*create)(const char *path, const struct engine_shape *shape, int64_t max_bytes,
		struct engine_build **out) MUST_CHECK;
	/* RC_LIMIT: max_bytes is reached. */
	enum rc (*insert)(struct engine_build *b, size_t table, const struct value *row) MUST_CHECK;
	/* Finishes the file and puts it at path; b is gone whatever the result. */
	enum rc (*seal)(struct engine_build *b, const char *path) MUST_CHECK;
	/* Drops the file. NULL is fine. */
	void (*abandon)(struct engine_build *b);
	enum rc (*open)(
		const char *path, const struct engine_shape *shape, struct engine **out) MUST_CHECK;
	/* One read-only statement over the snapshot's own tables; everything else is refused. */
	enum engine_status (*query)(struct engine *e, const struct engine_query *q,
		const struct engine_sink *sink, struct engine_message *message);
	/* No query may be running. NULL is fine. */
	void (*close)(struct engine *e);
	/* When no snapshot is open or made any more: what was kept ready for the next is let go.
	 * NULL where nothing is. */
	void (*stop)(void);
};

extern const struct engine_ops engine_sqlite;
extern const struct engine_ops engine_duckdb;

#endif
