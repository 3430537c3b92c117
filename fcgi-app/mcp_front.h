/* mcp_front: may a request for that host reach the MCP endpoint? With the check of the Origin
 * (cors.h) the defence against DNS rebinding. Pure. */
#ifndef FCGI_APP_MCP_FRONT_H
#define FCGI_APP_MCP_FRONT_H

#include <stdbool.h>

/* host: the Host header, with or without a port. Allowed is the public URL's host; for a local
 * public URL, every name of this machine. */
bool mcp_front_host_ok(const char *host, const char *public_url);
/* Is it an http(s) page of the very host that the request names? */
bool mcp_front_same_origin(const char *origin, const char *host);

#endif
