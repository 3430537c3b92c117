/* kill.so: a process that is killed (SIGKILL) before its n-th step that changes a directory or
 * fills a file from another. Preloaded into a program, it counts the calls of rename(), link(),
 * unlink(), rmdir(), sendfile() and their like; before the one whose number is $KILL_BEFORE the
 * process ends. With fewer calls it does nothing. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

static void step(void)
{
	static long count;
	const char *at = getenv("KILL_BEFORE");

	if (at && ++count == strtol(at, NULL, 10))
		(void)kill(getpid(), SIGKILL);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	step();
	return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return renameat2(from_dir, from, to_dir, to, 0);
}

int rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	step();
	return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

int link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
	step();
	return (int)syscall(SYS_unlinkat, dir, path, flags);
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
	int result = unlink(path);

	return result != 0 && errno == EISDIR ? rmdir(path) : result;
}

ssize_t sendfile(int to, int from, off_t *at, size_t len)
{
	step();
	return syscall(SYS_sendfile, to, from, at, len);
}
