#include "worker/executor.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shared/log.h"
#include "shared/mem.h"

TAILQ_HEAD(job_list, job);

struct executor {
	pthread_mutex_t lock;
	pthread_cond_t work; /* a job waits, a finished one was collected, or stopping */
	struct job_list waiting, finished;
	size_t waiting_count, waiting_max;
	size_t finished_count, finished_max;
	size_t idle; /* threads free to take a job at once */
	bool stopping;
	void (*wake)(void *ctx);
	void *ctx;
	int thread_count;
	pthread_t *threads;
	struct job **running; /* one slot a thread */
	int slots_taken;
};

static bool may_start(const struct executor *e)
{
	return e->waiting_count > 0 && e->finished_count < e->finished_max;
}

/* Called and returns with the lock held. */
static void run_one(struct executor *e, int slot)
{
	struct job *job = TAILQ_FIRST(&e->waiting);

	TAILQ_REMOVE(&e->waiting, job, entry);
	e->waiting_count--;
	e->idle--;
	e->running[slot] = job;
	pthread_mutex_unlock(&e->lock);
	job->run(job);
	pthread_mutex_lock(&e->lock);
	e->running[slot] = NULL;
	e->idle++;
	TAILQ_INSERT_TAIL(&e->finished, job, entry);
	e->finished_count++;
	e->wake(e->ctx);
}

static void *thread_main(void *arg)
{
	struct executor *e = arg;

	pthread_mutex_lock(&e->lock);
	int slot = e->slots_taken++;
	for (;;) {
		while (!e->stopping && !may_start(e))
			pthread_cond_wait(&e->work, &e->lock);
		if (e->stopping)
			break;
		run_one(e, slot);
	}
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

static int start_threads(struct executor *e, int wanted)
{
	sigset_t all, old;

	/* Signals belong to the loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (e->thread_count < wanted) {
		int err = pthread_create(&e->threads[e->thread_count], NULL, thread_main, e);
		if (err != 0) {
			log_err("can't start thread %d of %d for tool calls: %s",
				e->thread_count + 1, wanted, strerror(err));
			break;
		}
		e->thread_count++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return e->thread_count;
}

enum rc executor_new(
	int threads, size_t waiting_max, void (*wake)(void *ctx), void *ctx, struct executor **out)
{
	struct executor *e = xcalloc(1, sizeof *e);

	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->work, NULL);
	TAILQ_INIT(&e->waiting);
	TAILQ_INIT(&e->finished);
	e->waiting_max = waiting_max;
	e->finished_max = (size_t)threads;
	e->idle = (size_t)threads;
	e->wake = wake;
	e->ctx = ctx;
	e->threads = xcalloc((size_t)threads, sizeof *e->threads);
	e->running = xcalloc((size_t)threads, sizeof(struct job *));
	if (start_threads(e, threads) < threads) {
		executor_stop(e);
		executor_free(e);
		return RC_UNAVAILABLE;
	}
	*out = e;
	return RC_OK;
}

enum rc executor_submit(struct executor *e, struct job *job)
{
	enum rc rc = RC_LIMIT;

	pthread_mutex_lock(&e->lock);
	/* A job that a free thread will take at once does not count as waiting. */
	if (!e->stopping && e->waiting_count < e->waiting_max + e->idle) {
		TAILQ_INSERT_TAIL(&e->waiting, job, entry);
		e->waiting_count++;
		pthread_cond_signal(&e->work);
		rc = RC_OK;
	}
	pthread_mutex_unlock(&e->lock);
	return rc;
}

struct job *executor_finished(struct executor *e)
{
	pthread_mutex_lock(&e->lock);
	struct job *job = TAILQ_FIRST(&e->finished);
	if (job != NULL) {
		TAILQ_REMOVE(&e->finished, job, entry);
		e->finished_count--;
		pthread_cond_signal(&e->work);
	}
	pthread_mutex_unlock(&e->lock);
	return job;
}

void executor_stop(struct executor *e)
{
	struct job *job;

	pthread_mutex_lock(&e->lock);
	e->stopping = true;
	for (int i = 0; i < e->thread_count; i++) {
		if (e->running[i] != NULL)
			atomic_store(&e->running[i]->cancelled, true);
	}
	pthread_cond_broadcast(&e->work);
	pthread_mutex_unlock(&e->lock);

	for (int i = 0; i < e->thread_count; i++)
		pthread_join(e->threads[i], NULL);
	e->thread_count = 0;

	while ((job = TAILQ_FIRST(&e->waiting)) != NULL) {
		TAILQ_REMOVE(&e->waiting, job, entry);
		e->waiting_count--;
		atomic_store(&job->cancelled, true);
		TAILQ_INSERT_TAIL(&e->finished, job, entry);
		e->finished_count++;
	}
}

void executor_free(struct executor *e)
{
	if (e == NULL)
		return;
	pthread_cond_destroy(&e->work);
	pthread_mutex_destroy(&e->lock);
	free(e->threads);
	free(e->running);
	free(e);
}
