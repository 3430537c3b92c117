#include "shared/varint.h"

void varint_put(struct buf *b, uint64_t n)
{
	uint8_t bytes[10];
	size_t len = 0;

	while (n >= 0x80) {
		bytes[len++] = (uint8_t)(n | 0x80);
		n >>= 7;
	}
	bytes[len++] = (uint8_t)n;
	buf_add(b, bytes, len);
}

bool varint_get(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
	uint64_t n = 0;

	for (int shift = 0; *at < end && shift < 64; shift += 7) {
		uint8_t byte = *(*at)++;

		n |= (uint64_t)(byte & 0x7F) << shift;
		if (byte < 0x80) {
			*out = n;
			return true;
		}
	}
	return false;
}
