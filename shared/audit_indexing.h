/* audit_indexing: keeps the index of an audit log (audit_index.h) up with the log: what is new is
 * read and taken in block by block, what is gone or was rewritten is forgotten or read again. State
 * between passes, no thread of its own: tunneld's is audit_indexer.c, `airlockctl audit reindex`
 * has none. */
#ifndef SHARED_AUDIT_INDEXING_H
#define SHARED_AUDIT_INDEXING_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/rc.h"

struct audit_indexing;

struct audit_indexing *audit_indexing_new(const char *log_path, const char *index_path);
void audit_indexing_free(struct audit_indexing *x);
/* Takes in the rows up to durable (INT64_MAX: all that are there). The last rows, fewer than a
 * block, stay in memory for the next pass, or with all are written too. go_on, unless NULL, is
 * asked between blocks with how far the index is; false ends the pass. RC_UNAVAILABLE, logged: it
 * is to be tried again later. */
enum rc audit_indexing_pass(struct audit_indexing *x, int64_t durable, bool all,
	bool (*go_on)(void *ctx, int64_t seq), void *ctx) MUST_CHECK;

#endif
