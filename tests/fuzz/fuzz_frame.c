/* A stream of frames cut anywhere gives the same messages as the whole. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/msg.h"

#define MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *body, *part;
	size_t at = 0, body_len, part_len, used, part_used;

	while (at < size) {
		enum frame_status status =
			frame_decode(data + at, size - at, MAX, &body, &body_len, &used);

		if (status != FRAME_READY)
			break;
		if (body != data + at + FRAME_PREFIX || body_len > MAX || used > size - at)
			abort();
		/* One byte less is not enough, and no byte more is needed. */
		if (frame_decode(data + at, used - 1, MAX, &part, &part_len, &part_used) !=
				FRAME_NEED_MORE ||
			frame_decode(data + at, used, MAX, &part, &part_len, &part_used) !=
				FRAME_READY ||
			part_len != body_len)
			abort();
		at += used;
	}
	return 0;
}
