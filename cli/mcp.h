/* mcp: one tools/call of the Model Context Protocol, revision 2026-07-28: making the request,
 * reading the answer, which is JSON or a stream of events that ends with it. Pure. */
#ifndef CLI_MCP_H
#define CLI_MCP_H

#include <jansson.h>
#include <stddef.h>

#include "cli/args.h"
#include "shared/buf.h"
#include "shared/rc.h"

#define MCP_REVISION "2026-07-28"

/* "name=text" or "name:=json" put into object. RC_INVALID with a sentence in why. */
enum rc mcp_argument(json_t *object, const char *text, char *why, size_t why_cap) MUST_CHECK;
/* The JSON-RPC message; arguments is taken over. NULL when tool is not UTF-8. */
json_t *mcp_request(const char *tool, json_t *arguments);
/* The JSON-RPC response in a body of that content type; NULL when there is none. */
json_t *mcp_response(const char *content_type, const char *body, size_t len);
/* The text of a CallToolResult: its text contents, a line for each content that is no text. True
 * when it is an error. */
bool mcp_result_text(const json_t *result, struct buf *out);

#endif
