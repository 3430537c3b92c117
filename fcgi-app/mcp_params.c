/* The part of mcp_request.h that knows tools' schemas: headers that mirror arguments
 * (x-mcp-header). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi-app/mcp_request.h"

#define DEPTH_MAX 8
#define SUFFIX_MAX 64
#define NUMBER_MAX 40
#define VALUE_MAX 8192

struct check {
	mcp_header_fn *get;
	void *ctx;
	char *wrong;
	size_t cap;
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

/* 42 and 42.0 are the same number. */
static bool same_number(struct jscan value, const char *text)
{
	char number[NUMBER_MAX + 1];
	struct jscan v;

	if (jscan_parse(text, strlen(text), &v) != RC_OK || v.kind != JSCAN_NUMBER ||
		v.len != strlen(text) || v.len > NUMBER_MAX || value.len > NUMBER_MAX)
		return false;
	memcpy(number, value.p, value.len);
	number[value.len] = '\0';
	return strtod(number, NULL) == strtod(text, NULL);
}

static bool says(struct jscan value, const char *text)
{
	switch (value.kind) {
	case JSCAN_STRING:
		return jscan_is_str(value, text);
	case JSCAN_NUMBER:
		return same_number(value, text);
	case JSCAN_TRUE:
		return !strcmp(text, "true");
	case JSCAN_FALSE:
		return !strcmp(text, "false");
	default:
		return true; /* null and absent have no header; other kinds can't be marked */
	}
}

static bool has_header_form(struct jscan value)
{
	return value.kind == JSCAN_STRING || value.kind == JSCAN_NUMBER ||
		value.kind == JSCAN_TRUE || value.kind == JSCAN_FALSE;
}

static bool check_header(const struct check *c, const char *suffix, struct jscan value)
{
	char name[sizeof("Mcp-Param-") + SUFFIX_MAX], text[VALUE_MAX + 1];
	const char *header;

	(void)snprintf(name, sizeof(name), "Mcp-Param-%s", suffix);
	header = c->get(c->ctx, name);
	if (header && mcp_header_value(header, text, sizeof(text)) == RC_OK && says(value, text))
		return true;
	(void)snprintf(c->wrong, c->cap, "%s", name);
	return false;
}

/* Only chains of "properties" lead to marked parameters, so that is all we follow. */
static bool check_properties(
	const struct check *c, struct jscan schema, struct jscan arguments, int depth)
{
	struct jscan properties, key, property, mark;
	struct jscan_iter it;

	if (depth == DEPTH_MAX || jscan_get(schema, "properties", &properties) != RC_OK)
		return true;
	it = jscan_iter(properties);
	while (jscan_next(&it, &key, &property)) {
		struct jscan value = member_of(arguments, key);
		char suffix[SUFFIX_MAX + 1];

		/* Letters, digits and dashes alone: CGI folds other characters of header names
		 * together. */
		if (has_header_form(value) && jscan_get(property, "x-mcp-header", &mark) == RC_OK &&
			jscan_str(mark, suffix, sizeof(suffix)) == RC_OK && *suffix &&
			!suffix[strspn(suffix,
				"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				"-")] &&
			!check_header(c, suffix, value))
			return false;
		if (value.kind == JSCAN_OBJECT && !check_properties(c, property, value, depth + 1))
			return false;
	}
	return true;
}

bool mcp_params_ok(struct jscan tool, struct jscan arguments, mcp_header_fn *get, void *ctx,
	char *wrong, size_t cap)
{
	const struct check c = {get, ctx, wrong, cap};
	struct jscan schema;

	if (arguments.kind != JSCAN_OBJECT || jscan_get(tool, "inputSchema", &schema) != RC_OK)
		return true;
	return check_properties(&c, schema, arguments, 0);
}
