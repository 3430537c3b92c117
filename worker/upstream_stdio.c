#include "worker/upstream_stdio.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/buf.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "worker/upstream.h"

#define READ_SIZE \
	((size_t)65536) /* of one turn, so that one that floods leaves turns to the others */
#define STDERR_LINE_MAX 512
#define COMPACT_AT ((size_t)1 << 20)

struct upstream_stdio {
	struct ev_loop *loop;
	const char *name;
	char *const *command, *const *env;
	struct upstream_stdio_owner owner;
	pid_t pid; /* 0: none */
	int64_t kill_at; /* 0: not asked to end */
	bool killed, reading;
	ev_io in, out, err; /* seen from the child */
	struct buf waiting; /* to be written */
	size_t written;
	struct buf line;
	size_t scanned;
	bool skipping; /* the rest of a line that is too long */
	char err_line[STDERR_LINE_MAX];
	size_t err_len;
};

static void close_pipe(struct upstream_stdio *s, ev_io *w)
{
	if (w->fd < 0)
		return;
	ev_io_stop(s->loop, w);
	(void)close(w->fd);
	w->fd = -1;
}

/* --- stderr ----------------------------------------------------------------------------- */

static void flush_err(struct upstream_stdio *s)
{
	if (s->err_len > 0)
		log_debug("upstream %s says: %.*s", s->name, (int)s->err_len, s->err_line);
	s->err_len = 0;
}

static void on_err(struct ev_loop *loop, ev_io *w, int revents)
{
	struct upstream_stdio *s = w->data;
	char chunk[4096];
	ssize_t n = read(w->fd, chunk, sizeof chunk);

	(void)loop;
	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		flush_err(s);
		close_pipe(s, w);
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (chunk[i] == '\n')
			flush_err(s);
		else if (s->err_len < sizeof s->err_line)
			s->err_line[s->err_len++] = chunk[i];
	}
}

/* --- stdout ----------------------------------------------------------------------------- */

static void one_line(struct upstream_stdio *s, const char *text, size_t len)
{
	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (s->skipping)
		s->skipping = false;
	else if (len > 0)
		s->owner.line(s->owner.ctx, text, len);
}

static void cut_lines(struct upstream_stdio *s)
{
	size_t start = 0;

	/* The owner may stop reading, or end the process, from within. */
	while (s->line.len > s->scanned) {
		const char *data = (const char *)s->line.data;
		const char *nl = memchr(data + s->scanned, '\n', s->line.len - s->scanned);

		if (nl == NULL) {
			s->scanned = s->line.len;
			break;
		}
		one_line(s, data + start, (size_t)(nl - data) - start);
		start = s->scanned = (size_t)(nl - data) + 1;
	}
	buf_consume(&s->line, start);
	s->scanned -= start;
	if (s->line.len > UPSTREAM_MESSAGE_MAX || (s->skipping && s->line.len > 0)) {
		bool first = !s->skipping;

		s->skipping = true;
		buf_free(&s->line);
		s->scanned = 0;
		if (!first)
			return;
		log_warn("upstream %s: a line longer than %zu bytes is skipped", s->name,
			UPSTREAM_MESSAGE_MAX);
		s->owner.too_long(s->owner.ctx);
	}
}

static void on_out(struct ev_loop *loop, ev_io *w, int revents)
{
	struct upstream_stdio *s = w->data;
	uint8_t *room = buf_reserve(&s->line, READ_SIZE);
	ssize_t n = room != NULL ? read(w->fd, room, READ_SIZE) : 0;

	(void)loop;
	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		/* What can't be heard any more is of no use. */
		close_pipe(s, w);
		upstream_stdio_stop(s, 1);
		return;
	}
	buf_commit(&s->line, (size_t)n);
	cut_lines(s);
}

void upstream_stdio_read(struct upstream_stdio *s, bool on)
{
	s->reading = on;
	if (s->out.fd < 0)
		return;
	if (on)
		ev_io_start(s->loop, &s->out);
	else
		ev_io_stop(s->loop, &s->out);
}

/* --- stdin ------------------------------------------------------------------------------ */

static void on_in(struct ev_loop *loop, ev_io *w, int revents)
{
	struct upstream_stdio *s = w->data;
	ssize_t n = write(w->fd, s->waiting.data + s->written, s->waiting.len - s->written);

	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		close_pipe(s, w);
		return;
	}
	s->written += (size_t)n;
	if (s->written == s->waiting.len) {
		buf_free(&s->waiting);
		s->written = 0;
		ev_io_stop(loop, w);
	} else if (s->written >= COMPACT_AT) {
		buf_consume(&s->waiting, s->written);
		s->written = 0;
	}
}

enum rc upstream_stdio_send(struct upstream_stdio *s, const void *text, size_t len)
{
	uint8_t *room;

	if (s->in.fd < 0)
		return RC_UNAVAILABLE;
	if (s->waiting.len - s->written + len + 1 > UPSTREAM_STDIO_QUEUE_MAX)
		return RC_LIMIT;
	room = buf_reserve(&s->waiting, len + 1);
	if (room == NULL) {
		s->waiting.failed = false;
		return RC_LIMIT;
	}
	/* A message is a line; JSON has line ends only between its values. */
	memcpy(room, text, len);
	for (size_t i = 0; i < len; i++)
		if (room[i] == '\n' || room[i] == '\r')
			room[i] = ' ';
	room[len] = '\n';
	buf_commit(&s->waiting, len + 1);
	ev_io_start(s->loop, &s->in);
	return RC_OK;
}

/* --- the process ------------------------------------------------------------------------ */

static void watch(struct upstream_stdio *s, ev_io *w, int fd, int events)
{
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	ev_io_set(w, fd, events);
	w->data = s;
}

static int spawn(struct upstream_stdio *s, const int child[3])
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int err;

	sigemptyset(&none);
	sigfillset(&all);
	(void)posix_spawn_file_actions_init(&files);
	(void)posix_spawnattr_init(&attr);
	for (int fd = 0; fd < 3; fd++)
		(void)posix_spawn_file_actions_adddup2(&files, child[fd], fd);
	/* Nothing else of this process is the child's: no socket, no lock, no database file. */
	(void)posix_spawn_file_actions_addclosefrom_np(&files, 3);
	(void)posix_spawnattr_setflags(
		&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	err = posix_spawnp(&s->pid, s->command[0], &files, &attr, s->command, s->env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return err;
}

static bool open_pipes(int ours[3], int child[3])
{
	for (int i = 0; i < 3; i++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC) != 0)
			return false;
		/* A low number would be overwritten while the child's are put in place. */
		ours[i] = ends[i == 0];
		child[i] = fcntl(ends[i != 0], F_DUPFD_CLOEXEC, 3);
		(void)close(ends[i != 0]);
		if (child[i] < 0)
			return false;
	}
	return true;
}

enum rc upstream_stdio_start(struct upstream_stdio *s)
{
	int ours[3] = {-1, -1, -1}, child[3] = {-1, -1, -1};
	int err = open_pipes(ours, child) ? spawn(s, child) : errno;

	for (int i = 0; i < 3; i++)
		if (child[i] >= 0)
			(void)close(child[i]);
	if (err != 0) {
		for (int i = 0; i < 3; i++)
			if (ours[i] >= 0)
				(void)close(ours[i]);
		s->pid = 0;
		log_err("upstream %s can't be started: %s: %s", s->name, s->command[0],
			strerror(err));
		return RC_UNAVAILABLE;
	}
	s->kill_at = 0;
	s->killed = s->skipping = false;
	s->scanned = s->written = s->err_len = 0;
	watch(s, &s->in, ours[0], EV_WRITE);
	watch(s, &s->out, ours[1], EV_READ);
	watch(s, &s->err, ours[2], EV_READ);
	ev_io_start(s->loop, &s->err);
	if (s->reading)
		ev_io_start(s->loop, &s->out);
	return RC_OK;
}

void upstream_stdio_stop(struct upstream_stdio *s, int64_t now_ms)
{
	if (s->pid == 0 || s->kill_at != 0)
		return;
	close_pipe(s, &s->in);
	(void)kill(-s->pid, SIGTERM);
	s->kill_at = now_ms + UPSTREAM_STDIO_GRACE_MS;
}

static void let_go(struct upstream_stdio *s)
{
	flush_err(s);
	close_pipe(s, &s->in);
	close_pipe(s, &s->out);
	close_pipe(s, &s->err);
	buf_free(&s->waiting);
	buf_free(&s->line);
}

/* What it wrote before it ended. */
static void drain(struct upstream_stdio *s)
{
	for (size_t n = 0; n <= UPSTREAM_MESSAGE_MAX && s->out.fd >= 0; n += READ_SIZE) {
		struct pollfd p = {.fd = s->out.fd, .events = POLLIN};

		if (poll(&p, 1, 0) != 1)
			return;
		on_out(s->loop, &s->out, EV_READ);
	}
}

void upstream_stdio_tick(struct upstream_stdio *s, int64_t now_ms)
{
	int status;

	if (s->pid == 0)
		return;
	if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
		/* What it left behind in its group holds our pipes. */
		(void)kill(-s->pid, SIGKILL);
		s->pid = 0;
		drain(s);
		let_go(s);
		s->owner.ended(s->owner.ctx, status);
	} else if (s->kill_at != 0 && now_ms >= s->kill_at && !s->killed) {
		s->killed = true;
		(void)kill(-s->pid, SIGKILL);
	}
}

bool upstream_stdio_running(const struct upstream_stdio *s)
{
	return s->pid != 0;
}

struct upstream_stdio *upstream_stdio_new(struct ev_loop *loop, const char *name,
	char *const *command, char *const *env, const struct upstream_stdio_owner *owner)
{
	struct upstream_stdio *s = xcalloc(1, sizeof *s);

	s->loop = loop;
	s->name = name;
	s->command = command;
	s->env = env;
	s->owner = *owner;
	s->reading = true;
	ev_io_init(&s->in, on_in, -1, EV_WRITE);
	ev_io_init(&s->out, on_out, -1, EV_READ);
	ev_io_init(&s->err, on_err, -1, EV_READ);
	buf_init(&s->waiting, UPSTREAM_STDIO_QUEUE_MAX + COMPACT_AT + 1);
	buf_init(&s->line, UPSTREAM_MESSAGE_MAX + 2 * READ_SIZE);
	return s;
}

void upstream_stdio_free(struct upstream_stdio *s)
{
	if (s == NULL)
		return;
	if (s->pid != 0) {
		(void)kill(-s->pid, SIGKILL);
		(void)waitpid(s->pid, NULL, 0);
	}
	let_go(s);
	free(s);
}
