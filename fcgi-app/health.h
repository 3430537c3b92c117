/* health: GET /health, for load balancers and uptime monitors. */
#ifndef FCGI_APP_HEALTH_H
#define FCGI_APP_HEALTH_H

#include "fcgi-app/http.h"

/* 200 and the body "ok" when the state, the tunnel daemon and the audit log are fine; else a
 * problem that says which is not. */
void health_get(struct request *rq);

#endif
