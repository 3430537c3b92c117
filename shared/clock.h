/* clock: the two clocks, and RFC 3339 text. */
#ifndef SHARED_CLOCK_H
#define SHARED_CLOCK_H

#include <stdint.h>

#include "shared/rc.h"

#define CLOCK_TEXT_LEN 24 /* 2026-11-23T21:04:05.678Z */

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
/* UTC. */
int64_t clock_wall_ms(void);
int64_t clock_wall_s(void);
void clock_text(int64_t wall_ms, char out[CLOCK_TEXT_LEN + 1]);
/* Accepts RFC 3339 in UTC with or without milliseconds. */
enum rc clock_parse(const char *text, int64_t *wall_ms) MUST_CHECK;

#endif
