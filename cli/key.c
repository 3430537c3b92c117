#include <stdio.h>

#include "cli/items.h"

static const struct print_column columns[] = {
	{"ID", "id", PRINT_TEXT},
	{"NAME", "name", PRINT_TEXT},
	{"PREFIX", "prefix", PRINT_TEXT},
	{"TOOLS", "tools", PRINT_LIST},
	{"CREATED", "created_at", PRINT_TIME},
	{"LAST USED", "last_used_at", PRINT_TIME},
	{"EXPIRES", "expires_at", PRINT_TIME},
	{"REVOKED", "revoked_at", PRINT_FLAG},
};
static const struct items keys = {"/keys", "keys", columns, sizeof(columns) / sizeof(columns[0])};

static json_t *tools(const struct args *args)
{
	json_t *array = json_array();

	for (int i = 0; i < args->many_count; i++)
		if (args->many[i].option == ARG_TOOL)
			json_array_append_new(array, json_string(args->many[i].value));
	return array;
}

enum status cmd_key_create(const struct args *args)
{
	const char *name = args->value[ARG_NAME], *rate = args->value[ARG_RATE];
	const char *expires = args->value[ARG_EXPIRES_IN];
	json_t *body = json_object();
	int64_t n;

	json_object_set_new(body, "name", json_string(name ? name : "airlockctl"));
	if (expires) {
		if (args_duration(expires, &n) != RC_OK) {
			fprintf(stderr,
				"airlockctl: --expires-in is a time such as 12h or 30d, not '%s'\n",
				expires);
			goto usage;
		}
		json_object_set_new(body, "expires_in_s", json_integer(n));
	}
	if (rate) {
		if (args_count(rate, 1000000, &n) != RC_OK) {
			fprintf(stderr,
				"airlockctl: --rate is a number from 0 to 1000000, not '%s'\n",
				rate);
			goto usage;
		}
		json_object_set_new(body, "rate_per_minute", json_integer(n));
	}
	if (args_has(args, ARG_TOOL))
		json_object_set_new(body, "tools", tools(args));
	return items_create(args, &keys, body, "key");
usage:
	json_decref(body);
	return STATUS_USAGE;
}

enum status cmd_key_list(const struct args *args)
{
	return items_list(args, &keys);
}

enum status cmd_key_revoke(const struct args *args)
{
	return items_revoke(args, &keys);
}
