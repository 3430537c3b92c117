/* audit_chain: what makes the audit log evidence: checkpoint lines, signed with the control plane's
 * key, and the check of a whole log. The check is fed line by line, does no I/O and knows no files:
 * it numbers the lines that it was given. Format: docs/audit-log.md. */
#ifndef SHARED_AUDIT_CHAIN_H
#define SHARED_AUDIT_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/audit.h"
#include "shared/buf.h"
#include "shared/clock.h"
#include "shared/crypto.h"

/* Longer than any line can be. */
#define AUDIT_LINE_MAX 262144
/* The most rows that audit.checkpoint_rows allows between two checkpoints, and the writer's batch
 * that may overshoot it. More without one is a fault, or a log without any signature would pass. */
#define AUDIT_CHECKPOINT_ROWS_MAX 100000
#define AUDIT_CHECKPOINT_SLACK 2048

/* Appends one checkpoint line without its newline. seq is its own, prev the hash of the line before
 * it. */
void audit_checkpoint_line(struct buf *b, const struct crypto_identity *id, int64_t seq,
	int64_t wall_ms, const char prev[AUDIT_HASH_LEN + 1]);
/* Does this line call itself a checkpoint? Its signature is not looked at. */
bool audit_checkpoint_is(const char *line, size_t len);
/* The number of a line and when it was written, if it has the form of a row so far. */
bool audit_line_head(const char *line, size_t len, int64_t *seq, int64_t *wall_ms);

enum audit_fault {
	AUDIT_FAULT_NONE,
	AUDIT_FAULT_NO_ROW, /* not the form of a row at all */
	AUDIT_FAULT_CHANGED, /* the line is not what was written */
	AUDIT_FAULT_MISSING, /* lines are missing before this one */
	AUDIT_FAULT_REORDERED,
	AUDIT_FAULT_REPEATED,
	AUDIT_FAULT_PREV, /* does not continue the line before; which of the two was changed can't
			     be told */
	AUDIT_FAULT_SIGNATURE,
	AUDIT_FAULT_KEY, /* signed with another key than the one that was asked for */
	AUDIT_FAULT_UNSIGNED, /* more rows without a checkpoint than the writer ever leaves */
	AUDIT_FAULT_TORN, /* the last line has no end */
	AUDIT_FAULT_TRUNCATED, /* ends before the row that was expected */
	AUDIT_FAULT_UNEXPECTED, /* the expected row is there with another hash */
};

struct audit_chain_options {
	int64_t first_seq; /* of the first line; 1 unless older segments are kept elsewhere */
	bool have_key; /* else all checkpoints must agree with the first one */
	uint8_t key[CRYPTO_PUBLIC_LEN];
	int64_t expect_seq; /* 0: none */
	uint8_t expect_hash[CRYPTO_HASH_LEN];
};

/* One check. Read-only for others than audit_chain.c. */
struct audit_chain {
	struct audit_chain_options o;
	struct crypto_hasher *hasher;
	int64_t lines; /* fed so far */
	int64_t seq; /* of the last good line */
	uint8_t hash[CRYPTO_HASH_LEN]; /* of the last line */
	int64_t checkpoints;
	int64_t signed_seq; /* up to here a signature vouches; 0: nowhere */
	char signed_ts[CLOCK_TEXT_LEN + 1];

	/* The first fault: what, in which of the lines fed, from 1 on, and a sentence. */
	enum audit_fault fault;
	int64_t fault_line;
	char why[256];

	/* A line that does not fit is judged by the one after it. */
	bool doubt, doubt_prev_fits;
	int64_t doubt_seq;
};

void audit_chain_init(struct audit_chain *c, const struct audit_chain_options *o);
void audit_chain_free(struct audit_chain *c);
/* The next line, without its newline. False as soon as there is a fault: feeding more is useless.
 */
bool audit_chain_line(struct audit_chain *c, const char *line, size_t len);
/* No more lines come; torn says that the last one lacked its newline (it was not fed). False when
 * there is a fault. */
bool audit_chain_end(struct audit_chain *c, bool torn);
/* A short constant word for programs, such as "changed". */
const char *audit_fault_name(enum audit_fault fault);

#endif
