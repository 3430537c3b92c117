/* audit_segments: the closed files of an audit log. The log grows in audit.jsonl; when that is
 * rotated it becomes audit-<first seq>-<last seq>.jsonl beside it, both numbers with twelve digits,
 * and later perhaps the same with .zst behind it. Names and directory only: what is in the files is
 * not looked at. */
#ifndef SHARED_AUDIT_SEGMENTS_H
#define SHARED_AUDIT_SEGMENTS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"

struct audit_segment {
	char *path;
	int64_t first, last;
	bool compressed; /* its name has another .zst at the end (shared/audit_zst.h) */
};

/* The name that the log at path gives to these rows once they are closed. RC_LIMIT: too long. */
enum rc audit_segment_path(
	const char *path, int64_t first, int64_t last, char out[PATH_MAX]) MUST_CHECK;
/* All closed segments of the log at path, oldest first; one that is there plain and compressed, for
 * the moment that it takes to compress it, is listed plain. Free with audit_segments_free().
 * RC_UNAVAILABLE with errno. */
enum rc audit_segments_list(
	const char *path, struct audit_segment **list, size_t *count) MUST_CHECK;
/* Opens the file at the path of a listed one for reading; it may have been compressed since then.
 * -1 with errno. */
int audit_segment_open(const char *path);
void audit_segments_free(struct audit_segment *list, size_t count);

#endif
