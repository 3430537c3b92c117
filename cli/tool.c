#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "shared/jscan.h"
#include "shared/manifest.h"

#define SHOWN_MAX ((size_t)16 * 1024 * 1024)
#define FINGERPRINT_SHOWN 19

static const struct print_column columns[] = {
	{"NAME", "name", PRINT_TEXT},
	{"STATE", "state", PRINT_TEXT},
	{"WITHHELD", "withheld", PRINT_FLAG},
	{"FINGERPRINT", "fingerprint", PRINT_TEXT},
	{"PINNED", "pinned_at", PRINT_TIME},
	{"BY", "pinned_by", PRINT_TEXT},
	{"DIFFERS ON", "differs_on", PRINT_COUNT},
};
/* As much of a fingerprint as a table has room for; --json and show have all of it. */
static void shorten_fingerprints(json_t *tools)
{
	json_t *tool;
	size_t i;

	json_array_foreach(tools, i, tool)
	{
		const char *text = json_string_value(json_object_get(tool, "fingerprint"));

		if (text && strlen(text) > FINGERPRINT_SHOWN)
			json_object_set_new(tool, "fingerprint",
				json_sprintf("%.*s...", FINGERPRINT_SHOWN, text));
	}
}

enum status cmd_tool_list(const struct args *args)
{
	char path[API_PATH_MAX];
	json_t *tools;
	struct api api;
	enum status status = api_tenant_path(args->operand[0], "/tools", path);

	if (status == STATUS_OK)
		status = api_open_admin(args, &api);
	if (status != STATUS_OK)
		return status;
	status = api_list(&api, path, "tools", &tools);
	api_close(&api);
	if (status != STATUS_OK)
		return status;
	if (!args_has(args, ARG_JSON))
		shorten_fingerprints(tools);
	return api_show_list(args, tools, "name", columns, sizeof(columns) / sizeof(columns[0]));
}

/* The tool that is meant; NULL, printed, when it is none. */
static const char *tool_name(const struct args *args)
{
	if (args->operand_count < 2) {
		if (!args_has(args, ARG_ALL))
			fprintf(stderr, "airlockctl: name a tool, or give --all\n");
		return NULL;
	}
	if (args_has(args, ARG_ALL)) {
		fprintf(stderr, "airlockctl: give a tool or --all, not both\n");
		return NULL;
	}
	if (manifest_tool_ok(args->operand[1]))
		return args->operand[1];
	fprintf(stderr, "airlockctl: a tool's name is 1 to 64 of A-Z a-z 0-9 _ . / -\n");
	return NULL;
}

static bool means_all(const struct args *args)
{
	return args->operand_count < 2 && args_has(args, ARG_ALL);
}

/* Names of tools need no escaping in a query. */
static enum status tool_path(
	const struct args *args, const char *suffix, const char *tool, char path[API_PATH_MAX])
{
	char tail[160];

	(void)snprintf(tail, sizeof(tail), "%s?%s%s", suffix, tool ? "tool=" : "all=true",
		tool ? tool : "");
	return api_tenant_path(args->operand[0], tail, path);
}

static enum status ask(
	const struct args *args, const char *method, const char *path, json_t *body, json_t **out)
{
	struct api api;
	enum status status = api_open_admin(args, &api);

	if (status != STATUS_OK) {
		json_decref(body);
		return status;
	}
	status = api_call(&api, method, path, body, out);
	api_close(&api);
	return status;
}

/* --- show ------------------------------------------------------------------------------- */

static void put_member(struct buf *out, const char *sign, const char *definition, const char *name)
{
	struct jscan whole, v;
	char *text;
	struct buf b;

	if (!definition || jscan_parse(definition, strlen(definition), &whole) != RC_OK ||
		jscan_get(whole, name, &v) != RC_OK)
		return;
	buf_init(&b, SHOWN_MAX);
	buf_add(&b, v.p, v.len);
	text = buf_steal(&b);
	buf_printf(out, "%s %s: ", sign, name);
	print_plain(out, text ? text : "");
	buf_char(out, '\n');
	free(text);
}

/* What is new (+) and what was pinned (-), member by member. */
static void put_changes(struct buf *out, const json_t *tool)
{
	const char *now = json_string_value(json_object_get(tool, "definition"));
	const char *pinned = json_string_value(json_object_get(tool, "pinned_definition"));
	const json_t *name;
	size_t i;

	json_array_foreach(json_object_get(tool, "changes"), i, name)
	{
		put_member(out, "-", pinned, json_string_value(name));
		put_member(out, "+", now, json_string_value(name));
	}
}

static enum status show(const struct args *args, json_t *tool)
{
	const char *state = json_string_value(json_object_get(tool, "state"));
	struct buf out;
	json_t *brief;

	if (args_has(args, ARG_JSON))
		return api_show_object(args, tool, "fingerprint");
	brief = json_copy(tool);
	if (state && strcmp(state, "changed") == 0)
		json_object_del(brief, "definition");
	if (state && strcmp(state, "gone") != 0)
		json_object_del(brief, "pinned_definition");
	buf_init(&out, SHOWN_MAX);
	print_object(&out, brief);
	put_changes(&out, tool);
	api_out(&out);
	json_decref(brief);
	json_decref(tool);
	return STATUS_OK;
}

enum status cmd_tool_show(const struct args *args)
{
	char path[API_PATH_MAX];
	const char *tool = tool_name(args);
	json_t *answer;
	enum status status;

	if (!tool)
		return STATUS_USAGE;
	status = tool_path(args, "/tools/definition", tool, path);
	if (status == STATUS_OK)
		status = ask(args, "GET", path, NULL, &answer);
	return status == STATUS_OK ? show(args, answer) : status;
}

/* --- pin, unpin -------------------------------------------------------------------------- */

enum status cmd_tool_pin(const struct args *args)
{
	const char *fingerprint = args->value[ARG_FINGERPRINT], *tool = tool_name(args);
	char path[API_PATH_MAX];
	json_t *body, *answer;
	enum status status;

	if (!tool && !means_all(args))
		return STATUS_USAGE;
	if (!tool && fingerprint) {
		fprintf(stderr, "airlockctl: --fingerprint is that of one tool\n");
		return STATUS_USAGE;
	}
	status = api_tenant_path(args->operand[0], "/tools/pins", path);
	if (status != STATUS_OK)
		return status;
	body = json_object();
	if (tool)
		json_object_set_new(body, "tool", json_string(tool));
	else
		json_object_set_new(body, "all", json_true());
	if (fingerprint)
		json_object_set_new(body, "fingerprint", json_string(fingerprint));
	status = ask(args, "POST", path, body, &answer);
	return status == STATUS_OK ? api_show_object(args, answer, "pinned") : status;
}

enum status cmd_tool_unpin(const struct args *args)
{
	const char *tool = tool_name(args);
	char path[API_PATH_MAX];
	json_t *answer;
	enum status status;

	if (!tool && !means_all(args))
		return STATUS_USAGE;
	status = tool_path(args, "/tools/pins", tool, path);
	if (status == STATUS_OK)
		status = ask(args, "DELETE", path, NULL, &answer);
	if (status != STATUS_OK)
		return status;
	json_object_set_new(answer, "unpinned", json_string(tool ? tool : "all"));
	return api_show_object(args, answer, "unpinned");
}
