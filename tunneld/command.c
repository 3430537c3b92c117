#include "tunneld/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/text.h"

#define ENV_MAX 16
#define VALUE_MAX 4200

/* Letters, digits, and what no shell gives a meaning to. */
static bool plain(const char *value)
{
	return !value[text_span(value, "/._-+:,@=")];
}

static const char *value_of(char letter, const struct command_word *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (words[i].letter == letter)
			return words[i].value;
	return letter == '%' ? "%" : NULL;
}

enum rc command_expand(
	const char *text, const struct command_word *words, size_t count, struct buf *out)
{
	for (; *text; text++) {
		const char *value;

		if (*text != '%') {
			buf_char(out, *text);
			continue;
		}
		value = value_of(*++text, words, count);
		if (!value || (*text != '%' && !plain(value)))
			return RC_INVALID;
		buf_str(out, value);
	}
	return out->failed ? RC_INVALID : RC_OK;
}

static void inherit(char values[][VALUE_MAX], char *env[], size_t *count)
{
	static const char *const names[] = {"PATH", "HOME", "LANG", "TZ"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = getenv(names[i]);

		if (!value && i == 0)
			value = "/usr/local/bin:/usr/bin:/bin";
		if (!value || snprintf(values[i], VALUE_MAX, "%s=%s", names[i], value) >= VALUE_MAX)
			continue;
		env[(*count)++] = values[i];
	}
}

/* Its own process group, no signal blocked or ignored, nothing open but the log. */
static int spawn(pid_t *pid, const char *command, char *env[])
{
	char *argv[] = {"sh", "-c", (char *)command, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int why;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawn_file_actions_init(&files);
	(void)posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&files, 2, 1);
	(void)posix_spawn_file_actions_addclosefrom_np(&files, 3);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setflags(
		&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	why = posix_spawn(pid, "/bin/sh", &files, &attr, argv, env);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&files);
	return why;
}

/* Until it has ended, or must. */
static enum command_end wait_for(pid_t pid, int timeout_ms, int stop_fd)
{
	struct pollfd fds[2] = {{.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN},
		{.fd = stop_fd, .events = POLLIN}};
	int n;

	if (fds[0].fd < 0)
		return COMMAND_FAILED;
	do
		n = poll(fds, 2, timeout_ms);
	while (n < 0 && errno == EINTR);
	(void)close(fds[0].fd);
	if (fds[0].revents)
		return COMMAND_OK;
	return fds[1].revents ? COMMAND_STOPPED : COMMAND_TIMEOUT;
}

enum command_end command_run(
	const char *name, const char *command, const char *const *env, int timeout_ms, int stop_fd)
{
	char values[4][VALUE_MAX], *all[ENV_MAX + 5];
	enum command_end end;
	size_t count = 0;
	int status = 0, why;
	pid_t pid;

	inherit(values, all, &count);
	while (*env && count < ENV_MAX)
		all[count++] = (char *)*env++;
	all[count] = NULL;
	why = spawn(&pid, command, all);
	if (why != 0) {
		log_err("%s can't be started: %s", name, strerror(why));
		return COMMAND_FAILED;
	}
	end = wait_for(pid, timeout_ms, stop_fd);
	if (end != COMMAND_OK)
		(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (end == COMMAND_TIMEOUT)
		log_err("%s took longer than %d s and was killed", name, timeout_ms / 1000);
	else if (end == COMMAND_OK && status != 0)
		log_err("%s failed: %s %d", name, WIFSIGNALED(status) ? "signal" : "status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return end == COMMAND_OK && status != 0 ? COMMAND_FAILED : end;
}
