#include "tunneld/greeting.h"

#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/manifest.h"
#include "shared/mem.h"
#include "tunneld/lineup.h"
#include "tunneld/listen.h"
#include "tunneld/pinning.h"

/* What all connections in the handshake may have sent together, and one alone beyond its manifest.
 */
#define TOGETHER_MAX ((size_t)128 * 1024 * 1024)
#define BEYOND_MAX ((size_t)4 * MSG_HEADER_MAX)

struct greeting {
	struct handshake_cp cp;
	struct hello hello;
	bool started; /* hello is filled: further HELLOs are parts of its manifest */
	size_t bytes;
};

void greeting_begin(struct tunnel *t)
{
	struct buf b;

	t->greeting = xcalloc(1, sizeof(*t->greeting));
	buf_init(&t->parts, (size_t)t->hub->config->max_manifest_bytes);
	tunnel_begin(&b);
	handshake_cp_begin(&t->greeting->cp, t->hub->identity, &b);
	(void)tunnel_send(t, MSG_CHALLENGE, &b);
}

void greeting_free(struct tunnel *t)
{
	if (!t->greeting)
		return;
	t->hub->greeting_bytes -= t->greeting->bytes;
	handshake_cp_wipe(&t->greeting->cp);
	free(t->greeting);
	t->greeting = NULL;
	buf_free(&t->parts);
}

bool greeting_may_buffer(struct tunnel *t, size_t bytes)
{
	struct hub *hub = t->hub;
	size_t alone = 2 * (size_t)hub->config->max_manifest_bytes + BEYOND_MAX;

	if (bytes > alone - t->greeting->bytes) {
		tunnel_end(t, TUNNEL_END_PROTOCOL_ERROR);
		return false;
	}
	if (bytes > TOGETHER_MAX - hub->greeting_bytes) {
		hub->metrics.refused[METRICS_REFUSED_GREETING_MEMORY]++;
		tunnel_end(t, TUNNEL_END_OVERLOADED);
		return false;
	}
	t->greeting->bytes += bytes;
	hub->greeting_bytes += bytes;
	return true;
}

/* --- manifests ------------------------------------------------------------------------- */

bool greeting_collect(struct tunnel *t, const struct msg *m, const uint8_t **text, size_t *len)
{
	*text = m->payload;
	*len = m->payload_len;
	if (m->payload_len > (size_t)t->hub->config->max_manifest_bytes)
		return false;
	if (!m->more && t->parts.len == 0)
		return true;
	buf_add(&t->parts, m->payload, m->payload_len);
	if (t->parts.failed)
		return false;
	*text = t->parts.data;
	*len = t->parts.len;
	return true;
}

enum nack greeting_manifest(
	struct hub *hub, const void *text, size_t len, struct catalog_entry **out)
{
	uint8_t hash[CRYPTO_HASH_LEN];
	char why[256];

	switch (manifest_check(text, len, why, sizeof(why))) {
	case RC_OK:
		break;
	case RC_DENIED:
		return NACK_DATABASE_URL_REJECTED;
	default:
		return NACK_BAD_MANIFEST;
	}
	crypto_sha256(text, len, hash);
	*out = catalog_take(&hub->catalog, text, len, hash);
	return *out ? NACK_NONE : NACK_BAD_MANIFEST;
}

/* --- the answer ------------------------------------------------------------------------- */

static const char *advice(enum nack reason)
{
	switch (reason) {
	case NACK_UNKNOWN_WORKER:
		return "enroll this worker again";
	case NACK_BAD_SIGNATURE:
		return "the identity file does not belong to this worker id";
	case NACK_REVOKED:
		return "an operator revoked this worker";
	case NACK_TENANT_SUSPENDED:
		return "an operator suspended this tenant";
	case NACK_TENANT_SESSION_CAP_REACHED:
		return "raise AIRLOCK_CP_MAX_SESSIONS_PER_TENANT or run fewer workers";
	case NACK_UNSUPPORTED_VERSION:
		return "this control plane speaks protocol version 1";
	case NACK_CLOCK_OR_NONCE:
		return "set the clock of this machine";
	case NACK_BAD_MANIFEST:
		return "the manifest is malformed or too long";
	case NACK_DATABASE_URL_REJECTED:
		return "the manifest holds a database URL: it must never leave the worker";
	case NACK_DRAINING:
		return "the control plane is shutting down";
	default:
		return NULL;
	}
}

static void refuse(struct tunnel *t, enum nack reason)
{
	struct buf b;

	t->hub->metrics.nacks[reason]++;
	log_warn("HELLO_NACK reason=%s worker=%s tenant=%s from %s", nack_reason(reason),
		t->greeting->hello.worker_id, t->greeting->hello.tenant_id, t->session.remote_ip);
	/* An id that is not ours belongs to no tenant and is nobody's: it is only what the refusal
	 * was about. */
	tunnel_note(t, "session.refused", nack_reason(reason),
		*t->session.worker_id ? "" : t->greeting->hello.worker_id);
	tunnel_begin(&b);
	handshake_nack(&b, reason, advice(reason));
	(void)tunnel_send(t, MSG_HELLO_NACK, &b);
	tunnel_end(t, TUNNEL_END_REFUSED);
}

static struct handshake_limits limits_of(const struct config *c)
{
	return (struct handshake_limits){.heartbeat_ms = c->heartbeat_ms,
		.max_message = MSG_MAX_DEFAULT,
		.part = MSG_PART_DEFAULT,
		.max_result = c->max_result_bytes,
		.max_request = c->max_request_bytes};
}

/* Takes the pins over. */
static void become_ready(
	struct tunnel *t, struct catalog_entry *manifest, struct toolset *pins, int64_t now_ms)
{
	struct session *s = &t->session;

	s->manifest = manifest;
	s->connected_at = s->last_pong_at = clock_wall_s();
	t->state = TUNNEL_READY;
	greeting_free(t);
	buf_init(&t->parts, (size_t)t->hub->config->max_manifest_bytes);
	lineup_joins(t->hub, s);
	registry_add(&t->hub->registry, s);
	registry_pin(s->tenant, pins);
	tunnel_watch_heartbeat(t, now_ms);
	log_info("session %s: worker %s (%s, %s) from %s", s->id, s->worker_id, s->tenant_id,
		s->agent, s->remote_ip);
	tunnel_note(t, "session.open", "ok", "");
	tunnel_remember(t, true);
	listen_session_up(t->hub, s->tenant_id);
	listen_refresh(t->hub, s->tenant_id);
}

/* Everything is in order: the worker is let in. */
static void accept(struct tunnel *t, struct catalog_entry *manifest, int64_t now_ms)
{
	const struct handshake_limits limits = limits_of(t->hub->config);
	const struct hello *hello = &t->greeting->hello;
	struct session *s = &t->session, *old;
	struct toolset pins;
	struct buf ack;

	if (pinning_read(t->hub, s->tenant_id, &pins) != RC_OK) {
		log_err("the pinned tools of %s could not be read", s->tenant_id);
		catalog_drop(&t->hub->catalog, manifest);
		tunnel_end(t, TUNNEL_END_OVERLOADED);
		return;
	}

	(void)str_copy(s->agent, sizeof(s->agent), hello->agent);
	crypto_id("s", s->id, sizeof(s->id));
	tunnel_begin(&ack);
	if (handshake_cp_finish(&t->greeting->cp, t->hub->identity, hello, s->id, &limits, &ack,
		    t->key) != RC_OK) {
		buf_free(&ack);
		toolset_free(&pins);
		catalog_drop(&t->hub->catalog, manifest);
		tunnel_end(t, TUNNEL_END_PROTOCOL_ERROR);
		return;
	}
	/* Its old connection may be half dead: the one that just proved its key counts. */
	old = registry_worker(&t->hub->registry, s->worker_id);
	if (old)
		tunnel_end(tunnel_of(old), TUNNEL_END_REPLACED);
	(void)tunnel_send(t, MSG_HELLO_ACK, &ack);
	become_ready(t, manifest, &pins, now_ms);
}

/* --- the checks --------------------------------------------------------------------------------
 */

/* The worker that HELLO names, and whether it exists for the tenant that HELLO names. */
static enum nack find_worker(
	struct tunnel *t, struct worker *w, struct tenant *tenant, bool *state_down)
{
	const struct hello *hello = &t->greeting->hello;
	enum rc rc = worker_with_tenant(t->hub->db, hello->worker_id, w, tenant);

	*state_down = rc != RC_OK && rc != RC_NOTFOUND && rc != RC_INVALID;
	if (rc != RC_OK)
		return NACK_UNKNOWN_WORKER;
	/* From here on the row can be named in the tenant's audit: the id is one of ours. */
	(void)str_copy(t->session.worker_id, sizeof(t->session.worker_id), w->id);
	(void)str_copy(t->session.tenant_id, sizeof(t->session.tenant_id), w->tenant_id);
	return strcmp(w->tenant_id, hello->tenant_id) != 0 ? NACK_UNKNOWN_WORKER : NACK_NONE;
}

/* In this order, so that a peer without the key learns nothing about the worker but that its id
 * exists. */
static enum nack check(struct tunnel *t, const struct worker *w, const struct tenant *tenant,
	const void *text, size_t len, struct catalog_entry **manifest)
{
	const struct config *cf = t->hub->config;
	uint8_t hash[CRYPTO_HASH_LEN];
	enum nack nack;

	crypto_sha256(text, len, hash);
	nack = handshake_hello_check(&t->greeting->cp, t->hub->identity, &t->greeting->hello,
		w->public_key, hash, clock_wall_ms(), (int64_t)cf->clock_skew_s * 1000);
	if (nack != NACK_NONE)
		return nack;
	memcpy(t->session.vouch.worker_key, w->public_key, sizeof(t->session.vouch.worker_key));
	if (w->revoked_at)
		return NACK_REVOKED;
	if (tenant->suspended)
		return NACK_TENANT_SUSPENDED;
	if (registry_full(&t->hub->registry, w->tenant_id, w->id, cf->max_sessions_per_tenant))
		return NACK_TENANT_SESSION_CAP_REACHED;
	return greeting_manifest(t->hub, text, len, manifest);
}

static void decide(struct tunnel *t, const uint8_t *text, size_t len, int64_t now_ms)
{
	struct catalog_entry *manifest = NULL;
	struct worker w;
	struct tenant tenant;
	bool state_down;
	enum nack nack = find_worker(t, &w, &tenant, &state_down);

	if (state_down) {
		log_err("a worker could not be looked up: the state can't be read");
		tunnel_end(t, TUNNEL_END_OVERLOADED);
		return;
	}
	if (nack == NACK_NONE)
		nack = check(t, &w, &tenant, text, len, &manifest);
	if (nack == NACK_NONE)
		accept(t, manifest, now_ms);
	else
		refuse(t, nack);
}

/* Before more than one message of a peer is kept it must at least name a worker of ours. */
static bool known_so_far(struct tunnel *t)
{
	struct worker w;
	struct tenant tenant;
	bool state_down;

	if (find_worker(t, &w, &tenant, &state_down) == NACK_NONE)
		return true;
	if (state_down)
		tunnel_end(t, TUNNEL_END_OVERLOADED);
	else
		refuse(t, NACK_UNKNOWN_WORKER);
	return false;
}

bool greeting_hello(struct tunnel *t, const struct msg *m, int64_t now_ms)
{
	struct greeting *g = t->greeting;
	const uint8_t *text;
	size_t len;

	if (!g->started) {
		t->hub->metrics.hello++;
		if (handshake_hello_read(m, &g->hello) != RC_OK)
			return false;
		g->started = true;
		if (t->hub->draining) {
			refuse(t, NACK_DRAINING);
			return true;
		}
		if (m->more && !known_so_far(t))
			return true;
	}
	if (!greeting_collect(t, m, &text, &len))
		refuse(t, NACK_BAD_MANIFEST);
	else if (!m->more)
		decide(t, text, len, now_ms);
	return true;
}
