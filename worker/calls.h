/* calls: the tool calls in hand, from the link to the threads that run them and back. Everything
 * but the running itself happens on the loop's thread. */
#ifndef WORKER_CALLS_H
#define WORKER_CALLS_H

#include <stddef.h>

#include "shared/rc.h"
#include "worker/link.h"
#include "worker/mcp_server.h"

#define CALLS_WAITING_MAX 128 /* beyond the running ones; more are answered overloaded */

struct calls;

/* server is borrowed. wake is called from any thread when calls_collect() has something to do. */
enum rc calls_new(const struct mcp_server *server, int threads, void (*wake)(void *ctx), void *ctx,
	struct calls **out) MUST_CHECK;
/* A call from the link: runs it, or answers that it can't. */
void calls_start(struct calls *c, struct link *l, struct link_call *call);
void calls_cancel(struct calls *c, const char *id);
void calls_cancel_all(struct calls *c);
/* The connection is gone: nobody waits for the results any more. */
void calls_lost(struct calls *c);
/* Hands finished results to the link (NULL: drops them) while it has room. */
void calls_collect(struct calls *c, struct link *l);
/* How many are waiting, running or not yet collected. */
size_t calls_count(const struct calls *c);
/* Cancels what is left and joins the threads; calls_start() answers overloaded from here on. */
void calls_stop(struct calls *c);
void calls_free(struct calls *c);

#endif
