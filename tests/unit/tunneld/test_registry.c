#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "shared/crypto.h"
#include "tunneld/registry.h"

#define SQL "{\"tools\":[{\"name\":\"execute_sql\"}]}"
#define SCHEMA "{\"tools\":[{\"name\":\"get_schema\"}]}"

struct world {
	struct registry r;
	struct catalog c;
	struct session s[8];
};

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	registry_init(&w->r, 7);
	catalog_init(&w->c, 7);
}

static struct session *join(struct world *w, int i, const char *tenant, const char *manifest)
{
	struct session *s = &w->s[i];
	uint8_t hash[CRYPTO_HASH_LEN];

	memset(s, 0, sizeof(*s));
	(void)snprintf(s->worker_id, sizeof(s->worker_id), "w_%d", i);
	(void)snprintf(s->tenant_id, sizeof(s->tenant_id), "%s", tenant);
	s->connected_at = i;
	crypto_sha256(manifest, strlen(manifest), hash);
	s->manifest = catalog_take(&w->c, manifest, strlen(manifest), hash);
	registry_add(&w->r, s);
	return s;
}

static void leave(struct world *w, struct session *s)
{
	registry_remove(&w->r, s);
	catalog_drop(&w->c, s->manifest);
	s->manifest = NULL;
}

static void world_end(struct world *w)
{
	for (int i = 0; i < 8; i++)
		if (w->s[i].manifest)
			leave(w, &w->s[i]);
	registry_free(&w->r);
	assert_int_equal(w->c.by_digest.count, 0);
	catalog_free(&w->c);
}

static enum registry_pick pick(
	struct world *w, const char *tool, const char *affinity, struct session **out)
{
	return registry_pick(registry_tenant(&w->r, "t_a"), tool, affinity, 3, out);
}

static void the_least_busy_session_is_picked(void **state)
{
	struct world w;
	struct session *s;

	(void)state;
	world_init(&w);
	join(&w, 0, "t_a", SQL)->call_count = 2;
	join(&w, 1, "t_a", SQL)->call_count = 1;
	join(&w, 2, "t_b", SQL);
	assert_int_equal(pick(&w, "execute_sql", "", &s), REGISTRY_PICKED);
	assert_ptr_equal(s, &w.s[1]);
	w.s[1].call_count = 3;
	assert_int_equal(pick(&w, "execute_sql", "", &s), REGISTRY_PICKED);
	assert_ptr_equal(s, &w.s[0]);
	w.s[0].call_count = 3;
	assert_int_equal(pick(&w, "execute_sql", "", &s), REGISTRY_BUSY);
	world_end(&w);
}

static void equals_share_the_load(void **state)
{
	struct world w;
	struct session *s;
	int got[3] = {0};

	(void)state;
	world_init(&w);
	for (int i = 0; i < 3; i++)
		join(&w, i, "t_a", SQL);
	for (int i = 0; i < 30; i++) {
		assert_int_equal(pick(&w, NULL, "", &s), REGISTRY_PICKED);
		got[s - w.s]++;
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(got[i], 10);
	world_end(&w);
}

static void leaving_congested_and_other_tools_are_passed_over(void **state)
{
	struct world w;
	struct session *s;

	(void)state;
	world_init(&w);
	join(&w, 0, "t_a", SQL);
	join(&w, 1, "t_a", SCHEMA);
	assert_int_equal(pick(&w, "get_schema", "", &s), REGISTRY_PICKED);
	assert_ptr_equal(s, &w.s[1]);
	w.s[1].congested = true;
	assert_int_equal(pick(&w, "get_schema", "", &s), REGISTRY_BUSY);
	/* When nobody lists the tool a worker decides. */
	assert_int_equal(pick(&w, "unheard_of", "", &s), REGISTRY_PICKED);
	assert_ptr_equal(s, &w.s[0]);
	w.s[0].leaving = w.s[1].leaving = true;
	assert_int_equal(pick(&w, "execute_sql", "", &s), REGISTRY_NO_WORKER);
	world_end(&w);
}

static void a_subject_keeps_its_worker(void **state)
{
	struct world w;
	struct session *s, *before[64];
	char subject[16];
	int used[4] = {0}, moved = 0;

	(void)state;
	world_init(&w);
	for (int i = 0; i < 4; i++)
		join(&w, i, "t_a", SQL);
	for (int i = 0; i < 64; i++) {
		(void)snprintf(subject, sizeof(subject), "%d", i);
		assert_int_equal(pick(&w, "execute_sql", subject, &before[i]), REGISTRY_PICKED);
		assert_int_equal(pick(&w, "execute_sql", subject, &s), REGISTRY_PICKED);
		assert_ptr_equal(s, before[i]);
		used[s - w.s]++;
	}
	for (int i = 0; i < 4; i++)
		assert_true(used[i] > 4);
	leave(&w, &w.s[2]);
	for (int i = 0; i < 64; i++) {
		(void)snprintf(subject, sizeof(subject), "%d", i);
		assert_int_equal(pick(&w, "execute_sql", subject, &s), REGISTRY_PICKED);
		if (before[i] != &w.s[2])
			assert_ptr_equal(s, before[i]);
		else
			moved++;
	}
	assert_int_equal(moved, used[2]);
	/* Back again (a reconnect), its subjects are too. */
	join(&w, 2, "t_a", SQL);
	for (int i = 0; i < 64; i++) {
		(void)snprintf(subject, sizeof(subject), "%d", i);
		assert_int_equal(pick(&w, "execute_sql", subject, &s), REGISTRY_PICKED);
		assert_ptr_equal(s, before[i]);
	}
	/* A full one lets others help. */
	before[0]->call_count = 3;
	assert_int_equal(pick(&w, "execute_sql", "0", &s), REGISTRY_PICKED);
	assert_ptr_not_equal(s, before[0]);
	world_end(&w);
}

static void the_cap_counts_live_sessions_but_not_the_one_replaced(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	assert_false(registry_full(&w.r, "t_a", "w_0", 2));
	join(&w, 0, "t_a", SQL);
	assert_false(registry_full(&w.r, "t_a", "w_1", 2));
	join(&w, 1, "t_a", SQL);
	assert_true(registry_full(&w.r, "t_a", "w_2", 2));
	assert_false(registry_full(&w.r, "t_a", "w_1", 2));
	leave(&w, &w.s[0]);
	assert_false(registry_full(&w.r, "t_a", "w_2", 2));
	assert_null(registry_worker(&w.r, "w_0"));
	assert_ptr_equal(registry_worker(&w.r, "w_1"), &w.s[1]);
	world_end(&w);
}

static void manifests_are_kept_once_and_the_latest_is_the_tenants(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	join(&w, 0, "t_a", SQL);
	join(&w, 1, "t_a", SQL);
	assert_ptr_equal(w.s[0].manifest, w.s[1].manifest);
	join(&w, 2, "t_a", SCHEMA);
	assert_ptr_equal(registry_tenant(&w.r, "t_a")->latest, &w.s[2]);
	leave(&w, &w.s[2]);
	assert_ptr_equal(registry_tenant(&w.r, "t_a")->latest, &w.s[1]);
	assert_int_equal(w.c.by_digest.count, 1);
	assert_true(catalog_has_tool(w.s[0].manifest, "execute_sql"));
	assert_false(catalog_has_tool(w.s[0].manifest, "get_schema"));
	world_end(&w);
}

#define TITLED(title) "{\"tools\":[{\"name\":\"a\",\"title\":\"" title "\"},{\"name\":\"b\"}]}"

/* The tenant's pins: the tools of a manifest. */
static void pin(struct world *w, const char *manifest)
{
	struct toolset pins;

	assert_int_equal(toolset_read(manifest, strlen(manifest), &pins), RC_OK);
	registry_pin(registry_tenant(&w->r, "t_a"), &pins);
	assert_int_equal(pins.count, 0);
}

static void a_pinned_tool_is_called_only_as_it_was_pinned(void **state)
{
	struct world w;
	struct session *s;

	(void)state;
	world_init(&w);
	join(&w, 0, "t_a", TITLED("old"));
	join(&w, 1, "t_a", TITLED("new"));
	pin(&w, TITLED("old"));
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pick(&w, "a", "", &s), REGISTRY_PICKED);
		assert_ptr_equal(s, &w.s[0]);
		assert_int_equal(pick(&w, "a", i % 2 ? "x" : "y", &s), REGISTRY_PICKED);
		assert_ptr_equal(s, &w.s[0]);
	}
	/* What is pinned and the same at both, and what is not pinned, go to either. */
	w.s[0].call_count = 2;
	assert_int_equal(pick(&w, "b", "", &s), REGISTRY_PICKED);
	assert_ptr_equal(s, &w.s[1]);
	assert_int_equal(pick(&w, "c", "", &s), REGISTRY_PICKED);
	assert_ptr_equal(s, &w.s[1]);
	w.s[0].call_count = 3;
	assert_int_equal(pick(&w, "a", "", &s), REGISTRY_BUSY);
	leave(&w, &w.s[0]);
	assert_int_equal(pick(&w, "a", "", &s), REGISTRY_CHANGED);
	assert_int_equal(pick(&w, "a", "x", &s), REGISTRY_CHANGED);
	pin(&w, TITLED("new"));
	assert_int_equal(pick(&w, "a", "", &s), REGISTRY_PICKED);
	pin(&w, "{\"tools\":[{\"name\":\"gone\"}]}");
	assert_int_equal(pick(&w, "gone", "", &s), REGISTRY_CHANGED);
	w.s[1].leaving = true;
	assert_int_equal(pick(&w, "gone", "", &s), REGISTRY_NO_WORKER);
	world_end(&w);
}

static void the_newest_manifest_is_the_one_announced_last(void **state)
{
	struct registry_tenant *t;
	struct world w;

	(void)state;
	world_init(&w);
	join(&w, 0, "t_a", SQL);
	join(&w, 1, "t_a", SQL);
	join(&w, 2, "t_a", SCHEMA);
	t = registry_tenant(&w.r, "t_a");
	assert_ptr_equal(t->latest, &w.s[2]);
	assert_ptr_equal(registry_next(&w.s[2]), &w.s[1]);
	registry_announce(&w.r, &w.s[0]);
	assert_ptr_equal(t->latest, &w.s[0]);
	assert_ptr_equal(registry_next(&w.s[0]), &w.s[2]);
	leave(&w, &w.s[1]);
	assert_ptr_equal(t->latest, &w.s[0]);
	leave(&w, &w.s[0]);
	assert_ptr_equal(t->latest, &w.s[2]);
	leave(&w, &w.s[2]);
	assert_null(t->latest);
	world_end(&w);
}

static void the_map_finds_walks_and_forgets(void **state)
{
	static struct map_node nodes[500];
	static char keys[500][16];
	struct map m;
	size_t seen = 0;

	(void)state;
	map_init(&m, 3);
	assert_null(map_get(&m, "x"));
	for (int i = 0; i < 500; i++) {
		(void)snprintf(keys[i], sizeof(keys[i]), "k%d", i);
		map_put(&m, &nodes[i], keys[i]);
	}
	for (int i = 0; i < 500; i += 2)
		map_remove(&m, &nodes[i]);
	for (int i = 0; i < 500; i++)
		assert_ptr_equal(map_get(&m, keys[i]), i % 2 ? &nodes[i] : NULL);
	for (struct map_node *n = NULL; (n = map_next(&m, n));)
		seen++;
	assert_int_equal(seen, 250);
	map_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_least_busy_session_is_picked),
		cmocka_unit_test(equals_share_the_load),
		cmocka_unit_test(leaving_congested_and_other_tools_are_passed_over),
		cmocka_unit_test(a_subject_keeps_its_worker),
		cmocka_unit_test(the_cap_counts_live_sessions_but_not_the_one_replaced),
		cmocka_unit_test(manifests_are_kept_once_and_the_latest_is_the_tenants),
		cmocka_unit_test(a_pinned_tool_is_called_only_as_it_was_pinned),
		cmocka_unit_test(the_newest_manifest_is_the_one_announced_last),
		cmocka_unit_test(the_map_finds_walks_and_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
