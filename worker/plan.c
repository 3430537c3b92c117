#include "worker/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/mem.h"
#include "shared/text.h"

#define COLUMNS_MAX 1000

struct work {
	const struct wconfig *c;
	const struct source_schema *schema;
	struct plan *plan;
	struct wconfig_error *err;
};

static enum rc fail(struct work *w, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);

static enum rc fail(struct work *w, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	wconfig_mistake(w->err, w->c->path, (size_t)line, fmt, ap);
	va_end(ap);
	return RC_INVALID;
}

/* Adds the result of a part to that of the whole. False: stop at the first mistake. */
static bool go_on(const struct work *w, enum rc part, enum rc *whole)
{
	if (part != RC_OK)
		*whole = part;
	return part == RC_OK || w->err->each;
}

/* --- order ---------------------------------------------------------------------- */

static int placed_index(const struct plan *p, const char *name)
{
	for (size_t i = 0; i < p->table_count; i++)
		if (strcmp(p->tables[i].conf->name, name) == 0)
			return (int)i;
	return -1;
}

/* Places a table whose rows can be found already. */
static bool place(struct work *w, const struct wconfig_table *t)
{
	const char *needs = t->parent ? t->parent : t->via;
	struct plan_table *pt = &w->plan->tables[w->plan->table_count];

	pt->from = -1;
	pt->how = t->parent ? PLAN_CHILD : t->via ? PLAN_VIA : PLAN_ROOT;
	if (pt->how == PLAN_ROOT && strcmp(t->name, w->c->root_table) != 0)
		return false;
	if (needs) {
		pt->from = placed_index(w->plan, needs);
		if (pt->from < 0)
			return false;
	}
	pt->conf = t;
	w->plan->table_count++;
	return true;
}

static const struct wconfig_table *find_conf(const struct wconfig *c, const char *name)
{
	for (size_t i = 0; i < c->table_count; i++)
		if (strcmp(c->tables[i].name, name) == 0)
			return &c->tables[i];
	return NULL;
}

/* Why t can't be placed: its chain of needs runs in a circle, or ends away from the root. */
static enum rc not_placed(struct work *w, const struct wconfig_table *t)
{
	const struct wconfig_table *at = t;

	for (size_t steps = 0; steps <= w->c->table_count; steps++) {
		const char *needs = at->parent ? at->parent : at->via;
		const struct wconfig_table *next = needs ? find_conf(w->c, needs) : NULL;

		if (!needs)
			return fail(w, t->line,
				"nothing leads from root_table '%s' to table '%s': give it parent "
				"and fk, or via and via_fk",
				w->c->root_table, t->name);
		if (!next)
			return fail(w, at->line,
				"table '%s' refers to '%s', which is not among tables", at->name,
				needs);
		at = next;
	}
	return fail(w, t->line,
		"table '%s' is part of a cycle of parent or via: leave one of them out", t->name);
}

static enum rc put_in_order(struct work *w)
{
	bool *done = xcalloc(w->c->table_count + 1, sizeof(*done));
	enum rc rc = RC_OK;
	bool moved = true;

	while (moved) {
		moved = false;
		for (size_t i = 0; i < w->c->table_count; i++) {
			if (!done[i] && place(w, &w->c->tables[i]))
				moved = done[i] = true;
		}
	}
	for (size_t i = 0; i < w->c->table_count; i++)
		if (!done[i] && !go_on(w, not_placed(w, &w->c->tables[i]), &rc))
			break;
	free(done);
	return rc;
}

/* --- columns --------------------------------------------------------------------- */

static enum rc no_table(struct work *w, const struct wconfig_table *t)
{
	const char **names = xcalloc(w->schema->table_count + 1, sizeof(*names));
	const char *nearest;
	enum rc rc;

	for (size_t i = 0; i < w->schema->table_count; i++)
		names[i] = w->schema->tables[i].name;
	nearest = text_nearest(t->name, names, w->schema->table_count);
	rc = fail(w, t->line, "the database has no table '%s'%s%s%s", t->name,
		nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
	free(names);
	return rc;
}

static enum rc no_column(
	struct work *w, const struct plan_table *t, int line, const char *column, const char *role)
{
	const char **names = xcalloc(t->column_count + 1, sizeof(*names));
	const char *nearest;
	enum rc rc;

	for (size_t i = 0; i < t->column_count; i++)
		names[i] = t->columns[i].name;
	nearest = text_nearest(column, names, t->column_count);
	rc = fail(w, line, "table '%s' has no column '%s' (%s)%s%s%s", t->conf->name, column, role,
		nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
	free(names);
	return rc;
}

static struct plan_column *column(struct plan_table *t, const char *name)
{
	for (size_t i = 0; i < t->column_count; i++)
		if (strcmp(t->columns[i].name, name) == 0)
			return &t->columns[i];
	return NULL;
}

static bool is_listed(const struct wconfig_table *t, const char *name)
{
	for (size_t i = 0; i < t->mask_count; i++)
		if (strcmp(t->masks[i].name, name) == 0)
			return true;
	return false;
}

/* Under strict nobody forgets a column, also not one that the database gets later. */
static enum rc all_decided(struct work *w, const struct plan_table *t)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; w->c->strict && i < t->column_count; i++)
		if (t->columns[i].shown && !is_listed(t->conf, t->columns[i].name) &&
			!go_on(w,
				fail(w, t->conf->line,
					"strict: table '%s' says nothing about column '%s': list "
					"it under mask (keep shows it) or exclude_columns",
					t->conf->name, t->columns[i].name),
				&rc))
			break;
	return rc;
}

static void copy_columns(const struct work *w, struct plan_table *t, const struct source_table *st)
{
	t->columns = xcalloc(st->column_count + 1, sizeof(*t->columns));
	t->column_count = st->column_count;
	for (size_t i = 0; i < st->column_count; i++) {
		struct plan_column *c = &t->columns[i];

		c->name = xstrdup(st->columns[i].name);
		c->type = xstrdup(st->columns[i].type);
		c->kind = st->columns[i].kind;
		c->mask = mask_spec_default(w->c->default_redact ? MASK_REDACT : MASK_KEEP);
		c->shown = true;
		c->collect = -1;
	}
}

static enum rc set_mask(struct work *w, struct plan_table *t, const struct wconfig_column *wanted)
{
	struct plan_column *c = column(t, wanted->name);
	char why[256];

	if (!c)
		return no_column(w, t, wanted->line, wanted->name, "in mask");
	c->mask = wanted->mask;
	if (mask_spec_fits(&c->mask, c->kind, why, sizeof(why)) != RC_OK)
		return fail(w, wanted->line, "'%s.%s' (%s): %s", t->conf->name, c->name,
			*c->type ? c->type : "no type", why);
	w->plan->has_text |= c->mask.kind == MASK_TEXT;
	return RC_OK;
}

static enum rc leave_out(struct work *w, struct plan_table *t, const char *name)
{
	struct plan_column *c = column(t, name);

	if (!c)
		return no_column(w, t, t->conf->line, name, "in exclude_columns");
	c->shown = false;
	return RC_OK;
}

/* Engines fold the case of names; a server need not. */
static enum rc columns_are_apart(struct work *w, const struct plan_table *t)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < t->column_count; i++) {
		const struct plan_column *a = &t->columns[i];

		for (size_t k = 0; k < i && a->shown; k++) {
			const struct plan_column *b = &t->columns[k];

			if (!b->shown || !text_equal_nocase(a->name, b->name))
				continue;
			if (!go_on(w,
				    fail(w, t->conf->line,
					    "columns '%s' and '%s' of table '%s' differ in case "
					    "alone, which a snapshot can't tell apart: list one "
					    "under exclude_columns",
					    b->name, a->name, t->conf->name),
				    &rc))
				return rc;
		}
	}
	return rc;
}

static enum rc name_is_free(struct work *w, const struct plan_table *t)
{
	if (strncasecmp(t->conf->name, "sqlite_", 7) == 0)
		return fail(w, t->conf->line,
			"table '%s': names that begin with sqlite_ are taken in a snapshot; "
			"a view of another name can stand for it",
			t->conf->name);
	for (const struct plan_table *u = w->plan->tables; u < t; u++)
		if (text_equal_nocase(u->conf->name, t->conf->name))
			return fail(w, t->conf->line,
				"tables '%s' and '%s' differ in case alone, which a snapshot can't "
				"tell apart: leave one out, or name a view of it",
				u->conf->name, t->conf->name);
	return RC_OK;
}

static enum rc read_columns(struct work *w, struct plan_table *t, const struct source_table *st)
{
	enum rc rc = RC_OK;

	copy_columns(w, t, st);
	for (size_t i = 0; i < t->conf->mask_count; i++)
		if (!go_on(w, set_mask(w, t, &t->conf->masks[i]), &rc))
			return rc;
	for (size_t i = 0; i < t->conf->exclude_count; i++)
		if (!go_on(w, leave_out(w, t, t->conf->exclude_columns[i]), &rc))
			return rc;
	for (size_t i = 0; i < t->column_count; i++)
		t->shown_count += t->columns[i].shown;
	if (t->shown_count == 0 || t->shown_count > COLUMNS_MAX)
		return fail(w, t->conf->line,
			"table '%s' would have %zu columns in a snapshot; 1 to %d are possible",
			t->conf->name, t->shown_count, COLUMNS_MAX);
	if (go_on(w, columns_are_apart(w, t), &rc))
		(void)go_on(w, all_decided(w, t), &rc);
	return rc;
}

/* --- relations -------------------------------------------------------------------- */

/* Unlisted join columns are hashed, not redacted, under default_mask: redact, so that joins go on
 * working. */
static void keep_joinable(const struct work *w, const struct plan_table *t, struct plan_column *c)
{
	if (w->c->default_redact && !is_listed(t->conf, c->name))
		c->mask.kind = MASK_HASH;
}

/* Rows of t are those whose own column equals far's column. */
static enum rc relate(struct work *w, struct plan_table *t, const char *own, const char *own_role,
	const char *far, const char *far_role)
{
	struct plan_table *from = &w->plan->tables[t->from];
	struct plan_column *a = column(t, own), *b = column(from, far);

	if (!a)
		return no_column(w, t, t->conf->line, own, own_role);
	if (!b)
		return no_column(w, from, t->how == PLAN_VIA ? t->conf->line : from->conf->line,
			far, far_role);
	keep_joinable(w, t, a);
	keep_joinable(w, from, b);
	if (a->shown && b->shown && (a->mask.kind == MASK_KEEP) != (b->mask.kind == MASK_KEEP)) {
		bool far_masked = a->mask.kind == MASK_KEEP;

		return fail(w, t->conf->line,
			"'%s.%s' would show what the mask of '%s.%s' hides: mask both alike, or "
			"exclude one",
			far_masked ? t->conf->name : from->conf->name, far_masked ? own : far,
			far_masked ? from->conf->name : t->conf->name, far_masked ? far : own);
	}
	if (b->collect < 0)
		b->collect = w->plan->keylist_count++;
	t->keys = b->collect;
	t->filter = a->name;
	t->filter_kind = a->kind;
	return RC_OK;
}

static enum rc relate_root(struct work *w, struct plan_table *t)
{
	const char *name = w->c->root_filter_col ? w->c->root_filter_col : t->conf->key;
	struct plan_column *c = column(t, name);

	if (!c)
		return no_column(w, t, t->conf->line, name, "root_filter_col");
	w->plan->subject_kind = c->kind;
	t->keys = 0;
	t->filter = c->name;
	t->filter_kind = c->kind;
	return RC_OK;
}

/* --- tenants ---------------------------------------------------------------------- */

static const struct wconfig_named *named(
	const struct wconfig_named *list, size_t count, const char *table)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i].table, table) == 0)
			return &list[i];
	return NULL;
}

/* Which column of the table says whose row it is. */
static enum rc isolate(struct work *w, struct plan_table *t)
{
	const struct wconfig_isolation *iso = &w->c->isolation;
	const struct wconfig_named *other = named(iso->columns, iso->column_count, t->conf->name);
	const char *name = other ? other->column : iso->column;
	const struct plan_column *c;

	t->tenant = -1;
	if (!iso->column || named(iso->shared, iso->shared_count, t->conf->name))
		return RC_OK;
	c = column(t, name);
	if (c) {
		t->tenant = (int)(c - t->columns);
		return RC_OK;
	}
	if (other)
		return no_column(w, t, other->line, name, "in tenant_isolation");
	return fail(w, iso->line,
		"tenant_isolation: table '%s' has no column '%s': name its own under columns, or "
		"list the table under shared if its rows belong to no tenant",
		t->conf->name, name);
}

static enum rc bind_table(struct work *w, struct plan_table *t)
{
	const struct wconfig_table *conf = t->conf;
	const struct source_table *st = source_schema_table(w->schema, conf->name);
	enum rc rc = RC_OK;

	if (!st)
		return no_table(w, conf);
	if (!go_on(w, name_is_free(w, t), &rc) || !go_on(w, read_columns(w, t, st), &rc) ||
		!go_on(w, isolate(w, t), &rc))
		return rc;
	/* About a table that is not there nothing more can be said. */
	if (t->how != PLAN_ROOT && !w->plan->tables[t->from].columns)
		return RC_INVALID;
	switch (t->how) {
	case PLAN_ROOT:
		(void)go_on(w, relate_root(w, t), &rc);
		break;
	case PLAN_CHILD:
		(void)go_on(w,
			relate(w, t, conf->fk, "fk", w->plan->tables[t->from].conf->key, "key"),
			&rc);
		break;
	case PLAN_VIA:
		(void)go_on(w, relate(w, t, conf->key, "key", conf->via_fk, "via_fk"), &rc);
		break;
	}
	return rc;
}

static void make_shape(struct plan *p)
{
	struct engine_table *tables = xcalloc(p->table_count + 1, sizeof(*tables));

	for (size_t i = 0; i < p->table_count; i++) {
		const struct plan_table *t = &p->tables[i];
		struct engine_column *columns = xcalloc(t->shown_count, sizeof(*columns));
		size_t n = 0;

		for (size_t k = 0; k < t->column_count; k++) {
			if (!t->columns[k].shown)
				continue;
			columns[n].name = t->columns[k].name;
			columns[n++].kind =
				mask_column_kind(t->columns[k].mask.kind, t->columns[k].kind);
		}
		tables[i] = (struct engine_table){
			.name = t->conf->name, .columns = columns, .column_count = n};
	}
	p->shape = (struct engine_shape){.tables = tables, .table_count = p->table_count};
}

enum rc plan_build(const struct wconfig *c, const struct source_schema *s, struct plan **out,
	struct wconfig_error *err)
{
	struct plan *p = xcalloc(1, sizeof(*p));
	struct work w = {.c = c, .schema = s, .plan = p, .err = err};
	enum rc rc;

	atomic_init(&p->holders, 1);
	p->tables = xcalloc(c->table_count + 1, sizeof(*p->tables));
	p->keylist_count = 1;
	p->tenant_value = c->isolation.value;
	rc = put_in_order(&w);
	for (size_t i = 0; i < p->table_count && (rc == RC_OK || err->each); i++)
		(void)go_on(&w, bind_table(&w, &p->tables[i]), &rc);
	if (rc != RC_OK) {
		plan_release(p);
		return rc;
	}
	make_shape(p);
	*out = p;
	return RC_OK;
}

struct plan *plan_hold(struct plan *p)
{
	atomic_fetch_add(&p->holders, 1);
	return p;
}

void plan_release(struct plan *p)
{
	if (!p || atomic_fetch_sub(&p->holders, 1) > 1)
		return;
	for (size_t i = 0; i < p->shape.table_count; i++)
		free((void *)p->shape.tables[i].columns);
	free((void *)p->shape.tables);
	for (size_t i = 0; i < p->table_count; i++) {
		for (size_t k = 0; k < p->tables[i].column_count; k++) {
			free(p->tables[i].columns[k].name);
			free(p->tables[i].columns[k].type);
		}
		free(p->tables[i].columns);
	}
	free(p->tables);
	free(p);
}
