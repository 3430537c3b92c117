/* audit_filter: which rows of the audit log are asked for, and which the caller may see at all. One
 * description for search, export and the live stream. Pure. */
#ifndef SHARED_AUDIT_FILTER_H
#define SHARED_AUDIT_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/audit.h"
#include "shared/rc.h"

#define AUDIT_FILTER_TEXT_MAX 255
#define AUDIT_FILTER_TERMS_MAX 8

/* The tenants whose rows a caller may see. A tenant's id can have belonged to another one before,
 * which was deleted: rows older than the tenant are not its own. */
struct audit_scope_tenant {
	char id[AUDIT_ID_MAX + 1];
	int64_t since_ms;
};
struct audit_scope {
	struct audit_scope_tenant *tenants; /* sorted by audit_scope_sort() */
	size_t count;
};
void audit_scope_sort(struct audit_scope *s);
/* NULL: none of that id. */
const struct audit_scope_tenant *audit_scope_find(const struct audit_scope *s, const char *id);

/* Empty strings, zero times and no terms ask for nothing. Times are UTC milliseconds. */
struct audit_filter {
	char tenant[AUDIT_ID_MAX + 1];
	char actor[AUDIT_NAME_MAX + 1]; /* kind, id, name or key id */
	char tool[AUDIT_NAME_MAX + 1];
	char outcome[32];
	char event[48]; /* or a group: "key.*" */
	int64_t since_ms; /* from then on */
	int64_t until_ms; /* before it */
	char text[AUDIT_FILTER_TEXT_MAX + 1]; /* the terms, one after the other, as words */
	struct {
		uint16_t at, len;
	} term[AUDIT_FILTER_TERMS_MAX];
	int term_count;
	const struct audit_scope *scope; /* NULL: rows of every tenant and of none; borrowed */
};

void audit_filter_init(struct audit_filter *f);
/* Sets the terms: a row must have each of the text's words somewhere. RC_INVALID: it has none;
 * RC_LIMIT: too long or too many. */
enum rc audit_filter_text(struct audit_filter *f, const char *text) MUST_CHECK;
/* Does it ask for everything? */
bool audit_filter_open(const struct audit_filter *f);
/* False where the line, without its newline, is none for sure; that is quick. */
bool audit_filter_may(const struct audit_filter *f, const char *line, size_t len);
/* Is this line, without its newline, one that is asked for and may be seen? */
bool audit_filter_match(const struct audit_filter *f, const char *line, size_t len);

#endif
