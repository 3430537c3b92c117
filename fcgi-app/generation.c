#include "fcgi-app/generation.h"

#include <stdlib.h>

#include "shared/mem.h"

static struct generation *generation_new(struct config *config)
{
	struct generation *one = xmalloc(sizeof(*one));

	*one = (struct generation){.config = config, .uses = 1};
	return one;
}

void generations_init(struct generations *g, struct config *config)
{
	*g = (struct generations){.current = generation_new(config)};
	(void)pthread_mutex_init(&g->lock, NULL);
	g->boot = generation_take(g);
}

struct generation *generation_take(struct generations *g)
{
	struct generation *one;

	(void)pthread_mutex_lock(&g->lock);
	one = g->current;
	one->uses++;
	(void)pthread_mutex_unlock(&g->lock);
	return one;
}

void generation_put(struct generations *g, struct generation *one)
{
	(void)pthread_mutex_lock(&g->lock);
	if (--one->uses == 0) {
		one->next = g->unused;
		g->unused = one;
	}
	(void)pthread_mutex_unlock(&g->lock);
}

/* In the main thread only: config_reload() and config_free() share what is not locked. */
static void free_unused(struct generations *g)
{
	struct generation *one, *next;

	(void)pthread_mutex_lock(&g->lock);
	one = g->unused;
	g->unused = NULL;
	(void)pthread_mutex_unlock(&g->lock);
	for (; one; one = next) {
		next = one->next;
		config_free(one->config);
		free(one);
	}
}

void generations_reload(struct generations *g)
{
	struct config *fresh = config_reload();
	struct generation *old;

	if (!fresh)
		return;
	(void)pthread_mutex_lock(&g->lock);
	old = g->current;
	g->current = generation_new(fresh);
	(void)pthread_mutex_unlock(&g->lock);
	generation_put(g, old);
	free_unused(g);
}

void generations_free(struct generations *g)
{
	generation_put(g, g->current);
	generation_put(g, g->boot);
	free_unused(g);
	(void)pthread_mutex_destroy(&g->lock);
}
