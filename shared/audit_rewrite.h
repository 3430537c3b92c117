/* audit_rewrite: a closed file of the audit log again, smaller: compressed, or without the rows
 * whose retention is over, of which their hashes stay. What is there is checked first: nothing that
 * was changed gets the control plane's seal. The new file is complete under its name, or is not
 * there. */
#ifndef SHARED_AUDIT_REWRITE_H
#define SHARED_AUDIT_REWRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/audit_segments.h"
#include "shared/crypto.h"
#include "shared/rc.h"

#define AUDIT_REWRITE_WHY 320

struct audit_rewrite {
	const struct audit_segment *from;
	const char *to; /* may be the path it has now */
	const char *scratch; /* a name on the same volume for the unfinished file */
	bool compress;
	/* Is this tenant's retention over? NULL: nothing expires. */
	bool (*expired)(void *ctx, const char *tenant_id);
	void *ctx;
	const struct crypto_identity *identity; /* signs the seal */
	int64_t wall_ms; /* now */
};

/* *expired: how many rows have newly expired; with none of them and nothing to compress no file is
 * written. RC_INVALID: the file is not a whole, unchanged part of a log, and why says where.
 * RC_UNAVAILABLE with errno. */
enum rc audit_rewrite(
	const struct audit_rewrite *how, int64_t *expired, char why[AUDIT_REWRITE_WHY]) MUST_CHECK;

#endif
