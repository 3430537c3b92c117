/* httpclient: one HTTP request with libcurl, for the command line tool and the worker's enrollment.
 * <curl/curl.h> is included here and in the worker's upstream code only. */
#ifndef SHARED_HTTPCLIENT_H
#define SHARED_HTTPCLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/buf.h"
#include "shared/rc.h"

struct httpclient_request {
	const char *method; /* GET, POST, DELETE, PATCH */
	const char *url; /* http or https only; redirects are not followed */
	const char *bearer; /* or NULL; never put in argv */
	const char *const *headers; /* NULL-terminated "Name: value" list, or NULL */
	const void *body; /* or NULL */
	size_t body_len;
	const char *content_type; /* or NULL */
	const char *ca_file; /* or NULL: the system's */
	long timeout_ms;
	size_t max_answer;
	/* Takes the body of a good answer (2xx) as it comes, instead of httpclient_answer.body;
	 * false ends the exchange, which is then RC_CONFLICT. timeout_ms is then how long nothing
	 * may come; 0: for ever. */
	bool (*sink)(void *ctx, const void *bytes, size_t len);
	void *ctx;
};
struct httpclient_answer {
	int status;
	char content_type[80];
	char request_id[64]; /* X-Request-Id */
	struct buf body; /* NUL-terminated one past len */
};
/* RC_UNAVAILABLE with a sentence in why when there was no answer (DNS, refused, TLS, time-out);
 * RC_LIMIT when it was longer than max_answer; RC_INVALID when a header or the credential holds a
 * line break. *out is filled by RC_OK alone; caller frees it with httpclient_answer_free(). */
enum rc httpclient_do(const struct httpclient_request *rq, struct httpclient_answer *out, char *why,
	size_t why_cap) MUST_CHECK;
void httpclient_answer_free(struct httpclient_answer *a);

#endif
