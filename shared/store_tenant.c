#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/store_sql.h"
#include "shared/text.h"

#define COLUMNS "id, slug, name, org_id, suspended, created_at, version"

static void read_tenant(sqlite3_stmt *st, struct tenant *t)
{
	sql_text(st, 0, t->id, sizeof t->id);
	sql_text(st, 1, t->slug, sizeof t->slug);
	sql_text(st, 2, t->name, sizeof t->name);
	sql_text(st, 3, t->org_id, sizeof t->org_id);
	t->suspended = sql_int(st, 4) != 0;
	t->created_at = sql_int(st, 5);
	t->version = sql_int(st, 6);
}

static enum rc one(struct db *db, const char *sql, const char *key, struct tenant *out)
{
	sqlite3_stmt *st = sql_prepare(db, sql);
	enum rc rc;

	if (!sql_bind(st, "s", key))
		return RC_INTERNAL;
	rc = sql_step(db, st);
	if (rc == RC_OK)
		read_tenant(st, out);
	sqlite3_reset(st);
	return rc;
}

enum rc tenant_get(struct db *db, const char *id, struct tenant *out)
{
	return one(db, "SELECT " COLUMNS " FROM tenants WHERE id = ?", id, out);
}

enum rc tenant_by_slug(struct db *db, const char *slug, struct tenant *out)
{
	return one(db, "SELECT " COLUMNS " FROM tenants WHERE slug = ?", slug, out);
}

static void change_of(struct buf *b, const struct tenant *t)
{
	buf_init(b, AUDIT_CHANGE_MAX);
	buf_str(b, "{\"slug\":");
	buf_json(b, t->slug);
	buf_str(b, ",\"name\":");
	buf_json(b, t->name);
	buf_str(b, ",\"org_id\":");
	buf_json(b, t->org_id);
	buf_char(b, '}');
}

static enum rc insert(struct db *db, const struct tenant *t, struct audit_record *who)
{
	struct buf change;
	enum rc rc = sql_exec(db, NULL, "INSERT INTO tenants (" COLUMNS ") VALUES (?, ?, ?, ?, 0, ?, ?)", "ssssii", t->id, t->slug,
		t->name, t->org_id, t->created_at, t->version);

	if (rc != RC_OK)
		return rc;
	change_of(&change, t);
	rc = store_record(db, who, "tenant.create", t->id, t->id, &change);
	buf_free(&change);
	return rc;
}

enum rc tenant_create(struct db *db, const char *slug, const char *name, const char *org_id, struct audit_record *who,
	struct tenant *out)
{
	struct tenant t = {.created_at = clock_wall_s()};
	struct sql_change c;
	enum rc rc;

	if (!text_slug_ok(slug) || !text_name_ok(name, STORE_NAME_MAX))
		return RC_INVALID;
	snprintf(t.id, sizeof t.id, "t_%s", slug);
	str_copy(t.slug, sizeof t.slug, slug);
	str_copy(t.name, sizeof t.name, name);
	if (!str_copy(t.org_id, sizeof t.org_id, org_id ? org_id : STORE_ORG_DEFAULT))
		return RC_INVALID;
	rc = sql_change_begin(db, &c);
	if (rc != RC_OK)
		return rc;
	rc = sql_next_version(db, &t.version);
	if (rc == RC_OK)
		rc = insert(db, &t, who);
	rc = sql_change_end(&c, rc);
	if (rc == RC_OK)
		*out = t;
	return rc;
}

enum rc tenant_list(struct db *db, const char *org_id, const char *after, size_t limit, struct tenant **list, size_t *count,
	char next[STORE_CURSOR_MAX + 1])
{
	sqlite3_stmt *st = sql_prepare(db, "SELECT " COLUMNS " FROM tenants WHERE slug > ?1 AND (?2 IS NULL OR org_id = ?2)"
					   " ORDER BY slug LIMIT ?3");
	struct tenant *rows;
	size_t n = 0;
	enum rc rc;

	/* One row more than asked for tells whether there is a next page. */
	if (!sql_bind(st, "ssi", after, org_id, (int64_t)limit + 1))
		return RC_INTERNAL;
	rows = xcalloc(limit + 1, sizeof *rows);
	while ((rc = sql_step(db, st)) == RC_OK)
		read_tenant(st, &rows[n++]);
	sqlite3_reset(st);
	if (rc != RC_NOTFOUND) {
		free(rows);
		return rc;
	}
	next[0] = '\0';
	if (n > limit) {
		n = limit;
		str_copy(next, STORE_CURSOR_MAX + 1, rows[n - 1].slug);
	}
	*list = rows;
	*count = n;
	return RC_OK;
}

static enum rc edited(struct db *db, const char *id, const char *event, struct audit_record *who, struct tenant *out)
{
	struct buf change;
	enum rc rc = tenant_get(db, id, out);

	if (rc != RC_OK)
		return rc;
	change_of(&change, out);
	rc = store_record(db, who, event, id, id, &change);
	buf_free(&change);
	return rc;
}

enum rc tenant_rename(struct db *db, const char *id, const char *name, struct audit_record *who, struct tenant *out)
{
	struct sql_change c;
	int64_t version;
	int changes = 0;
	enum rc rc;

	if (!text_name_ok(name, STORE_NAME_MAX))
		return RC_INVALID;
	rc = sql_change_begin(db, &c);
	if (rc != RC_OK)
		return rc;
	rc = sql_next_version(db, &version);
	if (rc == RC_OK)
		rc = sql_exec(db, &changes, "UPDATE tenants SET name = ?, version = ? WHERE id = ?", "sis", name, version, id);
	if (rc == RC_OK)
		rc = changes == 1 ? edited(db, id, "tenant.rename", who, out) : RC_NOTFOUND;
	return sql_change_end(&c, rc);
}

enum rc tenant_suspend(struct db *db, const char *id, bool suspended, struct audit_record *who, struct tenant *out)
{
	struct sql_change c;
	int64_t version;
	int changes = 0;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	rc = sql_next_version(db, &version);
	if (rc == RC_OK)
		rc = sql_exec(db, &changes, "UPDATE tenants SET suspended = ?, version = ? WHERE id = ?", "iis", (int64_t)suspended,
			version, id);
	if (rc == RC_OK)
		rc = changes == 1 ? edited(db, id, suspended ? "tenant.suspend" : "tenant.resume", who, out) : RC_NOTFOUND;
	return sql_change_end(&c, rc);
}

enum rc tenant_delete(struct db *db, const char *id, struct audit_record *who)
{
	struct sql_change c;
	int64_t version;
	int changes = 0;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	/* The counter moves too, so that a tenant made anew under the same id never repeats a version. */
	rc = sql_next_version(db, &version);
	if (rc == RC_OK)
		rc = sql_exec(db, &changes, "DELETE FROM tenants WHERE id = ?", "s", id);
	if (rc == RC_OK)
		rc = changes == 1 ? store_record(db, who, "tenant.delete", id, id, NULL) : RC_NOTFOUND;
	return sql_change_end(&c, rc);
}
