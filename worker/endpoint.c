#include "worker/endpoint.h"

#include <stdio.h>
#include <string.h>

#include "shared/mem.h"
#include "shared/text.h"

static const struct scheme {
	const char *prefix;
	bool tls, websocket;
	int port;
} schemes[] = {
	{"https://", true, false, 443},
	{"http://", false, false, 80},
	{"wss://", true, true, 443},
	{"ws://", false, true, 80},
};

static enum rc invalid(char *why, size_t cap, const char *text)
{
	(void)snprintf(why, cap, "%s", text);
	return RC_INVALID;
}

static bool characters_ok(const char *url)
{
	for (; *url != '\0'; url++) {
		if (*url <= ' ' || *url >= 0x7f || strchr("\"<>\\^`{|}@?#", *url) != NULL)
			return false;
	}
	return true;
}

static const struct scheme *find_scheme(const char *url)
{
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
		if (strncmp(url, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
			return &schemes[i];
	}
	return NULL;
}

/* Digits up to the end of the authority, 1 to 65535. */
static bool read_port(const char *p, const char *end, int *port)
{
	long value = 0;

	if (p == end || end - p > 5)
		return false;
	for (; p < end; p++) {
		if (*p < '0' || *p > '9')
			return false;
		value = value * 10 + (*p - '0');
	}
	*port = (int)value;
	return value >= 1 && value <= 65535;
}

static bool read_authority(const char *p, const char *end, struct endpoint *out)
{
	const char *host = p, *host_end, *rest;

	if (p < end && *p == '[') {
		host = p + 1;
		host_end = memchr(host, ']', (size_t)(end - host));
		if (host_end == NULL)
			return false;
		rest = host_end + 1;
	} else {
		host_end = memchr(host, ':', (size_t)(end - host));
		if (host_end == NULL)
			host_end = end;
		rest = host_end;
	}
	if (host_end == host ||
		!str_copy_len(out->host, sizeof out->host, host, (size_t)(host_end - host)))
		return false;
	if (rest < end && (*rest != ':' || !read_port(rest + 1, end, &out->port)))
		return false;
	return str_copy_len(out->authority, sizeof out->authority, p, (size_t)(end - p));
}

enum rc endpoint_parse(const char *url, struct endpoint *out, char *why, size_t why_cap)
{
	struct endpoint e = {0};
	const struct scheme *s = find_scheme(url);

	if (s == NULL)
		return invalid(why, why_cap, "the URL must start with https:// (or wss://)");
	if (strlen(url) >= ENDPOINT_URL_MAX)
		return invalid(why, why_cap, "the URL is too long");
	if (!characters_ok(url))
		return invalid(why, why_cap,
			"the URL may hold no user name, query, fragment, space or control "
			"character");
	e.tls = s->tls;
	e.websocket = s->websocket;
	e.port = s->port;

	const char *p = url + strlen(s->prefix);
	const char *end = p + strcspn(p, "/");
	if (!read_authority(p, end, &e))
		return invalid(why, why_cap, "the URL's host or port is not valid");
	if (!str_copy(e.path, sizeof e.path, *end == '/' ? end : "/"))
		return invalid(why, why_cap, "the URL is too long");
	for (size_t n = strlen(e.path); n > 1 && e.path[n - 1] == '/'; n--)
		e.path[n - 1] = '\0';
	*out = e;
	return RC_OK;
}

bool endpoint_safe(const struct endpoint *e)
{
	return e->tls || text_host_is_loopback(e->host);
}
