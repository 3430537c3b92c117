/* words: text as a sequence of words, each only as a keyed hash of its folded letters: without
 * case, accents and width, so that "JOSÉ" is "jose". What is not a letter or digit separates;
 * letters of scripts that write without spaces are words of their own. In JSON the escapes of its
 * strings (RFC 8259, 7) are the characters that they stand for. Pure. */
#ifndef WORKER_WORDS_H
#define WORKER_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"

#define WORDS_KEY_LEN 16
#define WORDS_BYTES_MAX (1U << 22)

struct word {
	uint64_t hash;
	uint32_t start, end; /* bytes of the text */
	uint16_t chars; /* letters and digits */
	bool digits; /* nothing but digits */
	bool capital; /* begins with a capital, or with a letter that has no case */
	bool letters; /* nothing but letters */
};

struct words {
	struct word *list;
	size_t count, cap;
};

/* Whether a text is read as JSON: it begins like an object, an array or a string. */
bool words_json(const char *text, size_t len);
/* The length of the escape that text begins with, and its character; 0: it begins with none. */
size_t words_escape(const char *text, size_t len, int32_t *point);
/* Appends JSON with the characters that its escapes stand for, but those that need one: control
 * characters, quotes, backslashes and halves of surrogate pairs. Never longer than text. */
void words_unescape(const char *text, size_t len, struct buf *out);
/* Replaces the list by the words of text, which is cut at WORDS_BYTES_MAX. Grows as needed. */
void words_split(struct words *w, const uint8_t key[WORDS_KEY_LEN], const char *text, size_t len);
void words_free(struct words *w);

#endif
