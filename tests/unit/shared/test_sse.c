#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "shared/sse.h"

static void each_line_is_a_data_line(void **state)
{
	static const struct {
		const char *json, *event;
	} cases[] = {
		{"{\"a\":1}", "data: {\"a\":1}\n\n"},
		{"{\n \"a\": 1\n}", "data: {\ndata:  \"a\": 1\ndata: }\n\n"},
		{"{\r\n}\n", "data: {\ndata: }\n\n"},
		{"[\"\\n\"]", "data: [\"\\n\"]\n\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b;

		buf_init(&b, 1024);
		sse_event(&b, cases[i].json, strlen(cases[i].json));
		assert_int_equal(b.len, strlen(cases[i].event));
		assert_memory_equal(b.data, cases[i].event, b.len);
		buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_line_is_a_data_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
