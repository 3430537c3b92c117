#include "cli/audit_verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/audit_bundle.h"
#include "shared/audit_reader.h"
#include "shared/mem.h"

/* Files by their names, or open ones of a log. */
struct reader {
	struct audit_verify *out;
	const char *const *paths;
	const struct audit_files *log; /* NULL: paths */
	size_t count;
	int64_t *first; /* the number that the chain gives to each file's first line */
	size_t file;
};

static const char *path_of(const struct reader *r, size_t i)
{
	return r->log ? r->log->file[i].path : r->paths[i];
}

/* A bundle says in its first line which rows it holds; it is checked alone. */
static bool begin_bundle(struct reader *r, const char *line, size_t len)
{
	r->out->bundle = true;
	r->first[r->file] = 0; /* the chain does not count that line */
	return audit_chain_bundle(&r->out->chain, line, len);
}

/* Feeds what is read; *more gets false when there is a fault. */
static enum rc read_lines(struct reader *r, struct audit_reader *in, bool *more)
{
	struct audit_chain *c = &r->out->chain;
	bool first = r->file == 0;
	const char *line;
	size_t len;
	enum rc rc = RC_OK;

	while (*more && (rc = audit_reader_line(in, &line, &len)) == RC_OK) {
		*more = first && audit_bundle_is(line, len) ? begin_bundle(r, line, len)
							    : audit_chain_line(c, line, len);
		first = false;
	}
	r->out->bytes += audit_reader_next_at(in);
	if (!*more || (rc == RC_NOTFOUND && !audit_reader_torn(in)))
		return RC_OK;
	if (rc == RC_UNAVAILABLE)
		return rc;
	if (rc == RC_LIMIT)
		*more = audit_chain_line(c, "", 0); /* no line of ours: the chain says so */
	else
		*more = rc == RC_INVALID ? audit_chain_damaged(c) : audit_chain_end(c, true);
	return RC_OK;
}

static enum rc read_file(struct reader *r, bool *more)
{
	struct audit_reader *in;
	enum rc rc = RC_OK;
	int why;

	if (r->log)
		in = audit_files_reader(r->log, r->file);
	else
		rc = audit_reader_open(r->paths[r->file], &in);
	if (rc != RC_OK)
		return rc;
	rc = read_lines(r, in, more);
	why = errno;
	audit_reader_close(in);
	errno = why;
	return rc;
}

/* From the chain's number of a line to a line of one of the files from that one on. */
static void locate(struct reader *r, size_t from)
{
	size_t i = r->file - 1;

	while (i > from && r->first[i] > r->out->chain.fault_line)
		i--;
	r->out->file = path_of(r, i);
	r->out->line = r->out->chain.fault_line - r->first[i] + 1;
	if (r->out->line < 1)
		r->out->line = 1;
}

/* Reads the files from that one on. */
static enum rc check(struct reader *r, size_t from, const struct audit_chain_options *o)
{
	struct audit_verify *out = r->out;
	bool more = true, torn = r->log && r->log->torn;
	enum rc rc = RC_OK;
	int why;

	*out = (struct audit_verify){0};
	audit_chain_init(&out->chain, o);
	r->first = xcalloc(r->count, sizeof(*r->first));
	for (r->file = from; rc == RC_OK && more && r->file < r->count; r->file++) {
		r->first[r->file] = out->chain.lines + 1;
		out->file = path_of(r, r->file);
		rc = read_file(r, &more);
	}
	why = errno;
	if (rc == RC_OK && more)
		more = audit_chain_end(&out->chain, torn);
	if (rc == RC_OK && !more)
		locate(r, from);
	audit_chain_free(&out->chain);
	free(r->first);
	errno = why;
	return rc;
}

enum rc audit_verify(const char *const *paths, size_t count, const struct audit_chain_options *o,
	struct audit_verify *out)
{
	struct reader r = {.out = out, .paths = paths, .count = count};

	return check(&r, 0, o);
}

/* --- a log ----------------------------------------------------------------------------------- */

/* Of the newest part: further back as long as no signature is in what was looked at. */
static enum rc check_log(
	struct reader *r, enum audit_verify_part part, struct audit_chain_options o)
{
	size_t from = part == AUDIT_VERIFY_NEWEST ? r->count - 1 : 0;
	enum rc rc;

	for (;; from--) {
		if (part != AUDIT_VERIFY_FROM)
			o.first_seq = r->log->file[from].first;
		o.deleted_before = part == AUDIT_VERIFY_WHOLE && o.first_seq > 1;
		rc = check(r, from, &o);
		if (rc != RC_OK || r->out->chain.checkpoints > 0 || from == 0)
			break;
	}
	r->out->newest = from > 0;
	return rc;
}

enum rc audit_verify_log(const char *path, enum audit_verify_part part,
	const struct audit_chain_options *o, struct audit_files *f, struct audit_verify *out)
{
	struct reader r = {.out = out, .log = f};
	bool again = false;
	enum rc rc;

	*f = (struct audit_files){0};
	do {
		audit_files_close(f);
		*out = (struct audit_verify){.file = path};
		rc = audit_files_open(path, f);
		if (rc != RC_OK)
			return rc;
		r.count = f->count;
		rc = check_log(&r, part, *o);
		/* Rows that could not be made durable are taken back, and others come in their
		 * place; what a second look finds is there. */
		again = rc == RC_OK && out->chain.fault && f->written && !again;
	} while (again);
	return rc;
}

/* --- what a good log proves ------------------------------------------------------------------ */

bool audit_verify_end_proved(const struct audit_verify *v)
{
	const struct audit_chain *c = &v->chain;

	return v->bundle || (c->seq > 0 && c->o.expect_seq == c->seq);
}

static void put_rows(struct buf *b, int64_t first, int64_t last)
{
	if (first == last)
		buf_printf(b, "row %lld is ", (long long)first);
	else
		buf_printf(b, "rows %lld to %lld are ", (long long)first, (long long)last);
}

/* The expected row has the hashes of all before it in its own, signed or not. */
static void put_end(struct buf *b, const struct audit_chain *c)
{
	if (c->o.expect_seq == c->seq) {
		buf_printf(b,
			"; nothing was cut off the end: row %lld is the one that was expected",
			(long long)c->seq);
		return;
	}
	if (c->o.expect_seq > 0)
		buf_printf(b,
			"; nothing was changed or cut off up to row %lld, the one that was "
			"expected",
			(long long)c->o.expect_seq);
	buf_printf(b,
		"; not proved: that nothing was cut off behind row %lld, for which --expect needs "
		"a head from elsewhere",
		(long long)c->seq);
}

/* Its stamps are over every byte of it. */
static void put_bundle(struct buf *b, const struct audit_chain *c)
{
	buf_printf(b,
		"proved: this bundle is byte by byte what the control plane signed at %s, up to "
		"its end: rows %lld to %lld of the log, %lld of them withheld and %lld expired; "
		"not "
		"proved: anything about the rows before and behind",
		c->stamp_ts, (long long)c->o.first_seq, (long long)c->seq, (long long)c->withheld,
		(long long)c->expired);
}

void audit_verify_proof(const struct audit_verify *v, struct buf *out)
{
	const struct audit_chain *c = &v->chain;

	if (c->lines == 0) {
		buf_str(out, "proved: nothing, there is no row");
		return;
	}
	if (v->bundle) {
		put_bundle(out, c);
		return;
	}
	buf_str(out, "proved: ");
	put_rows(out, c->o.first_seq, c->signed_seq);
	buf_str(out, "what the control plane signed, in order and without a gap");
	if (c->seq > c->signed_seq) {
		buf_str(out, "; ");
		put_rows(out, c->signed_seq + 1, c->seq);
		buf_str(out, "chained to them, but not signed yet");
	}
	put_end(out, c);
}
