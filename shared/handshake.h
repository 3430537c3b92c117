/* handshake: what is signed and checked on both sides of the tunnel's handshake
 * (docs/tunnel-protocol.md). Pure: state in, message in, message out; the caller looks up workers,
 * keeps time and moves bytes. */
#ifndef SHARED_HANDSHAKE_H
#define SHARED_HANDSHAKE_H

#include <stdint.h>

#include "shared/buf.h"
#include "shared/crypto.h"
#include "shared/msg.h"
#include "shared/rc.h"

#define HANDSHAKE_VERSION "1"

#define NACK_TABLE(X)                                                     \
	/* reason, may retrying help */                                   \
	X(UNKNOWN_WORKER, "unknown_worker", false)                        \
	X(BAD_SIGNATURE, "bad_signature", false)                          \
	X(REVOKED, "revoked", false)                                      \
	X(TENANT_SUSPENDED, "tenant_suspended", true)                     \
	X(TENANT_SESSION_CAP_REACHED, "tenant_session_cap_reached", true) \
	X(UNSUPPORTED_VERSION, "unsupported_version", false)              \
	X(CLOCK_OR_NONCE, "clock_or_nonce", true)                         \
	X(BAD_MANIFEST, "bad_manifest", false)                            \
	X(DATABASE_URL_REJECTED, "database_url_rejected", false)          \
	X(DRAINING, "draining", true)
enum nack {
	NACK_NONE, /* accepted */
#define X(name, text, retry) NACK_##name,
	NACK_TABLE(X)
#undef X
		NACK_COUNT
};
const char *nack_reason(enum nack n);
bool nack_may_retry(enum nack n);

/* --- CP side --- */
struct handshake_cp {
	uint8_t nonce[CRYPTO_NONCE_LEN];
	struct crypto_ephemeral eph; /* wiped by handshake_cp_finish() or _wipe() */
};
struct hello { /* what a HELLO claims, before and after it is believed */
	char version[8];
	char worker_id[80];
	char tenant_id[80];
	char agent[64];
	uint8_t nonce[CRYPTO_NONCE_LEN], echo[CRYPTO_NONCE_LEN], eph[CRYPTO_EPHEMERAL_LEN],
		sig[CRYPTO_SIG_LEN];
	int64_t ts; /* UTC ms */
};
/* Fresh nonce and ephemeral key; appends the CHALLENGE. */
void handshake_cp_begin(struct handshake_cp *h, const struct crypto_identity *cp, struct buf *out);
/* Reads a HELLO's header. RC_INVALID: malformed (close as protocol error). */
enum rc handshake_hello_read(const struct msg *m, struct hello *out) MUST_CHECK;
/* Signature, nonce echo, clock and version, given the enrolled key and the complete manifest.
 * NACK_NONE when good. */
enum nack handshake_hello_check(const struct handshake_cp *h, const struct crypto_identity *cp,
	const struct hello *hello, const uint8_t worker_key[CRYPTO_PUBLIC_LEN],
	const uint8_t manifest_hash[CRYPTO_HASH_LEN], int64_t now_ms, int64_t skew_ms);
struct handshake_limits {
	int64_t heartbeat_ms, max_message, part, max_result, max_request;
};
/* Appends HELLO_ACK and gives the session key. RC_INVALID for a low-order peer key. */
enum rc handshake_cp_finish(struct handshake_cp *h, const struct crypto_identity *cp,
	const struct hello *hello, const char *session_id, const struct handshake_limits *limits,
	struct buf *out, uint8_t key[CRYPTO_KEY_LEN]) MUST_CHECK;
void handshake_cp_wipe(struct handshake_cp *h);
void handshake_nack(struct buf *out, enum nack reason, const char *detail);

/* --- worker side --- */
struct handshake_worker {
	uint8_t cp_key[CRYPTO_PUBLIC_LEN]; /* pinned at enrollment */
	uint8_t cp_nonce[CRYPTO_NONCE_LEN], cp_eph[CRYPTO_EPHEMERAL_LEN];
	uint8_t nonce[CRYPTO_NONCE_LEN];
	struct crypto_ephemeral eph;
	char worker_id[80];
};
/* Checks a CHALLENGE: RC_DENIED when the CP's key is not the pinned one or its signature is wrong;
 * RC_INVALID when malformed or without a common version. On RC_OK appends the HELLO (split into
 * parts when the manifest is long). */
enum rc handshake_worker_hello(struct handshake_worker *h, const struct msg *challenge,
	const struct crypto_identity *worker, const char *tenant_id, const char *agent,
	int64_t now_ms, const void *manifest, size_t manifest_len,
	enum rc (*send)(void *ctx, const struct buf *message), void *ctx) MUST_CHECK;
/* Checks HELLO_ACK's signature. RC_DENIED: an impostor. */
enum rc handshake_worker_finish(struct handshake_worker *h, const struct msg *ack,
	char session_id[80], struct handshake_limits *limits,
	uint8_t key[CRYPTO_KEY_LEN]) MUST_CHECK;
void handshake_worker_wipe(struct handshake_worker *h);

#endif
