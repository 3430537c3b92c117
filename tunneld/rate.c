#include "tunneld/rate.h"

#include <stdlib.h>

#include "shared/mem.h"

#define KEY_MAX 79
#define MINUTE_MS 60000
/* Above it nothing is counted: the products below stay far within 64 bits. */
#define PER_MINUTE_MAX 1000000000

/* Tokens are counted in 1/60000: a bucket of n a minute gains n of those every millisecond. */
struct rate_bucket {
	struct map_node node;
	struct rate_bucket *newer, *older;
	char key[KEY_MAX + 1];
	int64_t level;
	int64_t filled_at_ms;
};

void rates_init(struct rates *r, size_t max, uint64_t seed)
{
	*r = (struct rates){.max = max};
	map_init(&r->by_key, seed);
}

static void unlink_bucket(struct rates *r, struct rate_bucket *b)
{
	*(b->newer ? &b->newer->older : &r->newest) = b->older;
	*(b->older ? &b->older->newer : &r->oldest) = b->newer;
}

static void link_newest(struct rates *r, struct rate_bucket *b)
{
	b->newer = NULL;
	b->older = r->newest;
	*(r->newest ? &r->newest->newer : &r->oldest) = b;
	r->newest = b;
}

static void forget(struct rates *r, struct rate_bucket *b)
{
	unlink_bucket(r, b);
	map_remove(&r->by_key, &b->node);
	free(b);
}

void rates_free(struct rates *r)
{
	while (r->oldest)
		forget(r, r->oldest);
	map_free(&r->by_key);
}

static struct rate_bucket *bucket_for(
	struct rates *r, const char *key, int64_t full, int64_t now_ms)
{
	struct map_node *n = map_get(&r->by_key, key);
	struct rate_bucket *b;

	if (n) {
		b = MAP_ENTRY(n, struct rate_bucket, node);
		unlink_bucket(r, b);
	} else {
		if (r->by_key.count >= r->max)
			forget(r, r->oldest);
		b = xcalloc(1, sizeof(*b));
		if (!str_copy(b->key, sizeof(b->key), key)) {
			free(b);
			return NULL;
		}
		b->level = full;
		b->filled_at_ms = now_ms;
		map_put(&r->by_key, &b->node, b->key);
	}
	link_newest(r, b);
	return b;
}

bool rate_take(struct rates *r, const char *key, int64_t per_minute, int64_t now_ms,
	int64_t *retry_after_ms)
{
	int64_t full = per_minute * MINUTE_MS, passed;
	struct rate_bucket *b;

	*retry_after_ms = 0;
	if (per_minute <= 0 || per_minute > PER_MINUTE_MAX)
		return true;
	b = bucket_for(r, key, full, now_ms);
	if (!b)
		return true; /* no key of ours is that long: nothing to count by */
	passed = now_ms - b->filled_at_ms;
	if (passed >= MINUTE_MS)
		b->level = full;
	else if (passed > 0)
		b->level += passed * per_minute;
	if (b->level > full)
		b->level = full;
	b->filled_at_ms = now_ms;
	if (b->level >= MINUTE_MS) {
		b->level -= MINUTE_MS;
		return true;
	}
	*retry_after_ms = (MINUTE_MS - b->level + per_minute - 1) / per_minute;
	return false;
}
