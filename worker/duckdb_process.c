#include "worker/duckdb_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "worker/duckdb_helper.h"

#define TICK_MS 20 /* how often the budget is asked while the process works */
#define PATIENCE_MS 60000

struct duckdb_process {
	pid_t pid;
	int fd;
	struct buf in, out;
	size_t used; /* bytes of in that the last frame took */
};

/* --- starting ------------------------------------------------------------------------ */

static int add_files(posix_spawn_file_actions_t *files, int fd)
{
	int wrong = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);

	/* Its library may print what it likes, values included: nobody reads it. */
	if (!wrong)
		wrong = posix_spawn_file_actions_addopen(files, 1, "/dev/null", O_WRONLY, 0);
	if (!wrong)
		wrong = posix_spawn_file_actions_adddup2(files, 1, 2);
	if (!wrong)
		wrong = posix_spawn_file_actions_adddup2(files, fd, DUCKDB_HELPER_FD);
	return wrong ? wrong
		     : posix_spawn_file_actions_addclosefrom_np(files, DUCKDB_HELPER_FD + 1);
}

/* The running program once more, also when its file has been replaced meanwhile. A session of its
 * own, so that a terminal's Ctrl-C does not reach it, no blocked or ignored signals, an empty
 * environment. */
static int spawn(int fd, pid_t *pid)
{
	char name[] = "airlock-worker", command[] = DUCKDB_HELPER_COMMAND;
	char *argv[] = {name, command, NULL}, *envp[] = {NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int wrong;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(
		&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	wrong = add_files(&files, fd);
	if (!wrong)
		wrong = posix_spawn(pid, "/proc/self/exe", &files, &attr, argv, envp);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return wrong;
}

enum rc duckdb_process_spawn(const char *library, struct duckdb_process **out)
{
	struct duckdb_process *p;
	int fds[2], wrong;
	size_t begin;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
		log_err("the snapshot engine's process can't be started: %s", strerror(errno));
		return RC_INTERNAL;
	}
	p = xcalloc(1, sizeof(*p));
	p->fd = fds[0];
	buf_init(&p->in, WIRE_FRAME_MAX + WIRE_HEAD + WIRE_BATCH);
	buf_init(&p->out, WIRE_FRAME_MAX + WIRE_HEAD);
	wrong = spawn(fds[1], &p->pid);
	close(fds[1]);
	if (wrong) {
		p->pid = 0;
		log_err("the snapshot engine's process can't be started: %s", strerror(wrong));
		duckdb_process_end(p);
		return RC_INTERNAL;
	}
	if (!library)
		library = "";
	begin = wire_begin(&p->out, WIRE_LOAD);
	wire_str(&p->out, library, strlen(library));
	wire_end(&p->out, begin);
	if (duckdb_process_send(p) != RC_OK) /* which is found again when it gets its work */
		log_debug("the snapshot engine's process is gone as soon as it was started");
	*out = p;
	return RC_OK;
}

enum rc duckdb_process_start(
	struct duckdb_process *p, const struct duckdb_start *start, char *why, size_t why_size)
{
	size_t begin = wire_begin(&p->out, WIRE_HELLO);
	struct budget none = {.check = NULL};
	struct wire_frame f = {.size = 0};
	enum rc rc;

	wire_u8(&p->out, start->mode);
	wire_i64(&p->out, start->max_memory);
	wire_i64(&p->out, start->max_file);
	wire_str(&p->out, start->path, strlen(start->path));
	wire_end(&p->out, begin);
	rc = duckdb_process_send(p);
	if (rc == RC_OK || rc == RC_UNAVAILABLE)
		rc = duckdb_process_receive(p, &none, &f);
	if (rc == RC_OK && f.kind == WIRE_READY)
		return RC_OK;
	if (rc == RC_OK && f.kind == WIRE_DONE && f.payload.end - f.payload.p > 2) {
		snprintf(why, why_size, "%.*s", (int)(f.payload.end - f.payload.p - 2),
			(const char *)f.payload.p + 2);
		return RC_INVALID;
	}
	log_err("the snapshot engine's process ended while it started");
	return RC_INTERNAL;
}

void duckdb_process_end(struct duckdb_process *p)
{
	if (!p)
		return;
	if (p->pid > 0) {
		(void)kill(p->pid, SIGKILL);
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close(p->fd);
	buf_free(&p->in);
	buf_free(&p->out);
	free(p);
}

/* --- talking ---------------------------------------------------------------------------- */

bool duckdb_process_alive(const struct duckdb_process *p)
{
	struct pollfd at = {.fd = p->fd, .events = POLLIN};

	return p->in.len == p->used && poll(&at, 1, 0) == 0;
}

struct buf *duckdb_process_out(struct duckdb_process *p)
{
	return &p->out;
}

/* It speaks unasked only to say that it gives up; who goes on sending would wait for ever. */
enum rc duckdb_process_send(struct duckdb_process *p)
{
	int64_t deadline = clock_mono_ms() + PATIENCE_MS;
	size_t sent = 0;
	enum rc rc = p->out.failed ? RC_UNAVAILABLE : RC_OK;

	while (rc == RC_OK && sent < p->out.len) {
		struct pollfd at = {.fd = p->fd, .events = POLLIN | POLLOUT};
		ssize_t n;

		n = send(p->fd, p->out.data + sent, p->out.len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			sent += (size_t)n;
		else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			(void)poll(&at, 1, 1000);
		else if (errno != EINTR)
			rc = RC_UNAVAILABLE;
		if ((at.revents & POLLIN) || clock_mono_ms() > deadline)
			rc = RC_UNAVAILABLE;
	}
	buf_reset(&p->out);
	return rc;
}

enum rc duckdb_process_receive(
	struct duckdb_process *p, const struct budget *budget, struct wire_frame *out)
{
	int64_t deadline = clock_mono_ms() + PATIENCE_MS;
	enum wire_status status;

	buf_consume(&p->in, p->used);
	p->used = 0;
	while ((status = wire_parse(p->in.data, p->in.len, out)) == WIRE_MORE) {
		struct pollfd at = {.fd = p->fd, .events = POLLIN};
		uint8_t *room = buf_reserve(&p->in, WIRE_BATCH);
		ssize_t n;

		if (!room)
			return RC_UNAVAILABLE;
		/* What has come is taken first, however late it is. */
		n = recv(p->fd, room, WIRE_BATCH, MSG_DONTWAIT);
		if (n > 0) {
			buf_commit(&p->in, (size_t)n);
			continue;
		}
		if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
			return RC_UNAVAILABLE;
		if (budget->check ? budget_check(budget) != BUDGET_GO : clock_mono_ms() > deadline)
			return RC_LIMIT;
		(void)poll(&at, 1, TICK_MS);
	}
	if (status == WIRE_BAD)
		return RC_UNAVAILABLE;
	p->used = out->size;
	return RC_OK;
}
