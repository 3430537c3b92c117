#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shared/mem.h"
#include "worker/ws_frame.h"

static const uint8_t mask[] = {0x37, 0xfa, 0x21, 0x3d};

static void short_messages_stand_close_to_each_other(void **state)
{
	/* The masked "Hello" of RFC 6455, 5.7, as a binary message. */
	static const uint8_t hello[] = {
		0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58};
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	for (int i = 0; i < 2; i++) {
		size_t start = ws_frame_open(&b);

		buf_str(&b, "Hello");
		ws_frame_close(&b, start, mask, NULL, 0);
	}
	assert_int_equal(b.len, 2 * sizeof(hello));
	assert_memory_equal(b.data, hello, sizeof(hello));
	assert_memory_equal(b.data + sizeof(hello), hello, sizeof(hello));
	buf_free(&b);
}

static void every_length_has_its_shortest_head(void **state)
{
	static const struct {
		size_t len, head_len;
		uint8_t head[10];
	} cases[] = {
		{0, 2, {0x82, 0x80}},
		{125, 2, {0x82, 0xfd}},
		{126, 4, {0x82, 0xfe, 0, 126}},
		{65535, 4, {0x82, 0xfe, 0xff, 0xff}},
		{65536, 10, {0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0}},
		{131077, 10, {0x82, 0xff, 0, 0, 0, 0, 0, 2, 0, 5}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b;
		size_t n = cases[i].len, head = cases[i].head_len;
		/* As much as that in the buffer, the rest elsewhere. */
		size_t here = i % 2 ? n : n / 3, start;
		uint8_t *text = xmalloc(n + 1);

		for (size_t k = 0; k < n; k++)
			text[k] = (uint8_t)(k * 7);
		buf_init(&b, 200000);
		buf_char(&b, '!');
		start = ws_frame_open(&b);
		buf_add(&b, text, here);
		ws_frame_close(&b, start, mask, text + here, n - here);
		free(text);
		assert_int_equal(b.len, 1 + head + 4 + n);
		assert_memory_equal(b.data + 1, cases[i].head, head);
		assert_memory_equal(b.data + 1 + head, mask, 4);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(b.data[1 + head + 4 + k], (uint8_t)(k * 7) ^ mask[k % 4]);
		buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_messages_stand_close_to_each_other),
		cmocka_unit_test(every_length_has_its_shortest_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
