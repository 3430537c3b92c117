#include "shared/audit_set.h"

#include <string.h>

enum spelling { LIST = 1, BITMAP = 2 };

void audit_set_fill(struct audit_set *s, size_t rows)
{
	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < rows / 64; i++)
		s->bits[i] = UINT64_MAX;
	if (rows % 64)
		s->bits[rows / 64] = (UINT64_C(1) << (rows % 64)) - 1;
}

void audit_set_and(struct audit_set *s, const struct audit_set *other)
{
	for (size_t i = 0; i < AUDIT_SET_WORDS; i++)
		s->bits[i] &= other->bits[i];
}

bool audit_set_empty(const struct audit_set *s)
{
	uint64_t any = 0;

	for (size_t i = 0; i < AUDIT_SET_WORDS; i++)
		any |= s->bits[i];
	return any == 0;
}

size_t audit_set_encode(
	const uint16_t *rows, size_t count, size_t total, uint8_t out[AUDIT_SET_BYTES_MAX])
{
	size_t map = (total + 7) / 8;

	if (count == total)
		return 0;
	if (2 * count < map) {
		out[0] = LIST;
		for (size_t i = 0; i < count; i++) {
			out[1 + 2 * i] = (uint8_t)rows[i];
			out[2 + 2 * i] = (uint8_t)(rows[i] >> 8);
		}
		return 1 + 2 * count;
	}
	out[0] = BITMAP;
	memset(out + 1, 0, map);
	for (size_t i = 0; i < count; i++)
		out[1 + rows[i] / 8] |= (uint8_t)(1U << (rows[i] % 8));
	return 1 + map;
}

static enum rc add_list(struct audit_set *s, const uint8_t *bytes, size_t count, size_t total)
{
	for (size_t i = 0; i < count; i++) {
		size_t row = bytes[2 * i] | (size_t)bytes[2 * i + 1] << 8;

		if (row >= total)
			return RC_INVALID;
		s->bits[row / 64] |= UINT64_C(1) << (row % 64);
	}
	return RC_OK;
}

enum rc audit_set_add(struct audit_set *s, const uint8_t *bytes, size_t len, size_t total)
{
	size_t map = (total + 7) / 8;
	struct audit_set all;

	audit_set_fill(&all, total);
	if (len == 0) {
		for (size_t i = 0; i < AUDIT_SET_WORDS; i++)
			s->bits[i] |= all.bits[i];
		return RC_OK;
	}
	if (bytes[0] == LIST && len % 2 == 1)
		return add_list(s, bytes + 1, len / 2, total);
	if (bytes[0] != BITMAP || len != 1 + map)
		return RC_INVALID;
	for (size_t i = 0; i < map; i++)
		s->bits[i / 8] |= (uint64_t)bytes[1 + i] << (i % 8 * 8);
	for (size_t i = 0; i < AUDIT_SET_WORDS; i++)
		s->bits[i] &= all.bits[i];
	return RC_OK;
}
