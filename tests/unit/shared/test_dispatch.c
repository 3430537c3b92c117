#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/audit.h"
#include "shared/clock.h"
#include "shared/dispatch.h"

/* The other side is this test itself: what it writes before the client reads waits in the kernel.
 */
struct daemon {
	char dir[40];
	char path[60];
	int listener;
	int peer;
};

static int start(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct daemon *t = calloc(1, sizeof(*t));

	strcpy(t->dir, "/tmp/test_dispatch.XXXXXX");
	if (!mkdtemp(t->dir))
		return -1;
	(void)snprintf(t->path, sizeof(t->path), "%s/s", t->dir);
	strcpy(addr.sun_path, t->path);
	t->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	t->peer = -1;
	*state = t;
	return bind(t->listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(t->listener, 8);
}

static int stop(void **state)
{
	struct daemon *t = *state;

	dispatch_mine_drop();
	(void)close(t->listener);
	if (t->peer >= 0)
		(void)close(t->peer);
	(void)unlink(t->path);
	(void)rmdir(t->dir);
	free(t);
	return 0;
}

static void take_peer(struct daemon *t)
{
	if (t->peer >= 0)
		(void)close(t->peer);
	t->peer = accept(t->listener, NULL, NULL);
	assert_true(t->peer >= 0);
}

static struct dispatch *connected(struct daemon *t)
{
	struct dispatch *d;

	assert_int_equal(dispatch_open(t->path, &d), RC_OK);
	take_peer(t);
	return d;
}

static void answer_bytes(struct daemon *t, const void *bytes, size_t len)
{
	assert_int_equal(send(t->peer, bytes, len, MSG_NOSIGNAL), len);
}

/* Frames and sends one message text. */
static void answer(struct daemon *t, const char *text)
{
	struct buf b;
	size_t at;

	buf_init(&b, 4 << 20);
	at = frame_open(&b);
	buf_str(&b, text);
	frame_close(&b, at);
	answer_bytes(t, b.data, b.len);
	buf_free(&b);
}

static void heard(struct daemon *t, const void *want, size_t len)
{
	char got[2048];

	assert_int_equal(recv(t->peer, got, sizeof(got), 0), len);
	assert_memory_equal(got, want, len);
}

/* True when the client's end is closed. */
static bool peer_closed(struct daemon *t)
{
	struct pollfd fd = {.fd = t->peer, .events = POLLIN};
	char byte;

	return poll(&fd, 1, 2000) == 1 && recv(t->peer, &byte, 1, 0) == 0;
}

static void an_absent_daemon_is_unavailable(void **state)
{
	struct daemon *t = *state;
	struct dispatch *d;
	char path[300];
	bool fresh;

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(dispatch_open(path, &d), RC_LIMIT);
	(void)snprintf(path, sizeof(path), "%s/none", t->dir);
	assert_int_equal(dispatch_open(path, &d), RC_UNAVAILABLE);
	assert_int_equal(dispatch_mine(path, &d, &fresh), RC_UNAVAILABLE);
}

static void sends_framed_messages(void **state)
{
	struct daemon *t = *state;
	struct dispatch *d = connected(t);
	struct buf *b;

	b = dispatch_message(d);
	msg_begin(b, MSG_CALL, NULL);
	msg_put_flag(b, "more", true);
	msg_end(b, "ab", 2);
	assert_int_equal(dispatch_send(d), RC_OK);
	heard(t, "\0\0\0\x1b{\"t\":\"CALL\",\"more\":true}\nab", 31);
	b = dispatch_message(d);
	msg_begin(b, MSG_CALL, NULL);
	msg_end(b, "c", 1);
	assert_int_equal(dispatch_send(d), RC_OK);
	heard(t, "\0\0\0\xe{\"t\":\"CALL\"}\nc", 18);
	dispatch_close(d);
	assert_true(peer_closed(t));
}

static void waits_for_whole_messages(void **state)
{
	static const char wire[] = "\0\0\0\x11{\"t\":\"RESULT\"}\nhi\0\0\0\xe{\"t\":\"EVENT\"}"
				   "\n\0\0\0\xf{\"t\":\"RESULT\"}\n";
	struct daemon *t = *state;
	struct dispatch *d = connected(t);
	struct msg m;

	for (size_t i = 0; i < 20; i++) {
		answer_bytes(t, wire + i, 1);
		assert_int_equal(dispatch_wait(d, -1, 0, &m), DISPATCH_TIMEOUT);
	}
	answer_bytes(t, wire + 20, sizeof(wire) - 1 - 20);
	assert_int_equal(dispatch_wait(d, -1, clock_mono_ms() + 30000, &m), DISPATCH_MESSAGE);
	assert_int_equal(m.type, MSG_RESULT);
	assert_int_equal(m.payload_len, 2);
	assert_memory_equal(m.payload, "hi", 2);
	/* The others came with it. */
	assert_int_equal(dispatch_wait(d, -1, 0, &m), DISPATCH_MESSAGE);
	assert_int_equal(m.type, MSG_EVENT);
	assert_int_equal(dispatch_wait(d, -1, 0, &m), DISPATCH_MESSAGE);
	assert_int_equal(m.type, MSG_RESULT);
	assert_int_equal(dispatch_wait(d, -1, clock_mono_ms() + 20, &m), DISPATCH_TIMEOUT);
	dispatch_close(d);
}

static void *send_big(void *arg)
{
	struct daemon *t = arg;
	size_t len = MSG_MAX_DEFAULT;
	char *text = malloc(len + 1);

	memset(text, 'x', len);
	memcpy(text, "{\"t\":\"RESULT\"}\n", 15);
	text[len] = '\0';
	answer(t, text);
	free(text);
	return NULL;
}

static void takes_the_largest_message(void **state)
{
	struct daemon *t = *state;
	struct dispatch *d = connected(t);
	pthread_t sender;
	struct msg m;

	assert_int_equal(pthread_create(&sender, NULL, send_big, t), 0);
	assert_int_equal(dispatch_wait(d, -1, clock_mono_ms() + 30000, &m), DISPATCH_MESSAGE);
	assert_int_equal(m.payload_len, MSG_MAX_DEFAULT - 15);
	assert_int_equal(m.payload[m.payload_len - 1], 'x');
	assert_int_equal(pthread_join(sender, NULL), 0);
	dispatch_close(d);
}

static void nonsense_loses_the_daemon(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {{"\xff\xff\xff\xff", 4}, {"\0\x10\x20\x01", 4}, {"\0\0\0\0", 4},
		{"\0\0\0\3[]\n", 7}};
	struct daemon *t = *state;
	struct msg m;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dispatch *d = connected(t);

		answer_bytes(t, cases[i].bytes, cases[i].len);
		assert_int_equal(dispatch_wait(d, -1, clock_mono_ms() + 30000, &m), DISPATCH_LOST);
		assert_int_equal(dispatch_wait(d, -1, clock_mono_ms() + 30000, &m), DISPATCH_LOST);
		dispatch_close(d);
	}
}

static void a_gone_daemon_is_noticed(void **state)
{
	struct daemon *t = *state;
	struct dispatch *d = connected(t);
	struct msg m;

	answer_bytes(t, "\0\0\0\xf{\"t", 7);
	(void)close(t->peer);
	t->peer = -1;
	assert_int_equal(dispatch_wait(d, -1, -1, &m), DISPATCH_LOST);
	dispatch_close(d);
}

static void sending_to_a_gone_daemon_fails(void **state)
{
	struct daemon *t = *state;
	struct dispatch *d = connected(t);
	struct msg m;

	(void)close(t->peer);
	t->peer = -1;
	/* Without MSG_NOSIGNAL this would end the process. */
	assert_int_equal(dispatch_ping(d, &m), RC_UNAVAILABLE);
	dispatch_close(d);
}

static void a_hang_up_ends_the_wait(void **state)
{
	struct daemon *t = *state;
	struct dispatch *d = connected(t);
	struct msg m;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(dispatch_wait(d, pair[0], 0, &m), DISPATCH_TIMEOUT);
	assert_int_equal(send(pair[1], "more", 4, 0), 4); /* data is no hang-up */
	assert_int_equal(dispatch_wait(d, pair[0], clock_mono_ms() + 20, &m), DISPATCH_TIMEOUT);
	(void)close(pair[1]);
	assert_int_equal(dispatch_wait(d, pair[0], -1, &m), DISPATCH_HANGUP);
	/* An answer that is there already wins. */
	answer(t, "{\"t\":\"RESULT\"}\n");
	assert_int_equal(dispatch_wait(d, pair[0], -1, &m), DISPATCH_MESSAGE);
	(void)close(pair[0]);
	dispatch_close(d);
}

static void a_long_message_is_not_sent(void **state)
{
	struct daemon *t = *state;
	struct dispatch *d = connected(t);
	char *payload = calloc(1, MSG_MAX_DEFAULT);
	struct buf *b = dispatch_message(d);

	msg_begin(b, MSG_CALL, NULL);
	msg_end(b, payload, MSG_MAX_DEFAULT);
	assert_int_equal(dispatch_send(d), RC_LIMIT);
	free(payload);
	dispatch_close(d);
	assert_true(peer_closed(t));
}

static void asks_simple_questions(void **state)
{
	struct daemon *t = *state;
	struct dispatch *d = connected(t);
	struct audit_record r;
	struct buf *b;
	struct msg m;

	answer(t, "{\"t\":\"PONG\",\"sessions\":3}\n");
	assert_int_equal(dispatch_ping(d, &m), RC_OK);
	assert_int_equal(m.type, MSG_PONG);
	heard(t, "\0\0\0\xd{\"t\":\"PING\"}\n", 17);
	answer(t, "{\"t\":\"FLUSH_OK\"}\n");
	assert_int_equal(dispatch_flush(d, "t_a"), RC_OK);
	heard(t, "\0\0\0\x20{\"t\":\"FLUSH\",\"tenant_id\":\"t_a\"}\n", 36);
	answer(t, "{\"t\":\"FLUSH_OK\"}\n");
	assert_int_equal(dispatch_flush(d, NULL), RC_OK);
	heard(t, "\0\0\0\xe{\"t\":\"FLUSH\"}\n", 18);
	answer(t, "{\"t\":\"SESSIONS_OK\",\"more\":true}\n[1");
	answer(t, "{\"t\":\"SESSIONS_OK\",\"more\":true}\n,2");
	answer(t, "{\"t\":\"SESSIONS_OK\"}\n]");
	assert_int_equal(dispatch_sessions(d, NULL, &m), RC_OK);
	assert_int_equal(m.payload_len, 5);
	assert_memory_equal(m.payload, "[1,2]", 5);
	heard(t, "\0\0\0\x11{\"t\":\"SESSIONS\"}\n", 21);
	audit_init(&r, "access.refused");
	strcpy(r.outcome, "unauthorized");
	answer(t, "{\"t\":\"AUDIT_OK\"}\n");
	assert_int_equal(dispatch_audit(d, &r), RC_OK);
	answer(t, "{\"t\":\"FAIL\",\"code\":\"audit_unavailable\"}\n");
	assert_int_equal(dispatch_audit(d, &r), RC_UNAVAILABLE);
	b = dispatch_message(d);
	msg_begin(b, MSG_MANIFEST_GET, NULL);
	msg_end(b, NULL, 0);
	answer(t, "{\"t\":\"FAIL\",\"code\":\"no_worker\"}\n");
	assert_int_equal(dispatch_ask(d, MSG_MANIFEST_OK, &m), RC_OK);
	assert_int_equal(m.type, MSG_FAIL);
	/* A FAIL is an answer: the connection stays in step. */
	answer(t, "{\"t\":\"PONG\"}\n");
	assert_int_equal(dispatch_ping(d, &m), RC_OK);
	answer(t, "{\"t\":\"AUDIT_OK\"}\n");
	assert_int_equal(dispatch_ping(d, &m), RC_UNAVAILABLE);
	answer(t, "{\"t\":\"PONG\"}\n");
	assert_int_equal(dispatch_ping(d, &m), RC_UNAVAILABLE);
	dispatch_close(d);
}

static void the_audit_message_holds_the_record(void **state)
{
	struct daemon *t = *state;
	struct dispatch *d = connected(t);
	struct audit_record r, back;
	const uint8_t *body;
	uint8_t got[2048];
	size_t body_len, used;
	ssize_t n;
	struct msg m;

	audit_init(&r, "access.refused");
	strcpy(r.outcome, "unauthorized");
	strcpy(r.request_id, "req_1");
	answer(t, "{\"t\":\"AUDIT_OK\"}\n");
	assert_int_equal(dispatch_audit(d, &r), RC_OK);
	n = recv(t->peer, got, sizeof(got), 0);
	assert_true(n > 0);
	assert_int_equal(
		frame_decode(got, (size_t)n, sizeof(got), &body, &body_len, &used), FRAME_READY);
	assert_int_equal(used, n);
	assert_int_equal(msg_parse(body, body_len, &m), RC_OK);
	assert_int_equal(m.type, MSG_AUDIT);
	assert_int_equal(audit_get(msg_field(&m, "audit"), &back), RC_OK);
	assert_string_equal(back.event, "access.refused");
	assert_string_equal(back.outcome, "unauthorized");
	assert_string_equal(back.request_id, "req_1");
	dispatch_close(d);
}

static void a_thread_keeps_its_connection(void **state)
{
	struct daemon *t = *state;
	struct dispatch *d, *again;
	struct msg m;
	bool fresh;

	assert_int_equal(dispatch_mine(t->path, &d, &fresh), RC_OK);
	assert_true(fresh);
	take_peer(t);
	answer(t, "{\"t\":\"PONG\"}\n");
	assert_int_equal(dispatch_ping(d, &m), RC_OK);
	assert_int_equal(dispatch_mine(t->path, &again, &fresh), RC_OK);
	assert_false(fresh);
	assert_ptr_equal(again, d);
	/* The daemon was restarted: noticed before anything is sent. */
	(void)close(t->peer);
	t->peer = -1;
	assert_int_equal(dispatch_mine(t->path, &d, &fresh), RC_OK);
	assert_true(fresh);
	take_peer(t);
	/* Dropping is the cancel button. */
	dispatch_mine_drop();
	assert_true(peer_closed(t));
	dispatch_mine_drop();
}

static void nothing_of_one_exchange_reaches_the_next(void **state)
{
	struct daemon *t = *state;
	struct dispatch *d;
	struct buf *b;
	struct msg m;
	bool fresh;

	/* An exchange left in the middle. */
	assert_int_equal(dispatch_mine(t->path, &d, &fresh), RC_OK);
	take_peer(t);
	b = dispatch_message(d);
	msg_begin(b, MSG_CALL, NULL);
	msg_end(b, NULL, 0);
	assert_int_equal(dispatch_send(d), RC_OK);
	answer(t, "{\"t\":\"RESULT\",\"more\":true}\nx");
	assert_int_equal(dispatch_wait(d, -1, clock_mono_ms() + 30000, &m), DISPATCH_MESSAGE);
	answer(t, "{\"t\":\"RESULT\"}\nsecret of another");
	assert_int_equal(dispatch_mine(t->path, &d, &fresh), RC_OK);
	assert_true(fresh);
	take_peer(t);
	/* Bytes that nobody asked for, read together with an answer. */
	answer_bytes(t, "\0\0\0\xd{\"t\":\"PONG\"}\n\0\0\0\xd{\"t\":\"PONG\"}\n", 34);
	assert_int_equal(dispatch_ping(d, &m), RC_OK);
	assert_int_equal(dispatch_mine(t->path, &d, &fresh), RC_OK);
	assert_true(fresh);
	take_peer(t);
	/* Bytes that came while it was idle. */
	answer(t, "{\"t\":\"PONG\"}\n");
	assert_int_equal(dispatch_mine(t->path, &d, &fresh), RC_OK);
	assert_true(fresh);
}

static void *use_and_end(void *arg)
{
	struct dispatch *d;
	bool fresh;

	return dispatch_mine(((struct daemon *)arg)->path, &d, &fresh) == RC_OK && fresh ? arg
											 : NULL;
}

static void a_thread_that_ends_closes(void **state)
{
	struct daemon *t = *state;
	pthread_t thread;
	void *result;

	assert_int_equal(pthread_create(&thread, NULL, use_and_end, t), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, t);
	take_peer(t);
	assert_true(peer_closed(t));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_absent_daemon_is_unavailable),
		TEST(sends_framed_messages),
		TEST(waits_for_whole_messages),
		TEST(takes_the_largest_message),
		TEST(nonsense_loses_the_daemon),
		TEST(a_gone_daemon_is_noticed),
		TEST(sending_to_a_gone_daemon_fails),
		TEST(a_hang_up_ends_the_wait),
		TEST(a_long_message_is_not_sent),
		TEST(asks_simple_questions),
		TEST(the_audit_message_holds_the_record),
		TEST(a_thread_keeps_its_connection),
		TEST(nothing_of_one_exchange_reaches_the_next),
		TEST(a_thread_that_ends_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
