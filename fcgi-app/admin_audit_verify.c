/* GET /v1/admin/audit/verify: the check of the log's chain and signatures where the log is. A long
 * log is checked in parts: an answer says where the next one begins, with the hash that it has to
 * continue, so that nothing between two parts is left unchecked. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgi-app/admin_audit.h"
#include "fcgi-app/admin_common.h"
#include "fcgi-app/admin_handlers.h"
#include "fcgi-app/http_parse.h"
#include "shared/audit_chain.h"
#include "shared/audit_reader.h"
#include "shared/audit_segments.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"

/* A part ends with the file in which it has read so much: a second or two. */
#define PART_BYTES ((int64_t)256 << 20)

/* One at a time in each process: it takes a core. */
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

struct part {
	struct audit_chain chain;
	struct audit_segment *segments;
	size_t count;
	struct audit_reader *current; /* NULL: it is among the segments already, or empty */
	int64_t durable;
	int64_t bytes;
	bool complete;
	bool have_prev; /* the hash that the first line must continue */
	uint8_t prev[CRYPTO_HASH_LEN];
	const char *file; /* where the fault is */
	int64_t before; /* lines of the files before it */
};

/* --- what is asked for ----------------------------------------------------------------------- */

/* ?after=SEQ:HASH, as "next" of the part before was. */
static bool read_after(struct request *rq, struct part *p, int64_t *seq)
{
	char text[24 + AUDIT_HASH_LEN + 2] = "", *colon;

	*seq = 0;
	switch (http_query(rq, "after", text, sizeof(text))) {
	case RC_NOTFOUND:
		return true;
	case RC_OK:
		break;
	default:
		text[0] = '\0';
	}
	colon = strchr(text, ':');
	if (colon)
		*colon = '\0';
	p->have_prev = colon && http_parse_length(text, seq) == RC_OK && *seq > 0 &&
		strlen(colon + 1) == AUDIT_HASH_LEN &&
		text_unhex(colon + 1, p->prev, sizeof(p->prev)) == RC_OK;
	if (!p->have_prev)
		admin_field_problem(rq, "after", "must be a \"next\" as it was given.");
	return p->have_prev;
}

/* In this order no row can fall between the two. */
static enum rc open_files(struct part *p, const char *path)
{
	enum rc rc = audit_reader_open(path, &p->current);

	if (rc == RC_NOTFOUND)
		p->current = NULL;
	else if (rc != RC_OK)
		return rc;
	return audit_segments_list(path, &p->segments, &p->count);
}

/* --- reading --------------------------------------------------------------------------------- */

static bool continues(struct part *p, const char *line, size_t len)
{
	struct audit_form form;
	struct audit_chain *c = &p->chain;

	if (!p->have_prev || !audit_form_read(line, len, &form))
		return true;
	if (form.kind == AUDIT_FORM_SEAL)
		return true;
	p->have_prev = false;
	if (memcmp(form.prev, p->prev, sizeof(p->prev)) == 0)
		return true;
	c->fault = AUDIT_FAULT_PREV;
	c->fault_line = 1;
	(void)snprintf(c->why, sizeof(c->why),
		"row %lld does not continue the row where the part before ended",
		(long long)form.seq);
	return false;
}

/* False: there is a fault, or the file can't be read (*rc). */
static bool read_lines(struct part *p, struct audit_reader *in, int64_t last, enum rc *rc)
{
	const char *line;
	size_t len;

	while (p->chain.seq < last) {
		*rc = audit_reader_line(in, &line, &len);
		if (*rc != RC_OK)
			break;
		if (!continues(p, line, len) || !audit_chain_line(&p->chain, line, len))
			return false;
	}
	if (*rc == RC_INVALID || *rc == RC_LIMIT) {
		*rc = RC_OK;
		return audit_chain_damaged(&p->chain);
	}
	if (*rc == RC_NOTFOUND) {
		*rc = RC_OK;
		return !audit_reader_torn(in) || audit_chain_end(&p->chain, true);
	}
	return *rc == RC_OK;
}

static bool read_segment(struct part *p, const struct audit_segment *s, enum rc *rc)
{
	struct audit_reader *in;
	int fd = audit_segment_open(s->path);
	bool ok;

	p->file = strrchr(s->path, '/') ? strrchr(s->path, '/') + 1 : s->path;
	p->before = p->chain.lines;
	if (fd < 0) {
		*rc = RC_UNAVAILABLE;
		return false;
	}
	in = audit_reader_of(fd, -1);
	ok = read_lines(p, in, INT64_MAX, rc);
	p->bytes += audit_reader_next_at(in);
	audit_reader_close(in);
	(void)close(fd);
	return ok;
}

/* It was rotated while we looked: then it has been read as a segment. */
static bool is_segment(struct part *p, int64_t last)
{
	struct audit_form form;
	const char *line;
	size_t len;
	bool yes = audit_reader_line(p->current, &line, &len) == RC_OK &&
		audit_form_read(line, len, &form) && form.seq <= last;

	return audit_reader_seek(p->current, 0) != RC_OK || yes;
}

static bool read_current(struct part *p, enum rc *rc)
{
	int64_t last = p->count > 0 ? p->segments[p->count - 1].last : 0;
	bool ok = true;

	p->complete = true;
	if (!p->current || p->durable <= last || is_segment(p, last))
		return true;
	p->file = "audit.jsonl";
	p->before = p->chain.lines;
	ok = read_lines(p, p->current, p->durable, rc);
	p->bytes += audit_reader_next_at(p->current);
	return ok;
}

/* Every row that tunneld knew to be on disk before the files were looked for is in them. */
static void check_end(struct part *p)
{
	struct audit_chain *c = &p->chain;

	if (c->fault || !p->complete || p->durable == INT64_MAX || c->seq >= p->durable)
		return;
	c->fault = AUDIT_FAULT_TRUNCATED;
	c->fault_line = c->lines;
	(void)snprintf(c->why, sizeof(c->why),
		"the log ends with row %lld, and row %lld was on disk: its end was cut off",
		(long long)c->seq, (long long)p->durable);
}

/* A part never begins with the current file, which may have no checkpoint yet. */
static enum rc read_part(struct part *p, size_t from)
{
	enum rc rc = RC_OK;
	bool ok = true;

	for (size_t i = from; ok && i < p->count; i++) {
		if (p->bytes >= PART_BYTES && i + 1 < p->count)
			break;
		ok = read_segment(p, &p->segments[i], &rc);
		from = i + 1;
	}
	if (ok && from == p->count)
		ok = read_current(p, &rc);
	if (ok && audit_chain_end(&p->chain, false))
		check_end(p);
	return rc;
}

/* --- the answer ------------------------------------------------------------------------------ */

static void set_number(json_t *j, const char *name, int64_t n)
{
	json_object_set_new(j, name, json_integer((json_int_t)n));
}

static void reply(struct request *rq, const struct part *p)
{
	const struct audit_chain *c = &p->chain;
	char hash[AUDIT_HASH_LEN + 1], key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1], next[96];
	bool good = c->fault == AUDIT_FAULT_NONE;
	json_t *j = json_object();

	text_hex(c->hash, sizeof(c->hash), hash);
	text_b64(c->o.key, sizeof(c->o.key), key);
	json_object_set_new(j, "ok", json_boolean(good));
	json_object_set_new(j, "complete", json_boolean(good && p->complete));
	set_number(j, "first_seq", c->o.first_seq);
	set_number(j, "seq", c->seq);
	set_number(j, "checkpoints", c->checkpoints);
	set_number(j, "signed_seq", c->signed_seq);
	set_number(j, "unsigned_rows",
		c->seq - (c->signed_seq > 0 ? c->signed_seq : c->o.first_seq - 1));
	set_number(j, "expired", c->expired);
	set_number(j, "bytes", p->bytes);
	json_object_set_new(j, "key", json_string(key));
	if (good && c->lines > 0)
		json_object_set_new(j, "hash", json_string(hash));
	if (good && !p->complete) {
		(void)snprintf(next, sizeof(next), "%lld:%s", (long long)c->seq, hash);
		json_object_set_new(j, "next", json_string(next));
	}
	if (!good) {
		json_object_set_new(j, "fault", json_string(audit_fault_name(c->fault)));
		json_object_set_new(j, "file", json_string(p->file ? p->file : ""));
		set_number(j, "line",
			c->fault_line > p->before ? c->fault_line - p->before : c->fault_line);
		json_object_set_new(j, "detail", json_string(c->why));
	}
	http_reply_json(rq, 200, j);
}

static enum rc check(struct request *rq, struct part *p, int64_t after)
{
	struct audit_chain_options o = {.have_key = true};
	size_t from = 0;
	enum rc rc = open_files(p, rq->config->audit_log_path);

	if (rc != RC_OK)
		return rc;
	while (from < p->count && p->segments[from].last <= after)
		from++;
	if (after > 0 && (from == p->count || p->segments[from].first != after + 1))
		return RC_NOTFOUND;
	o.first_seq = p->count > 0 ? p->segments[from].first : 1;
	memcpy(o.key, rq->app->cp_public_key, sizeof(o.key));
	audit_chain_init(&p->chain, &o);
	rc = read_part(p, from);
	audit_chain_free(&p->chain);
	return rc;
}

static void verify(struct request *rq, struct part *p)
{
	static const char *const names[] = {"after", NULL};
	int64_t after;
	enum rc rc;

	if (!http_parse_query_known(rq->query, names)) {
		http_problem(rq, PROBLEM_INVALID_FIELD,
			"There is a query parameter that is not known here.");
		return;
	}
	if (!read_after(rq, p, &after))
		return;
	p->durable = admin_audit_durable(rq);
	rc = check(rq, p, after);
	if (rc == RC_OK)
		reply(rq, p);
	else if (rc == RC_NOTFOUND)
		admin_field_problem(rq, "after", "is not where a closed file of the log ends.");
	else
		http_problem(rq, PROBLEM_STATE_DOWN, "A file of the audit log can't be read.");
}

void admin_audit_verify(struct request *rq)
{
	struct part *p;

	if (!admin_audit_all_orgs(rq))
		return;
	if (pthread_mutex_trylock(&one) != 0) {
		http_add_header(rq, "Retry-After", "5");
		http_problem(rq, PROBLEM_OVERLOADED, "Another check of the audit log is running.");
		return;
	}
	p = xcalloc(1, sizeof(*p));
	verify(rq, p);
	audit_reader_close(p->current);
	audit_segments_free(p->segments, p->count);
	free(p);
	(void)pthread_mutex_unlock(&one);
}
