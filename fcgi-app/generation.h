/* generation: the configurations of a pool process: the current one, and older ones for as long as
 * a request is being answered with them. Any thread may hold one; only the main thread reloads. */
#ifndef FCGI_APP_GENERATION_H
#define FCGI_APP_GENERATION_H

#include <pthread.h>

#include "shared/config.h"

struct generation {
	struct config *config;
	int uses; /* requests, plus one while it is the current one */
	struct generation *next; /* of those that nobody uses any more */
};

struct generations {
	pthread_mutex_t lock;
	struct generation *current;
	struct generation *unused;
	struct generation *boot; /* app->config points into it: it stays */
};

/* Takes config over. */
void generations_init(struct generations *g, struct config *config);
void generations_reload(struct generations *g);
/* Nobody may hold one any more. */
void generations_free(struct generations *g);
struct generation *generation_take(struct generations *g);
void generation_put(struct generations *g, struct generation *one);

#endif
