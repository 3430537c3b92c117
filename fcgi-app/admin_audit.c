#include "fcgi-app/admin_audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi-app/admin_common.h"
#include "fcgi-app/admin_handlers.h"
#include "fcgi-app/auth.h"
#include "fcgi-app/http_parse.h"
#include "shared/audit_form.h"
#include "shared/audit_index.h"
#include "shared/clock.h"
#include "shared/mem.h"

#define TENANTS_A_PAGE 500
/* How many lines one page may cost: what the index takes for a match and is none, and the log's end
 * that is not in the index yet, are bounded by it. */
#define PAGE_LINES_MAX 100000
#define PAGE_BYTES_MAX ((size_t)200 * (AUDIT_LINE_MAX + 1) + 1024)

/* --- the filter ---------------------------------------------------------------------------- */

/* An absent parameter leaves out as it is. */
static bool parameter(struct request *rq, const char *name, char *out, size_t cap)
{
	enum rc rc = http_query(rq, name, out, cap);

	if (rc == RC_OK || rc == RC_NOTFOUND)
		return true;
	admin_field_problem(rq, name, "is malformed, repeated or too long.");
	return false;
}

/* RFC 3339 in UTC, or a day. */
static bool time_parameter(struct request *rq, const char *name, int64_t *out)
{
	char text[40] = "";

	if (!parameter(rq, name, text, sizeof(text) - 10))
		return false;
	if (!*text)
		return true;
	if (strlen(text) == 10)
		memcpy(text + 10, "T00:00:00Z", sizeof("T00:00:00Z"));
	if (clock_parse(text, out) == RC_OK && *out > 0)
		return true;
	admin_field_problem(rq, name, "must be a time in UTC: 2026-11-23 or 2026-11-23T21:04:05Z.");
	return false;
}

/* A slug is as good as an id. */
static bool tenant_parameter(struct request *rq, struct audit_filter *f)
{
	char text[AUDIT_ID_MAX + 1] = "";
	int n;

	if (!parameter(rq, "tenant", text, sizeof(text)))
		return false;
	if (!*text)
		return true;
	n = snprintf(
		f->tenant, sizeof(f->tenant), "%s%s", strncmp(text, "t_", 2) ? "t_" : "", text);
	if (n < (int)sizeof(f->tenant))
		return true;
	admin_field_problem(rq, "tenant", "is too long.");
	return false;
}

static bool text_parameter(struct request *rq, struct audit_filter *f)
{
	char text[AUDIT_FILTER_TEXT_MAX + 1] = "";

	if (!parameter(rq, "q", text, sizeof(text)))
		return false;
	if (!*text)
		return true;
	switch (audit_filter_text(f, text)) {
	case RC_OK:
		return true;
	case RC_LIMIT:
		admin_field_problem(rq, "q", "may hold at most 8 words.");
		return false;
	default:
		admin_field_problem(rq, "q", "must hold a word.");
		return false;
	}
}

static bool read_filter(struct request *rq, struct audit_filter *f)
{
	audit_filter_init(f);
	return tenant_parameter(rq, f) && parameter(rq, "actor", f->actor, sizeof(f->actor)) &&
		parameter(rq, "tool", f->tool, sizeof(f->tool)) &&
		parameter(rq, "outcome", f->outcome, sizeof(f->outcome)) &&
		parameter(rq, "event", f->event, sizeof(f->event)) &&
		time_parameter(rq, "since", &f->since_ms) &&
		time_parameter(rq, "until", &f->until_ms) && text_parameter(rq, f);
}

/* --- who may see what ------------------------------------------------------------------------ */

static void add_tenant(struct audit_scope *s, const struct tenant *t)
{
	if (s->count % TENANTS_A_PAGE == 0)
		s->tenants =
			xrealloc(s->tenants, (s->count + TENANTS_A_PAGE) * sizeof(*s->tenants));
	memset(&s->tenants[s->count], 0, sizeof(*s->tenants));
	(void)str_copy(s->tenants[s->count].id, sizeof(s->tenants[0].id), t->id);
	s->tenants[s->count++].since_ms = t->created_at * 1000;
}

static bool read_scope(struct request *rq, struct audit_scope *s)
{
	char after[STORE_CURSOR_MAX + 1] = "", next[STORE_CURSOR_MAX + 1] = "";
	struct tenant *page = NULL;
	struct db *db;
	size_t count = 0;
	enum rc rc = RC_OK;

	if (!admin_db(rq, &db))
		return false;
	do {
		rc = tenant_list(db, rq->org_id, after, TENANTS_A_PAGE, &page, &count, next);
		for (size_t i = 0; rc == RC_OK && i < count; i++)
			add_tenant(s, &page[i]);
		if (rc == RC_OK)
			free(page);
		memcpy(after, next, sizeof(after));
	} while (rc == RC_OK && *next);
	admin_db_done(rq, db);
	if (rc != RC_OK) {
		admin_store_problem(rq, rc, NULL);
		return false;
	}
	audit_scope_sort(s);
	return true;
}

/* --- what every endpoint begins with --------------------------------------------------------- */

static enum rc ask_ping(struct dispatch *d, void *ctx)
{
	return dispatch_ping(d, ctx);
}

/* Rows that are not on disk yet were told to nobody. While tunneld is away, nobody writes. */
int64_t admin_audit_durable(struct request *rq)
{
	struct msg pong;
	int64_t seq;

	if (http_dispatch(rq, ask_ping, &pong) == RC_OK &&
		msg_int(&pong, "audit_durable", &seq) == RC_OK)
		return seq;
	return INT64_MAX;
}

bool admin_audit_all_orgs(struct request *rq)
{
	if (!*rq->org_id)
		return true;
	auth_refuse(rq, PROBLEM_FORBIDDEN, NULL,
		"This is about the whole log: only for callers who see every org.");
	return false;
}

bool admin_audit_read(
	struct request *rq, const char *const *names, bool oldest_first, struct admin_audit *a)
{
	const struct config *c = rq->config;

	*a = (struct admin_audit){0};
	if (!http_parse_query_known(rq->query, names)) {
		http_problem(rq, PROBLEM_INVALID_FIELD,
			"There is a query parameter that is not known here.");
		return false;
	}
	if (!read_filter(rq, &a->filter) || (*rq->org_id && !read_scope(rq, &a->scope)))
		return false;
	if (*rq->org_id)
		a->filter.scope = &a->scope;
	if (audit_index_path(c->audit_log_path, c->audit_index_path, a->index_path) != RC_OK) {
		http_problem(rq, PROBLEM_INTERNAL, NULL);
		return false;
	}
	a->search = (struct audit_search){.log_path = c->audit_log_path,
		.index_path = a->index_path,
		.filter = &a->filter,
		.oldest_first = oldest_first,
		.durable = admin_audit_durable(rq)};
	return true;
}

void admin_audit_clear(struct admin_audit *a)
{
	free(a->scope.tenants);
	*a = (struct admin_audit){0};
}

void admin_audit_describe(const struct request *rq, struct buf *out)
{
	static const char *const names[] = {ADMIN_AUDIT_FILTER};
	char text[AUDIT_FILTER_TEXT_MAX + 1];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (http_query(rq, names[i], text, sizeof(text)) != RC_OK)
			continue;
		buf_printf(out, ",\"%s\":", names[i]);
		buf_json(out, text);
	}
}

/* --- GET /v1/admin/audit --------------------------------------------------------------------- */

struct page {
	struct buf body;
	size_t limit, count;
	int64_t last; /* row */
	bool more;
};

static bool add_row(void *ctx, int64_t seq, const char *line, size_t len)
{
	struct page *p = ctx;

	p->more = p->count == p->limit;
	if (p->more)
		return false;
	buf_str(&p->body, p->count++ > 0 ? ",\n" : "\n");
	buf_add(&p->body, line, len);
	p->last = seq;
	return true;
}

static void reply_page(struct request *rq, struct page *p, const struct audit_search_end *end)
{
	/* Either there is a row more than fits, or the search has to go on behind what it read. */
	int64_t next = p->more ? p->last : end->next;

	buf_str(&p->body, "]");
	if (next > 1)
		buf_printf(&p->body, ", \"next_cursor\": \"%lld\"", (long long)next);
	if (end->behind > 0)
		buf_printf(&p->body, ", \"behind\": %lld", (long long)end->behind);
	buf_str(&p->body, "}");
	if (p->body.failed)
		http_problem(rq, PROBLEM_INTERNAL, NULL);
	else
		http_reply(rq, 200, "application/json", p->body.data, p->body.len);
}

static bool read_cursor(struct request *rq, const char *cursor, int64_t *from)
{
	if (!*cursor || (http_parse_length(cursor, from) == RC_OK && *from > 0))
		return true;
	http_problem(rq, PROBLEM_INVALID_FIELD, ADMIN_BAD_CURSOR);
	return false;
}

void admin_audit_list(struct request *rq)
{
	static const char *const names[] = {ADMIN_AUDIT_FILTER, "limit", "cursor", NULL};
	struct admin_audit *a = xcalloc(1, sizeof(*a));
	struct audit_search_end end;
	struct admin_page asked;
	struct page p = {0};

	buf_init(&p.body, PAGE_BYTES_MAX);
	if (admin_audit_read(rq, names, false, a) && admin_page(rq, 50, &asked) &&
		read_cursor(rq, asked.after, &a->search.from)) {
		p.limit = asked.limit;
		a->search.lines_max = PAGE_LINES_MAX;
		buf_str(&p.body, "{\"rows\": [");
		if (audit_search(&a->search, add_row, &p, &end) == RC_OK)
			reply_page(rq, &p, &end);
		else
			http_problem(rq, PROBLEM_STATE_DOWN, ADMIN_AUDIT_UNREADABLE);
	}
	buf_free(&p.body);
	admin_audit_clear(a);
	free(a);
}
