#include "worker/pg_type.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"
#include "worker/civil.h"

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

/* Texts of these columns are sent as they are stored. */
static bool is_short_text(const struct pg_type *t)
{
	return (t->oid == OID_BPCHAR || t->oid == OID_VARCHAR) && t->mod > 0 &&
		(size_t)t->mod < VALUE_BYTES_MAX / 4;
}

/* One character or byte more than allowed, so that too much can be told. Most are short, which is
 * seen without unpacking them. */
static void select_cut(const char *quoted, const char *cast, struct buf *sql)
{
	buf_printf(sql,
		"CASE WHEN pg_catalog.octet_length(t.%s) <= %zu THEN t.%s%s "
		"ELSE pg_catalog.substr(t.%s%s, 1, %zu) END",
		quoted, VALUE_BYTES_MAX, quoted, cast, quoted, cast, VALUE_BYTES_MAX + 1);
}

void pg_type_select(const struct pg_type *t, const char *quoted, struct buf *sql)
{
	static const char as_text[] = "::pg_catalog.text";
	enum pg_form form = pg_type_form(t);

	if (t->oid == OID_MONEY)
		buf_printf(sql, "t.%s::pg_catalog.numeric::pg_catalog.text", quoted);
	else if (t->oid == OID_OID)
		buf_printf(sql, "t.%s::pg_catalog.int8", quoted);
	else if (t->oid == OID_FLOAT4) /* as it is shown: 0.1 and not 0.10000000149 */
		buf_printf(sql, "t.%s::pg_catalog.text::pg_catalog.float8", quoted);
	else if (form == PG_BYTEA)
		select_cut(quoted, "", sql);
	else if (form == PG_TEXT && pg_type_is_text(t) && !is_short_text(t))
		select_cut(quoted, as_text, sql);
	else if (form == PG_NUMERIC || (form == PG_TEXT && t->len > 0))
		buf_printf(sql, "t.%s%s", quoted, as_text);
	else if (form != PG_TEXT || is_short_text(t))
		buf_printf(sql, "t.%s", quoted);
	else if (t->category == 'A' || t->kind == 'c')
		/* varchar(n) cuts, and does nothing to what is short. */
		buf_printf(sql, "pg_catalog.to_json(t.%s)%s::pg_catalog.varchar(%zu)", quoted,
			as_text, VALUE_BYTES_MAX + 1);
	else
		buf_printf(sql, "t.%s%s::pg_catalog.varchar(%zu)", quoted, as_text,
			VALUE_BYTES_MAX + 1);
}

/* --- values ------------------------------------------------------------------------- */

/* The number that a text says; scratch is used when it is long. */
static double real_of(const char *text, size_t len, struct buf *scratch)
{
	char number[64];

	if (len < sizeof(number)) {
		memcpy(number, text, len);
		number[len] = '\0';
		return strtod(number, NULL);
	}
	buf_reset(scratch);
	buf_add(scratch, text, len);
	buf_char(scratch, '\0');
	return scratch->failed ? 0 : strtod((const char *)scratch->data, NULL);
}

/* Exact: an integer, a real of as many digits as survive in one, or the text itself. Zeros at the
 * end, of which a division makes many, are no digits. */
static struct value numeric_value(const char *text, size_t len, struct buf *scratch)
{
	size_t digits = 0, i = 0, end = len;
	int64_t whole;

	if (value_parse_int(text, len, &whole) == RC_OK)
		return value_int(whole);
	while (i < len && strchr("-0.", text[i]))
		i++;
	while (end > i && text[end - 1] == '0')
		end--;
	for (; i < end; i++)
		digits += isdigit((unsigned char)text[i]) != 0;
	if (!memchr(text, '.', len) || digits > REAL_DIGITS)
		return value_text(text, len);
	return (struct value){.kind = VALUE_REAL, .r = real_of(text, len, scratch)};
}

static uint64_t big_endian(const uint8_t *p, size_t len)
{
	uint64_t n = 0;

	for (size_t i = 0; i < len; i++)
		n = n << 8 | p[i];
	return n;
}

/* Of two, four or eight bytes. */
static int64_t int_of(const uint8_t *p, size_t len)
{
	uint64_t n = big_endian(p, len);

	if (len < 8 && n >> (8 * len - 1))
		n |= UINT64_MAX << (8 * len);
	return (int64_t)n;
}

static struct value real_value(const uint8_t *p)
{
	uint64_t bits = big_endian(p, 8);
	struct value v = {.kind = VALUE_REAL};

	memcpy(&v.r, &bits, sizeof(v.r));
	/* SQLite has no NaN, it would become NULL. */
	if (isnan(v.r))
		return value_text("NaN", 3);
	if (isinf(v.r))
		return v.r > 0 ? value_text("Infinity", 8) : value_text("-Infinity", 9);
	return v;
}

static void put_digits(char *to, int count, int64_t n)
{
	for (int i = count - 1; i >= 0; i--, n /= 10)
		to[i] = (char)('0' + n % 10);
}

/* "03:04:05.6" of a day; returns its length. */
static size_t put_clock(char to[16], int64_t us)
{
	size_t len = 15;

	put_digits(to, 2, us / 3600000000);
	put_digits(to + 3, 2, us / 60000000 % 60);
	put_digits(to + 6, 2, us / 1000000 % 60);
	to[2] = to[5] = ':';
	to[8] = '.';
	put_digits(to + 9, 6, us % 1000000);
	while (to[len - 1] == '0')
		len--;
	return len == 9 ? 8 : len;
}

/* As RFC 3339 says it; what that can't say (infinity, years B.C. or of five digits) as the server
 * shows it. It comes as microseconds since 2000. */
static struct value instant_value(int64_t us, struct buf *scratch)
{
	const int64_t day_us = 86400000000, cycle = 146097; /* days in 400 years */
	int64_t days, cycles = 0, year;
	struct civil c;
	char clock[16];
	size_t len;

	if (us == INT64_MAX || us == INT64_MIN)
		return us > 0 ? value_text("infinity", 8) : value_text("-infinity", 9);
	days = us / day_us - (us % day_us < 0);
	len = put_clock(clock, us % day_us + (us % day_us < 0 ? day_us : 0));
	days += 10957; /* from 2000 to 1970 */
	while (!civil_from_days(days - cycles * cycle, &c))
		cycles += days > 0 ? 1 : -1;
	year = c.year + 400 * cycles;
	buf_reset(scratch);
	if (cycles == 0) {
		char date[CIVIL_LEN];

		put_digits(date, 4, year);
		put_digits(date + 5, 2, c.month);
		put_digits(date + 8, 2, c.day);
		date[4] = date[7] = '-';
		buf_add(scratch, date, sizeof(date));
		buf_char(scratch, 'T');
		buf_add(scratch, clock, len);
		buf_char(scratch, 'Z');
	} else {
		buf_printf(scratch, "%04" PRId64 "-%02d-%02d %.*s+00%s", year > 0 ? year : 1 - year,
			c.month, c.day, (int)len, clock, year > 0 ? "" : " BC");
	}
	return value_text((const char *)scratch->data, scratch->len);
}

enum rc pg_type_value(
	enum pg_form form, const void *p, size_t len, struct buf *scratch, struct value *out)
{
	if (len > VALUE_BYTES_MAX)
		return RC_LIMIT;
	if ((form == PG_INT && len != 2 && len != 4 && len != 8) ||
		((form == PG_REAL || form == PG_TIMESTAMPTZ) && len != 8) ||
		(form == PG_BOOL && len != 1))
		return RC_INVALID;
	switch (form) {
	case PG_INT:
		*out = value_int(int_of(p, len));
		break;
	case PG_BOOL:
		*out = value_int(*(const uint8_t *)p != 0);
		break;
	case PG_REAL:
		*out = real_value(p);
		break;
	case PG_NUMERIC:
		*out = numeric_value(p, len, scratch);
		break;
	case PG_TIMESTAMPTZ:
		*out = instant_value(int_of(p, len), scratch);
		break;
	case PG_BYTEA:
		*out = (struct value){.kind = VALUE_BLOB, .p = p, .len = len};
		break;
	case PG_TEXT:
		*out = value_text(p, len);
		break;
	}
	return scratch->failed ? RC_LIMIT : RC_OK;
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
