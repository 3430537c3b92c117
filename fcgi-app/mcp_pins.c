#include "fcgi-app/mcp_pins.h"

#include <string.h>

#include "shared/store.h"

static enum rc collect(const struct toolset *pins, const struct toolset *tools, struct toolset *out)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < pins->count; i++) {
		const struct toolset_tool *pin = &pins->tools[i];
		const struct toolset_tool *now = toolset_find(tools, pin->name);

		if (now && memcmp(now->fingerprint, pin->fingerprint, CRYPTO_HASH_LEN) != 0)
			rc = toolset_add(out, now);
	}
	return rc;
}

enum rc mcp_pins_withheld(struct request *rq, const char *tenant_id, const struct mcp_manifest *m,
	struct toolset *out)
{
	struct toolset pins = {0};
	struct db *db;
	enum rc rc;

	*out = (struct toolset){0};
	if (rq->config->tool_pinning != CONFIG_PINNING_ENFORCE || !m)
		return RC_OK;
	rc = db_pool_get(rq->app->db, &db);
	if (rc != RC_OK)
		return rc;
	rc = tool_pin_set(db, tenant_id, &pins);
	db_pool_put(rq->app->db, db);
	if (rc == RC_OK)
		rc = collect(&pins, &m->tools, out);
	toolset_free(&pins);
	return rc;
}
