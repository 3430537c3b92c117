#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/crypto.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"
#include "worker/mcp_server.h"
#include "worker/upstream_internal.h"

#define STATE_MAX 128

void bridge_free_asked(struct pending *p)
{
	struct asked *a;

	while ((a = STAILQ_FIRST(&p->asked)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->asked, entry);
		free(a->name);
		free(a->request);
		free(a->answer);
		free(a);
	}
}

static struct asked *ask(struct pending *p, struct jscan name)
{
	struct asked *a = xcalloc(1, sizeof *a);

	a->n = ++p->questions;
	upstream_set_text(&a->name, name);
	STAILQ_INSERT_TAIL(&p->asked, a, entry);
	return a;
}

static void drop(struct pending *p, struct asked *a)
{
	STAILQ_REMOVE(&p->asked, a, asked, entry);
	free(a->name);
	free(a->request);
	free(a->answer);
	free(a);
}

static void send_buf(struct upstream *u, struct buf *b)
{
	if (b->failed || u->owner.send(u->owner.ctx, b->data, b->len) != RC_OK)
		log_debug("upstream %s: an answer was not sent", u->config.name);
	buf_free(b);
}

static void answer_error(struct upstream *u, struct jscan id, int code, const char *message)
{
	struct buf b;

	buf_init(&b, id.len + 1024);
	mcp_error(&b, id, (enum mcp_code)code, message);
	send_buf(u, &b);
}

static void answer_result(struct upstream *u, const char *id, const char *result, size_t len)
{
	struct buf b;

	buf_init(&b, strlen(id) + len + 64);
	buf_printf(&b, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":", id);
	buf_add(&b, result, len);
	buf_char(&b, '}');
	send_buf(u, &b);
}

/* --- a legacy server asks --------------------------------------------------------------- */

void bridge_bind(struct upstream *u, struct pending *p, struct jscan params)
{
	struct jscan name, arguments;
	struct buf b;

	(void)jscan_get(params, "name", &name);
	(void)jscan_get(params, "arguments", &arguments);
	buf_init(&b, name.len + arguments.len + 2 * (size_t)METHOD_MAX);
	buf_printf(&b, "%s %zu ", p->method, name.len);
	buf_add(&b, name.p, name.len);
	buf_add(&b, arguments.p, arguments.len);
	crypto_hmac_sha256(u->key, sizeof u->key, b.data, b.len, p->binding);
	buf_free(&b);
}

static void put_state(const struct upstream *u, const struct pending *p, char out[STATE_MAX])
{
	uint8_t mac[CRYPTO_HASH_LEN];
	char hex[2 * CRYPTO_HASH_LEN + 1], message[32 + sizeof p->binding];
	int n = snprintf(message, 32, "%" PRIu64, p->number);

	memcpy(message + n, p->binding, sizeof p->binding);
	crypto_hmac_sha256(u->key, sizeof u->key, message, (size_t)n + sizeof p->binding, mac);
	text_hex(mac, sizeof mac, hex);
	(void)snprintf(out, STATE_MAX, "%" PRIu64 ".%s", p->number, hex);
}

/* The call of a modern client ends for now; the server's request waits for the next round. */
static void park(struct upstream *u, struct pending *p, int64_t until_ms)
{
	struct buf b;
	struct asked *a;
	char state[STATE_MAX];
	void *call = p->call;

	put_state(u, p, state);
	buf_init(&b, p->result_max);
	buf_printf(&b,
		"{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"resultType\":\"input_required\","
		"\"inputRequests\":{",
		p->id);
	STAILQ_FOREACH(a, &p->asked, entry)
	{
		buf_printf(&b, "%s\"r%u\":{", a == STAILQ_FIRST(&p->asked) ? "" : ",", a->n);
		buf_str(&b, a->request);
		buf_char(&b, '}');
	}
	buf_printf(&b, "},\"requestState\":\"%s\"}}", state);
	if (b.failed) {
		buf_free(&b);
		upstream_fail(
			u, p, MCP_TOO_LARGE, "too_large", "asks more than the control plane takes");
		return;
	}
	p->call = NULL;
	if (until_ms > 0)
		p->deadline_ms = until_ms;
	else
		p->deadline_ms += UPSTREAM_PARK_MS;
	u->owner.result(u->owner.ctx, call, "ok", &b);
	buf_free(&b);
}

static bool client_can(const struct pending *p, const char *method)
{
	if (strcmp(method, "sampling/createMessage") == 0)
		return !p->modern || p->sampling;
	if (strcmp(method, "elicitation/create") == 0)
		return !p->modern || p->elicitation;
	return strcmp(method, "roots/list") == 0 && (!p->modern || p->roots);
}

static bool ask_legacy(struct upstream *u, struct pending *p, struct jscan root, struct jscan id)
{
	struct asked *a = ask(p, id);
	struct jsplice s = {0};
	struct buf b;
	char own[96];
	bool ok;

	(void)snprintf(own, sizeof own, "\"%s.%u\"", p->tunnel_id, a->n);
	buf_init(&b, root.len + sizeof own);
	jsplice_replace(&s, id, own, strlen(own));
	jsplice_apply(&s, root.p, root.len, &b);
	jsplice_free(&s);
	ok = !b.failed && u->owner.event(u->owner.ctx, p->call, b.data, b.len);
	buf_free(&b);
	if (!ok)
		drop(p, a);
	return ok;
}

static void ask_modern(struct upstream *u, struct pending *p, struct jscan id, struct jscan params,
	const char *method)
{
	struct asked *a = ask(p, id);
	struct buf b;

	buf_init(&b, params.len + 2 * (size_t)METHOD_MAX);
	buf_printf(&b, "\"method\":\"%s\",\"params\":", method);
	if (params.kind == JSCAN_OBJECT)
		buf_add(&b, params.p, params.len);
	else
		buf_str(&b, "{}");
	a->request = buf_steal(&b);
	if (p->call != NULL)
		park(u, p, 0);
}

void bridge_request(struct upstream *u, struct jscan root, const char *method, uint64_t on_behalf)
{
	struct jscan id, params;
	struct pending *p, *found = NULL;
	size_t candidates = 0;

	(void)jscan_get(root, "id", &id);
	(void)jscan_get(root, "params", &params);
	if (strcmp(method, "ping") == 0) {
		char *copy = xstrndup(id.p, id.len);

		answer_result(u, copy, "{}", 2);
		free(copy);
		return;
	}
	LIST_FOREACH(p, &u->pending, entry)
	{
		if (p->kind == CLIENTS && !p->listen &&
			(on_behalf == 0 || p->number == on_behalf)) {
			found = p;
			candidates++;
		}
	}
	if (u->modern || id.len > NAME_MAX_LEN)
		answer_error(u, id, MCP_METHOD_NOT_FOUND,
			"Requests to clients are not of this revision");
	else if (candidates != 1)
		answer_error(u, id, MCP_INTERNAL,
			"Which client is meant can't be told while several calls run");
	else if (!client_can(found, method))
		answer_error(u, id, MCP_METHOD_NOT_FOUND, "The client can't do that");
	else if (found->questions >= ROUNDS_MAX)
		answer_error(u, id, MCP_INTERNAL, "The client was asked too often");
	else if (found->modern)
		ask_modern(u, found, id, params, method);
	else if (found->call == NULL || !ask_legacy(u, found, root, id))
		answer_error(u, id, MCP_INTERNAL, "The client can't be reached");
}

/* --- a question is taken back ----------------------------------------------------------- */

/* By the id that a legacy server gave it, however spelt. */
static struct asked *find_own(struct upstream *u, struct jscan id, struct pending **of)
{
	struct pending *p;
	struct asked *a;

	LIST_FOREACH(p, &u->pending, entry)
	{
		STAILQ_FOREACH(a, &p->asked, entry)
		{
			struct jscan name = {a->name, strlen(a->name),
				a->name[0] == '"' ? JSCAN_STRING : JSCAN_NUMBER};

			*of = p;
			if (name.kind == id.kind &&
				(id.kind == JSCAN_STRING ? jscan_same_str(name, id)
							 : name.len == id.len &&
							memcmp(name.p, id.p, id.len) == 0))
				return a;
		}
	}
	return NULL;
}

/* The client knows the question by another id. A modern one, which has heard the question as a
 * result, needs no word: what it answers is not waited for any more. */
static void take_back(struct upstream *u, struct jscan root, struct jscan id)
{
	struct pending *p;
	struct asked *a = find_own(u, id, &p);
	struct jsplice s = {0};
	struct buf b;
	char own[96];

	if (a == NULL)
		return;
	if (!p->modern && p->call != NULL) {
		(void)snprintf(own, sizeof own, "\"%s.%u\"", p->tunnel_id, a->n);
		buf_init(&b, root.len + sizeof own);
		jsplice_replace(&s, id, own, strlen(own));
		jsplice_apply(&s, root.p, root.len, &b);
		jsplice_free(&s);
		if (b.failed || !u->owner.event(u->owner.ctx, p->call, b.data, b.len))
			log_debug("upstream %s: a cancellation is dropped: too much waits to be "
				  "sent",
				u->config.name);
		buf_free(&b);
	}
	drop(p, a);
}

/* Over stdio that is how a modern server ends a subscription; over HTTP it closes the stream. The
 * client gets the end that it knows. */
static void end_subscription(struct upstream *u, struct jscan id)
{
	struct jscan root;
	struct pending *p;
	int64_t number;
	struct buf b;

	if (jscan_int(id, &number) != RC_OK || number <= 0 ||
		(p = upstream_find(u, (uint64_t)number)) == NULL || !p->listen)
		return;
	buf_init(&b, 512);
	buf_printf(&b,
		"{\"jsonrpc\":\"2.0\",\"id\":%" PRId64
		",\"result\":{\"resultType\":\"complete\",\"_meta\":{\"" META
		"subscriptionId\":%" PRId64 "}}}",
		number, number);
	if (jscan_parse((const char *)b.data, b.len, &root) == RC_OK)
		upstream_answer(u, p, root);
	buf_free(&b);
}

void bridge_cancelled(struct upstream *u, struct jscan root, struct jscan params)
{
	struct jscan id;

	if (jscan_get(params, "requestId", &id) != RC_OK)
		return;
	if (u->modern)
		end_subscription(u, id);
	else
		take_back(u, root, id);
}

void bridge_withdraw(struct upstream *u, struct pending *p)
{
	struct asked *a;
	struct buf b;

	if (p->modern || p->call == NULL)
		return;
	STAILQ_FOREACH(a, &p->asked, entry)
	{
		if (a->answer != NULL)
			continue;
		buf_init(&b, 512);
		buf_printf(&b,
			"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
			"\"requestId\":\"%s.%u\",\"reason\":\"The call has ended\"}}",
			p->tunnel_id, a->n);
		if (b.failed || !u->owner.event(u->owner.ctx, p->call, b.data, b.len))
			log_debug("upstream %s: a cancellation is dropped: too much waits to be "
				  "sent",
				u->config.name);
		buf_free(&b);
	}
}

/* --- a modern server asks --------------------------------------------------------------- */

static void put_input(const struct pending *p, struct buf *out)
{
	struct asked *a;

	buf_str(out, ",\"inputResponses\":{");
	STAILQ_FOREACH(a, &p->asked, entry)
	{
		if (a != STAILQ_FIRST(&p->asked))
			buf_char(out, ',');
		buf_printf(out, "%s:", a->name);
		buf_str(out, a->answer);
	}
	buf_char(out, '}');
	if (p->state != NULL) {
		buf_str(out, ",\"requestState\":");
		buf_str(out, p->state);
	}
}

/* All answers are there: the request goes out again, with them. */
static void next_round(struct upstream *u, struct pending *p)
{
	struct buf b;
	char *more;
	enum rc rc = RC_LIMIT;

	buf_init(&b, UPSTREAM_MESSAGE_MAX);
	put_input(p, &b);
	more = buf_steal(&b);
	/* A new request by a new number: the old one has ended for the server. */
	p->number = ++u->last;
	if (more != NULL)
		rc = upstream_forward(u, p, p->text, p->len, more);
	free(more);
	bridge_free_asked(p);
	if (rc != RC_OK)
		upstream_fail(u, p, MCP_INTERNAL, "tool_error", "could not be given the answers");
}

static bool put_question(
	struct upstream *u, struct pending *p, struct jscan name, struct jscan ask_for)
{
	struct jscan method, params;
	struct asked *a;
	struct buf b;
	char plain[METHOD_MAX];
	bool ok;

	if (jscan_get(ask_for, "method", &method) != RC_OK ||
		jscan_str(method, plain, sizeof plain) != RC_OK || !client_can(p, plain) ||
		p->questions >= ROUNDS_MAX)
		return false;
	(void)jscan_get(ask_for, "params", &params);
	a = ask(p, name);
	buf_init(&b, params.len + 256 + METHOD_MAX);
	buf_printf(&b, "{\"jsonrpc\":\"2.0\",\"id\":\"%s.%u\",\"method\":\"%s\"", p->tunnel_id,
		a->n, plain);
	if (params.kind == JSCAN_OBJECT) {
		buf_str(&b, ",\"params\":");
		buf_add(&b, params.p, params.len);
	}
	buf_char(&b, '}');
	ok = !b.failed && u->owner.event(u->owner.ctx, p->call, b.data, b.len);
	buf_free(&b);
	return ok;
}

void bridge_input_required(
	struct upstream *u, struct pending *p, struct jscan result, int64_t now_ms)
{
	struct jscan requests, state, key, v;

	(void)now_ms;
	bridge_free_asked(p);
	(void)jscan_get(result, "requestState", &state);
	upstream_set_text(&p->state, state);
	(void)jscan_get(result, "inputRequests", &requests);
	for (struct jscan_iter it = jscan_iter(requests); jscan_next(&it, &key, &v);) {
		if (!put_question(u, p, key, v)) {
			upstream_fail(u, p, MCP_INTERNAL, "tool_error",
				"asks the client for what a client of this revision can't be "
				"asked");
			return;
		}
	}
	if (!STAILQ_EMPTY(&p->asked))
		return;
	if (++p->questions >= ROUNDS_MAX)
		upstream_fail(u, p, MCP_INTERNAL, "tool_error", "asks the client without end");
	else
		next_round(u, p);
}

/* --- the client answers ----------------------------------------------------------------- */

/* "<call id>.<n>" */
static struct asked *find_asked(struct pending *p, struct jscan id)
{
	char text[96], wanted[96];
	struct asked *a;

	if (jscan_str(id, text, sizeof text) != RC_OK)
		return NULL;
	STAILQ_FOREACH(a, &p->asked, entry)
	{
		(void)snprintf(wanted, sizeof wanted, "%s.%u", p->tunnel_id, a->n);
		if (strcmp(text, wanted) == 0)
			return a;
	}
	return NULL;
}

static bool all_answered(const struct pending *p)
{
	struct asked *a;

	STAILQ_FOREACH(a, &p->asked, entry)
	{
		if (a->answer == NULL)
			return false;
	}
	return true;
}

static void relay_reply(
	struct upstream *u, struct pending *p, struct asked *a, struct jscan root, struct jscan id)
{
	struct jsplice s = {0};
	struct buf b;

	buf_init(&b, root.len + strlen(a->name));
	jsplice_replace(&s, id, a->name, strlen(a->name));
	jsplice_apply(&s, root.p, root.len, &b);
	jsplice_free(&s);
	send_buf(u, &b);
	drop(p, a);
}

void upstream_reply(
	struct upstream *u, const void *call, const char *text, size_t len, int64_t now_ms)
{
	struct jscan root, id, result;
	struct pending *p;
	struct asked *a;

	(void)now_ms;
	LIST_FOREACH(p, &u->pending, entry)
	{
		if (p->kind == CLIENTS && p->call == call)
			break;
	}
	if (p == NULL || jscan_parse(text, len, &root) != RC_OK ||
		jscan_get(root, "id", &id) != RC_OK || (a = find_asked(p, id)) == NULL)
		return;
	if (!u->modern) {
		relay_reply(u, p, a, root, id);
		return;
	}
	if (jscan_get(root, "result", &result) != RC_OK) {
		upstream_fail(u, p, MCP_INTERNAL, "tool_error",
			"asked the client for something that the client refused");
		return;
	}
	upstream_set_text(&a->answer, result);
	if (all_answered(p))
		next_round(u, p);
}

static struct pending *find_parked(struct upstream *u, struct jscan state)
{
	char given[STATE_MAX], wanted[STATE_MAX];
	struct pending *p;

	if (jscan_str(state, given, sizeof given) != RC_OK)
		return NULL;
	LIST_FOREACH(p, &u->pending, entry)
	{
		if (p->kind != CLIENTS || p->call != NULL)
			continue;
		put_state(u, p, wanted);
		if (crypto_equal(given, strlen(given), wanted, strlen(wanted)))
			return p;
	}
	return NULL;
}

static void give_answers(struct upstream *u, struct pending *p, struct jscan responses)
{
	struct asked *next;
	struct jscan v;
	char key[16];

	for (struct asked *a = STAILQ_FIRST(&p->asked); a != NULL; a = next) {
		next = STAILQ_NEXT(a, entry);
		(void)snprintf(key, sizeof key, "r%u", a->n);
		if (jscan_get(responses, key, &v) != RC_OK || v.kind != JSCAN_OBJECT)
			continue;
		answer_result(u, a->name, v.p, v.len);
		drop(p, a);
	}
}

enum rc bridge_resume(
	struct upstream *u, const struct upstream_call *c, struct jscan root, int64_t now_ms)
{
	struct jscan params, state, responses, id, method;
	struct pending probe = {0}, *p;

	(void)jscan_get(root, "params", &params);
	if (jscan_get(params, "requestState", &state) == RC_NOTFOUND)
		return RC_NOTFOUND;
	(void)jscan_get(root, "method", &method);
	if (jscan_str(method, probe.method, sizeof probe.method) != RC_OK)
		return RC_INVALID;
	bridge_bind(u, &probe, params);
	p = find_parked(u, state);
	if (p == NULL ||
		!crypto_equal(p->binding, sizeof p->binding, probe.binding, sizeof probe.binding))
		return RC_DENIED;
	(void)jscan_get(root, "id", &id);
	upstream_set_text(&p->id, id);
	upstream_set_token(p, params);
	p->call = c->call;
	p->deadline_ms = c->deadline_ms;
	(void)jscan_get(params, "inputResponses", &responses);
	give_answers(u, p, responses);
	if (!STAILQ_EMPTY(&p->asked)) {
		park(u, p, now_ms + UPSTREAM_PARK_MS);
	} else if (p->late.len > 0) {
		struct buf late = p->late;
		struct jscan kept;

		p->late = (struct buf){0};
		if (jscan_parse((const char *)late.data, late.len, &kept) == RC_OK)
			upstream_answer(u, p, kept);
		buf_free(&late);
	}
	return RC_OK;
}
