#include "worker/backoff.h"

#define FIRST_MS 1000
#define FLOOR_MS 50 /* never a busy loop */

void backoff_reset(struct backoff *b)
{
	b->failures = 0;
}

int64_t backoff_next(struct backoff *b, int64_t now_ms, uint32_t random)
{
	if (b->failures == 0)
		b->down_since_ms = now_ms;

	int64_t cap = now_ms - b->down_since_ms < BACKOFF_SHORT_OUTAGE_MS ? BACKOFF_SHORT_CAP_MS
									  : BACKOFF_LONG_CAP_MS;
	int64_t span = FIRST_MS;
	for (int i = 0; i < b->failures && span < cap; i++)
		span *= 2;
	if (span > cap)
		span = cap;
	if (b->failures < 1000)
		b->failures++;
	return FLOOR_MS + random % (span - FLOOR_MS);
}

int64_t backoff_spread(int64_t base_ms, uint32_t random)
{
	return base_ms <= 0 ? FLOOR_MS : base_ms + random % (base_ms + 1);
}
