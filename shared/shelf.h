/* shelf: memory that two processes share, in places of equal size: a long result that one of them
 * has put there need not go through a socket to the other. The reader makes it and hands its file
 * descriptor over; it can't be made smaller after that, so that neither can hurt the other by it.
 * Who may use which place when is not known here. */
#ifndef SHARED_SHELF_H
#define SHARED_SHELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"

/* Address space; memory is taken only for what was written. */
#define SHELF_PLACES 64
#define SHELF_PLACES_MAX 256

struct shelf;

/* A new one, to be read. *fd is the caller's, to be sent and closed. RC_UNAVAILABLE when the system
 * has no such thing. */
enum rc shelf_make(uint32_t places, size_t place_len, struct shelf **out, int *fd) MUST_CHECK;
/* The other side's, to be written. RC_INVALID when fd is not what shelf_make() makes, or shorter
 * than said. fd stays the caller's. */
enum rc shelf_open(int fd, uint32_t places, size_t place_len, struct shelf **out) MUST_CHECK;
/* It lasts as long as anybody holds it; one thread. */
struct shelf *shelf_hold(struct shelf *s);
void shelf_drop(struct shelf *s); /* NULL is fine */

uint32_t shelf_places(const struct shelf *s);
size_t shelf_place_len(const struct shelf *s);
uint8_t *shelf_at(struct shelf *s, uint32_t place);
/* Takes memory for a part of a place, which then can be written without waiting for any. Writer
 * only; false: there is none. */
bool shelf_fill(struct shelf *s, uint32_t place, size_t from, size_t len);
/* Gives the memory of a place back. */
void shelf_empty(struct shelf *s, uint32_t place, size_t len);

#endif
