/* audit_search: the rows of the audit log that a filter asks for, newest or oldest first. The index
 * says where to look, and what it does not have yet is read from the log's end; every row that is
 * given is the log's own line, checked against the filter. */
#ifndef SHARED_AUDIT_SEARCH_H
#define SHARED_AUDIT_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/audit_filter.h"
#include "shared/rc.h"

struct audit_search {
	const char *log_path;
	const char *index_path;
	const struct audit_filter *filter;
	bool oldest_first;
	int64_t from; /* rows before it, or after it when oldest_first; 0: from the end */
	int64_t durable; /* the last row that is on disk; newer ones are not given */
	int64_t lines_max; /* how many lines may be read; 0: as many as it takes */
};

struct audit_search_end {
	int64_t next; /* go on from here; 0: there is no more */
	int64_t behind; /* rows at the log's end that could not be looked at: the index is being
			   made */
};

/* A row: its line without the newline, valid during the call. False: enough. */
typedef bool (*audit_found_fn)(void *ctx, int64_t seq, const char *line, size_t len);

/* RC_UNAVAILABLE, logged: the log can't be read. Where the index is missing or damaged the log is
 * read without it, up to lines_max. */
enum rc audit_search(const struct audit_search *s, audit_found_fn found, void *ctx,
	struct audit_search_end *end) MUST_CHECK;

struct audit_log;
/* Lets a walk (audit_log_next()) begin at row seq or not far before it; the index, if there is one,
 * knows where. RC_NOTFOUND: the log is empty. */
enum rc audit_search_seek(struct audit_log *log, const char *index_path, int64_t seq) MUST_CHECK;

#endif
