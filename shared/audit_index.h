/* audit_index: an SQLite file beside the audit log that says where to look: for each block of rows
 * (audit_block.h) where its lines are, and for each span of rows which of them have which word. A
 * span is a block at first; AUDIT_SPAN_BLOCKS blocks become one span once they are there, so that a
 * question looks at few spans, however long the log is. It is no evidence and can be thrown away at
 * any time: whoever reads it checks what it found against the log's own lines (audit_search.h). One
 * thread at a time for each handle; many handles and processes at once. */
#ifndef SHARED_AUDIT_INDEX_H
#define SHARED_AUDIT_INDEX_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/audit_block.h"
#include "shared/audit_set.h"
#include "shared/audit_words.h"
#include "shared/rc.h"

struct audit_index;

/* Where the index of the log at path is: where audit.index_path says, or when that is "" beside the
 * log, audit-index.db for audit.jsonl. RC_LIMIT: too long. */
enum rc audit_index_path(const char *path, const char *configured, char out[PATH_MAX]) MUST_CHECK;

/* For reading what is there now: the handle sees nothing newer. RC_NOTFOUND: there is none, or none
 * of this version. */
enum rc audit_index_open(const char *path, struct audit_index **out) MUST_CHECK;
/* For writing; made with mode 0600 where it is missing, is damaged or has another version.
 * RC_UNAVAILABLE, logged. */
enum rc audit_index_open_write(const char *path, struct audit_index **out) MUST_CHECK;
void audit_index_close(struct audit_index *ix);
/* Removes the file and what SQLite keeps beside it. */
void audit_index_remove(const char *path);
/* What can be said of the file at path, for whoever looks after it. */
struct audit_index_state {
	bool sound; /* an index of this version; closely: and no page of it is damaged */
	int64_t last; /* the last row in it; 0: none */
};
void audit_index_look(const char *path, bool closely, struct audit_index_state *out);
/* Is the handle's file still the one at path? */
bool audit_index_current(const struct audit_index *ix, const char *path);

/* --- writing: RC_INVALID, logged, means that the file is damaged: remove it and start again ------
 */

/* One transaction. RC_CONFLICT: another writer has that row already. */
enum rc audit_index_add(struct audit_index *ix, struct audit_block *b) MUST_CHECK;
/* Makes one span of the oldest blocks that are to be one, in a transaction. RC_NOTFOUND: there are
 * none. */
enum rc audit_index_merge(struct audit_index *ix) MUST_CHECK;
/* Forgets the spans with rows from first to last, whole ones. *gone gets what that was: the first
 * of their blocks, and their last row. RC_NOTFOUND: there are none. */
struct audit_index_gone {
	int64_t first, last;
	struct audit_place at;
};
enum rc audit_index_forget(struct audit_index *ix, int64_t first, int64_t last,
	struct audit_index_gone *gone) MUST_CHECK;

/* --- reading ------------------------------------------------------------------------------- */

struct audit_index_block {
	int64_t first, last;
	struct audit_place at, end;
	int64_t min_ms, max_ms;
	uint64_t mark; /* of its last line */
	int64_t last_offset; /* where that begins */
};
/* The newest block. RC_NOTFOUND: the index is empty. */
enum rc audit_index_last(struct audit_index *ix, struct audit_index_block *out) MUST_CHECK;
/* The last row before the first gap: all there are, as a rule. RC_NOTFOUND as above. */
enum rc audit_index_whole(struct audit_index *ix, int64_t *seq) MUST_CHECK;
/* The newest block with a row before seq, or the oldest with one after it. RC_NOTFOUND: none. */
enum rc audit_index_before(
	struct audit_index *ix, int64_t seq, struct audit_index_block *out) MUST_CHECK;
enum rc audit_index_after(
	struct audit_index *ix, int64_t seq, struct audit_index_block *out) MUST_CHECK;
/* Fills out[0 .. last - first]. */
enum rc audit_index_places(struct audit_index *ix, const struct audit_index_block *b,
	struct audit_row_place out[AUDIT_BLOCK_ROWS]) MUST_CHECK;

struct audit_index_span {
	int64_t first, last;
	int64_t min_ms, max_ms;
	bool merged;
};
/* As the two for blocks. */
enum rc audit_index_span_before(
	struct audit_index *ix, int64_t seq, struct audit_index_span *out) MUST_CHECK;
enum rc audit_index_span_after(
	struct audit_index *ix, int64_t seq, struct audit_index_span *out) MUST_CHECK;
/* Adds the rows of the span that have the word to s, which is of so many rows. */
enum rc audit_index_rows(struct audit_index *ix, const struct audit_index_span *span, uint32_t word,
	struct audit_set *s) MUST_CHECK;
/* The same for each word of a kind other than AUDIT_WORD_TEXT that the span has and wanted() says
 * yes to. */
enum rc audit_index_rows_where(struct audit_index *ix, const struct audit_index_span *span,
	enum audit_word_kind kind, bool (*wanted)(void *ctx, uint32_t word), void *ctx,
	struct audit_set *s) MUST_CHECK;

#endif
