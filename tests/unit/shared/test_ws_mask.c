#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shared/ws_mask.h"

#define MAX 300

static const uint8_t mask[] = {0x37, 0xfa, 0x21, 0x3d};

/* RFC 6455, 5.7. */
static void hello_is_masked_as_the_standard_has_it(void **state)
{
	static const uint8_t masked[] = {0x7f, 0x9f, 0x4d, 0x51, 0x58};
	uint8_t text[] = "Hello";

	(void)state;
	ws_mask(text, text, 5, mask, 0);
	assert_memory_equal(text, masked, sizeof(masked));
}

static void every_byte_has_its_own_byte_of_the_mask(void **state)
{
	uint8_t src[MAX], to[MAX], same[MAX];

	(void)state;
	for (size_t i = 0; i < MAX; i++)
		src[i] = (uint8_t)(i * 31);
	for (size_t len = 0; len < MAX - 1; len++) {
		for (uint64_t phase = 0; phase < 6; phase++) {
			memset(to, 0xee, sizeof(to));
			memcpy(same, src, sizeof(src));
			ws_mask(to, src, len, mask, phase);
			ws_mask(same, same, len, mask, phase);
			for (size_t i = 0; i < len; i++)
				assert_int_equal(to[i], src[i] ^ mask[(phase + i) % 4]);
			assert_memory_equal(same, to, len);
			assert_int_equal(to[len], 0xee);
			assert_int_equal(same[len], src[len]);
		}
	}
}

static void a_payload_may_come_in_pieces(void **state)
{
	uint8_t whole[MAX], pieces[MAX];

	(void)state;
	memset(whole, 'x', sizeof(whole));
	memset(pieces, 'x', sizeof(pieces));
	ws_mask(whole, whole, MAX, mask, 0);
	for (size_t at = 0, n; at < MAX; at += n) {
		n = at * 2 + 1 < MAX - at ? at * 2 + 1 : MAX - at;
		ws_mask(pieces + at, pieces + at, n, mask, at);
	}
	assert_memory_equal(whole, pieces, MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_is_masked_as_the_standard_has_it),
		cmocka_unit_test(every_byte_has_its_own_byte_of_the_mask),
		cmocka_unit_test(a_payload_may_come_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
