#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "shared/turnstile.h"

#define UNTIL 100

struct caller {
	struct turnstile_place place;
	int called;
};

static void on_ready(void *ctx)
{
	struct caller *c = ctx;

	c->called++;
}

/* secret stands for the credential's digest. */
static enum turn enter(
	struct turnstile *t, struct caller *c, const char *id, uint8_t secret, int64_t now_ms)
{
	uint8_t digest[CRYPTO_HASH_LEN] = {secret};

	*c = (struct caller){.place = {.ready = on_ready, .ctx = c, .until_ms = UNTIL}};
	return turnstile_enter(t, &c->place, id, digest, now_ms);
}

static enum turn again(struct turnstile *t, struct caller *c, int64_t now_ms)
{
	int64_t version = 0;
	enum rc rc = RC_INTERNAL;
	enum turn turn = turnstile_again(t, &c->place, now_ms, &rc, &version);

	assert_int_equal(rc, turn == TURN_OVER ? RC_DENIED : RC_INTERNAL);
	assert_int_equal(version, turn == TURN_OVER ? 7 : 0);
	return turn;
}

static void end(struct turnstile *t, struct caller *c)
{
	turnstile_end(t, &c->place, RC_DENIED, 7);
	assert_null(c->place.trial);
}

static void who_came_first_is_served_first(void **state)
{
	struct turnstile *t = turnstile_new(2, 100);
	struct caller c[6];
	static const char *const ids[] = {"a", "b", "c", "d", "e", "f"};

	(void)state;
	for (int i = 0; i < 6; i++)
		assert_int_equal(enter(t, &c[i], ids[i], 1, 0), i < 2 ? TURN_NOW : TURN_WAIT);
	assert_int_equal(again(t, &c[2], 0), TURN_WAIT);
	for (int i = 2; i < 6; i++) {
		assert_int_equal(c[i].called, 0);
		/* Whoever runs ends last or first. */
		end(t, &c[i == 2 ? 1 : i == 3 ? 0 : i - 2]);
		assert_int_equal(c[i].called, 1);
		assert_int_equal(again(t, &c[i], 0), TURN_NOW);
	}
	end(t, &c[4]);
	end(t, &c[5]);
	turnstile_free(t);
	turnstile_free(NULL);
}

/* Others pass, who came later, rather than that a slot stays free. */
static void one_key_runs_once_at_a_time(void **state)
{
	struct turnstile *t = turnstile_new(2, 100);
	struct caller a, other, b;

	(void)state;
	assert_int_equal(enter(t, &a, "a", 1, 0), TURN_NOW);
	assert_int_equal(enter(t, &other, "a", 2, 0), TURN_WAIT);
	assert_int_equal(enter(t, &b, "b", 1, 0), TURN_NOW);
	end(t, &b);
	assert_int_equal(other.called, 0);
	assert_int_equal(again(t, &other, 0), TURN_WAIT);
	end(t, &a);
	assert_int_equal(other.called, 1);
	assert_int_equal(again(t, &other, 0), TURN_NOW);
	end(t, &other);
	turnstile_free(t);
}

static void the_same_credential_waits_as_one(void **state)
{
	struct turnstile *t = turnstile_new(1, 100);
	struct caller lead, follower[3], next;

	(void)state;
	assert_int_equal(enter(t, &lead, "a", 1, 0), TURN_NOW);
	for (int i = 0; i < 3; i++)
		assert_int_equal(enter(t, &follower[i], "a", 1, 0), TURN_WAIT);
	assert_int_equal(enter(t, &next, "b", 1, 0), TURN_WAIT);
	/* Whose time is up leaves, wherever it stands among them. */
	assert_int_equal(again(t, &follower[1], UNTIL), TURN_REFUSED);
	end(t, &lead);
	/* The slot is for others already. */
	assert_int_equal(again(t, &next, 0), TURN_NOW);
	assert_int_equal(follower[0].called, 1);
	assert_int_equal(follower[1].called, 0);
	/* What it came to is told at any time. */
	assert_int_equal(again(t, &follower[0], 0), TURN_OVER);
	assert_int_equal(again(t, &follower[2], UNTIL), TURN_OVER);
	end(t, &next);
	turnstile_free(t);
}

static void who_waits_too_long_is_out(void **state)
{
	struct turnstile *t = turnstile_new(1, 100);
	struct caller a, b, c, late;

	(void)state;
	assert_int_equal(enter(t, &a, "a", 1, 0), TURN_NOW);
	assert_int_equal(enter(t, &b, "b", 1, 0), TURN_WAIT);
	assert_int_equal(enter(t, &c, "c", 1, 0), TURN_WAIT);
	assert_int_equal(enter(t, &late, "d", 1, UNTIL), TURN_REFUSED);
	assert_null(late.place.trial);
	assert_int_equal(again(t, &b, UNTIL - 1), TURN_WAIT);
	assert_int_equal(again(t, &b, UNTIL), TURN_REFUSED);
	assert_null(b.place.trial);
	end(t, &a);
	assert_int_equal(b.called, 0);
	/* A turn that came in time counts, however late it is taken. */
	assert_int_equal(again(t, &c, UNTIL + 1), TURN_NOW);
	end(t, &c);
	assert_int_equal(enter(t, &late, "d", 1, UNTIL), TURN_NOW);
	end(t, &late);
	turnstile_free(t);
}

static void a_follower_goes_on_in_the_place_of_who_left(void **state)
{
	struct turnstile *t = turnstile_new(1, 100);
	struct caller a, lead, follower, last, behind;

	(void)state;
	assert_int_equal(enter(t, &a, "a", 1, 0), TURN_NOW);
	assert_int_equal(enter(t, &lead, "b", 1, 0), TURN_WAIT);
	assert_int_equal(enter(t, &behind, "c", 1, 0), TURN_WAIT);
	assert_int_equal(enter(t, &follower, "b", 1, 0), TURN_WAIT);
	assert_int_equal(enter(t, &last, "b", 1, 0), TURN_WAIT);
	turnstile_leave(t, &lead.place);
	end(t, &a);
	assert_int_equal(behind.called, 0);
	assert_int_equal(follower.called, 1);
	/* Who has a slot and does not use it hands it on as well. */
	turnstile_leave(t, &follower.place);
	assert_int_equal(last.called, 1);
	assert_int_equal(again(t, &last, 0), TURN_NOW);
	turnstile_leave(t, &last.place);
	assert_int_equal(behind.called, 1);
	assert_int_equal(again(t, &behind, 0), TURN_NOW);
	end(t, &behind);
	turnstile_leave(t, &behind.place);
	turnstile_free(t);
}

static void one_key_has_few_secrets_in_the_line(void **state)
{
	struct turnstile *t = turnstile_new(1, 100);
	struct caller c[TURNSTILE_SECRETS_MAX], more, other;

	(void)state;
	for (int i = 0; i < TURNSTILE_SECRETS_MAX; i++)
		assert_int_equal(
			enter(t, &c[i], "a", (uint8_t)i, 0), i == 0 ? TURN_NOW : TURN_WAIT);
	assert_int_equal(enter(t, &more, "a", 99, 0), TURN_REFUSED);
	assert_null(more.place.trial);
	assert_int_equal(enter(t, &more, "a", 3, 0), TURN_WAIT); /* no new one */
	assert_int_equal(enter(t, &other, "b", 1, 0), TURN_WAIT);
	turnstile_leave(t, &more.place);
	turnstile_leave(t, &c[2].place);
	assert_int_equal(enter(t, &more, "a", 99, 0), TURN_WAIT);
	turnstile_leave(t, &more.place);
	turnstile_leave(t, &other.place);
	for (int i = 0; i < TURNSTILE_SECRETS_MAX; i++)
		turnstile_leave(t, &c[i].place);
	turnstile_free(t);
}

static void the_line_is_bounded_and_half_of_it_is_for_others(void **state)
{
	struct turnstile *t = turnstile_new(1, 6);
	struct caller runs[8], same[3], other[3], more;
	static const char *const ids[] = {"b", "c", "d"};

	(void)state;
	assert_int_equal(enter(t, &runs[0], "z", 1, 0), TURN_NOW);
	for (int i = 0; i < 3; i++)
		assert_int_equal(enter(t, &same[i], "a", 1, 0), TURN_WAIT);
	assert_int_equal(enter(t, &more, "a", 1, 0), TURN_REFUSED);
	for (int i = 0; i < 3; i++)
		assert_int_equal(enter(t, &other[i], ids[i], 1, 0), TURN_WAIT);
	assert_int_equal(enter(t, &more, "e", 1, 0), TURN_REFUSED);
	/* What runs is over soon. */
	for (int i = 1; i < 8; i++)
		assert_int_equal(enter(t, &runs[i], "z", 1, 0), TURN_WAIT);
	turnstile_leave(t, &other[1].place);
	assert_int_equal(enter(t, &more, "e", 1, 0), TURN_WAIT);
	turnstile_leave(t, &more.place);
	/* Its end makes no room in the line, but the turn of the next does. */
	end(t, &runs[0]);
	assert_int_equal(again(t, &same[0], 0), TURN_NOW);
	for (int i = 1; i < 8; i++)
		assert_int_equal(again(t, &runs[i], 0), TURN_OVER);
	assert_int_equal(enter(t, &more, "a", 1, 0), TURN_WAIT);
	turnstile_leave(t, &more.place);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(enter(t, &runs[i], "z", 1, 0), TURN_WAIT);
		turnstile_leave(t, &same[i].place);
	}
	for (int i = 0; i < 3; i++) {
		turnstile_leave(t, &runs[i].place);
		turnstile_leave(t, &other[i].place);
	}
	assert_int_equal(enter(t, &more, "a", 1, 0), TURN_NOW);
	end(t, &more);
	turnstile_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_came_first_is_served_first),
		cmocka_unit_test(one_key_runs_once_at_a_time),
		cmocka_unit_test(the_same_credential_waits_as_one),
		cmocka_unit_test(who_waits_too_long_is_out),
		cmocka_unit_test(a_follower_goes_on_in_the_place_of_who_left),
		cmocka_unit_test(one_key_has_few_secrets_in_the_line),
		cmocka_unit_test(the_line_is_bounded_and_half_of_it_is_for_others),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
