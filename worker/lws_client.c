#include "worker/lws_client.h"

#include <ev.h>
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/log.h"
#include "shared/mem.h"
#include "shared/crypto.h"
#include "shared/msg.h"
#include "worker/ws_frame.h"

#define IO_CHUNK 65536
/* Written in one turn before others get theirs. */
#define BURST_BYTES ((size_t)256 * 1024)
#define CONNECT_S 10. /* to the WebSocket's standing */
#define CLOSE_S 3.
#define TOO_BIG 1009
#define BAD_MESSAGE 4400

struct lws_client {
	struct ev_loop *loop;
	ev_timer patience;
	struct lws_context *context;
	struct lws *wsi;
	bool busy; /* a connection or a try; libwebsockets may clear wsi on its own */
	struct lws_client_owner owner;
	struct buf in; /* of the message that is arriving */
	struct buf out; /* LWS_PRE bytes of room, then the message */
	bool standing, closing, ping;
	bool wanted; /* to write: there may be a message */
	ev_prepare flush;
	int close_code; /* ours */
	int peer_code;
	char why[160];
};

static void remember(struct lws_client *c, const char *text, size_t len)
{
	(void)snprintf(c->why, sizeof c->why, "%.*s",
		(int)(len < sizeof c->why ? len : sizeof c->why - 1), text);
}

/* The one way in which a connection or a try ends. */
static void finished(struct lws_client *c)
{
	int code = c->peer_code;

	if (!c->busy)
		return;
	ev_timer_stop(c->loop, &c->patience);
	c->wsi = NULL;
	c->busy = c->standing = c->closing = c->ping = false;
	buf_free(&c->in);
	buf_free(&c->out);
	c->owner.closed(c->owner.ctx, code, c->why);
}

/* The time-outs of libwebsockets are of no use here: its libev glue sets a timer that is running
 * already, which libev ignores, so that one can be hours late. Ours ends whatever has not come
 * about, outside of any callback of the library. */
static void on_patience(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct lws_client *c = w->data;

	(void)loop;
	(void)revents;
	if (c->why[0] == '\0')
		remember(c, "no answer in time", 17);
	if (c->wsi != NULL)
		lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
	finished(c);
}

static void have_patience(struct lws_client *c, double seconds)
{
	ev_timer_stop(c->loop, &c->patience);
	ev_timer_set(&c->patience, seconds, 0.);
	ev_timer_start(c->loop, &c->patience);
}

static void receive(struct lws_client *c, struct lws *wsi, const void *bytes, size_t len)
{
	if (c->closing)
		return;
	if (lws_is_first_fragment(wsi))
		buf_reset(&c->in);
	if (!lws_frame_is_binary(wsi)) {
		remember(c, "the peer sent text", 18);
		lws_client_close(c, BAD_MESSAGE);
		return;
	}
	buf_add(&c->in, bytes, len);
	if (c->in.failed) {
		remember(c, "the peer sent a message that is too large", 41);
		lws_client_close(c, TOO_BIG);
		return;
	}
	if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi) > 0)
		return;
	c->owner.message(c->owner.ctx, c->in.data, c->in.len);
	buf_reset(&c->in);
}

/* Whole frames, so that what libwebsockets itself sends can only come between them. -1 closes. */
static int write_burst(struct lws_client *c, struct lws *wsi)
{
	uint8_t mask[WS_MASK_LEN];
	const uint8_t *rest;
	size_t rest_len;
	bool more = true;

	while (c->out.len < LWS_PRE + BURST_BYTES) {
		size_t start = ws_frame_open(&c->out);

		more = c->owner.next(c->owner.ctx, &c->out, &rest, &rest_len);
		if (!more) {
			c->out.len = start;
			break;
		}
		/* RFC 6455, 5.3: not to be guessed, and another one for each frame. */
		crypto_random(mask, sizeof mask);
		ws_frame_close(&c->out, start, mask, rest, rest_len);
	}
	if (c->out.failed) {
		remember(c, "a message could not be put together", 35);
		return -1;
	}
	size_t len = c->out.len - LWS_PRE;
	if (len > 0 && lws_write(wsi, c->out.data + LWS_PRE, len, LWS_WRITE_RAW) < (int)len)
		return -1;
	if (more)
		lws_callback_on_writable(wsi);
	return 0;
}

static int write_some(struct lws_client *c, struct lws *wsi)
{
	if (c->closing) {
		lws_close_reason(wsi, (enum lws_close_status)c->close_code, NULL, 0);
		return -1;
	}
	buf_reset(&c->out);
	uint8_t *room = buf_reserve(&c->out, LWS_PRE);
	if (room == NULL)
		return -1;
	buf_commit(&c->out, LWS_PRE);
	if (c->ping) {
		c->ping = false;
		if (lws_write(wsi, c->out.data + LWS_PRE, 0, LWS_WRITE_PING) < 0)
			return -1;
	}
	return write_burst(c, wsi);
}

/* Before the loop waits: what was asked for meanwhile goes out together, and the socket is watched
 * for room only when it has none. */
static void on_prepare(struct ev_loop *loop, ev_prepare *w, int revents)
{
	struct lws_client *c = w->data;

	(void)loop;
	(void)revents;
	if (!c->wanted)
		return;
	c->wanted = false;
	if (!c->standing || c->wsi == NULL)
		return;
	if (c->closing || lws_partial_buffered(c->wsi))
		lws_callback_on_writable(c->wsi);
	else if (write_some(c, c->wsi) < 0)
		lws_client_kill(c);
}

static void peer_closes(struct lws_client *c, const uint8_t *in, size_t len)
{
	if (len < 2)
		return;
	c->peer_code = in[0] << 8 | in[1];
	remember(c, (const char *)in + 2, len - 2);
}

static int callback(
	struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct lws_client *c = lws_context_user(lws_get_context(wsi));

	(void)user;
	if (c == NULL || wsi != c->wsi)
		return 0;
	switch (reason) {
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		c->standing = true;
		ev_timer_stop(c->loop, &c->patience);
		c->owner.up(c->owner.ctx);
		return 0;
	case LWS_CALLBACK_CLIENT_RECEIVE:
		receive(c, wsi, in, len);
		return 0;
	case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
		c->owner.pong(c->owner.ctx);
		return 0;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		return write_some(c, wsi);
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		peer_closes(c, in, len);
		return 0;
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		if (in != NULL)
			remember(c, in, len);
		finished(c);
		return 0;
	case LWS_CALLBACK_CLIENT_CLOSED:
		finished(c);
		return 0;
	default:
		return 0;
	}
}

static const struct lws_protocols protocols[] = {
	{.name = MSG_SUBPROTOCOL,
		.callback = callback,
		.rx_buffer_size = IO_CHUNK,
		.tx_packet_size = 2 * BURST_BYTES},
	{.name = NULL},
};

static void emit(int level, const char *line)
{
	int len = (int)strcspn(line, "\n");

	(void)level;
	/* Why a certificate was refused is told here and nowhere else. */
	if (strncmp(line, "SSL error:", 10) == 0)
		log_warn("TLS: %.*s", len, line);
	else
		log_debug("libwebsockets: %.*s", len, line);
}

enum rc lws_client_new(struct ev_loop *loop, const char *ca_file,
	const struct lws_client_owner *owner, struct lws_client **out)
{
	struct lws_client *c = xcalloc(1, sizeof *c);
	void *loops[] = {loop};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN,
		.protocols = protocols,
		.options = LWS_SERVER_OPTION_LIBEV | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
		.foreign_loops = loops,
		.user = c,
		.gid = -1,
		.uid = -1,
		.count_threads = 1,
		.pt_serv_buf_size = IO_CHUNK,
		.client_ssl_ca_filepath = ca_file,
	};

	/* A file named in airlock.yaml stands for the system's authorities, not beside them. */
	if (ca_file != NULL)
		info.options |= LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
	lws_set_log_level(LLL_ERR | LLL_WARN, emit);
	c->loop = loop;
	ev_timer_init(&c->patience, on_patience, 0., 0.);
	c->patience.data = c;
	ev_prepare_init(&c->flush, on_prepare);
	c->flush.data = c;
	c->owner = *owner;
	buf_init(&c->in, MSG_HEADER_MAX);
	buf_init(&c->out, SIZE_MAX / 2);
	c->context = lws_create_context(&info);
	if (c->context == NULL) {
		log_err("libwebsockets can't be set up%s%s: is its libev plugin "
			"(libwebsockets-evlib-ev) installed?",
			ca_file != NULL ? " with worker.ca_file " : "",
			ca_file != NULL ? ca_file : "");
		free(c);
		return RC_UNAVAILABLE;
	}
	ev_prepare_start(loop, &c->flush);
	*out = c;
	return RC_OK;
}

enum rc lws_client_connect(struct lws_client *c, const struct endpoint *e, const char *address)
{
	struct lws_client_connect_info info = {
		.context = c->context,
		.address = address,
		.port = e->port,
		.path = e->path,
		/* TLS checks the certificate against this name, not against the address. */
		.host = e->authority,
		.protocol = MSG_SUBPROTOCOL,
		.ietf_version_or_minus_one = -1,
		.ssl_connection = e->tls ? LCCSCF_USE_SSL : 0,
		.alpn = "http/1.1",
		.pwsi = &c->wsi,
	};

	if (c->busy)
		return RC_CONFLICT;
	c->busy = true;
	c->peer_code = 0;
	remember(c, "", 0);
	have_patience(c, CONNECT_S);
	if (lws_client_connect_via_info(&info) == NULL && c->busy) {
		/* It failed before it could call back. */
		remember(c, "the connection can't be started", 31);
		finished(c);
	}
	return RC_OK;
}

void lws_client_set_max(struct lws_client *c, size_t max_message)
{
	c->in.max = max_message;
}

void lws_client_want_write(struct lws_client *c)
{
	c->wanted = true;
}

void lws_client_ping(struct lws_client *c)
{
	c->ping = true;
	lws_client_want_write(c);
}

void lws_client_close(struct lws_client *c, int code)
{
	if (!c->busy || c->closing)
		return;
	if (!c->standing) {
		lws_client_kill(c);
		return;
	}
	c->closing = true;
	c->close_code = code;
	have_patience(c, CLOSE_S);
	lws_callback_on_writable(c->wsi);
}

void lws_client_kill(struct lws_client *c)
{
	if (!c->busy)
		return;
	c->closing = true;
	have_patience(c, 0.);
}

void lws_client_free(struct lws_client *c)
{
	if (c == NULL)
		return;
	lws_context_destroy(c->context);
	ev_timer_stop(c->loop, &c->patience);
	ev_prepare_stop(c->loop, &c->flush);
	buf_free(&c->in);
	buf_free(&c->out);
	free(c);
}
