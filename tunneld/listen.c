#include "tunneld/listen.h"

#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/sse.h"
#include "shared/text.h"
#include "tunneld/hub.h"
#include "tunneld/pinning.h"

#define TOKEN_BYTES 16
#define ID_JSON_MAX ((size_t)1100)
#define HEADERS_MAX 2048

_Static_assert(LISTEN_TICKET_LEN == TEXT_B32_LEN(TOKEN_BYTES), "a ticket is its token");

static const struct {
	const char *text;
	bool told;
} ends[] = {
#define X(name, words, said) {words, said},
	LISTEN_END_TABLE(X)
#undef X
};

const char *listen_end_text(enum listen_end end)
{
	return ends[end].text;
}

void listens_init(struct listens *l, uint64_t seed)
{
	*l = (struct listens){0};
	map_init(&l->tenants, seed);
	map_init(&l->tickets, seed);
	map_init(&l->calls, seed);
	watches_init(&l->watches, seed);
	deadlines_init(&l->offered);
	deadlines_init(&l->beats);
	deadlines_init(&l->expiries);
}

void listens_free(struct listens *l)
{
	map_free(&l->tenants);
	map_free(&l->tickets);
	map_free(&l->calls);
	watches_free(&l->watches);
}

/* --- tenants ------------------------------------------------------------------------ */

static struct listen_tenant *find_tenant(const struct hub *hub, const char *tenant_id)
{
	struct map_node *n = map_get(&hub->listens.tenants, tenant_id);

	return n ? MAP_ENTRY(n, struct listen_tenant, by_id) : NULL;
}

size_t listen_count(const struct hub *hub, const char *tenant_id)
{
	const struct listen_tenant *t = find_tenant(hub, tenant_id);

	return t ? t->count : 0;
}

/* What the tenant's workers serve at this moment: the newest manifest counts. */
static bool served_now(const struct hub *hub, const char *tenant_id, uint8_t tools[CRYPTO_HASH_LEN])
{
	const struct registry_tenant *t = registry_tenant(&hub->registry, tenant_id);

	if (!t || !t->latest || !t->latest->manifest)
		return false;
	pinning_tools_hash(t, tools);
	return true;
}

static void join_tenant(struct hub *hub, struct listener *l, const char *tenant_id)
{
	struct listen_tenant *t = find_tenant(hub, tenant_id);

	if (!t) {
		t = xcalloc(1, sizeof(*t));
		(void)str_copy(t->id, sizeof(t->id), tenant_id);
		t->served = served_now(hub, t->id, t->tools);
		map_put(&hub->listens.tenants, &t->by_id, t->id);
	}
	l->tenant = t;
	l->next = t->first;
	if (l->next)
		l->next->prev = l;
	t->first = l;
	t->count++;
	hub->listens.count++;
}

static void leave_tenant(struct hub *hub, struct listener *l)
{
	struct listen_tenant *t = l->tenant;

	*(l->prev ? &l->prev->next : &t->first) = l->next;
	if (l->next)
		l->next->prev = l->prev;
	hub->listens.count--;
	if (--t->count > 0)
		return;
	map_remove(&hub->listens.tenants, &t->by_id);
	free(t);
}

static void announce(struct listen_tenant *t, unsigned what)
{
	for (struct listener *l = t->first; l; l = l->next) {
		unsigned news = l->wanted & what;

		if (!news || l->state == LISTENER_ENDED)
			continue;
		l->pending |= (uint8_t)news;
		if (l->io && l->acknowledged)
			l->io->wake(l->ctx);
	}
}

void listen_refresh(struct hub *hub, const char *tenant_id)
{
	struct listen_tenant *t = find_tenant(hub, tenant_id);
	uint8_t tools[CRYPTO_HASH_LEN] = {0};
	bool served;

	if (!t)
		return;
	served = served_now(hub, tenant_id, tools);
	if (served != t->served)
		announce(t, LISTEN_LISTS);
	else if (memcmp(tools, t->tools, sizeof(tools)) != 0)
		announce(t, LISTEN_TOOLS);
	t->served = served;
	memcpy(t->tools, tools, sizeof(tools));
}

bool listen_changed(struct hub *hub, const struct session *s, const struct msg *m)
{
	static const struct {
		const char *name;
		unsigned what;
	} lists[] = {{"tools", LISTEN_TOOLS}, {"prompts", LISTEN_PROMPTS},
		{"resources", LISTEN_RESOURCES}};
	struct listen_tenant *t = find_tenant(hub, s->tenant_id);
	char what[16];

	if (msg_str(m, "what", what, sizeof(what)) != RC_OK)
		return false;
	for (size_t i = 0; t && i < sizeof(lists) / sizeof(lists[0]); i++)
		if (!strcmp(what, lists[i].name))
			announce(t, lists[i].what);
	return true; /* what a later version may say does no harm */
}

/* --- opening ---------------------------------------------------------------------------- */

/* Is the key still good, says the state? LISTEN_END_GONE when it is; *expires_at in UTC seconds. */
static enum listen_end judge(
	struct hub *hub, const char *key_id, const char *tenant_id, int64_t *expires_at)
{
	struct api_key_row row = {0};
	enum listen_end verdict = LISTEN_END_GONE;

	*expires_at = 0;
	switch (api_key_find(hub->db, key_id, &row)) {
	case RC_OK:
		if (row.key.revoked_at || strcmp(row.key.tenant_id, tenant_id) != 0)
			verdict = LISTEN_END_REVOKED;
		else if (row.tenant.suspended)
			verdict = LISTEN_END_SUSPENDED;
		else if (row.key.expires_at && row.key.expires_at <= clock_wall_s())
			verdict = LISTEN_END_EXPIRED;
		*expires_at = row.key.expires_at;
		break;
	case RC_NOTFOUND:
		verdict = LISTEN_END_REVOKED;
		break;
	default:
		log_err("a key with open streams could not be checked again: the state can't be "
			"read");
		break;
	}
	api_key_clear(&row.key);
	return verdict;
}

static char *take_text(const struct msg *m, const char *field, size_t max)
{
	char *text = xmalloc(max + 1);

	if (msg_str(m, field, text, max + 1) != RC_OK)
		text[0] = '\0';
	return xrealloc(text, strlen(text) + 1);
}

static void listener_free(struct listener *l)
{
	free(l->subscription);
	free(l->key_id);
	free(l->key_name);
	free(l->client);
	free(l->request_id);
	free(l->remote_ip);
	free(l->headers);
	buf_free(&l->request);
	buf_free(&l->queue);
	buf_free(&l->parts);
	free(l);
}

static bool read_fields(struct hub *hub, struct listener *l, const struct msg *m)
{
	struct jscan id = msg_field(m, "subscription");
	struct audit_record r;
	char era[16];

	audit_init(&r, "");
	if (audit_get(msg_field(m, "audit"), &r) != RC_OK || id.len > ID_JSON_MAX ||
		msg_str(m, "era", era, sizeof(era)) != RC_OK)
		return false;
	l->modern = !strcmp(era, "modern");
	if (l->modern && id.kind == JSCAN_NONE)
		return false;
	l->subscription = xstrndup(id.p ? id.p : "", id.len);
	l->key_id = take_text(m, "key_id", AUDIT_ID_MAX);
	l->key_name = take_text(m, "key_name", AUDIT_NAME_MAX);
	l->client = take_text(m, "client", CALL_RPC_ID_MAX);
	l->headers = take_text(m, "headers", HEADERS_MAX);
	l->request_id = xstrndup(r.request_id, strlen(r.request_id));
	l->remote_ip = xstrndup(r.remote_ip, strlen(r.remote_ip));
	l->wanted = (uint8_t)((msg_flag(m, "tools") ? LISTEN_TOOLS : 0) |
		(msg_flag(m, "prompts") ? LISTEN_PROMPTS : 0) |
		(msg_flag(m, "resources") ? LISTEN_RESOURCES : 0));
	buf_init(&l->queue, (size_t)hub->config->stream_backlog_bytes);
	buf_init(&l->parts, (size_t)hub->config->stream_backlog_bytes);
	buf_init(&l->request, LISTEN_REQUEST_MAX);
	if (msg_flag(m, "worker")) {
		buf_add(&l->request, m->payload, m->payload_len);
		return !l->request.failed && l->request.len > 0;
	}
	/* The payload is the acknowledgement; a legacy stream has none. */
	l->acknowledged = true;
	if (m->payload_len > 0)
		sse_event(&l->queue, m->payload, m->payload_len);
	return !l->queue.failed && (!l->modern || m->payload_len > 0);
}

static bool admit(struct hub *hub, const struct msg *m, const char *tenant_id, int64_t now_ms,
	enum problem *why, int64_t *retry_ms)
{
	const struct config *cf = hub->config;
	const struct registry_tenant *t = registry_tenant(&hub->registry, tenant_id);
	char key_id[AUDIT_ID_MAX + 1] = "";
	int64_t rate = 0;

	(void)msg_str(m, "key_id", key_id, sizeof(key_id));
	(void)msg_int(m, "rate", &rate);
	*why = PROBLEM_RATE_LIMITED;
	if (!rate_take(&hub->rates, key_id, rate, now_ms, retry_ms)) {
		hub->metrics.refused[METRICS_REFUSED_RATE]++;
		return false;
	}
	*why = PROBLEM_OVERLOADED;
	*retry_ms = LISTEN_TICKET_MS;
	if (hub->listens.count >= (size_t)cf->streams ||
		listen_count(hub, tenant_id) >= (size_t)cf->streams_per_tenant) {
		hub->metrics.refused[METRICS_REFUSED_STREAMS]++;
		return false;
	}
	*why = PROBLEM_NO_WORKER;
	*retry_ms = 0;
	if (msg_flag(m, "worker") && (!t || t->count == 0)) {
		hub->metrics.refused[METRICS_REFUSED_NO_WORKER]++;
		return false;
	}
	return true;
}

static void make_ids(struct listener *l)
{
	uint8_t token[TOKEN_BYTES];

	crypto_random(token, sizeof(token));
	text_b32(token, sizeof(token), l->ticket);
	crypto_random(token, sizeof(token));
	l->call_id[0] = 'l';
	l->call_id[1] = '_';
	text_b32(token, sizeof(token), l->call_id + 2);
}

struct listener *listen_new(
	struct hub *hub, const struct msg *m, int64_t now_ms, enum problem *why, int64_t *retry_ms)
{
	char tenant_id[80];
	struct listener *l;
	int64_t expires_at;

	*why = PROBLEM_BAD_REQUEST;
	*retry_ms = 0;
	if (msg_str(m, "tenant_id", tenant_id, sizeof(tenant_id)) != RC_OK || m->more)
		return NULL;
	if (!admit(hub, m, tenant_id, now_ms, why, retry_ms))
		return NULL;
	l = xcalloc(1, sizeof(*l));
	*why = PROBLEM_BAD_REQUEST;
	if (!read_fields(hub, l, m)) {
		hub->metrics.refused[METRICS_REFUSED_BAD_DISPATCH]++;
		listener_free(l);
		return NULL;
	}
	/* It may have been revoked since fcgi-app looked, and then nobody would look again. */
	if (judge(hub, l->key_id, tenant_id, &expires_at) != LISTEN_END_GONE) {
		*why = PROBLEM_UNAUTHORIZED;
		listener_free(l);
		return NULL;
	}
	if (expires_at)
		deadline_set(&hub->listens.expiries, &l->expiry,
			now_ms + (expires_at - clock_wall_s()) * 1000);
	make_ids(l);
	l->opened_ms = now_ms;
	join_tenant(hub, l, tenant_id);
	return l;
}

void listen_row(
	const struct listener *l, const char *event, const char *outcome, struct audit_record *r)
{
	audit_init(r, event);
	(void)str_copy(r->tenant_id, sizeof(r->tenant_id), l->tenant->id);
	(void)str_copy(r->actor_kind, sizeof(r->actor_kind), "agent");
	(void)str_copy(r->actor_id, sizeof(r->actor_id), l->key_id);
	(void)str_copy(r->actor_name, sizeof(r->actor_name), l->key_name);
	(void)str_copy(r->key_id, sizeof(r->key_id), l->key_id);
	(void)str_copy(r->method, sizeof(r->method), l->modern ? "subscriptions/listen" : "GET");
	(void)str_copy(r->outcome, sizeof(r->outcome), outcome);
	(void)str_copy(r->request_id, sizeof(r->request_id), l->request_id);
	(void)str_copy(r->remote_ip, sizeof(r->remote_ip), l->remote_ip);
}

/* Takes it off everything that finds it; what remains is for its reader. */
static void settle(struct hub *hub, struct listener *l, enum listen_end why)
{
	struct audit_record r;

	if (l->state == LISTENER_OFFERED)
		map_remove(&hub->listens.tickets, &l->by_ticket);
	listen_detach(hub, l);
	deadline_clear(&l->beat);
	deadline_clear(&l->expiry);
	if (l->state != LISTENER_OPENING) {
		hub->metrics.streams_ended[why]++;
		listen_row(l, "stream.close", listen_end_text(why), &r);
		r.latency_ms = clock_mono_ms() - l->opened_ms;
		r.bytes_out = l->bytes_out;
		audit_writer_note(hub->audit, &r);
	}
	l->pending = ends[why].told && l->modern ? LISTEN_RESULT : 0;
	l->state = LISTENER_ENDED;
}

static void discard(struct hub *hub, struct listener *l)
{
	leave_tenant(hub, l);
	listener_free(l);
}

void listen_end(struct hub *hub, struct listener *l, enum listen_end why)
{
	bool waits = l->state == LISTENER_OPENING; /* somebody still holds it */

	if (l->state == LISTENER_ENDED)
		return;
	settle(hub, l, why);
	if (l->io)
		l->io->close(l->ctx, why == LISTEN_END_TOO_SLOW);
	else if (!waits)
		discard(hub, l);
}

void listen_drop(struct hub *hub, struct listener *l)
{
	if (l->state != LISTENER_ENDED)
		settle(hub, l, LISTEN_END_GONE);
	discard(hub, l);
}

bool listen_offer(struct hub *hub, struct listener *l, int64_t now_ms)
{
	if (l->state == LISTENER_ENDED) {
		discard(hub, l);
		return false;
	}
	l->state = LISTENER_OFFERED;
	map_put(&hub->listens.tickets, &l->by_ticket, l->ticket);
	deadline_set(&hub->listens.offered, &l->beat, now_ms + LISTEN_TICKET_MS);
	hub_arm(hub, l->beat.due_ms);
	if (l->expiry.next)
		hub_arm(hub, l->expiry.due_ms);
	return true;
}

/* --- the reader --------------------------------------------------------------------------- */

/* Messages of one client of an old version go out on one stream: its newest. */
static void replace_older(struct hub *hub, const struct listener *l)
{
	struct listener *next;

	if (l->modern || !*l->client)
		return;
	for (struct listener *o = l->tenant->first; o; o = next) {
		next = o->next;
		if (o != l && !o->modern && !strcmp(o->client, l->client) &&
			!strcmp(o->key_id, l->key_id))
			listen_end(hub, o, LISTEN_END_REPLACED);
	}
}

static void watch(struct hub *hub, struct listener *l, int64_t now_ms)
{
	deadline_set(&hub->listens.beats, &l->beat, now_ms + hub->config->stream_keepalive_ms);
	hub_arm(hub, l->beat.due_ms);
}

struct listener *listen_claim(struct hub *hub, const char *ticket, const struct stream_reader *io,
	void *ctx, int64_t now_ms)
{
	struct map_node *n = map_get(&hub->listens.tickets, ticket);
	struct listener *l;

	if (!n)
		return NULL;
	l = MAP_ENTRY(n, struct listener, by_ticket);
	map_remove(&hub->listens.tickets, &l->by_ticket);
	l->state = LISTENER_OPEN;
	l->io = io;
	l->ctx = ctx;
	l->pending |= LISTEN_BEAT; /* so that something comes at once */
	hub->metrics.streams_opened++;
	replace_older(hub, l);
	watch(hub, l, now_ms);
	if (!l->modern)
		watch_request(&hub->listens.watches, l->key_id, l->client, &l->request);
	listen_attach(hub, l);
	return l;
}

static void put_notification(struct listener *l, struct buf *out, const char *list)
{
	struct buf json;

	buf_init(&json, 2 * ID_JSON_MAX);
	buf_printf(
		&json, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/%s/list_changed\"", list);
	if (l->modern)
		buf_printf(&json,
			",\"params\":{\"_meta\":{\"io.modelcontextprotocol/"
			"subscriptionId\":%s}}",
			l->subscription);
	buf_char(&json, '}');
	sse_event(out, json.data, json.len);
	buf_free(&json);
}

/* MCP 2026-07-28, "Graceful Closure". */
static void put_result(struct listener *l, struct buf *out)
{
	struct buf json;

	buf_init(&json, 4 * ID_JSON_MAX);
	buf_printf(&json,
		"{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"resultType\":\"complete\",\"_meta\":{"
		"\"io.modelcontextprotocol/subscriptionId\":%s}}}",
		l->subscription, l->subscription);
	sse_event(out, json.data, json.len);
	buf_free(&json);
}

void listen_take_headers(struct listener *l, struct buf *out)
{
	buf_str(out, l->headers);
	free(l->headers);
	l->headers = NULL;
}

void listen_next(struct listener *l, struct buf *out)
{
	size_t before = out->len;

	l->untaken = 0;
	if (l->pending & LISTEN_BEAT)
		buf_str(out, SSE_COMMENT);
	l->pending &= (uint8_t)~LISTEN_BEAT;
	if (l->queue.len > 0) {
		buf_add(out, l->queue.data, l->queue.len);
		buf_free(&l->queue);
	}
	if (l->acknowledged) {
		if (l->pending & LISTEN_TOOLS)
			put_notification(l, out, "tools");
		if (l->pending & LISTEN_PROMPTS)
			put_notification(l, out, "prompts");
		if (l->pending & LISTEN_RESOURCES)
			put_notification(l, out, "resources");
		l->pending &= LISTEN_RESULT;
	}
	if (l->pending & LISTEN_RESULT) {
		put_result(l, out);
		l->pending = 0;
	}
	l->bytes_out += (int64_t)(out->len - before);
}

bool listen_ended(const struct listener *l)
{
	return l->state == LISTENER_ENDED;
}

void listen_closed(struct hub *hub, struct listener *l)
{
	if (!l)
		return;
	l->io = NULL;
	if (l->state != LISTENER_ENDED)
		settle(hub, l, LISTEN_END_GONE);
	discard(hub, l);
}

void listen_queue(struct hub *hub, struct listener *l, const void *json, size_t len)
{
	sse_event(&l->queue, json, len);
	if (l->queue.failed) {
		buf_free(&l->queue);
		listen_end(hub, l, LISTEN_END_TOO_SLOW);
	} else if (l->io) {
		l->io->wake(l->ctx);
	}
}

/* --- the end -------------------------------------------------------------------------------- */

void listen_recheck(struct hub *hub, const char *tenant_id)
{
	struct listen_tenant *t = find_tenant(hub, tenant_id);
	struct listener *next;
	char judged[AUDIT_ID_MAX + 1] = "";
	enum listen_end verdict = LISTEN_END_GONE;
	int64_t expires_at;

	for (struct listener *l = t ? t->first : NULL; l; l = next) {
		next = l->next;
		/* Streams of one key tend to stand together. */
		if (strcmp(judged, l->key_id) != 0) {
			verdict = judge(hub, l->key_id, tenant_id, &expires_at);
			(void)str_copy(judged, sizeof(judged), l->key_id);
		}
		if (verdict != LISTEN_END_GONE)
			listen_end(hub, l, verdict);
	}
}

void listen_end_all(struct hub *hub, enum listen_end why)
{
	const struct map_node *n = map_next(&hub->listens.tenants, NULL), *next;

	for (; n; n = next) {
		struct listener *l = MAP_ENTRY(n, const struct listen_tenant, by_id)->first, *after;

		/* A tenant goes away with its last stream. */
		next = map_next(&hub->listens.tenants, n);
		for (; l; l = after) {
			after = l->next;
			listen_end(hub, l, why);
		}
	}
}

static void beat(struct hub *hub, struct listener *l, int64_t now_ms)
{
	if (l->pending & LISTEN_BEAT && ++l->untaken >= LISTEN_UNTAKEN_MAX) {
		listen_end(hub, l, LISTEN_END_TOO_SLOW);
		return;
	}
	l->pending |= LISTEN_BEAT;
	watch(hub, l, now_ms);
	if (!l->modern) /* its subscriptions last as long as it does */
		watch_keep(&hub->listens.watches, l->key_id, l->client, now_ms);
	if (l->request.len > 0 && !l->session)
		listen_attach(hub, l);
	if (l->state == LISTENER_OPEN)
		l->io->wake(l->ctx);
}

void listen_tick(struct hub *hub, int64_t now_ms)
{
	struct deadline *d;

	watch_tick(&hub->listens.watches, now_ms);
	while ((d = deadlines_due(&hub->listens.offered, now_ms)))
		listen_end(hub, DEADLINE_OF(d, struct listener, beat), LISTEN_END_UNCLAIMED);
	while ((d = deadlines_due(&hub->listens.expiries, now_ms)))
		listen_end(hub, DEADLINE_OF(d, struct listener, expiry), LISTEN_END_EXPIRED);
	while ((d = deadlines_due(&hub->listens.beats, now_ms)))
		beat(hub, DEADLINE_OF(d, struct listener, beat), now_ms);
}
