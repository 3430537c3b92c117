/* A client's frames mean the same however the connection cuts them: the first byte says where to
 * cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/buf.h"
#include "tunneld/ws_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was heard, in a form that does not depend on the cuts. */
static void note(struct buf *heard, enum ws_in_event event, const struct ws_piece *p)
{
	if (event != WS_IN_PIECE)
		buf_char(heard, (char)('0' + (int)event));
	if (event != WS_IN_BAD)
		buf_add(heard, p->bytes, p->len);
	if (event == WS_IN_PIECE && p->last)
		buf_char(heard, '.');
}

static void hear(const uint8_t *data, size_t size, size_t cut, struct buf *heard)
{
	enum ws_in_event event = WS_IN_WAITS;
	struct ws_in in = {0};
	struct ws_piece p;

	for (size_t at = 0; at < size && event != WS_IN_BAD; at += cut) {
		size_t len = size - at < cut ? size - at : cut, done = 0, used;
		uint8_t *bytes = malloc(len);

		if (!bytes)
			abort();
		memcpy(bytes, data + at, len);
		do {
			event = ws_in_next(&in, bytes + done, len - done, &used, &p);
			done += used;
			if (done > len || (event == WS_IN_WAITS && done != len))
				abort();
			if (event != WS_IN_WAITS)
				note(heard, event, &p);
		} while (event != WS_IN_WAITS && event != WS_IN_BAD);
		free(bytes);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, cut;

	if (size < 2)
		return 0;
	buf_init(&whole, 4 * size);
	buf_init(&cut, 4 * size);
	hear(data + 1, size - 1, size - 1, &whole);
	hear(data + 1, size - 1, 1 + (size_t)data[0], &cut);
	if (whole.failed || cut.failed || whole.len != cut.len ||
		(whole.len && memcmp(whole.data, cut.data, whole.len) != 0))
		abort();
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}
