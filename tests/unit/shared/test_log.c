#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "shared/log.h"
#include "shared/text.h"

static int pipe_fds[2];

static int open_pipe(void **state)
{
	(void)state;
	log_context(NULL, NULL, NULL);
	log_set_level(LOG_LEVEL_INFO);
	return pipe(pipe_fds);
}

static int close_pipe(void **state)
{
	(void)state;
	close(pipe_fds[0]);
	return close(pipe_fds[1]);
}

/* What was logged; exactly one line unless NULL. */
static const char *line(void)
{
	static char text[8192];
	ssize_t n;

	/* A mark, so that an empty pipe does not block. */
	assert_int_equal(write(pipe_fds[1], "!", 1), 1);
	n = read(pipe_fds[0], text, sizeof(text) - 1);
	assert_true(n >= 1);
	assert_int_equal(text[n - 1], '!');
	text[n - 1] = '\0';
	return n == 1 ? NULL : text;
}

static json_t *json_line(void)
{
	const char *text = line();
	json_t *json;

	assert_non_null(text);
	assert_int_equal(text[strlen(text) - 1], '\n');
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	return json;
}

static const char *member(json_t *json, const char *name)
{
	const char *value = json_string_value(json_object_get(json, name));

	return value ? value : "(absent)";
}

static void a_line_is_one_json_object(void **state)
{
	json_t *json;

	(void)state;
	log_init("tunneld", pipe_fds[1], LOG_FORMAT_JSON);
	log_context("req_1", "t_acme", "10.0.0.1");
	log_warn("%d \"quoted\" \\ \n\t\x01 \xC3\xA9 \xFF", 7);
	json = json_line();
	assert_string_equal(member(json, "level"), "warning");
	assert_string_equal(member(json, "program"), "tunneld");
	assert_string_equal(member(json, "msg"), "7 \"quoted\" \\ \n\t\x01 \xC3\xA9 \xEF\xBF\xBD");
	assert_string_equal(member(json, "request_id"), "req_1");
	assert_string_equal(member(json, "tenant_id"), "t_acme");
	assert_string_equal(member(json, "peer"), "10.0.0.1");
	assert_int_equal(strlen(member(json, "ts")), 24);
	assert_int_equal(json_object_size(json), 7);
	json_decref(json);
}

static void context_fields_can_be_left_out(void **state)
{
	json_t *json;

	(void)state;
	log_init("tunneld", pipe_fds[1], LOG_FORMAT_JSON);
	log_context(NULL, "t_a\"b\n", NULL);
	log_info("x");
	json = json_line();
	assert_string_equal(member(json, "tenant_id"), "t_a?b?");
	assert_int_equal(json_object_size(json), 5);
	json_decref(json);
}

static void lines_are_bounded_and_stay_whole(void **state)
{
	char *msg = malloc(20001);
	char id[400];
	const char *got;
	json_t *json;

	(void)state;
	log_init("tunneld", pipe_fds[1], LOG_FORMAT_JSON);
	memset(id, 'i', sizeof(id));
	id[sizeof(id) - 1] = '\0';
	log_context(id, id, id);
	for (int i = 0; i < 20000; i += 2)
		memcpy(msg + i, "\xC3\xA9", 2);
	msg[20000] = '\0';
	log_err("%s", msg);
	json = json_line();
	got = member(json, "msg");
	assert_in_range(strlen(got), 3000, 4096);
	assert_string_equal(got + strlen(got) - 3, "...");
	assert_true(text_utf8_ok(got, strlen(got)));
	json_decref(json);

	memset(msg, '\x01', 20000); /* each becomes six bytes */
	log_err("%s", msg);
	json = json_line();
	json_decref(json);
	free(msg);
}

static void the_level_holds_back(void **state)
{
	(void)state;
	log_init("tunneld", pipe_fds[1], LOG_FORMAT_JSON);
	log_debug("no");
	assert_null(line());
	log_set_level(LOG_LEVEL_ERROR);
	log_warn("no");
	assert_null(line());
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("yes");
	assert_non_null(line());
}

static void errno_survives(void **state)
{
	(void)state;
	log_init("tunneld", pipe_fds[1], LOG_FORMAT_JSON);
	errno = ENOSPC;
	log_info("x");
	assert_int_equal(errno, ENOSPC);
	log_init("tunneld", -1, LOG_FORMAT_JSON); /* write() fails */
	log_info("x");
	assert_int_equal(errno, ENOSPC);
}

static void text_for_people(void **state)
{
	(void)state;
	log_init("airlockctl", pipe_fds[1], LOG_FORMAT_TEXT);
	log_context("req_1", NULL, NULL);
	log_err("no \"such\" tenant\x1b[31m");
	assert_string_equal(line(), "airlockctl: no \"such\" tenant\\x1b[31m\n");
}

static void level_names(void **state)
{
	enum log_level level = LOG_LEVEL_DEBUG;

	(void)state;
	assert_int_equal(log_level_parse("warning", &level), RC_OK);
	assert_int_equal(level, LOG_LEVEL_WARN);
	assert_int_equal(log_level_parse("CRITICAL", &level), RC_OK);
	assert_int_equal(level, LOG_LEVEL_ERROR);
	assert_int_equal(log_level_parse("Info", &level), RC_OK);
	assert_int_equal(level, LOG_LEVEL_INFO);
	assert_int_equal(log_level_parse("", &level), RC_INVALID);
	assert_int_equal(log_level_parse("LOUD", &level), RC_INVALID);
	assert_int_equal(level, LOG_LEVEL_INFO);
}

static void die_says_why_and_exits_with_1(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	log_init("tunneld", pipe_fds[1], LOG_FORMAT_TEXT);
	log_set_level(LOG_LEVEL_ERROR);
	pid = fork();
	if (pid == 0)
		die("because of %s", "this");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_string_equal(line(), "tunneld: because of this\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_is_one_json_object, open_pipe, close_pipe),
		cmocka_unit_test_setup_teardown(
			context_fields_can_be_left_out, open_pipe, close_pipe),
		cmocka_unit_test_setup_teardown(
			lines_are_bounded_and_stay_whole, open_pipe, close_pipe),
		cmocka_unit_test_setup_teardown(the_level_holds_back, open_pipe, close_pipe),
		cmocka_unit_test_setup_teardown(errno_survives, open_pipe, close_pipe),
		cmocka_unit_test_setup_teardown(text_for_people, open_pipe, close_pipe),
		cmocka_unit_test(level_names),
		cmocka_unit_test_setup_teardown(
			die_says_why_and_exits_with_1, open_pipe, close_pipe),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
