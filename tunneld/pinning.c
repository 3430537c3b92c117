#include "tunneld/pinning.h"

#include <string.h>

#include "shared/log.h"
#include "shared/store.h"
#include "tunneld/listen.h"

enum rc pinning_read(struct hub *hub, const char *tenant_id, struct toolset *out)
{
	*out = (struct toolset){0};
	if (hub->config->tool_pinning != CONFIG_PINNING_ENFORCE)
		return RC_OK;
	return tool_pin_set(hub->db, tenant_id, out);
}

void pinning_recheck(struct hub *hub, const char *tenant_id)
{
	struct registry_tenant *t = registry_tenant(&hub->registry, tenant_id);
	struct toolset pins;

	if (!t)
		return;
	if (pinning_read(hub, tenant_id, &pins) != RC_OK) {
		log_err("the pinned tools of %s stay as they were: the state can't be read",
			tenant_id);
		return;
	}
	registry_pin(t, &pins);
	listen_refresh(hub, tenant_id);
}

static bool withheld(const struct registry_tenant *t, const struct toolset_tool *tool)
{
	const struct toolset_tool *pin = toolset_find(&t->pins, tool->name);

	return pin && memcmp(pin->fingerprint, tool->fingerprint, CRYPTO_HASH_LEN) != 0;
}

void pinning_tools_hash(const struct registry_tenant *t, uint8_t out[CRYPTO_HASH_LEN])
{
	const struct catalog_entry *m = t->latest->manifest;
	uint8_t chain[2 * CRYPTO_HASH_LEN];

	memcpy(out, m->tools_hash, CRYPTO_HASH_LEN);
	for (size_t i = 0; t->pins.count > 0 && i < m->tools.count; i++) {
		if (!withheld(t, &m->tools.tools[i]))
			continue;
		memcpy(chain, out, CRYPTO_HASH_LEN);
		memcpy(chain + CRYPTO_HASH_LEN, m->tools.tools[i].fingerprint, CRYPTO_HASH_LEN);
		crypto_sha256(chain, sizeof(chain), out);
	}
}
