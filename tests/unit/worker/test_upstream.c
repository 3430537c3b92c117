/* One upstream as a state machine: what goes to the server and what comes back to clients,
 * literally. No process, no clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/upstream.h"

#define NOW 1000
#define META "io.modelcontextprotocol/"

struct rig {
	struct upstream *u;
	char sent[16][4096]; /* the last messages to the server */
	int sents;
	char event[4096], result[8192], outcome[32], notified[128], broken[128];
	int events, results, changes;
	void *event_call, *result_call;
};

static enum rc on_send(void *ctx, const void *text, size_t len)
{
	struct rig *r = ctx;

	assert_true(len < sizeof r->sent[0]);
	memcpy(r->sent[r->sents % 16], text, len);
	r->sent[r->sents++ % 16][len] = '\0';
	return RC_OK;
}

static bool on_event(void *ctx, void *call, const void *text, size_t len)
{
	struct rig *r = ctx;

	assert_true(len < sizeof r->event);
	memcpy(r->event, text, len);
	r->event[len] = '\0';
	r->event_call = call;
	r->events++;
	return true;
}

static void on_result(void *ctx, void *call, const char *outcome, struct buf *payload)
{
	struct rig *r = ctx;

	assert_true(payload->len < sizeof r->result);
	memcpy(r->result, payload->data, payload->len);
	r->result[payload->len] = '\0';
	(void)snprintf(r->outcome, sizeof r->outcome, "%s", outcome);
	r->result_call = call;
	r->results++;
	buf_free(payload);
}

static void on_changed(void *ctx)
{
	((struct rig *)ctx)->changes++;
}

static void on_notified(void *ctx, const char *method, struct jscan message)
{
	(void)message;
	(void)snprintf(((struct rig *)ctx)->notified, 128, "%s", method);
}

static void on_broken(void *ctx, const char *why)
{
	(void)snprintf(((struct rig *)ctx)->broken, 128, "%s", why);
}

static void rig_new(struct rig *r, int max_calls)
{
	struct upstream_config config = {
		.name = "up", .prefix = "p_", .max_calls = max_calls, .timeout_ms = 500};
	struct upstream_owner owner = {.ctx = r,
		.send = on_send,
		.event = on_event,
		.result = on_result,
		.changed = on_changed,
		.notified = on_notified,
		.broken = on_broken};

	memset(r, 0, sizeof *r);
	r->u = upstream_new(&config, &owner);
}

static const char *last_sent(struct rig *r)
{
	assert_true(r->sents > 0);
	return r->sent[(r->sents - 1) % 16];
}

static void says(struct rig *r, const char *text)
{
	assert_true(upstream_message(r->u, text, strlen(text), 0, NOW));
}

static void become_legacy(struct rig *r)
{
	upstream_up(r->u, NOW);
	assert_non_null(strstr(last_sent(r), "\"id\":1,\"method\":\"server/discover\""));
	says(r, "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no\"}}");
	assert_non_null(strstr(last_sent(r), "\"id\":2,\"method\":\"initialize\""));
	says(r,
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"protocolVersion\":\"2025-11-25\","
		"\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}"
		"}");
	assert_non_null(strstr(last_sent(r), "\"id\":3,\"method\":\"tools/list\""));
	says(r,
		"{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"tools\":[{\"name\":\"a\","
		"\"inputSchema\":{ }}]}}");
	assert_true(upstream_ready(r->u));
	assert_false(upstream_modern(r->u));
	assert_int_equal(r->changes, 1);
}

static void become_modern(struct rig *r)
{
	upstream_up(r->u, NOW);
	says(r,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\","
		"\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"prompts\":{}}}}");
	assert_true(upstream_ready(r->u));
	assert_true(upstream_modern(r->u));
}

static char calls[8];

/* Who calls, where the test's upstream is told. */
static const struct upstream_identity *identity;

static enum rc call(struct rig *r, int n, bool modern, const char *text)
{
	struct upstream_call c = {.identity = identity,
		.tell = identity != NULL,
		.call = &calls[n],
		.id = "c_1",
		.text = text,
		.len = strlen(text),
		.modern = modern,
		.deadline_ms = NOW + 60000,
		.result_max = 4096};

	return upstream_call(r->u, &c, NOW);
}

static void tools_get_the_prefix_and_stay_verbatim(void **state)
{
	struct rig r;

	(void)state;
	rig_new(&r, 4);
	become_legacy(&r);
	const struct buf *tools = upstream_tools(r.u);
	assert_int_equal(tools->len, strlen("{\"name\":\"p_a\",\"inputSchema\":{ }}"));
	assert_memory_equal(tools->data, "{\"name\":\"p_a\",\"inputSchema\":{ }}", tools->len);
	upstream_free(r.u);
}

static void ids_and_tokens_are_rewritten_and_restored(void **state)
{
	struct rig r;

	(void)state;
	rig_new(&r, 4);
	become_legacy(&r);
	assert_int_equal(call(&r, 0, false,
				 "{\"jsonrpc\":\"2.0\", "
				 "\"id\":\"\\u0061\",\"method\":\"tools/call\",\"params\":{"
				 "\"name\":\"p_a\",\"arguments\":{\"n\":1.0e400},\"_meta\":{"
				 "\"progressToken\":1.50}}}"),
		RC_OK);
	assert_string_equal(last_sent(&r),
		"{\"jsonrpc\":\"2.0\", \"id\":4,\"method\":\"tools/call\",\"params\":{"
		"\"name\":\"a\",\"arguments\":{\"n\":1.0e400},\"_meta\":{\"progressToken\":4}}}");
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
		"progress\",\"params\":{\"progressToken\":4,\"progress\":1}}");
	assert_ptr_equal(r.event_call, &calls[0]);
	assert_string_equal(r.event,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
		"progress\",\"params\":{\"progressToken\":1.50,\"progress\":1}}");
	says(&r, "{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{\"content\":[], \"x\":0.10}}");
	assert_string_equal(r.result,
		"{\"jsonrpc\":\"2.0\",\"id\":\"\\u0061\",\"result\":{\"content\":[], \"x\":0.10}}");
	assert_string_equal(r.outcome, "ok");
	/* Late news of a call that has ended reaches nobody. */
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
		"progress\",\"params\":{\"progressToken\":4,\"progress\":2}}");
	assert_int_equal(r.events, 1);
	upstream_free(r.u);
}

static void a_subscription_id_is_restored(void **state)
{
	static const char text[] =
		"{\"jsonrpc\":\"2.0\",\"id\":\"s\",\"method\":\"subscriptions/listen\",\"params\":{"
		"\"_meta\":{},\"notifications\":{}}}";
	struct upstream_call c = {.call = &calls[0],
		.id = "c_1",
		.text = text,
		.len = sizeof text - 1,
		.modern = true,
		.listen = true,
		.deadline_ms = NOW + 1,
		.result_max = 4096};
	struct rig r;

	(void)state;
	rig_new(&r, 1);
	become_modern(&r);
	assert_int_equal(upstream_call(r.u, &c, NOW), RC_OK);
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\",\"params\":{\"_meta\":{\"" META
		"subscriptionId\":2}}}");
	assert_string_equal(r.event,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\",\"params\":{\"_meta\":{\"" META
		"subscriptionId\":\"s\"}}}");
	upstream_tick(r.u, NOW + 1000000);
	assert_int_equal(r.results, 0); /* it has no deadline */
	upstream_cancel(r.u, &calls[0], "gone");
	assert_non_null(strstr(last_sent(&r), "\"requestId\":2"));
	upstream_free(r.u);
}

static void input_required_becomes_requests_to_a_legacy_client(void **state)
{
	struct rig r;

	(void)state;
	rig_new(&r, 4);
	become_modern(&r);
	assert_int_equal(call(&r, 0, false,
				 "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/"
				 "call\",\"params\":{\"name\":\"p_t\"}}"),
		RC_OK);
	assert_non_null(strstr(last_sent(&r), "\"" META "protocolVersion\":\"2026-07-28\""));
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"resultType\":\"input_required\","
		"\"requestState\":\"st\\u00e9\","
		"\"inputRequests\":{\"k\":{\"method\":\"roots/list\",\"params\":{}}}}}");
	assert_string_equal(r.event,
		"{\"jsonrpc\":\"2.0\",\"id\":\"c_1.1\",\"method\":\"roots/list\",\"params\":{}}");
	assert_int_equal(r.results, 0);
	static const char stranger[] = "{\"jsonrpc\":\"2.0\",\"id\":\"c_2.1\",\"result\":{}}";
	int before = r.sents;
	upstream_reply(r.u, &calls[0], stranger, sizeof stranger - 1, NOW);
	assert_int_equal(r.sents, before);
	static const char reply[] =
		"{\"jsonrpc\":\"2.0\",\"id\":\"c_1.1\",\"result\":{\"roots\":[]}}";
	upstream_reply(r.u, &calls[0], reply, sizeof reply - 1, NOW);
	assert_non_null(strstr(last_sent(&r), "\"id\":3,"));
	assert_non_null(strstr(last_sent(&r),
		"\"inputResponses\":{\"k\":{\"roots\":[]}},\"requestState\":\"st\\u00e9\""));
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"resultType\":\"complete\",\"content\":"
		"[]}}");
	assert_string_equal(r.result, "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[]}}");
	upstream_free(r.u);
}

static void a_server_request_reaches_a_legacy_client_and_its_answer_the_server(void **state)
{
	static const char reply[] =
		"{\"jsonrpc\":\"2.0\",\"id\":\"c_1.1\",\"result\":{\"action\":\"cancel\"}}";
	struct rig r;

	(void)state;
	rig_new(&r, 4);
	become_legacy(&r);
	assert_int_equal(call(&r, 0, false,
				 "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/"
				 "call\",\"params\":{\"name\":\"p_a\"}}"),
		RC_OK);
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"id\":99,\"method\":\"elicitation/"
		"create\",\"params\":{\"message\":\"?\"}}");
	assert_string_equal(r.event,
		"{\"jsonrpc\":\"2.0\",\"id\":\"c_1.1\",\"method\":\"elicitation/"
		"create\",\"params\":{\"message\":\"?\"}}");
	upstream_reply(r.u, &calls[0], reply, sizeof reply - 1, NOW);
	assert_string_equal(last_sent(&r),
		"{\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{\"action\":\"cancel\"}}");
	upstream_free(r.u);
}

static void a_question_taken_back_is_taken_back_from_the_client(void **state)
{
	static const char late[] =
		"{\"jsonrpc\":\"2.0\",\"id\":\"c_1.1\",\"result\":{\"action\":\"accept\"}}";
	struct rig r;

	(void)state;
	rig_new(&r, 4);
	become_legacy(&r);
	assert_int_equal(call(&r, 0, false,
				 "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/"
				 "call\",\"params\":{\"name\":\"p_a\"}}"),
		RC_OK);
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"id\":\"q\\u002d1\",\"method\":\"elicitation/"
		"create\",\"params\":{}}");
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
		"cancelled\",\"params\":{\"requestId\":\"other\"}}");
	assert_int_equal(r.events, 1);
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
		"cancelled\",\"params\":{\"requestId\":\"q-1\",\"reason\":\"changed my mind\"}}");
	assert_ptr_equal(r.event_call, &calls[0]);
	assert_string_equal(r.event,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
		"cancelled\",\"params\":{\"requestId\":\"c_1.1\",\"reason\":\"changed my mind\"}}");
	/* An answer that crossed it reaches nobody. */
	int before = r.sents;
	upstream_reply(r.u, &calls[0], late, sizeof late - 1, NOW);
	assert_int_equal(r.sents, before);
	says(&r, "{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{\"content\":[]}}");
	assert_string_equal(r.outcome, "ok");
	assert_int_equal(r.events, 2);
	upstream_free(r.u);
}

static void the_end_of_a_call_takes_its_questions_back(void **state)
{
	struct rig r;

	(void)state;
	rig_new(&r, 4);
	become_legacy(&r);
	assert_int_equal(call(&r, 0, false,
				 "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/"
				 "call\",\"params\":{\"name\":\"p_a\"}}"),
		RC_OK);
	says(&r, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"roots/list\"}");
	assert_int_equal(r.events, 1);
	upstream_down(r.u);
	assert_string_equal(r.event,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
		"\"requestId\":\"c_1.1\",\"reason\":\"The call has ended\"}}");
	assert_int_equal(r.results, 1);
	upstream_free(r.u);
}

static void a_question_taken_back_from_a_modern_client_is_not_waited_for(void **state)
{
	char again[512], text[256];
	const char *from, *to;
	struct rig r;

	(void)state;
	rig_new(&r, 4);
	become_legacy(&r);
	assert_int_equal(
		call(&r, 0, true,
			"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{"
			"\"_meta\":{\"" META "clientCapabilities\":{\"roots\":{}}},\"name\":"
			"\"p_a\"}}"),
		RC_OK);
	says(&r, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"roots/list\"}");
	assert_non_null(strstr(r.result, "\"resultType\":\"input_required\""));
	from = strstr(r.result, "\"requestState\":\"") + strlen("\"requestState\":\"");
	to = strchr(from, '"');
	(void)snprintf(text, sizeof text, "%.*s", (int)(to - from), from);
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
		"cancelled\",\"params\":{\"requestId\":5}}");
	assert_int_equal(r.events, 0);
	(void)snprintf(again, sizeof again,
		"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"tools/"
		"call\",\"params\":{\"name\":\"p_a\","
		"\"requestState\":\"%s\",\"inputResponses\":{\"r1\":{\"roots\":[]}}}}",
		text);
	int before = r.sents;
	assert_int_equal(call(&r, 1, true, again), RC_OK);
	assert_int_equal(r.sents, before);
	says(&r, "{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{\"content\":[]}}");
	assert_string_equal(r.result,
		"{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{\"resultType\":\"complete\","
		"\"content\":[]}}");
	upstream_free(r.u);
}

static void a_modern_server_ends_a_subscription(void **state)
{
	static const char text[] =
		"{\"jsonrpc\":\"2.0\",\"id\":\"s\",\"method\":\"subscriptions/listen\",\"params\":{"
		"\"_meta\":{},\"notifications\":{}}}";
	struct upstream_call c = {.call = &calls[0],
		.id = "c_1",
		.text = text,
		.len = sizeof text - 1,
		.modern = true,
		.listen = true,
		.result_max = 4096};
	struct rig r;

	(void)state;
	rig_new(&r, 4);
	become_modern(&r);
	assert_int_equal(upstream_call(r.u, &c, NOW), RC_OK);
	assert_int_equal(call(&r, 1, true,
				 "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/"
				 "call\",\"params\":{\"name\":\"p_a\"}}"),
		RC_OK);
	/* It may do so to nothing else. */
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
		"cancelled\",\"params\":{\"requestId\":3}}");
	assert_int_equal(r.results, 0);
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
		"cancelled\",\"params\":{\"requestId\":2}}");
	assert_ptr_equal(r.result_call, &calls[0]);
	assert_string_equal(r.result,
		"{\"jsonrpc\":\"2.0\",\"id\":\"s\",\"result\":{\"resultType\":\"complete\",\"_"
		"meta\":{\"" META "subscriptionId\":\"s\"}}}");
	upstream_free(r.u);
}

static void a_legacy_server_gets_no_meta_of_the_newer_era(void **state)
{
	struct rig r;

	(void)state;
	rig_new(&r, 4);
	become_legacy(&r);
	assert_int_equal(
		call(&r, 0, true,
			"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{"
			"\"_meta\":{\"" META "protocolVersion\":\"2026-07-28\",\"a.b/c\": 1.0,"
			"\"progressToken\":\"t\",\"" META "clientCapabilities\":{},"
			"\"" META "logLevel\":\"info\"},\"name\":\"p_a\"}}"),
		RC_OK);
	assert_string_equal(last_sent(&r),
		"{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"tools/call\",\"params\":{"
		"\"_meta\":{\"a.b/c\":1.0,\"progressToken\":4},\"name\":\"a\"}}");
	upstream_free(r.u);
}

#define WHO                                                                               \
	"\"airlock-cp/"                                                                   \
	"identity\":{\"tenant_id\":\"t_a\",\"key_id\":\"k1\",\"key_name\":\"\\\"A\\\"\"," \
	"\"request_id\":\"req_1\"}"
#define CALL(params) "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"tools/call\"" params "}"
#define SENT(id, params) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\"" params "}"

static const struct upstream_identity somebody = {.tenant_id = "t_a",
	.key_id = "k1",
	.key_name = "\"A\"",
	.request_id = "req_1",
	.traceparent = "",
	.tracestate = ""};

static void an_upstream_is_told_who_calls(void **state)
{
	static const struct {
		const char *text, *sent;
	} cases[] = {
		{CALL(",\"params\":{\"name\":\"p_a\"}"),
			SENT("4", ",\"params\":{\"_meta\":{" WHO "},\"name\":\"a\"}")},
		{CALL(",\"params\":{ }"), SENT("5", ",\"params\":{\"_meta\":{" WHO "} }")},
		{CALL(""),
			"{\"params\":{\"_meta\":{" WHO
			"}},\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"tools/call\"}"},
		{CALL(",\"params\":{\"_meta\":{ \"x\": 1.0 }}"),
			SENT("7", ",\"params\":{\"_meta\":{" WHO ", \"x\": 1.0 }}")},
		{CALL(",\"params\":{\"_meta\":{\"progressToken\":\"t\"}}"),
			SENT("8", ",\"params\":{\"_meta\":{" WHO ",\"progressToken\":8}}")},
		/* What the client says of itself is not passed off as our word, however it is
		 * spelt. */
		{CALL(",\"params\":{\"_meta\":{\"airlock-cp/identity\":{\"key_id\":\"root\"},"
		      "\"progressToken\":1,\"\\u0061irlock-cp\\/identity\":2,\"y\":[ ]}}"),
			SENT("9",
				",\"params\":{\"_meta\":{" WHO ",\"progressToken\":9,\"y\":[ ]}}")},
	};
	static const char *const refused[] = {CALL(",\"params\":{\"_meta\":{},\"_meta\":{}}"),
		CALL(",\"params\":{\"_meta\":1}"), CALL(",\"params\":{},\"params\":{}"),
		CALL(",\"params\":[]")};
	struct rig r;

	(void)state;
	rig_new(&r, 8);
	become_legacy(&r);
	identity = &somebody;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(call(&r, (int)i, false, cases[i].text), RC_OK);
		assert_string_equal(last_sent(&r), cases[i].sent);
	}
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		assert_int_equal(call(&r, 7, false, refused[i]), RC_INVALID);
	identity = NULL;
	assert_int_equal(call(&r, 7, false, cases[5].text), RC_OK);
	assert_non_null(strstr(last_sent(&r), "{\"airlock-cp/identity\":{\"key_id\":\"root\"},"));
	upstream_free(r.u);
}

static void who_calls_crosses_the_eras(void **state)
{
	static const struct upstream_identity traced = {.tenant_id = "",
		.key_id = "k1",
		.key_name = "",
		.request_id = "",
		.traceparent = "00-ab-cd-01",
		.tracestate = "a=b"};
	struct rig r;

	(void)state;
	identity = &traced;
	rig_new(&r, 4);
	become_modern(&r);
	assert_int_equal(call(&r, 0, false, CALL(",\"params\":{\"name\":\"p_a\"}")), RC_OK);
	assert_non_null(strstr(last_sent(&r),
		META "logLevel\":\"info\",\"airlock-cp/identity\":{\"key_id\":\"k1\"},"
		     "\"traceparent\":\"00-ab-cd-01\",\"tracestate\":\"a=b\"},\"name\":\"a\"}"));
	/* The client's own trace is the one that goes on. */
	assert_int_equal(
		call(&r, 1, true,
			CALL(",\"params\":{\"_meta\":{\"" META
			     "protocolVersion\":\"2026-07-28\",\"traceparent\":\"mine\"}}")),
		RC_OK);
	assert_string_equal(last_sent(&r),
		SENT("3",
			",\"params\":{\"_meta\":{\"airlock-cp/"
			"identity\":{\"key_id\":\"k1\"},\"" META
			"protocolVersion\":\"2026-07-28\",\"traceparent\":\"mine\"}}"));
	upstream_free(r.u);
	rig_new(&r, 4);
	become_legacy(&r);
	assert_int_equal(call(&r, 2, true,
				 CALL(",\"params\":{\"_meta\":{\"" META
				      "protocolVersion\":\"2026-07-28\",\"z\":1}}")),
		RC_OK);
	assert_string_equal(last_sent(&r),
		SENT("4",
			",\"params\":{\"_meta\":{\"airlock-cp/identity\":{\"key_id\":\"k1\"},"
			"\"traceparent\":\"00-ab-cd-01\",\"tracestate\":\"a=b\",\"z\":1}}"));
	upstream_free(r.u);
	identity = NULL;
}

static void errors_of_the_older_era_do_not_reach_the_newer(void **state)
{
	static const struct {
		bool modern;
		const char *error, *wanted;
	} cases[] = {
		{true, "{\"code\":-32002,\"message\":\"no\"}",
			"{\"code\":-32602,\"message\":\"no\"}"},
		{false, "{\"code\":-32002,\"message\":\"no\"}",
			"{\"code\":-32002,\"message\":\"no\"}"},
		{true, "{\"code\":-32042,\"message\":\"open\"}",
			"{\"code\":-32603,\"message\":\"The server \\\"up\\\" wants the user to "
			"open "
			"a page first, which its revision can't say to a client of 2026-07-28\"}"},
		{false, "{\"code\":-32042,\"message\":\"open\"}",
			"{\"code\":-32042,\"message\":\"open\"}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rig r;
		char text[256], wanted[256];

		rig_new(&r, 4);
		become_legacy(&r);
		assert_int_equal(
			call(&r, 0, cases[i].modern,
				"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"resources/read\","
				"\"params\":{\"uri\":\"x:y\"}}"),
			RC_OK);
		(void)snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":4,\"error\":%s}",
			cases[i].error);
		says(&r, text);
		(void)snprintf(wanted, sizeof wanted, "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":%s}",
			cases[i].wanted);
		assert_string_equal(r.result, wanted);
		assert_string_equal(r.outcome, "tool_error");
		upstream_free(r.u);
	}
}

static void marked_tools_are_found_by_their_own_name(void **state)
{
	struct rig r;
	struct jscan name, tool;

	(void)state;
	rig_new(&r, 4);
	upstream_up(r.u, NOW);
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"supportedVersions\":[\"2026-07-28\"],"
		"\"capabilities\":{\"tools\":{}}}}");
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"tools\":[{\"name\":\"a\","
		"\"inputSchema\":{}},{\"name\":\"b\",\"inputSchema\":{\"properties\":{\"r\":{"
		"\"x-mcp-header\":\"R\"}}}}]}}");
	assert_int_equal(jscan_parse("\"b\"", 3, &name), RC_OK);
	tool = upstream_marked_tool(r.u, name);
	assert_int_equal(tool.kind, JSCAN_OBJECT);
	assert_memory_equal(tool.p, "{\"name\":\"b\"", 11);
	assert_int_equal(jscan_parse("\"a\"", 3, &name), RC_OK);
	assert_int_equal(upstream_marked_tool(r.u, name).kind, JSCAN_NONE);
	assert_int_equal(jscan_parse("\"p_b\"", 5, &name), RC_OK);
	assert_int_equal(upstream_marked_tool(r.u, name).kind, JSCAN_NONE);
	upstream_free(r.u);
}

static void what_names_no_call_reaches_nobody_while_two_run(void **state)
{
	static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/"
				   "call\",\"params\":{\"name\":\"p_a\"}}";
	struct rig r;

	(void)state;
	rig_new(&r, 2);
	become_legacy(&r);
	assert_int_equal(call(&r, 0, false, text), RC_OK);
	assert_int_equal(call(&r, 1, false, text), RC_OK);
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"elicitation/"
		"create\",\"params\":{}}");
	assert_int_equal(r.events, 0);
	assert_non_null(strstr(last_sent(&r), "\"id\":\"q\",\"error\""));
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
		"message\",\"params\":{\"level\":\"error\"}}");
	assert_int_equal(r.events, 0);
	assert_int_equal(call(&r, 2, false, text), RC_LIMIT);
	upstream_cancel(r.u, &calls[1], "gone");
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
		"message\",\"params\":{\"level\":\"error\"}}");
	assert_int_equal(r.events, 1);
	assert_ptr_equal(r.event_call, &calls[0]);
	upstream_free(r.u);
}

static void a_hang_is_noticed(void **state)
{
	struct rig r;

	(void)state;
	rig_new(&r, 4);
	become_legacy(&r);
	assert_int_equal(call(&r, 0, false,
				 "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/"
				 "call\",\"params\":{\"name\":\"p_a\"}}"),
		RC_OK);
	upstream_tick(r.u, NOW + 499);
	assert_int_equal(r.results, 0);
	upstream_tick(r.u, NOW + 500); /* the upstream's own limit, before the call's */
	assert_string_equal(r.outcome, "timeout");
	assert_non_null(strstr(r.result, "-32052"));
	assert_non_null(strstr(last_sent(&r), "\"ping\""));
	assert_string_equal(r.broken, "");
	upstream_tick(r.u, NOW + 500 + UPSTREAM_HANG_MS);
	assert_string_equal(r.broken, "hangs");
	upstream_free(r.u);
}

static void an_end_answers_what_is_in_hand(void **state)
{
	struct rig r;

	(void)state;
	rig_new(&r, 4);
	become_legacy(&r);
	assert_int_equal(call(&r, 0, false,
				 "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/"
				 "call\",\"params\":{\"name\":\"p_a\"}}"),
		RC_OK);
	upstream_down(r.u);
	assert_string_equal(r.outcome, "tool_error");
	assert_non_null(strstr(r.result, "\"id\":7,\"error\":{\"code\":-32603"));
	assert_int_equal(
		call(&r, 1, false, "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"tools/call\"}"),
		RC_UNAVAILABLE);
	/* The next one is asked for its era no more. */
	upstream_up(r.u, NOW);
	assert_non_null(strstr(last_sent(&r), "\"initialize\""));
	upstream_free(r.u);
}

static void changed_tools_are_told(void **state)
{
	struct rig r;

	(void)state;
	rig_new(&r, 4);
	become_legacy(&r);
	says(&r, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{\"tools\":[{\"name\":\"a\","
		"\"inputSchema\":{ }}]}}");
	assert_int_equal(r.changes, 1);
	says(&r, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
	says(&r,
		"{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{\"tools\":["
		"{\"name\":\"bad "
		"name\",\"inputSchema\":{}},{\"name\":\"b\",\"inputSchema\":{}},{\"name\":\"c\"}]}"
		"}");
	assert_int_equal(r.changes, 2);
	assert_int_equal(upstream_tools(r.u)->len, strlen("{\"name\":\"p_b\",\"inputSchema\":{}}"));
	upstream_free(r.u);
}

static void nonsense_does_no_harm(void **state)
{
	static const char *const lines[] = {"[]", "1", "{}", "{\"id\":1}",
		"{\"id\":\"x\",\"result\":{}}", "{\"id\":-4,\"result\":{}}",
		"{\"id\":9999,\"result\":{}}", "{\"method\":5}", "{\"method\":\"\"}",
		"{\"id\":null,\"method\":\"ping\"}",
		"{\"method\":\"notifications/progress\",\"params\":[]}",
		"{\"method\":\"notifications/progress\",\"params\":{\"progressToken\":0}}",
		"nonsense", ""};
	struct rig r;

	(void)state;
	rig_new(&r, 4);
	become_legacy(&r);
	assert_int_equal(call(&r, 0, false,
				 "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/"
				 "call\",\"params\":{\"name\":\"p_a\"}}"),
		RC_OK);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		(void)upstream_message(r.u, lines[i], strlen(lines[i]), 0, NOW);
	assert_int_equal(r.events + r.results, 0);
	says(&r, "{\"id\":4,\"result\":{}}");
	assert_int_equal(r.results, 1);
	upstream_free(r.u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tools_get_the_prefix_and_stay_verbatim),
		cmocka_unit_test(ids_and_tokens_are_rewritten_and_restored),
		cmocka_unit_test(a_subscription_id_is_restored),
		cmocka_unit_test(input_required_becomes_requests_to_a_legacy_client),
		cmocka_unit_test(
			a_server_request_reaches_a_legacy_client_and_its_answer_the_server),
		cmocka_unit_test(a_question_taken_back_is_taken_back_from_the_client),
		cmocka_unit_test(the_end_of_a_call_takes_its_questions_back),
		cmocka_unit_test(a_question_taken_back_from_a_modern_client_is_not_waited_for),
		cmocka_unit_test(a_modern_server_ends_a_subscription),
		cmocka_unit_test(a_legacy_server_gets_no_meta_of_the_newer_era),
		cmocka_unit_test(an_upstream_is_told_who_calls),
		cmocka_unit_test(who_calls_crosses_the_eras),
		cmocka_unit_test(errors_of_the_older_era_do_not_reach_the_newer),
		cmocka_unit_test(marked_tools_are_found_by_their_own_name),
		cmocka_unit_test(what_names_no_call_reaches_nobody_while_two_run),
		cmocka_unit_test(a_hang_is_noticed),
		cmocka_unit_test(an_end_answers_what_is_in_hand),
		cmocka_unit_test(changed_tools_are_told),
		cmocka_unit_test(nonsense_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
