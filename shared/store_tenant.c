#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/store_sql.h"
#include "shared/text.h"

#define COLUMNS "id, slug, name, org_id, suspended, created_at, version, audit_keep_days"

static void read_tenant(sqlite3_stmt *st, void *row)
{
	struct tenant *t = row;

	sql_text(st, 0, t->id, sizeof(t->id));
	sql_text(st, 1, t->slug, sizeof(t->slug));
	sql_text(st, 2, t->name, sizeof(t->name));
	sql_text(st, 3, t->org_id, sizeof(t->org_id));
	t->suspended = sql_int(st, 4) != 0;
	t->created_at = sql_int(st, 5);
	t->version = sql_int(st, 6);
	t->audit_keep_days = sql_int(st, 7);
}

static enum rc read_one(struct db *db, sqlite3_stmt *st, struct tenant *out)
{
	enum rc rc = sql_step(db, st);

	if (rc == RC_OK)
		read_tenant(st, out);
	sqlite3_reset(st);
	return rc;
}

enum rc tenant_get(struct db *db, const char *id, struct tenant *out)
{
	sqlite3_stmt *st;
	enum rc rc = sql_query(db, &st, "SELECT " COLUMNS " FROM tenants WHERE id = ?", "s", id);

	return rc == RC_OK ? read_one(db, st, out) : rc;
}

enum rc tenant_by_slug(struct db *db, const char *slug, struct tenant *out)
{
	sqlite3_stmt *st;
	enum rc rc =
		sql_query(db, &st, "SELECT " COLUMNS " FROM tenants WHERE slug = ?", "s", slug);

	return rc == RC_OK ? read_one(db, st, out) : rc;
}

/* before is the name that a rename took away, or NULL. */
static enum rc record(struct db *db, const struct tenant *t, const char *event, const char *before,
	struct audit_record *who)
{
	struct buf change;
	enum rc rc;

	buf_init(&change, AUDIT_CHANGE_MAX);
	buf_str(&change, "{\"slug\":");
	buf_json(&change, t->slug);
	buf_str(&change, ",\"name\":");
	buf_json(&change, t->name);
	if (before) {
		buf_str(&change, ",\"old_name\":");
		buf_json(&change, before);
	}
	buf_str(&change, ",\"org_id\":");
	buf_json(&change, t->org_id);
	if (!strcmp(event, "tenant.keep"))
		buf_printf(&change, ",\"audit_keep_days\":%lld", (long long)t->audit_keep_days);
	buf_char(&change, '}');
	rc = store_record(db, who, event, t->id, t->id, &change);
	buf_free(&change);
	return rc;
}

static enum rc insert(struct db *db, struct tenant *t, struct audit_record *who)
{
	enum rc rc = sql_next_version(db, &t->version);

	if (rc == RC_OK)
		rc = sql_exec(db, NULL,
			"INSERT INTO tenants (" COLUMNS ") VALUES (?, ?, ?, ?, 0, ?, ?, -1)",
			"ssssii", t->id, t->slug, t->name, t->org_id, t->created_at, t->version);
	return rc == RC_OK ? record(db, t, "tenant.create", NULL, who) : rc;
}

enum rc tenant_create(struct db *db, const char *slug, const char *name, const char *org_id,
	struct audit_record *who, struct tenant *out)
{
	struct tenant t = {.created_at = clock_wall_s(), .audit_keep_days = TENANT_KEEP_DEFAULT};
	struct sql_change c;
	enum rc rc;

	if (!text_slug_ok(slug) || !text_name_ok(name, STORE_NAME_MAX))
		return RC_INVALID;
	snprintf(t.id, sizeof(t.id), "t_%s", slug);
	str_copy(t.slug, sizeof(t.slug), slug);
	str_copy(t.name, sizeof(t.name), name);
	if (!str_copy(t.org_id, sizeof(t.org_id), org_id ? org_id : STORE_ORG_DEFAULT))
		return RC_INVALID;
	rc = sql_change_begin(db, &c);
	if (rc != RC_OK)
		return rc;
	rc = sql_change_end(&c, insert(db, &t, who));
	if (rc == RC_OK)
		*out = t;
	return rc;
}

enum rc tenant_list(struct db *db, const char *org_id, const char *after, size_t limit,
	struct tenant **list, size_t *count, char next[STORE_CURSOR_MAX + 1])
{
	static const struct sql_row_kind kind = {
		.size = sizeof(struct tenant), .read = read_tenant};
	sqlite3_stmt *st;
	bool more;
	enum rc rc = sql_query(db, &st,
		"SELECT " COLUMNS " FROM tenants WHERE slug > ?1 AND (?2 IS NULL OR org_id = ?2)"
		" ORDER BY slug LIMIT ?3",
		"ssi", after, org_id, (int64_t)limit + 1);

	if (rc == RC_OK)
		rc = sql_page(db, st, limit, &kind, list, count, &more);
	if (rc != RC_OK)
		return rc;
	next[0] = '\0';
	if (more && *count > 0)
		str_copy(next, STORE_CURSOR_MAX + 1, (*list)[*count - 1].slug);
	return RC_OK;
}

static enum rc rename_row(
	struct db *db, const char *name, struct tenant *t, struct audit_record *who)
{
	char before[STORE_NAME_MAX + 1];
	enum rc rc = sql_next_version(db, &t->version);

	memcpy(before, t->name, sizeof(before));
	str_copy(t->name, sizeof(t->name), name);
	if (rc == RC_OK)
		rc = sql_exec(db, NULL, "UPDATE tenants SET name = ?, version = ? WHERE id = ?",
			"sis", name, t->version, t->id);
	return rc == RC_OK ? record(db, t, "tenant.rename", before, who) : rc;
}

enum rc tenant_rename(struct db *db, const char *id, const char *name, struct audit_record *who,
	struct tenant *out)
{
	struct sql_change c;
	struct tenant t;
	enum rc rc;

	if (!text_name_ok(name, STORE_NAME_MAX))
		return RC_INVALID;
	rc = sql_change_begin(db, &c);
	if (rc != RC_OK)
		return rc;
	rc = tenant_get(db, id, &t);
	if (rc == RC_OK)
		rc = rename_row(db, name, &t, who);
	rc = sql_change_end(&c, rc);
	if (rc == RC_OK)
		*out = t;
	return rc;
}

static enum rc suspend_row(
	struct db *db, bool suspended, struct tenant *t, struct audit_record *who)
{
	enum rc rc = sql_next_version(db, &t->version);

	t->suspended = suspended;
	if (rc == RC_OK)
		rc = sql_exec(db, NULL,
			"UPDATE tenants SET suspended = ?, version = ? WHERE id = ?", "iis",
			(int64_t)suspended, t->version, t->id);
	return rc == RC_OK
		? record(db, t, suspended ? "tenant.suspend" : "tenant.resume", NULL, who)
		: rc;
}

enum rc tenant_suspend(
	struct db *db, const char *id, bool suspended, struct audit_record *who, struct tenant *out)
{
	struct sql_change c;
	struct tenant t;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	rc = tenant_get(db, id, &t);
	if (rc == RC_OK)
		rc = suspend_row(db, suspended, &t, who);
	rc = sql_change_end(&c, rc);
	if (rc == RC_OK)
		*out = t;
	return rc;
}

static enum rc keep_row(struct db *db, int64_t days, struct tenant *t, struct audit_record *who)
{
	enum rc rc = sql_next_version(db, &t->version);

	t->audit_keep_days = days;
	if (rc == RC_OK)
		rc = sql_exec(db, NULL,
			"UPDATE tenants SET audit_keep_days = ?, version = ? WHERE id = ?", "iis",
			days, t->version, t->id);
	return rc == RC_OK ? record(db, t, "tenant.keep", NULL, who) : rc;
}

enum rc tenant_keep(
	struct db *db, const char *id, int64_t days, struct audit_record *who, struct tenant *out)
{
	struct sql_change c;
	struct tenant t;
	enum rc rc;

	if (days < TENANT_KEEP_DEFAULT || days > TENANT_KEEP_MAX)
		return RC_INVALID;
	rc = sql_change_begin(db, &c);
	if (rc != RC_OK)
		return rc;
	rc = tenant_get(db, id, &t);
	if (rc == RC_OK)
		rc = keep_row(db, days, &t, who);
	rc = sql_change_end(&c, rc);
	if (rc == RC_OK)
		*out = t;
	return rc;
}

static void read_keep(sqlite3_stmt *st, void *row)
{
	struct tenant_keep *k = row;

	sql_text(st, 0, k->id, sizeof(k->id));
	k->days = sql_int(st, 1);
}

enum rc tenant_keep_list(struct db *db, struct tenant_keep **list, size_t *count)
{
	static const struct sql_row_kind kind = {
		.size = sizeof(struct tenant_keep), .read = read_keep};
	sqlite3_stmt *st;
	bool more;
	enum rc rc = sql_query(db, &st,
		"SELECT id, audit_keep_days FROM tenants WHERE audit_keep_days >= 0 ORDER BY id",
		"");

	return rc == RC_OK ? sql_page(db, st, 1 << 20, &kind, list, count, &more) : rc;
}

enum rc tenant_delete(struct db *db, const char *id, struct audit_record *who)
{
	struct sql_change c;
	struct tenant t;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	rc = tenant_get(db, id, &t);
	/* Its keys, workers and enrollments go with it: ON DELETE CASCADE. */
	if (rc == RC_OK)
		rc = sql_exec(db, NULL, "DELETE FROM tenants WHERE id = ?", "s", id);
	if (rc == RC_OK)
		rc = record(db, &t, "tenant.delete", NULL, who);
	return sql_change_end(&c, rc);
}

/* One demo tenant, unless it was registered before: one that the operator deleted stays deleted. */
static enum rc register_demo(struct db *db, const char *mark, const char *slug, const char *name)
{
	struct audit_record who;
	struct tenant t;
	struct sql_change c;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	audit_init(&who, "");
	str_copy(who.actor_kind, sizeof(who.actor_kind), "system");
	rc = sql_exec(db, NULL,
		"INSERT INTO meta (name, value) VALUES (?, datetime()) ON CONFLICT DO NOTHING", "s",
		mark);
	if (rc == RC_OK)
		rc = tenant_by_slug(db, slug, &t);
	if (rc == RC_NOTFOUND)
		rc = tenant_create(db, slug, name, NULL, &who, &t);
	return sql_change_end(&c, rc);
}

enum rc state_register_demo(struct db *db)
{
	static const char *const demo[][2] = {
		{"fintech", "Demo Fintech"}, {"healthcare", "Demo Healthcare"}, {"hr", "Demo HR"}};
	char mark[32];
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < sizeof(demo) / sizeof(demo[0]); i++) {
		snprintf(mark, sizeof(mark), "demo:%s", demo[i][0]);
		rc = sql_exists(db, "SELECT 1 FROM meta WHERE name = ?", mark);
		if (rc == RC_NOTFOUND)
			rc = register_demo(db, mark, demo[i][0], demo[i][1]);
	}
	return rc;
}
