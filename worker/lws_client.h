/* lws_client: one outgoing WebSocket connection at a time, on libwebsockets with the caller's libev
 * loop. I/O only: whole messages in, one message out per writeable callback; what they mean and
 * when to dial again is the owner's business. <libwebsockets.h> is included in lws_client.c only.
 */
#ifndef WORKER_LWS_CLIENT_H
#define WORKER_LWS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/rc.h"
#include "worker/endpoint.h"

struct lws_client;
struct ev_loop;

/* Called on the loop's thread. None of them may free the client. */
struct lws_client_owner {
	void *ctx;
	void (*up)(void *ctx); /* the WebSocket stands */
	void (*message)(void *ctx, const uint8_t *bytes, size_t len);
	void (*pong)(void *ctx);
	/* Appends the next message to send, or returns false. *rest: more of it, which lasts until
	 * the next call. */
	bool (*next)(void *ctx, struct buf *out, const uint8_t **rest, size_t *rest_len);
	/* The end of a connection or of a try; a new lws_client_connect() may follow from here on,
	 * but not from within. code is what the peer closed with, or 0. */
	void (*closed)(void *ctx, int code, const char *why);
};

/* ca_file NULL: the system's certificate authorities. RC_UNAVAILABLE (logged) when libwebsockets
 * can't be set up. */
enum rc lws_client_new(struct ev_loop *loop, const char *ca_file,
	const struct lws_client_owner *owner, struct lws_client **out) MUST_CHECK;
/* Dials address (numeric) for the endpoint. The owner's up or closed follows; RC_CONFLICT when a
 * connection is there still. */
enum rc lws_client_connect(
	struct lws_client *c, const struct endpoint *e, const char *address) MUST_CHECK;
/* Messages longer than this end the connection. */
void lws_client_set_max(struct lws_client *c, size_t max_message);
void lws_client_want_write(struct lws_client *c);
void lws_client_ping(struct lws_client *c);
/* Closes with a code; a peer that does not answer is left after a few seconds. */
void lws_client_close(struct lws_client *c, int code);
/* Closes without asking the peer. */
void lws_client_kill(struct lws_client *c);
void lws_client_free(struct lws_client *c);

#endif
