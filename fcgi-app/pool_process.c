#include <fcgiapp.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fcgi-app/generation.h"
#include "fcgi-app/loop.h"
#include "fcgi-app/pool.h"
#include "fcgi-app/spare.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"

#define STACK_BYTES 262144
#define DB_HANDLES 4
#define KEYS_CACHED 4096

struct process {
	struct generations generations;
	struct loop *loop;
	pthread_t *threads; /* the loop's is the first */
	int count;
};

static void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void *run_thread(void *arg)
{
	loop_work(arg);
	return NULL;
}

static void start_threads(struct process *p, int workers)
{
	pthread_attr_t attr;

	p->count = 1 + workers;
	p->threads = xcalloc((size_t)p->count, sizeof(*p->threads));
	if (pthread_attr_init(&attr) != 0 || pthread_attr_setstacksize(&attr, STACK_BYTES) != 0)
		die("can't set the threads' stack size");
	for (int i = 0; i < p->count; i++) {
		int code = pthread_create(
			&p->threads[i], &attr, i == 0 ? run_loop : run_thread, p->loop);

		if (code != 0)
			die("can't make %d threads: %s; lower pool.threads", p->count,
				strerror(code));
	}
	(void)pthread_attr_destroy(&attr);
}

/* The loop ends once all requests are answered, and the threads then too. */
static bool stop_threads(struct process *p, int64_t deadline_ms)
{
	struct timespec until;
	int64_t left = deadline_ms - clock_mono_ms();

	loop_stop(p->loop);
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += left / 1000;
	until.tv_nsec += left % 1000 * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	for (int i = 0; i < p->count; i++) {
		if (pthread_timedjoin_np(p->threads[i], NULL, &until) != 0) {
			log_warn("not all requests were finished in time");
			return false;
		}
	}
	return true;
}

/* --- the process ------------------------------------------------------------------------- */

/* 96 threads would otherwise take up to 16 arenas, and a freed Argon2 buffer (19 MiB) would stay in
 * the heap. */
static void set_malloc(void)
{
	(void)mallopt(M_ARENA_MAX, 2);
	(void)mallopt(M_MMAP_THRESHOLD, 512 * 1024);
	(void)mallopt(M_TRIM_THRESHOLD, 256 * 1024);
}

static void prepare_signals(sigset_t *wait_for)
{
	(void)sigemptyset(wait_for);
	(void)sigaddset(wait_for, SIGTERM);
	(void)sigaddset(wait_for, SIGHUP);
	/* After FCGX_Init(), which sets handlers of its own. SIGINT stays blocked: it is for the
	 * parent, who gets it too. */
	(void)signal(SIGPIPE, SIG_IGN);
}

int pool_process(struct app *app, int listen_fd)
{
	const struct config *config = app->config;
	const struct apikey_bounds keys = {KEYS_CACHED, config->argon2_concurrency,
		loop_parked_max(config), config->key_wait_ms};
	struct process p = {0};
	sigset_t signals;
	bool clean;
	int sig = 0;

	set_malloc();
	if (FCGX_Init() != 0)
		die("libfcgi can't be started");
	prepare_signals(&signals);
	app->db = db_pool_new(config->state_path, DB_HANDLES);
	app->spare = spare_new();
	app->keys = apikey_cache_new(&keys);
	generations_init(&p.generations, (struct config *)config);
	p.loop = loop_new(app, &p.generations, listen_fd);
	start_threads(&p, config->pool_threads);
	while (sig != SIGTERM) {
		sig = sigwaitinfo(&signals, NULL);
		if (sig == SIGHUP)
			generations_reload(&p.generations);
	}
	clean = stop_threads(&p, clock_mono_ms() + config->drain_timeout_ms);
	if (clean) {
		loop_free(p.loop);
		apikey_cache_free(app->keys);
		spare_free(app->spare);
		db_pool_free(app->db);
		free(p.threads);
		generations_free(&p.generations);
	}
	return clean ? 0 : 1;
}
