#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/msg.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static enum rc parse(const char *text, struct msg *out)
{
	return msg_parse((const uint8_t *)text, strlen(text), out);
}

static void reads_a_message(void **state)
{
	struct msg m;
	char method[32];
	int64_t n;
	uint8_t bytes[4];

	(void)state;
	assert_int_equal(
		parse("{\"t\":\"CALL\",\"id\":\"c_4-Z\",\"method\":\"tools/call\",\"n\":12,"
		      "\"raw\":\"3q2+7w==\",\"odd\":{\"a\":[1]},\"yes\":true}\npay\nload",
			&m),
		RC_OK);
	assert_int_equal(m.type, MSG_CALL);
	assert_string_equal(m.id, "c_4-Z");
	assert_false(m.more);
	assert_int_equal(m.payload_len, 8);
	assert_memory_equal(m.payload, "pay\nload", 8);
	assert_int_equal(msg_str(&m, "method", method, sizeof(method)), RC_OK);
	assert_string_equal(method, "tools/call");
	assert_int_equal(msg_str(&m, "none", method, sizeof(method)), RC_NOTFOUND);
	assert_string_equal(method, "");
	assert_int_equal(msg_str(&m, "n", method, sizeof(method)), RC_INVALID);
	assert_int_equal(msg_str(&m, "method", method, 10), RC_INVALID);
	assert_int_equal(msg_int(&m, "n", &n), RC_OK);
	assert_int_equal(n, 12);
	assert_int_equal(msg_int(&m, "method", &n), RC_INVALID);
	assert_int_equal(msg_int(&m, "none", &n), RC_NOTFOUND);
	assert_int_equal(msg_bytes(&m, "raw", bytes, 4), RC_OK);
	assert_memory_equal(bytes, "\xde\xad\xbe\xef", 4);
	memset(bytes, 7, sizeof(bytes));
	assert_int_equal(msg_bytes(&m, "raw", bytes, 3), RC_INVALID);
	assert_memory_equal(bytes, "\7\7\7\7", 4);
	assert_int_equal(msg_bytes(&m, "method", bytes, 4), RC_INVALID);
	assert_int_equal(msg_bytes(&m, "none", bytes, 4), RC_NOTFOUND);
	assert_true(msg_flag(&m, "yes"));
	assert_false(msg_flag(&m, "none"));
	assert_int_equal(msg_field(&m, "odd").kind, JSCAN_OBJECT);
	assert_int_equal(msg_field(&m, "none").kind, JSCAN_NONE);
}

static void knows_its_types(void **state)
{
	struct msg m;

	(void)state;
	assert_int_equal(parse("{\"t\":\"HELLO_ACK\"}\n", &m), RC_OK);
	assert_int_equal(m.type, MSG_HELLO_ACK);
	assert_string_equal(m.id, "");
	assert_int_equal(m.payload_len, 0);
	assert_int_equal(parse("{\"t\":\"SOMETHING_NEW\"}\n", &m), RC_OK);
	assert_int_equal(m.type, MSG_UNKNOWN);
	assert_int_equal(parse("{\"t\":\"RESULT\",\"id\":\"x\",\"more\":true}\n", &m), RC_OK);
	assert_true(m.more);
	assert_int_equal(parse("{\"\\u0074\":\"FAIL\"}\n", &m), RC_OK);
	assert_int_equal(m.type, MSG_FAIL);
	assert_string_equal(msg_type_name(MSG_SNAPSHOT_GONE), "SNAPSHOT_GONE");
	assert_string_equal(msg_type_name(MSG_UNKNOWN), "UNKNOWN");
}

static void refuses_malformed_headers(void **state)
{
	static const char *const cases[] = {"", "\n", "{\"t\":\"CALL\"}", "[]\n", "\"CALL\"\n",
		"{}\n", "{\"id\":\"a\"}\n", "{\"t\":1}\n", "{\"t\":\"\"}\n", "{\"t\":\"call\"}\n",
		"{\"t\":\"CA LL\"}\n", "{\"t\":\"CALL\",\"t\":\"CALL\"}\n",
		"{\"t\":\"CALL\",\"a\":1,\"a\":1}\n", "{\"t\":\"CALL\",\"a\":1,\"\\u0061\":1}\n",
		"{\"t\":\"CALL\",\"\\u0061\":1,\"a\":1}\n",
		"{\"\\u0074\":\"CALL\",\"t\":\"CALL\"}\n",
		"{\"t\":\"CALL\",\"b\":1,\"\":1,\"\":1}\n", "{\"t\":\"CALL\",\"id\":\"\"}\n",
		"{\"t\":\"CALL\",\"id\":1}\n", "{\"t\":\"CALL\",\"id\":\"a b\"}\n",
		"{\"t\":\"CALL\",\"id\":\"a/b\"}\n",
		("{\"t\":\"CALL\",\"id\":"
		 "\"01234567890123456789012345678901234567890123456789012345678901234\"}\n"),
		"{\"t\":\"CALL\",\"more\":1}\n", "{\"t\":\"CALL\",\"more\":\"true\"}\n",
		"{\"t\":\"CALL\"\n}\n", "{\"t\":\"CALL\"}x\n",
		"{\"t\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}\n"};
	struct msg m;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		if (parse(cases[i], &m) != RC_INVALID)
			fail_msg("accepted: %s", cases[i]);
}

/* A header of exactly len bytes, newline and one payload byte behind it. */
static char *header_of(size_t len)
{
	static const char start[] = "{\"t\":\"CALL\",\"x\":\"", end[] = "\"}\n!";
	char *text = malloc(len + 3);

	memset(text, 'x', len);
	memcpy(text, start, sizeof(start) - 1);
	memcpy(text + len - 2, end, sizeof(end));
	return text;
}

static void the_header_has_a_limit(void **state)
{
	struct msg m;
	char *text;

	(void)state;
	text = header_of(MSG_HEADER_MAX);
	assert_int_equal(parse(text, &m), RC_OK);
	assert_int_equal(m.header.len, MSG_HEADER_MAX);
	assert_int_equal(m.payload_len, 1);
	free(text);
	text = header_of(MSG_HEADER_MAX + 1);
	assert_int_equal(parse(text, &m), RC_INVALID);
	free(text);
}

static void members_have_a_limit(void **state)
{
	char text[2048] = "{\"t\":\"CALL\"";
	struct msg m;

	(void)state;
	for (int i = 1; i < 64; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), ",\"f%d\":1", i);
	strcat(text, "}\n");
	assert_int_equal(parse(text, &m), RC_OK);
	text[strlen(text) - 2] = '\0';
	strcat(text, ",\"f64\":1}\n");
	assert_int_equal(parse(text, &m), RC_INVALID);
}

static void writes_literal_bytes(void **state)
{
	static const char want[] =
		"{\"t\":\"RESULT\",\"id\":\"c_1\",\"outcome\":\"o\\\"k\",\"n\":-5,\"more\":true,"
		"\"off\":false,\"b\":\"3q2+7w==\",\"j\":{\"a\":1}}\npay";
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	buf_str(&b, "before");
	msg_begin(&b, MSG_RESULT, "c_1");
	msg_put_str(&b, "outcome", "o\"k");
	msg_put_str(&b, "empty", "");
	msg_put_str(&b, "null", NULL);
	msg_put_int(&b, "n", -5);
	msg_put_flag(&b, "more", true);
	msg_put_flag(&b, "off", false);
	msg_put_bytes(&b, "b", "\xde\xad\xbe\xef", 4);
	msg_put_json(&b, "j", "{\"a\":1}", 7);
	msg_end(&b, "pay", 3);
	assert_false(b.failed);
	assert_int_equal(b.len, 6 + sizeof(want) - 1);
	assert_memory_equal(b.data + 6, want, sizeof(want) - 1);
	buf_reset(&b);
	msg_begin(&b, MSG_PING, NULL);
	msg_end(&b, NULL, 0);
	assert_int_equal(b.len, 13);
	assert_memory_equal(b.data, "{\"t\":\"PING\"}\n", 13);
	buf_free(&b);
}

static void a_long_header_fails_the_buffer(void **state)
{
	char *value = malloc(MSG_HEADER_MAX + 1);
	struct buf b;

	(void)state;
	memset(value, 'x', MSG_HEADER_MAX);
	value[MSG_HEADER_MAX] = '\0';
	buf_init(&b, 100000);
	buf_add(&b, value, 5000); /* what is before does not count */
	value[5000] = '\0';
	msg_begin(&b, MSG_CALL, NULL);
	msg_put_str(&b, "x", value);
	msg_end(&b, NULL, 0);
	assert_false(b.failed);
	memset(value, 'x', MSG_HEADER_MAX);
	msg_begin(&b, MSG_CALL, NULL);
	msg_put_str(&b, "x", value);
	msg_end(&b, NULL, 0);
	assert_true(b.failed);
	buf_free(&b);
	free(value);
}

static const uint8_t mac_key[CRYPTO_KEY_LEN] = "0123456789abcdef0123456789abcde";

static void macs_what_it_sends(void **state)
{
	struct buf b;
	struct msg m;
	uint8_t other[CRYPTO_KEY_LEN];

	(void)state;
	buf_init(&b, 4096);
	buf_str(&b, "xx");
	msg_begin(&b, MSG_CALL, "c_1");
	msg_put_str(&b, "method", "ping");
	msg_end_mac(&b, 2, mac_key, 7, "{}", 2);
	assert_false(b.failed);
	assert_memory_equal(b.data + 2,
		"{\"t\":\"CALL\",\"id\":\"c_1\",\"method\":\"ping\",\"n\":7,\"mac\":\"", 52);
	assert_int_equal(msg_parse(b.data + 2, b.len - 2, &m), RC_OK);
	assert_true(msg_mac_ok(&m, mac_key, 7));
	assert_false(msg_mac_ok(&m, mac_key, 6));
	assert_false(msg_mac_ok(&m, mac_key, 8));
	memcpy(other, mac_key, sizeof(other));
	other[31] ^= 1;
	assert_false(msg_mac_ok(&m, other, 7));
	/* Every bit counts, of the header and of the payload. */
	for (size_t i = 2; i < b.len; i++)
		for (int bit = 0; bit < 8; bit++) {
			b.data[i] ^= (uint8_t)(1 << bit);
			if (msg_parse(b.data + 2, b.len - 2, &m) == RC_OK &&
				msg_mac_ok(&m, mac_key, 7))
				fail_msg("bit %d of byte %zu does not count", bit, i);
			b.data[i] ^= (uint8_t)(1 << bit);
		}
	buf_free(&b);
}

static void a_mac_must_come_last(void **state)
{
	static const char *const cases[] = {"{\"t\":\"CALL\",\"n\":1}\n",
		"{\"t\":\"CALL\",\"n\":1,\"mac\":\"AAAAAAAAAAAAAAAAAAAAAA==\",\"x\":1}\n",
		"{\"t\":\"CALL\",\"n\":1, \"mac\":\"AAAAAAAAAAAAAAAAAAAAAA==\"}\n",
		"{\"t\":\"CALL\",\"n\":1,\"mac\":\"AAAAAAAAAAAAAAAAAAAAAAAA\"}\n",
		"{\"t\":\"CALL\",\"mac\":\"AAAAAAAAAAAAAAAAAAAAAA==\"}\n"};
	struct msg m;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(parse(cases[i], &m), RC_OK);
		assert_false(msg_mac_ok(&m, mac_key, 1));
	}
}

static void frames_have_a_length(void **state)
{
	static const uint8_t wire[] = {0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 1, 0};
	const uint8_t *body;
	size_t body_len, used;

	(void)state;
	for (size_t len = 0; len < 7; len++)
		assert_int_equal(
			frame_decode(wire, len, 10, &body, &body_len, &used), FRAME_NEED_MORE);
	assert_int_equal(
		frame_decode(wire, sizeof(wire), 10, &body, &body_len, &used), FRAME_READY);
	assert_ptr_equal(body, wire + 4);
	assert_int_equal(body_len, 3);
	assert_int_equal(used, 7);
	assert_int_equal(frame_decode(wire, sizeof(wire), 2, &body, &body_len, &used), FRAME_BAD);
	assert_int_equal(frame_decode(wire + 7, 4, 255, &body, &body_len, &used), FRAME_BAD);
	assert_int_equal(frame_decode(wire + 7, 4, 256, &body, &body_len, &used), FRAME_NEED_MORE);
	assert_int_equal(frame_decode((const uint8_t *)"\xff\xff\xff\xff", 4, 1 << 20, &body,
				 &body_len, &used),
		FRAME_BAD);
}

static void frames_are_written(void **state)
{
	struct buf b;
	size_t start;

	(void)state;
	buf_init(&b, 1000);
	buf_str(&b, "x");
	start = frame_open(&b);
	assert_int_equal(start, 1);
	for (int i = 0; i < 258; i++)
		buf_char(&b, 'y');
	frame_close(&b, start);
	assert_false(b.failed);
	assert_memory_equal(b.data, "x\0\0\1\2yy", 7);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_message),
		cmocka_unit_test(knows_its_types),
		cmocka_unit_test(refuses_malformed_headers),
		cmocka_unit_test(the_header_has_a_limit),
		cmocka_unit_test(members_have_a_limit),
		cmocka_unit_test(writes_literal_bytes),
		cmocka_unit_test(a_long_header_fails_the_buffer),
		cmocka_unit_test(macs_what_it_sends),
		cmocka_unit_test(a_mac_must_come_last),
		cmocka_unit_test(frames_have_a_length),
		cmocka_unit_test(frames_are_written),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
