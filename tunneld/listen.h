/* listen: the streams on which agents hear of changes: subscriptions/listen of MCP 2026-07-28 and
 * the GET stream of the versions before it. fcgi-app has checked the key and hands a stream over as
 * a one-time ticket, with which the front comes to fetch it. That a list has changed costs a stream
 * one bit until its reader takes it; only events of a worker are queued, and not without bound.
 * Time is an argument; bytes on the wire are lws_sse.c's matter. */
#ifndef TUNNELD_LISTEN_H
#define TUNNELD_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/crypto.h"
#include "shared/msg.h"
#include "shared/problem.h"
#include "tunneld/deadline.h"
#include "tunneld/map.h"
#include "tunneld/registry.h"
#include "tunneld/stream_reader.h"
#include "tunneld/watch.h"

struct audit_record;
struct hub;

#define LISTEN_TICKET_LEN 26 /* base32 of 16 random bytes */
/* How long a ticket waits for the front. */
#define LISTEN_TICKET_MS 10000
/* A subscription that a worker has to know of: its text, and how many one session carries. */
#define LISTEN_REQUEST_MAX ((size_t)65536)
#define LISTEN_PER_SESSION 512
/* Signs of life that were not taken in a row: then the reader is gone or far too slow. */
#define LISTEN_UNTAKEN_MAX 4

#define LISTEN_END_TABLE(X)                                                              \
	/* name, outcome in the audit row and label of the metric, told to the reader */ \
	X(GONE, "client_gone", false)                                                    \
	X(UNCLAIMED, "not_claimed", false)                                               \
	X(TOO_SLOW, "too_slow", false)                                                   \
	X(REPLACED, "replaced", false)                                                   \
	X(WORKER, "worker_ended", false) /* with the worker's own words */               \
	X(REVOKED, "key_revoked", true)                                                  \
	X(EXPIRED, "key_expired", true)                                                  \
	X(SUSPENDED, "tenant_suspended", true)                                           \
	X(DRAINING, "draining", true)
enum listen_end {
#define X(name, text, told) LISTEN_END_##name,
	LISTEN_END_TABLE(X)
#undef X
		LISTEN_END_COUNT
};
const char *listen_end_text(enum listen_end end);

/* What a stream wants to hear of, and what it has not been told yet. */
enum {
	LISTEN_TOOLS = 1,
	LISTEN_PROMPTS = 2,
	LISTEN_RESOURCES = 4,
	LISTEN_LISTS = 7,
	LISTEN_BEAT = 8, /* a comment */
	LISTEN_RESULT = 16, /* the end, in MCP's words */
};

/* OPENING: its audit row is on the way to the disk. OFFERED: the ticket is out. */
enum listener_state { LISTENER_OPENING, LISTENER_OFFERED, LISTENER_OPEN, LISTENER_ENDED };

struct listen_tenant;
struct listener {
	struct map_node by_ticket, by_call;
	struct deadline beat; /* the next comment; before, the end of the ticket */
	struct deadline expiry; /* of the key */
	struct listener *prev, *next; /* of the same tenant */
	struct listen_tenant *tenant;
	struct session *session; /* of the worker that knows of it; NULL: none */
	const struct stream_reader *io;
	void *ctx;
	enum listener_state state;
	bool modern;
	bool acknowledged; /* nothing goes out before */
	bool skip; /* the worker's next event is an acknowledgement that has been given */
	uint8_t wanted, pending, untaken;
	char ticket[LISTEN_TICKET_LEN + 1];
	char call_id[LISTEN_TICKET_LEN + 3];
	char *subscription; /* the request's id, as JSON text */
	char *key_id, *key_name, *client, *request_id, *remote_ip;
	char *headers; /* for the answer, complete lines; until it has begun */
	struct buf request; /* for a worker; empty: none needs to know */
	struct buf queue; /* events as text */
	struct buf parts; /* of a worker's event */
	int64_t opened_ms, bytes_out;
};

/* One tenant's streams, and what its workers served when they were last told. */
struct listen_tenant {
	struct map_node by_id;
	char id[80];
	struct listener *first;
	size_t count;
	bool served;
	uint8_t tools[CRYPTO_HASH_LEN];
};

struct listens {
	struct map tenants, tickets, calls;
	struct deadlines offered, beats, expiries;
	struct watches watches;
	size_t count; /* all, ended ones until their reader is gone */
};

void listens_init(struct listens *l, uint64_t seed);
/* Every stream must be gone. */
void listens_free(struct listens *l);

/* A LISTEN message (shared/dispatch.h). NULL: refused, *why says for what. The stream is then
 * LISTENER_OPENING: listen_row() gives its audit row, and when that is durable listen_offer()
 * makes the ticket good; listen_drop() takes it all back. */
struct listener *listen_new(
	struct hub *hub, const struct msg *m, int64_t now_ms, enum problem *why, int64_t *retry_ms);
void listen_row(
	const struct listener *l, const char *event, const char *outcome, struct audit_record *out);
/* False: it ended meanwhile, and is gone. */
bool listen_offer(struct hub *hub, struct listener *l, int64_t now_ms) MUST_CHECK;
void listen_drop(struct hub *hub, struct listener *l);

/* The front has come with a ticket. NULL: there is no such. */
struct listener *listen_claim(struct hub *hub, const char *ticket, const struct stream_reader *io,
	void *ctx, int64_t now_ms);
/* Appends the answer's headers that fcgi-app gave, complete lines; once. */
void listen_take_headers(struct listener *l, struct buf *out);
/* Appends what is to be written now; nothing when there is nothing. */
void listen_next(struct listener *l, struct buf *out);
bool listen_ended(const struct listener *l);
/* The reader's connection is gone: frees. NULL is fine. */
void listen_closed(struct hub *hub, struct listener *l);

/* What the tenant's workers serve may be different now: sessions came, went, or said so. */
void listen_refresh(struct hub *hub, const char *tenant_id);
/* A session stands: streams that a worker has to know of and none does go there. */
void listen_session_up(struct hub *hub, const char *tenant_id);
/* It is gone, or takes nothing new: its streams go elsewhere or wait. */
void listen_session_down(struct hub *hub, struct session *s, const char *tenant_id);
/* A CHANGED message. False: the worker broke the protocol. */
bool listen_changed(struct hub *hub, const struct session *s, const struct msg *m) MUST_CHECK;
/* A WATCH message: a client of an older version has subscribed to a resource, or no longer wants to
 * hear of it. RC_INVALID: malformed; RC_LIMIT. */
enum rc listen_watch(struct hub *hub, const struct msg *m, int64_t now_ms) MUST_CHECK;
/* Is this the id of a stream's call? */
bool listen_is_call(const char *id);
/* EVENT and RESULT of such calls. False: the worker broke the protocol. */
bool listen_event(struct hub *hub, struct session *s, const struct msg *m) MUST_CHECK;

/* Ends the streams of a tenant whose key or tenant is no longer good, according to the state. */
void listen_recheck(struct hub *hub, const char *tenant_id);
void listen_end_all(struct hub *hub, enum listen_end why);
void listen_tick(struct hub *hub, int64_t now_ms);
size_t listen_count(const struct hub *hub, const char *tenant_id);

/* Of listen.c, for listen_feed.c: ends a stream; queues an event. */
void listen_end(struct hub *hub, struct listener *l, enum listen_end why);
void listen_queue(struct hub *hub, struct listener *l, const void *json, size_t len);
/* Of listen_feed.c: tells a worker, tells it that nobody listens any more. */
void listen_attach(struct hub *hub, struct listener *l);
void listen_detach(struct hub *hub, struct listener *l);

#endif
