/* heap: a budget on what SQLite may allocate on behalf of one statement. SQLite's own limit counts
 * for the whole process, so one greedy statement would fail its neighbours; this one counts per
 * thread, and a statement runs on one thread. */
#ifndef WORKER_HEAP_H
#define WORKER_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/rc.h"

/* Puts the counting allocator under SQLite; later calls do nothing. RC_INTERNAL when SQLite was in
 * use already. */
enum rc heap_install(void) MUST_CHECK;
/* Starts counting on this thread: allocations above bytes fail from here to heap_end(). */
void heap_begin(int64_t bytes);
/* True when an allocation was refused since heap_begin(). */
bool heap_end(void);

#endif
