/* audit_vouches: the check of what workers vouched for, while an audit log is read: the rows of
 * calls against the signed statements (rows of the event worker.vouch) that come behind them. Fed
 * with rows that the chain has found in order; no I/O. */
#ifndef SHARED_AUDIT_VOUCHES_H
#define SHARED_AUDIT_VOUCHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct audit_vouches_count {
	int64_t vouched; /* results that a worker's signature covers, and that are as it says */
	int64_t unsigned_results; /* numbered by a worker whose signature never came: its connection
				     was lost */
	int64_t unknown; /* can't be told: rows around them have expired, or are not in these files
			  */
	int64_t workers; /* whose signatures were checked */
	int64_t unenrolled; /* of them: whose enrollment is not in the log, so that the key is only
			       what the log says everywhere */
};

/* What does not hold. */
struct audit_vouches_fault {
	int64_t line; /* as the caller numbers them */
	char why[256];
};

struct audit_vouches;
/* whole: the log is read from its first row on. */
struct audit_vouches *audit_vouches_new(bool whole);
void audit_vouches_free(struct audit_vouches *v);
/* The next row. left_out: of how many rows so far only the hash was there. False: *fault says what
 * is wrong. */
bool audit_vouches_row(struct audit_vouches *v, const char *line, size_t len, int64_t number,
	int64_t left_out, struct audit_vouches_fault *fault);
/* No more rows come. */
bool audit_vouches_end(struct audit_vouches *v, struct audit_vouches_fault *fault);
const struct audit_vouches_count *audit_vouches_counts(const struct audit_vouches *v);

#endif
