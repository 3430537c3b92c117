#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "shared/crypto.h"
#include "tests/unit/shared/store_fixture.h"

static void tenants_live_and_leave_records(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who(), r;
	struct tenant t = fixture_tenant(db, "acme"), u;

	assert_string_equal(t.id, "t_acme");
	assert_string_equal(t.org_id, STORE_ORG_DEFAULT);
	assert_int_equal(tenant_rename(db, "t_acme", "New \"name\"", &who, &u), RC_OK);
	assert_string_equal(u.name, "New \"name\"");
	assert_true(u.version > t.version);
	assert_int_equal(fixture_records(db, "tenant.rename", &r), 1);
	assert_string_equal(r.change,
		"{\"slug\":\"acme\",\"name\":\"New \\\"name\\\"\",\"old_name\":"
		"\"A name\",\"org_id\":\"o_default\"}");
	assert_string_equal(r.tenant_id, "t_acme");
	assert_string_equal(r.target, "t_acme");
	assert_string_equal(r.actor_kind, "operator");
	assert_string_equal(r.request_id, "req_test");
	assert_string_equal(r.outcome, "ok");
	assert_int_equal(tenant_suspend(db, "t_acme", true, &who, &t), RC_OK);
	assert_true(t.suspended && t.version > u.version);
	assert_int_equal(tenant_suspend(db, "t_acme", false, &who, &u), RC_OK);
	assert_true(!u.suspended && u.version > t.version);
	assert_int_equal(tenant_delete(db, "t_acme", &who), RC_OK);
	assert_int_equal(tenant_get(db, "t_acme", &u), RC_NOTFOUND);
	assert_int_equal(tenant_by_slug(db, "acme", &u), RC_NOTFOUND);
	for (size_t i = 0; i < 4; i++) {
		static const char *const events[] = {
			"tenant.create", "tenant.suspend", "tenant.resume", "tenant.delete"};

		assert_int_equal(fixture_records(db, events[i], NULL), 1);
	}
}

static void what_is_refused_leaves_no_record(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who();
	char name[STORE_NAME_MAX + 2];
	struct tenant t = {.slug = "untouched"};

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(tenant_create(db, "Not A Slug", "x", NULL, &who, &t), RC_INVALID);
	assert_int_equal(tenant_create(db, "", "x", NULL, &who, &t), RC_INVALID);
	assert_int_equal(tenant_create(db, "acme", "", NULL, &who, &t), RC_INVALID);
	assert_int_equal(tenant_create(db, "acme", name, NULL, &who, &t), RC_INVALID);
	assert_int_equal(tenant_create(db, "acme", "line\nbreak", NULL, &who, &t), RC_INVALID);
	assert_int_equal(tenant_create(db, "acme", "bad \xff utf-8", NULL, &who, &t), RC_INVALID);
	assert_int_equal(tenant_create(db, "acme", "x", "o_nobody", &who, &t), RC_INVALID);
	assert_int_equal(tenant_rename(db, "t_none", "x", &who, &t), RC_NOTFOUND);
	assert_int_equal(tenant_suspend(db, "t_none", true, &who, &t), RC_NOTFOUND);
	assert_int_equal(tenant_delete(db, "t_none", &who), RC_NOTFOUND);
	assert_string_equal(t.slug, "untouched");
	fixture_tenant(db, "acme");
	assert_int_equal(tenant_create(db, "acme", "Again", NULL, &who, &t), RC_CONFLICT);
	assert_int_equal(tenant_rename(db, "t_acme", "", &who, &t), RC_INVALID);
	assert_int_equal(fixture_records(db, "tenant.create", NULL), 1);
	assert_int_equal(fixture_records(db, "tenant.rename", NULL), 0);
	assert_int_equal(fixture_records(db, "tenant.delete", NULL), 0);
}

/* The longest names of the most expensive characters still fit into a record. */
static void the_longest_names_fit_into_the_record(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who(), r;
	char slug[64], name[STORE_NAME_MAX + 1];
	struct tenant t;

	memset(slug, 'a', 63);
	slug[63] = '\0';
	memset(name, '"', STORE_NAME_MAX);
	name[STORE_NAME_MAX] = '\0';
	assert_int_equal(tenant_create(db, slug, name, NULL, &who, &t), RC_OK);
	name[0] = '\\';
	assert_int_equal(tenant_rename(db, t.id, name, &who, &t), RC_OK);
	assert_int_equal(fixture_records(db, "tenant.rename", &r), 1);
	assert_string_equal(r.target, t.id);
}

static void a_deleted_tenant_takes_everything_with_it(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who();
	struct enrollment e = {
		.id = "e1", .tenant_id = "t_acme", .name = "w", .expires_at = INT64_MAX / 2000};
	uint8_t hash[CRYPTO_HASH_LEN] = {1}, key[CRYPTO_PUBLIC_LEN] = {2};
	struct api_key_row row;
	struct worker w;

	fixture_tenant(db, "acme");
	fixture_key(db, "t_acme", "k1", NULL, 1);
	assert_int_equal(enrollment_create(db, &e, hash, &who), RC_OK);
	assert_int_equal(worker_enroll(db, "e1", hash, key, NULL, &who, &w), RC_OK);
	assert_int_equal(tenant_delete(db, "t_acme", &who), RC_OK);
	assert_int_equal(api_key_find(db, "k1", &row), RC_NOTFOUND);
	assert_int_equal(worker_get(db, w.id, &w), RC_NOTFOUND);
	/* The same slug again is another tenant: nothing comes back, and no version repeats. */
	fixture_tenant(db, "acme");
	assert_int_equal(api_key_find(db, "k1", &row), RC_NOTFOUND);
	assert_int_equal(enrollment_revoke(db, "t_acme", "e1", &who), RC_NOTFOUND);
}

/* Tenants keep coming before and behind the page: those that were there are each seen once. */
static void pages_are_complete_while_rows_come_in(void **state)
{
	struct db *db = fixture_of(state)->db;
	char after[STORE_CURSOR_MAX + 1] = "", next[STORE_CURSOR_MAX + 1], slug[32];
	bool seen[25] = {false};
	struct tenant *list;
	size_t count, pages = 0;

	for (int i = 0; i < 25; i++) {
		snprintf(slug, sizeof(slug), "m%02d", i);
		fixture_tenant(db, slug);
	}
	do {
		assert_int_equal(tenant_list(db, NULL, after, 7, &list, &count, next), RC_OK);
		assert_in_range(count, 1, 7);
		for (size_t i = 0; i < count; i++) {
			assert_true(strcmp(list[i].slug, after) > 0);
			if (list[i].slug[0] == 'm') {
				long at = strtol(list[i].slug + 1, NULL, 10);

				assert_false(seen[at]);
				seen[at] = true;
			}
		}
		free(list);
		snprintf(slug, sizeof(slug), "a%zu", ++pages);
		fixture_tenant(db, slug);
		snprintf(slug, sizeof(slug), "z%zu", pages);
		if (pages < 4)
			fixture_tenant(db, slug);
		memcpy(after, next, sizeof(after));
	} while (*after);
	for (int i = 0; i < 25; i++)
		assert_true(seen[i]);
	assert_true(pages >= 4);
}

static void a_page_of_nothing_and_an_exact_page_end(void **state)
{
	struct db *db = fixture_of(state)->db;
	char next[STORE_CURSOR_MAX + 1] = "left over";
	struct tenant *list;
	size_t count;

	assert_int_equal(tenant_list(db, NULL, "", 5, &list, &count, next), RC_OK);
	assert_int_equal(count, 0);
	assert_string_equal(next, "");
	free(list);
	fixture_tenant(db, "one");
	fixture_tenant(db, "two");
	assert_int_equal(tenant_list(db, NULL, "", 2, &list, &count, next), RC_OK);
	assert_int_equal(count, 2);
	assert_string_equal(next, "");
	free(list);
	assert_int_equal(tenant_list(db, "o_other", "", 2, &list, &count, next), RC_OK);
	assert_int_equal(count, 0);
	free(list);
}

static void the_demo_tenants_are_registered_once(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who(), r;
	struct tenant t;

	fixture_tenant(db, "hr"); /* the operator's own: it stays as it is */
	assert_int_equal(state_register_demo(db), RC_OK);
	assert_int_equal(state_register_demo(db), RC_OK);
	assert_int_equal(tenant_get(db, "t_fintech", &t), RC_OK);
	assert_int_equal(tenant_get(db, "t_healthcare", &t), RC_OK);
	assert_int_equal(tenant_get(db, "t_hr", &t), RC_OK);
	assert_string_equal(t.name, "A name");
	assert_int_equal(fixture_records(db, "tenant.create", &r), 3);
	assert_string_equal(r.actor_kind, "system");
	/* Deleted is deleted. */
	assert_int_equal(tenant_delete(db, "t_fintech", &who), RC_OK);
	assert_int_equal(state_register_demo(db), RC_OK);
	assert_int_equal(tenant_get(db, "t_fintech", &t), RC_NOTFOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(tenants_live_and_leave_records),
		FIXTURE_TEST(what_is_refused_leaves_no_record),
		FIXTURE_TEST(the_longest_names_fit_into_the_record),
		FIXTURE_TEST(a_deleted_tenant_takes_everything_with_it),
		FIXTURE_TEST(pages_are_complete_while_rows_come_in),
		FIXTURE_TEST(a_page_of_nothing_and_an_exact_page_end),
		FIXTURE_TEST(the_demo_tenants_are_registered_once),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
