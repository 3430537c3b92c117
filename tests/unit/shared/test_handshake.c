#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/handshake.h"

#define NOW 1764000000000
#define SKEW 300000

/* Made by another implementation (Python's cryptography and hashlib) from docs/tunnel-protocol.md.
 * Seeds: the CP's 01.., the worker's 02..; nonces 11.. and 22..; X25519 secrets 33.. and 44... */
static const char golden_challenge[] =
	"{\"t\":\"CHALLENGE\",\"versions\":[\"1\"],\"nonce\":\"ERERERERERERERERERERERERERERER"
	"ERERERERERERE=\",\"cp_key\":\"iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=\",\"eph\""
	":\"ew1H2TQn+DERYHgcfHM/2J+IlwrvSQ2KoO4ZpMuKGxQ=\",\"sig\":\"nn3AtQwYoXCJDESE2JxfViEi"
	"WgkwqUDN00b/qIPd/EpU68SQkZx+nw4aNMZLHI+4SifxTjRNC5n5+c7DKeVnDw==\"}\n";
static const char golden_hello[] =
	"{\"t\":\"HELLO\",\"version\":\"1\",\"worker_id\":\"w_golden\",\"tenant_id\":\"t_acme"
	"\",\"agent\":\"airlock-worker/0.1.0\",\"nonce\":\"IiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIi"
	"IiIiIiIiI=\",\"echo\":\"ERERERERERERERERERERERERERERERERERERERERERE=\",\"eph\":\"/y7"
	"kVgHsG2cxDHeQQEWFrmlzMe7hwfjPJBlzHB//Pms=\",\"ts\":1764000000000,\"sig\":\"XC1ncKNwZ"
	"0RTQS5BGQR6NqoMgr2vobOZccp9mHRsLIZi4f6EiMjik69i8ebGuvANun0nhBHN+JhuA1QSW5KlAQ==\"}\n";
static const char golden_ack[] =
	"{\"t\":\"HELLO_ACK\",\"session_id\":\"s_golden\",\"heartbeat_ms\":15000,\"max_messag"
	"e\":1056768,\"part\":131072,\"max_result\":16777216,\"max_request\":4194304,\"sig\":"
	"\"mJelcQ52DF6wJ5PaIzn4HAk+vnC1LirE4ZgVqPNdKM0JNR0qBUt3jthddheGoFl4gTDW2fzNU6p5G0UV+m"
	"w1Cg==\"}\n";
static const char golden_call[] =
	"{\"t\":\"CALL\",\"id\":\"c_1\",\"method\":\"ping\",\"n\":7,\"mac\":\"4khbWNQRkMxeQF3"
	"mwmJboQ==\"}\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}";
static const uint8_t cp_public[32] = {0x8a, 0x88, 0xe3, 0xdd, 0x74, 0x09, 0xf1, 0x95, 0xfd, 0x52,
	0xdb, 0x2d, 0x3c, 0xba, 0x5d, 0x72, 0xca, 0x67, 0x09, 0xbf, 0x1d, 0x94, 0x12, 0x1b, 0xf3,
	0x74, 0x88, 0x01, 0xb4, 0x0f, 0x6f, 0x5c};
static const uint8_t worker_public[32] = {0x81, 0x39, 0x77, 0x0e, 0xa8, 0x7d, 0x17, 0x5f, 0x56,
	0xa3, 0x54, 0x66, 0xc3, 0x4c, 0x7e, 0xcc, 0xcb, 0x8d, 0x8a, 0x91, 0xb4, 0xee, 0x37, 0xa2,
	0x5d, 0xf6, 0x0f, 0x5b, 0x8f, 0xc9, 0xb3, 0x94};
static const uint8_t cp_eph_public[32] = {0x7b, 0x0d, 0x47, 0xd9, 0x34, 0x27, 0xf8, 0x31, 0x11,
	0x60, 0x78, 0x1c, 0x7c, 0x73, 0x3f, 0xd8, 0x9f, 0x88, 0x97, 0x0a, 0xef, 0x49, 0x0d, 0x8a,
	0xa0, 0xee, 0x19, 0xa4, 0xcb, 0x8a, 0x1b, 0x14};
static const uint8_t worker_eph_public[32] = {0xff, 0x2e, 0xe4, 0x56, 0x01, 0xec, 0x1b, 0x67, 0x31,
	0x0c, 0x77, 0x90, 0x40, 0x45, 0x85, 0xae, 0x69, 0x73, 0x31, 0xee, 0xe1, 0xc1, 0xf8, 0xcf,
	0x24, 0x19, 0x73, 0x1c, 0x1f, 0xff, 0x3e, 0x6b};
static const uint8_t golden_key[32] = {0xe3, 0x45, 0xcf, 0xc0, 0xf4, 0x00, 0x11, 0x7a, 0x53, 0xfc,
	0x04, 0x13, 0xe8, 0x9a, 0xe6, 0xe9, 0xa8, 0xf8, 0x4e, 0x4c, 0xf8, 0x02, 0xef, 0x8a, 0xad,
	0x91, 0x44, 0xa1, 0x07, 0x2d, 0xe1, 0x06};
static const char manifest[] = "{\"serverInfo\":{\"name\":\"x\",\"version\":\"1\"},\"tools\":[]}";
static const struct handshake_limits golden_limits = {15000, 1056768, 131072, 16777216, 4194304};

static struct crypto_identity identity(uint8_t seed, const uint8_t public_key[32])
{
	struct crypto_identity id;

	memset(id.secret, seed, 32);
	memcpy(id.secret + 32, public_key, 32);
	memcpy(id.public_key, public_key, 32);
	return id;
}

static struct handshake_cp golden_cp(void)
{
	struct handshake_cp h;

	memset(h.nonce, 0x11, sizeof(h.nonce));
	memset(h.eph.secret, 0x33, sizeof(h.eph.secret));
	memcpy(h.eph.public_key, cp_eph_public, 32);
	return h;
}

static struct handshake_worker golden_worker(void)
{
	struct handshake_worker h = {.worker_id = "w_golden"};

	memcpy(h.cp_key, cp_public, 32);
	memset(h.cp_nonce, 0x11, sizeof(h.cp_nonce));
	memcpy(h.cp_eph, cp_eph_public, 32);
	memset(h.nonce, 0x22, sizeof(h.nonce));
	memset(h.eph.secret, 0x44, sizeof(h.eph.secret));
	memcpy(h.eph.public_key, worker_eph_public, 32);
	return h;
}

static enum rc parse(const char *text, struct msg *m)
{
	return msg_parse((const uint8_t *)text, strlen(text), m);
}

static struct msg parsed(const char *text)
{
	struct msg m;

	assert_int_equal(parse(text, &m), RC_OK);
	return m;
}

/* Messages a worker sent, one after the other, and where each ends. */
struct sent {
	struct buf bytes;
	size_t ends[16];
	int count;
	int fail_at;
};

static enum rc keep(void *ctx, const struct buf *message)
{
	struct sent *s = ctx;

	if (s->count == s->fail_at)
		return RC_UNAVAILABLE;
	buf_add(&s->bytes, message->data, message->len);
	s->ends[s->count++] = s->bytes.len;
	return RC_OK;
}

static void sent_init(struct sent *s)
{
	buf_init(&s->bytes, 4 << 20);
	s->count = 0;
	s->fail_at = -1;
}

static enum rc answer_challenge(const char *challenge, struct sent *s)
{
	struct crypto_identity worker = identity(2, worker_public);
	struct handshake_worker h = {.worker_id = "w_golden"};
	struct msg m;
	enum rc rc;

	if (parse(challenge, &m) != RC_OK)
		return RC_INVALID;
	memcpy(h.cp_key, cp_public, 32);
	rc = handshake_worker_hello(&h, &m, &worker, "t_acme", "airlock-worker/0.1.0", NOW,
		manifest, strlen(manifest), keep, s);
	handshake_worker_wipe(&h);
	return rc;
}

static enum nack check_hello(const char *text, int64_t now)
{
	struct crypto_identity cp = identity(1, cp_public);
	struct handshake_cp h = golden_cp();
	uint8_t hash[CRYPTO_HASH_LEN];
	struct hello hello;
	struct msg m;

	if (parse(text, &m) != RC_OK || handshake_hello_read(&m, &hello) != RC_OK)
		return NACK_COUNT;
	crypto_sha256(manifest, strlen(manifest), hash);
	return handshake_hello_check(&h, &cp, &hello, worker_public, hash, now, SKEW);
}

static enum rc accept_ack(const char *text, uint8_t key[CRYPTO_KEY_LEN])
{
	struct handshake_worker h = golden_worker();
	struct handshake_limits limits;
	char session[80];
	struct msg m;
	enum rc rc;

	if (parse(text, &m) != RC_OK)
		return RC_INVALID;
	rc = handshake_worker_finish(&h, &m, session, &limits, key);
	if (rc == RC_OK) {
		assert_string_equal(session, "s_golden");
		assert_memory_equal(&limits, &golden_limits, sizeof(limits));
	}
	return rc;
}

static void golden_messages_are_accepted(void **state)
{
	uint8_t key[CRYPTO_KEY_LEN];
	struct sent s;
	struct msg call;

	(void)state;
	sent_init(&s);
	assert_int_equal(answer_challenge(golden_challenge, &s), RC_OK);
	buf_free(&s.bytes);
	assert_int_equal(check_hello(golden_hello, NOW), NACK_NONE);
	assert_int_equal(accept_ack(golden_ack, key), RC_OK);
	assert_memory_equal(key, golden_key, sizeof(key));
	call = parsed(golden_call);
	assert_true(msg_mac_ok(&call, key, 7));
}

static void golden_messages_are_made(void **state)
{
	struct crypto_identity cp = identity(1, cp_public);
	struct handshake_cp h = golden_cp();
	uint8_t key[CRYPTO_KEY_LEN];
	struct hello hello;
	struct msg m = parsed(golden_hello);
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(handshake_hello_read(&m, &hello), RC_OK);
	assert_int_equal(
		handshake_cp_finish(&h, &cp, &hello, "s_golden", &golden_limits, &out, key), RC_OK);
	assert_int_equal(out.len, strlen(golden_ack));
	assert_memory_equal(out.data, golden_ack, out.len);
	assert_memory_equal(key, golden_key, sizeof(key));
	/* The ephemeral secret is gone. */
	for (size_t i = 0; i < sizeof(h.eph.secret); i++)
		assert_int_equal(h.eph.secret[i], 0);
	buf_reset(&out);
	msg_begin(&out, MSG_CALL, "c_1");
	msg_put_str(&out, "method", "ping");
	msg_end_mac(&out, 0, key, 7, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", 40);
	assert_int_equal(out.len, strlen(golden_call));
	assert_memory_equal(out.data, golden_call, out.len);
	buf_free(&out);
}

/* The bytes that the protocol's page tells to sign, written down by hand. */
static void the_challenge_is_signed_as_documented(void **state)
{
	struct crypto_identity cp = identity(1, cp_public);
	struct handshake_cp h;
	uint8_t sig[CRYPTO_SIG_LEN], eph[32];
	struct buf out, signed_bytes;
	struct msg m;

	(void)state;
	buf_init(&out, 4096);
	buf_init(&signed_bytes, 4096);
	handshake_cp_begin(&h, &cp, &out);
	assert_int_equal(msg_parse(out.data, out.len, &m), RC_OK);
	assert_int_equal(m.type, MSG_CHALLENGE);
	assert_int_equal(msg_bytes(&m, "sig", sig, sizeof(sig)), RC_OK);
	assert_int_equal(msg_bytes(&m, "eph", eph, sizeof(eph)), RC_OK);
	buf_add(&signed_bytes, "airlock.tunnel.v1 challenge\0\0\0\0\x20", 32);
	buf_add(&signed_bytes, h.nonce, 32);
	buf_add(&signed_bytes, "\0\0\0\x20", 4);
	buf_add(&signed_bytes, cp_public, 32);
	buf_add(&signed_bytes, "\0\0\0\x20", 4);
	buf_add(&signed_bytes, eph, 32);
	buf_add(&signed_bytes,
		"\0\0\0\1"
		"1",
		5);
	assert_true(crypto_verify(cp_public, signed_bytes.data, signed_bytes.len, sig));
	handshake_cp_wipe(&h);
	buf_free(&out);
	buf_free(&signed_bytes);
}

static void the_hello_is_signed_as_documented(void **state)
{
	uint8_t sig[CRYPTO_SIG_LEN], bytes[32];
	struct buf signed_bytes;
	struct sent s;
	struct msg m;

	(void)state;
	sent_init(&s);
	assert_int_equal(answer_challenge(golden_challenge, &s), RC_OK);
	assert_int_equal(s.count, 1);
	assert_int_equal(msg_parse(s.bytes.data, s.bytes.len, &m), RC_OK);
	assert_int_equal(m.payload_len, strlen(manifest));
	assert_memory_equal(m.payload, manifest, strlen(manifest));
	buf_init(&signed_bytes, 4096);
	buf_add(&signed_bytes, "airlock.tunnel.v1 hello\0\0\0\0\x20", 28);
	memset(bytes, 0x11, 32);
	buf_add(&signed_bytes, bytes, 32);
	buf_add(&signed_bytes, "\0\0\0\x20", 4);
	buf_add(&signed_bytes, cp_public, 32);
	buf_add(&signed_bytes, "\0\0\0\x20", 4);
	buf_add(&signed_bytes, cp_eph_public, 32);
	buf_add(&signed_bytes,
		"\0\0\0\1"
		"1"
		"\0\0\0\x8w_golden\0\0\0\x6t_acme\0\0\0\x14"
		"airlock-worker/0.1.0",
		51);
	assert_int_equal(msg_bytes(&m, "nonce", bytes, 32), RC_OK);
	buf_add(&signed_bytes, "\0\0\0\x20", 4);
	buf_add(&signed_bytes, bytes, 32);
	assert_int_equal(msg_bytes(&m, "eph", bytes, 32), RC_OK);
	buf_add(&signed_bytes, "\0\0\0\x20", 4);
	buf_add(&signed_bytes, bytes, 32);
	buf_add(&signed_bytes,
		"\0\0\0\xd"
		"1764000000000\0\0\0\x20",
		21);
	crypto_sha256(manifest, strlen(manifest), bytes);
	buf_add(&signed_bytes, bytes, 32);
	assert_int_equal(msg_bytes(&m, "sig", sig, sizeof(sig)), RC_OK);
	assert_true(crypto_verify(worker_public, signed_bytes.data, signed_bytes.len, sig));
	buf_free(&signed_bytes);
	buf_free(&s.bytes);
}

/* One flipped bit anywhere in a message, and it is refused. */
static void every_bit_counts(void **state)
{
	static const char *const messages[] = {golden_challenge, golden_hello, golden_ack};

	(void)state;
	for (int which = 0; which < 3; which++) {
		char *text = strdup(messages[which]);
		size_t len = strlen(text) - 1; /* not the newline */

		for (size_t i = 0; i < len * 8; i++) {
			uint8_t key[CRYPTO_KEY_LEN];
			struct sent s;
			bool accepted;

			text[i / 8] = (char)(text[i / 8] ^ (1 << (i % 8)));
			sent_init(&s);
			accepted = which == 0 ? answer_challenge(text, &s) == RC_OK
				: which == 1  ? check_hello(text, NOW) == NACK_NONE
					      : accept_ack(text, key) == RC_OK;
			buf_free(&s.bytes);
			if (accepted)
				fail_msg("accepted: %s", text);
			text[i / 8] = (char)(text[i / 8] ^ (1 << (i % 8)));
		}
		free(text);
	}
}

static char *replaced(const char *text, const char *old, const char *new)
{
	const char *hit = strstr(text, old);
	size_t before = (size_t)(hit - text);
	char *out;

	assert_non_null(hit);
	out = calloc(1, strlen(text) + strlen(new) + 1);
	memcpy(out, text, before);
	strcpy(out + before, new);
	strcat(out, hit + strlen(old));
	return out;
}

static enum nack nack_with(const char *old, const char *new, int64_t now)
{
	char *text = replaced(golden_hello, old, new);
	enum nack n = check_hello(text, now);

	free(text);
	return n;
}

static void each_nack_has_its_reason(void **state)
{
	struct crypto_identity cp = identity(1, cp_public);
	struct handshake_cp h = golden_cp();
	uint8_t hash[CRYPTO_HASH_LEN];
	struct hello hello;
	struct msg m = parsed(golden_hello);

	(void)state;
	assert_int_equal(
		nack_with("\"version\":\"1\"", "\"version\":\"2\"", NOW), NACK_UNSUPPORTED_VERSION);
	assert_int_equal(nack_with("\"echo\":\"E", "\"echo\":\"F", NOW), NACK_CLOCK_OR_NONCE);
	assert_int_equal(nack_with("w_golden", "w_g0lden", NOW), NACK_BAD_SIGNATURE);
	assert_int_equal(nack_with("t_acme", "t_acne", NOW), NACK_BAD_SIGNATURE);
	assert_int_equal(
		nack_with("\"ts\":1764000000000", "\"ts\":1764000000001", NOW), NACK_BAD_SIGNATURE);
	assert_int_equal(check_hello(golden_hello, NOW + SKEW), NACK_NONE);
	assert_int_equal(check_hello(golden_hello, NOW - SKEW), NACK_NONE);
	assert_int_equal(check_hello(golden_hello, NOW + SKEW + 1), NACK_CLOCK_OR_NONCE);
	assert_int_equal(check_hello(golden_hello, NOW - SKEW - 1), NACK_CLOCK_OR_NONCE);
	/* Another worker's key, another manifest. */
	assert_int_equal(handshake_hello_read(&m, &hello), RC_OK);
	crypto_sha256(manifest, strlen(manifest), hash);
	assert_int_equal(handshake_hello_check(&h, &cp, &hello, cp_public, hash, NOW, SKEW),
		NACK_BAD_SIGNATURE);
	hash[0] ^= 1;
	assert_int_equal(handshake_hello_check(&h, &cp, &hello, worker_public, hash, NOW, SKEW),
		NACK_BAD_SIGNATURE);
}

static void malformed_hellos_are_protocol_errors(void **state)
{
	static const char *const cases[][2] = {
		{"\"version\":\"1\"", "\"version\":1"},
		{"\"version\":\"1\"", "\"version\":\"12345678\""},
		{"\"worker_id\":\"w_golden\"", "\"worker_id\":\"\""},
		{"w_golden", "w golden"},
		{"t_acme", "../etc"},
		{"\"agent\":", "\"agend\":"},
		{"airlock-worker", "airlock\\nworker"},
		{"\"nonce\":\"IiIi", "\"nonce\":\""},
		{"\"ts\":1764000000000", "\"ts\":1764000000000.5"},
		{"\"ts\":1764000000000", "\"ts\":\"1764000000000\""},
		{"\"t\":\"HELLO\"", "\"t\":\"RESULT\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (nack_with(cases[i][0], cases[i][1], NOW) != NACK_COUNT)
			fail_msg("read: %s", cases[i][1]);
}

static void an_impostor_learns_nothing(void **state)
{
	struct crypto_identity stranger;
	struct handshake_cp h;
	struct buf out;
	struct sent s;

	(void)state;
	crypto_identity_new(&stranger);
	buf_init(&out, 4096);
	handshake_cp_begin(&h, &stranger, &out);
	buf_char(&out, '\0');
	sent_init(&s);
	assert_int_equal(answer_challenge((const char *)out.data, &s), RC_DENIED);
	assert_int_equal(s.count, 0);
	handshake_cp_wipe(&h);
	buf_free(&out);
}

static void a_challenge_needs_a_common_version(void **state)
{
	struct crypto_identity cp = identity(1, cp_public);
	struct buf out, signed_bytes;
	uint8_t bytes[32], sig[CRYPTO_SIG_LEN];
	struct sent s;

	(void)state;
	memset(bytes, 0x55, sizeof(bytes));
	buf_init(&signed_bytes, 4096);
	buf_add(&signed_bytes, "airlock.tunnel.v1 challenge\0\0\0\0\x20", 32);
	buf_add(&signed_bytes, bytes, 32);
	buf_add(&signed_bytes, "\0\0\0\x20", 4);
	buf_add(&signed_bytes, cp_public, 32);
	buf_add(&signed_bytes, "\0\0\0\x20", 4);
	buf_add(&signed_bytes, cp_eph_public, 32);
	buf_add(&signed_bytes,
		"\0\0\0\1"
		"2"
		"\0\0\0\1"
		"3",
		10);
	crypto_sign(&cp, signed_bytes.data, signed_bytes.len, sig);
	buf_init(&out, 4096);
	msg_begin(&out, MSG_CHALLENGE, NULL);
	msg_put_json(&out, "versions", "[\"2\",\"3\"]", 9);
	msg_put_bytes(&out, "nonce", bytes, 32);
	msg_put_bytes(&out, "cp_key", cp_public, 32);
	msg_put_bytes(&out, "eph", cp_eph_public, 32);
	msg_put_bytes(&out, "sig", sig, sizeof(sig));
	msg_end(&out, NULL, 0);
	buf_char(&out, '\0');
	sent_init(&s);
	assert_int_equal(answer_challenge((const char *)out.data, &s), RC_INVALID);
	assert_int_equal(s.count, 0);
	buf_free(&out);
	buf_free(&signed_bytes);
}

static enum rc run_whole(size_t manifest_len, int fail_at, uint8_t cp_side[CRYPTO_KEY_LEN],
	uint8_t worker_side[CRYPTO_KEY_LEN])
{
	struct crypto_identity cp, worker;
	struct handshake_cp hc;
	struct handshake_worker hw = {.worker_id = "w_1"};
	struct handshake_limits limits;
	struct hello hello;
	struct buf out, whole;
	struct sent s;
	struct msg m;
	uint8_t hash[CRYPTO_HASH_LEN];
	uint8_t *text = malloc(manifest_len + 1);
	char session[80];
	enum rc rc;

	memset(text, 'm', manifest_len);
	crypto_identity_new(&cp);
	crypto_identity_new(&worker);
	memcpy(hw.cp_key, cp.public_key, 32);
	buf_init(&out, 4096);
	buf_init(&whole, 4 << 20);
	sent_init(&s);
	s.fail_at = fail_at;
	handshake_cp_begin(&hc, &cp, &out);
	assert_int_equal(msg_parse(out.data, out.len, &m), RC_OK);
	rc = handshake_worker_hello(
		&hw, &m, &worker, "t_x", "a/1", NOW, text, manifest_len, keep, &s);
	if (rc != RC_OK)
		goto out;
	assert_int_equal(s.count,
		manifest_len <= MSG_PART_DEFAULT
			? 1
			: (manifest_len + MSG_PART_DEFAULT - 1) / MSG_PART_DEFAULT);
	for (int i = 0; i < s.count; i++) {
		size_t start = i ? s.ends[i - 1] : 0;

		assert_int_equal(msg_parse(s.bytes.data + start, s.ends[i] - start, &m), RC_OK);
		assert_int_equal(m.type, MSG_HELLO);
		assert_int_equal(m.more, i < s.count - 1);
		buf_add(&whole, m.payload, m.payload_len);
		if (i == 0)
			assert_int_equal(handshake_hello_read(&m, &hello), RC_OK);
	}
	assert_int_equal(whole.len, manifest_len);
	crypto_sha256(text, manifest_len, hash);
	assert_int_equal(
		handshake_hello_check(&hc, &cp, &hello, worker.public_key, hash, NOW, SKEW),
		NACK_NONE);
	buf_reset(&out);
	assert_int_equal(
		handshake_cp_finish(&hc, &cp, &hello, "s_1", &golden_limits, &out, cp_side), RC_OK);
	assert_int_equal(msg_parse(out.data, out.len, &m), RC_OK);
	rc = handshake_worker_finish(&hw, &m, session, &limits, worker_side);
	assert_string_equal(session, "s_1");
out:
	handshake_cp_wipe(&hc);
	handshake_worker_wipe(&hw);
	buf_free(&out);
	buf_free(&whole);
	buf_free(&s.bytes);
	free(text);
	return rc;
}

static void both_sides_agree(void **state)
{
	static const size_t lengths[] = {0, 10, MSG_PART_DEFAULT, MSG_PART_DEFAULT + 1, 300000};
	uint8_t a[CRYPTO_KEY_LEN], b[CRYPTO_KEY_LEN], before[CRYPTO_KEY_LEN] = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		assert_int_equal(run_whole(lengths[i], -1, a, b), RC_OK);
		assert_memory_equal(a, b, sizeof(a));
		assert_memory_not_equal(a, before, sizeof(a));
		memcpy(before, a, sizeof(before));
	}
	assert_int_equal(run_whole(300000, 1, a, b), RC_UNAVAILABLE);
}

static void a_low_order_key_is_refused(void **state)
{
	struct crypto_identity cp = identity(1, cp_public);
	struct handshake_cp h = golden_cp();
	uint8_t key[CRYPTO_KEY_LEN];
	struct hello hello;
	struct msg m = parsed(golden_hello);
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(handshake_hello_read(&m, &hello), RC_OK);
	memset(hello.eph, 0, sizeof(hello.eph));
	assert_int_equal(
		handshake_cp_finish(&h, &cp, &hello, "s_golden", &golden_limits, &out, key),
		RC_INVALID);
	assert_int_equal(out.len, 0);
	buf_free(&out);
}

static void limits_must_make_sense(void **state)
{
	static const char *const cases[][2] = {
		{"\"heartbeat_ms\":15000", "\"heartbeat_ms\":0"},
		{"\"part\":131072", "\"part\":1"},
		{"\"part\":131072", "\"part\":9223372036854775807"},
		{"\"max_message\":1056768", "\"max_message\":-9223372036854775808"},
		{"\"max_message\":1056768", "\"max_message\":131072"},
		{"\"max_result\":16777216", "\"max_result\":-1"},
		{"\"max_request\":4194304", "\"max_request\":0"},
		{"\"max_request\":4194304,", ""},
		{"\"session_id\":\"s_golden\"", "\"session_id\":\"a/b\""},
	};
	uint8_t key[CRYPTO_KEY_LEN];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = replaced(golden_ack, cases[i][0], cases[i][1]);

		assert_int_equal(accept_ack(text, key), RC_INVALID);
		free(text);
	}
}

static void nacks_have_their_words(void **state)
{
	static const struct {
		enum nack n;
		const char *reason;
		bool retry;
	} cases[] = {{NACK_UNKNOWN_WORKER, "unknown_worker", false},
		{NACK_BAD_SIGNATURE, "bad_signature", false}, {NACK_REVOKED, "revoked", false},
		{NACK_TENANT_SUSPENDED, "tenant_suspended", true},
		{NACK_TENANT_SESSION_CAP_REACHED, "tenant_session_cap_reached", true},
		{NACK_UNSUPPORTED_VERSION, "unsupported_version", false},
		{NACK_CLOCK_OR_NONCE, "clock_or_nonce", true},
		{NACK_BAD_MANIFEST, "bad_manifest", false},
		{NACK_DATABASE_URL_REJECTED, "database_url_rejected", false},
		{NACK_DRAINING, "draining", true}};
	struct buf out;
	struct msg m;
	char text[64];

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(sizeof(cases) / sizeof(cases[0]), NACK_COUNT - 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&out);
		handshake_nack(&out, cases[i].n, "what to do");
		assert_int_equal(msg_parse(out.data, out.len, &m), RC_OK);
		assert_int_equal(m.type, MSG_HELLO_NACK);
		assert_int_equal(msg_str(&m, "reason", text, sizeof(text)), RC_OK);
		assert_string_equal(text, cases[i].reason);
		assert_int_equal(msg_flag(&m, "retry"), cases[i].retry);
		assert_int_equal(msg_str(&m, "detail", text, sizeof(text)), RC_OK);
		assert_string_equal(text, "what to do");
	}
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_messages_are_accepted),
		cmocka_unit_test(golden_messages_are_made),
		cmocka_unit_test(the_challenge_is_signed_as_documented),
		cmocka_unit_test(the_hello_is_signed_as_documented),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(each_nack_has_its_reason),
		cmocka_unit_test(malformed_hellos_are_protocol_errors),
		cmocka_unit_test(an_impostor_learns_nothing),
		cmocka_unit_test(a_challenge_needs_a_common_version),
		cmocka_unit_test(both_sides_agree),
		cmocka_unit_test(a_low_order_key_is_refused),
		cmocka_unit_test(limits_must_make_sense),
		cmocka_unit_test(nacks_have_their_words),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
