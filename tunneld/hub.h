/* hub: what the parts of the daemon share: configuration, state, live sessions, calls, limits and
 * counters. It belongs to the loop's thread; the two writers are the only way to other threads. */
#ifndef TUNNELD_HUB_H
#define TUNNELD_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/db.h"
#include "tunneld/audit_feed.h"
#include "tunneld/audit_indexer.h"
#include "tunneld/audit_stream.h"
#include "tunneld/audit_writer.h"
#include "tunneld/call.h"
#include "tunneld/catalog.h"
#include "tunneld/deadline.h"
#include "tunneld/listen.h"
#include "tunneld/metrics.h"
#include "tunneld/rate.h"
#include "tunneld/registry.h"
#include "tunneld/state_writer.h"

struct audit_keeper;
struct tunnel;
struct connection;
struct ev_loop;

struct hub {
	const struct config *config;
	const struct crypto_identity *identity;
	struct db *db; /* the loop's handle: short reads only */
	struct audit_writer *audit;
	struct audit_keeper *keeper;
	struct audit_indexer *indexer;
	struct audit_feed *feed;
	struct audit_streams audit_streams;
	struct state_writer *state;

	struct registry registry;
	struct calls calls;
	struct rates rates;
	struct catalog catalog;
	struct listens listens;
	struct metrics metrics;

	struct tunnel *tunnels; /* every connection that speaks the protocol, until it is closed */
	size_t tunnel_count;
	/* Each tunnel is in one of these: waiting for HELLO, waiting for its next ping, waiting for
	 * a pong. */
	struct deadlines handshakes, quiet, pinged;
	size_t greeting_bytes; /* received from connections that are still in the handshake */

	struct ev_loop *loop; /* for those who watch sockets */
	struct connection *unsent; /* those with something to send; lws_tunnel.c's */
	size_t connections; /* on the tunnel socket, upgraded or not */
	size_t max_connections; /* of those */
	size_t dispatch_connections;
	size_t stream_connections; /* readers of streams */
	bool draining;
	int64_t started_at; /* UTC seconds */
	int64_t started_ms; /* monotonic */

	/* Sees to it that hub_tick() is called at that time; may be NULL. */
	void (*arm)(void *ctx, int64_t due_ms);
	void *arm_ctx;
	int64_t armed_ms;
};

/* Opens the state's handle and starts the writers. notify(ctx) is called from their threads: the
 * loop then calls hub_reap(). */
enum rc hub_open(struct hub *hub, const struct config *config,
	const struct crypto_identity *identity, void (*notify)(void *ctx), void *ctx) MUST_CHECK;
/* Writes what waits to be written, lets go of what waited for it, and ends the writers. No tunnel
 * may be left. */
void hub_flush(struct hub *hub);
/* After hub_flush() and when no client is left. */
void hub_free(struct hub *hub);
void hub_reap(struct hub *hub);
/* A deadline was set: wake up by then. */
void hub_arm(struct hub *hub, int64_t due_ms);
/* Ends what is overdue, and arms for the next deadline. */
void hub_tick(struct hub *hub, int64_t now_ms);
void hub_metrics(struct hub *hub, struct buf *out);

#endif
