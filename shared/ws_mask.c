#include "shared/ws_mask.h"

#include <string.h>

/* gcc and clang make the processor's wide registers of it. */
typedef uint64_t lane __attribute__((vector_size(16)));

void ws_mask(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[WS_MASK_LEN],
	uint64_t phase)
{
	uint8_t turned[sizeof(lane)];
	lane wide, a, b, c, d;

	for (size_t i = 0; i < sizeof(turned); i++)
		turned[i] = mask[(phase + i) % WS_MASK_LEN];
	memcpy(&wide, turned, sizeof(wide));
	for (; len >= 4 * sizeof(a); len -= 4 * sizeof(a)) {
		memcpy(&a, src, sizeof(a));
		memcpy(&b, src + sizeof(a), sizeof(a));
		memcpy(&c, src + 2 * sizeof(a), sizeof(a));
		memcpy(&d, src + 3 * sizeof(a), sizeof(a));
		a ^= wide;
		b ^= wide;
		c ^= wide;
		d ^= wide;
		memcpy(dst, &a, sizeof(a));
		memcpy(dst + sizeof(a), &b, sizeof(a));
		memcpy(dst + 2 * sizeof(a), &c, sizeof(a));
		memcpy(dst + 3 * sizeof(a), &d, sizeof(a));
		src += 4 * sizeof(a);
		dst += 4 * sizeof(a);
	}
	for (size_t i = 0; i < len; i++)
		dst[i] = src[i] ^ turned[i % sizeof(turned)];
}
