#include "worker/describe.h"

#include <stdio.h>
#include <string.h>

#include "shared/clock.h"
#include "worker/mask_spec.h"
#include "worker/tools.h"

static const char *subject_column(const struct wconfig *c)
{
	if (c->root_filter_col)
		return c->root_filter_col;
	for (size_t i = 0; i < c->table_count; i++)
		if (strcmp(c->tables[i].name, c->root_table) == 0)
			return c->tables[i].key;
	return "id";
}

/* --- tools ------------------------------------------------------------------------- */

static void put_subject(const struct wconfig *c, struct buf *out)
{
	struct buf text;

	buf_init(&text, 4096);
	buf_printf(&text, "The subject: a value of %s.%s.", c->root_table, subject_column(c));
	buf_str(out,
		"\"subject_id\":{\"type\":[\"string\",\"integer\"],\"maxLength\":256,"
		"\"description\":");
	buf_json_len(out, (const char *)text.data, text.len);
	buf_char(out, '}');
	buf_free(&text);
}

static void put_annotations(struct buf *out, const char *title)
{
	buf_printf(out,
		",\"annotations\":{\"title\":\"%s\",\"readOnlyHint\":true,\"destructiveHint\":"
		"false,"
		"\"idempotentHint\":true,\"openWorldHint\":false}}",
		title);
}

/* What every answer ends with. */
#define SNAPSHOT_PROPERTIES \
	"\"snapshot_id\":{\"type\":\"string\"},\"expires_at\":{\"type\":\"string\"}"

static void put_get_schema(const struct wconfig *c, struct buf *out)
{
	buf_str(out,
		"{\"name\":\"get_schema\",\"title\":\"Get schema\",\"description\":\"Tables, "
		"columns, row counts, masks and "
		"relations of one subject's masked, read-only snapshot, with hints and sample "
		"queries. Call it before "
		"execute_sql.\",\"inputSchema\":{\"type\":\"object\",\"properties\":{");
	put_subject(c, out);
	buf_str(out,
		"},\"required\":[\"subject_id\"],\"additionalProperties\":false},\"outputSchema\":{"
		"\"type\":\"object\","
		"\"properties\":{\"subject\":{\"type\":\"object\"},\"engine\":{\"type\":\"string\"}"
		","
		"\"description\":{\"type\":\"string\"},\"tables\":{\"type\":\"array\",\"items\":{"
		"\"type\":\"object\","
		"\"properties\":{\"name\":{\"type\":\"string\"},\"rows\":{\"type\":\"integer\"},"
		"\"columns\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}},"
		"\"masked\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}},"
		"\"required\":[\"name\",\"rows\",\"columns\"]}},"
		"\"relations\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
		"\"masks\":{\"type\":\"object\"},\"hints\":{\"type\":\"array\",\"items\":{\"type\":"
		"\"string\"}},"
		"\"sample_queries\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}}"
		"," SNAPSHOT_PROPERTIES "},\"required\":[\"subject\",\"engine\",\"tables\","
		"\"relations\",\"snapshot_id\",\"expires_at\"]}");
	put_annotations(out, "Get schema");
}

static void put_execute_sql(const struct wconfig *c, struct buf *out)
{
	const struct engine_ops *engine = tools_engine(c);

	buf_printf(out,
		"{\"name\":\"execute_sql\",\"title\":\"Execute SQL\",\"description\":\"Runs one "
		"read-only SELECT (%s "
		"dialect) on one subject's masked snapshot. Only this subject's rows are there, so "
		"no filter on the subject "
		"is needed. truncated says whether rows were left "
		"out.\",\"inputSchema\":{\"type\":\"object\",\"properties\":{",
		engine->dialect);
	put_subject(c, out);
	buf_printf(out,
		",\"sql\":{\"type\":\"string\",\"maxLength\":65535,\"description\":\"One SELECT "
		"statement.\"},"
		"\"max_rows\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":%d,\"description\":"
		"\"At most so many rows; %d "
		"when left "
		"out.\"}},\"required\":[\"subject_id\",\"sql\"],\"additionalProperties\":false},",
		c->result_max_rows, c->result_max_rows);
	buf_str(out,
		"\"outputSchema\":{\"type\":\"object\",\"properties\":{\"columns\":{\"type\":"
		"\"array\",\"items\":{\"type\":"
		"\"string\"}},\"rows\":{\"type\":\"array\",\"items\":{\"type\":\"array\"}},\"row_"
		"count\":{\"type\":\"integer\"},"
		"\"truncated\":{\"type\":\"boolean\"}," SNAPSHOT_PROPERTIES
		"},\"required\":[\"columns\",\"rows\",\"row_count\",\"truncated\",\"snapshot_id\","
		"\"expires_at\"]}");
	put_annotations(out, "Execute SQL");
}

static void put_null_rates(const struct wconfig *c, struct buf *out)
{
	buf_str(out,
		"{\"name\":\"null_rates\",\"title\":\"Null rates\",\"description\":\"The fraction "
		"of NULLs in each column of one "
		"subject's snapshot, for one table or all. Tables with too few rows are "
		"withheld.\","
		"\"inputSchema\":{\"type\":\"object\",\"properties\":{");
	put_subject(c, out);
	buf_str(out,
		",\"table\":{\"type\":\"string\",\"maxLength\":127,\"description\":\"One table; "
		"all when left out.\"}},"
		"\"required\":[\"subject_id\"],\"additionalProperties\":false},\"outputSchema\":{"
		"\"type\":\"object\","
		"\"properties\":{\"tables\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
		"\"properties\":{"
		"\"name\":{\"type\":\"string\"},\"rows\":{\"type\":\"integer\"},\"null_rates\":{"
		"\"type\":\"object\","
		"\"additionalProperties\":{\"type\":\"number\"}},\"withheld\":{\"type\":\"string\"}"
		"},"
		"\"required\":[\"name\",\"rows\"]}},\"min_group\":{\"type\":\"integer\"}"
		"," SNAPSHOT_PROPERTIES
		"},\"required\":[\"tables\",\"min_group\",\"snapshot_id\",\"expires_at\"]}");
	put_annotations(out, "Null rates");
}

void describe_tools(const struct wconfig *c, struct buf *out)
{
	buf_char(out, '[');
	put_get_schema(c, out);
	buf_char(out, ',');
	put_execute_sql(c, out);
	buf_char(out, ',');
	put_null_rates(c, out);
	buf_char(out, ']');
}

/* --- schema ------------------------------------------------------------------------- */

static void put_columns(const struct plan_table *t, struct buf *out)
{
	bool any = false;

	buf_str(out, ",\"columns\":{");
	for (size_t i = 0; i < t->column_count; i++) {
		const struct plan_column *c = &t->columns[i];

		if (!c->shown)
			continue;
		if (any)
			buf_char(out, ',');
		any = true;
		buf_json(out, c->name);
		buf_char(out, ':');
		/* Most masks make text, whatever the source declared. */
		buf_json(out,
			mask_column_kind(c->mask.kind, COLUMN_ANY) == COLUMN_TEXT ? "TEXT"
										  : c->type);
	}
	buf_char(out, '}');
	any = false;
	for (size_t i = 0; i < t->column_count; i++) {
		const struct plan_column *c = &t->columns[i];

		if (!c->shown || c->mask.kind == MASK_KEEP)
			continue;
		buf_str(out, any ? "," : ",\"masked\":{");
		any = true;
		buf_json(out, c->name);
		buf_printf(out, ":\"%s\"", mask_name(c->mask.kind));
	}
	if (any)
		buf_char(out, '}');
}

static bool is_shown(const struct plan_table *t, const char *name)
{
	for (size_t i = 0; i < t->column_count; i++)
		if (strcmp(t->columns[i].name, name) == 0)
			return t->columns[i].shown;
	return false;
}

static void put_relations(const struct plan *p, struct buf *out)
{
	bool any = false;
	struct buf text;

	buf_init(&text, 4096);
	buf_str(out, ",\"relations\":[");
	for (size_t i = 0; i < p->table_count; i++) {
		const struct plan_table *t = &p->tables[i], *from;
		const char *far;

		if (t->how == PLAN_ROOT)
			continue;
		from = &p->tables[t->from];
		far = t->how == PLAN_CHILD ? from->conf->key : t->conf->via_fk;
		if (!is_shown(t, t->filter) || !is_shown(from, far))
			continue;
		buf_reset(&text);
		if (t->how == PLAN_CHILD)
			buf_printf(&text, "%s.%s = %s.%s", t->conf->name, t->filter,
				from->conf->name, far);
		else
			buf_printf(&text, "%s.%s = %s.%s", from->conf->name, far, t->conf->name,
				t->filter);
		if (any)
			buf_char(out, ',');
		any = true;
		buf_json_len(out, (const char *)text.data, text.len);
	}
	buf_char(out, ']');
	buf_free(&text);
}

/* Says what each mask that occurs does, once. */
static void put_masks(const struct plan *p, struct buf *out)
{
	static const struct {
		enum mask_kind kind;
		const char *text;
	} masks[] = {
		{MASK_HASH,
			"equal values have equal hashes, in every table: join, group and count by "
			"it"},
		{MASK_TOKEN,
			"another value of the same format; equal values have equal tokens: join, "
			"group and count by it"},
		{MASK_EMAIL, "a hash of the address, with its domain: group by either"},
		{MASK_PARTIAL, "**** and the last characters"},
		{MASK_TEXT,
			"free text; what identifies people is replaced by labels such as [email]"},
		{MASK_DATE_SHIFT,
			"all dates of this subject are moved by the same days: intervals are "
			"right, "
			"dates are not"},
		{MASK_NOISE, "numbers are changed a little: sums and averages are near, not exact"},
		{MASK_BUCKET, "a range such as [30,40), or the first day of the period"},
		{MASK_REDACT, "the value is replaced by [redacted]; NULL stays NULL"},
		{MASK_NULL, "always NULL"},
	};
	bool any = false;

	for (size_t m = 0; m < sizeof(masks) / sizeof(masks[0]); m++) {
		bool used = false;

		for (size_t i = 0; i < p->table_count && !used; i++)
			for (size_t k = 0; k < p->tables[i].column_count && !used; k++)
				used = p->tables[i].columns[k].shown &&
					p->tables[i].columns[k].mask.kind == masks[m].kind;
		if (!used)
			continue;
		buf_printf(out, "%s\"%s\":\"%s\"", any ? "," : ",\"masks\":{",
			mask_name(masks[m].kind), masks[m].text);
		any = true;
	}
	if (any)
		buf_char(out, '}');
}

static void put_advice(const struct wconfig *c, struct buf *out)
{
	if (c->hint_count) {
		buf_str(out, ",\"hints\":[");
		for (size_t i = 0; i < c->hint_count; i++) {
			if (i)
				buf_char(out, ',');
			buf_json(out, c->hints[i]);
		}
		buf_char(out, ']');
	}
	if (c->query_count) {
		buf_str(out, ",\"sample_queries\":[");
		for (size_t i = 0; i < c->query_count; i++) {
			buf_str(out, i ? ",{\"title\":" : "{\"title\":");
			buf_json(out, c->queries[i].title);
			buf_str(out, ",\"sql\":");
			buf_json(out, c->queries[i].sql);
			buf_char(out, '}');
		}
		buf_char(out, ']');
	}
}

void describe_snapshot(const struct snapshot *sn, struct buf *out)
{
	char expires[CLOCK_TEXT_LEN + 1];

	clock_text(sn->expires_at, expires);
	buf_printf(out, ",\"snapshot_id\":\"%s\",\"expires_at\":\"%s\"", sn->id, expires);
}

void describe_schema(
	const struct wconfig *c, const char *engine, const struct snapshot *sn, struct buf *out)
{
	buf_str(out, "{\"subject\":{\"table\":");
	buf_json(out, c->root_table);
	buf_str(out, ",\"column\":");
	buf_json(out, subject_column(c));
	buf_printf(out, "},\"engine\":\"%s\"", engine);
	if (c->description) {
		buf_str(out, ",\"description\":");
		buf_json(out, c->description);
	}
	buf_str(out, ",\"tables\":[");
	for (size_t i = 0; i < sn->plan->table_count; i++) {
		buf_str(out, i ? ",{\"name\":" : "{\"name\":");
		buf_json(out, sn->plan->tables[i].conf->name);
		buf_printf(out, ",\"rows\":%lld", (long long)sn->rows[i]);
		put_columns(&sn->plan->tables[i], out);
		buf_char(out, '}');
	}
	buf_char(out, ']');
	put_relations(sn->plan, out);
	put_masks(sn->plan, out);
	put_advice(c, out);
	describe_snapshot(sn, out);
	buf_char(out, '}');
}
