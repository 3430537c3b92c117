#include <stdlib.h>
#include <string.h>

#include "shared/log.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/store_sql.h"

#define RECORD_MAX 16384
#define ROWS_FIRST 16

static enum rc parse(const char *text, struct audit_record *r)
{
	struct jscan object;

	return jscan_parse(text, strlen(text), &object) == RC_OK ? audit_get(object, r)
								 : RC_INVALID;
}

enum rc outbox_put(struct db *db, const struct audit_record *r)
{
	struct audit_record back;
	struct buf b;
	char *text;
	enum rc rc = RC_INTERNAL;

	buf_init(&b, RECORD_MAX);
	audit_put(&b, r);
	text = buf_steal(&b);
	/* A row that the writer can't read back would stand in the way of all later ones. */
	if (text && parse(text, &back) == RC_OK)
		rc = sql_exec(db, NULL, "INSERT INTO outbox (record) VALUES (?)", "s", text);
	else
		log_err("an audit record of %s can't be written as one row", r->event);
	free(text);
	return rc;
}

static bool fill(struct audit_record *who, const char *event, const char *tenant_id,
	const char *target, const struct buf *change)
{
	who->change[0] = '\0';
	if (change &&
		(change->failed ||
			!str_copy_len(who->change, sizeof(who->change), (const char *)change->data,
				change->len)))
		return false;
	return str_copy(who->event, sizeof(who->event), event) &&
		str_copy(who->tenant_id, sizeof(who->tenant_id), tenant_id) &&
		str_copy(who->target, sizeof(who->target), target) &&
		str_copy(who->outcome, sizeof(who->outcome), "ok");
}

enum rc store_record(struct db *db, struct audit_record *who, const char *event,
	const char *tenant_id, const char *target, const struct buf *change)
{
	if (fill(who, event, tenant_id, target, change))
		return outbox_put(db, who);
	log_err("an audit record of %s is too long", event);
	return RC_INTERNAL;
}

void store_name_change(struct buf *b, const char *name)
{
	buf_init(b, AUDIT_CHANGE_MAX);
	buf_str(b, "{\"name\":");
	buf_json(b, name);
	buf_char(b, '}');
}

static enum rc read_row(sqlite3_stmt *st, struct outbox_row *row)
{
	const char *text = (const char *)sqlite3_column_text(st, 1);

	row->id = sql_int(st, 0);
	if (text && parse(text, &row->record) == RC_OK)
		return RC_OK;
	log_err("the outbox row %lld can't be read", (long long)row->id);
	return RC_INTERNAL;
}

enum rc outbox_list(
	struct db *db, int64_t after, size_t limit, struct outbox_row **rows, size_t *count)
{
	struct outbox_row *list = NULL;
	size_t n = 0, cap = 0;
	sqlite3_stmt *st;
	enum rc rc =
		sql_query(db, &st, "SELECT id, record FROM outbox WHERE id > ? ORDER BY id LIMIT ?",
			"ii", after, (int64_t)limit);

	if (rc != RC_OK)
		return rc;
	/* Rows are large and mostly there are few: room is made as they come. */
	while ((rc = sql_step(db, st)) == RC_OK) {
		if (n == cap) {
			cap = cap ? cap * 2 : ROWS_FIRST;
			list = xrealloc(list, cap * sizeof(*list));
		}
		rc = read_row(st, &list[n++]);
		if (rc != RC_OK)
			break;
	}
	sqlite3_reset(st);
	if (rc != RC_NOTFOUND) {
		free(list);
		return rc;
	}
	*rows = list;
	*count = n;
	return RC_OK;
}

enum rc outbox_delete(struct db *db, int64_t up_to)
{
	return sql_exec(db, NULL, "DELETE FROM outbox WHERE id <= ?", "i", up_to);
}
