#include "worker/propose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"
#include "shared/text.h"
#include "worker/mask.h"
#include "worker/pii.h"

#define SAMPLE_ROWS 200

enum place { NOWHERE, ROOT, CHILD, VIA };

/* What becomes of each table. */
struct place_of {
	enum place place;
	size_t from;
	const struct source_foreign_key *by;
};

struct work {
	const struct source_schema *schema;
	struct place_of *places;
	size_t *order, count; /* the tables that are placed */
	struct source_read *read;
	const struct source_ops *ops;
	struct buf *out;
	struct source_error *err;
};

static size_t index_of(const struct source_schema *s, const char *name)
{
	const struct source_table *t = source_schema_table((struct source_schema *)s, name);

	return t ? (size_t)(t - s->tables) : s->table_count;
}

/* One column refers to the far table's whole key: what parent and via can say. */
static bool simple(const struct source_schema *s, const struct source_foreign_key *k)
{
	const struct source_table *far = source_schema_table((struct source_schema *)s, k->table);

	return far && k->column_count == 1 && far->key_count == 1 &&
		strcmp(far->key[0], k->far_columns[0]) == 0;
}

static bool nameable(const struct source_table *t)
{
	if (!text_name_ok(t->name, SOURCE_NAME_MAX) || t->column_count == 0)
		return false;
	for (size_t i = 0; i < t->column_count; i++)
		if (!text_name_ok(t->columns[i].name, SOURCE_NAME_MAX))
			return false;
	return true;
}

/* --- the tree ----------------------------------------------------------------------------- */

static void put(struct work *w, size_t i, enum place place, size_t from,
	const struct source_foreign_key *by)
{
	w->places[i] = (struct place_of){.place = place, .from = from, .by = by};
	w->order[w->count++] = i;
}

/* Tables that refer to table at, which holds the subject's own rows. */
static void add_children(struct work *w, size_t at)
{
	for (size_t i = 0; i < w->schema->table_count; i++) {
		const struct source_table *t = &w->schema->tables[i];

		for (size_t k = 0; k < t->foreign_key_count && w->places[i].place == NOWHERE; k++)
			if (simple(w->schema, &t->foreign_keys[k]) && nameable(t) &&
				index_of(w->schema, t->foreign_keys[k].table) == at)
				put(w, i, CHILD, at, &t->foreign_keys[k]);
	}
}

/* Tables that table at refers to: only the rows that are referred to, and none of their children,
 * which belong to others too. */
static void add_referred(struct work *w, size_t at)
{
	const struct source_table *t = &w->schema->tables[at];

	for (size_t k = 0; k < t->foreign_key_count; k++) {
		size_t far = index_of(w->schema, t->foreign_keys[k].table);

		if (simple(w->schema, &t->foreign_keys[k]) && w->places[far].place == NOWHERE &&
			nameable(&w->schema->tables[far]))
			put(w, far, VIA, at, &t->foreign_keys[k]);
	}
}

static void grow(struct work *w, size_t root)
{
	memset(w->places, 0, w->schema->table_count * sizeof(*w->places));
	w->count = 0;
	put(w, root, ROOT, 0, NULL);
	for (size_t i = 0; i < w->count; i++)
		add_children(w, w->order[i]);
	for (size_t i = 0; i < w->count; i++)
		add_referred(w, w->order[i]);
}

/* The table with the most tables below it; a telling name counts as three of them. */
static size_t guess_root(struct work *w)
{
	static const char *const names[] = {"customers", "customer", "users", "user", "people",
		"person", "persons", "clients", "client", "patients", "patient", "employees",
		"employee", "members", "member", "accounts", "account", "subjects", "students"};
	size_t best = w->schema->table_count, best_score = 0;

	for (size_t i = 0; i < w->schema->table_count; i++) {
		const struct source_table *t = &w->schema->tables[i];
		const char *dot = strrchr(t->name, '.');
		size_t score = 1;

		if (t->key_count != 1 || !nameable(t))
			continue;
		grow(w, i);
		for (size_t k = 0; k < w->count; k++)
			score += w->places[w->order[k]].place == CHILD;
		for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
			score += strcmp(dot ? dot + 1 : t->name, names[k]) == 0 ? 3 : 0;
		if (score > best_score) {
			best = i;
			best_score = score;
		}
	}
	return best;
}

static enum rc find_root(struct work *w, const char *root, size_t *at)
{
	const char **names, *nearest;

	*at = root ? index_of(w->schema, root) : guess_root(w);
	if (*at < w->schema->table_count && w->schema->tables[*at].key_count == 1)
		return RC_OK;
	if (*at < w->schema->table_count || !root) {
		snprintf(w->err->text, sizeof(w->err->text), "%s%s%s",
			root ? "table '" : "no table has a primary key of one column",
			root ? root : "", root ? "' has no primary key of one column" : "");
		return RC_INVALID;
	}
	names = xcalloc(w->schema->table_count + 1, sizeof(*names));
	for (size_t i = 0; i < w->schema->table_count; i++)
		names[i] = w->schema->tables[i].name;
	nearest = text_nearest(root, names, w->schema->table_count);
	snprintf(w->err->text, sizeof(w->err->text), "the database has no table '%.64s'%s%.64s%s",
		root, nearest ? "; did you mean '" : "", nearest ? nearest : "",
		nearest ? "'?" : "");
	free(names);
	return RC_INVALID;
}

/* --- the file ------------------------------------------------------------------------------ */

/* JSON strings are YAML. */
static void put_name(struct buf *out, const char *name)
{
	static const char *const words[] = {
		"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
	bool plain =
		name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")] == '\0';

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		plain = plain && !text_equal_nocase(name, words[i]);
	if (plain && *name)
		buf_str(out, name);
	else
		buf_json(out, name);
}

struct sample {
	struct pii_shapes *shapes;
	size_t count;
};

static enum rc take_sample(void *ctx, const struct value *row)
{
	struct sample *s = ctx;

	for (size_t i = 0; i < s->count; i++)
		pii_sample(&s->shapes[i], &row[i]);
	return RC_OK;
}

static enum rc sample(struct work *w, const struct source_table *t, struct pii_shapes *shapes)
{
	const char **names = xcalloc(t->column_count, sizeof(*names));
	struct sample s = {.shapes = shapes, .count = t->column_count};
	struct source_select q = {.table = t->name,
		.columns = names,
		.column_count = t->column_count,
		.sample_rows = SAMPLE_ROWS};
	enum rc rc;

	for (size_t i = 0; i < t->column_count; i++)
		names[i] = t->columns[i].name;
	rc = w->ops->select(w->read, &q, take_sample, &s, w->err);
	free(names);
	/* A huge value ends the sample, not the proposal. */
	return rc == RC_LIMIT ? RC_OK : rc;
}

/* Columns that relate tables stay as they are: masked alike on both sides they could be hashed,
 * which is for people to decide. */
static bool relates(const struct source_table *t, const char *column)
{
	for (size_t i = 0; i < t->key_count; i++)
		if (strcmp(t->key[i], column) == 0)
			return true;
	for (size_t i = 0; i < t->foreign_key_count; i++)
		for (size_t k = 0; k < t->foreign_keys[i].column_count; k++)
			if (strcmp(t->foreign_keys[i].columns[k], column) == 0)
				return true;
	return false;
}

static bool looks_like_reference(const struct source_table *t, const char *column)
{
	size_t len = strlen(column);

	return len > 3 && strcmp(column + len - 3, "_id") == 0 && !relates(t, column);
}

/* A column of that name in another case stands before it: a snapshot can hold one of the two. */
static bool is_twin(const struct source_table *t, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (text_equal_nocase(t->columns[k].name, t->columns[i].name))
			return true;
	return false;
}

static struct pii judge(const struct source_table *t, size_t i, const struct pii_shapes *shapes)
{
	struct pii p;

	if (is_twin(t, i))
		return (struct pii){
			.exclude = true, .reason = "differs from another column in case alone"};
	if (relates(t, t->columns[i].name))
		return (struct pii){.mask = mask_spec_default(MASK_KEEP)};
	p = pii_judge(t->columns[i].name, t->columns[i].kind, &shapes[i]);
	if (p.mask.kind == MASK_KEEP && text_equal_nocase(t->columns[i].name, "name") &&
		pii_table_of_people(t->name))
		p = (struct pii){.mask = mask_spec_default(MASK_REDACT),
			.reason = "the name of a person, as the table is named"};
	return p;
}

/* In a comment, which a line break would end. */
static void put_remark_name(struct buf *out, const char *name)
{
	for (; *name; name++)
		buf_char(out, (unsigned char)*name < 32 || *name == 127 ? '?' : *name);
}

/* As airlock.yaml says it. */
static void put_mask(struct buf *out, const struct mask_spec *m)
{
	switch (m->kind) {
	case MASK_NULL:
		buf_str(out, "\"null\"");
		break;
	case MASK_NOISE:
		buf_printf(out, "{kind: noise, percent: %g}", m->percent);
		break;
	case MASK_BUCKET:
		buf_printf(out, "{kind: bucket, size: %g}", m->size);
		break;
	default:
		buf_str(out, mask_name(m->kind));
	}
}

static void put_masks(struct work *w, const struct source_table *t, const struct pii_shapes *shapes)
{
	bool any = false;

	for (size_t i = 0; i < t->column_count; i++) {
		struct pii p = judge(t, i, shapes);

		if (p.mask.kind == MASK_KEEP || p.exclude)
			continue;
		buf_str(w->out, any ? "" : "    mask:\n");
		any = true;
		buf_str(w->out, "      ");
		put_name(w->out, t->columns[i].name);
		buf_str(w->out, ": ");
		put_mask(w->out, &p.mask);
		buf_printf(w->out, " # %s\n", p.reason);
	}
	any = false;
	for (size_t i = 0; i < t->column_count; i++) {
		struct pii p = judge(t, i, shapes);

		if (!p.exclude)
			continue;
		buf_str(w->out, any ? "" : "    exclude_columns:\n");
		any = true;
		buf_str(w->out, "      - ");
		put_name(w->out, t->columns[i].name);
		buf_printf(w->out, " # %s\n", p.reason);
	}
}

static void put_line(struct buf *out, const char *key, const char *name)
{
	buf_printf(out, "    %s: ", key);
	put_name(out, name);
	buf_char(out, '\n');
}

static bool used_by_via(const struct work *w, const struct source_foreign_key *k)
{
	for (size_t i = 0; i < w->schema->table_count; i++)
		if (w->places[i].by == k)
			return true;
	return false;
}

/* Whether the tree leads from table above to table at. */
static bool is_below(const struct work *w, size_t at, size_t above)
{
	while (at < w->schema->table_count && w->places[at].place == CHILD) {
		at = w->places[at].from;
		if (at == above)
			return true;
	}
	return false;
}

/* References that the tree does not follow, and columns that only look like references. */
static void put_remarks(struct work *w, const struct source_table *t)
{
	for (size_t i = 0; i < t->foreign_key_count; i++) {
		const struct source_foreign_key *k = &t->foreign_keys[i];

		if (used_by_via(w, k))
			continue;
		buf_str(w->out, "    # not followed: ");
		for (size_t c = 0; c < k->column_count; c++) {
			buf_str(w->out, c ? ", " : "");
			put_remark_name(w->out, k->columns[c]);
		}
		buf_str(w->out, " -> ");
		put_remark_name(w->out, k->table);
		buf_printf(w->out, ", %s\n",
			strcmp(k->table, t->name) == 0 ? "which is the table itself"
				: is_below(w, index_of(w->schema, k->table),
					  index_of(w->schema, t->name))
				? "which lies below this table: a circle"
				: simple(w->schema, k) ? "which is reached another way"
						       : "which is no primary key of one column");
	}
	for (size_t i = 0; i < t->column_count; i++) {
		if (!looks_like_reference(t, t->columns[i].name))
			continue;
		buf_str(w->out, "    # ");
		put_remark_name(w->out, t->columns[i].name);
		buf_str(w->out, ": named like a reference, but there is no foreign key\n");
	}
}

static enum rc put_table(struct work *w, size_t i)
{
	const struct source_table *t = &w->schema->tables[i];
	const struct place_of *p = &w->places[i];
	struct pii_shapes *shapes = xcalloc(t->column_count, sizeof(*shapes));
	enum rc rc = sample(w, t, shapes);

	buf_str(w->out, "  - name: ");
	put_name(w->out, t->name);
	buf_char(w->out, '\n');
	if (t->key_count == 1 && strcmp(t->key[0], "id") != 0)
		put_line(w->out, "key", t->key[0]);
	if (p->place == CHILD) {
		put_line(w->out, "parent", w->schema->tables[p->from].name);
		put_line(w->out, "fk", p->by->columns[0]);
	} else if (p->place == VIA) {
		put_line(w->out, "via", w->schema->tables[p->from].name);
		put_line(w->out, "via_fk", p->by->columns[0]);
	}
	put_remarks(w, t);
	put_masks(w, t, shapes);
	free(shapes);
	return rc;
}

static void put_left_out(struct work *w)
{
	bool any = false;

	for (size_t i = 0; i < w->schema->table_count; i++) {
		const struct source_table *t = &w->schema->tables[i];
		bool composite = false;

		if (w->places[i].place != NOWHERE || !text_name_ok(t->name, SOURCE_NAME_MAX))
			continue;
		for (size_t k = 0; k < t->foreign_key_count; k++)
			composite |= !simple(w->schema, &t->foreign_keys[k]);
		buf_str(w->out, any ? "" : "\n# Left out, since no foreign key leads there:\n");
		any = true;
		buf_printf(w->out, "#   %s%s", t->name,
			composite ? " (only a key of several columns, or one to another column "
				    "than the primary key)"
				  : "");
		for (size_t k = 0; k < t->column_count; k++) {
			if (!looks_like_reference(t, t->columns[k].name))
				continue;
			buf_str(w->out, ", where ");
			put_remark_name(w->out, t->columns[k].name);
			buf_str(w->out, " is named like a reference");
		}
		buf_char(w->out, '\n');
	}
}

enum rc propose(const struct source_ops *ops, struct source *source, const char *root,
	struct buf *out, struct source_error *err)
{
	struct budget unlimited = {.check = NULL};
	struct source_schema *schema = NULL;
	struct work w = {.ops = ops, .out = out, .err = err};
	size_t at = 0;
	enum rc rc = ops->schema(source, &unlimited, &schema, err);

	if (rc != RC_OK)
		return rc;
	w.schema = schema;
	w.places = xcalloc(schema->table_count + 1, sizeof(*w.places));
	w.order = xcalloc(schema->table_count + 1, sizeof(*w.order));
	rc = find_root(&w, root, &at);
	if (rc == RC_OK)
		rc = ops->begin(source, &unlimited, NULL, 0, &w.read, err);
	if (rc == RC_OK) {
		grow(&w, at);
		buf_str(out,
			"# A proposal: read it, above all what is not masked. Names and samples of "
			"values tell\n# much, and not everything.\nroot_table: ");
		put_name(out, schema->tables[at].name);
		buf_str(out,
			root ? "\n" : " # guessed: most tables lead to it; --root names another\n");
		buf_str(out, "tables:\n");
	}
	for (size_t i = 0; rc == RC_OK && i < w.count; i++)
		rc = put_table(&w, w.order[i]);
	if (rc == RC_OK) {
		buf_str(out, "default_mask: keep # redact hides every column that is not listed\n");
		put_left_out(&w);
	}
	if (w.read)
		ops->end(w.read);
	free(w.order);
	free(w.places);
	source_schema_free(schema);
	return rc;
}
