/* Whatever bytes an agent sends, the worker's MCP server answers with one valid JSON-RPC response
 * or, to a notification, with nothing. The first byte chooses the era and the size of the largest
 * result. */
#include <stdlib.h>
#include <string.h>

#include "worker/mcp_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void list(void *ctx, struct buf *out)
{
	(void)ctx;
	buf_str(out, "[{\"name\":\"t\"}]");
}

/* Answers with what it was asked, so that the agent's bytes are in the answer too. */
static void call(void *ctx, const struct tool_call *call, struct tool_result *out)
{
	(void)ctx;
	out->outcome = strcmp(call->name, "t") == 0 ? TOOL_OK : TOOL_UNKNOWN;
	buf_str(&out->json, "{\"echo\":");
	if (call->arguments.kind == JSCAN_NONE)
		buf_str(&out->json, "null");
	else
		buf_add(&out->json, call->arguments.p, call->arguments.len);
	buf_char(&out->json, '}');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mcp_server server = {.name = "n",
		.version = "1",
		.engine = "sqlite",
		.backend = {.list = list, .call = call}};
	atomic_bool cancelled = false;
	struct mcp_answer answer;
	struct jscan root;
	struct buf out;

	if (size == 0)
		return 0;
	struct mcp_request rq = {.text = (const char *)data + 1,
		.len = size - 1,
		.era = (enum mcp_era)(data[0] % 3),
		.cancelled = &cancelled};
	buf_init(&out, (data[0] & 0x80) != 0 ? 1 << 20 : size + 512);
	mcp_server_handle(&server, &rq, &out, &answer);
	if (out.failed || answer.outcome == NULL)
		abort();
	if (out.len > 0 && jscan_parse((const char *)out.data, out.len, &root) != RC_OK)
		abort();
	buf_free(&out);
	return 0;
}
