#include "shared/dispatch.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/audit.h"
#include "shared/audit_form.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"

#define EXCHANGE_MS 5000
#define SEND_TIMEOUT_S 5
#define READ_CHUNK 16384
/* A connection that idles between requests keeps no more than this. */
#define IDLE_CAP 65536
#define JOINED_MAX ((size_t)32 << 20)

struct dispatch {
	int fd;
	bool busy; /* an exchange is under way: its last message has not come */
	bool broken; /* lost, or out of step: good for nothing but closing */
	struct buf out;
	size_t frame; /* where the frame being written starts */
	struct buf in;
	size_t used; /* bytes of in that the last message took */
	struct buf joined; /* the payload of an answer in parts */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

enum rc dispatch_open(const char *socket_path, struct dispatch **out)
{
	const struct timeval patience = {.tv_sec = SEND_TIMEOUT_S};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct dispatch *d;
	int fd;

	if (!str_copy(addr.sun_path, sizeof(addr.sun_path), socket_path))
		return RC_LIMIT;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		log_err("cannot make a socket: %s", strerror(errno));
		return RC_INTERNAL;
	}
	/* Bounds connect() too, which waits while the daemon's backlog is full. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
		connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0) {
		log_warn("the tunnel daemon can't be reached at %s: %s", socket_path,
			strerror(errno));
		(void)close(fd);
		return RC_UNAVAILABLE;
	}
	d = xcalloc(1, sizeof(*d));
	d->fd = fd;
	memcpy(d->path, addr.sun_path, sizeof(d->path));
	buf_init(&d->out, FRAME_PREFIX + MSG_MAX_DEFAULT);
	buf_init(&d->in, FRAME_PREFIX + MSG_MAX_DEFAULT + READ_CHUNK);
	buf_init(&d->joined, JOINED_MAX);
	*out = d;
	return RC_OK;
}

void dispatch_close(struct dispatch *d)
{
	if (!d)
		return;
	(void)close(d->fd);
	buf_free(&d->out);
	buf_free(&d->in);
	buf_free(&d->joined);
	free(d);
}

/* --- sending ------------------------------------------------------------------------ */

static void trim(struct buf *b)
{
	if (b->cap > IDLE_CAP)
		buf_free(b);
	else
		buf_reset(b);
}

struct buf *dispatch_message(struct dispatch *d)
{
	if (!d->busy) {
		buf_consume(&d->in, d->used);
		d->used = 0;
		/* Nothing may be left of an earlier exchange: it was somebody else's. */
		if (d->in.len > 0)
			d->broken = true;
		trim(&d->in);
		buf_free(&d->joined);
	}
	trim(&d->out);
	d->frame = frame_open(&d->out);
	return &d->out;
}

enum rc dispatch_send(struct dispatch *d)
{
	size_t at = 0;

	frame_close(&d->out, d->frame);
	if (d->out.failed) {
		log_warn("a message to the tunnel daemon is too long or memory is short");
		buf_free(&d->out);
		d->broken = true;
		return RC_LIMIT;
	}
	d->busy = true;
	while (at < d->out.len && !d->broken) {
		ssize_t n = send(d->fd, d->out.data + at, d->out.len - at, MSG_NOSIGNAL);

		if (n >= 0)
			at += (size_t)n;
		else if (errno != EINTR)
			d->broken = true;
	}
	return d->broken ? RC_UNAVAILABLE : RC_OK;
}

/* --- receiving ------------------------------------------------------------------------ */

static enum dispatch_event lost(struct dispatch *d, const char *why)
{
	log_warn("lost the tunnel daemon: %s", why);
	d->broken = true;
	return DISPATCH_LOST;
}

/* READY: a message is in *out. */
static enum frame_status take_message(struct dispatch *d, struct msg *out)
{
	const uint8_t *body;
	size_t body_len;
	enum frame_status status =
		frame_decode(d->in.data, d->in.len, MSG_MAX_DEFAULT, &body, &body_len, &d->used);

	if (status != FRAME_READY)
		return status;
	if (msg_parse(body, body_len, out) != RC_OK)
		return FRAME_BAD;
	if (out->type != MSG_EVENT && !out->more)
		d->busy = false;
	return FRAME_READY;
}

/* How many bytes to make room for: what is left of a frame whose length we know, else a chunk. */
static size_t wanted(const struct dispatch *d)
{
	const uint8_t *p = d->in.data;
	size_t size;

	if (d->in.len < FRAME_PREFIX)
		return READ_CHUNK;
	size = FRAME_PREFIX + ((size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]) -
		d->in.len;
	return size > READ_CHUNK ? size : READ_CHUNK;
}

static bool read_some(struct dispatch *d)
{
	size_t len = wanted(d);
	uint8_t *to = buf_reserve(&d->in, len);
	ssize_t n;

	if (!to)
		return false;
	do
		n = recv(d->fd, to, len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		buf_commit(&d->in, (size_t)n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
}

/* Milliseconds for poll(): rounded to what it can wait for, -1 for ever. */
static int time_left(int64_t deadline_ms)
{
	int64_t left;

	if (deadline_ms < 0)
		return -1;
	left = deadline_ms - clock_mono_ms();
	if (left < 0)
		return 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

enum dispatch_event dispatch_wait(
	struct dispatch *d, int watch_fd, int64_t deadline_ms, struct msg *out)
{
	struct pollfd fds[2] = {
		{.fd = d->fd, .events = POLLIN}, {.fd = watch_fd, .events = POLLRDHUP}};

	if (d->broken)
		return DISPATCH_LOST;
	buf_consume(&d->in, d->used);
	d->used = 0;
	for (;;) {
		int n;

		switch (take_message(d, out)) {
		case FRAME_READY:
			return DISPATCH_MESSAGE;
		case FRAME_BAD:
			return lost(d, "it sent something that is no message");
		case FRAME_NEED_MORE:
			break;
		}
		/* poll() leaves out an fd of -1 by itself. */
		n = poll(fds, 2, time_left(deadline_ms));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lost(d, strerror(errno));
		if (fds[0].revents && !read_some(d))
			return lost(d, "it closed the connection");
		if (!fds[0].revents && fds[1].revents)
			return DISPATCH_HANGUP;
		if (n == 0 && (deadline_ms >= 0 && clock_mono_ms() >= deadline_ms))
			return DISPATCH_TIMEOUT;
	}
}

/* --- simple exchanges ------------------------------------------------------------------ */

/* Joins an answer that came in parts; out->payload then points into d->joined. */
static enum rc join_parts(struct dispatch *d, int64_t deadline, struct msg *out)
{
	struct msg first = *out, part = *out;

	buf_free(&d->joined);
	buf_add(&d->joined, part.payload, part.payload_len);
	while (part.more) {
		if (dispatch_wait(d, -1, deadline, &part) != DISPATCH_MESSAGE ||
			part.type != first.type) {
			d->broken = true;
			return RC_UNAVAILABLE;
		}
		buf_add(&d->joined, part.payload, part.payload_len);
	}
	if (d->joined.failed)
		return RC_LIMIT;
	*out = part;
	out->payload = d->joined.data;
	out->payload_len = d->joined.len;
	return RC_OK;
}

enum rc dispatch_ask(struct dispatch *d, enum msg_type answer, struct msg *out)
{
	int64_t deadline = clock_mono_ms() + EXCHANGE_MS;
	enum rc rc = dispatch_send(d);

	if (rc != RC_OK)
		return rc;
	if (dispatch_wait(d, -1, deadline, out) != DISPATCH_MESSAGE) {
		d->broken = true;
		return RC_UNAVAILABLE;
	}
	if (out->type == MSG_FAIL)
		return RC_OK;
	if (out->type != answer) {
		(void)lost(d, "its answer belongs to another question");
		return RC_UNAVAILABLE;
	}
	return out->more ? join_parts(d, deadline, out) : RC_OK;
}

static enum rc exchange(struct dispatch *d, enum msg_type answer, struct msg *out)
{
	enum rc rc = dispatch_ask(d, answer, out);

	return rc == RC_OK && out->type == MSG_FAIL ? RC_UNAVAILABLE : rc;
}

enum rc dispatch_audit(struct dispatch *d, const struct audit_record *r)
{
	struct buf *b = dispatch_message(d);
	struct buf record;
	struct msg answer;

	buf_init(&record, MSG_HEADER_MAX);
	audit_put(&record, r);
	msg_begin(b, MSG_AUDIT, NULL);
	if (record.failed)
		b->failed = true;
	else
		msg_put_json(b, "audit", (const char *)record.data, record.len);
	msg_end(b, NULL, 0);
	buf_free(&record);
	return exchange(d, MSG_AUDIT_OK, &answer);
}

enum rc dispatch_flush(struct dispatch *d, const char *tenant_id)
{
	struct buf *b = dispatch_message(d);
	struct msg answer;

	msg_begin(b, MSG_FLUSH, NULL);
	msg_put_str(b, "tenant_id", tenant_id);
	msg_end(b, NULL, 0);
	return exchange(d, MSG_FLUSH_OK, &answer);
}

enum rc dispatch_ping(struct dispatch *d, struct msg *out)
{
	struct buf *b = dispatch_message(d);

	msg_begin(b, MSG_PING, NULL);
	msg_end(b, NULL, 0);
	return exchange(d, MSG_PONG, out);
}

enum rc dispatch_sessions(struct dispatch *d, const char *tenant_id, struct msg *out)
{
	struct buf *b = dispatch_message(d);

	msg_begin(b, MSG_SESSIONS, NULL);
	msg_put_str(b, "tenant_id", tenant_id);
	msg_end(b, NULL, 0);
	return exchange(d, MSG_SESSIONS_OK, out);
}

enum rc dispatch_stamp(struct dispatch *d, struct audit_stamp *s)
{
	struct buf *b = dispatch_message(d);
	struct msg answer;
	enum rc rc;

	msg_begin(b, MSG_STAMP, NULL);
	msg_put_int(b, "from", s->from);
	msg_put_int(b, "seq", s->seq);
	msg_put_int(b, "lines", s->lines);
	msg_put_flag(b, "end", s->end);
	msg_put_bytes(b, "runs", s->runs_hash, sizeof(s->runs_hash));
	msg_put_bytes(b, "header", s->header, sizeof(s->header));
	msg_put_bytes(b, "digest", s->digest, sizeof(s->digest));
	msg_put_bytes(b, "prev", s->prev, sizeof(s->prev));
	msg_end(b, NULL, 0);
	rc = exchange(d, MSG_STAMP_OK, &answer);
	if (rc == RC_OK &&
		(msg_str(&answer, "ts", s->ts, sizeof(s->ts)) != RC_OK ||
			msg_bytes(&answer, "key", s->key, sizeof(s->key)) != RC_OK ||
			msg_bytes(&answer, "sig", s->sig, sizeof(s->sig)) != RC_OK))
		rc = RC_UNAVAILABLE;
	return rc;
}

/* --- one connection a thread ------------------------------------------------------------- */

static pthread_once_t mine_once = PTHREAD_ONCE_INIT;
static pthread_key_t mine_key;

static void close_mine(void *d)
{
	dispatch_close(d);
}

static void make_key(void)
{
	if (pthread_key_create(&mine_key, close_mine) != 0)
		die("no thread keys are left");
}

/* In step, and the daemon still there: an idle connection has nothing to read but its end. */
static bool usable(struct dispatch *d, const char *socket_path)
{
	char byte;

	return !d->broken && !d->busy && !strcmp(d->path, socket_path) && d->in.len <= d->used &&
		recv(d->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
		(errno == EAGAIN || errno == EWOULDBLOCK);
}

enum rc dispatch_mine(const char *socket_path, struct dispatch **out, bool *fresh)
{
	struct dispatch *d;
	enum rc rc;

	(void)pthread_once(&mine_once, make_key);
	d = pthread_getspecific(mine_key);
	*fresh = !d || !usable(d, socket_path);
	if (*fresh) {
		dispatch_mine_drop();
		rc = dispatch_open(socket_path, &d);
		if (rc != RC_OK)
			return rc;
		if (pthread_setspecific(mine_key, d) != 0) {
			log_err("no memory for a thread's connection");
			dispatch_close(d);
			return RC_INTERNAL;
		}
	}
	*out = d;
	return RC_OK;
}

void dispatch_mine_drop(void)
{
	struct dispatch *d;

	(void)pthread_once(&mine_once, make_key);
	d = pthread_getspecific(mine_key);
	(void)pthread_setspecific(mine_key, NULL);
	dispatch_close(d);
}
