/* guard: what makes an SQLite connection safe to hand a stranger's SQL: an authorizer that allows a
 * list of actions, tables and functions and denies the rest, limits on everything SQLite can limit,
 * and a budget looked at while it parses and runs. Nothing is decided by looking at the text of a
 * statement. */
#ifndef WORKER_GUARD_H
#define WORKER_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/budget.h"
#include "worker/engine.h"

struct sqlite3;
struct sqlite3_stmt;

#define GUARD_SQL_MAX 65536

/* Belongs to one connection and must live as long. */
struct guard {
	const struct engine_shape *shape;
	const struct budget *budget; /* of the statement in hand; NULL between statements */
	enum budget_state stopped; /* why the budget ended it, or BUDGET_GO */
	char denied[192]; /* what the authorizer refused first, or "" */
	char **modules; /* virtual tables this SQLite has: never readable, json_each and json_tree
			   apart */
	size_t module_count;
};

/* Prepares a fresh connection: settings, limits, functions, authorizer, progress handler. An SQLite
 * result code. */
int guard_attach(struct guard *g, struct sqlite3 *db, const struct engine_shape *shape);
void guard_detach(struct guard *g);
/* Whether the statement in hand may go on; ctx is the guard. */
bool guard_may_go_on(void *ctx);
/* Compiles exactly one reading statement. *out only on ENGINE_OK. */
enum engine_status guard_prepare(struct guard *g, struct sqlite3 *db, const char *sql, size_t len,
	struct sqlite3_stmt **out, struct engine_message *message);
/* What a failed step means. */
enum engine_status guard_step_failed(
	struct guard *g, struct sqlite3 *db, int code, struct engine_message *message);

#endif
