/* confine: takes away from the calling process what it will never need again, by the kernel's
 * hand: whatever a statement might get out of a database engine, the kernel says no. Can't be
 * undone. */
#ifndef WORKER_CONFINE_H
#define WORKER_CONFINE_H

#include <stdint.h>

#include "shared/rc.h"

/* No core dumps, no debugger, no new privileges, few descriptors, and no file may grow above
 * file_bytes (writing more fails with EFBIG). */
enum rc confine_process(int64_t file_bytes) MUST_CHECK;
/* From here on it opens no file, makes no socket, starts no program, signals nobody and changes
 * nothing in any directory; all threads. RC_UNAVAILABLE on a kernel without seccomp; on
 * machines other than x86-64 and aarch64 it does nothing. */
enum rc confine_calls(void) MUST_CHECK;
/* The private writable memory of the process, in bytes; -1 when it can't be told. One thread; the
 * first time before confine_calls(). */
int64_t confine_memory_now(void);
/* How much it may have from now on, 0: any. Allocations above it fail. */
void confine_memory(int64_t bytes);

#endif
