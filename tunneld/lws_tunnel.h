/* lws_tunnel: the tunnel socket's bytes: WebSocket connections of workers, as they come through the
 * front. What the messages mean is tunnel.c's matter. <libwebsockets.h> is included in the lws_*.c
 * files only. */
#ifndef TUNNELD_LWS_TUNNEL_H
#define TUNNELD_LWS_TUNNEL_H

struct lws_protocols;

/* The protocols of the tunnel's vhost. The context's user pointer must be the struct hub. */
const struct lws_protocols *lws_tunnel_protocols(void);

#endif
