/* civil: dates of the Gregorian calendar as texts begin with them ("2024-03-01", with or without a
 * time behind). Pure. */
#ifndef WORKER_CIVIL_H
#define WORKER_CIVIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CIVIL_LEN 10 /* YYYY-MM-DD */

struct civil {
	int year, month, day; /* years 1 to 9999 */
};

/* The date that text begins with; behind it the text ends, or ' ' or 'T' and a time of day follow,
 * with or without an offset, and nothing else. */
bool civil_parse(const char *text, size_t len, struct civil *out);
/* Days since 1970-01-01. */
int64_t civil_days(struct civil c);
/* False when the year would have another number of digits than four. */
bool civil_from_days(int64_t days, struct civil *out);
void civil_text(struct civil c, char out[CIVIL_LEN + 1]);

#endif
