#include "shared/audit_vouches.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/audit_vouch.h"
#include "shared/jscan.h"
#include "shared/mem.h"
#include "shared/text.h"

#define SLOTS_MIN 64
/* "worker.vouch" and the others stand behind the number and the time of a row. */
#define EVENT_WITHIN 96

struct result {
	int64_t n;
	uint8_t leaf[CRYPTO_HASH_LEN];
};

struct statement {
	struct statement *next;
	int64_t first, last, line;
	int64_t left_out; /* rows that were left out before, when it came */
	uint8_t digest[CRYPTO_HASH_LEN];
};

/* By the id: of a session, or of a worker. */
struct entry {
	struct entry *next;
	char id[AUDIT_ID_MAX + 1];
	/* A worker. */
	uint8_t key[CRYPTO_PUBLIC_LEN];
	bool enrolled, counted;
	/* A session: what no statement covers yet, in the order in which it came. */
	struct result *results;
	size_t count, cap;
	struct statement *open; /* rows that it speaks of are missing, or still to come */
	int64_t seen_n; /* the highest number covered */
	int64_t left_out; /* when that was */
};

struct table {
	struct entry **slot;
	size_t slots, count;
};

struct audit_vouches {
	bool whole;
	struct table sessions, workers;
	struct audit_vouches_count counts;
};

/* --- the tables --------------------------------------------------------------------------- */

static size_t hash_id(const char *id)
{
	uint64_t h = 1469598103934665603U;

	for (; *id; id++)
		h = (h ^ (uint8_t)*id) * 1099511628211U;
	return (size_t)(h ^ h >> 32);
}

static void grow(struct table *t)
{
	struct table bigger = {.slots = t->slots > 0 ? t->slots * 4 : SLOTS_MIN, .count = t->count};

	bigger.slot = xcalloc(bigger.slots, sizeof(struct entry *));
	for (size_t i = 0; i < t->slots; i++) {
		for (struct entry *e = t->slot[i], *next; e; e = next) {
			struct entry **at = &bigger.slot[hash_id(e->id) & (bigger.slots - 1)];

			next = e->next;
			e->next = *at;
			*at = e;
		}
	}
	free((void *)t->slot);
	*t = bigger;
}

/* Makes it when it is not there. */
static struct entry *entry_of(struct table *t, const char *id)
{
	struct entry *e = NULL;
	size_t slot;

	if (t->count >= t->slots)
		grow(t);
	slot = hash_id(id) & (t->slots - 1);
	for (e = t->slot[slot]; e && strcmp(e->id, id) != 0;)
		e = e->next;
	if (e)
		return e;
	e = xcalloc(1, sizeof(*e));
	(void)str_copy(e->id, sizeof(e->id), id);
	e->next = t->slot[slot];
	t->slot[slot] = e;
	t->count++;
	return e;
}

static void entry_free(struct entry *e)
{
	for (struct statement *s = e->open, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	free(e->results);
	free(e);
}

static void table_free(struct table *t)
{
	for (size_t i = 0; i < t->slots; i++) {
		for (struct entry *e = t->slot[i], *next; e; e = next) {
			next = e->next;
			entry_free(e);
		}
	}
	free((void *)t->slot);
}

struct audit_vouches *audit_vouches_new(bool whole)
{
	struct audit_vouches *v = xcalloc(1, sizeof(*v));

	v->whole = whole;
	return v;
}

void audit_vouches_free(struct audit_vouches *v)
{
	if (!v)
		return;
	table_free(&v->sessions);
	table_free(&v->workers);
	free(v);
}

const struct audit_vouches_count *audit_vouches_counts(const struct audit_vouches *v)
{
	return &v->counts;
}

static bool wrong(struct audit_vouches_fault *f, int64_t line, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
static bool wrong(struct audit_vouches_fault *f, int64_t line, const char *fmt, ...)
{
	va_list args;

	f->line = line;
	va_start(args, fmt);
	(void)vsnprintf(f->why, sizeof(f->why), fmt, args);
	va_end(args);
	return false;
}

/* --- results and statements ----------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
	const struct result *x = a, *y = b;

	return (x->n > y->n) - (x->n < y->n);
}

/* In the order of their numbers, which is the order of the log but around a failure of the disk. */
static void sort(struct entry *session)
{
	for (size_t i = 1; i < session->count; i++) {
		if (session->results[i].n > session->results[i - 1].n)
			continue;
		qsort(session->results, session->count, sizeof(*session->results), by_number);
		return;
	}
}

/* How many of the statement's results are there, and which is the first of them. */
static int64_t find(struct entry *session, const struct statement *s, size_t *from)
{
	int64_t there = 0;

	sort(session);
	for (size_t i = 0; i < session->count; i++) {
		if (session->results[i].n < s->first || session->results[i].n > s->last)
			continue;
		if (there++ == 0)
			*from = i;
	}
	return there;
}

static void forget(struct entry *session, size_t from, size_t count)
{
	session->count -= count;
	if (session->count > from)
		memmove(session->results + from, session->results + from + count,
			(session->count - from) * sizeof(*session->results));
}

enum verdict { HOLDS, WAITS, WRONG };

static enum verdict judge(struct audit_vouches *v, struct entry *session, const struct statement *s,
	struct audit_vouches_fault *fault)
{
	struct audit_tally t = {0};
	size_t from = 0;
	int64_t want = s->last - s->first + 1, there = find(session, s, &from);

	if (there < want)
		return WAITS;
	for (int64_t i = 0; i < there; i++)
		audit_tally_add(&t, session->results[from + (size_t)i].leaf);
	if (there > want || memcmp(t.digest, s->digest, sizeof(t.digest)) != 0) {
		(void)wrong(fault, s->line,
			"the worker vouches for results %lld to %lld of session %s, and the rows "
			"of these calls say something else",
			(long long)s->first, (long long)s->last, session->id);
		return WRONG;
	}
	v->counts.vouched += want;
	forget(session, from, (size_t)there);
	return HOLDS;
}

/* Tries those that wait for a row. */
static bool judge_open(
	struct audit_vouches *v, struct entry *session, struct audit_vouches_fault *fault)
{
	for (struct statement **at = &session->open, *s; (s = *at);) {
		switch (judge(v, session, s, fault)) {
		case WRONG:
			return false;
		case WAITS:
			at = &s->next;
			break;
		case HOLDS:
			*at = s->next;
			free(s);
			break;
		}
	}
	return true;
}

static bool add_result(struct audit_vouches *v, struct entry *session, int64_t n,
	const uint8_t leaf[CRYPTO_HASH_LEN], struct audit_vouches_fault *fault)
{
	struct result *r;

	if (session->count == session->cap) {
		session->cap = session->cap > 0 ? 2 * session->cap : 64;
		session->results =
			xrealloc(session->results, session->cap * sizeof(*session->results));
	}
	r = &session->results[session->count++];
	r->n = n;
	memcpy(r->leaf, leaf, sizeof(r->leaf));
	return !session->open || judge_open(v, session, fault);
}

static bool add_statement(struct audit_vouches *v, struct entry *session, const struct statement *s,
	struct audit_vouches_fault *fault)
{
	/* What lies before the first row that was read can't be asked for. */
	bool first = session->seen_n == 0 && !v->whole;
	struct statement *keep;

	if (s->first != session->seen_n + 1 && !first && s->left_out == session->left_out)
		return wrong(fault, s->line,
			"the worker's statement about results %lld to %lld of session %s does not "
			"continue the one before, which ended with result %lld",
			(long long)s->first, (long long)s->last, session->id,
			(long long)session->seen_n);
	switch (judge(v, session, s, fault)) {
	case WRONG:
		return false;
	case HOLDS:
		session->left_out = s->left_out;
		break;
	case WAITS:
		keep = xmalloc(sizeof(*keep));
		*keep = *s;
		keep->next = session->open;
		session->open = keep;
		break;
	}
	session->seen_n = s->last;
	return true;
}

/* --- rows ------------------------------------------------------------------------------------- */

struct row {
	char call_id[AUDIT_ID_MAX + 1];
	char request_id[AUDIT_ID_MAX + 1];
	char key_id[AUDIT_ID_MAX + 1];
	char method[AUDIT_NAME_MAX + 1];
	char tool[AUDIT_NAME_MAX + 1];
	char outcome[32];
	char worker_outcome[32];
	char result_sha256[AUDIT_HASH_LEN + 1];
	char session_id[AUDIT_ID_MAX + 1];
	char worker_id[AUDIT_ID_MAX + 1];
	char target[AUDIT_ID_MAX + 1];
	struct jscan change, vouch;
};

#define TEXTS 11
struct text {
	const char *name;
	size_t name_len;
	char *dst;
	size_t cap;
};

static void list_texts(struct row *r, struct text texts[TEXTS])
{
#define TEXT(i, member) \
	texts[i] = (struct text){#member, sizeof(#member) - 1, r->member, sizeof(r->member)}
	TEXT(0, method);
	TEXT(1, tool);
	TEXT(2, outcome);
	TEXT(3, worker_outcome);
	TEXT(4, request_id);
	TEXT(5, call_id);
	TEXT(6, result_sha256);
	TEXT(7, session_id);
	TEXT(8, worker_id);
	TEXT(9, key_id);
	TEXT(10, target);
#undef TEXT
	for (size_t i = 0; i < TEXTS; i++)
		texts[i].dst[0] = '\0';
	r->change = r->vouch = (struct jscan){NULL, 0, JSCAN_NONE};
}

static const struct text *text_named(const struct text texts[TEXTS], const char *name, size_t len)
{
	for (size_t i = 0; i < TEXTS; i++)
		if (texts[i].name_len == len && memcmp(texts[i].name, name, len) == 0)
			return &texts[i];
	return NULL;
}

/* The row of a call as the writer spells it, where no text needs an escape: no parser is as fast.
 * False: it is spelled otherwise, and the parser has to see. */
static bool read_plain(const char *line, size_t len, const struct text texts[TEXTS], struct row *r)
{
	const char *at = line + 1, *end = line + len;

	while (end - at > 4 && *at == '"') {
		const char *name = at + 1, *value, *close = memchr(name, '"', (size_t)(end - name));
		const struct text *t;

		if (!close || end - close < 4 || close[1] != ':')
			return false;
		value = close + 2;
		t = text_named(texts, name, (size_t)(close - name));
		if (*value == '"') {
			at = memchr(value + 1, '"', (size_t)(end - value - 1));
			if (!at || memchr(value + 1, '\\', (size_t)(at - value - 1)) ||
				(t &&
					!str_copy_len(t->dst, t->cap, value + 1,
						(size_t)(at - value - 1))))
				return false;
			at++;
		} else {
			for (at = value; at < end && *at >= '0' && *at <= '9';)
				at++;
			if (at == value || t)
				return false;
			if (close - name == 5 && memcmp(name, "vouch", 5) == 0)
				r->vouch =
					(struct jscan){value, (size_t)(at - value), JSCAN_NUMBER};
		}
		if (end - at == 1 && *at == '}')
			return true;
		if (at >= end || *at++ != ',')
			return false;
	}
	return false;
}

static bool read_any(const char *line, size_t len, const struct text texts[TEXTS], struct row *r)
{
	struct jscan row, key, value;
	struct jscan_iter it;

	if (jscan_parse(line, len, &row) != RC_OK || row.kind != JSCAN_OBJECT)
		return false;
	it = jscan_iter(row);
	while (jscan_next(&it, &key, &value)) {
		size_t i = 0;

		while (i < TEXTS && !jscan_is_str(key, texts[i].name))
			i++;
		if (i < TEXTS && jscan_str(value, texts[i].dst, texts[i].cap) != RC_OK)
			return false;
		if (jscan_is_str(key, "change"))
			r->change = value;
		else if (jscan_is_str(key, "vouch"))
			r->vouch = value;
	}
	return true;
}

static bool read_row(const char *line, size_t len, struct row *r)
{
	struct text texts[TEXTS];

	list_texts(r, texts);
	if (read_plain(line, len, texts, r))
		return true;
	list_texts(r, texts);
	return read_any(line, len, texts, r);
}

static bool take_result(struct audit_vouches *v, const char *line, size_t len, int64_t number,
	struct audit_vouches_fault *fault)
{
	uint8_t hash[CRYPTO_HASH_LEN], leaf[CRYPTO_HASH_LEN];
	struct audit_vouched of;
	struct row r;

	if (!read_row(line, len, &r) || jscan_int(r.vouch, &of.n) != RC_OK || of.n < 1 ||
		text_unhex(r.result_sha256, hash, sizeof(hash)) != RC_OK)
		return wrong(fault, number, "this row of a vouched call can't be read");
	of.call_id = r.call_id;
	of.request_id = r.request_id;
	of.key_id = r.key_id;
	of.method = r.method;
	of.tool = r.tool;
	of.outcome = *r.worker_outcome ? r.worker_outcome : r.outcome;
	of.result_sha256 = hash;
	audit_vouch_leaf(&of, leaf);
	return add_result(v, entry_of(&v->sessions, r.session_id), of.n, leaf, fault);
}

static bool get_b64(struct jscan o, const char *name, uint8_t *bytes, size_t len)
{
	char b64[TEXT_B64_LEN(CRYPTO_SIG_LEN) + 1];
	struct jscan v;
	size_t got;

	return jscan_get(o, name, &v) == RC_OK && jscan_str(v, b64, sizeof(b64)) == RC_OK &&
		text_unb64(b64, strlen(b64), bytes, len, &got) == RC_OK && got == len;
}

static bool read_statement(struct jscan o, struct statement *s, uint8_t key[CRYPTO_PUBLIC_LEN],
	uint8_t sig[CRYPTO_SIG_LEN])
{
	char digest[AUDIT_HASH_LEN + 1];
	struct jscan v;

	return o.kind == JSCAN_OBJECT && jscan_get(o, "first", &v) == RC_OK &&
		jscan_int(v, &s->first) == RC_OK && jscan_get(o, "last", &v) == RC_OK &&
		jscan_int(v, &s->last) == RC_OK && s->first > 0 && s->last >= s->first &&
		s->last - s->first < AUDIT_VOUCH_MAX && jscan_get(o, "digest", &v) == RC_OK &&
		jscan_str(v, digest, sizeof(digest)) == RC_OK &&
		text_unhex(digest, s->digest, sizeof(s->digest)) == RC_OK &&
		get_b64(o, "key", key, CRYPTO_PUBLIC_LEN) && get_b64(o, "sig", sig, CRYPTO_SIG_LEN);
}

/* Is it this worker's key? The first one counts where its enrollment is not in the log. */
static bool key_fits(struct audit_vouches *v, const char *worker_id, const uint8_t *key)
{
	struct entry *w = entry_of(&v->workers, worker_id);

	if (!w->counted) {
		v->counts.workers++;
		v->counts.unenrolled += !w->enrolled;
		w->counted = true;
		if (!w->enrolled)
			memcpy(w->key, key, sizeof(w->key));
	}
	return memcmp(w->key, key, sizeof(w->key)) == 0;
}

static bool take_statement(struct audit_vouches *v, const char *line, size_t len, int64_t number,
	int64_t left_out, struct audit_vouches_fault *fault)
{
	struct statement s = {.line = number, .left_out = left_out};
	uint8_t key[CRYPTO_PUBLIC_LEN], sig[CRYPTO_SIG_LEN];
	struct audit_vouch said;
	struct row r;

	if (!read_row(line, len, &r) || !read_statement(r.change, &s, key, sig))
		return wrong(fault, number, "this statement of a worker can't be read");
	said = (struct audit_vouch){.worker_id = r.worker_id,
		.session_id = r.session_id,
		.first = s.first,
		.last = s.last,
		.digest = s.digest};
	if (!key_fits(v, r.worker_id, key))
		return wrong(fault, number,
			"this statement is signed with another key than worker %s has",
			r.worker_id);
	if (!audit_vouch_good(&said, key, sig))
		return wrong(fault, number, "the signature of worker %s is not right", r.worker_id);
	return add_statement(v, entry_of(&v->sessions, r.session_id), &s, fault);
}

/* Older rows of this event have no key. It may come behind the worker's first statement. */
static bool take_enrollment(struct audit_vouches *v, const char *line, size_t len, int64_t number,
	struct audit_vouches_fault *fault)
{
	uint8_t key[CRYPTO_PUBLIC_LEN];
	struct entry *w;
	struct row r;

	if (!read_row(line, len, &r) || r.change.kind != JSCAN_OBJECT || !*r.target ||
		!get_b64(r.change, "public_key", key, sizeof(key)))
		return true;
	w = entry_of(&v->workers, r.target);
	if (w->counted && memcmp(w->key, key, sizeof(key)) != 0)
		return wrong(fault, number,
			"worker %s was enrolled with another key than its statements are signed "
			"with",
			w->id);
	v->counts.unenrolled -= w->counted && !w->enrolled;
	memcpy(w->key, key, sizeof(w->key));
	w->enrolled = true;
	return true;
}

/* Does the number of a result stand right before prev? */
static bool has_result(const char *line, size_t len)
{
	static const char tail[] = ",\"prev\":\"", member[] = ",\"vouch\":";
	const size_t tail_len = sizeof(tail) - 1 + AUDIT_HASH_LEN + 2, name = sizeof(member) - 1;
	const char *at;

	if (len < tail_len + name)
		return false;
	at = line + len - tail_len;
	while (at > line + name && at[-1] >= '0' && at[-1] <= '9')
		at--;
	return memcmp(at - name, member, name) == 0;
}

static bool is_event(const char *line, size_t len, const char *member)
{
	return memmem(line, len < EVENT_WITHIN ? len : EVENT_WITHIN, member, strlen(member)) !=
		NULL;
}

bool audit_vouches_row(struct audit_vouches *v, const char *line, size_t len, int64_t number,
	int64_t left_out, struct audit_vouches_fault *fault)
{
	if (has_result(line, len))
		return take_result(v, line, len, number, fault);
	if (!is_event(line, len, "\"event\":\"worker."))
		return true;
	if (is_event(line, len, "\"event\":\"worker.vouch\""))
		return take_statement(v, line, len, number, left_out, fault);
	if (is_event(line, len, "\"event\":\"worker.enroll\""))
		return take_enrollment(v, line, len, number, fault);
	return true;
}

/* --- the end ------------------------------------------------------------------------------------
 */

/* Rows that only left their hash, or are in other files, may be what is missing. */
static bool excused(const struct audit_vouches *v, const struct entry *session,
	const struct statement *s, int64_t missing)
{
	return s->left_out - session->left_out >= missing || (!v->whole && session->left_out == 0);
}

static bool end_session(
	struct audit_vouches *v, struct entry *session, struct audit_vouches_fault *fault)
{
	for (const struct statement *s = session->open; s; s = s->next) {
		size_t from = 0;
		int64_t there = find(session, s, &from);
		int64_t missing = s->last - s->first + 1 - there;

		if (!excused(v, session, s, missing))
			return wrong(fault, s->line,
				"the worker vouches for results %lld to %lld of session %s, and "
				"%lld "
				"of these calls have no row",
				(long long)s->first, (long long)s->last, session->id,
				(long long)missing);
		v->counts.unknown += there;
		forget(session, from, (size_t)there);
	}
	v->counts.unsigned_results += (int64_t)session->count;
	return true;
}

bool audit_vouches_end(struct audit_vouches *v, struct audit_vouches_fault *fault)
{
	for (size_t i = 0; i < v->sessions.slots; i++) {
		for (struct entry *e = v->sessions.slot[i]; e; e = e->next)
			if (!end_session(v, e, fault))
				return false;
	}
	return true;
}
