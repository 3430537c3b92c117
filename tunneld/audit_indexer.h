/* audit_indexer: the thread that keeps the audit log's search index up with the log
 * (shared/audit_indexing.h). It reads what is on disk, well behind the journal's writer, which it
 * never makes wait. */
#ifndef TUNNELD_AUDIT_INDEXER_H
#define TUNNELD_AUDIT_INDEXER_H

#include <stdint.h>

#include "shared/rc.h"

struct audit_indexer;

/* Starts the thread. The paths are copied. RC_INTERNAL, logged. */
enum rc audit_indexer_open(
	const char *log_path, const char *index_path, struct audit_indexer **out) MUST_CHECK;
/* NULL is fine. */
void audit_indexer_close(struct audit_indexer *x);
/* Rows up to seq are on disk. From any thread. */
void audit_indexer_durable(struct audit_indexer *x, int64_t seq);

#endif
