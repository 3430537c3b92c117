/* What a PostgreSQL server sends for a value: any bytes as a value of any type. What is taken lies
 * in those bytes or in the scratch buffer, numbers come back as they were shown, and moments are
 * dates that our own masks can read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "worker/civil.h"
#include "worker/pg_type.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink; /* every byte is read, so that the sanitizer looks at it */

static void instant(const struct value *v)
{
	struct civil date;

	if (v->kind != VALUE_TEXT || !v->p || v->len < 8)
		abort();
	if (memchr(v->p, 'Z', v->len) && !civil_parse(v->p, v->len, &date))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum pg_form form;
	struct buf scratch;
	struct value v;
	const uint8_t *p;

	if (size < 1)
		return 0;
	form = (enum pg_form)(data[0] % (PG_BYTEA + 1));
	buf_init(&scratch, 2 * VALUE_BYTES_MAX);
	if (pg_type_value(form, data + 1, size - 1, &scratch, &v) == RC_OK) {
		p = v.kind >= VALUE_TEXT ? v.p : NULL;
		if (p && p >= data && p <= data + size && p + v.len > data + size)
			abort();
		if (p && v.len > VALUE_BYTES_MAX)
			abort();
		for (size_t i = 0; p && i < v.len; i++)
			sink = p[i];
		if (form == PG_TIMESTAMPTZ)
			instant(&v);
	}
	buf_free(&scratch);
	return 0;
}
