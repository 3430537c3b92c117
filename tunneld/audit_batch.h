/* audit_batch: rows on their way into the journal in one append, and the lines that they become.
 * State only: no thread, no file. */
#ifndef TUNNELD_AUDIT_BATCH_H
#define TUNNELD_AUDIT_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "tunneld/audit_writer.h"
#include "tunneld/journal.h"

/* In the order in which they came. */
struct audit_queue {
	struct audit_entry *first, **last;
	size_t count;
};
void audit_queue_init(struct audit_queue *q);
void audit_queue_put(struct audit_queue *q, struct audit_entry *e);
/* NULL when there is none. */
struct audit_entry *audit_queue_take(struct audit_queue *q);
/* Puts all of the other, which is empty then, before or behind what is there. */
void audit_queue_put_back(struct audit_queue *q, struct audit_queue *front);
void audit_queue_append(struct audit_queue *q, struct audit_queue *more);

struct audit_batch {
	struct audit_queue rows; /* each has its line */
	struct buf lines;
	struct journal_head base, head; /* before its first line, and behind the last one */
};
/* Nothing in it yet, and no memory. */
void audit_batch_init(struct audit_batch *b);
void audit_batch_free(struct audit_batch *b);
/* Empties it, to go on behind that head. No row may be in it. */
void audit_batch_begin(struct audit_batch *b, const struct journal_head *head);
/* Adds the lines of rows, which are the caller's still. */
void audit_batch_lines(struct audit_batch *b, const struct audit_queue *fresh);
/* Do its lines come right behind that head? */
bool audit_batch_follows(const struct audit_batch *b, const struct journal_head *head);

#endif
