/* problem: the table of errors that users meet. One row a code: HTTP status, JSON-RPC code and
 * title. docs/errors.md is made from the same table and a test holds the two together. */
#ifndef SHARED_PROBLEM_H
#define SHARED_PROBLEM_H

#include "shared/buf.h"
#include "shared/rc.h"

/* The codes are stable: clients act on them. */
#define PROBLEM_TABLE(X)                                                                          \
	/* code, HTTP status, JSON-RPC code, title */                                             \
	X(BAD_REQUEST, "bad_request", 400, -32600, "The request is malformed")                    \
	X(INVALID_JSON, "invalid_json", 400, -32700, "The body is not valid JSON")                \
	X(INVALID_FIELD, "invalid_field", 422, -32602, "A field is missing or not valid")         \
	X(AMBIGUOUS_HEADER, "ambiguous_header", 400, -32600, "A header came more than once")      \
	X(UNAUTHORIZED, "unauthorized", 401, -32050, "The credential is missing or not valid")    \
	X(FORBIDDEN, "forbidden", 403, -32051, "This credential may not do that")                 \
	X(CSRF, "csrf_header_missing", 403, -32051,                                               \
		"A cookie-authenticated write needs the X-Airlock-Csrf header")                   \
	X(BAD_ORIGIN, "origin_not_allowed", 403, -32051, "This origin is not on the allow-list")  \
	X(BAD_HOST, "host_not_allowed", 421, -32600, "This server does not answer for that host") \
	X(DENIED, "denied", 403, -32051, "This API key may not call that tool")                   \
	X(TOOL_CHANGED, "tool_changed", 403, -32051,                                              \
		"This tool is no longer what an operator pinned")                                 \
	X(NOT_FOUND, "not_found", 404, -32601, "There is nothing here")                           \
	X(METHOD_NOT_ALLOWED, "method_not_allowed", 405, -32600,                                  \
		"This method is not allowed here")                                                \
	X(NOT_ACCEPTABLE, "not_acceptable", 406, -32600, "No representation that you accept")     \
	X(CONFLICT, "conflict", 409, -32600, "It exists already or was changed meanwhile")        \
	X(IDEMPOTENCY_MISMATCH, "idempotency_mismatch", 422, -32600,                              \
		"The Idempotency-Key was used for another request")                               \
	X(TOO_LARGE, "too_large", 413, -32054, "The body is larger than the limit")               \
	X(RESULT_TOO_LARGE, "result_too_large", 502, -32054,                                      \
		"The worker's result is larger than the limit")                                   \
	X(UNSUPPORTED_MEDIA, "unsupported_media_type", 415, -32600,                               \
		"The body must be application/json")                                              \
	X(RATE_LIMITED, "rate_limited", 429, -32053, "Too many requests for this key")            \
	X(OVERLOADED, "overloaded", 429, -32053, "Too much is going on at once")                  \
	X(INTERNAL, "internal", 500, -32603, "Something went wrong here")                         \
	X(PROTOCOL_ERROR, "protocol_error", 502, -32055, "The worker broke the protocol")         \
	X(NO_WORKER, "no_worker", 503, -32056, "No worker of this tenant is connected")           \
	X(TIMEOUT, "timeout", 504, -32052, "The worker did not answer in time")                   \
	X(CANCELLED, "cancelled", 499, -32057, "The call was cancelled")                          \
	X(TUNNEL_DOWN, "tunnel_daemon_unreachable", 503, -32058,                                  \
		"The tunnel daemon can't be reached")                                             \
	X(STATE_DOWN, "state_unreachable", 503, -32058, "The state can't be read")                \
	X(AUDIT_DOWN, "audit_unavailable", 503, -32058,                                           \
		"The audit log can't be written, so nothing is served")                           \
	X(DRAINING, "draining", 503, -32058, "The server is shutting down")                       \
	X(TENANT_SUSPENDED, "tenant_suspended", 403, -32051, "This tenant is suspended")          \
	X(ENROLLMENT_INVALID, "enrollment_invalid", 401, -32050,                                  \
		"The enrollment token is not valid, was used, or has expired")                    \
	X(DATABASE_URL_REJECTED, "database_url_rejected", 422, -32602,                            \
		"A database URL must never be sent to the control plane")

enum problem {
#define X(name, code, status, rpc, title) PROBLEM_##name,
	PROBLEM_TABLE(X)
#undef X
		PROBLEM_COUNT
};

const char *problem_code(enum problem p);
const char *problem_title(enum problem p);
int problem_status(enum problem p);
int problem_rpc_code(enum problem p);
/* PROBLEM_COUNT when there is no such code. */
enum problem problem_from_code(const char *code);
enum problem problem_from_rc(enum rc rc);
/* Appends the application/problem+json object (RFC 9457): type, title, status, code, detail,
 * request_id. detail may be NULL: it says what was wrong and what to do, never repeats a secret. */
void problem_json(struct buf *out, enum problem p, const char *detail, const char *request_id);

#endif
