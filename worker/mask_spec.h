/* mask_spec: which mask a column has and how strong it is, as airlock.yaml says it. Pure; knows
 * names, options and their bounds, and not how values are masked. */
#ifndef WORKER_MASK_SPEC_H
#define WORKER_MASK_SPEC_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/rc.h"
#include "worker/value.h"

enum mask_kind {
	MASK_KEEP,
	MASK_HASH,
	MASK_REDACT,
	MASK_NULL,
	MASK_PARTIAL,
	MASK_EMAIL,
	MASK_DATE_SHIFT,
	MASK_NOISE,
	MASK_BUCKET,
	MASK_TOKEN,
	MASK_TEXT,
};
#define MASK_KINDS (MASK_TEXT + 1)

/* What a bucket of dates begins with. */
enum mask_unit { UNIT_NONE, UNIT_DAY, UNIT_WEEK, UNIT_MONTH, UNIT_QUARTER, UNIT_YEAR };

struct mask_spec {
	enum mask_kind kind;
	bool no_canary; /* its values are ordinary words that may occur elsewhere */
	int last; /* partial: so many characters stay */
	int days; /* date_shift: at most so many days either way */
	double percent; /* noise: at most so much of the value ... */
	double amount; /* ... or, when not 0, at most so much */
	double size; /* bucket of numbers; 0: of dates */
	enum mask_unit to; /* bucket of dates */
};

const char *mask_name(enum mask_kind kind);
#define MASK_SPEC_TEXT_MAX 47
/* With its options, for people: "bucket to year". */
void mask_spec_text(const struct mask_spec *m, char out[MASK_SPEC_TEXT_MAX + 1]);
/* RC_NOTFOUND when no mask is called so; *nearest is then the closest name, or NULL. */
enum rc mask_kind_parse(const char *name, enum mask_kind *out, const char **nearest) MUST_CHECK;
/* The mask with its options at their defaults. */
struct mask_spec mask_spec_default(enum mask_kind kind);
/* One option. RC_INVALID with why (no name of a file or column in it). */
enum rc mask_spec_option(
	struct mask_spec *m, const char *key, const char *text, char *why, size_t size) MUST_CHECK;
/* After the last option. */
enum rc mask_spec_check(const struct mask_spec *m, char *why, size_t size) MUST_CHECK;
/* Whether the mask makes sense for such a column. */
enum rc mask_spec_fits(
	const struct mask_spec *m, enum column_kind kind, char *why, size_t size) MUST_CHECK;
/* Whether equal values stay equal in every table, so that tables can be joined by them. */
bool mask_joins(enum mask_kind kind);
/* What kind of column a masked one becomes. */
enum column_kind mask_column_kind(enum mask_kind mask, enum column_kind source);

#endif
