/* GET /v1/admin/audit/export: rows of the audit log, oldest first, as they are found. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi-app/admin_audit.h"
#include "fcgi-app/admin_common.h"
#include "fcgi-app/admin_handlers.h"
#include "shared/audit_csv.h"
#include "shared/log.h"
#include "shared/mem.h"

#define ROW_MAX ((size_t)1024 * 1024)

struct format {
	const char *name;
	const char *type;
	const char *file;
	void (*head)(struct buf *b); /* or NULL */
	enum rc (*row)(struct buf *b, const char *line, size_t len);
};

static enum rc put_line(struct buf *b, const char *line, size_t len)
{
	buf_add(b, line, len);
	buf_char(b, '\n');
	return RC_OK;
}

static const struct format formats[] = {
	{"jsonl", "application/x-ndjson", "audit.jsonl", NULL, put_line},
	{"csv", "text/csv; charset=utf-8; header=present", "audit.csv", audit_csv_head,
		audit_csv_row},
	{"bundle", "application/x-ndjson", "audit-bundle.jsonl", NULL, NULL},
};

/* jsonl unless the client says otherwise. */
static const struct format *read_format(struct request *rq)
{
	char name[16];

	switch (http_query(rq, "format", name, sizeof(name))) {
	case RC_OK:
		break;
	case RC_NOTFOUND:
		return &formats[0];
	default:
		name[0] = '\0';
	}
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (!strcmp(formats[i].name, name))
			return &formats[i];
	admin_field_problem(rq, "format", "must be jsonl, csv or bundle.");
	return NULL;
}

/* Who takes a copy of the log is in the log. */
static bool audited(struct request *rq, const struct format *format)
{
	struct audit_record r = rq->who;
	struct buf change;
	bool ok;

	buf_init(&change, AUDIT_CHANGE_MAX);
	buf_printf(&change, "{\"format\":\"%s\"", format->name);
	admin_audit_describe(rq, &change);
	buf_str(&change, "}");
	(void)str_copy(r.event, sizeof(r.event), "audit.export");
	(void)str_copy(r.outcome, sizeof(r.outcome), "ok");
	/* Too long to be kept: then the row says less. */
	if (!change.failed)
		(void)str_copy_len(
			r.change, sizeof(r.change), (const char *)change.data, change.len);
	buf_free(&change);
	ok = http_audit(rq, &r) == RC_OK;
	if (!ok)
		http_problem(rq, PROBLEM_AUDIT_DOWN, NULL);
	return ok;
}

struct export
{
	struct request *rq;
	const struct format *format;
	struct buf row;
	bool gone; /* the client */
};

static bool write_row(void *ctx, int64_t seq, const char *line, size_t len)
{
	struct export *e = ctx;

	(void)seq;
	buf_reset(&e->row);
	if (e->format->row(&e->row, line, len) != RC_OK || e->row.failed)
		return true; /* no row at all: `airlockctl audit verify` says so */
	e->gone = !http_write(e->rq, e->row.data, e->row.len);
	return !e->gone;
}

static void send_rows(struct request *rq, const struct format *format, const struct admin_audit *a)
{
	struct export e = {.rq = rq, .format = format};
	struct audit_search_end end;

	buf_init(&e.row, ROW_MAX);
	http_add_header(rq, "X-Accel-Buffering", "no");
	http_begin(rq, 200, format->type);
	if (format->head)
		format->head(&e.row);
	if (!strcmp(rq->method, "HEAD")) {
		buf_free(&e.row);
		return;
	}
	e.gone = e.row.len > 0 && !http_write(rq, e.row.data, e.row.len);
	/* A copy that is not whole must not look whole. */
	if (!e.gone && audit_search(&a->search, write_row, &e, &end) != RC_OK)
		http_abort(rq);
	if (e.gone)
		log_info("the client of an export of the audit log went away");
	buf_free(&e.row);
}

void admin_audit_export(struct request *rq)
{
	static const char *const names[] = {ADMIN_AUDIT_FILTER, "format", NULL};
	const struct format *format = read_format(rq);
	struct admin_audit *a = xcalloc(1, sizeof(*a));
	char disposition[64];
	int64_t first = 0, last = 0;

	if (format && !format->row && !admin_audit_all_orgs(rq))
		format = NULL;
	if (format && admin_audit_read(rq, names, true, a) &&
		(format->row || admin_audit_bundle_range(rq, a, &first, &last)) &&
		audited(rq, format)) {
		(void)snprintf(disposition, sizeof(disposition), "attachment; filename=\"%s\"",
			format->file);
		http_add_header(rq, "Content-Disposition", disposition);
		if (format->row)
			send_rows(rq, format, a);
		else
			admin_audit_bundle_send(rq, a, format->type, first, last);
	}
	admin_audit_clear(a);
	free(a);
}
