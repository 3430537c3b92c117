#include "worker/tools.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"
#include "worker/describe.h"
#include "worker/guard.h"
#include "worker/result.h"
#include "worker/snapshot.h"

#define SUBJECT_MAX 256
#define SCHEMA_BYTES_MAX ((size_t)4 << 20)
#define NULL_RATE_COLUMNS 100 /* counted by one statement */

struct tools {
	const struct wconfig *c;
	const struct source_ops *source_ops;
	struct source *source;
	const struct engine_ops *engine_ops;
	struct mask mask;
	struct snapshots *snapshots;
	atomic_bool closing;
	pthread_mutex_t plan_lock;
	struct plan *plan; /* NULL until the source was read, and after it stopped fitting */
	pthread_mutex_t calls_lock;
	pthread_cond_t calls_done;
	int calls;
};

/* One call in hand. */
struct work {
	struct tools *t;
	const struct tool_call *call;
	struct tool_result *out;
	struct budget budget;
	int64_t deadline_mono_ms; /* the budget's */
	/* Arguments */
	char subject[SUBJECT_MAX + 1];
	int64_t subject_int;
	bool has_subject, is_int;
	char *sql; /* or NULL */
	char table[SOURCE_NAME_MAX + 1];
	int64_t max_rows;
	/* What the subject came to */
	char subject_key[SUBJECT_MAX + 4];
	struct plan *plan;
	struct snapshot *snapshot;
};

static enum budget_state work_check(void *ctx)
{
	const struct work *w = ctx;

	if (atomic_load(&w->t->closing) || (w->call->cancelled && atomic_load(w->call->cancelled)))
		return BUDGET_CANCELLED;
	return clock_mono_ms() >= w->deadline_mono_ms ? BUDGET_TIMEOUT : BUDGET_GO;
}

static bool end(struct work *w, enum tool_outcome outcome, const char *text)
{
	w->out->outcome = outcome;
	result_error(&w->out->json, text);
	return false;
}

static bool end_error(struct work *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

static bool end_error(struct work *w, const char *fmt, ...)
{
	char text[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return end(w, TOOL_ERROR, text);
}

/* --- opening ---------------------------------------------------------------------- */

static enum rc read_plan(
	struct tools *t, const struct budget *b, struct plan **out, struct wconfig_error *err)
{
	struct source_schema *schema;
	struct source_error source_err = {.text = ""};
	enum rc rc = t->source_ops->schema(t->source, b, &schema, &source_err);

	if (rc != RC_OK) {
		snprintf(err->text, sizeof(err->text), "%s", source_err.text);
		return rc;
	}
	rc = plan_build(t->c, schema, out, err);
	source_schema_free(schema);
	return rc;
}

static enum rc open_source(struct tools *t, const char *url, struct wconfig_error *err)
{
	struct budget unlimited = {.check = NULL};
	struct source_error source_err = {.text = ""};
	enum rc rc = source_for_url(url, &t->source_ops, &source_err);

	if (rc == RC_OK)
		rc = t->source_ops->open(url, &t->source, &source_err);
	if (t->source && t->source_ops->max_lag)
		t->source_ops->max_lag(t->source, t->c->replica_max_lag_s);
	if (rc != RC_OK) {
		snprintf(err->text, sizeof(err->text), "%s", source_err.text);
		return rc;
	}
	return read_plan(t, &unlimited, &t->plan, err);
}

const struct engine_ops *tools_engine(const struct wconfig *c)
{
	return c->snapshot_engine == SNAPSHOT_DUCKDB ? &engine_duckdb : &engine_sqlite;
}

static enum rc init_engine(struct tools *t, struct wconfig_error *err)
{
	struct engine_settings settings = {
		.library = t->c->duckdb_library, .max_memory = t->c->query_max_memory};
	struct engine_message why = {.text = ""};
	enum rc rc = t->engine_ops->init(&settings, &why);

	if (rc != RC_OK)
		snprintf(err->text, sizeof(err->text), "snapshot_engine %s: %.*s",
			t->engine_ops->name, (int)sizeof(err->text) - 40, why.text);
	return rc;
}

enum rc tools_open(const struct wconfig *c, const char *database_url, const uint8_t mask_secret[32],
	tools_snapshot_fn *notify, void *ctx, struct tools **out, struct wconfig_error *err)
{
	struct tools *t = xcalloc(1, sizeof(*t));
	enum rc rc;

	t->c = c;
	t->engine_ops = tools_engine(c);
	mask_init(&t->mask, mask_secret);
	atomic_init(&t->closing, false);
	pthread_mutex_init(&t->plan_lock, NULL);
	pthread_mutex_init(&t->calls_lock, NULL);
	pthread_cond_init(&t->calls_done, NULL);
	rc = init_engine(t, err);
	if (rc == RC_OK)
		rc = open_source(t, database_url, err);
	if (rc == RC_OK || rc == RC_UNAVAILABLE) {
		enum rc dir_rc = snapshots_open(
			c, t->engine_ops, &t->closing, notify, ctx, &t->snapshots, err);

		if (dir_rc != RC_OK)
			rc = dir_rc;
	}
	if (rc == RC_OK || rc == RC_UNAVAILABLE)
		*out = t;
	else
		tools_close(t);
	return rc;
}

void tools_close(struct tools *t)
{
	if (!t)
		return;
	atomic_store(&t->closing, true);
	pthread_mutex_lock(&t->calls_lock);
	while (t->calls > 0)
		pthread_cond_wait(&t->calls_done, &t->calls_lock);
	pthread_mutex_unlock(&t->calls_lock);
	snapshots_close(t->snapshots);
	if (t->engine_ops->stop)
		t->engine_ops->stop();
	plan_release(t->plan);
	if (t->source_ops)
		t->source_ops->close(t->source);
	mask_clear(&t->mask);
	pthread_cond_destroy(&t->calls_done);
	pthread_mutex_destroy(&t->calls_lock);
	pthread_mutex_destroy(&t->plan_lock);
	free(t);
}

void tools_list(const struct tools *t, struct buf *out)
{
	describe_tools(t->c, out);
}

int64_t tools_expire(struct tools *t, int64_t now_mono_ms)
{
	return snapshots_expire(t->snapshots, now_mono_ms);
}

/* --- arguments ----------------------------------------------------------------------- */

static bool read_subject(struct work *w, struct jscan v)
{
	w->has_subject = true;
	if (v.kind == JSCAN_NUMBER && jscan_int(v, &w->subject_int) == RC_OK) {
		w->is_int = true;
		snprintf(w->subject, sizeof(w->subject), "%" PRId64, w->subject_int);
		return true;
	}
	if (v.kind != JSCAN_STRING || jscan_str(v, w->subject, sizeof(w->subject)) != RC_OK ||
		!*w->subject)
		return end_error(w, "subject_id must be an integer, or a string of 1 to %d bytes",
			SUBJECT_MAX);
	w->is_int = value_parse_int(w->subject, strlen(w->subject), &w->subject_int) == RC_OK;
	return true;
}

static bool read_sql(struct work *w, struct jscan v)
{
	if (v.kind != JSCAN_STRING)
		return end_error(w, "sql must be a string");
	/* Escapes only shrink when undone, and the longest is six bytes for one. */
	if (v.len > (size_t)6 * GUARD_SQL_MAX)
		return end_error(w, "sql must be shorter than %d bytes", GUARD_SQL_MAX);
	w->sql = xmalloc(GUARD_SQL_MAX);
	if (jscan_str(v, w->sql, GUARD_SQL_MAX) != RC_OK)
		return end_error(w,
			"sql must be a string shorter than %d bytes without NUL characters",
			GUARD_SQL_MAX);
	return true;
}

static bool read_max_rows(struct work *w, struct jscan v)
{
	if (jscan_int(v, &w->max_rows) != RC_OK || w->max_rows < 1 ||
		w->max_rows > w->t->c->result_max_rows)
		return end_error(
			w, "max_rows must be an integer from 1 to %d", w->t->c->result_max_rows);
	return true;
}

static bool read_table(struct work *w, struct jscan v)
{
	if (jscan_str(v, w->table, sizeof(w->table)) != RC_OK || !*w->table)
		return end_error(w, "table must be the name of a table");
	return true;
}

struct argument {
	const char *name;
	bool (*read)(struct work *w, struct jscan v);
};

static bool read_arguments(struct work *w, const struct argument *known, size_t count)
{
	struct jscan_iter it = jscan_iter(w->call->arguments);
	struct jscan key, v;
	unsigned seen = 0;

	while (w->call->arguments.kind == JSCAN_OBJECT && jscan_next(&it, &key, &v)) {
		const char *names[4], *nearest;
		char name[65];
		size_t i;

		if (jscan_str(key, name, sizeof(name)) != RC_OK)
			return end_error(w, "an argument has a name that is unknown here");
		for (i = 0; i < count && strcmp(known[i].name, name) != 0; i++)
			names[i] = known[i].name;
		if (i == count) {
			nearest = text_nearest(name, names, count);
			return end_error(w, "unknown argument '%s'%s%s%s", name,
				nearest ? "; did you mean '" : "", nearest ? nearest : "",
				nearest ? "'?" : "");
		}
		if (seen & 1U << i)
			return end_error(w, "argument '%s' is there twice", name);
		seen |= 1U << i;
		if (!known[i].read(w, v))
			return false;
	}
	if (!w->has_subject)
		return end_error(w,
			"subject_id is missing: the value of %s.%s whose rows are wanted",
			w->t->c->root_table,
			w->t->c->root_filter_col ? w->t->c->root_filter_col : "its key");
	return true;
}

/* --- from the subject to its snapshot --------------------------------------------------- */

static bool get_plan(struct work *w)
{
	struct tools *t = w->t;
	struct wconfig_error err = {.text = ""};
	enum rc rc = RC_OK;

	plan_release(w->plan);
	w->plan = NULL;
	pthread_mutex_lock(&t->plan_lock);
	if (!t->plan)
		rc = read_plan(t, &w->budget, &t->plan, &err);
	if (rc == RC_OK)
		w->plan = plan_hold(t->plan);
	pthread_mutex_unlock(&t->plan_lock);
	if (rc == RC_OK)
		return true;
	log_warn("%s", err.text);
	if (rc == RC_INVALID)
		return end_error(w,
			"the database's schema does not fit the worker's airlock.yaml: the "
			"worker's operator finds why in its log");
	return end_error(
		w, "the worker can't reach its database at the moment: try again in a minute");
}

static void forget_plan(struct work *w)
{
	pthread_mutex_lock(&w->t->plan_lock);
	if (w->t->plan == w->plan) {
		plan_release(w->t->plan);
		w->t->plan = NULL;
	}
	pthread_mutex_unlock(&w->t->plan_lock);
}

/* The subject as the source will compare it, and one spelling of it for equal subjects. False: it
 * can't exist. */
static bool subject_value(struct work *w, struct value *out)
{
	enum column_kind kind = w->plan->subject_kind;
	bool was_number = w->is_int && kind != COLUMN_TEXT;

	if (kind == COLUMN_INT && !w->is_int)
		return false;
	*out = was_number ? value_int(w->subject_int) : value_text(w->subject, strlen(w->subject));
	snprintf(w->subject_key, sizeof(w->subject_key), "%s%s",
		was_number ? "i:" : "t:", w->subject);
	return true;
}

static bool end_export(struct work *w, enum export_status status, const char *text)
{
	switch (status) {
	case EXPORT_TIMEOUT:
		return end(w, TOOL_TIMEOUT, text);
	case EXPORT_CANCELLED:
		return end(w, TOOL_CANCELLED, text);
	default:
		return end(w, TOOL_ERROR, text);
	}
}

static bool get_snapshot(struct work *w)
{
	struct snapshot_wish wish = {.subject = w->subject_key,
		.source_ops = w->t->source_ops,
		.source = w->t->source,
		.mask = &w->t->mask,
		.deadline_mono_ms = w->call->deadline_mono_ms,
		.cancelled = w->call->cancelled};
	struct engine_message message = {""};
	enum export_status status = EXPORT_SCHEMA;

	/* A schema that changed since the plan was made is read again, once. */
	for (int try = 0; try < 2 && status == EXPORT_SCHEMA; try++) {
		if (!get_plan(w))
			return false;
		if (!subject_value(w, &wish.value))
			return end_error(w, "no such subject");
		wish.plan = w->plan;
		status = snapshots_get(w->t->snapshots, &wish, &w->snapshot, &message);
		if (status == EXPORT_SCHEMA)
			forget_plan(w);
	}
	if (status != EXPORT_OK)
		return end_export(w, status, message.text);
	str_copy(w->out->snapshot_id, sizeof(w->out->snapshot_id), w->snapshot->id);
	return true;
}

static bool query(struct work *w, const char *sql, size_t len, const struct engine_sink *sink)
{
	struct engine_query q = {.sql = sql,
		.len = len,
		.max_memory = w->t->c->query_max_memory,
		.budget = &w->budget};
	struct engine_message message;
	int64_t began = clock_mono_ms(), limit = began + w->t->c->query_timeout_ms;
	enum engine_status status;

	w->deadline_mono_ms = limit < w->call->deadline_mono_ms ? limit : w->call->deadline_mono_ms;
	log_debug("a statement begins");
	status = w->t->engine_ops->query(w->snapshot->engine, &q, sink, &message);
	w->deadline_mono_ms = w->call->deadline_mono_ms;
	switch (status) {
	case ENGINE_OK:
		return true;
	case ENGINE_REFUSED:
		return end(w, TOOL_ERROR, message.text);
	case ENGINE_TIMEOUT:
		return end(w, TOOL_TIMEOUT,
			"the statement ran too long and was stopped: filter, aggregate or join "
			"less");
	case ENGINE_CANCELLED:
		log_info("the statement was stopped after %lld ms: its call was cancelled",
			(long long)(clock_mono_ms() - began));
		return end(w, TOOL_CANCELLED, "the call was cancelled");
	case ENGINE_FAILED:
		break;
	}
	return end(w, TOOL_ERROR, "the snapshot could not be read: the worker's log says why");
}

/* --- the tools -------------------------------------------------------------------------- */

/* Puts a finished answer out; structured is freed. */
static void answer(struct work *w, struct buf *structured)
{
	w->out->outcome = TOOL_OK;
	result_envelope(&w->out->json, structured);
	if (w->out->json.failed) {
		buf_free(&w->out->json);
		end(w, TOOL_ERROR,
			"the result is too large to be sent: select fewer rows or columns");
	}
	buf_free(structured);
}

static void get_schema(struct work *w)
{
	static const struct argument known[] = {{"subject_id", read_subject}};
	struct buf b;

	if (!read_arguments(w, known, 1) || !get_snapshot(w))
		return;
	buf_init(&b, SCHEMA_BYTES_MAX);
	describe_schema(w->t->c, w->t->engine_ops->name, w->snapshot, &b);
	answer(w, &b);
}

/* Said at the copy too, with the columns; here the operator sees that agents run into it. */
static void unmasked(struct work *w)
{
	log_err("MASKING FAILED: an answer about snapshot %s was stopped, since it holds a raw "
		"value "
		"of a masked column; the log says at the snapshot's start which columns",
		w->snapshot->id);
	end_error(w,
		"this answer was stopped: it holds a value that masking should have hidden. Select "
		"other columns; the worker's operator finds in its log which column has to be "
		"masked");
}

static void execute_sql(struct work *w)
{
	static const struct argument known[] = {
		{"subject_id", read_subject}, {"sql", read_sql}, {"max_rows", read_max_rows}};
	int64_t max_bytes = w->t->c->result_max_bytes;
	struct engine_sink sink;
	struct result r;
	struct buf b;
	bool ok;

	w->max_rows = w->t->c->result_max_rows;
	if (!read_arguments(w, known, 3))
		return;
	if (!w->sql) {
		end_error(w, "sql is missing: one SELECT statement");
		return;
	}
	if (!get_snapshot(w))
		return;
	buf_init(&b, (size_t)max_bytes * 8 + 65536);
	buf_char(&b, '{');
	result_begin(&r, &b, w->max_rows, max_bytes, &sink);
	r.canaries = w->snapshot->canaries;
	ok = query(w, w->sql, strlen(w->sql), &sink);
	result_end(&r);
	if (ok) {
		describe_snapshot(w->snapshot, &b);
		buf_char(&b, '}');
		if (r.unmasked)
			unmasked(w);
		else if (r.too_big)
			end_error(w,
				"one row is larger than %" PRId64
				" bytes: select fewer columns, or substr() of them",
				max_bytes);
		else
			answer(w, &b);
	}
	buf_free(&b);
}

/* Counts of one statement. */
struct counts {
	int64_t values[NULL_RATE_COLUMNS];
	size_t count;
};

static enum rc count_columns(void *ctx, const char *const *names, size_t count)
{
	(void)ctx;
	(void)names;
	return count <= NULL_RATE_COLUMNS ? RC_OK : RC_INTERNAL;
}

static enum rc count_row(void *ctx, const struct value *values, size_t count)
{
	struct counts *c = ctx;

	for (c->count = 0; c->count < count; c->count++)
		c->values[c->count] = values[c->count].kind == VALUE_INT ? values[c->count].i : 0;
	return RC_OK;
}

static void put_name(struct buf *sql, const char *name)
{
	buf_char(sql, '"');
	for (; *name; name++) {
		if (*name == '"')
			buf_char(sql, '"');
		buf_char(sql, *name);
	}
	buf_char(sql, '"');
}

/* Appends the rates of some columns of a table of rows rows. */
static bool rate_columns(struct work *w, const struct engine_table *t, size_t first, size_t count,
	int64_t rows, struct buf *b)
{
	struct counts c = {.count = 0};
	struct engine_sink sink = {.columns = count_columns, .row = count_row, .ctx = &c};
	struct buf sql;
	bool ok;

	buf_init(&sql, GUARD_SQL_MAX);
	buf_str(&sql, "SELECT ");
	for (size_t i = 0; i < count; i++) {
		buf_str(&sql, i ? ", count(" : "count(");
		put_name(&sql, t->columns[first + i].name);
		buf_char(&sql, ')');
	}
	buf_str(&sql, " FROM ");
	put_name(&sql, t->name);
	ok = query(w, (const char *)sql.data, sql.len, &sink);
	buf_free(&sql);
	for (size_t i = 0; ok && i < count; i++) {
		if (first + i)
			buf_char(b, ',');
		buf_json(b, t->columns[first + i].name);
		buf_printf(b, ":%.4g", (double)(rows - c.values[i]) / (double)rows);
	}
	return ok;
}

static bool rate_table(struct work *w, size_t i, struct buf *b)
{
	const struct engine_table *t = &w->snapshot->plan->shape.tables[i];
	int64_t rows = w->snapshot->rows[i];
	int min = w->t->c->null_rates_min_group;

	buf_str(b, "{\"name\":");
	buf_json(b, t->name);
	buf_printf(b, ",\"rows\":%" PRId64, rows);
	if (rows < min) {
		buf_printf(b, ",\"withheld\":\"fewer than %d rows\"}", min);
		return true;
	}
	buf_str(b, ",\"null_rates\":{");
	for (size_t first = 0; first < t->column_count; first += NULL_RATE_COLUMNS) {
		size_t left = t->column_count - first;

		if (!rate_columns(w, t, first, left < NULL_RATE_COLUMNS ? left : NULL_RATE_COLUMNS,
			    rows, b))
			return false;
	}
	buf_str(b, "}}");
	return true;
}

static bool unknown_table(struct work *w)
{
	const struct engine_shape *shape = &w->snapshot->plan->shape;
	const char **names = xcalloc(shape->table_count + 1, sizeof(*names));
	const char *nearest;

	for (size_t i = 0; i < shape->table_count; i++)
		names[i] = shape->tables[i].name;
	nearest = text_nearest(w->table, names, shape->table_count);
	end_error(w, "no such table: %.64s%s%s%s", w->table,
		nearest ? "; did you mean '" : "; get_schema lists the tables",
		nearest ? nearest : "", nearest ? "'?" : "");
	free(names);
	return false;
}

static bool rate_tables(struct work *w, struct buf *b)
{
	bool any = false;

	buf_str(b, "{\"tables\":[");
	for (size_t i = 0; i < w->snapshot->plan->table_count; i++) {
		if (*w->table && strcmp(w->table, w->snapshot->plan->shape.tables[i].name) != 0)
			continue;
		if (any)
			buf_char(b, ',');
		any = true;
		if (!rate_table(w, i, b))
			return false;
	}
	if (!any)
		return unknown_table(w);
	buf_printf(b, "],\"min_group\":%d", w->t->c->null_rates_min_group);
	describe_snapshot(w->snapshot, b);
	buf_char(b, '}');
	return true;
}

static void null_rates(struct work *w)
{
	static const struct argument known[] = {
		{"subject_id", read_subject}, {"table", read_table}};
	struct buf b;

	if (!read_arguments(w, known, 2) || !get_snapshot(w))
		return;
	buf_init(&b, SCHEMA_BYTES_MAX);
	if (rate_tables(w, &b))
		answer(w, &b);
	buf_free(&b);
}

/* --- calls -------------------------------------------------------------------------------- */

static void count_call(struct tools *t, int by)
{
	pthread_mutex_lock(&t->calls_lock);
	t->calls += by;
	if (t->calls == 0)
		pthread_cond_broadcast(&t->calls_done);
	pthread_mutex_unlock(&t->calls_lock);
}

void tools_call(struct tools *t, const struct tool_call *call, struct tool_result *out)
{
	static const struct {
		const char *name;
		void (*run)(struct work *w);
	} tools[] = {{"get_schema", get_schema}, {"execute_sql", execute_sql},
		{"null_rates", null_rates}};
	struct work w = {
		.t = t, .call = call, .out = out, .deadline_mono_ms = call->deadline_mono_ms};

	w.budget = (struct budget){.check = work_check, .ctx = &w};
	out->outcome = TOOL_UNKNOWN;
	out->snapshot_id[0] = '\0';
	count_call(t, 1);
	for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++)
		if (strcmp(tools[i].name, call->name) == 0)
			tools[i].run(&w);
	if (w.snapshot)
		snapshots_put(t->snapshots, w.snapshot);
	plan_release(w.plan);
	free(w.sql);
	mem_wipe(w.subject, sizeof(w.subject));
	mem_wipe(w.subject_key, sizeof(w.subject_key));
	count_call(t, -1);
}
