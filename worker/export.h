/* export: copies one subject's rows from the source into a new snapshot, masking on the way: a raw
 * value of a masked column is never handed to the engine. The snapshot is complete or absent. */
#ifndef WORKER_EXPORT_H
#define WORKER_EXPORT_H

#include <stdint.h>

#include "worker/budget.h"
#include "worker/canary.h"
#include "worker/engine.h"
#include "worker/mask.h"
#include "worker/plan.h"
#include "worker/source.h"

enum export_status {
	EXPORT_OK,
	EXPORT_NO_SUBJECT,
	EXPORT_LIMIT, /* message says which and what to do */
	EXPORT_UNAVAILABLE, /* the source can't be read now */
	EXPORT_SCHEMA, /* the source no longer fits the plan */
	EXPORT_ISOLATION, /* a row of another tenant; logged */
	EXPORT_TIMEOUT,
	EXPORT_CANCELLED,
	EXPORT_FAILED, /* logged */
};

struct export_job {
	const struct source_ops *source_ops;
	struct source *source;
	const struct engine_ops *engine_ops;
	const struct plan *plan;
	const struct mask *mask;
	struct value subject; /* raw */
	int64_t max_rows, max_bytes;
	const struct budget *budget;
	const char *unfinished_path, *path;
	/* Set on EXPORT_OK, to NULL when masking kept its promise; canary_free(). NULL: nobody will
	 * look for them. */
	struct canaries **canaries;
};

/* *rows gets the number of rows of each of the plan's tables (free()), *bytes the size of the file.
 * Both and *engine are set only on EXPORT_OK; otherwise message is for agents and holds no value.
 */
enum export_status export_run(const struct export_job *job, struct engine **engine, int64_t **rows,
	int64_t *bytes, struct engine_message *message);

#endif
