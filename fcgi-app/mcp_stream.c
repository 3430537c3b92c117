#include "fcgi-app/mcp_stream.h"

#include <stdio.h>
#include <string.h>

#include "shared/sse.h"

#define EVENT_MAX ((size_t)64 << 20)
#define RETRY_MS 1000

void mcp_stream_init(struct mcp_stream *s, bool allowed, bool primes, int64_t now_ms)
{
	*s = (struct mcp_stream){
		.allowed = allowed, .primes = primes, .tick_ms = now_ms + MCP_STREAM_AFTER_MS};
}

static bool send(
	struct mcp_stream *s, struct request *rq, const void *bytes, size_t len, int64_t now_ms)
{
	s->parts = 0;
	s->tick_ms = now_ms + MCP_STREAM_HEARTBEAT_MS;
	return http_write(rq, bytes, len) && http_flush(rq);
}

static bool open_stream(struct mcp_stream *s, struct request *rq, int64_t now_ms)
{
	char first[96];
	int len;

	s->open = true;
	http_add_header(rq, "X-Accel-Buffering", "no");
	http_begin(rq, 200, "text/event-stream");
	/* MCP 2025-11-25, "Sending Messages to the Server": an id to come back with, then nothing.
	 */
	if (s->primes)
		len = snprintf(first, sizeof(first), "id: %s\nretry: %d\ndata:\n\n", rq->request_id,
			RETRY_MS);
	else
		len = snprintf(first, sizeof(first), SSE_COMMENT);
	return send(s, rq, first, (size_t)len, now_ms);
}

bool mcp_stream_event(
	struct mcp_stream *s, struct request *rq, const void *json, size_t len, int64_t now_ms)
{
	struct buf event;
	bool here = s->open || open_stream(s, rq, now_ms);

	buf_init(&event, EVENT_MAX);
	(void)buf_reserve(&event, len + 16);
	if (s->parts > 0)
		buf_char(&event, '\n'); /* the comment's line ends first */
	sse_event(&event, json, len);
	here = here && !event.failed && send(s, rq, event.data, event.len, now_ms);
	buf_free(&event);
	return here;
}

bool mcp_stream_tick(struct mcp_stream *s, struct request *rq, int64_t now_ms)
{
	int left = s->parts > 0 ? s->parts - 1 : MCP_STREAM_PARTS - 1;
	bool here;

	if (!s->open)
		here = open_stream(s, rq, now_ms);
	else if (left == MCP_STREAM_PARTS - 1)
		here = send(s, rq, ":", 1, now_ms);
	else
		here = send(s, rq, "\n", 1, now_ms);
	/* What is sent in between serves as well, and ends them. */
	s->parts = left;
	if (left > 0)
		s->tick_ms = now_ms + MCP_STREAM_PART_MS;
	return here;
}
