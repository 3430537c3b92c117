/* upstream_internal: what the files of one upstream share. Not for others. */
#ifndef WORKER_UPSTREAM_INTERNAL_H
#define WORKER_UPSTREAM_INTERNAL_H

#include <sys/queue.h>

#include "worker/jsplice.h"
#include "worker/upstream.h"

#define METHOD_MAX 64
#define NAME_MAX_LEN 256
#define ROUNDS_MAX 32 /* questions of one call to its client */
#define META "io.modelcontextprotocol/"
#define MODERN_VERSION "2026-07-28"
#define LEGACY_VERSION "2025-11-25"

enum phase { DOWN, PROBING, INITIALIZING, LISTING, READY };
enum kind { OWN_PROBE, OWN_INIT, OWN_TOOLS, OWN_OTHER, CLIENTS };

/* One question to the client while its call runs. */
struct asked {
	STAILQ_ENTRY(asked) entry;
	unsigned n;
	char *name; /* JSON text: the server's own id, or the key among inputRequests */
	char *request; /* "method":...,"params":... for a modern client */
	char *answer; /* JSON text of the result, or NULL */
};

struct pending {
	LIST_ENTRY(pending) entry;
	uint64_t number; /* its id, progress token and subscription id at the server */
	enum kind kind;
	void *call; /* NULL while parked */
	bool modern, listen, quiet;
	bool sampling, elicitation, roots; /* what a modern client says it can do */
	int log_level; /* from 0 (debug); -1: not asked for */
	char method[METHOD_MAX];
	char tunnel_id[72];
	char *id, *token; /* the client's, as JSON text; token may be NULL */
	char *text; /* its request, kept while it may have to be sent again */
	size_t len;
	int64_t deadline_ms; /* 0: none */
	size_t result_max;
	unsigned questions;
	STAILQ_HEAD(, asked) asked;
	char *state; /* requestState of a modern server, as JSON text */
	char *identity; /* members for _meta, or NULL */
	char *traceparent, *tracestate; /* NULL: none */
	uint8_t binding[32]; /* of a parked call: what it was about */
	struct buf late; /* the result that came while it was parked */
};

struct upstream {
	struct upstream_config config;
	struct upstream_owner owner;
	enum phase phase;
	bool modern, skip_probe, relist;
	LIST_HEAD(, pending) pending;
	size_t calls, listens;
	uint64_t last;
	int64_t phase_since, suspect_since; /* 0: no suspicion */
	struct buf hello, listing, tools;
	struct buf marking, marked; /* of them, as the server wrote them: with x-mcp-header */
	struct jscan capabilities, info, instructions; /* into hello */
	int pages;
	bool listed; /* tools holds what a server said */
	uint8_t key[32];
};

/* upstream.c */
struct pending *upstream_find(struct upstream *u, uint64_t number);
void upstream_forget(struct upstream *u, struct pending *p);
void upstream_answer(struct upstream *u, struct pending *p, struct jscan root);
/* Ends a call with an error of ours. */
void upstream_fail(
	struct upstream *u, struct pending *p, int code, const char *outcome, const char *message);
/* Sends the client's request; more: members for its params, each with a comma in front. */
enum rc upstream_forward(struct upstream *u, struct pending *p, const char *text, size_t len,
	const char *more) MUST_CHECK;
void upstream_set_token(struct pending *p, struct jscan params);
void upstream_set_text(char **to, struct jscan value);

/* upstream_bridge.c: questions to clients, across the eras. */
void bridge_free_asked(struct pending *p);
/* A request of the server. */
void bridge_request(struct upstream *u, struct jscan root, const char *method, uint64_t on_behalf);
/* The server's notifications/cancelled. */
void bridge_cancelled(struct upstream *u, struct jscan root, struct jscan params);
/* The call ends: a legacy client is told that its open questions need no answer any more. */
void bridge_withdraw(struct upstream *u, struct pending *p);
/* A modern server's input_required for a legacy client. */
void bridge_input_required(
	struct upstream *u, struct pending *p, struct jscan result, int64_t now_ms);
/* The client of a parked call is back. RC_NOTFOUND: this request is no such return. */
enum rc bridge_resume(struct upstream *u, const struct upstream_call *c, struct jscan root,
	int64_t now_ms) MUST_CHECK;
void bridge_bind(struct upstream *u, struct pending *p, struct jscan params);

#endif
