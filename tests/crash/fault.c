/* fault.so: a disk that fails when it is told to. Preloaded into a program, it makes writes and
 * syncs of the files whose name ends in $FAULT_FILE fail while the file $FAULT_CONTROL has a word
 * in it:
 *  - enospc: pwrite() writes half of what it was given, then fails;
 *  - eio: pwrite() fails;
 *  - sync: fdatasync() fails, and what was not on the disk before is gone: it reads back as zeros,
 *    as pages do that a kernel dropped after it could not write them.
 * When something fails so, there is a file $FAULT_CONTROL.<word>. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Of the one file that is meant: how long it was when its last sync succeeded. */
static struct {
	dev_t dev;
	ino_t ino;
	off_t size;
} synced;

static bool meant(int fd)
{
	const char *end = getenv("FAULT_FILE");
	char link[64], path[PATH_MAX];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = end ? readlink(link, path, sizeof(path) - 1) : -1;
	if (n < 0 || (size_t)n < strlen(end))
		return false;
	path[n] = '\0';
	return strcmp(path + n - strlen(end), end) == 0;
}

/* For who wants to know that it did fail. */
static void leave_mark(const char *control, const char *word)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s.%s", control, word);
	int fd = n > 0 && (size_t)n < sizeof(path)
		? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)
		: -1;

	if (fd >= 0)
		(void)close(fd);
}

/* If so, the caller fails. */
static bool told(const char *word)
{
	const char *path = getenv("FAULT_CONTROL");
	char text[16] = "";
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	(void)close(fd);
	if (strncmp(text, word, strlen(word)) != 0)
		return false;
	leave_mark(path, word);
	return true;
}

/* The first look at a file takes what is in it as synced. */
static off_t synced_size(int fd, struct stat *st)
{
	if (fstat(fd, st) != 0)
		return 0;
	if (synced.dev != st->st_dev || synced.ino != st->st_ino) {
		synced.dev = st->st_dev;
		synced.ino = st->st_ino;
		synced.size = st->st_size;
	}
	if (synced.size > st->st_size)
		synced.size = st->st_size;
	return synced.size;
}

static ssize_t really_write(int fd, const void *bytes, size_t len, off_t at)
{
	return syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	struct stat st;

	if (meant(fd)) {
		(void)pthread_mutex_lock(&lock);
		(void)synced_size(fd, &st);
		(void)pthread_mutex_unlock(&lock);
		if (told("eio")) {
			errno = EIO;
			return -1;
		}
		if (told("enospc")) {
			if (len > 1)
				return really_write(fd, bytes, len / 2, at);
			errno = ENOSPC;
			return -1;
		}
	}
	return really_write(fd, bytes, len, at);
}

int fdatasync(int fd)
{
	static const char zeros[4096];
	struct stat st;
	off_t from;

	if (!meant(fd))
		return (int)syscall(SYS_fdatasync, fd);
	(void)pthread_mutex_lock(&lock);
	from = synced_size(fd, &st);
	if (told("sync")) {
		while (from < st.st_size) {
			off_t left = st.st_size - from;
			ssize_t n = really_write(fd, zeros,
				left < (off_t)sizeof(zeros) ? (size_t)left : sizeof(zeros), from);

			if (n <= 0)
				break;
			from += n;
		}
		(void)pthread_mutex_unlock(&lock);
		errno = EIO;
		return -1;
	}
	synced.size = st.st_size;
	(void)pthread_mutex_unlock(&lock);
	return (int)syscall(SYS_fdatasync, fd);
}
