#include <stdlib.h>
#include <string.h>

#include "fcgi-app/http_parse.h"
#include "shared/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* What a path must never have, however it was spelled. */
static void check_path(const char *path)
{
	check(path[0] == '/' && text_utf8_ok(path, strlen(path)));
	check(!strstr(path, "//") && !strstr(path, "/../") && !strstr(path, "/./"));
	for (; *path; path++)
		check((unsigned char)*path >= 0x20 && *path != 0x7F);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	char path[129];
	char query[129];
	char out[65];
	char name[33];
	const char *token;
	int64_t n;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (http_parse_target(text, path, sizeof(path), query, sizeof(query)) == RC_OK)
		check_path(path);
	else
		check(!*path && !*query);
	if (http_parse_query(text, "a", out, sizeof(out)) != RC_OK)
		check(!*out);
	if (http_parse_cookie(text, "a", out, sizeof(out)) != RC_OK)
		check(!*out);
	if (http_parse_bearer(text, &token) == RC_OK)
		check(*token && strlen(token) <= size && !strpbrk(token, " ,\t\r\n"));
	if (http_parse_length(text, &n) == RC_OK)
		check(n >= -1);
	(void)http_parse_type_is(text, "application/json");
	check(!http_parse_request_id_ok(text) || strlen(text) <= 31);
	check(!http_parse_method_ok(text) || strlen(text) <= 15);
	check(!http_parse_idempotency_key_ok(text) || strlen(text) <= 128);
	if (http_parse_param_name(text, name, sizeof(name)))
		check(!strpbrk(name, "-abcdefghijklmnopqrstuvwxyz"));
	free(text);
	return 0;
}
