/* pinning: the pins of the tenants that have sessions, where server.tool_pinning is enforce: read
 * from the state when a session comes and when an operator changed something, so that a call costs
 * no more than a look. Which session may get a call is registry.c's decision. */
#ifndef TUNNELD_PINNING_H
#define TUNNELD_PINNING_H

#include "shared/rc.h"
#include "tunneld/hub.h"

/* Nothing unless pins are enforced. Anything but RC_OK: the state can't be read. Free with
 * toolset_free() or registry_pin(). */
enum rc pinning_read(struct hub *hub, const char *tenant_id, struct toolset *out) MUST_CHECK;
/* Something of this tenant was changed. */
void pinning_recheck(struct hub *hub, const char *tenant_id);
/* Names what agents find in the tenant's list of tools: it changes with the newest manifest's and
 * with what is left out of them. The tenant has a newest session. */
void pinning_tools_hash(const struct registry_tenant *t, uint8_t out[CRYPTO_HASH_LEN]);

#endif
