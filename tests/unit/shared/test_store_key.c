#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "shared/crypto.h"
#include "tests/unit/shared/store_fixture.h"

static enum rc create_with(struct db *db, const char *id, char *tools, struct audit_record *who)
{
	struct api_key k = {.rate_per_minute = 60, .expires_at = 1800000000, .tools = tools};

	str_copy(k.id, sizeof(k.id), id);
	strcpy(k.tenant_id, "t_acme");
	strcpy(k.name, "An agent's key");
	strcpy(k.hash, "SECRETHASH");
	return api_key_create(db, &k, who);
}

static void a_key_comes_back_as_it_was_made(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who(), r;
	char tools[] = "[\"get_schema\",\"execute_sql\"]";
	struct api_key_row row;

	fixture_tenant(db, "acme");
	assert_int_equal(create_with(db, "k1", tools, &who), RC_OK);
	assert_int_equal(api_key_find(db, "k1", &row), RC_OK);
	assert_string_equal(row.key.id, "k1");
	assert_string_equal(row.key.tenant_id, "t_acme");
	assert_string_equal(row.key.name, "An agent's key");
	assert_string_equal(row.key.hash, "SECRETHASH");
	assert_string_equal(row.key.tools, tools);
	assert_int_equal(row.key.rate_per_minute, 60);
	assert_int_equal(row.key.expires_at, 1800000000);
	assert_string_equal(row.tenant.slug, "acme");
	assert_false(row.tenant.suspended);
	api_key_clear(&row.key);
	assert_int_equal(fixture_records(db, "key.create", &r), 1);
	assert_string_equal(r.change,
		"{\"name\":\"An agent's "
		"key\",\"expires_at\":\"2027-01-15T08:00:00.000Z\",\"rate_per_minute\""
		":60,\"tools_count\":2,\"tools\":[\"get_schema\",\"execute_sql\"]}");
	assert_string_equal(r.target, "k1");
	assert_null(strstr(r.change, "SECRETHASH"));
}

static void bad_keys_are_refused(void **state)
{
	static const char *const bad[] = {"{}", "\"x\"", "[1]", "[\"a\",[]]", "[", ""};
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who();
	char text[STORE_TOOLS_MAX + 100];

	assert_int_equal(create_with(db, "k1", NULL, &who), RC_NOTFOUND); /* no such tenant */
	fixture_tenant(db, "acme");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		str_copy(text, sizeof(text), bad[i]);
		assert_int_equal(create_with(db, "k1", text, &who), RC_INVALID);
	}
	snprintf(text, sizeof(text), "[\"%0*d\"]", STORE_TOOLS_MAX, 0);
	assert_int_equal(create_with(db, "k1", text, &who), RC_INVALID);
	assert_int_equal(create_with(db, "", NULL, &who), RC_INVALID);
	assert_int_equal(create_with(db, "k1", NULL, &who), RC_OK);
	assert_int_equal(create_with(db, "k1", NULL, &who), RC_CONFLICT);
	assert_int_equal(fixture_records(db, "key.create", NULL), 1);
}

/* An allow-list that is too long for a record is told by its length. */
static void a_long_allow_list_still_leaves_a_record(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who(), r;
	char text[STORE_TOOLS_MAX + 1] = "[", id[16];

	fixture_tenant(db, "acme");
	/* Every length around the bound of a record. */
	for (size_t n = 0; n < 100; n++) {
		snprintf(text, sizeof(text), "[\"%0*d\"]", (int)(800 + n * 3), 1);
		snprintf(id, sizeof(id), "k%zu", n);
		assert_int_equal(create_with(db, id, text, &who), RC_OK);
		assert_int_equal(fixture_records(db, "key.create", &r), n + 1);
		assert_non_null(strstr(r.change, "\"tools_count\":1"));
	}
	assert_null(strstr(r.change, "\"tools\":"));
}

static int64_t version_of(struct db *db, const char *id)
{
	struct api_key_row row;
	int64_t version = -1;

	assert_int_equal(api_key_version(db, id, &version), RC_OK);
	assert_int_equal(api_key_find(db, id, &row), RC_OK);
	assert_int_equal(row.row_version, version);
	api_key_clear(&row.key);
	return version;
}

/* Each change of the key or its tenant gives a version that was never there before; others' changes
 * and use do not. */
static void the_row_version_follows_key_and_tenant(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who();
	int64_t before, now;
	struct tenant t;

	fixture_tenant(db, "acme");
	fixture_tenant(db, "other");
	fixture_key(db, "t_acme", "k1", NULL, 1);
	before = version_of(db, "k1");
	fixture_key(db, "t_acme", "k2", NULL, 1);
	assert_int_equal(tenant_rename(db, "t_other", "x", &who, &t), RC_OK);
	assert_int_equal(api_key_touch(db, "k1", 1000), RC_OK);
	assert_int_equal(version_of(db, "k1"), before);
	assert_int_equal(tenant_rename(db, "t_acme", "x", &who, &t), RC_OK);
	now = version_of(db, "k1");
	assert_true(now > before);
	before = now;
	assert_int_equal(tenant_suspend(db, "t_acme", true, &who, &t), RC_OK);
	now = version_of(db, "k1");
	assert_true(now > before);
	before = now;
	assert_int_equal(api_key_revoke(db, "t_acme", "k1", &who), RC_OK);
	now = version_of(db, "k1");
	assert_true(now > before);
	before = now;
	assert_int_equal(tenant_delete(db, "t_acme", &who), RC_OK);
	assert_int_equal(api_key_version(db, "k1", &now), RC_NOTFOUND);
	fixture_tenant(db, "acme");
	fixture_key(db, "t_acme", "k1", NULL, 1);
	assert_true(version_of(db, "k1") > before);
}

static void revoking_is_final_and_idempotent(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who(), r;
	struct api_key_row row;
	int64_t at, version;

	fixture_tenant(db, "acme");
	fixture_tenant(db, "other");
	fixture_key(db, "t_acme", "k1", NULL, 1);
	assert_int_equal(api_key_revoke(db, "t_other", "k1", &who), RC_NOTFOUND);
	assert_int_equal(api_key_revoke(db, "t_acme", "none", &who), RC_NOTFOUND);
	assert_int_equal(api_key_revoke(db, "t_acme", "k1", &who), RC_OK);
	assert_int_equal(api_key_find(db, "k1", &row), RC_OK);
	at = row.key.revoked_at;
	version = row.row_version;
	assert_true(at > 0);
	api_key_clear(&row.key);
	assert_int_equal(api_key_revoke(db, "t_acme", "k1", &who), RC_OK);
	assert_int_equal(api_key_find(db, "k1", &row), RC_OK);
	assert_int_equal(row.key.revoked_at, at);
	assert_int_equal(row.row_version, version);
	api_key_clear(&row.key);
	assert_int_equal(fixture_records(db, "key.revoke", &r), 1);
	assert_string_equal(r.change, "{\"name\":\"A key\"}");
}

static void the_last_use_only_moves_on(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct api_key_row row;

	fixture_tenant(db, "acme");
	fixture_key(db, "t_acme", "k1", NULL, 1);
	assert_int_equal(api_key_touch(db, "k1", 2000), RC_OK);
	assert_int_equal(api_key_touch(db, "k1", 1000), RC_OK);
	assert_int_equal(api_key_touch(db, "none", 1000), RC_OK);
	assert_int_equal(api_key_find(db, "k1", &row), RC_OK);
	assert_int_equal(row.key.last_used_at, 2000);
	api_key_clear(&row.key);
}

/* Newest first; those made in one second in the order of their ids; new ones do not disturb. */
static void keys_page_newest_first_while_rows_come_in(void **state)
{
	struct db *db = fixture_of(state)->db;
	char after[STORE_CURSOR_MAX + 1] = "", next[STORE_CURSOR_MAX + 1], id[16];
	bool seen[30] = {false};
	struct api_key *list;
	size_t count;
	int64_t last_at = INT64_MAX;
	int extra = 0;
	long at;

	fixture_tenant(db, "acme");
	fixture_tenant(db, "other");
	for (int i = 0; i < 30; i++) {
		snprintf(id, sizeof(id), "k%02d", i);
		fixture_key(db, "t_acme", id, NULL, 1000 + i / 7);
	}
	fixture_key(db, "t_other", "foreign", NULL, 1002);
	do {
		assert_int_equal(api_key_list(db, "t_acme", after, 4, &list, &count, next), RC_OK);
		for (size_t i = 0; i < count; i++) {
			assert_true(list[i].created_at <= last_at);
			last_at = list[i].created_at;
			assert_int_equal(list[i].id[0], 'k');
			at = strtol(list[i].id + 1, NULL, 10);
			assert_false(seen[at]);
			seen[at] = true;
		}
		api_key_list_free(list, count);
		snprintf(id, sizeof(id), "new%d", extra++);
		fixture_key(db, "t_acme", id, NULL, 5000);
		memcpy(after, next, sizeof(after));
	} while (*after);
	for (int i = 0; i < 30; i++)
		assert_true(seen[i]);
}

static void bad_cursors_are_refused(void **state)
{
	static const char *const bad[] = {"x", "_k1", "12", "12k", "99999999999999999999_k"};
	struct db *db = fixture_of(state)->db;
	char next[STORE_CURSOR_MAX + 1];
	struct api_key *list;
	size_t count;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			api_key_list(db, "t_acme", bad[i], 5, &list, &count, next), RC_INVALID);
	api_key_list_free(NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(a_key_comes_back_as_it_was_made),
		FIXTURE_TEST(bad_keys_are_refused),
		FIXTURE_TEST(a_long_allow_list_still_leaves_a_record),
		FIXTURE_TEST(the_row_version_follows_key_and_tenant),
		FIXTURE_TEST(revoking_is_final_and_idempotent),
		FIXTURE_TEST(the_last_use_only_moves_on),
		FIXTURE_TEST(keys_page_newest_first_while_rows_come_in),
		FIXTURE_TEST(bad_cursors_are_refused),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
