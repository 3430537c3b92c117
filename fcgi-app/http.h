/* http: one HTTP request over FastCGI: what came in, bounded and checked, and the one answer that
 * goes out. <fcgiapp.h> is included in http.c and pool_process.c only. */
#ifndef FCGI_APP_HTTP_H
#define FCGI_APP_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/apikey.h"
#include "shared/audit.h"
#include "shared/buf.h"
#include "shared/clientip.h"
#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/db.h"
#include "shared/dispatch.h"
#include "shared/problem.h"
#include "shared/rc.h"

#define HTTP_PATH_MAX 1024
#define HTTP_HEADER_MAX 8192
#define HTTP_PARAMS_MAX 256

struct spare;

/* What every thread of a pool process shares, read only. */
struct app {
	const struct config *config; /* what the process booted with; a request uses rq->config */
	struct db_pool *db;
	struct apikey_cache *keys;
	struct spare *spare; /* of this process, for long answers */
	char dispatch_path[108];
	int64_t started_at;
	uint8_t cp_public_key[CRYPTO_PUBLIC_LEN];
};

struct conn;
struct loop;
struct mcp_call;

/* Where the parameters of a request are, by their names: a call looks two dozen of them up. */
struct http_index {
	uint16_t first[64]; /* of those whose names have that hash: number and 1, or 0 */
	uint16_t next[HTTP_PARAMS_MAX];
};

struct request {
	const struct app *app;
	const struct config *config;
	void *fcgx; /* FCGX_Request of its connection */
	struct http_index params;
	struct loop *loop; /* the one that serves it, where nothing may wait; NULL in a thread */
	struct conn *conn; /* that loop's own */
	bool deferred; /* something would have had to wait: a thread serves it from the start */
	struct turnstile_place place; /* where its key waits to be verified; the loop's to set up */
	struct mcp_call *call; /* with a worker: the loop goes on with it when there is news */
	bool detached; /* that was left to itself in the end, and is not to be cancelled */

	char method[16];
	char path[HTTP_PATH_MAX + 1]; /* from REQUEST_URI, percent-decoded once; refused with NUL,
					 "//", "." or ".." segments */
	char query[HTTP_PATH_MAX + 1]; /* raw */
	char request_id[32]; /* ours, or the front's when well-formed; sent back as X-Request-Id */
	char remote_ip[CLIENTIP_MAX];
	int64_t started_us;

	/* Filled by the router from {name} segments, in order. */
	char arg[4][128];

	const char *pattern; /* of the route that was found, "" before: for audit rows and logs */

	/* Filled by the guard that the route names. */
	struct audit_record
		who; /* actor, request_id and remote_ip for store functions and audit rows */
	char org_id[STORE_ID_MAX + 1]; /* the caller's org, "" for every org */
	char role[32];
	int64_t credential_expires_at; /* 0: the operator token */
	bool by_cookie;

	struct buf body; /* read by http_body() */
	bool body_read;
	enum rc body_rc;
	struct buf headers; /* extra ones of the answer, complete lines */
	bool answered;
	int status; /* for the access line */
	int64_t bytes_out; /* body bytes, for the access line */
};

/* On the loop (rq->loop), nothing may wait. What would asks this first: true means that it must
 * give up, with any error; answers are not sent any more, and a thread serves the request instead.
 */
bool http_defer(struct request *rq);
/* That thread's beginning. */
void http_again(struct request *rq);

/* Begins a request that FCGX_Accept_r() gave (fcgx: its FCGX_Request). rq is zeroed before. False:
 * it was malformed and has been answered. http_finish() in either case. */
bool http_start(struct request *rq, const struct app *app, const struct config *config, void *fcgx);
/* Reads away what is left of the body, ends the FastCGI request (and closes its connection when
 * that is not kept: ipcFd is -1 then) and frees what rq holds. Answers 500 when nobody did. */
void http_finish(struct request *rq);

/* A request header by its usual name ("Mcp-Method"), NULL when absent. Borrowed. The front joins or
 * repeats duplicates: http_header_once() is RC_CONFLICT when it came more than once or holds a
 * comma, for headers that must be single; RC_NOTFOUND
 * (*value is NULL) when absent. */
const char *http_header(const struct request *rq, const char *name);
enum rc http_header_once(const struct request *rq, const char *name, const char **value) MUST_CHECK;
/* The token of "Authorization: Bearer x". RC_NOTFOUND, RC_CONFLICT (ambiguous), RC_INVALID (other
 * scheme). */
enum rc http_bearer(const struct request *rq, const char **token) MUST_CHECK;
/* A cookie's value; RC_NOTFOUND, RC_CONFLICT when it is there twice, RC_INVALID when malformed or
 * too long. */
enum rc http_cookie(const struct request *rq, const char *name, char *out, size_t cap) MUST_CHECK;
/* A query parameter, decoded. RC_NOTFOUND; RC_INVALID when malformed, too long or repeated. */
enum rc http_query(const struct request *rq, const char *name, char *out, size_t cap) MUST_CHECK;

/* Reads the body into rq->body, at most limits.max_request_bytes, also without a Content-Length.
 * RC_LIMIT when longer, RC_INVALID when it ended early. Idempotent. */
enum rc http_body(struct request *rq) MUST_CHECK;
/* The body as a JSON object for the admin API: Content-Type checked, duplicates refused, at most 64
 * KiB. Answers the problem itself when it is not RC_OK. Caller json_decref()s.
 * An empty body is {}. */
enum rc http_body_json(struct request *rq, json_t **out) MUST_CHECK;

/* Exactly one of these a request. Extra headers: http_add_header() before. */
void http_add_header(struct request *rq, const char *name, const char *value);
void http_reply(
	struct request *rq, int status, const char *content_type, const void *body, size_t len);
/* Takes json over. */
void http_reply_json(struct request *rq, int status, json_t *json);
/* application/problem+json; detail may be NULL. */
void http_problem(struct request *rq, enum problem p, const char *detail);
/* The answer for a code of a fallible function. */
void http_problem_rc(struct request *rq, enum rc rc, const char *detail);
/* The connection to the front, for dispatch_wait()'s watch_fd. */
int http_fd(const struct request *rq);
/* False when the peer is gone. */
bool http_write(struct request *rq, const void *bytes, size_t len);
/* For answers in pieces: status line and headers now, then http_write() and http_flush() as they
 * come. */
void http_begin(struct request *rq, int status, const char *content_type);
bool http_flush(struct request *rq);
/* Gives an answer in pieces up: the front sees that it is not whole, and tells the client. */
void http_abort(struct request *rq);

/* One exchange with tunneld over this thread's connection. exchange gets the connection and ctx;
 * when a connection kept from before fails, it is called a second time with a new one, so it must
 * be safe to repeat. What it reads is valid until the thread's next exchange. RC_UNAVAILABLE:
 * tunneld is not there or could not do it. */
enum rc http_dispatch(struct request *rq, enum rc (*exchange)(struct dispatch *d, void *ctx),
	void *ctx) MUST_CHECK;
/* One audit row for a refusal, through tunneld. When the journal can't take it the caller answers
 * PROBLEM_AUDIT_DOWN. */
enum rc http_audit(struct request *rq, const struct audit_record *r) MUST_CHECK;
/* The same while tunneld is away: by the state database's outbox, which it drains when it is back.
 * For callers who are known: each row costs a commit. When the row can't be kept the caller answers
 * PROBLEM_AUDIT_DOWN. */
enum rc http_audit_later(struct request *rq, const struct audit_record *r) MUST_CHECK;

#endif
