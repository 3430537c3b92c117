/* duckdb_api: the part of DuckDB's C API that we use, declared by hand and found in a shared
 * library at run time, so that nothing of DuckDB is needed to build or to run without it. The
 * layouts are those that its documentation promises to keep:
 * https://duckdb.org/docs/stable/clients/c/api */
#ifndef WORKER_DUCKDB_API_H
#define WORKER_DUCKDB_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"

/* Handles are pointers to something opaque. */
typedef void *duckdb_handle;

struct duckdb_result {
	uint64_t deprecated_counts[3];
	void *deprecated_columns;
	char *deprecated_error;
	void *internal;
};

/* Up to twelve bytes are inside, longer ones behind the pointer. */
#define DUCKDB_INLINED 12
union duckdb_string {
	struct {
		uint32_t len;
		char prefix[4];
		const char *p;
	};
	struct {
		uint32_t same_len;
		char inlined[DUCKDB_INLINED];
	};
};

struct duckdb_hugeint {
	uint64_t lower;
	int64_t upper;
};

struct duckdb_interval {
	int32_t months, days;
	int64_t micros;
};

struct duckdb_list_entry {
	uint64_t offset, length;
};

enum duckdb_type {
	DUCKDB_BOOLEAN = 1,
	DUCKDB_TINYINT = 2,
	DUCKDB_SMALLINT = 3,
	DUCKDB_INTEGER = 4,
	DUCKDB_BIGINT = 5,
	DUCKDB_UTINYINT = 6,
	DUCKDB_USMALLINT = 7,
	DUCKDB_UINTEGER = 8,
	DUCKDB_UBIGINT = 9,
	DUCKDB_FLOAT = 10,
	DUCKDB_DOUBLE = 11,
	DUCKDB_TIMESTAMP = 12,
	DUCKDB_DATE = 13,
	DUCKDB_TIME = 14,
	DUCKDB_INTERVAL = 15,
	DUCKDB_HUGEINT = 16,
	DUCKDB_VARCHAR = 17,
	DUCKDB_BLOB = 18,
	DUCKDB_DECIMAL = 19,
	DUCKDB_TIMESTAMP_S = 20,
	DUCKDB_TIMESTAMP_MS = 21,
	DUCKDB_TIMESTAMP_NS = 22,
	DUCKDB_ENUM = 23,
	DUCKDB_LIST = 24,
	DUCKDB_STRUCT = 25,
	DUCKDB_MAP = 26,
	DUCKDB_UUID = 27,
	DUCKDB_TIMESTAMP_TZ = 31,
	DUCKDB_UHUGEINT = 32,
	DUCKDB_ARRAY = 33,
	DUCKDB_SQLNULL = 36,
};

enum { DUCKDB_STATEMENT_SELECT = 1 };

/* Those that are told apart. */
enum {
	DUCKDB_ERROR_OUT_OF_RANGE = 1,
	DUCKDB_ERROR_CONVERSION = 2,
	DUCKDB_ERROR_CATALOG = 13,
	DUCKDB_ERROR_PARSER = 14,
	DUCKDB_ERROR_BINDER = 24,
	DUCKDB_ERROR_IO = 28,
	DUCKDB_ERROR_INTERRUPT = 29,
	DUCKDB_ERROR_FATAL = 30,
	DUCKDB_ERROR_INTERNAL = 31,
	DUCKDB_ERROR_INVALID_INPUT = 32,
	DUCKDB_ERROR_OUT_OF_MEMORY = 33,
	DUCKDB_ERROR_PERMISSION = 34,
};

/* Functions that answer int give 0 when all is well. */
struct duckdb_api {
	const char *(*library_version)(void);
	int (*create_config)(duckdb_handle *config);
	int (*set_config)(duckdb_handle config, const char *name, const char *value);
	void (*destroy_config)(duckdb_handle *config);
	int (*open_ext)(const char *path, duckdb_handle *db, duckdb_handle config, char **error);
	void (*close)(duckdb_handle *db);
	int (*connect)(duckdb_handle db, duckdb_handle *con);
	void (*disconnect)(duckdb_handle *con);
	void (*interrupt)(duckdb_handle con);
	void (*free)(void *p);

	int (*query)(duckdb_handle con, const char *sql, struct duckdb_result *out);
	void (*destroy_result)(struct duckdb_result *r);
	const char *(*result_error)(struct duckdb_result *r);
	int (*result_error_type)(struct duckdb_result *r);
	uint64_t (*column_count)(struct duckdb_result *r);
	const char *(*column_name)(struct duckdb_result *r, uint64_t i);
	duckdb_handle (*column_logical_type)(struct duckdb_result *r, uint64_t i);
	duckdb_handle (*fetch_chunk)(struct duckdb_result r);
	void (*destroy_data_chunk)(duckdb_handle *chunk);
	uint64_t (*data_chunk_get_size)(duckdb_handle chunk);
	duckdb_handle (*data_chunk_get_vector)(duckdb_handle chunk, uint64_t i);

	int (*prepare)(duckdb_handle con, const char *sql, duckdb_handle *stmt);
	const char *(*prepare_error)(duckdb_handle stmt);
	void (*destroy_prepare)(duckdb_handle *stmt);
	uint64_t (*nparams)(duckdb_handle stmt);
	int (*prepared_statement_type)(duckdb_handle stmt);
	int (*bind_varchar_length)(duckdb_handle stmt, uint64_t i, const char *text, uint64_t len);
	int (*execute_prepared)(duckdb_handle stmt, struct duckdb_result *out);
	/* Rows come as they are fetched, instead of all being kept first. */
	int (*pending_prepared_streaming)(duckdb_handle stmt, duckdb_handle *pending);
	const char *(*pending_error)(duckdb_handle pending);
	int (*execute_pending)(duckdb_handle pending, struct duckdb_result *out);
	void (*destroy_pending)(duckdb_handle *pending);

	void *(*vector_get_data)(duckdb_handle vector);
	uint64_t *(*vector_get_validity)(duckdb_handle vector); /* NULL: all are valid */
	duckdb_handle (*list_vector_get_child)(duckdb_handle vector);
	duckdb_handle (*array_vector_get_child)(duckdb_handle vector);
	duckdb_handle (*struct_vector_get_child)(duckdb_handle vector, uint64_t i);
	int (*get_type_id)(duckdb_handle type);
	uint8_t (*decimal_scale)(duckdb_handle type);
	int (*decimal_internal_type)(duckdb_handle type);
	int (*enum_internal_type)(duckdb_handle type);
	char *(*enum_dictionary_value)(duckdb_handle type, uint64_t i);
	duckdb_handle (*list_type_child_type)(duckdb_handle type);
	duckdb_handle (*array_type_child_type)(duckdb_handle type);
	uint64_t (*array_type_array_size)(duckdb_handle type);
	duckdb_handle (*map_type_key_type)(duckdb_handle type);
	duckdb_handle (*map_type_value_type)(duckdb_handle type);
	uint64_t (*struct_type_child_count)(duckdb_handle type);
	char *(*struct_type_child_name)(duckdb_handle type, uint64_t i);
	duckdb_handle (*struct_type_child_type)(duckdb_handle type, uint64_t i);
	void (*destroy_logical_type)(duckdb_handle *type);

	int (*appender_create)(
		duckdb_handle con, const char *schema, const char *table, duckdb_handle *appender);
	int (*appender_end_row)(duckdb_handle appender);
	int (*appender_close)(duckdb_handle appender);
	int (*appender_destroy)(duckdb_handle *appender);
	int (*append_int64)(duckdb_handle appender, int64_t v);
	int (*append_double)(duckdb_handle appender, double v);
	int (*append_varchar_length)(duckdb_handle appender, const char *text, uint64_t len);
	int (*append_blob)(duckdb_handle appender, const void *p, uint64_t len);
	int (*append_null)(duckdb_handle appender);
};

/* Loads the library at path, or when that is NULL from the usual places. It is never unloaded.
 * RC_NOTFOUND with why, which says what to do. */
enum rc duckdb_api_load(
	const char *path, struct duckdb_api *out, char *why, size_t why_size) MUST_CHECK;

#endif
