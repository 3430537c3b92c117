/* ws_in: the frames that a WebSocket client sends (RFC 6455, 5), read where they are: payloads are
 * unmasked in place, many bytes at a time, and handed on piece by piece. libwebsockets copies and
 * unmasks byte by byte, which took a third of the daemon's time with long results; it still makes
 * the connection and does all the writing. Pure: no socket, no time, no log. */
#ifndef TUNNELD_WS_IN_H
#define TUNNELD_WS_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/ws_mask.h"

#define WS_IN_CONTROL_MAX 125
/* Opcode, length, mask. */
#define WS_IN_HEAD_MAX (2 + 8 + WS_MASK_LEN)

/* Begins as zeros. */
struct ws_in {
	uint64_t left, phase; /* bytes of the frame's payload still to come, and come already */
	uint8_t head_len, control_len;
	bool payload; /* the head is whole */
	bool message; /* one has begun and goes on */
	uint8_t head[WS_IN_HEAD_MAX];
	uint8_t control[WS_IN_CONTROL_MAX];
};

enum ws_in_event {
	WS_IN_WAITS, /* everything was used, more is needed */
	WS_IN_PIECE, /* of a binary message */
	WS_IN_PING,
	WS_IN_PONG,
	WS_IN_CLOSE,
	WS_IN_BAD, /* not what a client may send: nothing that follows means anything */
};

struct ws_piece {
	const uint8_t *bytes; /* into the bytes that were given, or control */
	size_t len;
	bool last; /* of its message */
};

/* Reads on. *used tells how many of the bytes were used, out what came of them: call it again with
 * the rest. */
enum ws_in_event ws_in_next(
	struct ws_in *in, uint8_t *bytes, size_t len, size_t *used, struct ws_piece *out);

#endif
