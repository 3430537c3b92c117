#include "fcgi-app/mcp_stream.h"

#include <stdio.h>
#include <string.h>

#define EVENT_MAX ((size_t)64 << 20)
#define RETRY_MS 1000

void mcp_stream_init(struct mcp_stream *s, bool allowed, bool primes, int64_t now_ms)
{
	*s = (struct mcp_stream){
		.allowed = allowed, .primes = primes, .tick_ms = now_ms + MCP_STREAM_AFTER_MS};
}

void mcp_stream_put(struct buf *out, const void *json, size_t len)
{
	const char *p = json, *end = p + len;

	while (p < end) {
		size_t line = 0;

		while (p + line < end && p[line] != '\n' && p[line] != '\r')
			line++;
		if (line > 0) {
			buf_str(out, "data: ");
			buf_add(out, p, line);
			buf_char(out, '\n');
		}
		p += line < (size_t)(end - p) ? line + 1 : line;
	}
	buf_char(out, '\n');
}

static bool send(
	struct mcp_stream *s, struct request *rq, const void *bytes, size_t len, int64_t now_ms)
{
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
		len = snprintf(first, sizeof(first), ":\n\n");
	return send(s, rq, first, (size_t)len, now_ms);
}

bool mcp_stream_event(
	struct mcp_stream *s, struct request *rq, const void *json, size_t len, int64_t now_ms)
{
	struct buf event;
	bool here = s->open || open_stream(s, rq, now_ms);

	buf_init(&event, EVENT_MAX);
	(void)buf_reserve(&event, len + 16);
	mcp_stream_put(&event, json, len);
	here = here && !event.failed && send(s, rq, event.data, event.len, now_ms);
	buf_free(&event);
	return here;
}

bool mcp_stream_tick(struct mcp_stream *s, struct request *rq, int64_t now_ms)
{
	return s->open ? send(s, rq, ":\n\n", 3, now_ms) : open_stream(s, rq, now_ms);
}
