/* audit_reader: the lines of one file of the audit log, plain or compressed (*.zst, told by its
 * first bytes): large reads, no copy of a line. What is in the lines is not looked at. One thread
 * at a time. */
#ifndef SHARED_AUDIT_READER_H
#define SHARED_AUDIT_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"

struct audit_reader;
/* RC_NOTFOUND, or RC_UNAVAILABLE with errno. */
enum rc audit_reader_open(const char *path, struct audit_reader **out) MUST_CHECK;
/* Of a file that is open and stays the caller's, from its beginning on; of a plain one the first
 * size bytes, or -1: all that come. Nobody else reads from this descriptor meanwhile. */
struct audit_reader *audit_reader_of(int fd, int64_t size);
void audit_reader_close(struct audit_reader *r);
/* The next line, without its newline, valid until the next call. RC_NOTFOUND: there are no more.
 * RC_LIMIT: what comes is longer than any line of a log. RC_INVALID: the compressed bytes are
 * damaged. RC_UNAVAILABLE with errno. */
enum rc audit_reader_line(struct audit_reader *r, const char **line, size_t *len) MUST_CHECK;
/* At the end: does a piece of a line without its newline come after the last whole one? */
bool audit_reader_torn(const struct audit_reader *r);
/* How many plain bytes are before the line that was read last, and before the next one. */
int64_t audit_reader_line_at(const struct audit_reader *r);
int64_t audit_reader_next_at(const struct audit_reader *r);
/* Goes on at a place that one of the two gave. As audit_reader_line(). */
enum rc audit_reader_seek(struct audit_reader *r, int64_t offset) MUST_CHECK;

#endif
