/* mcp_filter: what a subscriptions/listen asks to hear of (MCP 2026-07-28, "Subscriptions"), and
 * what of it is promised. Changes of lists are the control plane's own news; resources, and what
 * extensions add, only a worker knows of. Pure. */
#ifndef FCGI_APP_MCP_FILTER_H
#define FCGI_APP_MCP_FILTER_H

#include <stdbool.h>

#include "shared/buf.h"
#include "shared/jscan.h"
#include "shared/rc.h"

struct mcp_filter {
	bool tools, prompts, resources;
	bool worker; /* a worker has to subscribe, and acknowledges all of it */
};

/* params of the request and the capabilities that the worker announced (JSCAN_NONE: unknown).
 * RC_INVALID: *why says what is wrong with it. */
enum rc mcp_filter_read(struct jscan params, struct jscan capabilities, struct mcp_filter *out,
	const char **why) MUST_CHECK;
/* The acknowledgement of one that needs no worker; id is the request's. */
void mcp_filter_acknowledge(struct buf *out, struct jscan id, const struct mcp_filter *f);

#endif
