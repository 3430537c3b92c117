#include "cli/mcp.h"

#include <stdio.h>
#include <string.h>

#include "cli/print.h"

#define NAME_MAX_LEN 128
#define PREFIX "io.modelcontextprotocol/"

enum rc mcp_argument(json_t *object, const char *text, char *why, size_t why_cap)
{
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : 0;
	bool is_json = len > 0 && text[len - 1] == ':';
	char name[NAME_MAX_LEN + 1];
	json_error_t error;
	json_t *value;

	if (is_json)
		len--;
	if (len == 0 || len > NAME_MAX_LEN) {
		snprintf(why, why_cap, "--arg is NAME=VALUE or NAME:=JSON");
		return RC_INVALID;
	}
	memcpy(name, text, len);
	name[len] = '\0';
	value = is_json ? json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error)
			: json_string(equals + 1);
	if (!value) {
		snprintf(why, why_cap,
			is_json ? "--arg %s: the value is not valid JSON"
				: "--arg %s: the value is not UTF-8",
			name);
		return RC_INVALID;
	}
	if (json_object_get(object, name)) {
		json_decref(value);
		snprintf(why, why_cap, "--arg %s is given twice", name);
		return RC_INVALID;
	}
	if (json_object_set_new(object, name, value) == 0)
		return RC_OK;
	snprintf(why, why_cap, "the argument's name is not UTF-8");
	return RC_INVALID;
}

json_t *mcp_request(const char *tool, json_t *arguments)
{
	return json_pack("{s:s, s:i, s:s, s:{s:s, s:o, s:{s:s, s:{}, s:{s:s, s:s}}}}", "jsonrpc",
		"2.0", "id", 1, "method", "tools/call", "params", "name", tool, "arguments",
		arguments, "_meta", PREFIX "protocolVersion", MCP_REVISION,
		PREFIX "clientCapabilities", PREFIX "clientInfo", "name", "airlockctl", "version",
		AIRLOCK_VERSION);
}

static bool is_response(const json_t *message)
{
	return json_object_get(message, "result") || json_object_get(message, "error");
}

/* Server-sent events: the data lines of each event, joined; the one that is a response counts. */
static json_t *response_in_events(const char *body, size_t len)
{
	const char *p = body, *end = body + len;
	json_t *message = NULL;
	struct buf data;

	buf_init(&data, len + 1);
	while (p < end && !message) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		size_t line = (size_t)((newline ? newline : end) - p);
		if (line > 0 && p[line - 1] == '\r')
			line--;
		if (line == 0 && data.len > 0) {
			message = json_loadb((const char *)data.data, data.len, 0, NULL);
			if (!is_response(message)) {
				json_decref(message);
				message = NULL;
			}
			buf_reset(&data);
		} else if (line >= 5 && memcmp(p, "data:", 5) == 0) {
			size_t skip = line > 5 && p[5] == ' ' ? 6 : 5;
			if (data.len > 0)
				buf_char(&data, '\n');
			buf_add(&data, p + skip, line - skip);
		}
		p = newline ? newline + 1 : end;
	}
	buf_wipe(&data);
	buf_free(&data);
	return message;
}

json_t *mcp_response(const char *content_type, const char *body, size_t len)
{
	json_t *message;

	if (strncmp(content_type, "text/event-stream", 17) == 0)
		return response_in_events(body, len);
	message = json_loadb(body, len, 0, NULL);
	if (is_response(message))
		return message;
	json_decref(message);
	return NULL;
}

bool mcp_result_text(const json_t *result, struct buf *out)
{
	const json_t *contents = json_object_get(result, "content"), *content;
	size_t i;

	json_array_foreach(contents, i, content)
	{
		const char *text = json_string_value(json_object_get(content, "text"));
		const char *type = json_string_value(json_object_get(content, "type"));
		if (text) {
			buf_str(out, text);
		} else {
			buf_printf(out, "[%s]", type ? type : "content of no type");
		}
		if (out->len == 0 || out->data[out->len - 1] != '\n')
			buf_char(out, '\n');
	}
	return json_is_true(json_object_get(result, "isError"));
}
