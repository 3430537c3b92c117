#include "shared/sse.h"

void sse_event(struct buf *out, const void *json, size_t len)
{
	const char *p = json, *end = p + len;

	while (p < end) {
		size_t line = 0;

		while (p + line < end && p[line] != '\n' && p[line] != '\r')
			line++;
		if (line > 0) {
			buf_str(out, "data: ");
			buf_add(out, p, line);
			buf_char(out, '\n');
		}
		p += line < (size_t)(end - p) ? line + 1 : line;
	}
	buf_char(out, '\n');
}
