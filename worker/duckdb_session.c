#include "worker/duckdb_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/buf.h"
#include "shared/mem.h"
#include "worker/duckdb_guard.h"
#include "worker/duckdb_value.h"
#include "worker/repair.h"

#define VALUE_SHOWN_MAX (2 * VALUE_BYTES_MAX)
#define SQL_BYTES_MAX 65536
#define BUILD_MEMORY "256MB"

struct duckdb_session {
	const struct duckdb_api *api;
	duckdb_handle db, con;
	duckdb_handle parse; /* the prepared DUCKDB_GUARD_PARSE */
	/* The snapshot's tables, as its own catalog has them. */
	struct engine_shape shape;
	struct engine_table *tables;
	struct engine_column *columns;
	size_t column_count;
};

/* --- opening ----------------------------------------------------------------------- */

static bool open_database(
	struct duckdb_session *s, const char *path, bool write, int64_t max_memory)
{
	char memory[32];
	const char *const settings[][2] = {
		{"access_mode", write ? "READ_WRITE" : "READ_ONLY"},
		/* The caller's own thread does all the work. */
		{"threads", "1"},
		{"memory_limit", write ? BUILD_MEMORY : memory},
		{"temp_directory", ""},
		{"default_block_size", "16384"},
		{"autoinstall_known_extensions", "false"},
		{"autoload_known_extensions", "false"},
		{"allow_community_extensions", "false"},
		{"enable_external_access", "false"},
		{"lock_configuration", "true"},
	};
	duckdb_handle config = NULL;
	bool ok = s->api->create_config(&config) == 0;

	snprintf(memory, sizeof(memory), "%lldB", (long long)max_memory);
	for (size_t i = 0; ok && i < sizeof(settings) / sizeof(settings[0]); i++)
		ok = s->api->set_config(config, settings[i][0], settings[i][1]) == 0;
	if (ok)
		/* The reason is left out: it has the path, and maybe names. */
		ok = s->api->open_ext(path, &s->db, config, NULL) == 0 &&
			s->api->connect(s->db, &s->con) == 0;
	s->api->destroy_config(&config);
	return ok;
}

static char *text_at(struct duckdb_session *s, duckdb_handle chunk, uint64_t column, uint64_t row)
{
	const union duckdb_string *t =
		s->api->vector_get_data(s->api->data_chunk_get_vector(chunk, column));

	return xstrndup(t[row].len <= DUCKDB_INLINED ? t[row].inlined : t[row].p, t[row].len);
}

/* Rows come ordered by table. Takes the texts over. */
static void add_column(struct duckdb_session *s, char *table, char *column)
{
	size_t n = s->shape.table_count;

	if (n == 0 || strcmp(s->tables[n - 1].name, table) != 0) {
		s->tables = xrealloc(s->tables, (n + 1) * sizeof(*s->tables));
		s->tables[n++] = (struct engine_table){.name = table};
	} else {
		free(table);
	}
	s->columns = xrealloc(s->columns, (s->column_count + 1) * sizeof(*s->columns));
	s->columns[s->column_count++] = (struct engine_column){.name = column};
	s->tables[n - 1].column_count++;
	s->shape = (struct engine_shape){.tables = s->tables, .table_count = n};
}

static bool read_shape(struct duckdb_session *s)
{
	struct duckdb_result r;
	duckdb_handle chunk;
	size_t first = 0;
	bool ok = s->api->query(s->con,
			  "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal "
			  "ORDER BY table_oid, column_index",
			  &r) == 0;

	while (ok && (chunk = s->api->fetch_chunk(r))) {
		for (uint64_t i = 0; i < s->api->data_chunk_get_size(chunk); i++)
			add_column(s, text_at(s, chunk, 0, i), text_at(s, chunk, 1, i));
		s->api->destroy_data_chunk(&chunk);
	}
	s->api->destroy_result(&r);
	for (size_t i = 0; i < s->shape.table_count; i++) {
		s->tables[i].columns = s->columns + first;
		first += s->tables[i].column_count;
	}
	return ok;
}

struct duckdb_session *duckdb_session_open(
	const struct duckdb_api *api, const char *path, bool write, int64_t max_memory)
{
	struct duckdb_session *s = xcalloc(1, sizeof(*s));

	s->api = api;
	if (open_database(s, path, write, max_memory) &&
		(write ||
			(api->prepare(s->con, DUCKDB_GUARD_PARSE, &s->parse) == 0 &&
				read_shape(s))))
		return s;
	duckdb_session_close(s);
	return NULL;
}

void duckdb_session_close(struct duckdb_session *s)
{
	if (!s)
		return;
	if (s->parse)
		s->api->destroy_prepare(&s->parse);
	if (s->con)
		s->api->disconnect(&s->con);
	if (s->db)
		s->api->close(&s->db);
	for (size_t i = 0; i < s->shape.table_count; i++)
		free((char *)s->tables[i].name);
	for (size_t i = 0; i < s->column_count; i++)
		free((char *)s->columns[i].name);
	free(s->tables);
	free(s->columns);
	free(s);
}

duckdb_handle duckdb_session_connection(struct duckdb_session *s)
{
	return s->con;
}

void duckdb_session_interrupt(struct duckdb_session *s)
{
	s->api->interrupt(s->con);
}

/* --- a statement ----------------------------------------------------------------------- */

struct statement {
	struct duckdb_session *s;
	const struct duckdb_api *api;
	const struct engine_sink *sink;
	struct engine_message *message;
	bool spent;
	duckdb_handle stmt;
	struct duckdb_result result;
	bool has_result;
	struct duckdb_column *columns;
	struct buf *scratch; /* one a column */
	struct value *row;
	uint64_t count;
};

/* What an error means; after some of them the library should not be trusted with more. */
static enum engine_status failed(struct statement *st, int type, const char *text)
{
	if (type == DUCKDB_ERROR_INTERRUPT)
		return ENGINE_CANCELLED;
	st->spent = st->spent || type == DUCKDB_ERROR_OUT_OF_MEMORY || type == DUCKDB_ERROR_FATAL ||
		type == DUCKDB_ERROR_INTERNAL;
	if (text)
		return duckdb_guard_explain(type, text, &st->s->shape, st->message);
	return duckdb_guard_step_failed(type, st->message);
}

/* Has DuckDB's parser make a tree of it, and looks at that. */
static enum engine_status check(struct statement *st, const char *sql, size_t len)
{
	const struct duckdb_api *api = st->api;
	enum engine_status status = ENGINE_REFUSED;
	struct duckdb_result r = {.internal = NULL};
	duckdb_handle chunk = NULL;

	if (api->bind_varchar_length(st->s->parse, 1, sql, len) != 0)
		return repair_refuse(st->message, "the statement is no UTF-8 text");
	if (api->execute_prepared(st->s->parse, &r) == 0)
		chunk = api->fetch_chunk(r);
	if (chunk && api->data_chunk_get_size(chunk) == 1) {
		const union duckdb_string *t =
			api->vector_get_data(api->data_chunk_get_vector(chunk, 0));

		status = duckdb_guard_check(t->len <= DUCKDB_INLINED ? t->inlined : t->p, t->len,
			&st->s->shape, st->message);
	} else {
		status = failed(st, api->result_error_type(&r), NULL);
	}
	if (chunk)
		api->destroy_data_chunk(&chunk);
	api->destroy_result(&r);
	return status;
}

/* Belt and braces: the statement that runs is what was looked at. */
static enum engine_status prepare(struct statement *st, const char *sql)
{
	const struct duckdb_api *api = st->api;
	const char *error;

	if (api->prepare(st->s->con, sql, &st->stmt) != 0) {
		error = api->prepare_error(st->stmt);
		/* A prepared statement tells its error's kind by the text alone. */
		return failed(st, duckdb_guard_error_type(error), error ? error : "");
	}
	if (api->prepared_statement_type(st->stmt) != DUCKDB_STATEMENT_SELECT ||
		api->nparams(st->stmt) != 0)
		return repair_refuse(st->message,
			"only one SELECT statement is allowed: a snapshot is read only");
	return ENGINE_OK;
}

static enum engine_status start(struct statement *st)
{
	const struct duckdb_api *api = st->api;
	duckdb_handle pending = NULL;
	int wrong = api->pending_prepared_streaming(st->stmt, &pending);

	if (!wrong) {
		wrong = api->execute_pending(pending, &st->result);
		st->has_result = true;
	}
	if (pending)
		api->destroy_pending(&pending);
	if (!wrong)
		return ENGINE_OK;
	return failed(st,
		st->has_result ? api->result_error_type(&st->result) : DUCKDB_ERROR_INVALID_INPUT,
		NULL);
}

static enum engine_status give_columns(struct statement *st)
{
	const struct duckdb_api *api = st->api;
	const char **names;
	enum rc rc;

	st->count = api->column_count(&st->result);
	names = xcalloc(st->count + 1, sizeof(*names));
	st->columns = xcalloc(st->count + 1, sizeof(*st->columns));
	st->row = xcalloc(st->count + 1, sizeof(*st->row));
	st->scratch = xcalloc(st->count + 1, sizeof(*st->scratch));
	for (uint64_t i = 0; i < st->count; i++) {
		buf_init(&st->scratch[i], VALUE_SHOWN_MAX);
		names[i] = api->column_name(&st->result, i);
		st->columns[i].type = api->column_logical_type(&st->result, i);
		if (!names[i])
			names[i] = "";
	}
	rc = st->sink->columns(st->sink->ctx, names, st->count);
	free(names);
	return rc == RC_OK ? ENGINE_OK : ENGINE_CANCELLED;
}

static enum engine_status take_row(struct statement *st, uint64_t row)
{
	char clean[REPAIR_NAME_MAX + 1];

	for (uint64_t i = 0; i < st->count; i++) {
		struct value *v = &st->row[i];
		bool shown = duckdb_value_get(st->api, &st->columns[i], row, &st->scratch[i], v);

		if (st->scratch[i].failed ||
			(shown && v->kind >= VALUE_TEXT && v->len > VALUE_SHOWN_MAX))
			return repair_refuse(
				st->message, "a value grew too large: build smaller texts");
		if (shown)
			continue;
		repair_name(st->api->column_name(&st->result, i), clean);
		snprintf(st->message->text, sizeof(st->message->text),
			"column '%s' has a type that can't be shown: CAST it to VARCHAR", clean);
		return ENGINE_REFUSED;
	}
	return ENGINE_OK;
}

static enum engine_status give_rows(struct statement *st)
{
	enum engine_status status = ENGINE_OK;
	enum rc rc = RC_OK;
	duckdb_handle chunk;

	while (rc == RC_OK && status == ENGINE_OK && (chunk = st->api->fetch_chunk(st->result))) {
		uint64_t rows = st->api->data_chunk_get_size(chunk);

		for (uint64_t i = 0; i < st->count; i++)
			st->columns[i].vector = st->api->data_chunk_get_vector(chunk, i);
		for (uint64_t i = 0; i < rows && rc == RC_OK && status == ENGINE_OK; i++) {
			status = take_row(st, i);
			if (status == ENGINE_OK)
				rc = st->sink->row(st->sink->ctx, st->row, st->count);
		}
		st->api->destroy_data_chunk(&chunk);
		if (rows == 0)
			break;
	}
	if (rc != RC_OK && rc != RC_LIMIT)
		return ENGINE_CANCELLED;
	if (status == ENGINE_OK && rc == RC_OK && st->api->result_error(&st->result))
		return failed(st, st->api->result_error_type(&st->result), NULL);
	return status;
}

static void statement_free(struct statement *st)
{
	for (uint64_t i = 0; i < st->count; i++) {
		st->api->destroy_logical_type(&st->columns[i].type);
		buf_free(&st->scratch[i]);
	}
	free(st->columns);
	free(st->row);
	free(st->scratch);
	if (st->has_result)
		st->api->destroy_result(&st->result);
	if (st->stmt)
		st->api->destroy_prepare(&st->stmt);
}

enum engine_status duckdb_session_query(struct duckdb_session *s, const char *sql, size_t len,
	const struct engine_sink *sink, struct engine_message *message, bool *spent)
{
	struct statement st = {.s = s, .api = s->api, .sink = sink, .message = message};
	enum engine_status status;
	char *text;

	message->text[0] = '\0';
	*spent = false;
	if (len >= SQL_BYTES_MAX)
		return repair_refuse(message, "the statement is too long");
	if (memchr(sql, '\0', len))
		return repair_refuse(message, "the statement holds a NUL character");
	text = xstrndup(sql, len);
	status = check(&st, sql, len);
	if (status == ENGINE_OK)
		status = prepare(&st, text);
	if (status == ENGINE_OK)
		status = start(&st);
	if (status == ENGINE_OK)
		status = give_columns(&st);
	if (status == ENGINE_OK)
		status = give_rows(&st);
	*spent = st.spent;
	statement_free(&st);
	free(text);
	return status;
}
