/* mcp_request: what an agent's POST asks for, in both eras of MCP, or why it is refused. Pure:
 * header values and body bytes in, a decision out. "Modern" is 2026-07-28 (stateless, versions in
 * _meta); "legacy" is what came before. The era comes from _meta and the MCP-Protocol-Version
 * header, never from the method's name. */
#ifndef FCGI_APP_MCP_REQUEST_H
#define FCGI_APP_MCP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/audit.h"
#include "shared/jscan.h"
#include "shared/manifest.h"
#include "shared/problem.h"
#include "shared/rc.h"

#define MCP_MODERN_VERSION "2026-07-28"
#define MCP_LEGACY_NEWEST "2025-11-25"
#define MCP_LEGACY_ASSUMED "2025-03-26" /* without a header; the only one with batches */
#define MCP_VERSION_MAX 63
#define MCP_BATCH_MAX 50

/* Error codes of JSON-RPC and of MCP itself; the product's own are in shared/problem.h. */
#define MCP_PARSE_ERROR (-32700)
#define MCP_INVALID_REQUEST (-32600)
#define MCP_METHOD_NOT_FOUND (-32601)
#define MCP_INVALID_PARAMS (-32602)
#define MCP_HEADER_MISMATCH (-32020)
#define MCP_MISSING_CAPABILITY (-32021)
#define MCP_UNSUPPORTED_VERSION (-32022)

/* The versions served, newest first, as a JSON array. */
extern const char mcp_versions_json[];

/* NULL: the header is absent. */
struct mcp_headers {
	const char *content_type;
	const char *accept;
	const char *version; /* MCP-Protocol-Version */
	const char *method; /* Mcp-Method */
	const char *name; /* Mcp-Name */
	/* More than one value came. A name may itself hold a comma, so the front's joining can't be
	 * told from it before the body is known. */
	bool name_repeated;
};

enum mcp_era { MCP_LEGACY, MCP_MODERN };

enum mcp_kind {
	MCP_REQUEST,
	MCP_NOTIFICATION, /* 202 without a body */
	MCP_RESPONSE, /* the same */
	MCP_BATCH, /* message is the array; mcp_request_element() reads its members */
};

/* Who answers a request. */
enum mcp_action {
	MCP_DO_INITIALIZE,
	MCP_DO_PING,
	MCP_DO_DISCOVER,
	MCP_DO_LIST_TOOLS,
	MCP_DO_LISTEN, /* tunneld, as a stream that outlives the request */
	MCP_DO_CALL_TOOL, /* the worker, when the key may call that tool */
	MCP_DO_RELAY, /* the worker */
};

/* Slices point into the body. */
struct mcp_request {
	enum mcp_kind kind;
	enum mcp_era era;
	enum mcp_action action;
	struct jscan message;
	struct jscan id; /* JSCAN_NONE when there is none; set also when the request is refused, as
			    far as it is known */
	char method[AUDIT_NAME_MAX + 1];
	struct jscan params, arguments;
	char tool[MANIFEST_TOOL_MAX + 1];
};

/* An answer that is an error. */
struct mcp_error {
	int status; /* HTTP */
	int code; /* JSON-RPC */
	const char *message;
	const char *detail; /* for data.detail, or NULL */
	enum problem problem; /* for data.code; PROBLEM_COUNT: none */
	bool plain; /* refused before it was read as JSON-RPC: problem+json */
	char requested[MCP_VERSION_MAX + 1]; /* with MCP_UNSUPPORTED_VERSION: what was asked for */
};

/* RC_INVALID: refused, *why says how; out->id is good then too. */
enum rc mcp_request_read(const struct mcp_headers *h, const void *body, size_t len,
	struct mcp_request *out, struct mcp_error *why) MUST_CHECK;
/* One member of a batch: always legacy. */
enum rc mcp_request_element(
	struct jscan element, struct mcp_request *out, struct mcp_error *why) MUST_CHECK;

/* Is that one of the versions before 2026-07-28 that are served? */
bool mcp_request_legacy_version(const char *version);

/* The value of a header that mirrors something in the body: white space around it cut off,
 * "=?base64?...?=" decoded. RC_INVALID for characters no header may have, broken base64, or what
 * does not fit. */
enum rc mcp_header_value(const char *header, char *dst, size_t cap) MUST_CHECK;

/* Do the Mcp-Param-* headers say what the arguments say, for the parameters that the tool's schema
 * marks with x-mcp-header? get gives a header by name or NULL. False: wrong gets the header's name.
 */
typedef const char *mcp_header_fn(void *ctx, const char *name);
bool mcp_params_ok(struct jscan tool, struct jscan arguments, mcp_header_fn *get, void *ctx,
	char *wrong, size_t cap);

/* The HTTP status of a worker's JSON-RPC answer: 200, or what the modern era demands for some error
 * codes. An answer that can't be read (it may be sealed) is 200. */
int mcp_result_status(enum mcp_era era, const void *payload, size_t len);

#endif
