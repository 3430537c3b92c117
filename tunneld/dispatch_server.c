#include "tunneld/dispatch_server.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/audit.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "tunneld/dispatch_conn.h"
#include "tunneld/audit_keeper.h"
#include "tunneld/dispatch_many.h"
#include "tunneld/lineup.h"
#include "tunneld/listen.h"
#include "tunneld/relay.h"
#include "tunneld/stamp.h"

#define LISTEN_QUEUE 1024
#define SPARE_CONNECTIONS 64
/* Payload bytes of one part of a long answer. */
#define ANSWER_PART (MSG_MAX_DEFAULT - MSG_HEADER_MAX)
#define SESSIONS_MAX ((size_t)32 * 1024 * 1024)

struct dispatch_server {
	struct hub *hub;
	struct ev_loop *loop;
	ev_io listener;
	ev_prepare flush;
	struct dispatch_conn *conns;
	struct dispatch_conn *unsent;
	size_t max;
	char path[108];
};

/* An AUDIT, FLUSH or LISTEN under way. It outlives a connection that hangs up meanwhile. */
struct waiting {
	struct audit_entry row;
	struct flush_ticket ticket;
	struct dispatch_conn *conn;
	struct hub *hub;
	struct listener *listener;
};

struct hub *dispatch_server_hub(const struct dispatch_server *s)
{
	return s->hub;
}

struct ev_loop *dispatch_server_loop(const struct dispatch_server *s)
{
	return s->loop;
}

size_t dispatch_server_max(const struct config *c)
{
	return 2 * (size_t)c->pool_processes * (size_t)c->pool_threads + SPARE_CONNECTIONS;
}

/* --- answers that wait for a disk ---------------------------------------------------------- */

static struct waiting *wait_on(struct dispatch_conn *c)
{
	struct waiting *w = xcalloc(1, sizeof(*w));

	w->conn = c;
	c->waiting = w;
	return w;
}

static void finish(struct waiting *w, enum msg_type type, bool ok)
{
	struct relay_frame f;

	if (w->conn) {
		w->conn->waiting = NULL;
		if (ok) {
			relay_frame_begin(&f, type, NULL);
			relay_frame_send(&w->conn->client, &f, NULL, 0);
		} else {
			relay_fail(&w->conn->client, PROBLEM_AUDIT_DOWN, NULL, 0);
		}
	}
	free(w);
}

static void on_row(struct audit_entry *e, bool durable)
{
	finish((struct waiting *)(void *)((char *)e - offsetof(struct waiting, row)), MSG_AUDIT_OK,
		durable);
}

static void on_flushed(struct flush_ticket *t, bool ok)
{
	finish((struct waiting *)(void *)((char *)t - offsetof(struct waiting, ticket)),
		MSG_FLUSH_OK, ok);
}

static void handle_audit(struct dispatch_conn *c, const struct msg *m)
{
	struct hub *hub = c->server->hub;
	struct audit_record r;
	struct waiting *w;

	audit_init(&r, "");
	if (audit_get(msg_field(m, "audit"), &r) != RC_OK || !*r.event) {
		hub->metrics.refused[METRICS_REFUSED_BAD_DISPATCH]++;
		relay_fail(&c->client, PROBLEM_BAD_REQUEST, "the audit record is malformed", 0);
		return;
	}
	if (!audit_writer_ok(hub->audit)) {
		relay_fail(&c->client, PROBLEM_AUDIT_DOWN, NULL, 0);
		return;
	}
	w = wait_on(c);
	w->row.record = r;
	w->row.record.outbox_id = -1;
	w->row.done = on_row;
	audit_writer_add(hub->audit, &w->row);
}

static void handle_audit_watch(struct dispatch_conn *c, const struct msg *m)
{
	struct hub *hub = c->server->hub;
	char ticket[AUDIT_STREAM_TICKET_LEN + 1];
	struct relay_frame f;
	enum problem why;

	if (hub->draining) {
		relay_fail(&c->client, PROBLEM_DRAINING, NULL, 0);
		return;
	}
	if (!audit_stream_offer(hub, m, clock_mono_ms(), ticket, &why)) {
		relay_fail(&c->client, why, NULL,
			why == PROBLEM_OVERLOADED ? AUDIT_STREAM_TICKET_MS : 0);
		return;
	}
	relay_frame_begin(&f, MSG_AUDIT_WATCH_OK, NULL);
	msg_put_str(&f.buf, "ticket", ticket);
	relay_frame_send(&c->client, &f, NULL, 0);
}

/* Nothing of the stream is offered before its row is on the disk. */
static void on_listen_row(struct audit_entry *e, bool durable)
{
	struct waiting *w = (struct waiting *)(void *)((char *)e - offsetof(struct waiting, row));
	struct dispatch_conn *c = w->conn;
	struct listener *l = w->listener;
	struct relay_frame f;

	if (c)
		c->waiting = NULL;
	if (!c || !durable) {
		listen_drop(w->hub, l);
		if (c)
			relay_fail(&c->client, PROBLEM_AUDIT_DOWN, NULL, 0);
	} else if (!listen_offer(w->hub, l, clock_mono_ms())) {
		relay_fail(&c->client, PROBLEM_UNAUTHORIZED, NULL, 0);
	} else {
		relay_frame_begin(&f, MSG_LISTEN_OK, NULL);
		msg_put_str(&f.buf, "ticket", l->ticket);
		relay_frame_send(&c->client, &f, NULL, 0);
	}
	free(w);
}

/* A refusal is written down too; nobody gets anything for it, so nobody waits for the row. */
static void refuse_listen(
	struct dispatch_conn *c, const struct msg *m, enum problem why, int64_t retry_ms)
{
	struct audit_record r;

	audit_init(&r, "");
	if (audit_get(msg_field(m, "audit"), &r) == RC_OK) {
		(void)str_copy(r.event, sizeof(r.event), "stream.open");
		(void)str_copy(r.outcome, sizeof(r.outcome), problem_code(why));
		r.outbox_id = -1;
		audit_writer_note(c->server->hub->audit, &r);
	}
	relay_fail(&c->client, why, NULL, retry_ms);
}

static void handle_listen(struct dispatch_conn *c, const struct msg *m)
{
	struct hub *hub = c->server->hub;
	enum problem why;
	int64_t retry_ms;
	struct listener *l;
	struct waiting *w;

	if (hub->draining || !audit_writer_ok(hub->audit)) {
		relay_fail(
			&c->client, hub->draining ? PROBLEM_DRAINING : PROBLEM_AUDIT_DOWN, NULL, 0);
		return;
	}
	l = listen_new(hub, m, clock_mono_ms(), &why, &retry_ms);
	if (!l) {
		refuse_listen(c, m, why, retry_ms);
		return;
	}
	w = wait_on(c);
	w->hub = hub;
	w->listener = l;
	listen_row(l, "stream.open", "ok", &w->row.record);
	w->row.done = on_listen_row;
	audit_writer_add(hub->audit, &w->row);
}

static void handle_watch(struct dispatch_conn *c, const struct msg *m)
{
	struct hub *hub = c->server->hub;
	struct relay_frame f;

	switch (listen_watch(hub, m, clock_mono_ms())) {
	case RC_OK:
		relay_frame_begin(&f, MSG_WATCH_OK, NULL);
		relay_frame_send(&c->client, &f, NULL, 0);
		return;
	case RC_LIMIT:
		hub->metrics.refused[METRICS_REFUSED_STREAMS]++;
		relay_fail(&c->client, PROBLEM_OVERLOADED, NULL, 0);
		return;
	default:
		hub->metrics.refused[METRICS_REFUSED_BAD_DISPATCH]++;
		relay_fail(&c->client, PROBLEM_BAD_REQUEST, NULL, 0);
	}
}

static void handle_flush(struct dispatch_conn *c)
{
	struct waiting *w = wait_on(c);

	w->ticket.done = on_flushed;
	state_writer_flush(c->server->hub->state, &w->ticket);
}

/* --- answers that are known at once ---------------------------------------------------------- */

/* Of the pool processes that are connected: another version than this one, if there is one. NULL
 * when none is. */
static const char *pool_version(const struct dispatch_server *s)
{
	const char *found = NULL;

	for (const struct dispatch_conn *c = s->conns; c; c = c->next) {
		if (!c->many)
			continue;
		found = dispatch_many_version(c->many);
		if (strcmp(found, AIRLOCK_VERSION) != 0)
			break;
	}
	return found;
}

static void handle_ping(struct dispatch_conn *c)
{
	struct hub *hub = c->server->hub;
	const char *pool = pool_version(c->server);
	struct audit_keeper_stats keeper;
	struct audit_stats audit;
	struct relay_frame f;

	audit_writer_stats(hub->audit, &audit);
	audit_keeper_stats(hub->keeper, &keeper);
	relay_frame_begin(&f, MSG_PONG, NULL);
	msg_put_str(&f.buf, "version", AIRLOCK_VERSION);
	if (pool)
		msg_put_str(&f.buf, "pool_version", pool);
	msg_put_int(&f.buf, "uptime_s", (clock_mono_ms() - hub->started_ms) / 1000);
	msg_put_int(&f.buf, "sessions", (int64_t)hub->registry.session_count);
	msg_put_int(&f.buf, "calls", (int64_t)hub->calls.count);
	msg_put_int(&f.buf, "streams", (int64_t)hub->listens.count);
	msg_put_flag(&f.buf, "audit_ok", audit.ok);
	msg_put_int(&f.buf, "audit_durable", audit.durable_seq);
	msg_put_int(&f.buf, "audit_queue", (int64_t)audit.queue);
	msg_put_int(&f.buf, "audit_free_bytes", audit.free_bytes);
	msg_put_int(&f.buf, "audit_head_seq", audit.head_seq);
	msg_put_int(&f.buf, "audit_segments", keeper.segments);
	msg_put_int(&f.buf, "audit_segment_bytes", keeper.bytes);
	msg_put_int(&f.buf, "audit_unarchived", keeper.unarchived);
	msg_put_flag(&f.buf, "audit_archive_ok", keeper.archive_ok);
	msg_put_flag(&f.buf, "audit_head_ok", keeper.head_ok);
	msg_put_flag(&f.buf, "draining", hub->draining);
	relay_frame_send(&c->client, &f, NULL, 0);
}

static void put_session(struct buf *b, const struct session *s, bool closely)
{
	buf_str(b, "{\"session_id\":");
	buf_json(b, s->id);
	buf_str(b, ",\"worker_id\":");
	buf_json(b, s->worker_id);
	buf_str(b, ",\"tenant_id\":");
	buf_json(b, s->tenant_id);
	buf_str(b, ",\"agent\":");
	buf_json(b, s->agent);
	buf_str(b, ",\"remote_ip\":");
	buf_json(b, s->remote_ip);
	buf_printf(b,
		",\"connected_at\":%lld,\"calls_in_flight\":%d,\"calls_total\":%lld,\"last_pong_"
		"at\":%lld",
		(long long)s->connected_at, s->call_count, (long long)s->call_total,
		(long long)s->last_pong_at);
	if (closely)
		lineup_put(b, s);
	buf_char(b, '}');
}

static void put_tenant_sessions(struct buf *b, const struct registry_tenant *t, bool closely)
{
	for (size_t i = 0; i < t->count; i++) {
		if (b->len > 1)
			buf_char(b, ',');
		put_session(b, t->sessions[i], closely);
	}
}

static void handle_stamp(struct dispatch_conn *c, const struct msg *m)
{
	struct hub *hub = c->server->hub;
	struct relay_frame f;
	struct audit_stamp s;

	if (!stamp_sign(hub, m, clock_wall_ms(), &s)) {
		hub->metrics.refused[METRICS_REFUSED_BAD_DISPATCH]++;
		relay_fail(&c->client, PROBLEM_BAD_REQUEST, NULL, 0);
		return;
	}
	relay_frame_begin(&f, MSG_STAMP_OK, NULL);
	msg_put_str(&f.buf, "ts", s.ts);
	msg_put_bytes(&f.buf, "key", s.key, sizeof(s.key));
	msg_put_bytes(&f.buf, "sig", s.sig, sizeof(s.sig));
	relay_frame_send(&c->client, &f, NULL, 0);
}

/* Only the last part bears the answer's fields; nearly always there is only one. */
static void send_parts(struct dispatch_conn *c, enum msg_type type, const char *digest,
	const void *payload, size_t len)
{
	const uint8_t *p = payload;
	struct relay_frame f;

	for (; len > ANSWER_PART; len -= ANSWER_PART, p += ANSWER_PART) {
		relay_frame_begin(&f, type, NULL);
		msg_put_flag(&f.buf, "more", true);
		msg_put_str(&f.buf, "digest", digest);
		relay_frame_send(&c->client, &f, p, ANSWER_PART);
	}
	relay_frame_begin(&f, type, NULL);
	msg_put_str(&f.buf, "digest", digest);
	if (digest)
		msg_put_flag(&f.buf, "same", false);
	relay_frame_send(&c->client, &f, p, len);
}

static void handle_sessions(struct dispatch_conn *c, const struct msg *m)
{
	const struct registry *r = &c->server->hub->registry;
	char tenant_id[AUDIT_ID_MAX + 1];
	const struct registry_tenant *t;
	struct buf list;

	buf_init(&list, SESSIONS_MAX);
	buf_char(&list, '[');
	if (msg_str(m, "tenant_id", tenant_id, sizeof(tenant_id)) == RC_OK) {
		t = registry_tenant(r, tenant_id);
		if (t)
			put_tenant_sessions(&list, t, true);
	} else {
		for (const struct map_node *n = NULL; (n = map_next(&r->tenants, n));)
			put_tenant_sessions(
				&list, MAP_ENTRY(n, const struct registry_tenant, by_id), false);
	}
	buf_char(&list, ']');
	if (list.failed)
		relay_fail(&c->client, PROBLEM_INTERNAL, NULL, 0);
	else
		send_parts(c, MSG_SESSIONS_OK, NULL, list.data, list.len);
	buf_free(&list);
}

static void handle_manifest_get(struct dispatch_conn *c, const struct msg *m)
{
	char tenant_id[AUDIT_ID_MAX + 1], have[2 * CRYPTO_HASH_LEN + 1] = "";
	const struct registry_tenant *t = NULL;
	const struct catalog_entry *e;
	struct relay_frame f;

	if (msg_str(m, "tenant_id", tenant_id, sizeof(tenant_id)) == RC_OK)
		t = registry_tenant(&c->server->hub->registry, tenant_id);
	if (!t || !t->latest) {
		relay_fail(&c->client, PROBLEM_NO_WORKER, NULL, 0);
		return;
	}
	e = t->latest->manifest;
	(void)msg_str(m, "have", have, sizeof(have));
	if (strcmp(have, e->digest) != 0) {
		send_parts(c, MSG_MANIFEST_OK, e->digest, e->text, e->len);
		return;
	}
	relay_frame_begin(&f, MSG_MANIFEST_OK, NULL);
	msg_put_str(&f.buf, "digest", e->digest);
	msg_put_flag(&f.buf, "same", true);
	relay_frame_send(&c->client, &f, NULL, 0);
}

bool dispatch_server_handle(struct dispatch_conn *c, const struct msg *m)
{
	if (m->type == MSG_DETACH) {
		relay_detach(&c->client);
		return true;
	}
	if (m->type == MSG_CALL)
		return !c->waiting && relay_call(c->server->hub, &c->client, m, clock_mono_us());
	/* One exchange at a time. */
	if (c->waiting || c->client.call || c->client.sending || m->more)
		return false;
	switch (m->type) {
	case MSG_MANY:
		c->many = dispatch_many_new(c, m);
		return true;
	case MSG_CANCEL:
		relay_cancel(c->server->hub, &c->client, m);
		return true;
	case MSG_REPLY:
		relay_reply(c->server->hub, &c->client, m);
		return true;
	case MSG_AUDIT:
		handle_audit(c, m);
		return true;
	case MSG_AUDIT_WATCH:
		handle_audit_watch(c, m);
		return true;
	case MSG_WATCH:
		handle_watch(c, m);
		return true;
	case MSG_LISTEN:
		handle_listen(c, m);
		return true;
	case MSG_FLUSH:
		handle_flush(c);
		return true;
	case MSG_STAMP:
		handle_stamp(c, m);
		return true;
	case MSG_PING:
		handle_ping(c);
		return true;
	case MSG_SESSIONS:
		handle_sessions(c, m);
		return true;
	case MSG_MANIFEST_GET:
		handle_manifest_get(c, m);
		return true;
	default:
		return false;
	}
}

/* --- connections ---------------------------------------------------------------------------- */

void dispatch_server_add(struct dispatch_conn *c)
{
	struct dispatch_server *s = c->server;

	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	s->hub->dispatch_connections++;
}

void dispatch_server_remove(struct dispatch_conn *c)
{
	struct dispatch_server *s = c->server;
	struct dispatch_conn **at;

	*(c->prev ? &c->prev->next : &s->conns) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->hub->dispatch_connections--;
	if (c->waiting)
		c->waiting->conn = NULL;
	relay_client_gone(s->hub, &c->client);
	dispatch_many_free(c->many);
	if (!c->unsent)
		return;
	at = &s->unsent;
	while (*at != c)
		at = &(*at)->next_unsent;
	*at = c->next_unsent;
}

void dispatch_server_unsent(struct dispatch_conn *c)
{
	struct dispatch_server *s = c->server;

	if (c->unsent)
		return;
	c->unsent = true;
	c->next_unsent = s->unsent;
	s->unsent = c;
}

static void on_prepare(struct ev_loop *loop, ev_prepare *w, int events)
{
	struct dispatch_server *s = w->data;
	struct dispatch_conn *c;

	(void)loop;
	(void)events;
	while ((c = s->unsent)) {
		s->unsent = c->next_unsent;
		c->unsent = false;
		dispatch_conn_flush(c);
	}
}

static void on_connection(struct ev_loop *loop, ev_io *io, int events)
{
	struct dispatch_server *s = io->data;
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	if (s->hub->dispatch_connections >= s->max) {
		s->hub->metrics.refused[METRICS_REFUSED_DISPATCH_CONNECTIONS]++;
		(void)close(fd);
		return;
	}
	(void)dispatch_conn_new(s, loop, fd);
}

static int make_socket(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mode_t before;
	bool ok;

	if (fd < 0 || !str_copy(addr.sun_path, sizeof(addr.sun_path), path)) {
		log_err("cannot make the socket %s: %s", path, strerror(errno));
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	(void)unlink(path);
	before = umask(0177);
	ok = bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0;
	(void)umask(before);
	if (ok && listen(fd, LISTEN_QUEUE) == 0)
		return fd;
	log_err("cannot listen on %s: %s", path, strerror(errno));
	(void)close(fd);
	return -1;
}

enum rc dispatch_server_open(struct ev_loop *loop, struct hub *hub, struct dispatch_server **out)
{
	struct dispatch_server *s = xcalloc(1, sizeof(*s));
	int fd = -1;

	s->hub = hub;
	s->loop = loop;
	s->max = dispatch_server_max(hub->config);
	if (config_socket_path(hub->config, "dispatch.sock", s->path) == RC_OK)
		fd = make_socket(s->path);
	if (fd < 0) {
		free(s);
		return RC_UNAVAILABLE;
	}
	ev_io_init(&s->listener, on_connection, fd, EV_READ);
	s->listener.data = s;
	ev_io_start(loop, &s->listener);
	ev_prepare_init(&s->flush, on_prepare);
	s->flush.data = s;
	ev_prepare_start(loop, &s->flush);
	*out = s;
	return RC_OK;
}

void dispatch_server_close(struct dispatch_server *s)
{
	if (!s)
		return;
	ev_io_stop(s->loop, &s->listener);
	ev_prepare_stop(s->loop, &s->flush);
	(void)close(s->listener.fd);
	(void)unlink(s->path);
	while (s->conns)
		dispatch_conn_free(s->conns);
	free(s);
}
