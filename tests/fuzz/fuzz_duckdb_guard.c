/* The guard on DuckDB's parse trees: any bytes as the tree of a statement. Nothing may crash, and
 * a node that is not allowed is allowed nowhere. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "worker/duckdb_guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct engine_column columns[] = {{"id", COLUMN_INT}, {"name", COLUMN_TEXT}};
static const struct engine_table tables[] = {{"people", columns, 2}, {"orders", columns, 1}};
static const struct engine_shape shape = {tables, 2};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const never[] = {"\"class\":\"PARAMETER\"", "\"class\":\"DEFAULT\"",
		"\"type\":\"DELETE_NODE\"", "\"type\":\"INSERT_NODE\"", "\"type\":\"SHOW_REF\""};
	char *text = malloc(size + 1);
	struct engine_message m;
	enum engine_status s;

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	s = duckdb_guard_check(text, size, &shape, &m);
	if (s != ENGINE_OK && s != ENGINE_REFUSED)
		abort();
	if (s == ENGINE_REFUSED && (!m.text[0] || !memchr(m.text, '\0', sizeof(m.text))))
		abort();
	/* In a string the quotes would be escaped. */
	for (size_t i = 0; s == ENGINE_OK && i < sizeof(never) / sizeof(never[0]); i++)
		if (strstr(text, never[i]))
			abort();
	(void)duckdb_guard_explain(size ? data[0] : 0, text, &shape, &m);
	if (!memchr(m.text, '\0', sizeof(m.text)))
		abort();
	free(text);
	return 0;
}
