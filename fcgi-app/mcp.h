/* mcp: the agents' endpoint, /mcp/<tenant_slug>: MCP Streamable HTTP in both eras. Checks the key,
 * answers what the control plane answers itself and relays the rest. Never logs or stores
 * arguments. */
#ifndef FCGI_APP_MCP_H
#define FCGI_APP_MCP_H

#include "fcgi-app/http.h"

void mcp_post(struct request *rq);
/* A call that is with a worker (rq->call): there is news of it. False: it has been answered and
 * freed. m is there with DISPATCH_MESSAGE. */
bool mcp_event(struct mcp_call *c, enum dispatch_event event, const struct msg *m);
/* Might mcp_event() have to wait, for the agent to take what is written or for a disk? An answer of
 * at most at_once bytes is written at once. */
bool mcp_needs_thread(
	const struct mcp_call *c, enum dispatch_event event, const struct msg *m, size_t at_once);
/* When to tell it of DISPATCH_TIMEOUT (clock_mono_ms). */
int64_t mcp_due(const struct mcp_call *c);

void mcp_get(struct request *rq);
void mcp_delete(struct request *rq);
/* RFC 9728 protected resource metadata for /.well-known/oauth-protected-resource/mcp/{slug}; the
 * same for any slug, so that it does not tell which tenants exist. */
void mcp_resource_metadata(struct request *rq);

#endif
