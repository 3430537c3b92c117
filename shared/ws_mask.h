/* ws_mask: the masking of WebSocket payloads (RFC 6455, 5.3), many bytes at a time: on the way of a
 * long result it is one of few passes over all bytes. Pure. */
#ifndef SHARED_WS_MASK_H
#define SHARED_WS_MASK_H

#include <stddef.h>
#include <stdint.h>

#define WS_MASK_LEN 4

/* Masks or unmasks len bytes from src to dst, which are the same place or do not overlap. phase is
 * the number of bytes of the same payload that came before. */
void ws_mask(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[WS_MASK_LEN],
	uint64_t phase);

#endif
