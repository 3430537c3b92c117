#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fcgi-app/fcgi_record.h"

/* BEGIN_REQUEST (responder, kept), PARAMS "A"="bc", end of PARAMS, STDIN "body" with 4 bytes of
 * padding, end of STDIN. */
static const uint8_t request[] = {1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, /**/
	1, 4, 0, 1, 0, 5, 3, 0, 1, 2, 'A', 'b', 'c', 0, 0, 0, /**/
	1, 4, 0, 1, 0, 0, 0, 0, /**/
	1, 5, 0, 1, 0, 4, 4, 0, 'b', 'o', 'd', 'y', 0, 0, 0, 0, /**/
	1, 5, 0, 1, 0, 0, 0, 0};

/* Reads nothing behind its end: memory of exactly that length. */
static bool whole(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	bool is;

	memcpy(copy, bytes, len);
	is = fcgi_record_whole(copy, len);
	free(copy);
	return is;
}

static void a_request_is_whole_with_its_last_byte(void **state)
{
	uint8_t longer[sizeof(request) + 3] = {0};

	(void)state;
	for (size_t len = 0; len < sizeof(request); len++)
		assert_false(whole(request, len));
	assert_true(whole(request, sizeof(request)));
	memcpy(longer, request, sizeof(request));
	assert_true(whole(longer, sizeof(longer)));
}

static void what_is_no_request_is_never_whole(void **state)
{
	static const struct {
		size_t at;
		uint8_t is;
	} cases[] = {{0, 2}, /* another version */
		{1, 9}, /* a management record first */
		{17, 1}, /* a second beginning */
		{16, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t bytes[sizeof(request)];

		memcpy(bytes, request, sizeof(bytes));
		bytes[cases[i].at] = cases[i].is;
		assert_false(whole(bytes, sizeof(bytes)));
	}
}

static void an_answer_s_head_says_how_much_follows(void **state)
{
	static const uint8_t right[] = {1, 6, 1, 2, 0xff, 0xf8, 0, 0};
	uint8_t head[FCGI_RECORD_HEAD_LEN];

	(void)state;
	fcgi_record_head(head, 258, FCGI_RECORD_MAX);
	assert_memory_equal(head, right, sizeof(right));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_whole_with_its_last_byte),
		cmocka_unit_test(what_is_no_request_is_never_whole),
		cmocka_unit_test(an_answer_s_head_says_how_much_follows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
