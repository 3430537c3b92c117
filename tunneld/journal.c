#include "tunneld/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/audit_chain.h"
#include "shared/clock.h"
#include "shared/crypto.h"
#include "shared/file.h"
#include "shared/jscan.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"

/* An unfinished line is not longer than a whole one. */
#define TAIL_MAX AUDIT_LINE_MAX
/* As much as a busy moment's batch. */
#define PROBE_BYTES 8192

static enum rc read_tail(const struct journal *j, char *tail, size_t *len)
{
	off_t from = j->size > TAIL_MAX ? j->size - TAIL_MAX : 0;
	size_t at = 0, want = (size_t)(j->size - from);

	while (at < want) {
		ssize_t n = pread(j->fd, tail + at, want - at, from + (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			log_err("cannot read the end of %s: %s", j->path,
				n < 0 ? strerror(errno) : "it shrank");
			return RC_INTERNAL;
		}
		at += (size_t)n;
	}
	*len = want;
	return RC_OK;
}

/* A crash in the middle of an append leaves a line without its end: nobody was answered for it. It
 * is kept beside the journal, because nothing that was once in the file is thrown away silently. */
static enum rc cut_torn(struct journal *j, const char *torn, size_t len)
{
	char aside[4096];

	if (snprintf(aside, sizeof(aside), "%s.torn-%lld", j->path, (long long)clock_wall_ms()) >=
			(int)sizeof(aside) ||
		file_write_atomic(aside, torn, len, 0600) != RC_OK) {
		log_err("cannot set the unfinished last line of %s aside: %s", j->path,
			strerror(errno));
		return RC_INTERNAL;
	}
	j->size -= (off_t)len;
	if (ftruncate(j->fd, j->size) != 0 || fdatasync(j->fd) != 0) {
		log_err("cannot cut the unfinished last line off %s: %s", j->path, strerror(errno));
		return RC_INTERNAL;
	}
	log_warn("the last line of %s was unfinished; its %zu bytes are in %s now", j->path, len,
		aside);
	return RC_OK;
}

static void hash_line(const char *line, size_t len, char out[AUDIT_HASH_LEN + 1])
{
	uint8_t hash[CRYPTO_HASH_LEN];

	crypto_sha256(line, len, hash);
	text_hex(hash, sizeof(hash), out);
}

static enum rc read_last_line(struct journal *j, const char *line, size_t len)
{
	struct jscan row, seq;

	if (jscan_parse(line, len, &row) != RC_OK || jscan_get(row, "seq", &seq) != RC_OK ||
		jscan_int(seq, &j->seq) != RC_OK || j->seq < 1) {
		log_err("the last line of %s is no row of an audit journal: move the file away or "
			"restore it, then start again",
			j->path);
		return RC_INVALID;
	}
	hash_line(line, len, j->prev);
	j->signed_head = audit_checkpoint_is(line, len);
	return RC_OK;
}

static enum rc read_end(struct journal *j)
{
	char *tail = xmalloc(TAIL_MAX), *newline, *start;
	size_t len = 0;
	enum rc rc = read_tail(j, tail, &len);

	if (rc != RC_OK || len == 0)
		goto out;
	newline = memrchr(tail, '\n', len);
	if (!newline && j->size > TAIL_MAX) {
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
	rc = read_last_line(j, start, (size_t)(newline - start));
out:
	free(tail);
	return rc;
}

static enum rc open_and_lock(struct journal *j)
{
	struct stat st;

	j->fd = open(j->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (j->fd < 0) {
		log_err("cannot open the audit journal %s: %s", j->path, strerror(errno));
		return RC_UNAVAILABLE;
	}
	if (flock(j->fd, LOCK_EX | LOCK_NB) != 0) {
		log_err("%s is in use: another airlock-tunneld runs on this state", j->path);
		return RC_CONFLICT;
	}
	if (fstat(j->fd, &st) != 0 || fchmod(j->fd, 0600) != 0) {
		log_err("cannot look at %s: %s", j->path, strerror(errno));
		return RC_INTERNAL;
	}
	j->size = st.st_size;
	return RC_OK;
}

enum rc journal_open(const char *path, struct journal *out)
{
	struct journal j = {.fd = -1, .path = xstrdup(path), .signed_head = true};
	enum rc rc;

	memset(j.prev, '0', AUDIT_HASH_LEN);
	rc = open_and_lock(&j);
	if (rc == RC_OK)
		rc = read_end(&j);
	if (rc == RC_OK)
		*out = j;
	else
		journal_close(&j);
	return rc;
}

void journal_close(struct journal *j)
{
	if (j->fd >= 0)
		(void)close(j->fd);
	free(j->path);
	*j = (struct journal){.fd = -1};
}

static void end_line(struct buf *b, size_t start, int64_t *seq, char prev[AUDIT_HASH_LEN + 1])
{
	if (b->failed)
		return;
	hash_line((const char *)b->data + start, b->len - start, prev);
	buf_char(b, '\n');
	++*seq;
}

void journal_line(struct buf *b, const struct audit_record *r, int64_t wall_ms, int64_t *seq,
	char prev[AUDIT_HASH_LEN + 1])
{
	size_t start = b->len;

	audit_line(b, r, *seq + 1, wall_ms, prev);
	end_line(b, start, seq, prev);
}

void journal_checkpoint(struct buf *b, const struct crypto_identity *id, int64_t wall_ms,
	int64_t *seq, char prev[AUDIT_HASH_LEN + 1])
{
	size_t start = b->len;

	audit_checkpoint_line(b, id, *seq + 1, wall_ms, prev);
	end_line(b, start, seq, prev);
}

/* Cuts off what a failed append left. As long as that does not succeed, nothing may be appended. */
static bool cut_back(struct journal *j)
{
	int why = errno;

	j->dirty = ftruncate(j->fd, j->size) != 0;
	if (j->dirty)
		log_err("cannot cut %s back to its last whole row: %s", j->path, strerror(errno));
	errno = why;
	return !j->dirty;
}

static bool write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

enum rc journal_append(struct journal *j, const struct buf *lines, int64_t seq,
	const char prev[AUDIT_HASH_LEN + 1], bool sync)
{
	if (j->dirty && !cut_back(j))
		return RC_UNAVAILABLE;
	if (!write_all(j->fd, lines->data, lines->len) || (sync && fdatasync(j->fd) != 0)) {
		(void)cut_back(j);
		return RC_UNAVAILABLE;
	}
	j->size += (off_t)lines->len;
	j->seq = seq;
	memcpy(j->prev, prev, sizeof(j->prev));
	return RC_OK;
}

enum rc journal_sync(struct journal *j)
{
	return fdatasync(j->fd) == 0 ? RC_OK : RC_UNAVAILABLE;
}

bool journal_probe(struct journal *j)
{
	uint8_t spaces[PROBE_BYTES];
	bool ok;

	if (j->dirty && !cut_back(j))
		return false;
	/* Should the process die here, the next start finds an unfinished line and sets it aside.
	 */
	memset(spaces, ' ', sizeof(spaces));
	ok = write_all(j->fd, spaces, sizeof(spaces)) && fdatasync(j->fd) == 0;
	return cut_back(j) && ok;
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

enum rc journal_last_outbox(const char *path, int64_t *id, char **line)
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
