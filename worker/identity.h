/* identity: what a worker keeps in its state directory: its Ed25519 key, its masking secret, what
 * the control plane told it at enrollment, and the lock that lets one process use them at a time.
 */
#ifndef WORKER_IDENTITY_H
#define WORKER_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/crypto.h"
#include "shared/rc.h"
#include "worker/endpoint.h"

#define IDENTITY_MASK_LEN 32

/* What enrollment.json holds. */
struct enrolled {
	char worker_id[80];
	char tenant_id[80];
	char tenant_slug[64];
	uint8_t cp_key[CRYPTO_PUBLIC_LEN]; /* pinned: another control plane is refused */
	uint8_t public_key[CRYPTO_PUBLIC_LEN]; /* the own key that was enrolled */
	char tunnel_url[ENDPOINT_URL_MAX];
	char url[ENDPOINT_URL_MAX]; /* that enrollment was made with */
};

/* Why something failed, for people: complete, with the path and what to do. */
struct identity_error {
	char text[512];
};

/* Makes the directory (0700) and its parents, and locks it for this process: close(*lock_fd) lets
 * go. RC_CONFLICT when another worker process holds it, RC_UNAVAILABLE when it can't be made or
 * written. */
enum rc identity_open_dir(
	const char *state_dir, int *lock_fd, struct identity_error *err) MUST_CHECK;
/* The key. RC_NOTFOUND when there is none yet. */
enum rc identity_load_key(
	const char *state_dir, struct crypto_identity *out, struct identity_error *err) MUST_CHECK;
/* Makes a new key and writes it beside the present one; identity_commit_key() puts it in the
 * present one's place, in one step. */
enum rc identity_stage_key(
	const char *state_dir, struct crypto_identity *out, struct identity_error *err) MUST_CHECK;
enum rc identity_commit_key(const char *state_dir, struct identity_error *err) MUST_CHECK;
/* Loads the masking secret, or makes it. It never changes after, so that the same value always
 * masks to the same hash. */
enum rc identity_mask_secret(const char *state_dir, uint8_t out[IDENTITY_MASK_LEN],
	struct identity_error *err) MUST_CHECK;

/* The masking secret of a tenant that has several workers: what a file that they share holds (32
 * bytes, or 64 hex digits), bound to the tenant. */
enum rc identity_shared_secret(const char *path, const char *tenant_id,
	uint8_t out[IDENTITY_MASK_LEN], struct identity_error *err) MUST_CHECK;
#define IDENTITY_PRINT_LEN 8
/* By which people may see that two workers have the same secret; it does not tell the secret. */
void identity_secret_print(
	const uint8_t secret[IDENTITY_MASK_LEN], char out[IDENTITY_PRINT_LEN + 1]);

/* RC_NOTFOUND when there is none; RC_INVALID when the file is damaged. */
enum rc identity_load_enrolled(
	const char *state_dir, struct enrolled *out, struct identity_error *err) MUST_CHECK;
enum rc identity_save_enrolled(
	const char *state_dir, const struct enrolled *e, struct identity_error *err) MUST_CHECK;
/* The file's text and back. Pure. */
void identity_enrolled_json(const struct enrolled *e, struct buf *out);
enum rc identity_enrolled_parse(const char *text, size_t len, struct enrolled *out) MUST_CHECK;

#endif
