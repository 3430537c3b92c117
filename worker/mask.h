/* mask: what is done to a value before it may be written anywhere. Pure; docs/masking.md says what
 * each mask promises. */
#ifndef WORKER_MASK_H
#define WORKER_MASK_H

#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "worker/mask_spec.h"
#include "worker/needles.h"
#include "worker/value.h"

#define MASK_SECRET_LEN 32
#define MASK_HASH_CHARS 24
#define MASK_HASH_LEN (2 + MASK_HASH_CHARS)
#define MASK_REDACTED "[redacted]"
/* Free text grows when finds are replaced by longer labels. */
#define MASK_ROOM_MAX (4 * VALUE_BYTES_MAX)

/* Keys derived from the masking key, one per use, so that no output of one use can be compared
 * with another's. */
struct mask {
	uint8_t value_keys[5][MASK_SECRET_LEN]; /* by enum value_kind */
	uint8_t subject_key[MASK_SECRET_LEN];
	uint8_t mail_key[MASK_SECRET_LEN];
	uint8_t token_key[MASK_SECRET_LEN];
	uint8_t shift_key[MASK_SECRET_LEN];
	uint8_t noise_key[MASK_SECRET_LEN];
};
void mask_init(struct mask *m, const uint8_t secret[MASK_SECRET_LEN]);
void mask_clear(struct mask *m);

/* The masks of one copy of one subject. One thread. */
struct mask_run {
	const struct mask *m;
	uint64_t shift; /* what the subject's dates are moved by, not yet bounded */
	const struct needles *known; /* for free text, or NULL */
	const uint8_t *words_key;
	struct words words;
};
void mask_run_init(struct mask_run *r, const struct mask *m, const struct value *subject);
void mask_run_free(struct mask_run *r);
/* *out may point into room, which is overwritten, or in; NULL stays NULL. What a mask can't read
 * becomes NULL (date_shift, noise, bucket) or is hashed or redacted, never kept. */
void mask_value(struct mask_run *r, const struct mask_spec *spec, const struct value *in,
	struct buf *room, struct value *out);
/* The digest by which the control plane may recognise a subject without knowing it. Hex. */
void mask_subject_digest(const struct mask *m, const char *subject, size_t len, char out[65]);

#endif
