/* An accepted manifest can be listed and searched, and holds no database URL. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	char why[120];
	struct jscan v;
	struct buf out;
	enum rc rc = manifest_check(text, size, why, sizeof(why));

	buf_init(&out, size + 2);
	manifest_tools(&out, text, size, NULL);
	if (rc == RC_OK &&
		(out.failed || jscan_parse((const char *)out.data, out.len, &v) != RC_OK))
		abort();
	buf_reset(&out);
	manifest_tools(&out, text, size, "[\"execute_sql\"]");
	(void)manifest_tool(text, size, "execute_sql");
	if (manifest_has_database_url(text, size) && rc != RC_DENIED)
		abort();
	buf_free(&out);
	return 0;
}
