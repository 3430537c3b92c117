#include "shared/apikey.h"

#include <argon2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
#define WAITERS_PER_SLOT 8
#define TOUCH_EVERY_S 60
#define BUCKETS 1024

void apikey_new(const char *kind, struct apikey_text *out)
{
	uint8_t id[10], secret[32];
	char secret_text[APIKEY_SECRET_LEN + 1];

	crypto_random(id, sizeof id);
	crypto_random(secret, sizeof secret);
	text_b32(id, sizeof id, out->id);
	text_b32(secret, sizeof secret, secret_text);
	snprintf(out->text, sizeof out->text, "%s_%s_%s", kind, out->id, secret_text);
	mem_wipe(secret, sizeof secret);
	mem_wipe(secret_text, sizeof secret_text);
}

enum rc apikey_split(const char *kind, const char *text, char id[65], const char **secret)
{
	static const char id_chars[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	static const char secret_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
	size_t kind_len = strlen(kind), id_len, secret_len;

	if (strncmp(text, kind, kind_len) != 0 || text[kind_len] != '_')
		return RC_INVALID;
	text += kind_len + 1;
	id_len = strspn(text, id_chars);
	if (id_len < 1 || id_len > 64 || text[id_len] != '_')
		return RC_INVALID;
	secret_len = strnlen(text + id_len + 1, 129);
	if (secret_len < 16 || secret_len > 128 || strspn(text + id_len + 1, secret_chars) != secret_len)
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

	crypto_random(salt, sizeof salt);
	code = argon2id_hash_encoded(ARGON2_PASSES, ARGON2_MEMORY_KIB, ARGON2_LANES, secret, strlen(secret), salt, sizeof salt, 32, encoded, cap);
	if (code == ARGON2_OK)
		return RC_OK;
	log_err("argon2: %s", argon2_error_message(code));
	return RC_INTERNAL;
}

bool apikey_hash_ok(const char *encoded, const char *secret)
{
	unsigned version, memory, passes, lanes;
	int end = 0;

	/* The parameters are read first: they decide how much memory a check takes. */
	if (sscanf(encoded, "$argon2id$v=%u$m=%u,t=%u,p=%u$%n", &version, &memory, &passes, &lanes, &end) != 4 || end == 0)
		return false;
	if (memory > ARGON2_MEMORY_KIB_MAX || passes > ARGON2_PASSES_MAX || lanes < 1 || lanes > ARGON2_LANES_MAX)
		return false;
	return argon2id_verify(encoded, secret, strlen(secret)) == ARGON2_OK;
}

void apikey_digest(const char *secret, uint8_t out[CRYPTO_HASH_LEN])
{
	crypto_blake2b(NULL, 0, secret, strlen(secret), out);
}

void apikey_grant_clear(struct apikey_grant *g)
{
	free(g->tools);
	memset(g, 0, sizeof *g);
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
	struct entry *chain;	     /* same bucket */
	struct entry *newer, *older; /* by use */
	uint8_t digest[CRYPTO_HASH_LEN];
	struct api_key_row row;
	int64_t touched_at;
};

struct apikey_cache {
	pthread_mutex_t lock;
	pthread_cond_t slot_free;
	uint8_t digest_key[CRYPTO_KEY_LEN];
	struct entry *buckets[BUCKETS];
	struct entry *newest, *oldest;
	size_t count, max;
	int slots, running, waiting; /* the Argon2 gate */
};

struct apikey_cache *apikey_cache_new(size_t max_entries, int argon2_concurrency)
{
	struct apikey_cache *c = xcalloc(1, sizeof *c);

	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->slot_free, NULL);
	crypto_random(c->digest_key, sizeof c->digest_key);
	c->max = max_entries;
	c->slots = argon2_concurrency;
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
	mem_wipe(e, sizeof *e);
	free(e);
}

void apikey_cache_free(struct apikey_cache *c)
{
	if (!c)
		return;
	while (c->oldest)
		forget(c, c->oldest);
	pthread_cond_destroy(&c->slot_free);
	pthread_mutex_destroy(&c->lock);
	mem_wipe(c, sizeof *c);
	free(c);
}

static struct entry *find(struct apikey_cache *c, const char *id)
{
	struct entry *e = c->buckets[bucket_of(id)];

	while (e && strcmp(e->row.key.id, id) != 0)
		e = e->chain;
	return e;
}

/* Takes row over. */
static struct entry *remember(struct apikey_cache *c, const uint8_t digest[CRYPTO_HASH_LEN], struct api_key_row *row)
{
	struct entry *e = find(c, row->key.id);
	size_t bucket = bucket_of(row->key.id);

	if (e)
		forget(c, e);
	if (c->count == c->max)
		forget(c, c->oldest);
	e = xcalloc(1, sizeof *e);
	memcpy(e->digest, digest, CRYPTO_HASH_LEN);
	e->row = *row;
	row->key.tools = NULL;
	e->chain = c->buckets[bucket];
	c->buckets[bucket] = e;
	link_newest(c, e);
	c->count++;
	return e;
}

/* What a verified key is good for now. */
static enum rc grant(struct entry *e, const char *slug, int64_t now_s, struct apikey_grant *out, bool *touch)
{
	const struct api_key *k = &e->row.key;

	str_copy(out->key_id, sizeof out->key_id, k->id);
	if (k->revoked_at || (k->expires_at && k->expires_at <= now_s) || strcmp(e->row.tenant.slug, slug) != 0)
		return RC_DENIED;
	str_copy(out->key_name, sizeof out->key_name, k->name);
	str_copy(out->tenant_id, sizeof out->tenant_id, k->tenant_id);
	str_copy(out->tenant_slug, sizeof out->tenant_slug, e->row.tenant.slug);
	out->tenant_suspended = e->row.tenant.suspended;
	out->rate_per_minute = k->rate_per_minute;
	out->tools = k->tools ? xstrdup(k->tools) : NULL;
	*touch = now_s - e->touched_at >= TOUCH_EVERY_S;
	if (*touch)
		e->touched_at = now_s;
	return RC_OK;
}

/* One of few places for an Argon2 run; RC_LIMIT when too many wait already. */
static enum rc gate_enter(struct apikey_cache *c)
{
	enum rc rc = RC_OK;

	pthread_mutex_lock(&c->lock);
	if (c->running == c->slots && c->waiting >= c->slots * WAITERS_PER_SLOT) {
		rc = RC_LIMIT;
	} else {
		c->waiting++;
		while (c->running == c->slots)
			pthread_cond_wait(&c->slot_free, &c->lock);
		c->waiting--;
		c->running++;
	}
	pthread_mutex_unlock(&c->lock);
	return rc;
}

static void gate_leave(struct apikey_cache *c)
{
	pthread_mutex_lock(&c->lock);
	c->running--;
	pthread_cond_signal(&c->slot_free);
	pthread_mutex_unlock(&c->lock);
}

enum cached { CACHED_HIT, CACHED_WRONG, CACHED_NOT };

/* Answers from memory when the entry is of this very version of the row. */
static enum cached check_cached(struct apikey_cache *c, const char *id, const uint8_t digest[CRYPTO_HASH_LEN], int64_t version,
	const char *slug, int64_t now_s, struct apikey_grant *out, bool *touch, enum rc *rc)
{
	enum cached result = CACHED_NOT;
	struct entry *e;

	pthread_mutex_lock(&c->lock);
	e = find(c, id);
	if (e && e->row.row_version != version) {
		forget(c, e);
	} else if (e) {
		bool same = crypto_equal(e->digest, CRYPTO_HASH_LEN, digest, CRYPTO_HASH_LEN);

		result = same ? CACHED_HIT : CACHED_WRONG;
		if (same) {
			unlink_use(c, e);
			link_newest(c, e);
			*rc = grant(e, slug, now_s, out, touch);
		}
	}
	pthread_mutex_unlock(&c->lock);
	return result;
}

/* The slow way: the row, one Argon2 run, and the entry for next time. */
static enum rc check_row(struct apikey_cache *c, struct db *db, const char *id, const char *secret, const uint8_t digest[CRYPTO_HASH_LEN],
	const char *slug, int64_t now_s, struct apikey_grant *out, bool *touch)
{
	struct api_key_row row;
	enum rc rc = gate_enter(c);

	if (rc != RC_OK)
		return rc;
	rc = api_key_find(db, id, &row);
	if (rc != RC_OK) {
		gate_leave(c);
		return rc == RC_NOTFOUND ? RC_DENIED : RC_UNAVAILABLE;
	}
	/* Somebody may have verified the same key while this thread waited at the gate. */
	if (check_cached(c, id, digest, row.row_version, slug, now_s, out, touch, &rc) != CACHED_HIT) {
		rc = RC_DENIED;
		if (apikey_hash_ok(row.key.hash, secret)) {
			pthread_mutex_lock(&c->lock);
			rc = grant(remember(c, digest, &row), slug, now_s, out, touch);
			pthread_mutex_unlock(&c->lock);
		}
	}
	gate_leave(c);
	api_key_clear(&row.key);
	return rc;
}

enum rc apikey_check(struct apikey_cache *c, struct db *db, const char *presented, const char *tenant_slug, int64_t now_s,
	struct apikey_grant *out, bool *touch)
{
	uint8_t digest[CRYPTO_HASH_LEN];
	const char *secret;
	char id[65];
	int64_t version;
	enum rc rc;

	memset(out, 0, sizeof *out);
	*touch = false;
	if (apikey_split("alk", presented, id, &secret) != RC_OK)
		return RC_DENIED;
	rc = api_key_version(db, id, &version);
	if (rc != RC_OK)
		return rc == RC_NOTFOUND ? RC_DENIED : RC_UNAVAILABLE;
	crypto_blake2b(c->digest_key, sizeof c->digest_key, secret, strlen(secret), digest);
	switch (check_cached(c, id, digest, version, tenant_slug, now_s, out, touch, &rc)) {
	case CACHED_HIT:
		break;
	case CACHED_WRONG:
		rc = RC_DENIED;
		break;
	case CACHED_NOT:
		rc = check_row(c, db, id, secret, digest, tenant_slug, now_s, out, touch);
		break;
	}
	mem_wipe(digest, sizeof digest);
	return rc;
}
