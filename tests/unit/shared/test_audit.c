#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "shared/audit.h"
#include "shared/crypto.h"
#include "shared/text.h"

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
		"{\"v\":1,\"seq\":7,\"ts\":\"2026-11-23T21:04:05.678Z\",\"event\":\"tool.call\","
		"\"tenant_id\":\"t_acme\","
		"\"actor_kind\":\"agent\",\"actor_name\":\"quote \\\" and \\n "
		"line\",\"tool\":\"execute_sql\",\"outcome\":\"ok\","
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

/* Every member at its longest, in the order of the schema. */
static void the_longest_record_comes_back(void **state)
{
	struct audit_record r, back;
	struct jscan object;
	struct buf b;

	(void)state;
	audit_init(&r, "");
#define FILL(member) memset(r.member, '"', sizeof(r.member) - 1)
	FILL(event);
	FILL(tenant_id);
	FILL(actor_kind);
	FILL(actor_id);
	FILL(actor_name);
	FILL(key_id);
	FILL(method);
	FILL(tool);
	FILL(snapshot_id);
	FILL(outcome);
	FILL(request_id);
	FILL(session_id);
	FILL(worker_id);
	FILL(remote_ip);
	FILL(target);
#undef FILL
	memset(r.change, ' ', sizeof(r.change) - 1);
	r.change[0] = '{';
	r.change[sizeof(r.change) - 2] = '}';
	r.latency_ms = r.bytes_in = r.bytes_out = r.outbox_id = INT64_MAX;
	buf_init(&b, 16384);
	audit_put(&b, &r);
	assert_false(b.failed);
	assert_int_equal(jscan_parse((char *)b.data, b.len, &object), RC_OK);
	assert_int_equal(audit_get(object, &back), RC_OK);
	assert_memory_equal(&r, &back, sizeof(r));
	buf_free(&b);
}

/* One byte more than there is room for is refused in each text, and the record stays as it was. */
static void what_is_too_long_is_refused(void **state)
{
	static const struct {
		const char *name;
		size_t max;
	} texts[] = {
		{"event", 47},
		{"tenant_id", AUDIT_ID_MAX},
		{"actor_kind", 15},
		{"actor_id", AUDIT_ID_MAX},
		{"actor_name", AUDIT_NAME_MAX},
		{"key_id", AUDIT_ID_MAX},
		{"method", AUDIT_NAME_MAX},
		{"tool", AUDIT_NAME_MAX},
		{"snapshot_id", AUDIT_ID_MAX},
		{"outcome", 31},
		{"request_id", AUDIT_ID_MAX},
		{"session_id", AUDIT_ID_MAX},
		{"worker_id", AUDIT_ID_MAX},
		{"remote_ip", 47},
		{"target", AUDIT_ID_MAX},
	};
	struct audit_record r, before;
	struct jscan v;
	struct buf b;

	(void)state;
	audit_init(&r, "untouched");
	before = r;
	buf_init(&b, 4096);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		for (size_t over = 0; over < 2; over++) {
			buf_reset(&b);
			buf_printf(&b, "{\"%s\":\"%0*d\"}", texts[i].name,
				(int)(texts[i].max + over), 0);
			assert_int_equal(jscan_parse((char *)b.data, b.len, &v), RC_OK);
			assert_int_equal(audit_get(v, &r), over ? RC_INVALID : RC_OK);
			if (!over)
				r = before;
		}
	}
	for (size_t over = 0; over < 2; over++) {
		buf_reset(&b);
		buf_printf(&b, "{\"change\":{\"a\":%0*d}}", (int)(AUDIT_CHANGE_MAX - 6 + over), 0);
		b.data[15] = '1'; /* a number begins with no zero */
		assert_int_equal(jscan_parse((char *)b.data, b.len, &v), RC_OK);
		assert_int_equal(audit_get(v, &r), over ? RC_INVALID : RC_OK);
		if (!over)
			r = before;
	}
	assert_memory_equal(&r, &before, sizeof(r));
	buf_free(&b);
}

/* White space between the tokens of a change is allowed in JSON, but a line of the journal is one
 * line. */
static void a_line_stays_one_line(void **state)
{
	static const char text[] = "{\"change\":{\n\t\"a\":\r\n [1,\n2], \"b\":\"x\\ny\"}}";
	static const char compact[] = "{\"a\": [1,2], \"b\":\"x\\ny\"}";
	char prev[AUDIT_HASH_LEN + 1] = "0";
	struct audit_record r;
	struct jscan v;
	struct buf b;

	(void)state;
	assert_int_equal(jscan_parse(text, sizeof(text) - 1, &v), RC_OK);
	assert_int_equal(audit_get(v, &r), RC_OK);
	buf_init(&b, 4096);
	audit_line(&b, &r, 1, 0, prev);
	assert_null(memchr(b.data, '\n', b.len));
	assert_null(memchr(b.data, '\r', b.len));
	assert_int_equal(jscan_parse((char *)b.data, b.len, &v), RC_OK);
	assert_non_null(memmem(b.data, b.len, compact, sizeof(compact) - 1));
	buf_free(&b);
}

/* Each line names the SHA-256 of the one before: whoever changes a line breaks every later one. */
static void lines_chain(void **state)
{
	char prev[AUDIT_HASH_LEN + 1], named[AUDIT_HASH_LEN + 1];
	struct audit_record r = sample();
	uint8_t hash[CRYPTO_HASH_LEN];
	struct jscan v, member;
	int64_t seq;
	struct buf b;

	(void)state;
	memset(prev, '0', AUDIT_HASH_LEN);
	prev[AUDIT_HASH_LEN] = '\0';
	buf_init(&b, 4096);
	for (int i = 1; i <= 3; i++) {
		buf_reset(&b);
		audit_line(&b, &r, i, i * INT64_C(1000), prev);
		assert_int_equal(jscan_parse((char *)b.data, b.len, &v), RC_OK);
		assert_int_equal(jscan_get(v, "prev", &member), RC_OK);
		assert_int_equal(jscan_str(member, named, sizeof(named)), RC_OK);
		assert_string_equal(named, prev);
		assert_int_equal(jscan_get(v, "seq", &member), RC_OK);
		assert_int_equal(jscan_int(member, &seq), RC_OK);
		assert_int_equal(seq, i);
		/* A journal's line reads as a record: v, seq, ts and prev are not its members. */
		struct audit_record back;
		assert_int_equal(audit_get(v, &back), RC_OK);
		assert_memory_equal(&back, &r, sizeof(r));
		crypto_sha256(b.data, b.len, hash);
		text_hex(hash, sizeof(hash), prev);
	}
	/* Computed by another program over the literal bytes. */
	assert_string_equal(
		prev, "d797b632de56d95755a529103e0b844854e2f34e838867c88d445919b86bca91");
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_exactly_this),
		cmocka_unit_test(what_is_put_is_got),
		cmocka_unit_test(bad_members_are_refused_and_unknown_ones_ignored),
		cmocka_unit_test(the_longest_record_comes_back),
		cmocka_unit_test(what_is_too_long_is_refused),
		cmocka_unit_test(a_line_stays_one_line),
		cmocka_unit_test(lines_chain),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
