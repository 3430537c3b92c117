#include "shared/audit_csv.h"

#include <stdbool.h>
#include <string.h>

#include "shared/jscan.h"

/* The order of the columns is part of the interface: new ones come last. */
static const char *const columns[] = {"seq", "ts", "event", "tenant_id", "actor_kind", "actor_id",
	"actor_name", "key_id", "method", "tool", "snapshot_id", "outcome", "request_id",
	"session_id", "worker_id", "remote_ip", "target", "change", "latency_ms", "bytes_in",
	"bytes_out", "outbox_id", "prev"};
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))
#define CELL_MAX 4096

void audit_csv_head(struct buf *b)
{
	for (size_t i = 0; i < COLUMN_COUNT; i++) {
		buf_str(b, i > 0 ? "," : "");
		buf_str(b, columns[i]);
	}
	buf_str(b, "\r\n");
}

/* A spreadsheet runs what begins so; behind an apostrophe it is text. */
static bool like_formula(const char *text, size_t len)
{
	return len > 0 && strchr("=+-@\t\r\n", text[0]) != NULL;
}

static void put_cell(struct buf *b, const char *text, size_t len)
{
	bool formula = like_formula(text, len);

	if (!formula && !memchr(text, '"', len) && !memchr(text, ',', len) &&
		!memchr(text, '\r', len) && !memchr(text, '\n', len)) {
		buf_add(b, text, len);
		return;
	}
	buf_char(b, '"');
	if (formula)
		buf_char(b, '\'');
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			buf_char(b, '"');
		buf_char(b, text[i]);
	}
	buf_char(b, '"');
}

/* Strings as they read; numbers and objects as they are spelt. */
static void put_value(struct buf *b, struct jscan v)
{
	char text[CELL_MAX];

	if (v.kind == JSCAN_NONE)
		return;
	if (v.kind == JSCAN_STRING && jscan_str(v, text, sizeof(text)) == RC_OK)
		put_cell(b, text, strlen(text));
	else
		put_cell(b, v.p, v.len);
}

enum rc audit_csv_row(struct buf *b, const char *line, size_t len)
{
	struct jscan values[COLUMN_COUNT] = {0};
	struct jscan row, key, value;
	struct jscan_iter it;

	if (jscan_parse(line, len, &row) != RC_OK || row.kind != JSCAN_OBJECT)
		return RC_INVALID;
	it = jscan_iter(row);
	while (jscan_next(&it, &key, &value))
		for (size_t i = 0; i < COLUMN_COUNT; i++)
			if (jscan_is_str(key, columns[i]))
				values[i] = value;
	for (size_t i = 0; i < COLUMN_COUNT; i++) {
		buf_str(b, i > 0 ? "," : "");
		put_value(b, values[i]);
	}
	buf_str(b, "\r\n");
	return RC_OK;
}
