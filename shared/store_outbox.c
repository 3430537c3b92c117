#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"
#include "shared/store.h"
#include "shared/store_sql.h"

enum rc outbox_put(struct db *db, const struct audit_record *r)
{
	struct buf b;
	char *text;
	enum rc rc;

	buf_init(&b, 16384);
	audit_put(&b, r);
	text = buf_steal(&b);
	if (!text)
		return RC_INTERNAL;
	rc = sql_exec(db, NULL, "INSERT INTO outbox (record) VALUES (?)", "s", text);
	free(text);
	return rc;
}

enum rc store_record(struct db *db, struct audit_record *who, const char *event, const char *tenant_id, const char *target,
	const struct buf *change)
{
	bool fits = str_copy(who->event, sizeof who->event, event) && str_copy(who->tenant_id, sizeof who->tenant_id, tenant_id) &&
		    str_copy(who->target, sizeof who->target, target) && str_copy(who->outcome, sizeof who->outcome, "ok");

	who->change[0] = '\0';
	if (!fits || (change && (change->failed || !str_copy_len(who->change, sizeof who->change, (const char *)change->data, change->len))))
		return RC_INTERNAL;
	return outbox_put(db, who);
}

void store_cursor_put(char *dst, size_t cap, int64_t number, const char *id)
{
	snprintf(dst, cap, "%lld_%s", (long long)number, id);
}

enum rc store_cursor_get(const char *cursor, int64_t *number, char *id, size_t cap)
{
	char *end;
	long long n;

	if (!*cursor) {
		*number = INT64_MAX;
		return str_copy(id, cap, "~") ? RC_OK : RC_INTERNAL;
	}
	errno = 0;
	n = strtoll(cursor, &end, 10);
	if (end == cursor || *end != '_' || errno == ERANGE || !str_copy(id, cap, end + 1))
		return RC_INVALID;
	*number = n;
	return RC_OK;
}

static enum rc read_row(sqlite3_stmt *st, struct outbox_row *row)
{
	struct jscan object;
	const char *text = (const char *)sqlite3_column_text(st, 1);
	enum rc rc;

	if (!text)
		return RC_INTERNAL;
	row->id = sql_int(st, 0);
	rc = jscan_parse(text, strlen(text), &object);
	return rc == RC_OK ? audit_get(object, &row->record) : rc;
}

enum rc outbox_list(struct db *db, int64_t after, size_t limit, struct outbox_row **rows, size_t *count)
{
	sqlite3_stmt *st = sql_prepare(db, "SELECT id, record FROM outbox WHERE id > ? ORDER BY id LIMIT ?");
	struct outbox_row *list;
	size_t n = 0;
	enum rc rc;

	if (!sql_bind(st, "ii", after, (int64_t)limit))
		return RC_INTERNAL;
	list = xcalloc(limit ? limit : 1, sizeof *list);
	while ((rc = sql_step(db, st)) == RC_OK && n < limit) {
		rc = read_row(st, &list[n++]);
		if (rc != RC_OK)
			break;
	}
	sqlite3_reset(st);
	if (rc != RC_NOTFOUND && rc != RC_OK) {
		free(list);
		return RC_INTERNAL;
	}
	*rows = list;
	*count = n;
	return RC_OK;
}

enum rc outbox_delete(struct db *db, int64_t up_to)
{
	return sql_exec(db, NULL, "DELETE FROM outbox WHERE id <= ?", "i", up_to);
}
