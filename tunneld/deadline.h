/* deadline: things that are due at some time, in order. Nearly all of one list have the same span,
 * so that adding is at the end. Pure: time is an argument. */
#ifndef TUNNELD_DEADLINE_H
#define TUNNELD_DEADLINE_H

#include <stddef.h>
#include <stdint.h>

/* Embedded in what is due; all zero when in no list. */
struct deadline {
	struct deadline *prev, *next;
	int64_t due_ms;
};

struct deadlines {
	struct deadline head; /* a ring */
};

#define DEADLINE_NEVER INT64_MAX
/* The thing that a deadline is embedded in. */
#define DEADLINE_OF(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

void deadlines_init(struct deadlines *d);
/* Puts n into d, from wherever it was before. */
void deadline_set(struct deadlines *d, struct deadline *n, int64_t due_ms);
/* No effect when n is in no list. */
void deadline_clear(struct deadline *n);
/* The earliest when it is due, still in the list; NULL otherwise. */
struct deadline *deadlines_due(struct deadlines *d, int64_t now_ms);
/* When the earliest is due; DEADLINE_NEVER when there is none. */
int64_t deadlines_next(const struct deadlines *d);

#endif
