#include "tunneld/lws_metrics.h"

#include <libwebsockets.h>
#include <string.h>

#include "shared/log.h"
#include "tunneld/hub.h"

#define TEXT_MAX ((size_t)16 * 1024 * 1024)
#define CHUNK 16384

struct scrape {
	struct buf text; /* starts with LWS_PRE free bytes */
	size_t sent;
};

static int answer_status(struct lws *wsi, unsigned status)
{
	if (lws_return_http_status(wsi, status, NULL) < 0)
		return -1;
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int write_headers(struct lws *wsi, size_t len)
{
	uint8_t room[LWS_PRE + 512], *start = room + LWS_PRE, *p = start,
				     *end = room + sizeof(room) - 1;

	if (lws_add_http_common_headers(wsi, HTTP_STATUS_OK,
		    "text/plain; version=0.0.4; charset=utf-8", len, &p, end) ||
		lws_finalize_write_http_header(wsi, start, &p, end))
		return -1;
	(void)lws_callback_on_writable(wsi);
	return 0;
}

static int begin(struct lws *wsi, struct scrape *s, const char *path)
{
	static const uint8_t headroom[LWS_PRE];

	if (strcmp(path, "/metrics") != 0)
		return answer_status(wsi, HTTP_STATUS_NOT_FOUND);
	buf_free(&s->text);
	buf_init(&s->text, TEXT_MAX);
	buf_add(&s->text, headroom, sizeof(headroom));
	hub_metrics(lws_context_user(lws_get_context(wsi)), &s->text);
	if (s->text.failed) {
		log_err("the metrics do not fit into %zu bytes", TEXT_MAX);
		return answer_status(wsi, HTTP_STATUS_INTERNAL_SERVER_ERROR);
	}
	s->sent = LWS_PRE;
	return write_headers(wsi, s->text.len - LWS_PRE);
}

/* lws_write() uses the bytes in front of a chunk: those have been sent already. */
static int go_on(struct lws *wsi, struct scrape *s)
{
	size_t left = s->text.len - s->sent, n = left > CHUNK ? CHUNK : left;
	bool last = n == left;

	if (!s->text.data)
		return 0;
	if (lws_write(wsi, s->text.data + s->sent, n,
		    last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < 0)
		return -1;
	s->sent += n;
	if (!last) {
		(void)lws_callback_on_writable(wsi);
		return 0;
	}
	buf_free(&s->text);
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int on_http(
	struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct scrape *s = user;

	(void)len;
	switch (reason) {
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return -1; /* no WebSocket here */
	case LWS_CALLBACK_HTTP:
		return begin(wsi, s, in);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return go_on(wsi, s);
	case LWS_CALLBACK_CLOSED_HTTP:
		if (s)
			buf_free(&s->text);
		return 0;
	default:
		return 0;
	}
}

const struct lws_protocols *lws_metrics_protocols(void)
{
	static const struct lws_protocols protocols[] = {
		{.name = "metrics",
			.callback = on_http,
			.per_session_data_size = sizeof(struct scrape)},
		{.name = NULL},
	};

	return protocols;
}
