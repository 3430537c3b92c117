#include "tunneld/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "shared/jscan.h"
#include "shared/manifest.h"
#include "shared/mem.h"
#include "shared/text.h"

void catalog_init(struct catalog *c, uint64_t seed)
{
	map_init(&c->by_digest, seed);
}

void catalog_free(struct catalog *c)
{
	map_free(&c->by_digest);
}

static bool read_tools(struct catalog_entry *e)
{
	struct jscan root, tools;

	if (jscan_parse(e->text, e->len, &root) == RC_OK &&
		jscan_get(root, "tools", &tools) == RC_OK)
		crypto_sha256(tools.p, tools.len, e->tools_hash);
	return toolset_read(e->text, e->len, &e->tools) == RC_OK;
}

static void entry_free(struct catalog_entry *e)
{
	toolset_free(&e->tools);
	free(e->text);
	free(e);
}

struct catalog_entry *catalog_take(
	struct catalog *c, const void *text, size_t len, const uint8_t hash[CRYPTO_HASH_LEN])
{
	char digest[2 * CRYPTO_HASH_LEN + 1];
	struct map_node *n;
	struct catalog_entry *e;

	text_hex(hash, CRYPTO_HASH_LEN, digest);
	n = map_get(&c->by_digest, digest);
	if (n)
		return catalog_ref(MAP_ENTRY(n, struct catalog_entry, node));
	e = xcalloc(1, sizeof(*e));
	e->refs = 1;
	e->len = len;
	e->text = malloc(len + 1);
	if (!e->text) {
		entry_free(e);
		return NULL;
	}
	memcpy(e->text, text, len);
	e->text[len] = '\0';
	memcpy(e->digest, digest, sizeof(digest));
	if (!read_tools(e)) {
		entry_free(e);
		return NULL;
	}
	map_put(&c->by_digest, &e->node, e->digest);
	return e;
}

struct catalog_entry *catalog_ref(struct catalog_entry *e)
{
	e->refs++;
	return e;
}

void catalog_drop(struct catalog *c, struct catalog_entry *e)
{
	if (!e || --e->refs > 0)
		return;
	map_remove(&c->by_digest, &e->node);
	entry_free(e);
}

bool catalog_has_tool(const struct catalog_entry *e, const char *tool)
{
	return toolset_find(&e->tools, tool) != NULL;
}
