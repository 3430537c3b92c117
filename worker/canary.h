/* canary: the proof that masking worked. While a subject is copied it takes the raw values of
 * masked columns and everything that is written, both as keyed hashes of words under a key of this
 * copy alone. At the end it knows which raw values can be found in the snapshot; results are
 * searched for those. docs/masking.md says what it finds and what it can't. */
#ifndef WORKER_CANARY_H
#define WORKER_CANARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/mask_spec.h"
#include "worker/needles.h"
#include "worker/value.h"

/* What shorter values would raise is false alarms. */
#define CANARY_CHARS_MIN 8
#define CANARY_DIGITS_MIN 9

struct canary_watch; /* one copy in the making; one thread */
struct canaries; /* what came of it; any number of threads */

struct canary_watch *canary_watch_new(void);
/* NULL is fine. */
void canary_watch_free(struct canary_watch *w);
/* Whether raw values of a column with this mask are watched for. */
bool canary_wanted(const struct mask_spec *m);
/* column is the caller's number of the value's column; it comes back in canary_pair_fn. */
void canary_raw(struct canary_watch *w, uint32_t column, const struct value *raw);
/* Whether what a column with this mask writes has to be looked at: masks whose output has nothing
 * of the value in it are checked against the value alone. */
bool canary_suspect(
	const struct mask_spec *m, const struct value *raw, const struct value *written);
/* A value as it was written. kept: the column is shown unmasked; a raw value that equals one of its
 * values as a whole is no canary, since it is shown on purpose. */
void canary_stored(struct canary_watch *w, uint32_t column, bool kept, const struct value *stored);
/* Whether there were more raw values than can be watched for; the rest is not. */
bool canary_full(const struct canary_watch *w);
/* A raw value of column raw was found in column stored. Once for each pair. */
typedef void canary_pair_fn(void *ctx, uint32_t raw, uint32_t stored);
/* NULL when masking kept its promise: then there is nothing to look for. */
struct canaries *canary_result(struct canary_watch *w, canary_pair_fn *found, void *ctx);

bool canary_hit(const struct canaries *c, struct words *room, const struct value *v);
/* NULL is fine. */
void canary_free(struct canaries *c);

#endif
