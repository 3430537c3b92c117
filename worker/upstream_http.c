#include "worker/upstream_http.h"

#include <curl/curl.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "shared/buf.h"
#include "shared/jscan.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"
#include "worker/mcp_headers.h"
#include "worker/upstream.h"

#define SESSION_MAX 256
#define EVENT_ID_MAX 512
#define CONNECT_MS 5000
#define RETRY_MS 1000 /* until a stream that was closed is taken up, unless the server says */
#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 30000
#define FRUITLESS_MAX 5 /* times that a stream is taken up without an event */
#define LEGACY_VERSION "2025-11-25"

struct transfer {
	TAILQ_ENTRY(transfer) entry;
	struct upstream_http *http;
	CURL *easy;
	struct curl_slist *headers;
	char *request; /* NULL: a GET */
	size_t request_len;
	uint64_t number; /* 0: a notification or an answer of ours */
	bool modern, begun, ended, answered, initializes, sse, paused;
	struct buf in; /* JSON, or the event under construction */
	struct buf line;
	/* To take a legacy server's stream up again where it was left. */
	ev_timer again;
	char last_id[EVENT_ID_MAX];
	long retry_ms;
	unsigned fruitless;
};

struct upstream_http {
	struct ev_loop *loop;
	const char *name, *url;
	struct upstream_http_owner owner;
	CURLM *multi;
	ev_timer timer;
	ev_prepare pump;
	TAILQ_HEAD(, transfer) transfers;
	size_t count;
	char session[SESSION_MAX], version[16];
	bool lost, shut; /* the session; reading */
};

struct watcher {
	ev_io io;
	struct upstream_http *http;
};

/* --- what comes in ---------------------------------------------------------------------- */

static void deliver(struct transfer *t, const char *text, size_t len)
{
	struct jscan root, id, v;
	int64_t number;

	if (jscan_parse(text, len, &root) != RC_OK)
		return;
	if (jscan_get(root, "method", &v) == RC_NOTFOUND && jscan_get(root, "id", &id) == RC_OK &&
		jscan_int(id, &number) == RC_OK && (uint64_t)number == t->number)
		t->answered = true;
	if (t->initializes && t->answered &&
		jscan_path(root, &v, "result", "protocolVersion", NULL) == RC_OK &&
		jscan_str(v, t->http->version, sizeof t->http->version) != RC_OK)
		t->http->version[0] = '\0';
	t->http->owner.message(t->http->owner.ctx, text, len, t->number);
}

/* The value of a field of an event, NULL when the line is another. */
static const char *field(const struct buf *line, size_t len, const char *name, size_t *value_len)
{
	size_t n = strlen(name);
	const char *text = (const char *)line->data;

	if (len <= n || memcmp(text, name, n) != 0 || text[n] != ':')
		return NULL;
	n += len > n + 1 && text[n + 1] == ' ' ? 2 : 1;
	*value_len = len - n;
	return text + n;
}

static void take_retry(struct transfer *t, const char *digits, size_t len)
{
	char text[12];
	long ms;

	if (!str_copy_len(text, sizeof text, digits, len) || strspn(text, "0123456789") != len)
		return;
	ms = strtol(text, NULL, 10);
	t->retry_ms = ms < RETRY_MIN_MS ? RETRY_MIN_MS : ms > RETRY_MAX_MS ? RETRY_MAX_MS : ms;
}

/* One line of a stream of events. */
static void take_line(struct transfer *t)
{
	size_t len = t->line.len, n;
	const char *value;

	if (len > 0 && t->line.data[len - 1] == '\r')
		len--;
	if (len == 0) {
		if (t->in.len > 0)
			deliver(t, (const char *)t->in.data, t->in.len);
		buf_reset(&t->in);
	} else if ((value = field(&t->line, len, "data", &n)) != NULL) {
		if (t->in.len > 0)
			buf_char(&t->in, '\n');
		buf_add(&t->in, value, n);
	} else if ((value = field(&t->line, len, "id", &n)) != NULL) {
		t->fruitless = 0;
		if (memchr(value, '\0', n) != NULL ||
			!str_copy_len(t->last_id, sizeof t->last_id, value, n))
			t->last_id[0] = '\0';
	} else if ((value = field(&t->line, len, "retry", &n)) != NULL) {
		take_retry(t, value, n);
	}
	buf_reset(&t->line);
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	size_t len = size * n;
	const char *at = data, *end = data + len;

	if (t->ended)
		return 0;
	if (t->http->shut) {
		t->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (!t->sse) {
		buf_add(&t->in, data, len);
		return t->in.failed ? 0 : len;
	}
	while (at < end) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));

		buf_add(&t->line, at, (size_t)((nl != NULL ? nl : end) - at));
		if (t->line.failed || t->in.failed)
			return 0;
		if (nl == NULL)
			break;
		take_line(t);
		at = nl + 1;
		if (t->ended)
			return 0;
	}
	return len;
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
	static const char type[] = "content-type:", session[] = "mcp-session-id:";
	struct transfer *t = ctx;
	size_t len = size * n, from;

	if (len > sizeof type && strncasecmp(data, type, sizeof type - 1) == 0) {
		from = sizeof type - 1 + strspn(data + sizeof type - 1, " \t");
		t->sse = len - from >= 17 && strncasecmp(data + from, "text/event-stream", 17) == 0;
	} else if (t->initializes && len > sizeof session &&
		strncasecmp(data, session, sizeof session - 1) == 0) {
		from = sizeof session - 1;
		while (from < len && (data[from] == ' ' || data[from] == '\t'))
			from++;
		while (len > from && (data[len - 1] == '\n' || data[len - 1] == '\r'))
			len--;
		if (!str_copy_len(t->http->session, SESSION_MAX, data + from, len - from))
			log_warn("upstream %s: its session id is too long", t->http->name);
		return size * n;
	}
	return size * n;
}

/* --- transfers -------------------------------------------------------------------------- */

static void resume(struct transfer *t);

static void drop(struct transfer *t)
{
	struct upstream_http *h = t->http;

	TAILQ_REMOVE(&h->transfers, t, entry);
	h->count--;
	ev_timer_stop(h->loop, &t->again);
	if (t->begun)
		(void)curl_multi_remove_handle(h->multi, t->easy);
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	buf_free(&t->in);
	buf_free(&t->line);
	free(t->request);
	free(t);
}

/* A legacy server may close a stream before it has answered, and goes on in the next one. One that
 * belongs to no request is wanted for as long as the session lasts. */
static bool may_resume(const struct transfer *t, long status)
{
	return t->sse && status == 200 && !t->modern && !t->ended && !t->answered &&
		!t->http->lost &&
		(t->number == 0 || (t->last_id[0] != '\0' && t->fruitless < FRUITLESS_MAX));
}

static void finish(struct transfer *t, CURLcode code)
{
	struct upstream_http *h = t->http;
	uint64_t number = t->number;
	long status = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_OK && !t->ended && !t->sse && t->in.len > 0)
		deliver(t, (const char *)t->in.data, t->in.len);
	if (code != CURLE_OK && !t->ended)
		log_debug("upstream %s: %s", h->name, curl_easy_strerror(code));
	if (status == 404 && h->session[0] != '\0' && !t->modern)
		h->lost = true;
	bool failed = number != 0 && !t->answered && !t->ended;
	bool too_long = t->in.failed || t->line.failed;
	if (!too_long && may_resume(t, status)) {
		resume(t);
		return;
	}
	drop(t);
	if (failed && too_long)
		h->owner.too_long(h->owner.ctx, number);
	else if (failed)
		h->owner.failed(h->owner.ctx, number, status);
}

static void collect(struct upstream_http *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		struct transfer *t;
		CURLcode code = m->data.result;

		if (m->msg == CURLMSG_DONE &&
			curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t) == CURLE_OK)
			finish(t, code);
	}
	if (h->lost) {
		h->lost = false;
		h->owner.lost(h->owner.ctx);
	}
}

/* libcurl may not be called from its own callbacks: what they lead to happens here, before the loop
 * waits again. */
static void on_pump(struct ev_loop *loop, ev_prepare *w, int revents)
{
	struct upstream_http *h = w->data;
	struct transfer *next;

	(void)revents;
	ev_prepare_stop(loop, w);
	for (struct transfer *t = TAILQ_FIRST(&h->transfers); t != NULL; t = next) {
		next = TAILQ_NEXT(t, entry);
		if (t->ended) {
			drop(t);
		} else if (t->paused && !h->shut) {
			t->paused = false;
			(void)curl_easy_pause(t->easy, CURLPAUSE_CONT);
			/* What that led to may have changed the list. */
			ev_prepare_start(loop, w);
			return;
		} else if (!t->begun && !ev_is_active(&t->again)) {
			t->begun = true;
			if (curl_multi_add_handle(h->multi, t->easy) != CURLM_OK) {
				uint64_t number = t->number;

				t->begun = false;
				drop(t);
				if (number != 0)
					h->owner.failed(h->owner.ctx, number, 0);
				ev_prepare_start(loop, w);
				return; /* the list may be another one now */
			}
		}
	}
}

static void act(struct upstream_http *h, curl_socket_t fd, int events)
{
	int running;

	(void)curl_multi_socket_action(h->multi, fd, events, &running);
	collect(h);
}

static void on_io(struct ev_loop *loop, ev_io *w, int revents)
{
	struct watcher *watcher = w->data;

	(void)loop;
	act(watcher->http, w->fd,
		(revents & EV_READ ? CURL_CSELECT_IN : 0) |
			(revents & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	act(w->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *ctx)
{
	struct upstream_http *h = ctx;

	(void)multi;
	ev_timer_stop(h->loop, &h->timer);
	if (timeout_ms >= 0) {
		ev_timer_set(&h->timer, (double)timeout_ms / 1000.0, 0.);
		ev_timer_start(h->loop, &h->timer);
	}
	return 0;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct upstream_http *h = ctx;
	struct watcher *w = socket_ctx;

	(void)easy;
	if (w != NULL)
		ev_io_stop(h->loop, &w->io);
	if (what == CURL_POLL_REMOVE) {
		free(w);
		(void)curl_multi_assign(h->multi, fd, NULL);
		return 0;
	}
	if (w == NULL) {
		w = xcalloc(1, sizeof *w);
		w->http = h;
		ev_io_init(&w->io, on_io, fd, 0);
		w->io.data = w;
		(void)curl_multi_assign(h->multi, fd, w);
	}
	ev_io_set(&w->io, fd,
		(what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
	ev_io_start(h->loop, &w->io);
	return 0;
}

/* --- what goes out ---------------------------------------------------------------------- */

static void add_line(void *ctx, const char *line)
{
	struct transfer *t = ctx;
	size_t len = strlen(line);
	char *empty;

	/* libcurl takes "Name:" as a header that is not to be sent, and "Name;" as an empty one. */
	if (len > 2 && strcmp(line + len - 2, ": ") == 0) {
		empty = xstrndup(line, len - 1);
		empty[len - 2] = ';';
		t->headers = curl_slist_append(t->headers, empty);
		free(empty);
	} else {
		t->headers = curl_slist_append(t->headers, line);
	}
}

static void add_header(struct transfer *t, const char *name, const char *value)
{
	char text[EVENT_ID_MAX + 64];
	int n = snprintf(text, sizeof text, "%s: %s", name, value);

	if (n > 0 && (size_t)n < sizeof text)
		add_line(t, text);
}

static void add_modern_headers(struct transfer *t, const char *method, struct jscan params)
{
	struct jscan name, tool = {NULL, 0, JSCAN_NONE};

	if (strcmp(method, "tools/call") == 0 && jscan_get(params, "name", &name) == RC_OK)
		tool = t->http->owner.tool(t->http->owner.ctx, name);
	mcp_headers(method, params, tool, add_line, t);
}

/* Of the agent's own HTTP request (www.w3.org/TR/trace-context). */
static void add_trace(struct transfer *t)
{
	const char *traceparent, *tracestate;

	if (t->number == 0 ||
		!t->http->owner.trace(t->http->owner.ctx, t->number, &traceparent, &tracestate))
		return;
	add_header(t, "traceparent", traceparent);
	if (tracestate[0] != '\0')
		add_header(t, "tracestate", tracestate);
}

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct transfer *t = w->data;

	(void)loop;
	(void)revents;
	ev_prepare_start(t->http->loop, &t->http->pump);
}

static struct transfer *begin(struct upstream_http *h)
{
	struct transfer *t = xcalloc(1, sizeof *t);

	t->http = h;
	t->easy = curl_easy_init();
	buf_init(&t->in, UPSTREAM_MESSAGE_MAX);
	buf_init(&t->line, UPSTREAM_MESSAGE_MAX);
	ev_timer_init(&t->again, on_again, 0., 0.);
	t->again.data = t;
	t->retry_ms = RETRY_MS;
	TAILQ_INSERT_TAIL(&h->transfers, t, entry);
	h->count++;
	return t;
}

static void set_up(struct transfer *t)
{
	CURL *e = t->easy;

	(void)curl_easy_setopt(e, CURLOPT_URL, t->http->url);
	(void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http");
	(void)curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
	(void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	(void)curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
	(void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	(void)curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	(void)curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	(void)curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
	if (t->request != NULL) {
		(void)curl_easy_setopt(e, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->request_len);
		(void)curl_easy_setopt(e, CURLOPT_POSTFIELDS, t->request);
	}
	ev_prepare_start(t->http->loop, &t->http->pump);
}

static void add_legacy_headers(struct transfer *t)
{
	struct upstream_http *h = t->http;

	if (!t->initializes)
		add_header(t, "MCP-Protocol-Version",
			h->version[0] != '\0' ? h->version : LEGACY_VERSION);
	if (h->session[0] != '\0')
		add_header(t, "Mcp-Session-Id", h->session);
}

/* Where a legacy server says what belongs to no request. Many offer no such stream. */
static void open_stream(struct upstream_http *h)
{
	struct transfer *t = begin(h);

	add_header(t, "Accept", "text/event-stream");
	add_legacy_headers(t);
	set_up(t);
}

/* The same request's stream, from the last event on. */
static void resume(struct transfer *t)
{
	struct upstream_http *h = t->http;
	long delay_ms = t->retry_ms * (long)(t->fruitless < 30 ? t->fruitless + 1 : 30);

	if (delay_ms > RETRY_MAX_MS)
		delay_ms = RETRY_MAX_MS;
	(void)curl_multi_remove_handle(h->multi, t->easy);
	t->begun = t->sse = t->paused = false;
	buf_reset(&t->in);
	buf_reset(&t->line);
	free(t->request);
	t->request = NULL;
	curl_slist_free_all(t->headers);
	t->headers = NULL;
	t->fruitless++;
	add_header(t, "Accept", "text/event-stream");
	add_legacy_headers(t);
	if (t->last_id[0] != '\0')
		add_header(t, "Last-Event-ID", t->last_id);
	set_up(t);
	ev_timer_set(&t->again, (double)delay_ms / 1000.0, 0.);
	ev_timer_start(h->loop, &t->again);
}

static bool cancel(struct upstream_http *h, struct jscan params)
{
	struct transfer *t;
	struct jscan id;
	int64_t number;

	if (jscan_get(params, "requestId", &id) != RC_OK || jscan_int(id, &number) != RC_OK)
		return false;
	TAILQ_FOREACH(t, &h->transfers, entry)
	{
		if (t->number != (uint64_t)number || t->number == 0)
			continue;
		/* A legacy server has to be told as well. */
		t->ended = true;
		ev_prepare_start(h->loop, &h->pump);
		return t->modern;
	}
	return false;
}

enum rc upstream_http_send(struct upstream_http *h, const char *text, size_t len)
{
	struct jscan root, v, params;
	struct transfer *t;
	char method[64] = "";
	int64_t number = 0;

	if (jscan_parse(text, len, &root) != RC_OK)
		return RC_INVALID;
	(void)jscan_get(root, "params", &params);
	if (jscan_get(root, "method", &v) == RC_OK && jscan_str(v, method, sizeof method) != RC_OK)
		return RC_INVALID;
	if (strcmp(method, "notifications/cancelled") == 0 && cancel(h, params))
		return RC_OK;
	if (h->count >= UPSTREAM_HTTP_MAX)
		return RC_LIMIT;
	t = begin(h);
	if (method[0] != '\0' && jscan_get(root, "id", &v) == RC_OK &&
		jscan_int(v, &number) == RC_OK)
		t->number = (uint64_t)number;
	t->request = xstrndup(text, len);
	t->request_len = len;
	t->initializes = strcmp(method, "initialize") == 0;
	t->modern = jscan_path(params, &v, "_meta", "io.modelcontextprotocol/protocolVersion",
			    NULL) == RC_OK;
	add_header(t, "Content-Type", "application/json");
	add_header(t, "Accept", "application/json, text/event-stream");
	t->headers = curl_slist_append(t->headers, "Expect:");
	if (t->modern)
		add_modern_headers(t, method, params);
	else
		add_legacy_headers(t);
	add_trace(t);
	set_up(t);
	if (strcmp(method, "notifications/initialized") == 0)
		open_stream(h);
	return RC_OK;
}

void upstream_http_read(struct upstream_http *h, bool on)
{
	bool was = h->shut;

	h->shut = !on;
	if (was && on)
		ev_prepare_start(h->loop, &h->pump);
}

/* --- making and ending ------------------------------------------------------------------ */

struct upstream_http *upstream_http_new(struct ev_loop *loop, const char *name, const char *url,
	const struct upstream_http_owner *owner)
{
	struct upstream_http *h = xcalloc(1, sizeof *h);

	h->loop = loop;
	h->name = name;
	h->url = url;
	h->owner = *owner;
	TAILQ_INIT(&h->transfers);
	ev_timer_init(&h->timer, on_timer, 0., 0.);
	ev_prepare_init(&h->pump, on_pump);
	h->timer.data = h->pump.data = h;
	h->multi = curl_multi_init();
	if (h->multi == NULL) {
		log_err("upstream %s: libcurl can't be set up", name);
		free(h);
		return NULL;
	}
	(void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	(void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	(void)curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	(void)curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	return h;
}

void upstream_http_reset(struct upstream_http *h)
{
	for (struct transfer *t = TAILQ_FIRST(&h->transfers), *next; t != NULL; t = next) {
		next = TAILQ_NEXT(t, entry);
		drop(t);
	}
	h->session[0] = h->version[0] = '\0';
	h->lost = h->shut = false;
}

void upstream_http_free(struct upstream_http *h)
{
	if (h == NULL)
		return;
	upstream_http_reset(h);
	(void)curl_multi_cleanup(h->multi);
	ev_timer_stop(h->loop, &h->timer);
	ev_prepare_stop(h->loop, &h->pump);
	free(h);
}
