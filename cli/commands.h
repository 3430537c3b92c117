/* commands: the table of what airlockctl can do, help made from it, and running one row of it. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include <stddef.h>

#include "cli/args.h"
#include "shared/buf.h"

/* What the program ends with; documented in airlockctl(1). */
enum status {
	STATUS_OK = 0,
	STATUS_REFUSED = 1, /* the server said no, or the tool answered with an error */
	STATUS_USAGE = 2,
	STATUS_UNREACHABLE = 3, /* no answer: DNS, connection, TLS, time-out */
};

struct command {
	const char *group; /* "tenant"; the whole name where verb is NULL */
	const char *verb;
	const char
		*operands; /* as in help: "TENANT KEY_ID"; the last one may be left out: "[TOOL]" */
	int operand_count;
	uint64_t options; /* ARG_BIT()s */
	const char *summary;
	enum status (*run)(const struct args *args);
};
extern const struct command commands[];
extern const size_t command_count;

/* Finds the row that the words name and sets *used to how many words that took. NULL with a
 * sentence in why. */
const struct command *command_find(
	int argc, char *const argv[], int *used, char *why, size_t why_cap);
void command_help(struct buf *out, const struct command *c);
void command_overview(struct buf *out);
/* Shell completion: appends what the last word may become, one a line. */
void command_complete(struct buf *out, int argc, char *const argv[]);
/* The whole program after main(). */
enum status command_main(int argc, char *argv[]);

/* The rows' functions, each in the file named after its group. */
enum status cmd_backup(const struct args *args);
enum status cmd_restore(const struct args *args);
enum status cmd_doctor(const struct args *args);
enum status cmd_init(const struct args *args);
enum status cmd_state_export(const struct args *args);
enum status cmd_status(const struct args *args);
enum status cmd_health(const struct args *args);
enum status cmd_tenant_create(const struct args *args);
enum status cmd_tenant_list(const struct args *args);
enum status cmd_tenant_show(const struct args *args);
enum status cmd_tenant_rename(const struct args *args);
enum status cmd_tenant_keep(const struct args *args);
enum status cmd_tenant_suspend(const struct args *args);
enum status cmd_tenant_resume(const struct args *args);
enum status cmd_tenant_delete(const struct args *args);
enum status cmd_key_create(const struct args *args);
enum status cmd_key_list(const struct args *args);
enum status cmd_key_revoke(const struct args *args);
enum status cmd_enroll_create(const struct args *args);
enum status cmd_enroll_list(const struct args *args);
enum status cmd_enroll_revoke(const struct args *args);
enum status cmd_worker_list(const struct args *args);
enum status cmd_worker_revoke(const struct args *args);
enum status cmd_tool_list(const struct args *args);
enum status cmd_tool_show(const struct args *args);
enum status cmd_tool_pin(const struct args *args);
enum status cmd_tool_unpin(const struct args *args);
enum status cmd_audit_verify(const struct args *args);
enum status cmd_audit_search(const struct args *args);
enum status cmd_audit_tail(const struct args *args);
enum status cmd_audit_export(const struct args *args);
enum status cmd_audit_reindex(const struct args *args);
enum status cmd_call(const struct args *args);

#endif
