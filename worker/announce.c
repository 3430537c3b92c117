#include "worker/announce.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "shared/log.h"
#include "shared/mem.h"
#include "shared/sidecar.h"

struct snapshot {
	TAILQ_ENTRY(snapshot) entry;
	char id[SIDECAR_ID_MAX + 1];
	char *json; /* NULL: it is gone */
	size_t len;
	bool told; /* in this session */
	bool known; /* the control plane may have heard of it, in whatever session */
};

struct announce {
	pthread_mutex_t lock;
	TAILQ_HEAD(, snapshot) list; /* oldest first */
	size_t count, max;
	void (*wake)(void *ctx);
	void *ctx;
};

struct announce *announce_new(size_t max, void (*wake)(void *ctx), void *ctx)
{
	struct announce *a = xcalloc(1, sizeof *a);

	pthread_mutex_init(&a->lock, NULL);
	TAILQ_INIT(&a->list);
	a->max = max;
	a->wake = wake;
	a->ctx = ctx;
	return a;
}

static void forget(struct announce *a, struct snapshot *s)
{
	TAILQ_REMOVE(&a->list, s, entry);
	a->count--;
	free(s->json);
	free(s);
}

void announce_free(struct announce *a)
{
	struct snapshot *next;

	if (a == NULL)
		return;
	for (struct snapshot *s = TAILQ_FIRST(&a->list); s != NULL; s = next) {
		next = TAILQ_NEXT(s, entry);
		free(s->json);
		free(s);
	}
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static struct snapshot *find(struct announce *a, const char *id)
{
	struct snapshot *s;

	TAILQ_FOREACH(s, &a->list, entry)
	{
		if (strcmp(s->id, id) == 0)
			return s;
	}
	return NULL;
}

static void note_new(struct announce *a, const char *id, const char *json, size_t len)
{
	struct snapshot *s = find(a, id);

	if (s == NULL) {
		if (a->count >= a->max)
			forget(a, TAILQ_FIRST(&a->list));
		s = xcalloc(1, sizeof *s);
		(void)str_copy(s->id, sizeof s->id, id);
		TAILQ_INSERT_TAIL(&a->list, s, entry);
		a->count++;
	}
	free(s->json);
	s->json = xstrndup(json, len);
	s->len = len;
	s->told = false;
}

static void note_gone(struct announce *a, const char *id)
{
	struct snapshot *s = find(a, id);

	if (s == NULL)
		return;
	if (!s->known) {
		forget(a, s);
		return;
	}
	free(s->json);
	s->json = NULL;
	s->told = false;
}

void announce_note(void *announce, const char *snapshot_id, const char *json, size_t len)
{
	struct announce *a = announce;

	if (json != NULL && (len > SIDECAR_MAX || !sidecar_id_ok(snapshot_id))) {
		log_warn("a snapshot's description is too long to be announced");
		return;
	}
	pthread_mutex_lock(&a->lock);
	if (json != NULL)
		note_new(a, snapshot_id, json, len);
	else
		note_gone(a, snapshot_id);
	pthread_mutex_unlock(&a->lock);
	a->wake(a->ctx);
}

void announce_session(struct announce *a)
{
	struct snapshot *s;

	pthread_mutex_lock(&a->lock);
	TAILQ_FOREACH(s, &a->list, entry)
	{
		s->told = false;
	}
	pthread_mutex_unlock(&a->lock);
}

void announce_send(struct announce *a, struct link *l)
{
	struct snapshot *s, *next;
	enum rc rc;

	pthread_mutex_lock(&a->lock);
	for (s = TAILQ_FIRST(&a->list); s != NULL && link_has_room(l); s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->told)
			continue;
		rc = s->json != NULL ? link_snapshot(l, s->json, s->len)
				     : link_snapshot_gone(l, s->id);
		if (rc != RC_OK)
			break; /* no room; the next wake-up goes on */
		s->told = s->known = true;
		if (s->json == NULL)
			forget(a, s);
	}
	pthread_mutex_unlock(&a->lock);
}
