#include "shared/audit_filter.h"

#include <stdlib.h>
#include <string.h>

#include "shared/audit_form.h"
#include "shared/audit_words.h"
#include "shared/mem.h"

/* --- scope -------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
	const struct audit_scope_tenant *x = a, *y = b;

	return strcmp(x->id, y->id);
}

void audit_scope_sort(struct audit_scope *s)
{
	if (s->count > 1)
		qsort(s->tenants, s->count, sizeof(*s->tenants), by_id);
}

const struct audit_scope_tenant *audit_scope_find(const struct audit_scope *s, const char *id)
{
	struct audit_scope_tenant key = {0};

	if (s->count == 0 || !str_copy(key.id, sizeof(key.id), id))
		return NULL;
	return bsearch(&key, s->tenants, s->count, sizeof(*s->tenants), by_id);
}

/* --- what is asked for ---------------------------------------------------------------------- */

void audit_filter_init(struct audit_filter *f)
{
	memset(f, 0, sizeof(*f));
}

struct adding {
	struct audit_filter *f;
	size_t used;
	bool full;
};

static bool add_term(void *ctx, enum audit_word_kind kind, const char *word, size_t len)
{
	struct adding *a = ctx;
	struct audit_filter *f = a->f;

	(void)kind;
	a->full = f->term_count == AUDIT_FILTER_TERMS_MAX || a->used + len > sizeof(f->text) - 1;
	if (a->full)
		return false;
	memcpy(f->text + a->used, word, len);
	f->term[f->term_count].at = (uint16_t)a->used;
	f->term[f->term_count++].len = (uint16_t)len;
	a->used += len;
	return true;
}

enum rc audit_filter_text(struct audit_filter *f, const char *text)
{
	struct adding a = {.f = f};

	memset(f->text, 0, sizeof(f->text));
	f->term_count = 0;
	(void)audit_words_of_text(text, strlen(text), add_term, &a);
	if (a.full)
		return RC_LIMIT;
	return f->term_count > 0 ? RC_OK : RC_INVALID;
}

static bool asks_words(const struct audit_filter *f)
{
	return *f->tenant || *f->actor || *f->tool || *f->outcome || *f->event ||
		f->term_count > 0 || f->scope;
}

bool audit_filter_open(const struct audit_filter *f)
{
	return !asks_words(f) && f->since_ms == 0 && f->until_ms == 0;
}

/* --- matching --------------------------------------------------------------------------------
 */

struct matching {
	const struct audit_filter *f;
	int64_t ts;
	bool scope, tenant, actor, tool, outcome, event;
	unsigned terms; /* a bit for each that was found */
};

static bool same(const char *want, const char *word, size_t len)
{
	return strlen(want) == len && memcmp(want, word, len) == 0;
}

static void see_tenant(struct matching *m, const char *word, size_t len)
{
	const struct audit_scope_tenant *t;
	char id[AUDIT_ID_MAX + 1];

	m->tenant = m->tenant || same(m->f->tenant, word, len);
	if (!m->f->scope || !str_copy_len(id, sizeof(id), word, len))
		return;
	t = audit_scope_find(m->f->scope, id);
	m->scope = t && m->ts >= t->since_ms;
}

static void see_text(struct matching *m, const char *word, size_t len)
{
	const struct audit_filter *f = m->f;

	for (int i = 0; i < f->term_count; i++)
		if (f->term[i].len == len && memcmp(f->text + f->term[i].at, word, len) == 0)
			m->terms |= 1U << i;
}

static bool see(void *ctx, enum audit_word_kind kind, const char *word, size_t len)
{
	struct matching *m = ctx;

	switch (kind) {
	case AUDIT_WORD_TENANT:
		see_tenant(m, word, len);
		break;
	case AUDIT_WORD_ACTOR:
		m->actor = m->actor || same(m->f->actor, word, len);
		break;
	case AUDIT_WORD_TOOL:
		m->tool = m->tool || same(m->f->tool, word, len);
		break;
	case AUDIT_WORD_OUTCOME:
		m->outcome = m->outcome || same(m->f->outcome, word, len);
		break;
	case AUDIT_WORD_EVENT:
		m->event = m->event || same(m->f->event, word, len);
		break;
	case AUDIT_WORD_TEXT:
		see_text(m, word, len);
		break;
	}
	return true;
}

/* Without parsing: a text that JSON writes as it is must be somewhere in the line. Most lines that
 * don't match end here. */
static bool may_hold(const char *line, size_t len, const char *text)
{
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~' || *c == '"' || *c == '\\' ||
			*c == '/' || *c == '*')
			return true;
	return !*text || memmem(line, len, text, strlen(text)) != NULL;
}

/* The same for a term, which is in lower case. */
static bool may_hold_term(const char *line, size_t len, const char *term, size_t term_len)
{
	for (size_t i = 0; i < term_len; i++)
		if ((unsigned char)term[i] > '~' || term[i] == '\\' || term[i] == '/')
			return true;
	/* Mostly the line has it as it is. */
	if (memmem(line, len, term, term_len))
		return true;
	for (size_t i = 0; i + term_len <= len; i++) {
		size_t same_to = 0;

		while (same_to < term_len && audit_word_lower(line[i + same_to]) == term[same_to])
			same_to++;
		if (same_to == term_len)
			return true;
	}
	return false;
}

static bool may_hold_all(const struct audit_filter *f, const char *line, size_t len)
{
	const char *const whole[] = {f->tenant, f->actor, f->tool, f->outcome, f->event};

	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		if (!may_hold(line, len, whole[i]))
			return false;
	for (int i = 0; i < f->term_count; i++)
		if (!may_hold_term(line, len, f->text + f->term[i].at, f->term[i].len))
			return false;
	return true;
}

static bool times_match(const struct audit_filter *f, const char *line, size_t len, int64_t *ts)
{
	int64_t seq;

	return audit_line_head(line, len, &seq, ts) && *ts >= f->since_ms &&
		(f->until_ms == 0 || *ts < f->until_ms);
}

bool audit_filter_may(const struct audit_filter *f, const char *line, size_t len)
{
	int64_t ts;

	return times_match(f, line, len, &ts) && may_hold_all(f, line, len);
}

bool audit_filter_match(const struct audit_filter *f, const char *line, size_t len)
{
	struct matching m = {.f = f};

	if (!times_match(f, line, len, &m.ts))
		return false;
	if (!asks_words(f))
		return true;
	if (!may_hold_all(f, line, len) || !audit_words(line, len, see, &m))
		return false;
	return (!f->scope || m.scope) && (!*f->tenant || m.tenant) && (!*f->actor || m.actor) &&
		(!*f->tool || m.tool) && (!*f->outcome || m.outcome) && (!*f->event || m.event) &&
		m.terms == (1U << f->term_count) - 1;
}
