#include "tunneld/call.h"

#include <stdlib.h>

#include "shared/crypto.h"
#include "shared/mem.h"
#include "shared/text.h"

#define TOKEN_BYTES 16

_Static_assert(CALL_ID_LEN == 2 + TEXT_B32_LEN(TOKEN_BYTES), "the id is its prefix and the token");

void calls_init(struct calls *c, uint64_t seed)
{
	map_init(&c->by_id, seed);
	deadlines_init(&c->deadlines);
	c->count = 0;
}

void calls_free(struct calls *c)
{
	map_free(&c->by_id);
}

static void make_id(struct call *call)
{
	uint8_t token[TOKEN_BYTES];

	crypto_random(token, sizeof(token));
	call->id[0] = 'c';
	call->id[1] = '_';
	text_b32(token, sizeof(token), call->id + 2);
}

struct call *call_new(struct calls *c, struct session *s, int64_t now_us, int64_t deadline_ms)
{
	struct call *call = xcalloc(1, sizeof(*call));

	make_id(call);
	map_put(&c->by_id, &call->by_id, call->id);
	deadline_set(&c->deadlines, &call->deadline, deadline_ms);
	call->state = CALL_SENDING;
	call->started_us = now_us;
	call->session = s;
	call->tenant = s->tenant;
	call->next = s->calls;
	if (call->next)
		call->next->prev = call;
	s->calls = call;
	s->call_count++;
	s->call_total++;
	s->tenant->call_count++;
	c->count++;
	return call;
}

struct call *call_refused(struct calls *c, int64_t now_us)
{
	struct call *call = xcalloc(1, sizeof(*call));

	call->state = CALL_SETTLING;
	call->started_us = now_us;
	c->count++;
	return call;
}

struct call *call_find(const struct calls *c, const char *id, const struct session *s)
{
	struct map_node *n = map_get(&c->by_id, id);
	struct call *call = n ? MAP_ENTRY(n, struct call, by_id) : NULL;

	return call && call->session == s ? call : NULL;
}

static void take_off(struct calls *c, struct call *call)
{
	struct session *s = call->session;

	map_remove(&c->by_id, &call->by_id);
	deadline_clear(&call->deadline);
	*(call->prev ? &call->prev->next : &s->calls) = call->next;
	if (call->next)
		call->next->prev = call->prev;
	call->prev = call->next = NULL;
	s->call_count--;
	call->tenant->call_count--;
	call->session = NULL;
	call->tenant = NULL;
}

bool call_step(struct calls *c, struct call *call, enum call_event event)
{
	switch (event) {
	case CALL_REQUEST_END:
		/* A worker may answer before it has heard everything; then the state is further on.
		 */
		if (call->state == CALL_SENDING)
			call->state = CALL_WAITING;
		return call->state == CALL_WAITING || call->state == CALL_RELAYING;
	case CALL_RESULT_PART:
		if (call->state > CALL_RELAYING)
			return false;
		call->state = CALL_RELAYING;
		return true;
	case CALL_END:
		if (call->state > CALL_RELAYING)
			return false;
		take_off(c, call);
		call->state = CALL_SETTLING;
		return true;
	case CALL_DURABLE:
		if (call->state != CALL_SETTLING)
			return false;
		call->state = CALL_SETTLED;
		return true;
	}
	return false;
}

void call_free(struct calls *c, struct call *call)
{
	c->count--;
	buf_free(&call->answer);
	free(call);
}

struct call *calls_expired(struct calls *c, int64_t now_ms)
{
	struct deadline *d = deadlines_due(&c->deadlines, now_ms);

	return d ? DEADLINE_OF(d, struct call, deadline) : NULL;
}
