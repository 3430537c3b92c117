#include "fcgi-app/mux.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/mem.h"

#define READ_MAX ((size_t)256 * 1024)
/* Memory kept between messages. */
#define KEEP ((size_t)64 * 1024)
#define KEEP_IN (2 * READ_MAX)
#define OUT_MAX ((size_t)64 * 1024 * 1024)

struct slot {
	struct mux_call *call; /* NULL: free */
	uint32_t generation;
	uint32_t next_free;
};

struct mux {
	struct mux_owner owner;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd; /* -1: no connection */
	bool writing; /* the socket is full */
	bool broken;
	struct slot *slots;
	uint32_t slot_count, first_free; /* first_free == slot_count: none */
	struct buf out;
	size_t at; /* bytes of out that were sent */
	uint64_t batch; /* sends so far: a call of an earlier one may have been seen */
	size_t frame; /* where the frame being made starts */
	struct buf in;
	size_t place_len; /* of the shelf that each connection offers; 0: none */
	struct shelf *shelf; /* of this connection */
};

/* Places begin and end with pages. */
static size_t round_up(size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (len + page - 1) / page * page;
}

struct mux *mux_new(const char *socket_path, size_t result_max, const struct mux_owner *owner)
{
	struct mux *x = xcalloc(1, sizeof(*x));

	x->owner = *owner;
	x->place_len = round_up(result_max);
	if (!str_copy(x->path, sizeof(x->path), socket_path))
		die("server.run_dir is too long for a socket's path");
	x->fd = -1;
	buf_init(&x->out, OUT_MAX);
	buf_init(&x->in, FRAME_PREFIX + FRAME_REF_LEN + MSG_MAX_DEFAULT + READ_MAX);
	return x;
}

void mux_free(struct mux *x)
{
	if (!x)
		return;
	if (x->fd >= 0)
		(void)close(x->fd);
	buf_free(&x->out);
	buf_free(&x->in);
	shelf_drop(x->shelf);
	free(x->slots);
	free(x);
}

/* --- slots ----------------------------------------------------------------------------------- */

static void take_slot(struct mux *x, struct mux_call *call)
{
	uint32_t slot = x->first_free;

	if (slot == x->slot_count) {
		uint32_t count = x->slot_count ? 2 * x->slot_count : 64;

		x->slots = xrealloc(x->slots, count * sizeof(x->slots[0]));
		for (uint32_t i = x->slot_count; i < count; i++)
			x->slots[i] = (struct slot){NULL, 0, i + 1};
		x->slot_count = count;
	}
	x->first_free = x->slots[slot].next_free;
	x->slots[slot].call = call;
	*call = (struct mux_call){
		.ref = {slot, ++x->slots[slot].generation}, .open = true, .batch = x->batch};
}

static void free_slot(struct mux *x, struct mux_call *call)
{
	struct slot *s = &x->slots[call->ref.slot];

	s->call = NULL;
	s->next_free = x->first_free;
	x->first_free = call->ref.slot;
	call->open = false;
}

/* --- the connection ----------------------------------------------------------------------------
 */

/* The first message, with the memory that is offered. An empty socket takes it whole. */
static bool say_hello(struct mux *x)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct msghdr m = {.msg_iovlen = 1};
	struct iovec v;
	struct buf hello;
	size_t start;
	int fd = -1;
	bool said;

	buf_init(&hello, MSG_HEADER_MAX);
	start = frame_open(&hello);
	msg_begin(&hello, MSG_MANY, NULL);
	msg_put_str(&hello, "version", AIRLOCK_VERSION);
	if (x->place_len > 0 && shelf_make(SHELF_PLACES, x->place_len, &x->shelf, &fd) == RC_OK) {
		msg_put_int(&hello, "places", SHELF_PLACES);
		msg_put_int(&hello, "place_bytes", (int64_t)x->place_len);
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
		control.head = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(sizeof(fd))};
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	}
	msg_end(&hello, NULL, 0);
	frame_close(&hello, start);
	v = (struct iovec){hello.data, hello.len};
	m.msg_iov = &v;
	said = !hello.failed && sendmsg(x->fd, &m, MSG_NOSIGNAL) == (ssize_t)hello.len;
	if (fd >= 0)
		(void)close(fd);
	buf_free(&hello);
	return said;
}

static void drop_shelf(struct mux *x)
{
	shelf_drop(x->shelf);
	x->shelf = NULL;
}

static bool open_connection(struct mux *x)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	memcpy(addr.sun_path, x->path, sizeof(addr.sun_path));
	x->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (x->fd < 0 || connect(x->fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0 ||
		!say_hello(x)) {
		log_warn("the tunnel daemon can't be reached at %s: %s", x->path, strerror(errno));
		if (x->fd >= 0)
			(void)close(x->fd);
		x->fd = -1;
		drop_shelf(x);
	}
	x->writing = x->broken = false;
	if (x->fd >= 0)
		x->owner.watch(x->owner.ctx, x->fd, false);
	return x->fd >= 0;
}

static void close_connection(struct mux *x)
{
	x->owner.watch(x->owner.ctx, -1, false);
	(void)close(x->fd);
	x->fd = -1;
	buf_free(&x->in);
	drop_shelf(x);
}

/* The calls that were begun, or all. */
static void tell_lost(struct mux *x, bool all)
{
	for (uint32_t i = 0; i < x->slot_count; i++) {
		struct mux_call *call = x->slots[i].call;

		if (!call || (!all && call->batch == x->batch))
			continue;
		free_slot(x, call);
		x->owner.event(call, DISPATCH_LOST, NULL);
	}
}

/* tunneld is gone. What it may have seen is lost; what was not sent was not begun, and may go to
 * the next one. (A GONE that goes with it means nothing there.) */
static void lose(struct mux *x, const char *why, bool again)
{
	again = again && x->at == 0;
	log_warn("lost the tunnel daemon: %s", why);
	close_connection(x);
	tell_lost(x, !again);
	if (again && x->out.len > 0 && open_connection(x))
		return;
	buf_free(&x->out);
	x->at = 0;
	tell_lost(x, true);
}

/* --- sending ------------------------------------------------------------------------------------
 */

static void open_frame(struct mux *x, struct frame_ref ref)
{
	uint8_t *name;

	x->frame = frame_open(&x->out);
	name = buf_reserve(&x->out, FRAME_REF_LEN);
	if (!name)
		return;
	frame_ref_put(name, ref);
	buf_commit(&x->out, FRAME_REF_LEN);
}

struct buf *mux_begin(struct mux *x, struct mux_call *call)
{
	*call = (struct mux_call){.open = false};
	if (x->fd < 0 && !open_connection(x))
		return NULL;
	take_slot(x, call);
	open_frame(x, call->ref);
	return &x->out;
}

enum rc mux_queue(struct mux *x, struct mux_call *call)
{
	if (!x->out.failed) {
		frame_close(&x->out, x->frame);
		return RC_OK;
	}
	log_warn("a message to the tunnel daemon is too long or memory is short");
	/* Without what failed the rest may still go. */
	x->out.failed = false;
	x->out.len = x->frame;
	free_slot(x, call);
	return RC_LIMIT;
}

/* Ends a message that says that something is over. The connection's end says the same, of all its
 * calls and places. */
static void close_frame(struct mux *x)
{
	msg_end(&x->out, NULL, 0);
	if (x->out.failed)
		x->broken = true;
	else
		frame_close(&x->out, x->frame);
}

static void leave(struct mux *x, struct mux_call *call, enum msg_type how, bool slow)
{
	if (!call->open)
		return;
	open_frame(x, call->ref);
	msg_begin(&x->out, how, NULL);
	if (slow)
		msg_put_flag(&x->out, "slow", true);
	free_slot(x, call);
	close_frame(x);
}

void mux_leave(struct mux *x, struct mux_call *call, enum msg_type how)
{
	leave(x, call, how, false);
}

void mux_cut(struct mux *x, struct mux_call *call)
{
	leave(x, call, MSG_GONE, true);
}

static void free_place(struct mux *x, struct frame_ref ref, uint32_t place)
{
	open_frame(x, ref);
	msg_begin(&x->out, MSG_PLACE_FREE, NULL);
	msg_put_int(&x->out, "place", place);
	close_frame(x);
}

void mux_release(struct mux *x, struct mux_call *call)
{
	if (!call->shelf)
		return;
	/* One of a connection that is gone went with it. */
	if (call->shelf == x->shelf)
		free_place(x, call->ref, call->place);
	shelf_drop(call->shelf);
	call->shelf = NULL;
}

static void all_sent(struct mux *x)
{
	x->at = 0;
	if (x->out.cap > KEEP)
		buf_free(&x->out);
	else
		buf_reset(&x->out);
}

/* False, with errno, when the peer is gone. */
static bool send_some(struct mux *x)
{
	ssize_t n;

	do
		n = send(x->fd, x->out.data + x->at, x->out.len - x->at, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		x->at += (size_t)n;
		x->batch++;
	}
	return n >= 0 || errno == EAGAIN || errno == EWOULDBLOCK;
}

void mux_flush(struct mux *x)
{
	if (x->fd < 0)
		return;
	if (x->broken) {
		lose(x, "memory is short", false);
		return;
	}
	if (x->out.len == x->at)
		return;
	if (!send_some(x)) {
		lose(x, strerror(errno), true);
		if (x->fd < 0)
			return;
		if (!send_some(x)) {
			lose(x, strerror(errno), false);
			return;
		}
	}
	if (x->writing != (x->at < x->out.len)) {
		x->writing = !x->writing;
		x->owner.watch(x->owner.ctx, x->fd, x->writing);
	}
	if (x->at == x->out.len)
		all_sent(x);
}

/* --- receiving ----------------------------------------------------------------------------------
 */

static bool is_last(const struct msg *m)
{
	return m->type != MSG_EVENT && !m->more;
}

/* A result that tunneld has put on the shelf: as if it had come with the message. *place is -1 for
 * any other. False: nonsense. */
static bool find_result(const struct mux *x, struct msg *m, int64_t *place)
{
	int64_t len;

	*place = -1;
	if (m->type != MSG_RESULT || m->payload_len > 0 || msg_field(m, "place").kind == JSCAN_NONE)
		return true;
	if (!x->shelf || msg_int(m, "place", place) != RC_OK || *place < 0 ||
		*place >= shelf_places(x->shelf) || msg_int(m, "length", &len) != RC_OK ||
		len < 0 || (uint64_t)len > shelf_place_len(x->shelf))
		return false;
	m->payload = shelf_at(x->shelf, (uint32_t)*place);
	m->payload_len = (size_t)len;
	return true;
}

/* False: nonsense. */
static bool handle(struct mux *x, const uint8_t *body, size_t len)
{
	struct frame_ref ref;
	struct mux_call *call;
	struct msg m;
	int64_t place;

	if (len < FRAME_REF_LEN ||
		msg_parse(body + FRAME_REF_LEN, len - FRAME_REF_LEN, &m) != RC_OK ||
		!find_result(x, &m, &place))
		return false;
	ref = frame_ref_get(body);
	if (ref.slot >= x->slot_count)
		return false;
	call = x->slots[ref.slot].call;
	/* One that we left: its answer crossed. */
	if (!call || call->ref.generation != ref.generation) {
		if (place >= 0)
			free_place(x, ref, (uint32_t)place);
		return true;
	}
	if (place >= 0) {
		call->shelf = shelf_hold(x->shelf);
		call->place = (uint32_t)place;
	}
	if (is_last(&m))
		free_slot(x, call);
	x->owner.event(call, DISPATCH_MESSAGE, &m);
	return true;
}

/* Bytes that were used; the rest is the beginning of a frame. */
static size_t handle_all(struct mux *x, const uint8_t *bytes, size_t len)
{
	const uint8_t *body;
	size_t body_len, used, at = 0;

	for (;;) {
		switch (frame_decode(bytes + at, len - at, MSG_MAX_DEFAULT + FRAME_REF_LEN, &body,
			&body_len, &used)) {
		case FRAME_READY:
			break;
		case FRAME_NEED_MORE:
			return at;
		case FRAME_BAD:
			x->broken = true;
			return at;
		}
		if (!handle(x, body, body_len)) {
			x->broken = true;
			return at;
		}
		at += used;
	}
}

/* What came is read behind the beginning of a frame that came before, so that it is there in one
 * piece and is copied only as a whole frame, to where it belongs. */
static ssize_t read_some(struct mux *x)
{
	uint8_t *room = buf_reserve(&x->in, READ_MAX);
	ssize_t n;

	if (!room) {
		errno = ENOMEM;
		return -1;
	}
	do
		n = recv(x->fd, room, READ_MAX, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		buf_commit(&x->in, (size_t)n);
	return n;
}

void mux_readable(struct mux *x)
{
	ssize_t n;

	if (x->fd < 0)
		return;
	n = read_some(x);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n > 0)
		buf_consume(&x->in, handle_all(x, x->in.data, x->in.len));
	if (x->in.len == 0 && x->in.cap > KEEP_IN)
		buf_free(&x->in);
	if (n > 0 && !x->broken)
		return;
	lose(x,
		n > 0            ? "it sent something that is no message"
			: n == 0 ? "it closed the connection"
				 : strerror(errno),
		true);
}
