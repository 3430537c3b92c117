/* catalog: the manifests of the live sessions, each kept once however many sessions sent it, with
 * its tools ready for looking up. Used by the loop's thread alone. */
#ifndef TUNNELD_CATALOG_H
#define TUNNELD_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/crypto.h"
#include "shared/toolset.h"
#include "tunneld/map.h"

struct catalog_entry {
	struct map_node node;
	char digest[2 * CRYPTO_HASH_LEN + 1]; /* hex SHA-256 of text */
	char *text;
	size_t len;
	unsigned refs;
	struct toolset tools;
	uint8_t tools_hash[CRYPTO_HASH_LEN]; /* of the array's text */
};

struct catalog {
	struct map by_digest;
};

void catalog_init(struct catalog *c, uint64_t seed);
/* Every entry must have been dropped. */
void catalog_free(struct catalog *c);
/* The entry of a manifest that manifest_check() accepted; the text is copied when it is new. NULL
 * when there is no memory for it. Each catalog_take() and catalog_ref() needs a catalog_drop(). */
struct catalog_entry *catalog_take(
	struct catalog *c, const void *text, size_t len, const uint8_t hash[CRYPTO_HASH_LEN]);
struct catalog_entry *catalog_ref(struct catalog_entry *e);
/* NULL is fine. */
void catalog_drop(struct catalog *c, struct catalog_entry *e);
bool catalog_has_tool(const struct catalog_entry *e, const char *tool);

#endif
