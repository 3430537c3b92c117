/* audit_vouch: a worker's word for the calls that it answered (docs/tunnel-protocol.md,
 * "Vouching"). It numbers the results of a session and signs, many at a time, a hash over what they
 * were; the audit log has the same facts in its rows, and so each side can be held to what it said.
 * Pure. */
#ifndef SHARED_AUDIT_VOUCH_H
#define SHARED_AUDIT_VOUCH_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/audit_form.h"
#include "shared/crypto.h"

/* Results that one signature may cover; a worker of ours signs after fewer. */
#define AUDIT_VOUCH_MAX 4096

/* What is vouched for; the texts are as in the CALL, "" where it had none. Borrowed. */
struct audit_vouched {
	int64_t n; /* which result of its session, from 1 on */
	const char *call_id, *request_id, *key_id, *method, *tool, *outcome;
	const uint8_t *result_sha256; /* CRYPTO_HASH_LEN bytes */
};
void audit_vouch_leaf(const struct audit_vouched *v, uint8_t leaf[CRYPTO_HASH_LEN]);

/* The signed statement about results first to last of a session: an audit_tally of their leaves. */
struct audit_vouch {
	const char *worker_id, *session_id;
	int64_t first, last;
	const uint8_t *digest;
};
void audit_vouch_sign(const struct audit_vouch *v, const struct crypto_identity *worker,
	uint8_t sig[CRYPTO_SIG_LEN]);
bool audit_vouch_good(const struct audit_vouch *v, const uint8_t key[CRYPTO_PUBLIC_LEN],
	const uint8_t sig[CRYPTO_SIG_LEN]);

#endif
