#include "shared/toolset.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"
#include "shared/text.h"

#define PREFIX "sha256:"
#define PREFIX_LEN (sizeof(PREFIX) - 1)

const char *const toolset_members[] = {
	"annotations", "description", "inputSchema", "name", "outputSchema", "title", NULL};

/* --- one definition ------------------------------------------------------------------- */

static char *canonical(struct jscan tool)
{
	json_t *whole = json_loadb(tool.p, tool.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	json_t *part = json_object();
	char *text = NULL;

	for (size_t i = 0; whole && toolset_members[i]; i++) {
		json_t *member = json_object_get(whole, toolset_members[i]);

		if (member)
			(void)json_object_set(part, toolset_members[i], member);
	}
	if (whole)
		text = json_dumps(part, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(part);
	json_decref(whole);
	return text;
}

static void put_as_spelt(struct jscan tool, struct buf *out)
{
	const char *comma = "";
	struct jscan v;

	buf_char(out, '{');
	for (size_t i = 0; toolset_members[i]; i++) {
		if (jscan_get(tool, toolset_members[i], &v) != RC_OK)
			continue;
		buf_printf(out, "%s\"%s\":", comma, toolset_members[i]);
		buf_add(out, v.p, v.len);
		comma = ",";
	}
	buf_char(out, '}');
}

void toolset_definition(struct jscan tool, struct buf *out)
{
	char *text = canonical(tool);

	if (text)
		buf_str(out, text);
	else
		put_as_spelt(tool, out);
	free(text);
}

void toolset_fingerprint(const void *definition, size_t len, uint8_t out[CRYPTO_HASH_LEN])
{
	crypto_sha256(definition, len, out);
}

void toolset_fingerprint_text(
	const uint8_t fingerprint[CRYPTO_HASH_LEN], char out[TOOLSET_FINGERPRINT_LEN + 1])
{
	memcpy(out, PREFIX, PREFIX_LEN);
	text_hex(fingerprint, CRYPTO_HASH_LEN, out + PREFIX_LEN);
}

enum rc toolset_fingerprint_read(const char *text, uint8_t out[CRYPTO_HASH_LEN])
{
	if (strncmp(text, PREFIX, PREFIX_LEN) != 0 || strlen(text) != TOOLSET_FINGERPRINT_LEN)
		return RC_INVALID;
	return text_unhex(text + PREFIX_LEN, out, CRYPTO_HASH_LEN) == RC_OK ? RC_OK : RC_INVALID;
}

/* --- the set -------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct toolset_tool *x = a, *y = b;

	return strcmp(x->name, y->name);
}

enum rc toolset_add(struct toolset *s, const struct toolset_tool *tool)
{
	/* Room doubles at each power of two. */
	if ((s->count & (s->count - 1)) == 0) {
		size_t room = s->count ? 2 * s->count : 1;
		struct toolset_tool *bigger = realloc(s->tools, room * sizeof(*bigger));

		if (!bigger)
			return RC_LIMIT;
		s->tools = bigger;
	}
	s->tools[s->count++] = *tool;
	return RC_OK;
}

enum rc toolset_read(const char *manifest, size_t len, struct toolset *out)
{
	struct jscan root, tools, key, tool, name;
	struct toolset_tool one;
	struct toolset set = {0};
	struct jscan_iter it;
	struct buf definition;
	enum rc rc = RC_OK;

	*out = set;
	if (jscan_parse(manifest, len, &root) != RC_OK || jscan_get(root, "tools", &tools) != RC_OK)
		return RC_OK; /* serves no tools */
	it = jscan_iter(tools);
	while (rc == RC_OK && jscan_next(&it, &key, &tool)) {
		if (jscan_get(tool, "name", &name) != RC_OK ||
			jscan_str(name, one.name, sizeof(one.name)) != RC_OK)
			continue;
		/* An escaped text can't grow more than sixfold. */
		buf_init(&definition, 6 * tool.len + 256);
		toolset_definition(tool, &definition);
		toolset_fingerprint(definition.data, definition.len, one.fingerprint);
		rc = definition.failed ? RC_LIMIT : toolset_add(&set, &one);
		buf_free(&definition);
	}
	if (set.count > 1)
		qsort(set.tools, set.count, sizeof(*set.tools), compare);
	if (rc == RC_OK)
		*out = set;
	else
		toolset_free(&set);
	return rc;
}

const struct toolset_tool *toolset_find(const struct toolset *s, const char *name)
{
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, s->tools[middle].name);

		if (order == 0)
			return &s->tools[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

void toolset_free(struct toolset *s)
{
	free(s->tools);
	*s = (struct toolset){0};
}

/* --- two sets ------------------------------------------------------------------------- */

static int order(const struct toolset *a, size_t i, const struct toolset *b, size_t j)
{
	if (i == a->count)
		return 1;
	if (j == b->count)
		return -1;
	return strcmp(a->tools[i].name, b->tools[j].name);
}

void toolset_compare(
	const struct toolset *was, const struct toolset *is, toolset_visit_fn visit, void *ctx)
{
	size_t i = 0, j = 0;

	while (i < was->count || j < is->count) {
		int o = order(was, i, is, j);

		if (o < 0)
			visit(ctx, TOOLSET_GONE, was->tools[i].name);
		else if (o > 0)
			visit(ctx, TOOLSET_ADDED, is->tools[j].name);
		else if (memcmp(was->tools[i].fingerprint, is->tools[j].fingerprint,
				 CRYPTO_HASH_LEN) != 0)
			visit(ctx, TOOLSET_CHANGED, is->tools[j].name);
		i += o <= 0;
		j += o >= 0;
	}
}

static void note(void *ctx, enum toolset_difference d, const char *name)
{
	struct toolset_names *n = ctx;

	if (n->count[d] < TOOLSET_SHOWN_MAX)
		n->names[d][n->count[d]] = name;
	n->count[d]++;
}

bool toolset_differences(
	const struct toolset *was, const struct toolset *is, struct toolset_names *out)
{
	memset(out, 0, sizeof(*out));
	toolset_compare(was, is, note, out);
	return out->count[TOOLSET_ADDED] + out->count[TOOLSET_GONE] + out->count[TOOLSET_CHANGED] >
		0;
}

void toolset_names_text(struct buf *out, const struct toolset_names *n)
{
	static const char *const words[] = {"added", "gone", "changed"};
	const char *comma = "";

	for (int d = 0; d < TOOLSET_DIFFERENCES; d++) {
		size_t shown = n->count[d] < TOOLSET_SHOWN_MAX ? n->count[d] : TOOLSET_SHOWN_MAX;

		if (n->count[d] == 0)
			continue;
		buf_printf(out, "%s%zu %s (", comma, n->count[d], words[d]);
		for (size_t i = 0; i < shown; i++)
			buf_printf(out, "%s%s", i ? ", " : "", n->names[d][i]);
		buf_str(out, shown < n->count[d] ? ", ...)" : ")");
		comma = ", ";
	}
}
