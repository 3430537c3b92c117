#include "fcgi-app/mcp_stream.h"

#include <stdio.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/sse.h"

#define EVENT_MAX ((size_t)64 << 20)
#define RETRY_MS 1000
#define PART_MAX ((size_t)64 << 10)

void mcp_stream_init(
	struct mcp_stream *s, bool allowed, bool primes, int64_t now_ms, int64_t call_timeout_ms)
{
	*s = (struct mcp_stream){.allowed = allowed,
		.primes = primes,
		.end_ms = now_ms + call_timeout_ms + MCP_STREAM_READ_MS,
		.tick_ms = now_ms + MCP_STREAM_AFTER_MS};
}

/* In parts, since each may wait for the agent to read. */
static bool write_all(struct mcp_stream *s, struct request *rq, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		size_t part = len < PART_MAX ? len : PART_MAX;

		if (!http_write(rq, bytes, part))
			return false;
		bytes += part;
		len -= part;
		if (len > 0 && clock_mono_ms() > s->end_ms) {
			log_info("the agent reads too slowly: its stream is cut off");
			http_abort(rq);
			return false;
		}
	}
	return http_flush(rq);
}

static bool send(
	struct mcp_stream *s, struct request *rq, const void *bytes, size_t len, int64_t now_ms)
{
	s->parts = 0;
	s->tick_ms = now_ms + MCP_STREAM_HEARTBEAT_MS;
	return write_all(s, rq, bytes, len);
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
