#include "worker/known.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/crypto.h"
#include "shared/mem.h"

#define LETTERS_MIN 3
#define DIGITS_MIN 5
#define NAME_WORDS_MAX 5 /* more of them are a sentence */

struct known {
	uint8_t key[WORDS_KEY_LEN];
	struct needles *needles;
	struct words room;
	bool full;
};

struct known *known_new(size_t max_words)
{
	struct known *k = xcalloc(1, sizeof(*k));

	crypto_random(k->key, sizeof(k->key));
	k->needles = needles_new(max_words);
	return k;
}

void known_free(struct known *k)
{
	if (!k)
		return;
	needles_free(k->needles);
	words_free(&k->room);
	mem_wipe(k->key, sizeof(k->key));
	free(k);
}

static void add(struct known *k, const struct word *words, size_t count)
{
	if (needles_add(k->needles, words, count, 0) != RC_OK)
		k->full = true;
}

/* Letters beyond the alphabets count double: a Chinese name has two or three. */
static size_t weight(const struct word *w)
{
	return w->end - w->start > 2U * w->chars ? 2U * w->chars : w->chars;
}

/* "Ann-Marie O'Neill" is also "Ann", "Marie" and "Neill"; "12 High Street" is nothing else. */
static void add_names(struct known *k)
{
	const struct words *w = &k->room;

	if (w->count < 2 || w->count > NAME_WORDS_MAX)
		return;
	for (size_t i = 0; i < w->count; i++)
		if (!w->list[i].letters)
			return;
	for (size_t i = 0; i < w->count; i++)
		if (w->list[i].capital && w->list[i].chars >= LETTERS_MIN)
			add(k, &w->list[i], 1);
}

void known_add(struct known *k, const struct value *v)
{
	char number[40];
	size_t sum = 0;
	bool digits = true;

	if (v->kind == VALUE_INT) {
		snprintf(number, sizeof(number), "%" PRId64, v->i);
		words_split(&k->room, k->key, number, strlen(number));
	} else if (v->kind == VALUE_TEXT && v->len > 0) {
		words_split(&k->room, k->key, v->p, v->len);
	} else {
		return;
	}
	for (size_t i = 0; i < k->room.count; i++) {
		sum += weight(&k->room.list[i]);
		digits &= k->room.list[i].digits;
	}
	if (sum < (digits ? DIGITS_MIN : LETTERS_MIN))
		return;
	add(k, k->room.list, k->room.count);
	add_names(k);
}

bool known_full(const struct known *k)
{
	return k->full;
}

const struct needles *known_needles(const struct known *k)
{
	return k->needles;
}

const uint8_t *known_key(const struct known *k)
{
	return k->key;
}
