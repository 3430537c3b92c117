/* A log in files: what was done to it is found at file and line, and the command's status says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/audit_verify.h"
#include "cli/commands.h"
#include "shared/file.h"
#include "shared/mem.h"
#include "shared/text.h"

#define LINES 24
#define EVERY 4
/* The second file begins behind the tenth line, in the middle between two checkpoints. */
#define FIRST 10

static char dir[64], path[2][128], pem[96];
static struct crypto_identity id;
static char *lines[LINES];
static char head[AUDIT_HASH_LEN + 1];

static void make_lines(void)
{
	struct audit_record r;
	struct buf b;

	memset(head, '0', AUDIT_HASH_LEN);
	buf_init(&b, AUDIT_LINE_MAX);
	for (int i = 0; i < LINES; i++) {
		uint8_t hash[CRYPTO_HASH_LEN];

		audit_init(&r, "tool.call");
		if (i % EVERY == EVERY - 1)
			audit_checkpoint_line(
				&b, &id, i + 1, 1795468000000, head, &(struct audit_tally){0});
		else
			audit_line(&b, &r, i + 1, 1795468000000, head);
		crypto_sha256(b.data, b.len, hash);
		text_hex(hash, sizeof(hash), head);
		lines[i] = buf_steal(&b);
		assert_non_null(lines[i]);
	}
	buf_free(&b);
}

static int setup(void **state)
{
	char text[256];

	(void)state;
	crypto_init();
	memcpy(dir, "/tmp/test_verify.XXXXXX", sizeof("/tmp/test_verify.XXXXXX"));
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path[0], sizeof(path[0]), "%s/audit-000000000001-000000000010.jsonl", dir);
	(void)snprintf(path[1], sizeof(path[1]), "%s/audit.jsonl", dir);
	(void)snprintf(pem, sizeof(pem), "%s/cp.pem", dir);
	crypto_identity_new(&id);
	assert_int_equal(crypto_public_pem(id.public_key, text, sizeof(text)), RC_OK);
	assert_int_equal(file_write_atomic(pem, text, strlen(text), 0600), RC_OK);
	make_lines();
	return 0;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	for (int i = 0; i < LINES; i++)
		free(lines[i]);
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command); /* NOLINT(cert-env33-c): a path of our own */
}

/* Writes lines[order[0..count-1]] into both files, cut bytes short of the whole. */
static void write_log(const int *order, int count, size_t cut)
{
	struct buf b[2];

	for (int f = 0; f < 2; f++)
		buf_init(&b[f], 1 << 20);
	for (int i = 0; i < count; i++) {
		struct buf *to = &b[i >= FIRST];

		buf_str(to, lines[order[i]]);
		buf_char(to, '\n');
	}
	b[1].len -= cut;
	for (int f = 0; f < 2; f++) {
		assert_int_equal(file_write_atomic(path[f], b[f].data, b[f].len, 0600), RC_OK);
		buf_free(&b[f]);
	}
}

static enum audit_fault verify(const char **file, int64_t *line)
{
	const char *const paths[] = {path[0], path[1]};
	struct audit_chain_options o = {.have_key = true, .expect_seq = LINES};
	struct audit_verify v;

	memcpy(o.key, id.public_key, sizeof(o.key));
	assert_int_equal(text_unhex(head, o.expect_hash, sizeof(o.expect_hash)), RC_OK);
	assert_int_equal(audit_verify(paths, 2, &o, &v), RC_OK);
	*file = v.file;
	*line = v.line;
	return v.chain.fault;
}

/* The fault is at this place of the sequence of lines, from 0 on. */
static void expect(enum audit_fault fault, int place, const char *what)
{
	const char *file;
	int64_t line;
	enum audit_fault got = verify(&file, &line);
	bool second = place >= FIRST;

	if (got != fault || file != path[second] || line != place - (second ? FIRST : 0) + 1)
		fail_msg("%s: %s at %s:%lld instead of %s at place %d", what, audit_fault_name(got),
			file, (long long)line, audit_fault_name(fault), place);
}

static void in_order(int *order)
{
	for (int i = 0; i < LINES; i++)
		order[i] = i;
}

static void a_good_log_over_two_files(void **state)
{
	const char *file;
	int order[LINES];
	int64_t line;

	(void)state;
	in_order(order);
	write_log(order, LINES, 0);
	assert_int_equal(verify(&file, &line), AUDIT_FAULT_NONE);
}

static void every_deletion_swap_and_duplication_is_located(void **state)
{
	int order[LINES + 1];

	(void)state;
	for (int i = 0; i < LINES; i++) {
		in_order(order);
		memmove(&order[i], &order[i + 1], sizeof(*order) * (size_t)(LINES - 1 - i));
		write_log(order, LINES - 1, 0);
		if (i < LINES - 1)
			expect(AUDIT_FAULT_MISSING, i, "deleted");
		else
			expect(AUDIT_FAULT_TRUNCATED, i - 1, "the last one deleted");
		in_order(order);
		memmove(&order[i + 1], &order[i], sizeof(*order) * (size_t)(LINES - i));
		write_log(order, LINES + 1, 0);
		expect(AUDIT_FAULT_REPEATED, i + 1, "twice");
		if (i == LINES - 1)
			continue;
		in_order(order);
		order[i] = i + 1;
		order[i + 1] = i;
		write_log(order, LINES, 0);
		expect(AUDIT_FAULT_REORDERED, i, "swapped");
	}
}

static void every_change_is_located(void **state)
{
	int order[LINES];

	(void)state;
	in_order(order);
	for (int i = 0; i < LINES; i++) {
		/* Of the year: in every line, and in no line anything but a part of its text. */
		char *digit = strstr(lines[i], "\"ts\":\"") + 6;

		*digit ^= 1;
		write_log(order, LINES, 0);
		expect(i % EVERY == EVERY - 1 ? AUDIT_FAULT_SIGNATURE : AUDIT_FAULT_CHANGED, i,
			"changed");
		*digit ^= 1;
	}
}

static void every_truncation_is_located(void **state)
{
	size_t cut = 0, last = strlen(lines[LINES - 1]) + 1;
	int order[LINES];

	(void)state;
	in_order(order);
	for (cut = 1; cut < last; cut++) {
		write_log(order, LINES, cut);
		expect(AUDIT_FAULT_TORN, LINES - 1, "torn");
	}
	write_log(order, LINES, last);
	expect(AUDIT_FAULT_TRUNCATED, LINES - 2, "cut at a line's end");
}

static void a_line_without_end_is_no_row(void **state)
{
	const size_t len = (size_t)9 << 20;
	char *text = xmalloc(len);
	int order[LINES];

	(void)state;
	in_order(order);
	write_log(order, LINES, 0);
	memset(text, 'x', len);
	assert_int_equal(file_write_atomic(path[1], text, len, 0600), RC_OK);
	free(text);
	expect(AUDIT_FAULT_NO_ROW, FIRST, "endless");
}

/* What the first `count` lines prove, when the row of line `expected` must be there; 0: none. */
static void expect_proof(int count, int expected, bool end, const char *words)
{
	const char *const paths[] = {path[0], path[1]};
	struct audit_chain_options o = {.have_key = true, .expect_seq = expected};
	struct audit_verify v;
	int order[LINES];
	struct buf b;

	in_order(order);
	write_log(order, count, 0);
	memcpy(o.key, id.public_key, sizeof(o.key));
	if (expected > 0)
		crypto_sha256(lines[expected - 1], strlen(lines[expected - 1]), o.expect_hash);
	assert_int_equal(audit_verify(paths, 2, &o, &v), RC_OK);
	assert_string_equal(v.chain.why, "");
	assert_int_equal(audit_verify_end_proved(&v), end);
	buf_init(&b, 1024);
	audit_verify_proof(&v, &b);
	buf_char(&b, '\0');
	assert_string_equal((const char *)b.data, words);
	buf_free(&b);
}

#define SIGNED(rows) \
	"proved: rows 1 to " rows " are what the control plane signed, in order and without a gap"
#define OPEN_END(row)                                            \
	"; not proved: that nothing was cut off behind row " row \
	", for which --expect needs a head from elsewhere"

static void what_is_proved_is_told(void **state)
{
	(void)state;
	expect_proof(LINES, 0, false, SIGNED("24") OPEN_END("24"));
	/* Cut off right at a checkpoint. */
	expect_proof(LINES - EVERY, 0, false, SIGNED("20") OPEN_END("20"));
	expect_proof(LINES - 1, 0, false,
		SIGNED("20") "; rows 21 to 23 are chained to them, but not signed yet" OPEN_END(
			"23"));
	expect_proof(LINES - EVERY + 1, 0, false,
		SIGNED("20") "; row 21 is chained to them, but not signed yet" OPEN_END("21"));
	expect_proof(LINES, LINES, true,
		SIGNED("24") "; nothing was cut off the end: row 24 is the one that was expected");
	expect_proof(LINES, 7, false,
		SIGNED("24") "; nothing was changed or cut off up to row 7, the one that was "
			     "expected" OPEN_END("24"));
}

static void what_was_expected_must_be_in_the_files(void **state)
{
	const char *const second = path[1];
	struct audit_chain_options o = {
		.have_key = true, .first_seq = FIRST + 1, .expect_seq = FIRST};
	struct audit_verify v;
	int order[LINES];

	(void)state;
	in_order(order);
	write_log(order, LINES, 0);
	memcpy(o.key, id.public_key, sizeof(o.key));
	assert_int_equal(audit_verify(&second, 1, &o, &v), RC_OK);
	assert_int_equal(v.chain.fault, AUDIT_FAULT_UNEXPECTED);
	assert_string_equal(v.chain.why, "row 10 was expected, and these files begin with row 11");
}

/* As the program is called; standard output is of no interest here. */
static enum status command(const char *a, const char *b, const char *c, const char *d)
{
	const char *words[] = {"airlockctl", "audit", "verify", "--json", "--file", path[0], "-f",
		path[1], a, b, c, d};
	char *argv[12];
	int argc = 8, out, null;
	enum status status;

	while (argc < 12 && words[argc])
		argc++;
	for (int i = 0; i < argc; i++)
		argv[i] = (char *)words[i];
	(void)fflush(stdout);
	out = dup(STDOUT_FILENO);
	assert_non_null(freopen("/dev/null", "w", stdout));
	status = command_main(argc, argv);
	(void)fflush(stdout);
	null = dup2(out, STDOUT_FILENO);
	assert_int_equal(null, STDOUT_FILENO);
	(void)close(out);
	return status;
}

static void the_command_ends_with_the_documented_status(void **state)
{
	char good[100], wrong[100];
	int order[LINES];

	(void)state;
	in_order(order);
	write_log(order, LINES, 0);
	(void)snprintf(good, sizeof(good), "%d:%s", LINES, head);
	(void)snprintf(wrong, sizeof(wrong), "%d:%s", LINES + 1, head);
	assert_int_equal(command(NULL, NULL, NULL, NULL), STATUS_OK);
	assert_int_equal(command("--public-key", pem, "--expect", good), STATUS_OK);
	assert_int_equal(command("--public-key", pem, "--expect", wrong), STATUS_REFUSED);
	assert_int_equal(command("--from", "2", NULL, NULL), STATUS_REFUSED);
	assert_int_equal(command("--from", "0", NULL, NULL), STATUS_USAGE);
	assert_int_equal(command("--expect", "7", NULL, NULL), STATUS_USAGE);
	assert_int_equal(command("--expect", "7:abc", NULL, NULL), STATUS_USAGE);
	assert_int_equal(command("--public-key", path[0], NULL, NULL), STATUS_USAGE);
	assert_int_equal(command("--file", "/nowhere/at/all", NULL, NULL), STATUS_USAGE);
}

static void a_directory_is_a_whole_log(void **state)
{
	char *argv[] = {"airlockctl", "audit", "verify", "--file", dir, "--public-key", pem};
	int order[LINES];

	(void)state;
	in_order(order);
	write_log(order, LINES, 0);
	assert_int_equal(command_main(7, argv), STATUS_OK);
	order[0] = 1;
	write_log(order, LINES, 0);
	assert_int_equal(command_main(7, argv), STATUS_REFUSED);
	assert_int_equal(unlink(path[0]), 0);
	assert_int_equal(command_main(7, argv), STATUS_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_log_over_two_files),
		cmocka_unit_test(every_deletion_swap_and_duplication_is_located),
		cmocka_unit_test(every_change_is_located),
		cmocka_unit_test(every_truncation_is_located),
		cmocka_unit_test(a_line_without_end_is_no_row),
		cmocka_unit_test(what_is_proved_is_told),
		cmocka_unit_test(what_was_expected_must_be_in_the_files),
		cmocka_unit_test(the_command_ends_with_the_documented_status),
		cmocka_unit_test(a_directory_is_a_whole_log),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
