#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/mem.h"
#include "tunneld/incoming.h"

#define RESULT "{\"t\":\"RESULT\",\"id\":\"c_1\",\"outcome\":\"ok\"}\n"
#define PART "{\"t\":\"RESULT\",\"id\":\"c_1\",\"more\":true}\n"
#define EVENT "{\"t\":\"EVENT\",\"id\":\"c_1\"}\n"
#define MANIFEST "{\"t\":\"MANIFEST\"}\n"
#define BODY "some payload\nof two lines"

static enum incoming_status add(
	struct incoming *in, const char *bytes, size_t len, bool last, struct msg *m)
{
	return incoming_add(in, (const uint8_t *)bytes, len, last, m);
}

/* Gives the text in pieces of that size; returns the number of messages that came of it. The last
 * of them is in *m, all their payloads are in body. */
static int in_pieces(struct incoming *in, const char *text, size_t piece, struct msg *m, char *body)
{
	size_t len = strlen(text), got = 0;
	int count = 0;

	for (size_t at = 0; at < len; at += piece) {
		size_t n = len - at < piece ? len - at : piece;
		bool last = at + n == len;
		/* Where nobody else writes: what was given before is gone. */
		char *copy = xstrndup(text + at, n);

		switch (add(in, copy, n, last, m)) {
		case INCOMING_WAITS:
			assert_false(last);
			break;
		case INCOMING_MESSAGE:
			count++;
			memcpy(body + got, m->payload, m->payload_len);
			got += m->payload_len;
			assert_true(last || m->more);
			break;
		default:
			fail();
		}
		free(copy);
	}
	body[got] = '\0';
	return count;
}

static void an_answer_is_handed_on_in_parts_however_it_is_cut(void **state)
{
	static const struct {
		const char *text;
		enum msg_type type;
		bool more;
	} cases[] = {{RESULT BODY, MSG_RESULT, false}, {PART BODY, MSG_RESULT, true},
		{EVENT BODY, MSG_EVENT, false}, {RESULT, MSG_RESULT, false}};
	struct incoming in;
	char body[64];
	struct msg m;

	(void)state;
	incoming_init(&in);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *payload = strchr(cases[i].text, '\n') + 1;

		for (size_t piece = 1; piece <= strlen(cases[i].text); piece++) {
			int count = in_pieces(&in, cases[i].text, piece, &m, body);

			assert_string_equal(body, payload);
			assert_int_equal(m.type, cases[i].type);
			assert_string_equal(m.id, "c_1");
			assert_int_equal(m.more, cases[i].more);
			assert_true(count > 1 || piece > (size_t)(payload - cases[i].text) ||
				strlen(payload) <= piece);
			incoming_reset(&in);
		}
	}
}

static void the_header_counts_in_the_last_part_too(void **state)
{
	char outcome[8], body[64];
	struct incoming in;
	struct msg m;

	(void)state;
	incoming_init(&in);
	(void)in_pieces(&in, RESULT BODY, 50, &m, body);
	assert_int_equal(msg_str(&m, "outcome", outcome, sizeof(outcome)), RC_OK);
	assert_string_equal(outcome, "ok");
	incoming_reset(&in);
}

static void anything_else_is_put_together(void **state)
{
	struct incoming in;
	char body[64];
	struct msg m;

	(void)state;
	incoming_init(&in);
	for (size_t piece = 1; piece <= strlen(MANIFEST BODY); piece++) {
		assert_int_equal(in_pieces(&in, MANIFEST BODY, piece, &m, body), 1);
		assert_int_equal(m.type, MSG_MANIFEST);
		assert_string_equal(body, BODY);
		incoming_reset(&in);
	}
}

static void a_long_answer_is_not_held(void **state)
{
	size_t len = MSG_MAX_DEFAULT / 2 - sizeof(RESULT);
	char *text = xcalloc(1, len);
	struct incoming in;
	struct msg m;

	(void)state;
	incoming_init(&in);
	assert_int_equal(add(&in, RESULT, sizeof(RESULT) - 1, false, &m), INCOMING_MESSAGE);
	assert_int_equal(add(&in, text, len, false, &m), INCOMING_MESSAGE);
	assert_ptr_equal(m.payload, text);
	assert_int_equal(add(&in, text, len, false, &m), INCOMING_MESSAGE);
	assert_true(in.held.cap < 1024);
	/* An empty piece is no part; an empty last one ends the message. */
	assert_int_equal(add(&in, text, 0, false, &m), INCOMING_WAITS);
	assert_int_equal(add(&in, text, 0, true, &m), INCOMING_MESSAGE);
	assert_false(m.more);
	incoming_reset(&in);
	assert_null(in.held.data);
	free(text);
}

static void too_long_is_too_long_however_it_comes(void **state)
{
	static const char *const heads[] = {RESULT, MANIFEST};
	size_t len = MSG_MAX_DEFAULT / 2;
	char *text = xcalloc(1, len);
	struct incoming in;
	struct msg m;

	(void)state;
	incoming_init(&in);
	for (size_t i = 0; i < 2; i++) {
		(void)add(&in, heads[i], strlen(heads[i]), false, &m);
		(void)add(&in, text, len, false, &m);
		assert_int_equal(add(&in, text, len, true, &m), INCOMING_TOO_LONG);
		incoming_reset(&in);
	}
	/* Without a header there is not even that much. */
	assert_int_equal(add(&in, text, MSG_HEADER_MAX, false, &m), INCOMING_WAITS);
	assert_int_equal(add(&in, text, 1, false, &m), INCOMING_BAD);
	incoming_reset(&in);
	free(text);
}

static void a_bad_header_is_seen_as_soon_as_it_is_there(void **state)
{
	struct incoming in;
	struct msg m;

	(void)state;
	incoming_init(&in);
	assert_int_equal(add(&in, "not json\n", 9, false, &m), INCOMING_BAD);
	incoming_reset(&in);
	assert_int_equal(add(&in, "not json\n", 9, true, &m), INCOMING_BAD);
	incoming_reset(&in);
	assert_int_equal(add(&in, "{\"t\":", 5, false, &m), INCOMING_WAITS);
	assert_int_equal(add(&in, "1}\n", 3, false, &m), INCOMING_BAD);
	incoming_reset(&in);
	assert_int_equal(add(&in, "{\"t\":", 5, false, &m), INCOMING_WAITS);
	assert_int_equal(add(&in, "\"PING\"}", 7, true, &m), INCOMING_BAD);
	incoming_reset(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_handed_on_in_parts_however_it_is_cut),
		cmocka_unit_test(the_header_counts_in_the_last_part_too),
		cmocka_unit_test(anything_else_is_put_together),
		cmocka_unit_test(a_long_answer_is_not_held),
		cmocka_unit_test(too_long_is_too_long_however_it_comes),
		cmocka_unit_test(a_bad_header_is_seen_as_soon_as_it_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
