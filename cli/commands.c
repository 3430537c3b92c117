#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

#include "shared/text.h"

#define ANY (ARG_BIT(ARG_HELP))
#define REMOTE \
	(ANY | ARG_BIT(ARG_URL) | ARG_BIT(ARG_CA_FILE) | ARG_BIT(ARG_TIMEOUT) | ARG_BIT(ARG_JSON))
#define ADMIN (REMOTE | ARG_BIT(ARG_TOKEN_FILE) | ARG_BIT(ARG_QUIET))
#define CREATE (ADMIN | ARG_BIT(ARG_NAME) | ARG_BIT(ARG_IDEMPOTENCY_KEY))
#define B(option) ARG_BIT(ARG_##option)
#define ADMIN_FILE (ANY | B(URL) | B(CA_FILE) | B(TIMEOUT) | B(TOKEN_FILE))
#define FOLLOW (B(TENANT) | B(ACTOR) | B(TOOL) | B(OUTCOME) | B(EVENT) | B(TEXT))
#define FILTER \
	(B(TENANT) | B(ACTOR) | B(TOOL) | B(OUTCOME) | B(EVENT) | B(SINCE) | B(UNTIL) | B(TEXT))

const struct command commands[] = {
	{"init", NULL, "", 0, ANY | B(JSON),
		"Make what a new state volume lacks, offline; print the paths", cmd_init},
	{"status", NULL, "", 0, ADMIN, "Show versions, uptime, disk and queues", cmd_status},
	{"doctor", NULL, "", 0, ANY | B(JSON) | B(FULL) | B(CA_FILE) | B(TIMEOUT),
		"Look for what is wrong with this control plane, and say what to do", cmd_doctor},
	{"backup", NULL, "FILE", 1, ANY | B(JSON) | B(QUIET) | B(WITH_KEY),
		"Write the whole state to one file while the daemons run; read it back",
		cmd_backup},
	{"restore", NULL, "FILE", 1, ANY | B(JSON) | B(QUIET),
		"Make an empty state what a backup says, once it is proved whole", cmd_restore},
	{"health", NULL, "", 0, REMOTE, "Ask /health", cmd_health},
	{"tenant", "create", "SLUG", 1, CREATE, "Create a tenant", cmd_tenant_create},
	{"tenant", "list", "", 0, ADMIN, "List the tenants", cmd_tenant_list},
	{"tenant", "show", "TENANT", 1, ADMIN, "Show one tenant", cmd_tenant_show},
	{"tenant", "rename", "TENANT NAME", 2, ADMIN, "Give a tenant another name; its slug stays",
		cmd_tenant_rename},
	{"tenant", "keep", "TENANT DAYS", 2, ADMIN,
		"Say how long the audit log keeps rows about a tenant's use", cmd_tenant_keep},
	{"tenant", "suspend", "TENANT", 1, ADMIN, "Refuse a tenant's calls and tunnels from now on",
		cmd_tenant_suspend},
	{"tenant", "resume", "TENANT", 1, ADMIN, "End a suspension", cmd_tenant_resume},
	{"tenant", "delete", "TENANT", 1, ADMIN | B(YES),
		"Delete a tenant with its keys and workers", cmd_tenant_delete},
	{"key", "create", "TENANT", 1, CREATE | B(EXPIRES_IN) | B(TOOL) | B(RATE),
		"Mint an API key for agents; it is shown once", cmd_key_create},
	{"key", "list", "TENANT", 1, ADMIN, "List a tenant's API keys", cmd_key_list},
	{"key", "revoke", "TENANT KEY_ID", 2, ADMIN, "Revoke an API key from the next request on",
		cmd_key_revoke},
	{"enroll-token", "create", "TENANT", 1, CREATE | B(TTL),
		"Mint a token with which one worker enrolls; it is shown once", cmd_enroll_create},
	{"enroll-token", "list", "TENANT", 1, ADMIN, "List a tenant's enrollment tokens",
		cmd_enroll_list},
	{"enroll-token", "revoke", "TENANT TOKEN_ID", 2, ADMIN, "Revoke an enrollment token",
		cmd_enroll_revoke},
	{"worker", "list", "TENANT", 1, ADMIN, "List a tenant's workers", cmd_worker_list},
	{"worker", "revoke", "TENANT WORKER_ID", 2, ADMIN,
		"Revoke a worker; its tunnel drops at once", cmd_worker_revoke},
	{"tool", "list", "TENANT", 1, ADMIN,
		"List a tenant's tools: pinned, changed since, new, gone", cmd_tool_list},
	{"tool", "show", "TENANT TOOL", 2, ADMIN & ~B(QUIET),
		"Show one tool's definition, and how it differs from what was pinned",
		cmd_tool_show},
	{"tool", "pin", "TENANT [TOOL]", 2,
		(ADMIN & ~B(QUIET)) | B(ALL) | B(FINGERPRINT) | B(IDEMPOTENCY_KEY),
		"Pin what a tool is now, or approve what it has become", cmd_tool_pin},
	{"tool", "unpin", "TENANT [TOOL]", 2, (ADMIN & ~B(QUIET)) | B(ALL),
		"Forget what a tool was pinned to", cmd_tool_unpin},
	{"call", NULL, "TENANT TOOL", 2, REMOTE | B(ARG) | B(JSON_ARGS) | B(KEY_FILE),
		"Call a tool as an agent does (MCP), with an API key", cmd_call},
	{"audit", "verify", "", 0, ANY | B(JSON) | B(FILE) | B(PUBLIC_KEY) | B(EXPECT) | B(FROM),
		"Prove that nothing in the audit log was changed, dropped or reordered, offline",
		cmd_audit_verify},
	{"audit", "search", "", 0, ADMIN | FILTER | B(LIMIT), "Search the audit log, newest first",
		cmd_audit_search},
	{"audit", "tail", "", 0, (ADMIN_FILE & ~B(TIMEOUT)) | FOLLOW | B(FROM),
		"Print rows of the audit log as they come", cmd_audit_tail},
	{"audit", "export", "", 0, ADMIN_FILE | FILTER | B(FORMAT) | B(OUT),
		"Write rows of the audit log, oldest first, as lines of JSON or CSV",
		cmd_audit_export},
	{"audit", "reindex", "", 0, ANY | B(QUIET),
		"Make the audit log's search index anew, on the state volume", cmd_audit_reindex},
	{"state", "export", "", 0, ANY | B(OUT),
		"Write tenants, key hashes, worker keys and pins as state YAML, offline",
		cmd_state_export},
};
const size_t command_count = sizeof(commands) / sizeof(commands[0]);

static void nearest_group(const char *word, char *why, size_t why_cap)
{
	const char *names[sizeof(commands) / sizeof(commands[0])];
	const char *near;

	for (size_t i = 0; i < command_count; i++)
		names[i] = commands[i].group;
	near = text_nearest(word, names, command_count);
	if (near)
		snprintf(why, why_cap, "there is no command '%.32s'; did you mean '%s'?", word,
			near);
	else
		snprintf(why, why_cap, "there is no command '%.32s'", word);
}

/* "tenant needs one of: create, list, ..." */
static void verbs_of(const char *group, char *why, size_t why_cap)
{
	size_t used = (size_t)snprintf(why, why_cap, "'%s' needs one of:", group);

	for (size_t i = 0; i < command_count && used < why_cap; i++)
		if (strcmp(commands[i].group, group) == 0)
			used += (size_t)snprintf(
				why + used, why_cap - used, " %s", commands[i].verb);
}

const struct command *command_find(
	int argc, char *const argv[], int *used, char *why, size_t why_cap)
{
	bool group = false;

	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &commands[i];
		if (argc == 0 || strcmp(c->group, argv[0]) != 0)
			continue;
		group = true;
		if (!c->verb || (argc > 1 && strcmp(c->verb, argv[1]) == 0)) {
			*used = c->verb ? 2 : 1;
			return c;
		}
	}
	if (argc == 0)
		snprintf(why, why_cap, "a command is needed");
	else if (group)
		verbs_of(argv[0], why, why_cap);
	else
		nearest_group(argv[0], why, why_cap);
	return NULL;
}

/* Appends text broken into lines that start at column indent. */
static void wrap(struct buf *out, const char *text, int indent)
{
	const int width = 96;
	int column = indent;

	while (*text) {
		int len = (int)strcspn(text, " ");
		if (column > indent && column + 1 + len > width) {
			buf_printf(out, "\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			buf_char(out, ' ');
			column++;
		}
		buf_add(out, text, (size_t)len);
		column += len;
		text += len;
		text += *text == ' ';
	}
	buf_char(out, '\n');
}

void command_help(struct buf *out, const struct command *c)
{
	buf_printf(out, "Usage: airlockctl %s%s%s%s%s [options]\n\n%s.\n\nOptions:\n", c->group,
		c->verb ? " " : "", c->verb ? c->verb : "", *c->operands ? " " : "", c->operands,
		c->summary);
	for (int i = 0; i < ARG_COUNT; i++) {
		const struct arg_row *row = &arg_rows[i];
		char names[48], letter[5] = "    ";
		if (!(c->options & ARG_BIT(i)))
			continue;
		if (row->letter)
			snprintf(letter, sizeof(letter), "-%c, ", row->letter);
		snprintf(names, sizeof(names), "%s--%s%s%s", letter, row->name,
			row->value ? " " : "", row->value ? row->value : "");
		buf_printf(out, "  %-28s ", names);
		wrap(out, row->help, 31);
	}
	if (strstr(c->operands, "TENANT"))
		buf_str(out, "\nTENANT is a slug (fintech) or an id (t_fintech).\n");
}

void command_overview(struct buf *out)
{
	buf_str(out, "Usage: airlockctl COMMAND [operands] [options]\n\nCommands:\n");
	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &commands[i];
		char name[64];
		snprintf(name, sizeof(name), "%s%s%s%s%s", c->group, c->verb ? " " : "",
			c->verb ? c->verb : "", *c->operands ? " " : "", c->operands);
		buf_printf(out, "  %-36s %s\n", name, c->summary);
	}
	buf_str(out,
		"\n`airlockctl COMMAND --help` tells the options. Exit status: 0 done, 1 refused, "
		"2 wrong usage, 3 unreachable.\n");
}

static void complete_words(struct buf *out, int argc, char *const argv[], const char *partial)
{
	const char *last = "";

	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &commands[i];
		const char *word = argc == 0 ? c->group : c->verb;
		if (argc == 1 && strcmp(c->group, argv[0]) != 0)
			continue;
		/* Rows of one group stand together. */
		if (!word || strncmp(word, partial, strlen(partial)) != 0 ||
			strcmp(word, last) == 0)
			continue;
		buf_printf(out, "%s\n", word);
		last = word;
	}
}

void command_complete(struct buf *out, int argc, char *const argv[])
{
	const char *partial = argc > 0 ? argv[argc - 1] : "";
	const struct command *c;
	char why[200];
	int used = 0;

	c = command_find(argc - 1 > 0 ? argc - 1 : 0, argv, &used, why, sizeof(why));
	if (!c) {
		if (argc <= 2)
			complete_words(out, argc > 0 ? argc - 1 : 0, argv, partial);
		return;
	}
	if (strncmp(partial, "-", 1) != 0)
		return;
	for (int i = 0; i < ARG_COUNT; i++) {
		char name[40];
		snprintf(name, sizeof(name), "--%s", arg_rows[i].name);
		if ((c->options & ARG_BIT(i)) && strncmp(name, partial, strlen(partial)) == 0)
			buf_printf(out, "%s\n", name);
	}
}

static enum status usage(const char *why, const struct command *c)
{
	fprintf(stderr, "airlockctl: %s\n", why);
	if (c)
		fprintf(stderr, "Try: airlockctl %s%s%s --help\n", c->group, c->verb ? " " : "",
			c->verb ? c->verb : "");
	else
		fprintf(stderr, "Try: airlockctl --help\n");
	return STATUS_USAGE;
}

static enum status show(struct buf *text)
{
	fwrite(text->data, 1, text->len, stdout);
	buf_free(text);
	return STATUS_OK;
}

static enum status run(const struct command *c, int argc, char *const argv[])
{
	struct args args;
	struct buf text;
	char why[200];

	if (args_parse(argc, argv, c->options, &args, why, sizeof(why)) != RC_OK)
		return usage(why, c);
	if (args_has(&args, ARG_HELP)) {
		buf_init(&text, 65536);
		command_help(&text, c);
		return show(&text);
	}
	if (args.operand_count != c->operand_count &&
		(!strchr(c->operands, '[') || args.operand_count != c->operand_count - 1)) {
		snprintf(why, sizeof(why),
			*c->operands ? "this command needs: %s"
				     : "this command takes no operands%s",
			c->operands);
		return usage(why, c);
	}
	return c->run(&args);
}

enum status command_main(int argc, char *argv[])
{
	const struct command *c;
	struct buf text;
	char why[200];
	int used = 0;

	buf_init(&text, 65536);
	if (argc > 1 && strcmp(argv[1], "__complete") == 0) {
		command_complete(&text, argc - 2, argv + 2);
		return show(&text);
	}
	if (argc > 1 &&
		(strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
			strcmp(argv[1], "help") == 0)) {
		command_overview(&text);
		return show(&text);
	}
	if (argc > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
		printf("airlockctl %s\n", AIRLOCK_VERSION);
		return STATUS_OK;
	}
	c = command_find(argc - 1, argv + 1, &used, why, sizeof(why));
	if (!c)
		return usage(why, NULL);
	return run(c, argc - 1 - used, argv + 1 + used);
}
