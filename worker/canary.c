#include "worker/canary.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/crypto.h"
#include "shared/mem.h"
#include "shared/text.h"

#define WORDS_MAX ((size_t)4 << 20) /* of raw values, and of what was written, each */
#define PAIRS_MAX 256 /* that are told */
#define RECENT 4096 /* values remembered, a power of two */

struct hashes {
	uint64_t *list;
	size_t count, cap;
};

/* One value: its words in hashes, and a hash of all of them. */
struct cell {
	size_t at;
	uint32_t count, column;
	uint64_t whole;
};

struct cells {
	struct cell *list;
	size_t count, cap;
	struct hashes words;
	bool full;
};

struct canary_watch {
	uint8_t key[WORDS_KEY_LEN];
	struct words room;
	struct cells raw, stored;
	uint64_t recent[RECENT]; /* values of a column that were taken before: no need to again */
	struct needles *kept; /* whole values of kept columns, as phrases of one word */
};

struct canaries {
	uint8_t key[WORDS_KEY_LEN];
	struct needles *needles;
};

struct canary_watch *canary_watch_new(void)
{
	struct canary_watch *w = xcalloc(1, sizeof(*w));

	crypto_random(w->key, sizeof(w->key));
	w->kept = needles_new(WORDS_MAX);
	return w;
}

static void cells_free(struct cells *c)
{
	free(c->list);
	free(c->words.list);
}

void canary_watch_free(struct canary_watch *w)
{
	if (!w)
		return;
	cells_free(&w->raw);
	cells_free(&w->stored);
	words_free(&w->room);
	needles_free(w->kept);
	mem_wipe(w->key, sizeof(w->key));
	free(w);
}

bool canary_wanted(const struct mask_spec *m)
{
	switch (m->kind) {
	case MASK_HASH:
	case MASK_REDACT:
	case MASK_NULL:
	case MASK_PARTIAL:
	case MASK_EMAIL:
	case MASK_TOKEN:
		return !m->no_canary;
	case MASK_KEEP:
	case MASK_DATE_SHIFT: /* what these make is in the domain of the raw values, */
	case MASK_NOISE: /* so that an equal value says nothing */
	case MASK_BUCKET:
	case MASK_TEXT: /* most of the words stay on purpose */
		break;
	}
	return false;
}

bool canary_suspect(const struct mask_spec *m, const struct value *raw, const struct value *written)
{
	if (m->kind == MASK_KEEP || m->kind == MASK_TEXT)
		return true;
	if (written->kind != raw->kind)
		return false;
	if (raw->kind == VALUE_TEXT || raw->kind == VALUE_BLOB)
		return raw->len == written->len &&
			(raw->len == 0 || memcmp(raw->p, written->p, raw->len) == 0);
	return true;
}

/* --- values ------------------------------------------------------------------------- */

/* The words of a value; 0 for what has none, such as bytes that are no text. */
static size_t split(struct words *room, const uint8_t key[WORDS_KEY_LEN], const struct value *v)
{
	char number[40];

	room->count = 0;
	switch (v->kind) {
	case VALUE_NULL:
		break;
	case VALUE_INT:
		snprintf(number, sizeof(number), "%" PRId64, v->i);
		words_split(room, key, number, strlen(number));
		break;
	case VALUE_REAL:
		snprintf(number, sizeof(number), "%.15g", v->r);
		words_split(room, key, number, strlen(number));
		break;
	case VALUE_BLOB:
		if (v->len > 0 && !text_utf8_ok(v->p, v->len))
			break;
		words_split(room, key, v->len ? v->p : "", v->len);
		break;
	case VALUE_TEXT:
		words_split(room, key, v->len ? v->p : "", v->len);
		break;
	}
	return room->count;
}

/* Most values of a table are too short to tell anything, which is seen without their words. */
static bool too_short(const struct value *v)
{
	switch (v->kind) {
	case VALUE_NULL:
		break;
	case VALUE_INT:
		return v->i > -100000000 && v->i < 100000000;
	case VALUE_REAL: /* such as cents and thousandths */
		return (fabs(v->r) < 1e6 && v->r * 100 == (double)(int64_t)(v->r * 100)) ||
			(fabs(v->r) < 1e5 && v->r * 1000 == (double)(int64_t)(v->r * 1000));
	case VALUE_TEXT:
	case VALUE_BLOB:
		return v->len < CANARY_CHARS_MIN;
	}
	return true;
}

/* Columns often repeat a value from row to row. */
static bool seen(struct canary_watch *w, uint32_t column, const struct value *v)
{
	bool bytes = v->kind == VALUE_TEXT || v->kind == VALUE_BLOB;
	uint64_t h = crypto_short_hash(w->key, bytes ? v->p : &v->i, bytes ? v->len : sizeof(v->i));
	uint64_t *slot;

	h += (uint64_t)column * 0x9e3779b97f4a7c15ULL + (uint64_t)v->kind;
	slot = &w->recent[h & (RECENT - 1)];
	if (*slot == h)
		return true;
	*slot = h;
	return false;
}

/* Long enough that finding it again is no accident. */
static bool telling(const struct words *w)
{
	size_t chars = 0;
	bool digits = true;

	for (size_t i = 0; i < w->count && chars < 1000; i++) {
		chars += w->list[i].chars;
		digits &= w->list[i].digits;
	}
	return chars >= (digits ? CANARY_DIGITS_MIN : CANARY_CHARS_MIN);
}

static uint64_t whole_of(const struct words *w)
{
	uint64_t h = w->count;

	for (size_t i = 0; i < w->count; i++)
		h = (h ^ w->list[i].hash) * 0x9e3779b97f4a7c15ULL + (h >> 31);
	return h;
}

static void add_cell(struct cells *c, const struct words *w, size_t count, uint32_t column)
{
	struct hashes *h = &c->words;

	if (h->count + count > WORDS_MAX) {
		c->full = true;
		return;
	}
	if (c->count == c->cap) {
		c->cap = c->cap ? c->cap * 2 : 256;
		c->list = xrealloc(c->list, c->cap * sizeof(*c->list));
	}
	while (h->count + count > h->cap) {
		h->cap = h->cap ? h->cap * 2 : 1024;
		h->list = xrealloc(h->list, h->cap * sizeof(*h->list));
	}
	c->list[c->count++] = (struct cell){
		.at = h->count, .count = (uint32_t)count, .column = column, .whole = whole_of(w)};
	for (size_t i = 0; i < count; i++)
		h->list[h->count++] = w->list[i].hash;
}

void canary_raw(struct canary_watch *w, uint32_t column, const struct value *raw)
{
	size_t count;

	/* The bit tells a raw value from one that was written. */
	if (too_short(raw) || seen(w, column | 1U << 31, raw))
		return;
	count = split(&w->room, w->key, raw);
	if (!telling(&w->room))
		return;
	add_cell(&w->raw, &w->room, count < NEEDLES_WORDS_MAX ? count : NEEDLES_WORDS_MAX, column);
}

void canary_stored(struct canary_watch *w, uint32_t column, bool kept, const struct value *stored)
{
	uint64_t whole;

	if (too_short(stored) || seen(w, column, stored))
		return;
	split(&w->room, w->key, stored);
	if (!telling(&w->room))
		return;
	if (kept) {
		whole = whole_of(&w->room);
		/* Without room a value shown on purpose may raise an alarm; never the reverse. */
		if (needles_add_hashes(w->kept, &whole, 1, 0) != RC_OK)
			w->stored.full = true;
	}
	add_cell(&w->stored, &w->room, w->room.count, column);
}

bool canary_full(const struct canary_watch *w)
{
	return w->raw.full;
}

/* --- the end of a copy ---------------------------------------------------------------- */

struct pairs {
	uint64_t list[PAIRS_MAX];
	size_t count;
	canary_pair_fn *found;
	void *ctx;
};

static void tell(struct pairs *p, uint32_t raw, uint32_t stored)
{
	uint64_t pair = (uint64_t)raw << 32 | stored;

	for (size_t i = 0; i < p->count; i++)
		if (p->list[i] == pair)
			return;
	if (p->count == PAIRS_MAX)
		return;
	p->list[p->count++] = pair;
	p->found(p->ctx, raw, stored);
}

/* All phrases but those that are shown on purpose; their tags are their numbers. */
static struct needles *phrases(const struct canary_watch *w)
{
	struct needles *n = needles_new(WORDS_MAX);
	uint32_t tag;

	needles_reserve(n, w->raw.words.count);
	for (size_t i = 0; i < w->raw.count; i++) {
		const struct cell *c = &w->raw.list[i];

		if (needles_match_hashes(w->kept, &c->whole, 1, &tag) == 0 &&
			needles_add_hashes(n, w->raw.words.list + c->at, c->count, (uint32_t)i) !=
				RC_OK)
			break;
	}
	return n;
}

static void search(const struct canary_watch *w, const struct needles *all, struct needles *live,
	struct pairs *pairs)
{
	for (size_t i = 0; i < w->stored.count; i++) {
		const struct cell *s = &w->stored.list[i];
		const uint64_t *words = w->stored.words.list + s->at;

		for (size_t k = 0; k < s->count; k++) {
			uint32_t tag = 0;
			size_t n = needles_match_hashes(all, words + k, s->count - k, &tag);

			if (n == 0)
				continue;
			if (needles_add_hashes(live, words + k, n, 0) != RC_OK)
				return; /* can't be: all of them fit into a table of this size */
			tell(pairs, w->raw.list[tag].column, s->column);
		}
	}
}

struct canaries *canary_result(struct canary_watch *w, canary_pair_fn *found, void *ctx)
{
	struct pairs pairs = {.found = found, .ctx = ctx};
	struct needles *all = phrases(w), *live = needles_new(WORDS_MAX);
	struct canaries *c = NULL;

	search(w, all, live, &pairs);
	/* What could not be looked at may hold any of them. */
	if (w->stored.full) {
		needles_free(live);
		live = all;
		all = NULL;
	}
	if (needles_count(live) > 0) {
		c = xcalloc(1, sizeof(*c));
		memcpy(c->key, w->key, sizeof(c->key));
		c->needles = live;
		live = NULL;
	}
	needles_free(live);
	needles_free(all);
	return c;
}

/* --- results ---------------------------------------------------------------------------- */

bool canary_hit(const struct canaries *c, struct words *room, const struct value *v)
{
	uint32_t tag;

	if (!c || split(room, c->key, v) == 0)
		return false;
	for (size_t i = 0; i < room->count; i++)
		if (needles_match(c->needles, room->list + i, room->count - i, &tag) > 0)
			return true;
	return false;
}

void canary_free(struct canaries *c)
{
	if (!c)
		return;
	needles_free(c->needles);
	mem_wipe(c->key, sizeof(c->key));
	free(c);
}
