/* result: rows as JSON within a budget of rows and bytes, and the envelope that MCP wants around a
 * tool's answer. */
#ifndef WORKER_RESULT_H
#define WORKER_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/buf.h"
#include "worker/canary.h"
#include "worker/engine.h"

struct result {
	struct buf *out;
	int64_t max_rows, max_bytes;
	int64_t rows;
	size_t start; /* of the JSON in out */
	bool truncated; /* there is at least one row more */
	bool too_big; /* not even the first row fits */
	const struct canaries *canaries; /* set by the caller after result_begin(), or NULL */
	struct words room; /* for the search; result_end() frees it */
	bool unmasked; /* a row holds a raw value: nothing of the result may leave */
};

/* Appends "columns":[..],"rows":[..] to out as rows come in; result_end() closes the array and adds
 * row_count and truncated. out should allow eight times max_bytes, since text grows when it is
 * escaped. */
void result_begin(struct result *r, struct buf *out, int64_t max_rows, int64_t max_bytes,
	struct engine_sink *sink);
void result_end(struct result *r);

/* One value: texts as strings, blobs as {"$base64":".."}, integers of any size as integers,
 * infinities as strings. */
void result_value(struct buf *out, const struct value *v);

/* {"content":[{"type":"text","text":"<the JSON>"}],"structuredContent":<the JSON>,"isError":false}
 */
void result_envelope(struct buf *out, const struct buf *structured);
/* A tool's error: text only. */
void result_error(struct buf *out, const char *text);

#endif
