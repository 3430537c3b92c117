#include "shared/audit_chain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shared/jscan.h"
#include "shared/mem.h"
#include "shared/text.h"

/* --- checkpoints ------------------------------------------------------------------------ */

static const char label[] = "airlock-cp audit checkpoint v1";
static const char event_member[] = "\",\"event\":\"checkpoint\",";

#define TRANSCRIPT_LEN (sizeof(label) + 8 + 8 + CLOCK_TEXT_LEN + CRYPTO_HASH_LEN)

struct checkpoint {
	int64_t seq;
	char ts[CLOCK_TEXT_LEN + 1];
	char head[AUDIT_HASH_LEN + 1];
	uint8_t key[CRYPTO_PUBLIC_LEN];
	uint8_t sig[CRYPTO_SIG_LEN];
};

static uint8_t *put64(uint8_t *at, int64_t n)
{
	for (int shift = 56; shift >= 0; shift -= 8)
		*at++ = (uint8_t)((uint64_t)n >> shift);
	return at;
}

/* The label with its NUL, seq, count, ts, head: every part has a fixed length. */
static void transcript(const struct checkpoint *p, uint8_t out[TRANSCRIPT_LEN])
{
	uint8_t *at = out;

	memcpy(at, label, sizeof(label));
	at = put64(at + sizeof(label), p->seq);
	at = put64(at, p->seq - 1);
	memcpy(at, p->ts, CLOCK_TEXT_LEN);
	if (text_unhex(p->head, at + CLOCK_TEXT_LEN, CRYPTO_HASH_LEN) != RC_OK)
		memset(at + CLOCK_TEXT_LEN, 0, CRYPTO_HASH_LEN);
}

static void put_checkpoint(struct buf *b, const struct checkpoint *p)
{
	char key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1], sig[TEXT_B64_LEN(CRYPTO_SIG_LEN) + 1];

	text_b64(p->key, sizeof(p->key), key);
	text_b64(p->sig, sizeof(p->sig), sig);
	buf_printf(b,
		"{\"v\":%d,\"seq\":%lld,\"ts\":\"%s\",\"event\":\"checkpoint\",\"count\":%lld,"
		"\"head\":\"%s\",\"key\":\"%s\",\"sig\":\"%s\",\"prev\":\"%s\"}",
		AUDIT_VERSION, (long long)p->seq, p->ts, (long long)(p->seq - 1), p->head, key, sig,
		p->head);
}

void audit_checkpoint_line(struct buf *b, const struct crypto_identity *id, int64_t seq,
	int64_t wall_ms, const char prev[AUDIT_HASH_LEN + 1])
{
	struct checkpoint p = {.seq = seq};
	uint8_t bytes[TRANSCRIPT_LEN];

	clock_text(wall_ms, p.ts);
	memcpy(p.head, prev, sizeof(p.head));
	memcpy(p.key, id->public_key, sizeof(p.key));
	transcript(&p, bytes);
	crypto_sign(id, bytes, sizeof(bytes), p.sig);
	put_checkpoint(b, &p);
}

static bool get_bytes(struct jscan row, const char *name, uint8_t *bytes, size_t len)
{
	char b64[TEXT_B64_LEN(CRYPTO_SIG_LEN) + 1];
	struct jscan v;
	size_t got;

	return jscan_get(row, name, &v) == RC_OK && jscan_str(v, b64, sizeof(b64)) == RC_OK &&
		text_unb64(b64, strlen(b64), bytes, len, &got) == RC_OK && got == len;
}

/* A checkpoint has one spelling: what is read must give the same bytes when it is written again. */
static bool read_checkpoint(const char *line, size_t len, struct checkpoint *p)
{
	struct jscan row, v;
	struct buf again;
	bool same;

	if (jscan_parse(line, len, &row) != RC_OK || jscan_get(row, "seq", &v) != RC_OK ||
		jscan_int(v, &p->seq) != RC_OK || jscan_get(row, "ts", &v) != RC_OK ||
		jscan_str(v, p->ts, sizeof(p->ts)) != RC_OK || strlen(p->ts) != CLOCK_TEXT_LEN ||
		jscan_get(row, "head", &v) != RC_OK ||
		jscan_str(v, p->head, sizeof(p->head)) != RC_OK ||
		strlen(p->head) != AUDIT_HASH_LEN ||
		!get_bytes(row, "key", p->key, sizeof(p->key)) ||
		!get_bytes(row, "sig", p->sig, sizeof(p->sig)))
		return false;
	buf_init(&again, 4096);
	put_checkpoint(&again, p);
	same = !again.failed && again.len == len && memcmp(again.data, line, len) == 0;
	buf_free(&again);
	return same;
}

static bool signature_ok(const struct checkpoint *p)
{
	uint8_t bytes[TRANSCRIPT_LEN];

	transcript(p, bytes);
	return crypto_verify(p->key, bytes, sizeof(bytes), p->sig);
}

/* --- the form of a line ------------------------------------------------------------------- */

/* What the check needs of a row; everything else is covered by its hash. Rows begin and end with
 * the same members, so they need no parser. */
struct row {
	int64_t seq;
	uint8_t prev[CRYPTO_HASH_LEN];
	bool checkpoint;
};

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

static bool read_head(const char **at, const char *end, int64_t *seq)
{
	static const char begin[] = "{\"v\":1,\"seq\":", ts[] = ",\"ts\":\"";

	if (!skip(at, end, begin, sizeof(begin) - 1) || !read_seq(at, end, seq) ||
		!skip(at, end, ts, sizeof(ts) - 1) || end - *at < CLOCK_TEXT_LEN)
		return false;
	*at += CLOCK_TEXT_LEN;
	return true;
}

static bool read_row(const char *line, size_t len, struct row *row)
{
	static const char prev[] = ",\"prev\":\"", close[] = "\"}";
	const size_t tail = sizeof(prev) - 1 + AUDIT_HASH_LEN + sizeof(close) - 1;
	const char *at = line, *end = line + len;

	if (len > AUDIT_LINE_MAX || !read_head(&at, end, &row->seq) || (size_t)(end - at) < tail)
		return false;
	row->checkpoint = skip(&at, end, event_member, sizeof(event_member) - 1);
	at = end - tail;
	return skip(&at, end, prev, sizeof(prev) - 1) && read_hash(at, row->prev) &&
		memcmp(end - 2, close, 2) == 0;
}

bool audit_checkpoint_is(const char *line, size_t len)
{
	const char *at = line, *end = line + len;
	int64_t seq;

	return read_head(&at, end, &seq) && skip(&at, end, event_member, sizeof(event_member) - 1);
}

bool audit_line_head(const char *line, size_t len, int64_t *seq, int64_t *wall_ms)
{
	const char *at = line, *end = line + len;
	char ts[CLOCK_TEXT_LEN + 1];

	return read_head(&at, end, seq) &&
		str_copy_len(ts, sizeof(ts), at - CLOCK_TEXT_LEN, CLOCK_TEXT_LEN) &&
		clock_parse(ts, wall_ms) == RC_OK;
}

/* --- the check ------------------------------------------------------------------------------ */

void audit_chain_init(struct audit_chain *c, const struct audit_chain_options *o)
{
	*c = (struct audit_chain){.o = *o, .hasher = crypto_hasher_new()};
	if (c->o.first_seq < 1)
		c->o.first_seq = 1;
	c->seq = c->o.first_seq - 1;
}

void audit_chain_free(struct audit_chain *c)
{
	crypto_hasher_free(c->hasher);
	c->hasher = NULL;
}

static bool fail(struct audit_chain *c, enum audit_fault fault, int64_t line, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
static bool fail(struct audit_chain *c, enum audit_fault fault, int64_t line, const char *fmt, ...)
{
	va_list args;

	c->fault = fault;
	c->fault_line = line;
	va_start(args, fmt);
	(void)vsnprintf(c->why, sizeof(c->why), fmt, args);
	va_end(args);
	return false;
}

static bool fail_changed(struct audit_chain *c, int64_t line, int64_t seq)
{
	return fail(c, AUDIT_FAULT_CHANGED, line,
		"the line of row %lld was changed: it does not have the hash that the chain has",
		(long long)seq);
}

static bool check_checkpoint(
	struct audit_chain *c, const struct row *row, const char *line, size_t len)
{
	struct checkpoint p;

	if (!read_checkpoint(line, len, &p))
		return fail(c, AUDIT_FAULT_CHANGED, c->lines,
			"the line of checkpoint %lld was changed: it is not what is written there",
			(long long)row->seq);
	if (!c->o.have_key) {
		memcpy(c->o.key, p.key, sizeof(p.key));
		c->o.have_key = true;
	}
	if (memcmp(p.key, c->o.key, sizeof(p.key)) != 0)
		return fail(c, AUDIT_FAULT_KEY, c->lines,
			"checkpoint %lld is signed with another key", (long long)row->seq);
	if (!signature_ok(&p))
		return fail(c, AUDIT_FAULT_SIGNATURE, c->lines,
			"the signature of checkpoint %lld is not right", (long long)row->seq);
	c->checkpoints++;
	c->signed_seq = row->seq;
	memcpy(c->signed_ts, p.ts, sizeof(p.ts));
	return true;
}

/* Is it the expected row, and is there a signature often enough? */
static bool check_good(struct audit_chain *c, int64_t seq)
{
	int64_t from = c->signed_seq > 0 ? c->signed_seq : c->o.first_seq - 1;

	if (seq == c->o.expect_seq && memcmp(c->hash, c->o.expect_hash, sizeof(c->hash)) != 0)
		return fail(c, AUDIT_FAULT_UNEXPECTED, c->lines,
			"row %lld is not the one that was expected: its hash is another",
			(long long)seq);
	if (seq - from > AUDIT_CHECKPOINT_ROWS_MAX + AUDIT_CHECKPOINT_SLACK)
		return fail(c, AUDIT_FAULT_UNSIGNED, c->lines,
			"no checkpoint vouches for the %lld rows up to here; the writer never "
			"leaves so many",
			(long long)(seq - from));
	return true;
}

/* The line that did not continue the chain in its prev alone: was it changed, or the one before?
 * Those who come after know. */
static bool fail_prev(struct audit_chain *c, bool confirmed)
{
	int64_t at = c->lines - 1;

	if (confirmed && at == 1)
		return fail(c, AUDIT_FAULT_PREV, 1,
			"row 1 does not begin a chain: its prev is not zeros");
	return confirmed ? fail_changed(c, at - 1, c->doubt_seq - 1)
			 : fail_changed(c, at, c->doubt_seq);
}

/* The doubtful line has another number than was its turn; next is the one behind it. */
static bool fail_seq(struct audit_chain *c, const struct row *next)
{
	int64_t turn = c->seq + 1, got = c->doubt_seq, at = c->lines - 1;

	if (c->doubt_prev_fits || (next && next->seq == turn + 1 && got != turn + 2))
		return fail(c, AUDIT_FAULT_CHANGED, at,
			"row %lld was to be here, the line says %lld: it was changed",
			(long long)turn, (long long)got);
	if (got < turn && got >= c->o.first_seq)
		return fail(c, AUDIT_FAULT_REPEATED, at,
			"row %lld is here a second time; row %lld was to be here", (long long)got,
			(long long)turn);
	if (next && next->seq == turn)
		return fail(c, AUDIT_FAULT_REORDERED, at,
			"row %lld stands before row %lld: the order was changed", (long long)got,
			(long long)turn);
	return fail(c, AUDIT_FAULT_MISSING, at, "rows %lld to %lld are missing before this line",
		(long long)turn, (long long)(got - 1));
}

/* Judges the doubtful line by the one after it, which was just counted; NULL: no row. */
static bool settle(struct audit_chain *c, const struct row *next)
{
	if (c->doubt_seq != c->seq + 1)
		return fail_seq(c, next);
	return fail_prev(c, next && memcmp(next->prev, c->hash, sizeof(c->hash)) == 0);
}

/* The chain begins with zeros; where older segments are elsewhere, with what can't be known. */
static bool continues(const struct audit_chain *c, const struct row *row)
{
	if (c->lines == 1 && c->o.first_seq > 1)
		return true;
	return memcmp(row->prev, c->hash, sizeof(c->hash)) == 0;
}

/* A checkpoint that is itself beyond doubt convicts the line before it at once. */
static bool convicts(const struct audit_chain *c, const char *line, size_t len)
{
	struct checkpoint p;

	return read_checkpoint(line, len, &p) &&
		(!c->o.have_key || memcmp(p.key, c->o.key, sizeof(p.key)) == 0) && signature_ok(&p);
}

static bool begin_doubt(
	struct audit_chain *c, const struct row *row, bool fits, const char *line, size_t len)
{
	if (row->seq == c->seq + 1 && c->lines > 1 && row->checkpoint && convicts(c, line, len))
		return fail_changed(c, c->lines - 1, c->seq);
	c->doubt = true;
	c->doubt_prev_fits = fits && (c->lines > 1 || c->o.first_seq == 1);
	c->doubt_seq = row->seq;
	crypto_hasher_sha256(c->hasher, line, len, c->hash);
	return true;
}

bool audit_chain_line(struct audit_chain *c, const char *line, size_t len)
{
	struct row row;
	bool form = read_row(line, len, &row), fits;

	if (c->fault)
		return false;
	c->lines++;
	if (c->doubt)
		return settle(c, form ? &row : NULL);
	if (!form)
		return fail(c, AUDIT_FAULT_NO_ROW, c->lines,
			"this is no row of an audit log; row %lld was to be here",
			(long long)c->seq + 1);
	fits = continues(c, &row);
	if (row.seq != c->seq + 1 || !fits)
		return begin_doubt(c, &row, fits, line, len);
	if (row.checkpoint && !check_checkpoint(c, &row, line, len))
		return false;
	crypto_hasher_sha256(c->hasher, line, len, c->hash);
	c->seq = row.seq;
	return check_good(c, row.seq);
}

/* Nothing comes after the doubtful line that could tell. */
static bool settle_last(struct audit_chain *c)
{
	c->lines++; /* as if there were one */
	if (c->doubt_seq != c->seq + 1)
		return fail_seq(c, NULL);
	if (c->lines == 2)
		return fail_prev(c, true);
	return fail(c, AUDIT_FAULT_PREV, c->lines - 1,
		"row %lld does not continue row %lld: one of the two was changed",
		(long long)c->doubt_seq, (long long)c->seq);
}

bool audit_chain_end(struct audit_chain *c, bool torn)
{
	if (c->fault)
		return false;
	if (c->doubt)
		return settle_last(c);
	if (torn)
		return fail(c, AUDIT_FAULT_TORN, c->lines + 1,
			"the last line has no end; row %lld is the last whole one",
			(long long)c->seq);
	if (c->seq < c->o.expect_seq)
		return fail(c, AUDIT_FAULT_TRUNCATED, c->lines,
			"the log ends with row %lld, and row %lld was expected: its end was cut "
			"off",
			(long long)c->seq, (long long)c->o.expect_seq);
	if (c->lines > 0 && c->checkpoints == 0)
		return fail(c, AUDIT_FAULT_UNSIGNED, c->lines,
			"there is no checkpoint: nothing is signed");
	return true;
}

const char *audit_fault_name(enum audit_fault fault)
{
	static const char *const names[] = {"none", "no_row", "changed", "missing", "reordered",
		"repeated", "broken_prev", "bad_signature", "wrong_key", "unsigned", "torn",
		"truncated", "unexpected"};

	return names[fault];
}
