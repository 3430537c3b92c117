#include "shared/crypto.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/file.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"

/* Only now, and without our macro: see crypto.h. */
#undef crypto_sign
#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>

#define PEM_MAX 4096
#define PKCS8_LEN (16 + CRYPTO_SEED_LEN)
#define SPKI_LEN (12 + CRYPTO_PUBLIC_LEN)

/* LeakSanitizer attaches to the process with ptrace: leave that open where it is built in. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(UNDER_ASAN)
#define UNDER_ASAN 1
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

void crypto_init(void)
{
	const struct rlimit none = {0, 0};

	/* Seeded by the kernel, then generated in the process and per thread, since every request
	 * and call draws ids; a child seeds itself anew, so that it never repeats its parent. */
	if (randombytes_set_implementation(&randombytes_internal_implementation) != 0 ||
		sodium_init() < 0 || pthread_atfork(NULL, NULL, randombytes_stir) != 0)
		die("libsodium can't be initialised");
	if (setrlimit(RLIMIT_CORE, &none) != 0)
		die("core dumps can't be turned off");
	if (!UNDER_ASAN && prctl(PR_SET_DUMPABLE, 0) != 0)
		die("PR_SET_DUMPABLE can't be cleared");
}

void crypto_random(void *out, size_t len)
{
	randombytes_buf(out, len);
}

bool crypto_equal(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && sodium_memcmp(a, b, a_len) == 0;
}

void crypto_identity_new(struct crypto_identity *out)
{
	crypto_sign_keypair(out->public_key, out->secret);
}

void crypto_identity_wipe(struct crypto_identity *id)
{
	mem_wipe(id, sizeof(*id));
}

/* PrivateKeyInfo up to the seed: version 0, id-Ed25519 (1.3.101.112), OCTET STRING in an OCTET
 * STRING. */
static const uint8_t pkcs8_head[16] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b,
	0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
#define PKCS8_VERSION_AT 4

enum rc crypto_identity_save(const struct crypto_identity *id, const char *path)
{
	uint8_t der[PKCS8_LEN];
	char b64[TEXT_B64_LEN(PKCS8_LEN) + 1];
	char pem[sizeof(b64) + 64];

	memcpy(der, pkcs8_head, sizeof(pkcs8_head));
	memcpy(der + sizeof(pkcs8_head), id->secret, CRYPTO_SEED_LEN);
	text_b64(der, sizeof(der), b64);
	int n = snprintf(pem, sizeof(pem),
		"-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n", b64);
	enum rc rc = file_write_new(path, pem, (size_t)n, 0600);
	mem_wipe(der, sizeof(der));
	mem_wipe(b64, sizeof(b64));
	mem_wipe(pem, sizeof(pem));
	return rc;
}

/* The base64 between two PEM lines, without white space. */
static enum rc pem_body(
	const char *pem, const char *begin, const char *end, char *b64, size_t cap, size_t *len)
{
	const char *p = strstr(pem, begin);
	const char *stop = p ? strstr(p, end) : NULL;
	size_t n = 0;

	if (!stop)
		return RC_INVALID;
	for (p += strlen(begin); p < stop; p++) {
		if (*p == '\n' || *p == '\r' || *p == ' ' || *p == '\t')
			continue;
		if (n == cap)
			return RC_INVALID;
		b64[n++] = *p;
	}
	*len = n;
	return RC_OK;
}

/* The seed in PrivateKeyInfo (version 0) or OneAsymmetricKey (version 1, which may carry the public
 * key behind the seed). */
static const uint8_t *pkcs8_seed(const uint8_t *der, size_t len)
{
	if (len < PKCS8_LEN || der[0] != pkcs8_head[0] || der[1] != len - 2 || len > 127 + 2)
		return NULL;
	if (memcmp(der + 2, pkcs8_head + 2, PKCS8_VERSION_AT - 2) != 0 || der[PKCS8_VERSION_AT] > 1)
		return NULL;
	if (memcmp(der + PKCS8_VERSION_AT + 1, pkcs8_head + PKCS8_VERSION_AT + 1,
		    sizeof(pkcs8_head) - PKCS8_VERSION_AT - 1) != 0)
		return NULL;
	if (der[PKCS8_VERSION_AT] == 0 && len != PKCS8_LEN)
		return NULL;
	return der + sizeof(pkcs8_head);
}

static enum rc identity_parse(const char *pem, struct crypto_identity *out)
{
	char b64[256];
	uint8_t der[192];
	size_t b64_len;
	size_t der_len;
	const uint8_t *seed = NULL;

	if (pem_body(pem, "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", b64,
		    sizeof(b64), &b64_len) == RC_OK &&
		text_unb64(b64, b64_len, der, sizeof(der), &der_len) == RC_OK)
		seed = pkcs8_seed(der, der_len);
	if (seed)
		crypto_sign_seed_keypair(out->public_key, out->secret, seed);
	mem_wipe(b64, sizeof(b64));
	mem_wipe(der, sizeof(der));
	return seed ? RC_OK : RC_INVALID;
}

enum rc crypto_identity_load(const char *path, struct crypto_identity *out)
{
	struct stat st;
	char *pem;
	size_t len;

	enum rc rc = file_read(path, PEM_MAX, &pem, &len);
	if (rc != RC_OK)
		return rc == RC_LIMIT ? RC_INVALID : rc;
	if (stat(path, &st) != 0)
		rc = RC_UNAVAILABLE;
	else if (st.st_mode & 077)
		rc = RC_DENIED;
	else
		rc = identity_parse(pem, out);
	mem_wipe(pem, len);
	free(pem);
	return rc;
}

void crypto_identity_sign(
	const struct crypto_identity *id, const void *msg, size_t len, uint8_t sig[CRYPTO_SIG_LEN])
{
	crypto_sign_detached(sig, NULL, msg, len, id->secret);
}

bool crypto_verify(const uint8_t public_key[CRYPTO_PUBLIC_LEN], const void *msg, size_t len,
	const uint8_t sig[CRYPTO_SIG_LEN])
{
	return crypto_sign_verify_detached(sig, msg, len, public_key) == 0;
}

static const uint8_t spki_head[SPKI_LEN - CRYPTO_PUBLIC_LEN] = {
	0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

enum rc crypto_public_load(const char *path, uint8_t public_key[CRYPTO_PUBLIC_LEN])
{
	char b64[256], *pem;
	uint8_t der[192];
	size_t len, b64_len, der_len;
	enum rc rc = file_read(path, PEM_MAX, &pem, &len);

	if (rc != RC_OK)
		return rc == RC_LIMIT ? RC_INVALID : rc;
	if (pem_body(pem, "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----", b64,
		    sizeof(b64), &b64_len) == RC_OK &&
		text_unb64(b64, b64_len, der, sizeof(der), &der_len) == RC_OK &&
		der_len == SPKI_LEN && memcmp(der, spki_head, sizeof(spki_head)) == 0)
		memcpy(public_key, der + sizeof(spki_head), CRYPTO_PUBLIC_LEN);
	else
		rc = RC_INVALID;
	free(pem);
	return rc;
}

enum rc crypto_public_pem(const uint8_t public_key[CRYPTO_PUBLIC_LEN], char *out, size_t cap)
{
	uint8_t der[SPKI_LEN];
	char b64[TEXT_B64_LEN(SPKI_LEN) + 1];

	memcpy(der, spki_head, sizeof(spki_head));
	memcpy(der + sizeof(spki_head), public_key, CRYPTO_PUBLIC_LEN);
	text_b64(der, sizeof(der), b64);
	int n = snprintf(
		out, cap, "-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n", b64);
	return n > 0 && (size_t)n < cap ? RC_OK : RC_LIMIT;
}

void crypto_ephemeral_new(struct crypto_ephemeral *out)
{
	crypto_random(out->secret, sizeof(out->secret));
	crypto_scalarmult_base(out->public_key, out->secret);
}

enum rc crypto_agree(const struct crypto_ephemeral *own, const uint8_t peer[CRYPTO_EPHEMERAL_LEN],
	uint8_t shared[CRYPTO_KEY_LEN])
{
	/* Fails when the result would be all zeros, which a peer forces with a low-order key. */
	return crypto_scalarmult(shared, own->secret, peer) == 0 ? RC_OK : RC_INVALID;
}

uint64_t crypto_short_hash(const uint8_t key[CRYPTO_SHORT_KEY_LEN], const void *msg, size_t len)
{
	uint8_t out[crypto_shorthash_BYTES];
	uint64_t h = 0;

	(void)crypto_shorthash(out, msg, len, key);
	for (size_t i = 0; i < sizeof(out); i++)
		h |= (uint64_t)out[i] << 8 * i;
	return h;
}

void crypto_blake2b(const uint8_t *key, size_t key_len, const void *msg, size_t len,
	uint8_t out[CRYPTO_HASH_LEN])
{
	if (crypto_generichash(out, CRYPTO_HASH_LEN, msg, len, key, key ? key_len : 0) != 0)
		die("crypto_blake2b: a key of %zu bytes", key_len);
}

struct crypto_hasher {
	EVP_MD *md;
	EVP_MD_CTX *ctx;
};

struct crypto_hasher *crypto_hasher_new(void)
{
	struct crypto_hasher *h = xcalloc(1, sizeof(*h));

	h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	h->ctx = EVP_MD_CTX_new();
	if (!h->md || !h->ctx || EVP_DigestInit_ex2(h->ctx, h->md, NULL) != 1)
		die("OpenSSL has no SHA-256");
	return h;
}

void crypto_hasher_free(struct crypto_hasher *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	free(h);
}

void crypto_hasher_sha256(
	struct crypto_hasher *h, const void *msg, size_t len, uint8_t out[CRYPTO_HASH_LEN])
{
	/* Without a digest the context begins anew with the one that it has. */
	if (EVP_DigestInit_ex2(h->ctx, NULL, NULL) != 1 ||
		EVP_DigestUpdate(h->ctx, msg, len) != 1 ||
		EVP_DigestFinal_ex(h->ctx, out, NULL) != 1)
		die("SHA-256 failed");
}

/* Each thread's own; its end frees it. */
static pthread_key_t own_hasher;
static pthread_once_t own_hasher_once = PTHREAD_ONCE_INIT;

static void free_own_hasher(void *h)
{
	crypto_hasher_free(h);
}

static void make_own_hasher(void)
{
	if (pthread_key_create(&own_hasher, free_own_hasher) != 0)
		die("no room for a thread's own data");
}

void crypto_sha256(const void *msg, size_t len, uint8_t out[CRYPTO_HASH_LEN])
{
	struct crypto_hasher *h;

	(void)pthread_once(&own_hasher_once, make_own_hasher);
	h = pthread_getspecific(own_hasher);
	if (!h) {
		h = crypto_hasher_new();
		(void)pthread_setspecific(own_hasher, h);
	}
	crypto_hasher_sha256(h, msg, len, out);
}

void crypto_hasher_add(struct crypto_hasher *h, const void *piece, size_t len)
{
	if (EVP_DigestUpdate(h->ctx, piece, len) != 1)
		die("SHA-256 failed");
}

void crypto_hasher_end(struct crypto_hasher *h, uint8_t out[CRYPTO_HASH_LEN])
{
	if (EVP_DigestFinal_ex(h->ctx, out, NULL) != 1 ||
		EVP_DigestInit_ex2(h->ctx, NULL, NULL) != 1)
		die("SHA-256 failed");
}

void crypto_hmac_sha256(
	const void *key, size_t key_len, const void *msg, size_t len, uint8_t out[CRYPTO_HASH_LEN])
{
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, key, key_len);
	crypto_auth_hmacsha256_update(&state, msg, len);
	crypto_auth_hmacsha256_final(&state, out);
	mem_wipe(&state, sizeof(state));
}

void crypto_id(const char *prefix, char *out, size_t cap)
{
	uint8_t random[10];
	char b32[TEXT_B32_LEN(sizeof(random)) + 1];

	crypto_random(random, sizeof(random));
	text_b32(random, sizeof(random), b32);
	int n = snprintf(out, cap, "%s_%s", prefix, b32);
	if (n < 0 || (size_t)n >= cap)
		die("crypto_id: %zu bytes are too few for %s", cap, prefix);
}
