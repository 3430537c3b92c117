/* step.so: a process that ends, or waits, where it is told to. Preloaded into a program, it counts
 * the calls that change a directory or fill a file from another: rename(), link(), unlink(),
 * rmdir(), sendfile() and their like; before the one whose number is $KILL_BEFORE the process is
 * killed (SIGKILL). With $STOP_AT=opendir or closedir it is stopped (SIGSTOP) before its first call
 * of that; with $STOP_IN before the first one for that directory. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static void stop_at(const char *name, bool there)
{
	static int stopped;
	const char *at = getenv("STOP_AT");

	if (at && strcmp(at, name) == 0 && there && !stopped++)
		(void)kill(getpid(), SIGSTOP);
}

/* The last one that was opened of those that are meant. */
static DIR *meant;

/* ISO C knows no way from a pointer to a function's. */
static void find_next(const char *name, void *function)
{
	void *address = dlsym(RTLD_NEXT, name);

	memcpy(function, (const void *)&address, sizeof(address));
}

DIR *opendir(const char *path)
{
	DIR *(*next)(const char *), *d;
	const char *in = getenv("STOP_IN");
	bool there = !in || strcmp(in, path) == 0;

	stop_at("opendir", there);
	find_next("opendir", (void *)&next);
	d = next(path);
	if (there)
		meant = d;
	return d;
}

int closedir(DIR *d)
{
	int (*next)(DIR *);

	stop_at("closedir", d == meant);
	find_next("closedir", (void *)&next);
	return next(d);
}
