#include "worker/guard.h"

#include <ctype.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/buf.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "worker/repair.h"
#include "worker/sqlfunc.h"

/* Few enough that no run of expensive functions between two looks takes long. */
#define TICK_OPS 50

/* Everything not named here is denied. Left out on purpose: load_extension, fts3_tokenizer and the
 * like, functions that tell about the library or the connection, randomblob and zeroblob (memory
 * for nothing), json_patch (quadratic on one opcode), json_set and its kind (a long path overflows
 * the stack of SQLite 3.40). */
static const char *const functions[] = {"->", "->>", "abs", "acos", "acosh", "asin", "asinh",
	"atan", "atan2", "atanh", "avg", "ceil", "ceiling", "char", "coalesce", "cos", "cosh",
	"count", "cume_dist", "current_date", "current_time", "current_timestamp", "date",
	"datetime", "degrees", "dense_rank", "exp", "first_value", "floor", "format", "glob",
	"group_concat", "hex", "ifnull", "iif", "instr", "json", "json_array", "json_array_length",
	"json_extract", "json_group_array", "json_group_object", "json_object", "json_quote",
	"json_type", "json_valid", "julianday", "lag", "last_value", "lead", "length", "like",
	"likelihood", "likely", "ln", "log", "log10", "log2", "lower", "ltrim", "max", "min", "mod",
	"nth_value", "ntile", "nullif", "percent_rank", "pi", "pow", "power", "printf", "quote",
	"radians", "random", "rank", "replace", "round", "row_number", "rtrim", "sign", "sin",
	"sinh", "soundex", "sqrt", "strftime", "substr", "substring", "sum", "tan", "tanh", "time",
	"total", "trim", "trunc", "typeof", "unicode", "unixepoch", "unlikely", "upper"};

/* These parse and build; with the numbers below no statement needs more than a moment to compile.
 */
static const struct {
	int id, value;
} limits[] = {
	{SQLITE_LIMIT_LENGTH, 2 * (int)VALUE_BYTES_MAX},
	{SQLITE_LIMIT_SQL_LENGTH, GUARD_SQL_MAX},
	{SQLITE_LIMIT_COLUMN, 2000},
	{SQLITE_LIMIT_EXPR_DEPTH, 200},
	{SQLITE_LIMIT_COMPOUND_SELECT, 50},
	{SQLITE_LIMIT_VDBE_OP, 250000},
	{SQLITE_LIMIT_FUNCTION_ARG, 100},
	{SQLITE_LIMIT_ATTACHED, 0},
	{SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 256},
	{SQLITE_LIMIT_VARIABLE_NUMBER, 0},
	{SQLITE_LIMIT_TRIGGER_DEPTH, 1},
	{SQLITE_LIMIT_WORKER_THREADS, 0},
};

bool guard_may_go_on(void *ctx)
{
	struct guard *g = ctx;

	if (g->stopped == BUDGET_GO && g->budget)
		g->stopped = budget_check(g->budget);
	return g->stopped == BUDGET_GO;
}

static int tick(void *ctx)
{
	return !guard_may_go_on(ctx);
}

static int deny(struct guard *g, const char *fmt, const char *name)
{
	char clean[REPAIR_NAME_MAX + 1];

	repair_name(name, clean);
	/* fmt is one of the literals in authorize(), each with one %s. */
	if (!*g->denied) {
		const char *at = strstr(fmt, "%s");

		snprintf(g->denied, sizeof(g->denied), "%.*s%s%s", (int)(at - fmt), fmt, clean,
			at + 2);
	}
	return SQLITE_DENY;
}

static bool function_ok(const char *name)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (sqlite3_stricmp(functions[i], name) == 0)
			return true;
	return false;
}

static bool is_module(const struct guard *g, const char *name)
{
	for (size_t i = 0; i < g->module_count; i++)
		if (sqlite3_stricmp(g->modules[i], name) == 0)
			return true;
	return sqlite3_strnicmp(name, "pragma_", 7) == 0 ||
		sqlite3_strnicmp(name, "sqlite_", 7) == 0;
}

static int authorize_read(struct guard *g, const char *table, const char *column, const char *db)
{
	if (!table)
		return deny(g, "this can't be read here%s", "");
	if (db && strcmp(db, "main") != 0)
		return deny(g, "'%s' can't be read: a snapshot has one database", db);
	if (repair_table(g->shape, table) || strcmp(table, "json_each") == 0 ||
		strcmp(table, "json_tree") == 0)
		return SQLITE_OK;
	/* SQLite asks about a common table expression too when none of its columns is used, with an
	 * empty column. Real tables outside the shape are all virtual or the catalog. */
	if (column && !*column && !is_module(g, table))
		return SQLITE_OK;
	if (sqlite3_strnicmp(table, "sqlite_", 7) == 0)
		return deny(g,
			"the catalog '%s' can't be read: call get_schema for tables and columns",
			table);
	return deny(g, "table '%s' can't be read here", table);
}

static int authorize(
	void *ctx, int action, const char *a, const char *b, const char *db, const char *trigger)
{
	struct guard *g = ctx;

	(void)trigger;
	/* Also asked often enough while a statement compiles to end one that compiles for ever. */
	if (!guard_may_go_on(g))
		return SQLITE_DENY;
	switch (action) {
	case SQLITE_SELECT:
	case SQLITE_RECURSIVE:
		return SQLITE_OK;
	case SQLITE_READ:
		return authorize_read(g, a, b, db);
	case SQLITE_FUNCTION:
		if (b && function_ok(b))
			return SQLITE_OK;
		return deny(g, "function '%s' is not available here", b);
	default:
		return deny(
			g, "only one SELECT statement is allowed: a snapshot is read only%s", "");
	}
}

static int load_modules(struct guard *g, sqlite3 *db)
{
	sqlite3_stmt *stmt;
	int code = sqlite3_prepare_v2(
		db, "SELECT name FROM pragma_module_list LIMIT 256", -1, &stmt, NULL);

	if (code != SQLITE_OK)
		return code;
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
		g->modules = xrealloc(g->modules, (g->module_count + 1) * sizeof(*g->modules));
		g->modules[g->module_count++] = xstrdup((const char *)sqlite3_column_text(stmt, 0));
	}
	sqlite3_finalize(stmt);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

int guard_attach(struct guard *g, struct sqlite3 *db, const struct engine_shape *shape)
{
	static const struct {
		int id, on;
	} switches[] = {
		{SQLITE_DBCONFIG_DEFENSIVE, 1},
		{SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
		{SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0},
		{SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
		{SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
		{SQLITE_DBCONFIG_ENABLE_VIEW, 0},
		/* "text" is a name, never a string: a misspelt column is an error, not a constant.
		 */
		{SQLITE_DBCONFIG_DQS_DML, 0},
		{SQLITE_DBCONFIG_DQS_DDL, 0},
	};
	int code;

	memset(g, 0, sizeof(*g));
	g->shape = shape;
	code = sqlite3_exec(db,
		"PRAGMA query_only = 1; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;"
		"PRAGMA cache_size = -2048; PRAGMA cell_size_check = 1;",
		NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = load_modules(g, db);
	/* The first use of a table-valued function declares its table, which looks like a write to
	 * the authorizer. */
	if (code == SQLITE_OK)
		code = sqlite3_exec(
			db, "SELECT 1 FROM json_each('0'), json_tree('0')", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlfunc_register(db);
	for (size_t i = 0; code == SQLITE_OK && i < sizeof(switches) / sizeof(switches[0]); i++)
		code = sqlite3_db_config(db, switches[i].id, switches[i].on, NULL);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		sqlite3_limit(db, limits[i].id, limits[i].value);
	if (code == SQLITE_OK)
		code = sqlite3_set_authorizer(db, authorize, g);
	sqlite3_progress_handler(db, TICK_OPS, tick, g);
	return code;
}

void guard_detach(struct guard *g)
{
	for (size_t i = 0; i < g->module_count; i++)
		free(g->modules[i]);
	free(g->modules);
	memset(g, 0, sizeof(*g));
}

/* SQLite quotes the offending token, which may be a literal with somebody's data: only names and
 * signs are repeated. */
static enum engine_status syntax_error(const char *text, struct engine_message *m)
{
	const char *token = strchr(text, '"'), *end = token ? strrchr(text, '"') : NULL;
	size_t len = end > token ? (size_t)(end - token) - 1 : 0;
	char clean[REPAIR_NAME_MAX + 1];
	bool plain = len > 0 && len <= REPAIR_NAME_MAX;

	for (size_t i = 0; plain && i < len; i++) {
		unsigned char c = (unsigned char)token[1 + i];

		plain = c != '"' && c != '\'' && c != '`' && c != '[' && c > 32 &&
			!(i == 0 && isdigit(c));
	}
	if (!plain)
		return repair_refuse(m, "syntax error near a literal or quoted name");
	memcpy(clean, token + 1, len);
	clean[len] = '\0';
	snprintf(m->text, sizeof(m->text), "syntax error near '%s'", clean);
	return ENGINE_REFUSED;
}

static bool starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Compile-time messages hold names and keywords of the statement, never rows: nothing has run yet.
 */
static enum engine_status explain_error(struct guard *g, const char *text, struct engine_message *m)
{
	size_t n;

	if (starts(text, "no such table: "))
		return repair_no_table(g->shape, text + strlen("no such table: "), m);
	if (starts(text, "no such column: "))
		return repair_no_column(g->shape, text + strlen("no such column: "), m);
	if (starts(text, "near ") || starts(text, "unrecognized token"))
		return syntax_error(text, m);
	if (starts(text, "variable number") || starts(text, "too many SQL variables"))
		return repair_refuse(
			m, "parameters can't be bound here: write the value into the statement");
	for (n = 0; text[n] && n < 160; n++)
		m->text[n] = (unsigned char)text[n] < 32 || text[n] == 127 ? '?' : text[n];
	if (text[n]) /* a name longer than any of ours made it so long */
		return repair_refuse(m, "the statement is wrong, in or near a very long name");
	m->text[n] = '\0';
	return ENGINE_REFUSED;
}

static enum engine_status stopped(const struct guard *g)
{
	return g->stopped == BUDGET_CANCELLED ? ENGINE_CANCELLED : ENGINE_TIMEOUT;
}

static enum engine_status prepare_failed(
	struct guard *g, sqlite3 *db, int code, struct engine_message *m)
{
	if (g->stopped != BUDGET_GO)
		return stopped(g);
	if (*g->denied)
		return repair_refuse(m, g->denied);
	switch (code & 0xff) {
	case SQLITE_NOMEM:
		return repair_refuse(m, "the statement is too complex: it needs too much memory");
	case SQLITE_TOOBIG:
		return repair_refuse(m, "the statement is too long or too complex");
	case SQLITE_AUTH:
		return repair_refuse(
			m, "only one SELECT statement over the snapshot's tables is allowed");
	case SQLITE_ERROR:
		return explain_error(g, sqlite3_errmsg(db), m);
	default:
		log_err("snapshot engine: prepare: %s", sqlite3_errstr(code));
		return ENGINE_FAILED;
	}
}

/* True when only white space, comments and semicolons are left: SQLite itself says so, by compiling
 * nothing. */
static bool nothing_left(sqlite3 *db, const char *tail, const char *end)
{
	while (tail < end) {
		sqlite3_stmt *stmt = NULL;
		const char *next = NULL;
		int code = sqlite3_prepare_v2(db, tail, (int)(end - tail), &stmt, &next);

		sqlite3_finalize(stmt);
		if (code != SQLITE_OK || stmt || !next || next <= tail)
			return false;
		tail = next;
	}
	return true;
}

enum engine_status guard_prepare(struct guard *g, struct sqlite3 *db, const char *sql, size_t len,
	struct sqlite3_stmt **out, struct engine_message *message)
{
	sqlite3_stmt *stmt = NULL;
	const char *tail = sql;
	int code = SQLITE_OK;

	*g->denied = '\0';
	g->stopped = BUDGET_GO;
	if (len >= GUARD_SQL_MAX)
		return repair_refuse(message, "the statement is too long");
	if (memchr(sql, '\0', len))
		return repair_refuse(message, "the statement holds a NUL character");
	/* Leading semicolons and comments compile to nothing; the statement may come after them. */
	while (code == SQLITE_OK && !stmt && tail < sql + len) {
		const char *from = tail;

		code = sqlite3_prepare_v3(db, from, (int)(sql + len - from), 0, &stmt, &tail);
		if (code == SQLITE_OK && !stmt && tail <= from)
			break;
	}
	if (code != SQLITE_OK)
		return prepare_failed(g, db, code, message);
	if (!stmt)
		return repair_refuse(message, "there is no statement in sql");
	if (sqlite3_stmt_isexplain(stmt) || !sqlite3_stmt_readonly(stmt) ||
		sqlite3_column_count(stmt) == 0) {
		sqlite3_finalize(stmt);
		return repair_refuse(
			message, "only one SELECT statement is allowed: a snapshot is read only");
	}
	if (!nothing_left(db, tail, sql + len)) {
		sqlite3_finalize(stmt);
		if (g->stopped != BUDGET_GO)
			return stopped(g);
		return repair_refuse(message,
			"only one statement is allowed: leave out what comes after the first");
	}
	*out = stmt;
	return ENGINE_OK;
}

enum engine_status guard_step_failed(
	struct guard *g, struct sqlite3 *db, int code, struct engine_message *message)
{
	/* A message made while running may quote a value, so only these fixed ones are passed on.
	 */
	static const char *const known[] = {"integer overflow", "malformed JSON",
		"LIKE or GLOB pattern too complex", "ESCAPE expression must be a single character",
		"too many characters to trim",
		"a conversion in the format of printf is unknown or too wide",
		"JSON cannot hold BLOB values", "argument of ntile must be a positive integer",
		"second argument to nth_value must be a positive integer",
		"frame starting offset must be a non-negative integer",
		"frame ending offset must be a non-negative integer",
		"frame starting offset must be a non-negative number",
		"frame ending offset must be a non-negative number"};
	const char *text = sqlite3_errmsg(db);

	if (g->stopped != BUDGET_GO)
		return stopped(g);
	switch (code & 0xff) {
	case SQLITE_TOOBIG:
		return repair_refuse(message, "a value grew too large: build smaller texts");
	case SQLITE_NOMEM:
		return repair_refuse(message,
			"the statement needs too much memory: select fewer rows or columns, sort "
			"or join less");
	case SQLITE_AUTH:
		return repair_refuse(message,
			*g->denied ? g->denied : "the statement did something that is not allowed");
	case SQLITE_ERROR:
		break;
	default:
		log_err("snapshot engine: step: %s", sqlite3_errstr(code));
		return ENGINE_FAILED;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(text, known[i]) == 0)
			return repair_refuse(message, text);
	if (strstr(text, "JSON path"))
		return repair_refuse(
			message, "a JSON path is malformed: it should look like $.name or $[0]");
	return repair_refuse(message,
		*g->denied
			? g->denied
			: "the statement failed while it ran: check functions and their arguments");
}
