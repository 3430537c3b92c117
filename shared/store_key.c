#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/jscan.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/store_sql.h"
#include "shared/text.h"

#define COLUMNS                                                                         \
	"k.id, k.tenant_id, k.name, k.hash, k.tools, k.rate_per_minute, k.created_at, " \
	"k.expires_at, k.last_used_at, k.revoked_at, k.version"
#define COLUMN_COUNT 11

void api_key_clear(struct api_key *k)
{
	free(k->tools);
	mem_wipe(k, sizeof(*k));
}

void api_key_list_free(struct api_key *list, size_t count)
{
	for (size_t i = 0; list && i < count; i++)
		api_key_clear(&list[i]);
	free(list);
}

static void clear_key(void *row)
{
	api_key_clear(row);
}

static void read_key(sqlite3_stmt *st, void *row)
{
	const char *tools = (const char *)sqlite3_column_text(st, 4);
	struct api_key *k = row;

	sql_text(st, 0, k->id, sizeof(k->id));
	sql_text(st, 1, k->tenant_id, sizeof(k->tenant_id));
	sql_text(st, 2, k->name, sizeof(k->name));
	sql_text(st, 3, k->hash, sizeof(k->hash));
	k->tools = tools ? xstrdup(tools) : NULL;
	k->rate_per_minute = sql_int(st, 5);
	k->created_at = sql_int(st, 6);
	k->expires_at = sql_int(st, 7);
	k->last_used_at = sql_int(st, 8);
	k->revoked_at = sql_int(st, 9);
	k->version = sql_int(st, 10);
}

/* A JSON array of strings. */
static bool tools_ok(const char *tools)
{
	struct jscan list, key, value;
	struct jscan_iter it;

	if (strnlen(tools, STORE_TOOLS_MAX + 1) > STORE_TOOLS_MAX ||
		jscan_parse(tools, strlen(tools), &list) != RC_OK || list.kind != JSCAN_ARRAY)
		return false;
	it = jscan_iter(list);
	while (jscan_next(&it, &key, &value)) {
		if (value.kind != JSCAN_STRING)
			return false;
	}
	return true;
}

static size_t tools_count(const char *tools)
{
	struct jscan list, key, value;
	struct jscan_iter it;
	size_t n = 0;

	if (jscan_parse(tools, strlen(tools), &list) != RC_OK)
		return 0;
	it = jscan_iter(list);
	while (jscan_next(&it, &key, &value))
		n++;
	return n;
}

static void describe(struct buf *b, const struct api_key *k)
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
	if (k->tools) {
		buf_printf(b, ",\"tools_count\":%zu", tools_count(k->tools));
		/* A long allow-list does not fit into a record: then its length alone is told. */
		if (b->len + strlen(k->tools) + sizeof(",\"tools\":}") <= AUDIT_CHANGE_MAX)
			buf_printf(b, ",\"tools\":%s", k->tools);
	}
	buf_char(b, '}');
}

static enum rc insert(struct db *db, const struct api_key *k, struct audit_record *who)
{
	struct buf change;
	int64_t version;
	enum rc rc = sql_next_version(db, &version);

	if (rc == RC_OK)
		rc = sql_exec(db, NULL,
			"INSERT INTO api_keys (id, tenant_id, name, hash, tools, rate_per_minute,"
			" created_at, expires_at, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
			"sssssiiii", k->id, k->tenant_id, k->name, k->hash, k->tools,
			k->rate_per_minute, k->created_at, k->expires_at, version);
	if (rc != RC_OK)
		return rc;
	describe(&change, k);
	rc = store_record(db, who, "key.create", k->tenant_id, k->id, &change);
	buf_free(&change);
	return rc;
}

enum rc api_key_create(struct db *db, const struct api_key *k, struct audit_record *who)
{
	struct tenant tenant;
	struct sql_change c;
	enum rc rc;

	if (!*k->id || !text_name_ok(k->name, STORE_NAME_MAX) || (k->tools && !tools_ok(k->tools)))
		return RC_INVALID;
	rc = sql_change_begin(db, &c);
	if (rc != RC_OK)
		return rc;
	rc = tenant_get(db, k->tenant_id, &tenant);
	if (rc == RC_OK)
		rc = insert(db, k, who);
	return sql_change_end(&c, rc);
}

enum rc api_key_list(struct db *db, const char *tenant_id, const char *after, size_t limit,
	struct api_key **list, size_t *count, char next[STORE_CURSOR_MAX + 1])
{
	static const struct sql_row_kind kind = {.size = sizeof(struct api_key),
		.read = read_key,
		.clear = clear_key,
		.time_at = offsetof(struct api_key, created_at),
		.id_at = offsetof(struct api_key, id)};

	return sql_newest(db,
		"SELECT " COLUMNS " FROM api_keys k"
		" WHERE tenant_id = ?1 AND (created_at, id) < (?2, ?3)"
		" ORDER BY created_at DESC, id DESC LIMIT ?4",
		tenant_id, after, limit, &kind, list, count, next);
}

/* The name of a tenant's key, and whether it is revoked. */
static enum rc look_up(struct db *db, const char *tenant_id, const char *id,
	char name[STORE_NAME_MAX + 1], bool *revoked)
{
	sqlite3_stmt *st;
	enum rc rc = sql_query(db, &st,
		"SELECT name, revoked_at FROM api_keys WHERE id = ? AND tenant_id = ?", "ss", id,
		tenant_id);

	if (rc != RC_OK)
		return rc;
	rc = sql_step(db, st);
	if (rc == RC_OK) {
		sql_text(st, 0, name, STORE_NAME_MAX + 1);
		*revoked = sql_int(st, 1) != 0;
	}
	sqlite3_reset(st);
	return rc;
}

static enum rc revoke_row(struct db *db, const char *tenant_id, const char *id, const char *name,
	struct audit_record *who)
{
	struct buf change;
	int64_t version;
	enum rc rc = sql_next_version(db, &version);

	if (rc == RC_OK)
		rc = sql_exec(db, NULL,
			"UPDATE api_keys SET revoked_at = ?, version = ? WHERE id = ?", "iis",
			clock_wall_s(), version, id);
	if (rc != RC_OK)
		return rc;
	store_name_change(&change, name);
	rc = store_record(db, who, "key.revoke", tenant_id, id, &change);
	buf_free(&change);
	return rc;
}

enum rc api_key_revoke(
	struct db *db, const char *tenant_id, const char *id, struct audit_record *who)
{
	char name[STORE_NAME_MAX + 1];
	struct sql_change c;
	bool revoked;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	rc = look_up(db, tenant_id, id, name, &revoked);
	if (rc == RC_OK && !revoked)
		rc = revoke_row(db, tenant_id, id, name, who);
	return sql_change_end(&c, rc);
}

static void read_row(sqlite3_stmt *st, struct api_key_row *out)
{
	struct tenant *t = &out->tenant;

	memset(out, 0, sizeof(*out));
	read_key(st, &out->key);
	sql_text(st, COLUMN_COUNT, t->id, sizeof(t->id));
	sql_text(st, COLUMN_COUNT + 1, t->slug, sizeof(t->slug));
	sql_text(st, COLUMN_COUNT + 2, t->name, sizeof(t->name));
	sql_text(st, COLUMN_COUNT + 3, t->org_id, sizeof(t->org_id));
	t->suspended = sql_int(st, COLUMN_COUNT + 4) != 0;
	t->created_at = sql_int(st, COLUMN_COUNT + 5);
	t->version = sql_int(st, COLUMN_COUNT + 6);
	/* Both come from one counter that only grows: the larger names the last change of either.
	 */
	out->row_version = out->key.version > t->version ? out->key.version : t->version;
}

enum rc api_key_find(struct db *db, const char *id, struct api_key_row *out)
{
	sqlite3_stmt *st;
	enum rc rc = sql_query(db, &st,
		"SELECT " COLUMNS ", t.id, t.slug, t.name, t.org_id, t.suspended, t.created_at,"
		" t.version FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE k.id = ?",
		"s", id);

	if (rc != RC_OK)
		return rc;
	rc = sql_step(db, st);
	if (rc == RC_OK)
		read_row(st, out);
	sqlite3_reset(st);
	return rc;
}

enum rc api_key_version(struct db *db, const char *id, int64_t *row_version)
{
	sqlite3_stmt *st;
	enum rc rc = sql_query(db, &st,
		"SELECT max(k.version, t.version) FROM api_keys k"
		" JOIN tenants t ON t.id = k.tenant_id WHERE k.id = ?",
		"s", id);

	if (rc != RC_OK)
		return rc;
	rc = sql_step(db, st);
	if (rc == RC_OK)
		*row_version = sql_int(st, 0);
	sqlite3_reset(st);
	return rc;
}

enum rc api_key_touch(struct db *db, const char *id, int64_t used_at)
{
	return sql_exec(db, NULL,
		"UPDATE api_keys SET last_used_at = ?1 WHERE id = ?2 AND last_used_at < ?1", "is",
		used_at, id);
}
