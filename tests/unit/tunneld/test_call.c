#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "shared/crypto.h"
#include "tunneld/call.h"
#include "tunneld/deadline.h"

struct world {
	struct calls calls;
	struct registry registry;
	struct session s, other;
};

static void add_session(struct world *w, struct session *s, const char *worker)
{
	(void)snprintf(s->worker_id, sizeof(s->worker_id), "%s", worker);
	(void)snprintf(s->tenant_id, sizeof(s->tenant_id), "t_a");
	registry_add(&w->registry, s);
}

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	crypto_init();
	calls_init(&w->calls, 5);
	registry_init(&w->registry, 5);
	add_session(w, &w->s, "w_1");
	add_session(w, &w->other, "w_2");
}

static void end(struct world *w, struct call *call)
{
	if (call->state < CALL_SETTLING)
		assert_true(call_step(&w->calls, call, CALL_END));
	assert_true(call_step(&w->calls, call, CALL_DURABLE));
	call_free(&w->calls, call);
}

static void world_end(struct world *w)
{
	assert_int_equal(w->calls.count, 0);
	registry_remove(&w->registry, &w->s);
	registry_remove(&w->registry, &w->other);
	registry_free(&w->registry);
	calls_free(&w->calls);
}

static void ids_are_long_random_and_of_the_protocols_alphabet(void **state)
{
	struct world w;
	struct call *a, *b;

	(void)state;
	world_init(&w);
	a = call_new(&w.calls, &w.s, 0, 100);
	b = call_new(&w.calls, &w.s, 0, 100);
	assert_int_equal(strlen(a->id), CALL_ID_LEN);
	assert_int_equal(strncmp(a->id, "c_", 2), 0);
	assert_int_equal(strspn(a->id + 2, "abcdefghijklmnopqrstuvwxyz234567"), CALL_ID_LEN - 2);
	assert_string_not_equal(a->id, b->id);
	end(&w, a);
	end(&w, b);
	world_end(&w);
}

static void a_call_belongs_to_its_session(void **state)
{
	struct world w;
	struct call *call;
	char id[CALL_ID_LEN + 1];

	(void)state;
	world_init(&w);
	call = call_new(&w.calls, &w.s, 0, 100);
	memcpy(id, call->id, sizeof(id));
	assert_ptr_equal(call_find(&w.calls, id, &w.s), call);
	assert_null(call_find(&w.calls, id, &w.other));
	assert_int_equal(w.s.call_count, 1);
	assert_int_equal(w.s.call_total, 1);
	assert_int_equal(w.s.tenant->call_count, 1);
	assert_true(call_step(&w.calls, call, CALL_END));
	assert_null(call_find(&w.calls, id, &w.s));
	assert_int_equal(w.s.call_count, 0);
	assert_int_equal(w.s.tenant->call_count, 0);
	assert_null(w.s.calls);
	end(&w, call);
	world_end(&w);
}

static void only_the_allowed_steps_are_made(void **state)
{
	static const struct {
		enum call_event events[4];
		bool allowed[4];
		enum call_state end;
	} cases[] = {
		{{CALL_REQUEST_END, CALL_RESULT_PART, CALL_END, CALL_DURABLE},
			{true, true, true, true}, CALL_SETTLED},
		{{CALL_RESULT_PART, CALL_REQUEST_END, CALL_END, CALL_RESULT_PART},
			{true, true, true, false}, CALL_SETTLING},
		{{CALL_END, CALL_END, CALL_REQUEST_END, CALL_DURABLE}, {true, false, false, true},
			CALL_SETTLED},
		{{CALL_DURABLE, CALL_REQUEST_END, CALL_END, CALL_END}, {false, true, true, false},
			CALL_SETTLING},
	};
	struct world w;

	(void)state;
	world_init(&w);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct call *call = call_new(&w.calls, &w.s, 0, 100);

		for (int e = 0; e < 4; e++)
			assert_int_equal(
				call_step(&w.calls, call, cases[i].events[e]), cases[i].allowed[e]);
		assert_int_equal(call->state, cases[i].end);
		if (call->state == CALL_SETTLED)
			call_free(&w.calls, call);
		else
			end(&w, call);
	}
	world_end(&w);
}

static void calls_expire_in_the_order_of_their_deadlines(void **state)
{
	struct world w;
	struct call *late, *soon, *middle;

	(void)state;
	world_init(&w);
	late = call_new(&w.calls, &w.s, 0, 300);
	soon = call_new(&w.calls, &w.s, 0, 100);
	middle = call_new(&w.calls, &w.other, 0, 200);
	assert_null(calls_expired(&w.calls, 99));
	assert_ptr_equal(calls_expired(&w.calls, 100), soon);
	end(&w, soon);
	assert_null(calls_expired(&w.calls, 100));
	assert_int_equal(deadlines_next(&w.calls.deadlines), 200);
	assert_ptr_equal(calls_expired(&w.calls, 1000), middle);
	end(&w, middle);
	assert_ptr_equal(calls_expired(&w.calls, 1000), late);
	end(&w, late);
	assert_int_equal(deadlines_next(&w.calls.deadlines), DEADLINE_NEVER);
	world_end(&w);
}

static void calls_leave_a_session_in_any_order(void **state)
{
	struct world w;
	struct call *c[4];

	(void)state;
	world_init(&w);
	for (int i = 0; i < 4; i++)
		c[i] = call_new(&w.calls, &w.s, 0, 100);
	end(&w, c[2]);
	end(&w, c[0]);
	assert_int_equal(w.s.call_count, 2);
	assert_ptr_equal(w.s.calls, c[3]);
	assert_ptr_equal(w.s.calls->next, c[1]);
	end(&w, c[3]);
	end(&w, c[1]);
	assert_null(w.s.calls);
	world_end(&w);
}

static void outcomes_have_names_and_workers_may_not_say_all(void **state)
{
	(void)state;
	assert_int_equal(outcome_from_worker("ok"), OUTCOME_OK);
	assert_int_equal(outcome_from_worker("denied"), OUTCOME_DENIED);
	assert_int_equal(outcome_from_worker("no_worker"), OUTCOME_COUNT);
	assert_int_equal(outcome_from_worker("protocol_error"), OUTCOME_COUNT);
	assert_int_equal(outcome_from_worker(""), OUTCOME_COUNT);
	assert_string_equal(outcome_name(OUTCOME_TOO_LARGE), "too_large");
	assert_string_equal(outcome_name(OUTCOME_COUNT), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_long_random_and_of_the_protocols_alphabet),
		cmocka_unit_test(a_call_belongs_to_its_session),
		cmocka_unit_test(only_the_allowed_steps_are_made),
		cmocka_unit_test(calls_expire_in_the_order_of_their_deadlines),
		cmocka_unit_test(calls_leave_a_session_in_any_order),
		cmocka_unit_test(outcomes_have_names_and_workers_may_not_say_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
