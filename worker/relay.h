/* relay: the MCP servers behind this worker (upstreams: in airlock.yaml): keeps them running, says
 * what they offer together, and takes each call to the one that it is for. Everything happens on
 * the loop's thread; a call that waits costs no thread. */
#ifndef WORKER_RELAY_H
#define WORKER_RELAY_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/buf.h"
#include "worker/link.h"
#include "worker/mcp_server.h"
#include "worker/wconfig.h"

#define RELAY_START_MS 15000 /* how long the start of the worker waits for its upstreams */

struct ev_loop;

struct relay_owner {
	void *ctx;
	struct link *(*link)(void *ctx); /* the session that stands, or NULL */
	void (*changed)(void *ctx); /* what the upstreams offer, or how many are ready */
	void (*ended)(void *ctx); /* a call has */
};

struct relay;
/* The configuration and the server are borrowed. database_url is what an upstream gets that asks
 * for it by name; not kept otherwise. */
struct relay *relay_new(struct ev_loop *loop, const struct wconfig *config,
	const struct mcp_server *server, const char *database_url, const struct relay_owner *owner);
/* Ends the upstreams. NULL is fine. */
void relay_free(struct relay *r);
void relay_start(struct relay *r);
/* Every upstream is ready, or has had its time. */
bool relay_settled(const struct relay *r);

/* A call from the link. False: it is not for an upstream (and still the caller's). */
bool relay_take(struct relay *r, struct link *l, struct link_call *call);
void relay_cancel(struct relay *r, const char *id);
void relay_reply(struct relay *r, const char *id, const void *text, size_t len);
void relay_cancel_all(struct relay *r);
/* Ends the subscriptions, which would never end by themselves. */
void relay_end_listens(struct relay *r);
/* The connection is gone. */
void relay_lost(struct relay *r);
/* The link has room, or none: upstreams are read only while it has. */
void relay_flow(struct relay *r, bool room);
size_t relay_calls(const struct relay *r);

/* Appends the upstreams' Tool objects, each with a comma in front when anything stands before it in
 * the array that out ends with. own: the names taken already. RC_CONFLICT, with the name, when two
 * have the same: the first one counts. */
enum rc relay_tools(struct relay *r, struct jscan own, struct buf *out, char collision[65]);
/* Appends a JSON object: what tools, prompts, resources ... the worker offers all in all. */
void relay_capabilities(const struct relay *r, struct buf *out);
/* Appends what the upstreams tell agents. */
void relay_instructions(const struct relay *r, struct buf *out);
/* serverInfo of the only upstream, or JSCAN_NONE. */
struct jscan relay_info(const struct relay *r);

#endif
