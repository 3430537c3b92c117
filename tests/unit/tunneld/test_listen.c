#include "tests/unit/tunneld/fixture.h"

#include "tunneld/listen.h"

#define SUBSCRIPTION_ID "io.modelcontextprotocol/subscriptionId"
#define CHANGED(list)                                                 \
	"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/" list \
	"/list_changed\",\"params\":{"                                \
	"\"_meta\":{\"" SUBSCRIPTION_ID "\":7}}}\n\n"
#define LEGACY_CHANGED(list) \
	"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/" list "/list_changed\"}\n\n"
#define FIELDS(tenant, key)                                      \
	",\"tenant_id\":\"" tenant "\",\"key_id\":\"" key        \
	"\",\"key_name\":\"agent\",\"headers\":\"X-Request-Id: " \
	"req_1\\r\\n\",\"audit\":{\"actor_kind\":"               \
	"\"agent\",\"request_id\":\"req_1\",\"remote_ip\":\"198.51.100.1\"}"
#define MODERN FIELDS("t_acme", "k1") ",\"era\":\"modern\",\"subscription\":7"
#define LEGACY                 \
	FIELDS("t_acme", "k1") \
	",\"era\":\"legacy\",\"tools\":true,\"prompts\":true,\"resources\":true"
#define LISTEN_REQUEST "{\"id\":7,\"method\":\"subscriptions/listen\"}"

/* What reads a stream. */
struct fake_reader {
	struct listener *listener;
	int wakes;
	bool closed, cut;
};

static void reader_wake(void *ctx)
{
	((struct fake_reader *)ctx)->wakes++;
}

static void reader_close(void *ctx, bool cut)
{
	struct fake_reader *r = ctx;

	assert_false(r->closed);
	r->closed = true;
	r->cut = cut;
}

static const struct stream_reader reader_io = {reader_wake, reader_close};

static void add_key(struct fixture *f, const char *tenant_id, const char *id, int64_t expires_at)
{
	struct audit_record who = fixture_who();
	struct api_key k = {.rate_per_minute = -1, .expires_at = expires_at};
	struct db *db;

	(void)str_copy(k.id, sizeof(k.id), id);
	(void)str_copy(k.tenant_id, sizeof(k.tenant_id), tenant_id);
	(void)str_copy(k.name, sizeof(k.name), "agent");
	(void)str_copy(
		k.hash, sizeof(k.hash), "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g");
	assert_int_equal(db_open(f->state_path, &db), RC_OK);
	assert_int_equal(api_key_create(db, &k, &who), RC_OK);
	db_close(db);
}

static int setup(void **state)
{
	int rc = fixture_setup(state);

	add_key(*state, "t_acme", "k1", 0);
	add_key(*state, "t_other", "k2", 0);
	return rc;
}

static struct listener *ask_for(
	struct fixture *f, const char *fields, const char *payload, enum problem *why)
{
	struct listener *l;
	int64_t retry_ms;
	struct buf b;
	struct msg m;

	buf_init(&b, MSG_MAX_DEFAULT);
	buf_printf(&b, "{\"t\":\"LISTEN\"%s}\n%s", fields, payload);
	assert_int_equal(msg_parse(b.data, b.len, &m), RC_OK);
	l = listen_new(&f->hub, &m, clock_mono_ms(), why, &retry_ms);
	buf_free(&b);
	return l;
}

static void open_stream(
	struct fixture *f, struct fake_reader *r, const char *fields, const char *payload)
{
	enum problem why;
	char ticket[LISTEN_TICKET_LEN + 1];

	memset(r, 0, sizeof(*r));
	r->listener = ask_for(f, fields, payload, &why);
	assert_non_null(r->listener);
	assert_null(listen_claim(&f->hub, r->listener->ticket, &reader_io, r, clock_mono_ms()));
	assert_true(listen_offer(&f->hub, r->listener, clock_mono_ms()));
	(void)str_copy(ticket, sizeof(ticket), r->listener->ticket);
	assert_ptr_equal(
		listen_claim(&f->hub, ticket, &reader_io, r, clock_mono_ms()), r->listener);
	assert_null(listen_claim(&f->hub, ticket, &reader_io, r, clock_mono_ms()));
}

static void expect(struct fake_reader *r, const char *text)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	listen_next(r->listener, &b);
	buf_char(&b, '\0');
	assert_string_equal((const char *)b.data, text);
	buf_free(&b);
}

static void close_stream(struct fixture *f, struct fake_reader *r)
{
	listen_closed(&f->hub, r->listener);
	r->listener = NULL;
}

static void worker_says(struct fake_worker *w, const char *header, const char *payload)
{
	fake_say(w, header, payload);
}

/* --- lists ---------------------------------------------------------------------------------- */

static void the_acknowledgement_comes_first(void **state)
{
	struct fixture *f = *state;
	struct fake_worker w;
	struct fake_reader r;

	open_stream(f, &r, MODERN ",\"tools\":true", "{\"ack\":1}");
	fake_up(f, &w, "t_acme");
	assert_int_equal(r.wakes, 1);
	expect(&r, ":\n\ndata: {\"ack\":1}\n\n" CHANGED("tools"));
	expect(&r, "");
	close_stream(f, &r);
	fake_disconnect(&w);
}

static void workers_that_come_and_go_are_told_of(void **state)
{
	struct fixture *f = *state;
	struct fake_worker one, two;
	struct fake_reader r;

	fake_up(f, &one, "t_acme");
	open_stream(f, &r, LEGACY, "");
	expect(&r, ":\n\n");
	fake_up(f, &two, "t_acme"); /* the same manifest, not the first worker */
	fake_disconnect(&one);
	expect(&r, "");
	fake_disconnect(&two);
	expect(&r, LEGACY_CHANGED("tools") LEGACY_CHANGED("prompts") LEGACY_CHANGED("resources"));
	close_stream(f, &r);
}

static void changed_tools_are_told_once(void **state)
{
	struct fixture *f = *state;
	struct fake_worker w;
	struct fake_reader r, deaf, other;

	fake_up(f, &w, "t_acme");
	open_stream(f, &r, MODERN ",\"tools\":true", "{}");
	open_stream(f, &deaf, MODERN ",\"prompts\":true", "{}");
	open_stream(f, &other,
		FIELDS("t_other", "k2") ",\"era\":\"modern\",\"subscription\":7,\"tools\":true",
		"{}");
	expect(&r, ":\n\ndata: {}\n\n");
	expect(&deaf, ":\n\ndata: {}\n\n");
	expect(&other, ":\n\ndata: {}\n\n");
	worker_says(&w, "{\"t\":\"MANIFEST\"}",
		"{\"serverInfo\":{\"name\":\"t\",\"version\":\"2\"},\"tools\":["
		"{\"name\":\"execute_sql\",\"inputSchema\":{\"type\":\"object\"}}]}");
	worker_says(&w, "{\"t\":\"CHANGED\",\"what\":\"tools\"}", "");
	expect(&r, CHANGED("tools"));
	expect(&deaf, "");
	expect(&other, "");
	/* Another version of the server with the same tools is no news. */
	worker_says(&w, "{\"t\":\"MANIFEST\"}",
		"{\"serverInfo\":{\"name\":\"t\",\"version\":\"3\"},\"tools\":["
		"{\"name\":\"execute_sql\",\"inputSchema\":{\"type\":\"object\"}}]}");
	expect(&r, "");
	worker_says(&w, "{\"t\":\"CHANGED\",\"what\":\"prompts\"}", "");
	worker_says(&w, "{\"t\":\"CHANGED\",\"what\":\"something new\"}", "");
	expect(&r, "");
	expect(&deaf, CHANGED("prompts"));
	worker_says(&w, "{\"t\":\"CHANGED\"}", "");
	assert_int_equal(w.closed, 4400);
	close_stream(f, &r);
	close_stream(f, &deaf);
	close_stream(f, &other);
	fake_disconnect(&w);
}

/* --- resources ------------------------------------------------------------------------------- */

/* The id of the call by which a worker was told. */
static void told(struct fake_worker *w, char id[MSG_ID_MAX + 1], const char *payload)
{
	struct msg m = fake_signed(w, MSG_CALL);
	char method[32], key_id[16];

	assert_int_equal(msg_str(&m, "method", method, sizeof(method)), RC_OK);
	assert_string_equal(method, "subscriptions/listen");
	assert_int_equal(msg_str(&m, "key_id", key_id, sizeof(key_id)), RC_OK);
	assert_string_equal(key_id, "k1");
	assert_int_equal(m.payload_len, strlen(payload));
	assert_memory_equal(m.payload, payload, m.payload_len);
	memcpy(id, m.id, MSG_ID_MAX + 1);
}

static void event(struct fake_worker *w, const char *id, const char *more, const char *payload)
{
	char header[160];

	(void)snprintf(header, sizeof(header), "{\"t\":\"EVENT\",\"id\":\"%s\"%s}", id, more);
	fake_say(w, header, payload);
}

static void a_workers_events_go_out_behind_its_acknowledgement(void **state)
{
	struct fixture *f = *state;
	char id[MSG_ID_MAX + 1];
	struct fake_worker w;
	struct fake_reader r;
	struct msg cancel;

	fake_up(f, &w, "t_acme");
	open_stream(f, &r, MODERN ",\"tools\":true,\"worker\":true", LISTEN_REQUEST);
	told(&w, id, LISTEN_REQUEST);
	worker_says(&w, "{\"t\":\"CHANGED\",\"what\":\"tools\"}", "");
	expect(&r, ":\n\n"); /* not before the acknowledgement */
	event(&w, id, "", "{\"ack\":7}");
	expect(&r, "data: {\"ack\":7}\n\n" CHANGED("tools"));
	event(&w, id, ",\"more\":true", "{\"up");
	expect(&r, "");
	event(&w, id, "", "dated\":1}");
	expect(&r, "data: {\"updated\":1}\n\n");
	assert_int_equal(w.tunnel->session.stream_count, 1);
	close_stream(f, &r);
	cancel = caught_next(&w.got, MSG_CANCEL);
	assert_string_equal(cancel.id, id);
	assert_int_equal(w.tunnel->session.stream_count, 0);
	event(&w, id, "", "{}"); /* too late: ignored */
	assert_int_equal(f->hub.metrics.stray, 1);
	fake_disconnect(&w);
}

static void a_lost_workers_streams_go_to_the_next(void **state)
{
	struct fixture *f = *state;
	char id[MSG_ID_MAX + 1];
	struct fake_worker one, two;
	struct fake_reader r;

	fake_up(f, &one, "t_acme");
	open_stream(f, &r, MODERN ",\"worker\":true", LISTEN_REQUEST);
	told(&one, id, LISTEN_REQUEST);
	event(&one, id, "", "{\"ack\":7}");
	expect(&r, ":\n\ndata: {\"ack\":7}\n\n");
	fake_disconnect(&one);
	fake_up(f, &two, "t_acme");
	told(&two, id, LISTEN_REQUEST);
	event(&two, id, "", "{\"ack\":7}"); /* the client has one already */
	event(&two, id, "", "{\"updated\":2}");
	expect(&r, "data: {\"updated\":2}\n\n");
	close_stream(f, &r);
	fake_disconnect(&two);
}

static void what_a_worker_refuses_ends_the_stream(void **state)
{
	struct fixture *f = *state;
	char id[MSG_ID_MAX + 1];
	struct fake_worker w;
	struct fake_reader r;

	fake_up(f, &w, "t_acme");
	open_stream(f, &r, MODERN ",\"worker\":true", LISTEN_REQUEST);
	told(&w, id, LISTEN_REQUEST);
	fake_result(&w, id, ",\"outcome\":\"tool_error\"", "{\"error\":{}}");
	assert_true(r.closed);
	assert_false(r.cut);
	expect(&r, "data: {\"error\":{}}\n\n");
	assert_int_equal(f->hub.metrics.streams_ended[LISTEN_END_WORKER], 1);
	close_stream(f, &r);
	fake_disconnect(&w);
}

static enum rc watch(struct fixture *f, const char *fields, const char *uri)
{
	struct buf b;
	struct msg m;
	enum rc rc;

	buf_init(&b, 4096);
	buf_printf(&b, "{\"t\":\"WATCH\",\"tenant_id\":\"t_acme\",\"key_id\":\"k1\"%s}\n%s", fields,
		uri);
	assert_int_equal(msg_parse(b.data, b.len, &m), RC_OK);
	rc = listen_watch(&f->hub, &m, clock_mono_ms());
	buf_free(&b);
	return rc;
}

static void an_older_clients_subscriptions_reach_its_stream(void **state)
{
	struct fixture *f = *state;
	struct fake_worker w;
	struct fake_reader r, other;
	struct msg call;
	char id[MSG_ID_MAX + 1];

	fake_up(f, &w, "t_acme");
	assert_int_equal(watch(f, ",\"client\":\"c1\"", "a:1"), RC_OK);
	open_stream(f, &other, LEGACY ",\"client\":\"c2\"", "");
	assert_false(caught_any(&w.got));
	open_stream(f, &r, LEGACY ",\"client\":\"c1\"", "");
	call = fake_signed(&w, MSG_CALL);
	assert_non_null(memmem(call.payload, call.payload_len, "[\"a:1\"]", 7));
	/* One more: the worker is told anew. */
	assert_int_equal(watch(f, ",\"client\":\"c1\"", "b:\"2"), RC_OK);
	(void)caught_next(&w.got, MSG_CANCEL);
	call = fake_signed(&w, MSG_CALL);
	memcpy(id, call.id, sizeof(id));
	assert_non_null(memmem(call.payload, call.payload_len, "[\"a:1\",\"b:\\\"2\"]", 15));
	event(&w, id, "", "{\"ack\":1}"); /* not for a client that asked for none */
	event(&w, id, "", "{\"updated\":1}");
	expect(&r, ":\n\ndata: {\"updated\":1}\n\n");
	expect(&other, ":\n\n");
	assert_int_equal(watch(f, ",\"client\":\"c1\",\"off\":true", "a:1"), RC_OK);
	assert_int_equal(watch(f, ",\"client\":\"c1\",\"off\":true", "b:\"2"), RC_OK);
	assert_int_equal(w.tunnel->session.stream_count, 0);
	assert_int_equal(f->hub.listens.watches.by_client.count, 0);
	close_stream(f, &r);
	close_stream(f, &other);
	fake_disconnect(&w);
}

static void subscriptions_are_bounded_and_forgotten(void **state)
{
	struct fixture *f = *state;
	char uri[WATCH_URI_MAX + 2];

	for (int i = 0; i < WATCH_URIS_MAX; i++) {
		(void)snprintf(uri, sizeof(uri), "a:%d", i);
		assert_int_equal(watch(f, "", uri), RC_OK);
		assert_int_equal(watch(f, "", uri), RC_OK);
	}
	assert_int_equal(watch(f, "", "one more"), RC_LIMIT);
	memset(uri, 'a', sizeof(uri) - 1);
	uri[sizeof(uri) - 1] = '\0';
	assert_int_equal(watch(f, ",\"client\":\"c\"", uri), RC_INVALID);
	assert_int_equal(watch(f, "", ""), RC_INVALID);
	listen_tick(&f->hub, clock_mono_ms() + WATCH_IDLE_MS - 1000);
	assert_int_equal(f->hub.listens.watches.by_client.count, 1);
	listen_tick(&f->hub, clock_mono_ms() + WATCH_IDLE_MS + 1000);
	assert_int_equal(f->hub.listens.watches.by_client.count, 0);
}

/* --- limits and ends -----------------------------------------------------------------------------
 */

static void streams_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct fake_reader r[6];
	enum problem why;

	for (int i = 0; i < 4; i++)
		open_stream(f, &r[i], LEGACY, "");
	assert_null(ask_for(f, LEGACY, "", &why));
	assert_int_equal(why, PROBLEM_OVERLOADED);
	for (int i = 4; i < 6; i++)
		open_stream(f, &r[i], FIELDS("t_other", "k2") ",\"era\":\"legacy\"", "");
	assert_null(ask_for(f, FIELDS("t_other", "k2") ",\"era\":\"legacy\"", "", &why));
	assert_int_equal(why, PROBLEM_OVERLOADED);
	assert_int_equal(f->hub.metrics.refused[METRICS_REFUSED_STREAMS], 2);
	close_stream(f, &r[0]);
	open_stream(f, &r[0], LEGACY, "");
	for (int i = 0; i < 6; i++)
		close_stream(f, &r[i]);
}

static void what_can_not_be_is_refused(void **state)
{
	static const struct {
		const char *fields, *payload;
		enum problem why;
	} cases[] = {
		{"", "", PROBLEM_BAD_REQUEST},
		{FIELDS("t_acme", "k1"), "", PROBLEM_BAD_REQUEST},
		{FIELDS("t_acme", "k1") ",\"era\":\"modern\"", "{}", PROBLEM_BAD_REQUEST},
		{MODERN, "", PROBLEM_BAD_REQUEST},
		{MODERN ",\"worker\":true", LISTEN_REQUEST, PROBLEM_NO_WORKER},
		{FIELDS("t_acme", "k2") ",\"era\":\"legacy\"", "", PROBLEM_UNAUTHORIZED},
		{FIELDS("t_acme", "none") ",\"era\":\"legacy\"", "", PROBLEM_UNAUTHORIZED},
	};
	struct fixture *f = *state;
	enum problem why;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_null(ask_for(f, cases[i].fields, cases[i].payload, &why));
		assert_int_equal(why, cases[i].why);
	}
	assert_int_equal(f->hub.listens.count, 0);
}

static void a_reader_that_takes_nothing_is_cut_off(void **state)
{
	struct fixture *f = *state;
	int64_t now = clock_mono_ms();
	char id[MSG_ID_MAX + 1], long_text[1500];
	struct fake_worker w;
	struct fake_reader r, full;

	fake_up(f, &w, "t_acme");
	open_stream(f, &r, LEGACY, "");
	for (int i = 1; i < LISTEN_UNTAKEN_MAX; i++) {
		now += 16000;
		listen_tick(&f->hub, now);
	}
	assert_false(r.closed);
	listen_tick(&f->hub, now + 16000);
	assert_true(r.closed && r.cut);
	close_stream(f, &r);

	open_stream(f, &full, MODERN ",\"worker\":true", LISTEN_REQUEST);
	told(&w, id, LISTEN_REQUEST);
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	event(&w, id, "", long_text);
	event(&w, id, "", long_text);
	assert_false(full.closed);
	event(&w, id, "", long_text); /* more than stream_backlog_bytes wait */
	assert_true(full.closed && full.cut);
	assert_int_equal(f->hub.metrics.streams_ended[LISTEN_END_TOO_SLOW], 2);
	close_stream(f, &full);
	fake_disconnect(&w);
}

static void on_flushed(struct flush_ticket *t, bool ok)
{
	(void)t;
	assert_true(ok);
}

static bool reader_closed(void *ctx)
{
	return ((const struct fake_reader *)ctx)->closed;
}

static void a_stream_ends_with_its_key(void **state)
{
	struct fixture *f = *state;
	struct audit_record who = fixture_who();
	struct flush_ticket ticket = {.done = on_flushed};
	struct fake_reader r, legacy, other;
	struct db *db;

	open_stream(f, &r, MODERN, "{}");
	open_stream(f, &legacy, LEGACY, "");
	open_stream(f, &other, FIELDS("t_other", "k2") ",\"era\":\"legacy\"", "");
	expect(&r, ":\n\ndata: {}\n\n");
	expect(&legacy, ":\n\n");
	assert_int_equal(db_open(f->state_path, &db), RC_OK);
	assert_int_equal(api_key_revoke(db, "t_acme", "k1", &who), RC_OK);
	db_close(db);
	state_writer_flush(f->hub.state, &ticket);
	fixture_wait(f, reader_closed, &r);
	assert_true(legacy.closed);
	assert_false(other.closed || r.cut);
	expect(&r,
		"data: "
		"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"resultType\":\"complete\",\"_meta\":{"
		"\"" SUBSCRIPTION_ID "\":7}}}\n\n");
	expect(&legacy, "");
	assert_true(listen_ended(r.listener));
	close_stream(f, &r);
	close_stream(f, &legacy);
	close_stream(f, &other);
	hub_flush(&f->hub);
	assert_int_equal(fixture_count(f, "\"stream.close\""), 3);
	assert_int_equal(fixture_count(f, "\"outcome\":\"key_revoked\""), 2);
	assert_int_equal(fixture_count(f, "\"outcome\":\"client_gone\""), 1);
}

static void it_ends_when_the_key_expires(void **state)
{
	struct fixture *f = *state;
	struct fake_reader r;

	add_key(f, "t_acme", "k3", clock_wall_s() + 60);
	open_stream(f, &r, FIELDS("t_acme", "k3") ",\"era\":\"legacy\"", "");
	listen_tick(&f->hub, clock_mono_ms() + 50000);
	assert_false(r.closed);
	listen_tick(&f->hub, clock_mono_ms() + 61000);
	assert_true(r.closed);
	assert_int_equal(f->hub.metrics.streams_ended[LISTEN_END_EXPIRED], 1);
	close_stream(f, &r);
}

static void the_newest_stream_of_an_older_client_counts(void **state)
{
	struct fixture *f = *state;
	struct fake_reader one, two, nameless;

	open_stream(f, &nameless, LEGACY, "");
	open_stream(f, &one, LEGACY ",\"client\":\"c1\"", "");
	open_stream(f, &two, LEGACY ",\"client\":\"c1\"", "");
	assert_true(one.closed);
	assert_false(two.closed || nameless.closed);
	close_stream(f, &one);
	close_stream(f, &two);
	close_stream(f, &nameless);
}

static void a_ticket_lasts_a_moment(void **state)
{
	struct fixture *f = *state;
	char ticket[LISTEN_TICKET_LEN + 1];
	enum problem why;
	struct listener *l = ask_for(f, LEGACY, "", &why);

	assert_true(listen_offer(&f->hub, l, clock_mono_ms()));
	(void)str_copy(ticket, sizeof(ticket), l->ticket);
	listen_tick(&f->hub, clock_mono_ms() + LISTEN_TICKET_MS + 1);
	assert_int_equal(f->hub.listens.count, 0);
	assert_null(listen_claim(&f->hub, ticket, &reader_io, NULL, clock_mono_ms()));
}

static void all_end_when_the_daemon_does(void **state)
{
	struct fixture *f = *state;
	struct fake_reader r;
	enum problem why;
	struct listener *opening, *offered;

	open_stream(f, &r, MODERN, "{}");
	opening = ask_for(f, LEGACY, "", &why);
	offered = ask_for(f, FIELDS("t_other", "k2") ",\"era\":\"legacy\"", "", &why);
	assert_true(listen_offer(&f->hub, offered, clock_mono_ms()));
	listen_end_all(&f->hub, LISTEN_END_DRAINING);
	assert_true(r.closed);
	assert_int_equal(f->hub.listens.count, 2);
	assert_false(listen_offer(&f->hub, opening, clock_mono_ms()));
	close_stream(f, &r);
	assert_int_equal(f->hub.listens.count, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(the_acknowledgement_comes_first),
		T(workers_that_come_and_go_are_told_of),
		T(changed_tools_are_told_once),
		T(a_workers_events_go_out_behind_its_acknowledgement),
		T(a_lost_workers_streams_go_to_the_next),
		T(what_a_worker_refuses_ends_the_stream),
		T(an_older_clients_subscriptions_reach_its_stream),
		T(subscriptions_are_bounded_and_forgotten),
		T(streams_are_bounded),
		T(what_can_not_be_is_refused),
		T(a_reader_that_takes_nothing_is_cut_off),
		T(a_stream_ends_with_its_key),
		T(it_ends_when_the_key_expires),
		T(the_newest_stream_of_an_older_client_counts),
		T(a_ticket_lasts_a_moment),
		T(all_end_when_the_daemon_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
