#include "fcgi-app/cors.h"

#include <string.h>

#include "shared/mem.h"
#include "shared/text.h"

#define ORIGIN_MAX 300

/* scheme://host[:port] in lower case without path and default port; "" when not http(s). */
static void normal_origin(const char *url, char out[ORIGIN_MAX])
{
	const char *authority = strstr(url, "://");
	size_t len;

	out[0] = '\0';
	if (!authority)
		return;
	authority += 3;
	len = (size_t)(authority - url) + strcspn(authority, "/?#");
	if (!str_copy_len(out, ORIGIN_MAX, url, len))
		return;
	for (char *p = out; *p; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	}
	if (!strncmp(out, "https://", 8) && len > 12 && !strcmp(out + len - 4, ":443"))
		out[len - 4] = '\0';
	else if (!strncmp(out, "http://", 7) && len > 10 && !strcmp(out + len - 3, ":80"))
		out[len - 3] = '\0';
	else if (strncmp(out, "https://", 8) != 0 && strncmp(out, "http://", 7) != 0)
		out[0] = '\0';
}

bool cors_origin_ok(const struct config *config, const char *origin)
{
	char own[ORIGIN_MAX];
	char theirs[ORIGIN_MAX];

	normal_origin(origin, theirs);
	/* An origin has no path: one that is not normal already is not a browser's. */
	if (!*theirs || !text_equal_nocase(origin, theirs))
		return false;
	for (int i = 0; i < config->origin_count; i++) {
		if (!strcmp(config->origins[i], theirs))
			return true;
	}
	normal_origin(config->public_url, own);
	return !strcmp(own, theirs);
}

enum rc cors_apply(struct request *rq)
{
	const char *origin;
	enum rc rc = http_header_once(rq, "Origin", &origin);

	/* Answers differ by origin, also for caches that have seen one without. */
	http_add_header(rq, "Vary", "Origin");
	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc != RC_OK)
		return rc;
	if (!cors_origin_ok(rq->config, origin))
		return RC_OK;
	http_add_header(rq, "Access-Control-Allow-Origin", origin);
	http_add_header(rq, "Access-Control-Allow-Credentials", "true");
	http_add_header(rq, "Access-Control-Expose-Headers",
		"X-Request-Id, WWW-Authenticate, Mcp-Session-Id, Retry-After");
	return RC_OK;
}

void cors_preflight(struct request *rq, const char *allow)
{
	const char *origin;

	http_add_header(rq, "Allow", allow);
	if (http_header(rq, "Access-Control-Request-Method") &&
		http_header_once(rq, "Origin", &origin) == RC_OK &&
		cors_origin_ok(rq->config, origin)) {
		http_add_header(rq, "Access-Control-Allow-Methods", allow);
		/* Mcp-Param-* has no fixed names and a wildcard does not count with credentials:
		 * the page's own wish is granted where it is a plain list of header names. */
		const char *asked = http_header(rq, "Access-Control-Request-Headers");
		bool plain = asked && strlen(asked) < 1000 && !asked[text_span(asked, "-, ")];

		http_add_header(rq, "Access-Control-Allow-Headers",
			plain ? asked
			      : "Authorization, Content-Type, Accept, Idempotency-Key, "
				"X-Airlock-Csrf, "
				"X-Request-Id, MCP-Protocol-Version, Mcp-Session-Id, Mcp-Method, "
				"Mcp-Name, Last-Event-ID");
		http_add_header(rq, "Access-Control-Max-Age", "600");
	}
	http_reply(rq, 204, NULL, NULL, 0);
}
