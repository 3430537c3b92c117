/* mcp: the agents' endpoint, /mcp/<tenant_slug>: MCP Streamable HTTP in both eras. Checks the key,
 * answers what the control plane answers itself and relays the rest. Never logs or stores
 * arguments. */
#ifndef FCGI_APP_MCP_H
#define FCGI_APP_MCP_H

#include "fcgi-app/http.h"

void mcp_post(struct request *rq);
void mcp_get(struct request *rq);
void mcp_delete(struct request *rq);
/* RFC 9728 protected resource metadata for /.well-known/oauth-protected-resource/mcp/{slug}; the
 * same for any slug, so that it does not tell which tenants exist. */
void mcp_resource_metadata(struct request *rq);

#endif
