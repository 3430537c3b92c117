/* places: which places of a pool process's shelf are free, are being filled, or are with the
 * process. What was used last is used next, while its memory is warm; memory that lay unused for
 * PLACES_MS is given back, and never more than PLACES_KEEP is kept. Time is an argument. */
#ifndef TUNNELD_PLACES_H
#define TUNNELD_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/shelf.h"

#define PLACES_KEEP ((size_t)32 * 1024 * 1024)
#define PLACES_MS 1000

struct places;

/* Takes the caller's hold on the shelf over. */
struct places *places_new(struct shelf *shelf);
void places_free(struct places *p); /* NULL is fine */

/* A free place, now being filled; -1: there is none. */
int places_take(struct places *p);
/* Where len bytes at that offset go; NULL: the place is too short for them, or memory is. */
uint8_t *places_room(struct places *p, int place, size_t at, size_t len);
/* The place is named to the process. */
void places_hand_over(struct places *p, int place);
/* It was filled for nothing. */
void places_drop(struct places *p, int place, int64_t now_ms);
/* The process is done with it. False: it does not have it. */
bool places_return(struct places *p, int64_t place, int64_t now_ms);
/* Gives back what lay unused. False: nothing is kept any more. */
bool places_trim(struct places *p, int64_t now_ms);

#endif
