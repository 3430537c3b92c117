#include "shared/audit_set.h"

#include <endian.h>
#include <string.h>

#include "shared/varint.h"

enum spelling { LIST = 1, BITMAP = 2 };

static size_t words_of(size_t rows)
{
	return (rows + 63) / 64;
}

void audit_set_clear(struct audit_set *s, size_t rows)
{
	s->rows = rows;
	memset(s->bits, 0, words_of(rows) * sizeof(s->bits[0]));
}

/* Bits behind the last row stay 0, so that whole words can be looked at. */
static void cut(struct audit_set *s)
{
	if (s->rows % 64)
		s->bits[s->rows / 64] &= (UINT64_C(1) << (s->rows % 64)) - 1;
}

void audit_set_fill(struct audit_set *s, size_t rows)
{
	s->rows = rows;
	memset(s->bits, 0xFF, words_of(rows) * sizeof(s->bits[0]));
	cut(s);
}

void audit_set_and(struct audit_set *s, const struct audit_set *other)
{
	for (size_t i = 0; i < words_of(s->rows); i++)
		s->bits[i] &= other->bits[i];
}

bool audit_set_any(const struct audit_set *s, size_t from, size_t count)
{
	size_t end = from + count;

	while (from < end && from % 64)
		if (audit_set_has(s, from++))
			return true;
	for (; from + 64 <= end; from += 64)
		if (s->bits[from / 64])
			return true;
	while (from < end)
		if (audit_set_has(s, from++))
			return true;
	return false;
}

/* --- spelling ---------------------------------------------------------------------------- */

static void spell_list(struct buf *out, const uint32_t *rows, size_t count)
{
	uint32_t next = 0;

	buf_char(out, LIST);
	for (size_t i = 0; i < count; i++) {
		varint_put(out, rows[i] - next);
		next = rows[i] + 1;
	}
}

static void spell_map(struct buf *out, const uint32_t *rows, size_t count, size_t bytes)
{
	uint8_t *map;

	buf_char(out, BITMAP);
	map = buf_reserve(out, bytes);
	if (!map)
		return;
	memset(map, 0, bytes);
	for (size_t i = 0; i < count; i++)
		map[rows[i] / 8] |= (uint8_t)(1U << (rows[i] % 8));
	buf_commit(out, bytes);
}

void audit_set_spell(struct buf *out, const uint32_t *rows, size_t count, size_t total)
{
	size_t map = (total + 7) / 8, before = out->len;

	if (count == total)
		return;
	if (count < map) { /* a row of a list takes a byte at least */
		spell_list(out, rows, count);
		if (out->failed || out->len - before <= map)
			return;
		out->len = before;
	}
	spell_map(out, rows, count, map);
}

/* --- reading ------------------------------------------------------------------------------- */

/* The next row of a list. False at its end, or (*wrong) where it is no list of so many rows. */
static bool next_row(
	const uint8_t **at, const uint8_t *end, size_t total, uint64_t *row, bool *wrong)
{
	uint64_t step;

	if (*at == end)
		return false;
	*wrong = !varint_get(at, end, &step) || step >= total || *row + step >= total;
	*row += step;
	return !*wrong;
}

enum rc audit_set_add(struct audit_set *s, const uint8_t *bytes, size_t len)
{
	size_t map = (s->rows + 7) / 8;
	const uint8_t *at, *end;
	bool wrong = false;

	if (len == 0) {
		audit_set_fill(s, s->rows);
		return RC_OK;
	}
	at = bytes + 1;
	end = bytes + len;
	if (bytes[0] == LIST) {
		for (uint64_t row = 0; next_row(&at, end, s->rows, &row, &wrong); row++)
			s->bits[row / 64] |= UINT64_C(1) << (row % 64);
		return wrong ? RC_INVALID : RC_OK;
	}
	if (bytes[0] != BITMAP || len != 1 + map)
		return RC_INVALID;
	for (size_t i = 0; i < map / 8; i++, at += 8) {
		uint64_t word;

		memcpy(&word, at, sizeof(word));
		s->bits[i] |= le64toh(word);
	}
	for (size_t i = map / 8 * 8; i < map; i++)
		s->bits[i / 8] |= (uint64_t)bytes[1 + i] << (i % 8 * 8);
	cut(s);
	return RC_OK;
}

static enum rc map_rows(
	const uint8_t *map, size_t total, uint32_t base, uint32_t *rows, size_t *count, size_t room)
{
	for (size_t row = 0; row < total; row++) {
		if (!(map[row / 8] >> (row % 8) & 1))
			continue;
		if (*count == room)
			return RC_INVALID;
		rows[(*count)++] = base + (uint32_t)row;
	}
	return RC_OK;
}

enum rc audit_set_rows(const uint8_t *bytes, size_t len, size_t total, uint32_t base,
	uint32_t *rows, size_t *count, size_t room)
{
	const uint8_t *at, *end;
	bool wrong = false;

	if (len == 0) {
		if (room - *count < total)
			return RC_INVALID;
		for (size_t row = 0; row < total; row++)
			rows[(*count)++] = base + (uint32_t)row;
		return RC_OK;
	}
	if (bytes[0] == BITMAP && len == 1 + (total + 7) / 8)
		return map_rows(bytes + 1, total, base, rows, count, room);
	if (bytes[0] != LIST)
		return RC_INVALID;
	at = bytes + 1;
	end = bytes + len;
	for (uint64_t row = 0; next_row(&at, end, total, &row, &wrong); row++) {
		if (*count == room)
			return RC_INVALID;
		rows[(*count)++] = base + (uint32_t)row;
	}
	return wrong ? RC_INVALID : RC_OK;
}
