#include "fcgi-app/http.h"

#include <errno.h>
#include <fcgiapp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fcgi-app/fcgi_record.h"
#include "fcgi-app/http_parse.h"
#include "shared/clock.h"
#include "shared/jscan.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/store.h"

#define PARAM_BYTES_MAX 131072
#define ADMIN_BODY_MAX 65536
#define EXTRA_HEADERS_MAX 8192
/* How long a body may take to arrive, in all; between two reads, the loop's time limit on the
 * connection. */
#define BODY_MS 60000
/* What is read away of a body nobody wanted, so that the connection can be used again. */
#define DRAIN_BYTES_MAX 33554432
#define DRAIN_MS 5000
/* A longer answer is not copied into libfcgi's buffer. */
#define LONG_BYTES 16384
#define RECORDS_AT_ONCE 8
#define DRAIN_READ_S 5

static FCGX_Request *fcgx(const struct request *rq)
{
	return rq->fcgx;
}

/* --- reading: parameters and headers ----------------------------------------------------- */

/* Of a name that is not empty. Many begin alike. */
static size_t name_hash(const char *name, size_t len)
{
	size_t last = (unsigned char)name[len - 1], middle = (unsigned char)name[len / 2];

	return (len + 3 * last + 5 * middle) %
		(sizeof(((struct http_index *)0)->first) / sizeof(uint16_t));
}

/* False: there are too many, or they are too long. Those that are in the index count all the same.
 */
static bool index_params(struct request *rq)
{
	char **params = fcgx(rq)->envp;
	size_t count = 0, bytes = 0;
	bool bounded = true;

	while (params && params[count] && count < HTTP_PARAMS_MAX) {
		size_t len = strlen(params[count++]);

		bytes += len;
		bounded = bounded && len <= HTTP_HEADER_MAX + HTTP_PATH_MAX;
	}
	bounded = bounded && bytes <= PARAM_BYTES_MAX && !(params && params[count]);
	/* Backwards, so that of equal names the first comes first. */
	while (count-- > 0) {
		const char *p = params[count], *equals = strchr(p, '=');
		uint16_t *first;

		if (!equals || equals == p)
			continue;
		first = &rq->params.first[name_hash(p, (size_t)(equals - p))];
		rq->params.next[count] = *first;
		*first = (uint16_t)(count + 1);
	}
	return bounded;
}

/* How often a parameter is there; *value is its first. nginx repeats parameters for repeated
 * headers. */
static int param_count(const struct request *rq, const char *name, const char **value)
{
	size_t len = strlen(name);
	int count = 0;

	*value = NULL;
	for (uint16_t i = rq->params.first[name_hash(name, len)]; i; i = rq->params.next[i - 1]) {
		const char *p = fcgx(rq)->envp[i - 1];

		if (strncmp(p, name, len) != 0 || p[len] != '=')
			continue;
		if (count++ == 0)
			*value = p + len + 1;
	}
	return count;
}

static const char *param(const struct request *rq, const char *name)
{
	const char *value;

	(void)param_count(rq, name, &value);
	return value;
}

static int header_count(const struct request *rq, const char *name, const char **value)
{
	/* Room for a prefix. */
	char names[HTTP_PREFIX_LEN + 128] = HTTP_PREFIX, *cgi_name = names + HTTP_PREFIX_LEN;
	int count;

	*value = NULL;
	if (!http_parse_param_name(name, cgi_name, sizeof(names) - HTTP_PREFIX_LEN))
		return 0;
	count = param_count(rq, cgi_name, value);
	/* Two headers have a CGI name of their own, which is there, empty, when the client sent
	 * none. */
	if (http_parse_is_content(name)) {
		const char *other;

		/* This one nginx repeats and Caddy joins; the other has the first alone. */
		if (param_count(rq, names, &other) > 1 || (other && strchr(other, ',')))
			count = 2;
		if (*value && !**value) {
			*value = NULL;
			count = 0;
		}
	}
	return count;
}

const char *http_header(const struct request *rq, const char *name)
{
	const char *value;

	(void)header_count(rq, name, &value);
	return value;
}

enum rc http_header_once(const struct request *rq, const char *name, const char **value)
{
	int count = header_count(rq, name, value);

	if (count > 1 || (*value && strchr(*value, ','))) {
		*value = NULL;
		return RC_CONFLICT;
	}
	return *value ? RC_OK : RC_NOTFOUND;
}

enum rc http_bearer(const struct request *rq, const char **token)
{
	const char *header;
	enum rc rc = http_header_once(rq, "Authorization", &header);

	*token = NULL;
	return rc == RC_OK ? http_parse_bearer(header, token) : rc;
}

enum rc http_cookie(const struct request *rq, const char *name, char *out, size_t cap)
{
	const char *header;
	int count = header_count(rq, "Cookie", &header);
	enum rc rc;

	out[0] = '\0';
	if (count != 1)
		return count ? RC_CONFLICT : RC_NOTFOUND;
	rc = http_parse_cookie(header, name, out, cap);
	return rc == RC_LIMIT ? RC_INVALID : rc;
}

enum rc http_query(const struct request *rq, const char *name, char *out, size_t cap)
{
	enum rc rc = http_parse_query(rq->query, name, out, cap);

	return rc == RC_OK || rc == RC_NOTFOUND ? rc : RC_INVALID;
}

int http_fd(const struct request *rq)
{
	return fcgx(rq)->ipcFd;
}

/* --- a request's beginning and end ------------------------------------------------------- */

static void begin_log(struct request *rq)
{
	audit_init(&rq->who, "");
	(void)str_copy(rq->who.request_id, sizeof(rq->who.request_id), rq->request_id);
	(void)str_copy(rq->who.remote_ip, sizeof(rq->who.remote_ip), rq->remote_ip);
	log_context(rq->request_id, NULL, rq->remote_ip);
}

static void identify(struct request *rq)
{
	const char *id = param(rq, "HTTP_X_REQUEST_ID");
	const char *peer = param(rq, "REMOTE_ADDR");

	if (!id || !http_parse_request_id_ok(id) ||
		!str_copy(rq->request_id, sizeof(rq->request_id), id))
		crypto_id("req", rq->request_id, sizeof(rq->request_id));
	clientip_resolve(peer ? peer : "", param(rq, "HTTP_X_FORWARDED_FOR"),
		rq->config->trusted_proxies, rq->config->trusted_proxy_count, rq->remote_ip);
	begin_log(rq);
}

/* What is wrong with the request line, or NULL. */
static const char *request_line(struct request *rq, bool bounded)
{
	const char *method = param(rq, "REQUEST_METHOD");
	const char *uri = param(rq, "REQUEST_URI");

	if (!bounded)
		return "There are too many headers, or they are too long.";
	if (!method || !http_parse_method_ok(method) ||
		!str_copy(rq->method, sizeof(rq->method), method))
		return "The request method is missing or malformed.";
	if (!uri)
		return "The web server in front does not pass REQUEST_URI.";
	switch (http_parse_target(uri, rq->path, sizeof(rq->path), rq->query, sizeof(rq->query))) {
	case RC_OK:
		return NULL;
	case RC_LIMIT:
		return "The path or the query is longer than 1024 bytes.";
	default:
		return "The path is malformed: it must be valid percent-encoded UTF-8 without "
		       "control "
		       "characters, encoded slashes, empty segments, \".\" or \"..\".";
	}
}

bool http_start(
	struct request *rq, const struct app *app, const struct config *config, void *request)
{
	const char *wrong;
	bool bounded;

	rq->app = app;
	rq->config = config;
	rq->fcgx = request;
	rq->started_us = clock_mono_us();
	rq->pattern = "";
	buf_init(&rq->body, 0);
	buf_init(&rq->headers, EXTRA_HEADERS_MAX);
	bounded = index_params(rq);
	identify(rq);
	wrong = request_line(rq, bounded);
	if (!wrong)
		return true;
	http_problem(rq, PROBLEM_BAD_REQUEST, wrong);
	return false;
}

bool http_defer(struct request *rq)
{
	rq->deferred = rq->deferred || rq->loop;
	return rq->deferred;
}

void http_again(struct request *rq)
{
	rq->loop = NULL;
	rq->deferred = false;
	rq->pattern = "";
	rq->by_cookie = false;
	buf_reset(&rq->headers);
	begin_log(rq);
}

/* Takes what the stream has, without a copy, once it has anything. 0 at the end or on an error. */
static size_t next_bytes(FCGX_Stream *in, struct buf *to)
{
	int first = FCGX_GetChar(in);
	size_t len;

	if (first == -1)
		return 0;
	len = (size_t)(in->stop - in->rdNext);
	if (to) {
		buf_char(to, (char)first);
		buf_add(to, in->rdNext, len);
	}
	in->rdNext += len;
	return len + 1;
}

/* libfcgi does not skip what a handler left unread: on a kept connection it would be taken for the
 * beginning of the next request, and that one would be lost. So it is read away, or else the
 * connection is closed. */
static void drain(const struct request *rq)
{
	FCGX_Stream *in = fcgx(rq)->in;
	const struct timeval patience = {.tv_sec = DRAIN_READ_S};
	const char *length = param(rq, "CONTENT_LENGTH");
	int64_t deadline = clock_mono_ms() + DRAIN_MS;
	size_t total = 0;
	size_t len;

	if (FCGX_HasSeenEOF(in))
		return;
	/* Somebody may still be sending: the answer goes out first. Without a body its end has come
	 * already. */
	if (length && *length && strcmp(length, "0") != 0)
		(void)FCGX_FFlush(fcgx(rq)->out);
	(void)setsockopt(http_fd(rq), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while ((len = next_bytes(in, NULL)) > 0) {
		total += len;
		if (total > DRAIN_BYTES_MAX || clock_mono_ms() > deadline)
			break;
	}
	if (len > 0 || FCGX_GetError(in))
		fcgx(rq)->keepConnection = 0;
}

/* libfcgi closes a connection with patience: it waits for the front to close too, up to two
 * seconds. That is needed only when something was left unread. */
static void end_request(FCGX_Request *f)
{
	bool keep = f->keepConnection;

	if (!FCGX_HasSeenEOF(f->in) || FCGX_GetError(f->in)) {
		f->keepConnection = 0;
		FCGX_Finish_r(f);
		return;
	}
	keep = FCGX_FClose(f->err) == 0 && keep;
	keep = FCGX_FClose(f->out) == 0 && FCGX_GetError(f->in) == 0 && keep;
	FCGX_Free(f, 0);
	if (keep)
		return;
	(void)close(f->ipcFd);
	f->ipcFd = -1;
}

void http_finish(struct request *rq)
{
	if (!rq->answered) {
		log_err("no answer was made for %s %s", rq->method, rq->pattern);
		http_problem(rq, PROBLEM_INTERNAL, NULL);
	}
	drain(rq);
	end_request(fcgx(rq));
	/* Bodies may hold credentials or arguments. */
	buf_wipe(&rq->body);
	buf_free(&rq->body);
	buf_free(&rq->headers);
	log_context(NULL, NULL, NULL);
}

/* --- the body ---------------------------------------------------------------------------- */

static enum rc read_body(struct request *rq, size_t max)
{
	FCGX_Stream *in = fcgx(rq)->in;
	int64_t deadline = clock_mono_ms() + BODY_MS;
	const char *text;
	int64_t length;

	/* Two lengths that differ are how requests are smuggled. */
	if (header_count(rq, "Content-Length", &text) > 1 ||
		http_parse_length(text, &length) != RC_OK)
		return RC_INVALID;
	if (length > (int64_t)max)
		return RC_LIMIT;
	buf_init(&rq->body, max);
	if (length > 0 && !buf_reserve(&rq->body, (size_t)length))
		return RC_UNAVAILABLE;
	while (!rq->body.failed && clock_mono_ms() <= deadline && next_bytes(in, &rq->body) > 0)
		;
	if (rq->body.failed)
		return RC_LIMIT;
	if (FCGX_GetError(in) || !FCGX_HasSeenEOF(in) ||
		(length >= 0 && (size_t)length != rq->body.len))
		return RC_INVALID;
	return RC_OK;
}

static enum rc body_up_to(struct request *rq, size_t max)
{
	if (!rq->body_read) {
		rq->body_read = true;
		rq->body_rc = read_body(rq, max);
	}
	return rq->body_rc;
}

enum rc http_body(struct request *rq)
{
	return body_up_to(rq, (size_t)rq->config->max_request_bytes);
}

static enum rc wrong_body(struct request *rq, enum problem p, const char *detail)
{
	http_problem(rq, p, detail);
	return RC_INVALID;
}

static enum rc parse_json(struct request *rq, json_t **out)
{
	const char *text = (const char *)rq->body.data;
	struct jscan value;

	/* jscan bounds the depth before jansson recurses on our small stack. */
	if (jscan_parse(text, rq->body.len, &value) == RC_OK && value.kind == JSCAN_OBJECT) {
		*out = json_loadb(text, rq->body.len, JSON_REJECT_DUPLICATES, NULL);
		if (*out)
			return RC_OK;
	}
	return wrong_body(rq, PROBLEM_INVALID_JSON, "Send one JSON object with each member once.");
}

enum rc http_body_json(struct request *rq, json_t **out)
{
	const char *type;
	enum rc type_rc = http_header_once(rq, "Content-Type", &type);
	enum rc rc;

	*out = NULL;
	if (type_rc == RC_CONFLICT)
		return wrong_body(rq, PROBLEM_AMBIGUOUS_HEADER, "Send Content-Type once.");
	rc = body_up_to(rq, ADMIN_BODY_MAX);
	if (rc == RC_LIMIT)
		return wrong_body(rq, PROBLEM_TOO_LARGE, "This body may have at most 65536 bytes.");
	if (rc == RC_UNAVAILABLE)
		return wrong_body(rq, PROBLEM_INTERNAL, NULL);
	if (rc != RC_OK)
		return wrong_body(
			rq, PROBLEM_BAD_REQUEST, "The body ended early or took too long.");
	if (rq->body.len == 0) {
		*out = json_object();
		return *out ? RC_OK : wrong_body(rq, PROBLEM_INTERNAL, NULL);
	}
	if (type_rc != RC_OK || !http_parse_type_is(type, "application/json"))
		return wrong_body(
			rq, PROBLEM_UNSUPPORTED_MEDIA, "Send Content-Type: application/json.");
	return parse_json(rq, out);
}

/* --- the answer -------------------------------------------------------------------------- */

static const char *reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 201:
		return "Created";
	case 202:
		return "Accepted";
	case 204:
		return "No Content";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 409:
		return "Conflict";
	case 413:
		return "Content Too Large";
	case 415:
		return "Unsupported Media Type";
	case 422:
		return "Unprocessable Content";
	case 429:
		return "Too Many Requests";
	case 500:
		return "Internal Server Error";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	default:
		return status < 400 ? "OK" : "Error";
	}
}

static void put_header(struct buf *b, const char *name, const char *value)
{
	buf_str(b, name);
	buf_str(b, ": ");
	buf_str(b, value);
	buf_str(b, "\r\n");
}

void http_add_header(struct request *rq, const char *name, const char *value)
{
	/* A line break would begin a header, or the body, of somebody else's choice. */
	if (strpbrk(value, "\r\n") || strpbrk(name, "\r\n: ")) {
		log_err("an answer's header %s was left out: it has a line break", name);
		return;
	}
	put_header(&rq->headers, name, value);
}

static void put_head(struct request *rq, struct buf *b, int status, const char *content_type)
{
	buf_str(b, "Status: ");
	buf_int(b, status);
	buf_char(b, ' ');
	buf_str(b, reason(status));
	buf_str(b, "\r\n");
	if (content_type)
		put_header(b, "Content-Type", content_type);
	put_header(b, "X-Request-Id", rq->request_id);
	put_header(b, "X-Content-Type-Options", "nosniff");
	put_header(b, "Cache-Control", "no-store");
	if (rq->headers.failed)
		log_err("an answer's headers were left out: they are too long");
	else
		buf_add(b, rq->headers.data, rq->headers.len);
	rq->answered = true;
	rq->status = status;
}

/* All of it, however often the kernel takes only a part. */
static bool write_all(int fd, struct iovec *v, int count)
{
	while (count > 0) {
		ssize_t n = writev(fd, v, count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		for (; count > 0 && (size_t)n >= v->iov_len; v++, count--)
			n -= (ssize_t)v->iov_len;
		if (count > 0) {
			v->iov_base = (char *)v->iov_base + n;
			v->iov_len -= (size_t)n;
		}
	}
	return true;
}

/* Straight from memory to the socket, behind what libfcgi holds. */
static bool put_long(const struct request *rq, const char *p, size_t len)
{
	uint8_t heads[RECORDS_AT_ONCE][FCGI_RECORD_HEAD_LEN];
	struct iovec v[2 * RECORDS_AT_ONCE];

	if (FCGX_FFlush(fcgx(rq)->out) != 0)
		return false;
	while (len > 0) {
		int count = 0;

		for (int i = 0; i < RECORDS_AT_ONCE && len > 0; i++) {
			size_t part = len < FCGI_RECORD_MAX ? len : FCGI_RECORD_MAX;

			fcgi_record_head(heads[i], fcgx(rq)->requestId, part);
			v[count++] = (struct iovec){heads[i], FCGI_RECORD_HEAD_LEN};
			v[count++] = (struct iovec){(char *)p, part};
			p += part;
			len -= part;
		}
		if (!write_all(http_fd(rq), v, count))
			return false;
	}
	return true;
}

static bool put_bytes(struct request *rq, const void *bytes, size_t len)
{
	const char *p = bytes;

	if (len > LONG_BYTES && FCGX_GetError(fcgx(rq)->out) == 0) {
		if (put_long(rq, p, len))
			return true;
		/* The front is gone, perhaps in the middle of a record. */
		fcgx(rq)->keepConnection = 0;
		return false;
	}

	while (len > 0) {
		int part = len > 1 << 30 ? 1 << 30 : (int)len;

		if (FCGX_PutStr(p, part, fcgx(rq)->out) < 0)
			return false;
		p += part;
		len -= (size_t)part;
	}
	return FCGX_GetError(fcgx(rq)->out) == 0;
}

bool http_write(struct request *rq, const void *bytes, size_t len)
{
	rq->bytes_out += (int64_t)len;
	return put_bytes(rq, bytes, len);
}

bool http_flush(struct request *rq)
{
	return FCGX_FFlush(fcgx(rq)->out) == 0 && FCGX_GetError(fcgx(rq)->out) == 0;
}

void http_abort(struct request *rq)
{
	fcgx(rq)->keepConnection = 0;
	(void)shutdown(http_fd(rq), SHUT_RDWR);
}

/* Everything is handed to libfcgi's buffer, which writes when it is full or at the end: one write
 * for a short answer. */
static void send_head(struct request *rq, struct buf *head)
{
	buf_str(head, "\r\n");
	if (head->failed)
		log_err("an answer's head does not fit into memory");
	else
		(void)put_bytes(rq, head->data, head->len);
	buf_free(head);
}

void http_begin(struct request *rq, int status, const char *content_type)
{
	struct buf head;

	if (rq->deferred)
		return;
	if (rq->answered) {
		log_err("a second answer was made for %s %s", rq->method, rq->pattern);
		return;
	}
	buf_init(&head, EXTRA_HEADERS_MAX + 1024);
	put_head(rq, &head, status, content_type);
	send_head(rq, &head);
}

void http_reply(
	struct request *rq, int status, const char *content_type, const void *body, size_t len)
{
	struct buf head;

	if (rq->deferred)
		return;
	if (rq->answered) {
		log_err("a second answer was made for %s %s", rq->method, rq->pattern);
		return;
	}
	buf_init(&head, EXTRA_HEADERS_MAX + 1024);
	put_head(rq, &head, status, content_type);
	/* RFC 9110, 8.6: no length where there can be no body. */
	if (status != 204 && status != 304) {
		buf_str(&head, "Content-Length: ");
		buf_int(&head, (int64_t)len);
		buf_str(&head, "\r\n");
	}
	send_head(rq, &head);
	if (len > 0 && strcmp(rq->method, "HEAD") != 0)
		(void)http_write(rq, body, len);
}

void http_reply_json(struct request *rq, int status, json_t *json)
{
	/* With spaces, as the guide shows it: {"tenants": []}. */
	char *text = json ? json_dumps(json, 0) : NULL;

	json_decref(json);
	if (!text) {
		log_err("an answer can't be made into JSON");
		http_problem(rq, PROBLEM_INTERNAL, NULL);
		return;
	}
	http_reply(rq, status, "application/json", text, strlen(text));
	mem_free_secret(text); /* a minted credential may be in it */
}

static bool has_header(const struct request *rq, const char *start)
{
	return rq->headers.len > 0 &&
		memmem(rq->headers.data, rq->headers.len, start, strlen(start)) != NULL;
}

void http_problem(struct request *rq, enum problem p, const char *detail)
{
	struct buf body;

	buf_init(&body, 16384);
	problem_json(&body, p, detail, rq->request_id);
	if (problem_status(p) == 503 && !has_header(rq, "Retry-After: "))
		http_add_header(rq, "Retry-After", "1");
	http_reply(rq, problem_status(p), "application/problem+json", body.data, body.len);
	buf_free(&body);
}

void http_problem_rc(struct request *rq, enum rc rc, const char *detail)
{
	http_problem(rq, problem_from_rc(rc), detail);
}

/* --- tunneld ----------------------------------------------------------------------------- */

enum rc http_dispatch(
	struct request *rq, enum rc (*exchange)(struct dispatch *d, void *ctx), void *ctx)
{
	struct dispatch *d;
	bool fresh = false;
	enum rc rc = RC_UNAVAILABLE;

	if (http_defer(rq))
		return RC_UNAVAILABLE;
	while (!fresh) {
		rc = dispatch_mine(rq->app->dispatch_path, &d, &fresh);
		if (rc != RC_OK)
			return rc;
		rc = exchange(d, ctx);
		if (rc == RC_OK)
			return rc;
		dispatch_mine_drop();
	}
	return rc;
}

enum rc http_audit(struct request *rq, const struct audit_record *r)
{
	struct dispatch *d;
	bool fresh;
	enum rc rc;

	if (http_defer(rq))
		return RC_UNAVAILABLE;
	rc = dispatch_mine(rq->app->dispatch_path, &d, &fresh);
	if (rc != RC_OK)
		return rc;
	/* Never sent twice: the row may have been written although the answer was lost. */
	rc = dispatch_audit(d, r);
	if (rc != RC_OK)
		dispatch_mine_drop();
	return rc;
}

enum rc http_audit_later(struct request *rq, const struct audit_record *r)
{
	struct db *db;
	enum rc rc;

	if (http_defer(rq))
		return RC_UNAVAILABLE;
	rc = db_pool_get(rq->app->db, &db);
	if (rc == RC_OK) {
		rc = outbox_put(db, r);
		db_pool_put(rq->app->db, db);
	}
	if (rc != RC_OK)
		log_err("the audit row of a refused request could not be kept (%s)", rc_name(rc));
	return rc;
}
