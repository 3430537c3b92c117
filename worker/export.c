#include "worker/export.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/mem.h"

#define KEY_BYTES_MAX ((size_t)64 << 20) /* raw key texts held at once for one relation */

enum full { FULL_NOT, FULL_ROWS, FULL_BYTES, FULL_KEYS };

struct copy {
	const struct export_job *job;
	struct engine_build *build;
	struct value_list *keylists;
	int64_t *rows; /* of each table */
	int64_t total;
	enum full full;
	/* The table in hand */
	size_t table;
	const struct plan_column **selected; /* in the order of the select */
	size_t selected_count;
	struct value *masked; /* one a shown column */
	char (*texts)[MASK_TEXT_MAX + 1];
};

static enum rc full(struct copy *c, enum full why)
{
	c->full = why;
	return RC_LIMIT;
}

/* One raw row: keys that other tables need are kept aside in memory, shown columns go on masked. */
static enum rc copy_row(void *ctx, const struct value *row)
{
	struct copy *c = ctx;
	size_t shown = 0;
	enum rc rc;

	if (c->total == c->job->max_rows)
		return full(c, FULL_ROWS);
	for (size_t i = 0; i < c->selected_count; i++) {
		const struct plan_column *pc = c->selected[i];

		if (pc->collect >= 0 && value_list_add(&c->keylists[pc->collect], &row[i]) != RC_OK)
			return full(c, FULL_KEYS);
		if (!pc->shown)
			continue;
		mask_value(c->job->mask, pc->mask, &row[i], c->texts[shown], &c->masked[shown]);
		shown++;
	}
	rc = c->job->engine_ops->insert(c->build, c->table, c->masked);
	if (rc != RC_OK)
		return rc == RC_LIMIT ? full(c, FULL_BYTES) : rc;
	c->rows[c->table]++;
	c->total++;
	return RC_OK;
}

static enum rc copy_table(
	struct copy *c, size_t i, struct source_read *read, struct source_error *err)
{
	const struct plan_table *t = &c->job->plan->tables[i];
	const char **names = xcalloc(t->column_count, sizeof(*names));
	struct source_select q = {
		.table = t->conf->name, .columns = names, .filter_column = t->filter};
	enum rc rc = RC_OK;

	c->table = i;
	c->selected = xcalloc(t->column_count, sizeof(struct plan_column *));
	c->masked = xcalloc(t->shown_count, sizeof(*c->masked));
	c->texts = xcalloc(t->shown_count, sizeof(*c->texts));
	c->selected_count = 0;
	for (size_t k = 0; k < t->column_count; k++) {
		if (!t->columns[k].shown && t->columns[k].collect < 0)
			continue;
		names[c->selected_count] = t->columns[k].name;
		c->selected[c->selected_count++] = &t->columns[k];
	}
	q.column_count = c->selected_count;
	q.keys = &c->keylists[t->keys];
	if (q.keys->count > 0)
		rc = c->job->source_ops->select(read, &q, copy_row, c, err);
	free(c->texts);
	free(c->masked);
	free(c->selected);
	free(names);
	return rc;
}

static enum export_status say(struct engine_message *m, enum export_status status, const char *text)
{
	snprintf(m->text, sizeof(m->text), "%s", text);
	return status;
}

static enum export_status too_much(
	const struct copy *c, const struct source_error *err, struct engine_message *m)
{
	const char *table = c->job->plan->tables[c->table].conf->name;

	switch (c->full) {
	case FULL_ROWS:
		snprintf(m->text, sizeof(m->text),
			"this subject has more than %" PRId64
			" rows (the limit was reached in table '%s'): the worker's operator "
			"can raise limits.snapshot_max_rows or leave a table out",
			c->job->max_rows, table);
		break;
	case FULL_BYTES:
		snprintf(m->text, sizeof(m->text),
			"this subject's snapshot needs more than %" PRId64
			" bytes, or data_dir is full (in table '%s'): the "
			"worker's operator can raise limits.snapshot_max_bytes or exclude large "
			"columns",
			c->job->max_bytes, table);
		break;
	case FULL_KEYS:
		snprintf(m->text, sizeof(m->text),
			"the keys of table '%s' of this subject take too much memory: the worker's "
			"operator can leave tables out",
			table);
		break;
	case FULL_NOT: /* the source's own limit on a value */
		snprintf(m->text, sizeof(m->text),
			"%.200s: the worker's operator can list its column in exclude_columns",
			err->text);
		break;
	}
	return EXPORT_LIMIT;
}

/* What a failed read or write means for the call. */
static enum export_status failed(
	const struct copy *c, enum rc rc, const struct source_error *err, struct engine_message *m)
{
	switch (budget_check(c->job->budget)) {
	case BUDGET_TIMEOUT:
		return say(m, EXPORT_TIMEOUT, "copying this subject's rows took too long");
	case BUDGET_CANCELLED:
		return say(m, EXPORT_CANCELLED, "the call was cancelled");
	case BUDGET_GO:
		break;
	}
	if (err->text[0])
		log_warn("export: %s", err->text);
	switch (rc) {
	case RC_LIMIT:
		return too_much(c, err, m);
	case RC_INVALID:
		return say(m, EXPORT_SCHEMA,
			"the database's schema no longer fits the worker's airlock.yaml: tell its "
			"operator");
	case RC_UNAVAILABLE:
		return say(m, EXPORT_UNAVAILABLE,
			err->advice[0] ? err->advice
				       : "the worker can't read its database at the moment: try "
					 "again in a minute");
	default:
		return say(m, EXPORT_FAILED,
			"the worker could not make the snapshot: its log says why");
	}
}

static enum export_status copy_tables(struct copy *c, struct engine_message *m)
{
	const struct export_job *job = c->job;
	struct source_error err = {.text = ""};
	struct source_read *read = NULL;
	enum export_status status = EXPORT_OK;
	enum rc rc = job->source_ops->begin(job->source, job->budget, &read, &err);

	if (rc == RC_OK && value_list_add(&c->keylists[0], &job->subject) != RC_OK)
		rc = RC_INTERNAL;
	for (size_t i = 0; i < job->plan->table_count && rc == RC_OK && status == EXPORT_OK; i++) {
		rc = copy_table(c, i, read, &err);
		if (rc == RC_OK && i == 0 && c->total == 0)
			status = say(m, EXPORT_NO_SUBJECT, "no such subject");
	}
	if (rc != RC_OK)
		status = failed(c, rc, &err, m);
	job->source_ops->end(read);
	return status;
}

static int64_t file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

static enum export_status finish(struct copy *c, struct engine **engine, struct engine_message *m)
{
	const struct export_job *job = c->job;
	struct engine_build *build = c->build;
	enum rc rc;

	c->build = NULL;
	rc = job->engine_ops->seal(build, job->path);
	if (rc == RC_LIMIT)
		c->full = FULL_BYTES;
	if (rc == RC_OK) {
		rc = job->engine_ops->open(job->path, &job->plan->shape, engine);
		if (rc != RC_OK)
			(void)unlink(job->path);
	}
	return rc == RC_OK ? EXPORT_OK : failed(c, rc, &(struct source_error){.text = ""}, m);
}

enum export_status export_run(const struct export_job *job, struct engine **engine, int64_t **rows,
	int64_t *bytes, struct engine_message *message)
{
	struct copy c = {.job = job};
	size_t lists = (size_t)job->plan->keylist_count;
	enum export_status status = EXPORT_OK;
	enum rc rc;

	c.rows = xcalloc(job->plan->table_count, sizeof(*c.rows));
	c.keylists = xcalloc(lists, sizeof(*c.keylists));
	for (size_t i = 0; i < lists; i++)
		value_list_init(&c.keylists[i], (size_t)job->max_rows + 1, KEY_BYTES_MAX);
	rc = job->engine_ops->create(
		job->unfinished_path, &job->plan->shape, job->max_bytes, &c.build);
	if (rc == RC_LIMIT)
		c.full = FULL_BYTES;
	status = rc == RC_OK ? copy_tables(&c, message)
			     : failed(&c, rc, &(struct source_error){.text = ""}, message);
	if (status == EXPORT_OK)
		status = finish(&c, engine, message);
	job->engine_ops->abandon(c.build);
	for (size_t i = 0; i < lists; i++)
		value_list_free(&c.keylists[i]);
	free(c.keylists);
	if (status == EXPORT_OK) {
		*rows = c.rows;
		*bytes = file_size(job->path);
	} else {
		free(c.rows);
	}
	return status;
}
