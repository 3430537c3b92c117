/* What the search index keeps as bytes: sets of rows, buckets of words, places of lines. A set is
 * the same whichever way it is read, and spelled again it is the same set. */
#include <stdlib.h>
#include <string.h>

#include "shared/audit_block.h"
#include "shared/audit_bucket.h"
#include "shared/audit_set.h"
#include "shared/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct audit_set *set, *again;
static uint32_t *rows;

static void spell_again(size_t count, size_t total)
{
	struct buf b;

	buf_init(&b, AUDIT_SPAN_ROWS * 2);
	audit_set_spell(&b, rows, count, total);
	audit_set_clear(again, total);
	if (b.failed || audit_set_add(again, b.data, b.len) != RC_OK ||
		memcmp(set->bits, again->bits, (total + 63) / 64 * 8) != 0)
		abort();
	buf_free(&b);
}

static void read_set(const uint8_t *bytes, size_t len, size_t total)
{
	size_t count = 0;
	enum rc rc;

	audit_set_clear(set, total);
	rc = audit_set_add(set, bytes, len);
	if (audit_set_rows(bytes, len, total, 0, rows, &count, AUDIT_SPAN_ROWS) != rc)
		abort();
	if (rc != RC_OK)
		return;
	for (size_t i = 0; i < count; i++)
		if (rows[i] >= total || (i > 0 && rows[i] <= rows[i - 1]) ||
			!audit_set_has(set, rows[i]))
			abort();
	spell_again(count, total);
}

static void read_bucket(const uint8_t *bytes, size_t len)
{
	struct audit_bucket_walk w = audit_bucket_walk(bytes, len);
	struct audit_bucket_entry e, found;
	uint32_t last = 0;
	bool first = true;

	while (audit_bucket_next(&w, &e)) {
		if (e.word < last || (!e.apart && e.len > len))
			abort();
		/* The first of those with one word is found. */
		if ((first || e.word != last) &&
			(audit_bucket_find(bytes, len, e.word, &found) != RC_OK ||
				found.set != e.set || found.apart != e.apart))
			abort();
		last = e.word;
		first = false;
		if (!e.apart)
			read_set(e.set, e.len, 300);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct audit_row_place places[AUDIT_BLOCK_ROWS];
	size_t total;

	if (!set) {
		set = xcalloc(1, sizeof(*set));
		again = xcalloc(1, sizeof(*again));
		rows = xcalloc(AUDIT_SPAN_ROWS, sizeof(*rows));
	}
	if (size < 3)
		return 0;
	total = (size_t)(data[0] | data[1] << 8 | (data[2] & 7) << 16) + 1;
	read_set(data + 3, size - 3, total);
	read_bucket(data + 3, size - 3);
	(void)audit_block_places(data + 3, size - 3, 0, total % AUDIT_BLOCK_ROWS + 1, places);
	return 0;
}
