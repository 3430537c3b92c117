/* lineup: how the tools of a tenant's workers differ. The newest manifest is what agents are
 * listed; a call goes to a worker that has the tool, whichever that is. */
#ifndef TUNNELD_LINEUP_H
#define TUNNELD_LINEUP_H

#include "shared/buf.h"
#include "tunneld/hub.h"

/* A session is about to be the tenant's newest: logs how its tools differ from what was listed
 * until now. */
void lineup_joins(const struct hub *hub, const struct session *s);
/* A worker announced tools: logs how they differ from those that it announced before, perhaps in
 * another life. Any thread. */
void lineup_changes(const char *worker_id, const char *tenant_id, const struct toolset *was,
	const struct toolset *is);
/* A session is about to end; if it is the newest, another takes its place. */
void lineup_leaves(const struct session *s);
/* Appends the members "newest", "tools" and "differs" of a session's JSON object. */
void lineup_put(struct buf *b, const struct session *s);

#endif
