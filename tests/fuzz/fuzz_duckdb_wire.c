/* The frames between the worker and DuckDB's process: any bytes as what the other end sent. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "worker/duckdb_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads a frame as rows, and writes back what it read: that must be the same bytes again. */
static void rows(struct wire_cursor c)
{
	struct wire_cursor first = c;
	struct buf b;

	buf_init(&b, WIRE_FRAME_MAX);
	while (wire_more(&c)) {
		struct value v = wire_get_value(&c);

		if (v.kind >= VALUE_TEXT && !c.bad &&
			((const uint8_t *)v.p < first.p || (const uint8_t *)v.p + v.len > c.end))
			abort();
		if (!c.bad)
			wire_value(&b, &v);
	}
	if (!c.bad && !b.failed &&
		(b.len != (size_t)(c.end - first.p) ||
			(b.len > 0 && memcmp(b.data, first.p, b.len) != 0)))
		abort();
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = 0;
	struct wire_frame f;

	while (wire_parse(data + at, size - at, &f) == WIRE_FRAME) {
		struct wire_cursor names = f.payload, hello = f.payload;

		if (f.size < WIRE_HEAD || f.size > size - at || f.payload.end > data + size)
			abort();
		rows(f.payload);
		while (wire_more(&names))
			free(wire_dup_str(&names));
		(void)wire_get_u8(&hello);
		(void)wire_get_u16(&hello);
		(void)wire_get_i64(&hello);
		free(wire_dup_str(&hello));
		at += f.size;
	}
	return 0;
}
