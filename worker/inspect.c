#include "worker/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/mem.h"
#include "worker/export.h"
#include "worker/heap.h"
#include "worker/plan.h"
#include "worker/propose.h"
#include "worker/secretenv.h"
#include "worker/wconfig.h"

#define PROPOSAL_MAX ((size_t)8 << 20)

static enum rc open_source(
	const struct source_ops **ops, struct source **source, struct source_error *err)
{
	char *url = secretenv_take("DATABASE_URL");
	enum rc rc;

	if (!url) {
		snprintf(err->text, sizeof(err->text), "DATABASE_URL is not set");
		return RC_NOTFOUND;
	}
	rc = heap_install();
	if (rc == RC_OK)
		rc = source_for_url(url, ops, err);
	if (rc == RC_OK)
		rc = (*ops)->open(url, source, err);
	mem_free_secret(url);
	return rc;
}

/* --- an engine that only counts --------------------------------------------------------------- */

/* An export into it reads and masks as for a snapshot, and writes nothing. */
struct engine_build {
	char unused;
};

static enum rc count_create(const char *path, const struct engine_shape *shape, int64_t max_bytes,
	struct engine_build **out)
{
	(void)path;
	(void)shape;
	(void)max_bytes;
	*out = xcalloc(1, sizeof(**out));
	return RC_OK;
}

static enum rc count_insert(struct engine_build *b, size_t table, const struct value *row)
{
	(void)b;
	(void)table;
	(void)row;
	return RC_OK;
}

static void count_abandon(struct engine_build *b)
{
	free(b);
}

static enum rc count_seal(struct engine_build *b, const char *path)
{
	(void)path;
	free(b);
	return RC_OK;
}

static enum rc count_open(const char *path, const struct engine_shape *shape, struct engine **out)
{
	(void)path;
	(void)shape;
	*out = NULL;
	return RC_OK;
}

static const struct engine_ops counting = {.name = "count",
	.create = count_create,
	.insert = count_insert,
	.abandon = count_abandon,
	.seal = count_seal,
	.open = count_open};

/* --- check
 * ---------------------------------------------------------------------------------------- */

/* What a foreign key of the database says about the relation that the file wants. */
static const char *relation_doubt(
	const struct source_schema *s, const struct plan *p, const struct plan_table *t)
{
	const struct plan_table *from = &p->tables[t->from];
	const struct plan_table *child = t->how == PLAN_CHILD ? t : from;
	const struct plan_table *far = t->how == PLAN_CHILD ? from : t;
	const char *column = t->how == PLAN_CHILD ? t->filter : t->conf->via_fk;
	const struct source_table *st =
		source_schema_table((struct source_schema *)s, child->conf->name);

	for (size_t i = 0; i < st->foreign_key_count; i++) {
		const struct source_foreign_key *k = &st->foreign_keys[i];

		for (size_t c = 0; strcmp(k->table, far->conf->name) == 0 && c < k->column_count;
			c++) {
			if (strcmp(k->columns[c], column) != 0)
				continue;
			if (k->column_count == 1)
				return NULL;
			return "the foreign key there has more columns than this one: rows of "
			       "other "
			       "subjects may match";
		}
	}
	return "no foreign key in the database says so: make sure that the columns mean the same";
}

static const struct plan_column *column_of(const struct plan_table *t, const char *name)
{
	for (size_t i = 0; i < t->column_count; i++)
		if (strcmp(t->columns[i].name, name) == 0)
			return &t->columns[i];
	return NULL;
}

/* Whether agents can join the table with the one that it came from. */
static bool joins(const struct plan *p, const struct plan_table *t)
{
	const struct plan_table *from = &p->tables[t->from];
	const struct plan_column *a = column_of(t, t->filter);
	const struct plan_column *b =
		column_of(from, t->how == PLAN_CHILD ? from->conf->key : t->conf->via_fk);

	return a && b && a->shown && b->shown && a->mask.kind == b->mask.kind &&
		mask_joins(a->mask.kind);
}

static void print_column(const struct plan_column *c)
{
	char mask[MASK_SPEC_TEXT_MAX + 1] = "left out";

	if (c->shown)
		mask_spec_text(&c->mask, mask);
	printf("  %-8s %s%s%s\n", mask, c->name, *c->type ? " " : "", c->type);
}

static void print_table(
	const struct source_schema *s, const struct plan *p, size_t i, const int64_t *rows)
{
	const struct plan_table *t = &p->tables[i];
	const char *doubt = t->how == PLAN_ROOT ? NULL : relation_doubt(s, p, t);
	size_t masked = 0;

	for (size_t k = 0; k < t->column_count; k++)
		masked += t->columns[k].shown && t->columns[k].mask.kind != MASK_KEEP;
	printf("%s: ", t->conf->name);
	if (rows)
		printf("%" PRId64 " rows, ", rows[i]);
	printf("%zu columns, %zu masked, %zu left out; ", t->shown_count, masked,
		t->column_count - t->shown_count);
	if (t->how == PLAN_ROOT)
		printf("the subject, by %s\n", t->filter);
	else
		printf("%s %s, by %s\n", t->how == PLAN_CHILD ? "below" : "referred to by",
			p->tables[t->from].conf->name,
			t->how == PLAN_CHILD ? t->filter : t->conf->via_fk);
	for (size_t k = 0; k < t->column_count; k++)
		print_column(&t->columns[k]);
	if (t->tenant >= 0)
		printf("  tenant: every row's %s must be the subject's\n",
			t->columns[t->tenant].name);
	if (t->how != PLAN_ROOT && !joins(p, t))
		printf("  warning: agents can't join it with %s: its key is masked or left out in "
		       "a way that does not keep equal values equal\n",
			p->tables[t->from].conf->name);
	if (doubt)
		printf("  warning: %s\n", doubt);
}

static void print_sum(const struct plan *p, const int64_t *rows)
{
	size_t columns = 0, masked = 0;
	int64_t sum = 0;

	for (size_t i = 0; i < p->table_count; i++) {
		const struct plan_table *t = &p->tables[i];

		sum += rows ? rows[i] : 0;
		columns += t->shown_count;
		for (size_t k = 0; k < t->column_count; k++)
			masked += t->columns[k].shown && t->columns[k].mask.kind != MASK_KEEP;
	}
	printf("in all: %zu tables, ", p->table_count);
	if (rows)
		printf("%" PRId64 " rows, ", sum);
	printf("%zu columns, %zu masked\n", columns, masked);
}

/* Counts one subject's rows as an export would find them. */
static bool count_rows(const struct wconfig *c, const struct source_ops *ops, struct source *source,
	const struct plan *plan, const char *subject, int64_t **rows, bool *unmasked)
{
	static const uint8_t unused[MASK_SECRET_LEN];
	struct budget unlimited = {.check = NULL};
	struct engine_message message = {""};
	struct engine *none;
	struct canaries *canaries = NULL;
	struct mask mask;
	int64_t number, bytes;
	struct export_job job = {.source_ops = ops,
		.source = source,
		.engine_ops = &counting,
		.plan = plan,
		.mask = &mask,
		.subject = value_text(subject, strlen(subject)),
		.max_rows = c->snapshot_max_rows,
		.max_bytes = c->snapshot_max_bytes,
		.budget = &unlimited,
		.unfinished_path = "",
		.path = "",
		.canaries = &canaries};

	if (plan->subject_kind != COLUMN_TEXT &&
		value_parse_int(subject, strlen(subject), &number) == RC_OK)
		job.subject = value_int(number);
	mask_init(&mask, unused);
	if (export_run(&job, &none, rows, &bytes, &message) != EXPORT_OK) {
		log_err("%s", message.text);
		return false;
	}
	if (canaries)
		log_err("the masks do not hide everything of this subject, see above");
	*unmasked = canaries != NULL;
	canary_free(canaries);
	return true;
}

/* Every mistake is a line of its own. */
static void tell_mistake(void *ctx, const char *text)
{
	int *count = ctx;

	(*count)++;
	log_err("%s", text);
}

static void tell_sum(const char *path, int mistakes)
{
	if (mistakes > 1)
		log_err("%s: %d mistakes", path, mistakes);
}

static enum rc check_database(const struct wconfig *c, const struct inspect_options *o)
{
	int mistakes = 0;
	struct budget unlimited = {.check = NULL};
	struct source_error source_err = {.text = ""};
	struct wconfig_error err = {.each = tell_mistake, .ctx = &mistakes};
	const struct source_ops *ops = NULL;
	struct source_schema *schema = NULL;
	struct source *source = NULL;
	struct plan *plan = NULL;
	int64_t *rows = NULL;
	bool unmasked = false;
	enum rc rc = open_source(&ops, &source, &source_err);

	if (rc == RC_NOTFOUND) {
		log_info("%s is good by itself; with DATABASE_URL the database is looked at too",
			o->config_path);
		return RC_OK;
	}
	if (rc == RC_OK)
		rc = ops->schema(source, &unlimited, &schema, &source_err);
	if (rc == RC_OK)
		rc = plan_build(c, schema, &plan, &err);
	if (rc != RC_OK && mistakes == 0)
		log_err("%s", source_err.text);
	tell_sum(o->config_path, mistakes);
	if (rc == RC_OK && o->subject &&
		!count_rows(c, ops, source, plan, o->subject, &rows, &unmasked))
		rc = RC_INVALID;
	for (size_t i = 0; rc == RC_OK && i < plan->table_count; i++)
		print_table(schema, plan, i, rows);
	if (rc == RC_OK)
		print_sum(plan, rows);
	if (rc == RC_OK && unmasked)
		rc = RC_INVALID;
	else if (rc == RC_OK)
		log_info("%s is good and fits the database", o->config_path);
	free(rows);
	plan_release(plan);
	source_schema_free(schema);
	if (source)
		ops->close(source);
	return rc;
}

int inspect_check(const struct inspect_options *options)
{
	int mistakes = 0;
	struct wconfig_error err = {.each = tell_mistake, .ctx = &mistakes};
	struct wconfig *c = NULL;
	enum rc rc = wconfig_load(options->config_path, &c, &err);

	if (rc != RC_OK) {
		if (mistakes == 0)
			log_err("%s", err.text);
		tell_sum(options->config_path, mistakes);
		return 1;
	}
	rc = check_database(c, options);
	wconfig_free(c);
	return rc == RC_OK ? 0 : 1;
}

/* --- init
 * ----------------------------------------------------------------------------------------- */

static bool write_out(const char *path, const struct buf *text)
{
	/* Never over a file that somebody has worked on. */
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)
		      : dup(STDOUT_FILENO);
	FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
	bool ok = file && fwrite(text->data, 1, text->len, file) == text->len;

	if (file)
		ok = fclose(file) == 0 && ok;
	if (!ok)
		log_err("%s can't be written: %s", path ? path : "standard output",
			strerror(errno));
	return ok;
}

int inspect_init(const struct inspect_options *options)
{
	struct source_error err = {.text = ""};
	const struct source_ops *ops = NULL;
	struct source *source = NULL;
	struct buf text;
	enum rc rc = open_source(&ops, &source, &err);

	buf_init(&text, PROPOSAL_MAX);
	if (rc == RC_OK)
		rc = propose(ops, source, options->root, &text, &err);
	if (rc == RC_OK && text.failed)
		rc = RC_LIMIT;
	if (rc != RC_OK)
		log_err("%s", err.text[0] ? err.text : "the proposal is too long");
	else if (!write_out(options->output, &text))
		rc = RC_INTERNAL;
	buf_free(&text);
	if (source)
		ops->close(source);
	return rc == RC_OK ? 0 : 1;
}
