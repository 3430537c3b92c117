#include "shared/handshake.h"

#include <stdio.h>
#include <string.h>

#include "shared/mem.h"
#include "shared/text.h"

#define VERSIONS_MAX 16
#define PART_MIN 1024

#define X(name, text, retry) text,
static const char *const nack_reasons[] = {"", NACK_TABLE(X)};
#undef X
#define X(name, text, retry) retry,
static const bool nack_retries[] = {false, NACK_TABLE(X)};
#undef X

const char *nack_reason(enum nack n)
{
	return (unsigned)n < NACK_COUNT ? nack_reasons[n] : "";
}

bool nack_may_retry(enum nack n)
{
	return (unsigned)n < NACK_COUNT && nack_retries[n];
}

/* --- transcripts ---------------------------------------------------------------- */

/* What a signature covers: the label, a zero byte, then each field behind its 4-byte big-endian
 * length. All fields are bounded before they come here, so that the space suffices; should it not,
 * nothing verifies. */
struct transcript {
	uint8_t bytes[2048];
	size_t len;
	bool overflow;
};

static void transcript_begin(struct transcript *t, const char *label)
{
	t->len = strlen(label) + 1;
	t->overflow = false;
	memcpy(t->bytes, label, t->len);
}

static void add_field(struct transcript *t, const void *bytes, size_t len)
{
	if (t->overflow || len + 4 > sizeof(t->bytes) - t->len) {
		t->overflow = true;
		return;
	}
	t->bytes[t->len++] = 0;
	t->bytes[t->len++] = 0;
	t->bytes[t->len++] = (uint8_t)(len >> 8);
	t->bytes[t->len++] = (uint8_t)len;
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
}

static void add_text(struct transcript *t, const char *s)
{
	add_field(t, s, strlen(s));
}

static void add_number(struct transcript *t, int64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%lld", (long long)n);
	add_text(t, text);
}

static void sign(
	const struct transcript *t, const struct crypto_identity *id, uint8_t sig[CRYPTO_SIG_LEN])
{
	memset(sig, 0, CRYPTO_SIG_LEN);
	if (!t->overflow)
		crypto_sign(id, t->bytes, t->len, sig);
}

static bool verify(const struct transcript *t, const uint8_t key[CRYPTO_PUBLIC_LEN],
	const uint8_t sig[CRYPTO_SIG_LEN])
{
	return !t->overflow && crypto_verify(key, t->bytes, t->len, sig);
}

static void challenge_transcript(struct transcript *t, const uint8_t nonce[CRYPTO_NONCE_LEN],
	const uint8_t cp_key[CRYPTO_PUBLIC_LEN], const uint8_t eph[CRYPTO_EPHEMERAL_LEN])
{
	transcript_begin(t, MSG_SUBPROTOCOL " challenge");
	add_field(t, nonce, CRYPTO_NONCE_LEN);
	add_field(t, cp_key, CRYPTO_PUBLIC_LEN);
	add_field(t, eph, CRYPTO_EPHEMERAL_LEN);
}

static void hello_transcript(struct transcript *t, const uint8_t cp_nonce[CRYPTO_NONCE_LEN],
	const uint8_t cp_key[CRYPTO_PUBLIC_LEN], const uint8_t cp_eph[CRYPTO_EPHEMERAL_LEN],
	const struct hello *hello, const uint8_t manifest_hash[CRYPTO_HASH_LEN])
{
	transcript_begin(t, MSG_SUBPROTOCOL " hello");
	add_field(t, cp_nonce, CRYPTO_NONCE_LEN);
	add_field(t, cp_key, CRYPTO_PUBLIC_LEN);
	add_field(t, cp_eph, CRYPTO_EPHEMERAL_LEN);
	add_text(t, hello->version);
	add_text(t, hello->worker_id);
	add_text(t, hello->tenant_id);
	add_text(t, hello->agent);
	add_field(t, hello->nonce, CRYPTO_NONCE_LEN);
	add_field(t, hello->eph, CRYPTO_EPHEMERAL_LEN);
	add_number(t, hello->ts);
	add_field(t, manifest_hash, CRYPTO_HASH_LEN);
}

/* What the two sides call each other's things, when both need the same transcript. */
struct session_facts {
	const uint8_t *worker_nonce, *cp_nonce, *worker_eph, *cp_eph;
	const char *session_id, *worker_id;
};

static void ack_transcript(
	struct transcript *t, const struct session_facts *f, const struct handshake_limits *l)
{
	transcript_begin(t, MSG_SUBPROTOCOL " ack");
	add_field(t, f->worker_nonce, CRYPTO_NONCE_LEN);
	add_field(t, f->cp_nonce, CRYPTO_NONCE_LEN);
	add_text(t, f->session_id);
	add_text(t, f->worker_id);
	add_field(t, f->worker_eph, CRYPTO_EPHEMERAL_LEN);
	add_field(t, f->cp_eph, CRYPTO_EPHEMERAL_LEN);
	add_number(t, l->heartbeat_ms);
	add_number(t, l->max_message);
	add_number(t, l->part);
	add_number(t, l->max_result);
	add_number(t, l->max_request);
}

static enum rc session_key(const struct crypto_ephemeral *own,
	const uint8_t peer[CRYPTO_EPHEMERAL_LEN], const struct session_facts *f,
	uint8_t key[CRYPTO_KEY_LEN])
{
	struct transcript t;
	uint8_t shared[CRYPTO_KEY_LEN];
	enum rc rc = crypto_agree(own, peer, shared);

	if (rc == RC_OK) {
		transcript_begin(&t, MSG_SUBPROTOCOL " key");
		add_field(&t, f->cp_nonce, CRYPTO_NONCE_LEN);
		add_field(&t, f->worker_nonce, CRYPTO_NONCE_LEN);
		add_text(&t, f->session_id);
		crypto_blake2b(shared, sizeof(shared), t.bytes, t.len, key);
	}
	mem_wipe(shared, sizeof(shared));
	return rc;
}

static bool id_ok(const char *id)
{
	size_t len = text_span(id, "_-");

	return len > 0 && id[len] == '\0';
}

/* --- CP side ----------------------------------------------------------------------- */

void handshake_cp_begin(struct handshake_cp *h, const struct crypto_identity *cp, struct buf *out)
{
	static const char versions[] = "[\"" HANDSHAKE_VERSION "\"]";
	struct transcript t;
	uint8_t sig[CRYPTO_SIG_LEN];

	crypto_random(h->nonce, sizeof(h->nonce));
	crypto_ephemeral_new(&h->eph);
	challenge_transcript(&t, h->nonce, cp->public_key, h->eph.public_key);
	add_text(&t, HANDSHAKE_VERSION);
	sign(&t, cp, sig);
	msg_begin(out, MSG_CHALLENGE, NULL);
	msg_put_json(out, "versions", versions, sizeof(versions) - 1);
	msg_put_bytes(out, "nonce", h->nonce, sizeof(h->nonce));
	msg_put_bytes(out, "cp_key", cp->public_key, sizeof(cp->public_key));
	msg_put_bytes(out, "eph", h->eph.public_key, sizeof(h->eph.public_key));
	msg_put_bytes(out, "sig", sig, sizeof(sig));
	msg_end(out, NULL, 0);
}

enum rc handshake_hello_read(const struct msg *m, struct hello *out)
{
	struct hello h = {0};

	if (m->type != MSG_HELLO || msg_str(m, "version", h.version, sizeof(h.version)) != RC_OK ||
		msg_str(m, "worker_id", h.worker_id, sizeof(h.worker_id)) != RC_OK ||
		msg_str(m, "tenant_id", h.tenant_id, sizeof(h.tenant_id)) != RC_OK ||
		msg_str(m, "agent", h.agent, sizeof(h.agent)) != RC_OK ||
		msg_bytes(m, "nonce", h.nonce, sizeof(h.nonce)) != RC_OK ||
		msg_bytes(m, "echo", h.echo, sizeof(h.echo)) != RC_OK ||
		msg_bytes(m, "eph", h.eph, sizeof(h.eph)) != RC_OK ||
		msg_bytes(m, "sig", h.sig, sizeof(h.sig)) != RC_OK ||
		msg_int(m, "ts", &h.ts) != RC_OK)
		return RC_INVALID;
	if (!id_ok(h.worker_id) || !id_ok(h.tenant_id) ||
		!text_name_ok(h.agent, sizeof(h.agent) - 1))
		return RC_INVALID;
	*out = h;
	return RC_OK;
}

enum nack handshake_hello_check(const struct handshake_cp *h, const struct crypto_identity *cp,
	const struct hello *hello, const uint8_t worker_key[CRYPTO_PUBLIC_LEN],
	const uint8_t manifest_hash[CRYPTO_HASH_LEN], int64_t now_ms, int64_t skew_ms)
{
	struct transcript t;

	if (strcmp(hello->version, HANDSHAKE_VERSION) != 0)
		return NACK_UNSUPPORTED_VERSION;
	/* A stale or replayed HELLO says so by its echo; the signature would fail too, but less
	 * helpfully. */
	if (!crypto_equal(hello->echo, sizeof(hello->echo), h->nonce, sizeof(h->nonce)))
		return NACK_CLOCK_OR_NONCE;
	hello_transcript(&t, h->nonce, cp->public_key, h->eph.public_key, hello, manifest_hash);
	if (!verify(&t, worker_key, hello->sig))
		return NACK_BAD_SIGNATURE;
	if (hello->ts < now_ms - skew_ms || hello->ts > now_ms + skew_ms)
		return NACK_CLOCK_OR_NONCE;
	return NACK_NONE;
}

enum rc handshake_cp_finish(struct handshake_cp *h, const struct crypto_identity *cp,
	const struct hello *hello, const char *session_id, const struct handshake_limits *limits,
	struct buf *out, uint8_t key[CRYPTO_KEY_LEN])
{
	const struct session_facts f = {.worker_nonce = hello->nonce,
		.cp_nonce = h->nonce,
		.worker_eph = hello->eph,
		.cp_eph = h->eph.public_key,
		.session_id = session_id,
		.worker_id = hello->worker_id};
	struct transcript t;
	uint8_t sig[CRYPTO_SIG_LEN];
	enum rc rc = session_key(&h->eph, hello->eph, &f, key);

	if (rc == RC_OK) {
		ack_transcript(&t, &f, limits);
		sign(&t, cp, sig);
		msg_begin(out, MSG_HELLO_ACK, NULL);
		msg_put_str(out, "session_id", session_id);
		msg_put_int(out, "heartbeat_ms", limits->heartbeat_ms);
		msg_put_int(out, "max_message", limits->max_message);
		msg_put_int(out, "part", limits->part);
		msg_put_int(out, "max_result", limits->max_result);
		msg_put_int(out, "max_request", limits->max_request);
		msg_put_bytes(out, "sig", sig, sizeof(sig));
		msg_end(out, NULL, 0);
	}
	handshake_cp_wipe(h);
	return rc;
}

void handshake_cp_wipe(struct handshake_cp *h)
{
	mem_wipe(h, sizeof(*h));
}

void handshake_nack(struct buf *out, enum nack reason, const char *detail)
{
	msg_begin(out, MSG_HELLO_NACK, NULL);
	msg_put_str(out, "reason", nack_reason(reason));
	msg_put_str(out, "detail", detail);
	msg_put_flag(out, "retry", nack_may_retry(reason));
	msg_end(out, NULL, 0);
}

/* --- worker side ---------------------------------------------------------------------- */

/* Adds the versions the CP offers to the transcript. *common: ours is among them. */
static enum rc read_versions(const struct msg *m, struct transcript *t, bool *common)
{
	struct jscan list = msg_field(m, "versions"), key, value;
	struct jscan_iter it = jscan_iter(list);
	char version[8];
	int count = 0;

	*common = false;
	if (list.kind != JSCAN_ARRAY)
		return RC_INVALID;
	while (jscan_next(&it, &key, &value)) {
		if (count++ == VERSIONS_MAX || jscan_str(value, version, sizeof(version)) != RC_OK)
			return RC_INVALID;
		add_text(t, version);
		if (!strcmp(version, HANDSHAKE_VERSION))
			*common = true;
	}
	return RC_OK;
}

static enum rc check_challenge(struct handshake_worker *h, const struct msg *m)
{
	struct transcript t;
	uint8_t cp_key[CRYPTO_PUBLIC_LEN], sig[CRYPTO_SIG_LEN];
	bool common;

	if (m->type != MSG_CHALLENGE || msg_bytes(m, "cp_key", cp_key, sizeof(cp_key)) != RC_OK)
		return RC_INVALID;
	if (!crypto_equal(cp_key, sizeof(cp_key), h->cp_key, sizeof(h->cp_key)))
		return RC_DENIED;
	if (msg_bytes(m, "nonce", h->cp_nonce, sizeof(h->cp_nonce)) != RC_OK ||
		msg_bytes(m, "eph", h->cp_eph, sizeof(h->cp_eph)) != RC_OK ||
		msg_bytes(m, "sig", sig, sizeof(sig)) != RC_OK)
		return RC_INVALID;
	challenge_transcript(&t, h->cp_nonce, h->cp_key, h->cp_eph);
	if (read_versions(m, &t, &common) != RC_OK)
		return RC_INVALID;
	if (!verify(&t, h->cp_key, sig))
		return RC_DENIED;
	return common ? RC_OK : RC_INVALID;
}

static void put_hello(struct buf *b, const struct hello *hello)
{
	msg_put_str(b, "version", hello->version);
	msg_put_str(b, "worker_id", hello->worker_id);
	msg_put_str(b, "tenant_id", hello->tenant_id);
	msg_put_str(b, "agent", hello->agent);
	msg_put_bytes(b, "nonce", hello->nonce, sizeof(hello->nonce));
	msg_put_bytes(b, "echo", hello->echo, sizeof(hello->echo));
	msg_put_bytes(b, "eph", hello->eph, sizeof(hello->eph));
	msg_put_int(b, "ts", hello->ts);
	msg_put_bytes(b, "sig", hello->sig, sizeof(hello->sig));
}

/* The HELLO in as many parts as the manifest needs; the fields are in the first. */
static enum rc send_hello(const struct hello *hello, const uint8_t *manifest, size_t len,
	enum rc (*send)(void *ctx, const struct buf *message), void *ctx)
{
	struct buf b;
	size_t at = 0;
	enum rc rc = RC_OK;

	buf_init(&b, MSG_MAX_DEFAULT);
	do {
		size_t part = len - at < MSG_PART_DEFAULT ? len - at : MSG_PART_DEFAULT;

		buf_reset(&b);
		msg_begin(&b, MSG_HELLO, NULL);
		if (at + part < len)
			msg_put_flag(&b, "more", true);
		if (at == 0)
			put_hello(&b, hello);
		msg_end(&b, manifest + at, part);
		rc = b.failed ? RC_INTERNAL : send(ctx, &b);
		at += part;
	} while (rc == RC_OK && at < len);
	buf_free(&b);
	return rc;
}

enum rc handshake_worker_hello(struct handshake_worker *h, const struct msg *challenge,
	const struct crypto_identity *worker, const char *tenant_id, const char *agent,
	int64_t now_ms, const void *manifest, size_t manifest_len,
	enum rc (*send)(void *ctx, const struct buf *message), void *ctx)
{
	struct hello hello = {.version = HANDSHAKE_VERSION, .ts = now_ms};
	struct transcript t;
	uint8_t manifest_hash[CRYPTO_HASH_LEN];
	enum rc rc = check_challenge(h, challenge);

	if (rc != RC_OK)
		return rc;
	crypto_random(h->nonce, sizeof(h->nonce));
	crypto_ephemeral_new(&h->eph);
	if (!str_copy(hello.worker_id, sizeof(hello.worker_id), h->worker_id) ||
		!str_copy(hello.tenant_id, sizeof(hello.tenant_id), tenant_id) ||
		!str_copy(hello.agent, sizeof(hello.agent), agent))
		return RC_INVALID;
	memcpy(hello.nonce, h->nonce, sizeof(hello.nonce));
	memcpy(hello.echo, h->cp_nonce, sizeof(hello.echo));
	memcpy(hello.eph, h->eph.public_key, sizeof(hello.eph));
	crypto_sha256(manifest, manifest_len, manifest_hash);
	hello_transcript(&t, h->cp_nonce, h->cp_key, h->cp_eph, &hello, manifest_hash);
	sign(&t, worker, hello.sig);
	return send_hello(&hello, manifest, manifest_len, send, ctx);
}

static enum rc read_limits(const struct msg *m, struct handshake_limits *l)
{
	if (msg_int(m, "heartbeat_ms", &l->heartbeat_ms) != RC_OK ||
		msg_int(m, "max_message", &l->max_message) != RC_OK ||
		msg_int(m, "part", &l->part) != RC_OK ||
		msg_int(m, "max_result", &l->max_result) != RC_OK ||
		msg_int(m, "max_request", &l->max_request) != RC_OK)
		return RC_INVALID;
	if (l->heartbeat_ms <= 0 || l->max_result <= 0 || l->max_request <= 0 ||
		l->part < PART_MIN || l->max_message < MSG_HEADER_MAX ||
		l->part > l->max_message - MSG_HEADER_MAX)
		return RC_INVALID;
	return RC_OK;
}

enum rc handshake_worker_finish(struct handshake_worker *h, const struct msg *ack,
	char session_id[80], struct handshake_limits *limits, uint8_t key[CRYPTO_KEY_LEN])
{
	struct session_facts f = {.worker_nonce = h->nonce,
		.cp_nonce = h->cp_nonce,
		.worker_eph = h->eph.public_key,
		.cp_eph = h->cp_eph,
		.worker_id = h->worker_id};
	struct handshake_limits l;
	struct transcript t;
	uint8_t sig[CRYPTO_SIG_LEN];
	char session[80];
	enum rc rc;

	if (ack->type != MSG_HELLO_ACK ||
		msg_str(ack, "session_id", session, sizeof(session)) != RC_OK || !id_ok(session) ||
		msg_bytes(ack, "sig", sig, sizeof(sig)) != RC_OK || read_limits(ack, &l) != RC_OK)
		return RC_INVALID;
	f.session_id = session;
	ack_transcript(&t, &f, &l);
	if (!verify(&t, h->cp_key, sig))
		return RC_DENIED;
	rc = session_key(&h->eph, h->cp_eph, &f, key);
	if (rc != RC_OK)
		return RC_DENIED; /* a signed low-order key comes from nobody honest */
	memcpy(session_id, session, sizeof(session));
	*limits = l;
	mem_wipe(&h->eph, sizeof(h->eph));
	return RC_OK;
}

void handshake_worker_wipe(struct handshake_worker *h)
{
	mem_wipe(h, sizeof(*h));
}
