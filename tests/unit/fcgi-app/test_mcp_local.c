#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi-app/mcp_local.h"
#include "fcgi-app/mcp_relay.h"

#define MANIFEST                                                                                  \
	"{\"serverInfo\":{\"name\":\"demo\", \"version\":\"1\"},\"instructions\":\"Hi \\u00e9\"," \
	"\"capabilities\":{\"tools\":{\"listChanged\":true}},"                                    \
	"\"tools\":[{\"name\":\"a\",\"inputSchema\":{}},{\"name\":\"b\",\"inputSchema\":{}}]}"
#define MODERN_TAIL(info)                                                                     \
	",\"resultType\":\"complete\",\"ttlMs\":30000,\"cacheScope\":\"private\",\"_meta\":{" \
	"\"io.modelcontextprotocol/serverInfo\":" info "}}}"
#define OWN_INFO "{\"name\":\"airlock\",\"version\":\"" AIRLOCK_VERSION "\"}"

static struct mcp_request request(const char *text, enum mcp_era era)
{
	struct mcp_request m = {.era = era};

	assert_int_equal(jscan_parse(text, strlen(text), &m.message), RC_OK);
	(void)jscan_get(m.message, "id", &m.id);
	(void)jscan_get(m.message, "params", &m.params);
	return m;
}

/* Compares, checks that it is one JSON value, and empties the buffer. */
static void is(struct buf *b, const char *want)
{
	struct jscan v;

	assert_false(b->failed);
	assert_int_equal(jscan_parse((const char *)b->data, b->len, &v), RC_OK);
	buf_char(b, '\0');
	assert_string_equal((const char *)b->data, want);
	buf_reset(b);
}

static void initialize_negotiates(void **state)
{
	static const struct {
		const char *asked, *given;
	} cases[] = {
		{"{\"id\":1,\"params\":{\"protocolVersion\":\"2025-11-25\"}}", "2025-11-25"},
		{"{\"id\":1,\"params\":{\"protocolVersion\":\"2025-06-18\"}}", "2025-06-18"},
		{"{\"id\":1,\"params\":{\"protocolVersion\":\"2025-03-26\"}}", "2025-03-26"},
		{"{\"id\":1,\"params\":{\"protocolVersion\":\"2024-11-05\"}}", "2025-11-25"},
		{"{\"id\":1,\"params\":{\"protocolVersion\":\"2026-07-28\"}}", "2025-11-25"},
		{"{\"id\":1,\"params\":{\"protocolVersion\":7}}", "2025-11-25"},
		{"{\"id\":1}", "2025-11-25"},
	};
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mcp_request m = request(cases[i].asked, MCP_LEGACY);
		struct jscan whole, version;

		mcp_local_initialize(&b, &m, MANIFEST, strlen(MANIFEST));
		assert_int_equal(jscan_parse((const char *)b.data, b.len, &whole), RC_OK);
		assert_int_equal(
			jscan_path(whole, &version, "result", "protocolVersion", NULL), RC_OK);
		assert_true(jscan_is_str(version, cases[i].given));
		buf_reset(&b);
	}
	buf_free(&b);
}

static void answers_are_literal(void **state)
{
	struct mcp_request m =
		request("{\"id\":\"x\\u0041\",\"params\":{\"protocolVersion\":\"2025-06-18\"}}",
			MCP_LEGACY);
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	mcp_local_initialize(&b, &m, MANIFEST, strlen(MANIFEST));
	is(&b,
		"{\"jsonrpc\":\"2.0\",\"id\":\"x\\u0041\",\"result\":{\"protocolVersion\":\"2025-"
		"06-18\","
		"\"capabilities\":{\"tools\":{\"listChanged\":true}},"
		"\"serverInfo\":{\"name\":\"demo\", \"version\":\"1\"},\"instructions\":\"Hi "
		"\\u00e9\"}}");
	mcp_local_initialize(&b, &m, NULL, 0);
	is(&b,
		"{\"jsonrpc\":\"2.0\",\"id\":\"x\\u0041\",\"result\":{\"protocolVersion\":\"2025-"
		"06-18\","
		"\"capabilities\":{\"tools\":{}},\"serverInfo\":" OWN_INFO "}}");
	mcp_local_ping(&b, &m);
	is(&b, "{\"jsonrpc\":\"2.0\",\"id\":\"x\\u0041\",\"result\":{}}");
	m = request("{\"id\":-3}", MCP_MODERN);
	mcp_local_discover(&b, &m, MANIFEST, strlen(MANIFEST));
	is(&b,
		"{\"jsonrpc\":\"2.0\",\"id\":-3,\"result\":{\"supportedVersions\":"
		"[\"2026-07-28\",\"2025-11-25\",\"2025-06-18\",\"2025-03-26\"],"
		"\"capabilities\":{\"tools\":{\"listChanged\":true}},\"instructions\":\"Hi "
		"\\u00e9\"" MODERN_TAIL("{\"name\":\"demo\", \"version\":\"1\"}"));
	mcp_local_discover(&b, &m, NULL, 0);
	is(&b,
		"{\"jsonrpc\":\"2.0\",\"id\":-3,\"result\":{\"supportedVersions\":"
		"[\"2026-07-28\",\"2025-11-25\",\"2025-06-18\",\"2025-03-26\"],\"capabilities\":{"
		"\"tools\":{}}" MODERN_TAIL(OWN_INFO));
	buf_free(&b);
}

static void lists_tools(void **state)
{
	struct mcp_request m = request("{\"id\":1}", MCP_LEGACY);
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	mcp_local_tools(&b, &m, MANIFEST, strlen(MANIFEST), NULL, NULL);
	is(&b,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"a\","
		"\"inputSchema\":{}},"
		"{\"name\":\"b\",\"inputSchema\":{}}]}}");
	mcp_local_tools(&b, &m, MANIFEST, strlen(MANIFEST), "[\"b\"]", NULL);
	is(&b,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"b\","
		"\"inputSchema\":{}}]}}");
	m.era = MCP_MODERN;
	mcp_local_tools(&b, &m, MANIFEST, strlen(MANIFEST), "[]", NULL);
	is(&b,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[]" MODERN_TAIL(
			"{\"name\":\"demo\", \"version\":\"1\"}"));
	buf_free(&b);
}

static void errors_say_what_and_where(void **state)
{
	struct mcp_request m = request("{\"id\":1}", MCP_MODERN);
	struct mcp_error e = {
		.code = MCP_HEADER_MISMATCH, .message = "no", .problem = PROBLEM_COUNT};
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	mcp_local_error(&b, m.id, &e, "req_1");
	is(&b,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32020,\"message\":\"no\","
		"\"data\":{\"request_id\":\"req_1\"}}}");
	e.problem = PROBLEM_NO_WORKER;
	e.detail = "do \"this\"";
	mcp_local_error(&b, (struct jscan){NULL, 0, JSCAN_NONE}, &e, "req_1");
	is(&b,
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32020,\"message\":\"no\","
		"\"data\":{"
		"\"code\":\"no_worker\",\"detail\":\"do "
		"\\\"this\\\"\",\"request_id\":\"req_1\"}}}");
	e = (struct mcp_error){.code = MCP_UNSUPPORTED_VERSION,
		.message = "no",
		.problem = PROBLEM_COUNT,
		.requested = "v\"9"};
	mcp_local_error(&b, m.id, &e, "req_1");
	is(&b,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32022,\"message\":\"no\","
		"\"data\":{"
		"\"supported\":[\"2026-07-28\",\"2025-11-25\",\"2025-06-18\",\"2025-03-26\"],"
		"\"requested\":\"v\\\"9\",\"request_id\":\"req_1\"}}}");
	buf_free(&b);
}

static void affinity(
	const char *url, const char *tenant, const char *arguments, char out[MCP_AFFINITY_LEN + 1])
{
	struct jscan v;

	assert_int_equal(jscan_parse(arguments, strlen(arguments), &v), RC_OK);
	mcp_relay_affinity(url, tenant, v, "subject_id", out);
}

static void a_subject_has_one_digest(void **state)
{
	static const char *const none[] = {"{}", "{\"subject_id\":null}", "{\"other\":\"7\"}", "[]",
		"{\"subject_id\":1,\"subject_id\":2}"};
	char first[MCP_AFFINITY_LEN + 1], other[MCP_AFFINITY_LEN + 1];

	(void)state;
	affinity("https://a", "t_a", "{\"subject_id\":\"7\"}", first);
	assert_int_equal(strlen(first), MCP_AFFINITY_LEN);
	affinity("https://a", "t_a", "{\"x\":1,\"subject_id\":7}", other);
	assert_string_equal(first, other);
	affinity("https://a", "t_a", "{\"subject_id\":\"\\u0037\"}", other);
	assert_string_equal(first, other);
	affinity("https://a", "t_a", "{\"subject_id\":\"8\"}", other);
	assert_string_not_equal(first, other);
	affinity("https://a", "t_b", "{\"subject_id\":\"7\"}", other);
	assert_string_not_equal(first, other);
	affinity("https://b", "t_a", "{\"subject_id\":\"7\"}", other);
	assert_string_not_equal(first, other);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		affinity("https://a", "t_a", none[i], other);
		assert_string_equal(other, "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(initialize_negotiates),
		cmocka_unit_test(answers_are_literal),
		cmocka_unit_test(lists_tools),
		cmocka_unit_test(errors_say_what_and_where),
		cmocka_unit_test(a_subject_has_one_digest),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
