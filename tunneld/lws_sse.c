#include "tunneld/lws_sse.h"

#include <string.h>

#include "shared/clock.h"
#include "tunneld/hub.h"

#define HEAD_MAX ((size_t)4096)
/* For the reader to take the last words. */
#define CLOSE_S 5

static struct hub *hub_of(struct lws *wsi)
{
	return lws_context_user(lws_get_context(wsi));
}

static const struct lws_sse_kind *kind_of(struct lws *wsi)
{
	return lws_get_protocol(wsi)->user;
}

/* --- what a stream asks for ----------------------------------------------------------------- */

static void on_wake(void *ctx)
{
	(void)lws_callback_on_writable(((struct lws_sse_reader *)ctx)->wsi);
}

static void on_close(void *ctx, bool cut)
{
	struct lws_sse_reader *r = ctx;

	(void)lws_callback_on_writable(r->wsi);
	if (cut)
		lws_set_timeout(r->wsi, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_ASYNC);
	else
		lws_set_timeout(r->wsi, PENDING_TIMEOUT_CLOSE_SEND, CLOSE_S);
}

/* --- hanging up --------------------------------------------------------------------------------
 */

/* A reader sends its request and nothing after it: what can be read of its socket is its end.
 * libwebsockets 4.1 does not look while it answers (lib/roles/h1/ops-h1.c, the states in which it
 * reads), and until a write fails it is woken for nothing without a pause. */
static void on_hung_up(struct ev_loop *loop, ev_io *w, int events)
{
	struct lws_sse_reader *r = w->data;

	(void)loop;
	(void)events;
	/* At once, and with it *r: its timers wait until the loop has nothing else to do. */
	lws_set_timeout(r->wsi, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_SYNC);
}

static void watch(struct lws_sse_reader *r)
{
	ev_io_init(&r->hung_up, on_hung_up, lws_get_socket_fd(r->wsi), EV_READ);
	r->hung_up.data = r;
	ev_io_start(hub_of(r->wsi)->loop, &r->hung_up);
}

/* --- what libwebsockets tells ---------------------------------------------------------------- */

static int not_found(struct lws *wsi)
{
	if (lws_return_http_status(wsi, HTTP_STATUS_NOT_FOUND, NULL) < 0)
		return -1;
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int begin(struct lws *wsi, struct lws_sse_reader *r, const char *path)
{
	static const struct stream_reader reader = {on_wake, on_close};
	const struct lws_sse_kind *kind = kind_of(wsi);
	size_t len = strlen(kind->path);

	r->wsi = wsi;
	if (strncmp(path, kind->path, len) == 0)
		r->stream = kind->claim(hub_of(wsi), path + len, &reader, r, clock_mono_ms());
	if (!r->stream)
		return not_found(wsi);
	/* From here on it has no request and no time limit of its own; its memory for headers is
	 * given back. */
	lws_http_headers_detach(wsi);
	lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
	watch(r);
	(void)lws_callback_on_writable(wsi);
	return 0;
}

static void init_with_headroom(struct buf *b, size_t max)
{
	static const uint8_t headroom[LWS_PRE];

	buf_init(b, LWS_PRE + max);
	buf_add(b, headroom, sizeof(headroom));
}

static bool write_out(struct lws *wsi, struct buf *b, enum lws_write_protocol as)
{
	bool ok = !b->failed && lws_write(wsi, b->data + LWS_PRE, b->len - LWS_PRE, as) >= 0;

	buf_free(b);
	return ok;
}

static bool write_head(struct lws *wsi, struct lws_sse_reader *r)
{
	const struct lws_sse_kind *kind = kind_of(wsi);
	struct buf b;

	init_with_headroom(&b, HEAD_MAX);
	buf_str(&b,
		"HTTP/1.1 200 OK\r\n"
		"Content-Type: text/event-stream\r\n"
		"Cache-Control: no-store\r\n"
		"X-Content-Type-Options: nosniff\r\n"
		"X-Accel-Buffering: no\r\n"
		"Connection: close\r\n");
	if (kind->headers)
		kind->headers(r->stream, &b);
	buf_str(&b, "\r\n");
	r->begun = true;
	return write_out(wsi, &b, LWS_WRITE_HTTP_HEADERS);
}

/* One write for each turn of the loop that the socket takes something. */
static int writeable(struct lws *wsi, struct lws_sse_reader *r)
{
	const struct lws_sse_kind *kind = kind_of(wsi);
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
	init_with_headroom(&b, kind->chunk_max(hub));
	kind->next(hub, r->stream, &b);
	if (b.len > LWS_PRE) {
		if (kind->ended(r->stream))
			(void)lws_callback_on_writable(wsi);
		return write_out(wsi, &b, LWS_WRITE_HTTP) ? 0 : -1;
	}
	buf_free(&b);
	return kind->ended(r->stream) ? -1 : 0;
}

static void forget(struct lws *wsi, struct lws_sse_reader *r)
{
	if (!r || !r->stream)
		return;
	ev_io_stop(hub_of(wsi)->loop, &r->hung_up);
	kind_of(wsi)->closed(hub_of(wsi), r->stream);
	r->stream = NULL;
}

int lws_sse_callback(
	struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	(void)len;
	switch (reason) {
	case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
		/* A reader comes for each stream that was offered, and nobody else. */
		return kind_of(wsi)->room(hub_of(wsi)) ? 0 : -1;
	case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
		kind_of(wsi)->count(hub_of(wsi), 1);
		return 0;
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return -1; /* no WebSocket here */
	case LWS_CALLBACK_HTTP:
		return begin(wsi, user, in);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return writeable(wsi, user);
	case LWS_CALLBACK_CLOSED_HTTP:
		forget(wsi, user);
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		kind_of(wsi)->count(hub_of(wsi), -1);
		return 0;
	default:
		return 0;
	}
}
