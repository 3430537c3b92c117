#include "tunneld/map.h"

#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"

#define FIRST_BUCKETS 16

uint64_t map_mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

uint64_t map_hash(const char *key, uint64_t seed)
{
	uint64_t h = 0xcbf29ce484222325u ^ seed;

	for (; *key; key++)
		h = (h ^ (unsigned char)*key) * 0x100000001b3u;
	return map_mix(h);
}

void map_init(struct map *m, uint64_t seed)
{
	*m = (struct map){.seed = seed};
}

void map_free(struct map *m)
{
	free(m->buckets);
	map_init(m, m->seed);
}

static struct map_node **bucket_of(const struct map *m, uint64_t hash)
{
	return &m->buckets[hash & (m->bucket_count - 1)];
}

struct map_node *map_get(const struct map *m, const char *key)
{
	uint64_t hash;

	if (m->count == 0)
		return NULL;
	hash = map_hash(key, m->seed);
	for (struct map_node *n = *bucket_of(m, hash); n; n = n->next)
		if (n->hash == hash && !strcmp(n->key, key))
			return n;
	return NULL;
}

static void grow(struct map *m)
{
	struct map bigger = *m;

	bigger.bucket_count = m->bucket_count ? m->bucket_count * 2 : FIRST_BUCKETS;
	bigger.buckets = xcalloc(bigger.bucket_count, sizeof(struct map_node *));
	for (size_t i = 0; i < m->bucket_count; i++) {
		struct map_node *n = m->buckets[i], *next;

		for (; n; n = next) {
			struct map_node **bucket = bucket_of(&bigger, n->hash);

			next = n->next;
			n->next = *bucket;
			*bucket = n;
		}
	}
	free(m->buckets);
	*m = bigger;
}

void map_put(struct map *m, struct map_node *n, const char *key)
{
	struct map_node **bucket;

	if (m->count >= m->bucket_count)
		grow(m);
	n->key = key;
	n->hash = map_hash(key, m->seed);
	bucket = bucket_of(m, n->hash);
	n->next = *bucket;
	*bucket = n;
	m->count++;
}

void map_remove(struct map *m, struct map_node *n)
{
	struct map_node **at = bucket_of(m, n->hash);

	while (*at && *at != n)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = n->next;
	n->next = NULL;
	m->count--;
}

struct map_node *map_next(const struct map *m, const struct map_node *after)
{
	size_t i = 0;

	if (m->bucket_count == 0)
		return NULL;
	if (after) {
		if (after->next)
			return after->next;
		i = (after->hash & (m->bucket_count - 1)) + 1;
	}
	for (; i < m->bucket_count; i++)
		if (m->buckets[i])
			return m->buckets[i];
	return NULL;
}
