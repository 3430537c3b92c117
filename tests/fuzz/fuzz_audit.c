#include <stdlib.h>

#include "shared/audit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What can be read can be written and read again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct audit_record r, again;
	struct jscan v;
	struct buf b;

	if (jscan_parse((const char *)data, size, &v) != RC_OK || audit_get(v, &r) != RC_OK)
		return 0;
	buf_init(&b, 65536);
	audit_put(&b, &r);
	if (b.failed || jscan_parse((const char *)b.data, b.len, &v) != RC_OK || audit_get(v, &again) != RC_OK)
		abort();
	buf_free(&b);
	return 0;
}
