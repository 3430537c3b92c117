/* audit_search: searching and exporting the audit log through the control plane, and making its
 * index anew on the state volume. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/audit_filter.h"
#include "shared/audit_index.h"
#include "shared/audit_indexing.h"
#include "shared/clock.h"
#include "shared/config.h"
#include "shared/jscan.h"
#include "shared/mem.h"

#define PAGE_MAX 200
#define CURSOR_MAX 120

/* --- audit search -------------------------------------------------------------------------- */

static const struct print_column columns[] = {
	{"ROW", "seq", PRINT_COUNT},
	{"TIME", "ts", PRINT_TIME},
	{"EVENT", "event", PRINT_TEXT},
	{"TENANT", "tenant_id", PRINT_TEXT},
	{"ACTOR", "actor_name", PRINT_TEXT},
	{"TOOL", "tool", PRINT_TEXT},
	{"OUTCOME", "outcome", PRINT_TEXT},
	{"TARGET", "target", PRINT_TEXT},
	{"REQUEST", "request_id", PRINT_TEXT},
};

struct search {
	const struct args *args;
	int64_t left; /* INT64_MAX: all */
	char cursor[CURSOR_MAX];
	json_t *rows; /* for a table */
};

/* As JSON, the log's own bytes. */
static void take_row(struct search *s, struct jscan row)
{
	json_t *object;

	if (args_has(s->args, ARG_JSON)) {
		fwrite(row.p, 1, row.len, stdout);
		putchar('\n');
		return;
	}
	object = json_loadb(row.p, row.len, 0, NULL);
	if (args_has(s->args, ARG_QUIET))
		printf("%lld\n", (long long)json_integer_value(json_object_get(object, "seq")));
	else
		json_array_append(s->rows, object);
	json_decref(object);
}

static enum status take_page(struct search *s, const struct buf *body)
{
	struct jscan page, rows, key, row, v;
	struct jscan_iter it;
	int64_t behind = 0;

	if (jscan_parse((const char *)body->data, body->len, &page) != RC_OK ||
		jscan_get(page, "rows", &rows) != RC_OK || rows.kind != JSCAN_ARRAY) {
		fprintf(stderr,
			"airlockctl: the answer is no page of the audit log: is this the control "
			"plane's URL?\n");
		return STATUS_REFUSED;
	}
	it = jscan_iter(rows);
	for (; s->left > 0 && jscan_next(&it, &key, &row); s->left -= s->left < INT64_MAX)
		take_row(s, row);
	if (jscan_get(page, "behind", &v) == RC_OK && jscan_int(v, &behind) == RC_OK)
		fprintf(stderr,
			"airlockctl: the newest %lld rows are not searched: the index is being "
			"made\n",
			(long long)behind);
	s->cursor[0] = '\0';
	if (jscan_get(page, "next_cursor", &v) == RC_OK &&
		jscan_str(v, s->cursor, sizeof(s->cursor)) != RC_OK)
		s->cursor[0] = '\0';
	return STATUS_OK;
}

static enum status search_page(struct search *s, const struct api *api)
{
	struct httpclient_answer answer = {0};
	struct httpclient_request rq = {0};
	enum status status;
	struct buf path;
	char limit[24];

	buf_init(&path, AUDIT_PATH_BYTES);
	buf_printf(&path, "%s/v1/admin/audit", api->url);
	audit_filter_put(&path, s->args);
	(void)snprintf(
		limit, sizeof(limit), "%lld", (long long)(s->left < PAGE_MAX ? s->left : PAGE_MAX));
	audit_filter_put_parameter(&path, "limit", limit);
	if (*s->cursor)
		audit_filter_put_parameter(&path, "cursor", s->cursor);
	status = audit_filter_get(api, &path, &rq, &answer);
	if (status == STATUS_OK)
		status = take_page(s, &answer.body);
	httpclient_answer_free(&answer);
	buf_free(&path);
	return status;
}

enum status cmd_audit_search(const struct args *args)
{
	struct search s = {.args = args, .left = 50};
	enum status status;
	struct buf text;
	struct api api;

	if (args_has(args, ARG_LIMIT) &&
		args_count(args->value[ARG_LIMIT], INT32_MAX, &s.left) != RC_OK) {
		fprintf(stderr, "airlockctl: --limit is a number of rows\n");
		return STATUS_USAGE;
	}
	if (s.left == 0)
		s.left = INT64_MAX;
	status = api_open_admin(args, &api);
	if (status != STATUS_OK)
		return status;
	s.rows = json_array();
	do
		status = search_page(&s, &api);
	while (status == STATUS_OK && *s.cursor && s.left > 0);
	api_close(&api);
	if (json_array_size(s.rows) > 0) {
		buf_init(&text, SIZE_MAX);
		print_table(&text, columns, sizeof(columns) / sizeof(columns[0]), s.rows);
		api_out(&text);
	}
	json_decref(s.rows);
	return status;
}

/* --- audit export -------------------------------------------------------------------------- */

static bool write_piece(void *ctx, const void *bytes, size_t len)
{
	return fwrite(bytes, 1, len, ctx) == len;
}

static enum status export_to(const struct args *args, const struct api *api, FILE *out)
{
	struct httpclient_request rq = {.sink = write_piece, .ctx = out};
	struct httpclient_answer answer = {0};
	enum status status;
	struct buf path;

	buf_init(&path, AUDIT_PATH_BYTES);
	buf_printf(&path, "%s/v1/admin/audit/export", api->url);
	audit_filter_put(&path, args);
	if (args_has(args, ARG_FORMAT))
		audit_filter_put_parameter(&path, "format", args->value[ARG_FORMAT]);
	status = audit_filter_get(api, &path, &rq, &answer);
	httpclient_answer_free(&answer);
	buf_free(&path);
	if (fflush(out) != 0 && status == STATUS_OK) {
		fprintf(stderr, "airlockctl: what came can't be written: %s\n", strerror(errno));
		status = STATUS_REFUSED;
	}
	return status;
}

/* The file has its name when it is whole. */
static enum status export_to_file(const struct args *args, const struct api *api, const char *path)
{
	char part[PATH_MAX];
	enum status status = STATUS_REFUSED;
	FILE *out = NULL;
	int fd = -1;

	if (snprintf(part, sizeof(part), "%s.part", path) < (int)sizeof(part))
		fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0)
		out = fdopen(fd, "w");
	if (out)
		status = export_to(args, api, out);
	else
		fprintf(stderr, "airlockctl: can't write %s: %s\n", path, strerror(errno));
	if (out && status == STATUS_OK && (fsync(fd) != 0 || rename(part, path) != 0)) {
		fprintf(stderr, "airlockctl: can't write %s: %s\n", path, strerror(errno));
		status = STATUS_REFUSED;
	}
	if (out)
		(void)fclose(out);
	if (fd >= 0 && status != STATUS_OK)
		(void)unlink(part);
	return status;
}

enum status cmd_audit_export(const struct args *args)
{
	const char *path = args->value[ARG_OUT];
	enum status status;
	struct api api;

	status = api_open_admin(args, &api);
	if (status != STATUS_OK)
		return status;
	status = path ? export_to_file(args, &api, path) : export_to(args, &api, stdout);
	api_close(&api);
	return status;
}

/* --- audit reindex ------------------------------------------------------------------------- */

static bool show_progress(void *ctx, int64_t seq)
{
	int64_t *last = ctx;

	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\rindexed up to row %lld", (long long)seq);
	*last = seq;
	return true;
}

/* With tunneld or without: both go on where the index ends, and neither repeats what the other has
 * done. */
enum status cmd_audit_reindex(const struct args *args)
{
	const struct config *c = config_open();
	struct audit_indexing *x;
	char index[PATH_MAX];
	int64_t last = 0, began = clock_mono_ms();
	enum rc rc;

	if (audit_index_path(c->audit_log_path, c->audit_index_path, index) != RC_OK) {
		fprintf(stderr, "airlockctl: the path of the index is too long\n");
		return STATUS_USAGE;
	}
	audit_index_remove(index);
	x = audit_indexing_new(c->audit_log_path, index);
	rc = audit_indexing_pass(x, INT64_MAX, true, show_progress, &last);
	audit_indexing_free(x);
	if (isatty(STDERR_FILENO))
		fputc('\r', stderr);
	if (rc != RC_OK) {
		fprintf(stderr, "airlockctl: %s can't be made\n", index);
		return STATUS_REFUSED;
	}
	if (!args_has(args, ARG_QUIET))
		printf("indexed up to row %lld in %.1f s: %s\n", (long long)last,
			(double)(clock_mono_ms() - began) / 1e3, index);
	return STATUS_OK;
}
