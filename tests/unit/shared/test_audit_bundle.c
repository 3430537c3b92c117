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
	}
	assert_false(out.failed);
	audit_bundle_free(b);
	return buf_steal(&out);
}

/* The first line is the header's. *line gets the line of the fault in the text. */
static enum audit_fault check(const char *text, int64_t *line, struct audit_chain *c)
{
	struct audit_chain_options o = {.have_key = true};
	struct audit_bundle_header h;
	const char *end = strchr(text, '\n');

	memcpy(o.key, id.public_key, sizeof(o.key));
	if (!end || audit_bundle_header_read(text, (size_t)(end - text), &h) != RC_OK)
		return AUDIT_FAULT_NO_ROW;
	o.first_seq = h.from;
	o.bundle_last = h.last;
	audit_chain_init(c, &o);
	for (text = end + 1; (end = strchr(text, '\n')); text = end + 1)
		if (!audit_chain_line(c, text, (size_t)(end - text)))
			break;
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
	free(text);
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
	assert_int_equal(check(text, &at, &c), AUDIT_FAULT_UNSIGNED);
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
			/* What the first line continues is not in the bundle. */
			if (number == 2 && line + k >= strstr(line, "\"prev\":\"") + 8 &&
				k < len - 3)
				continue;
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
		cmocka_unit_test(without_a_checkpoint_behind_it_it_is_not_whole),
		cmocka_unit_test(lines_out_of_turn_are_refused),
		cmocka_unit_test(whatever_is_done_to_it_is_found),
		cmocka_unit_test(a_log_is_no_bundle),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
