#include <stdio.h>
#include <string.h>

#include "cli/api.h"

enum status cmd_status(const struct args *args)
{
	json_t *answer;
	struct api api;
	enum status status = api_open_admin(args, &api);

	if (status != STATUS_OK)
		return status;
	status = api_call(&api, "GET", "/v1/admin/status", NULL, &answer);
	api_close(&api);
	return status == STATUS_OK ? api_show_object(args, answer, "version") : status;
}

enum status cmd_health(const struct args *args)
{
	struct httpclient_request rq = {.method = "GET"};
	struct httpclient_answer answer = {0};
	char url[2048];
	struct api api;
	enum status status = api_open(args, 5000, &api);

	if (status != STATUS_OK)
		return status;
	snprintf(url, sizeof(url), "%s/health", api.url);
	rq.url = url;
	status = api_send(&api, &rq, &answer);
	if (status == STATUS_OK && answer.status != 200)
		status = api_refused(&answer);
	else if (status == STATUS_OK && args_has(args, ARG_JSON))
		puts("{\"health\": \"ok\"}");
	else if (status == STATUS_OK)
		puts("ok");
	httpclient_answer_free(&answer);
	api_close(&api);
	return status;
}
