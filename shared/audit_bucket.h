/* audit_bucket: words (audit_word_hash()) and for each the set of rows that have it, in one piece
 * of bytes. All the words of some rows are spread over AUDIT_BUCKETS of them by their hash, so that
 * one holds few words and finding one is a short walk. A long set is kept in another place and has
 * only its number here. Pure. */
#ifndef SHARED_AUDIT_BUCKET_H
#define SHARED_AUDIT_BUCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/audit_words.h"
#include "shared/buf.h"
#include "shared/rc.h"

/* One for each kind of words, and many for those of texts, of which there are many. */
#define AUDIT_TEXT_BUCKETS 256
#define AUDIT_BUCKETS (AUDIT_WORD_TEXT + AUDIT_TEXT_BUCKETS)

/* Ascending with the word: the words of one bucket come together. */
static inline unsigned audit_bucket_of(uint32_t word)
{
	uint32_t kind = word >> 29;

	return kind < AUDIT_WORD_TEXT ? kind : AUDIT_WORD_TEXT + (word >> 21 & 0xFF);
}

struct audit_bucket_entry {
	uint32_t word;
	bool apart; /* set is NULL, len the number of its place */
	const uint8_t *set; /* as audit_set_spell() has it */
	size_t len;
};

/* Appends one; words ascending, *last the word before, 0 for the first. */
void audit_bucket_put(struct buf *b, uint32_t *last, const struct audit_bucket_entry *e);

struct audit_bucket_walk {
	const uint8_t *at, *end;
	uint32_t last;
	bool wrong; /* ended at bytes that no bucket has */
};
struct audit_bucket_walk audit_bucket_walk(const uint8_t *bytes, size_t len);
/* False at the end. */
bool audit_bucket_next(struct audit_bucket_walk *w, struct audit_bucket_entry *out);
/* RC_NOTFOUND: the word is not in it. RC_INVALID: damaged. */
enum rc audit_bucket_find(
	const uint8_t *bytes, size_t len, uint32_t word, struct audit_bucket_entry *out) MUST_CHECK;

#endif
