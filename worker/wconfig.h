/* wconfig: airlock.yaml, the worker's configuration. Never holds the database URL: that is
 * DATABASE_URL in the environment, and a file that names one is refused. Every key is documented in
 * conf/airlock.example.yaml. */
#ifndef WORKER_WCONFIG_H
#define WORKER_WCONFIG_H

#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"
#include "worker/mask_spec.h"

enum snapshot_engine { SNAPSHOT_SQLITE, SNAPSHOT_DUCKDB };

struct wconfig_column {
	char *name;
	struct mask_spec mask;
	int line;
};

/* How rows of a table belong to the subject: the root table by root_filter_col; a child by fk ->
 * parent's key; or through a table that is exported anyway: rows whose key is among via.via_fk. */
struct wconfig_table {
	char *name;
	char *key; /* primary key column, default "id" */
	char *parent; /* NULL for the root table and for via tables */
	char *fk; /* this table's column that holds the parent's key */
	char *via; /* the exported table that refers to this one ... */
	char *via_fk; /* ... by this column of it */
	struct wconfig_column *masks;
	size_t mask_count;
	char **exclude_columns;
	size_t exclude_count;
	int line; /* in the file, for messages */
};

struct wconfig_named {
	char *table, *column; /* column NULL among the shared */
	int line;
};

/* Every exported row carries the subject's tenant value, or nothing is served. */
struct wconfig_isolation {
	char *column; /* of the tables; NULL: not wanted */
	char *value; /* the only tenant whose subjects exist here; or NULL */
	struct wconfig_named *columns; /* tables where it has another name */
	size_t column_count;
	struct wconfig_named *shared; /* tables that belong to no tenant */
	size_t shared_count;
	int line;
};

struct wconfig_query {
	char *title, *sql;
};

/* An MCP server behind this worker. */
struct wconfig_upstream {
	char *name; /* 1 to 32 characters of a-z A-Z 0-9 _ - */
	char **command; /* a program with its arguments, NULL behind the last; or NULL ... */
	size_t command_count;
	char *url; /* ... for a Streamable HTTP server on this machine */
	char *prefix; /* of its tools' and prompts' names, default "<name>_" */
	char **env; /* names of variables that the program is given, beside a few harmless ones */
	size_t env_count;
	int timeout_ms; /* of a call, 60000 */
	int max_calls; /* at once, 64 */
	bool forward_identity; /* tell it who calls, false */
	int line;
};

struct wconfig {
	char *path; /* of the file */
	/* worker: */
	char *name; /* default: host name */
	char *state_dir; /* identity and enrollment, default /var/lib/airlock-worker */
	char *data_dir; /* snapshots, should be tmpfs, default /dev/shm/airlock-worker */
	char *ca_file; /* NULL: the system's */
	char *mask_key_file; /* the tenant's masking key; NULL: one of this worker's own */
	char *duckdb_library; /* NULL: where it usually is */
	int threads; /* tool calls at once, 4, 1..64 */
	/* tenant's data: */
	char *description; /* for agents, in get_schema and instructions; or NULL */
	char *root_table; /* NULL: no database, upstreams alone */
	char *root_filter_col; /* default: the root table's key */
	struct wconfig_table *tables;
	size_t table_count;
	struct wconfig_isolation isolation;
	bool default_redact; /* default_mask: keep | redact */
	bool strict; /* every column must be listed: masked, kept or excluded */
	enum snapshot_engine snapshot_engine;
	int snapshot_ttl_s; /* 300 */
	int64_t snapshot_max_rows; /* 200000 */
	int64_t snapshot_max_bytes; /* 256 MiB on disk */
	int snapshots_max; /* 64 at once; the one used longest ago goes */
	int query_timeout_ms; /* 10000 */
	int64_t query_max_memory; /* 64 MiB that one statement may use */
	int result_max_rows; /* 1000 */
	int64_t result_max_bytes; /* 1 MiB */
	int null_rates_min_group; /* 5 */
	int replica_max_lag_s; /* 300; 0: however far behind */
	char **hints;
	size_t hint_count;
	struct wconfig_query *queries; /* sample_queries */
	size_t query_count;
	struct wconfig_upstream *upstreams;
	size_t upstream_count;
};

struct wconfig_error {
	char text[512]; /* file:line: what is wrong and the nearest right name; of several the first
			 */
	/* Unless NULL: told of every mistake, and reading goes on after one where it can. */
	void (*each)(void *ctx, const char *text);
	void *ctx;
};
/* Writes one down. */
void wconfig_mistake(struct wconfig_error *err, const char *name, size_t line, const char *fmt,
	va_list ap) __attribute__((format(printf, 4, 0)));

/* RC_INVALID with *err. Pure but for reading the file. Free with wconfig_free(). */
enum rc wconfig_load(const char *path, struct wconfig **out, struct wconfig_error *err) MUST_CHECK;
enum rc wconfig_parse(const char *name, const char *text, size_t len, struct wconfig **out,
	struct wconfig_error *err) MUST_CHECK;
void wconfig_free(struct wconfig *c);

#endif
