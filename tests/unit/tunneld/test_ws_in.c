#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/mem.h"
#include "tunneld/ws_in.h"

#define MASK 0x37, 0xfa, 0x21, 0x3d
/* "Hello", masked: RFC 6455, 5.7. */
#define HELLO 0x7f, 0x9f, 0x4d, 0x51, 0x58

struct heard {
	char text[64]; /* of the message, or of a control frame */
	size_t len;
	int pieces;
	bool whole;
	enum ws_in_event event; /* the last that was no piece */
};

/* Everything in pieces of that size, each where nobody else may write. */
static struct heard hear(const uint8_t *bytes, size_t len, size_t piece)
{
	struct heard h = {.event = WS_IN_WAITS};
	struct ws_in in = {0};
	struct ws_piece p;

	for (size_t at = 0; at < len && h.event != WS_IN_BAD; at += piece) {
		size_t n = len - at < piece ? len - at : piece, used, done = 0;
		uint8_t *copy = xmalloc(n);
		enum ws_in_event event;

		memcpy(copy, bytes + at, n);
		do {
			event = ws_in_next(&in, copy + done, n - done, &used, &p);
			done += used;
			if (event == WS_IN_WAITS)
				break;
			h.event = event == WS_IN_PIECE ? h.event : event;
			if (event == WS_IN_BAD)
				break;
			assert_true(h.len + p.len < sizeof(h.text));
			memcpy(h.text + h.len, p.bytes, p.len);
			h.len += p.len;
			h.pieces++;
			h.whole = p.last;
		} while (true);
		assert_true(done == n || event == WS_IN_BAD);
		free(copy);
	}
	return h;
}

static void messages_come_out_however_they_are_cut(void **state)
{
	/* A message, a ping between the two frames of another one, and an empty message. */
	static const uint8_t bytes[] = {0x82, 0x85, MASK, HELLO, 0x02, 0x83, MASK, 0x7f, 0x9f, 0x4d,
		0x89, 0x80, MASK, 0x80, 0x82, MASK, 0x7f, 0x9f, 0x82, 0x80, MASK};

	(void)state;
	for (size_t piece = 1; piece <= sizeof(bytes); piece++) {
		struct heard h = hear(bytes, sizeof(bytes), piece);

		assert_int_equal(h.event, WS_IN_PING);
		assert_int_equal(h.len, 10);
		assert_memory_equal(h.text, "HelloHelHe", 10);
		assert_true(h.whole);
	}
}

static void a_message_is_whole_only_with_its_last_frame(void **state)
{
	static const uint8_t first[] = {0x02, 0x85, MASK, HELLO};
	static const uint8_t half[] = {0x82, 0x86, MASK, HELLO};

	(void)state;
	assert_false(hear(first, sizeof(first), sizeof(first)).whole);
	assert_false(hear(half, sizeof(half), sizeof(half)).whole);
}

static void control_frames_come_whole(void **state)
{
	static const struct {
		uint8_t bytes[11];
		enum ws_in_event event;
	} cases[] = {{{0x89, 0x85, MASK, HELLO}, WS_IN_PING},
		{{0x8a, 0x85, MASK, HELLO}, WS_IN_PONG}, {{0x88, 0x85, MASK, HELLO}, WS_IN_CLOSE}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t piece = 1; piece <= sizeof(cases[i].bytes); piece++) {
			struct heard h = hear(cases[i].bytes, sizeof(cases[i].bytes), piece);

			assert_int_equal(h.event, cases[i].event);
			assert_int_equal(h.pieces, 1);
			assert_int_equal(h.len, 5);
			assert_memory_equal(h.text, "Hello", 5);
		}
	}
}

static void what_no_client_may_send_is_refused(void **state)
{
	static const uint8_t cases[][16] = {
		{0x82, 0x05, 'H', 'e'}, /* not masked */
		{0x81, 0x85, MASK, HELLO}, /* text */
		{0xc2, 0x85, MASK, HELLO}, /* a reserved bit, as of compression */
		{0x83, 0x80, MASK}, /* an opcode that means nothing */
		{0x8b, 0x80, MASK}, {0x80, 0x80, MASK}, /* goes on with nothing */
		{0x09, 0x80, MASK}, /* a control frame in parts */
		{0x89, 0xfe, 0, 126, MASK}, /* and one that is long */
		{0x88, 0x81, MASK}, /* half a close code */
		{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, MASK}, /* longer than can be */
	};
	static const uint8_t twice[] = {0x02, 0x80, MASK, 0x82, 0x80, MASK};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(hear(cases[i], sizeof(cases[i]), 1).event, WS_IN_BAD);
	assert_int_equal(hear(twice, sizeof(twice), 3).event, WS_IN_BAD);
}

static void a_length_may_take_more_bytes_than_it_needs(void **state)
{
	static const uint8_t cases[][19] = {
		{0x82, 0xfe, 0, 5, MASK, HELLO}, {0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, MASK, HELLO}};
	static const size_t lens[] = {13, 19};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct heard h = hear(cases[i], lens[i], 4);

		assert_true(h.whole);
		assert_int_equal(h.len, 5);
		assert_memory_equal(h.text, "Hello", 5);
	}
}

static void a_long_payload_is_handed_on_from_where_it_is(void **state)
{
	static const uint8_t head[] = {0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, MASK};
	static const uint8_t mask[] = {MASK};
	uint8_t *bytes = xmalloc(0x10001);
	struct ws_in in = {0};
	struct ws_piece p;
	uint8_t copy[sizeof(head)];
	size_t used;

	(void)state;
	memcpy(copy, head, sizeof(head));
	memset(bytes, 'x', 0x10001);
	ws_mask(bytes, bytes, 0x10001, mask, 0);
	assert_int_equal(ws_in_next(&in, copy, sizeof(copy), &used, &p), WS_IN_WAITS);
	assert_int_equal(used, sizeof(copy));
	assert_int_equal(ws_in_next(&in, bytes, 4099, &used, &p), WS_IN_PIECE);
	assert_ptr_equal(p.bytes, bytes);
	assert_int_equal(p.len, 4099);
	assert_false(p.last);
	assert_int_equal(ws_in_next(&in, bytes + 4099, 0x10001 - 4099, &used, &p), WS_IN_PIECE);
	assert_true(p.last);
	for (size_t i = 0; i < 0x10001; i++)
		assert_int_equal(bytes[i], 'x');
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_come_out_however_they_are_cut),
		cmocka_unit_test(a_message_is_whole_only_with_its_last_frame),
		cmocka_unit_test(control_frames_come_whole),
		cmocka_unit_test(what_no_client_may_send_is_refused),
		cmocka_unit_test(a_length_may_take_more_bytes_than_it_needs),
		cmocka_unit_test(a_long_payload_is_handed_on_from_where_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
