#include "shared/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/mem.h"

/* A temporary file is "<path>.tmp." and six random characters, so that file_sweep() knows it. */
#define TMP_SUFFIX ".tmp."
#define TMP_RANDOM 6

/* After a failed system call: what callers act on. */
static enum rc rc_from_errno(void)
{
	switch (errno) {
	case ENOENT:
	case ENOTDIR:
		return RC_NOTFOUND;
	case EACCES:
	case EPERM:
		return RC_DENIED;
	default:
		return RC_UNAVAILABLE;
	}
}

static void close_keep_errno(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

static void unlink_keep_errno(const char *path)
{
	int saved = errno;

	unlink(path);
	errno = saved;
}

bool file_dir(const char *path, char out[PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return str_copy(out, PATH_MAX, ".");
	if (slash == path)
		return str_copy(out, PATH_MAX, "/");
	return str_copy_len(out, PATH_MAX, path, (size_t)(slash - path));
}

enum rc file_sync_dir(const char *path)
{
	char dir[PATH_MAX];

	if (!file_dir(path, dir)) {
		errno = ENAMETOOLONG;
		return RC_UNAVAILABLE;
	}
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return RC_UNAVAILABLE;
	/* Some file systems cannot sync a directory and say EINVAL: there is nothing to wait for.
	 */
	int failed = fsync(fd) != 0 && errno != EINVAL;
	close_keep_errno(fd);
	return failed ? RC_UNAVAILABLE : RC_OK;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

/* A complete, synced file under a temporary name. */
static enum rc write_temporary(
	const char *path, const void *bytes, size_t len, unsigned mode, char tmp[PATH_MAX])
{
	int n = snprintf(tmp, PATH_MAX, "%s" TMP_SUFFIX "XXXXXX", path);

	if (n < 0 || n >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return RC_UNAVAILABLE;
	}
	int fd = mkostemp(tmp, O_CLOEXEC); /* 0600 until it is complete */
	if (fd < 0)
		return RC_UNAVAILABLE;
	bool ok = write_all(fd, bytes, len) && fchmod(fd, (mode_t)mode) == 0 && fsync(fd) == 0;
	close_keep_errno(fd);
	if (!ok)
		unlink_keep_errno(tmp);
	return ok ? RC_OK : RC_UNAVAILABLE;
}

enum rc file_write_atomic(const char *path, const void *bytes, size_t len, unsigned mode)
{
	char tmp[PATH_MAX];
	enum rc rc = write_temporary(path, bytes, len, mode, tmp);

	if (rc != RC_OK)
		return rc;
	if (rename(tmp, path) != 0) {
		unlink_keep_errno(tmp);
		return RC_UNAVAILABLE;
	}
	return file_sync_dir(path);
}

/* In one step, which refuses an existing name. File systems that have no such step get the new name
 * first and lose the old one then. */
static bool name_new(const char *tmp, const char *path)
{
	if (renameat2(AT_FDCWD, tmp, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
		return true;
	bool named = (errno == EINVAL || errno == ENOSYS) && link(tmp, path) == 0;

	unlink_keep_errno(tmp);
	return named;
}

enum rc file_write_new(const char *path, const void *bytes, size_t len, unsigned mode)
{
	char tmp[PATH_MAX];
	enum rc rc = write_temporary(path, bytes, len, mode, tmp);

	if (rc != RC_OK)
		return rc;
	if (!name_new(tmp, path))
		return errno == EEXIST ? RC_CONFLICT : RC_UNAVAILABLE;
	return file_sync_dir(path);
}

void file_sweep(const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	size_t base_len = strlen(base);
	struct dirent *entry;

	if (!file_dir(path, dir))
		return;
	DIR *d = opendir(dir);
	if (!d)
		return;
	while ((entry = readdir(d))) {
		const char *name = entry->d_name;

		if (strlen(name) == base_len + strlen(TMP_SUFFIX) + TMP_RANDOM &&
			memcmp(name, base, base_len) == 0 &&
			memcmp(name + base_len, TMP_SUFFIX, strlen(TMP_SUFFIX)) == 0)
			unlinkat(dirfd(d), name, 0);
	}
	closedir(d);
}

/* Makes one directory of a path; one that is there already is as good. */
static bool make_dir(const char *path, unsigned mode)
{
	struct stat st;

	/* chmod() because of the umask. */
	if (mkdir(path, (mode_t)mode) == 0)
		return chmod(path, (mode_t)mode) == 0 && file_sync_dir(path) == RC_OK;
	int why = errno;
	if (stat(path, &st) == 0) {
		errno = ENOTDIR;
		return S_ISDIR(st.st_mode);
	}
	errno = why;
	return false;
}

enum rc file_make_dirs(const char *path, unsigned mode)
{
	char part[PATH_MAX];

	if (!str_copy(part, sizeof(part), path)) {
		errno = ENAMETOOLONG;
		return RC_UNAVAILABLE;
	}
	for (char *p = part + 1; part[0] && *p; p++) {
		if (*p != '/' || p[-1] == '/')
			continue;
		*p = '\0';
		bool ok = make_dir(part, mode);
		*p = '/';
		if (!ok)
			return RC_UNAVAILABLE;
	}
	return make_dir(part, mode) ? RC_OK : RC_UNAVAILABLE;
}

/* Room for what fstat() says, one byte to see whether there is more, one for the NUL. Pipes and
 * /proc say 0. */
static size_t first_size(int fd, size_t max)
{
	struct stat st;
	size_t size = 4096;

	if (fstat(fd, &st) == 0 && st.st_size > 0)
		size = (size_t)st.st_size + 2;
	return size > max + 2 ? max + 2 : size;
}

/* The old copy is wiped: the file may hold a secret. */
static char *move_to_larger(char *old, size_t old_size, size_t size)
{
	char *data = malloc(size);

	if (data && old)
		memcpy(data, old, old_size);
	mem_wipe(old, old_size);
	free(old);
	return data;
}

static enum rc read_all(int fd, size_t max, char **data, size_t *len)
{
	size_t size = first_size(fd, max);
	char *text = malloc(size);
	size_t used = 0;
	enum rc rc = RC_OK;

	while (text) {
		ssize_t n = read(fd, text + used, size - 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			rc = n == 0 ? RC_OK : rc_from_errno();
			break;
		}
		used += (size_t)n;
		if (used > max) {
			errno = EFBIG;
			rc = RC_LIMIT;
			break;
		}
		if (used == size - 1) {
			size_t more = size > max / 2 ? max + 2 : size * 2;

			text = move_to_larger(text, size, more);
			size = more;
		}
	}
	if (!text)
		return RC_UNAVAILABLE;
	if (rc != RC_OK) {
		mem_wipe(text, size);
		free(text);
		return rc;
	}
	text[used] = '\0';
	*data = text;
	*len = used;
	return RC_OK;
}

enum rc file_read(const char *path, size_t max, char **data, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return rc_from_errno();
	enum rc rc = read_all(fd, max, data, len);
	close_keep_errno(fd);
	return rc;
}

bool file_read_at(int fd, void *bytes, size_t len, off_t at)
{
	char *to = bytes;

	while (len > 0) {
		ssize_t n = pread(fd, to, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return false;
		to += n;
		len -= (size_t)n;
		at += n;
	}
	return true;
}

static int lock_with(const char *path, int flags)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);

	while (fd >= 0 && flock(fd, LOCK_EX) != 0) {
		if (errno == EINTR)
			continue;
		close_keep_errno(fd);
		fd = -1;
	}
	return fd;
}

int file_lock(const char *path)
{
	return lock_with(path, O_CREAT);
}

int file_lock_existing(const char *path)
{
	return lock_with(path, 0);
}

/* A lock of the open file, not of the process: unlike flock() it can be asked for (fcntl(2)). */
bool file_claim(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool file_claimed(int fd)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool file_same_dir(const char *a, const char *b)
{
	char first[PATH_MAX], second[PATH_MAX];
	struct stat x, y;

	return file_dir(a, first) && file_dir(b, second) && stat(first, &x) == 0 &&
		stat(second, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}
