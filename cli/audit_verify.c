#include "cli/audit_verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/mem.h"

/* Several times the longest line. */
#define CHUNK ((size_t)4 * 1024 * 1024)

struct reader {
	struct audit_verify *out;
	char *chunk;
	const char *const *paths;
	int64_t *first; /* the number that the chain gives to each file's first line */
	size_t file;
};

/* Feeds the whole lines of the chunk; *used gets how many bytes they were. */
static bool feed(struct reader *r, size_t len, size_t *used)
{
	const char *line = r->chunk, *end = r->chunk + len, *newline;

	while ((newline = memchr(line, '\n', (size_t)(end - line)))) {
		if (!audit_chain_line(&r->out->chain, line, (size_t)(newline - line)))
			return false;
		line = newline + 1;
	}
	*used = (size_t)(line - r->chunk);
	/* What fills the chunk without an end is no line of ours: the chain refuses it. */
	return *used > 0 || len < CHUNK || audit_chain_line(&r->out->chain, line, len);
}

/* RC_UNAVAILABLE with errno. False in *more: there is a fault. */
static enum rc read_lines(struct reader *r, int fd, bool *more)
{
	size_t have = 0, used = 0;
	ssize_t n;

	*more = true;
	while (*more) {
		n = read(fd, r->chunk + have, CHUNK - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return RC_UNAVAILABLE;
		if (n == 0)
			break;
		r->out->bytes += n;
		have += (size_t)n;
		*more = feed(r, have, &used);
		if (*more)
			memmove(r->chunk, r->chunk + used, have - used);
		have -= *more ? used : 0;
	}
	if (*more && have > 0)
		*more = audit_chain_end(&r->out->chain, true);
	return RC_OK;
}

static enum rc read_file(struct reader *r, bool *more)
{
	int fd = open(r->paths[r->file], O_RDONLY | O_CLOEXEC), why;
	enum rc rc;

	if (fd < 0)
		return RC_UNAVAILABLE;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	rc = read_lines(r, fd, more);
	why = errno;
	(void)close(fd);
	errno = why;
	return rc;
}

/* From the chain's number of a line to a line of a file. */
static void locate(struct reader *r, size_t files)
{
	size_t i = files - 1;

	while (i > 0 && r->first[i] > r->out->chain.fault_line)
		i--;
	r->out->file = r->paths[i];
	r->out->line = r->out->chain.fault_line - r->first[i] + 1;
	if (r->out->line < 1)
		r->out->line = 1;
}

enum rc audit_verify(const char *const *paths, size_t count, const struct audit_chain_options *o,
	struct audit_verify *out)
{
	struct reader r = {.out = out, .chunk = xmalloc(CHUNK), .paths = paths};
	bool more = true;
	enum rc rc = RC_OK;
	int why;

	*out = (struct audit_verify){0};
	audit_chain_init(&out->chain, o);
	r.first = xcalloc(count, sizeof(*r.first));
	for (; rc == RC_OK && more && r.file < count; r.file++) {
		r.first[r.file] = out->chain.lines + 1;
		out->file = paths[r.file];
		rc = read_file(&r, &more);
	}
	why = errno;
	if (rc == RC_OK && more)
		more = audit_chain_end(&out->chain, false);
	if (rc == RC_OK && !more)
		locate(&r, r.file);
	audit_chain_free(&out->chain);
	free(r.chunk);
	free(r.first);
	errno = why;
	return rc;
}
