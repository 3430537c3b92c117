#include "worker/pg_type.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"

/* Types built into the server have the same oid everywhere. */
enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_TEXT = 25,
	OID_OID = 26,
	OID_FLOAT4 = 700,
	OID_FLOAT8 = 701,
	OID_MONEY = 790,
	OID_BPCHAR = 1042,
	OID_VARCHAR = 1043,
	OID_TIMESTAMPTZ = 1184,
	OID_NUMERIC = 1700,
};

#define MOD_EXTRA 4 /* what typmods of numeric and varchar have on top */
#define INT_DIGITS 18 /* any number of so many digits is an int64 */
#define REAL_DIGITS 15 /* any number of so many digits is the same after a double */

/* Digits in front of and behind the point; false: as many as the value has. */
static bool numeric_limits(int mod, int *precision, int *scale)
{
	if (mod < MOD_EXTRA)
		return false;
	*precision = (mod - MOD_EXTRA) >> 16 & 0xffff;
	/* Since PostgreSQL 15 the scale may be negative: 11 bits, signed. */
	*scale = ((mod - MOD_EXTRA) & 0x7ff) ^ 1024;
	*scale -= 1024;
	return true;
}

bool pg_type_is_int(const struct pg_type *t)
{
	return t->oid == OID_INT2 || t->oid == OID_INT4 || t->oid == OID_INT8;
}

bool pg_type_is_text(const struct pg_type *t)
{
	return t->oid == OID_TEXT || t->oid == OID_VARCHAR || t->oid == OID_BPCHAR;
}

enum pg_form pg_type_form(const struct pg_type *t)
{
	switch (t->oid) {
	case OID_INT2:
	case OID_INT4:
	case OID_INT8:
	case OID_OID:
		return PG_INT;
	case OID_FLOAT4:
	case OID_FLOAT8:
		return PG_REAL;
	case OID_BOOL:
		return PG_BOOL;
	case OID_NUMERIC:
	case OID_MONEY:
		return PG_NUMERIC;
	case OID_TIMESTAMPTZ:
		return PG_TIMESTAMPTZ;
	case OID_BYTEA:
		return PG_BYTEA;
	default:
		return PG_TEXT;
	}
}

enum column_kind pg_type_kind(const struct pg_type *t)
{
	int precision, scale;

	switch (pg_type_form(t)) {
	case PG_INT:
	case PG_BOOL:
		return COLUMN_INT;
	case PG_REAL:
		return COLUMN_REAL;
	case PG_NUMERIC:
		if (t->oid != OID_NUMERIC || !numeric_limits(t->mod, &precision, &scale))
			return COLUMN_ANY;
		if (scale <= 0 && precision - scale <= INT_DIGITS)
			return COLUMN_INT;
		/* A column with an affinity would turn an exact text into a real that is not. */
		return scale > 0 && precision <= REAL_DIGITS ? COLUMN_REAL : COLUMN_ANY;
	case PG_BYTEA:
		return COLUMN_BLOB;
	case PG_TEXT:
	case PG_TIMESTAMPTZ:
		break;
	}
	return COLUMN_TEXT;
}

void pg_type_select(const struct pg_type *t, const char *quoted, struct buf *sql)
{
	enum pg_form form = pg_type_form(t);
	bool cast = form == PG_TEXT || form == PG_BYTEA;

	if (t->oid == OID_MONEY) {
		buf_printf(sql, "t.%s::pg_catalog.numeric", quoted);
		return;
	}
	if (!cast || t->len > 0 ||
		((t->oid == OID_BPCHAR || t->oid == OID_VARCHAR) && t->mod > 0 &&
			(size_t)t->mod < VALUE_BYTES_MAX / 4)) {
		buf_printf(sql, "t.%s", quoted);
		return;
	}
	/* One character or byte more than allowed, so that too much can be told. */
	if (form == PG_BYTEA)
		buf_printf(sql, "pg_catalog.substr(t.%s, 1, %zu)", quoted, VALUE_BYTES_MAX + 1);
	else if (t->category == 'A' || t->kind == 'c')
		buf_printf(sql, "pg_catalog.substr(pg_catalog.to_json(t.%s)::text, 1, %zu)", quoted,
			VALUE_BYTES_MAX + 1);
	else
		buf_printf(
			sql, "pg_catalog.substr(t.%s::text, 1, %zu)", quoted, VALUE_BYTES_MAX + 1);
}

/* --- values ------------------------------------------------------------------------- */

static struct value real_value(const char *text, size_t len)
{
	struct value v = {.kind = VALUE_REAL, .r = strtod(text, NULL)};

	/* SQLite has no NaN, it would become NULL. */
	return isfinite(v.r) ? v : value_text(text, len);
}

/* Exact: an integer, a real of as many digits as survive in one, or the text itself. */
static struct value numeric_value(const char *text, size_t len)
{
	size_t digits = 0;
	int64_t i;

	if (value_parse_int(text, len, &i) == RC_OK)
		return value_int(i);
	for (const char *p = text + strspn(text, "-0."); *p; p++)
		digits += isdigit((unsigned char)*p) != 0;
	return strchr(text, '.') && digits <= REAL_DIGITS ? real_value(text, len)
							  : value_text(text, len);
}

/* "2024-01-02 03:04:05.6+00" becomes "2024-01-02T03:04:05.6Z"; what RFC 3339 can't say (infinity,
 * years B.C. or of five digits) stays as it is. */
static struct value instant_value(const char *text, size_t len, struct buf *scratch)
{
	if (len < 22 || text[10] != ' ' || memcmp(text + len - 3, "+00", 3) != 0)
		return value_text(text, len);
	buf_reset(scratch);
	buf_add(scratch, text, len - 3);
	buf_char(scratch, 'Z');
	scratch->data[10] = 'T';
	return value_text((const char *)scratch->data, scratch->len);
}

static int nibble(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* bytea_output is hex: "\x" and two lower case digits a byte. */
static struct value bytes_value(const char *text, size_t len, struct buf *scratch)
{
	size_t n = len >= 2 ? (len - 2) / 2 : 0;
	uint8_t *to;

	buf_reset(scratch);
	to = buf_reserve(scratch, n ? n : 1);
	for (size_t i = 0; to && i < n; i++)
		to[i] = (uint8_t)(nibble(text[2 + 2 * i]) << 4 | nibble(text[3 + 2 * i]));
	return (struct value){.kind = VALUE_BLOB, .p = to, .len = n};
}

bool pg_type_value(
	enum pg_form form, const char *text, size_t len, struct buf *scratch, struct value *out)
{
	if (len > (form == PG_BYTEA ? 2 * VALUE_BYTES_MAX + 2 : VALUE_BYTES_MAX))
		return false;
	switch (form) {
	case PG_INT:
		*out = value_int(strtoll(text, NULL, 10));
		break;
	case PG_BOOL:
		*out = value_int(*text == 't');
		break;
	case PG_REAL:
		*out = real_value(text, len);
		break;
	case PG_NUMERIC:
		*out = numeric_value(text, len);
		break;
	case PG_TIMESTAMPTZ:
		*out = instant_value(text, len, scratch);
		break;
	case PG_BYTEA:
		*out = bytes_value(text, len, scratch);
		break;
	case PG_TEXT:
		*out = value_text(text, len);
		break;
	}
	return !scratch->failed;
}

/* --- keys --------------------------------------------------------------------------- */

static void real_element(double r, struct buf *out)
{
	char text[40];

	/* The short form where it is the same number, since a numeric column compares exactly. */
	snprintf(text, sizeof(text), "%.15g", r);
	if (strtod(text, NULL) != r)
		snprintf(text, sizeof(text), "%.17g", r);
	buf_str(out, text);
	mem_wipe(text, sizeof(text));
}

void pg_type_element(const struct value *v, struct buf *out)
{
	const unsigned char *p = v->kind >= VALUE_TEXT ? v->p : NULL;

	switch (v->kind) {
	case VALUE_NULL:
		buf_str(out, "NULL");
		break;
	case VALUE_INT:
		buf_printf(out, "%" PRId64, v->i);
		break;
	case VALUE_REAL:
		real_element(v->r, out);
		break;
	case VALUE_TEXT:
		buf_char(out, '"');
		for (size_t i = 0; i < v->len; i++) {
			if (p[i] == '"' || p[i] == '\\')
				buf_char(out, '\\');
			buf_char(out, (char)p[i]);
		}
		buf_char(out, '"');
		break;
	case VALUE_BLOB:
		buf_str(out, "\"\\\\x");
		for (size_t i = 0; i < v->len; i++)
			buf_printf(out, "%02x", (unsigned)p[i]);
		buf_char(out, '"');
		break;
	}
}
