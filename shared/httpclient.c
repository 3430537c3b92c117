#include "shared/httpclient.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "shared/log.h"
#include "shared/mem.h"

#define CONNECT_TIMEOUT_MS 10000L

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		die("libcurl can't be initialised");
}

/* What one exchange owns. */
struct exchange {
	CURL *curl;
	struct curl_slist *headers;
	struct buf body;
	bool too_long;
	bool refused; /* by the sink */
	const struct httpclient_request *rq;
	char error[CURL_ERROR_SIZE];
};

static bool add_header(struct exchange *x, const char *line)
{
	struct curl_slist *longer = curl_slist_append(x->headers, line);

	if (!longer)
		return false;
	x->headers = longer;
	return true;
}

/* A line break in a value would start a header of the value's own. */
static bool one_line(const char *s)
{
	return s[strcspn(s, "\r\n")] == '\0';
}

static bool add_bearer(struct exchange *x, const char *bearer)
{
	struct buf line;

	buf_init(&line, 65536);
	buf_str(&line, "Authorization: Bearer ");
	buf_str(&line, bearer);
	buf_char(&line, '\0');
	bool ok = !line.failed && add_header(x, (const char *)line.data);
	buf_wipe(&line);
	buf_free(&line);
	return ok;
}

static bool add_headers(struct exchange *x, const struct httpclient_request *rq)
{
	char line[160];

	/* No "Expect: 100-continue", which costs a round trip, and no type that curl would make up.
	 */
	if (!add_header(x, "Expect:"))
		return false;
	int n = rq->content_type
		? snprintf(line, sizeof(line), "Content-Type: %s", rq->content_type)
		: snprintf(line, sizeof(line), "Content-Type:");
	if (n < 0 || (size_t)n >= sizeof(line) || !one_line(line) || !add_header(x, line))
		return false;
	for (const char *const *h = rq->headers; h && *h; h++) {
		if (!one_line(*h) || !add_header(x, *h))
			return false;
	}
	return !rq->bearer || (one_line(rq->bearer) && add_bearer(x, rq->bearer));
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct exchange *x = arg;
	long status = 0;

	if (x->rq->sink &&
		curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
		status >= 200 && status <= 299) {
		x->refused = !x->rq->sink(x->rq->ctx, bytes, size * count);
		return x->refused ? 0 : size * count;
	}
	buf_add(&x->body, bytes, size * count);
	x->too_long = x->body.failed;
	return x->too_long ? 0 : size * count;
}

static void set_options(struct exchange *x, const struct httpclient_request *rq)
{
	CURL *curl = x->curl;

	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, x->error);
	curl_easy_setopt(curl, CURLOPT_URL, rq->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "airlock/" AIRLOCK_VERSION);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, x->headers);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, rq->method);
	if (rq->sink) {
		curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
		curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (rq->timeout_ms + 999) / 1000);
	} else {
		curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, rq->timeout_ms);
	}
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
		rq->timeout_ms && rq->timeout_ms < CONNECT_TIMEOUT_MS ? rq->timeout_ms
								      : CONNECT_TIMEOUT_MS);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
	if (rq->ca_file)
		curl_easy_setopt(curl, CURLOPT_CAINFO, rq->ca_file);
	if (rq->body || strcmp(rq->method, "GET") != 0) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, rq->body ? rq->body : "");
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
			(curl_off_t)(rq->body ? rq->body_len : 0));
	}
}

static enum rc take_answer(struct exchange *x, struct httpclient_answer *out)
{
	struct curl_header *id;
	long status = 0;
	const char *type = NULL;

	memset(out, 0, sizeof(*out));
	curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(x->curl, CURLINFO_CONTENT_TYPE, &type);
	out->status = (int)status;
	if (type && !str_copy(out->content_type, sizeof(out->content_type), type))
		log_debug("an answer's Content-Type is too long and is left out");
	if (curl_easy_header(x->curl, "X-Request-Id", 0, CURLH_HEADER, -1, &id) == CURLHE_OK &&
		!str_copy(out->request_id, sizeof(out->request_id), id->value))
		log_debug("an answer's X-Request-Id is too long and is left out");
	/* The NUL is behind the length: one past what the caller sees. */
	buf_char(&x->body, '\0');
	if (x->body.failed)
		return RC_UNAVAILABLE;
	x->body.len--;
	out->body = x->body;
	buf_init(&x->body, 0);
	return RC_OK;
}

static enum rc perform(struct exchange *x, const struct httpclient_request *rq,
	struct httpclient_answer *out, char *why, size_t why_cap)
{
	set_options(x, rq);
	CURLcode code = curl_easy_perform(x->curl);
	if (x->refused) {
		snprintf(why, why_cap, "what came could not be taken");
		return RC_CONFLICT;
	}
	if (x->too_long || x->body.len > rq->max_answer) {
		snprintf(why, why_cap, "the answer is longer than %zu bytes", rq->max_answer);
		return RC_LIMIT;
	}
	if (code == CURLE_OK) {
		snprintf(why, why_cap, "out of memory");
		return take_answer(x, out);
	}
	snprintf(why, why_cap, "%s", x->error[0] ? x->error : curl_easy_strerror(code));
	return RC_UNAVAILABLE;
}

enum rc httpclient_do(const struct httpclient_request *rq, struct httpclient_answer *out, char *why,
	size_t why_cap)
{
	struct exchange x = {.rq = rq};
	enum rc rc;

	pthread_once(&once, init);
	/* One byte more: for the NUL. */
	buf_init(&x.body, rq->max_answer < SIZE_MAX - 1 ? rq->max_answer + 1 : rq->max_answer);
	x.curl = curl_easy_init();
	if (!x.curl) {
		snprintf(why, why_cap, "out of memory");
		rc = RC_UNAVAILABLE;
	} else if (!add_headers(&x, rq)) {
		snprintf(why, why_cap,
			"a header or the credential holds a line break or is too long");
		rc = RC_INVALID;
	} else {
		rc = perform(&x, rq, out, why, why_cap);
	}
	curl_easy_cleanup(x.curl);
	for (struct curl_slist *h = x.headers; h; h = h->next)
		mem_wipe(h->data, strlen(h->data));
	curl_slist_free_all(x.headers);
	buf_free(&x.body);
	return rc;
}

void httpclient_answer_free(struct httpclient_answer *a)
{
	/* It may hold a credential that was shown once. */
	buf_wipe(&a->body);
	buf_free(&a->body);
}
