/* mcp_pins: which tools of a manifest agents are not listed, because they are no longer what was
 * pinned. That nobody calls them all the same is the tunnel daemon's work. */
#ifndef FCGI_APP_MCP_PINS_H
#define FCGI_APP_MCP_PINS_H

#include "fcgi-app/mcp_manifest.h"

/* None unless server.tool_pinning is enforce. Anything but RC_OK: the state can't be read. Free
 * *out with toolset_free(). */
enum rc mcp_pins_withheld(struct request *rq, const char *tenant_id, const struct mcp_manifest *m,
	struct toolset *out) MUST_CHECK;

#endif
