#include "tunneld/lws_listen.h"

#include "tunneld/hub.h"
#include "tunneld/listen.h"
#include "tunneld/lws_sse.h"

/* One event of a worker may be as long as the whole backlog. */
#define CHUNK_MAX ((size_t)17 << 20)

static size_t chunk_max(const struct hub *hub)
{
	(void)hub;
	return CHUNK_MAX;
}

static void *claim(struct hub *hub, const char *ticket, const struct stream_reader *reader,
	void *ctx, int64_t now_ms)
{
	return listen_claim(hub, ticket, reader, ctx, now_ms);
}

static void headers(void *stream, struct buf *out)
{
	listen_take_headers(stream, out);
}

static void next(struct hub *hub, void *stream, struct buf *out)
{
	(void)hub;
	listen_next(stream, out);
}

static bool ended(const void *stream)
{
	return listen_ended(stream);
}

static void closed(struct hub *hub, void *stream)
{
	listen_closed(hub, stream);
}

static bool room(struct hub *hub)
{
	if (hub->stream_connections < 2 * (size_t)hub->config->streams)
		return true;
	hub->metrics.refused[METRICS_REFUSED_STREAMS]++;
	return false;
}

static void count(struct hub *hub, int change)
{
	hub->stream_connections += (size_t)change;
}

const struct lws_protocols *lws_listen_protocols(void)
{
	static const struct lws_sse_kind kind = {.path = "/.airlock/listen/",
		.chunk_max = chunk_max,
		.claim = claim,
		.headers = headers,
		.next = next,
		.ended = ended,
		.closed = closed,
		.room = room,
		.count = count};
	static const struct lws_protocols protocols[] = {
		LWS_SSE_PROTOCOL("listen", &kind),
		{.name = NULL},
	};

	return protocols;
}
