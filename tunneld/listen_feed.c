/* What streams hear from a worker: a subscription that names resources (or what extensions add) is
 * a call to one session, which lasts as long as the stream; its events go out as they come. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "shared/log.h"
#include "shared/mem.h"
#include "tunneld/hub.h"
#include "tunneld/listen.h"
#include "tunneld/tunnel.h"

bool listen_is_call(const char *id)
{
	return id[0] == 'l' && id[1] == '_';
}

static bool send_call(struct listener *l, struct session *s)
{
	struct buf b;

	tunnel_begin(&b);
	(void)buf_reserve(&b, l->request.len + 1024);
	msg_begin(&b, MSG_CALL, l->call_id);
	msg_put_str(&b, "method", "subscriptions/listen");
	msg_put_str(&b, "request_id", l->request_id);
	msg_put_str(&b, "key_id", l->key_id);
	msg_put_str(&b, "key_name", l->key_name);
	msg_put_str(&b, "era", "modern");
	return tunnel_send_signed(tunnel_of(s), MSG_CALL, &b, l->request.data, l->request.len);
}

void listen_attach(struct hub *hub, struct listener *l)
{
	struct registry_tenant *t = registry_tenant(&hub->registry, l->tenant->id);
	struct session *s = NULL;

	if (l->request.len == 0 || l->session || l->state != LISTENER_OPEN || !t)
		return;
	/* Streams are not calls in flight: they have a bound of their own. */
	if (registry_pick(t, NULL, "", INT_MAX, &s) != REGISTRY_PICKED ||
		s->stream_count >= LISTEN_PER_SESSION || !send_call(l, s))
		return; /* tried again with every sign of life */
	l->session = s;
	s->stream_count++;
	l->skip = l->acknowledged;
	map_put(&hub->listens.calls, &l->by_call, l->call_id);
}

/* The result that is still to come has a row of its own, since its worker vouches for it. */
static void owe_result(struct listener *l)
{
	const struct session *s = l->session;
	struct audit_record r;

	listen_row(l, "", "", &r);
	(void)str_copy(r.method, sizeof(r.method), "subscriptions/listen");
	(void)str_copy(r.call_id, sizeof(r.call_id), l->call_id);
	(void)str_copy(r.session_id, sizeof(r.session_id), s->id);
	(void)str_copy(r.worker_id, sizeof(r.worker_id), s->worker_id);
	vouch_owe(&l->session->vouch, &r);
}

static bool note_result(struct hub *hub, struct session *s, const struct msg *m)
{
	struct audit_record r;

	if (!vouch_late(&s->vouch, m, &r))
		return false;
	if (r.vouch > 0)
		audit_writer_note(hub->audit, &r);
	return true;
}

static void forget_call(struct hub *hub, struct listener *l)
{
	map_remove(&hub->listens.calls, &l->by_call);
	buf_free(&l->parts);
	l->session->stream_count--;
	l->session = NULL;
}

void listen_detach(struct hub *hub, struct listener *l)
{
	struct buf b;

	if (!l->session)
		return;
	tunnel_begin(&b);
	msg_begin(&b, MSG_CANCEL, l->call_id);
	msg_put_str(&b, "reason", "client_gone");
	msg_end(&b, NULL, 0);
	(void)tunnel_send(tunnel_of(l->session), MSG_CANCEL, &b);
	owe_result(l);
	forget_call(hub, l);
}

static struct listener *first_of(const struct hub *hub, const char *tenant_id)
{
	const struct map_node *n = map_get(&hub->listens.tenants, tenant_id);

	return n ? MAP_ENTRY(n, const struct listen_tenant, by_id)->first : NULL;
}

enum rc listen_watch(struct hub *hub, const struct msg *m, int64_t now_ms)
{
	char tenant_id[80], key_id[AUDIT_ID_MAX + 1], client[CALL_RPC_ID_MAX + 1] = "", *uri;
	enum rc rc;

	if (msg_str(m, "tenant_id", tenant_id, sizeof(tenant_id)) != RC_OK ||
		msg_str(m, "key_id", key_id, sizeof(key_id)) != RC_OK ||
		msg_str(m, "client", client, sizeof(client)) == RC_INVALID || m->payload_len == 0 ||
		m->payload_len > WATCH_URI_MAX)
		return RC_INVALID;
	uri = xstrndup((const char *)m->payload, m->payload_len);
	rc = watch_set(&hub->listens.watches, key_id, client, uri, msg_flag(m, "off"), now_ms);
	free(uri);
	for (struct listener *l = first_of(hub, tenant_id); rc == RC_OK && l; l = l->next) {
		if (l->modern || l->state != LISTENER_OPEN || strcmp(l->key_id, key_id) != 0 ||
			strcmp(l->client, client) != 0)
			continue;
		listen_detach(hub, l);
		buf_reset(&l->request);
		watch_request(&hub->listens.watches, key_id, client, &l->request);
		listen_attach(hub, l);
	}
	return rc;
}

void listen_session_up(struct hub *hub, const char *tenant_id)
{
	for (struct listener *l = first_of(hub, tenant_id); l; l = l->next)
		listen_attach(hub, l);
}

void listen_session_down(struct hub *hub, struct session *s, const char *tenant_id)
{
	for (struct listener *l = first_of(hub, tenant_id); l; l = l->next) {
		if (l->session != s)
			continue;
		forget_call(hub, l);
		listen_attach(hub, l);
	}
}

/* The whole payload, once its last part is here. */
static bool collect(
	struct hub *hub, struct listener *l, const struct msg *m, const uint8_t **text, size_t *len)
{
	*text = m->payload;
	*len = m->payload_len;
	if (m->more || l->parts.len > 0) {
		buf_add(&l->parts, m->payload, m->payload_len);
		if (l->parts.failed) {
			log_warn("an event for a stream is longer than "
				 "limits.stream_backlog_bytes: the stream ends");
			listen_end(hub, l, LISTEN_END_TOO_SLOW);
			return false;
		}
		*text = l->parts.data;
		*len = l->parts.len;
	}
	return !m->more;
}

/* The worker ended it: what it says is the stream's last word, unless it only hands over to
 * another. */
static void take_result(struct hub *hub, struct listener *l, const uint8_t *text, size_t len)
{
	bool hands_over = l->session->leaving && l->acknowledged;

	if (!hands_over && len > 0)
		listen_queue(hub, l, text, len);
	if (l->state != LISTENER_OPEN)
		return;
	forget_call(hub, l);
	if (hands_over)
		listen_attach(hub, l);
	else
		listen_end(hub, l, LISTEN_END_WORKER);
}

bool listen_event(struct hub *hub, struct session *s, const struct msg *m)
{
	struct map_node *n = map_get(&hub->listens.calls, m->id);
	struct listener *l = n ? MAP_ENTRY(n, struct listener, by_call) : NULL;
	const uint8_t *text;
	size_t len;

	if (!l || l->session != s) {
		hub->metrics.stray++;
		return m->type != MSG_RESULT || m->more || note_result(hub, s, m);
	}
	if (m->type == MSG_RESULT && !m->more)
		owe_result(l);
	if (m->type == MSG_RESULT && !m->more && !note_result(hub, s, m))
		return false;
	if (!collect(hub, l, m, &text, &len))
		return true;
	if (m->type == MSG_RESULT) {
		take_result(hub, l, text, len);
		return true;
	}
	if (l->skip) {
		l->skip = false;
	} else {
		l->acknowledged = true;
		listen_queue(hub, l, text, len);
	}
	buf_free(&l->parts);
	return true;
}
