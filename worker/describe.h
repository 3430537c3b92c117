/* describe: what agents are told about the tools and about a snapshot's schema. Text only; knows no
 * threads and no sources. */
#ifndef WORKER_DESCRIBE_H
#define WORKER_DESCRIBE_H

#include "shared/buf.h"
#include "worker/plan.h"
#include "worker/snapshot.h"
#include "worker/wconfig.h"

/* The JSON array of MCP Tool objects. */
void describe_tools(const struct wconfig *c, struct buf *out);
/* get_schema's structuredContent. */
void describe_schema(
	const struct wconfig *c, const char *engine, const struct snapshot *sn, struct buf *out);
/* ,"snapshot_id":"..","expires_at":".." */
void describe_snapshot(const struct snapshot *sn, struct buf *out);

#endif
