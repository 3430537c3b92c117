/* audit_tail: the rows of the audit log as they come, from the control plane's stream of
 * Server-Sent Events. When the stream ends it is opened again behind the last row, so that none is
 * missed. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/audit_filter.h"
#include "shared/mem.h"

#define EVENT_MAX ((size_t)1024 * 1024)
#define AGAIN_S 1

struct tail {
	struct buf line; /* of the stream, until its end has come */
	char last[24]; /* the id of the last event; "": none yet */
	bool begun; /* it was let in once */
	bool over; /* the credential is */
};

static void see_line(struct tail *t, const char *line)
{
	if (strncmp(line, "id: ", 4) == 0) {
		(void)str_copy(t->last, sizeof(t->last), line + 4);
	} else if (strncmp(line, "data: {\"v\":", 11) == 0) {
		(void)puts(line + 6);
		(void)fflush(stdout);
	} else if (strstr(line, "\"session_expired\"")) {
		t->over = true;
	}
}

static bool take_piece(void *ctx, const void *bytes, size_t len)
{
	struct tail *t = ctx;
	const char *at = bytes, *end = at + len, *newline;

	t->begun = true;
	while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
		buf_add(&t->line, at, (size_t)(newline - at));
		buf_char(&t->line, '\0');
		if (t->line.failed)
			return false;
		see_line(t, (const char *)t->line.data);
		buf_reset(&t->line);
		at = newline + 1;
	}
	buf_add(&t->line, at, (size_t)(end - at));
	return !t->line.failed && !ferror(stdout);
}

static enum status follow(const struct args *args, const struct api *api, struct tail *t)
{
	struct httpclient_request rq = {.sink = take_piece, .ctx = t};
	struct httpclient_answer answer = {0};
	enum status status;
	struct buf path;

	buf_init(&path, AUDIT_PATH_BYTES);
	buf_printf(&path, "%s/v1/admin/audit/stream", api->url);
	audit_filter_put(&path, args);
	if (*t->last)
		audit_filter_put_parameter(&path, "after", t->last);
	status = audit_filter_get(api, &path, &rq, &answer);
	httpclient_answer_free(&answer);
	buf_free(&path);
	buf_reset(&t->line);
	return status;
}

enum status cmd_audit_tail(const struct args *args)
{
	struct tail t = {0};
	enum status status;
	struct api api;

	if (args_has(args, ARG_FROM) && !str_copy(t.last, sizeof(t.last), args->value[ARG_FROM])) {
		fprintf(stderr, "airlockctl: --from is the number of a row\n");
		return STATUS_USAGE;
	}
	status = api_open_admin(args, &api);
	if (status != STATUS_OK)
		return status;
	api.timeout_ms = 0; /* nothing may come for long */
	buf_init(&t.line, EVENT_MAX);
	/* A daemon that restarts, or a front: what is refused is for the operator. */
	for (;;) {
		status = follow(args, &api, &t);
		if (status == STATUS_REFUSED || !t.begun || t.over || ferror(stdout))
			break;
		(void)sleep(AGAIN_S);
	}
	buf_free(&t.line);
	api_close(&api);
	return t.over ? STATUS_REFUSED : status;
}
