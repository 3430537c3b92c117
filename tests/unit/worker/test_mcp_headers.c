/* The headers of a modern request, literally. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "worker/mcp_headers.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void take(void *ctx, const char *line)
{
	char *all = ctx;
	size_t len = strlen(all);

	(void)snprintf(all + len, 1024 - len, "%s\n", line);
}

static void parse(const char *text, struct jscan *out)
{
	*out = (struct jscan){NULL, 0, JSCAN_NONE};
	if (text)
		assert_int_equal(jscan_parse(text, strlen(text), out), RC_OK);
}

static void says_what_the_body_says(void **state)
{
	static const char tool[] =
		"{\"name\":\"t\",\"inputSchema\":{\"properties\":{"
		"\"region\":{\"x-mcp-header\":\"Region\"},\"n\":{\"x-mcp-header\":\"N\"},"
		"\"bad\":{\"x-mcp-header\":\"a b\"},\"plain\":{},"
		"\"deep\":{\"properties\":{\"on\":{\"x-mcp-header\":\"On\"}}}}}}";
	static const struct {
		const char *method, *params, *tool, *wanted;
	} cases[] = {
		{"tools/list", "{\"name\":\"x\"}", NULL, ""},
		{"tools/call", "{\"name\":\"t\"}", NULL, "Mcp-Name: t\n"},
		{"prompts/get", "{\"name\":\"p\"}", NULL, "Mcp-Name: p\n"},
		{"resources/read", "{\"uri\":\"a:b\",\"name\":\"x\"}", NULL, "Mcp-Name: a:b\n"},
		{"tasks/get", "{\"taskId\":\"1\"}", NULL, "Mcp-Name: 1\n"},
		{"tasks/update", "{\"taskId\":\"1\"}", NULL, "Mcp-Name: 1\n"},
		{"tasks/cancel", "{\"taskId\":\"1\"}", NULL, "Mcp-Name: 1\n"},
		{"tools/call", "{\"name\":1}", NULL, ""},
		{"tools/call", "{\"name\":\"\\u00fc\"}", NULL, "Mcp-Name: =?base64?w7w=?=\n"},
		{"tools/call", "{\"name\":\" t\"}", NULL, "Mcp-Name: =?base64?IHQ=?=\n"},
		{"tools/call", "{\"name\":\"a\\nX: y\"}", NULL, "Mcp-Name: =?base64?YQpYOiB5?=\n"},
		{"tools/call", "{\"name\":\"=?base64?dA==?=\"}", NULL,
			"Mcp-Name: =?base64?PT9iYXNlNjQ/ZEE9PT89?=\n"},
		{"tools/call", "{\"name\":\"a\\ud800\"}", NULL, ""},
		{"tools/call",
			"{\"name\":\"t\",\"arguments\":{\"region\":\"eu\",\"n\":42.0,\"bad\":1,"
			"\"plain\":\"x\",\"deep\":{\"on\":true}}}",
			tool,
			"Mcp-Name: t\nMcp-Param-Region: eu\nMcp-Param-N: 42.0\nMcp-Param-On: "
			"true\n"},
		{"tools/call", "{\"name\":\"t\",\"arguments\":{\"region\":null,\"n\":{}}}", tool,
			"Mcp-Name: t\n"},
		{"tools/call", "{\"name\":\"t\",\"arguments\":{\"region\":\"\"}}", tool,
			"Mcp-Name: t\nMcp-Param-Region: \n"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct jscan params, definition;
		char got[1024] = "", wanted[1024];

		parse(cases[i].params, &params);
		parse(cases[i].tool, &definition);
		mcp_headers(cases[i].method, params, definition, take, got);
		(void)snprintf(wanted, sizeof wanted,
			"MCP-Protocol-Version: 2026-07-28\nMcp-Method: %s\n%s", cases[i].method,
			cases[i].wanted);
		assert_string_equal(got, wanted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(says_what_the_body_says)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
