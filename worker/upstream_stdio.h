/* upstream_stdio: an MCP server as a child process: its pipes on the event loop, a message a line,
 * its end noticed. Knows nothing of what the messages say; who starts it again is its owner. */
#ifndef WORKER_UPSTREAM_STDIO_H
#define WORKER_UPSTREAM_STDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"

#define UPSTREAM_STDIO_QUEUE_MAX ((size_t)32 << 20) /* bytes that it has not read yet */
#define UPSTREAM_STDIO_GRACE_MS 2000 /* from SIGTERM to SIGKILL */

struct ev_loop;

struct upstream_stdio_owner {
	void *ctx;
	/* One line without its end; never empty, at most UPSTREAM_MESSAGE_MAX. */
	void (*line)(void *ctx, const char *text, size_t len);
	/* A line longer than that begins; it is skipped. */
	void (*too_long)(void *ctx);
	/* The process is gone, with all of its group; status is that of waitpid(). */
	void (*ended)(void *ctx, int status);
};

struct upstream_stdio;
/* All borrowed. command and env end with NULL. */
struct upstream_stdio *upstream_stdio_new(struct ev_loop *loop, const char *name,
	char *const *command, char *const *env, const struct upstream_stdio_owner *owner);
/* Kills what still runs. NULL is fine. */
void upstream_stdio_free(struct upstream_stdio *s);

/* RC_UNAVAILABLE: it can't be started (logged). */
enum rc upstream_stdio_start(struct upstream_stdio *s) MUST_CHECK;
/* Asks it to end, and makes it after a while; ended() follows from upstream_stdio_tick(). */
void upstream_stdio_stop(struct upstream_stdio *s, int64_t now_ms);
bool upstream_stdio_running(const struct upstream_stdio *s);
/* RC_LIMIT: it does not read; RC_UNAVAILABLE: it is not there. */
enum rc upstream_stdio_send(struct upstream_stdio *s, const void *text, size_t len) MUST_CHECK;
/* Whether its output is read for now. */
void upstream_stdio_read(struct upstream_stdio *s, bool on);
/* Called several times a second. */
void upstream_stdio_tick(struct upstream_stdio *s, int64_t now_ms);

#endif
