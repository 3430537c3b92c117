/* incoming: one message of a worker that arrives in several pieces. What belongs to the answer of a
 * call is handed on piece by piece, as parts: the protocol lets an answer consist of any number of
 * them, so a long one is never held here. Everything else is put together first. Pure: no socket,
 * no time, no log. */
#ifndef TUNNELD_INCOMING_H
#define TUNNELD_INCOMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/msg.h"

enum incoming_state {
	INCOMING_NONE, /* no message has begun */
	INCOMING_HEADER, /* its header is not whole */
	INCOMING_HELD, /* it is put together */
	INCOMING_PASSED, /* it is handed on */
};

struct incoming {
	enum incoming_state state;
	struct buf held; /* the message so far; of one that is handed on, its header */
	size_t total; /* bytes of it that have come */
	struct msg *head; /* of a message that is handed on, or NULL */
};

enum incoming_status {
	INCOMING_WAITS, /* for more pieces */
	INCOMING_MESSAGE,
	INCOMING_BAD,
	INCOMING_TOO_LONG,
};

void incoming_init(struct incoming *in);
/* The next piece, of a message that had begun or not; last: with it the message is complete. With
 * MESSAGE *out is the message or a part of it: it points into bytes or in->held, until the next
 * call. A part that is not the message's last has "more". */
enum incoming_status incoming_add(
	struct incoming *in, const uint8_t *bytes, size_t len, bool last, struct msg *out);
/* Forgets what is there; needed after a last piece and after an error. Keeps no memory. */
void incoming_reset(struct incoming *in);

#endif
