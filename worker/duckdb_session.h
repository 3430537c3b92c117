/* duckdb_session: one open DuckDB database, locked down, and the guarded statements over it. Lives
 * in the process that runs DuckDB; knows nothing of the worker. */
#ifndef WORKER_DUCKDB_SESSION_H
#define WORKER_DUCKDB_SESSION_H

#include <stdbool.h>

#include "worker/duckdb_api.h"
#include "worker/engine.h"

struct duckdb_session;

/* write: makes a new file; else the file is only read. path NULL: in memory. api is borrowed. NULL
 * when DuckDB can't. */
struct duckdb_session *duckdb_session_open(
	const struct duckdb_api *api, const char *path, bool write, int64_t max_memory);
/* Flushes; all of a file that was written is there afterwards. NULL is fine. */
void duckdb_session_close(struct duckdb_session *s);
/* The connection, for duckdb_build. */
duckdb_handle duckdb_session_connection(struct duckdb_session *s);
/* From any thread. The statement in hand ends with ENGINE_CANCELLED. */
void duckdb_session_interrupt(struct duckdb_session *s);
/* As engine_ops.query(), without a budget. *spent: the library has failed in a way after which this
 * process should not be used again. */
enum engine_status duckdb_session_query(struct duckdb_session *s, const char *sql, size_t len,
	const struct engine_sink *sink, struct engine_message *message, bool *spent);

#endif
