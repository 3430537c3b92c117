/* audit_stream: the streams on which operators watch the audit log (GET /v1/admin/audit/stream).
 * fcgi-app has checked the credential and hands a stream over as a one-time ticket, with which the
 * front comes to fetch it. What goes out is audit_feed's; here are tickets, signs of life and ends.
 * Time is an argument. */
#ifndef TUNNELD_AUDIT_STREAM_H
#define TUNNELD_AUDIT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/msg.h"
#include "shared/problem.h"
#include "tunneld/audit_feed.h"
#include "tunneld/deadline.h"
#include "tunneld/map.h"
#include "tunneld/stream_reader.h"

struct hub;

#define AUDIT_STREAM_TICKET_LEN 26 /* base32 of 16 random bytes */
/* How long a ticket waits for the front. */
#define AUDIT_STREAM_TICKET_MS 10000
/* Signs of life that were not taken in a row: then the reader is gone or far too slow. */
#define AUDIT_STREAM_UNTAKEN_MAX 4

struct audit_stream;
struct audit_streams {
	struct map tickets;
	struct deadlines offered, beats, expiries;
	struct audit_stream *first;
	size_t count; /* ended ones too, until their reader is gone */
	size_t connections;
	uint64_t opened, too_slow; /* for the metrics */
};

void audit_streams_init(struct audit_streams *s, uint64_t seed);
/* Every stream must be gone. */
void audit_streams_free(struct audit_streams *s);

/* An AUDIT_WATCH message (shared/dispatch.h). False: refused, *why says for what. */
bool audit_stream_offer(struct hub *hub, const struct msg *m, int64_t now_ms,
	char ticket[AUDIT_STREAM_TICKET_LEN + 1], enum problem *why);
/* The front has come with a ticket. NULL: there is no such. */
struct audit_stream *audit_stream_claim(struct hub *hub, const char *ticket,
	const struct stream_reader *io, void *ctx, int64_t now_ms);
/* Appends what is to be written now; nothing when there is nothing. */
void audit_stream_next(struct hub *hub, struct audit_stream *s, struct buf *out);
bool audit_stream_ended(const struct audit_stream *s);
/* The reader's connection is gone: frees. */
void audit_stream_closed(struct hub *hub, struct audit_stream *s);

void audit_stream_end_all(struct hub *hub);
void audit_stream_tick(struct hub *hub, int64_t now_ms);
/* When audit_stream_tick() is next due. */
int64_t audit_stream_due(const struct audit_streams *s);
/* Rows have come: wakes the readers that they are for. */
void audit_stream_reap(struct hub *hub);

#endif
