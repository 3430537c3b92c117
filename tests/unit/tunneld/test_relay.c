#include "tests/unit/tunneld/fixture.h"

#include "shared/jscan.h"

struct setup {
	struct fixture *f;
	struct fake_worker w;
	struct fake_client c;
};

static int setup(void **state)
{
	struct setup *s = xcalloc(1, sizeof(*s));

	s->f = fake_pair(&s->w, &s->c);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct setup *s = *state;
	int rc = fake_pair_end(s->f, &s->w, &s->c);

	free(s);
	return rc;
}

/* The journal's last row about a call. */
static char *call_row(const struct fixture *f)
{
	char *text = fixture_journal(f), *line = NULL, *found = NULL;

	for (line = text; line && *line;) {
		char *end = strchr(line, '\n');

		if (end)
			*end = '\0';
		if (strstr(line, "\"event\":\"tool.call\"") ||
			strstr(line, "\"event\":\"mcp.request\"")) {
			free(found);
			found = xstrdup(line);
		}
		line = end ? end + 1 : NULL;
	}
	free(text);
	assert_non_null(found);
	return found;
}

static void assert_row(const struct fixture *f, const char *outcome, const char *const *parts)
{
	char *row = call_row(f), want[64];

	(void)snprintf(want, sizeof(want), "\"outcome\":\"%s\"", outcome);
	assert_non_null(strstr(row, want));
	for (; parts && *parts; parts++)
		if (!strstr(row, *parts))
			fail_msg("%s is not in %s", *parts, row);
	free(row);
}

static void assert_rows(const struct fixture *f, int n)
{
	assert_int_equal(fixture_count(f, "\"event\":\"tool.call\""), n);
}

static void a_call_crosses_and_its_row_is_durable_before_the_answer(void **state)
{
	static const char *const parts[] = {"\"tenant_id\":\"t_acme\"", "\"tool\":\"execute_sql\"",
		"\"method\":\"tools/call\"", "\"actor_kind\":\"agent\"", "\"key_id\":\"k1\"",
		"\"request_id\":\"req_1\"", "\"remote_ip\":\"198.51.100.1\"",
		"\"snapshot_id\":\"snap_abcdefgh234567ab\"", "\"latency_ms\":", "\"bytes_in\":8",
		"\"bytes_out\":11", "\"session_id\":\"s_", "\"worker_id\":\"w_", NULL};
	struct setup *s = *state;
	struct msg call, result;
	char id[MSG_ID_MAX + 1], text[64];
	int64_t n;

	assert_true(fake_call(s->f, &s->c,
		CALL_FIELDS(",\"timeout_ms\":5000,\"traceparent\":\"00-ab-cd-01\""), "{\"id\":1}",
		8));
	call = fake_signed(&s->w, MSG_CALL);
	memcpy(id, call.id, sizeof(id));
	assert_int_equal(call.payload_len, 8);
	assert_memory_equal(call.payload, "{\"id\":1}", 8);
	assert_int_equal(msg_str(&call, "tool", text, sizeof(text)), RC_OK);
	assert_string_equal(text, "execute_sql");
	assert_int_equal(msg_str(&call, "request_id", text, sizeof(text)), RC_OK);
	assert_string_equal(text, "req_1");
	assert_int_equal(msg_str(&call, "key_name", text, sizeof(text)), RC_OK);
	assert_string_equal(text, "agent");
	assert_int_equal(msg_str(&call, "traceparent", text, sizeof(text)), RC_OK);
	assert_int_equal(msg_int(&call, "timeout_ms", &n), RC_OK);
	assert_int_equal(n, 5000);
	/* What is for the control plane alone does not go to the worker. */
	assert_int_equal(msg_field(&call, "audit").kind, JSCAN_NONE);
	assert_int_equal(msg_field(&call, "tenant_id").kind, JSCAN_NONE);

	fake_result(&s->w, id, ",\"outcome\":\"ok\",\"snapshot_id\":\"snap_abcdefgh234567ab\"",
		"\"result\":1}");
	assert_int_equal(s->c.got.count, 0);
	fixture_wait(s->f, caught_any, &s->c.got);
	assert_row(s->f, "ok", parts);
	result = caught_next(&s->c.got, MSG_RESULT);
	assert_string_equal(result.id, id);
	assert_false(result.more);
	assert_int_equal(msg_str(&result, "outcome", text, sizeof(text)), RC_OK);
	assert_string_equal(text, "ok");
	assert_int_equal(result.payload_len, 11);
	assert_memory_equal(result.payload, "\"result\":1}", 11);
	assert_rows(s->f, 1);
	assert_null(s->c.client.call);
	/* A second answer is nobody's. */
	fake_result(&s->w, id, ",\"outcome\":\"ok\"", "{}");
	assert_int_equal(s->f->hub.metrics.stray, 1);
	assert_int_equal(
		metrics_tool(&s->f->hub.metrics, "execute_sql", true)->outcomes[OUTCOME_OK], 1);
}

static void requests_in_parts_are_passed_on_in_signed_parts(void **state)
{
	struct setup *s = *state;
	struct msg m;
	char id[MSG_ID_MAX + 1];

	assert_true(fake_call(s->f, &s->c, ",\"more\":true" PLAIN_CALL, "{\"a\":", 5));
	assert_true(fake_call(s->f, &s->c, ",\"more\":true", "1,", 2));
	assert_true(fake_call(s->f, &s->c, "", "2}", 2));
	m = fake_signed(&s->w, MSG_CALL);
	memcpy(id, m.id, sizeof(id));
	assert_true(m.more);
	m = fake_signed(&s->w, MSG_CALL);
	assert_true(m.more);
	assert_string_equal(m.id, id);
	assert_memory_equal(m.payload, "1,", 2);
	m = fake_signed(&s->w, MSG_CALL);
	assert_false(m.more);
	assert_string_equal(m.id, id);

	fake_result(&s->w, id, ",\"outcome\":\"ok\"", "{}");
	fixture_wait(s->f, caught_any, &s->c.got);
	(void)caught_next(&s->c.got, MSG_RESULT);
	assert_row(s->f, "ok", (const char *const[]){"\"bytes_in\":9", NULL});
}

/* A call that the worker has got: its id. */
static void begin_call(struct setup *s, char id[MSG_ID_MAX + 1])
{
	struct msg m;

	assert_true(fake_call_plain(s->f, &s->c));
	m = fake_signed(&s->w, MSG_CALL);
	memcpy(id, m.id, MSG_ID_MAX + 1);
}

static void an_event(struct setup *s, const char *id, const char *payload)
{
	char header[256];

	(void)snprintf(header, sizeof(header), "{\"t\":\"EVENT\",\"id\":\"%s\"}", id);
	fake_say(&s->w, header, payload);
}

static void results_in_parts_and_events_are_passed_on_at_once(void **state)
{
	struct setup *s = *state;
	struct msg m;
	char id[MSG_ID_MAX + 1];

	begin_call(s, id);
	an_event(s, id, "progress");
	fake_result(&s->w, id, ",\"more\":true", "first ");
	/* Without waiting for any disk. */
	m = caught_next(&s->c.got, MSG_EVENT);
	assert_string_equal(m.id, id);
	assert_memory_equal(m.payload, "progress", 8);
	m = caught_next(&s->c.got, MSG_RESULT);
	assert_true(m.more);
	assert_memory_equal(m.payload, "first ", 6);
	fake_result(&s->w, id, ",\"outcome\":\"tool_error\"", "last");
	assert_int_equal(s->c.got.count, 2);
	fixture_wait(s->f, caught_any, &s->c.got);
	m = caught_next(&s->c.got, MSG_RESULT);
	assert_false(m.more);
	assert_row(s->f, "tool_error", (const char *const[]){"\"bytes_out\":10", NULL});
}

static void a_message_longer_than_a_frame_arrives_whole(void **state)
{
	struct setup *s = *state;
	size_t len = 1048576 + 5000;
	struct buf b;
	struct msg m;

	s->f->config.max_result_bytes = 4 << 20;
	assert_true(fake_call_plain(s->f, &s->c));
	m = fake_signed(&s->w, MSG_CALL);
	buf_init(&b, MSG_MAX_DEFAULT);
	buf_printf(&b, "{\"t\":\"RESULT\",\"id\":\"%s\",\"outcome\":\"ok\"}\n", m.id);
	for (size_t i = 0; i < len; i++)
		buf_char(&b, (char)('a' + i % 23));
	tunnel_received(s->w.tunnel, b.data, b.len, true, clock_mono_ms());
	fixture_wait(s->f, caught_any, &s->c.got);
	m = caught_next(&s->c.got, MSG_RESULT);
	assert_true(m.more);
	assert_memory_equal(m.payload, b.data + b.len - len, m.payload_len);
	len -= m.payload_len;
	m = caught_next(&s->c.got, MSG_RESULT);
	assert_false(m.more);
	assert_int_equal(m.payload_len, len);
	assert_memory_equal(m.payload, b.data + b.len - len, len);
	buf_free(&b);
}

static void a_call_that_outlives_its_time_is_cancelled(void **state)
{
	struct setup *s = *state;
	struct msg m;
	char reason[32];

	assert_true(fake_call(s->f, &s->c, CALL_FIELDS(",\"timeout_ms\":2000"), "{}", 2));
	(void)fake_signed(&s->w, MSG_CALL);
	relay_tick(&s->f->hub, clock_mono_ms() + 1900);
	assert_ptr_not_equal(s->c.client.call, NULL);
	relay_tick(&s->f->hub, clock_mono_ms() + 2100);
	m = caught_next(&s->w.got, MSG_CANCEL);
	assert_int_equal(msg_str(&m, "reason", reason, sizeof(reason)), RC_OK);
	assert_string_equal(reason, "timeout");
	(void)fake_failed(s->f, &s->c, "timeout");
	assert_row(s->f, "timeout", NULL);
	assert_rows(s->f, 1);
}

static bool no_calls(void *ctx)
{
	return ((struct fixture *)ctx)->hub.calls.count == 0;
}

static void a_caller_that_hangs_up_cancels(void **state)
{
	struct setup *s = *state;
	struct msg m;
	char reason[32];

	assert_true(fake_call_plain(s->f, &s->c));
	(void)fake_signed(&s->w, MSG_CALL);
	relay_client_gone(&s->f->hub, &s->c.client);
	m = caught_next(&s->w.got, MSG_CANCEL);
	assert_int_equal(msg_str(&m, "reason", reason, sizeof(reason)), RC_OK);
	assert_string_equal(reason, "client_gone");
	fixture_wait(s->f, no_calls, s->f);
	assert_row(s->f, "cancelled", NULL);
	assert_rows(s->f, 1);
	assert_int_equal(s->c.got.count, 0);
	/* Hanging up while the row of a finished call is on its way changes nothing. */
	assert_true(fake_call_plain(s->f, &s->c));
	m = fake_signed(&s->w, MSG_CALL);
	fake_result(&s->w, m.id, ",\"outcome\":\"ok\"", "{}");
	relay_client_gone(&s->f->hub, &s->c.client);
	fixture_wait(s->f, no_calls, s->f);
	assert_row(s->f, "ok", NULL);
	assert_rows(s->f, 2);
}

static void calls_of_a_lost_session_end(void **state)
{
	struct setup *s = *state;
	struct fake_client other;

	fake_client_init(&other);
	assert_true(fake_call_plain(s->f, &s->c));
	assert_true(fake_call_plain(s->f, &other));
	fake_disconnect(&s->w);
	(void)fake_failed(s->f, &s->c, "no_worker");
	(void)fake_failed(s->f, &other, "no_worker");
	assert_row(s->f, "no_worker", (const char *const[]){"\"worker_id\":\"w_", NULL});
	assert_rows(s->f, 2);
	caught_free(&other.got);
}

static void a_worker_that_breaks_the_protocol_takes_its_calls_along(void **state)
{
	static const char *const bad[] = {"", ",\"outcome\":\"no_worker\"", ",\"outcome\":7",
		",\"outcome\":\"ok\",\"snapshot_id\":\"../etc\""};
	struct setup *s = *state;
	struct msg m;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_true(fake_call_plain(s->f, &s->c));
		m = fake_signed(&s->w, MSG_CALL);
		fake_result(&s->w, m.id, bad[i], "{}");
		assert_int_equal(s->w.closed, 4400);
		(void)fake_failed(s->f, &s->c, "protocol_error");
		assert_row(s->f, "protocol_error", NULL);
		fake_disconnect(&s->w);
		fake_up(s->f, &s->w, "t_acme");
	}
}

static void a_result_over_the_limit_is_cut_off(void **state)
{
	struct setup *s = *state;
	char id[MSG_ID_MAX + 1];

	s->f->config.max_result_bytes = 10;
	begin_call(s, id);
	fake_result(&s->w, id, ",\"more\":true", "12345678");
	(void)caught_next(&s->c.got, MSG_RESULT);
	fake_result(&s->w, id, ",\"outcome\":\"ok\"", "901");
	(void)caught_next(&s->w.got, MSG_CANCEL);
	(void)fake_failed(s->f, &s->c, "result_too_large");
	assert_row(s->f, "too_large", NULL);
	assert_int_equal(s->w.closed, 0);
}

static void a_request_over_the_limit_is_cut_off(void **state)
{
	struct setup *s = *state;

	s->f->config.max_request_bytes = 10;
	assert_true(fake_call(s->f, &s->c, ",\"more\":true" PLAIN_CALL, "12345678", 8));
	(void)fake_signed(&s->w, MSG_CALL);
	assert_true(fake_call(s->f, &s->c, ",\"more\":true", "901", 3));
	(void)caught_next(&s->w.got, MSG_CANCEL);
	/* The rest is still on its way, and is dropped. */
	assert_true(fake_call(s->f, &s->c, "", "2", 1));
	(void)fake_failed(s->f, &s->c, "too_large");
	assert_row(s->f, "too_large", NULL);
	assert_true(fake_call(s->f, &s->c, PLAIN_CALL, "12345678901", 11));
	(void)fake_failed(s->f, &s->c, "too_large");
	assert_rows(s->f, 2);
	assert_int_equal(s->w.got.count, s->w.got.read);
}

static void each_refusal_has_its_code_and_its_row(void **state)
{
	struct setup *s = *state;
	struct fake_client more[4];
	struct msg m;
	int64_t retry;

	/* Three on the session: it is full. */
	for (int i = 0; i < 4; i++)
		fake_client_init(&more[i]);
	for (int i = 0; i < 3; i++)
		assert_true(fake_call_plain(s->f, &more[i]));
	assert_true(fake_call_plain(s->f, &s->c));
	(void)fake_failed(s->f, &s->c, "overloaded");
	assert_row(s->f, "overloaded", NULL);
	/* The tenant's own limit. */
	s->f->config.calls_per_tenant = 3;
	assert_true(fake_call_plain(s->f, &s->c));
	(void)fake_failed(s->f, &s->c, "overloaded");
	assert_int_equal(s->f->hub.metrics.refused[METRICS_REFUSED_SESSION_CALLS], 1);
	assert_int_equal(s->f->hub.metrics.refused[METRICS_REFUSED_TENANT_CALLS], 1);
	/* The key's rate: with a time to come back. */
	assert_true(fake_call(s->f, &s->c, CALL_FIELDS(",\"rate\":1"), "{}", 2));
	(void)fake_failed(s->f, &s->c, "overloaded");
	assert_true(fake_call(s->f, &s->c, CALL_FIELDS(",\"rate\":1"), "{}", 2));
	m = fake_failed(s->f, &s->c, "rate_limited");
	assert_int_equal(msg_int(&m, "retry_after_ms", &retry), RC_OK);
	assert_true(retry > 50000 && retry <= 60000);
	assert_rows(s->f, 4);
	for (int i = 0; i < 3; i++)
		fake_client_end(s->f, &more[i]);
	/* Nobody there. */
	s->w.tunnel->session.leaving = true;
	assert_true(fake_call_plain(s->f, &s->c));
	(void)fake_failed(s->f, &s->c, "no_worker");
	assert_row(s->f, "no_worker", (const char *const[]){"\"request_id\":\"req_1\"", NULL});
	/* Neither of these has a row. */
	assert_rows(s->f, 4 + 3 + 1);
	assert_true(fake_call(s->f, &s->c, ",\"tenant_id\":\"t_acme\"", "{}", 2));
	(void)fake_failed(s->f, &s->c, "bad_request");
	s->f->hub.draining = true;
	assert_true(fake_call_plain(s->f, &s->c));
	(void)fake_failed(s->f, &s->c, "draining");
	assert_rows(s->f, 8);
	fixture_wait(s->f, no_calls, s->f);
}

static void a_full_queue_to_a_worker_keeps_new_calls_away(void **state)
{
	struct setup *s = *state;

	s->w.backlog = 2 << 20;
	assert_true(fake_call_plain(s->f, &s->c));
	assert_true(s->w.tunnel->session.congested);
	relay_client_gone(&s->f->hub, &s->c.client);
	assert_true(fake_call_plain(s->f, &s->c));
	(void)fake_failed(s->f, &s->c, "overloaded");
	s->w.backlog = 0;
	tunnel_drained(s->w.tunnel);
	assert_true(fake_call_plain(s->f, &s->c));
	relay_client_gone(&s->f->hub, &s->c.client);
	fixture_wait(s->f, no_calls, s->f);
}

static void a_slow_caller_stops_its_tunnel_until_it_has_caught_up(void **state)
{
	struct setup *s = *state;
	char id[MSG_ID_MAX + 1];

	begin_call(s, id);
	s->c.backlog = 300000;
	fake_result(&s->w, id, ",\"more\":true", "x");
	assert_true(s->w.paused);
	relay_client_drained(&s->c.client);
	assert_false(s->w.paused);
	fake_result(&s->w, id, ",\"more\":true", "x");
	assert_true(s->w.paused);
	/* One that hangs up holds nobody. */
	relay_client_gone(&s->f->hub, &s->c.client);
	assert_false(s->w.paused);
	assert_int_equal(s->w.tunnel->pauses, 0);
	fixture_wait(s->f, no_calls, s->f);
}

static void a_caller_that_leaves_events_unread_holds_nobody_and_is_let_go(void **state)
{
	struct setup *s = *state;
	char id[MSG_ID_MAX + 1];

	begin_call(s, id);
	s->c.backlog = 1 << 20; /* limits.call_backlog_bytes */
	an_event(s, id, "x");
	fake_result(&s->w, id, ",\"more\":true", "x");
	assert_false(s->w.paused);
	s->c.backlog++;
	fake_result(&s->w, id, ",\"more\":true", "x");
	assert_int_equal(s->f->hub.metrics.refused[METRICS_REFUSED_CALL_BACKLOG], 0);
	an_event(s, id, "x");
	assert_int_equal(s->f->hub.metrics.refused[METRICS_REFUSED_CALL_BACKLOG], 1);
	assert_false(s->w.paused);
	(void)caught_next(&s->w.got, MSG_CANCEL);
	fixture_wait(s->f, no_calls, s->f);
}

static void a_backlog_of_many_calls_is_nobodys(void **state)
{
	struct setup *s = *state;
	char id[MSG_ID_MAX + 1];

	s->c.client.shared = true;
	begin_call(s, id);
	s->c.backlog = 2 << 20;
	an_event(s, id, "x");
	assert_true(s->w.paused);
	assert_int_equal(s->f->hub.metrics.refused[METRICS_REFUSED_CALL_BACKLOG], 0);
	/* The process says itself whose agent is slow. */
	relay_client_slow(&s->f->hub, &s->c.client);
	assert_false(s->w.paused);
	assert_int_equal(s->f->hub.metrics.refused[METRICS_REFUSED_CALL_BACKLOG], 1);
	fixture_wait(s->f, no_calls, s->f);
}

static void only_one_call_at_a_time(void **state)
{
	struct setup *s = *state;

	assert_true(fake_call_plain(s->f, &s->c));
	assert_false(fake_call_plain(s->f, &s->c));
	relay_client_gone(&s->f->hub, &s->c.client);
	fixture_wait(s->f, no_calls, s->f);
}

static void an_agents_answer_finds_its_call(void **state)
{
	struct setup *s = *state;
	struct fake_client other;
	struct msg m;
	char id[MSG_ID_MAX + 1], text[256];

	fake_client_init(&other);
	begin_call(s, id);
	(void)snprintf(text, sizeof(text),
		"{\"t\":\"REPLY\",\"id\":\"%s\",\"tenant_id\":\"t_acme\"}\nyes", id);
	assert_int_equal(msg_parse((const uint8_t *)text, strlen(text), &m), RC_OK);
	relay_reply(&s->f->hub, &other.client, &m);
	(void)caught_next(&other.got, MSG_REPLY);
	m = fake_signed(&s->w, MSG_REPLY);
	assert_string_equal(m.id, id);
	assert_memory_equal(m.payload, "yes", 3);
	/* Another tenant does not get at it. */
	(void)snprintf(text, sizeof(text),
		"{\"t\":\"REPLY\",\"id\":\"%s\",\"tenant_id\":\"t_other\"}\nyes", id);
	assert_int_equal(msg_parse((const uint8_t *)text, strlen(text), &m), RC_OK);
	relay_reply(&s->f->hub, &other.client, &m);
	(void)fake_failed(s->f, &other, "not_found");
	assert_int_equal(s->w.got.count, s->w.got.read);
	relay_client_gone(&s->f->hub, &s->c.client);
	fixture_wait(s->f, no_calls, s->f);
	caught_free(&other.got);
}

static void the_shutdown_ends_calls_with_their_rows(void **state)
{
	struct setup *s = *state;

	assert_true(fake_call_plain(s->f, &s->c));
	(void)fake_signed(&s->w, MSG_CALL);
	relay_abort_all(&s->f->hub);
	(void)caught_next(&s->w.got, MSG_CANCEL);
	(void)fake_failed(s->f, &s->c, "draining");
	assert_row(s->f, "cancelled", NULL);
}

static void other_methods_are_relayed_too_and_not_counted_as_tool_calls(void **state)
{
	struct setup *s = *state;
	struct msg m;

	assert_true(fake_call(s->f, &s->c,
		",\"tenant_id\":\"t_acme\",\"method\":\"resources/"
		"list\",\"audit\":{\"actor_kind\":\"agent\"}",
		"{}", 2));
	m = fake_signed(&s->w, MSG_CALL);
	fake_result(&s->w, m.id, ",\"outcome\":\"ok\"", "{}");
	fixture_wait(s->f, caught_any, &s->c.got);
	assert_int_equal(fixture_count(s->f, "\"event\":\"mcp.request\""), 1);
	assert_rows(s->f, 0);
	assert_int_equal(s->f->hub.metrics.requests[OUTCOME_OK], 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_call_crosses_and_its_row_is_durable_before_the_answer),
		TEST(requests_in_parts_are_passed_on_in_signed_parts),
		TEST(results_in_parts_and_events_are_passed_on_at_once),
		TEST(a_message_longer_than_a_frame_arrives_whole),
		TEST(a_call_that_outlives_its_time_is_cancelled),
		TEST(a_caller_that_hangs_up_cancels),
		TEST(calls_of_a_lost_session_end),
		TEST(a_worker_that_breaks_the_protocol_takes_its_calls_along),
		TEST(a_result_over_the_limit_is_cut_off),
		TEST(a_request_over_the_limit_is_cut_off),
		TEST(each_refusal_has_its_code_and_its_row),
		TEST(a_full_queue_to_a_worker_keeps_new_calls_away),
		TEST(a_slow_caller_stops_its_tunnel_until_it_has_caught_up),
		TEST(a_caller_that_leaves_events_unread_holds_nobody_and_is_let_go),
		TEST(a_backlog_of_many_calls_is_nobodys),
		TEST(only_one_call_at_a_time),
		TEST(an_agents_answer_finds_its_call),
		TEST(the_shutdown_ends_calls_with_their_rows),
		TEST(other_methods_are_relayed_too_and_not_counted_as_tool_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
