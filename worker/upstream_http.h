/* upstream_http: an MCP server behind a Streamable HTTP URL of this machine: each message a POST on
 * the event loop, answered by JSON or by a stream of events, which is taken up again when a legacy
 * server closed it early; the session of legacy servers. Knows of a message no more than HTTP asks
 * for. */
#ifndef WORKER_UPSTREAM_HTTP_H
#define WORKER_UPSTREAM_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/jscan.h"
#include "shared/rc.h"

#define UPSTREAM_HTTP_MAX 1200 /* requests at once, subscriptions among them */

struct ev_loop;

struct upstream_http_owner {
	void *ctx;
	/* number: the id of the request that it came with, or 0. */
	void (*message)(void *ctx, const char *text, size_t len, uint64_t number);
	/* This request was not carried, or not answered; status is that of HTTP, 0 without one. */
	void (*failed)(void *ctx, uint64_t number, long status);
	/* What answers this request is longer than UPSTREAM_MESSAGE_MAX. */
	void (*too_long)(void *ctx, uint64_t number);
	/* The definition of a tool whose schema marks arguments for headers, or JSCAN_NONE. */
	struct jscan (*tool)(void *ctx, struct jscan name);
	/* The trace context that goes with this request; false: none. */
	bool (*trace)(
		void *ctx, uint64_t number, const char **traceparent, const char **tracestate);
	/* The server has forgotten the session. */
	void (*lost)(void *ctx);
};

struct upstream_http;
/* name and url are borrowed. NULL: libcurl can't be set up (logged). */
struct upstream_http *upstream_http_new(struct ev_loop *loop, const char *name, const char *url,
	const struct upstream_http_owner *owner);
/* NULL is fine. */
void upstream_http_free(struct upstream_http *h);
/* Ends everything under way without a word, and forgets the session. */
void upstream_http_reset(struct upstream_http *h);
/* RC_LIMIT: too many under way. A modern cancellation closes its request's stream instead. */
enum rc upstream_http_send(struct upstream_http *h, const char *text, size_t len) MUST_CHECK;
/* Whether streams are read for now. */
void upstream_http_read(struct upstream_http *h, bool on);

#endif
