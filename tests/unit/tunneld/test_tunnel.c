#include "tests/unit/tunneld/fixture.h"

#include "shared/text.h"

#define PART ((size_t)MSG_PART_DEFAULT)

static void assert_nacked(struct fake_worker *w, const char *reason)
{
	struct msg m = caught_next(&w->got, MSG_HELLO_NACK);
	char text[48];

	assert_int_equal(msg_str(&m, "reason", text, sizeof(text)), RC_OK);
	assert_string_equal(text, reason);
	assert_int_equal(w->closed, 4401);
}

/* Waits until the journal has n rows that hold needle. */
struct rows {
	struct fixture *f;
	const char *needle;
	int n;
};

static bool rows_there(void *ctx)
{
	const struct rows *r = ctx;

	return fixture_count(r->f, r->needle) >= r->n;
}

static void wait_rows(struct fixture *f, const char *needle, int n)
{
	struct rows r = {f, needle, n};

	fixture_wait(f, rows_there, &r);
	assert_int_equal(fixture_count(f, needle), n);
}

static void a_worker_is_let_in_and_remembered(void **state)
{
	struct fixture *f = *state;
	struct fake_worker w;
	struct worker row;
	struct tenant tenant;

	fake_up(f, &w, "t_acme");
	assert_string_equal(w.session_id, w.tunnel->session.id);
	assert_memory_equal(w.key, w.tunnel->key, sizeof(w.key));
	assert_null(w.tunnel->greeting);
	assert_null(w.tunnel->parts.data);
	assert_int_equal(f->hub.greeting_bytes, 0);
	assert_int_equal(f->hub.registry.session_count, 1);
	assert_int_equal(f->hub.metrics.hello, 1);
	wait_rows(f, "\"event\":\"session.open\"", 1);
	wait_rows(f, "\"remote_ip\":\"192.0.2.7\"", 1);
	fake_disconnect(&w);
	assert_int_equal(f->hub.registry.session_count, 0);
	wait_rows(f, "\"event\":\"session.close\"", 1);
	wait_rows(f, "\"outcome\":\"closed\"", 1);
	fixture_close(f);
	fixture_open(f);
	assert_int_equal(
		worker_with_tenant(f->hub.db, w.handshake.worker_id, &row, &tenant), RC_OK);
	assert_string_equal(row.version, "0.1.0");
	assert_true(row.last_seen_at > 0);
}

static void an_idle_tunnel_takes_little_memory(void **state)
{
	(void)state;
	assert_true(sizeof(struct tunnel) < 2048);
}

static void every_reason_to_refuse(void **state)
{
	struct fixture *f = *state;
	struct crypto_identity id, other;
	struct worker row;
	struct fake_worker w;
	struct audit_record who = fixture_who();
	struct db *db;
	struct tenant t;

	enroll(f, "t_acme", &id, &row);
	crypto_identity_new(&other);
	assert_int_equal(db_open(f->state_path, &db), RC_OK);

	fake_connect(f, &w);
	fake_hello(f, &w, &id, "w_nobody", "t_acme", MANIFEST);
	assert_nacked(&w, "unknown_worker");
	fake_disconnect(&w);
	fake_connect(f, &w);
	fake_hello(f, &w, &id, row.id, "t_other", MANIFEST);
	assert_nacked(&w, "unknown_worker");
	fake_disconnect(&w);
	fake_connect(f, &w);
	fake_hello(f, &w, &other, row.id, "t_acme", MANIFEST);
	assert_nacked(&w, "bad_signature");
	fake_disconnect(&w);
	fake_connect(f, &w);
	fake_hello(f, &w, &id, row.id, "t_acme", "[]");
	assert_nacked(&w, "bad_manifest");
	fake_disconnect(&w);
	fake_connect(f, &w);
	fake_hello(f, &w, &id, row.id, "t_acme",
		"{\"serverInfo\":{\"name\":\"t\",\"version\":\"1\"},\"tools\":[],\"note\":"
		"\"postgres://u:p@h/d\"}");
	assert_nacked(&w, "database_url_rejected");
	fake_disconnect(&w);

	f->hub.draining = true;
	fake_connect(f, &w);
	fake_hello(f, &w, &id, row.id, "t_acme", MANIFEST);
	assert_nacked(&w, "draining");
	fake_disconnect(&w);
	f->hub.draining = false;

	assert_int_equal(tenant_suspend(db, "t_acme", true, &who, &t), RC_OK);
	fake_connect(f, &w);
	fake_hello(f, &w, &id, row.id, "t_acme", MANIFEST);
	assert_nacked(&w, "tenant_suspended");
	fake_disconnect(&w);
	who = fixture_who();
	assert_int_equal(worker_revoke(db, "t_acme", row.id, &who), RC_OK);
	fake_connect(f, &w);
	fake_hello(f, &w, &id, row.id, "t_acme", MANIFEST);
	assert_nacked(&w, "revoked");
	fake_disconnect(&w);
	db_close(db);

	wait_rows(f, "\"event\":\"session.refused\"", 8);
	/* Whom a stranger claims to be is never taken for a worker or a tenant. */
	assert_int_equal(fixture_count(f, "\"target\":\"w_nobody\""), 1);
	assert_int_equal(fixture_count(f, "\"worker_id\":\"w_nobody\""), 0);
	assert_int_equal(f->hub.metrics.nacks[NACK_UNKNOWN_WORKER], 2);
	assert_int_equal(f->hub.registry.session_count, 0);
}

static void a_header_can_be_wrong_in_version_clock_and_nonce(void **state)
{
	struct fixture *f = *state;
	struct crypto_identity id;
	struct worker row;
	struct fake_worker w;
	struct msg challenge;

	enroll(f, "t_acme", &id, &row);
	/* An old clock. */
	fake_connect(f, &w);
	challenge = caught_next(&w.got, MSG_CHALLENGE);
	memcpy(w.handshake.cp_key, f->cp.public_key, CRYPTO_PUBLIC_LEN);
	(void)str_copy(w.handshake.worker_id, sizeof(w.handshake.worker_id), row.id);
	assert_int_equal(
		handshake_worker_hello(&w.handshake, &challenge, &id, "t_acme", "a/1",
			clock_wall_ms() - 3600000, MANIFEST, strlen(MANIFEST), fake_hello_part, &w),
		RC_OK);
	assert_nacked(&w, "clock_or_nonce");
	fake_disconnect(&w);
	/* A version of the future. */
	fake_connect(f, &w);
	(void)caught_next(&w.got, MSG_CHALLENGE);
	{
		static const uint8_t zeros[64];
		char zero32[TEXT_B64_LEN(32) + 1], zero64[TEXT_B64_LEN(64) + 1], header[1024];

		text_b64(zeros, 32, zero32);
		text_b64(zeros, 64, zero64);
		(void)snprintf(header, sizeof(header),
			"{\"t\":\"HELLO\",\"version\":\"99\",\"worker_id\":\"%s\",\"tenant_id\":"
			"\"t_acme\",\"agent\":\"a/1\",\"nonce\":\"%s\","
			"\"echo\":\"%s\",\"eph\":\"%s\",\"ts\":1,\"sig\":\"%s\"}",
			row.id, zero32, zero32, zero32, zero64);
		fake_say(&w, header, MANIFEST);
	}
	assert_nacked(&w, "unsupported_version");
	fake_disconnect(&w);
	assert_int_equal(f->hub.metrics.nacks[NACK_CLOCK_OR_NONCE], 1);
	assert_int_equal(f->hub.metrics.nacks[NACK_UNSUPPORTED_VERSION], 1);
}

static void the_cap_holds_and_a_second_handshake_replaces_the_first(void **state)
{
	struct fixture *f = *state;
	struct crypto_identity id;
	struct worker row;
	struct fake_worker a, b, again, c;

	enroll(f, "t_acme", &id, &row);
	fake_connect(f, &a);
	fake_hello(f, &a, &id, row.id, "t_acme", MANIFEST);
	fake_accepted(&a);
	fake_up(f, &b, "t_acme");
	fake_connect(f, &again);
	fake_hello(f, &again, &id, row.id, "t_acme", MANIFEST);
	fake_accepted(&again);
	assert_int_equal(a.closed, 4409);
	assert_int_equal(f->hub.registry.session_count, 2);

	enroll(f, "t_acme", &id, &row);
	fake_connect(f, &c);
	fake_hello(f, &c, &id, row.id, "t_acme", MANIFEST);
	assert_nacked(&c, "tenant_session_cap_reached");
	fake_disconnect(&a);
	fake_disconnect(&b);
	fake_disconnect(&c);
	assert_int_equal(f->hub.registry.session_count, 1);
	fake_disconnect(&again);
}

static void a_manifest_comes_in_parts_and_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct crypto_identity id;
	struct worker row;
	struct fake_worker w;
	char *big = xmalloc(3 * PART);

	enroll(f, "t_acme", &id, &row);
	f->config.max_manifest_bytes = (int64_t)(4 * PART);
	memset(big, ' ', 3 * PART);
	memcpy(big, MANIFEST, strlen(MANIFEST));
	big[3 * PART - 1] = '\0';
	fake_connect(f, &w);
	fake_hello(f, &w, &id, row.id, "t_acme", big);
	fake_accepted(&w);
	assert_int_equal(f->hub.metrics.tunnel_in[MSG_HELLO], 3);
	assert_int_equal(f->hub.metrics.hello, 1);
	assert_int_equal(w.tunnel->session.manifest->len, strlen(big));
	fake_disconnect(&w);

	f->config.max_manifest_bytes = (int64_t)(2 * PART);
	fake_connect(f, &w);
	fake_hello(f, &w, &id, row.id, "t_acme", big);
	assert_nacked(&w, "bad_manifest");
	fake_disconnect(&w);

	/* Parts of nobody's manifest are not collected. */
	fake_connect(f, &w);
	fake_hello(f, &w, &id, "w_nobody", "t_acme", big);
	assert_nacked(&w, "unknown_worker");
	assert_int_equal(f->hub.metrics.tunnel_in[MSG_HELLO], 3 + 3 + 1);
	fake_disconnect(&w);
	free(big);
}

static void strangers_share_a_bounded_memory(void **state)
{
	static const char known[] = "{\"t\":\"MANIFEST\"}\n";
	struct fixture *f = *state;
	uint8_t *piece = xcalloc(1, 1 << 20);
	struct fake_worker w;

	fake_connect(f, &w);
	tunnel_received(w.tunnel, piece, 4096, false, clock_mono_ms());
	assert_int_equal(f->hub.greeting_bytes, 4096);
	assert_int_equal(w.closed, 0);
	tunnel_received(w.tunnel, piece, 1 << 20, false, clock_mono_ms());
	assert_int_equal(w.closed, 4400);
	tunnel_received(w.tunnel, piece, 1, false, clock_mono_ms());
	assert_int_equal(f->hub.greeting_bytes, 0);
	fake_disconnect(&w);
	fake_up(f, &w, "t_acme");
	memcpy(piece, known, sizeof(known) - 1);
	tunnel_received(w.tunnel, piece, 1 << 20, false, clock_mono_ms());
	assert_int_equal(w.closed, 0);
	fake_disconnect(&w);
	free(piece);
}

static void what_breaks_the_protocol_ends_the_session(void **state)
{
	static const struct {
		bool in_handshake;
		const char *bytes;
	} cases[] = {
		{true, "garbage"},
		{true, "{\"t\":\"HELLO\"}\n"},
		{true, "{\"t\":\"RESULT\",\"id\":\"c_1\",\"outcome\":\"ok\"}\n"},
		{false, "no newline"},
		{false, "{\"t\":\"EVENT\",\"t\":\"EVENT\",\"id\":\"c_1\"}\n"},
		{false, "{\"t\":\"HELLO\"}\n"},
		{false, "{\"t\":\"CALL\",\"id\":\"c_1\"}\n"},
		{false, "{\"t\":\"AUDIT\"}\n"},
		{false, "{\"t\":\"RESULT\",\"outcome\":\"ok\"}\n"},
		{false, "{\"t\":\"EVENT\"}\n"},
		{false, "{\"t\":\"SNAPSHOT\"}\n{\"snapshot_id\":\"../../x\"}"},
		{false, "{\"t\":\"SNAPSHOT\"}\nnot json"},
		{false, "{\"t\":\"SNAPSHOT_GONE\",\"snapshot_id\":\"../x\"}\n"},
		{false, "{\"t\":\"SNAPSHOT_GONE\"}\n"},
		{false, "{\"t\":\"MANIFEST\"}\n[]"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_worker w;

		if (cases[i].in_handshake)
			fake_connect(f, &w);
		else
			fake_up(f, &w, "t_acme");
		tunnel_received(w.tunnel, (const uint8_t *)cases[i].bytes, strlen(cases[i].bytes),
			true, clock_mono_ms());
		assert_int_equal(w.closed, 4400);
		assert_int_equal(f->hub.registry.session_count, 0);
		/* What comes after that is not even looked at. */
		fake_say(&w, "{\"t\":\"GOAWAY\"}", "");
		fake_disconnect(&w);
	}
	assert_int_equal(f->hub.metrics.closed_4400, sizeof(cases) / sizeof(cases[0]));
}

static void what_is_not_known_is_counted_and_ignored(void **state)
{
	struct fixture *f = *state;
	struct fake_worker w;

	fake_connect(f, &w);
	fake_say(&w, "{\"t\":\"FUTURE\",\"x\":1}", "");
	fake_disconnect(&w);
	fake_up(f, &w, "t_acme");
	fake_say(&w, "{\"t\":\"FUTURE\",\"x\":1}", "anything");
	fake_say(&w, "{\"t\":\"RESULT\",\"id\":\"c_gone\",\"outcome\":\"ok\"}", "{}");
	fake_say(&w, "{\"t\":\"EVENT\",\"id\":\"c_gone\"}", "{}");
	assert_int_equal(w.closed, 0);
	assert_int_equal(f->hub.metrics.tunnel_in[MSG_UNKNOWN], 2);
	assert_int_equal(f->hub.metrics.stray, 2);
	fake_disconnect(&w);
}

static void silence_ends_the_handshake_and_the_session(void **state)
{
	struct fixture *f = *state;
	struct fake_worker w;
	int64_t now = clock_mono_ms();

	fake_connect(f, &w);
	assert_true(f->hub.armed_ms <= now + 10001);
	hub_tick(&f->hub, now + 9000);
	assert_int_equal(w.closed, 0);
	hub_tick(&f->hub, now + 10100);
	assert_int_equal(w.closed, 4408);
	fake_disconnect(&w);

	fake_up(f, &w, "t_acme");
	now = clock_mono_ms();
	hub_tick(&f->hub, now + 14000);
	assert_int_equal(w.pings, 0);
	hub_tick(&f->hub, now + 15100);
	assert_int_equal(w.pings, 1);
	tunnel_pong(w.tunnel, now + 15200);
	hub_tick(&f->hub, now + 26000);
	assert_int_equal(w.closed, 0);
	hub_tick(&f->hub, now + 30300);
	assert_int_equal(w.pings, 2);
	hub_tick(&f->hub, now + 40200);
	assert_int_equal(w.closed, 0);
	hub_tick(&f->hub, now + 40400);
	assert_int_equal(w.closed, 4408);
	assert_int_equal(f->hub.registry.session_count, 0);
	assert_int_equal(f->hub.armed_ms, DEADLINE_NEVER);
	fake_disconnect(&w);
	wait_rows(f, "\"outcome\":\"heartbeat_timeout\"", 1);
}

static void a_busy_or_paused_worker_is_not_taken_for_dead(void **state)
{
	struct fixture *f = *state;
	struct fake_worker w;
	int64_t now;

	fake_up(f, &w, "t_acme");
	now = clock_mono_ms();
	hub_tick(&f->hub, now + 15100);
	tunnel_received(w.tunnel, (const uint8_t *)"{\"t\":\"FUTURE\"}\n", 15, true, now + 20000);
	hub_tick(&f->hub, now + 25200);
	assert_int_equal(w.closed, 0);
	hub_tick(&f->hub, now + 40300);
	tunnel_pause(w.tunnel);
	assert_true(w.paused);
	hub_tick(&f->hub, now + 50400);
	assert_int_equal(w.closed, 0);
	tunnel_resume(w.tunnel);
	assert_false(w.paused);
	fake_disconnect(&w);
}

static bool closed(void *ctx)
{
	return ((struct fake_worker *)ctx)->closed != 0;
}

static void a_revoked_worker_and_a_suspended_tenant_drop_at_once(void **state)
{
	struct fixture *f = *state;
	struct fake_worker a, b, o;
	struct audit_record who = fixture_who();
	struct tenant t;
	struct db *db;

	fake_up(f, &a, "t_acme");
	fake_up(f, &b, "t_acme");
	fake_up(f, &o, "t_other");
	assert_int_equal(db_open(f->state_path, &db), RC_OK);
	assert_int_equal(worker_revoke(db, "t_acme", a.tunnel->session.worker_id, &who), RC_OK);
	fixture_wait(f, closed, &a);
	assert_int_equal(a.closed, 4403);
	assert_int_equal(b.closed, 0);
	who = fixture_who();
	assert_int_equal(tenant_suspend(db, "t_acme", true, &who, &t), RC_OK);
	fixture_wait(f, closed, &b);
	assert_int_equal(b.closed, 4403);
	assert_int_equal(o.closed, 0);
	who = fixture_who();
	assert_int_equal(tenant_delete(db, "t_other", &who), RC_OK);
	fixture_wait(f, closed, &o);
	assert_int_equal(o.closed, 4403);
	db_close(db);
	fake_disconnect(&a);
	fake_disconnect(&b);
	fake_disconnect(&o);
}

static bool has_sidecar(void *ctx)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/t_acme/snap_abcdefgh234567ab.json",
		((struct fixture *)ctx)->snapshot_dir);
	return access(path, R_OK) == 0;
}

static bool has_no_sidecar(void *ctx)
{
	return !has_sidecar(ctx);
}

static void snapshots_are_noted_beside_the_state(void **state)
{
	struct fixture *f = *state;
	struct fake_worker w;
	char sidecar[512];

	fake_up(f, &w, "t_acme");
	(void)snprintf(sidecar, sizeof(sidecar),
		"{\"snapshot_id\":\"snap_abcdefgh234567ab\",\"engine\":\"sqlite\",\"created_at\":%"
		"lld,\"expires_at\":%lld,\"bytes\":10,"
		"\"tables\":[{\"name\":\"customers\",\"rows\":1,\"masked_columns\":[\"email\"],"
		"\"excluded_columns\":[]}],\"row\":\"secret\"}",
		(long long)clock_wall_ms(), (long long)clock_wall_ms() + 60000);
	fake_say(&w, "{\"t\":\"SNAPSHOT\"}", sidecar);
	assert_int_equal(w.closed, 0);
	fixture_wait(f, has_sidecar, f);
	fake_say(&w, "{\"t\":\"SNAPSHOT_GONE\",\"snapshot_id\":\"snap_abcdefgh234567ab\"}", "");
	fixture_wait(f, has_no_sidecar, f);
	fake_disconnect(&w);
}

static void a_manifest_can_be_replaced(void **state)
{
	struct fixture *f = *state;
	struct fake_worker w;

	fake_up(f, &w, "t_acme");
	assert_false(catalog_has_tool(w.tunnel->session.manifest, "later"));
	fake_say(&w, "{\"t\":\"MANIFEST\",\"more\":true}",
		"{\"serverInfo\":{\"name\":\"t\",\"version\":\"2\"},\"capabilities\":{},");
	assert_false(catalog_has_tool(w.tunnel->session.manifest, "later"));
	fake_say(&w, "{\"t\":\"MANIFEST\"}",
		"\"tools\":[{\"name\":\"later\",\"inputSchema\":{\"type\":\"object\"}}]}");
	assert_int_equal(w.closed, 0);
	assert_true(catalog_has_tool(w.tunnel->session.manifest, "later"));
	assert_null(w.tunnel->parts.data);
	fake_disconnect(&w);
}

static void everybody_is_told_to_go(void **state)
{
	struct fixture *f = *state;
	struct fake_worker a, stranger;
	struct msg m;
	int64_t retry;

	fake_up(f, &a, "t_acme");
	fake_connect(f, &stranger);
	tunnel_goaway_all(&f->hub, 500);
	m = caught_next(&a.got, MSG_GOAWAY);
	assert_int_equal(msg_int(&m, "retry_after_ms", &retry), RC_OK);
	assert_int_equal(retry, 500);
	tunnel_end_all(&f->hub, TUNNEL_END_GOING_AWAY);
	assert_int_equal(a.closed, 1001);
	assert_int_equal(stranger.closed, 1001);
	fake_disconnect(&a);
	fake_disconnect(&stranger);
	assert_int_equal(f->hub.tunnel_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_worker_is_let_in_and_remembered),
		cmocka_unit_test(an_idle_tunnel_takes_little_memory),
		TEST(every_reason_to_refuse),
		TEST(a_header_can_be_wrong_in_version_clock_and_nonce),
		TEST(the_cap_holds_and_a_second_handshake_replaces_the_first),
		TEST(a_manifest_comes_in_parts_and_is_bounded),
		TEST(strangers_share_a_bounded_memory),
		TEST(what_breaks_the_protocol_ends_the_session),
		TEST(what_is_not_known_is_counted_and_ignored),
		TEST(silence_ends_the_handshake_and_the_session),
		TEST(a_busy_or_paused_worker_is_not_taken_for_dead),
		TEST(a_revoked_worker_and_a_suspended_tenant_drop_at_once),
		TEST(snapshots_are_noted_beside_the_state),
		TEST(a_manifest_can_be_replaced),
		TEST(everybody_is_told_to_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
