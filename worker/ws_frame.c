#include "worker/ws_frame.h"

#include <string.h>

#define FIN_BINARY 0x82
#define MASKED 0x80
#define HEAD_MAX 14

size_t ws_frame_open(struct buf *b)
{
	static const uint8_t room[HEAD_MAX];
	size_t start = b->len;

	buf_add(b, room, sizeof(room));
	return start;
}

static size_t put_length(uint8_t *head, size_t len)
{
	if (len < 126) {
		head[1] = (uint8_t)(MASKED | len);
		return 2;
	}
	if (len < 65536) {
		head[1] = MASKED | 126;
		head[2] = (uint8_t)(len >> 8);
		head[3] = (uint8_t)len;
		return 4;
	}
	head[1] = MASKED | 127;
	for (int i = 0; i < 8; i++)
		head[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
	return 10;
}

void ws_frame_close(struct buf *b, size_t start, const uint8_t mask[WS_MASK_LEN],
	const uint8_t *rest, size_t rest_len)
{
	uint8_t head[HEAD_MAX] = {FIN_BINARY}, *p;
	size_t len, head_len;

	(void)buf_reserve(b, rest_len);
	if (b->failed)
		return;
	p = b->data + start;
	len = b->len - start - HEAD_MAX;
	head_len = put_length(head, len + rest_len);
	memcpy(head + head_len, mask, WS_MASK_LEN);
	head_len += WS_MASK_LEN;
	/* The shortest form is the only one allowed: short messages move up to it. */
	if (head_len < HEAD_MAX)
		memmove(p + head_len, p + HEAD_MAX, len);
	memcpy(p, head, head_len);
	p += head_len;
	ws_mask(p, p, len, mask, 0);
	if (rest_len > 0)
		ws_mask(p + len, rest, rest_len, mask, len);
	b->len = start + head_len + len + rest_len;
}
