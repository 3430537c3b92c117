/* loop: the daemon's one event loop: listeners, signals, the wake-ups from the writers' threads,
 * the one timer, and the way from SIGTERM to the end. */
#ifndef TUNNELD_LOOP_H
#define TUNNELD_LOOP_H

#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/rc.h"

struct loop;

/* Opens everything and listens; the dispatch socket last, so that its being there means that the
 * rest is. */
enum rc loop_open(const struct config *config, const struct crypto_identity *identity,
	struct loop **out) MUST_CHECK;
/* Until SIGTERM or SIGINT and the drain that follows. */
void loop_run(struct loop *l);
/* Flushes what is to be written and closes. NULL is fine. */
void loop_close(struct loop *l);

#endif
