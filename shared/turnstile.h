/* turnstile: who may run Argon2 now. Credentials wait in one line, first come, first served, for
 * one of few slots; callers with the same credential wait as one and are told what it came to. It
 * blocks nobody: a caller takes a place, and is called when it is to come again. Knows no clock and
 * no secrets (a digest tells one credential from another). Safe from any thread. */
#ifndef SHARED_TURNSTILE_H
#define SHARED_TURNSTILE_H

#include <stddef.h>
#include <stdint.h>

#include "shared/crypto.h"
#include "shared/rc.h"

/* Credentials of one key id at once, running or waiting: guesses at one key can't fill the line. */
#define TURNSTILE_SECRETS_MAX 5

struct trial;

/* A caller. Zeroed at first, then ready, ctx and until_ms are the caller's to set; it must stay
 * where it is until it is out again (trial is NULL). */
struct turnstile_place {
	/* It is to come again. Any thread, with the turnstile's lock held: it must not call back.
	 * May come too often, never too rarely. */
	void (*ready)(void *ctx);
	void *ctx;
	int64_t until_ms; /* waits no longer; on the clock of now_ms */
	struct trial *trial; /* NULL: not in the line */
	struct turnstile_place *next;
};

enum turn {
	TURN_NOW, /* has a slot until turnstile_end() */
	TURN_WAIT, /* come again once ready was called, or at until_ms */
	TURN_OVER, /* somebody with the same credential came to an end; out again */
	TURN_REFUSED, /* too many wait, or the time is up; out again */
};

/* At most max callers wait for a slot, at least one; one key's take half of that at most. Those
 * whose credential has a slot wait for its end only, and are not counted. */
struct turnstile *turnstile_new(int slots, size_t max);
/* Nobody may be in it. NULL is fine. */
void turnstile_free(struct turnstile *t);
/* A new place, for a credential: never TURN_OVER. */
enum turn turnstile_enter(struct turnstile *t, struct turnstile_place *p, const char *id,
	const uint8_t digest[CRYPTO_HASH_LEN], int64_t now_ms) MUST_CHECK;
/* Of a caller that waits. TURN_OVER fills what the other one gave to turnstile_end(). */
enum turn turnstile_again(struct turnstile *t, struct turnstile_place *p, int64_t now_ms,
	enum rc *rc, int64_t *version) MUST_CHECK;
/* Of a caller that has a slot: what its credential came to, held against this version of the key's
 * row (-1: none was read). */
void turnstile_end(struct turnstile *t, struct turnstile_place *p, enum rc rc, int64_t version);
/* Gives a place or a slot up: to whoever waits with the same credential. Nothing for a caller that
 * is not in the line. */
void turnstile_leave(struct turnstile *t, struct turnstile_place *p);

#endif
