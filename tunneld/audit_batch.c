#include "tunneld/audit_batch.h"

#include <string.h>

#define BYTES_MAX ((size_t)32 * 1024 * 1024)
/* What is kept of that memory between batches. */
#define KEEP ((size_t)256 * 1024)

void audit_queue_init(struct audit_queue *q)
{
	*q = (struct audit_queue){NULL, &q->first, 0};
}

void audit_queue_put(struct audit_queue *q, struct audit_entry *e)
{
	e->next = NULL;
	*q->last = e;
	q->last = &e->next;
	q->count++;
}

struct audit_entry *audit_queue_take(struct audit_queue *q)
{
	struct audit_entry *e = q->first;

	if (!e)
		return NULL;
	q->first = e->next;
	if (!q->first)
		q->last = &q->first;
	q->count--;
	return e;
}

void audit_queue_put_back(struct audit_queue *q, struct audit_queue *front)
{
	if (!front->first)
		return;
	*front->last = q->first;
	if (!q->first)
		q->last = front->last;
	q->first = front->first;
	q->count += front->count;
	audit_queue_init(front);
}

void audit_queue_append(struct audit_queue *q, struct audit_queue *more)
{
	if (!more->first)
		return;
	*q->last = more->first;
	q->last = more->last;
	q->count += more->count;
	audit_queue_init(more);
}

void audit_batch_init(struct audit_batch *b)
{
	audit_queue_init(&b->rows);
	buf_init(&b->lines, BYTES_MAX);
}

void audit_batch_free(struct audit_batch *b)
{
	buf_free(&b->lines);
}

void audit_batch_begin(struct audit_batch *b, const struct journal_head *head)
{
	if (b->lines.cap > KEEP)
		buf_free(&b->lines);
	buf_reset(&b->lines);
	b->base = b->head = *head;
}

void audit_batch_lines(struct audit_batch *b, const struct audit_queue *fresh)
{
	for (const struct audit_entry *e = fresh->first; e; e = e->next)
		journal_line(&b->lines, &e->record, e->wall_ms, &b->head);
}

bool audit_batch_follows(const struct audit_batch *b, const struct journal_head *head)
{
	return b->base.seq == head->seq && memcmp(b->base.prev, head->prev, AUDIT_HASH_LEN) == 0;
}
