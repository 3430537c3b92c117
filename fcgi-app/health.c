#include "fcgi-app/health.h"

#include <stdlib.h>

#include "shared/store.h"

/* Any read will do: it needs the file, its schema and the lock. */
static bool state_ok(struct request *rq)
{
	char next[STORE_CURSOR_MAX + 1];
	struct tenant *list = NULL;
	size_t count;
	struct db *db;
	enum rc rc = db_pool_get(rq->app->db, &db);

	if (rc != RC_OK)
		return false;
	rc = tenant_list(db, NULL, "", 1, &list, &count, next);
	db_pool_put(rq->app->db, db);
	free(list);
	return rc == RC_OK;
}

static enum rc ask_ping(struct dispatch *d, void *ctx)
{
	return dispatch_ping(d, ctx);
}

void health_get(struct request *rq)
{
	struct msg pong;

	if (!state_ok(rq))
		http_problem(rq, PROBLEM_STATE_DOWN, NULL);
	else if (http_dispatch(rq, ask_ping, &pong) != RC_OK)
		http_problem(rq, PROBLEM_TUNNEL_DOWN, NULL);
	else if (!msg_flag(&pong, "audit_ok"))
		http_problem(rq, PROBLEM_AUDIT_DOWN, NULL);
	else if (msg_flag(&pong, "draining"))
		http_problem(rq, PROBLEM_DRAINING, NULL);
	else
		http_reply(rq, 200, "text/plain; charset=utf-8", "ok", 2);
}
