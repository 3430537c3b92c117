/* An agent's POST: the first line of the input gives the headers, the rest is the body. What is
 * accepted has what the next step needs, and what is refused has a status and a code. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi-app/mcp_local.h"
#include "fcgi-app/mcp_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *echo(void *ctx, const char *name)
{
	(void)name;
	return ctx;
}

static void check(const struct mcp_request *m, const struct mcp_error *why, enum rc rc)
{
	struct jscan v;
	struct buf out;

	if (rc != RC_OK && (why->status < 200 || why->code >= 0 || !why->message))
		abort();
	if (rc == RC_OK && m->kind == MCP_REQUEST &&
		(m->id.kind == JSCAN_NONE || !*m->method ||
			(m->action == MCP_DO_CALL_TOOL && !manifest_tool_ok(m->tool))))
		abort();
	buf_init(&out, 1 << 20);
	if (rc != RC_OK)
		mcp_local_error(&out, m->id, why, "req_1");
	else if (m->kind == MCP_REQUEST)
		mcp_local_initialize(&out, m, NULL, 0);
	if (out.len && jscan_parse((const char *)out.data, out.len, &v) != RC_OK)
		abort();
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char schema[] =
		"{\"inputSchema\":{\"properties\":{\"a\":{\"x-mcp-header\":\"A\"}}}}";
	const uint8_t *newline = size ? memchr(data, '\n', size) : NULL, *body;
	char line[4][128] = {{0}};
	struct mcp_headers h = {.content_type = "application/json"};
	struct mcp_request m;
	struct mcp_error why = {0};
	struct jscan tool, key, element;
	char wrong[96];
	size_t at = 0, field = 0, n = 0;
	enum rc rc;

	if (!newline)
		return 0;
	for (; data + at < newline && field < 4; at++) {
		if (data[at] == '|') {
			field++;
			n = 0;
		} else if (data[at] && n < sizeof(line[0]) - 1) {
			line[field][n++] = (char)data[at];
		}
	}
	h.version = *line[0] ? line[0] : NULL;
	h.method = *line[1] ? line[1] : NULL;
	h.name = *line[2] ? line[2] : NULL;
	h.accept = *line[3] ? line[3] : NULL;
	body = newline + 1;
	rc = mcp_request_read(&h, body, size - (size_t)(body - data), &m, &why);
	check(&m, &why, rc);
	if (rc == RC_OK && m.kind == MCP_BATCH) {
		struct jscan_iter it = jscan_iter(m.message);

		while (jscan_next(&it, &key, &element)) {
			struct mcp_request e;

			rc = mcp_request_element(element, &e, &why);
			check(&e, &why, rc);
		}
	} else if (rc == RC_OK && jscan_parse(schema, sizeof(schema) - 1, &tool) == RC_OK) {
		(void)mcp_params_ok(tool, m.arguments, echo, line[2], wrong, sizeof(wrong));
	}
	return 0;
}
