/* registry: the live sessions by tenant and by worker, and which of them gets a call. Pure: it owns
 * no connection and knows no clock. */
#ifndef TUNNELD_REGISTRY_H
#define TUNNELD_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/clientip.h"
#include "shared/crypto.h"
#include "tunneld/catalog.h"
#include "tunneld/map.h"
#include "tunneld/vouch.h"

struct call;
struct registry_tenant;

/* Embedded in the tunnel that carries it. */
struct session {
	struct map_node by_worker;
	struct registry_tenant *tenant; /* NULL while not registered */
	size_t index; /* in tenant->sessions */
	char id[CRYPTO_ID_MAX + 1];
	char worker_id[80];
	char tenant_id[80];
	char agent[64];
	char remote_ip[CLIENTIP_MAX];
	int64_t connected_at; /* UTC seconds */
	int64_t last_pong_at; /* UTC seconds */
	uint64_t worker_hash;
	uint64_t announced; /* the larger, the newer is its manifest */
	struct catalog_entry *manifest;
	struct call *calls; /* in flight */
	int call_count;
	int64_t call_total;
	struct vouch vouch;
	int stream_count; /* subscriptions of streams that it knows of */
	bool leaving; /* said GOAWAY: gets no new calls */
	bool congested; /* too much waits to be sent to it */
};

struct registry_tenant {
	struct map_node by_id;
	char id[80];
	struct session **sessions;
	size_t count, cap;
	size_t turn; /* where the next search begins, so that equals share the load */
	int call_count; /* in flight, of all its sessions */
	struct session *latest; /* whose manifest is the newest: that is the tenant's */
	struct toolset pins; /* what may be called only as it was pinned; empty unless that is so */
};

struct registry {
	struct map tenants, workers;
	size_t session_count;
	uint64_t announced;
};

void registry_init(struct registry *r, uint64_t seed);
/* Every session must have been removed. */
void registry_free(struct registry *r);
/* The live session of a worker, or NULL. */
struct session *registry_worker(const struct registry *r, const char *worker_id);
/* NULL when no session of the tenant was ever there. */
struct registry_tenant *registry_tenant(const struct registry *r, const char *tenant_id);
/* Would one more session pass the cap? A live session of the same worker does not count: it is
 * replaced. */
bool registry_full(const struct registry *r, const char *tenant_id, const char *worker_id, int cap);
/* s has its ids filled; no other session of its worker may be registered. */
void registry_add(struct registry *r, struct session *s);
/* Its manifest is another one now: it is the tenant's newest. */
void registry_announce(struct registry *r, struct session *s);
/* The session whose manifest is the tenant's newest but for s; NULL without one. */
struct session *registry_next(const struct session *s);
/* No effect when s is not registered. */
void registry_remove(struct registry *r, struct session *s);
/* Takes the pins over, in place of those before. */
void registry_pin(struct registry_tenant *t, struct toolset *pins);
/* Forgets a tenant that has no sessions and no calls. */
void registry_forget(struct registry *r, struct registry_tenant *t);

enum registry_pick { REGISTRY_PICKED, REGISTRY_NO_WORKER, REGISTRY_BUSY, REGISTRY_CHANGED };
/* Chooses a session: one that serves the tool when any does, and the very one that is pinned, or
 * else none (REGISTRY_CHANGED); with affinity (not "") the one that
 * the subject belongs to while it has room, otherwise the one with the fewest calls in flight. */
enum registry_pick registry_pick(struct registry_tenant *t, const char *tool, const char *affinity,
	int calls_per_session, struct session **out);

#endif
