#include "worker/duckdb_api.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where `path` names nothing: what the loader's own search finds, then these. */
static const char *const places[] = {"libduckdb.so", "/usr/local/lib/libduckdb.so",
	"/usr/lib/libduckdb.so", "/usr/local/lib/airlock/libduckdb.so", "/opt/duckdb/libduckdb.so"};

#define FUNCTION(member)                                               \
	{                                                              \
		"duckdb_" #member, offsetof(struct duckdb_api, member) \
	}

static const struct {
	const char *name;
	size_t at;
} functions[] = {
	FUNCTION(library_version),
	FUNCTION(create_config),
	FUNCTION(set_config),
	FUNCTION(destroy_config),
	FUNCTION(open_ext),
	FUNCTION(close),
	FUNCTION(connect),
	FUNCTION(disconnect),
	FUNCTION(interrupt),
	FUNCTION(free),
	FUNCTION(query),
	FUNCTION(destroy_result),
	FUNCTION(result_error),
	FUNCTION(result_error_type),
	FUNCTION(column_count),
	FUNCTION(column_name),
	FUNCTION(column_logical_type),
	FUNCTION(fetch_chunk),
	FUNCTION(destroy_data_chunk),
	FUNCTION(data_chunk_get_size),
	FUNCTION(data_chunk_get_vector),
	FUNCTION(prepare),
	FUNCTION(prepare_error),
	FUNCTION(destroy_prepare),
	FUNCTION(nparams),
	FUNCTION(prepared_statement_type),
	FUNCTION(bind_varchar_length),
	FUNCTION(execute_prepared),
	FUNCTION(pending_prepared_streaming),
	FUNCTION(pending_error),
	FUNCTION(execute_pending),
	FUNCTION(destroy_pending),
	FUNCTION(vector_get_data),
	FUNCTION(vector_get_validity),
	FUNCTION(list_vector_get_child),
	FUNCTION(array_vector_get_child),
	FUNCTION(struct_vector_get_child),
	FUNCTION(get_type_id),
	FUNCTION(decimal_scale),
	FUNCTION(decimal_internal_type),
	FUNCTION(enum_internal_type),
	FUNCTION(enum_dictionary_value),
	FUNCTION(list_type_child_type),
	FUNCTION(array_type_child_type),
	FUNCTION(array_type_array_size),
	FUNCTION(map_type_key_type),
	FUNCTION(map_type_value_type),
	FUNCTION(struct_type_child_count),
	FUNCTION(struct_type_child_name),
	FUNCTION(struct_type_child_type),
	FUNCTION(destroy_logical_type),
	FUNCTION(appender_create),
	FUNCTION(appender_end_row),
	FUNCTION(appender_close),
	FUNCTION(appender_destroy),
	FUNCTION(append_int64),
	FUNCTION(append_double),
	FUNCTION(append_varchar_length),
	FUNCTION(append_blob),
	FUNCTION(append_null),
};

#define HOW_TO_GET_IT                                                                          \
	"download libduckdb for this machine from https://duckdb.org/install (version 1.3 or " \
	"later), and put libduckdb.so into /usr/local/lib or name it in worker.duckdb_library"

enum rc duckdb_api_load(const char *path, struct duckdb_api *out, char *why, size_t why_size)
{
	void *library = NULL;

	if (path)
		library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	for (size_t i = 0; !path && !library && i < sizeof(places) / sizeof(places[0]); i++)
		library = dlopen(places[i], RTLD_LAZY | RTLD_LOCAL);
	if (!library) {
		bool there = path && access(path, F_OK) == 0;

		snprintf(why, why_size, "%s %s; %s",
			path ? path : "DuckDB's library (libduckdb.so)",
			there ? "can't be loaded: it is no shared library for this machine"
			      : "was not found",
			HOW_TO_GET_IT);
		return RC_NOTFOUND;
	}
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		void *f = dlsym(library, functions[i].name);

		if (!f) {
			snprintf(why, why_size,
				"this DuckDB has no %s: it is too old, or too new; %s",
				functions[i].name, HOW_TO_GET_IT);
			return RC_NOTFOUND;
		}
		memcpy((char *)out + functions[i].at, &f, sizeof(f));
	}
	return RC_OK;
}
