#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/store_sql.h"
#include "shared/text.h"

#define COLUMNS "w.id, w.tenant_id, w.name, w.public_key, w.version, w.enrolled_at, w.last_seen_at, w.revoked_at"
#define COLUMN_COUNT 8

static void read_worker(sqlite3_stmt *st, struct worker *w)
{
	const void *key = sqlite3_column_blob(st, 3);

	sql_text(st, 0, w->id, sizeof w->id);
	sql_text(st, 1, w->tenant_id, sizeof w->tenant_id);
	sql_text(st, 2, w->name, sizeof w->name);
	if (key && sqlite3_column_bytes(st, 3) == CRYPTO_PUBLIC_LEN)
		memcpy(w->public_key, key, CRYPTO_PUBLIC_LEN);
	sql_text(st, 4, w->version, sizeof w->version);
	w->enrolled_at = sql_int(st, 5);
	w->last_seen_at = sql_int(st, 6);
	w->revoked_at = sql_int(st, 7);
}

/* Spends the token: RC_DENIED unless it is unused, unrevoked, unexpired and its secret fits. */
static enum rc spend(struct db *db, const char *enrollment_id, const uint8_t secret_hash[CRYPTO_HASH_LEN], struct worker *w, int64_t now)
{
	sqlite3_stmt *st =
		sql_prepare(db, "SELECT tenant_id, name, secret_hash, expires_at, used_at, revoked_at FROM enrollments WHERE id = ?");
	const void *hash;
	enum rc rc;

	if (!sql_bind(st, "s", enrollment_id))
		return RC_INTERNAL;
	rc = sql_step(db, st);
	if (rc != RC_OK)
		return rc == RC_NOTFOUND ? RC_DENIED : rc;
	hash = sqlite3_column_blob(st, 2);
	if (!hash || !crypto_equal(hash, (size_t)sqlite3_column_bytes(st, 2), secret_hash, CRYPTO_HASH_LEN) || sql_int(st, 3) <= now ||
		sql_int(st, 4) != 0 || sql_int(st, 5) != 0)
		rc = RC_DENIED;
	sql_text(st, 0, w->tenant_id, sizeof w->tenant_id);
	if (!w->name[0])
		sql_text(st, 1, w->name, sizeof w->name);
	sqlite3_reset(st);
	if (rc != RC_OK)
		return rc;
	return sql_exec(db, NULL, "UPDATE enrollments SET used_at = ?, worker_id = ? WHERE id = ?", "iss", now, w->id, enrollment_id);
}

static enum rc insert(struct db *db, const struct worker *w, const char *enrollment_id, struct audit_record *who)
{
	struct buf change;
	enum rc rc = sql_exec(db, NULL, "INSERT INTO workers (id, tenant_id, name, public_key, enrolled_at) VALUES (?, ?, ?, ?, ?)", "sssbi",
		w->id, w->tenant_id, w->name, w->public_key, (size_t)CRYPTO_PUBLIC_LEN, w->enrolled_at);

	if (rc != RC_OK)
		return rc;
	buf_init(&change, AUDIT_CHANGE_MAX);
	buf_str(&change, "{\"name\":");
	buf_json(&change, w->name);
	buf_str(&change, ",\"enrollment_id\":");
	buf_json(&change, enrollment_id);
	buf_char(&change, '}');
	str_copy(who->worker_id, sizeof who->worker_id, w->id);
	rc = store_record(db, who, "worker.enroll", w->tenant_id, w->id, &change);
	buf_free(&change);
	return rc;
}

enum rc worker_enroll(struct db *db, const char *enrollment_id, const uint8_t secret_hash[CRYPTO_HASH_LEN],
	const uint8_t public_key[CRYPTO_PUBLIC_LEN], const char *name, struct audit_record *who, struct worker *out)
{
	struct worker w = {.enrolled_at = clock_wall_s()};
	struct sql_change c;
	enum rc rc;

	if (name && *name && !(text_name_ok(name, STORE_NAME_MAX) && str_copy(w.name, sizeof w.name, name)))
		return RC_INVALID;
	crypto_id("w", w.id, sizeof w.id);
	memcpy(w.public_key, public_key, CRYPTO_PUBLIC_LEN);
	rc = sql_change_begin(db, &c);
	if (rc != RC_OK)
		return rc;
	rc = spend(db, enrollment_id, secret_hash, &w, w.enrolled_at);
	if (rc == RC_OK)
		rc = insert(db, &w, enrollment_id, who);
	rc = sql_change_end(&c, rc);
	if (rc == RC_OK)
		*out = w;
	return rc;
}

enum rc worker_get(struct db *db, const char *id, struct worker *out)
{
	sqlite3_stmt *st = sql_prepare(db, "SELECT " COLUMNS " FROM workers w WHERE w.id = ?");
	enum rc rc;

	if (!sql_bind(st, "s", id))
		return RC_INTERNAL;
	rc = sql_step(db, st);
	if (rc == RC_OK)
		read_worker(st, out);
	sqlite3_reset(st);
	return rc;
}

enum rc worker_with_tenant(struct db *db, const char *id, struct worker *w, struct tenant *t)
{
	enum rc rc = worker_get(db, id, w);

	return rc == RC_OK ? tenant_get(db, w->tenant_id, t) : rc;
}

enum rc worker_list(struct db *db, const char *tenant_id, const char *after, size_t limit, struct worker **list, size_t *count,
	char next[STORE_CURSOR_MAX + 1])
{
	sqlite3_stmt *st = sql_prepare(db, "SELECT " COLUMNS " FROM workers w WHERE tenant_id = ?1 AND (enrolled_at, id) < (?2, ?3)"
					   " ORDER BY enrolled_at DESC, id DESC LIMIT ?4");
	char id[STORE_CURSOR_MAX + 1];
	struct worker *rows;
	int64_t number;
	size_t n = 0;
	enum rc rc = store_cursor_get(after, &number, id, sizeof id);

	if (rc != RC_OK)
		return rc;
	if (!sql_bind(st, "sisi", tenant_id, number, id, (int64_t)limit + 1))
		return RC_INTERNAL;
	rows = xcalloc(limit + 1, sizeof *rows);
	while ((rc = sql_step(db, st)) == RC_OK)
		read_worker(st, &rows[n++]);
	sqlite3_reset(st);
	if (rc != RC_NOTFOUND) {
		free(rows);
		return rc;
	}
	next[0] = '\0';
	if (n > limit) {
		n = limit;
		store_cursor_put(next, STORE_CURSOR_MAX + 1, rows[n - 1].enrolled_at, rows[n - 1].id);
	}
	*list = rows;
	*count = n;
	return RC_OK;
}

enum rc worker_revoke(struct db *db, const char *tenant_id, const char *id, struct audit_record *who)
{
	struct worker w;
	struct sql_change c;
	int changes = 0;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	rc = worker_get(db, id, &w);
	if (rc == RC_OK && strcmp(w.tenant_id, tenant_id) != 0)
		rc = RC_NOTFOUND;
	if (rc == RC_OK)
		rc = sql_exec(db, &changes, "UPDATE workers SET revoked_at = ? WHERE id = ? AND revoked_at = 0", "is", clock_wall_s(), id);
	if (rc == RC_OK && changes == 1) {
		str_copy(who->worker_id, sizeof who->worker_id, id);
		rc = store_record(db, who, "worker.revoke", tenant_id, id, NULL);
	}
	return sql_change_end(&c, rc);
}

enum rc worker_seen(struct db *db, const char *id, const char *version, int64_t seen_at, const char *manifest, size_t manifest_len,
	const char *digest)
{
	struct sql_change c;
	char *text;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	rc = sql_exec(db, NULL, "UPDATE workers SET version = ?, last_seen_at = ? WHERE id = ?", "sis", version, seen_at, id);
	/* A manifest may be a megabyte: it is written only when it changed. */
	if (rc == RC_OK && manifest) {
		text = xstrndup(manifest, manifest_len);
		rc = sql_exec(db, NULL, "UPDATE workers SET manifest = ?1, manifest_digest = ?2 WHERE id = ?3 AND manifest_digest IS NOT ?2",
			"sss", text, digest, id);
		free(text);
	}
	return sql_change_end(&c, rc);
}

enum rc worker_manifest(struct db *db, const char *tenant_id, char **manifest, size_t *len, char digest[65])
{
	sqlite3_stmt *st = sql_prepare(db, "SELECT manifest, manifest_digest FROM workers WHERE tenant_id = ? AND revoked_at = 0"
					   " AND manifest IS NOT NULL ORDER BY last_seen_at DESC LIMIT 1");
	enum rc rc;

	if (!sql_bind(st, "s", tenant_id))
		return RC_INTERNAL;
	rc = sql_step(db, st);
	if (rc == RC_OK) {
		*len = (size_t)sqlite3_column_bytes(st, 0);
		*manifest = xstrndup((const char *)sqlite3_column_text(st, 0), *len);
		sql_text(st, 1, digest, 65);
	}
	sqlite3_reset(st);
	return rc;
}
