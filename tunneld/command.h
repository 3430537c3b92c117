/* command: an operator's command, run by /bin/sh -c beside the daemon: no secret of ours in its
 * environment, no descriptor of ours open, and not longer than it may take. */
#ifndef TUNNELD_COMMAND_H
#define TUNNELD_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/buf.h"
#include "shared/rc.h"

/* What a placeholder, such as %p, stands for. */
struct command_word {
	char letter;
	const char *value;
};

/* Appends text with its placeholders filled in; %% is a percent sign. RC_INVALID: another letter
 * stands behind a %, or a value has a character that a shell could take for something else. */
enum rc command_expand(const char *text, const struct command_word *words, size_t count,
	struct buf *out) MUST_CHECK;

enum command_end { COMMAND_OK, COMMAND_FAILED, COMMAND_TIMEOUT, COMMAND_STOPPED };
/* Runs it and waits. env: NAME=value, NULL at the end; PATH, HOME, LANG and TZ are added. stop_fd:
 * when it becomes readable the command is killed. What it did is logged when it did not end well.
 */
enum command_end command_run(
	const char *name, const char *command, const char *const *env, int timeout_ms, int stop_fd);

#endif
