#include "cli/restore_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "shared/file.h"
#include "shared/mem.h"

/* The name and so many random characters. */
#define NAME ".restore-"
#define RANDOM 6

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *dir)
{
	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* -1: another restore is at work in it, or it is no directory. */
static int hold(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

static bool is_ours(const char *name)
{
	size_t prefix = sizeof(NAME) - 1;

	return strlen(name) == prefix + RANDOM && strncmp(name, NAME, prefix) == 0;
}

/* Goes through what killed restores left beside that file: each gets its path, as long as it says
 * true. */
static void each_left(const char *beside, bool (*each)(const char *path, char *out), char *out)
{
	char dir[PATH_MAX], path[PATH_MAX];
	const struct dirent *e;
	bool more = true;
	DIR *d = file_dir(beside, dir) ? opendir(dir) : NULL;

	while (d && more && (e = readdir(d))) {
		int fd = -1;

		if (is_ours(e->d_name) &&
			snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) < PATH_MAX)
			fd = hold(path);
		if (fd < 0)
			continue;
		more = each(path, out);
		(void)close(fd);
	}
	if (d)
		(void)closedir(d);
}

static bool sweep(const char *path, char *out)
{
	(void)out;
	remove_tree(path);
	return true;
}

static bool take_path(const char *path, char *out)
{
	return !str_copy(out, PATH_MAX, path);
}

bool restore_dir_left(const char *beside, char out[PATH_MAX])
{
	out[0] = '\0';
	each_left(beside, take_path, out);
	return *out != '\0';
}

enum rc restore_dir_make(const char *beside, struct restore_dir *d)
{
	char parent[PATH_MAX];

	d->hold = -1;
	d->path[0] = '\0';
	if (!file_dir(beside, parent)) {
		errno = ENAMETOOLONG;
		return RC_UNAVAILABLE;
	}
	each_left(beside, sweep, NULL);
	if (file_make_dirs(parent, 0700) != RC_OK)
		return RC_UNAVAILABLE;
	if (snprintf(d->path, sizeof(d->path), "%s/" NAME "XXXXXX", parent) >= PATH_MAX ||
		!mkdtemp(d->path)) {
		d->path[0] = '\0';
		return RC_UNAVAILABLE;
	}
	d->hold = hold(d->path);
	return d->hold >= 0 ? RC_OK : RC_UNAVAILABLE;
}

void restore_dir_remove(struct restore_dir *d)
{
	if (*d->path)
		remove_tree(d->path);
	d->path[0] = '\0';
	if (d->hold >= 0)
		(void)close(d->hold);
	d->hold = -1;
}
