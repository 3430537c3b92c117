#include "cli/audit_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/audit_form.h"
#include "shared/audit_segments.h"
#include "shared/file.h"
#include "shared/mem.h"

/* Files may be rotated, compressed or deleted while they are looked for. */
#define LOOKS 10
/* Longer than the last whole line and a begun one behind it. */
#define END_MAX ((int64_t)2 * AUDIT_LINE_MAX)
/* Of descriptors, for everything else. */
#define RESERVE 64

static void close_file(struct audit_file *file)
{
	if (file->fd >= 0)
		(void)close(file->fd);
	free(file->path);
}

void audit_files_close(struct audit_files *f)
{
	for (size_t i = 0; i < f->count; i++)
		close_file(&f->file[i]);
	free(f->file);
	*f = (struct audit_files){0};
}

/* Every file is open at the same time; a long log has more than a process may open by default. */
static void raise_limit(size_t files)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= files + RESERVE)
		return;
	limit.rlim_cur = limit.rlim_max < files + RESERVE ? limit.rlim_max : files + RESERVE;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Is this open file the one that has that name now? */
static bool has_name(int fd, const char *path)
{
	struct stat own, named;

	return fstat(fd, &own) == 0 && stat(path, &named) == 0 && own.st_ino == named.st_ino &&
		own.st_dev == named.st_dev;
}

static enum rc open_closed(struct audit_file *out, const struct audit_segment *s)
{
	struct stat st;

	*out = (struct audit_file){.path = xstrdup(s->path), .first = s->first};
	out->fd = open(s->path, O_RDONLY | O_CLOEXEC);
	if (out->fd < 0)
		return errno == ENOENT ? RC_CONFLICT : RC_UNAVAILABLE;
	if (fstat(out->fd, &st) != 0)
		return RC_UNAVAILABLE;
	out->size = st.st_size;
	return RC_OK;
}

/* Cuts the size of the current file back to whole lines. */
static enum rc measure(struct audit_files *f, struct audit_file *file)
{
	struct stat st;
	size_t want;
	char *tail, *end;
	int why;

	/* Asked for before it is measured: whoever comes to write later repairs a torn end first.
	 */
	f->written = file_claimed(file->fd);
	if (fstat(file->fd, &st) != 0)
		return RC_UNAVAILABLE;
	want = st.st_size > END_MAX ? (size_t)END_MAX : (size_t)st.st_size;
	tail = xmalloc(want + 1);
	if (!file_read_at(file->fd, tail, want, st.st_size - (off_t)want)) {
		why = errno;
		free(tail);
		errno = why;
		return why == EIO ? RC_CONFLICT : RC_UNAVAILABLE; /* it may have shrunk */
	}
	end = memrchr(tail, '\n', want);
	if (end)
		file->size = st.st_size - (tail + want - end - 1);
	else /* where one has to be, and is none, is for those to find who read it */
		file->size = want == (size_t)END_MAX ? st.st_size : 0;
	f->torn = file->size < st.st_size && !f->written;
	free(tail);
	return RC_OK;
}

/* The closed files; then the current one, which the caller has opened before and which is measured
 * last. So every row of the closed ones, and the row that says which were deleted, is in what is
 * open. RC_CONFLICT: they have changed meanwhile. */
static enum rc gather(struct audit_files *f, const char *path, int current)
{
	struct audit_segment *list;
	size_t count;
	enum rc rc = audit_segments_list(path, &list, &count);
	int64_t next = 1;

	if (rc != RC_OK)
		return rc;
	raise_limit(count + 1);
	f->file = xcalloc(count + 1, sizeof(*f->file));
	for (size_t i = 0; rc == RC_OK && i < count; i++) {
		rc = open_closed(&f->file[f->count++], &list[i]);
		next = list[i].last + 1;
	}
	audit_segments_free(list, count);
	if (rc != RC_OK || current < 0)
		return rc;
	/* Amidst a rotation it has the name of a closed one already. */
	if (f->count > 0 && has_name(current, f->file[f->count - 1].path)) {
		next = f->file[--f->count].first;
		close_file(&f->file[f->count]);
	}
	f->current = true;
	f->file[f->count] =
		(struct audit_file){.path = xstrdup(path), .fd = current, .first = next};
	return measure(f, &f->file[f->count++]);
}

static enum rc look(const char *path, struct audit_files *f)
{
	int current = open(path, O_RDONLY | O_CLOEXEC);
	enum rc rc;

	if (current < 0 && errno != ENOENT)
		return RC_UNAVAILABLE;
	rc = gather(f, path, current);
	if (rc == RC_OK && (current >= 0 ? !has_name(current, path) : access(path, F_OK) == 0))
		rc = RC_CONFLICT;
	if (!f->current && current >= 0)
		(void)close(current);
	return rc;
}

enum rc audit_files_open(const char *path, struct audit_files *out)
{
	enum rc rc = RC_CONFLICT;

	*out = (struct audit_files){0};
	for (int i = 0; i < LOOKS && rc == RC_CONFLICT; i++) {
		audit_files_close(out);
		rc = look(path, out);
	}
	if (rc == RC_CONFLICT) {
		errno = EAGAIN;
		return RC_UNAVAILABLE;
	}
	if (rc == RC_OK && out->count == 0) {
		errno = ENOENT;
		return RC_NOTFOUND;
	}
	return rc;
}

struct audit_reader *audit_files_reader(const struct audit_files *f, size_t i)
{
	return audit_reader_of(f->file[i].fd, f->file[i].size);
}
