#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "shared/crypto.h"
#include "tests/unit/shared/store_fixture.h"

static bool pin(struct db *db, const char *tenant_id, const char *tool, const char *definition)
{
	struct audit_record who = fixture_who();
	bool changed = false;

	assert_int_equal(
		tool_pin_put(db, tenant_id, tool, definition, strlen(definition), &who, &changed),
		RC_OK);
	return changed;
}

static void fingerprint_of(const char *definition, char out[TOOLSET_FINGERPRINT_LEN + 1])
{
	uint8_t hash[CRYPTO_HASH_LEN];

	toolset_fingerprint(definition, strlen(definition), hash);
	toolset_fingerprint_text(hash, out);
}

static void a_pin_comes_back_with_who_and_what(void **state)
{
	struct db *db = fixture_of(state)->db;
	char fingerprint[TOOLSET_FINGERPRINT_LEN + 1], want[200];
	struct audit_record r;
	struct tool_pin p;

	fixture_tenant(db, "acme");
	assert_true(pin(db, "t_acme", "a/b", "{\"name\":\"a/b\"}"));
	fingerprint_of("{\"name\":\"a/b\"}", fingerprint);
	assert_int_equal(tool_pin_get(db, "t_acme", "a/b", &p), RC_OK);
	assert_string_equal(p.tool, "a/b");
	assert_string_equal(p.definition, "{\"name\":\"a/b\"}");
	assert_string_equal(p.fingerprint, fingerprint);
	assert_string_equal(p.pinned_by, "operator");
	assert_true(p.pinned_at > 0);
	tool_pin_clear(&p);
	assert_int_equal(tool_pin_get(db, "t_acme", "a", &p), RC_NOTFOUND);
	assert_int_equal(fixture_records(db, "tool.pin", &r), 1);
	assert_string_equal(r.tool, "a/b");
	assert_string_equal(r.target, "a/b");
	(void)snprintf(want, sizeof(want), "{\"fingerprint\":\"%s\"}", fingerprint);
	assert_string_equal(r.change, want);
}

static void pinning_what_is_pinned_changes_nothing(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record r;

	fixture_tenant(db, "acme");
	assert_true(pin(db, "t_acme", "a", "{1}"));
	assert_false(pin(db, "t_acme", "a", "{1}"));
	assert_int_equal(fixture_records(db, "tool.pin", NULL), 1);
	assert_true(pin(db, "t_acme", "a", "{2}"));
	assert_int_equal(fixture_records(db, "tool.pin", &r), 2);
	assert_non_null(strstr(r.change, "\"before\":\"sha256:"));
}

static void bad_pins_are_refused(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who();
	bool changed;

	assert_int_equal(tool_pin_put(db, "t_none", "a", "{}", 2, &who, &changed), RC_NOTFOUND);
	fixture_tenant(db, "acme");
	assert_int_equal(tool_pin_put(db, "t_acme", "a b", "{}", 2, &who, &changed), RC_INVALID);
	assert_int_equal(tool_pin_put(db, "t_acme", "", "{}", 2, &who, &changed), RC_INVALID);
	assert_int_equal(fixture_records(db, "tool.pin", NULL), 0);
}

static void there_is_an_end_to_pins(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who();
	char name[16];
	bool changed;

	fixture_tenant(db, "acme");
	fixture_tenant(db, "other");
	assert_int_equal(db_begin(db), RC_OK);
	for (int i = 0; i < TOOL_PINS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "t%d", i);
		assert_true(pin(db, "t_acme", name, "{}"));
	}
	assert_int_equal(db_commit(db), RC_OK);
	assert_int_equal(tool_pin_put(db, "t_acme", "more", "{}", 2, &who, &changed), RC_LIMIT);
	assert_true(pin(db, "t_acme", "t0", "{1}"));
	assert_true(pin(db, "t_other", "more", "{}"));
}

static void lists_are_by_name_and_a_tenants_own(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct tool_pin *list;
	struct toolset set;
	size_t count;

	fixture_tenant(db, "acme");
	fixture_tenant(db, "other");
	pin(db, "t_acme", "b", "{}");
	pin(db, "t_acme", "B", "{}");
	pin(db, "t_acme", "a", "{}");
	pin(db, "t_other", "c", "{}");
	assert_int_equal(tool_pin_list(db, "t_acme", &list, &count), RC_OK);
	assert_int_equal(count, 3);
	assert_string_equal(list[0].tool, "B");
	assert_string_equal(list[1].tool, "a");
	assert_string_equal(list[2].tool, "b");
	free(list);
	assert_int_equal(tool_pin_set(db, "t_acme", &set), RC_OK);
	assert_int_equal(set.count, 3);
	assert_non_null(toolset_find(&set, "B"));
	assert_null(toolset_find(&set, "c"));
	toolset_free(&set);
	assert_int_equal(tool_pin_set(db, "t_nobody", &set), RC_OK);
	assert_int_equal(set.count, 0);
}

static void a_pin_is_removed_once_and_goes_with_its_tenant(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who();
	struct tool_pin p;

	fixture_tenant(db, "acme");
	fixture_tenant(db, "other");
	pin(db, "t_acme", "a", "{}");
	pin(db, "t_acme", "b", "{}");
	pin(db, "t_acme", "c", "{}");
	pin(db, "t_other", "a", "{}");
	assert_int_equal(tool_pin_remove(db, "t_acme", "a", &who), RC_OK);
	assert_int_equal(tool_pin_remove(db, "t_acme", "a", &who), RC_NOTFOUND);
	assert_int_equal(fixture_records(db, "tool.unpin", NULL), 1);
	assert_int_equal(tool_pin_remove_all(db, "t_acme", &who), RC_OK);
	assert_int_equal(fixture_records(db, "tool.unpin", NULL), 3);
	assert_int_equal(tool_pin_remove_all(db, "t_acme", &who), RC_OK);
	assert_int_equal(fixture_records(db, "tool.unpin", NULL), 3);
	assert_int_equal(tool_pin_get(db, "t_acme", "b", &p), RC_NOTFOUND);
	who = fixture_who();
	assert_int_equal(tenant_delete(db, "t_other", &who), RC_OK);
	fixture_tenant(db, "other");
	assert_int_equal(tool_pin_get(db, "t_other", "a", &p), RC_NOTFOUND);
}

static void count_told(void *ctx, const char *tool)
{
	assert_string_equal(tool, "a");
	(*(int *)ctx)++;
}

/* The worker lists a as title says, and b, which is pinned to nothing it could have. */
static int notice(struct db *db, const char *title)
{
	struct audit_record who = fixture_who();
	struct toolset tools;
	char text[200];
	int len = snprintf(text, sizeof(text),
		    "{\"tools\":[{\"name\":\"a\",\"inputSchema\":{},\"title\":\"%s\"}]}", title),
	    told = 0;

	assert_int_equal(toolset_read(text, (size_t)len, &tools), RC_OK);
	assert_int_equal(tool_pin_notice(db, "t_acme", &tools, &who, count_told, &told), RC_OK);
	toolset_free(&tools);
	return told;
}

#define DEFINITION(title) "{\"inputSchema\":{},\"name\":\"a\",\"title\":\"" title "\"}"

static void a_change_is_noticed_once(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record r;

	fixture_tenant(db, "acme");
	pin(db, "t_acme", "a", DEFINITION("1"));
	pin(db, "t_acme", "gone", "{}");
	assert_int_equal(notice(db, "1"), 0);
	assert_int_equal(notice(db, "2"), 1);
	assert_int_equal(notice(db, "2"), 0);
	assert_int_equal(notice(db, "1"), 0); /* another worker, that still has it as it was */
	assert_int_equal(notice(db, "2"), 0);
	assert_int_equal(notice(db, "3"), 1);
	assert_int_equal(fixture_records(db, "tool.changed", &r), 2);
	assert_string_equal(r.tool, "a");
	assert_non_null(strstr(r.change, "\"before\":\"sha256:"));
	/* Approved: the next change is news again, also one that was seen before. */
	pin(db, "t_acme", "a", DEFINITION("3"));
	assert_int_equal(notice(db, "3"), 0);
	assert_int_equal(notice(db, "2"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(a_pin_comes_back_with_who_and_what),
		FIXTURE_TEST(pinning_what_is_pinned_changes_nothing),
		FIXTURE_TEST(bad_pins_are_refused),
		FIXTURE_TEST(there_is_an_end_to_pins),
		FIXTURE_TEST(lists_are_by_name_and_a_tenants_own),
		FIXTURE_TEST(a_pin_is_removed_once_and_goes_with_its_tenant),
		FIXTURE_TEST(a_change_is_noticed_once),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
