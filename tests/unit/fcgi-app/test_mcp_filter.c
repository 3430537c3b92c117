#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "fcgi-app/mcp_filter.h"

#define ALL                                                                                    \
	"{\"tools\":{\"listChanged\":true},\"prompts\":{\"listChanged\":true},\"resources\":{" \
	"\"listChanged\":true,\"subscribe\":true},\"extensions\":{\"x/y\":{}}}"

static struct jscan parse(const char *text)
{
	struct jscan v = {NULL, 0, JSCAN_NONE};

	if (text)
		assert_int_equal(jscan_parse(text, strlen(text), &v), RC_OK);
	return v;
}

static void filters_are_read(void **state)
{
	static const struct {
		const char *params, *capabilities;
		bool ok;
		struct mcp_filter f;
	} cases[] = {
		{"{\"notifications\":{}}", ALL, true, {0}},
		{"{\"notifications\":{\"toolsListChanged\":true}}", NULL, true, {.tools = true}},
		{"{\"notifications\":{\"toolsListChanged\":false}}", ALL, true, {0}},
		{"{\"notifications\":{\"promptsListChanged\":true,\"resourcesListChanged\":true}}",
			ALL, true, {.prompts = true, .resources = true}},
		{"{\"notifications\":{\"promptsListChanged\":true,\"resourcesListChanged\":true}}",
			"{\"tools\":{},\"prompts\":{},\"resources\":{\"subscribe\":true}}", true,
			{0}},
		{"{\"notifications\":{\"resourceSubscriptions\":[\"a:b\"]}}", ALL, true,
			{.worker = true}},
		{"{\"notifications\":{\"resourceSubscriptions\":[]}}", ALL, true, {0}},
		{"{\"notifications\":{\"resourceSubscriptions\":[\"a:b\"]}}", "{\"resources\":{}}",
			true, {0}},
		{"{\"notifications\":{\"taskIds\":[\"t\"],\"toolsListChanged\":true}}", ALL, true,
			{.worker = true, .tools = true}},
		{"{\"notifications\":{\"taskIds\":[\"t\"]}}", "{\"tools\":{}}", true, {0}},
		{"{}", ALL, false, {0}},
		{"{\"notifications\":[]}", ALL, false, {0}},
		{"{\"notifications\":{\"toolsListChanged\":1}}", ALL, false, {0}},
		{"{\"notifications\":{\"resourceSubscriptions\":\"a:b\"}}", ALL, false, {0}},
		{"{\"notifications\":{\"resourceSubscriptions\":[1]}}", ALL, false, {0}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mcp_filter f = {0};
		const char *why = NULL;

		assert_int_equal(mcp_filter_read(parse(cases[i].params),
					 parse(cases[i].capabilities), &f, &why),
			cases[i].ok ? RC_OK : RC_INVALID);
		assert_true(cases[i].ok || why);
		assert_int_equal(f.tools, cases[i].f.tools);
		assert_int_equal(f.prompts, cases[i].f.prompts);
		assert_int_equal(f.resources, cases[i].f.resources);
		assert_int_equal(f.worker, cases[i].f.worker);
	}
}

static void the_acknowledgement_names_what_is_promised(void **state)
{
	static const struct {
		struct mcp_filter f;
		const char *promised;
	} cases[] = {
		{{0}, "{}"},
		{{.tools = true}, "{\"toolsListChanged\":true}"},
		{{.prompts = true, .resources = true},
			"{\"promptsListChanged\":true,\"resourcesListChanged\":true}"},
		{{.resources = true}, "{\"resourcesListChanged\":true}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct jscan whole, id, promised;
		struct buf b;

		buf_init(&b, 1024);
		mcp_filter_acknowledge(&b, parse("\"a\\n\""), &cases[i].f);
		assert_int_equal(jscan_parse((const char *)b.data, b.len, &whole), RC_OK);
		assert_int_equal(jscan_path(whole, &id, "params", "_meta",
					 "io.modelcontextprotocol/subscriptionId", NULL),
			RC_OK);
		assert_memory_equal(id.p, "\"a\\n\"", id.len);
		assert_int_equal(
			jscan_path(whole, &promised, "params", "notifications", NULL), RC_OK);
		assert_int_equal(promised.len, strlen(cases[i].promised));
		assert_memory_equal(promised.p, cases[i].promised, promised.len);
		buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filters_are_read),
		cmocka_unit_test(the_acknowledgement_names_what_is_promised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
