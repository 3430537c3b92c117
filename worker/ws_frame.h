/* ws_frame: a client's WebSocket frames (RFC 6455, 5.2): one binary message in one masked frame.
 * libwebsockets makes one write of each message and masks it byte by byte; here many go out
 * together and are masked a word at a time. Everything else on the connection stays the library's.
 * Pure. */
#ifndef WORKER_WS_FRAME_H
#define WORKER_WS_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/ws_mask.h"

/* Leaves room for the frame's head at the end of b; returns where the frame starts. The message is
 * appended, then the frame closed: with the rest of the message, which is masked while it is copied
 * (NULL and 0: there is none). A failure of b is sticky. */
size_t ws_frame_open(struct buf *b);
void ws_frame_close(struct buf *b, size_t start, const uint8_t mask[WS_MASK_LEN],
	const uint8_t *rest, size_t rest_len);

#endif
