#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/store_sql.h"
#include "shared/text.h"

#define COLUMNS "k.id, k.tenant_id, k.name, k.hash, k.tools, k.rate_per_minute, k.created_at, k.expires_at, k.last_used_at, k.revoked_at, k.version"
#define COLUMN_COUNT 11

void api_key_clear(struct api_key *k)
{
	free(k->tools);
	mem_wipe(k, sizeof *k);
}

void api_key_list_free(struct api_key *list, size_t count)
{
	for (size_t i = 0; list && i < count; i++)
		api_key_clear(&list[i]);
	free(list);
}

static void read_key(sqlite3_stmt *st, struct api_key *k)
{
	const char *tools = (const char *)sqlite3_column_text(st, 4);

	sql_text(st, 0, k->id, sizeof k->id);
	sql_text(st, 1, k->tenant_id, sizeof k->tenant_id);
	sql_text(st, 2, k->name, sizeof k->name);
	sql_text(st, 3, k->hash, sizeof k->hash);
	k->tools = tools ? xstrdup(tools) : NULL;
	k->rate_per_minute = sql_int(st, 5);
	k->created_at = sql_int(st, 6);
	k->expires_at = sql_int(st, 7);
	k->last_used_at = sql_int(st, 8);
	k->revoked_at = sql_int(st, 9);
	k->version = sql_int(st, 10);
}

static void change_of(struct buf *b, const struct api_key *k)
{
	char until[CLOCK_TEXT_LEN + 1];

	buf_init(b, AUDIT_CHANGE_MAX);
	buf_str(b, "{\"name\":");
	buf_json(b, k->name);
	if (k->expires_at) {
		clock_text(k->expires_at * 1000, until);
		buf_printf(b, ",\"expires_at\":\"%s\"", until);
	}
	if (k->rate_per_minute >= 0)
		buf_printf(b, ",\"rate_per_minute\":%lld", (long long)k->rate_per_minute);
	/* A long allow-list does not fit into a record: then its length alone is told. */
	if (k->tools && b->len + strlen(k->tools) + 16 < AUDIT_CHANGE_MAX)
		buf_printf(b, ",\"tools\":%s", k->tools);
	else if (k->tools)
		buf_printf(b, ",\"tools_bytes\":%zu", strlen(k->tools));
	buf_char(b, '}');
}

static enum rc insert(struct db *db, const struct api_key *k, int64_t version, struct audit_record *who)
{
	struct buf change;
	enum rc rc = sql_exec(db, NULL,
		"INSERT INTO api_keys (id, tenant_id, name, hash, tools, rate_per_minute, created_at, expires_at, version)"
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		"sssssiiii", k->id, k->tenant_id, k->name, k->hash, k->tools, k->rate_per_minute, k->created_at, k->expires_at, version);

	if (rc != RC_OK)
		return rc;
	change_of(&change, k);
	rc = store_record(db, who, "key.create", k->tenant_id, k->id, &change);
	buf_free(&change);
	return rc;
}

enum rc api_key_create(struct db *db, const struct api_key *k, struct audit_record *who)
{
	struct tenant tenant;
	struct sql_change c;
	int64_t version;
	enum rc rc;

	if (!text_name_ok(k->name, STORE_NAME_MAX) || (k->tools && strlen(k->tools) > STORE_TOOLS_MAX))
		return RC_INVALID;
	rc = sql_change_begin(db, &c);
	if (rc != RC_OK)
		return rc;
	rc = tenant_get(db, k->tenant_id, &tenant);
	if (rc == RC_OK)
		rc = sql_next_version(db, &version);
	if (rc == RC_OK)
		rc = insert(db, k, version, who);
	return sql_change_end(&c, rc);
}

enum rc api_key_list(struct db *db, const char *tenant_id, const char *after, size_t limit, struct api_key **list, size_t *count,
	char next[STORE_CURSOR_MAX + 1])
{
	sqlite3_stmt *st = sql_prepare(db, "SELECT " COLUMNS " FROM api_keys k WHERE tenant_id = ?1 AND (created_at, id) < (?2, ?3)"
					   " ORDER BY created_at DESC, id DESC LIMIT ?4");
	char id[STORE_CURSOR_MAX + 1];
	struct api_key *rows;
	int64_t number;
	size_t n = 0;
	enum rc rc = store_cursor_get(after, &number, id, sizeof id);

	if (rc != RC_OK)
		return rc;
	if (!sql_bind(st, "sisi", tenant_id, number, id, (int64_t)limit + 1))
		return RC_INTERNAL;
	rows = xcalloc(limit + 1, sizeof *rows);
	while ((rc = sql_step(db, st)) == RC_OK)
		read_key(st, &rows[n++]);
	sqlite3_reset(st);
	if (rc != RC_NOTFOUND) {
		api_key_list_free(rows, n);
		return rc;
	}
	next[0] = '\0';
	if (n > limit) {
		api_key_clear(&rows[--n]);
		store_cursor_put(next, STORE_CURSOR_MAX + 1, rows[n - 1].created_at, rows[n - 1].id);
	}
	*list = rows;
	*count = n;
	return RC_OK;
}

static enum rc key_exists(struct db *db, const char *tenant_id, const char *id)
{
	sqlite3_stmt *st = sql_prepare(db, "SELECT 1 FROM api_keys WHERE id = ? AND tenant_id = ?");
	enum rc rc;

	if (!sql_bind(st, "ss", id, tenant_id))
		return RC_INTERNAL;
	rc = sql_step(db, st);
	sqlite3_reset(st);
	return rc;
}

enum rc api_key_revoke(struct db *db, const char *tenant_id, const char *id, struct audit_record *who)
{
	struct sql_change c;
	int64_t version;
	int changes = 0;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	rc = key_exists(db, tenant_id, id);
	if (rc == RC_OK)
		rc = sql_next_version(db, &version);
	if (rc == RC_OK)
		rc = sql_exec(db, &changes, "UPDATE api_keys SET revoked_at = ?, version = ? WHERE id = ? AND revoked_at = 0", "iis",
			clock_wall_s(), version, id);
	if (rc == RC_OK && changes == 1)
		rc = store_record(db, who, "key.revoke", tenant_id, id, NULL);
	return sql_change_end(&c, rc);
}

enum rc api_key_find(struct db *db, const char *id, struct api_key_row *out)
{
	sqlite3_stmt *st = sql_prepare(db, "SELECT " COLUMNS ", t.id, t.slug, t.name, t.org_id, t.suspended, t.created_at, t.version"
					   " FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE k.id = ?");
	enum rc rc;

	if (!sql_bind(st, "s", id))
		return RC_INTERNAL;
	rc = sql_step(db, st);
	if (rc == RC_OK) {
		memset(out, 0, sizeof *out);
		read_key(st, &out->key);
		sql_text(st, COLUMN_COUNT, out->tenant.id, sizeof out->tenant.id);
		sql_text(st, COLUMN_COUNT + 1, out->tenant.slug, sizeof out->tenant.slug);
		sql_text(st, COLUMN_COUNT + 2, out->tenant.name, sizeof out->tenant.name);
		sql_text(st, COLUMN_COUNT + 3, out->tenant.org_id, sizeof out->tenant.org_id);
		out->tenant.suspended = sql_int(st, COLUMN_COUNT + 4) != 0;
		out->tenant.created_at = sql_int(st, COLUMN_COUNT + 5);
		out->tenant.version = sql_int(st, COLUMN_COUNT + 6);
		/* Both come from one counter that only grows: the larger names the last change of either. */
		out->row_version = out->key.version > out->tenant.version ? out->key.version : out->tenant.version;
	}
	sqlite3_reset(st);
	return rc;
}

enum rc api_key_version(struct db *db, const char *id, int64_t *row_version)
{
	sqlite3_stmt *st =
		sql_prepare(db, "SELECT max(k.version, t.version) FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE k.id = ?");
	enum rc rc;

	if (!sql_bind(st, "s", id))
		return RC_INTERNAL;
	rc = sql_step(db, st);
	if (rc == RC_OK)
		*row_version = sql_int(st, 0);
	sqlite3_reset(st);
	return rc;
}

enum rc api_key_touch(struct db *db, const char *id, int64_t used_at)
{
	return sql_exec(db, NULL, "UPDATE api_keys SET last_used_at = ?1 WHERE id = ?2 AND last_used_at < ?1", "is", used_at, id);
}
