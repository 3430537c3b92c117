#include "fcgi-app/http_parse.h"

#include <string.h>

#include "shared/mem.h"
#include "shared/text.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The byte at *p, percent-decoded, and *p moved past it; -1 for a malformed escape. */
static int decode_one(const char **p, const char *end)
{
	int high;
	int low;

	if (**p != '%')
		return (unsigned char)*(*p)++;
	if (end - *p < 3)
		return -1;
	high = hex_digit((*p)[1]);
	low = hex_digit((*p)[2]);
	if (high < 0 || low < 0)
		return -1;
	*p += 3;
	return high * 16 + low;
}

static bool is_control(int c)
{
	return c < 0x20 || c == 0x7F;
}

/* No control characters (this includes an encoded NUL), UTF-8. */
static bool clean(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (is_control((unsigned char)s[i]))
			return false;
	}
	return text_utf8_ok(s, len);
}

static enum rc decode(const char *from, const char *end, bool plus_is_space, char *out, size_t cap)
{
	size_t len = 0;

	while (from < end) {
		bool plus = plus_is_space && *from == '+';
		int c = decode_one(&from, end);

		if (c < 0)
			return RC_INVALID;
		if (len + 1 >= cap)
			return RC_LIMIT;
		out[len++] = plus ? ' ' : (char)c;
	}
	out[len] = '\0';
	return clean(out, len) ? RC_OK : RC_INVALID;
}

/* No empty segment but a last one, no "." and no "..". */
static bool segments_ok(const char *path)
{
	const char *p = path;

	while (*p == '/') {
		size_t len = strcspn(++p, "/");

		if ((len == 0 && *p) || (len == 1 && p[0] == '.') ||
			(len == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += len;
	}
	return true;
}

static bool has_encoded_slash(const char *from, const char *end)
{
	for (; end - from >= 3; from++) {
		if (from[0] == '%' && from[1] == '2' && (from[2] == 'F' || from[2] == 'f'))
			return true;
	}
	return false;
}

static enum rc take_query(const char *from, char *query, size_t cap)
{
	for (const char *p = from; *p; p++) {
		if (is_control((unsigned char)*p) || *p == ' ' || *p == '#')
			return RC_INVALID;
	}
	return str_copy(query, cap, from) ? RC_OK : RC_LIMIT;
}

enum rc http_parse_target(
	const char *uri, char *path, size_t path_cap, char *query, size_t query_cap)
{
	const char *end = uri + strcspn(uri, "?");
	enum rc rc;

	path[0] = query[0] = '\0';
	if (uri[0] != '/' || memchr(uri, '#', (size_t)(end - uri)) ||
		memchr(uri, ' ', (size_t)(end - uri)) || has_encoded_slash(uri, end))
		return RC_INVALID;
	rc = decode(uri, end, false, path, path_cap);
	if (rc == RC_OK && !segments_ok(path))
		rc = RC_INVALID;
	if (rc == RC_OK && *end)
		rc = take_query(end + 1, query, query_cap);
	if (rc != RC_OK)
		path[0] = query[0] = '\0';
	return rc;
}

/* Names are compared after decoding: "%6cimit" is "limit", for us as for everybody else. */
static bool name_is(const char *from, const char *end, const char *name)
{
	size_t len = strlen(name);
	size_t i = 0;

	while (from < end) {
		int c = decode_one(&from, end);

		if (c < 0 || i == len || c != (unsigned char)name[i++])
			return false;
	}
	return i == len;
}

enum rc http_parse_query(const char *query, const char *name, char *out, size_t cap)
{
	enum rc rc = RC_NOTFOUND;

	out[0] = '\0';
	while (*query && rc != RC_CONFLICT) {
		const char *end = query + strcspn(query, "&");
		const char *equals = memchr(query, '=', (size_t)(end - query));

		if (name_is(query, equals ? equals : end, name))
			rc = rc != RC_NOTFOUND
				? RC_CONFLICT
				: decode(equals ? equals + 1 : end, end, true, out, cap);
		query = *end ? end + 1 : end;
	}
	if (rc != RC_OK)
		out[0] = '\0';
	return rc;
}

bool http_parse_query_known(const char *query, const char *const *names)
{
	while (*query) {
		const char *end = query + strcspn(query, "&");
		const char *equals = memchr(query, '=', (size_t)(end - query));
		const char *const *name = names;

		while (*name && !name_is(query, equals ? equals : end, *name))
			name++;
		if (!*name && end > query)
			return false;
		query = *end ? end + 1 : end;
	}
	return true;
}

enum rc http_parse_cookie(const char *header, const char *name, char *out, size_t cap)
{
	size_t name_len = strlen(name);
	enum rc rc = RC_NOTFOUND;

	out[0] = '\0';
	while (*header && rc != RC_CONFLICT) {
		const char *end;

		header += strspn(header, " \t");
		end = header + strcspn(header, ";");
		if ((size_t)(end - header) > name_len && !memcmp(header, name, name_len) &&
			header[name_len] == '=') {
			const char *value = header + name_len + 1;

			if (rc != RC_NOTFOUND)
				rc = RC_CONFLICT;
			else if (!clean(value, (size_t)(end - value)))
				rc = RC_INVALID;
			else
				rc = str_copy_len(out, cap, value, (size_t)(end - value))
					? RC_OK
					: RC_LIMIT;
		}
		header = *end ? end + 1 : end;
	}
	if (rc != RC_OK)
		out[0] = '\0';
	return rc;
}

enum rc http_parse_bearer(const char *header, const char **token)
{
	static const char scheme[] = "bearer";
	size_t len;

	for (size_t i = 0; i < sizeof(scheme) - 1; i++, header++) {
		if ((*header | 0x20) != scheme[i])
			return RC_INVALID;
	}
	if (*header != ' ')
		return RC_INVALID;
	header += strspn(header, " ");
	len = text_span(header, "-._~+/");
	if (len == 0 || len > HTTP_TOKEN_MAX || header[len + strspn(header + len, "=")] != '\0')
		return RC_INVALID;
	*token = header;
	return RC_OK;
}

enum rc http_parse_length(const char *text, int64_t *out)
{
	int64_t n = 0;

	if (!text || !*text || !strcmp(text, "-1")) {
		*out = -1;
		return RC_OK;
	}
	/* 18 digits always fit. */
	if (strlen(text) > 18 || text[strspn(text, "0123456789")])
		return RC_INVALID;
	for (; *text; text++)
		n = n * 10 + (*text - '0');
	*out = n;
	return RC_OK;
}

bool http_parse_type_is(const char *content_type, const char *type)
{
	char own[64];
	size_t len = strcspn(content_type, "; \t");
	const char *rest = content_type + len;

	rest += strspn(rest, " \t");
	return (*rest == ';' || !*rest) && str_copy_len(own, sizeof(own), content_type, len) &&
		text_equal_nocase(own, type);
}

bool http_parse_request_id_ok(const char *id)
{
	size_t len = strlen(id);

	return len >= 8 && len <= 31 && text_span(id, "_-") == len;
}

bool http_parse_method_ok(const char *method)
{
	size_t len = strlen(method);

	return len >= 1 && len <= 15 && strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == len;
}

bool http_parse_idempotency_key_ok(const char *key)
{
	size_t len = strlen(key);

	for (size_t i = 0; i < len; i++) {
		if (key[i] <= ' ' || key[i] > '~' || key[i] == ',')
			return false;
	}
	return len >= 1 && len <= 128;
}

bool http_parse_is_content(const char *header)
{
	return (header[0] | 0x20) == 'c' &&
		(text_equal_nocase(header, "Content-Type") ||
			text_equal_nocase(header, "Content-Length"));
}

bool http_parse_param_name(const char *header, char *out, size_t cap)
{
	size_t at = http_parse_is_content(header) ? 0 : HTTP_PREFIX_LEN;

	if (at >= cap)
		return false;
	memcpy(out, HTTP_PREFIX, at);
	for (; *header; header++) {
		char c = *header;

		if (at + 1 >= cap)
			return false;
		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		out[at++] = c == '-' ? '_' : c;
	}
	out[at] = '\0';
	return true;
}
