#include "shared/audit_chain.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/audit_bundle.h"
#include "shared/jscan.h"
#include "shared/mem.h"

void audit_chain_init(struct audit_chain *c, const struct audit_chain_options *o)
{
	*c = (struct audit_chain){.o = *o, .hasher = crypto_hasher_new()};
	if (c->o.first_seq < 1)
		c->o.first_seq = 1;
	c->seq = c->o.first_seq - 1;
	c->vouches = audit_vouches_new(c->o.first_seq == 1);
	audit_stamper_init(&c->stamper);
}

void audit_chain_free(struct audit_chain *c)
{
	crypto_hasher_free(c->hasher);
	c->hasher = NULL;
	audit_vouches_free(c->vouches);
	c->vouches = NULL;
	free(c->hashes);
	c->hashes = NULL;
	audit_stamper_free(&c->stamper);
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

/* where: how the sentence goes on. */
static bool fail_missing(
	struct audit_chain *c, int64_t line, int64_t first, int64_t last, const char *where)
{
	if (first == last)
		return fail(c, AUDIT_FAULT_MISSING, line, "row %lld is missing %s",
			(long long)first, where);
	return fail(c, AUDIT_FAULT_MISSING, line, "rows %lld to %lld are missing %s",
		(long long)first, (long long)last, where);
}

static bool fail_changed(struct audit_chain *c, int64_t line, int64_t seq)
{
	return fail(c, AUDIT_FAULT_CHANGED, line,
		"the line of row %lld was changed: it does not have the hash that the chain has",
		(long long)seq);
}

/* Without a key that was asked for, the first one counts. */
static bool own_key(struct audit_chain *c, const uint8_t key[CRYPTO_PUBLIC_LEN])
{
	if (!c->o.have_key) {
		memcpy(c->o.key, key, sizeof(c->o.key));
		c->o.have_key = true;
	}
	return memcmp(key, c->o.key, sizeof(c->o.key)) == 0;
}

/* In a bundle. Before a row that was withheld the chain has a hole: only the checkpoint behind can
 * say what was there. All lines since the checkpoint before are in the bundle. */
static bool check_tally(struct audit_chain *c, const struct audit_checkpoint *p)
{
	struct audit_tally t = {0};
	int64_t at = c->left_out_line;

	if (at > 0 && p->tally.rows != c->hash_count)
		return fail(c, AUDIT_FAULT_UNSIGNED, at,
			"no checkpoint vouches for a row of which only the hash is here");
	for (int64_t i = 0; at > 0 && i < c->hash_count; i++)
		audit_tally_add(&t, c->hashes[i]);
	if (at > 0 && memcmp(t.digest, p->tally.digest, sizeof(t.digest)) != 0)
		return fail(c, AUDIT_FAULT_CHANGED, at,
			"the rows up to %lld, of which some have only their hash here, are not "
			"those that checkpoint %lld vouches for",
			(long long)c->seq, (long long)p->seq);
	c->left_out_line = 0;
	c->hash_count = 0;
	return true;
}

static bool check_checkpoint(
	struct audit_chain *c, const struct audit_form *row, const char *line, size_t len)
{
	struct audit_checkpoint p;

	if (!audit_checkpoint_read(line, len, &p))
		return fail(c, AUDIT_FAULT_CHANGED, c->lines,
			"the line of checkpoint %lld was changed: it is not what is written there",
			(long long)row->seq);
	if (!own_key(c, p.key))
		return fail(c, AUDIT_FAULT_KEY, c->lines,
			"checkpoint %lld is signed with another key", (long long)row->seq);
	if (!audit_checkpoint_good(&p))
		return fail(c, AUDIT_FAULT_SIGNATURE, c->lines,
			"the signature of checkpoint %lld is not right", (long long)row->seq);
	c->checkpoints++;
	if (c->bundle_last > 0 && !check_tally(c, &p))
		return false;
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
static bool fail_seq(struct audit_chain *c, const struct audit_form *next)
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
	return fail_missing(c, at, turn, got - 1, "before this line");
}

/* Judges the doubtful line by the one after it, which was just counted; NULL: no row. */
static bool settle(struct audit_chain *c, const struct audit_form *next)
{
	if (c->doubt_seq != c->seq + 1)
		return fail_seq(c, next);
	return fail_prev(c, next && memcmp(next->prev, c->hash, sizeof(c->hash)) == 0);
}

/* The chain begins with zeros; where older segments are elsewhere, with what can't be known. */
static bool continues(const struct audit_chain *c, const struct audit_form *row)
{
	if (c->lines == 1 && c->o.first_seq > 1)
		return true;
	return memcmp(row->prev, c->hash, sizeof(c->hash)) == 0;
}

/* A checkpoint that is itself beyond doubt convicts the line before it at once. */
static bool convicts(const struct audit_chain *c, const char *line, size_t len)
{
	struct audit_checkpoint p;

	return audit_checkpoint_read(line, len, &p) &&
		(!c->o.have_key || memcmp(p.key, c->o.key, sizeof(p.key)) == 0) &&
		audit_checkpoint_good(&p);
}

static bool begin_doubt(struct audit_chain *c, const struct audit_form *row, bool fits,
	const char *line, size_t len)
{
	/* A seal or a stamp has said already what comes before: then it is this line. */
	if (row->seq == c->seq + 1 && c->lines > 1 &&
		((c->sealed && c->seal_line == c->lines - 1) || c->stamp_line == c->lines - 1))
		return fail_changed(c, c->lines, row->seq);
	if (row->seq == c->seq + 1 && c->lines > 1 && row->kind != AUDIT_FORM_ROW &&
		row->kind != AUDIT_FORM_CHECKPOINT)
		return fail(c, AUDIT_FAULT_PREV, c->lines - 1,
			"row %lld does not fit what is left of row %lld: one of the two was "
			"changed",
			(long long)c->seq, (long long)row->seq);
	if (row->seq == c->seq + 1 && c->lines > 1 && row->kind == AUDIT_FORM_CHECKPOINT &&
		convicts(c, line, len))
		return fail_changed(c, c->lines - 1, c->seq);
	c->doubt = true;
	c->doubt_prev_fits = fits && (c->lines > 1 || c->o.first_seq == 1);
	c->doubt_seq = row->seq;
	if (row->kind == AUDIT_FORM_EXPIRED || row->kind == AUDIT_FORM_WITHHELD)
		memcpy(c->hash, row->hash, sizeof(c->hash));
	else
		crypto_hasher_sha256(c->hasher, line, len, c->hash);
	return true;
}

/* Has this file's seal, if it has one, said the truth? Judged at the file's last row. */
static bool check_seal_end(struct audit_chain *c)
{
	if (!c->sealed || c->seq < c->seal.last)
		return true;
	c->sealed = false;
	if (c->seal_count == c->seal.count &&
		memcmp(c->seal_digest, c->seal.digest, sizeof(c->seal_digest)) == 0)
		return true;
	return fail(c, AUDIT_FAULT_REMOVED, c->seal_line,
		"of rows %lld to %lld others are missing than the %lld that the seal says have "
		"expired",
		(long long)c->seal.first, (long long)c->seal.last, (long long)c->seal.count);
}

/* A line that has only the hash of a row: is there somebody's word that it may? */
static bool check_left_out(struct audit_chain *c, const struct audit_form *row)
{
	bool expired = row->kind == AUDIT_FORM_EXPIRED;

	memcpy(c->hash, row->hash, sizeof(c->hash));
	if (c->bundle_last == 0 && !expired)
		return fail(c, AUDIT_FAULT_REMOVED, c->lines,
			"row %lld is withheld, as only a bundle may have it, and the first line of "
			"a bundle is not here",
			(long long)row->seq);
	if (c->bundle_last == 0 && !c->sealed)
		return fail(c, AUDIT_FAULT_REMOVED, c->lines,
			"row %lld was taken out, and no seal of the control plane says so",
			(long long)row->seq);
	c->expired += expired;
	c->withheld += !expired;
	c->seal_count++;
	if (c->sealed)
		audit_seal_digest(c->seal_digest, row);
	if (c->left_out_line == 0)
		c->left_out_line = c->lines;
	return true;
}

/* Keeps the line's hash for the next checkpoint's tally. */
static void keep_hash(struct audit_chain *c)
{
	if (c->hash_count % 1024 == 0)
		c->hashes =
			xrealloc(c->hashes, (size_t)(c->hash_count + 1024) * sizeof(*c->hashes));
	memcpy(c->hashes[c->hash_count++], c->hash, sizeof(c->hash));
}

static void take_bundle_row(
	struct audit_chain *c, const struct audit_form *row, const char *line, size_t len)
{
	audit_stamper_line(&c->stamper, row, line, len);
	if (row->kind == AUDIT_FORM_CHECKPOINT)
		c->stamp_due = true;
	else
		keep_hash(c);
}

/* A seal is none of the rows: it has the number and the prev of the one that comes next. */
static bool take_seal(
	struct audit_chain *c, const struct audit_form *row, const char *line, size_t len)
{
	struct audit_seal s;

	if (!audit_seal_read(line, len, &s))
		return fail(c, AUDIT_FAULT_CHANGED, c->lines,
			"the seal before row %lld was changed: it is not what is written there",
			(long long)c->seq + 1);
	if (!own_key(c, s.key))
		return fail(c, AUDIT_FAULT_KEY, c->lines,
			"the seal before row %lld is signed with another key",
			(long long)c->seq + 1);
	if (!audit_seal_good(&s))
		return fail(c, AUDIT_FAULT_SIGNATURE, c->lines,
			"the signature of the seal before row %lld is not right",
			(long long)c->seq + 1);
	if (c->sealed || s.first != c->seq + 1)
		return fail(c, AUDIT_FAULT_REORDERED, c->lines,
			"a seal over rows %lld to %lld stands here, before row %lld",
			(long long)s.first, (long long)s.last, (long long)c->seq + 1);
	if (!continues(c, row))
		return fail_changed(c, c->lines - 1, c->seq);
	if (c->lines == 1)
		memcpy(c->hash, s.prev, sizeof(c->hash));
	c->sealed = true;
	c->seal = s;
	c->seal_line = c->lines;
	c->seal_count = 0;
	memset(c->seal_digest, 0, sizeof(c->seal_digest));
	return true;
}

static bool fail_vouch(struct audit_chain *c, const struct audit_vouches_fault *f)
{
	return fail(c, AUDIT_FAULT_VOUCH, f->line, "%s", f->why);
}

static bool check_vouched(struct audit_chain *c, const char *line, size_t len)
{
	struct audit_vouches_fault f;

	return audit_vouches_row(c->vouches, line, len, c->lines, c->expired + c->withheld, &f) ||
		fail_vouch(c, &f);
}

/* A row that says which files the retention has deleted. */
static void look_for_deletion(struct audit_chain *c, const char *line, size_t len)
{
	static const char event[] = "\"event\":\"audit.delete\"";
	struct jscan row, change, last;
	int64_t seq;

	if (memmem(line, len < 96 ? len : 96, event, sizeof(event) - 1) &&
		jscan_parse(line, len, &row) == RC_OK &&
		jscan_get(row, "change", &change) == RC_OK &&
		jscan_get(change, "last", &last) == RC_OK && jscan_int(last, &seq) == RC_OK &&
		seq > c->deleted_seq)
		c->deleted_seq = seq;
}

/* The row that is in its turn and continues the chain. */
static bool take_row(
	struct audit_chain *c, const struct audit_form *row, const char *line, size_t len)
{
	if (row->kind == AUDIT_FORM_CHECKPOINT && !check_checkpoint(c, row, line, len))
		return false;
	if (row->kind == AUDIT_FORM_EXPIRED || row->kind == AUDIT_FORM_WITHHELD) {
		if (!check_left_out(c, row))
			return false;
	} else {
		crypto_hasher_sha256(c->hasher, line, len, c->hash);
	}
	c->seq = row->seq;
	if (c->o.deleted_before)
		look_for_deletion(c, line, len);
	if (c->bundle_last > 0)
		take_bundle_row(c, row, line, len);
	return check_good(c, row->seq) && check_seal_end(c) &&
		(row->kind != AUDIT_FORM_ROW || c->o.chain_only || check_vouched(c, line, len));
}

/* --- the stamps of a bundle ------------------------------------------------------------------ */

bool audit_chain_bundle(struct audit_chain *c, const char *line, size_t len)
{
	struct audit_bundle_header h;

	if (c->fault)
		return false;
	if (audit_bundle_header_read(line, len, &h) != RC_OK)
		return fail(c, AUDIT_FAULT_NO_ROW, 0, "the first line of the bundle %s", h.why);
	c->o.first_seq = h.from;
	c->o.deleted_before = false;
	c->seq = h.from - 1;
	c->bundle_last = h.last;
	audit_vouches_free(c->vouches);
	c->vouches = audit_vouches_new(h.from == 1);
	audit_stamper_begin(&c->stamper, line, len, h.from);
	return true;
}

/* A stamp where none is due: its checkpoint was taken away or made a row, or it stood in another
 * place. */
static bool fail_stamp_place(struct audit_chain *c, const struct audit_stamp *s)
{
	if (s->seq == c->seq && memcmp(s->prev, c->hash, sizeof(c->hash)) != 0)
		return fail_changed(c, c->lines - 1, c->seq);
	if (s->seq > c->seq)
		return fail_missing(c, c->lines, c->seq + 1, s->seq, "before this line");
	return fail(c,
		c->stamp_line > 0 && c->stamp_line == c->lines - 1 ? AUDIT_FAULT_REPEATED
								   : AUDIT_FAULT_REORDERED,
		c->lines, "the stamp of checkpoint %lld stands here, behind row %lld",
		(long long)s->seq, (long long)c->seq);
}

static const char *kind_name(char kind)
{
	return kind == AUDIT_STAMP_ROW         ? "in full"
		: kind == AUDIT_STAMP_WITHHELD ? "withheld"
					       : "expired";
}

/* The rows since the stamp before are those of the log, but this one is not as it was signed. */
static bool fail_kind(struct audit_chain *c, int64_t row, char is, char was)
{
	int64_t line = c->stamp_line + 1 + row;
	/* Of the lines since the last stamp this one and the checkpoint are no such rows. */
	int64_t seq = c->seq - (c->lines - 1 - line);

	return fail(c, was == AUDIT_STAMP_ROW ? AUDIT_FAULT_REMOVED : AUDIT_FAULT_CHANGED, line,
		"row %lld is %s here, and was %s when the bundle was signed", (long long)seq,
		kind_name(is), kind_name(was));
}

/* Does the stamp say what is in the bundle so far? */
static bool check_stamp(struct audit_chain *c, const struct audit_stamp *s)
{
	struct audit_stamp own;
	bool other, here;
	int64_t row;
	char is, was;

	if (audit_stamper_stamp(&c->stamper, &own) != RC_OK)
		return fail(c, AUDIT_FAULT_UNSIGNED, c->lines,
			"there are more rows before this line than the writer ever leaves between "
			"two checkpoints");
	other = memcmp(own.header, s->header, sizeof(own.header)) != 0 || own.from != s->from;
	here = own.seq == s->seq && memcmp(own.prev, s->prev, sizeof(own.prev)) == 0;
	if (here && other && c->stamp_line == 0)
		return fail(c, AUDIT_FAULT_CHANGED, 0,
			"the first line of the bundle is not the one that was signed, or the stamp "
			"in line %lld is of another bundle",
			(long long)c->lines + 1);
	if (!here || other)
		return fail(c, AUDIT_FAULT_CHANGED, c->lines,
			"the stamp in this line is of another bundle; so may be what comes before "
			"it, from line %lld on",
			(long long)c->stamp_line + 2);
	if (audit_stamp_differs(&own, s, &row, &is, &was) && is && was)
		return fail_kind(c, row, is, was);
	if (own.lines != s->lines || own.runs_len != s->runs_len)
		return fail(c, AUDIT_FAULT_CHANGED, c->lines,
			"the stamp in this line is over other lines than those before it");
	if (memcmp(own.digest, s->digest, sizeof(own.digest)) == 0)
		return true;
	/* What a row of which only the hash is left continues is in no other line when it is the
	 * first one. */
	return fail(c, AUDIT_FAULT_CHANGED, c->stamp_line == 0 ? 1 : c->lines,
		"the lines before the stamp of checkpoint %lld are not those that were signed",
		(long long)s->seq);
}

static bool take_stamp(struct audit_chain *c, const char *line, size_t len)
{
	struct audit_stamp s;

	if (c->bundle_last == 0)
		return fail(c, AUDIT_FAULT_NO_ROW, c->lines,
			"this line is a bundle's, and the first line of a bundle is not here");
	if (!audit_stamp_read(line, len, &s))
		return fail(c, AUDIT_FAULT_CHANGED, c->lines,
			"the stamp behind row %lld was changed: it is not what is written there",
			(long long)c->seq);
	if (!own_key(c, s.key))
		return fail(c, AUDIT_FAULT_KEY, c->lines,
			"the stamp behind row %lld is signed with another key", (long long)c->seq);
	if (!audit_stamp_good(&s))
		return fail(c, AUDIT_FAULT_SIGNATURE, c->lines,
			"the signature of the stamp behind row %lld is not right",
			(long long)c->seq);
	if (!c->stamp_due)
		return fail_stamp_place(c, &s);
	if (!check_stamp(c, &s))
		return false;
	audit_stamper_stamped(&c->stamper, line, len);
	c->stamp_due = false;
	c->stamp_line = c->lines;
	c->stamp_end = s.end;
	memcpy(c->stamp_ts, s.ts, sizeof(s.ts));
	return true;
}

/* A line where a stamp has to be, or behind the end. */
static bool fail_no_stamp(struct audit_chain *c, const struct audit_form *row)
{
	if (c->stamp_end)
		return fail(c, AUDIT_FAULT_REPEATED, c->lines,
			"the bundle ends with the line before; this one is none of it");
	if (row && row->seq == c->seq && memcmp(row->prev, c->hash, sizeof(c->hash)) == 0)
		return fail(c, AUDIT_FAULT_CHANGED, c->lines,
			"the stamp of checkpoint %lld was changed: the line is none",
			(long long)c->seq);
	if (row && row->seq <= c->seq)
		return fail(c, AUDIT_FAULT_REPEATED, c->lines,
			"row %lld is here a second time; the stamp of checkpoint %lld was to be "
			"here",
			(long long)row->seq, (long long)c->seq);
	return fail(c, row ? AUDIT_FAULT_MISSING : AUDIT_FAULT_NO_ROW, c->lines,
		"the stamp of checkpoint %lld is missing before this line", (long long)c->seq);
}

static bool fail_form(struct audit_chain *c)
{
	return fail(c, AUDIT_FAULT_NO_ROW, c->lines,
		c->lines == 1 && c->bundle_last == 0
			? "this is no row of an audit log, and not the first line of a bundle; row "
			  "%lld was to be here"
			: "this is no row of an audit log; row %lld was to be here",
		(long long)c->seq + 1);
}

/* --- lines ----------------------------------------------------------------------------------- */

bool audit_chain_line(struct audit_chain *c, const char *line, size_t len)
{
	struct audit_form row;
	bool form = audit_form_read(line, len, &row), fits;

	if (c->fault)
		return false;
	c->lines++;
	if (c->doubt)
		return settle(c, form && row.kind != AUDIT_FORM_STAMP ? &row : NULL);
	if (c->stamp_end || (c->stamp_due && (!form || row.kind != AUDIT_FORM_STAMP)))
		return fail_no_stamp(c, form ? &row : NULL);
	if (!form)
		return fail_form(c);
	if (row.kind == AUDIT_FORM_STAMP)
		return take_stamp(c, line, len);
	if (row.kind == AUDIT_FORM_SEAL && c->bundle_last > 0)
		return fail(c, AUDIT_FAULT_NO_ROW, c->lines,
			"a seal is about a whole file of the log, and never in a bundle");
	if (row.kind == AUDIT_FORM_SEAL)
		return take_seal(c, &row, line, len);
	fits = continues(c, &row);
	if (row.seq != c->seq + 1 || !fits)
		return begin_doubt(c, &row, fits, line, len);
	return take_row(c, &row, line, len);
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

bool audit_chain_damaged(struct audit_chain *c)
{
	if (c->fault)
		return false;
	return fail(c, AUDIT_FAULT_DAMAGED, c->lines + 1,
		"the compressed file is damaged behind row %lld: restore it from the archive",
		(long long)c->seq);
}

bool audit_chain_end(struct audit_chain *c, bool torn)
{
	struct audit_vouches_fault f;

	if (c->fault)
		return false;
	if (c->doubt)
		return settle_last(c);
	if (torn)
		return fail(c, AUDIT_FAULT_TORN, c->lines + 1,
			"the last line has no end; row %lld is the last whole one",
			(long long)c->seq);
	if (c->sealed)
		return fail_missing(
			c, c->lines, c->seq + 1, c->seal.last, "at the end of this file");
	if (c->bundle_last > 0 && !c->stamp_end)
		return fail(c, AUDIT_FAULT_TRUNCATED, c->lines,
			"the bundle was cut off behind row %lld: the stamp that says that it ends "
			"is "
			"not here",
			(long long)c->seq);
	if (c->seq < c->bundle_last)
		return fail(c, AUDIT_FAULT_TRUNCATED, c->lines,
			"the bundle ends with row %lld, and it says that it goes up to row %lld",
			(long long)c->seq, (long long)c->bundle_last);
	if (c->o.expect_seq > 0 && c->o.expect_seq < c->o.first_seq)
		return fail(c, AUDIT_FAULT_UNEXPECTED, 1,
			"row %lld was expected, and these files begin with row %lld",
			(long long)c->o.expect_seq, (long long)c->o.first_seq);
	if (c->seq < c->o.expect_seq)
		return fail(c, AUDIT_FAULT_TRUNCATED, c->lines,
			c->bundle_last > 0
				? "the bundle ends with row %lld, and row %lld was expected"
				: "the log ends with row %lld, and row %lld was expected: "
				  "its end was cut off",
			(long long)c->seq, (long long)c->o.expect_seq);
	if (c->lines > 0 && c->checkpoints == 0)
		return fail(c, AUDIT_FAULT_UNSIGNED, c->lines,
			"there is no checkpoint: nothing is signed");
	if (c->o.deleted_before && c->deleted_seq < c->o.first_seq - 1)
		return fail_missing(c, 1, c->deleted_seq + 1, c->o.first_seq - 1,
			"before this line, and no row audit.delete tells of that");
	if (!audit_vouches_end(c->vouches, &f))
		return fail_vouch(c, &f);
	c->vouch_counts = *audit_vouches_counts(c->vouches);
	return true;
}

const char *audit_fault_name(enum audit_fault fault)
{
	static const char *const names[] = {"none", "no_row", "changed", "missing", "reordered",
		"repeated", "broken_prev", "bad_signature", "wrong_key", "unsigned", "torn",
		"truncated", "unexpected", "damaged", "vouch", "removed"};

	return names[fault];
}
