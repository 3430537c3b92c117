/* routes: the table of method, path pattern, guard and handler, and finding a request's row. */
#ifndef FCGI_APP_ROUTES_H
#define FCGI_APP_ROUTES_H

#include "fcgi-app/http.h"

enum guard {
	GUARD_NONE, /* anyone */
	/* Operator token or session; fills rq->who, rq->org_id; CSRF header for cookie writes. */
	GUARD_OPERATOR,
	GUARD_OWN, /* the handler checks its own credential (mcp, enroll, session login) */
};

struct route {
	const char *method;
	/* "/v1/admin/tenants/{tenant_id}/keys"; a {name} matches one non-empty segment. */
	const char *pattern;
	enum guard guard;
	/* The audit journal must be writable first (dispatch ping); the handler flushes the outbox
	 * before it answers. */
	bool writes;
	void (*handle)(struct request *rq);
};

/* Ends with a row whose method is NULL. */
extern const struct route routes[];
/* Finds the row and fills rq->arg. NULL with *allow filled ("GET, POST") when the path exists for
 * other methods, "" when it does not exist. Pure. */
const struct route *routes_find(struct request *rq, char *allow, size_t allow_cap);
/* The whole life of a request after it was read: CORS, guard, handler. On the loop it may end
 * deferred, or with a worker. */
void routes_serve(struct request *rq);
/* The access line, once it was answered. */
void routes_log(const struct request *rq);

#endif
