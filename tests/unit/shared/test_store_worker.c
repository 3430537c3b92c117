#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "shared/crypto.h"
#include "tests/unit/shared/store_fixture.h"

static const uint8_t secret_hash[CRYPTO_HASH_LEN] = {1}, wrong_hash[CRYPTO_HASH_LEN] = {2};

static void mint(struct db *db, const char *id, int64_t expires_at)
{
	struct audit_record who = fixture_who();
	struct enrollment e = {.created_at = 1000, .expires_at = expires_at};

	str_copy(e.id, sizeof(e.id), id);
	strcpy(e.tenant_id, "t_acme");
	strcpy(e.name, "worker one");
	assert_int_equal(enrollment_create(db, &e, secret_hash, &who), RC_OK);
}

static enum rc enroll(struct db *db, const char *id, uint8_t key, struct worker *w)
{
	uint8_t public_key[CRYPTO_PUBLIC_LEN] = {key};
	struct audit_record who = fixture_who();

	return worker_enroll(db, id, secret_hash, public_key, NULL, &who, w);
}

static int setup(void **state)
{
	if (fixture_setup(state) != 0)
		return -1;
	fixture_tenant(fixture_of(state)->db, "acme");
	fixture_tenant(fixture_of(state)->db, "other");
	return 0;
}

static void a_token_is_spent_once(void **state)
{
	struct db *db = fixture_of(state)->db;
	uint8_t key[CRYPTO_PUBLIC_LEN] = {3};
	struct audit_record who = fixture_who(), r;
	struct enrollment *list;
	struct worker w = {.name = "untouched"};
	char next[STORE_CURSOR_MAX + 1];
	size_t count;

	mint(db, "e1", clock_wall_s() + 60);
	assert_int_equal(worker_enroll(db, "e1", wrong_hash, key, NULL, &who, &w), RC_DENIED);
	assert_int_equal(enroll(db, "none", 3, &w), RC_DENIED);
	assert_string_equal(w.name, "untouched");
	assert_int_equal(enroll(db, "e1", 3, &w), RC_OK);
	assert_string_equal(w.name, "worker one");
	assert_string_equal(w.tenant_id, "t_acme");
	assert_int_equal(enroll(db, "e1", 4, &w), RC_DENIED);
	assert_int_equal(enrollment_list(db, "t_acme", "", 9, &list, &count, next), RC_OK);
	assert_int_equal(count, 1);
	assert_true(list[0].used_at > 0);
	assert_string_equal(list[0].worker_id, w.id);
	free(list);
	assert_int_equal(fixture_records(db, "worker.enroll", &r), 1);
	assert_string_equal(r.worker_id, w.id);
	/* Who checks a log offline learns the key here. */
	assert_string_equal(r.change,
		"{\"name\":\"worker one\",\"enrollment_id\":\"e1\",\"public_key\":"
		"\"AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}");
}

static void expired_and_revoked_tokens_are_worth_nothing(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who();
	struct worker w;

	mint(db, "old", clock_wall_s());
	assert_int_equal(enroll(db, "old", 3, &w), RC_DENIED);
	mint(db, "taken", clock_wall_s() + 60);
	assert_int_equal(enrollment_revoke(db, "t_other", "taken", &who), RC_NOTFOUND);
	assert_int_equal(enrollment_revoke(db, "t_acme", "taken", &who), RC_OK);
	assert_int_equal(enrollment_revoke(db, "t_acme", "taken", &who), RC_OK);
	assert_int_equal(enroll(db, "taken", 3, &w), RC_DENIED);
	assert_int_equal(fixture_records(db, "enrollment.revoke", NULL), 1);
	assert_int_equal(fixture_records(db, "worker.enroll", NULL), 0);
}

static void a_public_key_is_enrolled_once(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who();
	struct worker w, again;

	mint(db, "e1", clock_wall_s() + 60);
	mint(db, "e2", clock_wall_s() + 60);
	assert_int_equal(enroll(db, "e1", 3, &w), RC_OK);
	assert_int_equal(enroll(db, "e2", 3, &again), RC_CONFLICT);
	/* The token was not spent by that, and a revoked worker's key does not come back. */
	assert_int_equal(worker_revoke(db, "t_acme", w.id, &who), RC_OK);
	assert_int_equal(enroll(db, "e2", 3, &again), RC_CONFLICT);
	assert_int_equal(enroll(db, "e2", 5, &again), RC_OK);
}

static void bad_enrollments_are_refused(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who(), r;
	struct enrollment e = {
		.id = "e1", .tenant_id = "t_none", .name = "w", .expires_at = 1800000000};
	uint8_t key[CRYPTO_PUBLIC_LEN] = {3};
	struct worker w;

	assert_int_equal(enrollment_create(db, &e, secret_hash, &who), RC_NOTFOUND);
	strcpy(e.tenant_id, "t_acme");
	e.name[0] = '\0';
	assert_int_equal(enrollment_create(db, &e, secret_hash, &who), RC_INVALID);
	strcpy(e.name, "w");
	assert_int_equal(enrollment_create(db, &e, secret_hash, &who), RC_OK);
	assert_int_equal(enrollment_create(db, &e, secret_hash, &who), RC_CONFLICT);
	assert_int_equal(
		worker_enroll(db, "e1", secret_hash, key, "line\nbreak", &who, &w), RC_INVALID);
	assert_int_equal(fixture_records(db, "enrollment.create", &r), 1);
	assert_string_equal(
		r.change, "{\"name\":\"w\",\"expires_at\":\"2027-01-15T08:00:00.000Z\"}");
}

static void workers_are_found_with_their_tenant_and_revoked_once(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who(), r;
	struct worker w, found = {.name = "untouched"};
	struct tenant t;

	mint(db, "e1", clock_wall_s() + 60);
	assert_int_equal(enroll(db, "e1", 3, &w), RC_OK);
	assert_int_equal(worker_with_tenant(db, "none", &found, &t), RC_NOTFOUND);
	assert_string_equal(found.name, "untouched");
	assert_int_equal(worker_with_tenant(db, w.id, &found, &t), RC_OK);
	assert_memory_equal(found.public_key, w.public_key, CRYPTO_PUBLIC_LEN);
	assert_string_equal(t.slug, "acme");
	assert_int_equal(worker_revoke(db, "t_other", w.id, &who), RC_NOTFOUND);
	assert_int_equal(worker_revoke(db, "t_acme", w.id, &who), RC_OK);
	assert_int_equal(worker_revoke(db, "t_acme", w.id, &who), RC_OK);
	assert_int_equal(worker_get(db, w.id, &found), RC_OK);
	assert_true(found.revoked_at > 0);
	assert_int_equal(fixture_records(db, "worker.revoke", &r), 1);
	assert_string_equal(r.worker_id, w.id);
}

static void the_manifest_of_the_worker_seen_last_is_kept(void **state)
{
	struct db *db = fixture_of(state)->db;
	struct audit_record who = fixture_who();
	struct worker one, two, w;
	char *manifest, digest[65];
	size_t len;

	mint(db, "e1", clock_wall_s() + 60);
	mint(db, "e2", clock_wall_s() + 60);
	assert_int_equal(enroll(db, "e1", 1, &one), RC_OK);
	assert_int_equal(enroll(db, "e2", 2, &two), RC_OK);
	assert_int_equal(worker_manifest(db, "t_acme", &manifest, &len, digest), RC_NOTFOUND);
	assert_int_equal(worker_seen(db, one.id, "1.0", 5, "{\"a\":1}trailing", 7, "d1"), RC_OK);
	assert_int_equal(worker_seen(db, two.id, "2.0", 6, "{\"b\":2}", 7, "d2"), RC_OK);
	assert_int_equal(worker_seen(db, "none", "2.0", 6, "{}", 2, "d"), RC_NOTFOUND);
	assert_int_equal(worker_manifest(db, "t_acme", &manifest, &len, digest), RC_OK);
	assert_string_equal(manifest, "{\"b\":2}");
	assert_int_equal(len, 7);
	assert_string_equal(digest, "d2");
	free(manifest);
	/* A revoked worker serves no more; without a new manifest the old one stays. */
	assert_int_equal(worker_revoke(db, "t_acme", two.id, &who), RC_OK);
	assert_int_equal(worker_seen(db, one.id, "a version that is longer than there is room for",
				 9, NULL, 0, NULL),
		RC_OK);
	assert_int_equal(worker_manifest(db, "t_acme", &manifest, &len, digest), RC_OK);
	assert_string_equal(manifest, "{\"a\":1}");
	free(manifest);
	assert_int_equal(worker_get(db, one.id, &w), RC_OK);
	assert_int_equal(w.last_seen_at, 9);
	assert_string_equal(w.version, "");
	assert_int_equal(worker_manifest(db, "t_other", &manifest, &len, digest), RC_NOTFOUND);
}

static void lists_page_newest_first(void **state)
{
	struct db *db = fixture_of(state)->db;
	char after[STORE_CURSOR_MAX + 1] = "", next[STORE_CURSOR_MAX + 1], id[16], last[16] = "~";
	struct enrollment *tokens;
	struct worker *workers, w;
	size_t count, seen = 0;

	for (int i = 0; i < 11; i++) {
		snprintf(id, sizeof(id), "e%02d", i);
		mint(db, id, clock_wall_s() + 60);
		assert_int_equal(enroll(db, id, (uint8_t)(i + 1), &w), RC_OK);
	}
	do {
		assert_int_equal(
			enrollment_list(db, "t_acme", after, 4, &tokens, &count, next), RC_OK);
		for (size_t i = 0; i < count; i++, seen++) {
			assert_true(strcmp(tokens[i].id, last) < 0);
			str_copy(last, sizeof(last), tokens[i].id);
		}
		free(tokens);
		memcpy(after, next, sizeof(after));
	} while (*after);
	assert_int_equal(seen, 11);
	for (seen = 0; seen == 0 || *after; seen += count) {
		assert_int_equal(
			worker_list(db, "t_acme", after, 5, &workers, &count, next), RC_OK);
		free(workers);
		memcpy(after, next, sizeof(after));
	}
	assert_int_equal(seen, 11);
	assert_int_equal(worker_list(db, "t_other", "", 5, &workers, &count, next), RC_OK);
	assert_int_equal(count, 0);
	free(workers);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(a_token_is_spent_once),
		T(expired_and_revoked_tokens_are_worth_nothing),
		T(a_public_key_is_enrolled_once),
		T(bad_enrollments_are_refused),
		T(workers_are_found_with_their_tenant_and_revoked_once),
		T(the_manifest_of_the_worker_seen_last_is_kept),
		T(lists_page_newest_first),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
