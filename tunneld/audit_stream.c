#include "tunneld/audit_stream.h"

#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/crypto.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/text.h"
#include "tunneld/hub.h"

#define TOKEN_BYTES 16
#define COMMENT ":\n\n"

_Static_assert(TEXT_B32_LEN(TOKEN_BYTES) == AUDIT_STREAM_TICKET_LEN, "a ticket is its token");

/* OFFERED: the ticket is out. */
enum state { OFFERED, OPEN, ENDED };

struct audit_stream {
	struct map_node by_ticket;
	struct deadline beat; /* the next comment; before, the end of the ticket */
	struct deadline expiry; /* of the credential */
	struct audit_stream *prev, *next;
	enum state state;
	char ticket[AUDIT_STREAM_TICKET_LEN + 1];
	struct audit_filter filter;
	char org_id[STORE_ID_MAX + 1];
	int64_t after;
	struct audit_watcher *watcher; /* while OPEN */
	const struct stream_reader *io;
	void *ctx;
	bool beating; /* a comment is to go out */
	int untaken;
	const char *last_words; /* why it has ended; NULL: nothing to say, or said */
};

void audit_streams_init(struct audit_streams *s, uint64_t seed)
{
	*s = (struct audit_streams){0};
	map_init(&s->tickets, seed);
	deadlines_init(&s->offered);
	deadlines_init(&s->beats);
	deadlines_init(&s->expiries);
}

void audit_streams_free(struct audit_streams *s)
{
	map_free(&s->tickets);
}

/* --- opening ------------------------------------------------------------------------------ */

static void text_field(const struct msg *m, const char *name, char *out, size_t cap, bool *ok)
{
	if (msg_field(m, name).kind != JSCAN_NONE && msg_str(m, name, out, cap) != RC_OK)
		*ok = false;
}

static bool read_filter(const struct msg *m, struct audit_filter *f)
{
	char text[AUDIT_FILTER_TEXT_MAX + 1] = "";
	bool ok = true;

	audit_filter_init(f);
	text_field(m, "tenant", f->tenant, sizeof(f->tenant), &ok);
	text_field(m, "actor", f->actor, sizeof(f->actor), &ok);
	text_field(m, "tool", f->tool, sizeof(f->tool), &ok);
	text_field(m, "outcome", f->outcome, sizeof(f->outcome), &ok);
	text_field(m, "event", f->event, sizeof(f->event), &ok);
	text_field(m, "q", text, sizeof(text), &ok);
	return ok && (!*text || audit_filter_text(f, text) == RC_OK);
}

static bool read_message(const struct msg *m, struct audit_stream *s, int64_t *expires_at)
{
	bool ok = read_filter(m, &s->filter);

	text_field(m, "org_id", s->org_id, sizeof(s->org_id), &ok);
	s->after = -1;
	if (msg_field(m, "after").kind != JSCAN_NONE)
		ok = ok && msg_int(m, "after", &s->after) == RC_OK && s->after >= 0;
	*expires_at = 0;
	if (msg_field(m, "expires_at").kind != JSCAN_NONE)
		ok = ok && msg_int(m, "expires_at", expires_at) == RC_OK;
	return ok;
}

static void make_ticket(struct audit_stream *s)
{
	uint8_t token[TOKEN_BYTES];

	crypto_random(token, sizeof(token));
	text_b32(token, sizeof(token), s->ticket);
}

bool audit_stream_offer(struct hub *hub, const struct msg *m, int64_t now_ms,
	char ticket[AUDIT_STREAM_TICKET_LEN + 1], enum problem *why)
{
	struct audit_streams *all = &hub->audit_streams;
	struct audit_stream *s;
	int64_t expires_at;

	*why = PROBLEM_OVERLOADED;
	if (all->count >= (size_t)hub->config->audit_streams) {
		hub->metrics.refused[METRICS_REFUSED_AUDIT_STREAMS]++;
		return false;
	}
	s = xcalloc(1, sizeof(*s));
	*why = PROBLEM_BAD_REQUEST;
	if (!read_message(m, s, &expires_at)) {
		hub->metrics.refused[METRICS_REFUSED_BAD_DISPATCH]++;
		free(s);
		return false;
	}
	make_ticket(s);
	s->next = all->first;
	if (s->next)
		s->next->prev = s;
	all->first = s;
	all->count++;
	map_put(&all->tickets, &s->by_ticket, s->ticket);
	deadline_set(&all->offered, &s->beat, now_ms + AUDIT_STREAM_TICKET_MS);
	if (expires_at > 0)
		deadline_set(
			&all->expiries, &s->expiry, now_ms + (expires_at - clock_wall_s()) * 1000);
	hub_arm(hub, audit_stream_due(all));
	memcpy(ticket, s->ticket, sizeof(s->ticket));
	return true;
}

struct audit_stream *audit_stream_claim(struct hub *hub, const char *ticket,
	const struct stream_reader *io, void *ctx, int64_t now_ms)
{
	struct audit_streams *all = &hub->audit_streams;
	struct map_node *n = map_get(&all->tickets, ticket);
	struct audit_stream *s;

	if (!n)
		return NULL;
	s = MAP_ENTRY(n, struct audit_stream, by_ticket);
	map_remove(&all->tickets, n);
	s->state = OPEN;
	s->io = io;
	s->ctx = ctx;
	all->opened++;
	s->beating = true; /* so that something comes at once */
	s->watcher = audit_feed_watch(hub->feed, &s->filter, s->org_id, s->after, s);
	deadline_set(&all->beats, &s->beat, now_ms + hub->config->audit_stream_keepalive_ms);
	hub_arm(hub, s->beat.due_ms);
	return s;
}

/* --- ends --------------------------------------------------------------------------------- */

static void discard(struct hub *hub, struct audit_stream *s)
{
	struct audit_streams *all = &hub->audit_streams;

	*(s->prev ? &s->prev->next : &all->first) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	all->count--;
	free(s);
}

/* Takes it off everything that finds it; what remains is for its reader. */
static void settle(struct hub *hub, struct audit_stream *s, const char *last_words)
{
	if (s->state == OFFERED)
		map_remove(&hub->audit_streams.tickets, &s->by_ticket);
	deadline_clear(&s->beat);
	deadline_clear(&s->expiry);
	if (s->watcher)
		audit_feed_unwatch(hub->feed, s->watcher);
	s->watcher = NULL;
	s->state = ENDED;
	s->last_words = last_words;
}

static void end(struct hub *hub, struct audit_stream *s, const char *last_words, bool cut)
{
	if (s->state == ENDED)
		return;
	settle(hub, s, last_words);
	if (s->io)
		s->io->close(s->ctx, cut);
	else
		discard(hub, s);
}

void audit_stream_closed(struct hub *hub, struct audit_stream *s)
{
	s->io = NULL;
	if (s->state == ENDED)
		discard(hub, s);
	else
		end(hub, s, NULL, false);
}

void audit_stream_end_all(struct hub *hub)
{
	struct audit_stream *next;

	for (struct audit_stream *s = hub->audit_streams.first; s; s = next) {
		next = s->next;
		end(hub, s, "draining", false);
	}
}

bool audit_stream_ended(const struct audit_stream *s)
{
	return s->state == ENDED;
}

/* --- what goes out -------------------------------------------------------------------------- */

void audit_stream_next(struct hub *hub, struct audit_stream *s, struct buf *out)
{
	s->untaken = 0;
	if (s->beating)
		buf_str(out, COMMENT);
	s->beating = false;
	if (s->watcher && !audit_feed_take(hub->feed, s->watcher, out)) {
		hub->audit_streams.too_slow++;
		settle(hub, s, NULL);
		s->io->close(s->ctx, false);
	}
	if (s->state == ENDED && s->last_words)
		buf_printf(out, "event: end\ndata: {\"reason\":\"%s\"}\n\n", s->last_words);
	if (s->state == ENDED)
		s->last_words = NULL;
}

static void ready(void *owner)
{
	struct audit_stream *s = owner;

	s->io->wake(s->ctx);
}

void audit_stream_reap(struct hub *hub)
{
	if (hub->audit_streams.first)
		audit_feed_reap(hub->feed, ready);
}

/* --- time ----------------------------------------------------------------------------------- */

static void beat(struct hub *hub, struct audit_stream *s, int64_t now_ms)
{
	s->beating = true;
	if (++s->untaken > AUDIT_STREAM_UNTAKEN_MAX) {
		hub->audit_streams.too_slow++;
		end(hub, s, NULL, true);
		return;
	}
	deadline_set(&hub->audit_streams.beats, &s->beat,
		now_ms + hub->config->audit_stream_keepalive_ms);
	s->io->wake(s->ctx);
}

void audit_stream_tick(struct hub *hub, int64_t now_ms)
{
	struct audit_streams *all = &hub->audit_streams;
	struct deadline *d;

	while ((d = deadlines_due(&all->offered, now_ms)))
		end(hub, DEADLINE_OF(d, struct audit_stream, beat), NULL, false);
	while ((d = deadlines_due(&all->expiries, now_ms)))
		end(hub, DEADLINE_OF(d, struct audit_stream, expiry), "session_expired", false);
	while ((d = deadlines_due(&all->beats, now_ms)))
		beat(hub, DEADLINE_OF(d, struct audit_stream, beat), now_ms);
}

int64_t audit_stream_due(const struct audit_streams *s)
{
	int64_t due = deadlines_next(&s->offered);

	if (deadlines_next(&s->beats) < due)
		due = deadlines_next(&s->beats);
	if (deadlines_next(&s->expiries) < due)
		due = deadlines_next(&s->expiries);
	return due;
}
