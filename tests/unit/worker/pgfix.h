/* pgfix: a PostgreSQL server of one's own, for the tests of the worker's PostgreSQL source. Run
 * from the repository's root. */
#ifndef TESTS_PGFIX_H
#define TESTS_PGFIX_H

#include "tests/unit/worker/snapfix.h"

#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#define PG_SCRIPT "tests/lib/postgres"

struct pgfix {
	char dir[64], server[96];
	pid_t pid;
};

static inline pid_t pgfix_spawn(const struct pgfix *p, const char *verb)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl(PG_SCRIPT, PG_SCRIPT, verb, p->server, (char *)NULL);
		_exit(127);
	}
	assert_true(pid > 0);
	return pid;
}

static inline void pgfix_url(
	const struct pgfix *p, const char *user, const char *more, char *out, size_t size)
{
	assert_true(snprintf(out, size, "postgresql://%s@/postgres?host=%s%s", user, p->server,
			    more) < (int)size);
}

static inline void pgfix_start(struct pgfix *p)
{
	char url[256];

	p->pid = pgfix_spawn(p, "run");
	pgfix_url(p, "airlock", "", url, sizeof(url));
	for (int i = 0; PQping(url) != PQPING_OK; i++) {
		assert_true(i < 1500);
		assert_int_equal(waitpid(p->pid, NULL, WNOHANG), 0);
		poll(NULL, 0, 20);
	}
}

static inline void pgfix_stop(struct pgfix *p)
{
	int status;

	if (p->pid <= 0)
		return;
	kill(p->pid, SIGINT);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	p->pid = 0;
}

static inline void pgfix_init(struct pgfix *p)
{
	int status;
	pid_t pid;

	memset(p, 0, sizeof(*p));
	snprintf(p->dir, sizeof(p->dir), "%s", "/tmp/airlock-pg.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(chmod(p->dir, 0755), 0);
	snprintf(p->server, sizeof(p->server), "%s/server", p->dir);
	pid = pgfix_spawn(p, "init");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	pgfix_start(p);
}

static inline void pgfix_free(struct pgfix *p)
{
	pgfix_stop(p);
	nftw(p->dir, fix_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static inline PGconn *pgfix_connect(const struct pgfix *p)
{
	char url[256];
	PGconn *conn;

	pgfix_url(p, "airlock", "", url, sizeof(url));
	conn = PQconnectdb(url);
	assert_int_equal(PQstatus(conn), CONNECTION_OK);
	PQclear(PQexec(conn, "SET client_min_messages = warning"));
	return conn;
}

/* As the superuser. *out, unless NULL, gets the first value (free()). */
static inline void pgfix_sql(const struct pgfix *p, const char *sql, char **out)
{
	PGconn *conn = pgfix_connect(p);
	PGresult *res = PQexec(conn, sql);

	if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
		fail_msg("%s", PQerrorMessage(conn));
	if (out)
		*out = strdup(PQgetvalue(res, 0, 0));
	PQclear(res);
	PQfinish(conn);
}

/* For the group of tests of a source: a server with a role that may read. */
static inline int pgfix_with_reader(struct pgfix *p)
{
	assert_int_equal(heap_install(), RC_OK);
	pgfix_init(p);
	pgfix_sql(p, "CREATE ROLE reader LOGIN", NULL);
	return 0;
}

/* Until the first value of the query is this. */
static inline void pgfix_wait(const struct pgfix *p, const char *sql, const char *want)
{
	int64_t give_up_at = clock_mono_ms() + 60000;
	char *got = NULL;

	for (;;) {
		free(got);
		pgfix_sql(p, sql, &got);
		if (strcmp(got, want) == 0 || clock_mono_ms() >= give_up_at)
			break;
		poll(NULL, 0, 20);
	}
	assert_string_equal(got, want);
	free(got);
}

#endif
