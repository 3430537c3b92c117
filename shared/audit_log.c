#include "shared/audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/audit_form.h"
#include "shared/audit_segments.h"
#include "shared/audit_zst.h"
#include "shared/mem.h"

#define CHUNK ((size_t)256 * 1024)
#define HEAD_BYTES 128
/* A frame of our own compressed files. */
#define WINDOW (1 << 20)
#define NO_FILE SIZE_MAX

struct file {
	int64_t first; /* row */
	char *path; /* borrowed from the segments; NULL: the current file */
};

/* One open file, read at any place. */
struct source {
	int fd; /* -1: none */
	bool borrowed;
	struct audit_zst_reader *zst; /* NULL: plain */
	int64_t at; /* where that is */
	char *window; /* of a compressed file, some plain bytes */
	int64_t window_at;
	size_t window_len;
};

struct audit_log {
	struct audit_segment *segments;
	size_t segment_count;
	struct file *files; /* the segments and the current file */
	size_t count;
	int current_fd; /* stays the file that it was when it is rotated */

	size_t line_file; /* of audit_log_line(), which one is open */
	struct source line_source;
	char *line;
	size_t line_cap;

	size_t walk_file;
	struct source walk_source;
	int64_t walk_seq; /* of the next line */
	int64_t walk_offset; /* of data[at] */
	char *data;
	size_t at, len;
};

/* --- the files --------------------------------------------------------------------------- */

static ssize_t read_plain(int fd, void *to, size_t len, int64_t offset)
{
	ssize_t n;

	do
		n = pread(fd, to, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n;
}

/* The window that holds offset: one frame, as we write them, is unpacked once for all its lines. */
static enum rc move_window(struct source *s, int64_t offset)
{
	int64_t at = offset - offset % WINDOW;
	size_t n;
	enum rc rc = RC_OK;

	if (s->window && s->window_at == at && s->window_len > 0)
		return RC_OK;
	if (!s->window)
		s->window = xmalloc(WINDOW);
	if (s->at != at)
		rc = audit_zst_seek(s->zst, at);
	s->window_at = s->at = at;
	for (s->window_len = 0; rc == RC_OK && s->window_len < WINDOW; s->window_len += n) {
		n = WINDOW - s->window_len;
		rc = audit_zst_read(s->zst, s->window + s->window_len, &n);
		if (rc != RC_OK || n == 0)
			break;
	}
	s->at = rc == RC_OK ? at + (int64_t)s->window_len : -1;
	if (rc != RC_OK)
		s->window_len = 0;
	return rc;
}

/* *len: how many bytes there is room for, then how many have come; fewer at the end. */
static enum rc read_packed(struct source *s, char *to, size_t *len, int64_t offset)
{
	size_t want = *len;
	enum rc rc = RC_OK;

	*len = 0;
	while (rc == RC_OK && *len < want) {
		size_t inside, n;

		rc = move_window(s, offset);
		inside = (size_t)(offset - s->window_at);
		if (rc != RC_OK || inside >= s->window_len)
			break;
		n = s->window_len - inside;
		n = n < want - *len ? n : want - *len;
		memcpy(to + *len, s->window + inside, n);
		*len += n;
		offset += (int64_t)n;
	}
	return rc;
}

static enum rc read_at(struct source *s, char *to, size_t *len, int64_t offset)
{
	ssize_t n;

	if (s->zst)
		return read_packed(s, to, len, offset);
	n = read_plain(s->fd, to, *len, offset);
	*len = n > 0 ? (size_t)n : 0;
	return n < 0 ? RC_UNAVAILABLE : RC_OK;
}

static void close_source(struct source *s)
{
	audit_zst_reader_free(s->zst);
	free(s->window);
	if (s->fd >= 0 && !s->borrowed)
		(void)close(s->fd);
	*s = (struct source){.fd = -1};
}

static enum rc open_source(const struct audit_log *l, size_t i, struct source *s)
{
	uint8_t magic[4];

	close_source(s);
	if (!l->files[i].path) {
		s->fd = l->current_fd;
		s->borrowed = true;
		return RC_OK;
	}
	s->fd = audit_segment_open(l->files[i].path);
	if (s->fd < 0)
		return errno == ENOENT ? RC_NOTFOUND : RC_UNAVAILABLE;
	if (read_plain(s->fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
		audit_zst_is(magic, sizeof(magic)))
		s->zst = audit_zst_reader_new(s->fd);
	return RC_OK;
}

/* The current file is a part of the log once it has a line. */
static void add_current(struct audit_log *l)
{
	char head[HEAD_BYTES];
	int64_t first, ms, last = l->count > 0 ? l->segments[l->count - 1].last : 0;
	ssize_t n = l->current_fd < 0 ? 0 : read_plain(l->current_fd, head, sizeof(head), 0);

	if (n <= 0)
		return;
	if (!audit_line_head(head, (size_t)n, &first, &ms))
		first = last + 1;
	/* It was rotated between opening it and looking for the closed ones. */
	if (l->count > 0 && first <= last)
		return;
	l->files[l->count++] = (struct file){.first = first};
}

enum rc audit_log_open(const char *path, struct audit_log **out)
{
	struct audit_log *l = xcalloc(1, sizeof(*l));

	l->line_file = l->walk_file = NO_FILE;
	l->line_source.fd = l->walk_source.fd = -1;
	/* In this order no row can fall between the two. */
	l->current_fd = open(path, O_RDONLY | O_CLOEXEC);
	if ((l->current_fd < 0 && errno != ENOENT) ||
		audit_segments_list(path, &l->segments, &l->segment_count) != RC_OK) {
		int why = errno;

		audit_log_close(l);
		errno = why;
		return RC_UNAVAILABLE;
	}
	l->files = xcalloc(l->segment_count + 1, sizeof(*l->files));
	for (size_t i = 0; i < l->segment_count; i++)
		l->files[l->count++] = (struct file){l->segments[i].first, l->segments[i].path};
	add_current(l);
	*out = l;
	return RC_OK;
}

void audit_log_close(struct audit_log *l)
{
	if (!l)
		return;
	close_source(&l->line_source);
	close_source(&l->walk_source);
	if (l->current_fd >= 0)
		(void)close(l->current_fd);
	audit_segments_free(l->segments, l->segment_count);
	free(l->files);
	free(l->line);
	free(l->data);
	free(l);
}

int64_t audit_log_oldest(const struct audit_log *l)
{
	return l->count > 0 ? l->files[0].first : INT64_MAX;
}

size_t audit_log_files(const struct audit_log *l)
{
	return l->count;
}

int64_t audit_log_file(const struct audit_log *l, size_t i, uint64_t *stamp)
{
	struct stat st;

	*stamp = 0;
	if (l->files[i].path && stat(l->files[i].path, &st) == 0)
		*stamp = (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec +
			(uint64_t)st.st_ino + (uint64_t)st.st_size;
	return l->files[i].first;
}

/* The last file that begins at or before seq; NO_FILE when there is none. */
static size_t file_of(const struct audit_log *l, int64_t seq)
{
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (l->files[middle].first <= seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? low - 1 : NO_FILE;
}

enum rc audit_log_segment_of(const struct audit_log *l, int64_t seq, int64_t *segment)
{
	size_t i = file_of(l, seq);

	if (i == NO_FILE)
		return RC_NOTFOUND;
	*segment = l->files[i].first;
	return RC_OK;
}

/* --- one line ---------------------------------------------------------------------------- */

/* Of what is left of an expired row there is no time. */
static bool number(const char *line, size_t len, int64_t *seq, int64_t *wall_ms)
{
	struct audit_form form;

	if (audit_line_head(line, len, seq, wall_ms))
		return true;
	if (!audit_form_read(line, len, &form))
		return false;
	*seq = form.seq;
	*wall_ms = 0;
	return true;
}

static enum rc open_for_line(struct audit_log *l, int64_t segment)
{
	size_t i = file_of(l, segment);

	if (i == NO_FILE || l->files[i].first != segment)
		return RC_NOTFOUND;
	if (i == l->line_file && l->line_source.fd >= 0)
		return RC_OK;
	l->line_file = i;
	return open_source(l, i, &l->line_source);
}

enum rc audit_log_line(
	struct audit_log *l, struct audit_place at, size_t len, int64_t seq, const char **text)
{
	int64_t found, ms;
	size_t got = len + 1;
	enum rc rc;

	if (len == 0 || len > AUDIT_LINE_MAX)
		return RC_NOTFOUND;
	rc = open_for_line(l, at.segment);
	if (rc != RC_OK)
		return rc;
	if (l->line_cap < len + 1) {
		l->line_cap = len + 4096;
		l->line = xrealloc(l->line, l->line_cap);
	}
	rc = read_at(&l->line_source, l->line, &got, at.offset);
	if (rc != RC_OK)
		return rc == RC_INVALID ? RC_NOTFOUND : rc;
	if (got != len + 1 || l->line[len] != '\n' || memchr(l->line, '\n', len) ||
		!number(l->line, len, &found, &ms) || found != seq)
		return RC_NOTFOUND;
	*text = l->line;
	return RC_OK;
}

/* --- walking ----------------------------------------------------------------------------- */

static enum rc begin_file(struct audit_log *l, size_t i, int64_t offset)
{
	l->walk_file = i;
	l->walk_seq = l->files[i].first;
	l->walk_offset = offset;
	l->at = l->len = 0;
	return open_source(l, i, &l->walk_source);
}

enum rc audit_log_seek(struct audit_log *l, struct audit_place at)
{
	size_t i = file_of(l, at.segment);

	if (i == NO_FILE || l->files[i].first != at.segment)
		return RC_NOTFOUND;
	if (!l->data)
		l->data = xmalloc(CHUNK + AUDIT_LINE_MAX);
	return begin_file(l, i, at.offset);
}

/* More of the file behind what is there. RC_NOTFOUND at its end. */
static enum rc fill(struct audit_log *l)
{
	size_t n;
	enum rc rc;

	memmove(l->data, l->data + l->at, l->len - l->at);
	l->len -= l->at;
	l->at = 0;
	if (l->len > AUDIT_LINE_MAX)
		return RC_INVALID;
	n = CHUNK + AUDIT_LINE_MAX - l->len;
	rc = read_at(&l->walk_source, l->data + l->len, &n, l->walk_offset + (int64_t)l->len);
	if (rc != RC_OK)
		return rc;
	l->len += n;
	return n > 0 ? RC_OK : RC_NOTFOUND;
}

/* What stands before the first row of a file with expired ones is no row. */
static bool is_seal(const struct audit_log *l, size_t len)
{
	struct audit_form form;

	return l->walk_offset == 0 && audit_form_read(l->data + l->at, len, &form) &&
		form.kind == AUDIT_FORM_SEAL;
}

static void take_line(struct audit_log *l, size_t len, struct audit_line *out)
{
	out->text = l->data + l->at;
	out->len = len;
	out->at = (struct audit_place){l->files[l->walk_file].first, l->walk_offset};
	if (!number(out->text, len, &out->seq, &out->wall_ms)) {
		out->seq = l->walk_seq;
		out->wall_ms = 0;
	}
	l->walk_seq = out->seq + 1;
	l->walk_offset += (int64_t)len + 1;
	l->at += len + 1;
}

/* One that was deleted since the files were listed has no rows any more; those behind it have. */
static enum rc next_file(struct audit_log *l)
{
	enum rc rc = RC_NOTFOUND;

	for (size_t i = l->walk_file + 1; rc == RC_NOTFOUND && i < l->count; i++)
		rc = begin_file(l, i, 0);
	return rc;
}

enum rc audit_log_next(struct audit_log *l, struct audit_line *out)
{
	enum rc rc;

	for (;;) {
		const char *newline =
			l->len > l->at ? memchr(l->data + l->at, '\n', l->len - l->at) : NULL;

		if (newline) {
			size_t len = (size_t)(newline - (l->data + l->at));
			bool seal = is_seal(l, len);

			take_line(l, len, out);
			if (!seal)
				return RC_OK;
			l->walk_seq = out->seq;
			continue;
		}
		rc = fill(l);
		if (rc == RC_NOTFOUND)
			rc = next_file(l);
		if (rc != RC_OK)
			return rc;
	}
}
