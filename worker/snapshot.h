/* snapshot: the snapshots a worker holds, by subject: made on demand, one export at a time for a
 * subject, dropped at their TTL or when there are too many, gone with the process. Safe from
 * several threads. */
#ifndef WORKER_SNAPSHOT_H
#define WORKER_SNAPSHOT_H

#include <stdatomic.h>
#include <stdint.h>

#include "shared/rc.h"
#include "worker/export.h"
#include "worker/tools.h"
#include "worker/wconfig.h"

struct snapshots;

/* One snapshot while somebody holds it. Everything here is constant. */
struct snapshot {
	char id[80];
	char subject_digest[65];
	struct plan *plan;
	struct engine *engine;
	struct canaries *canaries; /* NULL: nothing to look for */
	int64_t created_at, expires_at; /* UTC ms */
	int64_t expires_mono_ms;
	int64_t bytes;
	int64_t *rows; /* of each of the plan's tables */
};

/* Takes data_dir for this process alone and removes what a crashed run left there. RC_INVALID with
 * err when another worker has it, or it can't be made or isn't ours. notify and closing are used
 * until snapshots_close(). */
enum rc snapshots_open(const struct wconfig *c, const struct engine_ops *engine,
	const atomic_bool *closing, tools_snapshot_fn *notify, void *ctx, struct snapshots **out,
	struct wconfig_error *err) MUST_CHECK;
/* Removes them all. Nobody may hold one. */
void snapshots_close(struct snapshots *s);

struct snapshot_wish {
	const char *subject; /* canonical text: equal for equal subjects */
	struct value value; /* what the source compares with */
	const struct source_ops *source_ops;
	struct source *source;
	struct plan *plan; /* held by the snapshot if one is made */
	const struct mask *mask;
	int64_t deadline_mono_ms;
	const atomic_bool *cancelled; /* or NULL */
};
/* Finds or makes it. Who waits for another's export may leave earlier; the export goes on for as
 * long as anybody wants it. */
enum export_status snapshots_get(struct snapshots *s, const struct snapshot_wish *wish,
	struct snapshot **out, struct engine_message *message);
void snapshots_put(struct snapshots *s, struct snapshot *held);
/* Calls that wait for another call's export at this moment. */
int snapshots_waiting(struct snapshots *s);
/* Drops those past their TTL. Returns ms until the next one is. */
int64_t snapshots_expire(struct snapshots *s, int64_t now_mono_ms);

#endif
