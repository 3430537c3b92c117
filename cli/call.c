#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/mcp.h"
#include "shared/manifest.h"
#include "shared/mem.h"

/* The answer as a whole must fit whatever limits the control plane has been given. */
#define SHOWN_MAX ((size_t)64 * 1024 * 1024)

static json_t *read_arguments(const char *path)
{
	json_error_t error;
	json_t *object;
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");

	if (!in) {
		fprintf(stderr, "airlockctl: can't open %s\n", path);
		return NULL;
	}
	object = json_loadf(in, JSON_REJECT_DUPLICATES, &error);
	if (in != stdin)
		fclose(in);
	if (json_is_object(object))
		return object;
	fprintf(stderr, "airlockctl: --json-args: no JSON object in %s%s%s\n", path,
		object ? "" : ": ", object ? "" : error.text);
	json_decref(object);
	return NULL;
}

static json_t *arguments(const struct args *args)
{
	const char *path = args->value[ARG_JSON_ARGS];
	json_t *object = path ? read_arguments(path) : json_object();
	char why[200];

	for (int i = 0; object && i < args->many_count; i++) {
		if (args->many[i].option != ARG_ARG)
			continue;
		if (mcp_argument(object, args->many[i].value, why, sizeof(why)) != RC_OK) {
			fprintf(stderr, "airlockctl: %s\n", why);
			json_decref(object);
			object = NULL;
		}
	}
	return object;
}

static char *api_key(const struct args *args)
{
	const char *env = getenv("AIRLOCK_API_KEY");

	if (args->value[ARG_KEY_FILE])
		return api_secret_file(args->value[ARG_KEY_FILE]);
	if (env && *env)
		return xstrdup(env);
	fprintf(stderr,
		"airlockctl: an API key is needed: set AIRLOCK_API_KEY or give --key-file\n");
	return NULL;
}

/* A JSON-RPC error: {"error":{"code","message","data":{...}}}, or a problem document. */
static enum status rpc_refused(const json_t *message, const struct httpclient_answer *answer)
{
	const json_t *error = json_object_get(message, "error"),
		     *data = json_object_get(error, "data");
	const char *text = json_string_value(json_object_get(error, "message"));
	const char *code = json_string_value(json_object_get(data, "code"));
	const char *detail = json_string_value(json_object_get(data, "detail"));
	const char *id = json_string_value(json_object_get(data, "request_id"));
	struct buf raw, safe;

	if (!error)
		return api_refused(answer);
	buf_init(&raw, 65536);
	buf_init(&safe, 65536);
	buf_printf(&raw, "airlockctl: refused: %s (%d%s%s)\n", text ? text : "no message",
		answer->status, code ? " " : "", code ? code : "");
	if (detail && (!text || strcmp(text, detail) != 0))
		buf_printf(&raw, "  %s\n", detail);
	if (id || *answer->request_id)
		buf_printf(&raw, "  request id: %s\n", id ? id : answer->request_id);
	buf_char(&raw, '\0');
	if (!raw.failed)
		print_plain(&safe, (const char *)raw.data);
	fwrite(safe.data, 1, safe.len, stderr);
	buf_free(&raw);
	buf_free(&safe);
	return STATUS_REFUSED;
}

static enum status show_result(const struct args *args, const json_t *message)
{
	const json_t *result = json_object_get(message, "result");
	struct buf text, safe;
	bool failed;

	buf_init(&text, SHOWN_MAX);
	failed = mcp_result_text(result, &text);
	if (args_has(args, ARG_JSON)) {
		buf_reset(&text);
		print_json(&text, result);
	} else if (isatty(STDOUT_FILENO) && text.len > 0) {
		buf_init(&safe, SHOWN_MAX);
		buf_char(&text, '\0');
		print_plain(&safe, text.failed ? "" : (const char *)text.data);
		buf_free(&text);
		text = safe;
	}
	api_out(&text);
	return failed ? STATUS_REFUSED : STATUS_OK;
}

static enum status post(
	const struct args *args, const struct api *api, const char *slug, json_t *message)
{
	char url[2048], name[100];
	static const char revision[] = "MCP-Protocol-Version: " MCP_REVISION;
	const char *headers[] = {"Accept: application/json, text/event-stream", revision,
		"Mcp-Method: tools/call", name, NULL};
	struct httpclient_answer answer = {0};
	struct httpclient_request rq = {.method = "POST",
		.url = url,
		.bearer = api->token,
		.headers = headers,
		.content_type = "application/json"};
	char *body = json_dumps(message, JSON_COMPACT);
	json_t *response = NULL;
	enum status status;

	snprintf(url, sizeof(url), "%s/mcp/%s", api->url, slug);
	snprintf(name, sizeof(name), "Mcp-Name: %s", args->operand[1]);
	rq.body = body;
	rq.body_len = strlen(body);
	status = api_send(api, &rq, &answer);
	if (status == STATUS_OK) {
		response = mcp_response(
			answer.content_type, (const char *)answer.body.data, answer.body.len);
		if (answer.status == 200 && json_object_get(response, "result"))
			status = show_result(args, response);
		else
			status = rpc_refused(response, &answer);
	}
	json_decref(response);
	httpclient_answer_free(&answer);
	free(body);
	return status;
}

enum status cmd_call(const struct args *args)
{
	const char *slug = api_slug(args->operand[0]);
	json_t *object, *message;
	struct api api;
	enum status status;

	if (!slug || !manifest_tool_ok(args->operand[1])) {
		fprintf(stderr,
			"airlockctl: a tenant is a slug or t_slug; a tool's name is 1 to 64 "
			"characters of A-Za-z0-9_./-\n");
		return STATUS_USAGE;
	}
	status = api_open(args, 90000, &api);
	if (status != STATUS_OK)
		return status;
	status = STATUS_USAGE;
	api.token = api_key(args);
	object = api.token ? arguments(args) : NULL;
	if (object) {
		message = mcp_request(args->operand[1], object);
		status = post(args, &api, slug, message);
		json_decref(message);
	}
	api_close(&api);
	return status;
}
