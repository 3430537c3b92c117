#include "worker/needles.h"

#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"

#define FIRST_SLOTS 256 /* a power of two */

/* The hash of the first words of phrases. The words' hashes are keyed, so nobody chooses them. */
struct slot {
	uint64_t hash; /* 0: empty */
	uint32_t tag;
	uint16_t whole; /* a phrase ends here */
	uint16_t more; /* a longer one goes on */
};

struct needles {
	struct slot *slots;
	size_t size, used, count, max;
};

struct needles *needles_new(size_t max_words)
{
	struct needles *n = xcalloc(1, sizeof(*n));

	n->size = FIRST_SLOTS;
	n->max = max_words;
	n->slots = xcalloc(n->size, sizeof(*n->slots));
	return n;
}

void needles_free(struct needles *n)
{
	if (!n)
		return;
	free(n->slots);
	free(n);
}

size_t needles_count(const struct needles *n)
{
	return n ? n->count : 0;
}

static uint64_t join(uint64_t before, uint64_t word)
{
	uint64_t h = (before ^ word) * 0x9e3779b97f4a7c15ULL;

	h ^= h >> 29;
	return h ? h : 1;
}

static struct slot *place(const struct needles *n, uint64_t hash)
{
	size_t at = (size_t)hash & (n->size - 1);

	while (n->slots[at].hash && n->slots[at].hash != hash)
		at = (at + 1) & (n->size - 1);
	return &n->slots[at];
}

static void resize(struct needles *n, size_t size)
{
	struct slot *old = n->slots;
	size_t count = n->size;

	n->size = size;
	n->slots = xcalloc(n->size, sizeof(*n->slots));
	for (size_t i = 0; i < count; i++)
		if (old[i].hash)
			*place(n, old[i].hash) = old[i];
	free(old);
}

void needles_reserve(struct needles *n, size_t words)
{
	size_t size = n->size;

	while (size < 2 * (words < n->max ? words : n->max) + 2)
		size *= 2;
	if (size > n->size)
		resize(n, size);
}

enum rc needles_add_hashes(struct needles *n, const uint64_t *hashes, size_t count, uint32_t tag)
{
	uint64_t h = 0;

	if (count > NEEDLES_WORDS_MAX)
		count = NEEDLES_WORDS_MAX;
	for (size_t i = 0; i < count; i++) {
		struct slot *s;

		if (2 * (n->used + 1) > n->size)
			resize(n, 2 * n->size);
		h = join(h, hashes[i]);
		s = place(n, h);
		if (!s->hash) {
			if (n->used == n->max)
				return RC_LIMIT;
			n->used++;
			s->hash = h;
			s->tag = tag;
		}
		if (i + 1 < count) {
			s->more = 1;
		} else if (!s->whole) {
			s->whole = 1;
			s->tag = tag;
			n->count++;
		}
	}
	return RC_OK;
}

enum rc needles_add(struct needles *n, const struct word *words, size_t count, uint32_t tag)
{
	uint64_t hashes[NEEDLES_WORDS_MAX];

	if (count > NEEDLES_WORDS_MAX)
		count = NEEDLES_WORDS_MAX;
	for (size_t i = 0; i < count; i++)
		hashes[i] = words[i].hash;
	return needles_add_hashes(n, hashes, count, tag);
}

/* One step: false when no phrase goes on. */
static bool step(
	const struct needles *n, uint64_t word, size_t i, uint64_t *h, size_t *found, uint32_t *tag)
{
	const struct slot *s;

	*h = join(*h, word);
	s = place(n, *h);
	if (!s->hash)
		return false;
	if (s->whole) {
		*found = i + 1;
		*tag = s->tag;
	}
	return s->more;
}

size_t needles_match(const struct needles *n, const struct word *words, size_t count, uint32_t *tag)
{
	size_t found = 0;
	uint64_t h = 0;

	for (size_t i = 0; i < count && step(n, words[i].hash, i, &h, &found, tag); i++)
		;
	return found;
}

size_t needles_match_hashes(
	const struct needles *n, const uint64_t *hashes, size_t count, uint32_t *tag)
{
	size_t found = 0;
	uint64_t h = 0;

	for (size_t i = 0; i < count && step(n, hashes[i], i, &h, &found, tag); i++)
		;
	return found;
}
