#include "fcgi-app/mcp_front.h"

#include <string.h>

#include "shared/mem.h"
#include "shared/text.h"

#define HOST_MAX 255

/* "example.com:8080" -> "example.com", "[::1]:8080" -> "::1". */
static bool host_name(const char *authority, size_t len, char out[HOST_MAX + 1])
{
	const char *end;

	if (len > 0 && *authority == '[') {
		end = memchr(authority, ']', len);
		if (!end)
			return false;
		return str_copy_len(
			out, HOST_MAX + 1, authority + 1, (size_t)(end - authority) - 1);
	}
	end = memchr(authority, ':', len);
	if (end)
		len = (size_t)(end - authority);
	if (len > 0 && authority[len - 1] == '.')
		len--; /* the root's dot */
	return len > 0 && str_copy_len(out, HOST_MAX + 1, authority, len);
}

bool mcp_front_host_ok(const char *host, const char *public_url)
{
	const char *authority = strstr(public_url, "://");
	char own[HOST_MAX + 1], asked[HOST_MAX + 1];

	if (!authority || !host_name(authority + 3, strcspn(authority + 3, "/?#"), own) ||
		!host_name(host, strlen(host), asked))
		return false;
	return text_equal_nocase(asked, own) ||
		(text_host_is_loopback(own) && text_host_is_loopback(asked));
}

bool mcp_front_same_origin(const char *origin, const char *host)
{
	if (!strncmp(origin, "https://", 8))
		return text_equal_nocase(origin + 8, host);
	return !strncmp(origin, "http://", 7) && text_equal_nocase(origin + 7, host);
}
