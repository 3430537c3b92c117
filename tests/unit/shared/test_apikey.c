#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <pthread.h>

#include "shared/crypto.h"
#include "shared/store_sql.h"
#include "tests/unit/shared/store_fixture.h"

#define NOW 1700000000
#define SECRET "the-secret-of-a-test-key"
#define THREADS 6
#define HANDLES 2
#define CALLERS 100
#define WAIT_MS 60000

/* Of SECRET: at the lowest cost; others by other makers' parameters. */
#define CHEAP                                                 \
	"$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsAA$" \
	"glW4Y8MoBwN0a0DhlU4iCAjUSfVWaxiaUSjrpAyV/ec"
static const char *const others[] = {
	"$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsAA$"
	"glW4Y8MoBwN0a0DhlU4iCAjUSfVWaxiaUSjrpAyV/ec",
	"$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2FsAA$G+"
	"4RanZMwBifcGULivy8PWCJZERWu2uE3ZAziMnKQAg",
	"$argon2id$v=19$m=1024,t=2,p=2$c2FsdHNhbHQ$F4G72X8Cbq3+7m4jI0rONA",
	"$argon2id$v=19$m=64,t=16,p=1$c2FsdHNhbHRzYWx0c2FsAA$"
	"DmAUHYTnQBI08IQJLkymtIyL0nzTVRd57gaROqKaC9MuXDj1Ggsgzlw/9N+TRPi/YdSyZ69jXXViBvQhzybbCw",
	"$argon2id$v=16$m=128,t=2,p=1$c2FsdHNhbHRzYWx0c2FsAA$Qo5NWtuyXDk8m5IGvkr04ORJkPAVzD/"
	"GxigSbY2zfWw",
};

/* --- Argon2, watched ----------------------------------------------------------------------- */

/* How often it verified; while it is held, a verification that has begun does not end. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool held;
	int runs;
} argon2 = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* The library's, which the linker finds behind this one. */
int argon2id_verify(const char *encoded, const void *secret, size_t len);
int argon2id_verify(const char *encoded, const void *secret, size_t len)
{
	int (*real)(const char *, const void *, size_t);

	*(void **)&real = dlsym(RTLD_NEXT, "argon2id_verify");
	assert_non_null(real);
	pthread_mutex_lock(&argon2.lock);
	argon2.runs++;
	pthread_cond_broadcast(&argon2.changed);
	while (argon2.held)
		pthread_cond_wait(&argon2.changed, &argon2.lock);
	pthread_mutex_unlock(&argon2.lock);
	return real(encoded, secret, len);
}

static void argon2_hold(void)
{
	pthread_mutex_lock(&argon2.lock);
	argon2.held = true;
	argon2.runs = 0;
	pthread_mutex_unlock(&argon2.lock);
}

/* --- texts and hashes ------------------------------------------------------------------ */

static void new_credentials_are_whole_and_differ(void **state)
{
	struct apikey_text a, b;
	const char *secret;
	char id[65];

	(void)state;
	apikey_new("alk", &a);
	apikey_new("alk", &b);
	assert_int_equal(strlen(a.text), APIKEY_TEXT_LEN);
	assert_int_equal(apikey_split("alk", a.text, id, &secret), RC_OK);
	assert_string_equal(id, a.id);
	assert_int_equal(strlen(id), APIKEY_ID_LEN);
	assert_int_equal(strlen(secret), APIKEY_SECRET_LEN);
	assert_int_equal(apikey_split("ale", a.text, id, &secret), RC_INVALID);
	assert_string_not_equal(a.text, b.text);
	assert_string_not_equal(a.id, b.id);
}

#define ID64 "abcdefghijklmnopqrstuvwxyz0123456789-abcdefghijklmnopqrstuvwxyz0"
#define S128 ID64 ID64

static void credentials_split(void **state)
{
	static const struct {
		const char *text, *id, *secret;
	} cases[] = {
		{"alk_abc_0123456789abcdef", "abc", "0123456789abcdef"},
		{"alk_a-1_with_under-scores_0", "a-1", "with_under-scores_0"},
		{"alk_" ID64 "_" S128, ID64, S128},
		{"alk_" ID64 "x_0123456789abcdef", NULL, NULL},
		{"alk_abc_" S128 "x", NULL, NULL},
		{"ale_abc_0123456789abcdef", NULL, NULL},
		{"alk__0123456789abcdef", NULL, NULL},
		{"alk_ABC_0123456789abcdef", NULL, NULL},
		{"alk_abc_0123456789abcde", NULL, NULL},
		{"alk_abc_0123456789abcde!", NULL, NULL},
		{"alk_abc_0123456789abcdef ", NULL, NULL},
		{"alk_abc_0123456789abcd\xc3\xa9", NULL, NULL},
		{"alk_abc", NULL, NULL},
		{"alkabc_0123456789abcdef", NULL, NULL},
		{"alk", NULL, NULL},
		{"", NULL, NULL},
	};
	const char *secret;
	char id[65];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum rc rc = apikey_split("alk", cases[i].text, id, &secret);

		assert_int_equal(rc, cases[i].id ? RC_OK : RC_INVALID);
		if (rc == RC_OK) {
			assert_string_equal(id, cases[i].id);
			assert_string_equal(secret, cases[i].secret);
		}
	}
}

static void our_hash_has_the_cost_we_say(void **state)
{
	static const char start[] = "$argon2id$v=19$m=19456,t=2,p=1$";
	char encoded[160], again[160], tiny[20];

	(void)state;
	assert_int_equal(apikey_hash(SECRET, encoded, sizeof(encoded)), RC_OK);
	assert_memory_equal(encoded, start, sizeof(start) - 1);
	assert_true(apikey_hash_ok(encoded, SECRET));
	assert_false(apikey_hash_ok(encoded, SECRET "x"));
	assert_false(apikey_hash_ok(encoded, ""));
	assert_int_equal(apikey_hash(SECRET, again, sizeof(again)), RC_OK);
	assert_string_not_equal(encoded, again); /* the salt */
	assert_int_equal(apikey_hash(SECRET, tiny, sizeof(tiny)), RC_INTERNAL);
}

static void hashes_with_other_parameters_verify(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_true(apikey_hash_ok(others[i], SECRET));
		assert_false(apikey_hash_ok(others[i], "another-secret-of-a-key"));
	}
}

static void hashes_that_cost_too_much_are_not_even_tried(void **state)
{
	static const char *const bad[] = {
		"$argon2id$v=19$m=1048577,t=2,p=1$c29tZXNhbHQ$AAAA",
		"$argon2id$v=19$m=4294967360,t=2,p=1$c29tZXNhbHQ$AAAA",
		"$argon2id$v=19$m=99999999999999999999,t=2,p=1$c29tZXNhbHQ$AAAA",
		"$argon2id$v=19$m=-64,t=2,p=1$c29tZXNhbHQ$AAAA",
		"$argon2id$v=19$m=64,t=17,p=1$c29tZXNhbHQ$AAAA",
		"$argon2id$v=19$m=64,t=2,p=17$c29tZXNhbHQ$AAAA",
		"$argon2id$v=19$m=64,t=2,p=0$c29tZXNhbHQ$AAAA",
		"$argon2id$v=19$m=0,t=2,p=1$c29tZXNhbHQ$AAAA",
		"$argon2id$v=19$m= 64,t=2,p=1$c29tZXNhbHQ$AAAA",
		"$argon2id$v=19$t=2,m=64,p=1$c29tZXNhbHQ$AAAA",
		"$argon2id$v=19$m=64,t=2$c29tZXNhbHQ$AAAA",
		"$argon2id$v=19m=64,t=2,p=1$c29tZXNhbHQ$AAAA",
		"$argon2id$v=",
		"$argon2id$",
		"$argon2i$v=19$m=64,t=3,p=1$c29tZXNhbHQ$AAAA",
		"$2b$12$abcdefghijklmnopqrstuv",
		"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(apikey_hash_readable(bad[i]));
		assert_false(apikey_hash_ok(bad[i], SECRET));
	}
	assert_true(apikey_hash_readable("$argon2id$v=19$m=1048576,t=16,p=16$c29tZXNhbHQ$AAAA"));
	assert_true(apikey_hash_readable("$argon2id$m=64,t=1,p=1$c29tZXNhbHQ$AAAA"));
	/* Within the bounds, but no hash. */
	assert_false(apikey_hash_ok("$argon2id$v=19$m=64,t=1,p=1$$", SECRET));
	assert_false(apikey_hash_ok("$argon2id$v=19$m=64,t=1,p=1$!!!!$!!!!", SECRET));
}

static void an_allow_list_is_exact(void **state)
{
	char list[] = "[\"get_schema\", \"ex\\u0065cute\"]", none[] = "[]", broken[] = "[\"a\"",
	     object[] = "{\"a\":1}";
	struct apikey_grant g = {.tools = NULL};

	(void)state;
	assert_true(apikey_may_call(&g, "anything"));
	g.tools = list;
	assert_true(apikey_may_call(&g, "get_schema"));
	assert_true(apikey_may_call(&g, "execute"));
	assert_false(apikey_may_call(&g, "get_schem"));
	assert_false(apikey_may_call(&g, "get_schema2"));
	assert_false(apikey_may_call(&g, ""));
	g.tools = none;
	assert_false(apikey_may_call(&g, "a"));
	g.tools = broken;
	assert_false(apikey_may_call(&g, "a"));
	g.tools = object;
	assert_false(apikey_may_call(&g, "a"));
}

/* --- the cache ------------------------------------------------------------------------------- */

#define KEY(id) "alk_" id "_" SECRET
#define WRONG(id) "alk_" id "_the-wrong-secret-of-a-key"

struct checker {
	struct fixture *f;
	struct db_pool *pool;
	struct apikey_cache *cache;
};

static struct apikey_cache *cache_new(size_t entries, int slots, size_t callers, int wait_ms)
{
	return apikey_cache_new(&(struct apikey_bounds){entries, slots, callers, wait_ms});
}

static struct checker begin(void **state, size_t entries, int slots)
{
	struct checker c = {.f = fixture_of(state)};

	fixture_tenant(c.f->db, "acme");
	fixture_tenant(c.f->db, "other");
	c.pool = db_pool_new(c.f->path, HANDLES);
	c.cache = cache_new(entries, slots, CALLERS, WAIT_MS);
	return c;
}

static void end(struct checker *c)
{
	apikey_cache_free(c->cache);
	db_pool_free(c->pool);
}

/* A caller that may have to wait, which it does here as long as it has to. */
struct waiter {
	struct turnstile_place place;
	pthread_mutex_t lock;
	pthread_cond_t called;
	bool ready;
};

static void on_ready(void *ctx)
{
	struct waiter *w = ctx;

	pthread_mutex_lock(&w->lock);
	w->ready = true;
	pthread_cond_signal(&w->called);
	pthread_mutex_unlock(&w->lock);
}

static void waiter_init(struct waiter *w)
{
	pthread_condattr_t attr;

	*w = (struct waiter){.place = {.ready = on_ready, .ctx = w}};
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->called, &attr);
	pthread_condattr_destroy(&attr);
}

/* Until it was called, or its time is up. */
static void waiter_wait(struct waiter *w)
{
	/* Never a millisecond too early. */
	int64_t until_ms = w->place.until_ms + 1;
	const struct timespec until = {
		.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
	int code = 0;

	pthread_mutex_lock(&w->lock);
	while (!w->ready && code == 0)
		code = pthread_cond_timedwait(&w->called, &w->lock, &until);
	w->ready = false;
	pthread_mutex_unlock(&w->lock);
}

static void waiter_end(struct waiter *w)
{
	assert_null(w->place.trial);
	pthread_cond_destroy(&w->called);
	pthread_mutex_destroy(&w->lock);
}

static enum rc ask_once(struct checker *c, const char *text, struct waiter *w)
{
	struct apikey_grant g;
	enum rc rc = apikey_check(c->cache, c->pool, text, "acme", NOW, &w->place, &g);

	apikey_grant_clear(&g);
	return rc;
}

static enum rc ask(struct checker *c, const char *text, const char *slug, int64_t now_s,
	struct apikey_grant *g)
{
	struct waiter w;
	enum rc rc;

	waiter_init(&w);
	while ((rc = apikey_check(c->cache, c->pool, text, slug, now_s, &w.place, g)) == RC_LIMIT &&
		w.place.trial)
		waiter_wait(&w);
	waiter_end(&w);
	return rc;
}

static enum rc check_at(struct checker *c, const char *text, const char *slug, int64_t now_s)
{
	struct apikey_grant g;
	enum rc rc = ask(c, text, slug, now_s, &g);

	apikey_grant_clear(&g);
	return rc;
}

static enum rc check(struct checker *c, const char *text, const char *slug)
{
	return check_at(c, text, slug, NOW);
}

/* Makes a cached key's hash useless without a version of its own: only memory can still say yes. */
static void spoil(struct checker *c, const char *id)
{
	char sql[128];

	snprintf(sql, sizeof(sql), "UPDATE api_keys SET hash = 'spoilt' WHERE id = '%s'", id);
	assert_int_equal(sql_run(c->f->db, sql), RC_OK);
}

static void a_key_verifies_once_and_then_from_memory(void **state)
{
	struct checker c = begin(state, 10, 1);

	fixture_key(c.f->db, "t_acme", "k1", CHEAP, 1);
	assert_int_equal(check(&c, WRONG("k1"), "acme"), RC_DENIED);
	assert_int_equal(check(&c, KEY("k1"), "acme"), RC_OK);
	spoil(&c, "k1");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(check(&c, KEY("k1"), "acme"), RC_OK);
		assert_int_equal(check(&c, WRONG("k1"), "acme"), RC_DENIED);
	}
	end(&c);
}

/* Whoever is refused is refused in the same way; the key's id is told only when the secret was
 * right. */
static void refusals_look_alike(void **state)
{
	static const struct {
		const char *text, *slug, *key_id;
	} cases[] = {
		{"", "acme", ""},
		{"Bearer x", "acme", ""},
		{KEY("unknown"), "acme", ""},
		{WRONG("k1"), "acme", ""},
		{KEY("k1"), "other", "k1"},
		{KEY("k1"), "nobody", "k1"},
		{KEY("k1"), "", "k1"},
		{KEY("expired"), "acme", "expired"},
		{KEY("revoked"), "acme", "revoked"},
		{WRONG("revoked"), "acme", ""},
	};
	struct checker c = begin(state, 10, 1);
	struct audit_record who = fixture_who();
	struct api_key k = {.id = "expired",
		.tenant_id = "t_acme",
		.name = "n",
		.hash = CHEAP,
		.expires_at = NOW};
	struct apikey_grant g, empty;

	fixture_key(c.f->db, "t_acme", "k1", CHEAP, 1);
	fixture_key(c.f->db, "t_acme", "revoked", CHEAP, 1);
	assert_int_equal(api_key_create(c.f->db, &k, &who), RC_OK);
	assert_int_equal(api_key_revoke(c.f->db, "t_acme", "revoked", &who), RC_OK);
	/* Cold and warm. */
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			assert_int_equal(ask(&c, cases[i].text, cases[i].slug, NOW, &g), RC_DENIED);
			assert_string_equal(g.key_id, cases[i].key_id);
			memset(&empty, 0, sizeof(empty));
			str_copy(empty.key_id, sizeof(empty.key_id), cases[i].key_id);
			assert_memory_equal(&g, &empty, sizeof(g));
		}
	}
	end(&c);
}

static void an_expiry_counts_for_cached_keys_too(void **state)
{
	struct checker c = begin(state, 10, 1);
	struct audit_record who = fixture_who();
	struct api_key k = {.id = "k1",
		.tenant_id = "t_acme",
		.name = "n",
		.hash = CHEAP,
		.expires_at = NOW + 10};

	assert_int_equal(api_key_create(c.f->db, &k, &who), RC_OK);
	assert_int_equal(check_at(&c, KEY("k1"), "acme", NOW), RC_OK);
	assert_int_equal(check_at(&c, KEY("k1"), "acme", NOW + 9), RC_OK);
	assert_int_equal(check_at(&c, KEY("k1"), "acme", NOW + 10), RC_DENIED);
	end(&c);
}

/* Two caches with pools of their own stand for two processes. */
static void a_revocation_counts_at_once_in_every_cache(void **state)
{
	struct checker one = begin(state, 10, 1), two = one;
	struct audit_record who = fixture_who();
	struct tenant t;

	two.pool = db_pool_new(one.f->path, 2);
	two.cache = cache_new(10, 1, CALLERS, WAIT_MS);
	fixture_key(one.f->db, "t_acme", "k1", CHEAP, 1);
	fixture_key(one.f->db, "t_acme", "k2", CHEAP, 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(check(&one, KEY("k1"), "acme"), RC_OK);
		assert_int_equal(check(&two, KEY("k1"), "acme"), RC_OK);
		assert_int_equal(check(&two, KEY("k2"), "acme"), RC_OK);
	}
	assert_int_equal(api_key_revoke(one.f->db, "t_acme", "k1", &who), RC_OK);
	assert_int_equal(check(&one, KEY("k1"), "acme"), RC_DENIED);
	assert_int_equal(check(&two, KEY("k1"), "acme"), RC_DENIED);
	assert_int_equal(check(&two, KEY("k2"), "acme"), RC_OK);
	assert_int_equal(tenant_delete(one.f->db, "t_acme", &who), RC_OK);
	assert_int_equal(check(&two, KEY("k2"), "acme"), RC_DENIED);
	/* The same slug and key id again, with another secret: the old one is not believed. */
	assert_int_equal(tenant_create(one.f->db, "acme", "x", NULL, &who, &t), RC_OK);
	fixture_key(one.f->db, "t_acme", "k2", "none", 1);
	assert_int_equal(check(&two, KEY("k2"), "acme"), RC_DENIED);
	apikey_cache_free(two.cache);
	db_pool_free(two.pool);
	end(&one);
}

static void the_grant_says_what_the_row_says(void **state)
{
	struct checker c = begin(state, 10, 1);
	struct audit_record who = fixture_who();
	char tools[] = "[\"get_schema\"]";
	struct api_key k = {.id = "k1",
		.tenant_id = "t_acme",
		.name = "An agent",
		.hash = CHEAP,
		.tools = tools,
		.rate_per_minute = 7};
	struct apikey_grant g;
	struct tenant t;

	assert_int_equal(api_key_create(c.f->db, &k, &who), RC_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ask(&c, KEY("k1"), "acme", NOW, &g), RC_OK);
		assert_string_equal(g.key_id, "k1");
		assert_string_equal(g.key_name, "An agent");
		assert_string_equal(g.tenant_id, "t_acme");
		assert_string_equal(g.tenant_slug, "acme");
		assert_int_equal(g.rate_per_minute, 7);
		assert_string_equal(g.tools, tools);
		assert_false(g.tenant_suspended);
		apikey_grant_clear(&g);
		assert_null(g.tools);
	}
	assert_int_equal(tenant_suspend(c.f->db, "t_acme", true, &who, &t), RC_OK);
	assert_int_equal(ask(&c, KEY("k1"), "acme", NOW, &g), RC_OK);
	assert_true(g.tenant_suspended);
	apikey_grant_clear(&g);
	end(&c);
}

static int64_t last_used(struct checker *c, const char *id)
{
	struct api_key_row row;
	int64_t at;

	assert_int_equal(api_key_find(c->f->db, id, &row), RC_OK);
	at = row.key.last_used_at;
	api_key_clear(&row.key);
	return at;
}

static void use_is_noted_once_a_minute(void **state)
{
	struct checker c = begin(state, 10, 1);

	fixture_key(c.f->db, "t_acme", "k1", CHEAP, 1);
	assert_int_equal(check_at(&c, KEY("k1"), "other", NOW), RC_DENIED);
	assert_int_equal(last_used(&c, "k1"), 0);
	assert_int_equal(check_at(&c, KEY("k1"), "acme", NOW), RC_OK);
	assert_int_equal(last_used(&c, "k1"), NOW);
	assert_int_equal(check_at(&c, KEY("k1"), "acme", NOW + 59), RC_OK);
	assert_int_equal(last_used(&c, "k1"), NOW);
	assert_int_equal(check_at(&c, KEY("k1"), "acme", NOW + 60), RC_OK);
	assert_int_equal(last_used(&c, "k1"), NOW + 60);
	end(&c);
}

static bool recall(struct checker *c, const char *text, int64_t now_s, enum rc *rc)
{
	struct apikey_grant g;
	bool known = apikey_recall(c->cache, c->pool, text, "acme", now_s, &g, rc);

	apikey_grant_clear(&g);
	return known;
}

static void memory_alone_answers_only_while_nothing_was_committed(void **state)
{
	struct checker c = begin(state, 10, 1);
	struct audit_record who = fixture_who();
	enum rc rc = RC_INTERNAL;

	fixture_key(c.f->db, "t_acme", "k1", CHEAP, 1);
	fixture_key(c.f->db, "t_acme", "k2", CHEAP, 1);
	assert_false(recall(&c, "nonsense", NOW, &rc));
	assert_false(recall(&c, KEY("k1"), NOW, &rc)); /* never checked */
	for (int i = 0; i < 2; i++)
		assert_int_equal(check_at(&c, KEY("k1"), "acme", NOW), RC_OK);
	assert_true(recall(&c, KEY("k1"), NOW, &rc));
	assert_int_equal(rc, RC_OK);
	/* Its use is to be noted again, which memory alone can't do; the check then does. */
	assert_false(recall(&c, KEY("k1"), NOW + 60, &rc));
	assert_int_equal(check_at(&c, KEY("k1"), "acme", NOW + 60), RC_OK);
	assert_int_equal(last_used(&c, "k1"), NOW + 60);
	assert_int_equal(check_at(&c, KEY("k1"), "acme", NOW + 61), RC_OK);
	assert_true(recall(&c, KEY("k1"), NOW + 61, &rc));
	/* Whatever was committed. */
	assert_int_equal(api_key_revoke(c.f->db, "t_acme", "k2", &who), RC_OK);
	assert_false(recall(&c, KEY("k1"), NOW + 61, &rc));
	end(&c);
}

static void the_least_recently_used_entry_goes_first(void **state)
{
	struct checker c = begin(state, 2, 1);

	fixture_key(c.f->db, "t_acme", "k1", CHEAP, 1);
	fixture_key(c.f->db, "t_acme", "k2", CHEAP, 1);
	fixture_key(c.f->db, "t_acme", "k3", CHEAP, 1);
	assert_int_equal(check(&c, KEY("k1"), "acme"), RC_OK);
	assert_int_equal(check(&c, KEY("k2"), "acme"), RC_OK);
	assert_int_equal(check(&c, KEY("k1"), "acme"), RC_OK);
	assert_int_equal(check(&c, KEY("k3"), "acme"), RC_OK); /* k2 goes */
	spoil(&c, "k1");
	spoil(&c, "k2");
	spoil(&c, "k3");
	assert_int_equal(check(&c, KEY("k1"), "acme"), RC_OK);
	assert_int_equal(check(&c, KEY("k3"), "acme"), RC_OK);
	assert_int_equal(check(&c, KEY("k2"), "acme"), RC_DENIED);
	end(&c);
}

static void without_the_state_nobody_is_let_in(void **state)
{
	struct checker c = {.cache = cache_new(10, 1, CALLERS, WAIT_MS),
		.pool = db_pool_new("/tmp/no/such/directory/state.db", 1)};

	(void)state;
	assert_int_equal(check(&c, KEY("k1"), "acme"), RC_UNAVAILABLE);
	assert_int_equal(check(&c, "no key", "acme"), RC_DENIED);
	end(&c);
	apikey_cache_free(NULL);
}

/* --- in front of Argon2 --------------------------------------------------------------------------
 */

/* Threads that come with one key, each with its own guess where there are guesses; the numbers are
 * under the lock of argon2. */
struct crowd {
	struct checker *c;
	const char *text;
	const char *guesses[THREADS];
	int came, count[RC_INTERNAL + 1];
	pthread_t thread[THREADS];
};

static void *knock(void *arg)
{
	struct crowd *w = arg;
	const char *text;
	enum rc rc;

	pthread_mutex_lock(&argon2.lock);
	text = w->guesses[w->came] ? w->guesses[w->came] : w->text;
	w->came++;
	pthread_cond_broadcast(&argon2.changed);
	pthread_mutex_unlock(&argon2.lock);
	rc = check(w->c, text, "acme");
	pthread_mutex_lock(&argon2.lock);
	w->count[rc]++;
	pthread_cond_broadcast(&argon2.changed);
	pthread_mutex_unlock(&argon2.lock);
	return NULL;
}

/* Returns when all have come, so many were turned away, and one verification runs and is held. */
static void gather(struct crowd *w, int turned_away)
{
	argon2_hold();
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&w->thread[i], NULL, knock, w), 0);
	pthread_mutex_lock(&argon2.lock);
	while (argon2.runs < 1 || w->came < THREADS || w->count[RC_LIMIT] < turned_away)
		pthread_cond_wait(&argon2.changed, &argon2.lock);
	pthread_mutex_unlock(&argon2.lock);
}

/* Lets them go on, and returns how many verifications there were in all. */
static int disperse(struct crowd *w)
{
	pthread_mutex_lock(&argon2.lock);
	argon2.held = false;
	pthread_cond_broadcast(&argon2.changed);
	pthread_mutex_unlock(&argon2.lock);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(w->thread[i], NULL), 0);
	return argon2.runs;
}

/* Threads that come with the same new key at the same time cost one run, not one each. */
static void one_key_is_verified_once_for_all_who_wait(void **state)
{
	struct checker c = begin(state, 10, THREADS);
	struct crowd w = {.c = &c, .text = KEY("k1")};

	fixture_key(c.f->db, "t_acme", "k1", CHEAP, 1);
	gather(&w, 0);
	assert_int_equal(disperse(&w), 1);
	assert_int_equal(w.count[RC_OK], THREADS);
	end(&c);
}

/* However many they are. */
static void one_credential_waits_as_one(void **state)
{
	struct checker c = begin(state, 10, 1);
	struct crowd w = {.c = &c, .text = KEY("k1")};
	struct crowd wrong = {.c = &c, .text = WRONG("k2")};

	fixture_key(c.f->db, "t_acme", "k1", CHEAP, 1);
	gather(&w, 0);
	assert_int_equal(disperse(&w), 1);
	assert_int_equal(w.count[RC_OK], THREADS);

	fixture_key(c.f->db, "t_acme", "k2", CHEAP, 1);
	gather(&wrong, 0);
	/* Who comes when it is over is tried anew. */
	assert_true(disperse(&wrong) <= THREADS);
	assert_int_equal(wrong.count[RC_DENIED], THREADS);
	end(&c);
}

/* Guesses wait their turn or are turned away; who needs the state meanwhile gets a handle. */
static void guesses_leave_the_state_to_others(void **state)
{
	struct checker c = begin(state, 10, 1);
	struct crowd w = {.c = &c,
		.guesses = {WRONG("k1") "1", WRONG("k1") "2", WRONG("k1") "3", WRONG("k1") "4",
			WRONG("k1") "5", WRONG("k1") "6"}};
	struct db *db[HANDLES];

	fixture_key(c.f->db, "t_acme", "k1", CHEAP, 1);
	/* One runs and four wait: a sixth secret of one key is one too many. */
	gather(&w, 1);
	for (int i = 0; i < HANDLES; i++)
		assert_int_equal(db_pool_get(c.pool, &db[i]), RC_OK);
	for (int i = 0; i < HANDLES; i++)
		db_pool_put(c.pool, db[i]);
	(void)disperse(&w);
	assert_int_equal(w.count[RC_DENIED], 5);
	assert_int_equal(w.count[RC_LIMIT], 1);
	end(&c);
}

/* One verification that is held, and keys k1 to k4 that wait for it. */
struct line {
	struct checker *c;
	pthread_t holder;
	struct waiter w[4];
};

static const char *const line_key[4] = {KEY("k1"), KEY("k2"), KEY("k3"), KEY("k4")};

static void *hold(void *arg)
{
	struct line *l = arg;

	assert_int_equal(check(l->c, KEY("k0"), "acme"), RC_OK);
	return NULL;
}

static void line_up(struct line *l, struct checker *c)
{
	static const char *const ids[] = {"k0", "k1", "k2", "k3", "k4"};

	for (int i = 0; i < 5; i++)
		fixture_key(c->f->db, "t_acme", ids[i], CHEAP, 1);
	l->c = c;
	argon2_hold();
	assert_int_equal(pthread_create(&l->holder, NULL, hold, l), 0);
	pthread_mutex_lock(&argon2.lock);
	while (argon2.runs < 1)
		pthread_cond_wait(&argon2.changed, &argon2.lock);
	pthread_mutex_unlock(&argon2.lock);
	for (int i = 0; i < 4; i++) {
		waiter_init(&l->w[i]);
		assert_int_equal(ask_once(c, line_key[i], &l->w[i]), RC_LIMIT);
		assert_non_null(l->w[i].place.trial);
	}
}

static void line_go_on(struct line *l)
{
	pthread_mutex_lock(&argon2.lock);
	argon2.held = false;
	pthread_cond_broadcast(&argon2.changed);
	pthread_mutex_unlock(&argon2.lock);
	assert_int_equal(pthread_join(l->holder, NULL), 0);
}

static void different_keys_wait_in_line(void **state)
{
	struct checker c = begin(state, 10, 1);
	struct line l;

	fixture_key(c.f->db, "t_acme", "known", CHEAP, 1);
	assert_int_equal(check(&c, KEY("known"), "acme"), RC_OK);
	line_up(&l, &c);
	/* Whoever is known waits for nobody, and whoever is nobody waits for none. */
	assert_int_equal(check(&c, KEY("known"), "acme"), RC_OK);
	assert_int_equal(check(&c, WRONG("known"), "acme"), RC_DENIED);
	assert_int_equal(check(&c, KEY("unknown"), "acme"), RC_DENIED);
	/* To ask too early is no turn. */
	assert_int_equal(ask_once(&c, KEY("k1"), &l.w[0]), RC_LIMIT);
	assert_non_null(l.w[0].place.trial);
	line_go_on(&l);
	for (int i = 0; i < 4; i++) {
		for (int j = 0; j < 4; j++)
			assert_int_equal(l.w[j].ready, j <= i);
		assert_int_equal(ask_once(&c, line_key[i], &l.w[i]), RC_OK);
		waiter_end(&l.w[i]);
	}
	assert_int_equal(argon2.runs, 5);
	end(&c);
}

static void a_key_waits_for_its_turn_only_so_long(void **state)
{
	struct checker c = begin(state, 10, 1);
	struct line l;

	apikey_cache_free(c.cache);
	c.cache = cache_new(10, 1, CALLERS, 1);
	line_up(&l, &c);
	for (int i = 0; i < 4; i++) {
		waiter_wait(&l.w[i]);
		assert_int_equal(ask_once(&c, line_key[i], &l.w[i]), RC_LIMIT);
		waiter_end(&l.w[i]);
	}
	line_go_on(&l);
	assert_int_equal(argon2.runs, 1);
	/* Nobody stands in the way any more. */
	assert_int_equal(check(&c, KEY("k4"), "acme"), RC_OK);
	end(&c);
}

static void who_leaves_the_line_makes_room(void **state)
{
	struct checker c = begin(state, 10, 1);
	struct waiter more;
	struct line l;

	apikey_cache_free(c.cache);
	c.cache = cache_new(10, 1, 4, WAIT_MS);
	line_up(&l, &c);
	fixture_key(c.f->db, "t_acme", "k5", CHEAP, 1);
	waiter_init(&more);
	assert_int_equal(ask_once(&c, KEY("k5"), &more), RC_LIMIT);
	assert_null(more.place.trial);
	apikey_leave(c.cache, &l.w[0].place);
	apikey_leave(c.cache, &l.w[0].place);
	assert_int_equal(ask_once(&c, KEY("k5"), &more), RC_LIMIT);
	assert_non_null(more.place.trial);
	line_go_on(&l);
	for (int i = 1; i < 4; i++)
		assert_int_equal(ask_once(&c, line_key[i], &l.w[i]), RC_OK);
	assert_int_equal(ask_once(&c, KEY("k5"), &more), RC_OK);
	for (int i = 0; i < 4; i++)
		waiter_end(&l.w[i]);
	waiter_end(&more);
	end(&c);
}

static void guesses_at_one_key_leave_the_line_to_others(void **state)
{
	static const char *const guesses[] = {WRONG("k9") "1", WRONG("k9") "2", WRONG("k9") "3",
		WRONG("k9") "4", WRONG("k9") "5"};
	struct checker c = begin(state, 10, 1);
	struct waiter w[5], more;
	struct line l;

	fixture_key(c.f->db, "t_acme", "k9", CHEAP, 1);
	line_up(&l, &c);
	for (int i = 0; i < 5; i++) {
		waiter_init(&w[i]);
		assert_int_equal(ask_once(&c, guesses[i], &w[i]), RC_LIMIT);
		assert_non_null(w[i].place.trial);
	}
	waiter_init(&more);
	assert_int_equal(ask_once(&c, WRONG("k9") "6", &more), RC_LIMIT);
	assert_null(more.place.trial);
	fixture_key(c.f->db, "t_acme", "k5", CHEAP, 1);
	assert_int_equal(ask_once(&c, KEY("k5"), &more), RC_LIMIT);
	assert_non_null(more.place.trial);
	line_go_on(&l);
	for (int i = 0; i < 4; i++)
		assert_int_equal(ask_once(&c, line_key[i], &l.w[i]), RC_OK);
	for (int i = 0; i < 5; i++)
		assert_int_equal(ask_once(&c, guesses[i], &w[i]), RC_DENIED);
	assert_int_equal(ask_once(&c, KEY("k5"), &more), RC_OK);
	for (int i = 0; i < 4; i++)
		waiter_end(&l.w[i]);
	for (int i = 0; i < 5; i++)
		waiter_end(&w[i]);
	waiter_end(&more);
	end(&c);
}

/* A caller may find its key verified by the time that it has its turn: that goes to the next. */
static void a_turn_that_nobody_needs_goes_on(void **state)
{
	struct checker c = begin(state, 10, 1);
	struct waiter wrong;
	struct line l;

	line_up(&l, &c);
	waiter_init(&wrong);
	assert_int_equal(ask_once(&c, WRONG("k1"), &wrong), RC_LIMIT);
	assert_non_null(wrong.place.trial);
	line_go_on(&l);
	for (int i = 0; i < 4; i++)
		assert_int_equal(ask_once(&c, line_key[i], &l.w[i]), RC_OK);
	assert_true(wrong.ready);
	assert_int_equal(ask_once(&c, WRONG("k1"), &wrong), RC_DENIED);
	assert_int_equal(argon2.runs, 5);
	fixture_key(c.f->db, "t_acme", "k5", CHEAP, 1);
	assert_int_equal(ask_once(&c, KEY("k5"), &l.w[0]), RC_OK);
	for (int i = 0; i < 4; i++)
		waiter_end(&l.w[i]);
	waiter_end(&wrong);
	end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_credentials_are_whole_and_differ),
		cmocka_unit_test(credentials_split),
		cmocka_unit_test(our_hash_has_the_cost_we_say),
		cmocka_unit_test(hashes_with_other_parameters_verify),
		cmocka_unit_test(hashes_that_cost_too_much_are_not_even_tried),
		cmocka_unit_test(an_allow_list_is_exact),
		FIXTURE_TEST(a_key_verifies_once_and_then_from_memory),
		FIXTURE_TEST(refusals_look_alike),
		FIXTURE_TEST(an_expiry_counts_for_cached_keys_too),
		FIXTURE_TEST(a_revocation_counts_at_once_in_every_cache),
		FIXTURE_TEST(the_grant_says_what_the_row_says),
		FIXTURE_TEST(use_is_noted_once_a_minute),
		FIXTURE_TEST(memory_alone_answers_only_while_nothing_was_committed),
		FIXTURE_TEST(the_least_recently_used_entry_goes_first),
		cmocka_unit_test(without_the_state_nobody_is_let_in),
		FIXTURE_TEST(one_key_is_verified_once_for_all_who_wait),
		FIXTURE_TEST(one_credential_waits_as_one),
		FIXTURE_TEST(guesses_leave_the_state_to_others),
		FIXTURE_TEST(different_keys_wait_in_line),
		FIXTURE_TEST(a_key_waits_for_its_turn_only_so_long),
		FIXTURE_TEST(who_leaves_the_line_makes_room),
		FIXTURE_TEST(guesses_at_one_key_leave_the_line_to_others),
		FIXTURE_TEST(a_turn_that_nobody_needs_goes_on),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
