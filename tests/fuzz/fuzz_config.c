/* config.yaml: any bytes. Whatever is accepted must describe itself within the ranges of the table.
 */
#include <stdint.h>
#include <stdlib.h>

#include "shared/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config c = {0};
	struct config_error err;
	struct buf text;

	if (config_load_yaml(&c, "config.yaml", (const char *)data, size, &err) == RC_OK) {
		if (c.pool_threads < 1 || c.pool_threads > 1024 || c.max_request_bytes < 1024)
			abort();
		if (c.run_dir[0] != '/' || c.origin_count > CONFIG_ORIGINS_MAX)
			abort();
		buf_init(&text, 1 << 20);
		config_describe(&c, &text);
		buf_free(&text);
	}
	config_clear(&c);
	return 0;
}
