/* A worker vouches for its results, and the log of the control plane can be held to it: by rows
 * that somebody with the control plane's own key has written. */
#include "tests/unit/tunneld/fixture.h"

#include "shared/audit_chain.h"
#include "shared/audit_vouch.h"
#include "shared/text.h"

struct setup {
	struct fixture *f;
	struct fake_worker w;
	struct fake_client c;
	struct audit_tally tally; /* of what is not signed yet */
	int64_t n; /* results so far */
};

static int setup(void **state)
{
	struct setup *s = xcalloc(1, sizeof(*s));

	s->f = fake_pair(&s->w, &s->c);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct setup *s = *state;
	int rc = fake_pair_end(s->f, &s->w, &s->c);

	free(s);
	return rc;
}

/* The call of this id ends as outcome with the number n. */
static void result(struct setup *s, const char *id, const char *outcome, int64_t n)
{
	uint8_t hash[CRYPTO_HASH_LEN], leaf[CRYPTO_HASH_LEN];
	struct audit_vouched v = {.n = n,
		.call_id = id,
		.request_id = "req_1",
		.key_id = "k1",
		.method = "tools/call",
		.tool = "execute_sql",
		.outcome = outcome,
		.result_sha256 = hash};
	char b64[TEXT_B64_LEN(CRYPTO_HASH_LEN) + 1], fields[160];

	crypto_sha256("{}", 2, hash);
	audit_vouch_leaf(&v, leaf);
	audit_tally_add(&s->tally, leaf);
	text_b64(hash, sizeof(hash), b64);
	(void)snprintf(fields, sizeof(fields),
		",\"outcome\":\"%s\",\"vouch\":%lld,\"sha256\":\"%s\"", outcome, (long long)n, b64);
	fake_result(&s->w, id, fields, "{}");
}

/* A whole call. */
static void call(struct setup *s, const char *outcome)
{
	struct msg m;

	assert_true(fake_call_plain(s->f, &s->c));
	m = fake_signed(&s->w, MSG_CALL);
	result(s, m.id, outcome, ++s->n);
	fixture_wait(s->f, caught_any, &s->c.got);
	(void)caught_next(&s->c.got, MSG_RESULT);
}

static void statement(struct setup *s, int64_t first, int64_t last)
{
	char digest[TEXT_B64_LEN(CRYPTO_HASH_LEN) + 1], b64[TEXT_B64_LEN(CRYPTO_SIG_LEN) + 1],
		header[512];
	uint8_t sig[CRYPTO_SIG_LEN];
	struct audit_vouch v = {.worker_id = s->w.handshake.worker_id,
		.session_id = s->w.session_id,
		.first = first,
		.last = last,
		.digest = s->tally.digest};

	audit_vouch_sign(&v, &s->w.identity, sig);
	text_b64(s->tally.digest, sizeof(s->tally.digest), digest);
	text_b64(sig, sizeof(sig), b64);
	(void)snprintf(header, sizeof(header),
		"{\"t\":\"VOUCH\",\"first\":%lld,\"last\":%lld,\"digest\":\"%s\",\"sig\":\"%s\"}",
		(long long)first, (long long)last, digest, b64);
	fake_say(&s->w, header, "");
	s->tally = (struct audit_tally){0};
}

static void close_log(struct setup *s)
{
	fake_disconnect(&s->w);
	fixture_close(s->f);
}

static struct audit_chain check_text(const struct setup *s, const char *text)
{
	struct audit_chain_options o = {.have_key = true};
	struct audit_chain c;

	memcpy(o.key, s->f->cp.public_key, sizeof(o.key));
	audit_chain_init(&c, &o);
	for (const char *end; (end = strchr(text, '\n')); text = end + 1)
		if (!audit_chain_line(&c, text, (size_t)(end - text)))
			break;
	(void)audit_chain_end(&c, false);
	audit_chain_free(&c);
	return c;
}

static struct audit_chain check(const struct setup *s)
{
	char *text = fixture_journal(s->f);
	struct audit_chain c = check_text(s, text);

	free(text);
	return c;
}

static void rows_and_statements_agree(void **state)
{
	struct setup *s = *state;
	struct audit_chain c;

	call(s, "ok");
	call(s, "tool_error");
	statement(s, 1, 2);
	call(s, "denied");
	statement(s, 3, 3);
	call(s, "ok");
	assert_int_equal(s->w.closed, 0);
	assert_int_equal(fixture_count(s->f, "\"vouch\":2,\"prev\""), 1);
	close_log(s);
	c = check(s);
	assert_string_equal(c.why, "");
	assert_int_equal(c.vouch_counts.vouched, 3);
	assert_int_equal(c.vouch_counts.unsigned_results, 1);
	assert_int_equal(c.vouch_counts.workers, 1);
	assert_int_equal(c.vouch_counts.unenrolled, 0);
}

/* The worker answers a call that nobody waits for any more. */
static void late_result(struct setup *s, const char *outcome)
{
	char id[MSG_ID_MAX + 1];
	struct msg m;

	assert_true(fake_call_plain(s->f, &s->c));
	m = fake_signed(&s->w, MSG_CALL);
	memcpy(id, m.id, sizeof(id));
	relay_client_gone(&s->f->hub, &s->c.client);
	(void)caught_next(&s->w.got, MSG_CANCEL);
	result(s, id, outcome, ++s->n);
}

static void a_late_result_has_an_outcome_of_the_protocol(void **state)
{
	struct setup *s = *state;

	late_result(s, "whatever_i_like");
	assert_int_equal(s->w.closed, 4400);
	close_log(s);
	assert_int_equal(fixture_count(s->f, "whatever_i_like"), 0);
}

/* It has its number all the same, and its row. */
static void a_late_result_leaves_no_gap(void **state)
{
	struct setup *s = *state;
	struct audit_chain c;

	late_result(s, "cancelled");
	statement(s, 1, 1);
	assert_int_equal(s->w.closed, 0);
	close_log(s);
	assert_int_equal(fixture_count(s->f, "\"event\":\"call.late\""), 1);
	c = check(s);
	assert_string_equal(c.why, "");
	assert_int_equal(c.vouch_counts.vouched, 1);
}

static void expect_end(struct setup *s)
{
	assert_int_equal(s->w.closed, 4400);
	(void)caught_next(&s->c.got, MSG_FAIL);
}

static void a_number_out_of_turn_ends_the_session(void **state)
{
	struct setup *s = *state;
	struct msg m;

	call(s, "ok");
	assert_true(fake_call_plain(s->f, &s->c));
	m = fake_signed(&s->w, MSG_CALL);
	result(s, m.id, "ok", 3);
	fixture_wait(s->f, caught_any, &s->c.got);
	expect_end(s);
}

static void who_vouches_vouches_for_all(void **state)
{
	struct setup *s = *state;
	struct msg m;

	call(s, "ok");
	assert_true(fake_call_plain(s->f, &s->c));
	m = fake_signed(&s->w, MSG_CALL);
	fake_result(&s->w, m.id, ",\"outcome\":\"ok\"", "{}");
	fixture_wait(s->f, caught_any, &s->c.got);
	expect_end(s);
}

static void a_result_of_no_call_is_not_vouched_for(void **state)
{
	struct setup *s = *state;

	result(s, "c_nobody", "ok", 1);
	assert_int_equal(s->w.closed, 4400);
}

static void a_statement_must_be_signed_and_in_turn(void **state)
{
	static const struct {
		int64_t first, last;
	} wrong[] = {{2, 2}, {1, 2}, {0, 1}, {2, 1}};
	struct setup *s = *state;

	for (size_t i = 0; i <= sizeof(wrong) / sizeof(wrong[0]); i++) {
		s->n = 0;
		s->tally = (struct audit_tally){0};
		call(s, "ok");
		if (i == sizeof(wrong) / sizeof(wrong[0])) {
			crypto_identity_new(&s->w.identity);
			statement(s, 1, 1);
		} else {
			statement(s, wrong[i].first, wrong[i].last);
		}
		assert_int_equal(s->w.closed, 4400);
		fake_disconnect(&s->w);
		fake_up(s->f, &s->w, "t_acme");
	}
	assert_int_equal(fixture_count(s->f, "worker.vouch"), 0);
}

/* The log again, as somebody with the control plane's key would write it: change() sees each line
 * that is no checkpoint, and may leave it out. */
static char *forge(struct setup *s, bool (*change)(char *line, int number))
{
	char *text = fixture_journal(s->f), *next, prev[AUDIT_HASH_LEN + 1];
	struct audit_tally tally = {0};
	int64_t seq = 0;
	int number = 0;
	struct buf out;

	memset(prev, '0', AUDIT_HASH_LEN);
	prev[AUDIT_HASH_LEN] = '\0';
	buf_init(&out, 1 << 20);
	for (char *line = text; *line; line = next) {
		uint8_t hash[CRYPTO_HASH_LEN];
		size_t start = out.len;

		next = strchr(line, '\n') + 1;
		next[-1] = '\0';
		number++;
		if (audit_checkpoint_is(line, strlen(line))) {
			audit_checkpoint_line(&out, &s->f->cp, ++seq, 1795468000000, prev, &tally);
			tally = (struct audit_tally){0};
		} else if (change(line, number)) {
			const char *rest = strstr(line, ",\"ts\"");

			buf_printf(&out, "{\"v\":1,\"seq\":%lld%.*s\"%s\"}", (long long)++seq,
				(int)(strlen(rest) - AUDIT_HASH_LEN - 3), rest, prev);
		} else {
			continue;
		}
		crypto_sha256(out.data + start, out.len - start, hash);
		text_hex(hash, sizeof(hash), prev);
		if (!audit_checkpoint_is((const char *)out.data + start, out.len - start))
			audit_tally_add(&tally, hash);
		buf_char(&out, '\n');
	}
	free(text);
	return buf_steal(&out);
}

static int calls_seen;

static bool is_second_call(const char *line, int number)
{
	if (number == 1)
		calls_seen = 0;
	return strstr(line, "tool.call") && ++calls_seen == 2;
}

static bool nothing(char *line, int number)
{
	(void)line;
	(void)number;
	return true;
}

static void overwrite(char *at, const char *text)
{
	while (*text)
		*at++ = *text++;
}

static bool without_the_second(char *line, int number)
{
	return !is_second_call(line, number);
}

static bool another_outcome(char *line, int number)
{
	if (is_second_call(line, number))
		overwrite(strstr(line, "\"tool_error\""), "\"overloaded\"");
	return true;
}

static bool another_tool(char *line, int number)
{
	if (is_second_call(line, number))
		overwrite(strstr(line, "execute_sql"), "execute_foo");
	return true;
}

static bool another_result(char *line, int number)
{
	if (is_second_call(line, number))
		overwrite(strstr(line, "\"result_sha256\":\"") + 17, "00000000");
	return true;
}

static bool another_number(char *line, int number)
{
	if (is_second_call(line, number))
		overwrite(strstr(line, "\"vouch\":2"), "\"vouch\":3");
	return true;
}

static bool another_key(char *line, int number)
{
	(void)number;
	if (strstr(line, "worker.enroll"))
		overwrite(strstr(line, "\"public_key\":\"") + 14, "AAAA");
	return true;
}

static bool without_the_statement(char *line, int number)
{
	(void)number;
	return !strstr(line, "\"first\":1,");
}

/* Not even the owner of the control plane's key can change a call alone. */
static void a_forged_row_is_found(void **state)
{
	static const struct {
		bool (*change)(char *line, int number);
		const char *why;
	} forged[] = {
		{without_the_second, "have no row"},
		{another_outcome, "say something else"},
		{another_tool, "say something else"},
		{another_result, "say something else"},
		{another_number, "say something else"},
		{another_key, "another key"},
		{without_the_statement, "does not continue"},
	};
	struct setup *s = *state;
	struct audit_chain c;
	char *text;

	for (int i = 0; i < 3; i++)
		call(s, i == 1 ? "tool_error" : "ok");
	statement(s, 1, 3);
	call(s, "ok");
	statement(s, 4, 4);
	close_log(s);
	text = forge(s, nothing);
	c = check_text(s, text);
	assert_string_equal(c.why, "");
	assert_int_equal(c.vouch_counts.vouched, 4);
	free(text);
	for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
		text = forge(s, forged[i].change);
		c = check_text(s, text);
		if (c.fault != AUDIT_FAULT_VOUCH || !strstr(c.why, forged[i].why))
			fail_msg("forgery %zu: %s: %s", i, audit_fault_name(c.fault), c.why);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_and_statements_agree, setup, teardown),
		cmocka_unit_test_setup_teardown(a_late_result_leaves_no_gap, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_late_result_has_an_outcome_of_the_protocol, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_number_out_of_turn_ends_the_session, setup, teardown),
		cmocka_unit_test_setup_teardown(who_vouches_vouches_for_all, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_result_of_no_call_is_not_vouched_for, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_statement_must_be_signed_and_in_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(a_forged_row_is_found, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
