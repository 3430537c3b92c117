/* audit_bundle: a part of the audit log as one file that a third party can check with the control
 * plane's public key alone (`airlockctl audit verify --file BUNDLE --public-key PEM`). It begins
 * with a line that says what it holds; then come the rows first to last and on to the next
 * checkpoint, whose signature vouches for all of them through the chain. Of a row that was not
 * asked for only the hash is there. Behind each checkpoint a stamp of the control plane signs the
 * bundle itself up to there, and the last one its end. Pure. Format: docs/audit-log.md.
 *
 * To make one: audit_bundle_begin(), then audit_bundle_line() with every line of the log from row
 * first on, as they are in the files (shared/audit_reader.h), until audit_bundle_done(). Whenever a
 * stamp is due, who has the key signs what audit_bundle_stamp() gives, and audit_bundle_stamped()
 * puts it in. */
#ifndef SHARED_AUDIT_BUNDLE_H
#define SHARED_AUDIT_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/audit_stamp.h"
#include "shared/buf.h"
#include "shared/rc.h"

#define AUDIT_BUNDLE_FILTER_MAX 4096

struct audit_bundle {
	int64_t first, last;
	int64_t next; /* the row that has to come; 0: any */
	int64_t rows,
		withheld; /* so far; of a row that has expired only the hash was there to give */
	bool done, begun, stamp_due;
	int64_t wall_ms;
	/* The first line and those between the checkpoint and row first, until that is there. */
	struct buf filter, before;
	struct audit_stamper stamper;
};

/* filter: a JSON object that says what was asked for, or NULL for all rows; copied. wall_ms: now.
 */
void audit_bundle_begin(
	struct audit_bundle *b, int64_t first, int64_t last, const char *filter, int64_t wall_ms);
/* The next line of the log, without its newline. Appends it (keep), or its hash alone; what lies
 * outside first to last is never kept, whatever keep says, but for checkpoints. RC_INVALID: it is
 * not the row that has to come, or a stamp is due. RC_LIMIT: no memory. */
enum rc audit_bundle_line(struct audit_bundle *b, const char *line, size_t len, bool keep,
	struct buf *out) MUST_CHECK;
void audit_bundle_free(struct audit_bundle *b);
/* A checkpoint came: the next line of the bundle is a stamp. */
bool audit_bundle_stamp_due(const struct audit_bundle *b);
/* What it has to say; ts, key and sig are for who signs it (audit_stamp_sign()). Once for each
 * stamp; its runs are valid until it is put in. RC_LIMIT: as audit_stamper_stamp(). */
enum rc audit_bundle_stamp(struct audit_bundle *b, struct audit_stamp *out) MUST_CHECK;
/* Appends the signed stamp. RC_LIMIT: no memory. */
enum rc audit_bundle_stamped(
	struct audit_bundle *b, const struct audit_stamp *s, struct buf *out) MUST_CHECK;
/* The stamp behind the checkpoint that vouches for row last was put in: the bundle is whole. As
 * long as the log has none (audit.checkpoint_seconds) there can be no bundle up to that row. */
bool audit_bundle_done(const struct audit_bundle *b);

/* Does this first line of a file say that it is a bundle? */
bool audit_bundle_is(const char *line, size_t len);
struct audit_bundle_header {
	int64_t from; /* the row of the line behind it */
	int64_t first, last; /* what was asked for */
	char ts[CLOCK_TEXT_LEN + 1];
	char why[128]; /* how "the first line of the bundle" goes on where it can't be read */
};
/* RC_INVALID: only why is set. */
enum rc audit_bundle_header_read(
	const char *line, size_t len, struct audit_bundle_header *out) MUST_CHECK;

#endif
