/* The tamper campaign: a log of four files, one of them compressed, one with rows whose retention
 * was over, with what workers vouch for. Whatever is done to one line, or between two files, is
 * found, and at the right place. */
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
#include "shared/audit_reader.h"
#include "shared/audit_rewrite.h"
#include "shared/audit_vouch.h"
#include "shared/audit_zst.h"
#include "shared/file.h"
#include "shared/mem.h"
#include "shared/text.h"

#define FILES 4
#define FILE_ROWS ((int64_t)50)
#define ROWS (FILES * FILE_ROWS)
#define EVERY 10 /* each tenth row is a checkpoint: so is the last of each file */
#define LINES_MAX (FILE_ROWS + 8)
#define EXPIRED 0
#define COMPRESSED 1
#define START_MS 1795468000000

struct file {
	char *line[LINES_MAX];
	int count;
};

static char dir[64], path[FILES][128];
static struct crypto_identity cp, worker;
static struct file good[FILES];
static uint8_t head[CRYPTO_HASH_LEN];

/* --- the sample ---------------------------------------------------------------------------------
 */

static struct audit_tally vouched;
static int64_t results;

/* A call of a tenant that stays, with its number; its row after the sixth of ten is a statement. */
static void fill_call(struct audit_record *r, int row)
{
	uint8_t hash[CRYPTO_HASH_LEN], leaf[CRYPTO_HASH_LEN];
	struct audit_vouched v = {.n = ++results,
		.call_id = r->call_id,
		.request_id = r->request_id,
		.key_id = "",
		.method = "",
		.tool = "execute_sql",
		.outcome = "ok",
		.result_sha256 = hash};

	(void)snprintf(r->call_id, sizeof(r->call_id), "c_%d", row);
	(void)snprintf(r->request_id, sizeof(r->request_id), "req_%d", row);
	(void)str_copy(r->tool, sizeof(r->tool), "execute_sql");
	(void)str_copy(r->outcome, sizeof(r->outcome), "ok");
	(void)str_copy(r->session_id, sizeof(r->session_id), "s_1");
	(void)str_copy(r->worker_id, sizeof(r->worker_id), "w_1");
	crypto_sha256(&row, sizeof(row), hash);
	text_hex(hash, sizeof(hash), r->result_sha256);
	r->vouch = v.n;
	audit_vouch_leaf(&v, leaf);
	audit_tally_add(&vouched, leaf);
}

static void fill_statement(struct audit_record *r)
{
	char digest[AUDIT_HASH_LEN + 1], key[64], b64[128];
	uint8_t sig[CRYPTO_SIG_LEN];
	struct audit_vouch v = {.worker_id = "w_1",
		.session_id = "s_1",
		.first = results - vouched.rows + 1,
		.last = results,
		.digest = vouched.digest};

	audit_vouch_sign(&v, &worker, sig);
	text_hex(vouched.digest, sizeof(vouched.digest), digest);
	text_b64(worker.public_key, sizeof(worker.public_key), key);
	text_b64(sig, sizeof(sig), b64);
	(void)str_copy(r->session_id, sizeof(r->session_id), "s_1");
	(void)str_copy(r->worker_id, sizeof(r->worker_id), "w_1");
	(void)snprintf(r->change, sizeof(r->change),
		"{\"first\":%lld,\"last\":%lld,\"digest\":\"%s\",\"key\":\"%s\",\"sig\":\"%s\"}",
		(long long)v.first, (long long)v.last, digest, key, b64);
	vouched = (struct audit_tally){0};
}

static void fill(struct audit_record *r, int row)
{
	char key[64];

	if (row == 1) {
		audit_init(r, "worker.enroll");
		text_b64(worker.public_key, sizeof(worker.public_key), key);
		(void)str_copy(r->target, sizeof(r->target), "w_1");
		(void)snprintf(r->change, sizeof(r->change), "{\"public_key\":\"%s\"}", key);
	} else if (row % EVERY == 7) {
		audit_init(r, "worker.vouch");
		fill_statement(r);
	} else if (row % EVERY < 4) {
		audit_init(r, "access.refused");
		(void)str_copy(r->tenant_id, sizeof(r->tenant_id), "t_gone");
	} else {
		audit_init(r, "tool.call");
		(void)str_copy(r->tenant_id, sizeof(r->tenant_id), "t_acme");
		fill_call(r, row);
	}
}

static void make_plain(void)
{
	char prev[AUDIT_HASH_LEN + 1];
	struct audit_tally tally = {0};
	struct audit_record r;
	struct buf b, all;

	memset(prev, '0', AUDIT_HASH_LEN);
	prev[AUDIT_HASH_LEN] = '\0';
	buf_init(&b, AUDIT_LINE_MAX);
	buf_init(&all, 1 << 20);
	for (int row = 1; row <= ROWS; row++) {
		buf_reset(&b);
		if (row % EVERY == 0) {
			audit_checkpoint_line(&b, &cp, row, START_MS + row, prev, &tally);
			tally = (struct audit_tally){0};
		} else {
			fill(&r, row);
			audit_line(&b, &r, row, START_MS + row, prev);
		}
		crypto_sha256(b.data, b.len, head);
		if (row % EVERY != 0)
			audit_tally_add(&tally, head);
		text_hex(head, sizeof(head), prev);
		buf_add(&all, b.data, b.len);
		buf_char(&all, '\n');
		if (row % FILE_ROWS != 0)
			continue;
		assert_int_equal(
			file_write_atomic(path[row / FILE_ROWS - 1], all.data, all.len, 0600),
			RC_OK);
		buf_reset(&all);
	}
	buf_free(&b);
	buf_free(&all);
}

static bool gone(void *ctx, const char *tenant_id)
{
	(void)ctx;
	return !strcmp(tenant_id, "t_gone");
}

static void rewrite_file(int i, bool compress)
{
	char why[AUDIT_REWRITE_WHY], scratch[160];
	struct audit_segment from = {
		.path = path[i], .first = i * FILE_ROWS + 1, .last = (i + 1) * FILE_ROWS};
	struct audit_rewrite how = {.from = &from,
		.to = path[i],
		.scratch = scratch,
		.compress = compress,
		.expired = compress ? NULL : gone,
		.identity = &cp,
		.wall_ms = START_MS + ROWS};
	int64_t expired;

	(void)snprintf(scratch, sizeof(scratch), "%s/scratch", dir);
	assert_int_equal(audit_rewrite(&how, &expired, why), RC_OK);
	assert_true(compress || expired > 10);
}

static void load(int i)
{
	struct audit_reader *in;
	const char *line;
	size_t len;

	assert_int_equal(audit_reader_open(path[i], &in), RC_OK);
	while (audit_reader_line(in, &line, &len) == RC_OK)
		good[i].line[good[i].count++] = xstrndup(line, len);
	audit_reader_close(in);
}

static int setup(void **state)
{
	(void)state;
	crypto_init();
	memcpy(dir, "/tmp/test_tamper.XXXXXX", sizeof("/tmp/test_tamper.XXXXXX"));
	assert_non_null(mkdtemp(dir));
	for (int i = 0; i < FILES; i++)
		(void)snprintf(path[i], sizeof(path[i]), "%s/%d", dir, i);
	crypto_identity_new(&cp);
	crypto_identity_new(&worker);
	make_plain();
	rewrite_file(EXPIRED, false);
	rewrite_file(COMPRESSED, true);
	for (int i = 0; i < FILES; i++)
		load(i);
	assert_int_equal(good[EXPIRED].count, FILE_ROWS + 1); /* with its seal */
	return 0;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	for (int i = 0; i < FILES; i++)
		for (int k = 0; k < good[i].count; k++)
			free(good[i].line[k]);
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command); /* NOLINT(cert-env33-c): a path of our own */
}

/* --- what is done to it
 * ---------------------------------------------------------------------------- */

static void write_file(int i, const struct file *f)
{
	struct audit_zst_writer *z;
	struct buf b;
	int fd;

	buf_init(&b, 1 << 20);
	for (int k = 0; k < f->count; k++) {
		buf_str(&b, f->line[k]);
		buf_char(&b, '\n');
	}
	fd = open(path[i], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	if (i == COMPRESSED) {
		z = audit_zst_writer_new(fd, 1);
		assert_int_equal(audit_zst_write(z, b.data, b.len), RC_OK);
		assert_int_equal(audit_zst_end(z), RC_OK);
		audit_zst_writer_free(z);
	} else {
		assert_int_equal(write(fd, b.data, b.len), b.len);
	}
	(void)close(fd);
	buf_free(&b);
}

static struct audit_verify verify(int files)
{
	const char *paths[FILES];
	struct audit_chain_options o = {.have_key = true, .expect_seq = ROWS};
	struct audit_verify v;

	for (int i = 0; i < files; i++)
		paths[i] = path[i];
	memcpy(o.key, cp.public_key, sizeof(o.key));
	memcpy(o.expect_hash, head, sizeof(head));
	assert_int_equal(audit_verify(paths, (size_t)files, &o, &v), RC_OK);
	return v;
}

/* The fault is at line k of file i, from 0 on. What stands beside a row that has only its hash left
 * may be the changed line as well: one line off. A row taken out for good is found at the file's
 * seal. */
static void expect(const char *what, int i, int k)
{
	struct audit_verify v = verify(FILES);
	int at;

	if (v.chain.fault == AUDIT_FAULT_NONE)
		fail_msg("%s: file %d line %d: not found", what, i, k + 1);
	for (at = 0; at < FILES && strcmp(v.file, path[at]) != 0;)
		at++;
	if (at == i &&
		(v.line == k + 1 ||
			(i == EXPIRED && (v.line == k || v.line == 1 || (k == 0 && v.line == 2)))))
		return;
	/* The line behind the end of a file is the first of the next one. */
	if (at == i + 1 && k >= good[i].count - 1 && v.line == 1)
		return;
	fail_msg("%s: file %d line %d: found at file %d line %lld: %s", what, i, k + 1, at,
		(long long)v.line, v.chain.why);
}

static struct file copy_of(int i)
{
	return good[i];
}

static void insert(struct file *f, int k, char *line)
{
	memmove(&f->line[k + 1], &f->line[k], sizeof(f->line[0]) * (size_t)(f->count - k));
	f->line[k] = line;
	f->count++;
}

static void drop(struct file *f, int k)
{
	f->count--;
	memmove(&f->line[k], &f->line[k + 1], sizeof(f->line[0]) * (size_t)(f->count - k));
}

static void the_sample_is_good(void **state)
{
	struct audit_verify v = verify(FILES);

	(void)state;
	assert_string_equal(v.chain.why, "");
	assert_true(v.chain.expired > 10);
	assert_true(v.chain.vouch_counts.vouched > 40);
	assert_int_equal(v.chain.vouch_counts.workers, 1);
}

static void every_change_is_found(void **state)
{
	(void)state;
	for (int i = 0; i < FILES; i++) {
		for (int k = 0; k < good[i].count; k++) {
			size_t len = strlen(good[i].line[k]);

			for (size_t at = (size_t)(k % 17); at < len; at += len / 3) {
				good[i].line[k][at] ^= 1;
				write_file(i, &good[i]);
				expect("changed", i, k);
				good[i].line[k][at] ^= 1;
			}
		}
		write_file(i, &good[i]);
	}
}

static void every_deletion_is_found(void **state)
{
	(void)state;
	for (int i = 0; i < FILES; i++) {
		for (int k = 0; k < good[i].count; k++) {
			struct file f = copy_of(i);

			drop(&f, k);
			write_file(i, &f);
			/* Without its seal a file is found by its first row without a word for it.
			 */
			if (i == EXPIRED && k == 0)
				assert_int_equal(verify(FILES).chain.fault, AUDIT_FAULT_REMOVED);
			else
				expect("deleted", i, i == FILES - 1 && k == f.count ? k - 1 : k);
		}
		write_file(i, &good[i]);
	}
}

static void every_duplicate_and_swap_is_found(void **state)
{
	(void)state;
	for (int i = 0; i < FILES; i++) {
		for (int k = 0; k < good[i].count; k++) {
			struct file f = copy_of(i);

			insert(&f, k + 1, f.line[k]);
			write_file(i, &f);
			expect("twice", i, k + 1);
			if (k + 1 == good[i].count)
				continue;
			f = copy_of(i);
			f.line[k] = good[i].line[k + 1];
			f.line[k + 1] = good[i].line[k];
			write_file(i, &f);
			expect("swapped", i, k);
		}
		write_file(i, &good[i]);
	}
}

static void every_cut_is_found(void **state)
{
	(void)state;
	for (int i = 0; i < FILES; i++) {
		for (int keep = 1; keep < good[i].count; keep++) {
			struct file f = copy_of(i);

			f.count = keep;
			write_file(i, &f);
			/* All that comes after is gone too. */
			assert_int_not_equal(verify(i + 1).chain.fault, AUDIT_FAULT_NONE);
		}
		write_file(i, &good[i]);
		if (i < FILES - 1)
			assert_int_equal(verify(i + 1).chain.fault, AUDIT_FAULT_TRUNCATED);
	}
}

/* Each line of a file in the place of, or before, one of another file; and rows that had their time
 * brought back, or taken out by somebody else. */
static void every_splice_is_found(void **state)
{
	(void)state;
	for (int i = 0; i < FILES; i++) {
		int other = (i + 1) % FILES;

		for (int k = 0; k < good[i].count && k < good[other].count; k++) {
			struct file f = copy_of(i);

			f.line[k] = good[other].line[k];
			write_file(i, &f);
			expect("replaced", i, k);
			f = copy_of(i);
			insert(&f, k, good[other].line[k]);
			write_file(i, &f);
			expect("inserted", i, k);
		}
		write_file(i, &good[i]);
	}
}

static void every_row_that_is_taken_out_is_found(void **state)
{
	(void)state;
	for (int i = 0; i < FILES; i++) {
		for (int k = 0; k < good[i].count; k++) {
			struct file f = copy_of(i);
			uint8_t hash[CRYPTO_HASH_LEN];
			struct audit_form form;
			struct buf b;

			assert_true(audit_form_read(f.line[k], strlen(f.line[k]), &form));
			if (form.kind != AUDIT_FORM_ROW)
				continue;
			buf_init(&b, 4096);
			crypto_sha256(f.line[k], strlen(f.line[k]), hash);
			audit_form_hash_line(&b, AUDIT_FORM_EXPIRED, form.seq, hash, form.prev);
			f.line[k] = buf_steal(&b);
			write_file(i, &f);
			expect("taken out", i, k);
			free(f.line[k]);
		}
		write_file(i, &good[i]);
	}
}

static void read_lines(const char *file, struct buf *out)
{
	struct audit_reader *in;
	const char *line;
	size_t len;

	assert_int_equal(audit_reader_open(file, &in), RC_OK);
	while (audit_reader_line(in, &line, &len) == RC_OK) {
		buf_add(out, line, len);
		buf_char(out, '\n');
	}
	assert_false(audit_reader_torn(in));
	audit_reader_close(in);
}

/* The same text can be packed in several ways: a byte that makes one of another is no change of the
 * log, and neither is the table at the end. */
static void every_byte_of_a_compressed_file_counts(void **state)
{
	struct buf before, after;
	int same = 0;
	size_t len;
	char *bytes;

	(void)state;
	buf_init(&before, 1 << 20);
	buf_init(&after, 1 << 20);
	read_lines(path[COMPRESSED], &before);
	assert_int_equal(file_read(path[COMPRESSED], 1 << 20, &bytes, &len), RC_OK);
	for (size_t at = 0; at < len; at += 37) {
		struct audit_verify v;

		bytes[at] ^= 0x10;
		assert_int_equal(file_write_atomic(path[COMPRESSED], bytes, len, 0600), RC_OK);
		v = verify(FILES);
		if (v.chain.fault == AUDIT_FAULT_NONE) {
			buf_reset(&after);
			read_lines(path[COMPRESSED], &after);
			if (after.len != before.len ||
				memcmp(after.data, before.data, before.len) != 0)
				fail_msg("byte %zu: not found", at);
			same++;
		} else {
			assert_true(!strcmp(v.file, path[COMPRESSED]) ||
				(!strcmp(v.file, path[COMPRESSED + 1]) && v.line == 1));
		}
		bytes[at] ^= 0x10;
	}
	assert_in_range(same, 0, 5);
	assert_int_equal(file_write_atomic(path[COMPRESSED], bytes, len, 0600), RC_OK);
	buf_free(&before);
	buf_free(&after);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sample_is_good),
		cmocka_unit_test(every_change_is_found),
		cmocka_unit_test(every_deletion_is_found),
		cmocka_unit_test(every_duplicate_and_swap_is_found),
		cmocka_unit_test(every_cut_is_found),
		cmocka_unit_test(every_splice_is_found),
		cmocka_unit_test(every_row_that_is_taken_out_is_found),
		cmocka_unit_test(every_byte_of_a_compressed_file_counts),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
