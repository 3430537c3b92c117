#include "tunneld/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/audit_form.h"
#include "shared/audit_reader.h"
#include "shared/audit_segments.h"
#include "shared/clock.h"
#include "shared/crypto.h"
#include "shared/file.h"
#include "shared/jscan.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"
#include "tunneld/torn.h"

/* An unfinished line is not longer than a whole one. */
#define TAIL_MAX AUDIT_LINE_MAX
/* As much as a busy moment's batch. */
#define PROBE_BYTES 8192

static enum rc read_tail(int fd, off_t size, const char *path, char *tail, size_t *len)
{
	off_t from = size > TAIL_MAX ? size - TAIL_MAX : 0;

	*len = (size_t)(size - from);
	if (file_read_at(fd, tail, *len, from))
		return RC_OK;
	log_err("cannot read the end of %s: %s", path, strerror(errno));
	return RC_INTERNAL;
}

/* A crash in the middle of an append leaves a line without its end: nobody was answered for it. It
 * is kept beside the journal, because nothing that was once in the file is thrown away silently. */
static enum rc cut_torn(struct journal *j, const char *torn, size_t len)
{
	if (torn_set_aside(j->path, torn, len) != RC_OK)
		return RC_INTERNAL;
	if (!logfile_cut(&j->file, j->file.size - (off_t)len)) {
		log_err("cannot cut the unfinished last line off %s: %s", j->path, strerror(errno));
		return RC_INTERNAL;
	}
	return RC_OK;
}

static void hash_line(const char *line, size_t len, char out[AUDIT_HASH_LEN + 1])
{
	uint8_t hash[CRYPTO_HASH_LEN];

	crypto_sha256(line, len, hash);
	text_hex(hash, sizeof(hash), out);
}

static enum rc read_last_line(
	struct journal *j, const char *path, const char *line, size_t len, bool *checkpoint)
{
	struct jscan row, seq;

	if (jscan_parse(line, len, &row) != RC_OK || jscan_get(row, "seq", &seq) != RC_OK ||
		jscan_int(seq, &j->head.seq) != RC_OK || j->head.seq < 1) {
		log_err("the last line of %s is no row of an audit journal: move the file away or "
			"restore it, then start again",
			path);
		return RC_INVALID;
	}
	hash_line(line, len, j->head.prev);
	memset(&j->head.tally, 0, sizeof(j->head.tally));
	*checkpoint = audit_checkpoint_is(line, len);
	return RC_OK;
}

/* Where the lines begin that no checkpoint vouches for yet. */
static enum rc find_unsigned(struct audit_reader *in, int64_t *at)
{
	const char *line;
	size_t len;
	enum rc rc;

	*at = 0;
	while ((rc = audit_reader_line(in, &line, &len)) == RC_OK)
		if (audit_checkpoint_is(line, len))
			*at = audit_reader_next_at(in);
	return rc == RC_NOTFOUND ? audit_reader_seek(in, *at) : rc;
}

/* After a crash: the lines since the last checkpoint, or since the file began, which is behind one.
 */
static enum rc read_tally(struct journal *j)
{
	struct audit_reader *in = NULL;
	uint8_t hash[CRYPTO_HASH_LEN];
	const char *line;
	size_t len;
	int64_t at;
	enum rc rc = audit_reader_open(j->path, &in);

	if (rc == RC_OK)
		rc = find_unsigned(in, &at);
	while (rc == RC_OK && (rc = audit_reader_line(in, &line, &len)) == RC_OK) {
		crypto_sha256(line, len, hash);
		audit_tally_add(&j->head.tally, hash);
	}
	audit_reader_close(in);
	if (rc == RC_NOTFOUND)
		return RC_OK;
	log_err("cannot read %s: %s", j->path,
		rc == RC_LIMIT ? "a line is too long" : strerror(errno));
	return RC_INTERNAL;
}

static enum rc read_end(struct journal *j)
{
	char *tail = xmalloc(TAIL_MAX), *newline, *start;
	bool checkpoint = true;
	size_t len = 0;
	enum rc rc = read_tail(j->file.fd, j->file.size, j->path, tail, &len);

	if (rc != RC_OK || len == 0)
		goto out;
	newline = memrchr(tail, '\n', len);
	if (!newline && j->file.size > TAIL_MAX) {
		log_err("the last line of %s is longer than any row: move the file away or restore "
			"it",
			j->path);
		rc = RC_INVALID;
		goto out;
	}
	start = newline ? newline + 1 : tail;
	if (start < tail + len)
		rc = cut_torn(j, start, (size_t)(tail + len - start));
	if (rc != RC_OK || !newline)
		goto out;
	start = memrchr(tail, '\n', (size_t)(newline - tail));
	start = start ? start + 1 : tail;
	rc = read_last_line(j, j->path, start, (size_t)(newline - start), &checkpoint);
	if (rc == RC_OK && !checkpoint)
		rc = read_tally(j);
out:
	free(tail);
	return rc;
}

/* --- closed segments --------------------------------------------------------------- */

/* Somebody has compressed it, which the daemon does only with older ones. */
static enum rc last_of_compressed(struct journal *j, const char *path)
{
	struct audit_reader *in;
	const char *line;
	struct buf last;
	bool checkpoint;
	size_t len;
	enum rc rc = audit_reader_open(path, &in);

	if (rc != RC_OK) {
		log_err("cannot read %s: %s", path, strerror(errno));
		return RC_INTERNAL;
	}
	buf_init(&last, AUDIT_LINE_MAX);
	while ((rc = audit_reader_line(in, &line, &len)) == RC_OK) {
		buf_reset(&last);
		buf_add(&last, line, len);
	}
	if (rc == RC_NOTFOUND && !audit_reader_torn(in) && last.len > 0 && !last.failed)
		rc = read_last_line(j, path, (const char *)last.data, last.len, &checkpoint);
	else {
		log_err("%s can't be read to its end: restore it, then start again", path);
		rc = RC_INVALID;
	}
	buf_free(&last);
	audit_reader_close(in);
	return rc;
}

static enum rc last_of_segment(struct journal *j, const char *path)
{
	char *tail = xmalloc(TAIL_MAX);
	const char *start;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool checkpoint;
	struct stat st;
	size_t len = 0;
	enum rc rc = RC_INTERNAL;

	if (fd < 0 || fstat(fd, &st) != 0)
		log_err("cannot read %s: %s", path, strerror(errno));
	else
		rc = read_tail(fd, st.st_size, path, tail, &len);
	if (rc == RC_OK && (len == 0 || tail[len - 1] != '\n')) {
		log_err("the last line of %s has no end: restore the file, then start again", path);
		rc = RC_INVALID;
	}
	if (rc == RC_OK) {
		start = memrchr(tail, '\n', len - 1);
		start = start ? start + 1 : tail;
		rc = read_last_line(j, path, start, (size_t)(tail + len - 1 - start), &checkpoint);
	}
	if (fd >= 0)
		(void)close(fd);
	free(tail);
	return rc;
}

/* A crash in journal_rotate() can leave the current file with its segment's name too: then it was
 * not closed yet. */
static enum rc drop_second_name(const struct journal *j, struct audit_segment *list, size_t *count)
{
	struct stat own, st;
	size_t kept = 0;

	if (fstat(j->file.fd, &own) != 0)
		return RC_INTERNAL;
	for (size_t i = 0; i < *count; i++) {
		if (own.st_nlink > 1 && stat(list[i].path, &st) == 0 && st.st_ino == own.st_ino &&
			st.st_dev == own.st_dev) {
			if (unlink(list[i].path) != 0) {
				log_err("cannot remove %s: %s", list[i].path, strerror(errno));
				return RC_INTERNAL;
			}
			free(list[i].path);
			continue;
		}
		list[kept++] = list[i];
	}
	*count = kept;
	return RC_OK;
}

/* The first line of the file, if there is one: its number and its age. Where it can't be read, that
 * is for `airlockctl audit verify` to say; service goes on. */
static void read_first(struct journal *j)
{
	char start[256];
	ssize_t n = j->file.size > 0 ? pread(j->file.fd, start, sizeof(start), 0) : 0;

	j->first_seq = j->head.seq + 1;
	if (j->file.size == 0 ||
		(n > 0 && audit_line_head(start, (size_t)n, &j->first_seq, &j->begun_ms)))
		return;
	log_warn("the first line of %s is no row of an audit journal", j->path);
	j->first_seq = j->head.seq + 1;
	j->begun_ms = clock_wall_ms();
}

/* Before the end of the file itself is read. */
static enum rc read_segments(struct journal *j)
{
	struct audit_segment *list = NULL;
	size_t count = 0;
	enum rc rc = audit_segments_list(j->path, &list, &count);

	if (rc != RC_OK)
		log_err("cannot look for closed segments of %s: %s", j->path, strerror(errno));
	if (rc == RC_OK)
		rc = drop_second_name(j, list, &count);
	if (rc == RC_OK && count > 0)
		rc = list[count - 1].compressed ? last_of_compressed(j, list[count - 1].path)
						: last_of_segment(j, list[count - 1].path);
	audit_segments_free(list, count);
	return rc;
}

/* Whoever waited for the lock of a file that was rotated meanwhile has the wrong one. */
static bool still_there(int fd, const char *path)
{
	struct stat own, st;

	return fstat(fd, &own) == 0 && stat(path, &st) == 0 && own.st_ino == st.st_ino &&
		own.st_dev == st.st_dev;
}

static enum rc open_and_lock(struct journal *j)
{
	int fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0) {
		log_err("cannot open the audit journal %s: %s", j->path, strerror(errno));
		return RC_UNAVAILABLE;
	}
	j->file.fd = fd; /* closed by journal_close() from here on */
	if (!file_claim(fd) || !still_there(fd, j->path)) {
		log_err("%s is in use: another airlock-tunneld runs on this state", j->path);
		return RC_CONFLICT;
	}
	if (fstat(fd, &st) != 0 || fchmod(fd, 0600) != 0 ||
		!logfile_init(&j->file, fd, st.st_size)) {
		log_err("cannot look at %s: %s", j->path, strerror(errno));
		return RC_INTERNAL;
	}
	return RC_OK;
}

enum rc journal_open(const char *path, struct journal *out)
{
	struct journal j = {.file = {.fd = -1}, .path = xstrdup(path)};
	enum rc rc;

	memset(j.head.prev, '0', AUDIT_HASH_LEN);
	rc = open_and_lock(&j);
	if (rc == RC_OK)
		rc = read_segments(&j);
	if (rc == RC_OK) {
		read_first(&j); /* while seq is still that of the last closed segment */
		rc = read_end(&j);
	}
	if (rc == RC_OK)
		*out = j;
	else
		journal_close(&j);
	return rc;
}

/* The file that comes next, locked before anybody can see it under the journal's name. */
static int open_next(const char *next)
{
	int fd = open(next, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd >= 0 && file_claim(fd))
		return fd;
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

/* First the old file has both names, for good; then the new one takes the journal's name. */
static bool exchange(const struct journal *j, const char *segment, const char *next)
{
	if (link(j->path, segment) != 0)
		return false;
	if (file_sync_dir(j->path) == RC_OK && rename(next, j->path) == 0)
		return true;
	(void)unlink(segment);
	return false;
}

enum rc journal_rotate(struct journal *j)
{
	char segment[PATH_MAX], next[PATH_MAX];
	int fd = -1;
	bool ok = audit_segment_path(j->path, j->first_seq, j->head.seq, segment) == RC_OK &&
		snprintf(next, sizeof(next), "%s.next", j->path) < (int)sizeof(next) &&
		logfile_sync(&j->file) && (fd = open_next(next)) >= 0 && exchange(j, segment, next);

	if (!ok) {
		log_err("cannot rotate %s: %s", j->path, strerror(errno));
		if (fd >= 0)
			(void)close(fd);
		return RC_INTERNAL;
	}
	/* Until the new file's name is for good, no row may count as written there. */
	j->unnamed = file_sync_dir(j->path) != RC_OK;
	logfile_close(&j->file);
	(void)logfile_init(&j->file, fd, 0); /* of an empty file nothing is read */
	j->first_seq = j->head.seq + 1;
	j->begun_ms = 0;
	return RC_OK;
}

void journal_close(struct journal *j)
{
	logfile_close(&j->file);
	free(j->path);
	*j = (struct journal){.file = {.fd = -1}};
}

static void end_line(struct buf *b, size_t start, struct journal_head *h, bool checkpoint)
{
	uint8_t hash[CRYPTO_HASH_LEN];

	if (b->failed)
		return;
	crypto_sha256(b->data + start, b->len - start, hash);
	text_hex(hash, sizeof(hash), h->prev);
	buf_char(b, '\n');
	h->seq++;
	if (checkpoint)
		memset(&h->tally, 0, sizeof(h->tally));
	else
		audit_tally_add(&h->tally, hash);
}

void journal_line(
	struct buf *b, const struct audit_record *r, int64_t wall_ms, struct journal_head *h)
{
	size_t start = b->len;

	audit_line(b, r, h->seq + 1, wall_ms, h->prev);
	end_line(b, start, h, false);
}

void journal_checkpoint(
	struct buf *b, const struct crypto_identity *id, int64_t wall_ms, struct journal_head *h)
{
	size_t start = b->len;

	audit_checkpoint_line(b, id, h->seq + 1, wall_ms, h->prev, &h->tally);
	end_line(b, start, h, true);
}

static bool name_for_good(struct journal *j)
{
	j->unnamed = file_sync_dir(j->path) != RC_OK;
	return !j->unnamed;
}

enum rc journal_append(
	struct journal *j, const struct buf *lines, const struct journal_head *h, bool sync)
{
	bool first = j->file.size == 0;

	if ((j->unnamed && !name_for_good(j)) ||
		!logfile_append(&j->file, lines->data, lines->len, sync))
		return RC_UNAVAILABLE;
	if (first)
		j->begun_ms = clock_wall_ms();
	j->head = *h;
	return RC_OK;
}

enum rc journal_sync(struct journal *j)
{
	return logfile_sync(&j->file) ? RC_OK : RC_UNAVAILABLE;
}

/* Should the process die in it, the next start finds an unfinished line of spaces and sets it
 * aside. */
bool journal_probe(struct journal *j)
{
	return (!j->unnamed || name_for_good(j)) && logfile_probe(&j->file, PROBE_BYTES);
}

/* --- looking back ------------------------------------------------------------------- */

static bool outbox_id_of(const char *line, size_t len, int64_t *id)
{
	static const char member[] = "\"outbox_id\":";
	struct jscan row, v;

	return memmem(line, len, member, sizeof(member) - 1) &&
		jscan_parse(line, len, &row) == RC_OK && jscan_get(row, "outbox_id", &v) == RC_OK &&
		jscan_int(v, id) == RC_OK;
}

static enum rc search_back(const char *text, size_t len, int64_t *id, char **line)
{
	const char *end = memrchr(text, '\n', len);

	while (end) {
		const char *before = memrchr(text, '\n', (size_t)(end - text));
		const char *start = before ? before + 1 : text;

		if (outbox_id_of(start, (size_t)(end - start), id)) {
			*line = xstrndup(start, (size_t)(end - start));
			return RC_OK;
		}
		end = before;
	}
	return RC_NOTFOUND;
}

static enum rc last_outbox_in(const char *path, int64_t *id, char **line)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *text = MAP_FAILED;
	enum rc rc = RC_INTERNAL;

	if (fd < 0 || fstat(fd, &st) != 0) {
		log_err("cannot read %s: %s", path, strerror(errno));
	} else if (st.st_size == 0) {
		rc = RC_NOTFOUND;
	} else {
		text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (text == MAP_FAILED)
			log_err("cannot read %s: %s", path, strerror(errno));
		else
			rc = search_back(text, (size_t)st.st_size, id, line);
	}
	if (text != MAP_FAILED)
		(void)munmap(text, (size_t)st.st_size);
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/* A compressed file can only be read forwards. */
static enum rc last_outbox_in_compressed(const char *path, int64_t *id, char **line)
{
	struct audit_reader *in;
	char *found = NULL;
	const char *at;
	int64_t n;
	size_t len;
	enum rc rc = audit_reader_open(path, &in);

	while (rc == RC_OK && (rc = audit_reader_line(in, &at, &len)) == RC_OK) {
		if (!outbox_id_of(at, len, &n))
			continue;
		*id = n;
		free(found);
		found = xstrndup(at, len);
	}
	audit_reader_close(in);
	if (rc != RC_NOTFOUND) {
		log_err("cannot read %s", path);
		free(found);
		return RC_INTERNAL;
	}
	if (!found)
		return RC_NOTFOUND;
	*line = found;
	return RC_OK;
}

enum rc journal_last_outbox(const char *path, int64_t *id, char **line)
{
	struct audit_segment *list = NULL;
	size_t count = 0;
	enum rc rc = last_outbox_in(path, id, line);

	if (rc != RC_NOTFOUND)
		return rc;
	if (audit_segments_list(path, &list, &count) != RC_OK) {
		log_err("cannot look for closed segments of %s: %s", path, strerror(errno));
		return RC_INTERNAL;
	}
	for (size_t i = count; rc == RC_NOTFOUND && i > 0; i--)
		rc = list[i - 1].compressed ? last_outbox_in_compressed(list[i - 1].path, id, line)
					    : last_outbox_in(list[i - 1].path, id, line);
	audit_segments_free(list, count);
	return rc;
}
