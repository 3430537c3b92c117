/* audit_verify: the check of an audit log that is in files, at the speed of the disk: one pass,
 * large reads, no copy of a line. Plain and compressed files, and bundles. What a good log is, is
 * shared/audit_chain's business. */
#ifndef CLI_AUDIT_VERIFY_H
#define CLI_AUDIT_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/audit_files.h"
#include "shared/audit_chain.h"
#include "shared/buf.h"
#include "shared/rc.h"

struct audit_verify {
	struct audit_chain
		chain; /* audit_chain_free()d already; the numbers and the sentence stay */
	int64_t bytes; /* before they were compressed */
	bool bundle; /* the first file is one: the rest of the log is not in it */
	bool newest; /* of a log that has more files before those that were looked at */
	/* Where the fault is; file is one of the paths that were given, or of the log's files. */
	const char *file;
	int64_t line;
};

/* Checks the files as one log, in their order; at least one. RC_OK: they were read, and
 * out->chain.fault says whether they are good. Otherwise errno and out->file say which can't be
 * read. */
enum rc audit_verify(const char *const *paths, size_t count, const struct audit_chain_options *o,
	struct audit_verify *out) MUST_CHECK;
/* How much of a log: all from its oldest file on; or what its end has, as far back as the newest
 * checkpoint's file; or from row o->first_seq on, which begins the oldest file. */
enum audit_verify_part { AUDIT_VERIFY_WHOLE, AUDIT_VERIFY_NEWEST, AUDIT_VERIFY_FROM };
/* Checks the log at path as it is now, also while it is written: what is found to be a fault is one
 * still when it is looked at once more. f gets its files, for the caller to close in any case.
 * Results as above; RC_NOTFOUND: there is no file of it. */
enum rc audit_verify_log(const char *path, enum audit_verify_part part,
	const struct audit_chain_options *o, struct audit_files *f,
	struct audit_verify *out) MUST_CHECK;
/* Of what was found good: is it proved that nothing was cut off its end? */
bool audit_verify_end_proved(const struct audit_verify *v);
/* Of what was found good: one line, without its newline, that says what that proves, and what it
 * does not. */
void audit_verify_proof(const struct audit_verify *v, struct buf *out);

#endif
