/* A part of a log as a bundle: its lines hold with the public key alone, and nothing can be done to
 * it that is not found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/audit_bundle.h"
#include "shared/audit_chain.h"
#include "shared/mem.h"
#include "shared/text.h"

#define LINES 40
#define EVERY 10
#define START_MS 1795468000000

static struct crypto_identity id;
static char *lines[LINES];

static int setup(void **state)
{
	char prev[AUDIT_HASH_LEN + 1];
	struct audit_tally tally = {0};
	struct audit_record r;
	struct buf b;

	(void)state;
	crypto_init();
	crypto_identity_new(&id);
	memset(prev, '0', AUDIT_HASH_LEN);
	prev[AUDIT_HASH_LEN] = '\0';
	buf_init(&b, AUDIT_LINE_MAX);
	for (int i = 0; i < LINES; i++) {
		uint8_t hash[CRYPTO_HASH_LEN];

		audit_init(&r, "tool.call");
		(void)snprintf(r.tenant_id, sizeof(r.tenant_id), i % 2 ? "t_odd" : "t_even");
		if (i % EVERY == EVERY - 1)
			audit_checkpoint_line(&b, &id, i + 1, START_MS + i, prev, &tally);
		else
			audit_line(&b, &r, i + 1, START_MS + i, prev);
		crypto_sha256(b.data, b.len, hash);
		text_hex(hash, sizeof(hash), prev);
		if (i % EVERY == EVERY - 1)
			tally = (struct audit_tally){0};
		else
			audit_tally_add(&tally, hash);
		lines[i] = xstrndup((const char *)b.data, b.len);
		buf_reset(&b);
	}
	buf_free(&b);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < LINES; i++)
		free(lines[i]);
	return 0;
}

/* As who has the key does it. */
static void put_stamp(struct audit_bundle *b, struct buf *out)
{
	struct audit_stamp s;

	/* No row comes before it. */
	if (b->next <= LINES)
		assert_int_equal(audit_bundle_line(b, lines[b->next - 1],
					 strlen(lines[b->next - 1]), true, out),
			RC_INVALID);
	assert_int_equal(audit_bundle_stamp(b, &s), RC_OK);
	clock_text(START_MS + 1000, s.ts);
	audit_stamp_sign(&id, &s);
	assert_int_equal(audit_bundle_stamped(b, &s, out), RC_OK);
}

/* Rows of t_even among first..last. */
static char *bundle(int64_t first, int64_t last, struct audit_bundle *b)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	audit_bundle_begin(b, first, last, "{\"tenant_id\":\"t_even\"}", START_MS);
	for (int64_t i = 1; i <= LINES && !audit_bundle_done(b); i++) {
		const char *line = lines[i - 1];

		assert_int_equal(audit_bundle_line(b, line, strlen(line),
					 strstr(line, "t_even") != NULL, &out),
			RC_OK);
		if (audit_bundle_stamp_due(b))
			put_stamp(b, &out);
	}
	assert_false(out.failed);
	audit_bundle_free(b);
	return buf_steal(&out);
}

/* The first line is the header's. *line gets the line of the fault in the text. */
static enum audit_fault check(const char *text, int64_t *line, struct audit_chain *c)
{
	struct audit_chain_options o = {.have_key = true};
	const char *end = strchr(text, '\n');
	bool good;

	memcpy(o.key, id.public_key, sizeof(o.key));
	assert_non_null(end);
	audit_chain_init(c, &o);
	good = audit_chain_bundle(c, text, (size_t)(end - text));
	for (text = end + 1; good && (end = strchr(text, '\n')); text = end + 1)
		good = audit_chain_line(c, text, (size_t)(end - text));
	(void)audit_chain_end(c, *text && !end);
	audit_chain_free(c);
	*line = c->fault_line + 1;
	return c->fault;
}

static void a_bundle_proves_its_rows(void **state)
{
	struct audit_chain c;
	struct audit_bundle b;
	int64_t at;
	char *text = bundle(15, 23, &b);

	(void)state;
	assert_true(audit_bundle_done(&b));
	assert_int_equal(b.next, 31); /* up to the checkpoint in row 30 */
	assert_ptr_equal(strstr(text,
				 "{\"v\":1,\"format\":\"airlock-cp audit bundle "
				 "v1\",\"from\":11,\"first\":15,"
				 "\"last\":23,\"ts\":\"2026-11-23T21:06:40.000Z\","
				 "\"filter\":{\"tenant_id\":\"t_even\"}}\n"),
		text);
	assert_int_equal(check(text, &at, &c), AUDIT_FAULT_NONE);
	assert_int_equal(c.seq, 30);
	assert_int_equal(c.withheld, b.withheld);
	assert_int_equal(b.rows, 5);
	assert_int_equal(b.rows + b.withheld, 18);
	assert_null(strstr(text, "t_odd"));
	/* Two stamps: the second one ends it. */
	assert_int_equal(c.stamp_line, 22);
	assert_string_equal(c.stamp_ts, "2026-11-23T21:06:41.000Z");
	assert_non_null(strstr(text,
		"{\"v\":1,\"seq\":20,\"ts\":\"2026-11-23T21:06:41.000Z\",\"event\":\"stamp\","
		"\"from\":11,\"lines\":11,\"end\":false,\"runs\":\"w4r1w1r1w1r1\",\"header\":\""));
	assert_non_null(strstr(text,
		",\"event\":\"stamp\",\"from\":11,\"lines\":22,\"end\":true,\"runs\":"
		"\"r1w1r1w6\","));
	free(text);
}

/* What is signed is part of the documented format: other programs check it too. */
static void a_stamp_signs_what_is_documented(void **state)
{
	static const char label[] = "airlock-cp audit stamp v1";
	uint8_t bytes[sizeof(label) + 25 + 24 + 128] = {0}, *at = bytes + sizeof(label);
	struct audit_stamp s = {.from = 11, .seq = 0x0102030405060708, .lines = 22, .end = true};
	struct buf b;

	(void)state;
	(void)str_copy(s.ts, sizeof(s.ts), "2026-11-23T21:06:41.000Z");
	memset(s.runs_hash, 'r', sizeof(s.runs_hash));
	memset(s.header, 'h', sizeof(s.header));
	memset(s.digest, 'd', sizeof(s.digest));
	memset(s.prev, 'p', sizeof(s.prev));
	memcpy(bytes, label, sizeof(label));
	at[7] = 11;
	for (uint8_t i = 0; i < 8; i++)
		at[8 + i] = i + 1;
	at[23] = 22;
	at[24] = 1;
	memcpy(at + 25, s.ts, 24);
	memset(at + 49, 'r', 32);
	memset(at + 81, 'h', 32);
	memset(at + 113, 'd', 32);
	memset(at + 145, 'p', 32);
	audit_stamp_sign(&id, &s);
	assert_true(crypto_verify(id.public_key, bytes, sizeof(bytes), s.sig));
	assert_true(audit_stamp_good(&s));
	/* Its runs are letters and digits. */
	s.runs = "r1\\u0031";
	s.runs_len = strlen(s.runs);
	buf_init(&b, AUDIT_LINE_MAX);
	audit_stamp_line(&b, &s);
	assert_false(audit_stamp_read((const char *)b.data, b.len, &s));
	buf_free(&b);
}

/* Its digest, by another way: over the text as it stands there. */
static void a_stamp_covers_all_bytes_before_it(void **state)
{
	uint8_t digest[CRYPTO_HASH_LEN] = {0};
	struct audit_bundle b;
	struct audit_stamp s = {0};
	char *text = bundle(15, 23, &b);
	const char *from = text, *at = text;
	int found = 0;

	(void)state;
	for (const char *end; (end = strchr(at, '\n')); at = end + 1) {
		struct buf part;

		if (!audit_stamp_read(at, (size_t)(end - at), &s))
			continue;
		buf_init(&part, 1 << 20);
		buf_add(&part, digest, sizeof(digest));
		buf_add(&part, from, (size_t)(at - from));
		crypto_sha256(part.data, part.len, digest);
		assert_memory_equal(s.digest, digest, sizeof(digest));
		crypto_sha256(text, (size_t)(strchr(text, '\n') - text), digest);
		assert_memory_equal(s.header, digest, sizeof(digest));
		memcpy(digest, s.digest, sizeof(digest));
		from = at;
		found++;
		buf_free(&part);
	}
	assert_int_equal(found, 2);
	assert_true(s.end);
	free(text);
}

/* Each row of another kind than the one before: the longest runs that there can be. */
static void the_most_rows_between_two_checkpoints_fit(void **state)
{
	struct audit_stamper s;
	struct audit_stamp out;
	struct audit_form form = {.kind = AUDIT_FORM_ROW};

	(void)state;
	audit_stamper_init(&s);
	audit_stamper_begin(&s, "{}", 2, 1);
	for (int i = 0; i < AUDIT_CHECKPOINT_ROWS_MAX + AUDIT_CHECKPOINT_SLACK; i++) {
		form.kind = i % 2 ? AUDIT_FORM_ROW : AUDIT_FORM_WITHHELD;
		audit_stamper_line(&s, &form, "x", 1);
	}
	assert_int_equal(audit_stamper_stamp(&s, &out), RC_OK);
	assert_memory_equal(out.runs, "w1r1w1r1", 8);
	assert_int_equal(out.runs_len, 2 * (AUDIT_CHECKPOINT_ROWS_MAX + AUDIT_CHECKPOINT_SLACK));
	audit_stamper_free(&s);
}

static void without_a_checkpoint_behind_it_it_is_not_whole(void **state)
{
	struct audit_chain c;
	struct audit_bundle b;
	int64_t at;
	char *text, *cut;

	(void)state;
	text = bundle(2, LINES + 5, &b);
	assert_false(audit_bundle_done(&b));
	assert_int_equal(check(text, &at, &c), AUDIT_FAULT_TRUNCATED);
	free(text);
	/* Cut off behind the last row that was asked for. */
	text = bundle(2, 25, &b);
	cut = strstr(text, "\"seq\":26,");
	*(strchr(cut, '\n') + 1) = '\0';
	assert_int_equal(check(text, &at, &c), AUDIT_FAULT_TRUNCATED);
	free(text);
}

static void lines_out_of_turn_are_refused(void **state)
{
	struct audit_bundle b;
	struct buf out;

	(void)state;
	buf_init(&out, 1 << 16);
	audit_bundle_begin(&b, 5, 6, NULL, START_MS);
	assert_int_equal(audit_bundle_line(&b, lines[5], strlen(lines[5]), true, &out), RC_INVALID);
	assert_int_equal(audit_bundle_line(&b, "{}", 2, true, &out), RC_INVALID);
	assert_int_equal(audit_bundle_line(&b, lines[4], strlen(lines[4]), true, &out), RC_OK);
	audit_bundle_free(&b);
	buf_free(&out);
}

/* Every line but the header changed, left out, twice, or taken for a withheld one with another
 * hash. */
static void whatever_is_done_to_it_is_found(void **state)
{
	struct audit_chain c;
	struct audit_bundle b;
	char *good = bundle(15, 23, &b), *text = xmalloc(2 * strlen(good) + 1);
	int64_t at = 0, number = 1;

	(void)state;
	for (const char *line = strchr(good, '\n') + 1, *next; *line; line = next) {
		size_t before = (size_t)(line - good), len;

		next = strchr(line, '\n') + 1;
		len = (size_t)(next - line);
		number++;
		for (size_t k = 0; k + 1 < len; k++) {
			strcpy(text, good);
			text[before + k] ^= 1;
			assert_int_not_equal(check(text, &at, &c), AUDIT_FAULT_NONE);
			/* What is left of a row can't tell for itself. */
			if (at != number && at != number - 1)
				fail_msg("byte %zu of line %lld: found at %lld", k,
					(long long)number, (long long)at);
		}
		(void)sprintf(text, "%.*s%s", (int)before, good, next);
		assert_int_not_equal(check(text, &at, &c), AUDIT_FAULT_NONE);
		(void)sprintf(text, "%.*s%.*s%s", (int)before, good, (int)len, line, line);
		assert_int_not_equal(check(text, &at, &c), AUDIT_FAULT_NONE);
		assert_int_equal(at, number + 1);
	}
	free(text);
	free(good);
}

/* In a log nothing may be withheld, and nothing expire without a seal. */
static void a_log_is_no_bundle(void **state)
{
	struct audit_chain_options o = {.have_key = true};
	struct audit_chain c;
	struct audit_form row;
	uint8_t hash[CRYPTO_HASH_LEN];

	(void)state;
	memcpy(o.key, id.public_key, sizeof(o.key));
	for (enum audit_form_kind kind = AUDIT_FORM_EXPIRED; kind <= AUDIT_FORM_WITHHELD; kind++) {
		struct buf b;

		buf_init(&b, 4096);
		audit_chain_init(&c, &o);
		assert_true(audit_chain_line(&c, lines[0], strlen(lines[0])));
		assert_true(audit_form_read(lines[1], strlen(lines[1]), &row));
		crypto_sha256(lines[1], strlen(lines[1]), hash);
		audit_form_hash_line(&b, kind, 2, hash, row.prev);
		assert_false(audit_chain_line(&c, (const char *)b.data, b.len));
		assert_int_equal(c.fault, AUDIT_FAULT_REMOVED);
		assert_int_equal(c.fault_line, 2);
		audit_chain_free(&c);
		buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bundle_proves_its_rows),
		cmocka_unit_test(a_stamp_signs_what_is_documented),
		cmocka_unit_test(a_stamp_covers_all_bytes_before_it),
		cmocka_unit_test(the_most_rows_between_two_checkpoints_fit),
		cmocka_unit_test(without_a_checkpoint_behind_it_it_is_not_whole),
		cmocka_unit_test(lines_out_of_turn_are_refused),
		cmocka_unit_test(whatever_is_done_to_it_is_found),
		cmocka_unit_test(a_log_is_no_bundle),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
