#include "tunneld/registry.h"

#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"

/* Looking at more sessions than this for the least busy one costs more than it brings. */
#define LOOK_MAX 32

void registry_init(struct registry *r, uint64_t seed)
{
	r->session_count = 0;
	r->announced = 0;
	map_init(&r->tenants, seed);
	map_init(&r->workers, seed);
}

static void tenant_free(struct registry *r, struct registry_tenant *t)
{
	map_remove(&r->tenants, &t->by_id);
	toolset_free(&t->pins);
	free(t->sessions);
	free(t);
}

void registry_free(struct registry *r)
{
	struct map_node *n;

	while ((n = map_next(&r->tenants, NULL)))
		tenant_free(r, MAP_ENTRY(n, struct registry_tenant, by_id));
	map_free(&r->tenants);
	map_free(&r->workers);
}

struct session *registry_worker(const struct registry *r, const char *worker_id)
{
	struct map_node *n = map_get(&r->workers, worker_id);

	return n ? MAP_ENTRY(n, struct session, by_worker) : NULL;
}

struct registry_tenant *registry_tenant(const struct registry *r, const char *tenant_id)
{
	struct map_node *n = map_get(&r->tenants, tenant_id);

	return n ? MAP_ENTRY(n, struct registry_tenant, by_id) : NULL;
}

bool registry_full(const struct registry *r, const char *tenant_id, const char *worker_id, int cap)
{
	const struct registry_tenant *t = registry_tenant(r, tenant_id);
	const struct session *same = registry_worker(r, worker_id);
	size_t count = t ? t->count : 0;

	if (same && same->tenant == t)
		count--;
	return count >= (size_t)cap;
}

static struct registry_tenant *tenant_for(struct registry *r, const char *tenant_id)
{
	struct registry_tenant *t = registry_tenant(r, tenant_id);

	if (t)
		return t;
	t = xcalloc(1, sizeof(*t));
	if (!str_copy(t->id, sizeof(t->id), tenant_id))
		abort(); /* struct session's tenant_id has the same size */
	map_put(&r->tenants, &t->by_id, t->id);
	return t;
}

void registry_add(struct registry *r, struct session *s)
{
	struct registry_tenant *t = tenant_for(r, s->tenant_id);

	if (t->count == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 4;
		t->sessions = xrealloc(t->sessions, t->cap * sizeof(struct session *));
	}
	s->tenant = t;
	s->index = t->count;
	s->worker_hash = map_hash(s->worker_id, 0);
	t->sessions[t->count++] = s;
	registry_announce(r, s);
	map_put(&r->workers, &s->by_worker, s->worker_id);
	r->session_count++;
}

void registry_announce(struct registry *r, struct session *s)
{
	s->announced = ++r->announced;
	s->tenant->latest = s;
}

struct session *registry_next(const struct session *s)
{
	const struct registry_tenant *t = s->tenant;
	struct session *latest = NULL;

	for (size_t i = 0; i < t->count; i++)
		if (t->sessions[i] != s &&
			(!latest || t->sessions[i]->announced > latest->announced))
			latest = t->sessions[i];
	return latest;
}

void registry_remove(struct registry *r, struct session *s)
{
	struct registry_tenant *t = s->tenant;

	if (!t)
		return;
	if (t->latest == s)
		t->latest = registry_next(s);
	t->sessions[s->index] = t->sessions[--t->count];
	t->sessions[s->index]->index = s->index;
	map_remove(&r->workers, &s->by_worker);
	r->session_count--;
	s->tenant = NULL;
}

void registry_pin(struct registry_tenant *t, struct toolset *pins)
{
	toolset_free(&t->pins);
	t->pins = *pins;
	*pins = (struct toolset){0};
}

void registry_forget(struct registry *r, struct registry_tenant *t)
{
	if (t->count == 0 && t->call_count == 0)
		tenant_free(r, t);
}

/* What is asked of a session that gets a call. */
struct wish {
	const char *tool; /* or NULL */
	const struct toolset_tool *pin; /* what it has to be, or NULL */
	int calls_per_session;
};

static bool has_room(const struct session *s, const struct wish *w)
{
	return s->call_count < w->calls_per_session && !s->congested;
}

static bool serves(const struct session *s, const struct wish *w)
{
	const struct toolset_tool *tool;

	if (s->leaving || !w->tool)
		return !s->leaving;
	tool = s->manifest ? toolset_find(&s->manifest->tools, w->tool) : NULL;
	return tool &&
		(!w->pin || !memcmp(tool->fingerprint, w->pin->fingerprint, CRYPTO_HASH_LEN));
}

static struct session *least_busy(struct registry_tenant *t, const struct wish *w)
{
	struct session *best = NULL;
	size_t seen = 0;

	t->turn++;
	for (size_t i = 0; i < t->count && seen < LOOK_MAX; i++) {
		struct session *s = t->sessions[(t->turn + i) % t->count];

		if (!serves(s, w) || !has_room(s, w))
			continue;
		seen++;
		if (!best || s->call_count < best->call_count)
			best = s;
	}
	return best;
}

/* Rendezvous hashing over the workers: a subject keeps its worker as long as that is there, across
 * reconnects too, and only the subjects of a lost worker move. */
static struct session *belongs_to(
	struct registry_tenant *t, const struct wish *w, const char *affinity)
{
	uint64_t subject = map_hash(affinity, 0), best_weight = 0;
	struct session *best = NULL;

	for (size_t i = 0; i < t->count; i++) {
		struct session *s = t->sessions[i];
		uint64_t weight = map_mix(subject ^ s->worker_hash);

		if (!serves(s, w) || (best && weight <= best_weight))
			continue;
		best = s;
		best_weight = weight;
	}
	return best && has_room(best, w) ? best : NULL;
}

static bool any_serves(const struct registry_tenant *t, const struct wish *w)
{
	for (size_t i = 0; i < t->count; i++)
		if (serves(t->sessions[i], w))
			return true;
	return false;
}

enum registry_pick registry_pick(struct registry_tenant *t, const char *tool, const char *affinity,
	int calls_per_session, struct session **out)
{
	struct wish w = {
		.tool = tool && *tool ? tool : NULL, .calls_per_session = calls_per_session};
	bool served;

	if (w.tool && t->pins.count > 0)
		w.pin = toolset_find(&t->pins, w.tool);
	/* A tool that nobody lists still goes to a worker: it may know better, and its answer is
	 * the right one. Not so a pinned one: what answers would be something else. */
	served = any_serves(t, &w);
	if (!served)
		w.tool = NULL;
	if (!served && !any_serves(t, &w))
		return REGISTRY_NO_WORKER;
	if (!served && w.pin)
		return REGISTRY_CHANGED;
	*out = *affinity ? belongs_to(t, &w, affinity) : NULL;
	if (!*out)
		*out = least_busy(t, &w);
	return *out ? REGISTRY_PICKED : REGISTRY_BUSY;
}
