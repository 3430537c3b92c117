#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/store_sql.h"
#include "shared/text.h"

#define COLUMNS "id, tenant_id, name, created_at, expires_at, used_at, revoked_at, worker_id"

static void read_enrollment(sqlite3_stmt *st, void *row)
{
	struct enrollment *e = row;

	sql_text(st, 0, e->id, sizeof(e->id));
	sql_text(st, 1, e->tenant_id, sizeof(e->tenant_id));
	sql_text(st, 2, e->name, sizeof(e->name));
	e->created_at = sql_int(st, 3);
	e->expires_at = sql_int(st, 4);
	e->used_at = sql_int(st, 5);
	e->revoked_at = sql_int(st, 6);
	sql_text(st, 7, e->worker_id, sizeof(e->worker_id));
}

static enum rc insert(struct db *db, const struct enrollment *e,
	const uint8_t secret_hash[CRYPTO_HASH_LEN], struct audit_record *who)
{
	char until[CLOCK_TEXT_LEN + 1];
	struct buf change;
	enum rc rc = sql_exec(db, NULL,
		"INSERT INTO enrollments (id, tenant_id, name, secret_hash, created_at, expires_at)"
		" VALUES (?, ?, ?, ?, ?, ?)",
		"sssbii", e->id, e->tenant_id, e->name, secret_hash, (size_t)CRYPTO_HASH_LEN,
		e->created_at, e->expires_at);

	if (rc != RC_OK)
		return rc;
	clock_text(e->expires_at * 1000, until);
	buf_init(&change, AUDIT_CHANGE_MAX);
	buf_str(&change, "{\"name\":");
	buf_json(&change, e->name);
	buf_printf(&change, ",\"expires_at\":\"%s\"}", until);
	rc = store_record(db, who, "enrollment.create", e->tenant_id, e->id, &change);
	buf_free(&change);
	return rc;
}

enum rc enrollment_create(struct db *db, const struct enrollment *e,
	const uint8_t secret_hash[CRYPTO_HASH_LEN], struct audit_record *who)
{
	struct tenant tenant;
	struct sql_change c;
	enum rc rc;

	if (!*e->id || !text_name_ok(e->name, STORE_NAME_MAX))
		return RC_INVALID;
	rc = sql_change_begin(db, &c);
	if (rc != RC_OK)
		return rc;
	rc = tenant_get(db, e->tenant_id, &tenant);
	if (rc == RC_OK)
		rc = insert(db, e, secret_hash, who);
	return sql_change_end(&c, rc);
}

enum rc enrollment_list(struct db *db, const char *tenant_id, const char *after, size_t limit,
	struct enrollment **list, size_t *count, char next[STORE_CURSOR_MAX + 1])
{
	static const struct sql_row_kind kind = {.size = sizeof(struct enrollment),
		.read = read_enrollment,
		.time_at = offsetof(struct enrollment, created_at),
		.id_at = offsetof(struct enrollment, id)};

	return sql_newest(db,
		"SELECT " COLUMNS " FROM enrollments"
		" WHERE tenant_id = ?1 AND (created_at, id) < (?2, ?3)"
		" ORDER BY created_at DESC, id DESC LIMIT ?4",
		tenant_id, after, limit, &kind, list, count, next);
}

static enum rc find(struct db *db, const char *tenant_id, const char *id, struct enrollment *out)
{
	sqlite3_stmt *st;
	enum rc rc = sql_query(db, &st,
		"SELECT " COLUMNS " FROM enrollments WHERE id = ? AND tenant_id = ?", "ss", id,
		tenant_id);

	if (rc != RC_OK)
		return rc;
	rc = sql_step(db, st);
	if (rc == RC_OK)
		read_enrollment(st, out);
	sqlite3_reset(st);
	return rc;
}

static enum rc revoke_row(struct db *db, const struct enrollment *e, struct audit_record *who)
{
	struct buf change;
	enum rc rc = sql_exec(db, NULL, "UPDATE enrollments SET revoked_at = ? WHERE id = ?", "is",
		clock_wall_s(), e->id);

	if (rc != RC_OK)
		return rc;
	store_name_change(&change, e->name);
	rc = store_record(db, who, "enrollment.revoke", e->tenant_id, e->id, &change);
	buf_free(&change);
	return rc;
}

enum rc enrollment_revoke(
	struct db *db, const char *tenant_id, const char *id, struct audit_record *who)
{
	struct sql_change c;
	struct enrollment e;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	rc = find(db, tenant_id, id, &e);
	/* A spent token can't be spent again: there is nothing to revoke. */
	if (rc == RC_OK && !e.revoked_at && !e.used_at)
		rc = revoke_row(db, &e, who);
	return sql_change_end(&c, rc);
}
