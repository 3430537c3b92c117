#include "shared/yaml_read.h"

#include <stdio.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/mem.h"
#include "shared/text.h"

#define TIME_TEXT_MAX 40
#define WALL_S_MAX 253402300799 /* the year 9999 */

enum rc yaml_read_parse(struct yaml_read *r, const char *text, size_t len)
{
	yaml_parser_t parser;
	enum rc rc = RC_OK;

	if (!yaml_parser_initialize(&parser))
		return RC_INTERNAL;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (!yaml_parser_load(&parser, &r->doc)) {
		snprintf(r->err, r->err_cap, "%s:%zu: %s", r->path, parser.problem_mark.line + 1,
			parser.problem ? parser.problem : "this is not valid YAML");
		rc = RC_INVALID;
	}
	yaml_parser_delete(&parser);
	return rc;
}

enum rc yaml_read_bad(const struct yaml_read *r, const yaml_node_t *node, const char *what)
{
	snprintf(r->err, r->err_cap, "%s:%zu: %s", r->path,
		node ? node->start_mark.line + 1 : (size_t)1, what);
	return RC_INVALID;
}

const char *yaml_read_scalar(const yaml_node_t *node)
{
	const char *text;

	if (node->type != YAML_SCALAR_NODE)
		return NULL;
	text = (const char *)node->data.scalar.value;
	return strlen(text) == node->data.scalar.length ? text : NULL;
}

bool yaml_read_is_null(const yaml_node_t *node)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};

	if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (size_t i = 0; i < sizeof(nulls) / sizeof(nulls[0]); i++) {
		if (strcmp((const char *)node->data.scalar.value, nulls[i]) == 0)
			return true;
	}
	return false;
}

yaml_node_t *yaml_read_member(struct yaml_read *r, const yaml_node_t *map, const char *name)
{
	if (!map || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
		p++) {
		const char *key = yaml_read_scalar(yaml_document_get_node(&r->doc, p->key));
		yaml_node_t *value = yaml_document_get_node(&r->doc, p->value);

		if (key && strcmp(key, name) == 0)
			return yaml_read_is_null(value) ? NULL : value;
	}
	return NULL;
}

enum rc yaml_read_text(
	struct yaml_read *r, const yaml_node_t *map, const char *name, const char **out)
{
	const yaml_node_t *node = yaml_read_member(r, map, name);

	*out = NULL;
	if (!node)
		return RC_OK;
	*out = yaml_read_scalar(node);
	return *out ? RC_OK : yaml_read_bad(r, node, "a text is expected here");
}

static bool parse_bool(const char *text, bool *out)
{
	*out = text_equal_nocase(text, "true") || text_equal_nocase(text, "yes");
	return *out || text_equal_nocase(text, "false") || text_equal_nocase(text, "no");
}

enum rc yaml_read_bool(struct yaml_read *r, const yaml_node_t *map, const char *name, bool *out)
{
	const char *text;
	enum rc rc = yaml_read_text(r, map, name, &text);

	*out = false;
	if (rc == RC_OK && text && !parse_bool(text, out))
		return yaml_read_bad(
			r, yaml_read_member(r, map, name), "true or false is expected here");
	return rc;
}

/* A whole number of at most max, whatever follows it. */
static const char *digits(const char *p, int64_t max, int64_t *out)
{
	const char *start = p;
	int64_t n = 0;

	for (; *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (*p - '0');
		if (n > max)
			return NULL;
	}
	*out = n;
	return p == start ? NULL : p;
}

/* RFC 3339 in UTC; also with a space for the T, or without a zone, as Python's datetime prints it.
 */
static bool parse_date(const char *text, int64_t *out)
{
	char copy[TIME_TEXT_MAX + 2];
	size_t len = strlen(text);
	int64_t ms;

	if (len < 19 || !str_copy(copy, sizeof(copy) - 1, text))
		return false;
	if (copy[10] == ' ')
		copy[10] = 'T';
	if (copy[len - 1] != 'Z' && !strchr(copy + 10, '+') && !strchr(copy + 10, '-'))
		memcpy(copy + len, "Z", 2);
	if (clock_parse(copy, &ms) != RC_OK || ms < 0)
		return false;
	*out = ms / 1000;
	return true;
}

/* A date, or seconds since 1970 (a fraction is dropped). */
static bool parse_time(const char *text, int64_t *out)
{
	const char *end = digits(text, WALL_S_MAX, out);

	if (end && *end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	return (end && !*end) || parse_date(text, out);
}

enum rc yaml_read_time(struct yaml_read *r, const yaml_node_t *map, const char *name,
	int64_t fallback, int64_t *out)
{
	const char *text;
	enum rc rc = yaml_read_text(r, map, name, &text);

	*out = fallback;
	if (rc == RC_OK && text && !parse_time(text, out))
		return yaml_read_bad(r, yaml_read_member(r, map, name),
			"a time is expected here: RFC 3339 in UTC, or seconds since 1970");
	return rc;
}

enum rc yaml_read_number(struct yaml_read *r, const yaml_node_t *map, const char *name, int64_t max,
	int64_t fallback, int64_t *out)
{
	const char *text;
	const char *end;
	enum rc rc = yaml_read_text(r, map, name, &text);

	*out = fallback;
	if (rc != RC_OK || !text)
		return rc;
	end = digits(text, max, out);
	return end && !*end ? RC_OK
			    : yaml_read_bad(r, yaml_read_member(r, map, name),
				      "a whole number is expected here");
}

enum rc yaml_read_walk(struct yaml_read *r, const yaml_node_t *list,
	enum rc (*each)(void *ctx, const yaml_node_t *item, const char *key), void *ctx)
{
	enum rc rc = RC_OK;

	if (!list)
		return RC_OK;
	if (list->type == YAML_SEQUENCE_NODE) {
		for (yaml_node_item_t *i = list->data.sequence.items.start;
			rc == RC_OK && i < list->data.sequence.items.top; i++)
			rc = each(ctx, yaml_document_get_node(&r->doc, *i), NULL);
		return rc;
	}
	if (list->type != YAML_MAPPING_NODE)
		return yaml_read_bad(r, list, "a list or a mapping is expected here");
	for (yaml_node_pair_t *p = list->data.mapping.pairs.start;
		rc == RC_OK && p < list->data.mapping.pairs.top; p++) {
		const yaml_node_t *key = yaml_document_get_node(&r->doc, p->key);
		const char *text = yaml_read_scalar(key);

		if (!text)
			return yaml_read_bad(r, key, "an id is expected here");
		rc = each(ctx, yaml_document_get_node(&r->doc, p->value), text);
	}
	return rc;
}
