#include "tunneld/lws_audit.h"

#include "tunneld/hub.h"
#include "tunneld/lws_sse.h"

/* Besides the whole of a queue, a few words. */
#define SLACK ((size_t)8192)

static size_t chunk_max(const struct hub *hub)
{
	return (size_t)hub->config->audit_stream_backlog_bytes + SLACK;
}

static void *claim(struct hub *hub, const char *ticket, const struct stream_reader *reader,
	void *ctx, int64_t now_ms)
{
	return audit_stream_claim(hub, ticket, reader, ctx, now_ms);
}

static void next(struct hub *hub, void *stream, struct buf *out)
{
	audit_stream_next(hub, stream, out);
}

static bool ended(const void *stream)
{
	return audit_stream_ended(stream);
}

static void closed(struct hub *hub, void *stream)
{
	audit_stream_closed(hub, stream);
}

static bool room(struct hub *hub)
{
	return hub->audit_streams.connections < 2 * (size_t)hub->config->audit_streams;
}

static void count(struct hub *hub, int change)
{
	hub->audit_streams.connections += (size_t)change;
}

const struct lws_protocols *lws_audit_protocols(void)
{
	static const struct lws_sse_kind kind = {.path = "/.airlock/audit/",
		.chunk_max = chunk_max,
		.claim = claim,
		.next = next,
		.ended = ended,
		.closed = closed,
		.room = room,
		.count = count};
	static const struct lws_protocols protocols[] = {
		LWS_SSE_PROTOCOL("audit", &kind),
		{.name = NULL},
	};

	return protocols;
}
