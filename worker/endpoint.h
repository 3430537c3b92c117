/* endpoint: a control plane URL taken apart, and whether it is safe to speak to. Pure. */
#ifndef WORKER_ENDPOINT_H
#define WORKER_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/rc.h"

#define ENDPOINT_URL_MAX 512

struct endpoint {
	bool tls;
	bool websocket; /* ws or wss, not http or https */
	char host[256]; /* without brackets */
	int port;
	char authority[300]; /* host and port as the Host header wants them */
	char path[ENDPOINT_URL_MAX]; /* starts with '/'; no trailing slash unless it is all there is
				      */
};

/* http, https, ws or wss with a host. RC_INVALID with a sentence in why for anything else: user
 * info, a query, a fragment, space or control characters. */
enum rc endpoint_parse(const char *url, struct endpoint *out, char *why, size_t why_cap) MUST_CHECK;
/* Encrypted, or to this machine. */
bool endpoint_safe(const struct endpoint *e);

#endif
