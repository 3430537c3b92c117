/* An upstream whose server says anything at all: nothing breaks, every call ends at most once, and
 * what goes to the server and to clients is JSON, and nobody but us says who calls. The input is a
 * list of lines; the first letter of each says what happens: a message of the server, or a request
 * or an answer of a client. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/log.h"
#include "worker/upstream.h"

#define CALLS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rig {
	struct upstream *u;
	bool running[CALLS];
	bool told; /* the request that goes out now says who calls */
};

static void must_be_json(const void *text, size_t len)
{
	struct jscan v;

	if (jscan_parse(text, len, &v) != RC_OK || v.kind != JSCAN_OBJECT)
		abort();
}

/* Once, whatever the client wrote. */
static void must_tell(const void *text, size_t len)
{
	struct jscan root, v;

	if (jscan_parse(text, len, &root) != RC_OK || jscan_get(root, "method", &v) != RC_OK)
		return; /* an answer to the server */
	if (jscan_path(root, &v, "params", "_meta", "airlock-cp/identity", "key_id", NULL) !=
			RC_OK ||
		!jscan_is_str(v, "k1"))
		abort();
}

static enum rc on_send(void *ctx, const void *text, size_t len)
{
	must_be_json(text, len);
	if (((struct rig *)ctx)->told)
		must_tell(text, len);
	return RC_OK;
}

static bool on_event(void *ctx, void *call, const void *text, size_t len)
{
	if (!*(bool *)call)
		abort();
	(void)ctx;
	must_be_json(text, len);
	return true;
}

static void on_result(void *ctx, void *call, const char *outcome, struct buf *payload)
{
	(void)ctx;
	(void)outcome;
	if (!*(bool *)call)
		abort();
	*(bool *)call = false;
	must_be_json(payload->data, payload->len);
	buf_free(payload);
}

static void on_changed(void *ctx)
{
	(void)ctx;
}

static void on_notified(void *ctx, const char *method, struct jscan message)
{
	(void)ctx;
	(void)method;
	(void)message;
}

static void on_broken(void *ctx, const char *why)
{
	(void)ctx;
	(void)why;
}

/* What the link and the relay have checked before an upstream sees a request. */
static bool is_request(const char *text, size_t len)
{
	struct jscan root, id, method, params;

	return jscan_parse(text, len, &root) == RC_OK && jscan_get(root, "id", &id) == RC_OK &&
		(id.kind == JSCAN_STRING || id.kind == JSCAN_NUMBER) &&
		jscan_get(root, "method", &method) == RC_OK && method.kind == JSCAN_STRING &&
		jscan_get(root, "params", &params) != RC_CONFLICT;
}

static const struct upstream_identity who = {.tenant_id = "t_a",
	.key_id = "k1",
	.key_name = "a",
	.request_id = "req_1",
	.traceparent = "00-ab-cd-01",
	.tracestate = ""};

static void call(struct rig *r, bool modern, bool told, const char *text, size_t len, int64_t now)
{
	struct upstream_call c = {.id = "c_1",
		.identity = &who,
		.tell = told,
		.text = text,
		.len = len,
		.modern = modern,
		.deadline_ms = now + 50,
		.result_max = 4096};

	for (size_t i = 0; i < CALLS && is_request(text, len); i++) {
		if (r->running[i])
			continue;
		r->running[i] = true;
		c.call = &r->running[i];
		r->told = told;
		if (upstream_call(r->u, &c, now) != RC_OK)
			r->running[i] = false;
		r->told = false;
		return;
	}
}

static void one_line(struct rig *r, const char *line, size_t len, int64_t now)
{
	const char *text = line + 1;

	if (len == 0)
		return;
	len--;
	switch (line[0]) {
	case 'L':
	case 'M':
	case 'l':
	case 'm':
		call(r, line[0] == 'M' || line[0] == 'm', line[0] == 'l' || line[0] == 'm', text,
			len, now);
		break;
	case 'A':
		upstream_reply(r->u, &r->running[0], text, len, now);
		break;
	case 'C':
		upstream_cancel(r->u, &r->running[0], "cancelled");
		r->running[0] = false;
		break;
	case 'T':
		upstream_tick(r->u, now + 100);
		break;
	case 'D':
		upstream_down(r->u);
		upstream_up(r->u, now);
		break;
	case 'S':
		upstream_too_long(r->u, 0);
		break;
	default:
		(void)upstream_message(r->u, text, len, line[0] == '1' ? 3 : 0, now);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct upstream_config config = {
		.name = "up", .prefix = "p_", .max_calls = CALLS, .timeout_ms = 50};
	struct rig r = {0};
	struct upstream_owner owner = {.ctx = &r,
		.send = on_send,
		.event = on_event,
		.result = on_result,
		.changed = on_changed,
		.notified = on_notified,
		.broken = on_broken};
	const char *at = (const char *)data, *end = at + size;

	log_set_level(LOG_LEVEL_ERROR);
	r.u = upstream_new(&config, &owner);
	upstream_up(r.u, 1000);
	for (int64_t now = 1000; at < end; now += 10) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((nl != NULL ? nl : end) - at);

		one_line(&r, at, len, now);
		at += len + 1;
	}
	upstream_free(r.u);
	return 0;
}
