#include <stdio.h>

#include "cli/items.h"

static const struct print_column columns[] = {
	{"ID", "id", PRINT_TEXT},
	{"NAME", "name", PRINT_TEXT},
	{"STATUS", "status", PRINT_TEXT},
	{"CREATED", "created_at", PRINT_TIME},
	{"EXPIRES", "expires_at", PRINT_TIME},
	{"USED", "used_at", PRINT_TIME},
	{"WORKER", "worker_id", PRINT_TEXT},
};
static const struct items tokens = {
	"/enrollments", "enrollments", columns, sizeof(columns) / sizeof(columns[0])};

enum status cmd_enroll_create(const struct args *args)
{
	const char *name = args->value[ARG_NAME], *ttl = args->value[ARG_TTL];
	json_t *body = json_object();
	int64_t seconds;

	json_object_set_new(body, "name", json_string(name ? name : "worker"));
	if (ttl) {
		if (args_duration(ttl, &seconds) != RC_OK) {
			fprintf(stderr,
				"airlockctl: --ttl is a time such as 15m or 12h, not '%s'\n", ttl);
			json_decref(body);
			return STATUS_USAGE;
		}
		json_object_set_new(body, "ttl_s", json_integer(seconds));
	}
	return items_create(args, &tokens, body, "token");
}

enum status cmd_enroll_list(const struct args *args)
{
	return items_list(args, &tokens);
}

enum status cmd_enroll_revoke(const struct args *args)
{
	return items_revoke(args, &tokens);
}
