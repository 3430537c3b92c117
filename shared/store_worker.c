#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/store_sql.h"
#include "shared/text.h"

#define COLUMNS                                                                               \
	"w.id, w.tenant_id, w.name, w.public_key, w.version, w.enrolled_at, w.last_seen_at, " \
	"w.revoked_at"

static void read_worker(sqlite3_stmt *st, void *row)
{
	const void *key = sqlite3_column_blob(st, 3);
	struct worker *w = row;

	memset(w, 0, sizeof(*w));
	sql_text(st, 0, w->id, sizeof(w->id));
	sql_text(st, 1, w->tenant_id, sizeof(w->tenant_id));
	sql_text(st, 2, w->name, sizeof(w->name));
	if (key && sqlite3_column_bytes(st, 3) == CRYPTO_PUBLIC_LEN)
		memcpy(w->public_key, key, CRYPTO_PUBLIC_LEN);
	sql_text(st, 4, w->version, sizeof(w->version));
	w->enrolled_at = sql_int(st, 5);
	w->last_seen_at = sql_int(st, 6);
	w->revoked_at = sql_int(st, 7);
}

/* Looks at every condition in any case, so that the time taken does not tell which one failed. */
static bool token_ok(sqlite3_stmt *st, const uint8_t secret_hash[CRYPTO_HASH_LEN], int64_t now)
{
	const void *hash = sqlite3_column_blob(st, 2);
	size_t len = (size_t)sqlite3_column_bytes(st, 2);
	bool same = hash && crypto_equal(hash, len, secret_hash, CRYPTO_HASH_LEN);
	bool alive = sql_int(st, 3) > now && sql_int(st, 4) == 0 && sql_int(st, 5) == 0;

	return same && alive;
}

/* Spends the token: RC_DENIED unless it is unused, unrevoked, unexpired and its secret fits. */
static enum rc spend(struct db *db, const char *enrollment_id,
	const uint8_t secret_hash[CRYPTO_HASH_LEN], struct worker *w)
{
	sqlite3_stmt *st;
	enum rc rc = sql_query(db, &st,
		"SELECT tenant_id, name, secret_hash, expires_at, used_at, revoked_at"
		" FROM enrollments WHERE id = ?",
		"s", enrollment_id);

	if (rc != RC_OK)
		return rc;
	rc = sql_step(db, st);
	if (rc != RC_OK)
		return rc == RC_NOTFOUND ? RC_DENIED : rc;
	if (!token_ok(st, secret_hash, w->enrolled_at))
		rc = RC_DENIED;
	sql_text(st, 0, w->tenant_id, sizeof(w->tenant_id));
	if (!w->name[0])
		sql_text(st, 1, w->name, sizeof(w->name));
	sqlite3_reset(st);
	if (rc != RC_OK)
		return rc;
	return sql_exec(db, NULL, "UPDATE enrollments SET used_at = ?, worker_id = ? WHERE id = ?",
		"iss", w->enrolled_at, w->id, enrollment_id);
}

static enum rc insert(
	struct db *db, const struct worker *w, const char *enrollment_id, struct audit_record *who)
{
	char key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1];
	struct buf change;
	enum rc rc = sql_exec(db, NULL,
		"INSERT INTO workers (id, tenant_id, name, public_key, enrolled_at)"
		" VALUES (?, ?, ?, ?, ?)",
		"sssbi", w->id, w->tenant_id, w->name, w->public_key, (size_t)CRYPTO_PUBLIC_LEN,
		w->enrolled_at);

	if (rc != RC_OK)
		return rc;
	buf_init(&change, AUDIT_CHANGE_MAX);
	buf_str(&change, "{\"name\":");
	buf_json(&change, w->name);
	buf_str(&change, ",\"enrollment_id\":");
	buf_json(&change, enrollment_id);
	text_b64(w->public_key, CRYPTO_PUBLIC_LEN, key);
	buf_printf(&change, ",\"public_key\":\"%s\"}", key);
	str_copy(who->worker_id, sizeof(who->worker_id), w->id);
	rc = store_record(db, who, "worker.enroll", w->tenant_id, w->id, &change);
	buf_free(&change);
	return rc;
}

enum rc worker_enroll(struct db *db, const char *enrollment_id,
	const uint8_t secret_hash[CRYPTO_HASH_LEN], const uint8_t public_key[CRYPTO_PUBLIC_LEN],
	const char *name, struct audit_record *who, struct worker *out)
{
	struct worker w = {.enrolled_at = clock_wall_s()};
	struct sql_change c;
	enum rc rc;

	if (name && *name && !text_name_ok(name, STORE_NAME_MAX))
		return RC_INVALID;
	str_copy(w.name, sizeof(w.name), name ? name : "");
	crypto_id("w", w.id, sizeof(w.id));
	memcpy(w.public_key, public_key, CRYPTO_PUBLIC_LEN);
	rc = sql_change_begin(db, &c);
	if (rc != RC_OK)
		return rc;
	rc = spend(db, enrollment_id, secret_hash, &w);
	if (rc == RC_OK)
		rc = insert(db, &w, enrollment_id, who);
	rc = sql_change_end(&c, rc);
	if (rc == RC_OK)
		*out = w;
	return rc;
}

enum rc worker_get(struct db *db, const char *id, struct worker *out)
{
	sqlite3_stmt *st;
	enum rc rc =
		sql_query(db, &st, "SELECT " COLUMNS " FROM workers w WHERE w.id = ?", "s", id);

	if (rc != RC_OK)
		return rc;
	rc = sql_step(db, st);
	if (rc == RC_OK)
		read_worker(st, out);
	sqlite3_reset(st);
	return rc;
}

enum rc worker_with_tenant(struct db *db, const char *id, struct worker *w, struct tenant *t)
{
	struct worker found;
	enum rc rc = worker_get(db, id, &found);

	if (rc == RC_OK)
		rc = tenant_get(db, found.tenant_id, t);
	if (rc == RC_OK)
		*w = found;
	return rc;
}

enum rc worker_list(struct db *db, const char *tenant_id, const char *after, size_t limit,
	struct worker **list, size_t *count, char next[STORE_CURSOR_MAX + 1])
{
	static const struct sql_row_kind kind = {.size = sizeof(struct worker),
		.read = read_worker,
		.time_at = offsetof(struct worker, enrolled_at),
		.id_at = offsetof(struct worker, id)};

	return sql_newest(db,
		"SELECT " COLUMNS " FROM workers w"
		" WHERE tenant_id = ?1 AND (enrolled_at, id) < (?2, ?3)"
		" ORDER BY enrolled_at DESC, id DESC LIMIT ?4",
		tenant_id, after, limit, &kind, list, count, next);
}

static enum rc revoke_row(struct db *db, const struct worker *w, struct audit_record *who)
{
	struct buf change;
	enum rc rc = sql_exec(db, NULL, "UPDATE workers SET revoked_at = ? WHERE id = ?", "is",
		clock_wall_s(), w->id);

	if (rc != RC_OK)
		return rc;
	store_name_change(&change, w->name);
	str_copy(who->worker_id, sizeof(who->worker_id), w->id);
	rc = store_record(db, who, "worker.revoke", w->tenant_id, w->id, &change);
	buf_free(&change);
	return rc;
}

enum rc worker_revoke(
	struct db *db, const char *tenant_id, const char *id, struct audit_record *who)
{
	struct sql_change c;
	struct worker w;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	rc = worker_get(db, id, &w);
	if (rc == RC_OK && strcmp(w.tenant_id, tenant_id) != 0)
		rc = RC_NOTFOUND;
	if (rc == RC_OK && !w.revoked_at)
		rc = revoke_row(db, &w, who);
	return sql_change_end(&c, rc);
}

/* A manifest may be a megabyte: it is written only when it changed. */
static enum rc keep_manifest(
	struct db *db, const char *id, const char *manifest, size_t len, const char *digest)
{
	char *text = xstrndup(manifest, len);
	enum rc rc = sql_exec(db, NULL,
		"UPDATE workers SET manifest = ?1, manifest_digest = ?2"
		" WHERE id = ?3 AND manifest_digest IS NOT ?2",
		"sss", text, digest, id);

	free(text);
	return rc;
}

enum rc worker_seen(struct db *db, const char *id, const char *version, int64_t seen_at,
	const char *manifest, size_t manifest_len, const char *digest)
{
	char kept[sizeof(((struct worker *)0)->version)];
	struct sql_change c;
	int changes = 0;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	/* The worker chose it: what no reader has room for is not kept. */
	str_copy(kept, sizeof(kept), version);
	rc = sql_exec(db, &changes, "UPDATE workers SET version = ?, last_seen_at = ? WHERE id = ?",
		"sis", kept, seen_at, id);
	if (rc == RC_OK && changes == 0)
		rc = RC_NOTFOUND;
	if (rc == RC_OK && manifest)
		rc = keep_manifest(db, id, manifest, manifest_len, digest);
	return sql_change_end(&c, rc);
}

enum rc worker_other_manifest(
	struct db *db, const char *id, const char *digest, char **manifest, size_t *len)
{
	sqlite3_stmt *st;
	enum rc rc = sql_query(db, &st,
		"SELECT manifest FROM workers WHERE id = ?"
		" AND manifest IS NOT NULL AND manifest_digest IS NOT ?",
		"ss", id, digest);

	if (rc != RC_OK)
		return rc;
	rc = sql_step(db, st);
	if (rc == RC_OK) {
		const char *text = (const char *)sqlite3_column_text(st, 0);

		*len = (size_t)sqlite3_column_bytes(st, 0);
		*manifest = xstrndup(text ? text : "", *len);
	}
	sqlite3_reset(st);
	return rc;
}

enum rc worker_manifest(
	struct db *db, const char *tenant_id, char **manifest, size_t *len, char digest[65])
{
	sqlite3_stmt *st;
	enum rc rc = sql_query(db, &st,
		"SELECT manifest, manifest_digest FROM workers WHERE tenant_id = ?"
		" AND revoked_at = 0 AND manifest IS NOT NULL ORDER BY last_seen_at DESC LIMIT 1",
		"s", tenant_id);

	if (rc != RC_OK)
		return rc;
	rc = sql_step(db, st);
	if (rc == RC_OK) {
		const char *text = (const char *)sqlite3_column_text(st, 0);

		*len = (size_t)sqlite3_column_bytes(st, 0);
		*manifest = xstrndup(text ? text : "", *len);
		sql_text(st, 1, digest, 65);
	}
	sqlite3_reset(st);
	return rc;
}
