/* audit_words: the words of a journal line that a search can ask for. The index (audit_index.h) and
 * the check of a line against a filter (audit_filter.h) both see a line through here, so they can't
 * disagree. Pure. */
#ifndef SHARED_AUDIT_WORDS_H
#define SHARED_AUDIT_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum audit_word_kind {
	AUDIT_WORD_TENANT, /* tenant_id */
	AUDIT_WORD_ACTOR, /* actor_kind, actor_id, actor_name, key_id: each as a whole */
	AUDIT_WORD_TOOL,
	AUDIT_WORD_OUTCOME,
	AUDIT_WORD_EVENT, /* "key.revoke", and "key.*" for the group */
	AUDIT_WORD_TEXT, /* one word of any text in the row, ASCII letters in lower case */
};

/* A word is no longer than the longest text of a row, in bytes. */
#define AUDIT_WORD_MAX 1023

/* Called for each word, a text's own more than once where it repeats. False ends the walk. */
typedef bool (*audit_word_fn)(void *ctx, enum audit_word_kind kind, const char *word, size_t len);

/* Walks the words of one line, without its newline. False when it is no JSON object (or visit ended
 * it). Hashes, signatures and times are no words. */
bool audit_words(const char *line, size_t len, audit_word_fn visit, void *ctx);
/* Walks the words of a text as they count for a row: parted by white space, quotes, brackets and
 * commas, so that 10.0.0.7, tool.call and db-1 are one word each. False when visit ended it. */
bool audit_words_of_text(const char *text, size_t len, audit_word_fn visit, void *ctx);
static inline char audit_word_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}
/* What the index keeps of a word: its kind in the top three bits, a hash below. Different words may
 * have the same, so what an index finds is checked against the line. */
uint32_t audit_word_hash(enum audit_word_kind kind, const char *word, size_t len);
#define AUDIT_WORD_KIND_FIRST(kind) ((uint32_t)(kind) << 29)
#define AUDIT_WORD_KIND_LAST(kind) (((uint32_t)(kind) << 29) | 0x1FFFFFFFU)

#endif
