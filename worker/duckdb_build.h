/* duckdb_build: writes a snapshot with DuckDB's appender, in the process that runs DuckDB. A column
 * has the type that its values have: it starts as the source declared it and is widened when a
 * value of another kind comes, so nothing is rounded and nothing is lost. */
#ifndef WORKER_DUCKDB_BUILD_H
#define WORKER_DUCKDB_BUILD_H

#include "worker/duckdb_api.h"
#include "worker/duckdb_wire.h"

struct duckdb_build;

/* con is borrowed. */
struct duckdb_build *duckdb_build_new(const struct duckdb_api *api, duckdb_handle con);
void duckdb_build_free(struct duckdb_build *b);
/* Each takes the payload of its frame. RC_LIMIT: no room; RC_INVALID: not a frame of ours;
 * RC_INTERNAL: *why, unless NULL, says what (a constant). */
enum rc duckdb_build_table(
	struct duckdb_build *b, struct wire_cursor *c, const char **why) MUST_CHECK;
enum rc duckdb_build_rows(
	struct duckdb_build *b, struct wire_cursor *c, const char **why) MUST_CHECK;
/* All is in the file when it returns RC_OK. */
enum rc duckdb_build_seal(struct duckdb_build *b, const char **why) MUST_CHECK;

#endif
