#include "shared/audit_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/audit_form.h"
#include "shared/audit_zst.h"
#include "shared/mem.h"

/* Several times the longest line. */
#define CHUNK ((size_t)2 * 1024 * 1024)

struct audit_reader {
	int fd;
	bool borrowed;
	struct audit_zst_reader *zst; /* NULL: plain */
	int64_t read_at, size; /* of a plain file: what was read, and where it ends for us */
	char *chunk;
	size_t start, end; /* of what is not read yet */
	int64_t start_at, line_at; /* plain bytes before start, and before the last line */
	bool ended;
};

struct audit_reader *audit_reader_of(int fd, int64_t size)
{
	struct audit_reader *r = xcalloc(1, sizeof(*r));
	uint8_t magic[4];

	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	r->fd = fd;
	r->borrowed = true;
	r->size = size < 0 ? INT64_MAX : size;
	r->chunk = xmalloc(CHUNK);
	if (pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
		audit_zst_is(magic, sizeof(magic)) && lseek(fd, 0, SEEK_SET) == 0)
		r->zst = audit_zst_reader_new(fd);
	return r;
}

enum rc audit_reader_open(const char *path, struct audit_reader **out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? RC_NOTFOUND : RC_UNAVAILABLE;
	*out = audit_reader_of(fd, -1);
	(*out)->borrowed = false;
	return RC_OK;
}

void audit_reader_close(struct audit_reader *r)
{
	if (!r)
		return;
	audit_zst_reader_free(r->zst);
	if (!r->borrowed)
		(void)close(r->fd);
	free(r->chunk);
	free(r);
}

static ssize_t read_plain(struct audit_reader *r, char *to, size_t room)
{
	int64_t left = r->size - r->read_at;
	ssize_t n;

	if ((int64_t)room > left)
		room = left > 0 ? (size_t)left : 0;
	do
		n = pread(r->fd, to, room, (off_t)r->read_at);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		r->read_at += n;
	return n;
}

/* More bytes behind what is there. */
static enum rc fill(struct audit_reader *r)
{
	size_t room;
	ssize_t n;

	memmove(r->chunk, r->chunk + r->start, r->end - r->start);
	r->end -= r->start;
	r->start = 0;
	room = CHUNK - r->end;
	if (r->zst) {
		enum rc rc = audit_zst_read(r->zst, r->chunk + r->end, &room);

		if (rc != RC_OK)
			return rc;
		n = (ssize_t)room;
	} else {
		n = read_plain(r, r->chunk + r->end, room);
		if (n < 0)
			return RC_UNAVAILABLE;
	}
	r->ended = n == 0;
	r->end += (size_t)n;
	return RC_OK;
}

enum rc audit_reader_line(struct audit_reader *r, const char **line, size_t *len)
{
	size_t seen = 0;

	for (;;) {
		const char *at = r->chunk + r->start, *newline;
		size_t have = r->end - r->start;
		enum rc rc;

		newline = memchr(at + seen, '\n', have - seen);
		if (newline) {
			*line = at;
			*len = (size_t)(newline - at);
			r->line_at = r->start_at;
			r->start += *len + 1;
			r->start_at += (int64_t)*len + 1;
			return RC_OK;
		}
		if (have > AUDIT_LINE_MAX)
			return RC_LIMIT;
		seen = have;
		rc = fill(r);
		if (rc != RC_OK)
			return rc;
		if (r->ended)
			return RC_NOTFOUND;
	}
}

bool audit_reader_torn(const struct audit_reader *r)
{
	return r->ended && r->end > r->start;
}

int64_t audit_reader_line_at(const struct audit_reader *r)
{
	return r->line_at;
}

int64_t audit_reader_next_at(const struct audit_reader *r)
{
	return r->start_at;
}

enum rc audit_reader_seek(struct audit_reader *r, int64_t offset)
{
	r->start = r->end = 0;
	r->start_at = offset;
	r->ended = false;
	if (r->zst)
		return audit_zst_seek(r->zst, offset);
	r->read_at = offset;
	return RC_OK;
}
