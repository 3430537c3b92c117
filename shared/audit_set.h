/* audit_set: which of some consecutive rows of the audit log have something in common, as a set of
 * bits, and the shorter of its two spellings. Rows count from 0. Pure. */
#ifndef SHARED_AUDIT_SET_H
#define SHARED_AUDIT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/rc.h"

#define AUDIT_BLOCK_ROWS 8192 /* the most rows of a block (audit_block.h) */
#define AUDIT_SPAN_BLOCKS 64 /* the most blocks that share their sets (audit_index.h) */
#define AUDIT_SPAN_ROWS ((size_t)AUDIT_SPAN_BLOCKS * AUDIT_BLOCK_ROWS)

/* 64 KiB: for the heap. Bits from rows on mean nothing. */
struct audit_set {
	size_t rows; /* at most AUDIT_SPAN_ROWS */
	uint64_t bits[AUDIT_SPAN_ROWS / 64];
};

/* None of so many rows, or all of them. */
void audit_set_clear(struct audit_set *s, size_t rows);
void audit_set_fill(struct audit_set *s, size_t rows);
/* Both of the same number of rows. */
void audit_set_and(struct audit_set *s, const struct audit_set *other);
/* Is one of the rows [from, from + count) in it? */
bool audit_set_any(const struct audit_set *s, size_t from, size_t count);
static inline bool audit_set_has(const struct audit_set *s, size_t row)
{
	return s->bits[row / 64] >> (row % 64) & 1;
}

/* Appends the spelling of a set of count ascending rows out of total: nothing for all of them, else
 * a list or a bit map. */
void audit_set_spell(struct buf *out, const uint32_t *rows, size_t count, size_t total);
/* Adds the rows of a spelling to s, which has as many rows in all. RC_INVALID for bytes that no set
 * is spelled with. */
enum rc audit_set_add(struct audit_set *s, const uint8_t *bytes, size_t len) MUST_CHECK;
/* The rows of a spelling, each with base added, behind rows[*count]. RC_INVALID as above, and where
 * there are more than room. */
enum rc audit_set_rows(const uint8_t *bytes, size_t len, size_t total, uint32_t base,
	uint32_t *rows, size_t *count, size_t room) MUST_CHECK;

#endif
