/* The part of mcp_request.h that knows tools' schemas: headers that mirror arguments
 * (x-mcp-header). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi-app/mcp_request.h"
#include "shared/mirror.h"
#include "shared/text.h"

#define NUMBER_MAX 40
#define VALUE_MAX 8192

struct check {
	mcp_header_fn *get;
	void *ctx;
	char *wrong;
	size_t cap;
};

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

static bool check_header(void *ctx, const char *suffix, struct jscan value)
{
	const struct check *c = ctx;
	char name[sizeof("Mcp-Param-") + MIRROR_SUFFIX_MAX], text[VALUE_MAX + 1];
	const char *header;

	/* CGI folds other characters of header names together. */
	if (suffix[text_span(suffix, "-")])
		return true;
	(void)snprintf(name, sizeof(name), "Mcp-Param-%s", suffix);
	header = c->get(c->ctx, name);
	if (header && mcp_header_value(header, text, sizeof(text)) == RC_OK && says(value, text))
		return true;
	(void)snprintf(c->wrong, c->cap, "%s", name);
	return false;
}

bool mcp_params_ok(struct jscan tool, struct jscan arguments, mcp_header_fn *get, void *ctx,
	char *wrong, size_t cap)
{
	struct check c = {get, ctx, wrong, cap};

	return mirror_walk(tool, arguments, check_header, &c);
}
