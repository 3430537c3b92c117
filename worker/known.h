/* known: what is known about a subject from its masked columns, to be found again in free text:
 * whole values, and the single names of a person's name. Holds hashes of words alone. */
#ifndef WORKER_KNOWN_H
#define WORKER_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/needles.h"
#include "worker/value.h"

struct known;

struct known *known_new(size_t max_words);
/* NULL is fine. */
void known_free(struct known *k);
/* Values with fewer than 3 letters, or fewer than 5 digits and nothing else, are too common. */
void known_add(struct known *k, const struct value *v);
/* Something did not fit any more. */
bool known_full(const struct known *k);
/* Both are valid until known_free(). */
const struct needles *known_needles(const struct known *k);
const uint8_t *known_key(const struct known *k);

#endif
