#include <errno.h>
#include <fcgiapp.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fcgi-app/pool.h"
#include "fcgi-app/routes.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"

#define STACK_BYTES 262144
#define DB_HANDLES 4
#define KEYS_CACHED 4096
/* Wakes a thread from accept() or read(); see stop_threads(). */
#define WAKE SIGUSR2
#define WAKE_EVERY_MS 20
/* accept() failed, most likely for want of file descriptors: that does not pass in an instant. */
#define ACCEPT_PAUSE_MS 100

/* A configuration and how many requests are being answered with it, plus one while it is the
 * current one. */
struct generation {
	struct config *config;
	int uses;
	struct generation *next; /* of those that nobody uses any more */
};

struct process {
	struct app *app;
	int listen_fd;
	atomic_bool stopping;
	pthread_mutex_t lock; /* generations and their counts */
	struct generation *current;
	struct generation *unused;
	struct generation *boot; /* app->config points into it: it stays */
	struct worker_thread *threads;
	int count;
};

struct worker_thread {
	struct process *process;
	pthread_t id;
	atomic_bool busy; /* has a request: not to be woken */
	FCGX_Request request;
};

/* --- the configuration that requests hold ------------------------------------------------ */

static struct generation *generation_new(struct config *config)
{
	struct generation *g = xmalloc(sizeof(*g));

	*g = (struct generation){.config = config, .uses = 1};
	return g;
}

static struct generation *take(struct process *p)
{
	struct generation *g;

	(void)pthread_mutex_lock(&p->lock);
	g = p->current;
	g->uses++;
	(void)pthread_mutex_unlock(&p->lock);
	return g;
}

static void give_back(struct process *p, struct generation *g)
{
	(void)pthread_mutex_lock(&p->lock);
	if (--g->uses == 0) {
		g->next = p->unused;
		p->unused = g;
	}
	(void)pthread_mutex_unlock(&p->lock);
}

/* In the main thread only: config_reload() and config_free() share what is not locked. */
static void free_unused(struct process *p)
{
	struct generation *g;
	struct generation *next;

	(void)pthread_mutex_lock(&p->lock);
	g = p->unused;
	p->unused = NULL;
	(void)pthread_mutex_unlock(&p->lock);
	for (; g; g = next) {
		next = g->next;
		config_free(g->config);
		free(g);
	}
}

static void reload(struct process *p)
{
	struct config *fresh = config_reload();
	struct generation *old;

	if (!fresh)
		return;
	(void)pthread_mutex_lock(&p->lock);
	old = p->current;
	p->current = generation_new(fresh);
	(void)pthread_mutex_unlock(&p->lock);
	give_back(p, old);
	free_unused(p);
}

/* --- a thread ---------------------------------------------------------------------------- */

static void serve(struct worker_thread *t)
{
	struct generation *g = take(t->process);
	/* On the heap while there is a request, so that idle threads keep their stacks small. */
	struct request *rq = xcalloc(1, sizeof(*rq));

	if (http_start(rq, t->process->app, g->config, &t->request))
		routes_serve(rq);
	http_finish(rq);
	free(rq);
	give_back(t->process, g);
}

static void accept_failed(const struct process *p, int code)
{
	struct timespec pause = {.tv_nsec = ACCEPT_PAUSE_MS * 1000000L};

	if (p->stopping || code == -EINTR)
		return;
	/* EINVAL: the parent has shut the socket down, its SIGTERM is on the way. */
	if (code != -EINVAL)
		log_warn("can't accept a connection: %s",
			code > -1000 ? strerror(-code) : "libfcgi error");
	(void)nanosleep(&pause, NULL);
}

static void *run_thread(void *arg)
{
	struct worker_thread *t = arg;

	/* No lock around the accept: with connections that are kept, one waiting thread would hold
	 * up all others. */
	while (!t->process->stopping) {
		int code = FCGX_Accept_r(&t->request);

		t->busy = code == 0;
		if (code == 0)
			serve(t);
		else
			accept_failed(t->process, code);
		t->busy = false;
	}
	/* A connection that the front keeps open would otherwise wait for a next request. */
	FCGX_Free(&t->request, 1);
	return NULL;
}

static void start_threads(struct process *p)
{
	pthread_attr_t attr;

	p->count = p->app->config->pool_threads;
	p->threads = xcalloc((size_t)p->count, sizeof(*p->threads));
	if (pthread_attr_init(&attr) != 0 || pthread_attr_setstacksize(&attr, STACK_BYTES) != 0)
		die("can't set the threads' stack size");
	for (int i = 0; i < p->count; i++) {
		struct worker_thread *t = &p->threads[i];
		int code;

		t->process = p;
		if (FCGX_InitRequest(&t->request, p->listen_fd, FCGI_FAIL_ACCEPT_ON_INTR) != 0)
			die("libfcgi does not take the listening socket");
		code = pthread_create(&t->id, &attr, run_thread, t);
		if (code != 0)
			die("can't make %d threads: %s; lower pool.threads", p->count,
				strerror(code));
	}
	(void)pthread_attr_destroy(&attr);
}

/* Idle threads wait in accept() or, on a kept connection, in read(): a signal ends both, and
 * libfcgi then sees that it is to stop. A signal that comes just before the wait is lost, so it is
 * sent until the thread is gone. Threads with a request are left alone: their connection must stay
 * whole, since half-closing it would look like an agent that hung up. */
static bool stop_threads(struct process *p, int64_t deadline_ms)
{
	FCGX_ShutdownPending();
	p->stopping = true;
	for (int i = 0; i < p->count;) {
		struct timespec until;

		for (int j = i; j < p->count; j++) {
			if (!p->threads[j].busy)
				(void)pthread_kill(p->threads[j].id, WAKE);
		}
		(void)clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += WAKE_EVERY_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		while (i < p->count && pthread_timedjoin_np(p->threads[i].id, NULL, &until) == 0)
			i++;
		if (i < p->count && clock_mono_ms() > deadline_ms) {
			log_warn("%d requests were not finished in time", p->count - i);
			return false;
		}
	}
	return true;
}

/* --- the process ------------------------------------------------------------------------- */

static void woken(int sig)
{
	(void)sig;
}

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
	struct sigaction wake = {.sa_handler = woken}; /* without SA_RESTART: calls must end */

	(void)sigemptyset(wait_for);
	(void)sigaddset(wait_for, SIGTERM);
	(void)sigaddset(wait_for, SIGHUP);
	/* After FCGX_Init(), which sets handlers of its own. SIGINT stays blocked: it is for the
	 * parent, who gets it too. */
	(void)sigaction(WAKE, &wake, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

int pool_process(struct app *app, int listen_fd)
{
	struct process p = {.app = app, .listen_fd = listen_fd, .lock = PTHREAD_MUTEX_INITIALIZER};
	const struct config *config = app->config;
	sigset_t signals;
	bool clean;
	int sig = 0;

	set_malloc();
	if (FCGX_Init() != 0)
		die("libfcgi can't be started");
	prepare_signals(&signals);
	app->db = db_pool_new(config->state_path, DB_HANDLES);
	app->keys = apikey_cache_new(KEYS_CACHED, config->argon2_concurrency);
	p.current = generation_new((struct config *)config);
	p.boot = take(&p);
	start_threads(&p);
	while (sig != SIGTERM) {
		sig = sigwaitinfo(&signals, NULL);
		if (sig == SIGHUP)
			reload(&p);
	}
	clean = stop_threads(&p, clock_mono_ms() + config->drain_timeout_ms);
	if (clean) {
		apikey_cache_free(app->keys);
		db_pool_free(app->db);
		free(p.threads);
		give_back(&p, p.current);
		give_back(&p, p.boot);
		free_unused(&p);
	}
	return clean ? 0 : 1;
}
