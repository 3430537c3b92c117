#include "tunneld/audit_indexer.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shared/audit_indexing.h"
#include "shared/audit_set.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"

/* A search reads what is not in the index yet from the log, so there is no hurry: half a block. */
#define STEP_ROWS (AUDIT_BLOCK_ROWS / 2)
/* Files that were rewritten or removed are noticed in this time without any row. */
#define LOOK_MS 60000
#define RETRY_MS 5000
/* Others first: calls are waited for, the index is not. */
#define NICE 10

struct audit_indexer {
	struct audit_indexing *indexing;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	int64_t durable; /* under the lock, as the rest */
	bool stop;
	int64_t reached; /* durable at the last pass */
};

static bool stopping(struct audit_indexer *x)
{
	bool stop;

	(void)pthread_mutex_lock(&x->lock);
	stop = x->stop;
	(void)pthread_mutex_unlock(&x->lock);
	return stop;
}

static bool go_on(void *ctx, int64_t seq)
{
	(void)seq;
	return !stopping(ctx);
}

/* Under the lock: until there is enough to do, or that time is over. */
static void wait_for_rows(struct audit_indexer *x, int64_t due_ms, bool failed)
{
	struct timespec until = {(time_t)(due_ms / 1000), (long)(due_ms % 1000) * 1000000};

	while (!x->stop && (failed || x->durable - x->reached < STEP_ROWS) &&
		pthread_cond_timedwait(&x->wake, &x->lock, &until) == 0)
		;
}

static void *run(void *ctx)
{
	struct audit_indexer *x = ctx;
	bool failed;

	(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
	(void)pthread_mutex_lock(&x->lock);
	while (!x->stop) {
		x->reached = x->durable;
		(void)pthread_mutex_unlock(&x->lock);
		failed = audit_indexing_pass(x->indexing, x->reached, false, go_on, x) != RC_OK;
		(void)pthread_mutex_lock(&x->lock);
		wait_for_rows(x, clock_mono_ms() + (failed ? RETRY_MS : LOOK_MS), failed);
	}
	(void)pthread_mutex_unlock(&x->lock);
	return NULL;
}

enum rc audit_indexer_open(const char *log_path, const char *index_path, struct audit_indexer **out)
{
	struct audit_indexer *x = xcalloc(1, sizeof(*x));
	pthread_condattr_t attr;

	x->indexing = audit_indexing_new(log_path, index_path);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&x->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_mutex_init(&x->lock, NULL);
	if (pthread_create(&x->thread, NULL, run, x) != 0) {
		log_err("cannot start the audit indexer's thread");
		audit_indexing_free(x->indexing);
		free(x);
		return RC_INTERNAL;
	}
	*out = x;
	return RC_OK;
}

void audit_indexer_close(struct audit_indexer *x)
{
	if (!x)
		return;
	(void)pthread_mutex_lock(&x->lock);
	x->stop = true;
	(void)pthread_cond_signal(&x->wake);
	(void)pthread_mutex_unlock(&x->lock);
	(void)pthread_join(x->thread, NULL);
	(void)pthread_cond_destroy(&x->wake);
	(void)pthread_mutex_destroy(&x->lock);
	audit_indexing_free(x->indexing);
	free(x);
}

void audit_indexer_durable(struct audit_indexer *x, int64_t seq)
{
	(void)pthread_mutex_lock(&x->lock);
	if (seq > x->durable)
		x->durable = seq;
	if (x->durable - x->reached >= STEP_ROWS)
		(void)pthread_cond_signal(&x->wake);
	(void)pthread_mutex_unlock(&x->lock);
}
