#include "tunneld/deadline.h"

void deadlines_init(struct deadlines *d)
{
	d->head = (struct deadline){&d->head, &d->head, 0};
}

void deadline_set(struct deadlines *d, struct deadline *n, int64_t due_ms)
{
	struct deadline *at;

	deadline_clear(n);
	at = d->head.prev;
	while (at != &d->head && at->due_ms > due_ms)
		at = at->prev;
	*n = (struct deadline){at, at->next, due_ms};
	at->next->prev = n;
	at->next = n;
}

void deadline_clear(struct deadline *n)
{
	if (!n->next)
		return;
	n->prev->next = n->next;
	n->next->prev = n->prev;
	*n = (struct deadline){NULL, NULL, 0};
}

struct deadline *deadlines_due(struct deadlines *d, int64_t now_ms)
{
	struct deadline *first = d->head.next;

	return first != &d->head && first->due_ms <= now_ms ? first : NULL;
}

int64_t deadlines_next(const struct deadlines *d)
{
	return d->head.next == &d->head ? DEADLINE_NEVER : d->head.next->due_ms;
}
