/* What of a line can be searched for, which lines match, and how sets of rows are spelt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/audit_bucket.h"
#include "shared/audit_filter.h"
#include "shared/audit_set.h"
#include "shared/audit_words.h"
#include "shared/mem.h"

#define TS "2026-11-23T21:04:05.678Z"
#define TS_MS INT64_C(1795467845678)

static const char line[] =
	"{\"v\":1,\"seq\":7,\"ts\":\"" TS "\",\"event\":\"key.revoke\",\"tenant_id\":\"t_acme\","
	"\"actor_kind\":\"session\",\"actor_id\":\"ann@example.com\",\"actor_name\":\"Ann B. "
	"O'Hara\","
	"\"outcome\":\"ok\",\"request_id\":\"req_AbC123\",\"remote_ip\":\"10.0.0.7\","
	"\"target\":\"k1\",\"change\":{\"name\":\"Nightly \\\"Sync\\\", Inc.\",\"tools\":[\"a/b\","
	"\"execute_sql\"]},\"latency_ms\":12,\"prev\":"
	"\"00000000000000000000000000000000000000000000000000000000000000ff\"}";

static bool matches(const struct audit_filter *f)
{
	return audit_filter_match(f, line, sizeof(line) - 1);
}

static void fields(void **state)
{
	static const struct {
		const char *tenant, *actor, *tool, *outcome, *event;
		bool match;
	} cases[] = {
		{"", "", "", "", "", true},
		{"t_acme", "", "", "", "", true},
		{"t_acm", "", "", "", "", false},
		{"", "session", "", "", "", true},
		{"", "ann@example.com", "", "", "", true},
		{"", "Ann B. O'Hara", "", "", "", true},
		{"", "ann", "", "", "", false},
		{"", "", "execute_sql", "", "", false}, /* in a change, not the row's tool */
		{"", "", "", "ok", "", true},
		{"", "", "", "denied", "", false},
		{"", "", "", "", "key.revoke", true},
		{"", "", "", "", "key.*", true},
		{"", "", "", "", "key", false},
		{"", "", "", "", "tenant.*", false},
		{"t_acme", "session", "", "ok", "key.*", true},
		{"t_acme", "session", "", "ok", "key.create", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct audit_filter f;

		audit_filter_init(&f);
		(void)str_copy(f.tenant, sizeof(f.tenant), cases[i].tenant);
		(void)str_copy(f.actor, sizeof(f.actor), cases[i].actor);
		(void)str_copy(f.tool, sizeof(f.tool), cases[i].tool);
		(void)str_copy(f.outcome, sizeof(f.outcome), cases[i].outcome);
		(void)str_copy(f.event, sizeof(f.event), cases[i].event);
		if (matches(&f) != cases[i].match)
			fail_msg("case %zu", i);
	}
}

static void terms(void **state)
{
	static const struct {
		const char *text;
		enum rc rc;
		bool match;
	} cases[] = {
		{"req_abc123", RC_OK, true},
		{"REQ_ABC123", RC_OK, true},
		{"req_abc12", RC_OK, false},
		{"10.0.0.7", RC_OK, true},
		{"10.0.0.70", RC_OK, false},
		{"inc", RC_OK, true},
		{"Inc.", RC_OK, true},
		{"\"sync\"", RC_OK, true},
		{"nightly sync ann", RC_OK, true},
		{"nightly daily", RC_OK, false},
		{"a/b execute_sql", RC_OK, true},
		{"key.revoke t_acme", RC_OK, true},
		{"12", RC_OK, false}, /* numbers are no words */
		{"00000000000000000000000000000000000000000000000000000000000000ff", RC_OK, false},
		{"", RC_INVALID, false},
		{" ,.;\" ", RC_INVALID, false},
		{"1 2 3 4 5 6 7 8 9", RC_LIMIT, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct audit_filter f;

		audit_filter_init(&f);
		if (audit_filter_text(&f, cases[i].text) != cases[i].rc)
			fail_msg("%s", cases[i].text);
		if (cases[i].rc == RC_OK && matches(&f) != cases[i].match)
			fail_msg("%s", cases[i].text);
	}
}

static void times(void **state)
{
	struct audit_filter f;

	(void)state;
	audit_filter_init(&f);
	f.since_ms = TS_MS;
	assert_true(matches(&f));
	f.since_ms = TS_MS + 1;
	assert_false(matches(&f));
	f.since_ms = 0;
	f.until_ms = TS_MS;
	assert_false(matches(&f));
	f.until_ms = TS_MS + 1;
	assert_true(matches(&f));
	assert_false(audit_filter_open(&f));
}

/* Rows of other tenants, of none, and of a tenant that had the id before. */
static void scope(void **state)
{
	struct audit_scope_tenant tenants[] = {{"t_zeta", 0}, {"t_acme", TS_MS}, {"t_beta", 0}};
	struct audit_scope s = {tenants, 3};
	struct audit_filter f;
	static const char own[] =
		"{\"v\":1,\"seq\":8,\"ts\":\"" TS "\",\"event\":\"session.open\",\"prev\":\"\"}";

	(void)state;
	audit_scope_sort(&s);
	assert_string_equal(audit_scope_find(&s, "t_beta")->id, "t_beta");
	assert_null(audit_scope_find(&s, "t_gamma"));
	audit_filter_init(&f);
	assert_true(audit_filter_match(&f, own, sizeof(own) - 1));
	f.scope = &s;
	assert_true(matches(&f));
	assert_false(audit_filter_match(&f, own, sizeof(own) - 1));
	((struct audit_scope_tenant *)audit_scope_find(&s, "t_acme"))->since_ms = TS_MS + 1;
	assert_false(matches(&f));
	s.count = 0;
	assert_false(matches(&f));
}

static void no_rows(void **state)
{
	static const char *const lines[] = {"", "{}", "nonsense", "[]",
		("{\"v\":1,\"seq\":7,\"ts\":\"" TS "\",\"event\":\"x\"")};
	struct audit_filter f;

	(void)state;
	audit_filter_init(&f);
	(void)str_copy(f.event, sizeof(f.event), "x");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_false(audit_filter_match(&f, lines[i], strlen(lines[i])));
}

static bool count_words(void *ctx, enum audit_word_kind kind, const char *word, size_t len)
{
	uint32_t hash = audit_word_hash(kind, word, len);

	assert_in_range(hash, AUDIT_WORD_KIND_FIRST(kind), AUDIT_WORD_KIND_LAST(kind));
	return ++*(int *)ctx < 5;
}

static void words_can_end(void **state)
{
	int count = 0;

	(void)state;
	assert_false(audit_words(line, sizeof(line) - 1, count_words, &count));
	assert_int_equal(count, 5);
}

static void sets(void **state)
{
	static const struct {
		size_t step, total, len;
	} cases[] = {
		{1, 8192, 0}, /* all of them */
		{2, 8192, 1025},
		{7, 8192, 1025},
		{9, 8192, 912},
		{8191, 8192, 4},
		{3, 7, 2},
		{1, 1, 0},
		{5000, 524288, 210},
		{3, 524288, 65537},
	};
	uint32_t *rows = xcalloc(AUDIT_SPAN_ROWS, sizeof(*rows));
	uint32_t *again = xcalloc(AUDIT_SPAN_ROWS, sizeof(*again));
	struct audit_set *s = xcalloc(1, sizeof(*s));
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t count = 0, read = 1;

		for (size_t row = 0; row < cases[i].total; row += cases[i].step)
			rows[count++] = (uint32_t)row;
		buf_reset(&b);
		audit_set_spell(&b, rows, count, cases[i].total);
		assert_int_equal(b.len, cases[i].len);
		audit_set_clear(s, cases[i].total);
		assert_int_equal(audit_set_add(s, b.data, b.len), RC_OK);
		for (size_t row = 0; row < cases[i].total; row++)
			assert_int_equal(audit_set_has(s, row), row % cases[i].step == 0);
		assert_int_equal(audit_set_rows(b.data, b.len, cases[i].total, 5, again, &read,
					 AUDIT_SPAN_ROWS),
			count < AUDIT_SPAN_ROWS ? RC_OK : RC_INVALID);
		assert_int_equal(read, count + 1);
		for (size_t k = 0; k < count; k++)
			assert_int_equal(again[k + 1], rows[k] + 5);
		assert_int_equal(audit_set_any(s, 1, cases[i].step - 1), false);
		assert_int_equal(audit_set_any(s, 0, cases[i].total), true);
	}
	buf_free(&b);
	free(rows);
	free(again);
	free(s);
}

static void wrong_sets(void **state)
{
	static const struct {
		uint8_t bytes[4];
		size_t len, total;
	} cases[] = {
		{{1, 0x80, 2}, 3, 256}, /* row 256 of 256 */
		{{1, 0x80}, 2, 256}, /* half a number */
		{{9}, 1, 256}, /* no spelling */
		{{2, 0}, 2, 256}, /* too short a map */
		{{1, 1, 0, 0}, 4, 3}, /* rows 1, 2, 3 of 3 */
	};
	struct audit_set *s = xcalloc(1, sizeof(*s));
	uint32_t rows[4];
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		audit_set_clear(s, cases[i].total);
		assert_int_equal(audit_set_add(s, cases[i].bytes, cases[i].len), RC_INVALID);
		count = 0;
		assert_int_equal(audit_set_rows(cases[i].bytes, cases[i].len, cases[i].total, 0,
					 rows, &count, 4),
			RC_INVALID);
	}
	audit_set_clear(s, 257);
	assert_int_equal(audit_set_add(s, cases[0].bytes, 3), RC_OK);
	assert_true(audit_set_has(s, 256));
	assert_true(audit_set_any(s, 200, 57));
	assert_false(audit_set_any(s, 200, 56));
	count = 0;
	assert_int_equal(audit_set_rows((const uint8_t *)"", 0, 5, 0, rows, &count, 4), RC_INVALID);
	free(s);
}

/* --- buckets ------------------------------------------------------------------------------- */

static void buckets(void **state)
{
	static const struct audit_bucket_entry entries[] = {
		{5, false, (const uint8_t *)"\1\7", 2},
		{6, true, NULL, 300},
		{70000, false, (const uint8_t *)"", 0},
		{UINT32_MAX, false, (const uint8_t *)"\2\377", 2},
	};
	struct audit_bucket_entry e;
	struct audit_bucket_walk w;
	uint32_t last = 0;
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	for (size_t i = 0; i < 4; i++)
		audit_bucket_put(&b, &last, &entries[i]);
	assert_memory_equal(b.data, "\5\4\1\7\1\331\4", 7);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(audit_bucket_find(b.data, b.len, entries[i].word, &e), RC_OK);
		assert_int_equal(e.apart, entries[i].apart);
		assert_int_equal(e.len, entries[i].len);
		if (!e.apart)
			assert_memory_equal(e.set, entries[i].set, e.len);
	}
	assert_int_equal(audit_bucket_find(b.data, b.len, 7, &e), RC_NOTFOUND);
	assert_int_equal(audit_bucket_find(NULL, 0, 7, &e), RC_NOTFOUND);
	assert_int_equal(audit_bucket_find(b.data, b.len - 1, UINT32_MAX, &e), RC_INVALID);
	audit_bucket_put(&b, &last, &entries[0]); /* beyond the greatest word */
	w = audit_bucket_walk(b.data, b.len);
	while (audit_bucket_next(&w, &e))
		;
	assert_true(w.wrong);
	buf_free(&b);
	/* Words of one bucket come together, and each kind has its own. */
	for (uint32_t word = 0; word <= AUDIT_WORD_KIND_LAST(AUDIT_WORD_TEXT) - 99999;
		word += 99999)
		assert_true(audit_bucket_of(word) <= audit_bucket_of(word + 99999));
	assert_int_equal(audit_bucket_of(AUDIT_WORD_KIND_LAST(AUDIT_WORD_EVENT)), AUDIT_WORD_EVENT);
	assert_int_equal(audit_bucket_of(AUDIT_WORD_KIND_LAST(AUDIT_WORD_TEXT)), AUDIT_BUCKETS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),
		cmocka_unit_test(terms),
		cmocka_unit_test(times),
		cmocka_unit_test(scope),
		cmocka_unit_test(no_rows),
		cmocka_unit_test(words_can_end),
		cmocka_unit_test(sets),
		cmocka_unit_test(wrong_sets),
		cmocka_unit_test(buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
