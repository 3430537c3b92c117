/* mcp_stream: an answer as Server-Sent Events (WHATWG HTML, 9.2): opened when the worker has
 * something to say before its result, or when the result takes long; then with comments as
 * heartbeats, which is also how a hang-up shows behind a front that notices one only when it
 * writes. */
#ifndef FCGI_APP_MCP_STREAM_H
#define FCGI_APP_MCP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi-app/http.h"

/* An answer that has not come after this long becomes a stream. */
#define MCP_STREAM_AFTER_MS 1000
#define MCP_STREAM_HEARTBEAT_MS 5000
/* A heartbeat is written in parts, this far apart. To a peer that has gone the first write still
 * succeeds and has the connection reset; the next ones fail inside Caddy's buffers, and the fourth
 * shows it. In one part, a hang-up would be noticed three heartbeats later. */
#define MCP_STREAM_PARTS 4
#define MCP_STREAM_PART_MS 50

/* How long after the call's time the agent may still be reading. */
#define MCP_STREAM_READ_MS 60000

struct mcp_stream {
	bool allowed; /* the agent accepts text/event-stream, and the answer stands alone */
	bool primes; /* clients of 2025-11-25 expect an event with an id first */
	bool open;
	int parts; /* of a heartbeat that are still to be sent */
	int64_t end_ms; /* nothing is written after it: a slow reader holds a thread no longer */
	int64_t tick_ms; /* clock_mono_ms() of the next heartbeat or part of it, or of the opening
			  */
};

void mcp_stream_init(
	struct mcp_stream *s, bool allowed, bool primes, int64_t now_ms, int64_t call_timeout_ms);
/* One JSON-RPC message as an event; opens the stream when need be. False: the agent is gone. Each
 * goes out at once. */
bool mcp_stream_event(
	struct mcp_stream *s, struct request *rq, const void *json, size_t len, int64_t now_ms);
/* Nothing has come until tick_ms: opens the stream, or sends a part of a comment. False: the agent
 * is gone. */
bool mcp_stream_tick(struct mcp_stream *s, struct request *rq, int64_t now_ms);
#endif
