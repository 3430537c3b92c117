/* The tamper campaign on bundles: of a log with rows that have expired, a bundle of one tenant's
 * rows in several parts. Whatever is done to one of its lines, or to two bundles of the same rows,
 * is found, and at the right place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/audit_verify.h"
#include "shared/audit_bundle.h"
#include "shared/mem.h"
#include "shared/text.h"

#define ROWS 60
#define EVERY 10 /* each tenth row is a checkpoint */
#define START_MS 1795468000000
#define LINES_MAX 96

struct bundle {
	char *line[LINES_MAX];
	int count;
};

static char dir[64], path[96];
static struct crypto_identity cp;
static char *rows[ROWS]; /* as they were written */
static char *kept[ROWS]; /* as they are in the log now */
/* Of the same rows, for two tenants; and one that begins with the log. */
static struct bundle acme, other, whole;

/* --- the sample ------------------------------------------------------------------------------ */

static const char *tenant_of(int row)
{
	return row % 3 == 0 ? "t_acme" : row % 3 == 1 ? "t_other" : "t_gone";
}

static void make_rows(void)
{
	uint8_t hash[CRYPTO_HASH_LEN], before[CRYPTO_HASH_LEN] = {0};
	char prev[AUDIT_HASH_LEN + 1];
	struct audit_tally tally = {0};
	struct audit_record r;
	struct buf b;

	buf_init(&b, AUDIT_LINE_MAX);
	for (int row = 1; row <= ROWS; row++) {
		text_hex(before, sizeof(before), prev);
		if (row % EVERY == 0) {
			audit_checkpoint_line(&b, &cp, row, START_MS + row, prev, &tally);
		} else {
			audit_init(&r, "tool.call");
			(void)str_copy(r.tenant_id, sizeof(r.tenant_id), tenant_of(row));
			audit_line(&b, &r, row, START_MS + row, prev);
		}
		crypto_sha256(b.data, b.len, hash);
		rows[row - 1] = buf_steal(&b);
		if (row % EVERY == 0)
			tally = (struct audit_tally){0};
		else
			audit_tally_add(&tally, hash);
		/* Two of the tenant's rows have expired. */
		if (row == 18 || row == 33)
			audit_form_hash_line(&b, AUDIT_FORM_EXPIRED, row, hash, before);
		else
			buf_str(&b, rows[row - 1]);
		kept[row - 1] = buf_steal(&b);
		memcpy(before, hash, sizeof(before));
	}
}

static void split(struct bundle *out, char *text)
{
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		assert_true(out->count < LINES_MAX);
		out->line[out->count++] = xstrndup(line, (size_t)(end - line));
	}
	free(text);
}

static void make_bundle(struct bundle *out, int first, int last, const char *tenant)
{
	struct audit_bundle b;
	struct audit_stamp stamp;
	char filter[64];
	struct buf text;

	buf_init(&text, 1 << 20);
	(void)snprintf(filter, sizeof(filter), "{\"tenant\":\"%s\"}", tenant);
	audit_bundle_begin(&b, first, last, filter, START_MS);
	for (int i = 0; i < ROWS && !audit_bundle_done(&b); i++) {
		assert_int_equal(audit_bundle_line(&b, kept[i], strlen(kept[i]),
					 strstr(kept[i], tenant) != NULL, &text),
			RC_OK);
		if (!audit_bundle_stamp_due(&b))
			continue;
		assert_int_equal(audit_bundle_stamp(&b, &stamp), RC_OK);
		clock_text(START_MS + 1, stamp.ts);
		audit_stamp_sign(&cp, &stamp);
		assert_int_equal(audit_bundle_stamped(&b, &stamp, &text), RC_OK);
	}
	assert_true(audit_bundle_done(&b));
	audit_bundle_free(&b);
	split(out, buf_steal(&text));
}

static int setup(void **state)
{
	(void)state;
	crypto_init();
	memcpy(dir, "/tmp/test_bundle.XXXXXX", sizeof("/tmp/test_bundle.XXXXXX"));
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/bundle", dir);
	crypto_identity_new(&cp);
	make_rows();
	make_bundle(&acme, 15, 43, "t_acme");
	make_bundle(&other, 15, 43, "t_other");
	make_bundle(&whole, 1, 19, "t_acme");
	/* Four parts, each with its stamp, behind the first line. */
	assert_int_equal(acme.count, 1 + 40 + 4);
	return 0;
}

static int teardown(void **state)
{
	struct bundle *all[] = {&acme, &other, &whole};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		while (all[i]->count > 0)
			free(all[i]->line[--all[i]->count]);
	for (int i = 0; i < ROWS; i++) {
		free(rows[i]);
		free(kept[i]);
	}
	(void)unlink(path);
	return rmdir(dir);
}

/* --- what is done to it ---------------------------------------------------------------------- */

/* cut: so many bytes short of the whole. */
static struct audit_verify verify(const struct bundle *f, size_t cut)
{
	const char *const paths[] = {path};
	struct audit_chain_options o = {.have_key = true};
	struct audit_verify v;
	struct buf b;
	int fd;

	buf_init(&b, 1 << 20);
	for (int i = 0; i < f->count; i++) {
		buf_str(&b, f->line[i]);
		buf_char(&b, '\n');
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, b.data, b.len - cut), b.len - cut);
	(void)close(fd);
	buf_free(&b);
	memcpy(o.key, cp.public_key, sizeof(o.key));
	assert_int_equal(audit_verify(paths, 1, &o, &v), RC_OK);
	return v;
}

/* The fault is in one of the lines lo to hi, from 1 on. */
static struct audit_verify expect(const struct bundle *f, const char *what, int at, int lo, int hi)
{
	struct audit_verify v = verify(f, 0);

	if (v.chain.fault == AUDIT_FAULT_NONE)
		fail_msg("%s, line %d: not found", what, at);
	if (v.line < lo || v.line > hi)
		fail_msg("%s, line %d: found at line %lld: %s", what, at, (long long)v.line,
			v.chain.why);
	assert_true(*v.chain.why);
	return v;
}

static void insert(struct bundle *f, int k, char *line)
{
	memmove(&f->line[k + 1], &f->line[k], sizeof(f->line[0]) * (size_t)(f->count - k));
	f->line[k] = line;
	f->count++;
}

static void drop(struct bundle *f, int k)
{
	f->count--;
	memmove(&f->line[k], &f->line[k + 1], sizeof(f->line[0]) * (size_t)(f->count - k));
}

static bool is(const char *line, const char *event)
{
	char member[64];

	(void)snprintf(member, sizeof(member), "\"event\":\"%s\"", event);
	return strstr(line, member) != NULL;
}

static void the_samples_are_good(void **state)
{
	struct audit_verify v = verify(&acme, 0);
	struct buf b;

	(void)state;
	assert_string_equal(v.chain.why, "");
	assert_true(v.bundle);
	assert_true(audit_verify_end_proved(&v));
	buf_init(&b, 1024);
	audit_verify_proof(&v, &b);
	buf_char(&b, '\0');
	assert_non_null(strstr((const char *)b.data,
		"what the control plane signed at 2026-11-23T21:06:40.001Z, up to its end: rows 11 "
		"to 50 of the log, "));
	buf_free(&b);
	assert_int_equal(v.chain.o.first_seq, 11);
	assert_int_equal(v.chain.seq, 50);
	assert_int_equal(v.chain.expired, 2);
	assert_true(v.chain.withheld > 20);
	assert_string_equal(verify(&other, 0).chain.why, "");
	assert_string_equal(verify(&whole, 0).chain.why, "");
}

/* What is left of a row can't tell for itself: it or the line beside it. The first line says which
 * row comes behind it: one of these two as well. */
static void every_changed_byte_is_found(void **state)
{
	struct bundle *f[] = {&acme, &whole};

	(void)state;
	for (size_t i = 0; i < 2; i++)
		for (int k = 0; k < f[i]->count; k++) {
			char *line = f[i]->line[k];
			bool pair = is(line, "withheld") || is(line, "expired") ||
				(k > 1 &&
					(is(f[i]->line[k - 1], "withheld") ||
						is(f[i]->line[k - 1], "expired")));

			for (size_t at = 0; line[at]; at++) {
				line[at] ^= 1;
				(void)expect(f[i], "changed", k + 1, pair ? k : k + 1,
					k == 0 ? 2 : k + 1);
				line[at] ^= 1;
			}
		}
}

/* The filter and the time are nobody's but the signer's word. */
static void a_first_line_that_reads_well_is_found(void **state)
{
	static const struct {
		const char *is, *was;
	} changes[] = {
		{"{\"tenant\":\"t_none\"}", "{\"tenant\":\"t_acme\"}"},
		{"{}", "{\"tenant\":\"t_acme\"}"},
		{"\"ts\":\"2027", "\"ts\":\"2026"},
		{"\"last\":44", "\"last\":43"},
		{"\"last\":430", "\"last\":43"},
		{"\"first\":14", "\"first\":15"},
		{"", ",\"filter\":{\"tenant\":\"t_acme\"}"},
	};
	struct bundle f = acme;
	struct audit_verify v;

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		char line[512], *at = strstr(acme.line[0], changes[i].was);

		assert_non_null(at);
		(void)snprintf(line, sizeof(line), "%.*s%s%s", (int)(at - acme.line[0]),
			acme.line[0], changes[i].is, at + strlen(changes[i].was));
		f.line[0] = line;
		v = expect(&f, changes[i].is, 1, 1, 1);
		assert_int_equal(v.chain.fault, AUDIT_FAULT_CHANGED);
		assert_string_equal(v.chain.why,
			"the first line of the bundle is not the one that was signed, or the stamp "
			"in line 12 is of another bundle");
	}
}

static void a_first_line_that_is_none_is_named(void **state)
{
	static const struct {
		const char *before, *added, *why;
	} lines[] = {
		{",\"ts\":", ",\"extra\":1", "has a member that is not known: \"extra\""},
		{"\"v\":1", "\"x\":2,", "has a member that is not known: \"x\""},
		{",\"ts\":", ",\"\\u001b[2J\":1", "has a member that is not known"},
		{",\"ts\":", ",\"last\":43", "has \"last\" twice"},
		{",\"ts\":", " ", "is not spelled as the control plane does"},
		{",\"ts\":", "0000000000000000000", "has a \"last\" that is no number of a row"},
		{",\"first\":", "1", "has \"from\", \"first\" and \"last\" in another order"},
		{" audit bundle v1", " bundle",
			"has another format than \"airlock-cp audit bundle v1\""},
		{",\"ts\":", "x", "is no JSON object"},
	};
	struct bundle f = acme;
	struct audit_verify v;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char line[512], why[160], *at = strstr(acme.line[0], lines[i].before);

		assert_non_null(at);
		(void)snprintf(line, sizeof(line), "%.*s%s%s", (int)(at - acme.line[0]),
			acme.line[0], lines[i].added, at);
		(void)snprintf(why, sizeof(why), "the first line of the bundle %s", lines[i].why);
		f.line[0] = line;
		v = expect(&f, lines[i].added, 1, 1, 1);
		assert_string_equal(v.chain.why, why);
	}
}

static void every_deletion_is_found(void **state)
{
	(void)state;
	for (int k = 0; k < acme.count; k++) {
		struct bundle f = acme;

		drop(&f, k);
		if (k < f.count)
			(void)expect(&f, "deleted", k + 1, k + 1, k + 1);
		else
			assert_int_equal(expect(&f, "the end", k + 1, k, k).chain.fault,
				AUDIT_FAULT_TRUNCATED);
	}
	/* Without its first line it could be a log: up to what only a bundle has. */
	for (int k = 0; k < whole.count; k++) {
		struct bundle f = whole;

		drop(&f, k);
		(void)expect(&f, "deleted", k + 1, k == f.count ? k : k + 1, k + 1);
	}
}

static void every_duplicate_swap_and_insertion_is_found(void **state)
{
	(void)state;
	for (int k = 0; k < acme.count; k++) {
		struct bundle f = acme;

		insert(&f, k + 1, f.line[k]);
		(void)expect(&f, "twice", k + 1, k + 2, k + 2);
		if (k + 1 < acme.count) {
			f = acme;
			f.line[k] = acme.line[k + 1];
			f.line[k + 1] = acme.line[k];
			(void)expect(&f, "swapped", k + 1, k + 1, k + 1);
		}
		for (int i = 0; i < other.count; i++) {
			f = acme;
			insert(&f, k, other.line[i]);
			/* Another row in the place of one, and then that one: either is the
			 * second. The first stamp of all, which comes too early: or it is the first
			 * line that is of another bundle. */
			(void)expect(&f, "inserted", k + 1, i == 11 && k == 11 ? 1 : k + 1, k + 2);
		}
	}
	for (int i = 0; i < other.count; i++) {
		struct bundle f = acme;

		insert(&f, f.count, other.line[i]);
		(void)expect(&f, "behind the end", f.count, f.count, f.count);
	}
	/* What comes next in the log, chained and with its checkpoint. */
	for (int last = 51; last <= ROWS; last++) {
		struct bundle f = acme;

		for (int row = 51; row <= last; row++)
			insert(&f, f.count, kept[row - 1]);
		(void)expect(&f, "more of the log", last, acme.count + 1, acme.count + 1);
	}
}

static void every_cut_is_found(void **state)
{
	struct audit_verify v;

	(void)state;
	for (int k = 1; k < acme.count; k++) {
		struct bundle f = acme;

		f.count = k;
		v = expect(&f, "cut", k, k == 1 ? 1 : k, k);
		assert_int_equal(v.chain.fault, AUDIT_FAULT_TRUNCATED);
		assert_non_null(strstr(v.chain.why, "the bundle was cut off behind row "));
	}
	for (int k = 1; k <= acme.count; k++) {
		struct bundle f = acme;

		f.count = k;
		for (size_t cut = 1; cut <= strlen(acme.line[k - 1]); cut += 7) {
			v = verify(&f, cut);
			assert_int_equal(v.chain.fault, AUDIT_FAULT_TORN);
			assert_int_equal(v.line, k);
		}
	}
}

/* A row withheld afterwards, one brought back, and one that is said to have expired: the hashes are
 * right each time. */
static void every_row_of_another_kind_is_found(void **state)
{
	int tried = 0;

	(void)state;
	for (int k = 1; k < acme.count; k++) {
		struct audit_form form;
		struct bundle f = acme;
		struct audit_verify v;
		struct buf b;

		assert_true(audit_form_read(f.line[k], strlen(f.line[k]), &form));
		if (form.kind == AUDIT_FORM_CHECKPOINT || form.kind == AUDIT_FORM_STAMP)
			continue;
		if (form.kind == AUDIT_FORM_ROW)
			crypto_sha256(f.line[k], strlen(f.line[k]), form.hash);
		buf_init(&b, 4096);
		for (enum audit_form_kind kind = AUDIT_FORM_ROW; kind <= AUDIT_FORM_WITHHELD;
			kind++) {
			if (kind == form.kind || kind == AUDIT_FORM_CHECKPOINT)
				continue;
			buf_reset(&b);
			if (kind == AUDIT_FORM_ROW)
				buf_str(&b, rows[form.seq - 1]);
			else
				audit_form_hash_line(&b, kind, form.seq, form.hash, form.prev);
			buf_char(&b, '\0');
			f.line[k] = (char *)b.data;
			v = expect(&f, "of another kind", k + 1, k + 1, k + 1);
			assert_int_equal(v.chain.fault,
				form.kind == AUDIT_FORM_ROW ? AUDIT_FAULT_REMOVED
							    : AUDIT_FAULT_CHANGED);
			tried++;
		}
		buf_free(&b);
	}
	assert_int_equal(tried, 2 * 36);
}

/* Two bundles of the same rows, each good: what is of the other is somewhere between the stamps
 * around the place where they were put together. */
static void every_splice_is_found(void **state)
{
	(void)state;
	for (int k = 1; k < acme.count; k++) {
		struct bundle f = acme;
		int lo = k, hi = k;

		while (lo > 1 && !is(acme.line[lo - 1], "stamp"))
			lo--;
		while (!is(acme.line[hi], "stamp"))
			hi++;
		for (int i = k; i < acme.count; i++)
			f.line[i] = other.line[i];
		(void)expect(&f, "spliced", k + 1, lo == 1 ? 1 : lo + 1, hi + 1);
		f = acme;
		f.line[k] = other.line[k];
		if (strcmp(acme.line[k], other.line[k]) == 0)
			continue;
		(void)expect(&f, "replaced", k + 1, lo == 1 && is(f.line[k], "stamp") ? 1 : k + 1,
			k + 1);
	}
	for (int i = 0; i < other.count; i++) {
		struct bundle f = acme;

		for (int k = 0; k <= i; k++)
			insert(&f, f.count, other.line[k]);
		(void)expect(&f, "joined", i, acme.count + 1, acme.count + 1);
	}
}

/* Who has no key of the control plane can make a bundle of his own, and it is seen whose it is. */
static void a_stamp_of_somebody_else_is_found(void **state)
{
	struct crypto_identity own;
	struct audit_stamp s;

	(void)state;
	crypto_identity_new(&own);
	for (int k = 1; k < acme.count; k++) {
		struct bundle f = acme;
		struct buf b;

		if (!is(acme.line[k], "stamp"))
			continue;
		assert_true(audit_stamp_read(acme.line[k], strlen(acme.line[k]), &s));
		assert_true(audit_stamp_good(&s));
		buf_init(&b, AUDIT_LINE_MAX);
		audit_stamp_sign(&own, &s);
		audit_stamp_line(&b, &s);
		buf_char(&b, '\0');
		f.line[k] = (char *)b.data;
		assert_int_equal(
			expect(&f, "signed", k + 1, k + 1, k + 1).chain.fault, AUDIT_FAULT_KEY);
		/* The end said too early, with the old signature. */
		assert_true(audit_stamp_read(acme.line[k], strlen(acme.line[k]), &s));
		s.end = !s.end;
		buf_reset(&b);
		audit_stamp_line(&b, &s);
		buf_char(&b, '\0');
		f.line[k] = (char *)b.data;
		f.count = k + 1;
		assert_int_equal(expect(&f, "ended", k + 1, k + 1, k + 1).chain.fault,
			AUDIT_FAULT_SIGNATURE);
		buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_samples_are_good),
		cmocka_unit_test(every_changed_byte_is_found),
		cmocka_unit_test(a_first_line_that_reads_well_is_found),
		cmocka_unit_test(a_first_line_that_is_none_is_named),
		cmocka_unit_test(every_deletion_is_found),
		cmocka_unit_test(every_duplicate_swap_and_insertion_is_found),
		cmocka_unit_test(every_cut_is_found),
		cmocka_unit_test(every_row_of_another_kind_is_found),
		cmocka_unit_test(every_splice_is_found),
		cmocka_unit_test(a_stamp_of_somebody_else_is_found),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
