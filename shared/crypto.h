/* crypto: the primitives we use, under our own names. libsodium and OpenSSL are included
 * nowhere else but here, session.c and apikey.c. */
#ifndef SHARED_CRYPTO_H
#define SHARED_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"

#define CRYPTO_SEED_LEN 32
#define CRYPTO_PUBLIC_LEN 32
#define CRYPTO_SECRET_LEN 64 /* libsodium's form: seed and public key */
#define CRYPTO_SIG_LEN 64
#define CRYPTO_NONCE_LEN 32
#define CRYPTO_KEY_LEN 32
#define CRYPTO_HASH_LEN 32
#define CRYPTO_EPHEMERAL_LEN 32

/* Once per process before anything else; exits on failure. Also turns off core dumps and
 * ptrace by others for this process (prctl PR_SET_DUMPABLE). */
void crypto_init(void);
void crypto_random(void *out, size_t len);
/* Constant time for equal lengths; false at once when lengths differ. */
bool crypto_equal(const void *a, size_t a_len, const void *b, size_t b_len);

/* An Ed25519 identity (RFC 8032). Wipe with crypto_identity_wipe(). */
struct crypto_identity {
	uint8_t secret[CRYPTO_SECRET_LEN];
	uint8_t public_key[CRYPTO_PUBLIC_LEN];
};
void crypto_identity_new(struct crypto_identity *out);
void crypto_identity_wipe(struct crypto_identity *id);
/* PEM, PKCS#8 (RFC 5958, 8410). The file appears complete with mode 0600 or not at all.
 * RC_CONFLICT when it exists already: it is never overwritten. */
enum rc crypto_identity_save(const struct crypto_identity *id, const char *path) MUST_CHECK;
/* RC_NOTFOUND when absent; RC_DENIED when readable by group or others; RC_INVALID when it is no
 * Ed25519 key. */
enum rc crypto_identity_load(const char *path, struct crypto_identity *out) MUST_CHECK;
void crypto_identity_sign(
	const struct crypto_identity *id, const void *msg, size_t len, uint8_t sig[CRYPTO_SIG_LEN]);
/* libsodium exports another crypto_sign(): ours needs a symbol of its own, or one would shadow the
 * other at link time. */
#define crypto_sign(id, msg, len, sig) crypto_identity_sign(id, msg, len, sig)
bool crypto_verify(const uint8_t public_key[CRYPTO_PUBLIC_LEN], const void *msg, size_t len,
	const uint8_t sig[CRYPTO_SIG_LEN]);
/* SubjectPublicKeyInfo PEM text, as `openssl pkey -pubout` writes it. */
enum rc crypto_public_pem(
	const uint8_t public_key[CRYPTO_PUBLIC_LEN], char *out, size_t cap) MUST_CHECK;
/* Reads such a file. RC_NOTFOUND, RC_DENIED, RC_UNAVAILABLE; RC_INVALID when it is no Ed25519
 * public key. */
enum rc crypto_public_load(const char *path, uint8_t public_key[CRYPTO_PUBLIC_LEN]) MUST_CHECK;

/* X25519 (RFC 7748) for one handshake. */
struct crypto_ephemeral {
	uint8_t secret[CRYPTO_EPHEMERAL_LEN];
	uint8_t public_key[CRYPTO_EPHEMERAL_LEN];
};
void crypto_ephemeral_new(struct crypto_ephemeral *out);
/* RC_INVALID for a low-order peer key. */
enum rc crypto_agree(const struct crypto_ephemeral *own, const uint8_t peer[CRYPTO_EPHEMERAL_LEN],
	uint8_t shared[CRYPTO_KEY_LEN]) MUST_CHECK;

/* BLAKE2b-256 (RFC 7693), keyed when key is not NULL. */
void crypto_blake2b(const uint8_t *key, size_t key_len, const void *msg, size_t len,
	uint8_t out[CRYPTO_HASH_LEN]);
/* SipHash-2-4: short and quick, for tables in memory under a key of this process alone. */
#define CRYPTO_SHORT_KEY_LEN 16
uint64_t crypto_short_hash(const uint8_t key[CRYPTO_SHORT_KEY_LEN], const void *msg, size_t len);
void crypto_sha256(const void *msg, size_t len, uint8_t out[CRYPTO_HASH_LEN]);
/* SHA-256 for very many messages: the processor's own instructions, and nothing set up anew. One
 * thread at a time. */
struct crypto_hasher;
struct crypto_hasher *crypto_hasher_new(void);
void crypto_hasher_free(struct crypto_hasher *h);
void crypto_hasher_sha256(
	struct crypto_hasher *h, const void *msg, size_t len, uint8_t out[CRYPTO_HASH_LEN]);
/* One message in pieces; a new or ended hasher begins with the next piece. Not to be mixed with the
 * above between pieces. */
void crypto_hasher_add(struct crypto_hasher *h, const void *piece, size_t len);
void crypto_hasher_end(struct crypto_hasher *h, uint8_t out[CRYPTO_HASH_LEN]);
/* HMAC-SHA-256 (RFC 2104), for HS256. */
void crypto_hmac_sha256(
	const void *key, size_t key_len, const void *msg, size_t len, uint8_t out[CRYPTO_HASH_LEN]);

/* "<prefix>_" and random base32 of 10 bytes, such as "req_mfrggzdfmztwq2lk". cap at least prefix
 * + 18. */
void crypto_id(const char *prefix, char *out, size_t cap);
#define CRYPTO_ID_MAX 31

#endif
