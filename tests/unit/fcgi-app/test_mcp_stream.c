#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "fcgi-app/mcp_stream.h"

static void it_opens_after_a_second(void **state)
{
	struct mcp_stream s;

	(void)state;
	mcp_stream_init(&s, true, false, 5000, 30000);
	assert_int_equal(s.tick_ms, 6000);
	assert_int_equal(s.end_ms, 95000);
	assert_false(s.open);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_opens_after_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
