#include "shared/audit_form.h"

#include <string.h>

#include "shared/jscan.h"
#include "shared/mem.h"
#include "shared/text.h"

/* --- what is signed ----------------------------------------------------------------------- */

static const char checkpoint_label[] = "airlock-cp audit checkpoint v1";
static const char tally_label[] = "airlock-cp audit checkpoint v2";
static const char seal_label[] = "airlock-cp audit seal v1";
static const char stamp_label[] = "airlock-cp audit stamp v1";

/* Each is a label with its NUL, then parts of fixed lengths. */
#define CHECKPOINT_LEN (sizeof(checkpoint_label) + 8 + 8 + CLOCK_TEXT_LEN + CRYPTO_HASH_LEN)
/* The same with rows and digest at the end. */
#define TALLY_LEN (CHECKPOINT_LEN + 8 + CRYPTO_HASH_LEN)
#define SEAL_LEN \
	(sizeof(seal_label) + 8 + 8 + 8 + CLOCK_TEXT_LEN + CRYPTO_HASH_LEN + CRYPTO_HASH_LEN)
#define STAMP_LEN                                                                 \
	(sizeof(stamp_label) + 8 + 8 + 8 + 1 + CLOCK_TEXT_LEN + CRYPTO_HASH_LEN + \
		CRYPTO_HASH_LEN + CRYPTO_HASH_LEN + CRYPTO_HASH_LEN)

static uint8_t *put(uint8_t *at, const void *bytes, size_t len)
{
	memcpy(at, bytes, len);
	return at + len;
}

static uint8_t *put64(uint8_t *at, int64_t n)
{
	for (int shift = 56; shift >= 0; shift -= 8)
		*at++ = (uint8_t)((uint64_t)n >> shift);
	return at;
}

static size_t checkpoint_bytes(const struct audit_checkpoint *p, uint8_t out[TALLY_LEN])
{
	uint8_t *at = put(
		out, p->tally.rows > 0 ? tally_label : checkpoint_label, sizeof(checkpoint_label));

	at = put64(at, p->seq);
	at = put64(at, p->seq - 1);
	at = put(at, p->ts, CLOCK_TEXT_LEN);
	if (text_unhex(p->head, at, CRYPTO_HASH_LEN) != RC_OK)
		memset(at, 0, CRYPTO_HASH_LEN);
	if (p->tally.rows == 0)
		return CHECKPOINT_LEN;
	at = put64(at + CRYPTO_HASH_LEN, p->tally.rows);
	(void)put(at, p->tally.digest, CRYPTO_HASH_LEN);
	return TALLY_LEN;
}

static void seal_bytes(const struct audit_seal *s, uint8_t out[SEAL_LEN])
{
	uint8_t *at = put(out, seal_label, sizeof(seal_label));

	at = put64(at, s->first);
	at = put64(at, s->last);
	at = put64(at, s->count);
	at = put(at, s->ts, CLOCK_TEXT_LEN);
	at = put(at, s->digest, sizeof(s->digest));
	(void)put(at, s->prev, sizeof(s->prev));
}

static void stamp_bytes(const struct audit_stamp *s, uint8_t out[STAMP_LEN])
{
	uint8_t *at = put(out, stamp_label, sizeof(stamp_label));

	at = put64(at, s->from);
	at = put64(at, s->seq);
	at = put64(at, s->lines);
	*at++ = s->end;
	at = put(at, s->ts, CLOCK_TEXT_LEN);
	at = put(at, s->runs_hash, sizeof(s->runs_hash));
	at = put(at, s->header, sizeof(s->header));
	at = put(at, s->digest, sizeof(s->digest));
	(void)put(at, s->prev, sizeof(s->prev));
}

/* --- writing --------------------------------------------------------------------------------- */

static const char checkpoint_member[] = "\",\"event\":\"checkpoint\",";
static const char seal_member[] = "\",\"event\":\"seal\",";
static const char stamp_member[] = "\",\"event\":\"stamp\",";
static const char expired_member[] = ",\"event\":\"expired\",\"hash\":\"";
static const char withheld_member[] = ",\"event\":\"withheld\",\"hash\":\"";

static void put_checkpoint(struct buf *b, const struct audit_checkpoint *p)
{
	char digest[AUDIT_HASH_LEN + 1];
	char key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1], sig[TEXT_B64_LEN(CRYPTO_SIG_LEN) + 1];

	text_b64(p->key, sizeof(p->key), key);
	text_b64(p->sig, sizeof(p->sig), sig);
	buf_printf(b,
		"{\"v\":%d,\"seq\":%lld,\"ts\":\"%s\",\"event\":\"checkpoint\",\"count\":%lld,"
		"\"head\":\"%s\",",
		AUDIT_VERSION, (long long)p->seq, p->ts, (long long)(p->seq - 1), p->head);
	if (p->tally.rows > 0) {
		text_hex(p->tally.digest, sizeof(p->tally.digest), digest);
		buf_printf(b, "\"rows\":%lld,\"digest\":\"%s\",", (long long)p->tally.rows, digest);
	}
	buf_printf(b, "\"key\":\"%s\",\"sig\":\"%s\",\"prev\":\"%s\"}", key, sig, p->head);
}

void audit_checkpoint_line(struct buf *b, const struct crypto_identity *id, int64_t seq,
	int64_t wall_ms, const char prev[AUDIT_HASH_LEN + 1], const struct audit_tally *tally)
{
	struct audit_checkpoint p = {.seq = seq, .tally = *tally};
	uint8_t bytes[TALLY_LEN];

	clock_text(wall_ms, p.ts);
	memcpy(p.head, prev, sizeof(p.head));
	memcpy(p.key, id->public_key, sizeof(p.key));
	crypto_sign(id, bytes, checkpoint_bytes(&p, bytes), p.sig);
	put_checkpoint(b, &p);
}

void audit_form_hash_line(struct buf *b, enum audit_form_kind kind, int64_t seq,
	const uint8_t hash[CRYPTO_HASH_LEN], const uint8_t prev[CRYPTO_HASH_LEN])
{
	char hash_hex[AUDIT_HASH_LEN + 1], prev_hex[AUDIT_HASH_LEN + 1];

	text_hex(hash, CRYPTO_HASH_LEN, hash_hex);
	text_hex(prev, CRYPTO_HASH_LEN, prev_hex);
	buf_printf(b, "{\"v\":%d,\"seq\":%lld%s%s\",\"prev\":\"%s\"}", AUDIT_VERSION,
		(long long)seq, kind == AUDIT_FORM_EXPIRED ? expired_member : withheld_member,
		hash_hex, prev_hex);
}

static void put_seal(struct buf *b, const struct audit_seal *s)
{
	char key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1], sig[TEXT_B64_LEN(CRYPTO_SIG_LEN) + 1];
	char digest[AUDIT_HASH_LEN + 1], prev[AUDIT_HASH_LEN + 1];

	text_b64(s->key, sizeof(s->key), key);
	text_b64(s->sig, sizeof(s->sig), sig);
	text_hex(s->digest, sizeof(s->digest), digest);
	text_hex(s->prev, sizeof(s->prev), prev);
	buf_printf(b,
		"{\"v\":%d,\"seq\":%lld,\"ts\":\"%s\",\"event\":\"seal\",\"last\":%lld,"
		"\"count\":%lld,\"digest\":\"%s\",\"key\":\"%s\",\"sig\":\"%s\",\"prev\":\"%s\"}",
		AUDIT_VERSION, (long long)s->first, s->ts, (long long)s->last, (long long)s->count,
		digest, key, sig, prev);
}

void audit_seal_line(struct buf *b, const struct crypto_identity *id, struct audit_seal *s)
{
	uint8_t bytes[SEAL_LEN];

	memcpy(s->key, id->public_key, sizeof(s->key));
	seal_bytes(s, bytes);
	crypto_sign(id, bytes, sizeof(bytes), s->sig);
	put_seal(b, s);
}

void audit_seal_digest(uint8_t digest[CRYPTO_HASH_LEN], const struct audit_form *expired)
{
	uint8_t bytes[CRYPTO_HASH_LEN + 8 + CRYPTO_HASH_LEN + CRYPTO_HASH_LEN], *at;

	at = put64(put(bytes, digest, CRYPTO_HASH_LEN), expired->seq);
	at = put(at, expired->hash, CRYPTO_HASH_LEN);
	(void)put(at, expired->prev, CRYPTO_HASH_LEN);
	crypto_sha256(bytes, sizeof(bytes), digest);
}

void audit_stamp_sign(const struct crypto_identity *id, struct audit_stamp *s)
{
	uint8_t bytes[STAMP_LEN];

	memcpy(s->key, id->public_key, sizeof(s->key));
	stamp_bytes(s, bytes);
	crypto_sign(id, bytes, sizeof(bytes), s->sig);
}

static void put_hash(struct buf *b, const char *name, const uint8_t hash[CRYPTO_HASH_LEN])
{
	char hex[AUDIT_HASH_LEN + 1];

	text_hex(hash, CRYPTO_HASH_LEN, hex);
	buf_printf(b, ",\"%s\":\"%s\"", name, hex);
}

void audit_stamp_line(struct buf *b, const struct audit_stamp *s)
{
	char key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1], sig[TEXT_B64_LEN(CRYPTO_SIG_LEN) + 1];

	text_b64(s->key, sizeof(s->key), key);
	text_b64(s->sig, sizeof(s->sig), sig);
	buf_printf(b,
		"{\"v\":%d,\"seq\":%lld,\"ts\":\"%s\",\"event\":\"stamp\",\"from\":%lld,"
		"\"lines\":%lld,\"end\":%s,\"runs\":\"",
		AUDIT_VERSION, (long long)s->seq, s->ts, (long long)s->from, (long long)s->lines,
		s->end ? "true" : "false");
	buf_add(b, s->runs, s->runs_len);
	buf_char(b, '"');
	put_hash(b, "header", s->header);
	put_hash(b, "digest", s->digest);
	buf_printf(b, ",\"key\":\"%s\",\"sig\":\"%s\"", key, sig);
	put_hash(b, "prev", s->prev);
	buf_char(b, '}');
}

void audit_tally_add(struct audit_tally *t, const uint8_t hash[CRYPTO_HASH_LEN])
{
	uint8_t bytes[2 * CRYPTO_HASH_LEN];

	(void)put(put(bytes, t->digest, CRYPTO_HASH_LEN), hash, CRYPTO_HASH_LEN);
	crypto_sha256(bytes, sizeof(bytes), t->digest);
	t->rows++;
}

/* --- reading --------------------------------------------------------------------------------- */

static bool get_number(struct jscan row, const char *name, int64_t *out)
{
	struct jscan v;

	return jscan_get(row, name, &v) == RC_OK && jscan_int(v, out) == RC_OK && *out > 0;
}

static bool get_text(struct jscan row, const char *name, char *dst, size_t len)
{
	struct jscan v;

	return jscan_get(row, name, &v) == RC_OK && jscan_str(v, dst, len + 1) == RC_OK &&
		strlen(dst) == len;
}

static bool get_b64(struct jscan row, const char *name, uint8_t *bytes, size_t len)
{
	char b64[TEXT_B64_LEN(CRYPTO_SIG_LEN) + 1];
	struct jscan v;
	size_t got;

	return jscan_get(row, name, &v) == RC_OK && jscan_str(v, b64, sizeof(b64)) == RC_OK &&
		text_unb64(b64, strlen(b64), bytes, len, &got) == RC_OK && got == len;
}

static bool get_hash(struct jscan row, const char *name, uint8_t out[CRYPTO_HASH_LEN])
{
	char hex[AUDIT_HASH_LEN + 1];

	return get_text(row, name, hex, AUDIT_HASH_LEN) &&
		text_unhex(hex, out, CRYPTO_HASH_LEN) == RC_OK;
}

/* One spelling: what is read must give the same bytes when it is written again. Frees again. */
static bool same(struct buf *again, const char *line, size_t len)
{
	bool ok = !again->failed && again->len == len && memcmp(again->data, line, len) == 0;

	buf_free(again);
	return ok;
}

bool audit_checkpoint_read(const char *line, size_t len, struct audit_checkpoint *p)
{
	struct jscan row;
	struct buf again;

	p->tally.rows = 0;
	if (jscan_parse(line, len, &row) != RC_OK || !get_number(row, "seq", &p->seq) ||
		!get_text(row, "ts", p->ts, CLOCK_TEXT_LEN) ||
		!get_text(row, "head", p->head, AUDIT_HASH_LEN) ||
		!get_b64(row, "key", p->key, sizeof(p->key)) ||
		!get_b64(row, "sig", p->sig, sizeof(p->sig)))
		return false;
	if (get_number(row, "rows", &p->tally.rows) &&
		(p->tally.rows >= p->seq || !get_hash(row, "digest", p->tally.digest)))
		return false;
	buf_init(&again, 4096);
	put_checkpoint(&again, p);
	return same(&again, line, len);
}

bool audit_checkpoint_good(const struct audit_checkpoint *p)
{
	uint8_t bytes[TALLY_LEN];
	size_t len = checkpoint_bytes(p, bytes);

	return crypto_verify(p->key, bytes, len, p->sig);
}

bool audit_seal_read(const char *line, size_t len, struct audit_seal *s)
{
	struct jscan row;
	struct buf again;

	if (jscan_parse(line, len, &row) != RC_OK || !get_number(row, "seq", &s->first) ||
		!get_number(row, "last", &s->last) || !get_number(row, "count", &s->count) ||
		!get_text(row, "ts", s->ts, CLOCK_TEXT_LEN) ||
		!get_hash(row, "digest", s->digest) || !get_hash(row, "prev", s->prev) ||
		!get_b64(row, "key", s->key, sizeof(s->key)) ||
		!get_b64(row, "sig", s->sig, sizeof(s->sig)) || s->last < s->first)
		return false;
	buf_init(&again, 4096);
	put_seal(&again, s);
	return same(&again, line, len);
}

bool audit_seal_good(const struct audit_seal *s)
{
	uint8_t bytes[SEAL_LEN];

	seal_bytes(s, bytes);
	return crypto_verify(s->key, bytes, sizeof(bytes), s->sig);
}

static bool get_bool(struct jscan row, const char *name, bool *out)
{
	struct jscan v;

	if (jscan_get(row, name, &v) != RC_OK || (v.kind != JSCAN_TRUE && v.kind != JSCAN_FALSE))
		return false;
	*out = v.kind == JSCAN_TRUE;
	return true;
}

static bool run_char(char c)
{
	return (c >= '0' && c <= '9') || c == AUDIT_STAMP_ROW || c == AUDIT_STAMP_WITHHELD ||
		c == AUDIT_STAMP_EXPIRED;
}

/* Letters and digits only, so that they stand there as they are. What they say is compared. */
static bool get_runs(struct jscan row, const char **runs, size_t *len)
{
	struct jscan v;

	if (jscan_get(row, "runs", &v) != RC_OK || v.kind != JSCAN_STRING ||
		v.len - 2 > AUDIT_RUNS_MAX)
		return false;
	*runs = v.p + 1;
	*len = v.len - 2;
	for (size_t i = 0; i < *len; i++)
		if (!run_char((*runs)[i]))
			return false;
	return true;
}

bool audit_stamp_read(const char *line, size_t len, struct audit_stamp *s)
{
	struct jscan row;
	struct buf again;

	if (jscan_parse(line, len, &row) != RC_OK || !get_number(row, "seq", &s->seq) ||
		!get_text(row, "ts", s->ts, CLOCK_TEXT_LEN) || !get_number(row, "from", &s->from) ||
		!get_number(row, "lines", &s->lines) || !get_bool(row, "end", &s->end) ||
		!get_runs(row, &s->runs, &s->runs_len) || !get_hash(row, "header", s->header) ||
		!get_hash(row, "digest", s->digest) ||
		!get_b64(row, "key", s->key, sizeof(s->key)) ||
		!get_b64(row, "sig", s->sig, sizeof(s->sig)) || !get_hash(row, "prev", s->prev))
		return false;
	crypto_sha256(s->runs, s->runs_len, s->runs_hash);
	buf_init(&again, AUDIT_LINE_MAX);
	audit_stamp_line(&again, s);
	return same(&again, line, len);
}

bool audit_stamp_good(const struct audit_stamp *s)
{
	uint8_t bytes[STAMP_LEN];

	stamp_bytes(s, bytes);
	return crypto_verify(s->key, bytes, sizeof(bytes), s->sig);
}

/* --- the form of a line ------------------------------------------------------------------- */

static bool skip(const char **at, const char *end, const char *text, size_t len)
{
	if ((size_t)(end - *at) < len || memcmp(*at, text, len) != 0)
		return false;
	*at += len;
	return true;
}

static bool read_seq(const char **at, const char *end, int64_t *seq)
{
	const char *start = *at;
	int64_t n = 0;

	while (*at < end && **at >= '0' && **at <= '9' && *at - start < 18)
		n = n * 10 + *(*at)++ - '0';
	*seq = n;
	return n > 0 && *start != '0';
}

/* Lower case only: the writer never writes another digit. */
static bool read_hash(const char *hex, uint8_t *out)
{
	for (size_t i = 0; i < AUDIT_HASH_LEN; i++) {
		unsigned char c = (unsigned char)hex[i];
		uint8_t digit = c >= '0' && c <= '9' ? (uint8_t)(c - '0')
			: c >= 'a' && c <= 'f'       ? (uint8_t)(c - 'a' + 10)
						     : 16;

		if (digit > 15)
			return false;
		out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | digit : digit << 4);
	}
	return true;
}

static bool read_number(const char **at, const char *end, int64_t *seq)
{
	static const char begin[] = "{\"v\":1,\"seq\":";

	return skip(at, end, begin, sizeof(begin) - 1) && read_seq(at, end, seq);
}

static bool read_head(const char **at, const char *end, int64_t *seq)
{
	static const char ts[] = ",\"ts\":\"";

	if (!read_number(at, end, seq) || !skip(at, end, ts, sizeof(ts) - 1) ||
		end - *at < CLOCK_TEXT_LEN)
		return false;
	*at += CLOCK_TEXT_LEN;
	return true;
}

/* at is behind the number; the hash and prev are all that may follow. */
static bool read_hash_line(const char *at, const char *end, struct audit_form *out)
{
	static const char prev[] = "\",\"prev\":\"";

	if (skip(&at, end, expired_member, sizeof(expired_member) - 1))
		out->kind = AUDIT_FORM_EXPIRED;
	else if (skip(&at, end, withheld_member, sizeof(withheld_member) - 1))
		out->kind = AUDIT_FORM_WITHHELD;
	else
		return false;
	if (end - at != (ptrdiff_t)2 * AUDIT_HASH_LEN + (ptrdiff_t)sizeof(prev) - 1 + 2 ||
		!read_hash(at, out->hash))
		return false;
	at += AUDIT_HASH_LEN;
	return skip(&at, end, prev, sizeof(prev) - 1) && read_hash(at, out->prev) &&
		memcmp(at + AUDIT_HASH_LEN, "\"}", 2) == 0;
}

/* at is behind the time. */
static enum audit_form_kind read_kind(const char *at, const char *end)
{
	if (skip(&at, end, checkpoint_member, sizeof(checkpoint_member) - 1))
		return AUDIT_FORM_CHECKPOINT;
	if (skip(&at, end, seal_member, sizeof(seal_member) - 1))
		return AUDIT_FORM_SEAL;
	return skip(&at, end, stamp_member, sizeof(stamp_member) - 1) ? AUDIT_FORM_STAMP
								      : AUDIT_FORM_ROW;
}

bool audit_form_read(const char *line, size_t len, struct audit_form *out)
{
	static const char prev[] = ",\"prev\":\"", ts[] = ",\"ts\":\"", close[] = "\"}";
	const size_t tail = sizeof(prev) - 1 + AUDIT_HASH_LEN + sizeof(close) - 1;
	const char *at = line, *end = line + len;

	if (len > AUDIT_LINE_MAX || !read_number(&at, end, &out->seq))
		return false;
	if (!skip(&at, end, ts, sizeof(ts) - 1))
		return read_hash_line(at, end, out);
	if ((size_t)(end - at) < CLOCK_TEXT_LEN + tail)
		return false;
	at += CLOCK_TEXT_LEN;
	out->kind = read_kind(at, end);
	at = end - tail;
	return skip(&at, end, prev, sizeof(prev) - 1) && read_hash(at, out->prev) &&
		memcmp(end - 2, close, 2) == 0;
}

bool audit_checkpoint_is(const char *line, size_t len)
{
	const char *at = line, *end = line + len;
	int64_t seq;

	return read_head(&at, end, &seq) &&
		skip(&at, end, checkpoint_member, sizeof(checkpoint_member) - 1);
}

bool audit_line_head(const char *line, size_t len, int64_t *seq, int64_t *wall_ms)
{
	const char *at = line, *end = line + len;
	char ts[CLOCK_TEXT_LEN + 1];

	return read_head(&at, end, seq) &&
		str_copy_len(ts, sizeof(ts), at - CLOCK_TEXT_LEN, CLOCK_TEXT_LEN) &&
		clock_parse(ts, wall_ms) == RC_OK;
}
