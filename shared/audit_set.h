/* audit_set: which rows of one block of the audit log have something in common, as a set of bits,
 * and the shortest of its spellings. Pure. */
#ifndef SHARED_AUDIT_SET_H
#define SHARED_AUDIT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"

#define AUDIT_BLOCK_ROWS 8192 /* the most rows of a block */
#define AUDIT_SET_WORDS (AUDIT_BLOCK_ROWS / 64)
/* Enough for any set's spelling. */
#define AUDIT_SET_BYTES_MAX (1 + AUDIT_BLOCK_ROWS / 8)

struct audit_set {
	uint64_t bits[AUDIT_SET_WORDS];
};

void audit_set_fill(struct audit_set *s, size_t rows);
void audit_set_and(struct audit_set *s, const struct audit_set *other);
bool audit_set_empty(const struct audit_set *s);
static inline bool audit_set_has(const struct audit_set *s, size_t row)
{
	return s->bits[row / 64] >> (row % 64) & 1;
}

/* Spells a set of count ascending rows of a block of total rows: nothing for all of them, else a
 * list or a bit map. */
size_t audit_set_encode(
	const uint16_t *rows, size_t count, size_t total, uint8_t out[AUDIT_SET_BYTES_MAX]);
/* Adds the rows of a spelling to s. RC_INVALID for bytes that none gives. */
enum rc audit_set_add(
	struct audit_set *s, const uint8_t *bytes, size_t len, size_t total) MUST_CHECK;

#endif
