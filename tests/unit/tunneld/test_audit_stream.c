/* Streams of the audit log: a ticket is good once and for a while, signs of life go out and are
 * counted, and a stream ends when its credential does, its reader goes or the daemon drains. What
 * goes out is test_audit_feed.c's matter. */
#include "tests/unit/tunneld/fixture.h"

#include "tunneld/audit_stream.h"

struct fake_reader {
	struct audit_stream *stream;
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

static bool offer(struct fixture *f, const char *fields, int64_t now_ms,
	char ticket[AUDIT_STREAM_TICKET_LEN + 1], enum problem *why)
{
	struct buf b;
	struct msg m;
	bool ok;

	buf_init(&b, MSG_MAX_DEFAULT);
	buf_printf(&b, "{\"t\":\"AUDIT_WATCH\"%s}\n", fields);
	assert_int_equal(msg_parse(b.data, b.len, &m), RC_OK);
	ok = audit_stream_offer(&f->hub, &m, now_ms, ticket, why);
	buf_free(&b);
	return ok;
}

static void open_stream(
	struct fixture *f, struct fake_reader *r, const char *fields, int64_t now_ms)
{
	char ticket[AUDIT_STREAM_TICKET_LEN + 1];
	enum problem why;

	*r = (struct fake_reader){0};
	assert_true(offer(f, fields, now_ms, ticket, &why));
	r->stream = audit_stream_claim(&f->hub, ticket, &reader_io, r, now_ms);
	assert_non_null(r->stream);
	assert_null(audit_stream_claim(&f->hub, ticket, &reader_io, r, now_ms)); /* good once */
}

/* Takes what is to be written; caller frees. */
static char *taken(struct fixture *f, struct fake_reader *r)
{
	struct buf b;
	char *text;

	buf_init(&b, 1 << 20);
	audit_stream_next(&f->hub, r->stream, &b);
	text = buf_steal(&b);
	assert_non_null(text);
	return text;
}

static void takes(struct fixture *f, struct fake_reader *r, const char *expected)
{
	char *text = taken(f, r);

	assert_string_equal(text, expected);
	free(text);
}

static bool woken(void *ctx)
{
	return ((struct fake_reader *)ctx)->wakes > 0;
}

/* The feed's first word, which comes from its thread. */
static void begin(struct fixture *f, struct fake_reader *r, const char *fields, int64_t now_ms)
{
	char *text;

	open_stream(f, r, fields, now_ms);
	fixture_wait(f, woken, r);
	text = taken(f, r);
	assert_int_equal(strncmp(text, ":\n\nevent: start\nid: ", 20), 0);
	free(text);
}

static void a_ticket_is_good_once_and_not_for_long(void **state)
{
	struct fixture *f = *state;
	struct fake_reader r = {0};
	char ticket[AUDIT_STREAM_TICKET_LEN + 1];
	enum problem why;

	assert_true(offer(f, "", 1000, ticket, &why));
	assert_int_equal(audit_stream_due(&f->hub.audit_streams), 1000 + AUDIT_STREAM_TICKET_MS);
	audit_stream_tick(&f->hub, 1000 + AUDIT_STREAM_TICKET_MS);
	assert_null(audit_stream_claim(&f->hub, ticket, &reader_io, &r, 1000));
	assert_int_equal(f->hub.audit_streams.count, 0);
	assert_null(audit_stream_claim(&f->hub, "", &reader_io, &r, 1000));
	begin(f, &r, ",\"event\":\"tenant.create\"", 1000);
	audit_stream_closed(&f->hub, r.stream);
	assert_int_equal(f->hub.audit_streams.count, 0);
}

static void no_more_than_allowed_and_nothing_malformed(void **state)
{
	static const char *const wrong[] = {",\"after\":-1", ",\"after\":\"x\"", ",\"tenant\":7",
		",\"q\":\"\\\"\"", ",\"expires_at\":\"soon\""};
	struct fixture *f = *state;
	struct fake_reader r[3];
	char ticket[AUDIT_STREAM_TICKET_LEN + 1];
	enum problem why;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_false(offer(f, wrong[i], 0, ticket, &why));
		assert_int_equal(why, PROBLEM_BAD_REQUEST);
	}
	assert_int_equal(f->hub.metrics.refused[METRICS_REFUSED_BAD_DISPATCH], 5);
	for (int i = 0; i < 3; i++)
		open_stream(f, &r[i], "", 0);
	assert_false(offer(f, "", 0, ticket, &why));
	assert_int_equal(why, PROBLEM_OVERLOADED);
	assert_int_equal(f->hub.metrics.refused[METRICS_REFUSED_AUDIT_STREAMS], 1);
	for (int i = 0; i < 3; i++)
		audit_stream_closed(&f->hub, r[i].stream);
	assert_true(offer(f, "", 0, ticket, &why));
	audit_stream_end_all(&f->hub);
	assert_int_equal(f->hub.audit_streams.count, 0);
}

/* Whoever takes them is there; whoever takes four in a row of them not is cut off. */
static void signs_of_life(void **state)
{
	struct fixture *f = *state;
	int64_t now = 0, pause = f->config.audit_stream_keepalive_ms;
	struct fake_reader r;

	begin(f, &r, ",\"event\":\"no.such\"", now);
	for (int i = 0; i < 2 * AUDIT_STREAM_UNTAKEN_MAX; i++) {
		r.wakes = 0;
		assert_int_equal(audit_stream_due(&f->hub.audit_streams), now + pause);
		audit_stream_tick(&f->hub, now += pause);
		assert_int_equal(r.wakes, 1);
		takes(f, &r, ":\n\n");
		takes(f, &r, "");
	}
	for (int i = 0; i < AUDIT_STREAM_UNTAKEN_MAX; i++)
		audit_stream_tick(&f->hub, now += pause);
	assert_false(r.closed);
	audit_stream_tick(&f->hub, now + pause);
	assert_true(r.closed && r.cut);
	assert_true(audit_stream_ended(r.stream));
	assert_int_equal(f->hub.audit_streams.too_slow, 1);
	assert_int_equal(f->hub.audit_streams.count, 1); /* until its connection is gone */
	audit_stream_closed(&f->hub, r.stream);
	assert_int_equal(f->hub.audit_streams.count, 0);
}

static void ends_with_its_credential_and_with_the_daemon(void **state)
{
	struct fixture *f = *state;
	struct fake_reader session, other;
	char fields[80];

	(void)snprintf(fields, sizeof(fields), ",\"event\":\"no.such\",\"expires_at\":%lld",
		(long long)clock_wall_s() + 10);
	begin(f, &session, fields, 0);
	begin(f, &other, ",\"event\":\"no.such\"", 0);
	audit_stream_tick(&f->hub, 8000);
	assert_false(session.closed);
	audit_stream_tick(&f->hub, 10000);
	assert_true(session.closed && !session.cut);
	assert_false(other.closed);
	takes(f, &session, "event: end\ndata: {\"reason\":\"session_expired\"}\n\n");
	takes(f, &session, "");
	audit_stream_end_all(&f->hub);
	assert_true(other.closed && !other.cut);
	takes(f, &other, "event: end\ndata: {\"reason\":\"draining\"}\n\n");
	audit_stream_closed(&f->hub, session.stream);
	audit_stream_closed(&f->hub, other.stream);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_ticket_is_good_once_and_not_for_long),
		TEST(no_more_than_allowed_and_nothing_malformed),
		TEST(signs_of_life),
		TEST(ends_with_its_credential_and_with_the_daemon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
