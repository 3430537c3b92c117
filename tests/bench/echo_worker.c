/* A worker whose one tool answers at once: what the relay costs, and nothing else, is measured. It
 * speaks the tunnel with the product's own code (worker/link, worker/dialer). usage: echo_worker
 * STATE_DIR, after `airlock-worker enroll`; or echo_worker --in-process CALLS, which prints the
 * nanoseconds of a call without anything around it. Tool echo {"bytes": N}: a text result of N
 * bytes, 32 unless given. */
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/crypto.h"
#include "shared/jscan.h"
#include "shared/log.h"
#include "worker/dialer.h"
#include "worker/endpoint.h"
#include "worker/identity.h"

#define BYTES_DEFAULT 32
#define BYTES_MAX (16 * 1024 * 1024)
#define ENVELOPE 512

static const char manifest_text[] = "{\"serverInfo\":{\"name\":\"echo\",\"version\":\"1\"},"
				    "\"capabilities\":{\"tools\":{}},\"tools\":[{\"name\":\"echo\","
				    "\"description\":\"Answers at "
				    "once\",\"inputSchema\":{\"type\":\"object\",\"properties\":{"
				    "\"bytes\":{\"type\":\"integer\"}}}}]}";

static void answer(struct buf *out, struct jscan request)
{
	struct jscan id, bytes;
	int64_t n = BYTES_DEFAULT;

	if (jscan_get(request, "id", &id) != RC_OK)
		return;
	if (jscan_path(request, &bytes, "params", "arguments", "bytes", NULL) == RC_OK &&
		(jscan_int(bytes, &n) != RC_OK || n < 0 || n > BYTES_MAX))
		n = BYTES_DEFAULT;
	buf_str(out, "{\"jsonrpc\":\"2.0\",\"id\":");
	buf_add(out, id.p, id.len);
	buf_str(out, ",\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"");
	if (buf_reserve(out, (size_t)n)) {
		memset(out->data + out->len, 'x', (size_t)n);
		buf_commit(out, (size_t)n);
	}
	buf_str(out, "\"}]}}");
}

static void on_call(void *ctx, struct link *l, struct link_call *call)
{
	struct jscan request;
	struct buf out;

	(void)ctx;
	buf_init(&out, BYTES_MAX + ENVELOPE);
	if (jscan_parse((const char *)call->request.data, call->request.len, &request) == RC_OK)
		answer(&out, request);
	buf_free(&call->request);
	link_result(l, call->id, "ok", "", &out);
}

static void on_link(void *ctx, struct link *l)
{
	(void)ctx;
	(void)l;
}

static void on_cancel(void *ctx, const char *id)
{
	(void)ctx;
	(void)id;
}

static void on_lost(void *ctx)
{
	(void)ctx;
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
	(void)w;
	(void)revents;
	ev_break(loop, EVBREAK_ALL);
}

static int in_process(long calls)
{
	static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
				   "call\",\"params\":{\"name\":\"echo\",\"arguments\":{}}}";
	struct timespec from, to;
	struct jscan request;
	struct buf out;

	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	for (long i = 0; i < calls; i++) {
		buf_init(&out, BYTES_MAX + ENVELOPE);
		if (jscan_parse(text, sizeof text - 1, &request) == RC_OK)
			answer(&out, request);
		if (out.failed || out.len == 0)
			return 1;
		buf_free(&out);
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	(void)printf("%.1f\n",
		((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
			(double)calls);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct dialer_owner owner = {.opened = on_link,
		.call = on_call,
		.cancel = on_cancel,
		.lost = on_lost,
		.refill = on_link,
		.left = on_lost};
	struct dialer_config config = {.agent = "echo-worker/1"};
	struct crypto_identity identity;
	struct identity_error err;
	struct enrolled enrolled;
	struct endpoint endpoint;
	struct dialer *dialer;
	struct buf manifest;
	char why[128];
	ev_signal term;

	crypto_init();
	log_init("echo-worker", 2, LOG_FORMAT_TEXT);
	if (argc == 3 && strcmp(argv[1], "--in-process") == 0 && atol(argv[2]) > 0)
		return in_process(atol(argv[2]));
	if (argc != 2)
		die("usage: echo_worker STATE_DIR | --in-process CALLS");
	if (identity_load_enrolled(argv[1], &enrolled, &err) != RC_OK ||
		identity_load_key(argv[1], &identity, &err) != RC_OK)
		die("%s", err.text);
	if (endpoint_parse(enrolled.tunnel_url, &endpoint, why, sizeof why) != RC_OK)
		die("%s", why);
	buf_init(&manifest, sizeof manifest_text);
	buf_str(&manifest, manifest_text);
	config.loop = ev_default_loop(0);
	config.identity = &identity;
	config.enrolled = &enrolled;
	config.endpoint = &endpoint;
	config.manifest = &manifest;
	if (dialer_new(&config, &owner, &dialer) != RC_OK)
		die("the tunnel client can't be set up");
	ev_signal_init(&term, on_signal, SIGTERM);
	ev_signal_start(config.loop, &term);
	dialer_start(dialer);
	ev_run(config.loop, 0);
	dialer_free(dialer);
	buf_free(&manifest);
	crypto_identity_wipe(&identity);
	return 0;
}
