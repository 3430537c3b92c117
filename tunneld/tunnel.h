/* tunnel: the tunnel protocol (docs/tunnel-protocol.md) from the control plane's side, for one
 * connection. It handles messages and time; bytes on the wire are lws_tunnel.c's matter. */
#ifndef TUNNELD_TUNNEL_H
#define TUNNELD_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/handshake.h"
#include "shared/msg.h"
#include "tunneld/hub.h"
#include "tunneld/incoming.h"

/* Free bytes in front of each message that is sent, for the WebSocket frame's header. */
#define TUNNEL_HEADROOM 32

#define TUNNEL_END_TABLE(X)                                                               \
	/* name, text in logs and audit rows, close code (0: the peer is gone already) */ \
	X(PROTOCOL_ERROR, "protocol_error", 4400)                                         \
	X(REFUSED, "refused", 4401)                                                       \
	X(REVOKED, "revoked", 4403)                                                       \
	X(SUSPENDED, "tenant_suspended", 4403)                                            \
	X(HANDSHAKE_TIMEOUT, "handshake_timeout", 4408)                                   \
	X(HEARTBEAT_TIMEOUT, "heartbeat_timeout", 4408)                                   \
	X(REPLACED, "replaced", 4409)                                                     \
	X(GOING_AWAY, "going_away", 1001)                                                 \
	X(OVERLOADED, "overloaded", 1013)                                                 \
	X(CLOSED, "closed", 0)
enum tunnel_end {
#define X(name, text, code) TUNNEL_END_##name,
	TUNNEL_END_TABLE(X)
#undef X
};

struct tunnel_io {
	/* Takes the buffer over and leaves it empty. The message starts behind TUNNEL_HEADROOM
	 * bytes. */
	void (*send)(void *ctx, struct buf *message);
	void (*ping)(void *ctx);
	/* Stops or goes on reading. */
	void (*pause)(void *ctx, bool paused);
	/* Sends what is queued, then closes; tunnel_closed() follows later. Nothing more is sent.
	 */
	void (*close)(void *ctx, int code);
	/* Bytes queued. */
	size_t (*backlog)(const void *ctx);
};

enum tunnel_state { TUNNEL_GREETING, TUNNEL_READY, TUNNEL_ENDED };
struct greeting;

struct tunnel {
	struct hub *hub;
	const struct tunnel_io *io;
	void *ctx;
	struct tunnel *prev, *next;
	enum tunnel_state state;
	struct session session;
	struct greeting *greeting; /* during the handshake */
	struct incoming incoming; /* a message that comes in several pieces */
	struct buf parts; /* of a manifest that comes in several messages */
	uint8_t key[CRYPTO_KEY_LEN];
	uint64_t signed_count; /* messages sent with a MAC */
	struct deadline beat;
	bool pinged;
	int64_t pinged_ms, heard_ms;
	int pauses; /* clients that can't keep up */
};

/* A connection was upgraded: sends the CHALLENGE. */
struct tunnel *tunnel_new(struct hub *hub, const struct tunnel_io *io, void *ctx,
	const char *remote_ip, int64_t now_ms);
/* The connection is gone: frees. */
void tunnel_closed(struct tunnel *t);
/* A message, or a piece of one; last: the message is complete. */
void tunnel_received(struct tunnel *t, const uint8_t *bytes, size_t len, bool last, int64_t now_ms);
void tunnel_pong(struct tunnel *t, int64_t now_ms);
/* The backlog is small again. */
void tunnel_drained(struct tunnel *t);
/* Ends the session or the handshake, and asks for the close. No effect when it was ended before. */
void tunnel_end(struct tunnel *t, enum tunnel_end why);

/* Sends a message: begin, msg_begin() and fields at b, then one of the two. False when it could not
 * be made. */
void tunnel_begin(struct buf *b);
bool tunnel_send(struct tunnel *t, enum msg_type type, struct buf *b);
/* Ends the header with the session's MAC; for CALL and REPLY. */
bool tunnel_send_signed(
	struct tunnel *t, enum msg_type type, struct buf *b, const void *payload, size_t len);

struct tunnel *tunnel_of(struct session *s);
/* A client of one of its calls can't keep up: reading stops until all such have caught up. */
void tunnel_pause(struct tunnel *t);
void tunnel_resume(struct tunnel *t);

/* Ends the sessions of a tenant whose worker or tenant may no longer be connected, according to the
 * state. */
void tunnel_recheck(struct hub *hub, const char *tenant_id);
/* Handshakes and heartbeats that are overdue. */
void tunnel_tick(struct hub *hub, int64_t now_ms);
/* Tells every worker to come back later. */
void tunnel_goaway_all(struct hub *hub, int64_t retry_after_ms);
void tunnel_end_all(struct hub *hub, enum tunnel_end why);

#endif
