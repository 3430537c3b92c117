#include "worker/value_sqlite.h"

static struct value bytes(enum value_kind kind, const void *p, int len)
{
	/* SQLite has no pointer for no bytes. */
	return (struct value){.kind = kind, .p = p ? p : "", .len = p ? (size_t)len : 0};
}

struct value value_sqlite(sqlite3_stmt *stmt, int i)
{
	/* Asked for before its length (sqlite.org/c3ref/column_blob.html). */
	const void *p;

	switch (sqlite3_column_type(stmt, i)) {
	case SQLITE_INTEGER:
		return value_int(sqlite3_column_int64(stmt, i));
	case SQLITE_FLOAT:
		return (struct value){.kind = VALUE_REAL, .r = sqlite3_column_double(stmt, i)};
	case SQLITE_TEXT:
		p = sqlite3_column_text(stmt, i);
		return bytes(VALUE_TEXT, p, sqlite3_column_bytes(stmt, i));
	case SQLITE_BLOB:
		p = sqlite3_column_blob(stmt, i);
		return bytes(VALUE_BLOB, p, sqlite3_column_bytes(stmt, i));
	default:
		return (struct value){.kind = VALUE_NULL};
	}
}
