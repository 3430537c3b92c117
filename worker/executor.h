/* executor: a fixed pool of threads that run jobs off the event loop, with a bounded queue before
 * it and a bounded list of finished jobs behind it: when nobody collects, no new job starts, so
 * memory stays bounded too. Knows nothing of what a job does. */
#ifndef WORKER_EXECUTOR_H
#define WORKER_EXECUTOR_H

#include <stdatomic.h>
#include <stddef.h>
#include <sys/queue.h>

#include "shared/rc.h"

/* The first member of the caller's own struct. Owned by the executor from executor_submit() until
 * executor_finished() gives it back; only cancelled may be touched in between. */
struct job {
	TAILQ_ENTRY(job) entry;
	void (*run)(struct job *job); /* on a pool thread; looks at cancelled */
	atomic_bool cancelled;
};

struct executor;

/* wake is called from a pool thread whenever a job has finished. RC_UNAVAILABLE when the threads
 * can't be made. */
enum rc executor_new(int threads, size_t waiting_max, void (*wake)(void *ctx), void *ctx,
	struct executor **out) MUST_CHECK;
/* RC_LIMIT when waiting_max jobs wait already (every thread being busy) or the executor is
 * stopping. */
enum rc executor_submit(struct executor *e, struct job *job) MUST_CHECK;
/* The next finished job, or NULL. */
struct job *executor_finished(struct executor *e);
/* Cancels everything, waits for the running jobs and joins the threads. Jobs that never ran come
 * back from executor_finished() like the others, with cancelled set. */
void executor_stop(struct executor *e);
/* After executor_stop(), with nothing left to collect. NULL is fine. */
void executor_free(struct executor *e);

#endif
