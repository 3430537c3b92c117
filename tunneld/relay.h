/* relay: the life of a call: which are refused, where the others go, what comes back, and that no
 * answer leaves before its audit row is on disk. It never looks into a payload, and knows neither
 * sockets nor files. */
#ifndef TUNNELD_RELAY_H
#define TUNNELD_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/msg.h"
#include "shared/problem.h"
#include "tunneld/call.h"
#include "tunneld/hub.h"

struct client;
struct client_io {
	/* Sends frames; takes the buffer's memory over and leaves it empty. */
	void (*send)(struct client *c, struct buf *frames);
	/* Sends one message: its header line, and a payload from where it is. Keeps neither. */
	void (*pass)(struct client *c, const struct buf *header, const void *payload, size_t len);
	/* Bytes that the peer has not taken yet. */
	size_t (*backlog)(const struct client *c);
	/* Where the next len bytes of the call's result go, in memory that the peer reads. NULL:
	 * there is none. The function is NULL where there never is. */
	uint8_t *(*room)(struct client *c, size_t len);
	/* Says in a header where they all are. */
	void (*name_room)(struct client *c, struct buf *header);
};

/* One dispatch connection as the relay sees it; embedded in what does its I/O. */
struct client {
	const struct client_io *io;
	struct call *call; /* the call on it, or NULL */
	bool sending; /* more parts of a request will come, wanted or not */
	bool shared; /* the backlog is of many calls */
	bool told; /* events of the call */
	bool aside; /* its result is put where the peer reads it */
	bool given; /* and the peer is told, with the frames that are sent */
	struct tunnel *paused; /* not read until this client has taken what it has */
};

/* A CALL message, the first or a further part. False: it came out of turn, and the connection is to
 * be closed. */
bool relay_call(struct hub *hub, struct client *c, const struct msg *m, int64_t now_us) MUST_CHECK;
/* A REPLY message: the agent's answer to a server-to-client request of a call, which may be on
 * another connection. */
void relay_reply(struct hub *hub, struct client *c, const struct msg *m);
/* A CANCEL message: the agent's wish, come on another connection. */
void relay_cancel(struct hub *hub, struct client *c, const struct msg *m);
/* A DETACH message: the call goes on without anybody to answer to. */
void relay_detach(struct client *c);
/* The peer hung up: its call, if any, is cancelled. */
void relay_client_gone(struct hub *hub, struct client *c);
/* The same, since its agent reads more slowly than its worker talks. */
void relay_client_slow(struct hub *hub, struct client *c);
/* The backlog is small again. */
void relay_client_drained(struct client *c);

/* From the worker's side. False: the worker broke the protocol. */
bool relay_event(struct hub *hub, struct session *s, const struct msg *m) MUST_CHECK;
bool relay_result(struct hub *hub, struct session *s, const struct msg *m) MUST_CHECK;
/* The session is no more: its calls end with that outcome. */
void relay_session_lost(struct hub *hub, struct session *s, enum outcome outcome);

/* Ends the calls whose time is up. */
void relay_tick(struct hub *hub, int64_t now_ms);
/* The daemon stops now: every call ends as cancelled, its caller is told "draining". */
void relay_abort_all(struct hub *hub);

/* The answer FAIL. detail may be NULL; retry_after_ms 0 leaves it out. */
void relay_fail(struct client *c, enum problem p, const char *detail, int64_t retry_after_ms);

/* Writing frames for a client: begin, fields, end (or msg_end() and frame_close() by hand). */
struct relay_frame {
	struct buf buf;
	size_t start;
};
void relay_frame_begin(struct relay_frame *f, enum msg_type type, const char *id);
void relay_frame_send(struct client *c, struct relay_frame *f, const void *payload, size_t len);

#endif
