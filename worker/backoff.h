/* backoff: when to dial the control plane again. Exponential with full jitter; the first try comes
 * within a second, and for the first minute of an outage tries are at most 4 s apart, so that a
 * restarted control plane has its workers back within 5 s. Pure: time and randomness are arguments.
 */
#ifndef WORKER_BACKOFF_H
#define WORKER_BACKOFF_H

#include <stdint.h>

#define BACKOFF_SHORT_CAP_MS 4000
#define BACKOFF_LONG_CAP_MS 30000
#define BACKOFF_SHORT_OUTAGE_MS 60000
#define BACKOFF_HOPELESS_MS 60000 /* after a refusal that trying again will not change */

struct backoff {
	int failures;
	int64_t down_since_ms;
};

/* A session stands, and lasted long enough to be believed. */
void backoff_reset(struct backoff *b);
/* One more failure: how many ms to wait before the next try. */
int64_t backoff_next(struct backoff *b, int64_t now_ms, uint32_t random);
/* base and up to the same again. */
int64_t backoff_spread(int64_t base_ms, uint32_t random);

#endif
