/* mcp_relay: takes one request of an agent to a worker and its answer back. A thread waits for it,
 * on its connection to tunneld; on the loop it is begun, and goes on whenever there is news of it.
 * The payload is the agent's bytes and the worker's, untouched. */
#ifndef FCGI_APP_MCP_RELAY_H
#define FCGI_APP_MCP_RELAY_H

#include <stddef.h>
#include <stdint.h>

#include "fcgi-app/http.h"
#include "fcgi-app/mcp_request.h"
#include "fcgi-app/mcp_stream.h"

#define MCP_AFFINITY_LEN (2 * CRYPTO_HASH_LEN)

enum mcp_answer_kind {
	MCP_ANSWER_RESULT, /* payload is the worker's JSON-RPC answer */
	MCP_ANSWER_ERROR,
	MCP_ANSWER_GONE, /* the agent hung up: the call is cancelled, nothing is to be sent */
};

struct mcp_answer {
	enum mcp_answer_kind kind;
	const uint8_t *payload; /* until mcp_answer_free() and the next message of tunneld */
	size_t len;
	struct buf joined; /* holds an answer that came in parts */
	struct spare *spare; /* where its memory comes from */
	struct mcp_error error;
	char detail[300];
	int64_t retry_after_ms;
};

/* One exchange with a worker, as it goes. */
struct mcp_exchange {
	struct request *rq;
	struct dispatch *d; /* the thread's connection; NULL on the loop */
	struct mcp_stream *stream;
	struct mcp_answer *answer;
	const struct apikey_grant *grant;
	struct buf event; /* parts of an event that is not complete */
	bool legacy;
	bool detached; /* left to itself: it is not to be cancelled */
	int64_t deadline_ms;
};

enum mcp_progress { MCP_GOES_ON, MCP_OVER, MCP_LEFT /* in the middle of the call */ };

/* On the loop: begins an exchange. RC_UNAVAILABLE: tunneld is not there, and the answer says so. */
enum rc mcp_relay_begin(struct mcp_exchange *x, struct request *rq,
	const struct apikey_grant *grant, const struct mcp_request *m, const char *affinity,
	struct mcp_stream *stream, struct mcp_answer *out) MUST_CHECK;
/* Then one of these for all that happens. m is there with DISPATCH_MESSAGE. */
enum mcp_progress mcp_relay_event(
	struct mcp_exchange *x, enum dispatch_event event, const struct msg *m);
/* When to tell it of DISPATCH_TIMEOUT (clock_mono_ms). */
int64_t mcp_relay_due(const struct mcp_exchange *x);
void mcp_exchange_free(struct mcp_exchange *x);

/* grant is who calls; affinity is "" or hex. The call is audited by tunneld before its answer
 * comes. What the worker says before its result goes out on the stream at once, if that is allowed,
 * and is dropped otherwise; the answer itself is always left to the caller. */
void mcp_relay(struct request *rq, const struct apikey_grant *grant, const struct mcp_request *m,
	const char *affinity, struct mcp_stream *stream, struct mcp_answer *out);
/* Takes an agent's response to the worker's request whose id names the call: "<call id>.<n>".
 * RC_NOTFOUND when no such call of the tenant is in flight. */
enum rc mcp_relay_response(struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m) MUST_CHECK;
/* notifications/cancelled: the call of this key (and client) with that JSON-RPC id is told to stop.
 */
enum rc mcp_relay_cancel(struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m) MUST_CHECK;
/* Requests a minute that the key may make; 0: no limit. */
int64_t mcp_relay_rate(const struct request *rq, const struct apikey_grant *grant);
/* The client's name for itself, if it has one, as the field "client". */
void mcp_relay_put_client(struct buf *b, const struct request *rq);
/* Copies what points into the connection to tunneld, so that it outlives the next exchange. */
void mcp_answer_keep(struct mcp_answer *a);
void mcp_answer_free(struct mcp_answer *a);
/* A digest of the subject that a call names in arguments[argument], "" when it names none. The same
 * in every process of a control plane, so that calls about a subject find the session with its
 * snapshot; a hint, no secret. */
void mcp_relay_affinity(const char *public_url, const char *tenant_id, struct jscan arguments,
	const char *argument, char out[MCP_AFFINITY_LEN + 1]);
/* An error that stands for a problem, in JSON-RPC's words. */
struct mcp_error mcp_relay_error(enum problem p, const char *detail);

#endif
