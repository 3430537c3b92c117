/* The check of a whole log: a good one passes, and each single thing done to it is found where it
 * was done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/audit_chain.h"
#include "shared/mem.h"
#include "shared/text.h"

#define LINES 25
#define EVERY 5 /* each fifth line is a checkpoint, the last one too */
#define START_MS 1795468000000

struct log {
	char *line[LINES * 2];
	int count;
	struct audit_chain_options o;
};

static struct crypto_identity id;
/* Of the good log. */
static uint8_t hashes[LINES][CRYPTO_HASH_LEN];

static int setup(void **state)
{
	(void)state;
	crypto_init();
	crypto_identity_new(&id);
	return 0;
}

static void sample(struct log *g)
{
	char prev[AUDIT_HASH_LEN + 1];
	struct audit_record r;
	struct buf b;

	memset(g, 0, sizeof(*g));
	memset(prev, '0', AUDIT_HASH_LEN);
	prev[AUDIT_HASH_LEN] = '\0';
	buf_init(&b, AUDIT_LINE_MAX);
	for (int i = 0; i < LINES; i++) {
		audit_init(&r, "tool.call");
		(void)snprintf(r.request_id, sizeof(r.request_id), "req_%d", i);
		if (i % EVERY == EVERY - 1)
			audit_checkpoint_line(
				&b, &id, i + 1, START_MS + i, prev, &(struct audit_tally){0});
		else
			audit_line(&b, &r, i + 1, START_MS + i, prev);
		assert_false(b.failed);
		crypto_sha256(b.data, b.len, hashes[i]);
		text_hex(hashes[i], CRYPTO_HASH_LEN, prev);
		g->line[g->count++] = xstrndup((char *)b.data, b.len);
		buf_reset(&b);
	}
	buf_free(&b);
	g->o.have_key = true;
	memcpy(g->o.key, id.public_key, sizeof(g->o.key));
}

static void drop(struct log *g)
{
	for (int i = 0; i < g->count; i++)
		free(g->line[i]);
}

static enum audit_fault check(const struct log *g, bool torn, int64_t *line)
{
	struct audit_chain c;

	audit_chain_init(&c, &g->o);
	for (int i = 0; i < g->count; i++)
		if (!audit_chain_line(&c, g->line[i], strlen(g->line[i])))
			break;
	(void)audit_chain_end(&c, torn);
	audit_chain_free(&c);
	assert_int_equal(c.fault == AUDIT_FAULT_NONE, c.why[0] == '\0');
	*line = c.fault_line;
	return c.fault;
}

/* Says what was expected of which case. */
static void expect(const struct log *g, bool torn, enum audit_fault fault, int64_t line,
	const char *what, int where)
{
	int64_t at;
	enum audit_fault got = check(g, torn, &at);

	if (got != fault || at != line)
		fail_msg("%s %d: %s at line %lld, not %s at %lld", what, where,
			audit_fault_name(got), (long long)at, audit_fault_name(fault),
			(long long)line);
}

static void a_good_log_is_good(void **state)
{
	struct log g;

	(void)state;
	sample(&g);
	expect(&g, false, AUDIT_FAULT_NONE, 0, "good", 0);
	g.o.have_key = false;
	expect(&g, false, AUDIT_FAULT_NONE, 0, "without a key", 0);
	assert_true(audit_checkpoint_is(g.line[EVERY - 1], strlen(g.line[EVERY - 1])));
	assert_false(audit_checkpoint_is(g.line[0], strlen(g.line[0])));
	drop(&g);
}

/* The form is part of the documented format: other programs check it too. */
static void a_checkpoint_reads_as_documented(void **state)
{
	struct crypto_identity zero = {0};
	char prev[AUDIT_HASH_LEN + 1];
	struct buf b;

	(void)state;
	memset(prev, 'a', AUDIT_HASH_LEN);
	prev[AUDIT_HASH_LEN] = '\0';
	buf_init(&b, 4096);
	audit_checkpoint_line(&b, &zero, 7, 1795468000123, prev, &(struct audit_tally){0});
	buf_char(&b, '\0');
	assert_ptr_equal(strstr((char *)b.data,
				 "{\"v\":1,\"seq\":7,\"ts\":\"2026-11-23T21:06:40.123Z\",\"event\":"
				 "\"checkpoint\",\"count\":6,\"head\":\"aaaa"),
		b.data);
	assert_non_null(strstr((char *)b.data,
		"\",\"key\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"sig\":\""));
	assert_non_null(strstr((char *)b.data, "==\",\"prev\":\"aaaa"));
	buf_free(&b);
}

/* Every byte of every line, changed by one bit. The last line could turn into a row that nothing
 * vouches for: there the head must be known. */
static void every_changed_byte_is_found_in_its_line(void **state)
{
	struct log g;
	int64_t at;

	(void)state;
	sample(&g);
	memcpy(g.o.expect_hash, hashes[LINES - 1], sizeof(g.o.expect_hash));
	for (int i = 0; i < LINES; i++) {
		g.o.expect_seq = i == LINES - 1 ? LINES : 0;
		for (size_t k = 0; g.line[i][k]; k++) {
			g.line[i][k] ^= 1;
			if (check(&g, false, &at) == AUDIT_FAULT_NONE || at != i + 1)
				fail_msg("line %d byte %zu: line %lld", i + 1, k, (long long)at);
			g.line[i][k] ^= 1;
		}
	}
	drop(&g);
}

static void every_longer_or_shorter_line_is_found(void **state)
{
	struct log g;
	int64_t at;

	(void)state;
	sample(&g);
	for (int i = 0; i < LINES; i++) {
		char *good = g.line[i], longer[2048];
		size_t len = strlen(good);

		for (size_t k = 0; k < len; k++) {
			g.line[i] = xstrndup(good, k);
			assert_int_not_equal(check(&g, false, &at), AUDIT_FAULT_NONE);
			assert_int_equal(at, i + 1);
			free(g.line[i]);
		}
		(void)snprintf(longer, sizeof(longer), "%s ", good);
		g.line[i] = longer;
		assert_int_not_equal(check(&g, false, &at), AUDIT_FAULT_NONE);
		assert_int_equal(at, i + 1);
		g.line[i] = good;
	}
	drop(&g);
}

static void every_missing_line_is_found(void **state)
{
	(void)state;
	for (int i = 0; i < LINES - 1; i++) {
		struct log g;

		sample(&g);
		free(g.line[i]);
		memmove(&g.line[i], &g.line[i + 1], sizeof(g.line[0]) * (size_t)(LINES - i - 1));
		g.count--;
		expect(&g, false, AUDIT_FAULT_MISSING, i + 1, "without line", i + 1);
		drop(&g);
	}
}

/* As one says it: one row, or several. */
static void a_gap_is_told_in_words(void **state)
{
	static const char *const words[] = {
		"row 4 is missing before this line", "rows 4 to 5 are missing before this line"};
	struct log g;

	(void)state;
	sample(&g);
	for (int gone = 1; gone <= 2; gone++) {
		struct audit_chain c;

		audit_chain_init(&c, &g.o);
		for (int i = 0; i < g.count; i++)
			if ((i < 3 || i >= 3 + gone) &&
				!audit_chain_line(&c, g.line[i], strlen(g.line[i])))
				break;
		audit_chain_free(&c);
		assert_string_equal(c.why, words[gone - 1]);
		assert_int_equal(c.fault_line, 4);
	}
	drop(&g);
}

static void every_swap_is_found(void **state)
{
	struct log g;

	(void)state;
	sample(&g);
	for (int i = 0; i < LINES; i++) {
		for (int k = i + 1; k < LINES; k++) {
			char *line = g.line[i];
			int64_t at;

			g.line[i] = g.line[k];
			g.line[k] = line;
			if (k == i + 1)
				expect(&g, false, AUDIT_FAULT_REORDERED, i + 1, "swapped", i + 1);
			else
				assert_int_not_equal(check(&g, false, &at), AUDIT_FAULT_NONE);
			if (k != i + 1)
				assert_int_equal(at, i + 1);
			g.line[k] = g.line[i];
			g.line[i] = line;
		}
	}
	drop(&g);
}

static void every_repeated_line_is_found(void **state)
{
	(void)state;
	for (int i = 0; i < LINES; i++) {
		struct log g;

		sample(&g);
		memmove(&g.line[i + 1], &g.line[i], sizeof(g.line[0]) * (size_t)(LINES - i));
		g.line[i + 1] = xstrdup(g.line[i]);
		g.count++;
		expect(&g, false, AUDIT_FAULT_REPEATED, i + 2, "repeated", i + 1);
		drop(&g);
	}
}

/* What is cut off at a line's end looks like a shorter log: only who knows the head can tell. */
static void every_cut_is_found(void **state)
{
	struct log g;
	char *good;

	(void)state;
	sample(&g);
	g.o.expect_seq = LINES;
	memcpy(g.o.expect_hash, hashes[LINES - 1], sizeof(g.o.expect_hash));
	expect(&g, false, AUDIT_FAULT_NONE, 0, "whole", 0);
	for (int keep = 1; keep < LINES; keep++) {
		g.count = keep;
		expect(&g, false, AUDIT_FAULT_TRUNCATED, keep, "cut to", keep);
		expect(&g, true, AUDIT_FAULT_TORN, keep + 1, "torn after", keep);
	}
	g.count = LINES;
	g.o.expect_hash[0] ^= 1;
	expect(&g, false, AUDIT_FAULT_UNEXPECTED, LINES, "another head", LINES);
	g.o.expect_seq = 0;
	good = g.line[0];
	g.count = 1;
	expect(&g, false, AUDIT_FAULT_UNSIGNED, 1, "no checkpoint", 1);
	g.line[0] = good;
	g.count = LINES;
	drop(&g);
}

static void another_key_and_another_signature_are_found(void **state)
{
	struct crypto_identity other, own = id;
	struct log g;
	char *sig;

	(void)state;
	crypto_identity_new(&other);
	sample(&g);
	memcpy(g.o.key, other.public_key, sizeof(g.o.key));
	expect(&g, false, AUDIT_FAULT_KEY, EVERY, "wrong key", 0);
	memcpy(g.o.key, own.public_key, sizeof(g.o.key));
	sig = strstr(g.line[2 * EVERY - 1], "\"sig\":\"") + 7;
	*sig = *sig == 'A' ? 'B' : 'A';
	expect(&g, false, AUDIT_FAULT_SIGNATURE, 2L * EVERY, "wrong signature", 0);
	drop(&g);
	/* A whole log made by somebody else is consistent in itself. */
	id = other;
	sample(&g);
	id = own;
	g.o.have_key = false;
	expect(&g, false, AUDIT_FAULT_NONE, 0, "forged, no key", 0);
	g.o.have_key = true;
	memcpy(g.o.key, own.public_key, sizeof(g.o.key));
	expect(&g, false, AUDIT_FAULT_KEY, EVERY, "forged", 0);
	drop(&g);
}

static void a_later_part_is_checked_from_its_first_row(void **state)
{
	struct log g;
	char *cut[3];

	(void)state;
	sample(&g);
	memcpy(cut, g.line, sizeof(cut));
	memmove(g.line, g.line + 3, sizeof(g.line[0]) * (LINES - 3));
	g.count -= 3;
	expect(&g, false, AUDIT_FAULT_MISSING, 1, "part as a whole", 0);
	g.o.first_seq = 4;
	expect(&g, false, AUDIT_FAULT_NONE, 0, "part", 0);
	g.o.first_seq = 3;
	expect(&g, false, AUDIT_FAULT_MISSING, 1, "part from too early", 0);
	drop(&g);
	for (int i = 0; i < 3; i++)
		free(cut[i]);
}

/* Somebody without the key who drops every checkpoint and chains the rest anew. */
static void rows_without_checkpoints_do_not_pass(void **state)
{
	const struct audit_chain_options o = {0};
	struct audit_chain c;
	struct audit_record r;
	char prev[AUDIT_HASH_LEN + 1];
	uint8_t hash[CRYPTO_HASH_LEN];
	struct buf b;
	bool good = true;

	(void)state;
	memset(prev, '0', AUDIT_HASH_LEN);
	prev[AUDIT_HASH_LEN] = '\0';
	audit_init(&r, "tool.call");
	audit_chain_init(&c, &o);
	buf_init(&b, AUDIT_LINE_MAX);
	for (int64_t seq = 1; good && seq < 2L * AUDIT_CHECKPOINT_ROWS_MAX; seq++) {
		buf_reset(&b);
		audit_line(&b, &r, seq, START_MS, prev);
		crypto_sha256(b.data, b.len, hash);
		text_hex(hash, sizeof(hash), prev);
		good = audit_chain_line(&c, (const char *)b.data, b.len);
	}
	assert_int_equal(c.fault, AUDIT_FAULT_UNSIGNED);
	assert_int_equal(c.fault_line, AUDIT_CHECKPOINT_ROWS_MAX + AUDIT_CHECKPOINT_SLACK + 1);
	audit_chain_free(&c);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_log_is_good),
		cmocka_unit_test(a_checkpoint_reads_as_documented),
		cmocka_unit_test(every_changed_byte_is_found_in_its_line),
		cmocka_unit_test(every_longer_or_shorter_line_is_found),
		cmocka_unit_test(every_missing_line_is_found),
		cmocka_unit_test(a_gap_is_told_in_words),
		cmocka_unit_test(every_swap_is_found),
		cmocka_unit_test(every_repeated_line_is_found),
		cmocka_unit_test(every_cut_is_found),
		cmocka_unit_test(another_key_and_another_signature_are_found),
		cmocka_unit_test(a_later_part_is_checked_from_its_first_row),
		cmocka_unit_test(rows_without_checkpoints_do_not_pass),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
