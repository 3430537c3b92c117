#include "tunneld/lws_listen.h"

#include <libwebsockets.h>
#include <string.h>

#include "shared/clock.h"
#include "tunneld/hub.h"
#include "tunneld/listen.h"

#define PATH "/.airlock/listen/"
#define HEAD_MAX ((size_t)4096)
/* One event of a worker may be as long as the whole backlog. */
#define CHUNK_MAX ((size_t)17 << 20)
/* For the reader to take the last words. */
#define CLOSE_S 5

/* libwebsockets allocates one for each connection, zeroed. */
struct reader {
	struct lws *wsi;
	struct listener *listener;
	bool begun; /* the head of the answer is out */
};

static struct hub *hub_of(struct lws *wsi)
{
	return lws_context_user(lws_get_context(wsi));
}

/* --- what listen.c asks for ----------------------------------------------------------- */

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

static const struct listener_io listener_io = {on_wake, on_close};

/* --- what libwebsockets tells ------------------------------------------------------------ */

static int answer_status(struct lws *wsi, unsigned status)
{
	if (lws_return_http_status(wsi, status, NULL) < 0)
		return -1;
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int begin(struct lws *wsi, struct reader *r, const char *path)
{
	struct hub *hub = hub_of(wsi);

	if (strncmp(path, PATH, sizeof(PATH) - 1) == 0)
		r->listener = listen_claim(
			hub, path + sizeof(PATH) - 1, &listener_io, r, clock_mono_ms());
	if (!r->listener)
		return answer_status(wsi, HTTP_STATUS_NOT_FOUND);
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

	init_with_headroom(&b, HEAD_MAX);
	buf_str(&b,
		"HTTP/1.1 200 OK\r\n"
		"Content-Type: text/event-stream\r\n"
		"Cache-Control: no-store\r\n"
		"X-Accel-Buffering: no\r\n"
		"Connection: close\r\n");
	listen_take_headers(r->listener, &b);
	buf_str(&b, "\r\n");
	r->begun = true;
	return write_out(wsi, &b, LWS_WRITE_HTTP_HEADERS);
}

static int writeable(struct lws *wsi, struct reader *r)
{
	struct buf b;

	if (!r->listener)
		return 0;
	if (!r->begun && !write_head(wsi, r))
		return -1;
	if (lws_partial_buffered(wsi)) {
		(void)lws_callback_on_writable(wsi);
		return 0;
	}
	init_with_headroom(&b, CHUNK_MAX);
	listen_next(r->listener, &b);
	if (b.len > LWS_PRE) {
		if (!write_out(wsi, &b, LWS_WRITE_HTTP))
			return -1;
		if (listen_ended(r->listener))
			(void)lws_callback_on_writable(wsi);
		return 0;
	}
	buf_free(&b);
	return listen_ended(r->listener) ? -1 : 0;
}

static int refuse_connection(struct lws *wsi)
{
	struct hub *hub = hub_of(wsi);

	/* A reader comes for each stream that was offered, and nobody else. */
	if (hub->stream_connections < 2 * (size_t)hub->config->streams)
		return 0;
	hub->metrics.refused[METRICS_REFUSED_STREAMS]++;
	return -1;
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
		hub_of(wsi)->stream_connections++;
		return 0;
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return -1; /* no WebSocket here */
	case LWS_CALLBACK_HTTP:
		r->wsi = wsi;
		return begin(wsi, r, in);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return writeable(wsi, r);
	case LWS_CALLBACK_CLOSED_HTTP:
		if (r && r->listener)
			listen_closed(hub_of(wsi), r->listener);
		if (r)
			r->listener = NULL;
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		hub_of(wsi)->stream_connections--;
		return 0;
	default:
		return 0;
	}
}

const struct lws_protocols *lws_listen_protocols(void)
{
	static const struct lws_protocols protocols[] = {
		{.name = "listen",
			.callback = on_http,
			.per_session_data_size = sizeof(struct reader)},
		{.name = NULL},
	};

	return protocols;
}
