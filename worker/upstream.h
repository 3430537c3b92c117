/* upstream: one MCP server that this worker fronts, as a state machine over its messages: finds out
 * which era it speaks, lists its tools, carries the calls of many clients over its one channel
 * (ids, progress tokens and subscription ids are rewritten and restored) and bridges the eras. No
 * I/O, clock or thread of its own; time is an argument. */
#ifndef WORKER_UPSTREAM_H
#define WORKER_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/jscan.h"
#include "shared/rc.h"

#define UPSTREAM_MESSAGE_MAX ((size_t)16 << 20) /* a line, or an event */
#define UPSTREAM_START_MS 30000 /* from the first message to the list of tools */
#define UPSTREAM_PROBE_MS                                                       \
	5000 /* then an upstream that does not answer is taken for a legacy one \
	      */
#define UPSTREAM_HANG_MS 10000 /* silence after a call that timed out: the upstream hangs */
#define UPSTREAM_PARK_MS 600000 /* how long a call waits for its client to come back */
#define UPSTREAM_LISTENS_MAX 1024

struct upstream_owner {
	void *ctx;
	/* One message to the server, without a newline. Anything but RC_OK: it was not sent. */
	enum rc (*send)(void *ctx, const void *text, size_t len);
	/* A notification, or (server request) a request, for the client of a call. False: there is
	 * no room for it. */
	bool (*event)(void *ctx, void *call, const void *text, size_t len);
	/* Ends a call; payload is taken over. */
	void (*result)(void *ctx, void *call, const char *outcome, struct buf *payload);
	/* It has become ready, or its tools are others. */
	void (*changed)(void *ctx);
	/* A notification that is for nobody in particular: of a legacy server, or that a list of a
	 * modern one has changed. */
	void (*notified)(void *ctx, const char *method, struct jscan message);
	/* It hangs, or does not speak MCP: stop it. upstream_down() follows. */
	void (*broken)(void *ctx, const char *why);
};

struct upstream_config {
	const char *name, *prefix; /* borrowed */
	int max_calls;
	int64_t timeout_ms;
};

struct upstream;
struct upstream *upstream_new(
	const struct upstream_config *config, const struct upstream_owner *owner);
void upstream_free(struct upstream *u);

/* The server is there: the conversation begins. */
void upstream_up(struct upstream *u, int64_t now_ms);
/* It is gone; calls in hand are answered so. */
void upstream_down(struct upstream *u);
/* One message of it. on_behalf: the number of the request whose answer stream it came on, 0 when
 * the transport can't tell. False: it is none. */
bool upstream_message(
	struct upstream *u, const char *text, size_t len, uint64_t on_behalf, int64_t now_ms);
/* The transport failed to carry this request; status is that of HTTP, 0 without one. */
void upstream_failed(struct upstream *u, uint64_t number, long status, int64_t now_ms);
/* A message of it was longer than UPSTREAM_MESSAGE_MAX and is lost: the answer to that request, or,
 * with 0, to the only one that there is. */
void upstream_too_long(struct upstream *u, uint64_t number);
/* Called several times a second. */
void upstream_tick(struct upstream *u, int64_t now_ms);

/* Who calls, as the control plane says; "" for what it does not. */
struct upstream_identity {
	const char *tenant_id, *key_id, *key_name, *request_id;
	const char *traceparent, *tracestate; /* W3C trace context of the client's HTTP request */
};

struct upstream_call {
	void *call; /* the owner's */
	const char *id; /* of the tunnel's CALL */
	const char *text; /* the client's request: a valid one, with an id */
	size_t len;
	bool modern;
	bool listen; /* subscriptions/listen: has no deadline */
	bool quiet; /* its acknowledgement is not passed on */
	int64_t deadline_ms;
	size_t result_max;
	const struct upstream_identity *identity; /* or NULL */
	bool tell; /* the identity goes on in the request */
};
/* RC_OK: a result follows, perhaps from within. RC_LIMIT: too many in hand; RC_UNAVAILABLE: it is
 * not ready. */
enum rc upstream_call(struct upstream *u, const struct upstream_call *c, int64_t now_ms) MUST_CHECK;
/* Nobody waits for it any more; no result follows. */
void upstream_cancel(struct upstream *u, const void *call, const char *reason);
/* The client's answer to a server request. */
void upstream_reply(
	struct upstream *u, const void *call, const char *text, size_t len, int64_t now_ms);
/* To a legacy server that is ready: notes an interest in a resource. */
void upstream_subscribe(struct upstream *u, struct jscan uri);

/* The trace context of the HTTP request that this one came with, "" without one. False: there is no
 * such request in hand. Good until the upstream's next message. */
bool upstream_trace(const struct upstream *u, uint64_t number, const char **traceparent,
	const char **tracestate);
bool upstream_ready(const struct upstream *u);
bool upstream_modern(const struct upstream *u);
size_t upstream_calls(const struct upstream *u);
/* What it said last, also while it is down; JSCAN_NONE before. */
struct jscan upstream_capabilities(const struct upstream *u);
struct jscan upstream_info(const struct upstream *u); /* serverInfo */
struct jscan upstream_instructions(const struct upstream *u);
/* Its Tool objects with commas between, names prefixed. */
const struct buf *upstream_tools(const struct upstream *u);
/* The Tool object of that name (its own, without the prefix) whose schema marks arguments for
 * headers; JSCAN_NONE for the others. Good until the upstream's next message. */
struct jscan upstream_marked_tool(const struct upstream *u, struct jscan name);

/* Answers with a JSON-RPC error, the message completed by the upstream's name. */
void upstream_error(
	struct buf *out, struct jscan id, int code, const char *name, const char *message);

#endif
