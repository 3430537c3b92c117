#include "fcgi-app/pool.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"

#define SOCKET_NAME "fcgi.sock"
#define BACKLOG 2048 /* with less, a burst of connections is refused at once instead of waiting */
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 30000
#define LIVED_LONG_MS 10000
/* What the processes have beyond their own drain time before they are killed. */
#define KILL_AFTER_MS 3000

struct member {
	pid_t pid; /* 0: not running */
	int64_t started_ms;
	int64_t due_ms; /* when the next one may be made */
	int backoff_ms;
};

struct pool {
	struct app *app;
	const struct config *config;
	int listen_fd;
	struct stat socket_file;
	char path[108];
	struct member *members;
	int count;
	sigset_t signals;
};

/* --- the socket -------------------------------------------------------------------------- */

static void set_address(struct sockaddr_un *addr, const char *path)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (!str_copy(addr->sun_path, sizeof(addr->sun_path), path))
		die("server.run_dir is too long for a socket's path: %s", path);
}

/* Two pools on one path would take turns at being unreachable. */
static bool somebody_listens(const char *path)
{
	struct sockaddr_un addr;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool alive;

	set_address(&addr, path);
	alive = fd >= 0 &&
		(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0 || errno == EAGAIN);
	if (fd >= 0)
		(void)close(fd);
	return alive;
}

/* Bound beside its name, made ready, then renamed: whoever sees the socket can use it, and a dead
 * one's file is replaced. */
static void open_socket(struct pool *p)
{
	struct sockaddr_un addr;
	char beside[sizeof(p->path) + 16];

	if (config_socket_path(p->config, SOCKET_NAME, p->path) != RC_OK)
		die("server.run_dir is too long for a socket's path: %s", p->config->run_dir);
	if (somebody_listens(p->path))
		die("another airlock-fcgi-app is running: it listens on %s", p->path);
	(void)snprintf(beside, sizeof(beside), "%s.%d", p->path, (int)getpid());
	set_address(&addr, beside);
	(void)unlink(beside);
	/* Several processes wait for it: none may get stuck with a connection another one took. */
	p->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->listen_fd < 0 ||
		bind(p->listen_fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0 ||
		chmod(beside, 0660) != 0 || listen(p->listen_fd, BACKLOG) != 0 ||
		stat(beside, &p->socket_file) != 0 || rename(beside, p->path) != 0) {
		int error = errno;

		(void)unlink(beside);
		die("can't listen on %s: %s; check server.run_dir in %s", p->path, strerror(error),
			p->config->config_path);
	}
}

/* A new pool may have put its own socket there meanwhile. */
static void remove_socket(const struct pool *p)
{
	struct stat now;

	if (stat(p->path, &now) == 0 && now.st_dev == p->socket_file.st_dev &&
		now.st_ino == p->socket_file.st_ino)
		(void)unlink(p->path);
}

/* The loop's connections, one to tunneld a thread; the state and the log need a few more. */
static void raise_fd_limit(const struct config *config)
{
	rlim_t need = (rlim_t)config->pool_threads + 1024;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need)
		return;
	limit.rlim_cur = limit.rlim_max < need ? limit.rlim_max : need;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < need)
		log_warn("pool.threads is %d, but only %llu files may be open: raise the limit "
			 "(ulimit "
			 "-n)",
			config->pool_threads, (unsigned long long)limit.rlim_cur);
}

/* --- members ----------------------------------------------------------------------------- */

static void start(struct pool *p, struct member *m)
{
	pid_t parent = getpid();

	m->started_ms = clock_mono_ms();
	m->pid = fork();
	if (m->pid == 0) {
		int status = 1;

		/* Nobody is to serve from a pool that nobody can stop. */
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() == parent)
			status = pool_process(p->app, p->listen_fd);
		/* Threads may still run when it did not end well: no exit handlers under their
		 * feet. */
		if (status)
			_exit(status);
		exit(0);
	}
	if (m->pid < 0) {
		log_err("can't make a process: %s", strerror(errno));
		m->pid = 0;
		m->due_ms = m->started_ms + BACKOFF_FIRST_MS;
	}
}

static void start_due(struct pool *p)
{
	for (int i = 0; i < p->count; i++) {
		if (p->members[i].pid == 0 && p->members[i].due_ms <= clock_mono_ms())
			start(p, &p->members[i]);
	}
}

/* A process that dies at once, again and again, is made anew ever more slowly. */
static void schedule(struct member *m)
{
	int64_t now = clock_mono_ms();

	if (now - m->started_ms > LIVED_LONG_MS || m->backoff_ms == 0)
		m->backoff_ms = BACKOFF_FIRST_MS;
	else
		m->backoff_ms =
			m->backoff_ms * 2 < BACKOFF_MAX_MS ? m->backoff_ms * 2 : BACKOFF_MAX_MS;
	m->due_ms = now + m->backoff_ms;
}

/* Collects the dead. */
static void reap(struct pool *p, bool stopping)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int i = 0; i < p->count; i++) {
			struct member *m = &p->members[i];

			if (m->pid != pid)
				continue;
			m->pid = 0;
			schedule(m);
			if (WIFSIGNALED(status))
				log_err("process %d was killed by signal %d", (int)pid,
					WTERMSIG(status));
			else if (!stopping || WEXITSTATUS(status) != 0)
				log_warn("process %d ended with status %d", (int)pid,
					WEXITSTATUS(status));
		}
	}
}

static void signal_all(const struct pool *p, int sig)
{
	for (int i = 0; i < p->count; i++) {
		if (p->members[i].pid > 0)
			(void)kill(p->members[i].pid, sig);
	}
}

static int running(const struct pool *p)
{
	int n = 0;

	for (int i = 0; i < p->count; i++)
		n += p->members[i].pid > 0;
	return n;
}

/* --- the loop ---------------------------------------------------------------------------- */

/* Waits for a signal until a time (clock_mono_ms; -1: for ever). 0: the time is up. */
static int wait_signal(const struct pool *p, int64_t until_ms)
{
	int64_t left = until_ms - clock_mono_ms();
	struct timespec wait = {0};
	int sig;

	if (left > 0)
		wait = (struct timespec){.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
	do
		sig = until_ms < 0 ? sigwaitinfo(&p->signals, NULL)
				   : sigtimedwait(&p->signals, NULL, &wait);
	while (sig < 0 && errno == EINTR);
	return sig < 0 ? 0 : sig;
}

static int64_t next_due(const struct pool *p)
{
	int64_t due = -1;

	for (int i = 0; i < p->count; i++) {
		const struct member *m = &p->members[i];

		if (m->pid == 0 && (due < 0 || m->due_ms < due))
			due = m->due_ms;
	}
	return due;
}

/* The parent keeps its own copy up to date, for the processes still to come. */
static void reload(struct pool *p)
{
	struct config *fresh = config_reload();

	if (fresh) {
		struct config *old = (struct config *)p->config;

		p->config = p->app->config = fresh;
		config_free(old);
		log_info("log level and origins were read again");
	}
	signal_all(p, SIGHUP);
}

static void supervise(struct pool *p)
{
	for (;;) {
		start_due(p);
		switch (wait_signal(p, next_due(p))) {
		case SIGTERM:
		case SIGINT:
			return;
		case SIGHUP:
			reload(p);
			break;
		case SIGCHLD:
			reap(p, false);
			break;
		default:
			break;
		}
	}
}

static int stop(struct pool *p)
{
	int64_t deadline = clock_mono_ms() + p->config->drain_timeout_ms + KILL_AFTER_MS;
	bool killed = false;

	log_info("stopping: no new requests, %d ms for those in hand", p->config->drain_timeout_ms);
	remove_socket(p);
	/* The socket is one for all processes: this ends every accept(). */
	(void)shutdown(p->listen_fd, SHUT_RDWR);
	signal_all(p, SIGTERM);
	for (reap(p, true); running(p) > 0; reap(p, true)) {
		if (wait_signal(p, killed ? -1 : deadline) == 0) {
			log_err("%d processes did not stop in time and are killed", running(p));
			signal_all(p, SIGKILL);
			killed = true;
		}
	}
	log_info("stopped");
	return killed ? 1 : 0;
}

int pool_run(struct app *app)
{
	struct pool p = {.app = app, .config = app->config, .count = app->config->pool_processes};
	int status;

	p.members = xcalloc((size_t)p.count, sizeof(*p.members));
	(void)sigemptyset(&p.signals);
	(void)sigaddset(&p.signals, SIGTERM);
	(void)sigaddset(&p.signals, SIGINT);
	(void)sigaddset(&p.signals, SIGHUP);
	(void)sigaddset(&p.signals, SIGCHLD);
	/* Blocked here, so that the processes and all their threads begin with them blocked. */
	(void)sigprocmask(SIG_BLOCK, &p.signals, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	raise_fd_limit(p.config);
	open_socket(&p);
	log_info("listening on %s with %d processes of %d threads", p.path, p.count,
		p.config->pool_threads);
	supervise(&p);
	status = stop(&p);
	(void)close(p.listen_fd);
	free(p.members);
	return status;
}
