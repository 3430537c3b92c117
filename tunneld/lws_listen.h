/* lws_listen: the socket from which the front fetches streams (listen.h): GET
 * /.airlock/listen/<ticket>, and nothing else. Who holds a ticket has been let in already. */
#ifndef TUNNELD_LWS_LISTEN_H
#define TUNNELD_LWS_LISTEN_H

struct lws_protocols;

/* The protocols of the streams' vhost. The context's user pointer must be the struct hub. */
const struct lws_protocols *lws_listen_protocols(void);

#endif
