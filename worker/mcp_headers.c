#include "worker/mcp_headers.h"

#include <stdlib.h>
#include <string.h>

#include "shared/buf.h"
#include "shared/mem.h"
#include "shared/mirror.h"
#include "shared/text.h"

#define VERSION "2026-07-28"
#define VALUE_MAX 8192 /* more than servers take in a header */

struct sink {
	mcp_headers_fn *put;
	void *ctx;
};

/* A value may hold anything; a header may not. */
static bool fits_a_header(const char *text)
{
	size_t len = strlen(text);

	for (const char *c = text; *c != '\0'; c++)
		if (*c < 0x20 || *c >= 0x7f)
			return false;
	return strncmp(text, "=?base64?", 9) != 0 &&
		(len == 0 || (text[0] != ' ' && text[len - 1] != ' '));
}

static void put(const struct sink *sink, const char *name, const char *suffix, const char *value)
{
	size_t len = strlen(value);
	struct buf b;

	buf_init(&b, TEXT_B64_LEN(VALUE_MAX) + 256);
	buf_printf(&b, "%s%s: ", name, suffix);
	if (fits_a_header(value)) {
		buf_str(&b, value);
	} else {
		char *b64 = xmalloc(TEXT_B64_LEN(len) + 1);

		text_b64((const uint8_t *)value, len, b64);
		buf_printf(&b, "=?base64?%s?=", b64);
		free(b64);
	}
	buf_char(&b, '\0');
	if (!b.failed)
		sink->put(sink->ctx, (const char *)b.data);
	buf_free(&b);
}

/* What can't be said in a header is left out, and the server says that it is missing. */
static void put_value(
	const struct sink *sink, const char *name, const char *suffix, struct jscan value)
{
	char *text;

	if (value.len > VALUE_MAX)
		return;
	if (value.kind == JSCAN_STRING) {
		text = xmalloc(value.len);
		if (jscan_str(value, text, value.len) == RC_OK)
			put(sink, name, suffix, text);
	} else {
		text = xstrndup(value.p, value.len);
		put(sink, name, suffix, text);
	}
	free(text);
}

static bool put_argument(void *ctx, const char *suffix, struct jscan value)
{
	put_value(ctx, "Mcp-Param-", suffix, value);
	return true;
}

const char *mcp_headers_name(const char *method)
{
	if (strcmp(method, "tools/call") == 0 || strcmp(method, "prompts/get") == 0)
		return "name";
	if (strcmp(method, "resources/read") == 0)
		return "uri";
	return strcmp(method, "tasks/get") == 0 || strcmp(method, "tasks/update") == 0 ||
			strcmp(method, "tasks/cancel") == 0
		? "taskId"
		: NULL;
}

void mcp_headers(
	const char *method, struct jscan params, struct jscan tool, mcp_headers_fn *fn, void *ctx)
{
	struct sink sink = {fn, ctx};
	const char *name = mcp_headers_name(method);
	struct jscan v, arguments;

	put(&sink, "MCP-Protocol-Version", "", VERSION);
	put(&sink, "Mcp-Method", "", method);
	if (name != NULL && jscan_get(params, name, &v) == RC_OK && v.kind == JSCAN_STRING)
		put_value(&sink, "Mcp-Name", "", v);
	if (tool.kind == JSCAN_OBJECT && jscan_get(params, "arguments", &arguments) == RC_OK)
		(void)mirror_walk(tool, arguments, put_argument, &sink);
}
