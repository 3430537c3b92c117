/* scrub: free text without what identifies people: mail addresses, phone, card, bank and social
 * security numbers, found by their shape and check digits, and phrases that are known from other
 * columns. Pure; finds what it knows, which docs/masking.md lists, and no more. */
#ifndef WORKER_SCRUB_H
#define WORKER_SCRUB_H

#include <stdbool.h>

#include "shared/buf.h"
#include "worker/needles.h"

/* Appends text to out with each find replaced by its label, such as [email]. known and room (for
 * its words, reused between calls) may be NULL. Of JSON the strings' characters are looked at, and
 * escapes that need not be may come out as what they stand for. Returns whether anything was
 * found. */
bool scrub(const char *text, size_t len, const struct needles *known,
	const uint8_t key[WORDS_KEY_LEN], struct words *room, struct buf *out);

/* The shapes, for whole values too: the length of what text + at begins with, or 0. */
bool scrub_is_card(const char *digits, size_t count);
bool scrub_is_iban(const char *letters, size_t count);

#endif
