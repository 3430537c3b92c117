/* plan: airlock.yaml bound to the schema that the source really has: which tables in which order,
 * which rows, which columns, how masked. Immutable once built; counted, because snapshots of an
 * older plan may outlive it. */
#ifndef WORKER_PLAN_H
#define WORKER_PLAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "shared/rc.h"
#include "worker/engine.h"
#include "worker/source.h"
#include "worker/wconfig.h"

enum plan_how { PLAN_ROOT, PLAN_CHILD, PLAN_VIA };

struct plan_column {
	char *name;
	char *type; /* for agents */
	enum column_kind kind;
	struct mask_spec mask;
	bool shown; /* part of the snapshot; others are only read to find rows of other tables */
	int collect; /* the key list that takes its raw values, or -1 */
};

struct plan_table {
	const struct wconfig_table *conf;
	enum plan_how how;
	int from; /* index of the parent or the via table in this plan, -1 for the root */
	int keys; /* the key list that selects its rows; 0 is the subject */
	const char *filter; /* the column that is compared with them */
	enum column_kind filter_kind;
	struct plan_column *columns;
	size_t column_count;
	size_t shown_count;
	int tenant; /* the column that must hold the subject's tenant, or -1 */
};

struct plan {
	struct plan_table *tables; /* parents before children */
	size_t table_count;
	int keylist_count;
	struct engine_shape shape; /* shown columns of each table, same order */
	enum column_kind subject_kind;
	const char *tenant_value; /* of wconfig's, or NULL */
	bool has_text; /* some column's mask is text */
	atomic_int holders;
};

/* RC_INVALID with err: missing table or column (and the nearest name), cycle, table that nothing
 * leads to, or a key kept raw on one side of a relation and masked on the other. c must outlive the
 * plan. */
enum rc plan_build(const struct wconfig *c, const struct source_schema *s, struct plan **out,
	struct wconfig_error *err) MUST_CHECK;
struct plan *plan_hold(struct plan *p);
/* Frees with the last holder. NULL is fine. */
void plan_release(struct plan *p);

#endif
