/* admin_live: the live tunnel sessions, as tunneld knows them, counted per worker or tenant. */
#ifndef FCGI_APP_ADMIN_LIVE_H
#define FCGI_APP_ADMIN_LIVE_H

#include <stdbool.h>

#include "fcgi-app/http.h"
#include "shared/jscan.h"

struct admin_live {
	bool known; /* false: tunneld can't be reached */
	struct jscan
		list; /* points into the thread's dispatch connection: until its next exchange */
};
/* tenant_id NULL: every tenant's. */
void admin_live_load(struct request *rq, const char *tenant_id, struct admin_live *out);
int admin_live_of_worker(const struct admin_live *s, const char *worker_id);
/* The one session of a worker; JSCAN_NONE when it is not connected. */
struct jscan admin_live_session(const struct admin_live *s, const char *worker_id);
int admin_live_of_tenant(const struct admin_live *s, const char *tenant_id);

#endif
