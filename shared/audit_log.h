/* audit_log: reading the files of one audit log: its closed segments and the current file, as one
 * sequence of lines. What is read is what is in the files; whether it is whole is audit_chain's
 * matter. One thread at a time; a handle sees the files that were there when it was opened. */
#ifndef SHARED_AUDIT_LOG_H
#define SHARED_AUDIT_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"

/* Where a line begins: the first row of its file, and how many bytes of the file are before it. It
 * stays true when the file is closed, and when it is compressed. */
struct audit_place {
	int64_t segment;
	int64_t offset;
};

struct audit_line {
	const char *text; /* without its newline; valid until the next call with this handle */
	size_t len;
	int64_t seq; /* where the line does not say: one more than the line before */
	int64_t wall_ms; /* 0 where the line does not say */
	struct audit_place at;
};

struct audit_log;
/* path names the current file, which may be absent. RC_UNAVAILABLE with errno. */
enum rc audit_log_open(const char *path, struct audit_log **out) MUST_CHECK;
void audit_log_close(struct audit_log *l);
/* The oldest row that is there; INT64_MAX in an empty log. */
int64_t audit_log_oldest(const struct audit_log *l);
/* The files, oldest first: the first row of each, and a number that changes when somebody writes
 * another file in its place; 0 for the current one, which grows. */
size_t audit_log_files(const struct audit_log *l);
int64_t audit_log_file(const struct audit_log *l, size_t i, uint64_t *stamp);
/* The first row of the file that row seq is in, or would be. RC_NOTFOUND: it was before all of
 * them. */
enum rc audit_log_segment_of(const struct audit_log *l, int64_t seq, int64_t *segment) MUST_CHECK;

/* The line of row seq at a place that was noted before; *text as in struct audit_line. RC_NOTFOUND:
 * its file is gone or is not what it was. RC_UNAVAILABLE with errno. */
enum rc audit_log_line(struct audit_log *l, struct audit_place at, size_t len, int64_t seq,
	const char **text) MUST_CHECK;

/* Walking: from a place on, or, with offset 0, from the beginning of a file. RC_NOTFOUND: there is
 * no such file. */
enum rc audit_log_seek(struct audit_log *l, struct audit_place at) MUST_CHECK;
/* The next whole line. RC_NOTFOUND at the end of the last file; RC_INVALID at what is longer than
 * any line; RC_UNAVAILABLE with errno. */
enum rc audit_log_next(struct audit_log *l, struct audit_line *out) MUST_CHECK;

#endif
