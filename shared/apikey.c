#include "shared/apikey.h"

#include <argon2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/dbmark.h"
#include "shared/jscan.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"

#define ARGON2_MEMORY_KIB 19456
#define ARGON2_PASSES 2
#define ARGON2_LANES 1
#define ARGON2_MEMORY_KIB_MAX (1024 * 1024)
#define ARGON2_PASSES_MAX 16
#define ARGON2_LANES_MAX 16
#define TOUCH_EVERY_S 60
#define BUCKETS 1024

void apikey_new(const char *kind, struct apikey_text *out)
{
	uint8_t id[10], secret[32];
	char secret_text[APIKEY_SECRET_LEN + 1];

	crypto_random(id, sizeof(id));
	crypto_random(secret, sizeof(secret));
	text_b32(id, sizeof(id), out->id);
	text_b32(secret, sizeof(secret), secret_text);
	snprintf(out->text, sizeof(out->text), "%s_%s_%s", kind, out->id, secret_text);
	mem_wipe(secret, sizeof(secret));
	mem_wipe(secret_text, sizeof(secret_text));
}

enum rc apikey_split(const char *kind, const char *text, char id[65], const char **secret)
{
	static const char id_chars[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	static const char secret_chars[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
	size_t kind_len = strlen(kind), id_len, secret_len;

	if (strncmp(text, kind, kind_len) != 0 || text[kind_len] != '_')
		return RC_INVALID;
	text += kind_len + 1;
	id_len = strspn(text, id_chars);
	if (id_len < 1 || id_len > 64 || text[id_len] != '_')
		return RC_INVALID;
	secret_len = strnlen(text + id_len + 1, 129);
	if (secret_len < 16 || secret_len > 128 ||
		strspn(text + id_len + 1, secret_chars) != secret_len)
		return RC_INVALID;
	memcpy(id, text, id_len);
	id[id_len] = '\0';
	*secret = text + id_len + 1;
	return RC_OK;
}

enum rc apikey_hash(const char *secret, char *encoded, size_t cap)
{
	uint8_t salt[16];
	int code;

	crypto_random(salt, sizeof(salt));
	code = argon2id_hash_encoded(ARGON2_PASSES, ARGON2_MEMORY_KIB, ARGON2_LANES, secret,
		strlen(secret), salt, sizeof(salt), 32, encoded, cap);
	if (code == ARGON2_OK)
		return RC_OK;
	log_err("argon2: %s", argon2_error_message(code));
	return RC_INTERNAL;
}

/* "m=19456": a name, and a whole number of at most max. */
static bool parameter(const char **at, const char *name, uint32_t max, uint32_t *value)
{
	size_t len = strlen(name);
	uint32_t n = 0;
	const char *p;

	if (strncmp(*at, name, len) != 0)
		return false;
	for (p = *at + len; *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (uint32_t)(*p - '0');
		if (n > max)
			return false;
	}
	if (p == *at + len)
		return false;
	*at = p;
	*value = n;
	return true;
}

bool apikey_hash_readable(const char *encoded)
{
	static const char prefix[] = "$argon2id$";
	uint32_t version, memory, passes, lanes;
	const char *p = encoded + sizeof(prefix) - 1;

	if (strncmp(encoded, prefix, sizeof(prefix) - 1) != 0)
		return false;
	/* The oldest encodings name no version. */
	if (*p == 'v' && (!parameter(&p, "v=", 0xff, &version) || *p++ != '$'))
		return false;
	return parameter(&p, "m=", ARGON2_MEMORY_KIB_MAX, &memory) &&
		parameter(&p, ",t=", ARGON2_PASSES_MAX, &passes) &&
		parameter(&p, ",p=", ARGON2_LANES_MAX, &lanes) && *p == '$' && memory > 0 &&
		passes > 0 && lanes > 0;
}

bool apikey_hash_ok(const char *encoded, const char *secret)
{
	/* What it costs is read first: it decides how much memory a check takes. */
	return apikey_hash_readable(encoded) &&
		argon2id_verify(encoded, secret, strlen(secret)) == ARGON2_OK;
}

void apikey_digest(const char *secret, uint8_t out[CRYPTO_HASH_LEN])
{
	crypto_blake2b(NULL, 0, secret, strlen(secret), out);
}

void apikey_grant_clear(struct apikey_grant *g)
{
	free(g->tools);
	memset(g, 0, sizeof(*g));
}

bool apikey_may_call(const struct apikey_grant *g, const char *tool)
{
	struct jscan list, key, value;
	struct jscan_iter it;

	if (!g->tools)
		return true;
	if (jscan_parse(g->tools, strlen(g->tools), &list) != RC_OK || list.kind != JSCAN_ARRAY)
		return false;
	it = jscan_iter(list);
	while (jscan_next(&it, &key, &value)) {
		if (jscan_is_str(value, tool))
			return true;
	}
	return false;
}

/* A key that verified once in this process. Guarded by the cache's lock. */
struct entry {
	struct entry *chain; /* same bucket */
	struct entry *newer, *older; /* by use */
	uint8_t digest[CRYPTO_HASH_LEN];
	struct api_key_row row;
	int64_t touched_at;
	struct dbmark mark; /* while the database bears it, row is current */
	bool marked;
};

struct apikey_cache {
	pthread_mutex_t lock;
	struct turnstile *turnstile; /* in front of Argon2 */
	int wait_ms;
	uint8_t digest_key[CRYPTO_KEY_LEN];
	struct entry *buckets[BUCKETS];
	struct entry *newest, *oldest;
	size_t count, max;
};

struct apikey_cache *apikey_cache_new(const struct apikey_bounds *b)
{
	struct apikey_cache *c = xcalloc(1, sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	crypto_random(c->digest_key, sizeof(c->digest_key));
	c->max = b->entries ? b->entries : 1;
	c->turnstile = turnstile_new(b->runs, b->callers);
	c->wait_ms = b->wait_ms;
	return c;
}

static size_t bucket_of(const char *id)
{
	size_t h = 5381;

	while (*id)
		h = h * 33 + (unsigned char)*id++;
	return h % BUCKETS;
}

static void unlink_use(struct apikey_cache *c, struct entry *e)
{
	*(e->newer ? &e->newer->older : &c->newest) = e->older;
	*(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void link_newest(struct apikey_cache *c, struct entry *e)
{
	e->newer = NULL;
	e->older = c->newest;
	*(c->newest ? &c->newest->newer : &c->oldest) = e;
	c->newest = e;
}

static void forget(struct apikey_cache *c, struct entry *e)
{
	struct entry **at = &c->buckets[bucket_of(e->row.key.id)];

	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	unlink_use(c, e);
	c->count--;
	api_key_clear(&e->row.key);
	mem_wipe(e, sizeof(*e));
	free(e);
}

void apikey_cache_free(struct apikey_cache *c)
{
	if (!c)
		return;
	while (c->oldest)
		forget(c, c->oldest);
	turnstile_free(c->turnstile);
	pthread_mutex_destroy(&c->lock);
	mem_wipe(c, sizeof(*c));
	free(c);
}

static struct entry *find(struct apikey_cache *c, const char *id)
{
	struct entry *e = c->buckets[bucket_of(id)];

	while (e && strcmp(e->row.key.id, id) != 0)
		e = e->chain;
	return e;
}

/* Takes over what row owns. */
static struct entry *remember(
	struct apikey_cache *c, const uint8_t digest[CRYPTO_HASH_LEN], struct api_key_row *row)
{
	struct entry *e = find(c, row->key.id);
	size_t bucket = bucket_of(row->key.id);

	if (e)
		forget(c, e);
	if (c->count == c->max)
		forget(c, c->oldest);
	e = xcalloc(1, sizeof(*e));
	memcpy(e->digest, digest, CRYPTO_HASH_LEN);
	e->row = *row;
	row->key.tools = NULL;
	/* The hash has done its work. */
	mem_wipe(e->row.key.hash, sizeof(e->row.key.hash));
	e->touched_at = row->key.last_used_at;
	e->chain = c->buckets[bucket];
	c->buckets[bucket] = e;
	link_newest(c, e);
	c->count++;
	return e;
}

/* What a caller showed, and for which tenant and when. */
struct presented {
	char id[65];
	const char *secret; /* borrowed */
	uint8_t digest[CRYPTO_HASH_LEN];
	const char *slug;
	int64_t now_s;
	struct dbmark mark; /* of the database, read before anything was asked of it */
	bool marked;
};

/* What a verified key is good for now. */
static enum rc grant(
	struct entry *e, const struct presented *p, struct apikey_grant *out, bool *touch)
{
	const struct api_key *k = &e->row.key;
	bool expired = k->expires_at && k->expires_at <= p->now_s;

	str_copy(out->key_id, sizeof(out->key_id), k->id);
	if (k->revoked_at || expired || strcmp(e->row.tenant.slug, p->slug) != 0)
		return RC_DENIED;
	str_copy(out->key_name, sizeof(out->key_name), k->name);
	str_copy(out->tenant_id, sizeof(out->tenant_id), k->tenant_id);
	str_copy(out->tenant_slug, sizeof(out->tenant_slug), e->row.tenant.slug);
	out->tenant_suspended = e->row.tenant.suspended;
	out->rate_per_minute = k->rate_per_minute;
	out->tools = k->tools ? xstrdup(k->tools) : NULL;
	*touch = p->now_s - e->touched_at >= TOUCH_EVERY_S;
	if (*touch)
		e->touched_at = p->now_s;
	return RC_OK;
}

/* What a cached entry says of a presented secret. */
static enum rc judge(struct apikey_cache *c, struct entry *e, const struct presented *p,
	struct apikey_grant *out, bool *touch)
{
	if (!crypto_equal(e->digest, CRYPTO_HASH_LEN, p->digest, CRYPTO_HASH_LEN))
		return RC_DENIED;
	unlink_use(c, e);
	link_newest(c, e);
	return grant(e, p, out, touch);
}

/* Answers from memory when the entry is of this very version of the row; false when there is none.
 */
static bool check_cached(struct apikey_cache *c, const struct presented *p, int64_t version,
	struct apikey_grant *out, bool *touch, enum rc *rc)
{
	struct entry *e;

	pthread_mutex_lock(&c->lock);
	e = find(c, p->id);
	if (e && e->row.row_version != version) {
		forget(c, e);
		e = NULL;
	}
	if (e) {
		e->mark = p->mark;
		e->marked = p->marked;
		*rc = judge(c, e, p, out, touch);
	}
	pthread_mutex_unlock(&c->lock);
	return e != NULL;
}

/* Answers from memory alone while nothing at all was committed since the entry was last known to be
 * current. */
static bool check_unchanged(struct apikey_cache *c, const struct presented *p,
	struct apikey_grant *out, bool *touch, enum rc *rc)
{
	struct entry *e;

	if (!p->marked)
		return false;
	pthread_mutex_lock(&c->lock);
	e = find(c, p->id);
	if (e && !(e->marked && dbmark_equal(&e->mark, &p->mark)))
		e = NULL;
	if (e)
		*rc = judge(c, e, p, out, touch);
	pthread_mutex_unlock(&c->lock);
	return e != NULL;
}

/* The slow way: one Argon2 run, and the entry for next time. Takes over what row owns when it
 * verifies. */
static enum rc check_slowly(struct apikey_cache *c, struct api_key_row *row,
	const struct presented *p, struct apikey_grant *out, bool *touch)
{
	enum rc rc;

	if (!apikey_hash_ok(row->key.hash, p->secret))
		return RC_DENIED;
	pthread_mutex_lock(&c->lock);
	rc = grant(remember(c, p->digest, row), p, out, touch);
	pthread_mutex_unlock(&c->lock);
	return rc;
}

/* Handles are few and Argon2 is slow: one is held for a query, never for that. */
static enum rc read_version(struct db_pool *pool, const char *id, int64_t *version)
{
	struct db *db = NULL;
	enum rc rc = db_pool_get(pool, &db);

	if (rc != RC_OK)
		return RC_UNAVAILABLE;
	rc = api_key_version(db, id, version);
	db_pool_put(pool, db);
	return rc;
}

static enum rc read_row(struct db_pool *pool, const char *id, struct api_key_row *row)
{
	struct db *db = NULL;
	enum rc rc = db_pool_get(pool, &db);

	if (rc != RC_OK)
		return RC_UNAVAILABLE;
	rc = api_key_find(db, id, row);
	db_pool_put(pool, db);
	return rc;
}

/* When a key was last used is worth knowing, not worth refusing a call for. */
static void note_use(struct db_pool *pool, const char *id, int64_t now_s)
{
	struct db *db = NULL;

	if (db_pool_get(pool, &db) != RC_OK)
		return;
	if (api_key_touch(db, id, now_s) != RC_OK)
		log_warn("the time of a key's last use was not written");
	db_pool_put(pool, db);
}

static enum rc check_row(struct apikey_cache *c, struct db_pool *pool, const struct presented *p,
	struct apikey_grant *out, bool *touch, int64_t *version)
{
	struct api_key_row row;
	enum rc rc = read_row(pool, p->id, &row);

	if (rc != RC_OK)
		return rc == RC_NOTFOUND ? RC_DENIED : RC_UNAVAILABLE;
	*version = row.row_version;
	/* Somebody may have verified the same key while this caller waited for its turn. */
	if (!check_cached(c, p, row.row_version, out, touch, &rc))
		rc = check_slowly(c, &row, p, out, touch);
	api_key_clear(&row.key);
	return rc;
}

static enum rc take_turn(struct apikey_cache *c, struct db_pool *pool, const struct presented *p,
	struct turnstile_place *place, struct apikey_grant *out, bool *touch)
{
	int64_t version = -1;
	enum rc rc = check_row(c, pool, p, out, touch, &version);

	turnstile_end(c->turnstile, place, rc, version);
	return rc;
}

/* With the database: the row's version first, then whatever that calls for. */
static enum rc check_state(struct apikey_cache *c, struct db_pool *pool, const struct presented *p,
	struct turnstile_place *place, struct apikey_grant *out, bool *touch)
{
	int64_t version, tried = -1, now_ms = clock_mono_ms();
	enum turn turn = TURN_OVER;
	enum rc told = RC_OK, rc;

	if (place->trial)
		turn = turnstile_again(c->turnstile, place, now_ms, &told, &tried);
	else
		place->until_ms = now_ms + c->wait_ms;
	if (turn == TURN_OVER) {
		rc = read_version(pool, p->id, &version);
		if (rc != RC_OK)
			return rc == RC_NOTFOUND ? RC_DENIED : RC_UNAVAILABLE;
		/* A trial may also end in a refusal after the key verified, for a tenant that is
		 * not everybody's: what is known of the key goes before what the trial came to. */
		if (check_cached(c, p, version, out, touch, &rc))
			return rc;
		/* That says nothing about a row of another version. */
		if (told != RC_OK && (tried == version || tried < 0))
			return told;
		turn = turnstile_enter(c->turnstile, place, p->id, p->digest, now_ms);
	}
	return turn == TURN_NOW ? take_turn(c, pool, p, place, out, touch) : RC_LIMIT;
}

/* False: no key at all. */
static bool present(struct apikey_cache *c, struct db_pool *pool, const char *text,
	const char *tenant_slug, int64_t now_s, struct presented *p)
{
	*p = (struct presented){.slug = tenant_slug, .now_s = now_s};
	if (apikey_split("alk", text, p->id, &p->secret) != RC_OK)
		return false;
	crypto_blake2b(
		c->digest_key, sizeof(c->digest_key), p->secret, strlen(p->secret), p->digest);
	p->marked = db_pool_mark(pool, &p->mark);
	return true;
}

bool apikey_recall(struct apikey_cache *c, struct db_pool *pool, const char *presented,
	const char *tenant_slug, int64_t now_s, struct apikey_grant *out, enum rc *rc)
{
	struct presented p;
	bool touch = false, known;
	struct entry *e;

	memset(out, 0, sizeof(*out));
	if (!present(c, pool, presented, tenant_slug, now_s, &p))
		return false;
	known = check_unchanged(c, &p, out, &touch, rc);
	if (known && touch) {
		/* Its last use is to be noted: whoever may write does that. */
		pthread_mutex_lock(&c->lock);
		e = find(c, p.id);
		if (e)
			e->touched_at = 0;
		pthread_mutex_unlock(&c->lock);
		apikey_grant_clear(out);
		known = false;
	}
	mem_wipe(p.digest, sizeof(p.digest));
	return known;
}

enum rc apikey_check(struct apikey_cache *c, struct db_pool *pool, const char *presented,
	const char *tenant_slug, int64_t now_s, struct turnstile_place *place,
	struct apikey_grant *out)
{
	struct presented p;
	bool touch = false;
	enum rc rc = RC_DENIED;

	memset(out, 0, sizeof(*out));
	if (!present(c, pool, presented, tenant_slug, now_s, &p))
		return RC_DENIED;
	if (check_unchanged(c, &p, out, &touch, &rc))
		turnstile_leave(c->turnstile, place);
	else
		rc = check_state(c, pool, &p, place, out, &touch);
	if (rc == RC_OK && touch)
		note_use(pool, out->key_id, now_s);
	mem_wipe(p.digest, sizeof(p.digest));
	return rc;
}

void apikey_leave(struct apikey_cache *c, struct turnstile_place *place)
{
	turnstile_leave(c->turnstile, place);
}
