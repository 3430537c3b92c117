/* status: how the control plane is doing: the public page of tenants and sessions, and the
 * operator's. */
#ifndef FCGI_APP_STATUS_H
#define FCGI_APP_STATUS_H

#include "fcgi-app/http.h"

/* GET /v1/tenants: slugs and connected sessions; 404 when server.public_status is false. */
void status_public(struct request *rq);
/* GET /v1/admin/status: versions, uptime, disk, queues. Answers also when the tunnel daemon is
 * away, and says so. */
void status_admin(struct request *rq);

#endif
