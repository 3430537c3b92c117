/* What a sidecar becomes is JSON with a safe id, and cleaning it again changes nothing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/jscan.h"
#include "shared/sidecar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char id[SIDECAR_ID_MAX + 1], id2[SIDECAR_ID_MAX + 1];
	struct buf out, again;
	int64_t expires, expires2;
	struct jscan v;

	buf_init(&out, SIDECAR_MAX);
	buf_init(&again, SIDECAR_MAX);
	if (sidecar_clean((const char *)data, size, "t", "w", "s", &out, id, &expires) == RC_OK) {
		if (!sidecar_id_ok(id) || jscan_parse((const char *)out.data, out.len, &v) != RC_OK)
			abort();
		if (sidecar_clean((const char *)out.data, out.len, "t", "w", "s", &again, id2,
			    &expires2) != RC_OK ||
			again.len != out.len || memcmp(again.data, out.data, out.len) != 0 ||
			expires != expires2)
			abort();
	}
	buf_free(&out);
	buf_free(&again);
	return 0;
}
