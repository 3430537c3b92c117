#include "worker/export.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/mem.h"
#include "worker/known.h"

#define KEY_BYTES_MAX ((size_t)64 << 20) /* raw key texts held at once for one relation */

#define KNOWN_WORDS_MAX ((size_t)1 << 20) /* of values that free text is searched for */

enum full { FULL_NOT, FULL_ROWS, FULL_BYTES, FULL_KEYS };
/* Free text is searched for what other columns hold, in whatever order they come, so these are read
 * before it; in the same transaction. */
enum pass { LEARN, COPY };

struct copy {
	const struct export_job *job;
	struct engine_build *build;
	struct value_list *keylists;
	int64_t *rows; /* of each table */
	int64_t total;
	enum full full;
	enum pass pass;
	struct mask_run masks;
	struct known *known; /* NULL without free text */
	struct canary_watch *watch; /* or NULL */
	struct value_list tenant; /* the subject's, once it is known */
	bool foreign; /* a row of another tenant, or of none */
	bool no_subject; /* its tenant is not this worker's */
	/* The table in hand */
	size_t table;
	const struct plan_column **selected; /* in the order of the select */
	size_t selected_count;
	struct value *masked; /* one a shown column */
	struct buf *rooms;
};

static enum rc full(struct copy *c, enum full why)
{
	c->full = why;
	return RC_LIMIT;
}

static uint32_t column_number(size_t table, size_t column)
{
	return (uint32_t)table << 16 | (uint32_t)column;
}

/* --- tenants -------------------------------------------------------------------------- */

/* A value as the text that both sides are compared by: the key of one table may be an integer where
 * the other has a text. */
static struct value as_text(const struct value *v, char number[24])
{
	if (v->kind != VALUE_INT)
		return *v;
	snprintf(number, 24, "%" PRId64, v->i);
	return value_text(number, strlen(number));
}

static bool same_text(const struct value *a, const struct value *b)
{
	return a->kind == VALUE_TEXT && b->kind == VALUE_TEXT && a->len == b->len &&
		memcmp(a->p, b->p, a->len) == 0;
}

/* The row's tenant must be the subject's, which its own row says. */
static bool of_tenant(struct copy *c, const struct value *row)
{
	const char *only = c->job->plan->tenant_value;
	char number[24];
	struct value own = as_text(row, number), wanted;

	if (own.kind == VALUE_TEXT && c->tenant.count == 0 && c->table == 0) {
		wanted = value_text(only, only ? strlen(only) : 0);
		if (only && !same_text(&own, &wanted)) {
			c->no_subject = true;
			return false;
		}
		if (value_list_add(&c->tenant, &own) != RC_OK)
			return false;
	}
	if (c->tenant.count > 0) {
		wanted = value_list_get(&c->tenant, 0);
		if (same_text(&own, &wanted))
			return true;
	}
	c->foreign = true;
	return false;
}

static enum rc check_tenant(struct copy *c, const struct value *row)
{
	const struct plan_table *t = &c->job->plan->tables[c->table];

	for (size_t i = 0; t->tenant >= 0 && i < c->selected_count; i++)
		if (c->selected[i] == &t->columns[t->tenant] && !of_tenant(c, &row[i]))
			return RC_DENIED;
	return RC_OK;
}

/* --- rows ------------------------------------------------------------------------------- */

static enum rc collect(struct copy *c, const struct value *row)
{
	for (size_t i = 0; i < c->selected_count; i++) {
		int list = c->selected[i]->collect;

		if (list >= 0 && value_list_add(&c->keylists[list], &row[i]) != RC_OK)
			return full(c, FULL_KEYS);
	}
	return RC_OK;
}

static void learn(struct copy *c, const struct value *row)
{
	for (size_t i = 0; i < c->selected_count; i++) {
		enum mask_kind kind = c->selected[i]->mask.kind;

		if (c->selected[i]->shown && kind != MASK_KEEP && kind != MASK_TEXT)
			known_add(c->known, &row[i]);
	}
}

/* Shown columns go on masked. */
static enum rc write_row(struct copy *c, const struct value *row)
{
	const struct plan_column *columns = c->job->plan->tables[c->table].columns;
	size_t shown = 0;
	enum rc rc;

	for (size_t i = 0; i < c->selected_count; i++) {
		const struct plan_column *pc = c->selected[i];
		uint32_t number = column_number(c->table, (size_t)(pc - columns));

		if (!pc->shown)
			continue;
		mask_value(&c->masks, &pc->mask, &row[i], &c->rooms[shown], &c->masked[shown]);
		if (c->watch && canary_wanted(&pc->mask))
			canary_raw(c->watch, number, &row[i]);
		if (c->watch && canary_suspect(&pc->mask, &row[i], &c->masked[shown]))
			canary_stored(
				c->watch, number, pc->mask.kind == MASK_KEEP, &c->masked[shown]);
		shown++;
	}
	rc = c->job->engine_ops->insert(c->build, c->table, c->masked);
	if (rc == RC_OK)
		c->rows[c->table]++;
	return rc == RC_LIMIT ? full(c, FULL_BYTES) : rc;
}

/* One raw row. Keys that other tables need are kept aside in memory. */
static enum rc take_row(void *ctx, const struct value *row)
{
	struct copy *c = ctx;
	enum rc rc;

	if (c->total == c->job->max_rows)
		return full(c, FULL_ROWS);
	c->total++;
	rc = check_tenant(c, row);
	if (rc == RC_OK)
		rc = collect(c, row);
	if (rc != RC_OK)
		return rc;
	if (c->pass == COPY)
		return write_row(c, row);
	learn(c, row);
	return RC_OK;
}

/* Whether the pass needs the column. */
static bool needed(const struct copy *c, const struct plan_table *t, size_t i)
{
	const struct plan_column *pc = &t->columns[i];

	if (pc->collect >= 0 || t->tenant == (int)i)
		return true;
	return pc->shown && (c->pass == COPY || pc->mask.kind != MASK_KEEP);
}

static enum rc select_rows(struct copy *c, struct source_read *read, const struct source_select *q,
	size_t shown, struct source_error *err)
{
	enum rc rc;

	c->masked = xcalloc(shown, sizeof(*c->masked));
	c->rooms = xcalloc(shown, sizeof(*c->rooms));
	for (size_t i = 0; i < shown; i++)
		buf_init(&c->rooms[i], MASK_ROOM_MAX);
	rc = c->job->source_ops->select(read, q, take_row, c, err);
	for (size_t i = 0; i < shown; i++)
		buf_free(&c->rooms[i]);
	free(c->rooms);
	free(c->masked);
	return rc;
}

static enum rc read_table(
	struct copy *c, size_t i, struct source_read *read, struct source_error *err)
{
	const struct plan_table *t = &c->job->plan->tables[i];
	const char **names = xcalloc(t->column_count + 1, sizeof(*names));
	struct source_select q = {
		.table = t->conf->name, .columns = names, .filter_column = t->filter};
	enum rc rc = RC_OK;

	c->table = i;
	c->selected = xcalloc(t->column_count + 1, sizeof(struct plan_column *));
	c->selected_count = 0;
	for (size_t k = 0; k < t->column_count; k++) {
		if (!needed(c, t, k))
			continue;
		names[c->selected_count] = t->columns[k].name;
		c->selected[c->selected_count++] = &t->columns[k];
	}
	q.column_count = c->selected_count;
	q.keys = &c->keylists[t->keys];
	/* In the first pass a table may have nothing to learn; the root says whether there is a
	 * subject. */
	if (q.keys->count > 0 && (c->selected_count > 0 || i == 0)) {
		if (c->selected_count == 0) {
			names[0] = t->filter;
			q.column_count = 1;
		}
		rc = select_rows(c, read, &q, t->shown_count, err);
	}
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

static void forget_keys(struct copy *c)
{
	for (int i = 0; i < c->job->plan->keylist_count; i++) {
		value_list_free(&c->keylists[i]);
		value_list_init(&c->keylists[i], (size_t)c->job->max_rows + 1, KEY_BYTES_MAX);
	}
}

/* All tables once. */
static enum export_status read_tables(struct copy *c, enum pass pass, struct source_read *read,
	struct source_error *err, struct engine_message *m)
{
	const struct export_job *job = c->job;
	enum rc rc;

	c->pass = pass;
	c->total = 0;
	forget_keys(c);
	rc = value_list_add(&c->keylists[0], &job->subject) == RC_OK ? RC_OK : RC_INTERNAL;
	for (size_t i = 0; i < job->plan->table_count && rc == RC_OK; i++) {
		rc = read_table(c, i, read, err);
		if (c->no_subject || (rc == RC_OK && i == 0 && c->total == 0))
			return say(m, EXPORT_NO_SUBJECT, "no such subject");
	}
	if (c->foreign) {
		log_err("TENANT ISOLATION: a row of table '%s' does not carry the tenant of the "
			"subject it belongs to; nothing is served of this subject",
			job->plan->tables[c->table].conf->name);
		return say(m, EXPORT_ISOLATION,
			"rows of this subject belong to another tenant: nothing of it is served; "
			"the worker's operator finds the table in its log");
	}
	return rc == RC_OK ? EXPORT_OK : failed(c, rc, err, m);
}

static enum export_status copy_tables(struct copy *c, struct engine_message *m)
{
	const struct export_job *job = c->job;
	const char **names = xcalloc(job->plan->table_count + 1, sizeof(*names));
	struct source_error err = {.text = ""};
	struct source_read *read = NULL;
	enum export_status status;
	enum rc rc;

	for (size_t i = 0; i < job->plan->table_count; i++)
		names[i] = job->plan->tables[i].conf->name;
	rc = job->source_ops->begin(
		job->source, job->budget, names, job->plan->table_count, &read, &err);
	status = rc == RC_OK ? EXPORT_OK : failed(c, rc, &err, m);
	if (status == EXPORT_OK && job->plan->has_text) {
		c->known = known_new(KNOWN_WORDS_MAX);
		c->masks.known = known_needles(c->known);
		c->masks.words_key = known_key(c->known);
		status = read_tables(c, LEARN, read, &err, m);
		if (status == EXPORT_OK && known_full(c->known))
			status = say(m, EXPORT_LIMIT,
				"this subject has more masked values than free text can be "
				"searched for: the worker's operator can redact the columns whose "
				"mask is text");
	}
	if (status == EXPORT_OK)
		status = read_tables(c, COPY, read, &err, m);
	job->source_ops->end(read);
	free(names);
	return status;
}

/* --- canaries ------------------------------------------------------------------------- */

static void tell_pair(void *ctx, uint32_t raw, uint32_t stored)
{
	const struct plan *p = ((const struct copy *)ctx)->job->plan;
	const struct plan_table *rt = &p->tables[raw >> 16], *st = &p->tables[stored >> 16];
	const struct plan_column *rc = &rt->columns[raw & 0xffff];
	const struct plan_column *sc = &st->columns[stored & 0xffff];

	log_err("MASKING FAILED: a value of '%s.%s', whose mask is %s, can be read in '%s.%s' "
		"(%s): "
		"mask that column too (text, for free text). Answers that hold it are stopped",
		rt->conf->name, rc->name, mask_name(rc->mask.kind), st->conf->name, sc->name,
		mask_name(sc->mask.kind));
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

static void copy_free(struct copy *c)
{
	for (int i = 0; i < c->job->plan->keylist_count; i++)
		value_list_free(&c->keylists[i]);
	free(c->keylists);
	value_list_free(&c->tenant);
	mask_run_free(&c->masks);
	known_free(c->known);
	canary_watch_free(c->watch);
}

enum export_status export_run(const struct export_job *job, struct engine **engine, int64_t **rows,
	int64_t *bytes, struct engine_message *message)
{
	struct copy c = {.job = job};
	enum export_status status;
	enum rc rc;

	c.rows = xcalloc(job->plan->table_count, sizeof(*c.rows));
	c.keylists = xcalloc((size_t)job->plan->keylist_count, sizeof(*c.keylists));
	value_list_init(&c.tenant, 1, VALUE_BYTES_MAX);
	mask_run_init(&c.masks, job->mask, &job->subject);
	c.watch = job->canaries ? canary_watch_new() : NULL;
	rc = job->engine_ops->create(
		job->unfinished_path, &job->plan->shape, job->max_bytes, &c.build);
	if (rc == RC_LIMIT)
		c.full = FULL_BYTES;
	status = rc == RC_OK ? copy_tables(&c, message)
			     : failed(&c, rc, &(struct source_error){.text = ""}, message);
	if (status == EXPORT_OK)
		status = finish(&c, engine, message);
	job->engine_ops->abandon(c.build);
	if (status == EXPORT_OK) {
		if (job->canaries) {
			if (canary_full(c.watch))
				log_warn("export: a subject has more masked values than can be "
					 "watched for: those beyond are masked, and not looked for "
					 "in answers");
			*job->canaries = canary_result(c.watch, tell_pair, &c);
		}
		*rows = c.rows;
		*bytes = file_size(job->path);
	} else {
		free(c.rows);
	}
	copy_free(&c);
	return status;
}
