/* apikey: the credentials that are tokens with an id: API keys (alk_<id>_<secret>) and enrollment
 * tokens (ale_<id>_<secret>); Argon2id for keys, once per process and key, then a keyed BLAKE2b
 * check in memory tied to the key's row version. <argon2.h> is included here only. */
#ifndef SHARED_APIKEY_H
#define SHARED_APIKEY_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/crypto.h"
#include "shared/rc.h"
#include "shared/store.h"
#include "shared/turnstile.h"

#define APIKEY_ID_LEN 16 /* base32 of 10 random bytes */
#define APIKEY_SECRET_LEN 52 /* base32 of 32 random bytes */
#define APIKEY_TEXT_LEN (4 + APIKEY_ID_LEN + 1 + APIKEY_SECRET_LEN)

struct apikey_text {
	char id[APIKEY_ID_LEN + 1];
	char text[APIKEY_TEXT_LEN + 1]; /* the whole credential: secret, wipe it */
};
/* kind is "alk" or "ale". */
void apikey_new(const char *kind, struct apikey_text *out);
/* Splits a presented credential; pure. Imported keys of the original may have other id and secret
 * lengths: id 1 to 64 of [a-z0-9-], secret 16 to 128 characters of [A-Za-z0-9_-]. secret points
 * into text. */
enum rc apikey_split(
	const char *kind, const char *text, char id[65], const char **secret) MUST_CHECK;
/* Argon2id encoded hash: m=19456 KiB, t=2, p=1 (OWASP). */
enum rc apikey_hash(const char *secret, char *encoded, size_t cap) MUST_CHECK;
/* Is this an Argon2id encoding whose cost is within the bounds of apikey_hash_ok()? Pure and quick.
 */
bool apikey_hash_readable(const char *encoded);
/* Slow. Any Argon2id parameters up to 1 GiB and t=16. */
bool apikey_hash_ok(const char *encoded, const char *secret);
/* For enrollment tokens: BLAKE2b-256 of the secret (which is random, so nothing slow is needed). */
void apikey_digest(const char *secret, uint8_t out[CRYPTO_HASH_LEN]);

/* What a caller is, once let in. */
struct apikey_grant {
	char key_id[STORE_ID_MAX + 1];
	char key_name[STORE_NAME_MAX + 1];
	char tenant_id[STORE_ID_MAX + 1];
	char tenant_slug[64];
	bool tenant_suspended;
	int64_t rate_per_minute;
	char *tools; /* JSON array text or NULL; freed by apikey_grant_clear() */
};
void apikey_grant_clear(struct apikey_grant *g);
/* Is this tool on the grant's allow-list? */
bool apikey_may_call(const struct apikey_grant *g, const char *tool);

/* The cache of one process; all functions are safe from any thread. Bounded; evicts the least
 * recently used. */
struct apikey_cache;
struct apikey_bounds {
	size_t entries; /* keys remembered */
	int runs; /* of Argon2 at once */
	size_t callers; /* that wait for a run, or for somebody else's with the same credential */
	int wait_ms; /* how long */
};
struct apikey_cache *apikey_cache_new(const struct apikey_bounds *bounds);
/* Nobody may wait any more. */
void apikey_cache_free(struct apikey_cache *c);
/* Checks a presented credential for one tenant slug and remembers when it was used. RC_OK fills
 * *out. RC_DENIED for anything wrong with it (malformed, unknown, wrong secret, revoked, expired,
 * another tenant's, unknown slug): one answer, one timing class; grant->key_id is then set only
 * when the key itself verified (so that the refusal's audit row can name it), "" otherwise.
 * RC_LIMIT when it is not its turn for Argon2: with place->trial set, it waits, and is to ask again
 * with the same arguments once place->ready was called, or at place->until_ms (clock_mono_ms());
 * otherwise too many wait, or this one did too long. RC_UNAVAILABLE when the state can't be read.
 * Nothing blocks but the state and a run of Argon2 itself. now_s is UTC. While nothing was
 * committed to the database since the key was last looked at (dbmark.h), the answer comes from
 * memory; so a revocation counts from the very next request on, in every process. */
enum rc apikey_check(struct apikey_cache *c, struct db_pool *pool, const char *presented,
	const char *tenant_slug, int64_t now_s, struct turnstile_place *place,
	struct apikey_grant *out) MUST_CHECK;
/* For a caller that waits and will not ask again; nothing for any other. */
void apikey_leave(struct apikey_cache *c, struct turnstile_place *place);
/* The same from memory alone, which does for a key that was checked before as long as nothing at
 * all was committed since: *rc is then what apikey_check() would say. False: ask that. */
bool apikey_recall(struct apikey_cache *c, struct db_pool *pool, const char *presented,
	const char *tenant_slug, int64_t now_s, struct apikey_grant *out, enum rc *rc) MUST_CHECK;

#endif
