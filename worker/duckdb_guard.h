/* duckdb_guard: whether DuckDB may run a stranger's statement: decided on the tree that DuckDB's
 * own parser makes of it (as JSON), never on its text. Every kind of node, every member, every
 * table, type and function that is not on a list here is refused. Also says what DuckDB's errors
 * mean. Pure. */
#ifndef WORKER_DUCKDB_GUARD_H
#define WORKER_DUCKDB_GUARD_H

#include <stddef.h>

#include "worker/engine.h"

/* The statement whose value is that JSON; $1 is the text of the one to look at. Members that are
 * empty or have their default are left out, so a member that is there means something. */
#define DUCKDB_GUARD_PARSE                                                               \
	"SELECT json_serialize_sql($1::VARCHAR, skip_null := true, skip_empty := true, " \
	"skip_default := "                                                               \
	"true)"

/* ENGINE_OK, or ENGINE_REFUSED with a message. */
enum engine_status duckdb_guard_check(const char *json, size_t len,
	const struct engine_shape *shape, struct engine_message *message);

/* What an error means that came before any row was looked at: it may name what the statement names.
 */
enum engine_status duckdb_guard_explain(int error_type, const char *text,
	const struct engine_shape *shape, struct engine_message *message);
/* The kind of an error of which only the text is told; it begins with its kind's name. */
int duckdb_guard_error_type(const char *text);
/* And one that came while it ran, whose text may quote a value: only its kind counts. */
enum engine_status duckdb_guard_step_failed(int error_type, struct engine_message *message);

#endif
