#include "shared/audit_stamp.h"

#include <string.h>

void audit_stamper_init(struct audit_stamper *s)
{
	*s = (struct audit_stamper){.hasher = crypto_hasher_new()};
	buf_init(&s->runs, AUDIT_RUNS_MAX);
}

void audit_stamper_free(struct audit_stamper *s)
{
	crypto_hasher_free(s->hasher);
	s->hasher = NULL;
	buf_free(&s->runs);
}

static void add(struct audit_stamper *s, const char *line, size_t len)
{
	crypto_hasher_add(s->hasher, line, len);
	crypto_hasher_add(s->hasher, "\n", 1);
	s->lines++;
}

/* The digest of the stamp before comes first, and its line: so the last one covers everything. */
static void begin_part(struct audit_stamper *s, const char *line, size_t len)
{
	buf_reset(&s->runs);
	s->kind = '\0';
	s->count = 0;
	crypto_hasher_add(s->hasher, s->digest, sizeof(s->digest));
	add(s, line, len);
}

void audit_stamper_begin(struct audit_stamper *s, const char *header, size_t len, int64_t from)
{
	uint8_t dropped[CRYPTO_HASH_LEN];

	crypto_hasher_end(s->hasher, dropped);
	crypto_sha256(header, len, s->header);
	memset(s->digest, 0, sizeof(s->digest));
	s->from = from;
	s->seq = s->lines = 0;
	begin_part(s, header, len);
}

static void end_run(struct audit_stamper *s)
{
	if (s->count > 0)
		buf_printf(&s->runs, "%c%lld", s->kind, (long long)s->count);
	s->count = 0;
}

void audit_stamper_line(
	struct audit_stamper *s, const struct audit_form *form, const char *line, size_t len)
{
	char kind = form->kind == AUDIT_FORM_ROW   ? AUDIT_STAMP_ROW
		: form->kind == AUDIT_FORM_EXPIRED ? AUDIT_STAMP_EXPIRED
						   : AUDIT_STAMP_WITHHELD;

	add(s, line, len);
	s->seq = form->seq;
	if (form->kind == AUDIT_FORM_CHECKPOINT) {
		crypto_sha256(line, len, s->last);
		return;
	}
	if (kind != s->kind)
		end_run(s);
	s->kind = kind;
	s->count++;
}

enum rc audit_stamper_stamp(struct audit_stamper *s, struct audit_stamp *out)
{
	end_run(s);
	if (s->runs.failed)
		return RC_LIMIT;
	*out = (struct audit_stamp){.from = s->from,
		.seq = s->seq,
		.lines = s->lines,
		.runs = s->runs.len > 0 ? (const char *)s->runs.data : "",
		.runs_len = s->runs.len};
	crypto_sha256(out->runs, out->runs_len, out->runs_hash);
	memcpy(out->header, s->header, sizeof(out->header));
	memcpy(out->prev, s->last, sizeof(out->prev));
	crypto_hasher_end(s->hasher, s->digest);
	memcpy(out->digest, s->digest, sizeof(out->digest));
	return RC_OK;
}

void audit_stamper_stamped(struct audit_stamper *s, const char *line, size_t len)
{
	begin_part(s, line, len);
}

/* --- what differs ---------------------------------------------------------------------------- */

struct runs {
	const char *at, *end;
	char kind;
	int64_t count;
};

/* Whatever is written there: what is no run ends it. */
static void next_run(struct runs *r)
{
	r->kind = '\0';
	r->count = 0;
	if (r->at == r->end)
		return;
	r->kind = *r->at++;
	while (r->at < r->end && *r->at >= '0' && *r->at <= '9' && r->count < INT32_MAX)
		r->count = r->count * 10 + *r->at++ - '0';
	if (r->count == 0) {
		r->kind = '\0';
		r->at = r->end;
	}
}

bool audit_stamp_differs(const struct audit_stamp *a, const struct audit_stamp *b, int64_t *row,
	char *kind_a, char *kind_b)
{
	struct runs x = {a->runs, a->runs + a->runs_len, '\0', 0};
	struct runs y = {b->runs, b->runs + b->runs_len, '\0', 0};

	if (a->runs_len == b->runs_len && memcmp(a->runs, b->runs, a->runs_len) == 0)
		return false;
	*row = 0;
	do {
		int64_t both;

		if (x.count == 0)
			next_run(&x);
		if (y.count == 0)
			next_run(&y);
		if (x.kind != y.kind || x.kind == '\0')
			break;
		both = x.count < y.count ? x.count : y.count;
		*row += both;
		x.count -= both;
		y.count -= both;
	} while (true);
	*kind_a = x.kind;
	*kind_b = y.kind;
	return true;
}
