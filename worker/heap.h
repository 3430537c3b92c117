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
/* Starts counting on this thread: from here to heap_end() allocations above bytes fail, and all of
 * them once may_go_on(), which is asked now and then, says no: compiling a statement has no other
 * place where its deadline could be looked at. */
void heap_begin(int64_t bytes, bool (*may_go_on)(void *ctx), void *ctx);
/* True when an allocation was refused since heap_begin(). */
bool heap_end(void);

#endif
