#include "shared/turnstile.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"
#include "shared/store.h"
#include "shared/text.h"

/* One credential on its way. */
struct trial {
	struct trial *next;
	char id[STORE_ID_MAX + 1];
	uint8_t digest[CRYPTO_HASH_LEN];
	struct turnstile_place *lead; /* who tries it; NULL once it is over */
	struct turnstile_place *followers, **last; /* who wait for that */
	size_t refs; /* all of them */
	bool turn; /* it has a slot */
	bool over;
	enum rc rc;
	int64_t version;
};

struct turnstile {
	pthread_mutex_t lock;
	struct trial *trials, **last; /* those that are not over, as they came */
	int slots, taken;
	size_t waiting, max; /* callers whose credential has no slot yet */
};

struct turnstile *turnstile_new(int slots, size_t max)
{
	struct turnstile *t = xcalloc(1, sizeof(*t));

	(void)pthread_mutex_init(&t->lock, NULL);
	t->last = &t->trials;
	t->slots = slots > 0 ? slots : 1;
	t->max = max > 0 ? max : 1;
	return t;
}

void turnstile_free(struct turnstile *t)
{
	if (!t)
		return;
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}

/* --- with the lock held ------------------------------------------------------------------------
 */

static bool runs(const struct turnstile *t, const char *id)
{
	const struct trial *one = t->trials;

	while (one && !(one->turn && !strcmp(one->id, id)))
		one = one->next;
	return one;
}

/* Gives the free slots out. Never two for one key: the second would most likely find it verified.
 * Who asks now (self) sees for itself. */
static void next_turns(struct turnstile *t, const struct turnstile_place *self)
{
	for (struct trial *one = t->trials; one && t->taken < t->slots; one = one->next) {
		if (one->turn || runs(t, one->id))
			continue;
		one->turn = true;
		t->taken++;
		t->waiting -= one->refs;
		if (one->lead != self)
			one->lead->ready(one->lead->ctx);
	}
}

static struct trial *find(
	const struct turnstile *t, const char *id, const uint8_t digest[CRYPTO_HASH_LEN])
{
	struct trial *one = t->trials;

	while (one &&
		(strcmp(one->id, id) != 0 ||
			!crypto_equal(one->digest, CRYPTO_HASH_LEN, digest, CRYPTO_HASH_LEN)))
		one = one->next;
	return one;
}

/* For one more caller with this key; same: the trial of its credential, NULL if there is none. One
 * that runs is over soon. */
static bool room(const struct turnstile *t, const char *id, const struct trial *same)
{
	size_t secrets = 0, callers = 0;

	if (same && same->turn)
		return true;
	for (const struct trial *one = t->trials; one; one = one->next) {
		if (strcmp(one->id, id) != 0)
			continue;
		secrets++;
		callers += one->turn ? 0 : one->refs;
	}
	return t->waiting < t->max && callers < (t->max + 1) / 2 &&
		(same || secrets < TURNSTILE_SECRETS_MAX);
}

static struct trial *trial_new(
	struct turnstile *t, const char *id, const uint8_t digest[CRYPTO_HASH_LEN])
{
	struct trial *one = xcalloc(1, sizeof(*one));

	(void)str_copy(one->id, sizeof(one->id), id);
	memcpy(one->digest, digest, CRYPTO_HASH_LEN);
	one->last = &one->followers;
	*t->last = one;
	t->last = &one->next;
	return one;
}

static void trial_over(struct turnstile *t, struct trial *one, enum rc rc, int64_t version)
{
	struct trial **at = &t->trials;

	while (*at != one)
		at = &(*at)->next;
	*at = one->next;
	if (!one->next)
		t->last = at;
	if (one->turn)
		t->taken--;
	one->over = true;
	one->lead = NULL;
	one->rc = rc;
	one->version = version;
	for (struct turnstile_place *p = one->followers; p; p = p->next)
		p->ready(p->ctx);
}

static void release(struct turnstile *t, struct turnstile_place *p)
{
	struct trial *one = p->trial;

	p->trial = NULL;
	t->waiting -= one->turn ? 0 : 1;
	if (--one->refs > 0)
		return;
	mem_wipe(one, sizeof(*one));
	free(one);
}

static void follow(struct trial *one, struct turnstile_place *p)
{
	p->next = NULL;
	*one->last = p;
	one->last = &p->next;
}

static void unfollow(struct trial *one, const struct turnstile_place *p)
{
	struct turnstile_place **at = &one->followers;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	if (!*at)
		one->last = at;
}

/* Before its trial is over. Who waits with the same credential goes on in its place. */
static void step_out(struct turnstile *t, struct turnstile_place *p)
{
	struct trial *one = p->trial;

	if (one->lead != p) {
		unfollow(one, p);
	} else if (one->followers) {
		one->lead = one->followers;
		unfollow(one, one->lead);
		if (one->turn)
			one->lead->ready(one->lead->ctx);
	} else {
		trial_over(t, one, RC_LIMIT, -1);
		next_turns(t, NULL);
	}
	release(t, p);
}

static enum turn turn_of(struct turnstile *t, struct turnstile_place *p, int64_t now_ms)
{
	if (p->trial->lead == p && p->trial->turn)
		return TURN_NOW;
	if (now_ms < p->until_ms)
		return TURN_WAIT;
	step_out(t, p);
	return TURN_REFUSED;
}

/* --- callers -------------------------------------------------------------------------------------
 */

enum turn turnstile_enter(struct turnstile *t, struct turnstile_place *p, const char *id,
	const uint8_t digest[CRYPTO_HASH_LEN], int64_t now_ms)
{
	enum turn turn = TURN_REFUSED;
	struct trial *one;

	(void)pthread_mutex_lock(&t->lock);
	one = find(t, id, digest);
	if (room(t, id, one)) {
		if (one) {
			follow(one, p);
		} else {
			one = trial_new(t, id, digest);
			one->lead = p;
		}
		one->refs++;
		t->waiting += one->turn ? 0 : 1;
		p->trial = one;
		next_turns(t, p);
		turn = turn_of(t, p, now_ms);
	}
	(void)pthread_mutex_unlock(&t->lock);
	return turn;
}

enum turn turnstile_again(struct turnstile *t, struct turnstile_place *p, int64_t now_ms,
	enum rc *rc, int64_t *version)
{
	enum turn turn = TURN_OVER;

	(void)pthread_mutex_lock(&t->lock);
	if (p->trial->over) {
		*rc = p->trial->rc;
		*version = p->trial->version;
		release(t, p);
	} else {
		turn = turn_of(t, p, now_ms);
	}
	(void)pthread_mutex_unlock(&t->lock);
	return turn;
}

void turnstile_end(struct turnstile *t, struct turnstile_place *p, enum rc rc, int64_t version)
{
	(void)pthread_mutex_lock(&t->lock);
	trial_over(t, p->trial, rc, version);
	release(t, p);
	next_turns(t, NULL);
	(void)pthread_mutex_unlock(&t->lock);
}

void turnstile_leave(struct turnstile *t, struct turnstile_place *p)
{
	if (!p->trial)
		return;
	(void)pthread_mutex_lock(&t->lock);
	if (p->trial->over)
		release(t, p);
	else
		step_out(t, p);
	(void)pthread_mutex_unlock(&t->lock);
}
