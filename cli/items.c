#include "cli/items.h"

#include <stdio.h>

enum status items_list(const struct args *args, const struct items *items)
{
	char path[API_PATH_MAX];
	json_t *array;
	struct api api;
	enum status status = api_tenant_path(args->operand[0], items->suffix, path);

	if (status == STATUS_OK)
		status = api_open_admin(args, &api);
	if (status != STATUS_OK)
		return status;
	status = api_list(&api, path, items->member, &array);
	api_close(&api);
	if (status != STATUS_OK)
		return status;
	return api_show_list(args, array, "id", items->columns, items->column_count);
}

enum status items_revoke(const struct args *args, const struct items *items)
{
	char path[API_PATH_MAX];
	json_t *answer;
	struct api api;
	enum status status = api_item_path(args->operand[0], items->suffix, args->operand[1], path);

	if (status == STATUS_OK)
		status = api_open_admin(args, &api);
	if (status != STATUS_OK)
		return status;
	status = api_call(&api, "DELETE", path, NULL, &answer);
	api_close(&api);
	if (status != STATUS_OK)
		return status;
	if (!json_object_get(answer, "id"))
		json_object_set_new(answer, "id", json_string(args->operand[1]));
	return api_show_object(args, answer, "id");
}

enum status items_create(
	const struct args *args, const struct items *items, json_t *body, const char *secret_member)
{
	char path[API_PATH_MAX];
	json_t *answer;
	struct api api;
	enum status status = api_tenant_path(args->operand[0], items->suffix, path);

	if (status == STATUS_OK)
		status = api_open_admin(args, &api);
	if (status != STATUS_OK) {
		json_decref(body);
		return status;
	}
	status = api_call(&api, "POST", path, body, &answer);
	api_close(&api);
	if (status != STATUS_OK)
		return status;
	if (json_object_get(answer, secret_member) && !args_has(args, ARG_QUIET))
		fprintf(stderr, "Keep the %s safe: it is shown this once.\n", secret_member);
	return api_show_object(args, answer, secret_member);
}
