#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "shared/audit.h"

static struct audit_record sample(void)
{
	struct audit_record r;

	audit_init(&r, "tool.call");
	strcpy(r.tenant_id, "t_acme");
	strcpy(r.actor_kind, "agent");
	strcpy(r.actor_name, "quote \" and \n line");
	strcpy(r.tool, "execute_sql");
	strcpy(r.outcome, "ok");
	strcpy(r.change, "{\"a\":1}");
	r.latency_ms = 12;
	r.bytes_out = 0;
	return r;
}

static void a_line_is_exactly_this(void **state)
{
	static const char expected[] =
		"{\"v\":1,\"seq\":7,\"ts\":\"2026-11-23T21:04:05.678Z\",\"event\":\"tool.call\",\"tenant_id\":\"t_acme\","
		"\"actor_kind\":\"agent\",\"actor_name\":\"quote \\\" and \\n line\",\"tool\":\"execute_sql\",\"outcome\":\"ok\","
		"\"change\":{\"a\":1},\"latency_ms\":12,\"bytes_out\":0,\"prev\":\""
		"0000000000000000000000000000000000000000000000000000000000000000\"}";
	struct audit_record r = sample();
	char zeros[AUDIT_HASH_LEN + 1];
	struct buf b;

	(void)state;
	memset(zeros, '0', AUDIT_HASH_LEN);
	zeros[AUDIT_HASH_LEN] = '\0';
	buf_init(&b, 4096);
	audit_line(&b, &r, 7, 1795467845678, zeros);
	assert_int_equal(b.len, sizeof expected - 1);
	assert_memory_equal(b.data, expected, b.len);
	buf_free(&b);
}

static void what_is_put_is_got(void **state)
{
	struct audit_record r = sample(), back;
	struct jscan object;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	audit_put(&b, &r);
	assert_int_equal(jscan_parse((char *)b.data, b.len, &object), RC_OK);
	assert_int_equal(audit_get(object, &back), RC_OK);
	assert_memory_equal(&r, &back, sizeof r);
	buf_free(&b);
}

static void bad_members_are_refused_and_unknown_ones_ignored(void **state)
{
	static const struct {
		const char *json;
		enum rc rc;
	} cases[] = {
		{"{\"event\":\"a\",\"future\":[1]}", RC_OK},
		{"{\"event\":5}", RC_INVALID},
		{"{\"latency_ms\":\"5\"}", RC_INVALID},
		{"{\"latency_ms\":-5}", RC_INVALID},
		{"{\"change\":\"text\"}", RC_INVALID},
		{"{\"actor_kind\":\"a kind that is far too long\"}", RC_INVALID},
		{"[]", RC_INVALID},
	};
	struct audit_record r;
	struct jscan v;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_int_equal(jscan_parse(cases[i].json, strlen(cases[i].json), &v), RC_OK);
		assert_int_equal(audit_get(v, &r), cases[i].rc);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_exactly_this),
		cmocka_unit_test(what_is_put_is_got),
		cmocka_unit_test(bad_members_are_refused_and_unknown_ones_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
