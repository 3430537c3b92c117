#include "shared/audit_bundle.h"

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
	if (filter)
		buf_str(&b->filter, filter);
}

void audit_bundle_free(struct audit_bundle *b)
{
	buf_free(&b->filter);
	buf_free(&b->before);
}

static void put_header(struct audit_bundle *b, int64_t from, struct buf *out)
{
	char ts[CLOCK_TEXT_LEN + 1];

	clock_text(b->wall_ms, ts);
	buf_str(out, begin);
	buf_printf(out, "\"from\":%lld,\"first\":%lld,\"last\":%lld,\"ts\":\"%s\"", (long long)from,
		(long long)b->first, (long long)b->last, ts);
	if (b->filter.len > 0) {
		buf_str(out, ",\"filter\":");
		buf_add(out, b->filter.data, b->filter.len);
	}
	buf_str(out, "}\n");
}

/* Only the hash goes in. */
static void withhold(struct buf *out, const struct audit_form *row, const char *line, size_t len)
{
	uint8_t hash[CRYPTO_HASH_LEN];

	crypto_sha256(line, len, hash);
	audit_form_hash_line(out, AUDIT_FORM_WITHHELD, row->seq, hash, row->prev);
}

static void put_line(struct audit_bundle *b, const struct audit_form *row, const char *line,
	size_t len, bool keep, struct buf *out)
{
	bool whole = row->kind != AUDIT_FORM_ROW ||
		(keep && row->seq >= b->first && row->seq <= b->last);

	if (whole)
		buf_add(out, line, len);
	else
		withhold(out, row, line, len);
	buf_char(out, '\n');
	b->rows += whole && row->kind == AUDIT_FORM_ROW;
	b->withheld += !whole;
}

/* Row first is there: what comes since the checkpoint before it goes out. */
static void begin_now(struct audit_bundle *b, struct buf *out)
{
	b->begun = true;
	put_header(b, b->next - b->waiting, out);
	if (b->before.len > 0)
		buf_add(out, b->before.data, b->before.len);
	buf_free(&b->before);
}

enum rc audit_bundle_line(
	struct audit_bundle *b, const char *line, size_t len, bool keep, struct buf *out)
{
	struct audit_form row;

	if (!audit_form_read(line, len, &row))
		return RC_INVALID;
	if (row.kind == AUDIT_FORM_SEAL)
		return RC_OK; /* is about a whole file */
	if ((b->next > 0 && row.seq != b->next) || b->done || (!b->begun && row.seq > b->first))
		return RC_INVALID;
	b->next = row.seq;
	if (row.seq == b->first)
		begin_now(b, out);
	if (!b->begun && row.kind == AUDIT_FORM_CHECKPOINT) {
		buf_reset(&b->before);
		b->waiting = b->withheld = 0;
	} else {
		put_line(b, &row, line, len, keep, b->begun ? out : &b->before);
		b->waiting += !b->begun;
	}
	b->next++;
	b->done = row.kind == AUDIT_FORM_CHECKPOINT && row.seq >= b->last;
	return b->filter.failed || b->before.failed || out->failed ? RC_LIMIT : RC_OK;
}

bool audit_bundle_done(const struct audit_bundle *b)
{
	return b->done;
}

bool audit_bundle_is(const char *line, size_t len)
{
	return len >= sizeof(begin) - 1 && memcmp(line, begin, sizeof(begin) - 1) == 0;
}

enum rc audit_bundle_header_read(const char *line, size_t len, struct audit_bundle_header *out)
{
	struct audit_bundle_header h;
	struct jscan o, v;

	if (!audit_bundle_is(line, len) || jscan_parse(line, len, &o) != RC_OK ||
		jscan_get(o, "from", &v) != RC_OK || jscan_int(v, &h.from) != RC_OK ||
		jscan_get(o, "first", &v) != RC_OK || jscan_int(v, &h.first) != RC_OK ||
		jscan_get(o, "last", &v) != RC_OK || jscan_int(v, &h.last) != RC_OK ||
		jscan_get(o, "ts", &v) != RC_OK || jscan_str(v, h.ts, sizeof(h.ts)) != RC_OK ||
		h.from < 1 || h.first < h.from || h.last < h.first)
		return RC_INVALID;
	*out = h;
	return RC_OK;
}
