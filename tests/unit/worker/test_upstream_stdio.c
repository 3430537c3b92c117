/* Child processes that behave badly, one trouble each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "shared/clock.h"
#include "worker/upstream.h"
#include "worker/upstream_stdio.h"

#define PATIENCE_MS 20000

struct rig {
	struct ev_loop *loop;
	struct upstream_stdio *child;
	ev_timer tick;
	int lines, too_long, want, ended, status;
	size_t last_len;
	char last[256];
	int64_t give_up_at;
};

static void on_line(void *ctx, const char *text, size_t len)
{
	struct rig *r = ctx;

	r->lines++;
	r->last_len = len;
	(void)snprintf(r->last, sizeof r->last, "%.*s", (int)len, text);
	if (r->lines == r->want)
		ev_break(r->loop, EVBREAK_ALL);
}

static void on_too_long(void *ctx)
{
	((struct rig *)ctx)->too_long++;
}

static void on_ended(void *ctx, int status)
{
	struct rig *r = ctx;

	r->ended++;
	r->status = status;
	ev_break(r->loop, EVBREAK_ALL);
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct rig *r = w->data;

	(void)revents;
	upstream_stdio_tick(r->child, clock_mono_ms());
	if (clock_mono_ms() >= r->give_up_at)
		ev_break(loop, EVBREAK_ALL);
}

static void rig_start(struct rig *r, const char *script)
{
	static char *env[] = {"PATH=/usr/bin:/bin", "LISTED=yes", NULL};
	static char *command[4];
	static char text[512];
	struct upstream_stdio_owner owner = {
		.ctx = r, .line = on_line, .too_long = on_too_long, .ended = on_ended};

	memset(r, 0, sizeof *r);
	command[0] = "sh";
	command[1] = "-c";
	snprintf(text, sizeof text, "%s", script);
	command[2] = text;
	r->loop = ev_loop_new(EVFLAG_AUTO);
	r->child = upstream_stdio_new(r->loop, "child", command, env, &owner);
	assert_int_equal(upstream_stdio_start(r->child), RC_OK);
	ev_timer_init(&r->tick, on_tick, 0.01, 0.01);
	r->tick.data = r;
	ev_timer_start(r->loop, &r->tick);
}

/* Until so many lines have come, or the child has ended. */
static void run(struct rig *r, int want)
{
	r->want = want;
	r->give_up_at = clock_mono_ms() + PATIENCE_MS;
	ev_run(r->loop, 0);
	assert_true(clock_mono_ms() < r->give_up_at);
}

static void rig_free(struct rig *r)
{
	upstream_stdio_free(r->child);
	ev_timer_stop(r->loop, &r->tick);
	ev_loop_destroy(r->loop);
}

static void a_message_is_a_line(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, "cat");
	assert_int_equal(upstream_stdio_send(r.child, "{\n\"a\":1}", 8), RC_OK);
	run(&r, 1);
	assert_string_equal(r.last, "{ \"a\":1}");
	rig_free(&r);
}

static void partial_lines_are_joined_and_empty_ones_left_out(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, "printf '\\n\\r\\n{\"a\"'; read x; printf ':1}\\r\\nend\\n'; read x");
	assert_int_equal(upstream_stdio_send(r.child, "go", 2), RC_OK);
	run(&r, 2);
	assert_int_equal(r.lines, 2);
	assert_string_equal(r.last, "end");
	rig_free(&r);
}

static void a_huge_line_is_skipped_and_the_next_one_read(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, "head -c 20000000 /dev/zero | tr '\\0' x; echo; echo after; read x");
	run(&r, 1);
	assert_int_equal(r.lines, 1);
	assert_int_equal(r.too_long, 1);
	assert_string_equal(r.last, "after");
	rig_free(&r);
}

static void a_flood_leaves_turns_to_others(void **state)
{
	struct rig r;
	int64_t began = clock_mono_ms();

	(void)state;
	rig_start(&r, "exec yes '{\"jsonrpc\":\"2.0\"}'");
	r.want = -1;
	do { /* the timer comes in spite of the flood */
		r.give_up_at = clock_mono_ms() + 100;
		ev_run(r.loop, 0);
		assert_true(clock_mono_ms() - began < PATIENCE_MS);
	} while (r.lines <= 1000);
	/* Not read, it stands still. */
	upstream_stdio_read(r.child, false);
	int lines = r.lines;
	r.give_up_at = clock_mono_ms() + 100;
	ev_run(r.loop, 0);
	assert_int_equal(r.lines, lines);
	rig_free(&r);
}

static void a_crash_is_noticed_and_its_last_words_are_heard(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, "echo last; kill -SEGV $$");
	run(&r, 100);
	assert_int_equal(r.ended, 1);
	assert_int_equal(r.lines, 1);
	assert_true(WIFSIGNALED(r.status));
	assert_int_equal(WTERMSIG(r.status), SIGSEGV);
	assert_int_equal(upstream_stdio_send(r.child, "x", 1), RC_UNAVAILABLE);
	assert_int_equal(upstream_stdio_start(r.child), RC_OK);
	run(&r, 100);
	assert_int_equal(r.ended, 2);
	rig_free(&r);
}

static void one_that_ignores_sigterm_is_killed(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, "trap '' TERM; echo ready; while :; do read x || sleep 1; done");
	run(&r, 1);
	upstream_stdio_stop(r.child, clock_mono_ms());
	run(&r, 100);
	assert_int_equal(r.ended, 1);
	assert_int_equal(WTERMSIG(r.status), SIGKILL);
	rig_free(&r);
}

static void one_that_does_not_read_is_bounded(void **state)
{
	static char block[1 << 20];
	struct rig r;
	enum rc rc = RC_OK;
	size_t n = 0;

	(void)state;
	memset(block, 'x', sizeof block);
	rig_start(&r, "exec sleep 60");
	while (rc == RC_OK && n <= UPSTREAM_STDIO_QUEUE_MAX)
		if ((rc = upstream_stdio_send(r.child, block, sizeof block)) == RC_OK)
			n += sizeof block;
	assert_int_equal(rc, RC_LIMIT);
	assert_true(n < UPSTREAM_STDIO_QUEUE_MAX);
	rig_free(&r);
}

static void the_environment_is_what_was_given(void **state)
{
	struct rig r;

	(void)state;
	assert_int_equal(setenv("SECRET_OF_THE_PARENT", "s", 1), 0);
	rig_start(&r, "echo \"$LISTED/$SECRET_OF_THE_PARENT/$(ls /proc/self/fd | wc -l)\"; read x");
	run(&r, 1);
	assert_string_equal(r.last, "yes//4"); /* three, and the directory itself */
	rig_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_a_line),
		cmocka_unit_test(partial_lines_are_joined_and_empty_ones_left_out),
		cmocka_unit_test(a_huge_line_is_skipped_and_the_next_one_read),
		cmocka_unit_test(a_flood_leaves_turns_to_others),
		cmocka_unit_test(a_crash_is_noticed_and_its_last_words_are_heard),
		cmocka_unit_test(one_that_ignores_sigterm_is_killed),
		cmocka_unit_test(one_that_does_not_read_is_bounded),
		cmocka_unit_test(the_environment_is_what_was_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
