/* pii: which columns look as if they held personal data, by name and by the shape of sampled
 * values. Pure; a proposal for people to judge, not a guarantee. */
#ifndef WORKER_PII_H
#define WORKER_PII_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/mask_spec.h"
#include "worker/value.h"

struct pii {
	struct mask_spec mask; /* MASK_KEEP: nothing found */
	bool exclude; /* better not in a snapshot at all */
	const char *reason;
};

/* Counts over the sampled values of one column. */
enum { PII_MAIL, PII_CARD, PII_IBAN, PII_SSN, PII_PHONE, PII_IP, PII_PROSE, PII_SHAPES };
struct pii_shapes {
	size_t values, hits[PII_SHAPES];
	size_t dates; /* texts that begin with a date */
	double largest; /* number, whatever its sign */
};
void pii_sample(struct pii_shapes *s, const struct value *v);

/* What the name says, or else the values. The mask fits a column of this kind that has such values:
 * what can't be blurred is hidden. */
struct pii pii_judge(const char *column, enum column_kind kind, const struct pii_shapes *s);
/* Whether the table's name says that its rows are people, so that their "name" is a person's. */
bool pii_table_of_people(const char *table);

#endif
