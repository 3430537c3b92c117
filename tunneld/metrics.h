/* metrics: what is counted, and its text for Prometheus (exposition format 0.0.4). Used by the
 * loop's thread alone. docs/metrics.md explains every name. */
#ifndef TUNNELD_METRICS_H
#define TUNNELD_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/handshake.h"
#include "shared/msg.h"
#include "tunneld/audit_keeper.h"
#include "tunneld/audit_writer.h"
#include "tunneld/listen.h"
#include "tunneld/map.h"
#include "tunneld/outcome.h"
#include "tunneld/registry.h"

#define METRICS_TOOLS_MAX 512
#define METRICS_LATENCY_BUCKETS 14
#define METRICS_TYPES (MSG_FAIL + 1)

/* Calls that never reached a worker, and connections that were turned away. */
/* clang-format off */
#define METRICS_REFUSAL_TABLE(X) \
	X(DRAINING, "draining") \
	X(AUDIT, "audit_unavailable") \
	X(RATE, "rate_limited") \
	X(TENANT_CALLS, "tenant_calls") \
	X(SESSION_CALLS, "session_calls") \
	X(NO_WORKER, "no_worker") \
	X(REQUEST_SIZE, "request_too_large") \
	X(BAD_DISPATCH, "bad_dispatch_message") \
	X(CONNECTIONS, "max_connections") \
	X(DISPATCH_CONNECTIONS, "max_dispatch_connections") \
	X(NO_SUBPROTOCOL, "no_subprotocol") \
	X(GREETING_MEMORY, "handshake_memory") \
	X(AUDIT_STREAMS, "audit_streams") \
	X(SIDECARS, "sidecar_queue") \
	X(STREAMS, "streams") \
	X(TOOL_CHANGED, "tool_changed") \
	X(CALL_BACKLOG, "call_backlog")
/* clang-format on */
enum metrics_refusal {
#define X(name, text) METRICS_REFUSED_##name,
	METRICS_REFUSAL_TABLE(X)
#undef X
		METRICS_REFUSAL_COUNT
};

/* The series of one tool. */
struct metrics_tool {
	struct map_node by_name;
	char name[65];
	uint64_t outcomes[OUTCOME_COUNT];
	uint64_t buckets[METRICS_LATENCY_BUCKETS + 1];
	uint64_t sum_us;
};

struct metrics {
	struct map tools;
	struct metrics_tool
		other; /* tools that no manifest lists, and those beyond METRICS_TOOLS_MAX */
	uint64_t requests[OUTCOME_COUNT]; /* what is no tools/call */
	uint64_t hello;
	uint64_t nacks[NACK_COUNT];
	uint64_t refused[METRICS_REFUSAL_COUNT];
	uint64_t tunnel_in[METRICS_TYPES],
		tunnel_out[METRICS_TYPES]; /* messages by type; [MSG_UNKNOWN]: unknown types */
	uint64_t tunnel_bytes_in, tunnel_bytes_out;
	uint64_t dispatch_bytes_in, dispatch_bytes_out;
	uint64_t stray; /* RESULT and EVENT for calls that are no longer there */
	uint64_t closed_4400, closed_other;
	uint64_t streams_opened, streams_ended[LISTEN_END_COUNT];
};

/* Gauges that others keep. */
struct metrics_now {
	const struct registry *registry;
	struct audit_stats audit;
	struct audit_keeper_stats keeper;
	size_t tunnels, dispatch_connections, calls, streams;
	size_t audit_streams;
	uint64_t audit_streams_opened, audit_streams_slow;
	int64_t started_at; /* UTC seconds */
	bool draining;
};

void metrics_init(struct metrics *m, uint64_t seed);
void metrics_free(struct metrics *m);
/* The series for a tool; listed says whether the session's manifest has it. Never NULL. */
struct metrics_tool *metrics_tool(struct metrics *m, const char *name, bool listed);
void metrics_call(struct metrics_tool *t, enum outcome o, int64_t latency_us);
void metrics_text(const struct metrics *m, const struct metrics_now *now, struct buf *out);

#endif
