#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/store_sql.h"
#include "shared/text.h"

static void read_enrollment(sqlite3_stmt *st, struct enrollment *e)
{
	sql_text(st, 0, e->id, sizeof e->id);
	sql_text(st, 1, e->tenant_id, sizeof e->tenant_id);
	sql_text(st, 2, e->name, sizeof e->name);
	e->created_at = sql_int(st, 3);
	e->expires_at = sql_int(st, 4);
	e->used_at = sql_int(st, 5);
	e->revoked_at = sql_int(st, 6);
	sql_text(st, 7, e->worker_id, sizeof e->worker_id);
}

static enum rc insert(struct db *db, const struct enrollment *e, const uint8_t secret_hash[CRYPTO_HASH_LEN], struct audit_record *who)
{
	struct buf change;
	enum rc rc = sql_exec(db, NULL,
		"INSERT INTO enrollments (id, tenant_id, name, secret_hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)", "sssbii",
		e->id, e->tenant_id, e->name, secret_hash, (size_t)CRYPTO_HASH_LEN, e->created_at, e->expires_at);

	if (rc != RC_OK)
		return rc;
	buf_init(&change, AUDIT_CHANGE_MAX);
	buf_str(&change, "{\"name\":");
	buf_json(&change, e->name);
	buf_char(&change, '}');
	rc = store_record(db, who, "enrollment.create", e->tenant_id, e->id, &change);
	buf_free(&change);
	return rc;
}

enum rc enrollment_create(struct db *db, const struct enrollment *e, const uint8_t secret_hash[CRYPTO_HASH_LEN], struct audit_record *who)
{
	struct tenant tenant;
	struct sql_change c;
	enum rc rc;

	if (!text_name_ok(e->name, STORE_NAME_MAX))
		return RC_INVALID;
	rc = sql_change_begin(db, &c);
	if (rc != RC_OK)
		return rc;
	rc = tenant_get(db, e->tenant_id, &tenant);
	if (rc == RC_OK)
		rc = insert(db, e, secret_hash, who);
	return sql_change_end(&c, rc);
}

enum rc enrollment_list(struct db *db, const char *tenant_id, const char *after, size_t limit, struct enrollment **list, size_t *count,
	char next[STORE_CURSOR_MAX + 1])
{
	sqlite3_stmt *st = sql_prepare(db, "SELECT id, tenant_id, name, created_at, expires_at, used_at, revoked_at, worker_id FROM enrollments"
					   " WHERE tenant_id = ?1 AND (created_at, id) < (?2, ?3) ORDER BY created_at DESC, id DESC LIMIT ?4");
	char id[STORE_CURSOR_MAX + 1];
	struct enrollment *rows;
	int64_t number;
	size_t n = 0;
	enum rc rc = store_cursor_get(after, &number, id, sizeof id);

	if (rc != RC_OK)
		return rc;
	if (!sql_bind(st, "sisi", tenant_id, number, id, (int64_t)limit + 1))
		return RC_INTERNAL;
	rows = xcalloc(limit + 1, sizeof *rows);
	while ((rc = sql_step(db, st)) == RC_OK)
		read_enrollment(st, &rows[n++]);
	sqlite3_reset(st);
	if (rc != RC_NOTFOUND) {
		free(rows);
		return rc;
	}
	next[0] = '\0';
	if (n > limit) {
		n = limit;
		store_cursor_put(next, STORE_CURSOR_MAX + 1, rows[n - 1].created_at, rows[n - 1].id);
	}
	*list = rows;
	*count = n;
	return RC_OK;
}

enum rc enrollment_revoke(struct db *db, const char *tenant_id, const char *id, struct audit_record *who)
{
	sqlite3_stmt *st = sql_prepare(db, "SELECT 1 FROM enrollments WHERE id = ? AND tenant_id = ?");
	struct sql_change c;
	int changes = 0;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	rc = sql_bind(st, "ss", id, tenant_id) ? sql_step(db, st) : RC_INTERNAL;
	if (st)
		sqlite3_reset(st);
	if (rc == RC_OK)
		rc = sql_exec(db, &changes, "UPDATE enrollments SET revoked_at = ? WHERE id = ? AND revoked_at = 0 AND used_at = 0", "is",
			clock_wall_s(), id);
	if (rc == RC_OK && changes == 1)
		rc = store_record(db, who, "enrollment.revoke", tenant_id, id, NULL);
	return sql_change_end(&c, rc);
}
