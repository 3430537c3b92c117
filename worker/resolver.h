/* resolver: looks a host name up on a thread of its own, since getaddrinfo() can block for many
 * seconds. */
#ifndef WORKER_RESOLVER_H
#define WORKER_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>

#define RESOLVER_MAX 8
#define RESOLVER_TEXT_MAX 64

struct resolver_answer {
	size_t count; /* 0: it failed, why says how */
	char address[RESOLVER_MAX][RESOLVER_TEXT_MAX]; /* numeric */
	char why[128];
};

struct resolver;

/* wake is called from another thread once resolver_done() is true. NULL when no thread can be made.
 */
struct resolver *resolver_start(const char *host, void (*wake)(void *ctx), void *ctx);
bool resolver_done(struct resolver *r, struct resolver_answer *out);
/* Forgets about it, whether done or not: wake is not called any more. NULL is fine. */
void resolver_drop(struct resolver *r);

#endif
