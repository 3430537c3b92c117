#include "worker/resolver.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "shared/mem.h"

/* Shared by the two threads; the one that lets go last frees it. */
struct resolver {
	pthread_mutex_t lock;
	bool done, dropped;
	char host[256];
	struct resolver_answer answer;
	void (*wake)(void *ctx);
	void *ctx;
};

static void destroy(struct resolver *r)
{
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static void look_up(const char *host, struct resolver_answer *out)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *list = NULL;
	int err = getaddrinfo(host, NULL, &hints, &list);

	if (err == EAI_ADDRFAMILY || err == EAI_NONAME) {
		/* AI_ADDRCONFIG ignores loopback addresses: a host without a network has no family
		 * at all. */
		hints.ai_flags = 0;
		err = getaddrinfo(host, NULL, &hints, &list);
	}
	if (err != 0) {
		(void)snprintf(out->why, sizeof out->why, "%s", gai_strerror(err));
		return;
	}
	for (const struct addrinfo *a = list; a != NULL && out->count < RESOLVER_MAX;
		a = a->ai_next) {
		char *text = out->address[out->count];
		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, RESOLVER_TEXT_MAX, NULL, 0,
			    NI_NUMERICHOST) == 0)
			out->count++;
	}
	freeaddrinfo(list);
	if (out->count == 0)
		(void)snprintf(out->why, sizeof out->why, "the name has no address");
}

static void *thread_main(void *arg)
{
	struct resolver *r = arg;
	struct resolver_answer answer = {0};

	look_up(r->host, &answer);
	pthread_mutex_lock(&r->lock);
	r->answer = answer;
	r->done = true;
	bool dropped = r->dropped;
	if (!dropped)
		r->wake(r->ctx);
	pthread_mutex_unlock(&r->lock);
	if (dropped)
		destroy(r);
	return NULL;
}

struct resolver *resolver_start(const char *host, void (*wake)(void *ctx), void *ctx)
{
	struct resolver *r = xcalloc(1, sizeof *r);
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;

	pthread_mutex_init(&r->lock, NULL);
	(void)str_copy(r->host, sizeof r->host, host);
	r->wake = wake;
	r->ctx = ctx;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int err = pthread_create(&thread, &attr, thread_main, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (err != 0) {
		destroy(r);
		return NULL;
	}
	return r;
}

bool resolver_done(struct resolver *r, struct resolver_answer *out)
{
	pthread_mutex_lock(&r->lock);
	bool done = r->done;
	if (done)
		*out = r->answer;
	pthread_mutex_unlock(&r->lock);
	return done;
}

void resolver_drop(struct resolver *r)
{
	if (r == NULL)
		return;
	pthread_mutex_lock(&r->lock);
	r->dropped = true;
	bool done = r->done;
	pthread_mutex_unlock(&r->lock);
	if (done)
		destroy(r);
}
