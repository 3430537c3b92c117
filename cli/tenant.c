#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/api.h"

enum status cmd_tenant_create(const struct args *args)
{
	const char *slug = api_slug(args->operand[0]);
	json_t *body, *tenant;
	struct api api;
	enum status status;

	if (!slug) {
		fprintf(stderr, "airlockctl: a slug is 1 to 63 characters of a-z, 0-9 and '-'\n");
		return STATUS_USAGE;
	}
	status = api_open_admin(args, &api);
	if (status != STATUS_OK)
		return status;
	body = json_pack("{s:s, s:s}", "slug", slug, "name",
		args->value[ARG_NAME] ? args->value[ARG_NAME] : slug);
	status = api_call(&api, "POST", "/v1/admin/tenants", body, &tenant);
	api_close(&api);
	return status == STATUS_OK ? api_show_object(args, tenant, "id") : status;
}

enum status cmd_tenant_list(const struct args *args)
{
	static const struct print_column columns[] = {
		{"ID", "id", PRINT_TEXT},
		{"SLUG", "slug", PRINT_TEXT},
		{"NAME", "name", PRINT_TEXT},
		{"ORG", "org_id", PRINT_TEXT},
		{"SUSPENDED", "suspended", PRINT_FLAG},
		{"CREATED", "created_at", PRINT_TIME},
	};
	json_t *tenants;
	struct api api;
	enum status status = api_open_admin(args, &api);

	if (status != STATUS_OK)
		return status;
	status = api_list(&api, "/v1/admin/tenants", "tenants", &tenants);
	api_close(&api);
	if (status != STATUS_OK)
		return status;
	return api_show_list(args, tenants, "id", columns, sizeof(columns) / sizeof(columns[0]));
}

/* One request about one tenant; body is taken over. */
static enum status one_tenant(const struct args *args, const char *method, json_t *body)
{
	char path[API_PATH_MAX];
	json_t *tenant;
	struct api api;
	enum status status = api_tenant_path(args->operand[0], "", path);

	if (status == STATUS_OK)
		status = api_open_admin(args, &api);
	if (status != STATUS_OK) {
		json_decref(body);
		return status;
	}
	status = api_call(&api, method, path, body, &tenant);
	api_close(&api);
	if (status != STATUS_OK)
		return status;
	if (!json_object_get(tenant, "id")) /* deleted: there is nothing left to show */
		json_object_set_new(tenant, "id", json_sprintf("t_%s", api_slug(args->operand[0])));
	return api_show_object(args, tenant, "id");
}

enum status cmd_tenant_show(const struct args *args)
{
	return one_tenant(args, "GET", NULL);
}

enum status cmd_tenant_rename(const struct args *args)
{
	json_t *body = json_pack("{s:s}", "name", args->operand[1]);

	if (!body) {
		fprintf(stderr, "airlockctl: the name is not valid UTF-8\n");
		return STATUS_USAGE;
	}
	return one_tenant(args, "PATCH", body);
}

enum status cmd_tenant_keep(const struct args *args)
{
	const char *days = args->operand[1];
	int64_t n;

	if (strcmp(days, "default") == 0)
		return one_tenant(args, "PATCH", json_pack("{s:n}", "audit_keep_days"));
	if (args_count(days, 36500, &n) != RC_OK) {
		fprintf(stderr,
			"airlockctl: give 'default', 0 (for ever) or a number of days up to "
			"36500\n");
		return STATUS_USAGE;
	}
	return one_tenant(args, "PATCH", json_pack("{s:I}", "audit_keep_days", (json_int_t)n));
}

enum status cmd_tenant_suspend(const struct args *args)
{
	return one_tenant(args, "PATCH", json_pack("{s:b}", "suspended", 1));
}

enum status cmd_tenant_resume(const struct args *args)
{
	return one_tenant(args, "PATCH", json_pack("{s:b}", "suspended", 0));
}

/* The operator types the slug; anything else keeps the tenant. */
static bool confirmed(const char *tenant)
{
	const char *slug = api_slug(tenant);
	char line[100];

	if (!slug)
		return true; /* refused as such in a moment */
	if (!isatty(STDIN_FILENO)) {
		fprintf(stderr,
			"airlockctl: deleting is for ever; give --yes where nobody can be asked\n");
		return false;
	}
	fprintf(stderr,
		"This deletes tenant %s with its API keys, workers and tokens.\nType %s to go on: ",
		slug, slug);
	if (!fgets(line, sizeof(line), stdin))
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	if (strcmp(line, slug) == 0)
		return true;
	fprintf(stderr, "airlockctl: nothing was deleted\n");
	return false;
}

enum status cmd_tenant_delete(const struct args *args)
{
	if (!args_has(args, ARG_YES) && !confirmed(args->operand[0]))
		return STATUS_USAGE;
	return one_tenant(args, "DELETE", NULL);
}
