/* Audit records: any JSON. What can be read can be written, read again to the same, and makes one
 * whole line. */
#include <stdlib.h>
#include <string.h>

#include "shared/audit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same_text(const struct buf *text, const struct audit_record *r)
{
	struct buf b;
	bool same;

	buf_init(&b, 65536);
	audit_put(&b, r);
	same = !b.failed && b.len == text->len && memcmp(b.data, text->data, b.len) == 0;
	buf_free(&b);
	return same;
}

static void write_and_read(const struct audit_record *r)
{
	struct audit_record again, third;
	struct jscan v;
	struct buf b;

	buf_init(&b, 65536);
	audit_put(&b, r);
	if (b.failed || jscan_parse((const char *)b.data, b.len, &v) != RC_OK ||
		audit_get(v, &again) != RC_OK)
		abort();
	/* Spaces of a change go when it is written: from then on nothing moves. */
	buf_reset(&b);
	audit_put(&b, &again);
	if (b.failed || jscan_parse((const char *)b.data, b.len, &v) != RC_OK ||
		audit_get(v, &third) != RC_OK || !same_text(&b, &third))
		abort();
	buf_free(&b);
}

static void write_line(const struct audit_record *r)
{
	static const char prev[AUDIT_HASH_LEN + 1] = "00";
	struct jscan v;
	struct buf b;

	buf_init(&b, 65536);
	audit_line(&b, r, 1, 0, prev);
	if (b.failed || memchr(b.data, '\n', b.len) ||
		jscan_parse((const char *)b.data, b.len, &v) != RC_OK || v.kind != JSCAN_OBJECT)
		abort();
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct audit_record r;
	struct jscan v;

	if (jscan_parse((const char *)data, size, &v) != RC_OK || audit_get(v, &r) != RC_OK)
		return 0;
	write_and_read(&r);
	write_line(&r);
	return 0;
}
