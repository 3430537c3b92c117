/* mcp_server: the MCP server of a worker, with the tunnel as its transport: one JSON-RPC request
 * in, one JSON-RPC response out, in both eras of MCP. The tools themselves are behind struct
 * mcp_backend. Keeps no state between requests and is safe from several threads when the backend
 * is. */
#ifndef WORKER_MCP_SERVER_H
#define WORKER_MCP_SERVER_H

#include <stdatomic.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/jscan.h"
#include "shared/rc.h"
#include "worker/tools.h"

/* JSON-RPC 2.0 and our own error codes (docs/errors.md). */
enum mcp_code {
	MCP_PARSE_ERROR = -32700,
	MCP_INVALID_REQUEST = -32600,
	MCP_METHOD_NOT_FOUND = -32601,
	MCP_INVALID_PARAMS = -32602,
	MCP_INTERNAL = -32603,
	MCP_TIMEOUT = -32052,
	MCP_OVERLOADED = -32053,
	MCP_TOO_LARGE = -32054,
	MCP_CANCELLED = -32057,
};

enum mcp_era {
	MCP_ERA_UNSAID, /* the request's own _meta tells */
	MCP_ERA_LEGACY, /* 2025-11-25 and before */
	MCP_ERA_MODERN, /* 2026-07-28 and after: every result has resultType */
};
/* The value of a CALL header's "era". */
enum mcp_era mcp_era_parse(const char *text);

struct mcp_backend {
	void *ctx;
	/* Appends the JSON array of Tool objects. */
	void (*list)(void *ctx, struct buf *out);
	/* As tools_call(). */
	void (*call)(void *ctx, const struct tool_call *call, struct tool_result *out);
};

struct mcp_server {
	const char *name, *version; /* serverInfo */
	const char *instructions; /* or NULL */
	/* JSON objects that say more than name and version and "tools"; empty: those. */
	struct jscan info, capabilities;
	const char *engine; /* of the snapshots; NULL: there is no database */
	int64_t query_timeout_ms, result_max_rows, result_max_bytes; /* the manifest's limits */
	struct mcp_backend backend;
};

struct mcp_request {
	const char *text;
	size_t len;
	enum mcp_era era;
	int64_t deadline_mono_ms;
	const atomic_bool *cancelled;
};

struct mcp_answer {
	const char *outcome; /* of RESULT: a constant string */
	char snapshot_id[80]; /* or "" */
};

/* Appends the response to out, whose max is the largest result that may be sent; a longer one
 * becomes a too_large error. A notification gets nothing appended. */
void mcp_server_handle(const struct mcp_server *s, const struct mcp_request *rq, struct buf *out,
	struct mcp_answer *answer);
/* Appends a JSON-RPC error response; id is the request's id or JSCAN_NONE (null). */
void mcp_error(struct buf *out, struct jscan id, enum mcp_code code, const char *message);
/* The id of a JSON-RPC request: JSCAN_NONE when the text is no request. */
struct jscan mcp_request_id(const char *text, size_t len);
/* Appends the manifest that HELLO carries. */
void mcp_server_manifest(const struct mcp_server *s, struct buf *out);

#endif
