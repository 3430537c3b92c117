/* mcp_listen: hands a stream that outlives its request over to tunneld: asks for a one-time ticket,
 * and answers with X-Accel-Redirect, upon which the front fetches the stream itself. No thread of
 * the pool waits for it. */
#ifndef FCGI_APP_MCP_LISTEN_H
#define FCGI_APP_MCP_LISTEN_H

#include "fcgi-app/http.h"
#include "fcgi-app/mcp_filter.h"
#include "fcgi-app/mcp_request.h"

/* m is a subscriptions/listen whose filter was read, or NULL for the GET stream of an older client.
 * PROBLEM_COUNT: it has been answered. Otherwise nothing was sent yet; the refusal is written down
 * where it has to be, and *retry_after_ms says when to try again (0: not known). */
enum problem mcp_listen_open(struct request *rq, const struct apikey_grant *grant,
	const struct mcp_request *m, const struct mcp_filter *f, int64_t *retry_after_ms);

/* A client of an older version has subscribed to a resource, or (off) no longer wants to hear of
 * it. RC_LIMIT: it has too many; RC_UNAVAILABLE: tunneld is not there. */
enum rc mcp_listen_watch(
	struct request *rq, const struct apikey_grant *grant, const char *uri, bool off) MUST_CHECK;

#endif
