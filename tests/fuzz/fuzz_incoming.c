/* A message cut into pieces means what it means in one piece: its first byte says where to cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tunneld/incoming.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The payloads of all its parts, and what the last one says; false: it is no message. */
static bool gather(const uint8_t *data, size_t size, size_t piece, struct buf *body, struct msg *m)
{
	enum incoming_status status = INCOMING_WAITS;
	struct incoming in;

	incoming_init(&in);
	for (size_t at = 0; at < size; at += piece) {
		size_t n = size - at < piece ? size - at : piece;
		bool last = at + n == size;

		status = incoming_add(&in, data + at, n, last, m);
		if (status == INCOMING_BAD || status == INCOMING_TOO_LONG)
			break;
		if (status == INCOMING_WAITS ? last : !last && !m->more)
			abort();
		if (status == INCOMING_MESSAGE)
			buf_add(body, m->payload, m->payload_len);
	}
	incoming_reset(&in);
	return status == INCOMING_MESSAGE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msg whole, last;
	struct buf body;
	bool ok;

	if (size < 2)
		return 0;
	buf_init(&body, size);
	ok = gather(data + 1, size - 1, 1 + (size_t)data[0], &body, &last);
	if (ok != (msg_parse(data + 1, size - 1, &whole) == RC_OK))
		abort();
	if (ok &&
		(body.failed || body.len != whole.payload_len ||
			(body.len && memcmp(body.data, whole.payload, body.len) != 0) ||
			last.type != whole.type || last.more != whole.more ||
			strcmp(last.id, whole.id) != 0))
		abort();
	buf_free(&body);
	return 0;
}
