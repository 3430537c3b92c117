/* The worker's side of the tunnel protocol, against the control plane's side of the handshake as
 * its peer. No socket, no clock: time is a number here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/audit_vouch.h"
#include "shared/mem.h"
#include "worker/announce.h"
#include "worker/link.h"

#define WALL 1764000000000
#define MONO 5000
#define PART 1024
#define MAX_REQUEST 5000

/* Both ends of one connection, and what the link's owner was told. */
struct pair {
	struct link *link;
	struct crypto_identity cp, worker;
	struct enrolled enrolled;
	struct buf manifest;
	struct handshake_cp shake;
	uint8_t key[CRYPTO_KEY_LEN];
	uint64_t n;
	struct buf wire; /* the message under construction */
	char session_id[80];
	int calls, cancels, replies, goaways, wakes;
	char reply_id[MSG_ID_MAX + 1];
	int64_t retry_after_ms;
	char call_id[MSG_ID_MAX + 1], cancel_id[MSG_ID_MAX + 1];
	char request[8192], tool[128], era[16], request_id[96], refused[20];
	int64_t timeout_ms;
};

static void on_opened(void *ctx, const char *session_id)
{
	struct pair *p = ctx;

	assert_true(str_copy(p->session_id, sizeof p->session_id, session_id));
}

static void on_call(void *ctx, struct link_call *call)
{
	struct pair *p = ctx;

	p->calls++;
	assert_true(str_copy(p->call_id, sizeof p->call_id, call->id));
	assert_true(str_copy(p->tool, sizeof p->tool, call->tool));
	assert_true(str_copy(p->era, sizeof p->era, call->era));
	assert_true(str_copy(p->request_id, sizeof p->request_id, call->request_id));
	assert_true(str_copy(
		p->refused, sizeof p->refused, call->refused != NULL ? call->refused : ""));
	p->timeout_ms = call->timeout_ms;
	assert_true(call->request.len < sizeof p->request);
	if (call->request.len > 0)
		memcpy(p->request, call->request.data, call->request.len);
	p->request[call->request.len] = '\0';
	buf_free(&call->request);
}

static void on_cancel(void *ctx, const char *id)
{
	struct pair *p = ctx;

	p->cancels++;
	assert_true(str_copy(p->cancel_id, sizeof p->cancel_id, id));
}

static void on_reply(void *ctx, const char *id, const void *text, size_t len)
{
	struct pair *p = ctx;

	p->replies++;
	assert_true(str_copy(p->reply_id, sizeof p->reply_id, id));
	assert_true(len < sizeof p->request);
	memcpy(p->request, text, len);
	p->request[len] = '\0';
}

static void on_goaway(void *ctx, int64_t retry_after_ms)
{
	struct pair *p = ctx;

	p->goaways++;
	p->retry_after_ms = retry_after_ms;
}

static void on_wake(void *ctx)
{
	((struct pair *)ctx)->wakes++;
}

static void pair_init(struct pair *p)
{
	static const struct link_owner callbacks = {.opened = on_opened,
		.call = on_call,
		.cancel = on_cancel,
		.reply = on_reply,
		.goaway = on_goaway,
		.wake = on_wake};
	struct link_owner owner = callbacks;

	memset(p, 0, sizeof *p);
	crypto_identity_new(&p->cp);
	crypto_identity_new(&p->worker);
	assert_true(str_copy(p->enrolled.worker_id, sizeof p->enrolled.worker_id, "w_1"));
	assert_true(str_copy(p->enrolled.tenant_id, sizeof p->enrolled.tenant_id, "t_acme"));
	memcpy(p->enrolled.cp_key, p->cp.public_key, CRYPTO_PUBLIC_LEN);
	buf_init(&p->manifest, 1 << 20);
	buf_str(&p->manifest, "{\"tools\":[]}");
	buf_init(&p->wire, 1 << 21);
	struct link_config config = {.identity = &p->worker,
		.enrolled = &p->enrolled,
		.agent = "airlock-worker/test",
		.manifest = &p->manifest};
	owner.ctx = p;
	p->link = link_new(&config, &owner, MONO);
}

static void pair_free(struct pair *p)
{
	link_free(p->link);
	handshake_cp_wipe(&p->shake);
	buf_free(&p->wire);
	buf_free(&p->manifest);
}

/* What is on the wire goes to the link, from a heap copy of the exact length. */
static enum link_end deliver(struct pair *p)
{
	uint8_t *copy = malloc(p->wire.len);

	assert_false(p->wire.failed);
	memcpy(copy, p->wire.data, p->wire.len);
	enum link_end end = link_message(p->link, copy, p->wire.len, MONO, WALL);
	free(copy);
	buf_reset(&p->wire);
	return end;
}

static enum link_end deliver_text(struct pair *p, const char *text)
{
	buf_reset(&p->wire);
	buf_str(&p->wire, text);
	return deliver(p);
}

static bool next(struct pair *p, struct buf *out)
{
	const uint8_t *rest;
	size_t rest_len;

	if (!link_next(p->link, out, &rest, &rest_len))
		return false;
	buf_add(out, rest, rest_len);
	return true;
}

/* The next message of the link, in out (reset first); m points into it. */
static void fetch(struct pair *p, struct buf *out, struct msg *m)
{
	buf_reset(out);
	assert_true(next(p, out));
	assert_false(out->failed);
	assert_int_equal(msg_parse(out->data, out->len, m), RC_OK);
}

static bool silent(struct pair *p)
{
	struct buf out;

	buf_init(&out, 1 << 21);
	bool nothing = !next(p, &out);
	buf_free(&out);
	return nothing;
}

static enum link_end greet(struct pair *p)
{
	handshake_cp_begin(&p->shake, &p->cp, &p->wire);
	return deliver(p);
}

/* Reads the HELLO with all its parts and checks it as the control plane does. */
static void read_hello(struct pair *p, struct hello *hello)
{
	struct buf out, manifest;
	struct msg m;
	uint8_t hash[CRYPTO_HASH_LEN];

	buf_init(&out, 1 << 21);
	buf_init(&manifest, 1 << 21);
	fetch(p, &out, &m);
	assert_int_equal(handshake_hello_read(&m, hello), RC_OK);
	buf_add(&manifest, m.payload, m.payload_len);
	while (m.more) {
		fetch(p, &out, &m);
		assert_int_equal(m.type, MSG_HELLO);
		buf_add(&manifest, m.payload, m.payload_len);
	}
	assert_int_equal(manifest.len, p->manifest.len);
	assert_memory_equal(manifest.data, p->manifest.data, manifest.len);
	crypto_sha256(manifest.data, manifest.len, hash);
	assert_int_equal(handshake_hello_check(
				 &p->shake, &p->cp, hello, p->worker.public_key, hash, WALL, 1000),
		NACK_NONE);
	buf_free(&out);
	buf_free(&manifest);
}

static void open_session(struct pair *p)
{
	struct handshake_limits limits = {.heartbeat_ms = 15000,
		.max_message = 65536,
		.part = PART,
		.max_result = 100000,
		.max_request = MAX_REQUEST};
	struct hello hello;

	pair_init(p);
	assert_int_equal(greet(p), LINK_GOES_ON);
	read_hello(p, &hello);
	assert_int_equal(
		handshake_cp_finish(&p->shake, &p->cp, &hello, "s_1", &limits, &p->wire, p->key),
		RC_OK);
	assert_false(link_open(p->link));
	assert_int_equal(deliver(p), LINK_GOES_ON);
	assert_true(link_open(p->link));
	assert_string_equal(p->session_id, "s_1");
	assert_true(silent(p));
}

static void put_call(
	struct pair *p, const char *id, bool first, bool more, uint64_t n, const char *payload)
{
	buf_reset(&p->wire);
	msg_begin(&p->wire, MSG_CALL, id);
	if (first) {
		msg_put_str(&p->wire, "method", "tools/call");
		msg_put_str(&p->wire, "tool", "execute_sql");
		msg_put_str(&p->wire, "era", "modern");
		msg_put_str(&p->wire, "request_id", "req_1");
		msg_put_int(&p->wire, "timeout_ms", 1234);
	}
	if (more)
		msg_put_flag(&p->wire, "more", true);
	msg_end_mac(&p->wire, 0, p->key, n, payload, strlen(payload));
}

static enum link_end call_part(
	struct pair *p, const char *id, bool first, bool more, const char *payload)
{
	put_call(p, id, first, more, ++p->n, payload);
	return deliver(p);
}

static void handshake_opens_a_session(void **state)
{
	struct pair p;

	(void)state;
	open_session(&p);
	assert_int_equal(link_max_message(p.link), 65536);
	assert_int_equal(link_max_result(p.link), 100000);
	assert_true(link_idle(p.link));
	pair_free(&p);
}

static void a_long_manifest_goes_in_parts(void **state)
{
	struct pair p;
	struct hello hello;

	(void)state;
	pair_init(&p);
	buf_str(&p.manifest, "   ");
	while (p.manifest.len < 3 * MSG_PART_DEFAULT + 7)
		buf_char(&p.manifest, ' ');
	assert_int_equal(greet(&p), LINK_GOES_ON);
	read_hello(&p, &hello);
	assert_true(silent(&p));
	pair_free(&p);
}

static void an_impostor_learns_nothing(void **state)
{
	struct pair p;

	(void)state;
	/* Another key; the pinned key without its signature. */
	pair_init(&p);
	crypto_identity_new(&p.cp);
	assert_int_equal(greet(&p), LINK_IMPOSTOR);
	assert_true(silent(&p));
	pair_free(&p);

	pair_init(&p);
	crypto_identity_new(&p.cp);
	memcpy(p.cp.public_key, p.enrolled.cp_key, CRYPTO_PUBLIC_LEN);
	assert_int_equal(greet(&p), LINK_IMPOSTOR);
	assert_true(silent(&p));
	pair_free(&p);
}

static void a_false_ack_is_refused(void **state)
{
	struct handshake_limits limits = {.heartbeat_ms = 15000,
		.max_message = 65536,
		.part = PART,
		.max_result = 100000,
		.max_request = MAX_REQUEST};
	struct pair p;
	struct hello hello;

	(void)state;
	pair_init(&p);
	assert_int_equal(greet(&p), LINK_GOES_ON);
	read_hello(&p, &hello);
	struct crypto_identity other;
	crypto_identity_new(&other);
	assert_int_equal(
		handshake_cp_finish(&p.shake, &other, &hello, "s_1", &limits, &p.wire, p.key),
		RC_OK);
	assert_int_equal(deliver(&p), LINK_IMPOSTOR);
	assert_false(link_open(p.link));
	pair_free(&p);
}

static void the_handshake_keeps_its_order(void **state)
{
	static const char *const early[] = {"{\"t\":\"CALL\",\"id\":\"c\",\"method\":\"x\"}\n",
		"{\"t\":\"REPLY\",\"id\":\"c\"}\n",
		"{\"t\":\"HELLO_ACK\",\"session_id\":\"s_1\"}\n", "{\"t\":\"GOAWAY\"}\n",
		"{\"t\":\"CHALLENGE\"}\n", "{\"t\":7}\n", "no newline", "\n", ""};
	struct pair p;

	(void)state;
	for (size_t i = 0; i < sizeof early / sizeof *early; i++) {
		pair_init(&p);
		assert_int_equal(deliver_text(&p, early[i]), LINK_BAD_MESSAGE);
		assert_int_equal(p.calls, 0);
		pair_free(&p);
	}
	/* A type of the future is none of our business. */
	pair_init(&p);
	assert_int_equal(deliver_text(&p, "{\"t\":\"WEATHER\"}\nsunny"), LINK_GOES_ON);
	assert_int_equal(greet(&p), LINK_GOES_ON);
	assert_int_equal(link_ignored(p.link), 1);
	/* Twice a CHALLENGE is one too many. */
	assert_int_equal(greet(&p), LINK_BAD_MESSAGE);
	pair_free(&p);
}

static void a_refusal_is_reported(void **state)
{
	static const struct {
		enum nack nack;
		const char *reason;
		bool retry;
	} rows[] = {
		{NACK_REVOKED, "revoked", false},
		{NACK_TENANT_SESSION_CAP_REACHED, "tenant_session_cap_reached", true},
	};
	struct pair p;
	struct hello hello;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		pair_init(&p);
		assert_int_equal(greet(&p), LINK_GOES_ON);
		read_hello(&p, &hello);
		handshake_nack(&p.wire, rows[i].nack, "because");
		assert_int_equal(deliver(&p), LINK_REFUSED);
		assert_string_equal(link_refusal(p.link)->reason, rows[i].reason);
		assert_string_equal(link_refusal(p.link)->detail, "because");
		assert_int_equal(link_refusal(p.link)->retry, rows[i].retry);
		pair_free(&p);
	}
}

static void a_call_and_its_result(void **state)
{
	struct pair p;
	struct buf payload, out;
	struct msg m;
	char text[64];

	(void)state;
	open_session(&p);
	assert_int_equal(call_part(&p, "c_1", true, false, "{\"id\":1}"), LINK_GOES_ON);
	assert_int_equal(p.calls, 1);
	assert_string_equal(p.call_id, "c_1");
	assert_string_equal(p.request, "{\"id\":1}");
	assert_string_equal(p.tool, "execute_sql");
	assert_string_equal(p.era, "modern");
	assert_string_equal(p.request_id, "req_1");
	assert_string_equal(p.refused, "");
	assert_int_equal(p.timeout_ms, 1234);
	assert_false(link_idle(p.link));

	buf_init(&payload, 100);
	buf_str(&payload, "{\"answer\":42}");
	p.wakes = 0;
	link_result(p.link, "c_1", "ok", "snap_x", &payload);
	assert_null(payload.data);
	assert_int_equal(p.wakes, 1);
	buf_init(&out, 65536);
	fetch(&p, &out, &m);
	assert_int_equal(m.type, MSG_RESULT);
	assert_string_equal(m.id, "c_1");
	assert_false(m.more);
	assert_int_equal(msg_str(&m, "outcome", text, sizeof text), RC_OK);
	assert_string_equal(text, "ok");
	assert_int_equal(msg_str(&m, "snapshot_id", text, sizeof text), RC_OK);
	assert_string_equal(text, "snap_x");
	assert_int_equal(m.payload_len, 13);
	assert_memory_equal(m.payload, "{\"answer\":42}", 13);
	assert_true(link_idle(p.link));
	assert_true(silent(&p));

	/* A second result of the same call goes nowhere. */
	buf_init(&payload, 100);
	buf_str(&payload, "{}");
	link_result(p.link, "c_1", "ok", "", &payload);
	assert_true(silent(&p));
	buf_free(&out);
	pair_free(&p);
}

static void parts_of_calls_interleave(void **state)
{
	struct pair p;

	(void)state;
	open_session(&p);
	assert_int_equal(call_part(&p, "c_a", true, true, "{\"a"), LINK_GOES_ON);
	assert_int_equal(call_part(&p, "c_b", true, true, "{\"b"), LINK_GOES_ON);
	assert_int_equal(call_part(&p, "c_a", false, true, "\":"), LINK_GOES_ON);
	assert_int_equal(p.calls, 0);
	assert_int_equal(call_part(&p, "c_b", false, false, "\":2}"), LINK_GOES_ON);
	assert_int_equal(p.calls, 1);
	assert_string_equal(p.call_id, "c_b");
	assert_string_equal(p.request, "{\"b\":2}");
	assert_int_equal(call_part(&p, "c_a", false, false, "1}"), LINK_GOES_ON);
	assert_int_equal(p.calls, 2);
	assert_string_equal(p.request, "{\"a\":1}");
	assert_string_equal(p.tool, "execute_sql"); /* from its first part */
	/* The id of a call that runs can't begin another. */
	assert_int_equal(call_part(&p, "c_a", true, false, "{}"), LINK_BAD_MESSAGE);
	pair_free(&p);
}

static void results_take_turns_in_parts(void **state)
{
	struct pair p;
	struct buf payload, out, got;
	struct msg m;
	char text[64];
	int turns_of_b = 0;

	(void)state;
	open_session(&p);
	assert_int_equal(call_part(&p, "c_a", true, false, "{}"), LINK_GOES_ON);
	assert_int_equal(call_part(&p, "c_b", true, false, "{}"), LINK_GOES_ON);
	buf_init(&payload, 100000);
	for (int i = 0; i < 3 * PART + 5; i++)
		buf_char(&payload, (char)('a' + i % 26));
	link_result(p.link, "c_a", "ok", "snap_a", &payload);
	buf_init(&payload, 100000);
	for (int i = 0; i < 2 * PART; i++)
		buf_char(&payload, 'B');
	link_result(p.link, "c_b", "tool_error", "", &payload);

	buf_init(&out, 65536);
	buf_init(&got, 100000);
	for (int i = 0; i < 6; i++) {
		fetch(&p, &out, &m);
		assert_true(m.payload_len <= PART);
		if (strcmp(m.id, "c_b") == 0) {
			turns_of_b++;
			/* b is nearer to its end; every other turn is a's. */
			assert_int_equal(i, (turns_of_b - 1) * 2);
			assert_int_equal(m.more, turns_of_b == 1);
			continue;
		}
		buf_add(&got, m.payload, m.payload_len);
		/* Outcome and snapshot count in the last part, and are in no other. */
		assert_int_equal(
			msg_str(&m, "outcome", text, sizeof text), m.more ? RC_NOTFOUND : RC_OK);
	}
	assert_int_equal(turns_of_b, 2);
	assert_int_equal(got.len, 3 * PART + 5);
	for (size_t i = 0; i < got.len; i++)
		assert_int_equal(got.data[i], 'a' + i % 26);
	assert_true(link_idle(p.link));
	buf_free(&got);
	buf_free(&out);
	pair_free(&p);
}

static void give_result(struct pair *p, const char *id, size_t parts)
{
	struct buf payload;

	assert_int_equal(call_part(p, id, true, false, "{}"), LINK_GOES_ON);
	buf_init(&payload, 100000);
	for (size_t i = 0; i < parts * PART; i++)
		buf_char(&payload, 'x');
	link_result(p->link, id, "ok", "", &payload);
}

static void equal_results_end_one_after_the_other(void **state)
{
	struct pair p;
	struct buf out;
	struct msg m;
	int of_b = 0;

	(void)state;
	open_session(&p);
	give_result(&p, "c_a", 8);
	give_result(&p, "c_b", 8);
	buf_init(&out, 65536);
	do {
		fetch(&p, &out, &m);
		of_b += strcmp(m.id, "c_b") == 0;
	} while (m.more);
	assert_string_equal(m.id, "c_a");
	/* b got on meanwhile, more slowly. */
	assert_true(of_b > 0 && of_b < 4);
	buf_free(&out);
	pair_free(&p);
}

static void a_long_result_gets_on_among_short_ones(void **state)
{
	struct pair p;
	struct buf out;
	char id[16];
	int shorts = 0, messages = 0;
	struct msg m;

	(void)state;
	open_session(&p);
	give_result(&p, "c_long", 4);
	buf_init(&out, 65536);
	do {
		/* Another short one whenever one is through. */
		while (shorts <= messages / 2) {
			(void)snprintf(id, sizeof id, "c_%d", shorts++);
			give_result(&p, id, 2);
		}
		fetch(&p, &out, &m);
		messages++;
		assert_true(messages < 60);
	} while (m.more || strcmp(m.id, "c_long") != 0);
	buf_free(&out);
	pair_free(&p);
}

static void the_queue_has_a_cap(void **state)
{
	struct pair p;
	struct buf payload, out;
	char id[16];

	(void)state;
	open_session(&p);
	for (int i = 0; i < 100; i++) {
		snprintf(id, sizeof id, "c_%d", i);
		assert_int_equal(call_part(&p, id, true, false, "{}"), LINK_GOES_ON);
	}
	int i = 0;
	for (; link_has_room(p.link); i++) {
		assert_true(i < 100);
		buf_init(&payload, 100000);
		assert_non_null(buf_reserve(&payload, 100000));
		memset(payload.data, ' ', 100000);
		buf_commit(&payload, 100000);
		snprintf(id, sizeof id, "c_%d", i);
		link_result(p.link, id, "ok", "", &payload);
	}
	assert_in_range(i, LINK_QUEUE_MAX / 100000, LINK_QUEUE_MAX / 100000 + 1);
	assert_int_equal(link_snapshot_gone(p.link, "snap_a"), RC_LIMIT);
	/* What is fetched makes room. */
	buf_init(&out, 65536);
	for (int n = 0; n < 200; n++) {
		buf_reset(&out);
		assert_true(next(&p, &out));
	}
	assert_true(link_has_room(p.link));
	assert_int_equal(link_snapshot_gone(p.link, "snap_a"), RC_OK);
	buf_free(&out);
	pair_free(&p);
}

static void wrong_macs_end_the_session(void **state)
{
	struct pair p;

	(void)state;
	/* A payload changed on the way. */
	open_session(&p);
	put_call(&p, "c_1", true, false, 1, "{\"id\":1}");
	p.wire.data[p.wire.len - 2] ^= 1;
	assert_int_equal(deliver(&p), LINK_BAD_MAC);
	assert_int_equal(p.calls, 0);
	pair_free(&p);

	/* A header changed on the way: another tool. */
	open_session(&p);
	put_call(&p, "c_1", true, false, 1, "{\"id\":1}");
	char *tool = memmem(p.wire.data, p.wire.len, "execute_sql", 11);
	assert_non_null(tool);
	tool[0] = 'E';
	assert_int_equal(deliver(&p), LINK_BAD_MAC);
	pair_free(&p);

	/* Another session's key. */
	open_session(&p);
	crypto_random(p.key, sizeof p.key);
	assert_int_equal(call_part(&p, "c_1", true, false, "{}"), LINK_BAD_MAC);
	pair_free(&p);

	/* None at all. */
	open_session(&p);
	assert_int_equal(
		deliver_text(&p, "{\"t\":\"CALL\",\"id\":\"c_1\",\"method\":\"tools/call\"}\n{}"),
		LINK_BAD_MAC);
	pair_free(&p);
	open_session(&p);
	assert_int_equal(deliver_text(&p, "{\"t\":\"REPLY\",\"id\":\"c_1\"}\n{}"), LINK_BAD_MAC);
	pair_free(&p);
}

static void replayed_and_skipped_numbers_end_the_session(void **state)
{
	struct pair p;

	(void)state;
	open_session(&p);
	assert_int_equal(call_part(&p, "c_1", true, false, "{}"), LINK_GOES_ON);
	put_call(&p, "c_2", true, false, 1, "{}"); /* the right MAC of an old number */
	assert_int_equal(deliver(&p), LINK_BAD_MAC);
	assert_int_equal(p.calls, 1);
	pair_free(&p);

	open_session(&p);
	put_call(&p, "c_1", true, false, 2, "{}");
	assert_int_equal(deliver(&p), LINK_BAD_MAC);
	pair_free(&p);

	open_session(&p);
	put_call(&p, "c_1", true, false, 0, "{}");
	assert_int_equal(deliver(&p), LINK_BAD_MAC);
	pair_free(&p);
}

/* The count goes over CALLs, their parts and REPLYs alike, also over those that are ignored. */
static void replies_and_strays_count(void **state)
{
	struct pair p;

	(void)state;
	open_session(&p);
	msg_begin(&p.wire, MSG_REPLY, "c_9");
	msg_end_mac(&p.wire, 0, p.key, ++p.n, "{}", 2);
	assert_int_equal(deliver(&p), LINK_GOES_ON);
	/* A later part of a call that is not there. */
	assert_int_equal(call_part(&p, "c_9", false, false, "rest"), LINK_GOES_ON);
	assert_int_equal(p.calls, 0);
	assert_int_equal(link_ignored(p.link), 2);
	assert_int_equal(call_part(&p, "c_1", true, false, "{}"), LINK_GOES_ON);
	assert_int_equal(p.calls, 1);
	pair_free(&p);
}

static void put_reply(struct pair *p, const char *id, bool more, const char *text)
{
	buf_reset(&p->wire);
	msg_begin(&p->wire, MSG_REPLY, id);
	if (more)
		msg_put_flag(&p->wire, "more", true);
	msg_end_mac(&p->wire, 0, p->key, ++p->n, text, strlen(text));
}

static void events_go_before_the_result_and_replies_come_back(void **state)
{
	static char text[2 * PART + 10];
	struct pair p;
	struct buf out, payload;
	struct msg m;
	size_t got = 0;

	(void)state;
	memset(text, 'e', sizeof text);
	open_session(&p);
	assert_int_equal(call_part(&p, "c_1", true, false, "{}"), LINK_GOES_ON);
	assert_int_equal(link_event(p.link, "c_2", "{}", 2), RC_NOTFOUND);
	assert_int_equal(link_event(p.link, "c_1", text, sizeof text), RC_OK);
	assert_int_equal(link_event(p.link, "c_1", text, LINK_QUEUE_MAX), RC_LIMIT);
	buf_init(&payload, 100);
	buf_str(&payload, "{}");
	link_result(p.link, "c_1", "ok", "", &payload);
	assert_int_equal(link_event(p.link, "c_1", "{}", 2), RC_NOTFOUND);
	buf_init(&out, 1 << 20);
	for (int part = 0; part < 3; part++) {
		fetch(&p, &out, &m);
		assert_int_equal(m.type, MSG_EVENT);
		assert_string_equal(m.id, "c_1");
		assert_int_equal(m.more, part < 2);
		got += m.payload_len;
	}
	assert_int_equal(got, sizeof text);
	fetch(&p, &out, &m);
	assert_int_equal(m.type, MSG_RESULT);

	assert_int_equal(call_part(&p, "c_3", true, false, "{}"), LINK_GOES_ON);
	put_reply(&p, "c_3", true, "{\"a\"");
	assert_int_equal(deliver(&p), LINK_GOES_ON);
	assert_int_equal(p.replies, 0);
	put_reply(&p, "c_1", false, "{}"); /* of a call that is gone */
	assert_int_equal(deliver(&p), LINK_GOES_ON);
	put_reply(&p, "c_3", false, ":1}");
	assert_int_equal(deliver(&p), LINK_GOES_ON);
	assert_int_equal(p.replies, 1);
	assert_string_equal(p.reply_id, "c_3");
	assert_string_equal(p.request, "{\"a\":1}");
	/* One above the limit for requests is dropped, and the session goes on. */
	for (int i = 0; i < 4; i++) {
		char part[2001];

		memset(part, 'x', 2000);
		part[2000] = '\0';
		put_reply(&p, "c_3", i < 3, part);
		assert_int_equal(deliver(&p), LINK_GOES_ON);
	}
	assert_int_equal(p.replies, 1);
	put_reply(&p, "c_3", true, "never finished");
	assert_int_equal(deliver(&p), LINK_GOES_ON);
	buf_free(&out);
	pair_free(&p);
}

static void cancelling(void **state)
{
	struct pair p;
	struct buf payload, out;
	struct msg m;
	char text[64];

	(void)state;
	open_session(&p);
	buf_init(&out, 65536);

	/* One that runs: the owner is told, and its result still goes out. */
	assert_int_equal(call_part(&p, "c_1", true, false, "{}"), LINK_GOES_ON);
	assert_int_equal(
		deliver_text(&p, "{\"t\":\"CANCEL\",\"id\":\"c_1\",\"reason\":\"client_gone\"}\n"),
		LINK_GOES_ON);
	assert_int_equal(p.cancels, 1);
	assert_string_equal(p.cancel_id, "c_1");
	payload = (struct buf){0};
	link_result(p.link, "c_1", "cancelled", "", &payload);
	fetch(&p, &out, &m);
	assert_int_equal(msg_str(&m, "outcome", text, sizeof text), RC_OK);
	assert_string_equal(text, "cancelled");

	/* One that is still arriving: it ends at once and never reaches the owner. */
	assert_int_equal(call_part(&p, "c_2", true, true, "{"), LINK_GOES_ON);
	assert_int_equal(deliver_text(&p, "{\"t\":\"CANCEL\",\"id\":\"c_2\"}\n"), LINK_GOES_ON);
	fetch(&p, &out, &m);
	assert_string_equal(m.id, "c_2");
	assert_int_equal(call_part(&p, "c_2", false, false, "}"), LINK_GOES_ON);
	assert_int_equal(p.calls, 1);
	assert_int_equal(p.cancels, 1);

	/* One whose result is on its way: the rest of it stays here. */
	assert_int_equal(call_part(&p, "c_3", true, false, "{}"), LINK_GOES_ON);
	buf_init(&payload, 100000);
	for (int i = 0; i < 5 * PART; i++)
		buf_char(&payload, 'x');
	link_result(p.link, "c_3", "ok", "", &payload);
	fetch(&p, &out, &m);
	assert_true(m.more);
	assert_int_equal(deliver_text(&p, "{\"t\":\"CANCEL\",\"id\":\"c_3\"}\n"), LINK_GOES_ON);
	fetch(&p, &out, &m);
	assert_false(m.more);
	assert_int_equal(m.payload_len, 0);
	assert_int_equal(msg_str(&m, "outcome", text, sizeof text), RC_OK);
	assert_string_equal(text, "cancelled");
	assert_true(link_idle(p.link));

	/* One that is gone. */
	assert_int_equal(deliver_text(&p, "{\"t\":\"CANCEL\",\"id\":\"c_3\"}\n"), LINK_GOES_ON);
	buf_free(&out);
	pair_free(&p);
}

static void a_request_over_the_limit_is_refused_whole(void **state)
{
	struct pair p;
	char part[2001];

	(void)state;
	open_session(&p);
	memset(part, ' ', 2000);
	part[2000] = '\0';
	assert_int_equal(call_part(&p, "c_1", true, true, part), LINK_GOES_ON);
	assert_int_equal(call_part(&p, "c_1", false, true, part), LINK_GOES_ON);
	assert_int_equal(
		call_part(&p, "c_1", false, true, part), LINK_GOES_ON); /* 6,000 of 5,000 */
	assert_int_equal(p.calls, 0);
	assert_int_equal(call_part(&p, "c_1", false, false, part), LINK_GOES_ON);
	assert_int_equal(p.calls, 1);
	assert_string_equal(p.refused, "too_large");
	assert_string_equal(p.request, "");
	/* The session goes on. */
	assert_int_equal(call_part(&p, "c_2", true, false, "{}"), LINK_GOES_ON);
	assert_string_equal(p.refused, "");
	pair_free(&p);
}

static void too_many_calls_are_refused_then_end_the_session(void **state)
{
	struct pair p;
	char id[16];
	enum link_end end = LINK_GOES_ON;

	(void)state;
	open_session(&p);
	for (int i = 1; i <= LINK_CALLS_MAX; i++) {
		snprintf(id, sizeof id, "c_%d", i);
		assert_int_equal(call_part(&p, id, true, false, "{}"), LINK_GOES_ON);
		assert_string_equal(p.refused, "");
	}
	assert_int_equal(call_part(&p, "one_more", true, false, "{}"), LINK_GOES_ON);
	assert_string_equal(p.refused, "overloaded");
	for (int i = 0; i < 2 * LINK_CALLS_MAX && end == LINK_GOES_ON; i++) {
		snprintf(id, sizeof id, "d_%d", i);
		end = call_part(&p, id, true, false, "{}");
	}
	assert_int_equal(end, LINK_BAD_MESSAGE);
	pair_free(&p);
}

static void goaway_goes_both_ways(void **state)
{
	struct pair p;
	struct buf out;
	struct msg m;

	(void)state;
	open_session(&p);
	assert_int_equal(
		deliver_text(&p, "{\"t\":\"GOAWAY\",\"retry_after_ms\":2500}\n"), LINK_GOES_ON);
	assert_int_equal(p.goaways, 1);
	assert_int_equal(p.retry_after_ms, 2500);
	assert_int_equal(
		deliver_text(&p, "{\"t\":\"GOAWAY\",\"retry_after_ms\":-1}\n"), LINK_GOES_ON);
	assert_int_equal(p.retry_after_ms, 0);
	assert_int_equal(link_goaway(p.link), RC_OK);
	buf_init(&out, 65536);
	fetch(&p, &out, &m);
	assert_int_equal(m.type, MSG_GOAWAY);
	buf_free(&out);
	pair_free(&p);
}

static void snapshots_and_manifests_go_before_results(void **state)
{
	struct pair p;
	struct buf payload, out;
	struct msg m;
	char text[80], big[2 * PART + 1];

	(void)state;
	pair_init(&p);
	assert_int_equal(
		link_snapshot(p.link, "{}", 2), RC_LIMIT); /* no session, no part size yet */
	assert_int_equal(link_snapshot_gone(p.link, "snap_a"), RC_CONFLICT);
	assert_int_equal(link_goaway(p.link), RC_CONFLICT);
	pair_free(&p);

	open_session(&p);
	assert_int_equal(call_part(&p, "c_1", true, false, "{}"), LINK_GOES_ON);
	payload = (struct buf){0};
	link_result(p.link, "c_1", "ok", "snap_a", &payload);
	assert_int_equal(link_snapshot(p.link, "{\"snapshot_id\":\"snap_a\"}", 24), RC_OK);
	assert_int_equal(link_snapshot_gone(p.link, "snap_b"), RC_OK);
	memset(big, ' ', sizeof big);
	assert_int_equal(link_manifest(p.link, big, sizeof big), RC_OK);

	buf_init(&out, 65536);
	fetch(&p, &out, &m);
	assert_int_equal(m.type, MSG_SNAPSHOT);
	assert_int_equal(m.payload_len, 24);
	fetch(&p, &out, &m);
	assert_int_equal(m.type, MSG_SNAPSHOT_GONE);
	assert_int_equal(msg_str(&m, "snapshot_id", text, sizeof text), RC_OK);
	assert_string_equal(text, "snap_b");
	for (int i = 0; i < 3; i++) {
		fetch(&p, &out, &m);
		assert_int_equal(m.type, MSG_MANIFEST);
		assert_int_equal(m.more, i < 2);
	}
	fetch(&p, &out, &m);
	assert_int_equal(m.type, MSG_RESULT);
	assert_true(link_idle(p.link));
	buf_free(&out);
	pair_free(&p);
}

static void note(struct announce *a, const char *id, bool alive)
{
	announce_note(a, id, alive ? "{}" : NULL, alive ? 2 : 0);
}

/* Sends the news and says what they were: "+" for a SNAPSHOT, "-" and the id's last letter for a
 * SNAPSHOT_GONE. */
static const char *news(struct pair *p, struct announce *a)
{
	static char told[64];
	char id[80];
	struct buf out;
	struct msg m;

	told[0] = '\0';
	announce_send(a, p->link);
	buf_init(&out, 65536);
	while (!link_idle(p->link)) {
		size_t len = strlen(told);
		fetch(p, &out, &m);
		if (m.type == MSG_SNAPSHOT) {
			(void)snprintf(told + len, sizeof told - len, "+");
			continue;
		}
		assert_int_equal(m.type, MSG_SNAPSHOT_GONE);
		assert_int_equal(msg_str(&m, "snapshot_id", id, sizeof id), RC_OK);
		(void)snprintf(told + len, sizeof told - len, "-%c", id[strlen(id) - 1]);
	}
	buf_free(&out);
	return told;
}

static void every_session_hears_of_every_snapshot(void **state)
{
	struct announce *a;
	struct pair p, q;

	(void)state;
	open_session(&p);
	a = announce_new(3, on_wake, &p);
	note(a, "snap_aaaaaaaaaaaaaaaa", true);
	note(a, "snap_bbbbbbbbbbbbbbbb", true);
	assert_int_equal(p.wakes > 0, true);
	assert_string_equal(news(&p, a), "++");
	assert_string_equal(news(&p, a), "");
	/* One that nobody heard of goes as it came; one that is known is taken back, once. */
	note(a, "snap_cccccccccccccccc", true);
	note(a, "snap_cccccccccccccccc", false);
	note(a, "snap_aaaaaaaaaaaaaaaa", false);
	assert_string_equal(news(&p, a), "-a");
	note(a, "snap_aaaaaaaaaaaaaaaa", false);
	assert_string_equal(news(&p, a), "");

	/* What dies between two sessions is told in the second, along with all that lives. */
	note(a, "snap_dddddddddddddddd", true);
	assert_string_equal(news(&p, a), "+");
	note(a, "snap_bbbbbbbbbbbbbbbb", false);
	open_session(&q);
	announce_session(a);
	assert_string_equal(news(&q, a), "-b+");

	/* The bound drops the oldest. */
	for (int c = 'e'; c < 'i'; c++) {
		char id[32] = "snap_";
		memset(id + 5, c, 16);
		note(a, id, true);
	}
	announce_session(a);
	assert_string_equal(news(&q, a), "+++");
	announce_free(a);
	pair_free(&p);
	pair_free(&q);
}

static void garbage_in_a_session_ends_it(void **state)
{
	static const char *const rows[] = {"", "x", "[]\n", "{\"t\":\"CALL\",\"t\":\"CALL\"}\n",
		"{\"t\":\"HELLO_ACK\"}\n", "{\"t\":\"CHALLENGE\"}\n",
		"{\"t\":\"RESULT\",\"id\":\"c\"}\n", "{\"t\":\"CANCEL\",\"id\":\"\"}\n"};
	struct pair p;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		open_session(&p);
		assert_int_equal(deliver_text(&p, rows[i]), LINK_BAD_MESSAGE);
		pair_free(&p);
	}
}

/* Ends the call with this text and follows its parts; adds what the last one vouches for to tally.
 */
static void answer(struct pair *p, const char *id, const char *text, struct audit_tally *tally)
{
	uint8_t said[CRYPTO_HASH_LEN], hash[CRYPTO_HASH_LEN], leaf[CRYPTO_HASH_LEN];
	struct audit_vouched v = {.call_id = id,
		.request_id = "req_1",
		.key_id = "",
		.method = "tools/call",
		.tool = "execute_sql",
		.outcome = "ok",
		.result_sha256 = said};
	struct buf payload, out;
	struct msg m;

	buf_init(&payload, 65536);
	buf_str(&payload, text);
	link_result(p->link, id, "ok", "", &payload);
	buf_init(&out, 65536);
	do
		fetch(p, &out, &m);
	while (m.more);
	assert_int_equal(m.type, MSG_RESULT);
	assert_int_equal(msg_int(&m, "vouch", &v.n), RC_OK);
	assert_int_equal(v.n, tally->rows + 1);
	assert_int_equal(msg_bytes(&m, "sha256", said, sizeof said), RC_OK);
	crypto_sha256(text, strlen(text), hash);
	assert_memory_equal(said, hash, sizeof hash);
	audit_vouch_leaf(&v, leaf);
	audit_tally_add(tally, leaf);
	buf_free(&out);
}

/* The next message vouches for these results with the worker's signature. */
static void expect_vouch(
	struct pair *p, int64_t first, int64_t last, const struct audit_tally *tally)
{
	uint8_t digest[CRYPTO_HASH_LEN], sig[CRYPTO_SIG_LEN];
	struct audit_vouch v = {.worker_id = "w_1", .session_id = "s_1", .digest = digest};
	struct buf out;
	struct msg m;

	buf_init(&out, 65536);
	fetch(p, &out, &m);
	assert_int_equal(m.type, MSG_VOUCH);
	assert_int_equal(msg_int(&m, "first", &v.first), RC_OK);
	assert_int_equal(msg_int(&m, "last", &v.last), RC_OK);
	assert_int_equal(v.first, first);
	assert_int_equal(v.last, last);
	assert_int_equal(msg_bytes(&m, "digest", digest, sizeof digest), RC_OK);
	assert_memory_equal(digest, tally->digest, sizeof digest);
	assert_int_equal(msg_bytes(&m, "sig", sig, sizeof sig), RC_OK);
	assert_true(audit_vouch_good(&v, p->worker.public_key, sig));
	buf_free(&out);
}

static void results_are_vouched_for_after_a_while(void **state)
{
	struct audit_tally tally = {0};
	char text[3 * PART + 1];
	struct pair p;
	bool ping;

	(void)state;
	open_session(&p);
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	assert_int_equal(call_part(&p, "c_1", true, false, "{}"), LINK_GOES_ON);
	answer(&p, "c_1", "{\"answer\":42}", &tally);
	assert_int_equal(link_tick(p.link, MONO + 1000, &ping), LINK_GOES_ON);
	assert_int_equal(call_part(&p, "c_2", true, false, "{}"), LINK_GOES_ON);
	answer(&p, "c_2", text, &tally); /* in several parts */
	assert_int_equal(link_tick(p.link, MONO + 1000 + LINK_VOUCH_MS - 1, &ping), LINK_GOES_ON);
	assert_true(silent(&p));
	assert_int_equal(link_tick(p.link, MONO + 1000 + LINK_VOUCH_MS, &ping), LINK_GOES_ON);
	expect_vouch(&p, 1, 2, &tally);
	assert_int_equal(link_tick(p.link, MONO + 9000, &ping), LINK_GOES_ON);
	assert_true(silent(&p));
	pair_free(&p);
}

static void results_are_vouched_for_when_there_are_many(void **state)
{
	struct audit_tally tally = {0};
	struct pair p;

	(void)state;
	open_session(&p);
	for (int i = 0; i < LINK_VOUCH_RESULTS; i++) {
		assert_true(silent(&p));
		assert_int_equal(call_part(&p, "c_1", true, false, "{}"), LINK_GOES_ON);
		answer(&p, "c_1", "{}", &tally);
	}
	expect_vouch(&p, 1, LINK_VOUCH_RESULTS, &tally);
	pair_free(&p);
}

/* Nobody who leaves in good order leaves a result behind that it has not vouched for. */
static void the_last_results_are_vouched_for_on_leaving(void **state)
{
	struct audit_tally tally = {0}, second = {.rows = 1};
	struct buf out;
	struct msg m;
	struct pair p;

	(void)state;
	open_session(&p);
	assert_int_equal(call_part(&p, "c_1", true, false, "{}"), LINK_GOES_ON);
	answer(&p, "c_1", "{}", &tally);
	assert_int_equal(call_part(&p, "c_2", true, false, "{}"), LINK_GOES_ON);
	assert_int_equal(link_goaway(p.link), RC_OK);
	buf_init(&out, 4096);
	fetch(&p, &out, &m);
	assert_int_equal(m.type, MSG_GOAWAY);
	buf_free(&out);
	assert_true(silent(&p)); /* one call is in hand still */
	second = tally;
	answer(&p, "c_2", "{}", &second);
	assert_false(link_idle(p.link));
	expect_vouch(&p, 1, 2, &second);
	assert_true(link_idle(p.link));
	pair_free(&p);
}

static void silence_is_noticed(void **state)
{
	struct pair p;
	bool ping;

	(void)state;
	pair_init(&p);
	assert_int_equal(link_tick(p.link, MONO + LINK_HANDSHAKE_MS, &ping), LINK_GOES_ON);
	assert_int_equal(link_tick(p.link, MONO + LINK_HANDSHAKE_MS + 1, &ping), LINK_TOO_SLOW);
	pair_free(&p);

	open_session(&p);
	assert_int_equal(link_tick(p.link, MONO + 14999, &ping), LINK_GOES_ON);
	assert_false(ping);
	assert_int_equal(link_tick(p.link, MONO + 15000, &ping), LINK_GOES_ON);
	assert_true(ping);
	assert_int_equal(link_tick(p.link, MONO + 16000, &ping), LINK_GOES_ON);
	assert_false(ping); /* one is on its way */
	assert_int_equal(link_tick(p.link, MONO + 25000, &ping), LINK_GOES_ON);
	assert_int_equal(link_tick(p.link, MONO + 25001, &ping), LINK_SILENT);
	/* A pong is a sign of life, and the next silence is pinged again. */
	link_heard(p.link, MONO + 25001);
	assert_int_equal(link_tick(p.link, MONO + 40001, &ping), LINK_GOES_ON);
	assert_true(ping);
	assert_int_equal(link_tick(p.link, MONO + 50002, &ping), LINK_SILENT);
	pair_free(&p);
}

static void ends_have_words_and_codes(void **state)
{
	(void)state;
	assert_int_equal(link_close_code(LINK_BAD_MAC), 4400);
	assert_int_equal(link_close_code(LINK_SILENT), 4408);
	assert_non_null(strstr(link_end_text(LINK_BAD_MAC), "ATTACK"));
	assert_string_equal(link_end_text(LINK_GOES_ON), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshake_opens_a_session),
		cmocka_unit_test(a_long_manifest_goes_in_parts),
		cmocka_unit_test(an_impostor_learns_nothing),
		cmocka_unit_test(a_false_ack_is_refused),
		cmocka_unit_test(the_handshake_keeps_its_order),
		cmocka_unit_test(a_refusal_is_reported),
		cmocka_unit_test(a_call_and_its_result),
		cmocka_unit_test(parts_of_calls_interleave),
		cmocka_unit_test(results_take_turns_in_parts),
		cmocka_unit_test(equal_results_end_one_after_the_other),
		cmocka_unit_test(a_long_result_gets_on_among_short_ones),
		cmocka_unit_test(the_queue_has_a_cap),
		cmocka_unit_test(wrong_macs_end_the_session),
		cmocka_unit_test(replayed_and_skipped_numbers_end_the_session),
		cmocka_unit_test(replies_and_strays_count),
		cmocka_unit_test(events_go_before_the_result_and_replies_come_back),
		cmocka_unit_test(cancelling),
		cmocka_unit_test(a_request_over_the_limit_is_refused_whole),
		cmocka_unit_test(too_many_calls_are_refused_then_end_the_session),
		cmocka_unit_test(goaway_goes_both_ways),
		cmocka_unit_test(snapshots_and_manifests_go_before_results),
		cmocka_unit_test(every_session_hears_of_every_snapshot),
		cmocka_unit_test(garbage_in_a_session_ends_it),
		cmocka_unit_test(results_are_vouched_for_after_a_while),
		cmocka_unit_test(results_are_vouched_for_when_there_are_many),
		cmocka_unit_test(the_last_results_are_vouched_for_on_leaving),
		cmocka_unit_test(silence_is_noticed),
		cmocka_unit_test(ends_have_words_and_codes),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
