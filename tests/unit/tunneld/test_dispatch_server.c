#include "tests/unit/tunneld/fixture.h"

#include <ev.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "shared/audit_form.h"
#include "shared/jscan.h"
#include "shared/shelf.h"
#include "tunneld/dispatch_server.h"

struct setup {
	struct fixture *f;
	struct ev_loop *loop;
	struct dispatch_server *server;
	struct fake_worker w;
	int fd;
	struct buf in;
};

static int connect_to(const struct setup *s)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/dispatch.sock", s->f->dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static int setup(void **state)
{
	struct setup *s = xcalloc(1, sizeof(*s));

	(void)fixture_setup(state);
	s->f = *state;
	s->loop = ev_loop_new(EVFLAG_AUTO);
	assert_int_equal(dispatch_server_open(s->loop, &s->f->hub, &s->server), RC_OK);
	s->fd = connect_to(s);
	buf_init(&s->in, 1 << 24);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct setup *s = *state;
	void *f = s->f;

	(void)close(s->fd);
	if (s->w.tunnel)
		fake_disconnect(&s->w);
	hub_flush(&s->f->hub);
	dispatch_server_close(s->server);
	assert_int_equal(s->f->hub.dispatch_connections, 0);
	hub_free(&s->f->hub);
	s->f->open = false;
	ev_loop_destroy(s->loop);
	buf_free(&s->in);
	free(s);
	return fixture_teardown(&f);
}

static void turn(struct setup *s)
{
	ev_run(s->loop, EVRUN_NOWAIT);
	hub_reap(&s->f->hub);
}

static void say_on(int fd, const char *header, const char *payload)
{
	struct buf b;
	size_t start;

	buf_init(&b, MSG_MAX_DEFAULT);
	start = frame_open(&b);
	buf_printf(&b, "%s\n%s", header, payload);
	frame_close(&b, start);
	assert_int_equal(send(fd, b.data, b.len, MSG_NOSIGNAL), b.len);
	buf_free(&b);
}

static void say(struct setup *s, const char *header, const char *payload)
{
	say_on(s->fd, header, payload);
}

/* Reads until a whole message is there; fails when the server hangs up. */
static struct msg hear(struct setup *s, enum msg_type type)
{
	int64_t deadline = clock_mono_ms() + PATIENCE_MS;
	const uint8_t *body;
	size_t len, used;
	struct msg m;

	while (frame_decode(s->in.data, s->in.len, MSG_MAX_DEFAULT, &body, &len, &used) !=
		FRAME_READY) {
		uint8_t *room = buf_reserve(&s->in, 65536);
		ssize_t n;

		turn(s);
		n = recv(s->fd, room, 65536, 0);
		assert_int_not_equal(n, 0);
		if (n > 0)
			buf_commit(&s->in, (size_t)n);
		assert_true(clock_mono_ms() < deadline);
	}
	assert_int_equal(msg_parse(body, len, &m), RC_OK);
	assert_string_equal(msg_type_name(m.type), msg_type_name(type));
	return m;
}

static void forget(struct setup *s)
{
	buf_reset(&s->in);
}

static void assert_hung_up(struct setup *s)
{
	int64_t deadline = clock_mono_ms() + PATIENCE_MS;
	char byte;

	while (recv(s->fd, &byte, 1, 0) != 0) {
		assert_true(clock_mono_ms() < deadline);
		turn(s);
	}
}

static bool no_connections(void *ctx)
{
	struct setup *s = ctx;

	turn(s);
	return s->f->hub.dispatch_connections == 0;
}

static void a_ping_tells_how_things_are(void **state)
{
	struct setup *s = *state;
	struct stat st;
	struct msg m;
	char path[64], text[32];
	int64_t n;

	(void)snprintf(path, sizeof(path), "%s/dispatch.sock", s->f->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	fake_up(s->f, &s->w, "t_acme");
	say(s, "{\"t\":\"PING\"}", "");
	m = hear(s, MSG_PONG);
	assert_int_equal(msg_str(&m, "version", text, sizeof(text)), RC_OK);
	assert_string_equal(text, AIRLOCK_VERSION);
	assert_int_equal(msg_int(&m, "sessions", &n), RC_OK);
	assert_int_equal(n, 1);
	assert_int_equal(msg_int(&m, "calls", &n), RC_OK);
	assert_int_equal(n, 0);
	assert_true(msg_flag(&m, "audit_ok"));
	assert_false(msg_flag(&m, "draining"));
	assert_int_equal(msg_int(&m, "audit_free_bytes", &n), RC_OK);
	assert_true(n > 0);
}

/* Asks until PONG has this pool_version, or none when NULL. */
static void hear_pool_version(struct setup *s, const char *expected)
{
	int64_t deadline = clock_mono_ms() + PATIENCE_MS;
	char text[32];
	enum rc rc;

	do {
		struct msg m;

		assert_true(clock_mono_ms() < deadline);
		say(s, "{\"t\":\"PING\"}", "");
		m = hear(s, MSG_PONG);
		rc = msg_str(&m, "pool_version", text, sizeof(text));
		forget(s);
	} while (expected ? rc != RC_OK || strcmp(text, expected) != 0 : rc != RC_NOTFOUND);
}

/* Another pool process, which begins like this. */
static int pool_joins(struct setup *s, const char *hello)
{
	int fd = connect_to(s);

	say_on(fd, hello, "");
	return fd;
}

static void a_ping_tells_of_a_pool_process_of_another_version(void **state)
{
	static const char same[] = "{\"t\":\"MANY\",\"version\":\"" AIRLOCK_VERSION "\"}";
	struct setup *s = *state;
	int first, other, last;

	hear_pool_version(s, NULL);
	first = pool_joins(s, same);
	hear_pool_version(s, AIRLOCK_VERSION);
	other = pool_joins(s, "{\"t\":\"MANY\",\"version\":\"9.9.9\"}");
	hear_pool_version(s, "9.9.9");
	last = pool_joins(s, same);
	(void)close(other);
	hear_pool_version(s, AIRLOCK_VERSION);
	/* As before processes said it. */
	other = pool_joins(s, "{\"t\":\"MANY\"}");
	hear_pool_version(s, "unknown");
	(void)close(first);
	(void)close(other);
	(void)close(last);
	hear_pool_version(s, NULL);
}

static void an_audit_row_is_durable_when_it_is_acknowledged(void **state)
{
	struct setup *s = *state;
	struct msg m;
	char code[32];

	say(s,
		"{\"t\":\"AUDIT\",\"audit\":{\"event\":\"access.refused\",\"outcome\":"
		"\"unauthorized\",\"request_id\":\"req_7\"}}",
		"");
	(void)hear(s, MSG_AUDIT_OK);
	assert_int_equal(fixture_count(s->f, "\"request_id\":\"req_7\""), 1);
	forget(s);
	say(s, "{\"t\":\"AUDIT\",\"audit\":{\"event\":7}}", "");
	m = hear(s, MSG_FAIL);
	assert_int_equal(msg_str(&m, "code", code, sizeof(code)), RC_OK);
	assert_string_equal(code, "bad_request");
}

/* What is asked for, with hashes of 32 times this letter's byte. */
static void ask_stamp(struct setup *s, int64_t from, int64_t seq, int64_t lines, const char *runs)
{
	char header[512];

	(void)snprintf(header, sizeof(header),
		"{\"t\":\"STAMP\",\"from\":%lld,\"seq\":%lld,\"lines\":%lld,\"end\":true,"
		"\"runs\":\"%s\",\"header\":\"aGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGg=\","
		"\"digest\":\"ZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGQ=\","
		"\"prev\":\"cHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHA=\"}",
		(long long)from, (long long)seq, (long long)lines, runs);
	forget(s);
	say(s, header, "");
}

#define RUNS "cnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI="

static void a_stamp_is_signed_with_our_own_time(void **state)
{
	struct setup *s = *state;
	int64_t before = clock_wall_ms(), ms, durable;
	struct audit_stamp stamp = {.end = true, .from = 1, .lines = 2};
	struct msg m;

	say(s, "{\"t\":\"AUDIT\",\"audit\":{\"event\":\"access.refused\"}}", "");
	(void)hear(s, MSG_AUDIT_OK);
	forget(s);
	say(s, "{\"t\":\"PING\"}", "");
	m = hear(s, MSG_PONG);
	assert_int_equal(msg_int(&m, "audit_durable", &durable), RC_OK);
	assert_true(durable > 0);
	ask_stamp(s, 1, durable, 2, RUNS);
	m = hear(s, MSG_STAMP_OK);
	assert_int_equal(msg_str(&m, "ts", stamp.ts, sizeof(stamp.ts)), RC_OK);
	assert_int_equal(clock_parse(stamp.ts, &ms), RC_OK);
	assert_true(ms >= before && ms <= clock_wall_ms());
	assert_int_equal(msg_bytes(&m, "key", stamp.key, sizeof(stamp.key)), RC_OK);
	assert_memory_equal(stamp.key, s->f->cp.public_key, sizeof(stamp.key));
	assert_int_equal(msg_bytes(&m, "sig", stamp.sig, sizeof(stamp.sig)), RC_OK);
	stamp.seq = durable;
	memset(stamp.runs_hash, 'r', sizeof(stamp.runs_hash));
	memset(stamp.header, 'h', sizeof(stamp.header));
	memset(stamp.digest, 'd', sizeof(stamp.digest));
	memset(stamp.prev, 'p', sizeof(stamp.prev));
	assert_true(audit_stamp_good(&stamp));
	/* Of rows that were never written, or of none; and half of it. */
	ask_stamp(s, 1, durable + 1, 2, RUNS);
	(void)hear(s, MSG_FAIL);
	ask_stamp(s, 0, durable, 2, RUNS);
	(void)hear(s, MSG_FAIL);
	ask_stamp(s, durable + 1, durable, 2, RUNS);
	(void)hear(s, MSG_FAIL);
	ask_stamp(s, 1, durable, 1, RUNS);
	(void)hear(s, MSG_FAIL);
	ask_stamp(s, 1, durable, 2, "cnJy");
	(void)hear(s, MSG_FAIL);
	assert_int_equal(s->f->hub.metrics.refused[METRICS_REFUSED_BAD_DISPATCH], 5);
}

static void a_flush_drops_the_sessions_of_a_revoked_worker_first(void **state)
{
	struct setup *s = *state;
	struct audit_record who = fixture_who();
	struct db *db;

	fake_up(s->f, &s->w, "t_acme");
	assert_int_equal(db_open(s->f->state_path, &db), RC_OK);
	assert_int_equal(worker_revoke(db, "t_acme", s->w.tunnel->session.worker_id, &who), RC_OK);
	db_close(db);
	say(s, "{\"t\":\"FLUSH\",\"tenant_id\":\"t_acme\"}", "");
	(void)hear(s, MSG_FLUSH_OK);
	assert_int_equal(s->w.closed, 4403);
	assert_int_equal(fixture_count(s->f, "\"event\":\"worker.revoke\""), 1);
}

static void sessions_are_listed(void **state)
{
	struct setup *s = *state;
	struct fake_worker other;
	struct jscan list, key, v, field;
	struct jscan_iter it;
	struct msg m;
	int count = 0;

	fake_up(s->f, &s->w, "t_acme");
	fake_up(s->f, &other, "t_other");
	say(s, "{\"t\":\"SESSIONS\"}", "");
	m = hear(s, MSG_SESSIONS_OK);
	assert_int_equal(jscan_parse((const char *)m.payload, m.payload_len, &list), RC_OK);
	it = jscan_iter(list);
	while (jscan_next(&it, &key, &v)) {
		static const char *const fields[] = {"session_id", "worker_id", "tenant_id",
			"agent", "remote_ip", "connected_at", "calls_in_flight", "calls_total",
			"last_pong_at"};

		for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
			assert_int_equal(jscan_get(v, fields[i], &field), RC_OK);
		count++;
	}
	assert_int_equal(count, 2);
	forget(s);
	say(s, "{\"t\":\"SESSIONS\",\"tenant_id\":\"t_other\"}", "");
	m = hear(s, MSG_SESSIONS_OK);
	assert_int_equal(jscan_parse((const char *)m.payload, m.payload_len, &list), RC_OK);
	it = jscan_iter(list);
	assert_true(jscan_next(&it, &key, &v));
	assert_int_equal(jscan_get(v, "tenant_id", &field), RC_OK);
	assert_true(jscan_is_str(field, "t_other"));
	assert_false(jscan_next(&it, &key, &v));
	forget(s);
	say(s, "{\"t\":\"SESSIONS\",\"tenant_id\":\"t_none\"}", "");
	m = hear(s, MSG_SESSIONS_OK);
	assert_int_equal(m.payload_len, 2);
	fake_disconnect(&other);
}

static void the_manifest_is_sent_unless_it_is_known(void **state)
{
	struct setup *s = *state;
	struct msg m;
	char digest[65], ask[160];

	say(s, "{\"t\":\"MANIFEST_GET\",\"tenant_id\":\"t_acme\"}", "");
	(void)hear(s, MSG_FAIL);
	forget(s);
	fake_up(s->f, &s->w, "t_acme");
	say(s, "{\"t\":\"MANIFEST_GET\",\"tenant_id\":\"t_acme\"}", "");
	m = hear(s, MSG_MANIFEST_OK);
	assert_false(msg_flag(&m, "same"));
	assert_int_equal(m.payload_len, strlen(MANIFEST));
	assert_memory_equal(m.payload, MANIFEST, m.payload_len);
	assert_int_equal(msg_str(&m, "digest", digest, sizeof(digest)), RC_OK);
	forget(s);
	(void)snprintf(ask, sizeof(ask),
		"{\"t\":\"MANIFEST_GET\",\"tenant_id\":\"t_acme\",\"have\":\"%s\"}", digest);
	say(s, ask, "");
	m = hear(s, MSG_MANIFEST_OK);
	assert_true(msg_flag(&m, "same"));
	assert_int_equal(m.payload_len, 0);
}

static void a_call_goes_over_the_socket_byte_by_byte_too(void **state)
{
	struct setup *s = *state;
	struct buf b;
	struct msg m;
	size_t start;

	fake_up(s->f, &s->w, "t_acme");
	buf_init(&b, 65536);
	start = frame_open(&b);
	buf_str(&b, "{\"t\":\"CALL\"" PLAIN_CALL "}\n{\"id\":1}");
	frame_close(&b, start);
	for (size_t i = 0; i < b.len; i++) {
		assert_int_equal(send(s->fd, b.data + i, 1, MSG_NOSIGNAL), 1);
		turn(s);
	}
	buf_free(&b);
	m = fake_signed(&s->w, MSG_CALL);
	fake_result(&s->w, m.id, ",\"outcome\":\"ok\"", "{\"id\":1,\"result\":{}}");
	m = hear(s, MSG_RESULT);
	assert_int_equal(m.payload_len, 20);
	assert_int_equal(fixture_count(s->f, "\"event\":\"tool.call\""), 1);
}

static void hanging_up_cancels(void **state)
{
	struct setup *s = *state;

	fake_up(s->f, &s->w, "t_acme");
	say(s, "{\"t\":\"CALL\"" PLAIN_CALL "}", "{}");
	while (s->w.got.count == s->w.got.read)
		turn(s);
	(void)fake_signed(&s->w, MSG_CALL);
	(void)shutdown(s->fd, SHUT_RDWR);
	while (s->w.got.count == s->w.got.read)
		turn(s);
	(void)caught_next(&s->w.got, MSG_CANCEL);
	fixture_wait(s->f, no_connections, s);
}

/* --- many calls on one connection ----------------------------------------------------------- */

static void say_named(struct setup *s, struct frame_ref ref, const char *header)
{
	uint8_t name[FRAME_REF_LEN];
	struct buf b;
	size_t start;

	frame_ref_put(name, ref);
	buf_init(&b, MSG_MAX_DEFAULT);
	start = frame_open(&b);
	buf_add(&b, name, sizeof(name));
	buf_printf(&b, "%s\n{\"id\":%u}", header, ref.slot);
	frame_close(&b, start);
	assert_int_equal(send(s->fd, b.data, b.len, MSG_NOSIGNAL), b.len);
	buf_free(&b);
}

/* The next message, and the call that it belongs to. */
static struct msg hear_named(struct setup *s, enum msg_type type, struct frame_ref *ref)
{
	const uint8_t *body;
	size_t len, used;
	struct msg m;

	while (frame_decode(s->in.data, s->in.len, MSG_MAX_DEFAULT, &body, &len, &used) !=
		FRAME_READY) {
		uint8_t *room = buf_reserve(&s->in, 65536);
		ssize_t n;

		turn(s);
		n = recv(s->fd, room, 65536, 0);
		assert_int_not_equal(n, 0);
		if (n > 0)
			buf_commit(&s->in, (size_t)n);
	}
	assert_true(len > FRAME_REF_LEN);
	*ref = frame_ref_get(body);
	assert_int_equal(msg_parse(body + FRAME_REF_LEN, len - FRAME_REF_LEN, &m), RC_OK);
	assert_string_equal(msg_type_name(m.type), msg_type_name(type));
	return m;
}

static void begin_many(struct setup *s)
{
	fake_up(s->f, &s->w, "t_acme");
	say(s, "{\"t\":\"MANY\"}", "");
}

static struct msg next_call(struct setup *s)
{
	while (s->w.got.count == s->w.got.read)
		turn(s);
	return fake_signed(&s->w, MSG_CALL);
}

static void calls_on_one_connection_are_told_apart(void **state)
{
	struct setup *s = *state;
	struct frame_ref ref;
	char first[MSG_ID_MAX + 1];
	struct msg m;

	begin_many(s);
	say_named(s, (struct frame_ref){0, 1}, "{\"t\":\"CALL\"" PLAIN_CALL "}");
	m = next_call(s);
	assert_memory_equal(m.payload, "{\"id\":0}", m.payload_len);
	(void)str_copy(first, sizeof(first), m.id);
	say_named(s, (struct frame_ref){300, 7}, "{\"t\":\"CALL\"" PLAIN_CALL "}");
	m = next_call(s);
	assert_memory_equal(m.payload, "{\"id\":300}", m.payload_len);
	/* The later one is answered first. */
	fake_result(&s->w, m.id, ",\"outcome\":\"ok\"", "second");
	m = hear_named(s, MSG_RESULT, &ref);
	assert_int_equal(ref.slot, 300);
	assert_int_equal(ref.generation, 7);
	assert_memory_equal(m.payload, "second", m.payload_len);
	forget(s);
	fake_result(&s->w, first, ",\"outcome\":\"ok\"", "first");
	m = hear_named(s, MSG_RESULT, &ref);
	assert_int_equal(ref.slot, 0);
	assert_memory_equal(m.payload, "first", m.payload_len);
	assert_int_equal(fixture_count(s->f, "\"event\":\"tool.call\""), 2);
	forget(s);
	/* A slot is free once its call was answered. */
	say_named(s, (struct frame_ref){0, 2}, "{\"t\":\"CALL\"" PLAIN_CALL "}");
	(void)next_call(s);
}

static void gone_cancels_one_call_and_leaves_the_others(void **state)
{
	struct setup *s = *state;
	struct frame_ref ref;
	char other[MSG_ID_MAX + 1];
	struct msg m;

	begin_many(s);
	say_named(s, (struct frame_ref){0, 1}, "{\"t\":\"CALL\"" PLAIN_CALL "}");
	(void)next_call(s);
	say_named(s, (struct frame_ref){1, 1}, "{\"t\":\"CALL\"" PLAIN_CALL "}");
	m = next_call(s);
	(void)str_copy(other, sizeof(other), m.id);
	/* Another generation's is nobody's. */
	say_named(s, (struct frame_ref){1, 9}, "{\"t\":\"GONE\"}");
	say_named(s, (struct frame_ref){0, 1}, "{\"t\":\"GONE\"}");
	while (s->w.got.count == s->w.got.read)
		turn(s);
	(void)caught_next(&s->w.got, MSG_CANCEL);
	fake_result(&s->w, other, ",\"outcome\":\"ok\"", "{}");
	(void)hear_named(s, MSG_RESULT, &ref);
	assert_int_equal(ref.slot, 1);
	assert_int_equal(fixture_count(s->f, "\"outcome\":\"cancelled\""), 1);
}

static void a_detached_call_goes_on_for_nobody(void **state)
{
	struct setup *s = *state;
	char id[MSG_ID_MAX + 1];
	struct msg m;

	begin_many(s);
	say_named(s, (struct frame_ref){0, 1}, "{\"t\":\"CALL\"" PLAIN_CALL "}");
	m = next_call(s);
	(void)str_copy(id, sizeof(id), m.id);
	say_named(s, (struct frame_ref){0, 1}, "{\"t\":\"DETACH\"}");
	/* The slot is free at once. */
	say_named(s, (struct frame_ref){0, 2}, "{\"t\":\"CALL\"" PLAIN_CALL "}");
	(void)next_call(s);
	fake_result(&s->w, id, ",\"outcome\":\"ok\"", "{}");
	turn(s);
	assert_int_equal(fixture_count(s->f, "\"outcome\":\"cancelled\""), 0);
}

static void hanging_up_cancels_many(void **state)
{
	struct setup *s = *state;

	begin_many(s);
	for (uint32_t i = 0; i < 3; i++) {
		say_named(s, (struct frame_ref){i, 1}, "{\"t\":\"CALL\"" PLAIN_CALL "}");
		(void)next_call(s);
	}
	(void)shutdown(s->fd, SHUT_RDWR);
	for (int i = 0; i < 3; i++) {
		while (s->w.got.count == s->w.got.read)
			turn(s);
		(void)caught_next(&s->w.got, MSG_CANCEL);
	}
	fixture_wait(s->f, no_connections, s);
}

/* --- results on the shelf ------------------------------------------------------------------ */

#define PLACE ((size_t)512 * 1024) /* above the fixture's max_result_bytes */

/* MANY, with memory for long results. */
static struct shelf *begin_with_shelf(struct setup *s, size_t place_len)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec v;
	struct msghdr h = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	struct shelf *shelf;
	struct buf b;
	size_t start;
	int fd;

	fake_up(s->f, &s->w, "t_acme");
	assert_int_equal(shelf_make(1, place_len, &shelf, &fd), RC_OK);
	buf_init(&b, 1000);
	start = frame_open(&b);
	buf_printf(&b, "{\"t\":\"MANY\",\"places\":1,\"place_bytes\":%zu}\n", place_len);
	frame_close(&b, start);
	v = (struct iovec){b.data, b.len};
	control.head = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
		.cmsg_len = CMSG_LEN(sizeof(fd))};
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	assert_int_equal(sendmsg(s->fd, &h, MSG_NOSIGNAL), b.len);
	(void)close(fd);
	buf_free(&b);
	return shelf;
}

/* A call, answered in two parts. */
static void answer_in_parts(struct setup *s, uint32_t slot)
{
	char id[MSG_ID_MAX + 1];
	struct msg m;

	say_named(s, (struct frame_ref){slot, 1}, "{\"t\":\"CALL\"" PLAIN_CALL "}");
	m = next_call(s);
	(void)str_copy(id, sizeof(id), m.id);
	fake_result(&s->w, id, ",\"more\":true", "first half, ");
	fake_result(&s->w, id, ",\"outcome\":\"ok\"", "second half");
}

static void expect_on_shelf(struct setup *s, struct shelf *shelf)
{
	static const char text[] = "first half, second half";
	struct frame_ref ref;
	int64_t place, len;
	struct msg m = hear_named(s, MSG_RESULT, &ref);

	assert_false(m.more);
	assert_int_equal(m.payload_len, 0);
	assert_int_equal(msg_int(&m, "place", &place), RC_OK);
	assert_int_equal(place, 0);
	assert_int_equal(msg_int(&m, "length", &len), RC_OK);
	assert_int_equal(len, sizeof(text) - 1);
	assert_memory_equal(shelf_at(shelf, 0), text, sizeof(text) - 1);
	forget(s);
}

static void expect_through_the_socket(struct setup *s)
{
	const uint8_t *body;
	struct frame_ref ref;
	size_t len, used;
	struct msg m = hear_named(s, MSG_RESULT, &ref);

	assert_true(m.more);
	assert_memory_equal(m.payload, "first half, ", m.payload_len);
	assert_int_equal(frame_decode(s->in.data, s->in.len, MSG_MAX_DEFAULT, &body, &len, &used),
		FRAME_READY);
	buf_consume(&s->in, used);
	m = hear_named(s, MSG_RESULT, &ref);
	assert_false(m.more);
	assert_memory_equal(m.payload, "second half", m.payload_len);
	forget(s);
}

static void a_result_in_parts_is_put_on_the_shelf(void **state)
{
	struct setup *s = *state;
	struct shelf *shelf = begin_with_shelf(s, PLACE);

	answer_in_parts(s, 0);
	expect_on_shelf(s, shelf);
	assert_int_equal(fixture_count(s->f, "\"event\":\"tool.call\""), 1);
	/* The only place is with the process: the next one comes through the socket. */
	answer_in_parts(s, 1);
	expect_through_the_socket(s);
	say_named(s, (struct frame_ref){0, 1}, "{\"t\":\"PLACE_FREE\",\"place\":0}");
	answer_in_parts(s, 2);
	expect_on_shelf(s, shelf);
	shelf_drop(shelf);
}

static void a_place_filled_for_nobody_is_free_again(void **state)
{
	struct setup *s = *state;
	struct shelf *shelf = begin_with_shelf(s, PLACE);
	struct msg m;

	say_named(s, (struct frame_ref){0, 1}, "{\"t\":\"CALL\"" PLAIN_CALL "}");
	m = next_call(s);
	fake_result(&s->w, m.id, ",\"more\":true", "never whole");
	say_named(s, (struct frame_ref){0, 1}, "{\"t\":\"GONE\"}");
	while (s->w.got.count == s->w.got.read)
		turn(s);
	(void)caught_next(&s->w.got, MSG_CANCEL);
	answer_in_parts(s, 1);
	expect_on_shelf(s, shelf);
	shelf_drop(shelf);
}

static void a_place_is_given_back_once(void **state)
{
	struct setup *s = *state;
	struct shelf *shelf = begin_with_shelf(s, PLACE);

	answer_in_parts(s, 0);
	expect_on_shelf(s, shelf);
	say_named(s, (struct frame_ref){0, 1}, "{\"t\":\"PLACE_FREE\",\"place\":0}");
	say_named(s, (struct frame_ref){0, 1}, "{\"t\":\"PLACE_FREE\",\"place\":0}");
	assert_hung_up(s);
	shelf_drop(shelf);
}

/* In one piece, but long enough. */
static void a_long_result_in_one_piece_is_put_there_too(void **state)
{
	static const char text[] = "in one piece";
	struct setup *s = *state;
	struct shelf *shelf = begin_with_shelf(s, PLACE);
	size_t len = 40000;
	struct frame_ref ref;
	int64_t placed;
	struct buf b;
	struct msg m;

	say_named(s, (struct frame_ref){0, 1}, "{\"t\":\"CALL\"" PLAIN_CALL "}");
	m = next_call(s);
	buf_init(&b, 2 * len);
	buf_printf(&b, "{\"t\":\"RESULT\",\"id\":\"%s\",\"outcome\":\"ok\"}\n%s", m.id, text);
	memset(buf_reserve(&b, len), 'x', len);
	buf_commit(&b, len);
	tunnel_received(s->w.tunnel, b.data, b.len, true, clock_mono_ms());
	m = hear_named(s, MSG_RESULT, &ref);
	assert_int_equal(m.payload_len, 0);
	assert_int_equal(msg_int(&m, "length", &placed), RC_OK);
	assert_int_equal(placed, len + sizeof(text) - 1);
	assert_memory_equal(shelf_at(shelf, 0), text, sizeof(text) - 1);
	assert_int_equal(shelf_at(shelf, 0)[placed - 1], 'x');
	buf_free(&b);
	shelf_drop(shelf);
}

/* Longer results than fit there may come. */
static void a_shelf_of_short_places_is_not_used(void **state)
{
	struct setup *s = *state;
	struct shelf *shelf = begin_with_shelf(s, 4096);

	answer_in_parts(s, 0);
	expect_through_the_socket(s);
	shelf_drop(shelf);
}

static void a_slot_in_use_or_out_of_range_is_cut_off(void **state)
{
	struct setup *s = *state;

	begin_many(s);
	say_named(s, (struct frame_ref){0, 1}, "{\"t\":\"CALL\"" PLAIN_CALL "}");
	(void)next_call(s);
	say_named(s, (struct frame_ref){0, 2}, "{\"t\":\"CALL\"" PLAIN_CALL "}");
	assert_hung_up(s);
	(void)close(s->fd);
	s->fd = connect_to(s);
	say(s, "{\"t\":\"MANY\"}", "");
	say_named(s, (struct frame_ref){UINT32_MAX, 1}, "{\"t\":\"CALL\"" PLAIN_CALL "}");
	assert_hung_up(s);
}

static void what_is_out_of_turn_or_malformed_is_cut_off(void **state)
{
	static const char *const bad[] = {"garbage", "{\"t\":\"HELLO\"}", "{\"t\":\"NEVER_HEARD\"}",
		"{\"t\":\"PING\",\"more\":true}"};
	struct setup *s = *state;
	static const uint8_t too_long[4] = {0xff, 0xff, 0xff, 0xff};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		say(s, bad[i], "");
		assert_hung_up(s);
		(void)close(s->fd);
		s->fd = connect_to(s);
	}
	assert_int_equal(send(s->fd, too_long, sizeof(too_long), MSG_NOSIGNAL), sizeof(too_long));
	assert_hung_up(s);
	(void)close(s->fd);
	s->fd = connect_to(s);
	/* Two questions at once. */
	fake_up(s->f, &s->w, "t_acme");
	say(s, "{\"t\":\"CALL\"" PLAIN_CALL "}", "{}");
	say(s, "{\"t\":\"PING\"}", "");
	assert_hung_up(s);
	while (s->w.got.count < s->w.got.read + 2)
		turn(s);
	(void)caught_next(&s->w.got, MSG_CALL);
	(void)caught_next(&s->w.got, MSG_CANCEL);
}

static void a_caller_that_reads_slowly_gets_everything(void **state)
{
	struct setup *s = *state;
	size_t part = 131072, total = 0;
	char *bytes = xmalloc(part + 1);
	struct buf b;
	struct msg m;
	char id[MSG_ID_MAX + 1];
	int sent = 0;

	s->f->config.max_result_bytes = 64 << 20;
	fake_up(s->f, &s->w, "t_acme");
	say(s, "{\"t\":\"CALL\"" PLAIN_CALL "}", "{}");
	while (s->w.got.count == s->w.got.read)
		turn(s);
	m = fake_signed(&s->w, MSG_CALL);
	memcpy(id, m.id, sizeof(id));
	memset(bytes, 'x', part);
	bytes[part] = '\0';
	buf_init(&b, 1 << 20);
	for (; !s->w.paused; sent++) {
		assert_true(sent < 200);
		buf_reset(&b);
		buf_printf(&b, "{\"t\":\"RESULT\",\"id\":\"%s\",\"more\":true}\n%s", id, bytes);
		tunnel_received(s->w.tunnel, b.data, b.len, true, clock_mono_ms());
	}
	/* Held back in this process is little more than one message; the rest is the kernel's. */
	do {
		m = hear(s, MSG_RESULT);
		total += m.payload_len;
		buf_consume(&s->in,
			s->in.len < m.payload_len
				? 0
				: (size_t)(m.payload - s->in.data) + m.payload_len);
	} while (total < (size_t)sent * part);
	turn(s);
	assert_false(s->w.paused);
	fake_result(&s->w, id, ",\"outcome\":\"ok\"", "end");
	m = hear(s, MSG_RESULT);
	assert_false(m.more);
	assert_memory_equal(m.payload, "end", 3);
	buf_free(&b);
	free(bytes);
}

/* A part of a result: its number, and then a byte that tells whose it is. */
static void send_part(struct setup *s, const char *id, int number, char whose, size_t len)
{
	struct buf b;

	buf_init(&b, MSG_MAX_DEFAULT);
	buf_printf(&b, "{\"t\":\"RESULT\",\"id\":\"%s\",\"more\":true}\n%08d", id, number);
	for (size_t i = 8; i < len; i++)
		buf_char(&b, whose);
	tunnel_received(s->w.tunnel, b.data, b.len, true, clock_mono_ms());
	buf_free(&b);
}

static void long_and_short_parts_of_many_calls_keep_their_order(void **state)
{
	static const size_t lengths[] = {40000, 20, 16384, 16383};
	struct setup *s = *state;
	char ids[2][MSG_ID_MAX + 1], number[9] = "";
	int sent[2] = {0, 0}, got[2] = {0, 0};
	struct frame_ref ref;
	struct msg m;

	s->f->config.max_result_bytes = 64 << 20;
	begin_many(s);
	for (uint32_t i = 0; i < 2; i++) {
		say_named(s, (struct frame_ref){i, 1}, "{\"t\":\"CALL\"" PLAIN_CALL "}");
		m = next_call(s);
		memcpy(ids[i], m.id, sizeof(ids[i]));
	}
	/* Until the process that does not read holds the tunnel up. */
	for (int i = 0; !s->w.paused; i++) {
		assert_true(i < 1000);
		send_part(s, ids[i % 2], sent[i % 2]++, (char)('a' + i % 2), lengths[i % 4]);
	}
	while (got[0] < sent[0] || got[1] < sent[1]) {
		m = hear_named(s, MSG_RESULT, &ref);
		assert_int_equal(ref.generation, 1);
		assert_true(m.more);
		memcpy(number, m.payload, 8);
		assert_int_equal(strtol(number, NULL, 10), got[ref.slot]);
		assert_int_equal(m.payload_len, lengths[(2 * got[ref.slot] + (int)ref.slot) % 4]);
		for (size_t i = 8; i < m.payload_len; i++)
			assert_int_equal(m.payload[i], 'a' + (int)ref.slot);
		got[ref.slot]++;
		buf_consume(&s->in, (size_t)(m.payload - s->in.data) + m.payload_len);
	}
	turn(s);
	assert_false(s->w.paused);
}

static void there_is_a_limit_to_connections(void **state)
{
	struct setup *s = *state;
	size_t max = dispatch_server_max(&s->f->config);
	int *fds = xcalloc(max + 1, sizeof(*fds));
	char byte;

	for (size_t i = 0; i < max; i++) {
		fds[i] = connect_to(s);
		turn(s);
	}
	turn(s);
	assert_int_equal(s->f->hub.dispatch_connections, max);
	assert_int_equal(s->f->hub.metrics.refused[METRICS_REFUSED_DISPATCH_CONNECTIONS], 1);
	assert_int_equal(recv(fds[max - 1], &byte, 1, 0), 0);
	for (size_t i = 0; i < max; i++)
		(void)close(fds[i]);
	(void)close(s->fd);
	fixture_wait(s->f, no_connections, s);
	s->fd = connect_to(s);
	free(fds);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_ping_tells_how_things_are),
		TEST(a_ping_tells_of_a_pool_process_of_another_version),
		TEST(an_audit_row_is_durable_when_it_is_acknowledged),
		TEST(a_stamp_is_signed_with_our_own_time),
		TEST(a_flush_drops_the_sessions_of_a_revoked_worker_first),
		TEST(sessions_are_listed),
		TEST(the_manifest_is_sent_unless_it_is_known),
		TEST(a_call_goes_over_the_socket_byte_by_byte_too),
		TEST(hanging_up_cancels),
		TEST(calls_on_one_connection_are_told_apart),
		TEST(gone_cancels_one_call_and_leaves_the_others),
		TEST(a_detached_call_goes_on_for_nobody),
		TEST(hanging_up_cancels_many),
		TEST(a_slot_in_use_or_out_of_range_is_cut_off),
		TEST(what_is_out_of_turn_or_malformed_is_cut_off),
		TEST(a_caller_that_reads_slowly_gets_everything),
		TEST(long_and_short_parts_of_many_calls_keep_their_order),
		TEST(a_result_in_parts_is_put_on_the_shelf),
		TEST(a_long_result_in_one_piece_is_put_there_too),
		TEST(a_place_filled_for_nobody_is_free_again),
		TEST(a_place_is_given_back_once),
		TEST(a_shelf_of_short_places_is_not_used),
		TEST(there_is_a_limit_to_connections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
