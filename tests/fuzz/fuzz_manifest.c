/* An accepted manifest can be listed and searched, and holds no database URL; each of its tools has
 * one definition, which is JSON and has the same fingerprint as itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/manifest.h"
#include "shared/toolset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tool(struct jscan tool)
{
	struct buf once, twice;
	struct jscan v;

	buf_init(&once, 6 * tool.len + 256);
	toolset_definition(tool, &once);
	if (once.failed || jscan_parse((const char *)once.data, once.len, &v) != RC_OK)
		abort();
	buf_init(&twice, 6 * v.len + 256);
	toolset_definition(v, &twice);
	if (twice.len != once.len || memcmp(twice.data, once.data, once.len) != 0)
		abort();
	buf_free(&once);
	buf_free(&twice);
}

static void check_tools(const char *text, size_t size)
{
	struct toolset set;
	struct toolset_names names;

	if (toolset_read(text, size, &set) != RC_OK || toolset_differences(&set, &set, &names))
		abort();
	for (size_t i = 0; i < set.count; i++)
		check_tool(manifest_tool(text, size, set.tools[i].name));
	toolset_free(&set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	char why[120];
	struct jscan v;
	struct buf out;
	enum rc rc = manifest_check(text, size, why, sizeof(why));

	buf_init(&out, size + 2);
	manifest_tools(&out, text, size, NULL, NULL);
	if (rc == RC_OK &&
		(out.failed || jscan_parse((const char *)out.data, out.len, &v) != RC_OK))
		abort();
	buf_reset(&out);
	manifest_tools(&out, text, size, "[\"execute_sql\"]", NULL);
	(void)manifest_tool(text, size, "execute_sql");
	if (manifest_has_database_url(text, size) && rc != RC_DENIED)
		abort();
	buf_free(&out);
	if (rc == RC_OK)
		check_tools(text, size);
	return 0;
}
