#include "worker/pg.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/mem.h"

#define CONNECT_MS 5000
#define TICK_MS 20 /* how often the budget is asked while the server works */

/* --- what went wrong --------------------------------------------------------------- */

/* The first entry whose state begins as the server's does. */
static const struct explanation {
	const char *state;
	enum rc rc;
	const char *text; /* for the operator */
	const char *advice; /* for agents; NULL: nothing better than the usual */
} explanations[] = {
	{"53300", RC_UNAVAILABLE,
		"the database has no connection slot left: raise max_connections, or lower "
		"worker.threads",
		"the database has no free connection at the moment: try again in a minute"},
	{"53", RC_UNAVAILABLE, "the database is out of resources", NULL},
	{"57014", RC_UNAVAILABLE, "a statement ran longer than statement_timeout and was stopped",
		"the database was too slow: try again later; if it stays so, the worker's operator "
		"should look for a missing index on the column that relates the table"},
	{"57P03", RC_UNAVAILABLE, "the database is starting up or shutting down",
		"the database is starting up: try again in a minute"},
	{"57", RC_UNAVAILABLE, "the database ended the connection",
		"the database was restarted: try again in a minute"},
	{"55P03", RC_UNAVAILABLE, "a table stayed locked longer than lock_timeout",
		"a table is locked by maintenance: try again in a minute"},
	{"40", RC_UNAVAILABLE,
		"the replica stopped the read in favour of replication: set hot_standby_feedback, "
		"or raise max_standby_streaming_delay there",
		"the database replica interrupted the copy: try again now"},
	{"28", RC_UNAVAILABLE,
		"the database refuses the user or password in DATABASE_URL, or pg_hba.conf does",
		"the database refuses the worker's login: tell the worker's operator"},
	{"3D000", RC_UNAVAILABLE, "the database that DATABASE_URL names does not exist",
		"the database does not exist: tell the worker's operator"},
	{"42501", RC_INVALID, "the user of DATABASE_URL may not read it: GRANT SELECT", NULL},
	{"42", RC_INVALID, "it no longer fits the configuration", NULL},
	{"25006", RC_INVALID, "reading it would write: the connection is read-only", NULL},
	{"08", RC_UNAVAILABLE, "the connection to the database was lost",
		"the connection to the database was lost: try again in a minute"},
	{"", RC_UNAVAILABLE, "the database reported an error", NULL},
};

static enum rc explain(const char *what, const char *state, struct source_error *err)
{
	const struct explanation *e = explanations;

	while (strncmp(e->state, state, strlen(e->state)) != 0)
		e++;
	snprintf(err->text, sizeof(err->text), "%s%s%s (SQLSTATE %s)", what ? what : "",
		what ? ": " : "", e->text, state);
	snprintf(err->advice, sizeof(err->advice), "%s", e->advice ? e->advice : "");
	return e->rc;
}

static enum rc lost(const char *what, struct source_error *err)
{
	return explain(what, "08006", err);
}

static enum rc explain_result(const char *what, const PGresult *res, struct source_error *err)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	return state && strlen(state) == 5 ? explain(what, state, err) : lost(what, err);
}

/* --- waiting ------------------------------------------------------------------------ */

static bool out_of_budget(const struct pg *pg, struct source_error *err)
{
	if (budget_check(&pg->budget) == BUDGET_GO)
		return false;
	snprintf(err->text, sizeof(err->text), "reading the database was stopped");
	return true;
}

/* Until the socket is ready or it is time to look at the budget again. */
static void await(PGconn *conn, short events)
{
	struct pollfd p = {.fd = PQsocket(conn), .events = events};

	(void)poll(&p, 1, TICK_MS);
}

/* The server goes on with a statement whose client has merely left, so it is told. */
static void cancel(struct pg *pg)
{
	PGcancel *c = PQgetCancel(pg->conn);
	char why[256]; /* of no use: the connection is closed next */

	if (c)
		(void)PQcancel(c, why, sizeof(why));
	PQfreeCancel(c);
}

/* --- connecting --------------------------------------------------------------------- */

enum rc pg_url_check(const char *url, struct source_error *err)
{
	char *why = NULL;
	PQconninfoOption *options = PQconninfoParse(url, &why);

	/* libpq's reason quotes the URL. */
	if (why)
		mem_wipe(why, strlen(why));
	PQfreemem(why);
	if (!options) {
		snprintf(err->text, sizeof(err->text),
			"DATABASE_URL: not a well-formed URL; as in "
			"postgresql://user:password@host:5432/name (special characters in a "
			"password "
			"are written as %%XX)");
		return RC_INVALID;
	}
	PQconninfoFree(options);
	return RC_OK;
}

static void ignore_notice(void *ctx, const PGresult *res)
{
	(void)ctx;
	(void)res;
}

/* With PQERRORS_SQLSTATE a refusal ends in ":  53300\n". */
static enum rc explain_refusal(PGconn *conn, struct source_error *err)
{
	const char *text = PQerrorMessage(conn);
	size_t len = strlen(text);
	char state[6] = "";

	if (len > 9 && strncmp(text + len - 9, ":  ", 3) == 0)
		str_copy_len(state, sizeof(state), text + len - 6, 5);
	if (strspn(state, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5)
		return explain(NULL, state, err);
	snprintf(err->text, sizeof(err->text),
		"the database can't be reached: is the host and port in DATABASE_URL right, and "
		"does "
		"it run?");
	return RC_UNAVAILABLE;
}

static enum rc handshake(struct pg *pg, struct source_error *err)
{
	int64_t deadline = clock_mono_ms() + CONNECT_MS;
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;

	while (next != PGRES_POLLING_OK) {
		struct pollfd p = {.fd = PQsocket(pg->conn),
			.events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT};

		if (next == PGRES_POLLING_FAILED || PQstatus(pg->conn) == CONNECTION_BAD)
			return explain_refusal(pg->conn, err);
		if (out_of_budget(pg, err))
			return RC_UNAVAILABLE;
		if (clock_mono_ms() > deadline) {
			snprintf(err->text, sizeof(err->text),
				"the database does not answer within %d s", CONNECT_MS / 1000);
			return RC_UNAVAILABLE;
		}
		if (poll(&p, 1, TICK_MS) > 0)
			next = PQconnectPoll(pg->conn);
	}
	return RC_OK;
}

enum rc pg_connect(struct pg *pg, const char *url, const struct budget *b, struct source_error *err)
{
	/* What comes after dbname has precedence over the URL. The TCP timeout makes a dead
	 * network an error also where libpq blocks, in PQcancel(). */
	static const char *const keys[] = {
		"dbname", "application_name", "client_encoding", "tcp_user_timeout", NULL};
	const char *const values[] = {url, "airlock-worker", "UTF8", "10000", NULL};
	enum rc rc;

	*pg = (struct pg){.budget = *b};
	pg->conn = PQconnectStartParams(keys, values, 1);
	if (!pg->conn)
		return lost(NULL, err);
	PQsetErrorVerbosity(pg->conn, PQERRORS_SQLSTATE);
	PQsetNoticeReceiver(pg->conn, ignore_notice, NULL);
	rc = handshake(pg, err);
	if (rc == RC_OK && PQsetnonblocking(pg->conn, 1) != 0)
		rc = lost(NULL, err);
	return rc;
}

void pg_close(struct pg *pg)
{
	if (!pg->conn)
		return;
	if (PQtransactionStatus(pg->conn) == PQTRANS_ACTIVE)
		cancel(pg);
	PQfinish(pg->conn);
	pg->conn = NULL;
}

enum pg_encoding pg_encoding(const struct pg *pg)
{
	const char *name = PQparameterStatus(pg->conn, "server_encoding");

	if (!name || strcmp(name, "UTF8") == 0)
		return PG_ENCODING_UTF8;
	return strcmp(name, "SQL_ASCII") == 0 ? PG_ENCODING_NONE : PG_ENCODING_OTHER;
}

/* --- statements --------------------------------------------------------------------- */

static enum rc flush(struct pg *pg, const char *what, struct source_error *err)
{
	int left;

	while ((left = PQflush(pg->conn)) == 1) {
		if (out_of_budget(pg, err))
			return RC_UNAVAILABLE;
		await(pg->conn, POLLIN | POLLOUT);
		if (!PQconsumeInput(pg->conn))
			return lost(what, err);
	}
	return left == 0 ? RC_OK : lost(what, err);
}

/* The next result without blocking for longer than a tick; *res is NULL after the last. */
static enum rc next_result(
	struct pg *pg, const char *what, PGresult **res, struct source_error *err)
{
	*res = NULL;
	while (PQisBusy(pg->conn)) {
		if (out_of_budget(pg, err))
			return RC_UNAVAILABLE;
		/* While rows stream, most of the time more is there already. */
		if (!PQconsumeInput(pg->conn))
			return lost(what, err);
		if (PQisBusy(pg->conn))
			await(pg->conn, POLLIN);
	}
	*res = PQgetResult(pg->conn);
	return RC_OK;
}

enum rc pg_send(struct pg *pg, enum pg_format format, const char *sql, const char *const *params,
	int count, const char *what, struct source_error *err)
{
	if (!PQsendQueryParams(pg->conn, sql, count, NULL, params, NULL, NULL, (int)format) ||
		!PQsetSingleRowMode(pg->conn))
		return lost(what, err);
	return flush(pg, what, err);
}

enum rc pg_next(struct pg *pg, const char *what, PGresult **row, struct source_error *err)
{
	enum rc rc = RC_OK;

	*row = NULL;
	while (rc == RC_OK) {
		PGresult *res;

		rc = next_result(pg, what, &res, err);
		if (rc != RC_OK || !res)
			break;
		if (PQresultStatus(res) == PGRES_SINGLE_TUPLE) {
			*row = res;
			break;
		}
		if (PQresultStatus(res) != PGRES_TUPLES_OK)
			rc = explain_result(what, res, err);
		PQclear(res);
	}
	return rc;
}

/* Takes all results of what was sent. *rows, unless NULL, is how many the last one has. */
static enum rc drain(struct pg *pg, const char *what, int *rows, struct source_error *err)
{
	PGresult *res;
	enum rc rc = flush(pg, what, err), first = RC_OK;

	while (rc == RC_OK) {
		ExecStatusType status;

		rc = next_result(pg, what, &res, err);
		if (rc != RC_OK || !res)
			break;
		status = PQresultStatus(res);
		if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && first == RC_OK)
			first = explain_result(what, res, err);
		if (rows)
			*rows = PQntuples(res);
		PQclear(res);
	}
	return rc == RC_OK ? first : rc;
}

enum rc pg_run(
	struct pg *pg, const char *sql, const char *what, int *rows, struct source_error *err)
{
	return PQsendQuery(pg->conn, sql) ? drain(pg, what, rows, err) : lost(what, err);
}

enum rc pg_try(struct pg *pg, const char *sql, const char *param, const char *what,
	struct source_error *err)
{
	PGresult *res;
	bool refused = false;
	enum rc rc = pg_run(pg, "SAVEPOINT airlock", what, NULL, err);

	if (rc == RC_OK &&
		(!PQsendQueryParams(pg->conn, sql, 1, NULL, &param, NULL, NULL, 0) ||
			flush(pg, what, err) != RC_OK))
		rc = lost(what, err);
	while (rc == RC_OK) {
		const char *state;

		rc = next_result(pg, what, &res, err);
		if (rc != RC_OK || !res)
			break;
		state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
		/* A tsquery that can't be read is a syntax error, and an hstore an internal one;
		 * the statement itself has none. */
		if (state &&
			(strncmp(state, "22", 2) == 0 || strcmp(state, "42601") == 0 ||
				strcmp(state, "XX000") == 0))
			refused = true;
		else if (PQresultStatus(res) != PGRES_TUPLES_OK)
			rc = explain_result(what, res, err);
		PQclear(res);
	}
	if (rc == RC_OK)
		rc = pg_run(pg, "ROLLBACK TO SAVEPOINT airlock", what, NULL, err);
	return rc == RC_OK && refused ? RC_NOTFOUND : rc;
}
