/* value: one cell of a row on its way from a source through the masks into a snapshot, and lists of
 * them. Knows neither databases nor masks. */
#ifndef WORKER_VALUE_H
#define WORKER_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/rc.h"

/* A larger text or blob is not exported: the operator is told to exclude the column. */
#define VALUE_BYTES_MAX ((size_t)1 << 20)

enum value_kind { VALUE_NULL, VALUE_INT, VALUE_REAL, VALUE_TEXT, VALUE_BLOB };

struct value {
	enum value_kind kind;
	union {
		int64_t i;
		double r;
		struct {
			const void *p; /* borrowed; text is UTF-8 without a terminator */
			size_t len;
		};
	};
};

/* What a column holds, in terms every source and engine can map to its own. */
enum column_kind {
	COLUMN_ANY, /* kept as it comes */
	COLUMN_INT,
	COLUMN_REAL,
	COLUMN_NUMERIC,
	COLUMN_TEXT,
	COLUMN_BLOB,
};

struct value value_int(int64_t i);
struct value value_text(const char *s, size_t len);
/* RC_OK when text is a whole int64 in its one canonical spelling (no sign but '-', no leading zeros
 * or space). */
enum rc value_parse_int(const char *text, size_t len, int64_t *out) MUST_CHECK;

/* A list that owns copies of its values; bounded. It holds raw keys, so freeing wipes. */
struct value_list {
	struct value *items; /* text and blobs: p is NULL, see at[] */
	size_t *at;
	size_t count, cap, max;
	struct buf bytes;
};
void value_list_init(struct value_list *l, size_t max_items, size_t max_bytes);
void value_list_free(struct value_list *l);
/* NULLs are left out, and so is a value equal to the one added last. RC_LIMIT when full. */
enum rc value_list_add(struct value_list *l, const struct value *v) MUST_CHECK;
/* Valid until the next value_list_add(). */
struct value value_list_get(const struct value_list *l, size_t i);

#endif
