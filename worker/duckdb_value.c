#include "worker/duckdb_value.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/text.h"

#define DEPTH_MAX 16 /* of lists in lists */
#define REAL_DIGITS 15 /* any number of so many digits is the same after a double */
#define DAY_MICROS INT64_C(86400000000)

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

struct cell {
	const struct duckdb_api *api;
	struct buf *out;
	int depth;
};

static bool is_valid(const struct duckdb_api *api, duckdb_handle vector, uint64_t row)
{
	const uint64_t *mask = api->vector_get_validity(vector);

	return !mask || (mask[row / 64] >> (row % 64) & 1);
}

/* --- numbers ------------------------------------------------------------------------- */

/* The digits of |v|, most significant first. */
static size_t huge_digits(uint128 v, char out[40])
{
	char reverse[40];
	size_t n = 0;

	do {
		reverse[n++] = (char)('0' + (int)(v % 10));
		v /= 10;
	} while (v);
	for (size_t i = 0; i < n; i++)
		out[i] = reverse[n - 1 - i];
	out[n] = '\0';
	return n;
}

static void put_huge(struct buf *out, uint128 v, bool negative, unsigned scale)
{
	char digits[40];
	size_t n = huge_digits(v, digits);

	if (negative)
		buf_char(out, '-');
	if (scale == 0) {
		buf_str(out, digits);
		return;
	}
	for (; n <= scale; n++) { /* at least one digit before the point */
		memmove(digits + 1, digits, n + 1);
		digits[0] = '0';
	}
	buf_add(out, digits, n - scale);
	buf_char(out, '.');
	buf_str(out, digits + n - scale);
}

/* Exact: an integer, a real of as many digits as survive in one, or text. */
static void number(struct buf *out, int128 v, unsigned scale, struct value *value)
{
	bool negative = v < 0;
	uint128 size = negative ? (uint128)0 - (uint128)v : (uint128)v;
	char digits[40];

	if (scale == 0 && v >= INT64_MIN && v <= INT64_MAX) {
		*value = value_int((int64_t)v);
		return;
	}
	put_huge(out, size, negative, scale);
	buf_char(out, '\0');
	if (!out->failed && scale > 0 && huge_digits(size, digits) <= REAL_DIGITS)
		*value = (struct value){
			.kind = VALUE_REAL, .r = strtod((const char *)out->data, NULL)};
	else if (!out->failed)
		*value = value_text((const char *)out->data, out->len - 1);
}

static struct value real(double r)
{
	/* As from the database: SQLite has no NaN, so there it is text. */
	if (isnan(r))
		return value_text("NaN", 3);
	if (isinf(r))
		return r > 0 ? value_text("Infinity", 8) : value_text("-Infinity", 9);
	return (struct value){.kind = VALUE_REAL, .r = r};
}

static int128 huge(const struct duckdb_hugeint *h)
{
	return (int128)((uint128)(uint64_t)h->upper << 64 | h->lower);
}

static bool is_number(int type)
{
	return (type >= DUCKDB_BOOLEAN && type <= DUCKDB_DOUBLE) || type == DUCKDB_HUGEINT ||
		type == DUCKDB_DECIMAL || type == DUCKDB_UHUGEINT;
}

static void decimal(
	struct cell *c, duckdb_handle type, const void *data, uint64_t row, struct value *out)
{
	unsigned scale = c->api->decimal_scale(type);

	switch (c->api->decimal_internal_type(type)) {
	case DUCKDB_SMALLINT:
		number(c->out, ((const int16_t *)data)[row], scale, out);
		break;
	case DUCKDB_INTEGER:
		number(c->out, ((const int32_t *)data)[row], scale, out);
		break;
	case DUCKDB_BIGINT:
		number(c->out, ((const int64_t *)data)[row], scale, out);
		break;
	default:
		number(c->out, huge(&((const struct duckdb_hugeint *)data)[row]), scale, out);
	}
}

static void get_number(struct cell *c, int id, duckdb_handle type, const void *data, uint64_t row,
	struct value *out)
{
	const struct duckdb_hugeint *h = data;

	switch (id) {
	case DUCKDB_BOOLEAN:
		*out = value_int(((const uint8_t *)data)[row] != 0);
		break;
	case DUCKDB_TINYINT:
		*out = value_int(((const int8_t *)data)[row]);
		break;
	case DUCKDB_SMALLINT:
		*out = value_int(((const int16_t *)data)[row]);
		break;
	case DUCKDB_INTEGER:
		*out = value_int(((const int32_t *)data)[row]);
		break;
	case DUCKDB_BIGINT:
		*out = value_int(((const int64_t *)data)[row]);
		break;
	case DUCKDB_UTINYINT:
		*out = value_int(((const uint8_t *)data)[row]);
		break;
	case DUCKDB_USMALLINT:
		*out = value_int(((const uint16_t *)data)[row]);
		break;
	case DUCKDB_UINTEGER:
		*out = value_int(((const uint32_t *)data)[row]);
		break;
	case DUCKDB_UBIGINT:
		number(c->out, ((const uint64_t *)data)[row], 0, out);
		break;
	case DUCKDB_FLOAT:
		*out = real((double)((const float *)data)[row]);
		break;
	case DUCKDB_DOUBLE:
		*out = real(((const double *)data)[row]);
		break;
	case DUCKDB_DECIMAL:
		decimal(c, type, data, row, out);
		break;
	case DUCKDB_UHUGEINT:
		put_huge(c->out, (uint128)(uint64_t)h[row].upper << 64 | h[row].lower, false, 0);
		*out = value_text((const char *)c->out->data, c->out->len);
		if (h[row].upper == 0 && h[row].lower <= INT64_MAX)
			*out = value_int((int64_t)h[row].lower);
		break;
	default:
		number(c->out, huge(&h[row]), 0, out);
	}
}

/* --- instants --------------------------------------------------------------------------- */

/* Days since 1970 in the Gregorian calendar, also before it was in use; years before 1 have a
 * minus. */
static void put_date(struct buf *out, int64_t days)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	int64_t month = mp < 10 ? mp + 3 : mp - 9;
	int64_t year = yoe + era * 400 + (month <= 2);

	buf_printf(out, "%s%04" PRId64 "-%02" PRId64 "-%02" PRId64, year < 0 ? "-" : "",
		year < 0 ? -year : year, month, doy - (153 * mp + 2) / 5 + 1);
}

static void put_clock(struct buf *out, int64_t micros)
{
	int64_t rest = micros % 1000000, s = micros / 1000000;

	buf_printf(out, "%02" PRId64 ":%02" PRId64 ":%02" PRId64, s / 3600, s / 60 % 60, s % 60);
	if (rest) {
		char digits[8];
		size_t n = 6;

		snprintf(digits, sizeof(digits), "%06" PRId64, rest);
		while (digits[n - 1] == '0')
			n--;
		buf_char(out, '.');
		buf_add(out, digits, n);
	}
}

static void put_instant(struct buf *out, int64_t micros, bool utc)
{
	int64_t days = micros / DAY_MICROS, rest = micros % DAY_MICROS;

	if (micros == INT64_MAX || micros == -INT64_MAX) {
		buf_str(out, micros > 0 ? "infinity" : "-infinity");
		return;
	}
	if (rest < 0) {
		rest += DAY_MICROS;
		days--;
	}
	put_date(out, days);
	buf_char(out, utc ? 'T' : ' ');
	put_clock(out, rest);
	if (utc)
		buf_char(out, 'Z');
}

/* ISO 8601, as intervals come from the database. */
static void put_interval(struct buf *out, const struct duckdb_interval *i)
{
	int32_t years = i->months / 12, months = i->months % 12;
	int64_t s = i->micros / 1000000, rest = i->micros % 1000000;

	if (!i->months && !i->days && !i->micros) {
		buf_str(out, "PT0S");
		return;
	}
	buf_char(out, 'P');
	if (years)
		buf_printf(out, "%" PRId32 "Y", years);
	if (months)
		buf_printf(out, "%" PRId32 "M", months);
	if (i->days)
		buf_printf(out, "%" PRId32 "D", i->days);
	if (i->micros)
		buf_char(out, 'T');
	if (s / 3600)
		buf_printf(out, "%" PRId64 "H", s / 3600);
	if (s / 60 % 60)
		buf_printf(out, "%" PRId64 "M", s / 60 % 60);
	if (rest)
		buf_printf(out, "%s%" PRId64 ".%06" PRId64 "S", i->micros < 0 ? "-" : "",
			s < 0 ? -(s % 60) : s % 60, rest < 0 ? -rest : rest);
	else if (s % 60)
		buf_printf(out, "%" PRId64 "S", s % 60);
}

static bool put_time(struct buf *out, int id, const void *data, uint64_t row)
{
	int64_t v = id == DUCKDB_DATE || id == DUCKDB_INTERVAL ? 0 : ((const int64_t *)data)[row];

	switch (id) {
	case DUCKDB_DATE:
		if (((const int32_t *)data)[row] == INT32_MAX ||
			((const int32_t *)data)[row] == -INT32_MAX)
			buf_str(out, ((const int32_t *)data)[row] > 0 ? "infinity" : "-infinity");
		else
			put_date(out, ((const int32_t *)data)[row]);
		return true;
	case DUCKDB_TIME:
		put_clock(out, v);
		return true;
	case DUCKDB_TIMESTAMP_S:
		put_instant(out,
			v > INT64_MAX / 1000000 || v < INT64_MIN / 1000000 ? INT64_MAX
									   : v * 1000000,
			false);
		return true;
	case DUCKDB_TIMESTAMP_MS:
		put_instant(out,
			v > INT64_MAX / 1000 || v < INT64_MIN / 1000 ? INT64_MAX : v * 1000, false);
		return true;
	case DUCKDB_TIMESTAMP_NS:
		put_instant(out, v / 1000, false);
		return true;
	case DUCKDB_TIMESTAMP:
	case DUCKDB_TIMESTAMP_TZ:
		put_instant(out, v, id == DUCKDB_TIMESTAMP_TZ);
		return true;
	case DUCKDB_INTERVAL:
		put_interval(out, &((const struct duckdb_interval *)data)[row]);
		return true;
	default:
		return false;
	}
}

/* --- bytes ----------------------------------------------------------------------------- */

static const char *bytes(const void *data, uint64_t row, size_t *len)
{
	const union duckdb_string *s = &((const union duckdb_string *)data)[row];

	*len = s->len;
	return s->len <= DUCKDB_INLINED ? s->inlined : s->p;
}

/* Kept with the highest bit turned over, so that it sorts. */
static void put_uuid(struct buf *out, const struct duckdb_hugeint *h)
{
	uint64_t upper = (uint64_t)h->upper ^ UINT64_C(1) << 63, lower = h->lower;

	buf_printf(out, "%08" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%012" PRIx64,
		upper >> 32, upper >> 16 & 0xffff, upper & 0xffff, lower >> 48,
		lower & UINT64_C(0xffffffffffff));
}

static void put_enum(struct cell *c, duckdb_handle type, const void *data, uint64_t row)
{
	int id = c->api->enum_internal_type(type);
	uint64_t i = id == DUCKDB_UTINYINT ? ((const uint8_t *)data)[row]
		: id == DUCKDB_USMALLINT   ? ((const uint16_t *)data)[row]
					   : ((const uint32_t *)data)[row];
	char *word = c->api->enum_dictionary_value(type, i);

	if (word)
		buf_str(c->out, word);
	c->api->free(word);
}

/* --- JSON --------------------------------------------------------------------------------- */

static bool put_json(struct cell *c, duckdb_handle vector, duckdb_handle type, uint64_t row);

static bool put_json_scalar(
	struct cell *c, int id, duckdb_handle vector, duckdb_handle type, uint64_t row)
{
	struct duckdb_column column = {.vector = vector, .type = type};
	struct buf scratch;
	struct value v;
	bool ok;

	buf_init(&scratch, c->out->max);
	ok = duckdb_value_get(c->api, &column, row, &scratch, &v);
	if (ok && id == DUCKDB_BOOLEAN)
		buf_str(c->out, v.i ? "true" : "false");
	else if (ok && v.kind == VALUE_INT)
		buf_printf(c->out, "%" PRId64, v.i);
	else if (ok && v.kind == VALUE_REAL)
		buf_printf(c->out, "%.17g", v.r);
	else if (ok && is_number(id) && v.len && v.p && strchr("-0123456789", *(const char *)v.p))
		buf_add(c->out, v.p, v.len);
	else if (ok && v.kind == VALUE_TEXT)
		buf_json_len(c->out, v.p, v.len);
	else
		ok = false; /* JSON has no bytes */
	buf_free(&scratch);
	return ok;
}

static bool put_list(
	struct cell *c, duckdb_handle child, duckdb_handle type, uint64_t from, uint64_t count)
{
	bool ok = type != NULL;

	buf_char(c->out, '[');
	for (uint64_t i = 0; ok && i < count && !c->out->failed; i++) {
		if (i)
			buf_char(c->out, ',');
		ok = put_json(c, child, type, from + i);
	}
	buf_char(c->out, ']');
	c->api->destroy_logical_type(&type);
	return ok;
}

static bool put_struct(struct cell *c, duckdb_handle vector, duckdb_handle type, uint64_t row)
{
	uint64_t count = c->api->struct_type_child_count(type);
	bool ok = true;

	buf_char(c->out, '{');
	for (uint64_t i = 0; ok && i < count; i++) {
		char *name = c->api->struct_type_child_name(type, i);
		duckdb_handle child = c->api->struct_type_child_type(type, i);

		if (i)
			buf_char(c->out, ',');
		buf_json(c->out, name ? name : "");
		buf_char(c->out, ':');
		ok = put_json(c, c->api->struct_vector_get_child(vector, i), child, row);
		c->api->free(name);
		c->api->destroy_logical_type(&child);
	}
	buf_char(c->out, '}');
	return ok;
}

/* A map is a list of structs of a key and a value; JSON's keys are texts. */
static bool put_map(struct cell *c, duckdb_handle vector, duckdb_handle type, uint64_t row)
{
	const struct duckdb_list_entry *e =
		&((const struct duckdb_list_entry *)c->api->vector_get_data(vector))[row];
	duckdb_handle entries = c->api->list_vector_get_child(vector);
	duckdb_handle key_type = c->api->map_type_key_type(type);
	duckdb_handle value_type = c->api->map_type_value_type(type);
	bool ok = true;

	buf_char(c->out, '{');
	for (uint64_t i = 0; ok && i < e->length && !c->out->failed; i++) {
		size_t at;

		if (i)
			buf_char(c->out, ',');
		at = c->out->len;
		ok = put_json(
			c, c->api->struct_vector_get_child(entries, 0), key_type, e->offset + i);
		if (ok && !c->out->failed && c->out->data[at] != '"') {
			char *key = strndup((const char *)c->out->data + at, c->out->len - at);

			c->out->len = at;
			buf_json(c->out, key ? key : "");
			free(key);
		}
		buf_char(c->out, ':');
		ok = ok &&
			put_json(c, c->api->struct_vector_get_child(entries, 1), value_type,
				e->offset + i);
	}
	buf_char(c->out, '}');
	c->api->destroy_logical_type(&key_type);
	c->api->destroy_logical_type(&value_type);
	return ok;
}

static bool put_nested(
	struct cell *c, int id, duckdb_handle vector, duckdb_handle type, uint64_t row)
{
	const struct duckdb_list_entry *e = c->api->vector_get_data(vector);
	uint64_t size;

	switch (id) {
	case DUCKDB_LIST:
		return put_list(c, c->api->list_vector_get_child(vector),
			c->api->list_type_child_type(type), e[row].offset, e[row].length);
	case DUCKDB_ARRAY:
		size = c->api->array_type_array_size(type);
		return put_list(c, c->api->array_vector_get_child(vector),
			c->api->array_type_child_type(type), row * size, size);
	case DUCKDB_STRUCT:
		return put_struct(c, vector, type, row);
	default:
		return put_map(c, vector, type, row);
	}
}

static bool is_nested(int id)
{
	return id == DUCKDB_LIST || id == DUCKDB_ARRAY || id == DUCKDB_STRUCT || id == DUCKDB_MAP;
}

static bool put_json(struct cell *c, duckdb_handle vector, duckdb_handle type, uint64_t row)
{
	int id = c->api->get_type_id(type);
	bool ok;

	if (!is_valid(c->api, vector, row)) {
		buf_str(c->out, "null");
		return true;
	}
	if (!is_nested(id))
		return put_json_scalar(c, id, vector, type, row);
	if (c->depth == DEPTH_MAX)
		return false;
	c->depth++;
	ok = put_nested(c, id, vector, type, row);
	c->depth--;
	return ok;
}

bool duckdb_value_get(const struct duckdb_api *api, const struct duckdb_column *column,
	uint64_t row, struct buf *scratch, struct value *out)
{
	struct cell c = {.api = api, .out = scratch, .depth = 0};
	int id = api->get_type_id(column->type);
	const void *data = api->vector_get_data(column->vector);

	*out = (struct value){.kind = VALUE_NULL};
	buf_reset(scratch);
	if (!is_valid(api, column->vector, row) || id == DUCKDB_SQLNULL)
		return true;
	if (is_number(id)) {
		get_number(&c, id, column->type, data, row, out);
		return !scratch->failed;
	}
	if (id == DUCKDB_VARCHAR || id == DUCKDB_BLOB) {
		out->kind = id == DUCKDB_BLOB ? VALUE_BLOB : VALUE_TEXT;
		out->p = bytes(data, row, &out->len);
		return true;
	}
	if (id == DUCKDB_UUID)
		put_uuid(scratch, &((const struct duckdb_hugeint *)data)[row]);
	else if (id == DUCKDB_ENUM)
		put_enum(&c, column->type, data, row);
	else if (is_nested(id) ? !put_json(&c, column->vector, column->type, row)
			       : !put_time(scratch, id, data, row))
		return false;
	*out = value_text((const char *)scratch->data, scratch->len);
	return !scratch->failed;
}
