/* admin_audit: what the endpoints of the audit log share: which rows a request asks for, and which
 * its caller may see. A function that returns false has answered the request. */
#ifndef FCGI_APP_ADMIN_AUDIT_H
#define FCGI_APP_ADMIN_AUDIT_H

#include <limits.h>
#include <stdbool.h>

#include "fcgi-app/http.h"
#include "shared/audit_filter.h"
#include "shared/audit_search.h"

struct admin_audit {
	struct audit_filter filter;
	struct audit_scope scope; /* of a caller who is bound to an org */
	char index_path[PATH_MAX];
	struct audit_search search; /* complete but for where to begin */
};

/* Reads the parameters of a filter (tenant, actor, tool, outcome, event, since, until, q); names
 * holds these and the endpoint's own, and others are refused: a mistyped filter must not show
 * everything. admin_audit_clear() in either case. */
bool admin_audit_read(
	struct request *rq, const char *const *names, bool oldest_first, struct admin_audit *a);
void admin_audit_clear(struct admin_audit *a);
/* The last row that is on disk. Rows that are not yet were told to nobody; while tunneld is away,
 * nobody writes. */
int64_t admin_audit_durable(struct request *rq);
/* For what is about the log as a whole: 403 for a session that is bound to an org. */
bool admin_audit_all_orgs(struct request *rq);
/* admin_audit_bundle.c: the rows that the bundle for a filter goes from and to; the newest rows
 * have no checkpoint behind them yet and are left out. False: there are none, and that was
 * answered. */
bool admin_audit_bundle_range(
	struct request *rq, const struct admin_audit *a, int64_t *first, int64_t *last);
void admin_audit_bundle_send(struct request *rq, const struct admin_audit *a, const char *type,
	int64_t first, int64_t last);
/* The filter as the members of a JSON object, without braces; for the audit row of an export. */
void admin_audit_describe(const struct request *rq, struct buf *out);
#define ADMIN_AUDIT_FILTER "tenant", "actor", "tool", "outcome", "event", "since", "until", "q"
/* When the index or the log can't be read. */
#define ADMIN_AUDIT_UNREADABLE                                                                     \
	"The audit log or its index can't be read; the daemon's log says why. \"airlockctl audit " \
	"reindex\" makes the index anew."

#endif
