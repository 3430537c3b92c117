#include "cli/audit_filter.h"

#include <stdio.h>
#include <string.h>

#include "shared/clock.h"

void audit_filter_put_parameter(struct buf *path, const char *name, const char *value)
{
	buf_printf(path, "%c%s=", memchr(path->data, '?', path->len) ? '&' : '?', name);
	for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
		if ((*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') ||
			(*p >= 'a' && *p <= 'z') || strchr("-_.~", *p))
			buf_char(path, (char)*p);
		else
			buf_printf(path, "%%%02X", *p);
	}
}

/* "90m" is so long ago; all else is for the server to judge. */
static void put_time(struct buf *path, const char *name, const char *value)
{
	char text[CLOCK_TEXT_LEN + 1];
	int64_t seconds;

	if (args_duration(value, &seconds) == RC_OK) {
		clock_text(clock_wall_ms() - seconds * 1000, text);
		value = text;
	}
	audit_filter_put_parameter(path, name, value);
}

void audit_filter_put(struct buf *path, const struct args *args)
{
	static const struct {
		enum arg_option option;
		const char *name;
		void (*put)(struct buf *path, const char *name, const char *value);
	} parameters[] = {
		{ARG_TENANT, "tenant", audit_filter_put_parameter},
		{ARG_ACTOR, "actor", audit_filter_put_parameter},
		{ARG_TOOL, "tool", audit_filter_put_parameter},
		{ARG_OUTCOME, "outcome", audit_filter_put_parameter},
		{ARG_EVENT, "event", audit_filter_put_parameter},
		{ARG_SINCE, "since", put_time},
		{ARG_UNTIL, "until", put_time},
		{ARG_TEXT, "q", audit_filter_put_parameter},
	};

	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
		if (args_has(args, parameters[i].option))
			parameters[i].put(
				path, parameters[i].name, args->value[parameters[i].option]);
}

enum status audit_filter_get(const struct api *api, struct buf *path, struct httpclient_request *rq,
	struct httpclient_answer *answer)
{
	enum status status;

	buf_char(path, '\0');
	if (path->failed) {
		fprintf(stderr, "airlockctl: what is asked for is too long\n");
		return STATUS_USAGE;
	}
	rq->method = "GET";
	rq->url = (const char *)path->data;
	rq->bearer = api->token;
	status = api_send(api, rq, answer);
	if (status == STATUS_OK && answer->status != 200)
		status = api_refused(answer);
	return status;
}
