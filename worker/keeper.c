#include "worker/keeper.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"

#define WAIT_MIN_MS 100
#define WAIT_MAX_MS 60000

struct keeper {
	struct tools *tools;
	void (*wake)(void *ctx);
	void *ctx;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t poke;
	bool stop, stopped; /* under the lock */
};

/* Called with the lock held; ends early when asked to stop. */
static void sleep_ms(struct keeper *k, int64_t ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (!k->stop && pthread_cond_timedwait(&k->poke, &k->lock, &until) == 0)
		;
}

static int64_t expire(struct keeper *k)
{
	int64_t again = tools_expire(k->tools, clock_mono_ms());

	if (again < WAIT_MIN_MS)
		return WAIT_MIN_MS;
	return again < WAIT_MAX_MS ? again : WAIT_MAX_MS;
}

static void *thread_main(void *arg)
{
	struct keeper *k = arg;

	pthread_mutex_lock(&k->lock);
	while (!k->stop) {
		pthread_mutex_unlock(&k->lock);
		int64_t wait = expire(k);
		pthread_mutex_lock(&k->lock);
		sleep_ms(k, wait);
	}
	pthread_mutex_unlock(&k->lock);

	tools_close(k->tools);
	pthread_mutex_lock(&k->lock);
	k->stopped = true;
	pthread_mutex_unlock(&k->lock);
	k->wake(k->ctx);
	return NULL;
}

static void destroy(struct keeper *k)
{
	pthread_cond_destroy(&k->poke);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

enum rc keeper_new(struct tools *tools, void (*wake)(void *ctx), void *ctx, struct keeper **out)
{
	struct keeper *k = xcalloc(1, sizeof *k);
	pthread_condattr_t attr;
	sigset_t all, old;

	k->tools = tools;
	k->wake = wake;
	k->ctx = ctx;
	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&k->poke, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int err = pthread_create(&k->thread, NULL, thread_main, k);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err != 0) {
		log_err("can't start the housekeeping thread: %s", strerror(err));
		destroy(k);
		return RC_UNAVAILABLE;
	}
	*out = k;
	return RC_OK;
}

void keeper_stop(struct keeper *k)
{
	pthread_mutex_lock(&k->lock);
	k->stop = true;
	pthread_cond_signal(&k->poke);
	pthread_mutex_unlock(&k->lock);
}

bool keeper_stopped(struct keeper *k)
{
	pthread_mutex_lock(&k->lock);
	bool stopped = k->stopped;
	pthread_mutex_unlock(&k->lock);
	return stopped;
}

void keeper_free(struct keeper *k)
{
	if (k == NULL)
		return;
	keeper_stop(k);
	pthread_join(k->thread, NULL);
	destroy(k);
}
