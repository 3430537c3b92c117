/* pg: one connection to PostgreSQL that never outlives its budget: everything that waits for the
 * server asks the budget meanwhile, and a statement that may not go on is cancelled there. What the
 * server says of an error is reduced to its SQLSTATE and words of our own, since its texts may
 * quote values. */
#ifndef WORKER_PG_H
#define WORKER_PG_H

#include <libpq-fe.h>
#include <stddef.h>

#include "shared/rc.h"
#include "worker/budget.h"
#include "worker/source.h"

struct pg {
	PGconn *conn;
	struct budget budget;
};

/* RC_INVALID when the URL can't be parsed. */
enum rc pg_url_check(const char *url, struct source_error *err) MUST_CHECK;
/* Connects. pg_close() whatever the result. */
enum rc pg_connect(struct pg *pg, const char *url, const struct budget *b,
	struct source_error *err) MUST_CHECK;
void pg_close(struct pg *pg);

/* What the database's texts are. Those of PG_ENCODING_NONE (SQL_ASCII) are bytes that nobody has
 * checked; PG_ENCODING_OTHER (LATIN1 and such) has not all of Unicode. */
enum pg_encoding { PG_ENCODING_UTF8, PG_ENCODING_NONE, PG_ENCODING_OTHER };
enum pg_encoding pg_encoding(const struct pg *pg);

/* How values come: as the types' text, or as what they send in binary. */
enum pg_format { PG_FORMAT_TEXT, PG_FORMAT_BINARY };
/* One statement with text parameters; rows come singly from pg_next(). what names the table, or
 * what else is read, in errors. */
enum rc pg_send(struct pg *pg, enum pg_format format, const char *sql, const char *const *params,
	int count, const char *what, struct source_error *err) MUST_CHECK;
/* *row is one row, to be PQclear()ed, or NULL after the last. */
enum rc pg_next(
	struct pg *pg, const char *what, PGresult **row, struct source_error *err) MUST_CHECK;
/* Several statements of ours. *rows, unless NULL, is how many rows the last one had. */
enum rc pg_run(struct pg *pg, const char *sql, const char *what, int *rows,
	struct source_error *err) MUST_CHECK;
/* A statement that may fail because of its parameters. RC_NOTFOUND: it did (class 22, data
 * exception, or 42601 or XX000 for types with a syntax). */
enum rc pg_try(struct pg *pg, const char *sql, const char *param, const char *what,
	struct source_error *err) MUST_CHECK;

#endif
