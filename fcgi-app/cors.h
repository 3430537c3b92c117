/* cors: which web pages may call us from a browser: those of the allow-list
 * (AIRLOCK_CP_ALLOWED_ORIGINS) and those of the public URL's own origin. */
#ifndef FCGI_APP_CORS_H
#define FCGI_APP_CORS_H

#include <stdbool.h>

#include "fcgi-app/http.h"

/* Pure. origin is an Origin header; "null" is never allowed. */
bool cors_origin_ok(const struct config *config, const char *origin);
/* Adds the CORS headers that the request's Origin asks for and is allowed. RC_CONFLICT: the header
 * came twice. */
enum rc cors_apply(struct request *rq) MUST_CHECK;
/* Answers an OPTIONS request about a path that takes these methods ("GET, POST"). */
void cors_preflight(struct request *rq, const char *allow);

#endif
