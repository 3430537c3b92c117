#include "tunneld/places.h"

#include <stdlib.h>

#include "shared/mem.h"

/* Memory is taken in steps of so much, a multiple of any page. */
#define STEP ((size_t)64 * 1024)

enum state { FREE, FILLING, HANDED_OVER };

struct place {
	enum state state;
	size_t warm; /* bytes from its beginning that have memory */
	int64_t since_ms; /* it is free */
};

struct places {
	struct shelf *shelf;
	struct place *all;
	uint32_t count;
	uint32_t *free; /* the last one is the next to be taken */
	uint32_t free_count;
	size_t kept; /* memory of free places */
};

struct places *places_new(struct shelf *shelf)
{
	struct places *p = xcalloc(1, sizeof(*p));

	p->shelf = shelf;
	p->count = p->free_count = shelf_places(shelf);
	p->all = xcalloc(p->count, sizeof(p->all[0]));
	p->free = xcalloc(p->count, sizeof(p->free[0]));
	for (uint32_t i = 0; i < p->count; i++)
		p->free[i] = p->count - 1 - i;
	return p;
}

void places_free(struct places *p)
{
	if (!p)
		return;
	shelf_drop(p->shelf);
	free(p->all);
	free(p->free);
	free(p);
}

int places_take(struct places *p)
{
	uint32_t n;

	if (p->free_count == 0)
		return -1;
	n = p->free[--p->free_count];
	p->all[n].state = FILLING;
	p->kept -= p->all[n].warm;
	return (int)n;
}

uint8_t *places_room(struct places *p, int place, size_t at, size_t len)
{
	struct place *one = &p->all[place];
	size_t most = shelf_place_len(p->shelf), end;

	if (at > most || len > most - at)
		return NULL;
	end = (at + len + STEP - 1) / STEP * STEP;
	end = end < most ? end : most;
	if (end > one->warm) {
		if (!shelf_fill(p->shelf, (uint32_t)place, one->warm, end - one->warm))
			return NULL;
		one->warm = end;
	}
	return shelf_at(p->shelf, (uint32_t)place) + at;
}

void places_hand_over(struct places *p, int place)
{
	p->all[place].state = HANDED_OVER;
}

static void cool(struct places *p, uint32_t n)
{
	struct place *one = &p->all[n];

	if (one->warm > 0)
		shelf_empty(p->shelf, n, one->warm);
	one->warm = 0;
}

static void release(struct places *p, uint32_t n, int64_t now_ms)
{
	struct place *one = &p->all[n];

	if (one->warm > PLACES_KEEP - p->kept)
		cool(p, n);
	one->state = FREE;
	one->since_ms = now_ms;
	p->kept += one->warm;
	p->free[p->free_count++] = n;
}

void places_drop(struct places *p, int place, int64_t now_ms)
{
	release(p, (uint32_t)place, now_ms);
}

bool places_return(struct places *p, int64_t place, int64_t now_ms)
{
	if (place < 0 || place >= p->count || p->all[place].state != HANDED_OVER)
		return false;
	release(p, (uint32_t)place, now_ms);
	return true;
}

bool places_trim(struct places *p, int64_t now_ms)
{
	for (uint32_t i = 0; i < p->free_count; i++) {
		struct place *one = &p->all[p->free[i]];

		if (one->warm == 0 || now_ms - one->since_ms < PLACES_MS)
			continue;
		p->kept -= one->warm;
		cool(p, p->free[i]);
	}
	return p->kept > 0;
}
