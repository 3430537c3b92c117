#include "shared/audit_bundle.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/jscan.h"

/* As many rows as there can be between two checkpoints. */
#define BEFORE_MAX ((size_t)32 * 1024 * 1024)
#define FORMAT "airlock-cp audit bundle v1"
static const char begin[] = "{\"v\":1,\"format\":\"" FORMAT "\",";

void audit_bundle_begin(
	struct audit_bundle *b, int64_t first, int64_t last, const char *filter, int64_t wall_ms)
{
	*b = (struct audit_bundle){.first = first, .last = last, .wall_ms = wall_ms};
	buf_init(&b->filter, AUDIT_BUNDLE_FILTER_MAX);
	buf_init(&b->before, BEFORE_MAX);
	audit_stamper_init(&b->stamper);
	if (filter)
		buf_str(&b->filter, filter);
}

void audit_bundle_free(struct audit_bundle *b)
{
	buf_free(&b->filter);
	buf_free(&b->before);
	audit_stamper_free(&b->stamper);
}

static void put_header(struct buf *out, int64_t from, int64_t first, int64_t last, const char *ts,
	const void *filter, size_t filter_len)
{
	buf_str(out, begin);
	buf_printf(out, "\"from\":%lld,\"first\":%lld,\"last\":%lld,\"ts\":\"%s\"", (long long)from,
		(long long)first, (long long)last, ts);
	if (filter_len > 0) {
		buf_str(out, ",\"filter\":");
		buf_add(out, filter, filter_len);
	}
	buf_char(out, '}');
}

/* --- making one ------------------------------------------------------------------------------ */

/* Row from is what the bundle begins with, unless another checkpoint comes before row first. */
static void begin_before(struct audit_bundle *b, int64_t from)
{
	char ts[CLOCK_TEXT_LEN + 1];

	clock_text(b->wall_ms, ts);
	buf_reset(&b->before);
	put_header(&b->before, from, b->first, b->last, ts, b->filter.data, b->filter.len);
	audit_stamper_begin(&b->stamper, (const char *)b->before.data, b->before.len, from);
	buf_char(&b->before, '\n');
	b->withheld = 0;
}

static void put_line(struct audit_bundle *b, const struct audit_form *row, const char *line,
	size_t len, bool keep, struct buf *out)
{
	bool whole = row->kind != AUDIT_FORM_ROW ||
		(keep && row->seq >= b->first && row->seq <= b->last);
	struct audit_form form = *row;
	size_t start = out->len;

	if (whole) {
		buf_add(out, line, len);
	} else {
		form.kind = AUDIT_FORM_WITHHELD;
		crypto_sha256(line, len, form.hash);
		audit_form_hash_line(out, form.kind, form.seq, form.hash, form.prev);
	}
	if (!out->failed)
		audit_stamper_line(
			&b->stamper, &form, (const char *)out->data + start, out->len - start);
	buf_char(out, '\n');
	b->rows += whole && row->kind == AUDIT_FORM_ROW;
	b->withheld += !whole;
}

static bool failed(const struct audit_bundle *b, const struct buf *out)
{
	return b->filter.failed || b->before.failed || out->failed;
}

enum rc audit_bundle_line(
	struct audit_bundle *b, const char *line, size_t len, bool keep, struct buf *out)
{
	struct audit_form row;

	if (!audit_form_read(line, len, &row))
		return RC_INVALID;
	if (row.kind == AUDIT_FORM_SEAL)
		return RC_OK; /* is about a whole file */
	if (row.kind == AUDIT_FORM_STAMP || (b->next > 0 && row.seq != b->next) || b->done ||
		b->stamp_due || (!b->begun && row.seq > b->first))
		return RC_INVALID;
	if (!b->begun && b->before.len == 0)
		begin_before(b, row.seq);
	if (row.seq == b->first) {
		b->begun = true;
		buf_add(out, b->before.data, b->before.len);
		buf_free(&b->before);
	}
	if (!b->begun && row.kind == AUDIT_FORM_CHECKPOINT)
		buf_reset(&b->before);
	else
		put_line(b, &row, line, len, keep, b->begun ? out : &b->before);
	b->next = row.seq + 1;
	b->stamp_due = b->begun && row.kind == AUDIT_FORM_CHECKPOINT;
	return failed(b, out) ? RC_LIMIT : RC_OK;
}

bool audit_bundle_stamp_due(const struct audit_bundle *b)
{
	return b->stamp_due;
}

enum rc audit_bundle_stamp(struct audit_bundle *b, struct audit_stamp *out)
{
	enum rc rc = audit_stamper_stamp(&b->stamper, out);

	if (rc == RC_OK)
		out->end = out->seq >= b->last;
	return rc;
}

enum rc audit_bundle_stamped(struct audit_bundle *b, const struct audit_stamp *s, struct buf *out)
{
	size_t start = out->len;

	audit_stamp_line(out, s);
	if (out->failed)
		return RC_LIMIT;
	audit_stamper_stamped(&b->stamper, (const char *)out->data + start, out->len - start);
	buf_char(out, '\n');
	b->stamp_due = false;
	b->done = s->end;
	return failed(b, out) ? RC_LIMIT : RC_OK;
}

bool audit_bundle_done(const struct audit_bundle *b)
{
	return b->done;
}

/* --- the first line -------------------------------------------------------------------------- */

bool audit_bundle_is(const char *line, size_t len)
{
	static const char start[] = "{\"v\":1,\"format\":";
	struct jscan o, format;

	return (len >= sizeof(start) - 1 && memcmp(line, start, sizeof(start) - 1) == 0) ||
		(jscan_parse(line, len, &o) == RC_OK &&
			jscan_get(o, "format", &format) != RC_NOTFOUND);
}

static bool wrong(struct audit_bundle_header *h, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool wrong(struct audit_bundle_header *h, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(h->why, sizeof(h->why), fmt, args);
	va_end(args);
	return false;
}

static bool plain_name(const char *name)
{
	return *name && strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789") == strlen(name);
}

/* Names that would look odd on a terminal are not repeated. */
static bool known_members(struct audit_bundle_header *h, struct jscan o)
{
	static const char *const names[] = {"v", "format", "from", "first", "last", "ts", "filter"};
	struct jscan_iter it = jscan_iter(o);
	struct jscan key, value;

	while (jscan_next(&it, &key, &value)) {
		char name[32] = "";
		size_t i = 0;

		while (i < sizeof(names) / sizeof(names[0]) && !jscan_is_str(key, names[i]))
			i++;
		if (i < sizeof(names) / sizeof(names[0]))
			continue;
		if (jscan_str(key, name, sizeof(name)) == RC_OK && plain_name(name))
			return wrong(h, "has a member that is not known: \"%s\"", name);
		return wrong(h, "has a member that is not known");
	}
	return true;
}

static bool member(struct audit_bundle_header *h, struct jscan o, const char *name, struct jscan *v)
{
	switch (jscan_get(o, name, v)) {
	case RC_OK:
		return true;
	case RC_CONFLICT:
		return wrong(h, "has \"%s\" twice", name);
	default:
		return wrong(h, "has no \"%s\"", name);
	}
}

static bool row_number(struct audit_bundle_header *h, struct jscan o, const char *name, int64_t *n)
{
	struct jscan v;

	return member(h, o, name, &v) &&
		((jscan_int(v, n) == RC_OK && *n > 0) ||
			wrong(h, "has a \"%s\" that is no number of a row", name));
}

/* *filter is left alone where there is none. */
static bool read_members(struct audit_bundle_header *h, struct jscan o, struct jscan *filter)
{
	struct jscan v;
	int64_t ms;

	if (o.kind != JSCAN_OBJECT)
		return wrong(h, "is no JSON object");
	if (!known_members(h, o) || !member(h, o, "format", &v))
		return false;
	if (!jscan_is_str(v, FORMAT))
		return wrong(h, "has another format than \"%s\"", FORMAT);
	if (!row_number(h, o, "from", &h->from) || !row_number(h, o, "first", &h->first) ||
		!row_number(h, o, "last", &h->last) || !member(h, o, "ts", &v))
		return false;
	if (jscan_str(v, h->ts, sizeof(h->ts)) != RC_OK || clock_parse(h->ts, &ms) != RC_OK)
		return wrong(h, "has a \"ts\" that is no time");
	if (h->first < h->from || h->last < h->first)
		return wrong(h, "has \"from\", \"first\" and \"last\" in another order");
	return jscan_get(o, "filter", &v) == RC_NOTFOUND ||
		(member(h, o, "filter", filter) &&
			(filter->kind == JSCAN_OBJECT ||
				wrong(h, "has a \"filter\" that is no object")));
}

enum rc audit_bundle_header_read(const char *line, size_t len, struct audit_bundle_header *out)
{
	struct audit_bundle_header h = {0};
	struct jscan o, filter = {NULL, 0, JSCAN_NONE};
	struct buf again;
	bool good;

	if (jscan_parse(line, len, &o) != RC_OK)
		good = wrong(&h, "is no JSON object");
	else
		good = read_members(&h, o, &filter);
	if (good) {
		buf_init(&again, AUDIT_LINE_MAX);
		put_header(&again, h.from, h.first, h.last, h.ts, filter.p, filter.len);
		good = (!again.failed && again.len == len && memcmp(again.data, line, len) == 0) ||
			wrong(&h, "is not spelled as the control plane does");
		buf_free(&again);
	}
	if (good)
		*out = h;
	else
		memcpy(out->why, h.why, sizeof(out->why));
	return good ? RC_OK : RC_INVALID;
}
