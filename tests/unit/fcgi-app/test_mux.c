#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi-app/mux.h"
#include "shared/mem.h"

#define HELLO "{\"t\":\"MANY\",\"version\":\"" AIRLOCK_VERSION "\"}\n"

/* The other side is this test itself. */
struct side {
	char dir[40], path[60];
	int listener, peer;
	struct mux *mux;
	int watched; /* as the owner was told */
	struct buf in; /* what the peer got */
};

struct waiting {
	struct mux_call call;
	int messages, lost;
	char last[64];
};

static void on_event(struct mux_call *call, enum dispatch_event event, const struct msg *m)
{
	struct waiting *w = (struct waiting *)(void *)call; /* its first member */

	if (event == DISPATCH_LOST) {
		w->lost++;
		assert_null(m);
		return;
	}
	w->messages++;
	(void)str_copy_len(w->last, sizeof(w->last), (const char *)m->payload, m->payload_len);
}

static void on_watch(void *ctx, int fd, bool write)
{
	struct side *s = ctx;

	(void)write;
	s->watched = fd;
}

static void listen_at(struct side *s)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	strcpy(addr.sun_path, s->path);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(s->listener, 8), 0);
}

static int start(void **state)
{
	struct side *s = calloc(1, sizeof(*s));
	const struct mux_owner owner = {on_event, on_watch, s};

	strcpy(s->dir, "/tmp/test_mux.XXXXXX");
	if (!mkdtemp(s->dir))
		return -1;
	(void)snprintf(s->path, sizeof(s->path), "%s/s", s->dir);
	s->peer = s->watched = -1;
	buf_init(&s->in, 1 << 20);
	listen_at(s);
	s->mux = mux_new(s->path, 0, &owner);
	*state = s;
	return 0;
}

static int stop(void **state)
{
	struct side *s = *state;

	mux_free(s->mux);
	if (s->listener >= 0)
		(void)close(s->listener);
	if (s->peer >= 0)
		(void)close(s->peer);
	(void)unlink(s->path);
	(void)rmdir(s->dir);
	buf_free(&s->in);
	free(s);
	return 0;
}

static void begin(struct side *s, struct waiting *w, const char *payload)
{
	struct buf *b = mux_begin(s->mux, &w->call);

	assert_non_null(b);
	msg_begin(b, MSG_CALL, NULL);
	msg_end(b, payload, strlen(payload));
	assert_int_equal(mux_queue(s->mux, &w->call), RC_OK);
}

static void read_peer(struct side *s)
{
	uint8_t *to = buf_reserve(&s->in, 65536);
	ssize_t n = recv(s->peer, to, 65536, 0);

	assert_true(n > 0);
	buf_commit(&s->in, (size_t)n);
}

/* The connection's first message. */
static void take_peer(struct side *s)
{
	const uint8_t *body;
	size_t len, used;

	if (s->peer >= 0)
		(void)close(s->peer);
	buf_reset(&s->in);
	s->peer = accept(s->listener, NULL, NULL);
	assert_true(s->peer >= 0);
	read_peer(s);
	assert_int_equal(
		frame_decode(s->in.data, s->in.len, 1000, &body, &len, &used), FRAME_READY);
	assert_int_equal(len, strlen(HELLO));
	assert_memory_equal(body, HELLO, len);
	buf_consume(&s->in, used);
}

static struct frame_ref hear(struct side *s, enum msg_type type, const char *payload)
{
	const uint8_t *body;
	struct frame_ref ref;
	size_t len, used;
	struct msg m;

	while (frame_decode(s->in.data, s->in.len, 1000, &body, &len, &used) != FRAME_READY)
		read_peer(s);
	ref = frame_ref_get(body);
	assert_int_equal(msg_parse(body + FRAME_REF_LEN, len - FRAME_REF_LEN, &m), RC_OK);
	assert_int_equal(m.type, type);
	assert_int_equal(m.payload_len, strlen(payload));
	assert_memory_equal(m.payload, payload, m.payload_len);
	buf_consume(&s->in, used);
	return ref;
}

static void say(struct side *s, struct frame_ref ref, const char *message)
{
	uint8_t name[FRAME_REF_LEN];
	struct buf b;
	size_t at;

	frame_ref_put(name, ref);
	buf_init(&b, 65536);
	at = frame_open(&b);
	buf_add(&b, name, sizeof(name));
	buf_str(&b, message);
	frame_close(&b, at);
	assert_int_equal(send(s->peer, b.data, b.len, MSG_NOSIGNAL), b.len);
	buf_free(&b);
}

/* --- results on the shelf ------------------------------------------------------------------ */

#define RESULT_MAX 100000

static int start_with_shelf(void **state)
{
	struct mux_owner owner = {on_event, on_watch, NULL};
	struct side *s;

	if (start(state) != 0)
		return -1;
	s = *state;
	mux_free(s->mux);
	owner.ctx = s;
	s->mux = mux_new(s->path, RESULT_MAX, &owner);
	return 0;
}

/* The connection's first message, and the memory that comes with it. */
static struct shelf *take_shelf(struct side *s)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	uint8_t bytes[200];
	struct iovec v = {bytes, sizeof(bytes)};
	struct msghdr h = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	int64_t places, place_len;
	struct shelf *shelf;
	const uint8_t *body;
	size_t len, used;
	ssize_t n;
	struct msg m;
	char version[32];
	int fd;

	s->peer = accept(s->listener, NULL, NULL);
	assert_true(s->peer >= 0);
	n = recvmsg(s->peer, &h, MSG_CMSG_CLOEXEC);
	assert_true(n > 0);
	assert_int_equal(frame_decode(bytes, (size_t)n, 200, &body, &len, &used), FRAME_READY);
	buf_add(&s->in, bytes + used, (size_t)n - used);
	assert_int_equal(msg_parse(body, len, &m), RC_OK);
	assert_int_equal(m.type, MSG_MANY);
	assert_int_equal(msg_str(&m, "version", version, sizeof(version)), RC_OK);
	assert_string_equal(version, AIRLOCK_VERSION);
	assert_int_equal(msg_int(&m, "places", &places), RC_OK);
	assert_int_equal(msg_int(&m, "place_bytes", &place_len), RC_OK);
	assert_true(place_len >= RESULT_MAX);
	assert_true(h.msg_controllen >= CMSG_LEN(sizeof(fd)));
	memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
	assert_int_equal(shelf_open(fd, (uint32_t)places, (size_t)place_len, &shelf), RC_OK);
	(void)close(fd);
	return shelf;
}

static void put(struct shelf *shelf, uint32_t place, const char *text)
{
	assert_true(shelf_fill(shelf, place, 0, RESULT_MAX));
	strcpy((char *)shelf_at(shelf, place), text);
}

/* The next message says that this place is free. */
static void hear_free(struct side *s, int64_t place)
{
	const uint8_t *body;
	size_t len, used;
	int64_t named;
	struct msg m;

	while (frame_decode(s->in.data, s->in.len, 1000, &body, &len, &used) != FRAME_READY)
		read_peer(s);
	assert_int_equal(msg_parse(body + FRAME_REF_LEN, len - FRAME_REF_LEN, &m), RC_OK);
	assert_int_equal(m.type, MSG_PLACE_FREE);
	assert_int_equal(msg_int(&m, "place", &named), RC_OK);
	assert_int_equal(named, place);
	buf_consume(&s->in, used);
}

/* A call whose result is there; the daemon's side of the shelf. */
static struct shelf *shelved(struct side *s, struct waiting *w, uint32_t place, const char *text)
{
	struct shelf *shelf;
	char result[128];

	begin(s, w, "x");
	mux_flush(s->mux);
	shelf = take_shelf(s);
	put(shelf, place, text);
	(void)snprintf(result, sizeof(result), "{\"t\":\"RESULT\",\"place\":%u,\"length\":%zu}\n",
		place, strlen(text));
	say(s, hear(s, MSG_CALL, "x"), result);
	mux_readable(s->mux);
	return shelf;
}

static void a_result_on_the_shelf_is_read_there(void **state)
{
	struct side *s = *state;
	struct waiting w = {0};
	struct shelf *shelf = shelved(s, &w, 3, "kept aside");

	assert_string_equal(w.last, "kept aside");
	assert_false(w.call.open);
	/* It stays the reader's until it says so, once. */
	assert_non_null(w.call.shelf);
	mux_release(s->mux, &w.call);
	mux_release(s->mux, &w.call);
	assert_null(w.call.shelf);
	begin(s, &w, "y");
	mux_flush(s->mux);
	hear_free(s, 3);
	(void)hear(s, MSG_CALL, "y");
	shelf_drop(shelf);
}

static void a_place_that_crosses_a_leave_is_given_back(void **state)
{
	struct side *s = *state;
	struct waiting w = {0};
	struct shelf *shelf;
	struct frame_ref ref;

	begin(s, &w, "x");
	mux_flush(s->mux);
	shelf = take_shelf(s);
	ref = hear(s, MSG_CALL, "x");
	mux_leave(s->mux, &w.call, MSG_GONE);
	mux_flush(s->mux);
	(void)hear(s, MSG_GONE, "");
	say(s, ref, "{\"t\":\"RESULT\",\"place\":0,\"length\":1}\n");
	mux_readable(s->mux);
	assert_int_equal(w.messages, 0);
	mux_flush(s->mux);
	hear_free(s, 0);
	shelf_drop(shelf);
}

static void a_result_outlives_the_daemon(void **state)
{
	struct side *s = *state;
	struct waiting w = {0}, next = {0};
	struct shelf *shelf = shelved(s, &w, 1, "still here");

	shelf_drop(shelf);
	(void)close(s->peer);
	s->peer = -1;
	mux_readable(s->mux);
	assert_int_equal(s->watched, -1);
	assert_memory_equal(shelf_at(w.call.shelf, 1), "still here", 10);
	/* The next daemon has a shelf of its own, and is told nothing about this one. */
	begin(s, &next, "y");
	mux_release(s->mux, &w.call);
	mux_flush(s->mux);
	shelf = take_shelf(s);
	(void)hear(s, MSG_CALL, "y");
	assert_int_equal(s->in.len, 0);
	shelf_drop(shelf);
}

static void a_place_that_is_none_ends_the_connection(void **state)
{
	static const char *const bad[] = {"{\"t\":\"RESULT\",\"place\":64,\"length\":1}\n",
		"{\"t\":\"RESULT\",\"place\":-1,\"length\":1}\n",
		"{\"t\":\"RESULT\",\"place\":\"1\",\"length\":1}\n",
		"{\"t\":\"RESULT\",\"place\":1}\n",
		"{\"t\":\"RESULT\",\"place\":1,\"length\":-1}\n",
		"{\"t\":\"RESULT\",\"place\":1,\"length\":200000}\n"};
	struct side *s = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct waiting w = {0};

		begin(s, &w, "x");
		mux_flush(s->mux);
		buf_reset(&s->in);
		shelf_drop(take_shelf(s));
		say(s, hear(s, MSG_CALL, "x"), bad[i]);
		mux_readable(s->mux);
		assert_int_equal(w.lost, 1);
		assert_int_equal(w.messages, 0);
		(void)close(s->peer);
		s->peer = -1;
	}
}

static void without_a_shelf_there_are_no_places(void **state)
{
	struct side *s = *state;
	struct waiting w = {0};

	begin(s, &w, "x");
	mux_flush(s->mux);
	take_peer(s);
	say(s, hear(s, MSG_CALL, "x"), "{\"t\":\"RESULT\",\"place\":0,\"length\":1}\n");
	mux_readable(s->mux);
	assert_int_equal(w.lost, 1);
}

/* --- calls --------------------------------------------------------------------------------- */

static void calls_share_a_connection_and_get_their_own_answers(void **state)
{
	struct side *s = *state;
	struct waiting one = {0}, two = {0};
	struct frame_ref a, b;

	begin(s, &one, "1");
	begin(s, &two, "2");
	mux_flush(s->mux);
	take_peer(s);
	assert_true(s->watched >= 0);
	a = hear(s, MSG_CALL, "1");
	b = hear(s, MSG_CALL, "2");
	say(s, b, "{\"t\":\"EVENT\"}\nprogress");
	say(s, b, "{\"t\":\"RESULT\",\"more\":true}\nhalf");
	mux_readable(s->mux);
	assert_int_equal(two.messages, 2);
	assert_true(two.call.open);
	say(s, b, "{\"t\":\"RESULT\"}\nof two");
	say(s, a, "{\"t\":\"FAIL\"}\nof one");
	mux_readable(s->mux);
	assert_false(two.call.open);
	assert_string_equal(two.last, "of two");
	assert_int_equal(one.messages, 1);
	assert_false(one.call.open);
}

static void an_answer_in_pieces_is_put_together(void **state)
{
	static const uint8_t frame[] = "\0\0\0\x1d\0\0\0\0\0\0\0\x01{\"t\":\"RESULT\"}\nanswer";
	struct side *s = *state;
	struct waiting w = {0};

	begin(s, &w, "x");
	mux_flush(s->mux);
	take_peer(s);
	for (size_t i = 0; i < sizeof(frame) - 1; i++) {
		assert_int_equal(w.messages, 0);
		assert_int_equal(send(s->peer, frame + i, 1, 0), 1);
		mux_readable(s->mux);
	}
	assert_string_equal(w.last, "answer");
}

static void what_crosses_a_leave_is_nobodys(void **state)
{
	struct side *s = *state;
	struct waiting first = {0}, second = {0};
	struct frame_ref a, b;

	begin(s, &first, "1");
	mux_flush(s->mux);
	take_peer(s);
	a = hear(s, MSG_CALL, "1");
	mux_leave(s->mux, &first.call, MSG_GONE);
	assert_false(first.call.open);
	begin(s, &second, "2");
	mux_flush(s->mux);
	(void)hear(s, MSG_GONE, "");
	b = hear(s, MSG_CALL, "2");
	assert_int_equal(a.slot, b.slot);
	say(s, a, "{\"t\":\"RESULT\"}\nof the first");
	mux_readable(s->mux);
	assert_int_equal(first.messages + second.messages, 0);
	say(s, b, "{\"t\":\"RESULT\"}\nof the second");
	mux_readable(s->mux);
	assert_string_equal(second.last, "of the second");
}

static void what_was_not_sent_goes_to_the_next_daemon(void **state)
{
	struct side *s = *state;
	struct waiting seen = {0}, unsent = {0};

	begin(s, &seen, "seen");
	mux_flush(s->mux);
	take_peer(s);
	begin(s, &unsent, "unsent");
	(void)close(s->peer);
	s->peer = -1;
	mux_flush(s->mux);
	/* Never sent twice: the daemon may have begun it. */
	assert_int_equal(seen.lost, 1);
	assert_int_equal(unsent.lost, 0);
	take_peer(s);
	(void)hear(s, MSG_CALL, "unsent");
	(void)close(s->peer);
	s->peer = -1;
	mux_readable(s->mux);
	assert_int_equal(unsent.lost, 1);
	assert_int_equal(s->watched, -1);
}

static void without_a_daemon_nothing_begins(void **state)
{
	struct side *s = *state;
	struct waiting w = {0};

	(void)close(s->listener);
	(void)unlink(s->path);
	assert_null(mux_begin(s->mux, &w.call));
	assert_false(w.call.open);
	mux_flush(s->mux);
	listen_at(s);
	begin(s, &w, "later");
	mux_flush(s->mux);
	take_peer(s);
	(void)hear(s, MSG_CALL, "later");
}

static void nonsense_ends_the_connection(void **state)
{
	static const char *const bad[] = {"no message", "{\"t\":\"RESULT\"}"};
	struct side *s = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct waiting w = {0};

		begin(s, &w, "x");
		mux_flush(s->mux);
		take_peer(s);
		say(s, hear(s, MSG_CALL, "x"), bad[i]);
		mux_readable(s->mux);
		assert_int_equal(w.lost, 1);
		assert_int_equal(s->watched, -1);
	}
}

static void a_call_that_is_too_long_leaves_the_others(void **state)
{
	struct side *s = *state;
	struct waiting one = {0}, two = {0};
	struct buf *b;

	begin(s, &one, "1");
	b = mux_begin(s->mux, &two.call);
	b->failed = true; /* as a header does that gets too long */
	assert_int_equal(mux_queue(s->mux, &two.call), RC_LIMIT);
	assert_false(two.call.open);
	mux_flush(s->mux);
	take_peer(s);
	(void)hear(s, MSG_CALL, "1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
#define SHELF_TEST(name) cmocka_unit_test_setup_teardown(name, start_with_shelf, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(calls_share_a_connection_and_get_their_own_answers),
		TEST(an_answer_in_pieces_is_put_together),
		TEST(what_crosses_a_leave_is_nobodys),
		TEST(what_was_not_sent_goes_to_the_next_daemon),
		TEST(without_a_daemon_nothing_begins),
		TEST(nonsense_ends_the_connection),
		TEST(a_call_that_is_too_long_leaves_the_others),
		SHELF_TEST(a_result_on_the_shelf_is_read_there),
		SHELF_TEST(a_place_that_crosses_a_leave_is_given_back),
		SHELF_TEST(a_result_outlives_the_daemon),
		SHELF_TEST(a_place_that_is_none_ends_the_connection),
		TEST(without_a_shelf_there_are_no_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
