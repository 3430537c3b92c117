/* mirror: which arguments of a tool call are said again in HTTP headers, because the tool's schema
 * marks them with x-mcp-header (MCP 2026-07-28, Mcp-Param-*). Pure. */
#ifndef SHARED_MIRROR_H
#define SHARED_MIRROR_H

#include <stdbool.h>

#include "shared/jscan.h"

#define MIRROR_SUFFIX_MAX 64

/* One argument that is there and not null: suffix is what follows "Mcp-Param-", a token of RFC
 * 9110; value a string, a number or a boolean. False ends the walk. */
typedef bool mirror_fn(void *ctx, const char *suffix, struct jscan value);
/* tool is a Tool object. False when each() said so. */
bool mirror_walk(struct jscan tool, struct jscan arguments, mirror_fn *each, void *ctx);

#endif
