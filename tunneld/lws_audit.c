#include "tunneld/lws_audit.h"

#include <libwebsockets.h>
#include <string.h>

#include "shared/clock.h"
#include "tunneld/hub.h"

#define PATH "/.airlock/audit/"
/* The whole of a queue, and a few words. */
#define SLACK ((size_t)8192)
/* For the reader to take the last words. */
#define CLOSE_S 5

/* libwebsockets allocates one for each connection, zeroed. */
struct reader {
	struct lws *wsi;
	struct audit_stream *stream;
	bool begun; /* the head of the answer is out */
};

static struct hub *hub_of(struct lws *wsi)
{
	return lws_context_user(lws_get_context(wsi));
}

static void on_wake(void *ctx)
{
	(void)lws_callback_on_writable(((struct reader *)ctx)->wsi);
}

static void on_close(void *ctx, bool cut)
{
	struct reader *r = ctx;

	(void)lws_callback_on_writable(r->wsi);
	if (cut)
		lws_set_timeout(r->wsi, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_ASYNC);
	else
		lws_set_timeout(r->wsi, PENDING_TIMEOUT_CLOSE_SEND, CLOSE_S);
}

static int begin(struct lws *wsi, struct reader *r, const char *path)
{
	static const struct audit_stream_io io = {on_wake, on_close};

	r->wsi = wsi;
	if (strncmp(path, PATH, sizeof(PATH) - 1) == 0)
		r->stream = audit_stream_claim(
			hub_of(wsi), path + sizeof(PATH) - 1, &io, r, clock_mono_ms());
	if (!r->stream) {
		if (lws_return_http_status(wsi, HTTP_STATUS_NOT_FOUND, NULL) < 0)
			return -1;
		return lws_http_transaction_completed(wsi) ? -1 : 0;
	}
	/* From here on it has no request and no time limit of its own; its memory for headers is
	 * given back. */
	lws_http_headers_detach(wsi);
	lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
	(void)lws_callback_on_writable(wsi);
	return 0;
}

static bool write_out(struct lws *wsi, struct buf *b, enum lws_write_protocol as)
{
	bool ok = !b->failed && lws_write(wsi, b->data + LWS_PRE, b->len - LWS_PRE, as) >= 0;

	buf_free(b);
	return ok;
}

static void init_with_headroom(struct buf *b, size_t max)
{
	static const uint8_t headroom[LWS_PRE];

	buf_init(b, LWS_PRE + max);
	buf_add(b, headroom, sizeof(headroom));
}

static bool write_head(struct lws *wsi, struct reader *r)
{
	struct buf b;

	init_with_headroom(&b, SLACK);
	buf_str(&b,
		"HTTP/1.1 200 OK\r\n"
		"Content-Type: text/event-stream\r\n"
		"Cache-Control: no-store\r\n"
		"X-Content-Type-Options: nosniff\r\n"
		"X-Accel-Buffering: no\r\n"
		"Connection: close\r\n\r\n");
	r->begun = true;
	return write_out(wsi, &b, LWS_WRITE_HTTP_HEADERS);
}

/* One write for each turn of the loop that the socket takes something. */
static int writeable(struct lws *wsi, struct reader *r)
{
	struct hub *hub = hub_of(wsi);
	struct buf b;

	if (!r->stream)
		return 0;
	if (!r->begun) {
		(void)lws_callback_on_writable(wsi);
		return write_head(wsi, r) ? 0 : -1;
	}
	if (lws_partial_buffered(wsi)) {
		(void)lws_callback_on_writable(wsi);
		return 0;
	}
	init_with_headroom(&b, (size_t)hub->config->audit_stream_backlog_bytes + SLACK);
	audit_stream_next(hub, r->stream, &b);
	if (b.len > LWS_PRE) {
		if (audit_stream_ended(r->stream))
			(void)lws_callback_on_writable(wsi);
		return write_out(wsi, &b, LWS_WRITE_HTTP) ? 0 : -1;
	}
	buf_free(&b);
	return audit_stream_ended(r->stream) ? -1 : 0;
}

static int refuse_connection(struct lws *wsi)
{
	struct hub *hub = hub_of(wsi);

	/* A reader comes for each stream that was offered, and nobody else. */
	return hub->audit_streams.connections < 2 * (size_t)hub->config->audit_streams ? 0 : -1;
}

static int on_http(
	struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct reader *r = user;

	(void)len;
	switch (reason) {
	case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
		return refuse_connection(wsi);
	case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
		hub_of(wsi)->audit_streams.connections++;
		return 0;
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return -1; /* no WebSocket here */
	case LWS_CALLBACK_HTTP:
		return begin(wsi, r, in);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return writeable(wsi, r);
	case LWS_CALLBACK_CLOSED_HTTP:
		if (r && r->stream)
			audit_stream_closed(hub_of(wsi), r->stream);
		if (r)
			r->stream = NULL;
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		hub_of(wsi)->audit_streams.connections--;
		return 0;
	default:
		return 0;
	}
}

const struct lws_protocols *lws_audit_protocols(void)
{
	static const struct lws_protocols protocols[] = {
		{.name = "audit",
			.callback = on_http,
			.per_session_data_size = sizeof(struct reader)},
		{.name = NULL},
	};

	return protocols;
}
