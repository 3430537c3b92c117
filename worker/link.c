#include "worker/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "shared/audit_vouch.h"
#include "shared/mem.h"
#include "shared/text.h"

/* What a control plane may ask us to keep in memory, whatever its limits say. */
#define REQUEST_CEILING ((int64_t)64 << 20)
#define MESSAGE_CEILING ((int64_t)64 << 20)
#define RESULT_CEILING ((int64_t)256 << 20)
#define GREETING_MAX                                                                \
	((size_t)2 * MSG_HEADER_MAX) /* before the session stands only headers come \
				      */

#define HOUR_MS ((int64_t)3600 * 1000)

enum state { WAIT_CHALLENGE, WAIT_ACK, OPEN };
/* DISCARDING: too large or too many; its parts are read until the last, then it is answered. */
enum call_state { ARRIVING, DISCARDING, RUNNING, SENDING };

struct call {
	TAILQ_ENTRY(call) entry;
	enum call_state state;
	struct link_call in;
	struct buf payload; /* of the result */
	struct crypto_hasher *hasher; /* over its parts, when there are several */
	struct buf reply; /* of the agent, while its parts arrive */
	size_t sent;
	char outcome[20];
	char snapshot_id[80];
};
TAILQ_HEAD(call_list, call);

struct outgoing {
	STAILQ_ENTRY(outgoing) entry;
	struct buf bytes;
};

struct link {
	struct link_config config;
	struct link_owner owner;
	enum state state;
	struct handshake_worker shake;
	struct handshake_limits limits;
	uint8_t key[CRYPTO_KEY_LEN];
	uint64_t next_n; /* of the control plane's next authenticated message */
	int64_t started_at, heard_at, pinged_at;
	struct call_list calls; /* arriving, discarding, running */
	struct call_list sending; /* takes turns, a part each */
	bool goes_around; /* the next turn is the first one's */
	struct buf handed_out; /* the result whose last part link_next() told of */
	size_t call_count;
	size_t arriving_bytes;
	STAILQ_HEAD(, outgoing) control; /* goes before results */
	size_t queued_bytes;
	struct link_refusal refusal;
	uint64_t ignored;

	/* Vouching: what is not signed yet, from result vouch_n - tally.rows + 1 to vouch_n. */
	char session_id[80];
	struct crypto_hasher *hasher; /* for results in one part */
	int64_t vouch_n;
	struct audit_tally tally;
	int64_t tally_since; /* 0: nobody has looked yet */
	bool leaving;
};

static const struct {
	int code;
	const char *text;
} ends[] = {[LINK_GOES_ON] = {1000, ""},
#define X(name, close_code, words) [LINK_##name] = {close_code, words},
	LINK_END_TABLE(X)
#undef X
};

const char *link_end_text(enum link_end end)
{
	return ends[end].text;
}

int link_close_code(enum link_end end)
{
	return ends[end].code;
}

struct link *link_new(
	const struct link_config *config, const struct link_owner *owner, int64_t now_mono_ms)
{
	struct link *l = xcalloc(1, sizeof *l);

	l->config = *config;
	l->owner = *owner;
	l->started_at = l->heard_at = now_mono_ms;
	l->next_n = 1;
	l->hasher = crypto_hasher_new();
	TAILQ_INIT(&l->calls);
	TAILQ_INIT(&l->sending);
	STAILQ_INIT(&l->control);
	memcpy(l->shake.cp_key, config->enrolled->cp_key, sizeof l->shake.cp_key);
	(void)str_copy(l->shake.worker_id, sizeof l->shake.worker_id, config->enrolled->worker_id);
	return l;
}

/* --- calls in hand --- */

static struct call *find_in(struct call_list *list, const char *id)
{
	struct call *c;

	TAILQ_FOREACH(c, list, entry)
	{
		if (strcmp(c->in.id, id) == 0)
			return c;
	}
	return NULL;
}

static struct call *find_call(struct link *l, const char *id)
{
	struct call *c = find_in(&l->calls, id);

	return c != NULL ? c : find_in(&l->sending, id);
}

static void stop_arriving(struct link *l, struct call *c)
{
	l->arriving_bytes -= c->in.request.len;
	buf_free(&c->in.request);
}

/* The one place where a call ends. Its list is told by its state. */
static void forget_call(struct link *l, struct call *c)
{
	if (c->state == SENDING) {
		TAILQ_REMOVE(&l->sending, c, entry);
		l->queued_bytes -= c->payload.len - c->sent;
	} else {
		TAILQ_REMOVE(&l->calls, c, entry);
	}
	if (c->state == ARRIVING)
		stop_arriving(l, c);
	l->call_count--;
	l->arriving_bytes -= c->reply.len;
	buf_free(&c->reply);
	buf_free(&c->payload);
	crypto_hasher_free(c->hasher);
	free(c);
}

static void forget_all(struct link *l, struct call_list *list)
{
	struct call *next;

	for (struct call *c = TAILQ_FIRST(list); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		forget_call(l, c);
	}
}

void link_free(struct link *l)
{
	struct outgoing *next;

	if (l == NULL)
		return;
	forget_all(l, &l->calls);
	forget_all(l, &l->sending);
	for (struct outgoing *o = STAILQ_FIRST(&l->control); o != NULL; o = next) {
		next = STAILQ_NEXT(o, entry);
		buf_free(&o->bytes);
		free(o);
	}
	buf_free(&l->handed_out);
	crypto_hasher_free(l->hasher);
	handshake_worker_wipe(&l->shake);
	mem_wipe(l->key, sizeof l->key);
	free(l);
}

/* --- going out --- */

/* Takes the bytes of b over. */
static enum rc enqueue(struct link *l, struct buf *b)
{
	size_t room = l->queued_bytes < LINK_QUEUE_MAX ? LINK_QUEUE_MAX - l->queued_bytes : 0;
	struct outgoing *o;

	if (b->failed || b->len > room) {
		buf_free(b);
		return RC_LIMIT;
	}
	o = xcalloc(1, sizeof *o);
	o->bytes = *b;
	*b = (struct buf){0};
	STAILQ_INSERT_TAIL(&l->control, o, entry);
	l->queued_bytes += o->bytes.len;
	l->owner.wake(l->owner.ctx);
	return RC_OK;
}

static enum rc enqueue_copy(void *ctx, const struct buf *message)
{
	struct buf copy;

	buf_init(&copy, message->len);
	buf_add(&copy, message->data, message->len);
	return enqueue(ctx, &copy);
}

static enum rc enqueue_message(struct link *l, enum msg_type type, const char *snapshot_id,
	bool more, const void *payload, size_t len)
{
	struct buf b;

	if (l->state != OPEN)
		return RC_CONFLICT;
	buf_init(&b, MSG_HEADER_MAX + 1 + len);
	msg_begin(&b, type, NULL);
	msg_put_str(&b, "snapshot_id", snapshot_id);
	if (more)
		msg_put_flag(&b, "more", true);
	msg_end(&b, payload, len);
	return enqueue(l, &b);
}

enum rc link_snapshot(struct link *l, const void *sidecar, size_t len)
{
	if (len > (size_t)l->limits.part)
		return RC_LIMIT;
	return enqueue_message(l, MSG_SNAPSHOT, NULL, false, sidecar, len);
}

enum rc link_snapshot_gone(struct link *l, const char *snapshot_id)
{
	return enqueue_message(l, MSG_SNAPSHOT_GONE, snapshot_id, false, NULL, 0);
}

enum rc link_manifest(struct link *l, const void *manifest, size_t len)
{
	size_t part = (size_t)l->limits.part;
	size_t at = 0;
	enum rc rc;

	do {
		size_t n = len - at < part ? len - at : part;
		rc = enqueue_message(
			l, MSG_MANIFEST, NULL, at + n < len, (const char *)manifest + at, n);
		at += n;
	} while (rc == RC_OK && at < len);
	return rc;
}

enum rc link_changed(struct link *l, const char *what)
{
	struct buf b;

	if (l->state != OPEN)
		return RC_CONFLICT;
	buf_init(&b, MSG_HEADER_MAX);
	msg_begin(&b, MSG_CHANGED, NULL);
	msg_put_str(&b, "what", what);
	msg_end(&b, NULL, 0);
	return enqueue(l, &b);
}

/* --- vouching --- */

static void vouch(struct link *l)
{
	uint8_t sig[CRYPTO_SIG_LEN];
	struct audit_vouch v = {.worker_id = l->config.enrolled->worker_id,
		.session_id = l->session_id,
		.first = l->vouch_n - l->tally.rows + 1,
		.last = l->vouch_n,
		.digest = l->tally.digest};
	struct buf b;

	if (l->tally.rows == 0)
		return;
	audit_vouch_sign(&v, l->config.identity, sig);
	buf_init(&b, MSG_HEADER_MAX);
	msg_begin(&b, MSG_VOUCH, NULL);
	msg_put_int(&b, "first", v.first);
	msg_put_int(&b, "last", v.last);
	msg_put_bytes(&b, "digest", l->tally.digest, sizeof l->tally.digest);
	msg_put_bytes(&b, "sig", sig, sizeof sig);
	msg_end(&b, NULL, 0);
	/* While too much waits already, it is tried again with the next result, or later. */
	if (enqueue(l, &b) != RC_OK)
		return;
	l->tally = (struct audit_tally){0};
	l->tally_since = 0;
}

/* A result has gone out; are enough of them unsigned, or do no more come? */
static void vouch_when_due(struct link *l)
{
	if (l->tally.rows >= LINK_VOUCH_RESULTS || (l->leaving && l->call_count == 0))
		vouch(l);
}

static void vouch_when_late(struct link *l, int64_t now_mono_ms)
{
	if (l->tally.rows == 0)
		return;
	if (l->tally_since == 0)
		l->tally_since = now_mono_ms;
	if (now_mono_ms - l->tally_since >= LINK_VOUCH_MS)
		vouch(l);
}

/* Of the whole result as it was sent, whose last part this is. */
static void hash_result(
	struct link *l, struct call *c, const void *part, size_t len, uint8_t hash[CRYPTO_HASH_LEN])
{
	if (c->hasher == NULL) {
		crypto_hasher_sha256(l->hasher, part, len, hash);
		return;
	}
	crypto_hasher_add(c->hasher, part, len);
	crypto_hasher_end(c->hasher, hash);
}

/* Puts the number of this result and its hash into the header of its last part. */
static void put_vouched(
	struct link *l, struct call *c, const void *part, size_t len, struct buf *out)
{
	uint8_t hash[CRYPTO_HASH_LEN], leaf[CRYPTO_HASH_LEN];
	struct audit_vouched v = {.n = ++l->vouch_n,
		.call_id = c->in.id,
		.request_id = c->in.request_id,
		.key_id = c->in.key_id,
		.method = c->in.method,
		.tool = c->in.tool,
		.outcome = c->outcome,
		.result_sha256 = hash};

	hash_result(l, c, part, len, hash);
	audit_vouch_leaf(&v, leaf);
	audit_tally_add(&l->tally, leaf);
	msg_put_int(out, "vouch", v.n);
	msg_put_bytes(out, "sha256", hash, sizeof hash);
}

/* --- going out, continued --- */

enum rc link_goaway(struct link *l)
{
	l->leaving = true;
	vouch_when_due(l);
	return enqueue_message(l, MSG_GOAWAY, NULL, false, NULL, 0);
}

enum rc link_event(struct link *l, const char *id, const void *message, size_t len)
{
	const struct call *c = find_in(&l->calls, id);
	size_t part = (size_t)l->limits.part;
	size_t at = 0;
	enum rc rc = RC_OK;

	if (c == NULL || c->state != RUNNING)
		return RC_NOTFOUND;
	/* All of its parts or none. */
	if (len + (len / part + 1) * (MSG_HEADER_MAX + 1) + l->queued_bytes > LINK_QUEUE_MAX)
		return RC_LIMIT;
	while (rc == RC_OK && at < len) {
		size_t n = len - at < part ? len - at : part;
		struct buf b;

		buf_init(&b, MSG_HEADER_MAX + 1 + n);
		msg_begin(&b, MSG_EVENT, id);
		if (at + n < len)
			msg_put_flag(&b, "more", true);
		msg_end(&b, (const char *)message + at, n);
		rc = enqueue(l, &b);
		at += n;
	}
	return rc;
}

void link_result(struct link *l, const char *id, const char *outcome, const char *snapshot_id,
	struct buf *payload)
{
	struct call *c = find_in(&l->calls, id);

	if (c == NULL) {
		l->ignored++;
		buf_free(payload);
		return;
	}
	if (c->state == ARRIVING)
		stop_arriving(l, c);
	TAILQ_REMOVE(&l->calls, c, entry);
	c->state = SENDING;
	c->payload = *payload;
	*payload = (struct buf){0};
	(void)str_copy(c->outcome, sizeof c->outcome, outcome);
	(void)str_copy(c->snapshot_id, sizeof c->snapshot_id, snapshot_id);
	TAILQ_INSERT_TAIL(&l->sending, c, entry);
	l->queued_bytes += c->payload.len;
	l->owner.wake(l->owner.ctx);
}

static size_t left_of(const struct call *c)
{
	return c->payload.len - c->sent;
}

/* Every other turn goes around, so that all get on; those between go to the result that is nearest
 * to its end. Long results that are sent at the same time then end one after the other, and not all
 * of them late: whoever waits for the first is served while the others are on their way. */
static struct call *whose_turn(struct link *l)
{
	struct call *first = TAILQ_FIRST(&l->sending), *least = first, *c;

	if (l->goes_around || left_of(first) <= (size_t)l->limits.part)
		return first;
	TAILQ_FOREACH(c, &l->sending, entry)
	{
		if (left_of(c) < left_of(least))
			least = c;
	}
	return least;
}

/* The next part of the call whose turn it is; what the last part says counts for the whole. */
static void next_part(
	struct link *l, struct call *c, struct buf *out, const uint8_t **rest, size_t *rest_len)
{
	size_t left = left_of(c);
	size_t n = left < (size_t)l->limits.part ? left : (size_t)l->limits.part;
	const void *part = n > 0 ? c->payload.data + c->sent : (const void *)"";

	msg_begin(out, MSG_RESULT, c->in.id);
	if (n < left) {
		msg_put_flag(out, "more", true);
		if (c->hasher == NULL)
			c->hasher = crypto_hasher_new();
		crypto_hasher_add(c->hasher, part, n);
	} else {
		msg_put_str(out, "outcome", c->outcome);
		msg_put_str(out, "snapshot_id", c->snapshot_id);
		put_vouched(l, c, part, n, out);
	}
	msg_end(out, NULL, 0);
	*rest = part;
	*rest_len = n;
	c->sent += n;
	l->queued_bytes -= n;
	if (n == left) {
		l->handed_out = c->payload;
		c->payload = (struct buf){0};
		c->sent = 0;
		forget_call(l, c);
		vouch_when_due(l);
	} else {
		if (l->goes_around) {
			TAILQ_REMOVE(&l->sending, c, entry);
			TAILQ_INSERT_TAIL(&l->sending, c, entry);
		}
		l->goes_around = !l->goes_around;
	}
}

bool link_next(struct link *l, struct buf *out, const uint8_t **rest, size_t *rest_len)
{
	struct outgoing *o = STAILQ_FIRST(&l->control);

	buf_free(&l->handed_out);
	*rest = NULL;
	*rest_len = 0;
	if (o != NULL) {
		STAILQ_REMOVE_HEAD(&l->control, entry);
		l->queued_bytes -= o->bytes.len;
		buf_add(out, o->bytes.data, o->bytes.len);
		buf_free(&o->bytes);
		free(o);
		return true;
	}
	if (TAILQ_EMPTY(&l->sending))
		return false;
	next_part(l, whose_turn(l), out, rest, rest_len);
	return true;
}

/* --- coming in --- */

static enum link_end take_nack(struct link *l, const struct msg *m)
{
	(void)msg_str(m, "reason", l->refusal.reason, sizeof l->refusal.reason);
	(void)msg_str(m, "detail", l->refusal.detail, sizeof l->refusal.detail);
	l->refusal.retry = msg_flag(m, "retry");
	return LINK_REFUSED;
}

static enum link_end take_challenge(struct link *l, const struct msg *m, int64_t now_wall_ms)
{
	enum rc rc = handshake_worker_hello(&l->shake, m, l->config.identity,
		l->config.enrolled->tenant_id, l->config.agent, now_wall_ms,
		l->config.manifest->data, l->config.manifest->len, enqueue_copy, l);

	if (rc == RC_DENIED)
		return LINK_IMPOSTOR;
	if (rc != RC_OK)
		return LINK_BAD_MESSAGE;
	l->state = WAIT_ACK;
	return LINK_GOES_ON;
}

static int64_t at_most(int64_t value, int64_t max)
{
	return value < max ? value : max;
}

static enum link_end take_ack(struct link *l, const struct msg *m)
{
	enum rc rc = handshake_worker_finish(&l->shake, m, l->session_id, &l->limits, l->key);

	if (rc == RC_DENIED)
		return LINK_IMPOSTOR;
	if (rc != RC_OK)
		return LINK_BAD_MESSAGE;
	l->limits.max_message = at_most(l->limits.max_message, MESSAGE_CEILING);
	l->limits.max_request = at_most(l->limits.max_request, REQUEST_CEILING);
	l->limits.max_result = at_most(l->limits.max_result, RESULT_CEILING);
	l->limits.part = at_most(l->limits.part, l->limits.max_message - MSG_HEADER_MAX);
	l->limits.heartbeat_ms = at_most(l->limits.heartbeat_ms, HOUR_MS);
	l->state = OPEN;
	l->owner.opened(l->owner.ctx, l->session_id);
	return LINK_GOES_ON;
}

/* A field that may become a header of HTTP. */
static void take_line(const struct msg *m, const char *name, char *dst, size_t cap)
{
	if (msg_str(m, name, dst, cap) != RC_OK || !text_name_ok(dst, cap))
		dst[0] = '\0';
}

/* A first part names the method; what comes without one belongs to a call that is gone. */
static struct call *begin_call(struct link *l, const struct msg *m)
{
	struct call *c;

	if (msg_field(m, "method").kind == JSCAN_NONE)
		return NULL;
	c = xcalloc(1, sizeof *c);
	c->state = ARRIVING;
	(void)str_copy(c->in.id, sizeof c->in.id, m->id);
	(void)msg_str(m, "request_id", c->in.request_id, sizeof c->in.request_id);
	(void)msg_str(m, "key_id", c->in.key_id, sizeof c->in.key_id);
	(void)msg_str(m, "key_name", c->in.key_name, sizeof c->in.key_name);
	take_line(m, "traceparent", c->in.traceparent, sizeof c->in.traceparent);
	take_line(m, "tracestate", c->in.tracestate, sizeof c->in.tracestate);
	(void)msg_str(m, "method", c->in.method, sizeof c->in.method);
	(void)msg_str(m, "tool", c->in.tool, sizeof c->in.tool);
	(void)msg_str(m, "era", c->in.era, sizeof c->in.era);
	(void)msg_int(m, "timeout_ms", &c->in.timeout_ms);
	buf_init(&c->in.request, (size_t)l->limits.max_request);
	TAILQ_INSERT_TAIL(&l->calls, c, entry);
	l->call_count++;
	return c;
}

static void refuse_call(struct link *l, struct call *c, const char *outcome)
{
	stop_arriving(l, c);
	c->state = DISCARDING;
	c->in.refused = outcome;
}

static void add_part(struct link *l, struct call *c, const struct msg *m)
{
	if (c->state == DISCARDING)
		return;
	if (l->arriving_bytes + m->payload_len > LINK_ARRIVING_MAX ||
		l->call_count > LINK_CALLS_MAX) {
		refuse_call(l, c, "overloaded");
		return;
	}
	size_t before = c->in.request.len;
	buf_add(&c->in.request, m->payload, m->payload_len);
	l->arriving_bytes += c->in.request.len - before;
	if (c->in.request.failed)
		refuse_call(l, c, "too_large");
}

static void complete_call(struct link *l, struct call *c)
{
	struct link_call in;

	if (c->state == ARRIVING)
		l->arriving_bytes -= c->in.request.len;
	c->state = RUNNING;
	in = c->in;
	c->in.request = (struct buf){0}; /* the owner has it now */
	l->owner.call(l->owner.ctx, &in);
}

static enum link_end take_call(struct link *l, const struct msg *m)
{
	struct call *c;

	if (!msg_mac_ok(m, l->key, l->next_n))
		return LINK_BAD_MAC;
	l->next_n++;
	if (m->id[0] == '\0')
		return LINK_BAD_MESSAGE;
	c = find_call(l, m->id);
	if (c == NULL && l->call_count >= 2 * (size_t)LINK_CALLS_MAX)
		return LINK_BAD_MESSAGE; /* refusals are calls too until they are sent */
	if (c == NULL)
		c = begin_call(l, m);
	if (c == NULL) {
		l->ignored++;
		return LINK_GOES_ON;
	}
	if (c->state != ARRIVING && c->state != DISCARDING)
		return LINK_BAD_MESSAGE; /* the id of a call that runs already */
	add_part(l, c, m);
	if (!m->more)
		complete_call(l, c);
	return LINK_GOES_ON;
}

static void drop_reply(struct link *l, struct call *c)
{
	l->arriving_bytes -= c->reply.len;
	buf_free(&c->reply);
}

/* A reply to a call that is gone is ignored; the count goes on all the same. One that is too large
 * is dropped: its call waits for it and times out. */
static enum link_end take_reply(struct link *l, const struct msg *m)
{
	struct call *c;

	if (!msg_mac_ok(m, l->key, l->next_n))
		return LINK_BAD_MAC;
	l->next_n++;
	c = find_in(&l->calls, m->id);
	if (c == NULL || c->state != RUNNING) {
		l->ignored++;
		return LINK_GOES_ON;
	}
	if (c->reply.max == 0)
		buf_init(&c->reply, (size_t)l->limits.max_request);
	if (!c->reply.failed) {
		size_t before = c->reply.len;

		if (l->arriving_bytes + m->payload_len > LINK_ARRIVING_MAX)
			c->reply.failed = true;
		else
			buf_add(&c->reply, m->payload, m->payload_len);
		l->arriving_bytes += c->reply.len - before;
	}
	if (m->more)
		return LINK_GOES_ON;
	if (c->reply.failed) {
		l->ignored++;
		drop_reply(l, c);
	} else {
		struct buf whole = c->reply;

		c->reply = (struct buf){0};
		l->arriving_bytes -= whole.len;
		/* The call may end in there. */
		l->owner.reply(l->owner.ctx, m->id, whole.data, whole.len);
		buf_free(&whole);
	}
	return LINK_GOES_ON;
}

static void end_empty(struct link *l, struct call *c)
{
	struct buf none = {0};

	link_result(l, c->in.id, "cancelled", "", &none);
}

static enum link_end take_cancel(struct link *l, const struct msg *m)
{
	struct call *c = find_call(l, m->id);

	if (c == NULL) {
		l->ignored++;
		return LINK_GOES_ON;
	}
	switch (c->state) {
	case ARRIVING:
	case DISCARDING:
		end_empty(l, c);
		break;
	case RUNNING:
		l->owner.cancel(l->owner.ctx, c->in.id);
		break;
	case SENDING:
		/* Nobody wants the rest. */
		l->queued_bytes -= c->payload.len - c->sent;
		buf_free(&c->payload);
		c->sent = 0;
		(void)str_copy(c->outcome, sizeof c->outcome, "cancelled");
		break;
	}
	return LINK_GOES_ON;
}

static enum link_end take_goaway(struct link *l, const struct msg *m)
{
	int64_t after = 0;

	if (msg_int(m, "retry_after_ms", &after) != RC_OK || after < 0)
		after = 0;
	l->leaving = true;
	vouch_when_due(l);
	l->owner.goaway(l->owner.ctx, at_most(after, HOUR_MS));
	return LINK_GOES_ON;
}

static enum link_end take_open(struct link *l, const struct msg *m)
{
	switch (m->type) {
	case MSG_CALL:
		return take_call(l, m);
	case MSG_REPLY:
		return take_reply(l, m);
	case MSG_CANCEL:
		return take_cancel(l, m);
	case MSG_GOAWAY:
		return take_goaway(l, m);
	case MSG_UNKNOWN:
		l->ignored++;
		return LINK_GOES_ON;
	default:
		return LINK_BAD_MESSAGE;
	}
}

enum link_end link_message(
	struct link *l, const uint8_t *bytes, size_t len, int64_t now_mono_ms, int64_t now_wall_ms)
{
	struct msg m;

	l->heard_at = now_mono_ms;
	if (msg_parse(bytes, len, &m) != RC_OK)
		return LINK_BAD_MESSAGE;
	if (l->state == OPEN)
		return take_open(l, &m);
	if (m.type == MSG_UNKNOWN) {
		l->ignored++;
		return LINK_GOES_ON;
	}
	if (m.type == MSG_HELLO_NACK)
		return take_nack(l, &m);
	return l->state == WAIT_CHALLENGE ? take_challenge(l, &m, now_wall_ms) : take_ack(l, &m);
}

void link_heard(struct link *l, int64_t now_mono_ms)
{
	l->heard_at = now_mono_ms;
}

/* The control plane pings every heartbeat, but the WebSocket library answers those without telling;
 * so we ping too, and its pongs are the sign of life. */
enum link_end link_tick(struct link *l, int64_t now_mono_ms, bool *ping)
{
	int64_t silence = now_mono_ms - l->heard_at;

	*ping = false;
	if (l->state != OPEN)
		return now_mono_ms - l->started_at > LINK_HANDSHAKE_MS ? LINK_TOO_SLOW
								       : LINK_GOES_ON;
	vouch_when_late(l, now_mono_ms);
	if (silence > l->limits.heartbeat_ms + LINK_HEARTBEAT_GRACE_MS)
		return LINK_SILENT;
	if (silence >= l->limits.heartbeat_ms &&
		l->pinged_at < l->heard_at + l->limits.heartbeat_ms) {
		l->pinged_at = now_mono_ms;
		*ping = true;
	}
	return LINK_GOES_ON;
}

bool link_has_room(const struct link *l)
{
	return l->queued_bytes < LINK_QUEUE_MAX;
}

const char *link_caller(const struct link_call *c, char out[LINK_CALLER_MAX])
{
	if (c->key_id[0] == '\0')
		(void)snprintf(out, LINK_CALLER_MAX, "-");
	else if (c->key_name[0] == '\0')
		(void)snprintf(out, LINK_CALLER_MAX, "%s", c->key_id);
	else
		(void)snprintf(out, LINK_CALLER_MAX, "%s (%s)", c->key_id, c->key_name);
	return out;
}

const char *link_tenant_id(const struct link *l)
{
	return l->config.enrolled->tenant_id;
}

bool link_open(const struct link *l)
{
	return l->state == OPEN;
}

bool link_idle(const struct link *l)
{
	return l->call_count == 0 && STAILQ_EMPTY(&l->control);
}

size_t link_max_message(const struct link *l)
{
	return l->state == OPEN ? (size_t)l->limits.max_message : GREETING_MAX;
}

size_t link_max_result(const struct link *l)
{
	return (size_t)l->limits.max_result;
}

const struct link_refusal *link_refusal(const struct link *l)
{
	return &l->refusal;
}

uint64_t link_ignored(const struct link *l)
{
	return l->ignored;
}
