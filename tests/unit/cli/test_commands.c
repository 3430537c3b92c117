/* The table of commands, and that help, completion, manual page and docs/cli.md know all of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/api.h"
#include "cli/commands.h"
#include "shared/file.h"

static const struct command *find(const char *a, const char *b, int *used, char why[200])
{
	char *argv[] = {(char *)a, (char *)b};

	return command_find(!a ? 0 : !b ? 1 : 2, argv, used, why, 200);
}

static void commands_are_found_by_their_words(void **state)
{
	char why[200];
	int used = 0;

	(void)state;
	assert_ptr_equal(find("tenant", "create", &used, why)->run, cmd_tenant_create);
	assert_int_equal(used, 2);
	assert_ptr_equal(find("call", "fintech", &used, why)->run, cmd_call);
	assert_int_equal(used, 1);
	assert_null(find(NULL, NULL, &used, why));
	assert_string_equal(why, "a command is needed");
	assert_null(find("tenat", NULL, &used, why));
	assert_string_equal(why, "there is no command 'tenat'; did you mean 'tenant'?");
	assert_null(find("key", "mint", &used, why));
	assert_string_equal(why, "'key' needs one of: create list revoke");
	assert_null(find("key", NULL, &used, why));
}

static void complete(struct buf *out, const char *a, const char *b, const char *c)
{
	char *argv[] = {(char *)a, (char *)b, (char *)c};

	buf_reset(out);
	command_complete(out, !a ? 0 : !b ? 1 : !c ? 2 : 3, argv);
	buf_char(out, '\0');
}

static void completion_offers_what_fits(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	complete(&b, "st", NULL, NULL);
	assert_string_equal((const char *)b.data, "status\nstate\n");
	complete(&b, "key", "", NULL);
	assert_string_equal((const char *)b.data, "create\nlist\nrevoke\n");
	complete(&b, "key", "list", "--j");
	assert_string_equal((const char *)b.data, "--json\n");
	complete(&b, "key", "list", "x");
	assert_string_equal((const char *)b.data, "");
	complete(&b, "nothing", "here", "");
	assert_string_equal((const char *)b.data, "");
	complete(&b, NULL, NULL, NULL);
	assert_non_null(strstr((const char *)b.data, "tenant\n"));
	buf_free(&b);
}

/* In a manual page a minus is written "\\-". */
static void unescape(char *text)
{
	char *to = text;

	for (const char *p = text; *p; p++)
		if (p[0] != '\\' || p[1] != '-')
			*to++ = *p;
	*to = '\0';
}

/* Every command and every option of every command is in this file. */
static void assert_documented(const char *path)
{
	char *text, wanted[100];
	size_t len;

	assert_int_equal(file_read(path, 1 << 20, &text, &len), RC_OK);
	unescape(text);
	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &commands[i];
		snprintf(wanted, sizeof(wanted), "%s%s%s%s%s", c->group, c->verb ? " " : "",
			c->verb ? c->verb : "", *c->operands ? " " : "", c->operands);
		if (!strstr(text, wanted))
			fail_msg("%s does not tell of '%s'", path, wanted);
	}
	for (int i = 0; i < ARG_COUNT; i++) {
		snprintf(wanted, sizeof(wanted), "--%s", arg_rows[i].name);
		if (!strstr(text, wanted))
			fail_msg("%s does not tell of '%s'", path, wanted);
	}
	free(text);
}

static void the_manuals_know_every_command(void **state)
{
	(void)state;
	assert_documented("docs/cli.md");
	assert_documented("conf/man/airlockctl.1");
}

static void help_shows_the_options_of_the_command(void **state)
{
	char why[200];
	struct buf b;
	int used;

	(void)state;
	buf_init(&b, 65536);
	command_help(&b, find("tenant", "delete", &used, why));
	buf_char(&b, '\0');
	assert_non_null(
		strstr((const char *)b.data, "Usage: airlockctl tenant delete TENANT [options]\n"));
	assert_non_null(strstr((const char *)b.data, "  -y, --yes"));
	assert_null(strstr((const char *)b.data, "--ttl"));
	buf_free(&b);
}

static void tenants_are_slugs_or_ids(void **state)
{
	char path[API_PATH_MAX];

	(void)state;
	assert_string_equal(api_slug("fintech"), "fintech");
	assert_string_equal(api_slug("t_fintech"), "fintech");
	assert_null(api_slug("T_fintech"));
	assert_null(api_slug("../x"));
	assert_null(api_slug("t_"));
	assert_null(api_slug(""));
	assert_int_equal(api_item_path("hr", "/keys", "k-1_A", path), STATUS_OK);
	assert_string_equal(path, "/v1/admin/tenants/t_hr/keys/k-1_A");
	assert_int_equal(api_item_path("hr", "/keys", "../../x", path), STATUS_USAGE);
	assert_int_equal(api_item_path("hr", "/keys", "", path), STATUS_USAGE);
	assert_int_equal(api_tenant_path("a b", "", path), STATUS_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_found_by_their_words),
		cmocka_unit_test(completion_offers_what_fits),
		cmocka_unit_test(the_manuals_know_every_command),
		cmocka_unit_test(help_shows_the_options_of_the_command),
		cmocka_unit_test(tenants_are_slugs_or_ids),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
