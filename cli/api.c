#include "cli/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/file.h"
#include "shared/mem.h"
#include "shared/text.h"

#define SECRET_FILE_MAX 4096
#define ANSWER_MAX ((size_t)16 * 1024 * 1024)
#define PAGES_MAX 10000

static void complain(const char *what, const char *detail)
{
	fprintf(stderr, "airlockctl: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
}

char *api_secret_file(const char *path)
{
	char *text, *secret;
	size_t len;

	if (file_read(path, SECRET_FILE_MAX, &text, &len) != RC_OK) {
		complain("this file can't be read, or is longer than 4096 bytes", path);
		return NULL;
	}
	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		text[--len] = '\0';
	if (len == 0 || strlen(text) != len || strpbrk(text, " \t\r\n")) {
		complain("this file should hold one secret and nothing else", path);
		mem_wipe(text, len);
		free(text);
		return NULL;
	}
	secret = xstrndup(text, len);
	mem_wipe(text, len);
	free(text);
	return secret;
}

static char *secret_env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? xstrdup(value) : NULL;
}

static char *operator_token(const struct args *args)
{
	const char *file = args->value[ARG_TOKEN_FILE];
	char *token = file ? NULL : secret_env("AIRLOCK_CP_OPERATOR_TOKEN");

	if (token)
		return token;
	if (!file)
		file = getenv("AIRLOCK_CP_OPERATOR_TOKEN_FILE");
	if (file && *file)
		return api_secret_file(file);
	complain("the operator token is needed: set AIRLOCK_CP_OPERATOR_TOKEN or "
		 "AIRLOCK_CP_OPERATOR_TOKEN_FILE, "
		 "or give --token-file",
		NULL);
	return NULL;
}

enum status api_open(const struct args *args, long timeout_ms, struct api *out)
{
	const char *url =
		args->value[ARG_URL] ? args->value[ARG_URL] : getenv("AIRLOCK_CP_PUBLIC_URL");
	int64_t seconds = 0;
	size_t len;

	if (!url || (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)) {
		complain("the control plane's http(s) URL is needed: set AIRLOCK_CP_PUBLIC_URL or "
			 "give --url",
			NULL);
		return STATUS_USAGE;
	}
	if (args->value[ARG_TIMEOUT] &&
		(args_duration(args->value[ARG_TIMEOUT], &seconds) != RC_OK || seconds > 86400)) {
		complain("--timeout is a time such as 90s or 5m, up to 1d, not",
			args->value[ARG_TIMEOUT]);
		return STATUS_USAGE;
	}
	*out = (struct api){
		.ca_file = args->value[ARG_CA_FILE],
		.idempotency_key = args->value[ARG_IDEMPOTENCY_KEY],
		.timeout_ms = seconds ? (long)seconds * 1000 : timeout_ms,
	};
	len = strlen(url);
	while (url[len - 1] == '/')
		len--;
	out->url_copy = xstrndup(url, len);
	out->url = out->url_copy;
	return STATUS_OK;
}

enum status api_open_admin(const struct args *args, struct api *out)
{
	enum status status = api_open(args, 30000, out);

	if (status != STATUS_OK)
		return status;
	out->token = operator_token(args);
	if (!out->token) {
		api_close(out);
		return STATUS_USAGE;
	}
	return STATUS_OK;
}

void api_close(struct api *api)
{
	free(api->url_copy);
	mem_free_secret(api->token);
	*api = (struct api){0};
}

static const char *member(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

enum status api_refused(const struct httpclient_answer *answer)
{
	json_t *body = json_loadb((const char *)answer->body.data, answer->body.len, 0, NULL);
	const char *title = member(body, "title"), *detail = member(body, "detail");
	const char *code = member(body, "code"), *id = member(body, "request_id");
	struct buf text;

	buf_init(&text, 16384);
	if (title)
		buf_printf(&text, "airlockctl: refused: %s (%d%s%s)\n", title, answer->status,
			code ? " " : "", code ? code : "");
	else
		buf_printf(&text, "airlockctl: refused: HTTP status %d\n", answer->status);
	if (detail)
		buf_printf(&text, "  %s\n", detail);
	if (id || *answer->request_id)
		buf_printf(&text, "  request id: %s\n", id ? id : answer->request_id);
	buf_char(&text, '\0');
	if (!text.failed) {
		struct buf safe;
		buf_init(&safe, 16384);
		print_plain(&safe, (const char *)text.data);
		fwrite(safe.data, 1, safe.len, stderr);
		buf_free(&safe);
	}
	buf_free(&text);
	json_decref(body);
	return STATUS_REFUSED;
}

enum status api_send(
	const struct api *api, struct httpclient_request *rq, struct httpclient_answer *out)
{
	char why[200] = "";

	rq->ca_file = api->ca_file;
	rq->timeout_ms = api->timeout_ms;
	rq->max_answer = 2 * ANSWER_MAX;
	if (httpclient_do(rq, out, why, sizeof(why)) == RC_OK)
		return STATUS_OK;
	complain(*why ? why : "no answer", api->url);
	return STATUS_UNREACHABLE;
}

/* The answer of a call that went well: an object, or an empty one where there is no content. */
static enum status answer_json(const struct httpclient_answer *answer, json_t **out)
{
	json_error_t error;

	if (answer->status < 200 || answer->status > 299)
		return api_refused(answer);
	*out = answer->body.len == 0
		? json_object()
		: json_loadb((const char *)answer->body.data, answer->body.len, 0, &error);
	if (json_is_object(*out))
		return STATUS_OK;
	json_decref(*out);
	*out = NULL;
	complain("the answer is no JSON object: is this the control plane's URL?", NULL);
	return STATUS_REFUSED;
}

enum status api_call(
	const struct api *api, const char *method, const char *path, json_t *body, json_t **out)
{
	char url[2048], idempotency[200];
	const char *headers[] = {NULL, NULL};
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct httpclient_answer answer = {0};
	struct httpclient_request rq = {.method = method,
		.url = url,
		.bearer = api->token,
		.headers = headers,
		.body = text,
		.body_len = text ? strlen(text) : 0,
		.content_type = text ? "application/json" : NULL};
	enum status status = STATUS_USAGE;

	json_decref(body);
	if (snprintf(url, sizeof(url), "%s%s", api->url, path) >= (int)sizeof(url)) {
		complain("the URL is too long", NULL);
		goto out;
	}
	if (api->idempotency_key) {
		if (snprintf(idempotency, sizeof(idempotency), "Idempotency-Key: %s",
			    api->idempotency_key) >= (int)sizeof(idempotency) ||
			strpbrk(api->idempotency_key, "\r\n")) {
			complain("--idempotency-key is one line of at most 180 bytes", NULL);
			goto out;
		}
		headers[0] = idempotency;
	}
	status = api_send(api, &rq, &answer);
	if (status == STATUS_OK)
		status = answer_json(&answer, out);
	buf_wipe(&answer.body);
	httpclient_answer_free(&answer);
out:
	free(text);
	return status;
}

/* Cursors go back as they came, percent-encoded. */
static void put_cursor(struct buf *path, const char *base, const char *cursor)
{
	buf_printf(path, "%s?limit=200", base);
	if (*cursor)
		buf_str(path, "&cursor=");
	for (const unsigned char *p = (const unsigned char *)cursor; *p; p++) {
		if ((*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') ||
			(*p >= 'a' && *p <= 'z') || strchr("-_.~", *p))
			buf_char(path, (char)*p);
		else
			buf_printf(path, "%%%02X", *p);
	}
	buf_char(path, '\0');
}

enum status api_list(const struct api *api, const char *base, const char *name, json_t **out)
{
	json_t *all = json_array(), *page = NULL;
	char cursor[200] = "";
	enum status status = STATUS_OK;

	for (int i = 0; i < PAGES_MAX && status == STATUS_OK; i++) {
		struct buf path;
		buf_init(&path, 2048);
		put_cursor(&path, base, cursor);
		status = api_call(
			api, "GET", path.failed ? base : (const char *)path.data, NULL, &page);
		buf_free(&path);
		if (status != STATUS_OK)
			break;
		json_array_extend(all, json_object_get(page, name));
		if (!str_copy(cursor, sizeof(cursor),
			    member(page, "next_cursor") ? member(page, "next_cursor") : ""))
			complain("the list goes on with a cursor that is too long; what follows is "
				 "left out",
				NULL);
		json_decref(page);
		if (!*cursor)
			break;
	}
	if (status == STATUS_OK)
		*out = all;
	else
		json_decref(all);
	return status;
}

const char *api_slug(const char *tenant)
{
	if (strncmp(tenant, "t_", 2) == 0)
		tenant += 2;
	return text_slug_ok(tenant) ? tenant : NULL;
}

enum status api_tenant_path(const char *tenant, const char *suffix, char out[API_PATH_MAX])
{
	const char *slug = api_slug(tenant);

	if (!slug) {
		complain("a tenant is a slug of a-z, 0-9 and '-' (fintech), or an id (t_fintech), "
			 "not",
			tenant);
		return STATUS_USAGE;
	}
	snprintf(out, API_PATH_MAX, "/v1/admin/tenants/t_%s%s", slug, suffix);
	return STATUS_OK;
}

enum status api_item_path(
	const char *tenant, const char *suffix, const char *id, char out[API_PATH_MAX])
{
	char base[API_PATH_MAX];
	enum status status = api_tenant_path(tenant, suffix, base);
	size_t len = strlen(id);

	if (status != STATUS_OK)
		return status;
	if (len == 0 || len > 100 || text_span(id, "_-") != len) {
		complain("an id holds letters, digits, '-' and '_' only", NULL);
		return STATUS_USAGE;
	}
	snprintf(out, API_PATH_MAX, "%.380s/%.100s", base, id);
	return STATUS_OK;
}

void api_out(struct buf *text)
{
	if (text->failed)
		complain("the answer is too long to show", NULL);
	else
		fwrite(text->data, 1, text->len, stdout);
	buf_wipe(text);
	buf_free(text);
}

enum status api_show_list(const struct args *args, json_t *array, const char *quiet_member,
	const struct print_column *columns, size_t count)
{
	struct buf text;
	const json_t *row;
	size_t i;

	buf_init(&text, 4 * ANSWER_MAX);
	if (args_has(args, ARG_JSON)) {
		print_json(&text, array);
	} else if (args_has(args, ARG_QUIET)) {
		json_array_foreach(array, i, row)
		{
			const char *value = member(row, quiet_member);
			print_plain(&text, value ? value : "");
			buf_char(&text, '\n');
		}
	} else {
		print_table(&text, columns, count, array);
	}
	api_out(&text);
	json_decref(array);
	return STATUS_OK;
}

enum status api_show_object(const struct args *args, json_t *object, const char *quiet_member)
{
	const char *value = member(object, quiet_member);
	struct buf text;

	buf_init(&text, ANSWER_MAX);
	if (args_has(args, ARG_JSON))
		print_json(&text, object);
	else if (args_has(args, ARG_QUIET) && value)
		buf_printf(&text, "%s\n", value);
	else if (!args_has(args, ARG_QUIET))
		print_object(&text, object);
	api_out(&text);
	json_decref(object);
	return STATUS_OK;
}
