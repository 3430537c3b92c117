/* varint: whole numbers in as few bytes as they need, seven bits in each, the lowest first. Pure.
 */
#ifndef SHARED_VARINT_H
#define SHARED_VARINT_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/buf.h"

void varint_put(struct buf *b, uint64_t n);
/* Moves *at behind the number. False, and *at is anywhere: there is none before end. */
bool varint_get(const uint8_t **at, const uint8_t *end, uint64_t *out);

/* Small numbers of both signs become small ones, for varint_put(). */
static inline uint64_t varint_fold(int64_t n)
{
	return ((uint64_t)n << 1) ^ (uint64_t)(n < 0 ? -1 : 0);
}
static inline int64_t varint_unfold(uint64_t n)
{
	return (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
}

#endif
