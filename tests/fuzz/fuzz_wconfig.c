/* airlock.yaml: any bytes. Whatever is accepted must keep the promises that plans are built on. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/manifest.h"
#include "worker/wconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_table(const struct wconfig_table *t)
{
	if (!t->name || !t->key || !*t->name)
		abort();
	if (!t->parent != !t->fk || !t->via != !t->via_fk || (t->parent && t->via))
		abort();
	for (size_t i = 0; i < t->mask_count; i++)
		if (!t->masks[i].name)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wconfig_error err = {.text = ""};
	struct wconfig *c = NULL;
	bool has_root = false;

	if (wconfig_parse("fuzz.yaml", (const char *)data, size, &c, &err) != RC_OK) {
		if (c || !err.text[0])
			abort();
		return 0;
	}
	if (manifest_has_database_url((const char *)data, size))
		abort();
	for (size_t i = 0; i < c->table_count; i++) {
		check_table(&c->tables[i]);
		has_root |= strcmp(c->tables[i].name, c->root_table) == 0;
	}
	if (!has_root || c->threads < 1 || c->snapshots_max < 1 || c->result_max_rows < 1 ||
		c->data_dir[0] != '/')
		abort();
	wconfig_free(c);
	return 0;
}
