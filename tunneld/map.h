/* map: a hash table from strings to what embeds a struct map_node. Owns neither the keys nor the
 * entries. Pure. */
#ifndef TUNNELD_MAP_H
#define TUNNELD_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_node {
	struct map_node *next;
	uint64_t hash;
	const char *key; /* borrowed: normally a member of the same entry */
};

struct map {
	struct map_node **buckets;
	size_t bucket_count; /* a power of two, or 0 */
	size_t count;
	uint64_t seed;
};

/* The entry that a node is embedded in. */
#define MAP_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* The seed keeps peers from choosing keys that collide. */
void map_init(struct map *m, uint64_t seed);
/* Forgets the entries; they stay their owners'. */
void map_free(struct map *m);
struct map_node *map_get(const struct map *m, const char *key);
/* The key must not be in it yet. */
void map_put(struct map *m, struct map_node *n, const char *key);
void map_remove(struct map *m, struct map_node *n);
/* Walks in no order: start with NULL. Removing the node just returned is not allowed before the
 * next step. */
struct map_node *map_next(const struct map *m, const struct map_node *after);
/* The hash that keys get; also used for rendezvous. */
uint64_t map_hash(const char *key, uint64_t seed);
/* Spreads the bits of a number (the finalizer of splitmix64). */
uint64_t map_mix(uint64_t x);

#endif
