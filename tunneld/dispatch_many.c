#include "tunneld/dispatch_many.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "tunneld/dispatch_conn.h"
#include "tunneld/dispatch_server.h"
#include "tunneld/places.h"

/* More calls than a process can have open; the table grows with use. */
#define SLOTS_MAX 65536

struct one {
	struct client client;
	struct dispatch_many *many;
	struct frame_ref ref;
	int place; /* of the shelf, where its result is; -1: none */
	size_t placed; /* bytes of it */
};

struct slot {
	struct one *one; /* NULL: free */
};

struct dispatch_many {
	struct dispatch_conn *conn;
	struct slot *slots;
	size_t slot_count;
	struct places *places; /* NULL: the process offers no memory */
	ev_timer trim;
	char version[32];
};

static struct one *one_of(struct client *c)
{
	return (struct one *)(void *)((char *)c - offsetof(struct one, client));
}

/* --- long results ------------------------------------------------------------------------- */

/* A place is free: what nobody uses is given back after a while. */
static void trim_later(struct dispatch_many *d)
{
	struct ev_loop *loop = dispatch_server_loop(d->conn->server);

	if (ev_is_active(&d->trim))
		return;
	ev_timer_set(&d->trim, PLACES_MS / 1000., PLACES_MS / 1000.);
	ev_timer_start(loop, &d->trim);
}

static void on_trim(struct ev_loop *loop, ev_timer *w, int events)
{
	struct dispatch_many *d = w->data;

	(void)events;
	if (!places_trim(d->places, clock_mono_ms()))
		ev_timer_stop(loop, w);
}

static uint8_t *on_room(struct client *client, size_t len)
{
	struct one *o = one_of(client);
	uint8_t *room;

	if (!o->many->places)
		return NULL;
	if (o->place < 0)
		o->place = places_take(o->many->places);
	if (o->place < 0)
		return NULL;
	room = places_room(o->many->places, o->place, o->placed, len);
	if (room)
		o->placed += len;
	return room;
}

static void on_name_room(struct client *client, struct buf *header)
{
	const struct one *o = one_of(client);

	msg_put_int(header, "place", o->place);
	msg_put_int(header, "length", (int64_t)o->placed);
}

/* It was filled for nothing. */
static void leave_place(struct one *o)
{
	if (o->place < 0)
		return;
	places_drop(o->many->places, o->place, clock_mono_ms());
	trim_later(o->many);
}

static bool place_free(struct dispatch_many *d, const struct msg *m)
{
	int64_t place;

	if (!d->places || msg_int(m, "place", &place) != RC_OK ||
		!places_return(d->places, place, clock_mono_ms()))
		return false;
	trim_later(d);
	return true;
}

/* --- answers ---------------------------------------------------------------------------- */

static void end(struct one *o)
{
	leave_place(o);
	o->many->slots[o->ref.slot].one = NULL;
	free(o);
}

/* Everything has been said, and nothing more of the request will come. */
static bool is_over(const struct one *o)
{
	return !o->client.call && !o->client.sending;
}

/* The frames that relay.c made, each with the name of its call. */
static void on_send(struct client *client, struct buf *frames)
{
	struct one *o = one_of(client);
	size_t at = 0, len, used;
	const uint8_t *body;

	while (frame_decode(frames->data + at, frames->len - at, SIZE_MAX, &body, &len, &used) ==
		FRAME_READY) {
		dispatch_conn_put(o->many->conn, &o->ref, NULL, 0, body, len);
		at += used;
	}
	buf_free(frames);
	if (o->client.given) {
		places_hand_over(o->many->places, o->place);
		o->place = -1;
		o->client.given = false;
	}
	if (is_over(o))
		end(o);
}

static void on_pass(
	struct client *client, const struct buf *header, const void *payload, size_t len)
{
	struct one *o = one_of(client);

	dispatch_conn_put(o->many->conn, &o->ref, header->data, header->len, payload, len);
}

static size_t on_backlog(const struct client *client)
{
	const struct one *o = (const struct one *)(const void *)((const char *)client -
		offsetof(struct one, client));

	return dispatch_conn_backlog(o->many->conn);
}

static const struct client_io client_io = {.send = on_send,
	.pass = on_pass,
	.backlog = on_backlog,
	.room = on_room,
	.name_room = on_name_room};

/* --- calls ------------------------------------------------------------------------------- */

static bool make_room(struct dispatch_many *d, uint32_t slot)
{
	size_t count = d->slot_count ? d->slot_count : 64;

	if (slot >= SLOTS_MAX)
		return false;
	while (count <= slot)
		count *= 2;
	if (count > d->slot_count) {
		d->slots = xrealloc(d->slots, count * sizeof(d->slots[0]));
		memset(d->slots + d->slot_count, 0, (count - d->slot_count) * sizeof(d->slots[0]));
		d->slot_count = count;
	}
	return true;
}

static struct one *find(const struct dispatch_many *d, struct frame_ref ref)
{
	struct one *o = ref.slot < d->slot_count ? d->slots[ref.slot].one : NULL;

	return o && o->ref.generation == ref.generation ? o : NULL;
}

static bool handle_call(struct dispatch_many *d, struct frame_ref ref, const struct msg *m)
{
	struct hub *hub = dispatch_server_hub(d->conn->server);
	struct one *o = find(d, ref);

	if (!o) {
		/* Whoever uses a slot again has seen the end of its last call, or said GONE. */
		if (!make_room(d, ref.slot) || d->slots[ref.slot].one)
			return false;
		o = xcalloc(1, sizeof(*o));
		o->client.io = &client_io;
		o->client.shared = true;
		o->many = d;
		o->ref = ref;
		o->place = -1;
		d->slots[ref.slot].one = o;
	}
	if (!relay_call(hub, &o->client, m, clock_mono_us()))
		return false;
	/* It may have been answered, and the slot be free. */
	o = find(d, ref);
	if (o && is_over(o))
		end(o);
	return true;
}

bool dispatch_many_handle(struct dispatch_many *d, const uint8_t *body, size_t len)
{
	struct frame_ref ref;
	struct one *o;
	struct msg m;

	if (len < FRAME_REF_LEN ||
		msg_parse(body + FRAME_REF_LEN, len - FRAME_REF_LEN, &m) != RC_OK)
		return false;
	ref = frame_ref_get(body);
	switch (m.type) {
	case MSG_CALL:
		return handle_call(d, ref, &m);
	case MSG_GONE:
	case MSG_DETACH:
		/* Its answer may have crossed. */
		o = find(d, ref);
		if (o && m.type == MSG_GONE && msg_flag(&m, "slow"))
			relay_client_slow(dispatch_server_hub(d->conn->server), &o->client);
		else if (o && m.type == MSG_GONE)
			relay_client_gone(dispatch_server_hub(d->conn->server), &o->client);
		else if (o)
			relay_detach(&o->client);
		if (o)
			end(o);
		return true;
	case MSG_PLACE_FREE:
		return place_free(d, &m);
	default:
		return false;
	}
}

void dispatch_many_drained(struct dispatch_many *d)
{
	for (size_t i = 0; i < d->slot_count; i++)
		if (d->slots[i].one)
			relay_client_drained(&d->slots[i].one->client);
}

/* --- beginning and end ---------------------------------------------------------------------- */

/* The memory that the process offers for long results, if it does. A place must be long enough for
 * any. */
static struct places *open_places(struct dispatch_conn *conn, const struct msg *m)
{
	const struct config *config = dispatch_server_hub(conn->server)->config;
	int fd = dispatch_conn_passed_fd(conn);
	struct shelf *shelf = NULL;
	int64_t count, len;

	if (fd < 0)
		return NULL;
	if (msg_int(m, "places", &count) != RC_OK || msg_int(m, "place_bytes", &len) != RC_OK ||
		len < config->max_result_bytes || count < 1 || count > SHELF_PLACES_MAX ||
		shelf_open(fd, (uint32_t)count, (size_t)len, &shelf) != RC_OK)
		log_warn("the memory that a pool process offers can't be used");
	(void)close(fd);
	return shelf ? places_new(shelf) : NULL;
}

struct dispatch_many *dispatch_many_new(struct dispatch_conn *conn, const struct msg *m)
{
	struct dispatch_many *d = xcalloc(1, sizeof(*d));

	d->conn = conn;
	d->places = open_places(conn, m);
	if (msg_str(m, "version", d->version, sizeof(d->version)) != RC_OK)
		(void)str_copy(d->version, sizeof(d->version), "unknown");
	ev_timer_init(&d->trim, on_trim, 0., 0.);
	d->trim.data = d;
	return d;
}

const char *dispatch_many_version(const struct dispatch_many *d)
{
	return d->version;
}

void dispatch_many_free(struct dispatch_many *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->slot_count; i++) {
		struct one *o = d->slots[i].one;

		if (!o)
			continue;
		relay_client_gone(dispatch_server_hub(d->conn->server), &o->client);
		end(o);
	}
	ev_timer_stop(dispatch_server_loop(d->conn->server), &d->trim);
	places_free(d->places);
	free(d->slots);
	free(d);
}
