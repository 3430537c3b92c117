/* http_parse: reads the texts of a request that a peer chose: target, query, cookies, credentials,
 * types. Pure: no allocation, no state; nothing here knows FastCGI. */
#ifndef FCGI_APP_HTTP_PARSE_H
#define FCGI_APP_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"

#define HTTP_TOKEN_MAX 4096 /* a bearer credential */

/* Splits REQUEST_URI into the path, percent-decoded once, and the query as it came. RC_LIMIT when
 * one does not fit; RC_INVALID when it does not start with '/', or the decoded path holds a control
 * character, bytes that are not UTF-8, "//", a "." or ".." segment or an encoded slash, or the
 * query a control character or space. Nothing is normalised: what is ambiguous is refused, so that
 * the web server in front and this program cannot read it differently. */
enum rc http_parse_target(
	const char *uri, char *path, size_t path_cap, char *query, size_t query_cap) MUST_CHECK;
/* One parameter of a query, percent-decoded ('+' is a space). RC_NOTFOUND; RC_CONFLICT when it is
 * there twice; RC_INVALID when malformed, not UTF-8 or with a control character; RC_LIMIT when too
 * long. out is "" unless RC_OK. */
enum rc http_parse_query(const char *query, const char *name, char *out, size_t cap) MUST_CHECK;
/* Is every parameter of the query one of names, which end with NULL? */
bool http_parse_query_known(const char *query, const char *const *names);
/* One cookie of a Cookie header. Same results. */
enum rc http_parse_cookie(const char *header, const char *name, char *out, size_t cap) MUST_CHECK;
/* The token of "Bearer x" (RFC 6750), pointing into header. RC_INVALID for another scheme or
 * characters that no token has. */
enum rc http_parse_bearer(const char *header, const char **token) MUST_CHECK;
/* CONTENT_LENGTH: -1 when it is absent, empty or "-1" (Caddy's way to say chunked). */
enum rc http_parse_length(const char *text, int64_t *out) MUST_CHECK;
/* Is this Content-Type that type, whatever its parameters? */
bool http_parse_type_is(const char *content_type, const char *type);
/* 8 to 31 of [A-Za-z0-9_-]. */
bool http_parse_request_id_ok(const char *id);
/* 1 to 15 capital letters. */
bool http_parse_method_ok(const char *method);
/* 1 to 128 visible ASCII characters without comma. */
bool http_parse_idempotency_key_ok(const char *key);
/* What a header's CGI name begins with, unless it is one of the two that have names of their own.
 */
#define HTTP_PREFIX "HTTP_"
#define HTTP_PREFIX_LEN (sizeof(HTTP_PREFIX) - 1)
/* Content-Type or Content-Length. */
bool http_parse_is_content(const char *header);
/* "Mcp-Method" -> "HTTP_MCP_METHOD", "Content-Type" -> "CONTENT_TYPE". False: does not fit. */
bool http_parse_param_name(const char *header, char *out, size_t cap);

#endif
