/* mcp_headers: what a request of MCP 2026-07-28 says again in its HTTP headers. Pure. */
#ifndef WORKER_MCP_HEADERS_H
#define WORKER_MCP_HEADERS_H

#include "shared/jscan.h"

/* One header line, "Name: value". */
typedef void mcp_headers_fn(void *ctx, const char *line);

/* Which member of params Mcp-Name repeats, or NULL. */
const char *mcp_headers_name(const char *method);
/* MCP-Protocol-Version, Mcp-Method, Mcp-Name and, for a call of a tool whose schema marks
 * arguments, Mcp-Param-*. tool: its definition, or JSCAN_NONE. */
void mcp_headers(
	const char *method, struct jscan params, struct jscan tool, mcp_headers_fn *put, void *ctx);

#endif
