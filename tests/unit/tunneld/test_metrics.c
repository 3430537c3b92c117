#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tunneld/metrics.h"

static char *text_of(const struct metrics *m, const struct registry *r)
{
	const struct metrics_now now = {.registry = r, .started_at = 1764000000, .calls = 3};
	struct buf b;

	buf_init(&b, 1 << 22);
	metrics_text(m, &now, &b);
	assert_false(b.failed);
	return buf_steal(&b);
}

static void assert_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	while (at && !((at == text || at[-1] == '\n') && at[strlen(line)] == '\n'))
		at = strstr(at + 1, line);
	if (!at)
		fail_msg("no line: %s", line);
}

static void the_guides_four_have_their_names_and_labels(void **state)
{
	struct metrics m;
	struct registry r;
	struct session s = {.worker_id = "w_1", .tenant_id = "t_fintech"};
	char *text;

	(void)state;
	metrics_init(&m, 1);
	registry_init(&r, 1);
	registry_add(&r, &s);
	m.hello = 5;
	metrics_call(metrics_tool(&m, "execute_sql", true), OUTCOME_OK, 700);
	metrics_call(metrics_tool(&m, "execute_sql", true), OUTCOME_TIMEOUT, 61000000);
	text = text_of(&m, &r);
	assert_line(text, "# TYPE airlock_cp_tool_calls_total counter");
	assert_line(text, "airlock_cp_tool_calls_total{tool=\"execute_sql\",outcome=\"ok\"} 1");
	assert_line(
		text, "airlock_cp_tool_calls_total{tool=\"execute_sql\",outcome=\"timeout\"} 1");
	assert_line(text, "# TYPE airlock_cp_tool_latency_seconds histogram");
	assert_line(text,
		"airlock_cp_tool_latency_seconds_bucket{tool=\"execute_sql\",le=\"0.001\"} 1");
	assert_line(
		text, "airlock_cp_tool_latency_seconds_bucket{tool=\"execute_sql\",le=\"60\"} 1");
	assert_line(
		text, "airlock_cp_tool_latency_seconds_bucket{tool=\"execute_sql\",le=\"+Inf\"} 2");
	assert_line(text, "airlock_cp_tool_latency_seconds_sum{tool=\"execute_sql\"} 61.000700");
	assert_line(text, "airlock_cp_tool_latency_seconds_count{tool=\"execute_sql\"} 2");
	assert_line(text, "airlock_cp_active_sessions{tenant_id=\"t_fintech\"} 1");
	assert_line(text, "airlock_cp_hello_total 5");
	assert_line(text, "airlock_cp_hello_nack_total{reason=\"bad_signature\"} 0");
	assert_line(text, "airlock_cp_calls_in_flight 3");
	assert_line(text, "airlock_cp_audit_fsync_seconds_count 0");
	assert_line(text, "process_start_time_seconds 1764000000");
	free(text);
	registry_remove(&r, &s);
	text = text_of(&m, &r);
	assert_line(text, "airlock_cp_active_sessions{tenant_id=\"t_fintech\"} 0");
	free(text);
	registry_free(&r);
	metrics_free(&m);
}

static void tools_do_not_multiply(void **state)
{
	struct metrics m;
	struct registry r;
	char name[64], *text;

	(void)state;
	metrics_init(&m, 1);
	registry_init(&r, 1);
	metrics_call(metrics_tool(&m, "not_listed", false), OUTCOME_NO_WORKER, 1);
	for (int i = 0; i < METRICS_TOOLS_MAX + 100; i++) {
		(void)snprintf(name, sizeof(name), "tool%d", i);
		metrics_call(metrics_tool(&m, name, true), OUTCOME_OK, 1);
	}
	text = text_of(&m, &r);
	assert_line(text, "airlock_cp_tool_calls_total{tool=\"other\",outcome=\"no_worker\"} 1");
	assert_line(text, "airlock_cp_tool_calls_total{tool=\"other\",outcome=\"ok\"} 100");
	assert_null(strstr(text, "not_listed"));
	assert_null(strstr(text, "tool612"));
	free(text);
	registry_free(&r);
	metrics_free(&m);
}

static void label_values_are_escaped(void **state)
{
	struct metrics m;
	struct registry r;
	char *text;

	(void)state;
	metrics_init(&m, 1);
	registry_init(&r, 1);
	metrics_call(metrics_tool(&m, "a\"b\\c\nd", true), OUTCOME_OK, 1);
	text = text_of(&m, &r);
	assert_line(text, "airlock_cp_tool_calls_total{tool=\"a\\\"b\\\\c\\nd\",outcome=\"ok\"} 1");
	free(text);
	registry_free(&r);
	metrics_free(&m);
}

/* Every sample belongs to a family that was announced, and no family is announced twice. */
static void the_text_is_well_formed(void **state)
{
	struct metrics m;
	struct registry r;
	char *text, *line, *save = NULL, family[128] = "";
	int families = 0;

	(void)state;
	metrics_init(&m, 1);
	registry_init(&r, 1);
	metrics_call(metrics_tool(&m, "x", true), OUTCOME_OK, 1);
	text = text_of(&m, &r);
	assert_int_equal(text[strlen(text) - 1], '\n');
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!strncmp(line, "# HELP ", 7))
			continue;
		if (!strncmp(line, "# TYPE ", 7)) {
			(void)snprintf(family, sizeof(family), "%.*s", (int)strcspn(line + 7, " "),
				line + 7);
			families++;
			continue;
		}
		assert_int_equal(strncmp(line, family, strlen(family)), 0);
		assert_non_null(strrchr(line, ' '));
		assert_true(strspn(strrchr(line, ' ') + 1, "0123456789.") > 0);
	}
	assert_true(families > 20);
	free(text);
	registry_free(&r);
	metrics_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_guides_four_have_their_names_and_labels),
		cmocka_unit_test(tools_do_not_multiply),
		cmocka_unit_test(label_values_are_escaped),
		cmocka_unit_test(the_text_is_well_formed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
