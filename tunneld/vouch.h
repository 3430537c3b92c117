/* vouch: what a session's worker vouches for (docs/tunnel-protocol.md, "Vouching"), as far as the
 * daemon has a say in it: the numbers of its results go on without a gap, each has a row in the
 * audit log, and its signed statements go there too. Whether rows and statements agree is found out
 * by whoever checks the log. Pure. */
#ifndef TUNNELD_VOUCH_H
#define TUNNELD_VOUCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/audit.h"
#include "shared/crypto.h"
#include "shared/msg.h"

/* Results that a worker owes for calls that were ended without it; twice what a worker has in hand.
 */
#define VOUCH_OWED_MAX 2048

struct vouch_owed;
struct vouch {
	uint8_t worker_key[CRYPTO_PUBLIC_LEN];
	int64_t n; /* results that were numbered; 0: this worker does not vouch, or not yet */
	int64_t signed_n; /* up to here there is a signature */
	struct vouch_owed *owed, **owed_last; /* oldest first */
	size_t owed_count;
};

/* All zeros is a good beginning. */
void vouch_free(struct vouch *v);
/* The last part of a RESULT: puts its number and hash into the row. False: it breaks the protocol.
 */
bool vouch_result(struct vouch *v, const struct msg *m, struct audit_record *row);
/* The call of this row was ended while its worker had it: a result is to come that nobody waits
 * for. */
void vouch_owe(struct vouch *v, const struct audit_record *row);
/* That result is there. Fills a row for it, which has to be written when its vouch is set. False:
 * it breaks the protocol. */
bool vouch_late(struct vouch *v, const struct msg *m, struct audit_record *row);
/* A VOUCH: fills in the change of a row for it. False: it breaks the protocol. */
bool vouch_statement(struct vouch *v, const struct msg *m, const char *worker_id,
	const char *session_id, struct audit_record *row);

#endif
