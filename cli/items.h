/* items: what a tenant has lists of (keys, tokens, workers): listing and revoking are the same for
 * all. */
#ifndef CLI_ITEMS_H
#define CLI_ITEMS_H

#include "cli/api.h"

struct items {
	const char *suffix; /* of the path: "/keys" */
	const char *member; /* of the answer: "keys" */
	const struct print_column *columns;
	size_t column_count;
};

enum status items_list(const struct args *args, const struct items *items);
/* DELETE of operand 1. */
enum status items_revoke(const struct args *args, const struct items *items);
/* POST; body is taken over. secret_member is what --quiet prints; a note about it goes to standard
 * error. */
enum status items_create(const struct args *args, const struct items *items, json_t *body,
	const char *secret_member);

#endif
