#include "worker/result.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/text.h"

static void put_real(struct buf *out, double r)
{
	char text[40];

	if (!isfinite(r)) {
		buf_str(out, isnan(r) ? "null" : r > 0 ? "\"Infinity\"" : "\"-Infinity\"");
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, r);
		if (strtod(text, NULL) == r)
			break;
	}
	buf_str(out, text);
	/* 2.0 stays a real for whoever reads it. */
	if (!strpbrk(text, ".e"))
		buf_str(out, ".0");
}

static void put_blob(struct buf *out, const struct value *v)
{
	uint8_t *room;

	buf_str(out, "{\"$base64\":\"");
	room = buf_reserve(out, TEXT_B64_LEN(v->len) + 1);
	if (room) {
		text_b64(v->len ? v->p : "", v->len, (char *)room);
		buf_commit(out, TEXT_B64_LEN(v->len));
	}
	buf_str(out, "\"}");
}

void result_value(struct buf *out, const struct value *v)
{
	switch (v->kind) {
	case VALUE_NULL:
		buf_str(out, "null");
		break;
	case VALUE_INT:
		buf_printf(out, "%" PRId64, v->i);
		break;
	case VALUE_REAL:
		put_real(out, v->r);
		break;
	case VALUE_TEXT:
		buf_json_len(out, v->len ? v->p : "", v->len);
		break;
	case VALUE_BLOB:
		put_blob(out, v);
		break;
	}
}

static bool over(const struct result *r)
{
	return r->out->failed || r->out->len - r->start > (size_t)r->max_bytes;
}

static enum rc columns(void *ctx, const char *const *names, size_t count)
{
	struct result *r = ctx;

	buf_str(r->out, "\"columns\":[");
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_char(r->out, ',');
		buf_json(r->out, names[i]);
	}
	buf_str(r->out, "],\"rows\":[");
	if (!over(r))
		return RC_OK;
	r->too_big = true;
	return RC_LIMIT;
}

static enum rc row(void *ctx, const struct value *values, size_t count)
{
	struct result *r = ctx;
	size_t mark = r->out->len;

	if (r->rows == r->max_rows) {
		r->truncated = true;
		return RC_LIMIT;
	}
	for (size_t i = 0; i < count && r->canaries; i++) {
		if (!canary_hit(r->canaries, &r->room, &values[i]))
			continue;
		r->unmasked = true;
		return RC_LIMIT;
	}
	buf_str(r->out, r->rows ? ",[" : "[");
	for (size_t i = 0; i < count && !over(r); i++) {
		if (i)
			buf_char(r->out, ',');
		result_value(r->out, &values[i]);
	}
	buf_char(r->out, ']');
	if (!over(r)) {
		r->rows++;
		return RC_OK;
	}
	/* The row that went over is taken back whole. */
	r->out->len = mark;
	r->out->failed = false;
	r->truncated = true;
	r->too_big = r->rows == 0;
	return RC_LIMIT;
}

void result_begin(struct result *r, struct buf *out, int64_t max_rows, int64_t max_bytes,
	struct engine_sink *sink)
{
	*r = (struct result){
		.out = out, .max_rows = max_rows, .max_bytes = max_bytes, .start = out->len};
	*sink = (struct engine_sink){.columns = columns, .row = row, .ctx = r};
}

void result_end(struct result *r)
{
	words_free(&r->room);
	buf_printf(r->out, "],\"row_count\":%" PRId64 ",\"truncated\":%s", r->rows,
		r->truncated ? "true" : "false");
}

void result_envelope(struct buf *out, const struct buf *structured)
{
	buf_str(out, "{\"content\":[{\"type\":\"text\",\"text\":");
	buf_json_len(out, (const char *)structured->data, structured->len);
	buf_str(out, "}],\"structuredContent\":");
	buf_add(out, structured->data, structured->len);
	buf_str(out, ",\"isError\":false}");
	if (structured->failed)
		out->failed = true;
}

void result_error(struct buf *out, const char *text)
{
	buf_reset(out);
	buf_str(out, "{\"content\":[{\"type\":\"text\",\"text\":");
	buf_json(out, text);
	buf_str(out, "}],\"isError\":true}");
}
