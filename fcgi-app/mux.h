/* mux: a pool process's one connection to tunneld for the calls of its loop (MANY in
 * shared/dispatch.h). Nothing here waits: messages are queued and leave together, and what comes is
 * handed to whoever the call belongs to. One thread. */
#ifndef FCGI_APP_MUX_H
#define FCGI_APP_MUX_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/dispatch.h"
#include "shared/msg.h"
#include "shared/rc.h"
#include "shared/shelf.h"

struct mux;

/* A call that is with tunneld; embedded in what waits for it. */
struct mux_call {
	struct frame_ref ref;
	bool open; /* from mux_begin() to its last message, mux_leave(), or the loss of tunneld */
	uint64_t batch; /* the one that it leaves with */
	/* Where its result is, when it does not come through the socket: from the last message to
	 * mux_release(). */
	struct shelf *shelf;
	uint32_t place;
};

struct mux_owner {
	/* DISPATCH_MESSAGE or DISPATCH_LOST; *m lasts as long as the callback, its payload until
	 * mux_release() if call->shelf is set. The call is no longer open with its last message.
	 */
	void (*event)(struct mux_call *call, enum dispatch_event event, const struct msg *m);
	/* The fd to watch, for reading and, when write is set, writing; -1: none any more. */
	void (*watch)(void *ctx, int fd, bool write);
	void *ctx;
};

/* result_max: the longest result, for which memory is offered that tunneld fills itself; 0: none.
 */
struct mux *mux_new(const char *socket_path, size_t result_max, const struct mux_owner *owner);
/* Every call must have ended. */
void mux_free(struct mux *x);

/* Begins a call with one message: append it (msg_begin .. msg_end) to the buffer, then mux_queue().
 * NULL: tunneld is not there. */
struct buf *mux_begin(struct mux *x, struct mux_call *call);
/* RC_LIMIT: it is too long; the call is not open then. */
enum rc mux_queue(struct mux *x, struct mux_call *call) MUST_CHECK;
/* Ends an open call from our side: MSG_GONE cancels it, MSG_DETACH leaves it to itself. */
void mux_leave(struct mux *x, struct mux_call *call, enum msg_type how);
/* Cancels an open call because its agent reads too slowly. */
void mux_cut(struct mux *x, struct mux_call *call);
/* The result was used: its place, if it had one, is tunneld's again. Always at a call's end. */
void mux_release(struct mux *x, struct mux_call *call);
/* Sends what is queued; before the loop waits. */
void mux_flush(struct mux *x);
void mux_readable(struct mux *x);

#endif
