#include "tunneld/dispatch_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/mem.h"
#include "shared/msg.h"
#include "tunneld/dispatch_many.h"
#include "tunneld/dispatch_server.h"

#define READ_MAX ((size_t)256 * 1024)
#define BACKLOG_LOW ((size_t)64 * 1024)
/* What the socket is asked to take for a pool process that is busy; the kernel may grant less
 * (net.core.wmem_max). */
#define SOCKET_ROOM (512 * 1024)
/* What waits for other answers to leave with it. */
#define TOGETHER_MAX ((size_t)128 * 1024)
/* A payload from this length on is not copied to leave with others. */
#define STRAIGHT_MIN ((size_t)16 * 1024)
/* Memory kept between answers. */
#define OUT_KEEP ((size_t)256 * 1024)

/* The end of a connection is always found by its reader, so that it is freed in one place and never
 * under somebody's feet. */
static void break_off(struct dispatch_conn *c)
{
	c->broken = true;
	(void)shutdown(c->reader.fd, SHUT_RDWR);
}

/* --- writing ------------------------------------------------------------------------- */

static struct dispatch_conn *conn_of(struct client *client)
{
	return (struct dispatch_conn *)(void *)((char *)client -
		offsetof(struct dispatch_conn, client));
}

/* Bytes taken, 0 when the socket is full, -1 when the peer is gone. */
static ssize_t send_some(int fd, const uint8_t *bytes, size_t len)
{
	ssize_t n;

	do
		n = send(fd, bytes, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : n;
}

static void on_send(struct client *client, struct buf *frames)
{
	struct dispatch_conn *c = conn_of(client);
	ssize_t n = 0;

	dispatch_server_hub(c->server)->metrics.dispatch_bytes_out += frames->len;
	if (c->out.len > 0) {
		buf_add(&c->out, frames->data, frames->len);
		if (c->out.failed)
			break_off(c);
	} else if (!c->broken) {
		n = send_some(c->reader.fd, frames->data, frames->len);
		if (n < 0) {
			break_off(c);
		} else if ((size_t)n < frames->len) {
			/* Only a full socket costs the event. */
			buf_free(&c->out);
			c->out = *frames;
			c->out.max = DISPATCH_BACKLOG_MAX;
			c->sent = (size_t)n;
			ev_io_start(dispatch_server_loop(c->server), &c->writer);
			buf_init(frames, 0);
			return;
		}
	}
	buf_free(frames);
}

size_t dispatch_conn_backlog(const struct dispatch_conn *c)
{
	return c->out.len - c->sent;
}

static size_t on_backlog(const struct client *client)
{
	return dispatch_conn_backlog(
		(const struct dispatch_conn *)(const void *)((const char *)client -
			offsetof(struct dispatch_conn, client)));
}

static void all_sent(struct dispatch_conn *c)
{
	if (c->out.cap > OUT_KEEP || !c->many)
		buf_free(&c->out);
	buf_reset(&c->out);
	c->sent = 0;
}

static void on_writable(struct ev_loop *loop, ev_io *io, int events)
{
	struct dispatch_conn *c = io->data;
	ssize_t n = send_some(io->fd, c->out.data + c->sent, c->out.len - c->sent);

	(void)events;
	if (n < 0)
		break_off(c);
	else
		c->sent += (size_t)n;
	if (n < 0 || c->sent == c->out.len) {
		ev_io_stop(loop, io);
		all_sent(c);
	}
	if (dispatch_conn_backlog(c) >= BACKLOG_LOW)
		return;
	if (c->many)
		dispatch_many_drained(c->many);
	else
		relay_client_drained(&c->client);
}

/* What was queued can't go out. */
static void give_up(struct dispatch_conn *c)
{
	if (!c->broken)
		break_off(c);
	ev_io_stop(dispatch_server_loop(c->server), &c->writer);
	all_sent(c);
}

static void queued(struct dispatch_conn *c)
{
	if (c->broken || c->out.failed)
		give_up(c);
	else if (ev_is_active(&c->writer))
		return;
	else if (!c->many || dispatch_conn_backlog(c) > TOGETHER_MAX)
		dispatch_conn_flush(c);
	else
		dispatch_server_unsent(c);
}

void dispatch_conn_flush(struct dispatch_conn *c)
{
	ssize_t n;

	if (c->broken || c->out.len == c->sent || ev_is_active(&c->writer))
		return;
	n = send_some(c->reader.fd, c->out.data + c->sent, c->out.len - c->sent);
	if (n < 0) {
		break_off(c);
		n = (ssize_t)(c->out.len - c->sent);
	}
	c->sent += (size_t)n;
	if (c->sent == c->out.len)
		all_sent(c);
	else
		ev_io_start(dispatch_server_loop(c->server), &c->writer);
}

/* What is queued and then a payload, in one system call. Only what the socket does not take is
 * copied. */
static void send_straight(struct dispatch_conn *c, const uint8_t *payload, size_t len)
{
	size_t before = dispatch_conn_backlog(c), taken;
	struct iovec v[2] = {{c->out.data + c->sent, before}, {(uint8_t *)payload, len}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
	ssize_t n;

	do
		n = sendmsg(c->reader.fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
		give_up(c);
		return;
	}
	taken = n > 0 ? (size_t)n : 0;
	if (taken >= before) {
		all_sent(c);
		payload += taken - before;
		len -= taken - before;
	} else {
		c->sent += taken;
	}
	buf_add(&c->out, payload, len);
	if (c->out.failed)
		give_up(c);
	else if (c->out.len > c->sent)
		ev_io_start(dispatch_server_loop(c->server), &c->writer);
}

void dispatch_conn_put(struct dispatch_conn *c, const struct frame_ref *ref, const void *head,
	size_t head_len, const void *payload, size_t len)
{
	bool straight = len >= STRAIGHT_MIN && !c->broken && !ev_is_active(&c->writer);
	size_t before = c->out.len, start = frame_open(&c->out);
	uint8_t *name = ref ? buf_reserve(&c->out, FRAME_REF_LEN) : NULL;

	if (name) {
		frame_ref_put(name, *ref);
		buf_commit(&c->out, FRAME_REF_LEN);
	}
	buf_add(&c->out, head, head_len);
	if (!straight)
		buf_add(&c->out, payload, len);
	frame_close_with(&c->out, start, straight ? len : 0);
	dispatch_server_hub(c->server)->metrics.dispatch_bytes_out +=
		c->out.len - before + (straight ? len : 0);
	if (straight && !c->out.failed)
		send_straight(c, payload, len);
	else
		queued(c);
}

static void on_pass(
	struct client *client, const struct buf *header, const void *payload, size_t len)
{
	dispatch_conn_put(conn_of(client), NULL, header->data, header->len, payload, len);
}

static const struct client_io client_io = {.send = on_send, .pass = on_pass, .backlog = on_backlog};

/* --- reading -------------------------------------------------------------------------- */

static bool handle_frame(struct dispatch_conn *c, const uint8_t *body, size_t len)
{
	struct msg m;

	if (c->many)
		return dispatch_many_handle(c->many, body, len);
	return msg_parse(body, len, &m) == RC_OK && dispatch_server_handle(c, &m);
}

/* Handles the whole frames in bytes; the rest stays for the next time. */
static size_t handle_frames(struct dispatch_conn *c, const uint8_t *bytes, size_t len)
{
	const uint8_t *body;
	size_t body_len, used, at = 0;

	while (!c->broken) {
		switch (frame_decode(bytes + at, len - at, MSG_MAX_DEFAULT + FRAME_REF_LEN, &body,
			&body_len, &used)) {
		case FRAME_NEED_MORE:
			return at;
		case FRAME_BAD:
			log_warn("a dispatch connection sent a frame that is too long");
			break_off(c);
			return at;
		case FRAME_READY:
			break;
		}
		if (!handle_frame(c, body, body_len)) {
			log_warn("a dispatch connection broke the protocol");
			break_off(c);
		}
		at += used;
	}
	return at;
}

/* Nearly always a call is in one piece and handled where it was read. */
static void take(struct dispatch_conn *c, const uint8_t *bytes, size_t len)
{
	size_t used;

	if (c->in.len == 0) {
		used = handle_frames(c, bytes, len);
		buf_add(&c->in, bytes + used, len - used);
	} else {
		buf_add(&c->in, bytes, len);
		if (!c->in.failed) {
			used = handle_frames(c, c->in.data, c->in.len);
			buf_consume(&c->in, used);
		}
	}
	if (c->in.failed)
		break_off(c);
	if (c->in.len == 0)
		buf_free(&c->in);
}

static void keep_fd(struct dispatch_conn *c, int fd)
{
	if (c->passed_fd >= 0)
		(void)close(c->passed_fd);
	c->passed_fd = fd;
}

int dispatch_conn_passed_fd(struct dispatch_conn *c)
{
	int fd = c->passed_fd;

	c->passed_fd = -1;
	return fd;
}

/* Bytes, and file descriptors that were passed along: the last one is kept. */
static ssize_t receive(struct dispatch_conn *c, uint8_t *bytes, size_t max)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec v = {bytes, max};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	ssize_t n;

	do {
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
		n = recvmsg(c->reader.fd, &m, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return n;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
			keep_fd(c, fd);
		}
	}
	return n;
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	/* Of the loop's one thread; no handler reads. */
	static uint8_t bytes[READ_MAX];
	struct dispatch_conn *c = io->data;
	ssize_t n = receive(c, bytes, sizeof(bytes));

	(void)loop;
	(void)events;
	if (n > 0 && !c->broken) {
		dispatch_server_hub(c->server)->metrics.dispatch_bytes_in += (uint64_t)n;
		take(c, bytes, (size_t)n);
	} else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) {
		dispatch_conn_free(c);
	}
}

/* --- beginning and end -------------------------------------------------------------------- */

struct dispatch_conn *dispatch_conn_new(
	struct dispatch_server *server, struct ev_loop *loop, int fd)
{
	struct dispatch_conn *c = xcalloc(1, sizeof(*c));
	const int room = SOCKET_ROOM;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	c->client.io = &client_io;
	c->server = server;
	c->passed_fd = -1;
	buf_init(&c->in, FRAME_PREFIX + FRAME_REF_LEN + MSG_MAX_DEFAULT + READ_MAX);
	buf_init(&c->out, DISPATCH_BACKLOG_MAX);
	ev_io_init(&c->reader, on_readable, fd, EV_READ);
	ev_io_init(&c->writer, on_writable, fd, EV_WRITE);
	c->reader.data = c;
	c->writer.data = c;
	ev_io_start(loop, &c->reader);
	dispatch_server_add(c);
	return c;
}

void dispatch_conn_free(struct dispatch_conn *c)
{
	struct ev_loop *loop = dispatch_server_loop(c->server);

	dispatch_server_remove(c);
	ev_io_stop(loop, &c->reader);
	ev_io_stop(loop, &c->writer);
	(void)close(c->reader.fd);
	keep_fd(c, -1);
	buf_free(&c->in);
	buf_free(&c->out);
	free(c);
}
