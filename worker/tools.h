/* tools: the worker's own database tools (get_schema, execute_sql, null_rates) over masked
 * snapshots. Safe from several threads. Knows nothing of JSON-RPC or the tunnel. */
#ifndef WORKER_TOOLS_H
#define WORKER_TOOLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/jscan.h"
#include "shared/rc.h"
#include "worker/wconfig.h"

struct engine_ops;
struct tools;

/* The engine that the file chooses. */
const struct engine_ops *tools_engine(const struct wconfig *c);

/* What the tools tell their owner, from any thread: the meta sidecar of a snapshot that came to be
 * (json), or that one is gone (json NULL). */
typedef void tools_snapshot_fn(void *ctx, const char *snapshot_id, const char *json, size_t len);

/* database_url is copied and kept in locked memory; the caller wipes its own. mask_secret is the
 * worker's own masking key. Opens and checks the source: RC_INVALID with err when the file and the
 * database do not fit; RC_UNAVAILABLE when the database can't be reached (the worker then still
 * starts and tells agents so): *out is set then too, every call tries the database again, and *out
 * is closed as ever. Must come before any other use of SQLite in the process, since it puts a
 * budget under its allocator. */
enum rc tools_open(const struct wconfig *c, const char *database_url, const uint8_t mask_secret[32],
	tools_snapshot_fn *notify, void *ctx, struct tools **out,
	struct wconfig_error *err) MUST_CHECK;
/* Interrupts running calls, removes every snapshot. */
void tools_close(struct tools *t);
/* Appends the JSON array of MCP Tool objects (name, title, description, inputSchema, outputSchema,
 * annotations). */
void tools_list(const struct tools *t, struct buf *out);
/* Removes snapshots past their TTL. Called by the owner's timer. Returns ms until it wants to be
 * called again. */
int64_t tools_expire(struct tools *t, int64_t now_mono_ms);

enum tool_outcome { TOOL_OK, TOOL_ERROR, TOOL_UNKNOWN, TOOL_CANCELLED, TOOL_TIMEOUT };

struct tool_call {
	const char *name;
	struct jscan arguments; /* object or JSCAN_NONE */
	int64_t deadline_mono_ms;
	const atomic_bool *cancelled; /* set by the owner: the statement is interrupted at the next
					 progress tick */
};
struct tool_result {
	enum tool_outcome outcome;
	struct buf json; /* the MCP CallToolResult object: content, structuredContent, isError;
			    caller buf_init()s and buf_free()s */
	char snapshot_id[80];
};
/* Blocking. Bad input and refused SQL are TOOL_ERROR with a message that helps a language model
 * repair its call. */
/* TOOL_UNKNOWN leaves json empty; every other outcome fills it. */
void tools_call(struct tools *t, const struct tool_call *call, struct tool_result *out);

#endif
