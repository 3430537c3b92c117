/* lws_server: the libwebsockets context on the daemon's libev loop, with its two listeners: the
 * tunnel socket and, unless it is off, the metrics port. */
#ifndef TUNNELD_LWS_SERVER_H
#define TUNNELD_LWS_SERVER_H

#include "shared/rc.h"
#include "tunneld/hub.h"

struct ev_loop;
struct lws_context;

/* RC_UNAVAILABLE: a listener could not be opened (logged). */
enum rc lws_server_open(struct ev_loop *loop, struct hub *hub, struct lws_context **out) MUST_CHECK;
/* Closes every connection. NULL is fine. */
void lws_server_close(struct lws_context *server, const struct hub *hub);

#endif
