/* Whatever jscan accepts can be walked to its last value, and jansson, a parser that is not ours,
 * agrees. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/jscan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct jscan v)
{
	struct jscan_iter it = jscan_iter(v);
	struct jscan key, value;
	char text[64];
	int64_t n;

	if (jscan_str(v, text, sizeof(text)) == RC_OK && !jscan_is_str(v, text))
		abort();
	if (v.kind == JSCAN_STRING && !jscan_same_str(v, v))
		abort();
	(void)!jscan_int(v, &n);
	while (jscan_next(&it, &key, &value)) {
		if (value.p < v.p || value.p + value.len > v.p + v.len || value.len == 0)
			abort();
		if (jscan_parse(value.p, value.len, &value) != RC_OK)
			abort();
		if (key.kind == JSCAN_STRING)
			walk(key);
		walk(value);
	}
}

/* Read member by member it is the same object, or none. */
static void read_again(const char *text, size_t size)
{
	struct jscan_reader r = jscan_reader(text, size);
	struct jscan whole, key, value, again;
	bool object = jscan_parse(text, size, &whole) == RC_OK && whole.kind == JSCAN_OBJECT;
	enum rc rc;

	while ((rc = jscan_read(&r, &key, &value, &again)) == RC_OK)
		if (jscan_parse(value.p, value.len, &again) != RC_OK || again.len != value.len ||
			again.kind != value.kind)
			abort();
	if (rc != (object ? RC_NOTFOUND : RC_INVALID) ||
		(object && (again.p != whole.p || again.len != whole.len)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jscan v;
	json_error_t err;
	json_t *other;

	read_again((const char *)data, size);
	if (jscan_parse((const char *)data, size, &v) != RC_OK)
		return 0;
	walk(v);
	/* jansson has bounds of its own on numbers and refuses half a surrogate pair: those
	 * refusals are not disagreement. */
	other = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &err);
	if (!other && json_error_code(&err) != json_error_numeric_overflow &&
		!strstr(err.text, "invalid Unicode"))
		abort();
	json_decref(other);
	return 0;
}
