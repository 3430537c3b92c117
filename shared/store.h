/* store: everything the control plane remembers, in the product's words. All SQL of the control
 * plane is behind these functions (store_*.c), so that another engine can stand behind the same
 * header. Every change takes a struct audit_record whose actor, request_id and remote_ip the caller
 * has filled; the function fills event, tenant_id, target, change and outcome, and puts it into the
 * outbox in the same transaction. Functions that change state open their own transaction unless the
 * caller already did (db_begin). */
#ifndef SHARED_STORE_H
#define SHARED_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/audit.h"
#include "shared/crypto.h"
#include "shared/db.h"
#include "shared/rc.h"
#include "shared/toolset.h"

#define STORE_ID_MAX 79
#define STORE_NAME_MAX 120
#define STORE_TOOLS_MAX 4000 /* a key's allow-list as JSON text */
#define STORE_ORG_DEFAULT "o_default"

/* Lists: newest first unless said otherwise, keyset pagination. after is the last row's cursor (""
 * for the first page); next gets the cursor of the next page or "". */
#define STORE_CURSOR_MAX 119

/* --- tenants ------------------------------------------------------------- */
#define TENANT_KEEP_DEFAULT (-1)
#define TENANT_KEEP_MAX 36500
struct tenant {
	char id[STORE_ID_MAX + 1]; /* t_<slug> */
	char slug[64];
	char name[STORE_NAME_MAX + 1];
	char org_id[STORE_ID_MAX + 1];
	bool suspended;
	int64_t created_at; /* UTC seconds, here and below */
	int64_t version; /* grows with each change */
	int64_t audit_keep_days; /* TENANT_KEEP_DEFAULT: audit.tenant_keep_days; 0: for ever */
};
/* RC_INVALID for a bad slug or name, RC_CONFLICT when the slug is taken. org_id NULL: the default
 * org. */
enum rc tenant_create(struct db *db, const char *slug, const char *name, const char *org_id,
	struct audit_record *who, struct tenant *out) MUST_CHECK;
enum rc tenant_get(struct db *db, const char *id, struct tenant *out) MUST_CHECK;
enum rc tenant_by_slug(struct db *db, const char *slug, struct tenant *out) MUST_CHECK;
/* org_id NULL: every org. Ordered by slug. Caller frees *list. */
enum rc tenant_list(struct db *db, const char *org_id, const char *after, size_t limit,
	struct tenant **list, size_t *count, char next[STORE_CURSOR_MAX + 1]) MUST_CHECK;
enum rc tenant_rename(struct db *db, const char *id, const char *name, struct audit_record *who,
	struct tenant *out) MUST_CHECK;
enum rc tenant_suspend(struct db *db, const char *id, bool suspended, struct audit_record *who,
	struct tenant *out) MUST_CHECK;
/* How long the audit log keeps rows about its use; TENANT_KEEP_DEFAULT, 0 or days. RC_INVALID: out
 * of range. */
enum rc tenant_keep(struct db *db, const char *id, int64_t days, struct audit_record *who,
	struct tenant *out) MUST_CHECK;
/* Of all tenants that have a rule of their own. Caller frees *list. */
struct tenant_keep {
	char id[STORE_ID_MAX + 1];
	int64_t days;
};
enum rc tenant_keep_list(struct db *db, struct tenant_keep **list, size_t *count) MUST_CHECK;
/* Removes the tenant with its keys, workers, enrollments and pinned tools. */
enum rc tenant_delete(struct db *db, const char *id, struct audit_record *who) MUST_CHECK;

/* --- API keys ------------------------------------------------------------ */
struct api_key {
	char id[STORE_ID_MAX + 1];
	char tenant_id[STORE_ID_MAX + 1];
	char name[STORE_NAME_MAX + 1];
	char hash[160]; /* Argon2id encoded; not for the outside */
	char *tools; /* JSON array of allowed tool names, or NULL: all. Freed by api_key_clear(). */
	int64_t rate_per_minute; /* -1: the configured default; 0: no limit */
	int64_t created_at, expires_at /* 0: never */, last_used_at /* 0: never */,
		revoked_at /* 0: not */;
	int64_t version;
};
void api_key_clear(struct api_key *k);
/* hash is the Argon2id encoding; id comes from apikey_new(). */
enum rc api_key_create(struct db *db, const struct api_key *k, struct audit_record *who) MUST_CHECK;
enum rc api_key_list(struct db *db, const char *tenant_id, const char *after, size_t limit,
	struct api_key **list, size_t *count, char next[STORE_CURSOR_MAX + 1]) MUST_CHECK;
void api_key_list_free(struct api_key *list, size_t count);
/* Revoking a revoked key is RC_OK and changes nothing. RC_NOTFOUND when the key is not of that
 * tenant. */
enum rc api_key_revoke(
	struct db *db, const char *tenant_id, const char *id, struct audit_record *who) MUST_CHECK;
/* The one query of the hot path: key, its tenant's slug, suspension and version. RC_NOTFOUND for an
 * unknown id. row_version changes whenever the key or its tenant changes in any way. out->tools is
 * filled. */
struct api_key_row {
	struct api_key key;
	struct tenant tenant;
	int64_t row_version;
};
enum rc api_key_find(struct db *db, const char *id, struct api_key_row *out) MUST_CHECK;
/* Only the row version of a key: what a cached entry is checked against. */
enum rc api_key_version(struct db *db, const char *id, int64_t *row_version) MUST_CHECK;
/* Remembers use, at most once a minute per key (the caller decides); never audited. */
enum rc api_key_touch(struct db *db, const char *id, int64_t used_at) MUST_CHECK;

/* --- enrollment tokens ---------------------------------------------------- */
struct enrollment {
	char id[STORE_ID_MAX + 1];
	char tenant_id[STORE_ID_MAX + 1];
	char name[STORE_NAME_MAX + 1]; /* what the operator calls the coming worker */
	int64_t created_at, expires_at, used_at, revoked_at;
	char worker_id[STORE_ID_MAX + 1]; /* set when used */
};
enum rc enrollment_create(struct db *db, const struct enrollment *e,
	const uint8_t secret_hash[CRYPTO_HASH_LEN], struct audit_record *who) MUST_CHECK;
enum rc enrollment_list(struct db *db, const char *tenant_id, const char *after, size_t limit,
	struct enrollment **list, size_t *count, char next[STORE_CURSOR_MAX + 1]) MUST_CHECK;
enum rc enrollment_revoke(
	struct db *db, const char *tenant_id, const char *id, struct audit_record *who) MUST_CHECK;

/* --- workers -------------------------------------------------------------- */
struct worker {
	char id[STORE_ID_MAX + 1];
	char tenant_id[STORE_ID_MAX + 1];
	char name[STORE_NAME_MAX + 1];
	uint8_t public_key[CRYPTO_PUBLIC_LEN];
	char version[32]; /* as its last HELLO said */
	int64_t enrolled_at, last_seen_at, revoked_at;
};
/* Spends the token and makes the worker, in one transaction. RC_DENIED for an unknown, used,
 * revoked or expired token (one answer for all four); RC_CONFLICT when the public key is enrolled
 * already. */
enum rc worker_enroll(struct db *db, const char *enrollment_id,
	const uint8_t secret_hash[CRYPTO_HASH_LEN], const uint8_t public_key[CRYPTO_PUBLIC_LEN],
	const char *name, struct audit_record *who, struct worker *out) MUST_CHECK;
enum rc worker_get(struct db *db, const char *id, struct worker *out) MUST_CHECK;
/* The handshake's query: the worker and its tenant. */
enum rc worker_with_tenant(
	struct db *db, const char *id, struct worker *w, struct tenant *t) MUST_CHECK;
enum rc worker_list(struct db *db, const char *tenant_id, const char *after, size_t limit,
	struct worker **list, size_t *count, char next[STORE_CURSOR_MAX + 1]) MUST_CHECK;
enum rc worker_revoke(
	struct db *db, const char *tenant_id, const char *id, struct audit_record *who) MUST_CHECK;
/* After a handshake: last seen, version, and the manifest (kept so that tools can be listed while
 * the worker is away). Not audited here. */
enum rc worker_seen(struct db *db, const char *id, const char *version, int64_t seen_at,
	const char *manifest, size_t manifest_len, const char *digest) MUST_CHECK;
/* What this worker said last, when that is not of this digest: RC_NOTFOUND when it is, or the
 * worker never said anything. Caller frees *manifest. */
enum rc worker_other_manifest(
	struct db *db, const char *id, const char *digest, char **manifest, size_t *len) MUST_CHECK;
/* The manifest of the tenant's worker seen last. RC_NOTFOUND when there is none. Caller frees
 * *manifest. */
enum rc worker_manifest(struct db *db, const char *tenant_id, char **manifest, size_t *len,
	char digest[65]) MUST_CHECK;

/* --- pinned tools ---------------------------------------------------------- */
/* What an operator has seen a tool to be: its definition (toolset.h) and that one's fingerprint. */
#define TOOL_PINS_MAX 4096 /* of one tenant */
struct tool_pin {
	char tool[MANIFEST_TOOL_MAX + 1];
	char fingerprint[TOOLSET_FINGERPRINT_LEN + 1];
	char *definition; /* NULL in lists */
	int64_t pinned_at;
	char pinned_by[STORE_NAME_MAX + 1];
};
void tool_pin_clear(struct tool_pin *p);
/* Pins what definition says, in place of what was pinned before. *changed: it was not pinned to
 * that already (and only then there is an audit row). RC_LIMIT: there are TOOL_PINS_MAX;
 * RC_NOTFOUND: there is no such tenant. */
enum rc tool_pin_put(struct db *db, const char *tenant_id, const char *tool, const void *definition,
	size_t len, struct audit_record *who, bool *changed) MUST_CHECK;
enum rc tool_pin_get(
	struct db *db, const char *tenant_id, const char *tool, struct tool_pin *out) MUST_CHECK;
/* All of a tenant, by name. Caller frees *list. */
enum rc tool_pin_list(
	struct db *db, const char *tenant_id, struct tool_pin **list, size_t *count) MUST_CHECK;
/* Names and fingerprints alone. Free with toolset_free(). */
enum rc tool_pin_set(struct db *db, const char *tenant_id, struct toolset *out) MUST_CHECK;
enum rc tool_pin_remove(struct db *db, const char *tenant_id, const char *tool,
	struct audit_record *who) MUST_CHECK;
/* Every pin of the tenant, an audit row each. */
enum rc tool_pin_remove_all(
	struct db *db, const char *tenant_id, struct audit_record *who) MUST_CHECK;
/* A worker announced these tools. Each that is no longer what was pinned is written down, once for
 * every new fingerprint, and told. */
typedef void (*tool_pin_changed_fn)(void *ctx, const char *tool);
enum rc tool_pin_notice(struct db *db, const char *tenant_id, const struct toolset *tools,
	struct audit_record *who, tool_pin_changed_fn told, void *ctx) MUST_CHECK;

/* --- idempotency ----------------------------------------------------------- */
/* scope names the actor and the endpoint; request_hash binds the key to one request body. Called
 * inside the transaction of the change it guards. RC_NOTFOUND: first time, go on; RC_OK: done
 * before, *status and *body are the answer then given (caller frees; the body of a secret-bearing
 * answer was stored without its secret); RC_CONFLICT: same key, other request. */
enum rc idempotency_find(struct db *db, const char *scope, const char *key,
	const uint8_t request_hash[CRYPTO_HASH_LEN], int *status, char **body) MUST_CHECK;
enum rc idempotency_keep(struct db *db, const char *scope, const char *key,
	const uint8_t request_hash[CRYPTO_HASH_LEN], int status, const char *body,
	int64_t expires_at) MUST_CHECK;

/* --- outbox ----------------------------------------------------------------- */
/* Puts a record in by itself; the functions above call it in their transaction. */
enum rc outbox_put(struct db *db, const struct audit_record *r) MUST_CHECK;
struct outbox_row {
	int64_t id; /* grows, never reused */
	struct audit_record record;
};
/* Up to limit rows with id > after, oldest first. Caller frees *rows. */
enum rc outbox_list(struct db *db, int64_t after, size_t limit, struct outbox_row **rows,
	size_t *count) MUST_CHECK;
/* Forgets rows up to and including id: they are in the journal. */
enum rc outbox_delete(struct db *db, int64_t up_to) MUST_CHECK;

/* --- import and export of the state YAML -------------------------------------- */
/* Imports tenants, API-key hashes and worker public keys once (remembered in the database).
 * RC_INVALID with a message in err naming the line; nothing is imported then. */
enum rc state_import(struct db *db, const char *path, char *err, size_t err_cap) MUST_CHECK;
struct buf;
enum rc state_export(struct db *db, struct buf *yaml) MUST_CHECK;
/* The demo tenants t_fintech, t_healthcare and t_hr, each once. */
enum rc state_register_demo(struct db *db) MUST_CHECK;

#endif
