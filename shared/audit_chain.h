/* audit_chain: the check of a whole audit log, or of a bundle of a part: every line continues the
 * one before, and signatures of the control plane's key vouch for them. It is fed line by line,
 * does no I/O and knows no files: it numbers the lines that it was given. Format:
 * docs/audit-log.md. */
#ifndef SHARED_AUDIT_CHAIN_H
#define SHARED_AUDIT_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/audit_form.h"
#include "shared/audit_stamp.h"
#include "shared/audit_vouches.h"
#include "shared/clock.h"
#include "shared/crypto.h"

/* The most rows that audit.checkpoint_rows allows between two checkpoints, and the writer's batch
 * that may overshoot it. More without one is a fault, or a log without any signature would pass. */
#define AUDIT_CHECKPOINT_ROWS_MAX 100000
#define AUDIT_CHECKPOINT_SLACK 2048

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
	AUDIT_FAULT_DAMAGED, /* the bytes of a compressed file are not what was written */
	AUDIT_FAULT_VOUCH, /* a worker says something else than the rows of its calls */
	AUDIT_FAULT_REMOVED, /* rows were taken out, and it was not the control plane's retention */
};

struct audit_chain_options {
	int64_t first_seq; /* of the first line; 1 unless older segments are kept elsewhere */
	bool have_key; /* else all checkpoints must agree with the first one */
	uint8_t key[CRYPTO_PUBLIC_LEN];
	/* Rows before first_seq may be missing only when a row audit.delete says that they were
	 * deleted. */
	bool deleted_before;
	int64_t expect_seq; /* has to be there with this hash; 0: none */
	uint8_t expect_hash[CRYPTO_HASH_LEN];
	bool chain_only; /* what workers vouch for is not looked at: a part of a log */
};

/* One check. Read-only for others than audit_chain.c. */
struct audit_chain {
	struct audit_chain_options o;
	struct crypto_hasher *hasher;
	int64_t lines; /* fed so far */
	int64_t seq; /* of the last good line */
	uint8_t hash[CRYPTO_HASH_LEN]; /* of the last line */
	int64_t checkpoints;
	int64_t expired, withheld; /* lines of which only the hash is there */
	int64_t signed_seq; /* up to here a signature vouches; 0: nowhere */
	char signed_ts[CLOCK_TEXT_LEN + 1];
	struct audit_vouches *vouches;
	struct audit_vouches_count vouch_counts; /* once the end was reached */

	/* The first fault: what, in which of the lines fed, from 1 on (0: the first line of a
	 * bundle), and a sentence. */
	enum audit_fault fault;
	int64_t fault_line;
	char why[256];

	/* A line that does not fit is judged by the one after it. */
	bool doubt, doubt_prev_fits;
	int64_t doubt_seq;

	/* The file with expired rows that is being read: its seal, where that stands, and what was
	 * found so far. */
	int64_t deleted_seq; /* up to here, says a row audit.delete */
	bool sealed;
	struct audit_seal seal;
	int64_t seal_line, seal_count;
	uint8_t seal_digest[CRYPTO_HASH_LEN];

	/* A bundle: rows may be withheld, and expired ones need no seal, which is about whole
	 * files; instead stamps say what has to be there, and the last one comes behind this row at
	 * least. 0: no bundle. */
	int64_t bundle_last;
	/* The hashes of all lines since the last checkpoint, and which line was the first of them
	 * with nothing but a hash; 0: none. */
	uint8_t (*hashes)[CRYPTO_HASH_LEN];
	int64_t hash_count, left_out_line;
	/* What the next stamp has to say, whether it has to come now, the line of the one before
	 * (0: none), and what that said of its time and of the bundle's end. */
	struct audit_stamper stamper;
	bool stamp_due, stamp_end;
	int64_t stamp_line;
	char stamp_ts[CLOCK_TEXT_LEN + 1];
};

void audit_chain_init(struct audit_chain *c, const struct audit_chain_options *o);
void audit_chain_free(struct audit_chain *c);
/* What is checked is a bundle, and this is its first line (audit_bundle_is()), which is not one of
 * those that are counted: before any other. False as below. */
bool audit_chain_bundle(struct audit_chain *c, const char *line, size_t len);
/* The next line, without its newline. False as soon as there is a fault: feeding more is useless.
 */
bool audit_chain_line(struct audit_chain *c, const char *line, size_t len);
/* The bytes behind the last line can't be made out. Always false. */
bool audit_chain_damaged(struct audit_chain *c);
/* No more lines come; torn says that the last one lacked its newline (it was not fed). False when
 * there is a fault. */
bool audit_chain_end(struct audit_chain *c, bool torn);
/* A short constant word for programs, such as "changed". */
const char *audit_fault_name(enum audit_fault fault);

#endif
