#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "shared/apikey.h"
#include "shared/clock.h"
#include "shared/crypto.h"
#include "shared/file.h"
#include "shared/mem.h"
#include "shared/store.h"

static char dir[64], path[96];

static int fresh(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/store.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/state.db", dir);
	return 0;
}

static int gone(void **state)
{
	static const char *const suffix[] = {
		"/state.db", "/state.db-wal", "/state.db-shm", "/state.yaml"};
	char name[128];

	(void)state;
	for (size_t i = 0; i < sizeof suffix / sizeof suffix[0]; i++) {
		snprintf(name, sizeof name, "%s%s", dir, suffix[i]);
		unlink(name);
	}
	return rmdir(dir);
}

static struct db *open_db(void)
{
	struct db *db;

	assert_int_equal(db_open(path, &db), RC_OK);
	assert_int_equal(db_migrate(db), RC_OK);
	return db;
}

static struct audit_record operator_record(void)
{
	struct audit_record r;

	audit_init(&r, "");
	strcpy(r.actor_kind, "operator");
	return r;
}

static struct tenant make_tenant(struct db *db, const char *slug)
{
	struct audit_record who = operator_record();
	struct tenant t;

	assert_int_equal(tenant_create(db, slug, "A name", NULL, &who, &t), RC_OK);
	return t;
}

/* Mints a key the way the admin API does; text gets the credential. */
static void make_key(
	struct db *db, const char *tenant_id, const char *tools, struct apikey_text *text)
{
	struct audit_record who = operator_record();
	struct api_key k = {.rate_per_minute = -1, .created_at = clock_wall_s()};
	char hash[160];

	apikey_new("alk", text);
	assert_int_equal(apikey_hash(text->text + 4 + APIKEY_ID_LEN + 1, hash, sizeof hash), RC_OK);
	strcpy(k.id, text->id);
	str_copy(k.tenant_id, sizeof k.tenant_id, tenant_id);
	strcpy(k.name, "key");
	strcpy(k.hash, hash);
	k.tools = tools ? xstrdup(tools) : NULL;
	assert_int_equal(api_key_create(db, &k, &who), RC_OK);
	api_key_clear(&k);
}

static size_t outbox_size(struct db *db, const char *event)
{
	struct outbox_row *rows;
	size_t count, n = 0;

	assert_int_equal(outbox_list(db, 0, 10000, &rows, &count), RC_OK);
	for (size_t i = 0; i < count; i++)
		n += strcmp(rows[i].record.event, event) == 0;
	free(rows);
	return n;
}

static void tenants_live_and_leave_records(void **state)
{
	struct db *db = open_db();
	struct audit_record who = operator_record();
	struct tenant t = make_tenant(db, "acme"), u;

	(void)state;
	assert_string_equal(t.id, "t_acme");
	assert_int_equal(tenant_create(db, "acme", "Again", NULL, &who, &u), RC_CONFLICT);
	assert_int_equal(tenant_create(db, "Not A Slug", "x", NULL, &who, &u), RC_INVALID);
	assert_int_equal(tenant_rename(db, "t_acme", "New", &who, &u), RC_OK);
	assert_true(u.version > t.version);
	assert_int_equal(tenant_suspend(db, "t_acme", true, &who, &u), RC_OK);
	assert_true(u.suspended);
	assert_int_equal(tenant_suspend(db, "t_none", true, &who, &u), RC_NOTFOUND);
	assert_int_equal(tenant_delete(db, "t_acme", &who), RC_OK);
	assert_int_equal(tenant_get(db, "t_acme", &u), RC_NOTFOUND);
	assert_int_equal(outbox_size(db, "tenant.create"), 1);
	assert_int_equal(outbox_size(db, "tenant.rename"), 1);
	assert_int_equal(outbox_size(db, "tenant.suspend"), 1);
	assert_int_equal(outbox_size(db, "tenant.delete"), 1);
	db_close(db);
}

static void a_rolled_back_change_leaves_no_record(void **state)
{
	struct db *db = open_db();
	struct audit_record who = operator_record();
	struct tenant t;

	(void)state;
	assert_int_equal(db_begin(db), RC_OK);
	assert_int_equal(tenant_create(db, "ghost", "x", NULL, &who, &t), RC_OK);
	db_rollback(db);
	assert_int_equal(tenant_get(db, "t_ghost", &t), RC_NOTFOUND);
	assert_int_equal(outbox_size(db, "tenant.create"), 0);
	db_close(db);
}

static void pages_are_complete_while_rows_come_in(void **state)
{
	struct db *db = open_db();
	char after[STORE_CURSOR_MAX + 1] = "", next[STORE_CURSOR_MAX + 1], slug[32];
	size_t seen = 0;

	(void)state;
	for (int i = 0; i < 25; i++) {
		snprintf(slug, sizeof slug, "t%02d", i);
		make_tenant(db, slug);
	}
	do {
		struct tenant *list;
		size_t count;

		assert_int_equal(tenant_list(db, NULL, after, 7, &list, &count, next), RC_OK);
		for (size_t i = 0; i < count; i++)
			assert_true(strcmp(list[i].slug, after) > 0);
		seen += count;
		free(list);
		strcpy(after, next);
		snprintf(slug, sizeof slug, "a%zu", seen);
		make_tenant(db, slug);
	} while (*after);
	assert_int_equal(seen, 25);
	db_close(db);
}

static void keys_page_newest_first_with_ties(void **state)
{
	struct db *db = open_db();
	struct audit_record who = operator_record();
	char after[STORE_CURSOR_MAX + 1] = "", next[STORE_CURSOR_MAX + 1],
				      last[STORE_ID_MAX + 1] = "~";
	size_t seen = 0;

	(void)state;
	make_tenant(db, "acme");
	for (int i = 0; i < 10; i++) {
		struct api_key k = {.rate_per_minute = -1, .created_at = 1000};

		snprintf(k.id, sizeof k.id, "k%02d", i);
		strcpy(k.tenant_id, "t_acme");
		strcpy(k.name, "n");
		strcpy(k.hash, "$argon2id$");
		assert_int_equal(api_key_create(db, &k, &who), RC_OK);
	}
	do {
		struct api_key *list;
		size_t count;

		assert_int_equal(api_key_list(db, "t_acme", after, 3, &list, &count, next), RC_OK);
		for (size_t i = 0; i < count; i++) {
			assert_true(strcmp(list[i].id, last) < 0);
			strcpy(last, list[i].id);
		}
		seen += count;
		api_key_list_free(list, count);
		strcpy(after, next);
	} while (*after);
	assert_int_equal(seen, 10);
	db_close(db);
}

static const struct apikey_bounds bounds = {.entries = 100, .runs = 2, .callers = 10};

/* By itself, so it never waits. */
static enum rc ask(struct apikey_cache *cache, struct db_pool *pool, const char *text,
	const char *slug, int64_t now_s, struct apikey_grant *g)
{
	struct turnstile_place place = {0};

	return apikey_check(cache, pool, text, slug, now_s, &place, g);
}

static void check(struct apikey_cache *cache, struct db_pool *pool, const char *text,
	const char *slug, enum rc expected)
{
	struct apikey_grant g;

	assert_int_equal(ask(cache, pool, text, slug, clock_wall_s(), &g), expected);
	apikey_grant_clear(&g);
}

static void a_revoked_key_is_refused_at_once_in_every_cache(void **state)
{
	struct db *db = open_db();
	struct apikey_cache *one = apikey_cache_new(&bounds), *two = apikey_cache_new(&bounds);
	struct db_pool *first = db_pool_new(path, 2), *second = db_pool_new(path, 2);
	struct audit_record who = operator_record();
	struct apikey_text key;
	char wrong[APIKEY_TEXT_LEN + 1];

	(void)state;
	make_tenant(db, "acme");
	make_tenant(db, "other");
	make_key(db, "t_acme", NULL, &key);
	strcpy(wrong, key.text);
	wrong[APIKEY_TEXT_LEN - 1] = wrong[APIKEY_TEXT_LEN - 1] == 'a' ? 'b' : 'a';
	check(one, first, wrong, "acme", RC_DENIED);
	check(one, first, key.text, "acme", RC_OK);
	check(two, second, key.text, "acme", RC_OK);
	check(one, first, wrong, "acme", RC_DENIED);
	check(one, first, key.text, "other", RC_DENIED);
	check(one, first, key.text, "nobody", RC_DENIED);
	check(one, first, "alk_unknownunknown00_aaaaaaaaaaaaaaaaaaaaaaaa", "acme", RC_DENIED);
	check(one, first, "", "acme", RC_DENIED);
	assert_int_equal(api_key_revoke(db, "t_acme", key.id, &who), RC_OK);
	check(one, first, key.text, "acme", RC_DENIED);
	check(two, second, key.text, "acme", RC_DENIED);
	assert_int_equal(api_key_revoke(db, "t_acme", key.id, &who), RC_OK);
	assert_int_equal(outbox_size(db, "key.revoke"), 1);
	apikey_cache_free(one);
	apikey_cache_free(two);
	db_pool_free(first);
	db_pool_free(second);
	db_close(db);
}

static void a_suspension_and_an_allow_list_reach_the_grant(void **state)
{
	struct db *db = open_db();
	struct apikey_cache *cache = apikey_cache_new(&bounds);
	struct audit_record who = operator_record();
	struct apikey_grant g;
	struct apikey_text key;
	struct tenant t;
	struct db_pool *pool = db_pool_new(path, 2);
	struct api_key_row row;

	(void)state;
	make_tenant(db, "acme");
	make_key(db, "t_acme", "[\"get_schema\"]", &key);
	assert_int_equal(ask(cache, pool, key.text, "acme", 1000, &g), RC_OK);
	assert_int_equal(api_key_find(db, key.id, &row), RC_OK);
	assert_int_equal(row.key.last_used_at, 1000);
	api_key_clear(&row.key);
	assert_false(g.tenant_suspended);
	assert_true(apikey_may_call(&g, "get_schema"));
	assert_false(apikey_may_call(&g, "execute_sql"));
	apikey_grant_clear(&g);
	assert_int_equal(tenant_suspend(db, "t_acme", true, &who, &t), RC_OK);
	assert_int_equal(ask(cache, pool, key.text, "acme", 1001, &g), RC_OK);
	assert_true(g.tenant_suspended);
	apikey_grant_clear(&g);
	apikey_cache_free(cache);
	db_pool_free(pool);
	db_close(db);
}

static void other_argon2_parameters_verify(void **state)
{
	char encoded[160];

	(void)state;
	assert_int_equal(
		apikey_hash("correct horse battery staple", encoded, sizeof encoded), RC_OK);
	assert_true(apikey_hash_ok(encoded, "correct horse battery staple"));
	assert_false(apikey_hash_ok(encoded, "correct horse battery stable"));
	assert_false(apikey_hash_ok("$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$AAAA", "x"));
	assert_false(apikey_hash_ok("$argon2id$v=19$m=64,t=99,p=1$c29tZXNhbHQ$AAAA", "x"));
	assert_false(apikey_hash_ok("$argon2i$v=19$m=64,t=3,p=1$c29tZXNhbHQ$AAAA", "x"));
}

static void credentials_split(void **state)
{
	static const struct {
		const char *text;
		enum rc rc;
	} cases[] = {
		{"alk_abc_0123456789abcdef", RC_OK},
		{"alk_a-1_with_under-scores_0", RC_OK},
		{"ale_abc_0123456789abcdef", RC_INVALID},
		{"alk__0123456789abcdef", RC_INVALID},
		{"alk_ABC_0123456789abcdef", RC_INVALID},
		{"alk_abc_short", RC_INVALID},
		{"alk_abc_0123456789abcde!", RC_INVALID},
		{"alk_abc", RC_INVALID},
		{"", RC_INVALID},
	};
	const char *secret;
	char id[65];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(apikey_split("alk", cases[i].text, id, &secret), cases[i].rc);
}

static void an_enrollment_is_spent_once(void **state)
{
	struct db *db = open_db();
	struct audit_record who = operator_record();
	struct enrollment e = {.created_at = clock_wall_s(), .expires_at = clock_wall_s() + 60};
	uint8_t hash[CRYPTO_HASH_LEN] = {1}, wrong[CRYPTO_HASH_LEN] = {2},
		key[CRYPTO_PUBLIC_LEN] = {3}, other[CRYPTO_PUBLIC_LEN] = {4};
	struct worker w, found;
	struct tenant t;

	(void)state;
	make_tenant(db, "acme");
	strcpy(e.id, "abc");
	strcpy(e.tenant_id, "t_acme");
	strcpy(e.name, "worker one");
	assert_int_equal(enrollment_create(db, &e, hash, &who), RC_OK);
	assert_int_equal(worker_enroll(db, "abc", wrong, key, NULL, &who, &w), RC_DENIED);
	assert_int_equal(worker_enroll(db, "none", hash, key, NULL, &who, &w), RC_DENIED);
	assert_int_equal(worker_enroll(db, "abc", hash, key, NULL, &who, &w), RC_OK);
	assert_string_equal(w.name, "worker one");
	assert_int_equal(worker_enroll(db, "abc", hash, other, NULL, &who, &w), RC_DENIED);
	assert_int_equal(worker_with_tenant(db, w.id, &found, &t), RC_OK);
	assert_memory_equal(found.public_key, key, sizeof key);
	assert_int_equal(worker_revoke(db, "t_other", w.id, &who), RC_NOTFOUND);
	assert_int_equal(worker_revoke(db, "t_acme", w.id, &who), RC_OK);
	assert_int_equal(worker_get(db, w.id, &found), RC_OK);
	assert_true(found.revoked_at > 0);
	db_close(db);
}

static void the_manifest_of_the_worker_seen_last_is_kept(void **state)
{
	struct db *db = open_db();
	struct audit_record who = operator_record();
	struct enrollment e = {.expires_at = clock_wall_s() + 60};
	uint8_t hash[CRYPTO_HASH_LEN] = {1}, key[CRYPTO_PUBLIC_LEN] = {3};
	struct worker w;
	char *manifest, digest[65];
	size_t len;

	(void)state;
	make_tenant(db, "acme");
	strcpy(e.id, "abc");
	strcpy(e.tenant_id, "t_acme");
	strcpy(e.name, "w");
	assert_int_equal(enrollment_create(db, &e, hash, &who), RC_OK);
	assert_int_equal(worker_enroll(db, "abc", hash, key, NULL, &who, &w), RC_OK);
	assert_int_equal(worker_manifest(db, "t_acme", &manifest, &len, digest), RC_NOTFOUND);
	assert_int_equal(worker_seen(db, w.id, "1.0", 5, "{\"tools\":[]}", 12, "d1"), RC_OK);
	assert_int_equal(worker_manifest(db, "t_acme", &manifest, &len, digest), RC_OK);
	assert_string_equal(manifest, "{\"tools\":[]}");
	assert_string_equal(digest, "d1");
	free(manifest);
	db_close(db);
}

static void an_idempotency_key_is_bound_to_its_request(void **state)
{
	struct db *db = open_db();
	uint8_t a[CRYPTO_HASH_LEN] = {1}, b[CRYPTO_HASH_LEN] = {2};
	char *body;
	int status;

	(void)state;
	assert_int_equal(idempotency_find(db, "s", "k", a, &status, &body), RC_NOTFOUND);
	assert_int_equal(idempotency_keep(db, "s", "k", a, 201, "{}", clock_wall_s() + 60), RC_OK);
	assert_int_equal(idempotency_find(db, "s", "k", b, &status, &body), RC_CONFLICT);
	assert_int_equal(idempotency_find(db, "s", "k", a, &status, &body), RC_OK);
	assert_int_equal(status, 201);
	assert_string_equal(body, "{}");
	free(body);
	assert_int_equal(idempotency_find(db, "other", "k", a, &status, &body), RC_NOTFOUND);
	db_close(db);
}

/* A child creates tenants and tells of each once it is acknowledged; it is killed in the middle. */
static void what_was_acknowledged_survives_a_kill(void **state)
{
	int pipe_fd[2], acknowledged = 0, i;
	struct tenant t;
	char slug[32];
	struct db *db = open_db();
	pid_t child;

	(void)state;
	db_close(db);
	assert_int_equal(pipe(pipe_fd), 0);
	child = fork();
	if (child == 0) {
		db = open_db();
		for (i = 0;; i++) {
			snprintf(slug, sizeof slug, "n%d", i);
			make_tenant(db, slug);
			if (write(pipe_fd[1], &i, sizeof i) != sizeof i)
				_exit(1);
		}
	}
	close(pipe_fd[1]);
	while (acknowledged < 40 && read(pipe_fd[0], &i, sizeof i) == sizeof i)
		acknowledged++;
	kill(child, SIGKILL);
	while (read(pipe_fd[0], &i, sizeof i) == sizeof i)
		acknowledged++;
	waitpid(child, NULL, 0);
	close(pipe_fd[0]);
	db = open_db();
	for (i = 0; i < acknowledged; i++) {
		snprintf(slug, sizeof slug, "t_n%d", i);
		assert_int_equal(tenant_get(db, slug, &t), RC_OK);
	}
	assert_true(outbox_size(db, "tenant.create") >= (size_t)acknowledged);
	db_close(db);
}

static void the_state_yaml_goes_out_and_comes_back(void **state)
{
	static const char yaml[] =
		"tenants:\n"
		"  t_acme:\n"
		"    name: Acme\n"
		"    api_keys:\n"
		"      k1: {name: first, hash: \"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAA\"}\n"
		"    workers:\n"
		"      - {id: w_one, public_key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=}\n";
	struct db *db = open_db();
	struct buf first, second;
	struct tenant t;
	char yaml_path[128], err[256];

	(void)state;
	snprintf(yaml_path, sizeof yaml_path, "%s/state.yaml", dir);
	assert_int_equal(file_write_atomic(yaml_path, yaml, sizeof yaml - 1, 0600), RC_OK);
	assert_int_equal(state_import(db, yaml_path, err, sizeof err), RC_OK);
	assert_int_equal(tenant_get(db, "t_acme", &t), RC_OK);
	assert_string_equal(t.name, "Acme");
	buf_init(&first, 100000);
	assert_int_equal(state_export(db, &first), RC_OK);
	db_close(db);
	unlink(path);

	assert_int_equal(file_write_atomic(yaml_path, first.data, first.len, 0600), RC_OK);
	db = open_db();
	assert_int_equal(state_import(db, yaml_path, err, sizeof err), RC_OK);
	/* Once only: what changed since is not undone. */
	assert_int_equal(state_import(db, yaml_path, err, sizeof err), RC_OK);
	buf_init(&second, 100000);
	assert_int_equal(state_export(db, &second), RC_OK);
	assert_int_equal(first.len, second.len);
	assert_memory_equal(first.data, second.data, first.len);
	buf_free(&first);
	buf_free(&second);
	db_close(db);
}

static void a_bad_state_yaml_names_its_line_and_imports_nothing(void **state)
{
	static const char yaml[] = "tenants:\n  - slug: good\n  - slug: bad\n    workers:\n      - "
				   "{id: x, public_key: short}\n";
	struct db *db = open_db();
	struct tenant t;
	char yaml_path[128], err[256];

	(void)state;
	snprintf(yaml_path, sizeof yaml_path, "%s/state.yaml", dir);
	assert_int_equal(file_write_atomic(yaml_path, yaml, sizeof yaml - 1, 0600), RC_OK);
	assert_int_equal(state_import(db, yaml_path, err, sizeof err), RC_INVALID);
	assert_non_null(strstr(err, "state.yaml:5:"));
	assert_int_equal(tenant_get(db, "t_good", &t), RC_NOTFOUND);
	db_close(db);
}

static void the_demo_tenants_are_registered_once(void **state)
{
	struct db *db = open_db();
	struct tenant t;

	(void)state;
	assert_int_equal(state_register_demo(db), RC_OK);
	assert_int_equal(state_register_demo(db), RC_OK);
	assert_int_equal(tenant_get(db, "t_healthcare", &t), RC_OK);
	assert_int_equal(outbox_size(db, "tenant.create"), 3);
	db_close(db);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fresh, gone)
	const struct CMUnitTest tests[] = {
		T(tenants_live_and_leave_records),
		T(a_rolled_back_change_leaves_no_record),
		T(pages_are_complete_while_rows_come_in),
		T(keys_page_newest_first_with_ties),
		T(a_revoked_key_is_refused_at_once_in_every_cache),
		T(a_suspension_and_an_allow_list_reach_the_grant),
		cmocka_unit_test(other_argon2_parameters_verify),
		cmocka_unit_test(credentials_split),
		T(an_enrollment_is_spent_once),
		T(the_manifest_of_the_worker_seen_last_is_kept),
		T(an_idempotency_key_is_bound_to_its_request),
		T(what_was_acknowledged_survives_a_kill),
		T(the_state_yaml_goes_out_and_comes_back),
		T(a_bad_state_yaml_names_its_line_and_imports_nothing),
		T(the_demo_tenants_are_registered_once),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
