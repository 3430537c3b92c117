/* routes: the table of method, path pattern, guard and handler, and finding a request's row. */
#ifndef FCGI_APP_ROUTES_H
#define FCGI_APP_ROUTES_H

#include "fcgi-app/http.h"

enum guard {
	GUARD_NONE,	/* anyone */
	GUARD_OPERATOR, /* operator token or session; fills rq->who and rq->org_id; CSRF header for cookie writes */
	GUARD_OWN,	/* the handler checks its own credential (mcp, enroll, session login) */
};

struct route {
	const char *method;  /* "*": any */
	const char *pattern; /* "/v1/admin/tenants/{id}/keys"; a {name} matches one non-empty segment */
	enum guard guard;
	bool writes; /* audit journal must be writable first (dispatch ping); outbox is flushed before the answer */
	void (*handle)(struct request *rq);
};

extern const struct route routes[];
/* Finds the row and fills rq->arg. NULL with *allow filled ("GET, POST") when the path exists for other methods, "" when it
 * does not exist. Pure. */
const struct route *routes_find(struct request *rq, char *allow, size_t allow_cap);
/* The whole life of a request after it was read: CORS, guard, handler, access line. */
void routes_serve(struct request *rq);

#endif
