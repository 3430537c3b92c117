/* audit_block: up to AUDIT_BLOCK_ROWS consecutive rows of one file of the audit log, gathered for
 * the index: where each line is, and which rows have which word. No I/O. */
#ifndef SHARED_AUDIT_BLOCK_H
#define SHARED_AUDIT_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/audit_log.h"
#include "shared/audit_set.h"
#include "shared/buf.h"
#include "shared/rc.h"

struct audit_block {
	int64_t first; /* row */
	size_t rows;
	struct audit_place at, end; /* of its first line, and behind its last one */
	int64_t min_ms, max_ms;
	uint64_t mark; /* of its last line: audit_block_mark() */
	int64_t last_offset; /* where that begins */
	struct buf places;
	int64_t last_ms;
	uint64_t *words, *spare; /* hash, then row: 32 and 16 bits; room to sort them */
	size_t word_count, word_cap;
};

/* Zeroed memory is an empty block. Frees what it holds. */
void audit_block_clear(struct audit_block *b);
/* Empties it and keeps the memory. */
void audit_block_reset(struct audit_block *b);
/* Takes a line in. False, and nothing is taken: the block is full, or the line is not the one after
 * its last. */
bool audit_block_add(struct audit_block *b, const struct audit_line *line);
/* Calls for each word with the rows that have it, words ascending, until put does not return RC_OK.
 * What it returned last. */
typedef enum rc (*audit_block_put)(void *ctx, uint32_t word, const uint32_t *rows, size_t count);
enum rc audit_block_words(struct audit_block *b, audit_block_put put, void *ctx) MUST_CHECK;
/* A number that tells whether a line is still what it was. */
uint64_t audit_block_mark(const char *line, size_t len);

/* Where the rows of a block are, as block.places has it. */
struct audit_row_place {
	int64_t offset;
	uint32_t len;
	int64_t wall_ms;
};
/* RC_INVALID when the bytes are not those of so many rows. */
enum rc audit_block_places(const uint8_t *bytes, size_t len, int64_t offset, size_t rows,
	struct audit_row_place *out) MUST_CHECK;

#endif
