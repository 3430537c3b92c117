/* pii: which columns look as if they held personal data, by name and by the shape of sampled
 * values. Pure; a proposal for people to judge, not a guarantee. */
#ifndef WORKER_PII_H
#define WORKER_PII_H

#include <stddef.h>

#include "worker/value.h"
#include "worker/wconfig.h"

struct pii {
	enum mask_kind mask; /* MASK_KEEP: nothing found */
	bool exclude; /* better not in a snapshot at all */
	const char *reason;
};

struct pii pii_by_name(const char *column);

/* Counts over the sampled values of one column. */
enum { PII_MAIL, PII_CARD, PII_IBAN, PII_SSN, PII_PHONE, PII_IP, PII_SHAPES };
struct pii_shapes {
	size_t values, hits[PII_SHAPES];
};
void pii_sample(struct pii_shapes *s, const struct value *v);
struct pii pii_by_shape(const struct pii_shapes *s);

#endif
