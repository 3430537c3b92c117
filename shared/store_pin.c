#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/store_sql.h"
#include "shared/text.h"

void tool_pin_clear(struct tool_pin *p)
{
	free(p->definition);
	*p = (struct tool_pin){0};
}

static void read_pin(sqlite3_stmt *st, void *row)
{
	struct tool_pin *p = row;

	p->definition = NULL;
	sql_text(st, 0, p->tool, sizeof(p->tool));
	sql_text(st, 1, p->fingerprint, sizeof(p->fingerprint));
	p->pinned_at = sql_int(st, 2);
	sql_text(st, 3, p->pinned_by, sizeof(p->pinned_by));
}

enum rc tool_pin_list(struct db *db, const char *tenant_id, struct tool_pin **list, size_t *count)
{
	static const struct sql_row_kind kind = {.size = sizeof(struct tool_pin), .read = read_pin};
	sqlite3_stmt *st;
	bool more;
	enum rc rc = sql_query(db, &st,
		"SELECT tool, fingerprint, pinned_at, pinned_by FROM tool_pins"
		" WHERE tenant_id = ? ORDER BY tool",
		"s", tenant_id);

	return rc == RC_OK ? sql_page(db, st, TOOL_PINS_MAX, &kind, list, count, &more) : rc;
}

enum rc tool_pin_get(struct db *db, const char *tenant_id, const char *tool, struct tool_pin *out)
{
	sqlite3_stmt *st;
	enum rc rc = sql_query(db, &st,
		"SELECT tool, fingerprint, pinned_at, pinned_by, definition FROM tool_pins"
		" WHERE tenant_id = ? AND tool = ?",
		"ss", tenant_id, tool);

	if (rc != RC_OK)
		return rc;
	rc = sql_step(db, st);
	if (rc == RC_OK) {
		const char *text = (const char *)sqlite3_column_text(st, 4);

		read_pin(st, out);
		out->definition = xstrndup(text ? text : "", (size_t)sqlite3_column_bytes(st, 4));
	}
	sqlite3_reset(st);
	return rc;
}

enum rc tool_pin_set(struct db *db, const char *tenant_id, struct toolset *out)
{
	struct toolset set = {0};
	struct toolset_tool one;
	char text[TOOLSET_FINGERPRINT_LEN + 1];
	sqlite3_stmt *st;
	enum rc rc = sql_query(db, &st,
		"SELECT tool, fingerprint FROM tool_pins WHERE tenant_id = ? ORDER BY tool", "s",
		tenant_id);

	if (rc != RC_OK)
		return rc;
	while ((rc = sql_step(db, st)) == RC_OK) {
		sql_text(st, 0, one.name, sizeof(one.name));
		sql_text(st, 1, text, sizeof(text));
		/* One that can't be read is like no definition there is. */
		if (toolset_fingerprint_read(text, one.fingerprint) != RC_OK)
			memset(one.fingerprint, 0, sizeof(one.fingerprint));
		rc = toolset_add(&set, &one);
		if (rc != RC_OK)
			break;
	}
	sqlite3_reset(st);
	if (rc == RC_NOTFOUND) {
		*out = set;
		return RC_OK;
	}
	toolset_free(&set);
	return rc;
}

/* --- changes -------------------------------------------------------------------------- */

static enum rc record(struct db *db, struct audit_record *who, const char *event,
	const char *tenant_id, const char *tool, const struct buf *change)
{
	if (!str_copy(who->tool, sizeof(who->tool), tool))
		return RC_INTERNAL;
	return store_record(db, who, event, tenant_id, tool, change);
}

/* {"fingerprint":"...","before":"..."} */
static void fingerprints(struct buf *b, const char *now, const char *before)
{
	buf_init(b, AUDIT_CHANGE_MAX);
	buf_printf(b, "{\"fingerprint\":\"%s\"", now);
	if (*before)
		buf_printf(b, ",\"before\":\"%s\"", before);
	buf_char(b, '}');
}

static const char *name_of(const struct audit_record *who)
{
	if (*who->actor_name)
		return who->actor_name;
	return *who->actor_id ? who->actor_id : who->actor_kind;
}

/* What the tool is pinned to, "" for nothing. */
static enum rc pinned_to(struct db *db, const char *tenant_id, const char *tool,
	char out[TOOLSET_FINGERPRINT_LEN + 1])
{
	sqlite3_stmt *st;
	enum rc rc = sql_query(db, &st,
		"SELECT fingerprint FROM tool_pins WHERE tenant_id = ? AND tool = ?", "ss",
		tenant_id, tool);

	out[0] = '\0';
	if (rc != RC_OK)
		return rc;
	rc = sql_step(db, st);
	if (rc == RC_OK)
		sql_text(st, 0, out, TOOLSET_FINGERPRINT_LEN + 1);
	sqlite3_reset(st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc room_for_one(struct db *db, const char *tenant_id)
{
	sqlite3_stmt *st;
	enum rc rc = sql_query(
		db, &st, "SELECT count(*) FROM tool_pins WHERE tenant_id = ?", "s", tenant_id);

	if (rc != RC_OK)
		return rc;
	rc = sql_step(db, st);
	if (rc == RC_OK && sql_int(st, 0) >= TOOL_PINS_MAX)
		rc = RC_LIMIT;
	sqlite3_reset(st);
	return rc;
}

static enum rc put(struct db *db, const char *tenant_id, const char *tool, const char *definition,
	const char *fingerprint, const char *before, struct audit_record *who)
{
	struct buf change;
	enum rc rc = *before ? RC_OK : room_for_one(db, tenant_id);

	if (rc == RC_OK)
		rc = sql_exec(db, NULL,
			"INSERT INTO tool_pins (tenant_id, tool, fingerprint, definition,"
			" pinned_at, pinned_by) VALUES (?, ?, ?, ?, ?, ?)"
			" ON CONFLICT (tenant_id, tool) DO UPDATE SET"
			" fingerprint = excluded.fingerprint, definition = excluded.definition,"
			" pinned_at = excluded.pinned_at, pinned_by = excluded.pinned_by,"
			" noticed = ''",
			"ssssis", tenant_id, tool, fingerprint, definition, clock_wall_s(),
			name_of(who));
	if (rc != RC_OK)
		return rc == RC_INVALID ? RC_NOTFOUND : rc; /* there is no such tenant */
	fingerprints(&change, fingerprint, before);
	rc = record(db, who, "tool.pin", tenant_id, tool, &change);
	buf_free(&change);
	return rc;
}

enum rc tool_pin_put(struct db *db, const char *tenant_id, const char *tool, const void *definition,
	size_t len, struct audit_record *who, bool *changed)
{
	char fingerprint[TOOLSET_FINGERPRINT_LEN + 1], before[TOOLSET_FINGERPRINT_LEN + 1];
	uint8_t hash[CRYPTO_HASH_LEN];
	struct sql_change c;
	bool other = false;
	char *text;
	enum rc rc;

	if (!manifest_tool_ok(tool))
		return RC_INVALID;
	toolset_fingerprint(definition, len, hash);
	toolset_fingerprint_text(hash, fingerprint);
	rc = sql_change_begin(db, &c);
	if (rc != RC_OK)
		return rc;
	rc = pinned_to(db, tenant_id, tool, before);
	other = strcmp(before, fingerprint) != 0;
	text = xstrndup(definition, len);
	if (rc == RC_OK && other)
		rc = put(db, tenant_id, tool, text, fingerprint, before, who);
	free(text);
	rc = sql_change_end(&c, rc);
	if (rc == RC_OK)
		*changed = other;
	return rc;
}

static enum rc remove_one(struct db *db, const char *tenant_id, const char *tool,
	const char *fingerprint, struct audit_record *who)
{
	struct buf change;
	enum rc rc = sql_exec(db, NULL, "DELETE FROM tool_pins WHERE tenant_id = ? AND tool = ?",
		"ss", tenant_id, tool);

	if (rc != RC_OK)
		return rc;
	fingerprints(&change, fingerprint, "");
	rc = record(db, who, "tool.unpin", tenant_id, tool, &change);
	buf_free(&change);
	return rc;
}

enum rc tool_pin_remove(
	struct db *db, const char *tenant_id, const char *tool, struct audit_record *who)
{
	char fingerprint[TOOLSET_FINGERPRINT_LEN + 1];
	struct sql_change c;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	rc = pinned_to(db, tenant_id, tool, fingerprint);
	if (rc == RC_OK && !*fingerprint)
		rc = RC_NOTFOUND;
	if (rc == RC_OK)
		rc = remove_one(db, tenant_id, tool, fingerprint, who);
	return sql_change_end(&c, rc);
}

enum rc tool_pin_remove_all(struct db *db, const char *tenant_id, struct audit_record *who)
{
	struct tool_pin *list = NULL;
	struct sql_change c;
	size_t count = 0;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	rc = tool_pin_list(db, tenant_id, &list, &count);
	for (size_t i = 0; rc == RC_OK && i < count; i++)
		rc = remove_one(db, tenant_id, list[i].tool, list[i].fingerprint, who);
	free(list);
	return sql_change_end(&c, rc);
}

/* --- noticing ------------------------------------------------------------------------- */

/* RC_NOTFOUND: that definition was written down before. */
static enum rc notice_one(struct db *db, const char *tenant_id, const struct toolset_tool *pin,
	const struct toolset_tool *now, struct audit_record *who)
{
	char fingerprint[TOOLSET_FINGERPRINT_LEN + 1], before[TOOLSET_FINGERPRINT_LEN + 1];
	struct buf change;
	int changes = 0;
	enum rc rc;

	toolset_fingerprint_text(now->fingerprint, fingerprint);
	toolset_fingerprint_text(pin->fingerprint, before);
	rc = sql_exec(db, &changes,
		"UPDATE tool_pins SET noticed = ?1"
		" WHERE tenant_id = ?2 AND tool = ?3 AND noticed <> ?1",
		"sss", fingerprint, tenant_id, pin->name);
	if (rc != RC_OK || changes == 0)
		return rc == RC_OK ? RC_NOTFOUND : rc;
	fingerprints(&change, fingerprint, before);
	rc = record(db, who, "tool.changed", tenant_id, pin->name, &change);
	buf_free(&change);
	return rc;
}

enum rc tool_pin_notice(struct db *db, const char *tenant_id, const struct toolset *tools,
	struct audit_record *who, tool_pin_changed_fn told, void *ctx)
{
	struct toolset pins = {0};
	struct sql_change c;
	enum rc rc = sql_change_begin(db, &c);

	if (rc != RC_OK)
		return rc;
	rc = tool_pin_set(db, tenant_id, &pins);
	for (size_t i = 0; rc == RC_OK && i < pins.count; i++) {
		const struct toolset_tool *pin = &pins.tools[i];
		const struct toolset_tool *now = toolset_find(tools, pin->name);

		if (!now || !memcmp(now->fingerprint, pin->fingerprint, CRYPTO_HASH_LEN))
			continue;
		rc = notice_one(db, tenant_id, pin, now, who);
		if (rc == RC_OK)
			told(ctx, pin->name);
		else if (rc == RC_NOTFOUND)
			rc = RC_OK;
	}
	toolset_free(&pins);
	return sql_change_end(&c, rc);
}
