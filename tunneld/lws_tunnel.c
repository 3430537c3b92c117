#include "tunneld/lws_tunnel.h"

#include <errno.h>
#include <ev.h>
#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "shared/clientip.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "tunneld/tunnel.h"
#include "tunneld/ws_in.h"

_Static_assert(LWS_PRE <= TUNNEL_HEADROOM,
	"libwebsockets writes the frame's header in front of the message");

#define TUNNEL_PATH "/v1/tunnel"
#define FORWARDED_MAX 1024
#define PING_TEXT "airlock"
/* Written in one turn before others get theirs. */
#define BURST_BYTES ((size_t)256 * 1024)
/* Messages up to this size share a write; of a longer one the socket gets as much as it takes at
 * once. */
#define SHARED_BYTES ((size_t)16 * 1024)
#define FRAME_HEAD_MAX 10
#define BACKLOG_LOW ((size_t)256 * 1024)
/* For the peer to take what is queued and the close frame, once the end was decided. */
#define CLOSE_S 5
/* Read of a connection in one turn. */
#define READ_MAX ((size_t)256 * 1024)
#define CLOSE_CODE_LEN 2

struct outgoing {
	struct outgoing *next;
	struct buf message;
};

/* libwebsockets allocates one for each connection, zeroed. */
struct connection {
	struct lws *wsi;
	struct tunnel *tunnel;
	struct outgoing *first, **last;
	size_t backlog;
	int close_code;
	bool ping;
	/* We read ourselves: libwebsockets does not, once the connection stands. */
	ev_io reader;
	struct ws_in in;
	bool deaf; /* what comes is read away: it means nothing any more */
	bool pong; /* owed, with these bytes */
	uint8_t pong_len;
	uint8_t pong_bytes[WS_IN_CONTROL_MAX];
	/* In hub->unsent. */
	struct connection *next_unsent;
	bool listed;
};

static struct hub *hub_of(struct lws *wsi)
{
	return lws_context_user(lws_get_context(wsi));
}

/* --- what tunnel.c asks for --------------------------------------------------------------- */

static void list(struct connection *c)
{
	struct hub *hub = hub_of(c->wsi);

	if (c->listed)
		return;
	c->listed = true;
	c->next_unsent = hub->unsent;
	hub->unsent = c;
}

static void unlist(struct hub *hub, struct connection *c)
{
	struct connection **at = &hub->unsent;

	if (!c->listed)
		return;
	while (*at != c)
		at = &(*at)->next_unsent;
	*at = c->next_unsent;
	c->listed = false;
}

static void on_send(void *ctx, struct buf *message)
{
	struct connection *c = ctx;
	struct outgoing *o = xmalloc(sizeof(*o));

	*o = (struct outgoing){NULL, *message};
	buf_init(message, message->max);
	*c->last = o;
	c->last = &o->next;
	c->backlog += o->message.len;
	list(c);
}

static void on_ping(void *ctx)
{
	struct connection *c = ctx;

	c->ping = true;
	list(c);
}

static void on_pause(void *ctx, bool paused)
{
	struct connection *c = ctx;
	struct ev_loop *loop = hub_of(c->wsi)->loop;

	if (paused)
		ev_io_stop(loop, &c->reader);
	else
		ev_io_start(loop, &c->reader);
}

static void on_close(void *ctx, int code)
{
	struct connection *c = ctx;

	c->close_code = code;
	(void)lws_callback_on_writable(c->wsi);
	/* A peer that takes nothing more must not keep the connection. */
	lws_set_timeout(c->wsi, PENDING_TIMEOUT_CLOSE_SEND, CLOSE_S);
}

static size_t on_backlog(const void *ctx)
{
	return ((const struct connection *)ctx)->backlog;
}

static const struct tunnel_io tunnel_io = {on_send, on_ping, on_pause, on_close, on_backlog};

static void drop_first(struct connection *c)
{
	struct outgoing *o = c->first;

	c->first = o->next;
	if (!c->first)
		c->last = &c->first;
	c->backlog -= o->message.len;
	buf_free(&o->message);
	free(o);
}

/* --- writing --------------------------------------------------------------------------------- */

/* RFC 6455, 5.2: a whole binary message, unmasked, in front of its len bytes. */
static size_t put_head(uint8_t *head, size_t len)
{
	head[0] = 0x82;
	if (len < 126) {
		head[1] = (uint8_t)len;
		return 2;
	}
	/* Longer ones share no write. */
	head[1] = 126;
	head[2] = (uint8_t)(len >> 8);
	head[3] = (uint8_t)len;
	return 4;
}

/* The messages at the head of the queue that are short, in one write. libwebsockets frames one
 * message a write, so the frames are made here. */
static bool write_shared(struct lws *wsi, struct connection *c)
{
	/* Of the loop's one thread. */
	static uint8_t room[LWS_PRE + 4 * SHARED_BYTES];
	uint8_t *start = room + LWS_PRE, *p = start;

	while (c->first) {
		const struct buf *m = &c->first->message;
		size_t len = m->len - TUNNEL_HEADROOM;

		if (len > SHARED_BYTES || len + FRAME_HEAD_MAX > (size_t)(room + sizeof(room) - p))
			break;
		p += put_head(p, len);
		memcpy(p, m->data + TUNNEL_HEADROOM, len);
		p += len;
		drop_first(c);
	}
	return lws_write(wsi, start, (size_t)(p - start), LWS_WRITE_RAW) >= 0;
}

/* False when the connection broke. */
static bool write_some(struct lws *wsi, struct connection *c)
{
	const struct buf *m = &c->first->message;
	size_t len = m->len - TUNNEL_HEADROOM;
	int written;

	if (len <= SHARED_BYTES)
		return write_shared(wsi, c);
	written = lws_write(wsi, m->data + TUNNEL_HEADROOM, len, LWS_WRITE_BINARY);
	drop_first(c);
	return written >= 0;
}

static bool write_control(
	struct lws *wsi, enum lws_write_protocol what, const void *bytes, size_t len)
{
	uint8_t room[LWS_PRE + WS_IN_CONTROL_MAX];

	memcpy(room + LWS_PRE, bytes, len);
	return lws_write(wsi, room + LWS_PRE, len, what) >= 0;
}

/* Several messages in one turn: libwebsockets keeps what the socket does not take, and only then is
 * the turn over. False when the connection broke. */
static bool write_turn(struct lws *wsi, struct connection *c)
{
	size_t before = c->backlog;

	if (c->ping) {
		c->ping = false;
		if (!write_control(wsi, LWS_WRITE_PING, PING_TEXT, sizeof(PING_TEXT) - 1))
			return false;
	}
	if (c->pong) {
		c->pong = false;
		if (!write_control(wsi, LWS_WRITE_PONG, c->pong_bytes, c->pong_len))
			return false;
	}
	while (c->first && !lws_partial_buffered(wsi) && before - c->backlog < BURST_BYTES)
		if (!write_some(wsi, c))
			return false;
	if (c->backlog < BACKLOG_LOW)
		tunnel_drained(c->tunnel);
	if (c->first)
		(void)lws_callback_on_writable(wsi);
	return true;
}

static int writeable(struct lws *wsi, struct connection *c)
{
	if (!write_turn(wsi, c))
		return -1;
	if (c->first || !c->close_code)
		return 0;
	lws_close_reason(wsi, (enum lws_close_status)c->close_code, NULL, 0);
	return -1;
}

void lws_tunnel_flush(struct hub *hub)
{
	struct connection *c;

	while ((c = hub->unsent)) {
		hub->unsent = c->next_unsent;
		c->listed = false;
		/* What libwebsockets still holds goes first, and a connection that is to be closed
		 * does that when its socket has room; a broken one is found by its reader. */
		if (!c->close_code && !lws_partial_buffered(c->wsi))
			(void)write_turn(c->wsi, c);
		else
			(void)lws_callback_on_writable(c->wsi);
	}
}

/* --- reading --------------------------------------------------------------------------------- */

/* Ends the connection as soon as what libwebsockets still holds has gone out: mostly at once, and c
 * is gone then. */
static void cut(struct connection *c)
{
	ev_io_stop(hub_of(c->wsi)->loop, &c->reader);
	c->deaf = true;
	lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
}

/* The peer closes, of itself or in answer to us (RFC 6455, 5.5.1). c is gone then. */
static void peer_closes(struct connection *c, const struct ws_piece *p)
{
	uint8_t frame[LWS_PRE + 2 + CLOSE_CODE_LEN] = {0};
	uint8_t *head = frame + LWS_PRE;
	size_t len = p->len < CLOSE_CODE_LEN ? 0 : CLOSE_CODE_LEN;

	if (!c->close_code) {
		head[0] = 0x88;
		head[1] = (uint8_t)len;
		memcpy(head + 2, p->bytes, len);
		(void)lws_write(c->wsi, head, 2 + len, LWS_WRITE_RAW);
	}
	cut(c);
}

static void keep_pong(struct connection *c, const struct ws_piece *p)
{
	/* Of several pings the last one counts. */
	c->pong = true;
	c->pong_len = (uint8_t)p->len;
	memcpy(c->pong_bytes, p->bytes, p->len);
	list(c);
}

/* False: the peer has closed, and c is gone. */
static bool take_event(
	struct connection *c, enum ws_in_event event, const struct ws_piece *p, int64_t now_ms)
{
	switch (event) {
	case WS_IN_PIECE:
		tunnel_received(c->tunnel, p->bytes, p->len, p->last, now_ms);
		return true;
	case WS_IN_PING:
		keep_pong(c, p);
		return true;
	case WS_IN_PONG:
		tunnel_pong(c->tunnel, now_ms);
		return true;
	case WS_IN_CLOSE:
		peer_closes(c, p);
		return false;
	case WS_IN_BAD:
		c->deaf = true;
		tunnel_end(c->tunnel, TUNNEL_END_PROTOCOL_ERROR);
		return true;
	case WS_IN_WAITS:
		break;
	}
	return true;
}

static void take(struct connection *c, uint8_t *bytes, size_t len)
{
	int64_t now_ms = clock_mono_ms();
	enum ws_in_event event;
	struct ws_piece piece;
	size_t used, at = 0;

	do {
		event = ws_in_next(&c->in, bytes + at, len - at, &used, &piece);
		at += used;
		if (!take_event(c, event, &piece, now_ms))
			return;
	} while (event != WS_IN_WAITS && event != WS_IN_BAD);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	/* Of the loop's one thread. */
	static uint8_t bytes[READ_MAX];
	struct connection *c = io->data;
	ssize_t n;

	(void)loop;
	(void)events;
	do
		n = recv(io->fd, bytes, sizeof(bytes), 0);
	while (n < 0 && errno == EINTR);
	if (n > 0 && !c->deaf)
		take(c, bytes, (size_t)n);
	else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
		cut(c);
}

/* --- what libwebsockets tells --------------------------------------------------------------- */

static void established(struct lws *wsi, struct connection *c)
{
	struct hub *hub = hub_of(wsi);
	char forwarded[FORWARDED_MAX], ip[CLIENTIP_MAX];
	int len = lws_hdr_copy(wsi, forwarded, sizeof(forwarded), WSI_TOKEN_X_FORWARDED_FOR);

	clientip_resolve("unix:", len > 0 ? forwarded : NULL, hub->config->trusted_proxies,
		hub->config->trusted_proxy_count, ip);
	c->wsi = wsi;
	c->last = &c->first;
	/* A client says nothing before it has our answer (RFC 6455, 4.1), so nothing of what it
	 * says has been read yet. */
	(void)lws_rx_flow_control(wsi, 0);
	ev_io_init(&c->reader, on_readable, lws_get_socket_fd(wsi), EV_READ);
	c->reader.data = c;
	ev_io_start(hub->loop, &c->reader);
	c->tunnel = tunnel_new(hub, &tunnel_io, c, ip, clock_mono_ms());
}

static void closed(struct hub *hub, struct connection *c)
{
	unlist(hub, c);
	tunnel_closed(c->tunnel);
	c->tunnel = NULL;
	/* Behind that: it may have gone on reading, as the last thing it did. */
	ev_io_stop(hub->loop, &c->reader);
	while (c->first)
		drop_first(c);
}

/* The only path there is on this socket. */
static bool path_ok(struct lws *wsi)
{
	char path[sizeof(TUNNEL_PATH) + 1];
	int len = lws_hdr_copy(wsi, path, sizeof(path), WSI_TOKEN_GET_URI);

	return len > 0 && !strcmp(path, TUNNEL_PATH);
}

static int on_tunnel(
	struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct connection *c = user;

	(void)in;
	(void)len;
	switch (reason) {
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return path_ok(wsi) ? 0 : -1;
	case LWS_CALLBACK_ESTABLISHED:
		established(wsi, c);
		return 0;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return writeable(wsi, c);
	case LWS_CALLBACK_CLOSED:
		closed(hub_of(wsi), c);
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		hub_of(wsi)->connections--;
		return 0;
	default:
		return 0;
	}
}

static int refuse_connection(struct lws *wsi)
{
	struct hub *hub = hub_of(wsi);

	if (hub->connections < hub->max_connections)
		return 0;
	hub->metrics.refused[METRICS_REFUSED_CONNECTIONS]++;
	return -1;
}

/* A client that names no subprotocol lands here and not in on_tunnel(). */
static int refuse_upgrade(struct lws *wsi)
{
	hub_of(wsi)->metrics.refused[METRICS_REFUSED_NO_SUBPROTOCOL]++;
	log_info("an upgrade without the subprotocol %s was refused", MSG_SUBPROTOCOL);
	return -1;
}

static int answer_http(struct lws *wsi)
{
	if (lws_return_http_status(
		    wsi, path_ok(wsi) ? HTTP_STATUS_BAD_REQUEST : HTTP_STATUS_NOT_FOUND, NULL) < 0)
		return -1;
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int on_http(
	struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	(void)user;
	(void)in;
	(void)len;
	switch (reason) {
	case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
		return refuse_connection(wsi);
	case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
		hub_of(wsi)->connections++;
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		hub_of(wsi)->connections--;
		return 0;
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return refuse_upgrade(wsi);
	case LWS_CALLBACK_HTTP:
		return answer_http(wsi);
	default:
		return 0;
	}
}

const struct lws_protocols *lws_tunnel_protocols(void)
{
	static const struct lws_protocols protocols[] = {
		{.name = "none", .callback = on_http},
		{.name = MSG_SUBPROTOCOL,
			.callback = on_tunnel,
			.per_session_data_size = sizeof(struct connection),
			/* Allocated for each connection, and not used: we read. */
			.rx_buffer_size = 64,
			.tx_packet_size = BURST_BYTES},
		{.name = NULL},
	};

	return protocols;
}
