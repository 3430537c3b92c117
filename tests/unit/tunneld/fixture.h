/* fixture: a hub on a temporary state, fake connections on both sides of it, and a worker that
 * speaks the protocol. For the tests of tunneld; each test program includes it once. */
#ifndef TESTS_TUNNELD_FIXTURE_H
#define TESTS_TUNNELD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/apikey.h"
#include "shared/clock.h"
#include "shared/db.h"
#include "shared/file.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "tunneld/hub.h"
#include "tunneld/relay.h"
#include "tunneld/tunnel.h"

#define MANIFEST                                                                              \
	"{\"serverInfo\":{\"name\":\"t\",\"version\":\"1\"},\"capabilities\":{\"tools\":{}}," \
	"\"tools\":["                                                                         \
	"{\"name\":\"execute_sql\",\"inputSchema\":{\"type\":\"object\"}},{\"name\":\"get_"   \
	"schema\",\"inputSchema\":{\"type\":\"object\"}}]}"
#define PATIENCE_MS 30000
#define SENT_MAX 64

struct fixture {
	char dir[32];
	char state_path[64], audit_path[64], snapshot_dir[64];
	struct config config;
	struct crypto_identity cp;
	struct hub hub;
	int wake;
	bool open;
};

static inline void fixture_notify(void *ctx)
{
	const uint64_t one = 1;

	assert_int_equal(write(((struct fixture *)ctx)->wake, &one, sizeof(one)), sizeof(one));
}

static inline struct audit_record fixture_who(void)
{
	struct audit_record who;

	audit_init(&who, "");
	(void)str_copy(who.actor_kind, sizeof(who.actor_kind), "operator");
	return who;
}

static inline void fixture_files(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	log_init("test", 2, LOG_FORMAT_TEXT);
	log_set_level(getenv("TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	crypto_init();
	memcpy(f->dir, "/tmp/test_tunneld.XXXXXX", sizeof("/tmp/test_tunneld.XXXXXX"));
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->state_path, sizeof(f->state_path), "%s/state.db", f->dir);
	(void)snprintf(f->audit_path, sizeof(f->audit_path), "%s/audit.jsonl", f->dir);
	(void)snprintf(f->snapshot_dir, sizeof(f->snapshot_dir), "%s/snapshots", f->dir);
	assert_int_equal(mkdir(f->snapshot_dir, 0700), 0);
	f->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(f->wake >= 0);
	crypto_identity_new(&f->cp);
	f->config = (struct config){.state_path = f->state_path,
		.audit_log_path = f->audit_path,
		.audit_index_path = (char *)"",
		.snapshot_dir = f->snapshot_dir,
		.run_dir = f->dir,
		.max_sessions_per_tenant = 2,
		.pool_processes = 1,
		.pool_threads = 4,
		.max_request_bytes = 400000,
		.max_result_bytes = 500000,
		.max_manifest_bytes = 4096,
		.call_timeout_ms = 60000,
		.calls_per_session = 3,
		.calls_per_tenant = 4,
		.heartbeat_ms = 15000,
		.heartbeat_timeout_ms = 10000,
		.handshake_timeout_ms = 10000,
		.clock_skew_s = 300,
		.drain_timeout_ms = 1000,
		.max_connections = 100,
		.streams = 6,
		.streams_per_tenant = 4,
		.call_backlog_bytes = 1 << 20,
		.stream_backlog_bytes = 4096,
		.stream_keepalive_ms = 15000,
		.audit_fsync_interval_ms = 50,
		.audit_checkpoint_rows = 1000,
		.audit_checkpoint_seconds = 60,
		.audit_archive_command = (char *)"",
		.audit_head_command = (char *)"",
		.audit_streams = 3,
		.audit_stream_backlog_bytes = 65536,
		.audit_stream_keepalive_ms = 15000};
}

static inline void fixture_database(struct fixture *f)
{
	struct audit_record who = fixture_who();
	struct tenant t;
	struct db *db;

	assert_int_equal(db_open(f->state_path, &db), RC_OK);
	assert_int_equal(db_migrate(db), RC_OK);
	assert_int_equal(tenant_create(db, "acme", "Acme", NULL, &who, &t), RC_OK);
	assert_string_equal(t.id, "t_acme");
	who = fixture_who();
	assert_int_equal(tenant_create(db, "other", "Other", NULL, &who, &t), RC_OK);
	db_close(db);
}

static inline void fixture_open(struct fixture *f)
{
	assert_int_equal(hub_open(&f->hub, &f->config, &f->cp, fixture_notify, f), RC_OK);
	f->open = true;
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	fixture_files(f);
	fixture_database(f);
	fixture_open(f);
	*state = f;
	return 0;
}

static inline void fixture_close(struct fixture *f)
{
	if (!f->open)
		return;
	while (f->hub.tunnels)
		tunnel_closed(f->hub.tunnels);
	hub_flush(&f->hub);
	hub_free(&f->hub);
	f->open = false;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	char command[64];

	fixture_close(f);
	(void)close(f->wake);
	(void)snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a path of our own */
	free(f);
	return 0;
}

/* Reaps until the condition holds; fails after PATIENCE_MS. */
static inline void fixture_wait(struct fixture *f, bool (*done)(void *ctx), void *ctx)
{
	int64_t deadline = clock_mono_ms() + PATIENCE_MS;
	struct pollfd fd = {.fd = f->wake, .events = POLLIN};
	uint64_t count;

	hub_reap(&f->hub);
	while (!done(ctx)) {
		assert_true(clock_mono_ms() < deadline);
		(void)poll(&fd, 1, 100);
		(void)!read(f->wake, &count, sizeof(count));
		hub_reap(&f->hub);
	}
}

/* The journal's text; caller frees. */
static inline char *fixture_journal(const struct fixture *f)
{
	char *text;
	size_t len;

	assert_int_equal(file_read(f->audit_path, 1 << 24, &text, &len), RC_OK);
	return text;
}

static inline int fixture_count(const struct fixture *f, const char *needle)
{
	char *text = fixture_journal(f);
	int count = 0;

	for (const char *p = text; (p = strstr(p, needle)); p++)
		count++;
	free(text);
	return count;
}

/* --- messages caught -------------------------------------------------------------------- */

struct caught {
	struct buf messages[SENT_MAX];
	size_t count, read;
};

static inline void caught_free(struct caught *c)
{
	for (size_t i = 0; i < c->count; i++)
		buf_free(&c->messages[i]);
	memset(c, 0, sizeof(*c));
}

static inline void caught_put(struct caught *c, const uint8_t *bytes, size_t len)
{
	struct buf *b = &c->messages[c->count];

	assert_true(c->count < SENT_MAX);
	c->count++;
	buf_init(b, 1 << 22);
	buf_add(b, bytes, len);
	assert_false(b->failed);
}

static inline bool caught_any(void *ctx)
{
	const struct caught *c = ctx;

	return c->read < c->count;
}

/* The next message, which must be of that type; it stays valid. */
static inline struct msg caught_next(struct caught *c, enum msg_type type)
{
	struct msg m;

	assert_true(c->read < c->count);
	assert_int_equal(msg_parse(c->messages[c->read].data, c->messages[c->read].len, &m), RC_OK);
	c->read++;
	assert_string_equal(msg_type_name(m.type), msg_type_name(type));
	return m;
}

/* --- the worker's end of a tunnel ---------------------------------------------------------- */

struct fake_worker {
	struct tunnel *tunnel;
	struct caught got;
	int closed; /* the close code that was asked for, 0 before */
	int pings;
	bool paused;
	size_t backlog;
	struct handshake_worker handshake;
	uint8_t key[CRYPTO_KEY_LEN];
	char session_id[80];
	struct crypto_identity identity; /* once it is up */
	uint64_t macs;
};

static inline void fake_send(void *ctx, struct buf *message)
{
	struct fake_worker *w = ctx;

	caught_put(&w->got, message->data + TUNNEL_HEADROOM, message->len - TUNNEL_HEADROOM);
	buf_free(message);
}

static inline void fake_ping(void *ctx)
{
	((struct fake_worker *)ctx)->pings++;
}

static inline void fake_pause(void *ctx, bool paused)
{
	((struct fake_worker *)ctx)->paused = paused;
}

static inline void fake_close(void *ctx, int code)
{
	assert_int_equal(((struct fake_worker *)ctx)->closed, 0);
	((struct fake_worker *)ctx)->closed = code;
}

static inline size_t fake_backlog(const void *ctx)
{
	return ((const struct fake_worker *)ctx)->backlog;
}

static const struct tunnel_io fake_tunnel_io = {
	fake_send, fake_ping, fake_pause, fake_close, fake_backlog};

static inline void fake_connect(struct fixture *f, struct fake_worker *w)
{
	memset(w, 0, sizeof(*w));
	w->tunnel = tunnel_new(&f->hub, &fake_tunnel_io, w, "192.0.2.7", clock_mono_ms());
}

static inline enum rc fake_hello_part(void *ctx, const struct buf *message)
{
	struct fake_worker *w = ctx;

	tunnel_received(w->tunnel, message->data, message->len, true, clock_mono_ms());
	return RC_OK;
}

static inline void fake_say(struct fake_worker *w, const char *header, const char *payload)
{
	char text[8192];
	int len = snprintf(text, sizeof(text), "%s\n%s", header, payload);

	tunnel_received(w->tunnel, (const uint8_t *)text, (size_t)len, true, clock_mono_ms());
}

static inline void fake_result(
	struct fake_worker *w, const char *id, const char *fields, const char *payload)
{
	char header[256];

	(void)snprintf(header, sizeof(header), "{\"t\":\"RESULT\",\"id\":\"%s\"%s}", id, fields);
	fake_say(w, header, payload);
}

static inline void fake_disconnect(struct fake_worker *w)
{
	tunnel_closed(w->tunnel);
	w->tunnel = NULL;
	caught_free(&w->got);
}

/* Enrolls a worker the way the product does. */
static inline void enroll(
	struct fixture *f, const char *tenant_id, struct crypto_identity *id, struct worker *out)
{
	static int count;
	struct audit_record who = fixture_who();
	struct enrollment e = {.created_at = clock_wall_s(), .expires_at = clock_wall_s() + 600};
	uint8_t hash[CRYPTO_HASH_LEN] = {(uint8_t)++count};
	struct db *db;

	crypto_identity_new(id);
	(void)snprintf(e.id, sizeof(e.id), "enrollment%d", count);
	(void)str_copy(e.tenant_id, sizeof(e.tenant_id), tenant_id);
	(void)str_copy(e.name, sizeof(e.name), "w");
	assert_int_equal(db_open(f->state_path, &db), RC_OK);
	assert_int_equal(enrollment_create(db, &e, hash, &who), RC_OK);
	who = fixture_who();
	assert_int_equal(worker_enroll(db, e.id, hash, id->public_key, "w", &who, out), RC_OK);
	db_close(db);
}

/* Answers the CHALLENGE; what the control plane says to it is then in w->got. */
static inline void fake_hello(struct fixture *f, struct fake_worker *w,
	const struct crypto_identity *id, const char *worker_id, const char *tenant_id,
	const char *manifest)
{
	struct msg challenge = caught_next(&w->got, MSG_CHALLENGE);

	memcpy(w->handshake.cp_key, f->cp.public_key, CRYPTO_PUBLIC_LEN);
	(void)str_copy(w->handshake.worker_id, sizeof(w->handshake.worker_id), worker_id);
	assert_int_equal(handshake_worker_hello(&w->handshake, &challenge, id, tenant_id,
				 "airlock-worker/0.1.0", clock_wall_ms(), manifest,
				 strlen(manifest), fake_hello_part, w),
		RC_OK);
}

static inline void fake_accepted(struct fake_worker *w)
{
	struct msg ack = caught_next(&w->got, MSG_HELLO_ACK);
	struct handshake_limits limits;

	assert_int_equal(
		handshake_worker_finish(&w->handshake, &ack, w->session_id, &limits, w->key),
		RC_OK);
	assert_int_equal(limits.part, MSG_PART_DEFAULT);
}

/* A connected worker of that tenant, new to the control plane. */
static inline void fake_up(struct fixture *f, struct fake_worker *w, const char *tenant_id)
{
	struct crypto_identity id;
	struct worker row;

	enroll(f, tenant_id, &id, &row);
	fake_connect(f, w);
	w->identity = id;
	fake_hello(f, w, &id, row.id, tenant_id, MANIFEST);
	fake_accepted(w);
}

/* The next CALL or REPLY, its MAC checked as a worker does. */
static inline struct msg fake_signed(struct fake_worker *w, enum msg_type type)
{
	struct msg m = caught_next(&w->got, type);

	assert_true(msg_mac_ok(&m, w->key, ++w->macs));
	return m;
}

/* --- the caller's end of a dispatch connection ------------------------------------------------ */

struct fake_client {
	struct client client; /* first: the relay's pointer is ours */
	struct caught got;
	size_t backlog;
};

static inline void fake_frames(struct client *client, struct buf *frames)
{
	struct fake_client *c = (struct fake_client *)(void *)client;
	const uint8_t *body;
	size_t len, used, at = 0;

	while (at < frames->len) {
		assert_int_equal(frame_decode(frames->data + at, frames->len - at, MSG_MAX_DEFAULT,
					 &body, &len, &used),
			FRAME_READY);
		caught_put(&c->got, body, len);
		at += used;
	}
	buf_free(frames);
}

static inline void fake_pass(
	struct client *client, const struct buf *header, const void *payload, size_t len)
{
	struct fake_client *c = (struct fake_client *)(void *)client;

	caught_put(&c->got, header->data, header->len);
	buf_add(&c->got.messages[c->got.count - 1], payload, len);
}

static inline size_t fake_client_backlog(const struct client *client)
{
	return ((const struct fake_client *)(const void *)client)->backlog;
}

static const struct client_io fake_client_io = {
	.send = fake_frames, .pass = fake_pass, .backlog = fake_client_backlog};

static inline void fake_client_init(struct fake_client *c)
{
	memset(c, 0, sizeof(*c));
	c->client.io = &fake_client_io;
}

static inline void fake_client_end(struct fixture *f, struct fake_client *c)
{
	relay_client_gone(&f->hub, &c->client);
	caught_free(&c->got);
}

/* A hub with a worker of t_acme and a client. */
static inline struct fixture *fake_pair(struct fake_worker *w, struct fake_client *c)
{
	void *f;

	(void)fixture_setup(&f);
	fake_up(f, w, "t_acme");
	fake_client_init(c);
	return f;
}

/* The end of all three; the client has left, or has no calls. */
static inline int fake_pair_end(struct fixture *f, struct fake_worker *w, struct fake_client *c)
{
	void *state = f;

	if (w->tunnel)
		fake_disconnect(w);
	caught_free(&w->got);
	caught_free(&c->got);
	assert_int_equal(f->hub.calls.count, 0);
	return fixture_teardown(&state);
}

/* Says a CALL; header is what follows "t". */
static inline bool fake_call(struct fixture *f, struct fake_client *c, const char *fields,
	const char *payload, size_t len)
{
	struct buf b;
	struct msg m;
	bool ok;

	buf_init(&b, MSG_MAX_DEFAULT);
	buf_printf(&b, "{\"t\":\"CALL\"%s}\n", fields);
	buf_add(&b, payload, len);
	assert_int_equal(msg_parse(b.data, b.len, &m), RC_OK);
	ok = relay_call(&f->hub, &c->client, &m, clock_mono_us());
	buf_free(&b);
	return ok;
}

#define CALL_FIELDS(extra)                                                                     \
	",\"tenant_id\":\"t_acme\",\"method\":\"tools/"                                        \
	"call\",\"tool\":\"execute_sql\",\"key_id\":\"k1\",\"key_name\":\"agent\","            \
	"\"era\":\"legacy\"" extra ",\"audit\":{\"actor_kind\":\"agent\",\"actor_id\":\"k1\"," \
	"\"request_id\":\"req_1\",\"remote_ip\":\"198.51.100.1\"}"
#define PLAIN_CALL CALL_FIELDS("")

static inline bool fake_call_plain(struct fixture *f, struct fake_client *c)
{
	return fake_call(f, c, PLAIN_CALL, "{\"id\":1}", 8);
}

/* Waits for the FAIL of that code. */
static inline struct msg fake_failed(struct fixture *f, struct fake_client *c, const char *code)
{
	char got[48];
	struct msg m;

	fixture_wait(f, caught_any, &c->got);
	m = caught_next(&c->got, MSG_FAIL);
	assert_int_equal(msg_str(&m, "code", got, sizeof(got)), RC_OK);
	assert_string_equal(got, code);
	return m;
}

#endif
