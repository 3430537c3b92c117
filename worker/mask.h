/* mask: what is done to a value before it may be written anywhere. Pure; docs/masking.md says what
 * each mask promises. */
#ifndef WORKER_MASK_H
#define WORKER_MASK_H

#include <stddef.h>
#include <stdint.h>

#include "worker/value.h"
#include "worker/wconfig.h"

#define MASK_SECRET_LEN 32
#define MASK_HASH_CHARS 24
#define MASK_TEXT_MAX (2 + MASK_HASH_CHARS)
#define MASK_REDACTED "[redacted]"

/* Keys derived from the worker's secret, one per use, so that no output of one use can be compared
 * with another's. */
struct mask {
	uint8_t value_keys[5][MASK_SECRET_LEN]; /* by enum value_kind */
	uint8_t subject_key[MASK_SECRET_LEN];
};
void mask_init(struct mask *m, const uint8_t secret[MASK_SECRET_LEN]);
void mask_clear(struct mask *m);
/* *out may point into text or in; NULL stays NULL. in and out may be the same. */
void mask_value(const struct mask *m, enum mask_kind kind, const struct value *in,
	char text[MASK_TEXT_MAX + 1], struct value *out);
/* What kind of column a masked one becomes. */
enum column_kind mask_column_kind(enum mask_kind mask, enum column_kind source);
/* The digest by which the control plane may recognise a subject without knowing it. Hex. */
void mask_subject_digest(const struct mask *m, const char *subject, size_t len, char out[65]);
const char *mask_name(enum mask_kind kind);

#endif
