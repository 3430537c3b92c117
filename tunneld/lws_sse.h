/* lws_sse: the sockets from which the front fetches streams of Server-Sent Events: GET
 * <path><ticket> and nothing else. Who holds a ticket has been let in already. Bytes and
 * connections are its matter; what a stream is, each kind says for itself. */
#ifndef TUNNELD_LWS_SSE_H
#define TUNNELD_LWS_SSE_H

#include <ev.h>
#include <libwebsockets.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "tunneld/stream_reader.h"

struct hub;

struct lws_sse_kind {
	const char *path; /* the ticket comes behind it */
	/* The most that next() appends. */
	size_t (*chunk_max)(const struct hub *hub);
	/* The stream of a ticket; NULL: there is none. */
	void *(*claim)(struct hub *hub, const char *ticket, const struct stream_reader *reader,
		void *ctx, int64_t now_ms);
	/* Appends more lines for the answer's head, complete ones. NULL: it has none. */
	void (*headers)(void *stream, struct buf *out);
	/* Appends what is to be written now; nothing when there is nothing. */
	void (*next)(struct hub *hub, void *stream, struct buf *out);
	bool (*ended)(const void *stream);
	/* The connection is gone. */
	void (*closed)(struct hub *hub, void *stream);
	/* May one more connection come? And it came, or (-1) went. */
	bool (*room)(struct hub *hub);
	void (*count)(struct hub *hub, int change);
};

/* libwebsockets allocates one for each connection. */
struct lws_sse_reader {
	struct lws *wsi;
	void *stream;
	bool begun; /* the head of the answer is out */
	ev_io hung_up;
};

/* For a struct lws_protocols whose user is the kind. The context's user pointer must be the struct
 * hub. */
int lws_sse_callback(
	struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);
#define LWS_SSE_PROTOCOL(kind_name, kind)                                                      \
	{                                                                                      \
		.name = (kind_name), .callback = lws_sse_callback,                             \
		.per_session_data_size = sizeof(struct lws_sse_reader), .user = (void *)(kind) \
	}

#endif
