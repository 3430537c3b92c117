/* call: the calls in flight, by token and by deadline, and the steps that one may take. Pure: time
 * is an argument, and what a step sends is decided in relay.c. */
#ifndef TUNNELD_CALL_H
#define TUNNELD_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "tunneld/audit_writer.h"
#include "tunneld/deadline.h"
#include "tunneld/map.h"
#include "tunneld/outcome.h"
#include "tunneld/registry.h"

#define CALL_ID_LEN 28 /* "c_" and base32 of 16 random bytes */

#define CALL_RPC_ID_MAX 64

enum call_state {
	CALL_SENDING, /* parts of the request still come from the caller */
	CALL_WAITING, /* the worker has all of it */
	CALL_RELAYING, /* parts of the result have gone to the caller */
	CALL_SETTLING, /* the outcome stands; its audit row is on the way to the disk */
	CALL_SETTLED,
};

enum call_event {
	CALL_REQUEST_END, /* the last part of the request was sent on */
	CALL_RESULT_PART, /* a part of the result that is not the last */
	CALL_END, /* the last part, or any reason to end the call without one */
	CALL_DURABLE, /* the audit row is on disk, or never will be */
};

struct client;
struct hub;
struct metrics_tool;

struct call {
	struct audit_entry row; /* its record is filled as the facts come in */
	struct hub *hub;
	struct map_node by_id;
	struct deadline deadline;
	struct call *prev, *next; /* calls of the same session */
	struct session *session; /* NULL from CALL_SETTLING on */
	struct registry_tenant *tenant; /* NULL from CALL_SETTLING on */
	struct client *client; /* who waits for the answer; NULL once it hung up */
	struct metrics_tool *tool; /* NULL for what is no tools/call */
	enum call_state state;
	char id[CALL_ID_LEN + 1];
	char rpc_id[CALL_RPC_ID_MAX +
		1]; /* the agent's own name for it, with key and client, for CANCEL */
	char agent[CALL_RPC_ID_MAX + 1];
	int64_t started_us;
	int64_t bytes_in, bytes_out;
	struct buf answer; /* the framed last message, held until the audit row is durable */
	enum problem problem; /* what the caller is told when there is no answer */
	const char *detail; /* of it, a constant; or NULL */
	int64_t retry_after_ms;
};

struct calls {
	struct map by_id;
	struct deadlines deadlines;
	size_t count; /* allocated, those settling included */
};

void calls_init(struct calls *c, uint64_t seed);
/* Every call must have ended. */
void calls_free(struct calls *c);
/* A call on a session, in CALL_SENDING, with a fresh unguessable id. */
struct call *call_new(struct calls *c, struct session *s, int64_t now_us, int64_t deadline_ms);
/* A call that never reaches a session: in CALL_SETTLING, without an id. */
struct call *call_refused(struct calls *c, int64_t now_us);
/* The call of that id if it is this session's; NULL otherwise, and for calls that are settling. */
struct call *call_find(const struct calls *c, const char *id, const struct session *s);
/* Makes the step if the state allows it; false (and nothing changed) otherwise. CALL_END takes the
 * call off its session, its tenant, the deadlines and the table of ids. */
bool call_step(struct calls *c, struct call *call, enum call_event event);
/* A settled call. */
void call_free(struct calls *c, struct call *call);
/* The call whose deadline has passed, or NULL. */
struct call *calls_expired(struct calls *c, int64_t now_ms);

#endif
