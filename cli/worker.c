#include "cli/items.h"

static const struct print_column columns[] = {
	{"ID", "id", PRINT_TEXT},
	{"NAME", "name", PRINT_TEXT},
	{"STATUS", "status", PRINT_TEXT},
	{"VERSION", "version", PRINT_TEXT},
	{"SESSIONS", "sessions", PRINT_COUNT},
	{"TOOLS", "tools", PRINT_COUNT},
	{"MANIFEST", "manifest", PRINT_TEXT},
	{"ENROLLED", "enrolled_at", PRINT_TIME},
	{"LAST SEEN", "last_seen_at", PRINT_TIME},
};
static const struct items workers = {
	"/workers", "workers", columns, sizeof(columns) / sizeof(columns[0])};

enum status cmd_worker_list(const struct args *args)
{
	return items_list(args, &workers);
}

enum status cmd_worker_revoke(const struct args *args)
{
	return items_revoke(args, &workers);
}
