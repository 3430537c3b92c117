/* duckdb_value: a cell of a DuckDB result as the value that the SQLite engine would give for it, so
 * that agents see one shape whatever the engine: booleans are 0 and 1, numbers are exact (an
 * integer, a real, or else text), instants are ISO text, lists and structs are JSON text. */
#ifndef WORKER_DUCKDB_VALUE_H
#define WORKER_DUCKDB_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "worker/duckdb_api.h"
#include "worker/value.h"

/* One column of a chunk. */
struct duckdb_column {
	duckdb_handle vector;
	duckdb_handle type;
};

/* *out may point into scratch, which is reset first, or into the chunk. False: a value of this
 * type can't be shown, or it is too long for scratch. */
bool duckdb_value_get(const struct duckdb_api *api, const struct duckdb_column *column,
	uint64_t row, struct buf *scratch, struct value *out);

#endif
