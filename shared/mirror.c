#include "shared/mirror.h"

#include <string.h>

#include "shared/text.h"

#define DEPTH_MAX 8

struct walk {
	mirror_fn *each;
	void *ctx;
};

static struct jscan member_of(struct jscan object, struct jscan name)
{
	struct jscan_iter it = jscan_iter(object);
	struct jscan key, value;

	while (jscan_next(&it, &key, &value))
		if (jscan_same_str(key, name))
			return value;
	return (struct jscan){NULL, 0, JSCAN_NONE};
}

static bool has_header_form(struct jscan value)
{
	return value.kind == JSCAN_STRING || value.kind == JSCAN_NUMBER ||
		value.kind == JSCAN_TRUE || value.kind == JSCAN_FALSE;
}

static bool is_token(const char *s)
{
	return *s && !s[text_span(s, "!#$%&'*+-.^_`|~")];
}

/* Only chains of "properties" lead to marked parameters, so that is all we follow. */
static bool walk_properties(
	const struct walk *w, struct jscan schema, struct jscan arguments, int depth)
{
	struct jscan properties, key, property, mark;
	struct jscan_iter it;

	if (depth == DEPTH_MAX || jscan_get(schema, "properties", &properties) != RC_OK)
		return true;
	it = jscan_iter(properties);
	while (jscan_next(&it, &key, &property)) {
		struct jscan value = member_of(arguments, key);
		char suffix[MIRROR_SUFFIX_MAX + 1];

		if (has_header_form(value) && jscan_get(property, "x-mcp-header", &mark) == RC_OK &&
			jscan_str(mark, suffix, sizeof(suffix)) == RC_OK && is_token(suffix) &&
			!w->each(w->ctx, suffix, value))
			return false;
		if (value.kind == JSCAN_OBJECT && !walk_properties(w, property, value, depth + 1))
			return false;
	}
	return true;
}

bool mirror_walk(struct jscan tool, struct jscan arguments, mirror_fn *each, void *ctx)
{
	const struct walk w = {each, ctx};
	struct jscan schema;

	if (arguments.kind != JSCAN_OBJECT || jscan_get(tool, "inputSchema", &schema) != RC_OK)
		return true;
	return walk_properties(&w, schema, arguments, 0);
}
