/* needles: phrases that are looked for in texts, held only as keyed hashes of their words. Says
 * where one is found and which column it came from, never what it is. One thread writes; after that
 * any number may read. */
#ifndef WORKER_NEEDLES_H
#define WORKER_NEEDLES_H

#include <stdint.h>

#include "shared/rc.h"
#include "worker/words.h"

/* Of a longer phrase the beginning is looked for. */
#define NEEDLES_WORDS_MAX 12

struct needles;

/* At most max_words words in all phrases together. */
struct needles *needles_new(size_t max_words);
/* Room for so many words, so that the table does not grow step by step. */
void needles_reserve(struct needles *n, size_t words);
void needles_free(struct needles *n);
size_t needles_count(const struct needles *n);
/* A phrase of count words. An equal one keeps the tag it has. RC_LIMIT when full. */
enum rc needles_add(
	struct needles *n, const struct word *words, size_t count, uint32_t tag) MUST_CHECK;
enum rc needles_add_hashes(
	struct needles *n, const uint64_t *hashes, size_t count, uint32_t tag) MUST_CHECK;
/* The longest phrase that begins with words[0]: how many words it has, 0: none does. */
size_t needles_match(
	const struct needles *n, const struct word *words, size_t count, uint32_t *tag);
size_t needles_match_hashes(
	const struct needles *n, const uint64_t *hashes, size_t count, uint32_t *tag);

#endif
