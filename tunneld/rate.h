/* rate: a token bucket for each API key, in a bounded table that forgets the least recently used.
 * Pure. */
#ifndef TUNNELD_RATE_H
#define TUNNELD_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tunneld/map.h"

struct rate_bucket;
struct rates {
	struct map by_key;
	struct rate_bucket *newest, *oldest;
	size_t max;
};

void rates_init(struct rates *r, size_t max, uint64_t seed);
void rates_free(struct rates *r);
/* Takes one token of the key's bucket, which holds per_minute tokens and refills evenly. False when
 * it is empty, with the time until the next token. per_minute 0: no limit. */
bool rate_take(struct rates *r, const char *key, int64_t per_minute, int64_t now_ms,
	int64_t *retry_after_ms);

#endif
