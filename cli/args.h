/* args: the words after a command's name, sorted into operands and options. Pure: prints nothing,
 * reads no environment. Which commands exist is commands.c's business. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"

enum arg_option {
	ARG_HELP,
	ARG_JSON,
	ARG_QUIET,
	ARG_URL,
	ARG_TOKEN_FILE,
	ARG_CA_FILE,
	ARG_TIMEOUT,
	ARG_NAME,
	ARG_TTL,
	ARG_EXPIRES_IN,
	ARG_TOOL,
	ARG_RATE,
	ARG_IDEMPOTENCY_KEY,
	ARG_ARG,
	ARG_JSON_ARGS,
	ARG_KEY_FILE,
	ARG_YES,
	ARG_OUT,
	ARG_FILE,
	ARG_PUBLIC_KEY,
	ARG_EXPECT,
	ARG_FROM,
	ARG_TENANT,
	ARG_ACTOR,
	ARG_OUTCOME,
	ARG_EVENT,
	ARG_SINCE,
	ARG_UNTIL,
	ARG_TEXT,
	ARG_LIMIT,
	ARG_FORMAT,
	ARG_WITH_KEY,
	ARG_FULL,
	ARG_ALL,
	ARG_FINGERPRINT,
	ARG_COUNT,
};
#define ARG_BIT(option) (UINT64_C(1) << (option))

struct arg_row {
	char letter; /* "-q", or 0 */
	const char *name; /* "quiet" */
	const char *value; /* what its value is called in help, or NULL for a flag */
	bool many; /* may be given more than once */
	const char *help;
};
extern const struct arg_row arg_rows[ARG_COUNT];

#define ARGS_OPERANDS_MAX 3
#define ARGS_MANY_MAX 64

struct args {
	const char *operand[ARGS_OPERANDS_MAX];
	int operand_count;
	const char *value[ARG_COUNT]; /* NULL: not given; "" for flags; the last one of those given
					 often */
	struct {
		enum arg_option option;
		const char *value;
	} many[ARGS_MANY_MAX]; /* in the order given */
	int many_count;
};

/* Everything points into argv. allowed is a set of ARG_BIT()s. RC_INVALID with a sentence in why.
 */
enum rc args_parse(int argc, char *const argv[], uint64_t allowed, struct args *out, char *why,
	size_t why_cap) MUST_CHECK;
bool args_has(const struct args *a, enum arg_option option);

/* "90", "90s", "15m", "12h", "30d" as seconds, from 1 s to ten years. RC_INVALID otherwise. */
enum rc args_duration(const char *text, int64_t *seconds) MUST_CHECK;
/* Decimal digits only, 0 to max. */
enum rc args_count(const char *text, int64_t max, int64_t *out) MUST_CHECK;

#endif
