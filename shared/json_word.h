/* json_word: eight bytes of JSON text at a time. Most of what we read and write is in strings, and
 * most of that needs no look at a single byte. */
#ifndef SHARED_JSON_WORD_H
#define SHARED_JSON_WORD_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define JSON_WORD_LEN 8
#define JSON_WORD_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The first byte is the lowest. */
static inline uint64_t json_word_get(const char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return le64toh(word);
}

/* Marks, in the highest bit of its byte, the first quote, backslash or control character; behind it
 * marks may be wrong. */
static inline uint64_t json_word_special(uint64_t word)
{
	uint64_t quote = word ^ JSON_WORD_EACH('"'), slash = word ^ JSON_WORD_EACH('\\');

	return (((word - JSON_WORD_EACH(0x20)) & ~word) | ((quote - JSON_WORD_EACH(1)) & ~quote) |
		       ((slash - JSON_WORD_EACH(1)) & ~slash)) &
		JSON_WORD_EACH(0x80);
}

/* Of the first mark: which byte it is in. */
static inline size_t json_word_at(uint64_t marks)
{
	return (size_t)__builtin_ctzll(marks) / 8;
}

#endif
