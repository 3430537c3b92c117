/* pg_type: how each type of PostgreSQL is read: what is selected, and what the server sends for it
 * in the binary format becomes. Pure; docs/worker.md has the table. */
#ifndef WORKER_PG_TYPE_H
#define WORKER_PG_TYPE_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/buf.h"
#include "worker/value.h"

enum pg_form {
	PG_TEXT,
	PG_INT,
	PG_REAL,
	PG_BOOL,
	PG_NUMERIC,
	PG_TIMESTAMPTZ,
	PG_BYTEA,
};

/* As the catalog has it; a domain is described by the type it is based on. */
struct pg_type {
	unsigned oid;
	char kind; /* typtype: b, e, c, r, m, p */
	char category; /* typcategory; A: an array */
	int len; /* typlen; -1: it varies */
	int mod; /* atttypmod */
};

/* Compares with int8. */
bool pg_type_is_int(const struct pg_type *t);
/* Any text is a value of it. */
bool pg_type_is_text(const struct pg_type *t);
enum pg_form pg_type_form(const struct pg_type *t);
enum column_kind pg_type_kind(const struct pg_type *t);
/* Appends what is selected for a column whose quoted name is given; values that could be huge are
 * cut by the server just above VALUE_BYTES_MAX. */
void pg_type_select(const struct pg_type *t, const char *quoted, struct buf *sql);
/* What the server sent for a value that is not NULL. *out may point into p or scratch, which is
 * changed. RC_LIMIT: larger than VALUE_BYTES_MAX; RC_INVALID: no such value has this length. */
enum rc pg_type_value(enum pg_form form, const void *p, size_t len, struct buf *scratch,
	struct value *out) MUST_CHECK;
/* Appends one element of an array literal ('{' and commas are the caller's). */
void pg_type_element(const struct value *v, struct buf *out);

#endif
