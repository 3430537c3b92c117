/* The executor: bounded on both sides, cancels, stops. Every wait here is for an event, under a
 * deadline. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <time.h>

#include "worker/executor.h"

struct task {
	struct job job;
	sem_t *go; /* NULL: ends at once */
	sem_t *begun;
	atomic_bool ran;
};

static sem_t woken;

static void wake(void *ctx)
{
	(void)ctx;
	sem_post(&woken);
}

static bool wait_sem_ms(sem_t *s, long ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	return sem_timedwait(s, &until) == 0;
}

static bool wait_sem(sem_t *s)
{
	return wait_sem_ms(s, 20000);
}

static void run_task(struct job *job)
{
	struct task *t = (struct task *)job;

	atomic_store(&t->ran, true);
	if (t->begun != NULL)
		sem_post(t->begun);
	while (t->go != NULL && !atomic_load(&job->cancelled) && !wait_sem_ms(t->go, 1))
		;
}

static void setup_task(struct task *t, sem_t *go, sem_t *begun)
{
	*t = (struct task){.job = {.run = run_task}, .go = go, .begun = begun};
}

static void runs_and_gives_back_in_order(void **state)
{
	struct executor *e;
	struct task tasks[20];

	(void)state;
	sem_init(&woken, 0, 0);
	assert_int_equal(executor_new(1, 20, wake, NULL, &e), RC_OK);
	for (int i = 0; i < 20; i++) {
		setup_task(&tasks[i], NULL, NULL);
		assert_int_equal(executor_submit(e, &tasks[i].job), RC_OK);
	}
	for (int i = 0; i < 20; i++) {
		assert_true(wait_sem(&woken));
		assert_ptr_equal(executor_finished(e), &tasks[i].job);
		assert_true(atomic_load(&tasks[i].ran));
	}
	assert_null(executor_finished(e));
	executor_stop(e);
	executor_free(e);
}

static void refuses_beyond_the_bound(void **state)
{
	struct executor *e;
	struct task tasks[5];
	sem_t go, begun;

	(void)state;
	sem_init(&woken, 0, 0);
	sem_init(&go, 0, 0);
	sem_init(&begun, 0, 0);
	assert_int_equal(executor_new(2, 2, wake, NULL, &e), RC_OK);
	for (int i = 0; i < 5; i++)
		setup_task(&tasks[i], &go, &begun);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(executor_submit(e, &tasks[i].job), RC_OK);
		assert_true(wait_sem(&begun));
	}
	/* Two run; two may wait; the fifth may not. */
	assert_int_equal(executor_submit(e, &tasks[2].job), RC_OK);
	assert_int_equal(executor_submit(e, &tasks[3].job), RC_OK);
	assert_int_equal(executor_submit(e, &tasks[4].job), RC_LIMIT);
	for (int i = 0; i < 4; i++)
		sem_post(&go);
	for (int i = 0; i < 4; i++) {
		assert_true(wait_sem(&woken));
		assert_non_null(executor_finished(e));
	}
	/* And there is room again. */
	assert_int_equal(executor_submit(e, &tasks[4].job), RC_OK);
	sem_post(&go);
	assert_true(wait_sem(&woken));
	assert_ptr_equal(executor_finished(e), &tasks[4].job);
	executor_stop(e);
	executor_free(e);
}

static void uncollected_results_hold_new_jobs_back(void **state)
{
	struct executor *e;
	struct task tasks[3];
	sem_t begun;

	(void)state;
	sem_init(&woken, 0, 0);
	sem_init(&begun, 0, 0);
	assert_int_equal(executor_new(1, 8, wake, NULL, &e), RC_OK);
	for (int i = 0; i < 3; i++) {
		setup_task(&tasks[i], NULL, &begun);
		assert_int_equal(executor_submit(e, &tasks[i].job), RC_OK);
	}
	assert_true(wait_sem(&begun));
	assert_true(wait_sem(&woken));
	/* One thread, one uncollected result: the second job does not begin. */
	assert_false(wait_sem_ms(&begun, 50));
	assert_false(atomic_load(&tasks[1].ran));
	assert_ptr_equal(executor_finished(e), &tasks[0].job);
	assert_true(wait_sem(&begun));
	assert_true(wait_sem(&woken));
	assert_ptr_equal(executor_finished(e), &tasks[1].job);
	assert_true(wait_sem(&woken));
	assert_ptr_equal(executor_finished(e), &tasks[2].job);
	executor_stop(e);
	executor_free(e);
}

static void a_cancelled_job_ends(void **state)
{
	struct executor *e;
	struct task t;
	sem_t go, begun;

	(void)state;
	sem_init(&woken, 0, 0);
	sem_init(&go, 0, 0); /* never posted */
	sem_init(&begun, 0, 0);
	assert_int_equal(executor_new(1, 1, wake, NULL, &e), RC_OK);
	setup_task(&t, &go, &begun);
	assert_int_equal(executor_submit(e, &t.job), RC_OK);
	assert_true(wait_sem(&begun));
	assert_null(executor_finished(e));
	atomic_store(&t.job.cancelled, true);
	assert_true(wait_sem(&woken));
	assert_ptr_equal(executor_finished(e), &t.job);
	executor_stop(e);
	executor_free(e);
}

static void stop_cancels_and_gives_everything_back(void **state)
{
	struct executor *e;
	struct task tasks[3];
	sem_t go, begun;

	(void)state;
	sem_init(&woken, 0, 0);
	sem_init(&go, 0, 0); /* never posted: stop must not wait for it */
	sem_init(&begun, 0, 0);
	assert_int_equal(executor_new(1, 2, wake, NULL, &e), RC_OK);
	for (int i = 0; i < 3; i++)
		setup_task(&tasks[i], &go, &begun);
	assert_int_equal(executor_submit(e, &tasks[0].job), RC_OK);
	assert_true(wait_sem(&begun));
	assert_int_equal(executor_submit(e, &tasks[1].job), RC_OK);
	assert_int_equal(executor_submit(e, &tasks[2].job), RC_OK);
	executor_stop(e);
	for (int i = 0; i < 3; i++) {
		assert_ptr_equal(executor_finished(e), &tasks[i].job);
		assert_true(atomic_load(&tasks[i].job.cancelled));
	}
	assert_false(atomic_load(&tasks[1].ran));
	assert_null(executor_finished(e));
	assert_int_equal(executor_submit(e, &tasks[0].job), RC_LIMIT);
	executor_free(e);
	executor_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_and_gives_back_in_order),
		cmocka_unit_test(refuses_beyond_the_bound),
		cmocka_unit_test(uncollected_results_hold_new_jobs_back),
		cmocka_unit_test(a_cancelled_job_ends),
		cmocka_unit_test(stop_cancels_and_gives_everything_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
