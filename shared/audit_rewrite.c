#include "shared/audit_rewrite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/audit_chain.h"
#include "shared/audit_reader.h"
#include "shared/audit_zst.h"
#include "shared/file.h"
#include "shared/jscan.h"
#include "shared/clock.h"

#define LEVEL 6
#define OUT_BYTES ((size_t)256 * 1024)

/* What was done about a tenant stays; how it was used expires. */
static bool may_expire(const char *event)
{
	static const char *const events[] = {"tool.call", "mcp.request", "call.late",
		"worker.vouch", "access.refused", "mcp.refused", "session.open", "session.close",
		"session.refused"};

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (!strcmp(event, events[i]))
			return true;
	return false;
}

static bool expires(const struct audit_rewrite *how, const char *line, size_t len)
{
	char event[48], tenant[AUDIT_ID_MAX + 1];
	struct jscan row, v;

	return how->expired && jscan_parse(line, len, &row) == RC_OK &&
		jscan_get(row, "event", &v) == RC_OK &&
		jscan_str(v, event, sizeof(event)) == RC_OK && may_expire(event) &&
		jscan_get(row, "tenant_id", &v) == RC_OK &&
		jscan_str(v, tenant, sizeof(tenant)) == RC_OK && how->expired(how->ctx, tenant);
}

/* What is left of the row, if it goes. */
static bool left_of(
	const struct audit_rewrite *how, const char *line, size_t len, struct audit_form *form)
{
	if (!audit_form_read(line, len, form))
		return false;
	if (form->kind == AUDIT_FORM_EXPIRED)
		return true;
	if (form->kind != AUDIT_FORM_ROW || !expires(how, line, len))
		return false;
	form->kind = AUDIT_FORM_EXPIRED;
	crypto_sha256(line, len, form->hash);
	return true;
}

/* The whole file once, by the rules of the chain; counts what has to go. */
struct survey {
	struct audit_seal seal;
	int64_t rows, newly;
};

static void survey_line(
	const struct audit_rewrite *how, struct survey *s, const char *line, size_t len)
{
	struct audit_form form;
	bool was = audit_form_read(line, len, &form) && form.kind == AUDIT_FORM_EXPIRED;

	if (form.kind != AUDIT_FORM_SEAL && s->rows++ == 0)
		memcpy(s->seal.prev, form.prev, sizeof(form.prev));
	if (!left_of(how, line, len, &form))
		return;
	s->newly += !was;
	s->seal.count++;
	audit_seal_digest(s->seal.digest, &form);
}

static bool sound(struct audit_chain *c, const struct audit_segment *from, bool read)
{
	(void)audit_chain_end(c, false);
	return read &&
		(c->fault == AUDIT_FAULT_NONE || c->fault == AUDIT_FAULT_VOUCH ||
			c->fault == AUDIT_FAULT_UNSIGNED) &&
		c->seq == from->last;
}

static enum rc survey(
	const struct audit_rewrite *how, struct survey *s, char why[AUDIT_REWRITE_WHY])
{
	struct audit_chain_options o = {
		.first_seq = how->from->first, .have_key = true, .chain_only = true};
	struct audit_reader *in;
	struct audit_chain c;
	const char *line;
	size_t len;
	enum rc rc = audit_reader_open(how->from->path, &in);

	if (rc != RC_OK)
		return RC_UNAVAILABLE;
	memcpy(o.key, how->identity->public_key, sizeof(o.key));
	audit_chain_init(&c, &o);
	while ((rc = audit_reader_line(in, &line, &len)) == RC_OK) {
		if (!audit_chain_line(&c, line, len))
			break;
		survey_line(how, s, line, len);
	}
	if (rc != RC_UNAVAILABLE)
		rc = sound(&c, how->from, rc == RC_NOTFOUND && !audit_reader_torn(in)) ? RC_OK
										       : RC_INVALID;
	(void)snprintf(why, AUDIT_REWRITE_WHY, "line %lld: %s", (long long)c.fault_line,
		c.fault ? c.why : "the file does not end where its name says");
	audit_chain_free(&c);
	audit_reader_close(in);
	return rc;
}

/* --- writing ---------------------------------------------------------------------------------- */

struct out {
	int fd;
	struct audit_zst_writer *zst; /* NULL: plain */
	struct buf bytes;
};

static enum rc flush(struct out *o)
{
	const uint8_t *at = o->bytes.data;
	size_t len = o->bytes.len;
	enum rc rc = RC_OK;

	if (o->bytes.failed) {
		errno = ENOMEM;
		return RC_UNAVAILABLE;
	}
	if (o->zst && len > 0)
		rc = audit_zst_write(o->zst, at, len);
	while (!o->zst && len > 0) {
		ssize_t n = write(o->fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return RC_UNAVAILABLE;
		at += n;
		len -= (size_t)n;
	}
	buf_reset(&o->bytes);
	return rc;
}

static enum rc put_line(struct out *o, const char *line, size_t len)
{
	buf_add(&o->bytes, line, len);
	buf_char(&o->bytes, '\n');
	return o->bytes.len >= OUT_BYTES ? flush(o) : RC_OK;
}

static enum rc copy_line(
	const struct audit_rewrite *how, struct out *o, const char *line, size_t len)
{
	struct audit_form form;

	if (audit_form_read(line, len, &form) && form.kind == AUDIT_FORM_SEAL)
		return RC_OK; /* there is a new one already */
	if (!left_of(how, line, len, &form))
		return put_line(o, line, len);
	audit_form_hash_line(&o->bytes, AUDIT_FORM_EXPIRED, form.seq, form.hash, form.prev);
	buf_char(&o->bytes, '\n');
	return RC_OK;
}

static enum rc put_seal(const struct audit_rewrite *how, struct survey *s, struct out *o)
{
	if (s->seal.count == 0)
		return RC_OK;
	s->seal.first = how->from->first;
	s->seal.last = how->from->last;
	clock_text(how->wall_ms, s->seal.ts);
	audit_seal_line(&o->bytes, how->identity, &s->seal);
	buf_char(&o->bytes, '\n');
	return RC_OK;
}

static enum rc copy(const struct audit_rewrite *how, struct survey *s, struct out *o)
{
	struct audit_reader *in;
	const char *line;
	size_t len;
	enum rc rc = audit_reader_open(how->from->path, &in);

	if (rc != RC_OK)
		return RC_UNAVAILABLE;
	rc = put_seal(how, s, o);
	while (rc == RC_OK && (rc = audit_reader_line(in, &line, &len)) == RC_OK)
		rc = copy_line(how, o, line, len);
	audit_reader_close(in);
	if (rc == RC_NOTFOUND)
		rc = flush(o);
	if (rc == RC_OK && o->zst)
		rc = audit_zst_end(o->zst);
	return rc == RC_OK && fdatasync(o->fd) == 0 ? RC_OK : RC_UNAVAILABLE;
}

enum rc audit_rewrite(
	const struct audit_rewrite *how, int64_t *expired, char why[AUDIT_REWRITE_WHY])
{
	struct survey s = {0};
	struct out o = {0};
	enum rc rc = survey(how, &s, why);
	int saved, fd;

	*expired = s.newly;
	if (rc != RC_OK || (s.newly == 0 && how->compress == how->from->compressed))
		return rc;
	fd = open(how->scratch, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return RC_UNAVAILABLE;
	o.fd = fd;
	buf_init(&o.bytes, 4 * OUT_BYTES + AUDIT_LINE_MAX);
	if (how->compress)
		o.zst = audit_zst_writer_new(o.fd, LEVEL);
	rc = copy(how, &s, &o);
	saved = errno;
	audit_zst_writer_free(o.zst);
	buf_free(&o.bytes);
	(void)close(o.fd);
	errno = saved;
	if (rc == RC_OK && rename(how->scratch, how->to) != 0)
		rc = RC_UNAVAILABLE;
	if (rc == RC_OK)
		rc = file_sync_dir(how->to);
	if (rc != RC_OK) {
		saved = errno;
		(void)unlink(how->scratch);
		errno = saved;
	}
	return rc;
}
