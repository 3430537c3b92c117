/* A request that is whole stays whole whatever follows, and was not a byte earlier than it is. */
#include <stdint.h>
#include <stdlib.h>

#include "fcgi-app/fcgi_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool before = false;

	for (size_t len = 0; len <= size && len < 4096; len++) {
		bool now = fcgi_record_whole(data, len);

		if (before && !now)
			abort();
		before = now;
	}
	return 0;
}
