/* mcp_local: the answers that the control plane gives itself, as JSON-RPC bytes. Pure: manifest
 * text in, message out. */
#ifndef FCGI_APP_MCP_LOCAL_H
#define FCGI_APP_MCP_LOCAL_H

#include <stddef.h>

#include "fcgi-app/mcp_request.h"
#include "shared/buf.h"
#include "shared/jscan.h"
#include "shared/toolset.h"

/* How long a client may keep a list. Short, since a key's allow-list can change. */
#define MCP_TTL_MS 30000

/* manifest may be NULL with 0: no worker has ever said what it serves. Its members are passed on
 * byte for byte. */
void mcp_local_initialize(
	struct buf *out, const struct mcp_request *m, const char *manifest, size_t len);
void mcp_local_ping(struct buf *out, const struct mcp_request *m);
void mcp_local_discover(
	struct buf *out, const struct mcp_request *m, const char *manifest, size_t len);
/* allowed is the key's allow-list as JSON, or NULL for all; what is withheld is left out (NULL:
 * nothing). */
void mcp_local_tools(struct buf *out, const struct mcp_request *m, const char *manifest, size_t len,
	const char *allowed, const struct toolset *withheld);
/* {"jsonrpc","id","error":{"code","message","data":{...,"request_id"}}}; an unknown id is null. */
void mcp_local_error(
	struct buf *out, struct jscan id, const struct mcp_error *e, const char *request_id);

#endif
