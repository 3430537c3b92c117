/* link: the worker's side of one tunnel connection (docs/tunnel-protocol.md) as a state machine:
 * messages of the control plane go in, the owner's functions are called, messages to send are
 * fetched one by one. No I/O, clock, thread or log of its own; time is an argument. Used on one
 * thread. */
#ifndef WORKER_LINK_H
#define WORKER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/crypto.h"
#include "shared/handshake.h"
#include "shared/msg.h"
#include "worker/identity.h"

#define LINK_CALLS_MAX 1024 /* in hand at once, far above what a control plane sends */
#define LINK_ARRIVING_MAX ((size_t)64 << 20) /* bytes of requests not yet complete */
/* Bytes waiting to be sent; then link_has_room() says no. */
#define LINK_QUEUE_MAX ((size_t)8 << 20)
/* Results that a signature vouches for at most, and how long one waits for it. */
#define LINK_VOUCH_RESULTS 256
#define LINK_VOUCH_MS 5000
#define LINK_HANDSHAKE_MS 10000
#define LINK_HEARTBEAT_GRACE_MS \
	10000 /* beyond the heartbeat without a sign of life: the peer is gone */

/* Why a connection has to end. */
#define LINK_END_TABLE(X)                                                                   \
	/* name, WebSocket close code, what the log says */                                 \
	X(BAD_MESSAGE, 4400, "the control plane sent a message that breaks the protocol")   \
	X(IMPOSTOR, 4400,                                                                   \
		"POSSIBLE ATTACK: the peer is not the control plane that this worker was "  \
		"enrolled with")                                                            \
	X(BAD_MAC, 4400,                                                                    \
		"POSSIBLE ATTACK: a call with a wrong or replayed authentication code was " \
		"refused")                                                                  \
	X(REFUSED, 1000, "the control plane refused this worker")                           \
	X(TOO_SLOW, 4408, "the control plane did not finish the handshake in time")         \
	X(SILENT, 4408, "the control plane has gone silent")
enum link_end {
	LINK_GOES_ON,
#define X(name, code, text) LINK_##name,
	LINK_END_TABLE(X)
#undef X
};
const char *link_end_text(enum link_end end);
int link_close_code(enum link_end end);

/* A call that has arrived completely, or that can't be taken. */
struct link_call {
	char id[MSG_ID_MAX + 1];
	char request_id[96];
	char key_id[96];
	char key_name[128];
	char method[128];
	char tool[128]; /* "" when there is none */
	char era[16];
	char traceparent[64];
	char tracestate[513];
	int64_t timeout_ms; /* 0: not said */
	const char *refused; /* NULL, or the outcome to answer with: "overloaded" or "too_large" */
	struct buf request; /* the JSON-RPC message, empty when refused; the owner takes it over */
};

/* "k1 (assistant)", or "-": the API key that a call came with, for the log. Returns out. */
#define LINK_CALLER_MAX 232
const char *link_caller(const struct link_call *c, char out[LINK_CALLER_MAX]);

struct link_owner {
	void *ctx;
	void (*opened)(void *ctx, const char *session_id);
	void (*call)(void *ctx, struct link_call *call);
	void (*cancel)(void *ctx, const char *id);
	/* The agent's answer to a request that went out as an event; borrowed. */
	void (*reply)(void *ctx, const char *id, const void *text, size_t len);
	/* No new calls come; leave when link_idle(). */
	void (*goaway)(void *ctx, int64_t retry_after_ms);
	/* link_next() has something. */
	void (*wake)(void *ctx);
};

struct link_config {
	const struct crypto_identity *identity; /* all borrowed for the link's life */
	const struct enrolled *enrolled;
	const char *agent; /* airlock-worker/x.y.z */
	const struct buf *manifest; /* what it holds when the HELLO goes out is sent */
};

struct link;
struct link *link_new(
	const struct link_config *config, const struct link_owner *owner, int64_t now_mono_ms);
void link_free(struct link *l);

/* One message of the control plane. Anything but LINK_GOES_ON: close the connection. */
enum link_end link_message(
	struct link *l, const uint8_t *bytes, size_t len, int64_t now_mono_ms, int64_t now_wall_ms);
/* Any other sign of life (a pong). */
void link_heard(struct link *l, int64_t now_mono_ms);
/* Called about every second: *ping is set when a WebSocket ping should go out. */
enum link_end link_tick(struct link *l, int64_t now_mono_ms, bool *ping);

/* Appends the next message to send, or returns false. Of a result's message the payload is not
 * appended: *rest is where it is, until the next call. */
bool link_next(struct link *l, struct buf *out, const uint8_t **rest, size_t *rest_len);
/* False while so much waits to be sent that finished results should stay where they are. */
bool link_has_room(const struct link *l);
bool link_open(const struct link *l);
/* The tenant that this worker is enrolled for. */
const char *link_tenant_id(const struct link *l);
/* No call in hand and nothing left to send. */
bool link_idle(const struct link *l);
/* The largest message to expect, and the largest result that may be sent. */
size_t link_max_message(const struct link *l);
size_t link_max_result(const struct link *l);

/* Ends a call; payload is taken over (the struct is emptied). A call that was forgotten meanwhile
 * is ignored. */
void link_result(struct link *l, const char *id, const char *outcome, const char *snapshot_id,
	struct buf *payload);
/* A notification or request for the agent, while its call runs; goes out before the call's result.
 * RC_NOTFOUND when the call is gone; else as below. */
enum rc link_event(struct link *l, const char *id, const void *message, size_t len) MUST_CHECK;
/* RC_LIMIT when too much waits already; RC_CONFLICT while the session does not stand. */
enum rc link_snapshot(struct link *l, const void *sidecar, size_t len) MUST_CHECK;
enum rc link_snapshot_gone(struct link *l, const char *snapshot_id) MUST_CHECK;
enum rc link_manifest(struct link *l, const void *manifest, size_t len) MUST_CHECK;
/* A list that is in no manifest has changed: "prompts", "resources"; or "tools", when a server said
 * so although the manifest is the same. */
enum rc link_changed(struct link *l, const char *what) MUST_CHECK;
enum rc link_goaway(struct link *l) MUST_CHECK;

/* After LINK_REFUSED: the control plane's reason, and whether it says that trying again may help.
 */
struct link_refusal {
	char reason[48];
	char detail[256];
	bool retry;
};
const struct link_refusal *link_refusal(const struct link *l);
/* Messages that made no sense but do no harm: unknown types, calls that are gone. */
uint64_t link_ignored(const struct link *l);

#endif
