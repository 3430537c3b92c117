/* audit_form: the lines of the audit log that have exactly one spelling, written and read:
 * checkpoints, the seal over expired rows, the stamps of a bundle, and lines that keep nothing of a
 * row but its hash. And what all lines have in common, found without a parser. Pure. Format:
 * docs/audit-log.md. */
#ifndef SHARED_AUDIT_FORM_H
#define SHARED_AUDIT_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/audit.h"
#include "shared/buf.h"
#include "shared/clock.h"
#include "shared/crypto.h"

/* Longer than any line can be. */
#define AUDIT_LINE_MAX 262144

enum audit_form_kind {
	AUDIT_FORM_ROW,
	AUDIT_FORM_CHECKPOINT,
	AUDIT_FORM_EXPIRED, /* its retention is over: the hash alone is left */
	AUDIT_FORM_WITHHELD, /* in a bundle: not part of what was asked for */
	AUDIT_FORM_SEAL, /* stands before the first line of a file with expired rows; has no number
			    of its own: seq is that of the row behind it */
	AUDIT_FORM_STAMP, /* in a bundle, behind a checkpoint; seq is that one's */
};

/* What the chain needs of a line; everything else is covered by its hash. */
struct audit_form {
	enum audit_form_kind kind;
	int64_t seq;
	uint8_t prev[CRYPTO_HASH_LEN];
	uint8_t hash[CRYPTO_HASH_LEN]; /* EXPIRED and WITHHELD: of the line that was there */
};
/* False: the line, given without its newline, has not the form of a line of the log. */
bool audit_form_read(const char *line, size_t len, struct audit_form *out);
/* The number of a line and when it was written, if it has the form of a row so far. Not for lines
 * without a time (EXPIRED, WITHHELD). */
bool audit_line_head(const char *line, size_t len, int64_t *seq, int64_t *wall_ms);
/* Does this line call itself a checkpoint? Its signature is not looked at. */
bool audit_checkpoint_is(const char *line, size_t len);

/* The hashes of some lines in a row, as one: with it a checkpoint vouches for each of them even
 * where others are withheld. {0} before the first. */
struct audit_tally {
	int64_t rows;
	uint8_t digest[CRYPTO_HASH_LEN];
};
void audit_tally_add(struct audit_tally *t, const uint8_t hash[CRYPTO_HASH_LEN]);

/* Appends one checkpoint line without its newline. seq is its own, prev the hash of the line before
 * it, tally of the lines up to that one since the checkpoint before. */
void audit_checkpoint_line(struct buf *b, const struct crypto_identity *id, int64_t seq,
	int64_t wall_ms, const char prev[AUDIT_HASH_LEN + 1], const struct audit_tally *tally);

struct audit_checkpoint {
	int64_t seq;
	char ts[CLOCK_TEXT_LEN + 1];
	char head[AUDIT_HASH_LEN + 1];
	struct audit_tally tally; /* no rows: of an older writer, without one */
	uint8_t key[CRYPTO_PUBLIC_LEN];
	uint8_t sig[CRYPTO_SIG_LEN];
};
/* False: not a checkpoint's one spelling. */
bool audit_checkpoint_read(const char *line, size_t len, struct audit_checkpoint *out);
bool audit_checkpoint_good(const struct audit_checkpoint *p);

/* Appends the line that is left of row seq, without its newline; kind is EXPIRED or WITHHELD. prev
 * and hash: of the line before it and of the line that was there. */
void audit_form_hash_line(struct buf *b, enum audit_form_kind kind, int64_t seq,
	const uint8_t hash[CRYPTO_HASH_LEN], const uint8_t prev[CRYPTO_HASH_LEN]);

/* The control plane's word for it that these rows of one file were taken out by it. */
struct audit_seal {
	int64_t first, last; /* the rows of the file */
	int64_t count; /* how many of them have expired */
	char ts[CLOCK_TEXT_LEN + 1];
	uint8_t digest[CRYPTO_HASH_LEN]; /* audit_seal_digest() over what is left of them, in order
					  */
	uint8_t prev[CRYPTO_HASH_LEN]; /* of the file's first line */
	uint8_t key[CRYPTO_PUBLIC_LEN];
	uint8_t sig[CRYPTO_SIG_LEN];
};
/* Takes one more expired row in; the first time digest is all zeros. */
void audit_seal_digest(uint8_t digest[CRYPTO_HASH_LEN], const struct audit_form *expired);
/* Fills key and sig, and appends the line without its newline. */
void audit_seal_line(struct buf *b, const struct crypto_identity *id, struct audit_seal *s);
bool audit_seal_read(const char *line, size_t len, struct audit_seal *out);
bool audit_seal_good(const struct audit_seal *s);

/* The kinds of the rows between two checkpoints, in order, as runs: r3w996 are three rows in full
 * and 996 that are withheld. Checkpoints are not among them. */
#define AUDIT_STAMP_ROW 'r'
#define AUDIT_STAMP_WITHHELD 'w'
#define AUDIT_STAMP_EXPIRED 'x'
/* Two characters for each of as many rows as there can be between two checkpoints. */
#define AUDIT_RUNS_MAX 204800

/* The control plane's word for all bytes of a bundle up to here (shared/audit_stamp.h). */
struct audit_stamp {
	int64_t from; /* the bundle's first row */
	int64_t seq; /* its last one so far, a checkpoint */
	int64_t lines; /* of the bundle before this one */
	char ts[CLOCK_TEXT_LEN + 1];
	bool end; /* nothing comes behind it */
	const char *runs; /* borrowed, without a NUL; of the rows since the stamp before */
	size_t runs_len;
	uint8_t runs_hash[CRYPTO_HASH_LEN];
	uint8_t header[CRYPTO_HASH_LEN]; /* of the bundle's first line */
	uint8_t digest[CRYPTO_HASH_LEN]; /* of the digest of the stamp before (zeros: none) and
					    all bytes from that one's line on, or from the first
					    line on, up to this line */
	uint8_t prev[CRYPTO_HASH_LEN]; /* of the checkpoint's line */
	uint8_t key[CRYPTO_PUBLIC_LEN];
	uint8_t sig[CRYPTO_SIG_LEN];
};
/* Fills key and sig; of the runs their hash is enough. */
void audit_stamp_sign(const struct crypto_identity *id, struct audit_stamp *s);
/* Appends the line without its newline. */
void audit_stamp_line(struct buf *b, const struct audit_stamp *s);
/* out->runs points into line. */
bool audit_stamp_read(const char *line, size_t len, struct audit_stamp *out);
bool audit_stamp_good(const struct audit_stamp *s);

#endif
