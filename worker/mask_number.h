/* mask_number: the masks that blur numbers and dates: noise, ranges, shifted and truncated dates.
 * Pure. */
#ifndef WORKER_MASK_NUMBER_H
#define WORKER_MASK_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/buf.h"
#include "worker/mask_spec.h"
#include "worker/value.h"

/* Each is false when in can't be read so; *out then is untouched. */

/* random is of the value and a key. The result is within the bound and, unless the value is 0 and
 * the bound a percentage, another number. */
bool mask_noise(
	const struct mask_spec *s, uint64_t random, const struct value *in, struct value *out);
/* "[30,40)", written to room. */
bool mask_range(
	const struct mask_spec *s, const struct value *in, struct buf *room, struct value *out);
/* Moves the date by 1 to s->days days, either way; a time behind it stays. */
bool mask_shift(const struct mask_spec *s, uint64_t random, const struct value *in,
	struct buf *room, struct value *out);
/* The first day of the date's week, month, quarter or year. */
bool mask_truncate(
	const struct mask_spec *s, const struct value *in, struct buf *room, struct value *out);

#endif
