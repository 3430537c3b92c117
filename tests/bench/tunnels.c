/* Many workers in one process: each tunnel is the product's own worker/link.c over a socket and
 * just enough WebSocket. usage: tunnels IDENTITIES CP_KEY_PEM SOCKET|PORT Reads "open N" lines:
 * from then on N tunnels are to stand. A lost one is dialed again as a real worker would. Each time
 * that all stand, it prints {"open":N,"ms":since the command or the first loss}. Ends with its
 * standard input, or on SIGTERM. */
#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/file.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"
#include "tests/bench/identities.h"
#include "worker/backoff.h"
#include "worker/link.h"

#define DIALS_MAX 128 /* at once, while tunnels are opened for the first time */
#define READ_CHUNK 65536
#define MESSAGE_MAX ((size_t)2 * 1024 * 1024)
#define IDENTITIES_MAX ((size_t)64 * 1024 * 1024)

static const char manifest_text[] =
	"{\"serverInfo\":{\"name\":\"idle\",\"version\":\"1\"},\"capabilities\":{\"tools\":{}},"
	"\"tools\":[{\"name\":\"idle\","
	"\"description\":\"Never called\",\"inputSchema\":{\"type\":\"object\"}}]}";
static const char upgrade[] =
	"GET /v1/tunnel HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: "
	"websocket\r\nSec-WebSocket-Version: 13\r\n"
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: " MSG_SUBPROTOCOL
	"\r\n\r\n";

enum { OP_CONTINUATION = 0, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

struct tunnel {
	int fd;
	ev_io io;
	ev_timer retry;
	struct link *link;
	struct buf in, out, message;
	struct backoff backoff;
	struct enrolled enrolled;
	const struct crypto_identity *identity;
	bool upgraded, stands;
};

static struct {
	struct ev_loop *loop;
	struct tunnel *tunnels;
	size_t count, wanted, dialed, standing;
	struct buf manifest;
	struct sockaddr_storage address;
	socklen_t address_len;
	int64_t since; /* of the command or the first loss; 0 while all stand */
	long lost;
} all;

static void dial(struct tunnel *t);

static void report_if_all(void)
{
	if (all.since == 0 || all.standing < all.wanted)
		return;
	(void)printf("{\"open\":%zu,\"ms\":%lld,\"lost\":%ld}\n", all.standing,
		(long long)(clock_mono_ms() - all.since), all.lost);
	(void)fflush(stdout);
	all.since = 0;
}

/* --- the end of a connection, and the next try ---------------------------------------- */

static void drop(struct tunnel *t)
{
	if (t->stands) {
		t->stands = false;
		all.standing--;
		all.lost++;
		if (all.since == 0)
			all.since = clock_mono_ms();
	}
	ev_io_stop(all.loop, &t->io);
	(void)close(t->fd);
	t->fd = -1;
	link_free(t->link);
	t->link = NULL;
	buf_free(&t->in);
	buf_free(&t->out);
	buf_free(&t->message);
}

static void again(struct tunnel *t)
{
	uint32_t dice;

	crypto_random(&dice, sizeof dice);
	ev_timer_stop(all.loop, &t->retry);
	ev_timer_set(
		&t->retry, (double)backoff_next(&t->backoff, clock_mono_ms(), dice) / 1000., 0.);
	ev_timer_start(all.loop, &t->retry);
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	dial(w->data);
}

/* --- writing ---------------------------------------------------------------------------- */

static void frame(struct tunnel *t, int opcode, const void *payload, size_t len)
{
	uint8_t head[14] = {(uint8_t)(0x80 | opcode)};
	size_t n = 2;

	if (len < 126) {
		head[1] = (uint8_t)(0x80 | len);
	} else {
		head[1] = 0x80 | 127;
		for (int i = 0; i < 8; i++)
			head[n++] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
	}
	/* The masking key is four zeros, so that the payload goes as it is. */
	buf_add(&t->out, head, n + 4);
	buf_add(&t->out, payload, len);
}

static bool flush(struct tunnel *t)
{
	int events = EV_READ;

	while (t->out.len > 0) {
		ssize_t n = write(t->fd, t->out.data, t->out.len);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n <= 0) {
			events |= EV_WRITE;
			break;
		}
		buf_consume(&t->out, (size_t)n);
	}
	if (t->out.len == 0)
		buf_free(&t->out);
	ev_io_stop(all.loop, &t->io);
	ev_io_set(&t->io, t->fd, events);
	ev_io_start(all.loop, &t->io);
	return true;
}

static bool send_pending(struct tunnel *t)
{
	const uint8_t *rest;
	struct buf message;
	size_t rest_len;

	buf_init(&message, MESSAGE_MAX);
	while (link_next(t->link, &message, &rest, &rest_len)) {
		buf_add(&message, rest, rest_len);
		frame(t, OP_BINARY, message.data, message.len);
		buf_reset(&message);
	}
	buf_free(&message);
	return !t->out.failed && flush(t);
}

/* --- the link's owner ------------------------------------------------------------------- */

static void dial_more(void)
{
	while (all.dialed < all.wanted && all.dialed < all.standing + DIALS_MAX)
		dial(&all.tunnels[all.dialed++]);
}

static void link_opened(void *ctx, const char *session_id)
{
	struct tunnel *t = ctx;

	(void)session_id;
	t->stands = true;
	all.standing++;
	backoff_reset(&t->backoff);
}

static void link_called(void *ctx, struct link_call *call)
{
	struct tunnel *t = ctx;
	struct buf none;

	buf_init(&none, 1);
	buf_free(&call->request);
	link_result(t->link, call->id, "denied", "", &none);
}

static void link_cancelled(void *ctx, const char *id)
{
	(void)ctx;
	(void)id;
}

/* Nothing here asks an agent anything. */
static void link_replied(void *ctx, const char *id, const void *text, size_t len)
{
	(void)ctx;
	(void)id;
	(void)text;
	(void)len;
}

/* The control plane closes what has not left by itself. */
static void link_goes(void *ctx, int64_t retry_after_ms)
{
	(void)ctx;
	(void)retry_after_ms;
}

static void link_wakes(void *ctx)
{
	(void)ctx; /* every way into the link is followed by send_pending() */
}

/* --- reading ---------------------------------------------------------------------------- */

static bool take_frame(struct tunnel *t, int opcode, bool fin, const uint8_t *payload, size_t len)
{
	enum link_end end;

	if (opcode == OP_PING)
		frame(t, OP_PONG, payload, len);
	if (opcode == OP_PING || opcode == OP_PONG) {
		link_heard(t->link, clock_mono_ms());
		return true;
	}
	if (opcode != OP_BINARY && opcode != OP_CONTINUATION)
		return false;
	buf_add(&t->message, payload, len);
	if (!fin)
		return !t->message.failed;
	end = link_message(
		t->link, t->message.data, t->message.len, clock_mono_ms(), clock_wall_ms());
	buf_free(&t->message);
	return end == LINK_GOES_ON;
}

/* Takes one frame from in: 1, 0 when it is not there whole, -1 at an end. */
static int next_frame(struct tunnel *t)
{
	const uint8_t *p = t->in.data;
	size_t head = 2;
	uint64_t len;

	if (t->in.len < head)
		return 0;
	len = p[1] & 0x7fU;
	head += len == 126 ? 2 : len == 127 ? 8 : 0;
	if (t->in.len < head)
		return 0;
	if (head > 2) {
		len = 0;
		for (size_t i = 2; i < head; i++)
			len = len << 8 | p[i];
	}
	if (len > MESSAGE_MAX)
		return -1;
	if (t->in.len < head + len)
		return 0;
	if (!take_frame(t, p[0] & 0x0f, (p[0] & 0x80) != 0, p + head, (size_t)len))
		return -1;
	buf_consume(&t->in, head + (size_t)len);
	return 1;
}

static bool take_upgrade(struct tunnel *t)
{
	static const char ok[] = "HTTP/1.1 101";
	const uint8_t *end = memmem(t->in.data, t->in.len, "\r\n\r\n", 4);
	struct link_config config = {t->identity, &t->enrolled, "bench-tunnels/1", &all.manifest};
	struct link_owner owner = {
		t, link_opened, link_called, link_cancelled, link_replied, link_goes, link_wakes};

	if (!end)
		return true;
	if (strncmp((const char *)t->in.data, ok, sizeof ok - 1) != 0)
		return false;
	buf_consume(&t->in, (size_t)(end + 4 - t->in.data));
	t->upgraded = true;
	t->link = link_new(&config, &owner, clock_mono_ms());
	return true;
}

static bool receive(struct tunnel *t)
{
	static uint8_t chunk[READ_CHUNK];
	ssize_t n = read(t->fd, chunk, sizeof chunk);
	int more = 1;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	buf_add(&t->in, chunk, (size_t)n);
	if (t->in.failed || (!t->upgraded && !take_upgrade(t)))
		return false;
	while (t->upgraded && more > 0)
		more = next_frame(t);
	if (t->in.len == 0)
		buf_free(&t->in);
	return more >= 0 && (!t->upgraded || send_pending(t));
}

static void on_socket(struct ev_loop *loop, ev_io *w, int revents)
{
	struct tunnel *t = w->data;

	(void)loop;
	if (((revents & EV_WRITE) == 0 || flush(t)) && ((revents & EV_READ) == 0 || receive(t))) {
		if (t->stands) {
			dial_more();
			report_if_all();
		}
		return;
	}
	drop(t);
	again(t);
}

static void dial(struct tunnel *t)
{
	t->fd = socket(all.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (t->fd < 0)
		die("no socket: %s", strerror(errno));
	t->upgraded = false;
	buf_init(&t->in, MESSAGE_MAX + READ_CHUNK);
	buf_init(&t->out, MESSAGE_MAX);
	buf_init(&t->message, MESSAGE_MAX);
	ev_io_init(&t->io, on_socket, t->fd, EV_READ | EV_WRITE);
	t->io.data = t;
	if (connect(t->fd, (const struct sockaddr *)&all.address, all.address_len) != 0 &&
		errno != EINPROGRESS) {
		drop(t);
		again(t);
		return;
	}
	buf_add(&t->out, upgrade, sizeof upgrade - 1);
	ev_io_start(all.loop, &t->io);
}

/* --- the program ------------------------------------------------------------------------ */

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	for (size_t i = 0; i < all.dialed; i++) {
		struct tunnel *t = &all.tunnels[i];
		bool ping = false;

		if (!t->link)
			continue;
		if (link_tick(t->link, clock_mono_ms(), &ping) != LINK_GOES_ON) {
			drop(t);
			again(t);
		} else if (ping) {
			frame(t, OP_PING, "bench", 5);
			(void)flush(t); /* a dead socket shows in the next read */
		}
	}
}

static void on_command(struct ev_loop *loop, ev_io *w, int revents)
{
	char line[64];
	ssize_t n = read(w->fd, line, sizeof line - 1);
	unsigned long wanted;

	(void)revents;
	if (n <= 0) {
		ev_break(loop, EVBREAK_ALL);
		return;
	}
	line[n] = '\0';
	wanted = strncmp(line, "open ", 5) == 0 ? strtoul(line + 5, NULL, 10) : 0;
	if (wanted < 1 || wanted > all.count || wanted < all.wanted)
		die("expected \"open N\", N up to %zu", all.count);
	all.wanted = wanted;
	all.since = clock_mono_ms();
	dial_more();
	report_if_all();
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
	(void)w;
	(void)revents;
	ev_break(loop, EVBREAK_ALL);
}

static void set_address(const char *text)
{
	struct sockaddr_un *local = (struct sockaddr_un *)&all.address;
	struct sockaddr_in *ip = (struct sockaddr_in *)&all.address;

	if (text[0] == '/') {
		local->sun_family = AF_UNIX;
		if (!str_copy(local->sun_path, sizeof local->sun_path, text))
			die("%s is too long for a socket", text);
		all.address_len = sizeof *local;
		return;
	}
	ip->sin_family = AF_INET;
	ip->sin_port = htons((uint16_t)strtol(text, NULL, 10));
	ip->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	all.address_len = sizeof *ip;
}

static void init_tunnels(const struct seeded *seeded, const uint8_t cp_key[CRYPTO_PUBLIC_LEN])
{
	all.tunnels = xcalloc(all.count, sizeof *all.tunnels);
	for (size_t i = 0; i < all.count; i++) {
		struct tunnel *t = &all.tunnels[i];

		t->fd = -1;
		t->identity = &seeded[i].identity;
		(void)str_copy(
			t->enrolled.worker_id, sizeof t->enrolled.worker_id, seeded[i].worker_id);
		(void)str_copy(
			t->enrolled.tenant_id, sizeof t->enrolled.tenant_id, seeded[i].tenant_id);
		memcpy(t->enrolled.cp_key, cp_key, CRYPTO_PUBLIC_LEN);
		ev_timer_init(&t->retry, on_retry, 0., 0.);
		t->retry.data = t;
	}
}

static void run(void)
{
	ev_timer tick;
	ev_io commands;
	ev_signal term;

	ev_timer_init(&tick, on_tick, 1., 1.);
	ev_timer_start(all.loop, &tick);
	ev_io_init(&commands, on_command, STDIN_FILENO, EV_READ);
	ev_io_start(all.loop, &commands);
	ev_signal_init(&term, on_signal, SIGTERM);
	ev_signal_start(all.loop, &term);
	ev_run(all.loop, 0);
	for (size_t i = 0; i < all.dialed; i++)
		if (all.tunnels[i].fd >= 0)
			drop(&all.tunnels[i]);
	ev_loop_destroy(all.loop);
	free(all.tunnels);
	buf_free(&all.manifest);
}

int main(int argc, char **argv)
{
	struct crypto_identity cp;
	char *file;
	size_t len;

	crypto_init();
	log_init("tunnels", 2, LOG_FORMAT_TEXT);
	if (argc != 4)
		die("usage: tunnels IDENTITIES CP_KEY_PEM SOCKET|PORT");
	if (file_read(argv[1], IDENTITIES_MAX, &file, &len) != RC_OK || len == 0 ||
		len % sizeof(struct seeded) != 0)
		die("%s can't be read", argv[1]);
	if (crypto_identity_load(argv[2], &cp) != RC_OK)
		die("%s can't be read", argv[2]);
	all.count = len / sizeof(struct seeded);
	all.loop = ev_default_loop(0);
	buf_init(&all.manifest, sizeof manifest_text);
	buf_str(&all.manifest, manifest_text);
	set_address(argv[3]);
	init_tunnels((const struct seeded *)(void *)file, cp.public_key);
	crypto_identity_wipe(&cp);
	run();
	mem_wipe(file, len);
	free(file);
	return 0;
}
