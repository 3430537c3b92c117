/* lws_tunnel: the tunnel socket's bytes: WebSocket connections of workers, as they come through the
 * front. What the messages mean is tunnel.c's matter. <libwebsockets.h> is included in the lws_*.c
 * files only. */
#ifndef TUNNELD_LWS_TUNNEL_H
#define TUNNELD_LWS_TUNNEL_H

struct lws_protocols;
struct hub;

/* The protocols of the tunnel's vhost. The context's user pointer must be the struct hub. */
const struct lws_protocols *lws_tunnel_protocols(void);
/* Writes what was queued since, to be called before the loop waits: all messages for one worker go
 * out together, and the socket is watched for room only when it has none. */
void lws_tunnel_flush(struct hub *hub);

#endif
