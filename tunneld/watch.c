#include "tunneld/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"

#define NAME_MAX_LEN 192

struct watch {
	struct map_node by_client;
	struct deadline idle;
	char name[NAME_MAX_LEN];
	char *uris[WATCH_URIS_MAX];
	size_t count;
};

void watches_init(struct watches *w, uint64_t seed)
{
	map_init(&w->by_client, seed);
	deadlines_init(&w->idle);
}

static void forget(struct watches *w, struct watch *x)
{
	map_remove(&w->by_client, &x->by_client);
	deadline_clear(&x->idle);
	for (size_t i = 0; i < x->count; i++)
		free(x->uris[i]);
	free(x);
}

void watches_free(struct watches *w)
{
	struct map_node *n;

	while ((n = map_next(&w->by_client, NULL)))
		forget(w, MAP_ENTRY(n, struct watch, by_client));
	map_free(&w->by_client);
}

/* A space can be in neither of the two. */
static bool put_name(char name[NAME_MAX_LEN], const char *key_id, const char *client)
{
	return snprintf(name, NAME_MAX_LEN, "%s %s", key_id, client) < NAME_MAX_LEN;
}

static struct watch *find(const struct watches *w, const char *name)
{
	struct map_node *n = map_get(&w->by_client, name);

	return n ? MAP_ENTRY(n, struct watch, by_client) : NULL;
}

static size_t position(const struct watch *x, const char *uri)
{
	size_t i = 0;

	while (i < x->count && strcmp(x->uris[i], uri) != 0)
		i++;
	return i;
}

static void take_off(struct watches *w, struct watch *x, const char *uri)
{
	size_t i = position(x, uri);

	if (i == x->count)
		return;
	free(x->uris[i]);
	x->uris[i] = x->uris[--x->count];
	if (x->count == 0)
		forget(w, x);
}

enum rc watch_set(struct watches *w, const char *key_id, const char *client, const char *uri,
	bool off, int64_t now_ms)
{
	char name[NAME_MAX_LEN];
	struct watch *x;

	if (!put_name(name, key_id, client) || strlen(uri) > WATCH_URI_MAX)
		return RC_LIMIT;
	x = find(w, name);
	if (off) {
		if (x)
			take_off(w, x, uri);
		return RC_OK;
	}
	if (!x && w->by_client.count >= WATCH_CLIENTS_MAX)
		return RC_LIMIT;
	if (!x) {
		x = xcalloc(1, sizeof(*x));
		(void)str_copy(x->name, sizeof(x->name), name);
		map_put(&w->by_client, &x->by_client, x->name);
	}
	deadline_set(&w->idle, &x->idle, now_ms + WATCH_IDLE_MS);
	if (position(x, uri) < x->count)
		return RC_OK;
	if (x->count == WATCH_URIS_MAX)
		return RC_LIMIT;
	x->uris[x->count++] = xstrndup(uri, strlen(uri));
	return RC_OK;
}

void watch_keep(struct watches *w, const char *key_id, const char *client, int64_t now_ms)
{
	char name[NAME_MAX_LEN];
	struct watch *x = put_name(name, key_id, client) ? find(w, name) : NULL;

	if (x)
		deadline_set(&w->idle, &x->idle, now_ms + WATCH_IDLE_MS);
}

void watch_request(struct watches *w, const char *key_id, const char *client, struct buf *out)
{
	char name[NAME_MAX_LEN];
	struct watch *x = put_name(name, key_id, client) ? find(w, name) : NULL;

	if (!x)
		return;
	buf_str(out,
		"{\"jsonrpc\":\"2.0\",\"id\":\"stream\",\"method\":\"subscriptions/listen\","
		"\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
		"\"io.modelcontextprotocol/clientCapabilities\":{}},\"notifications\":{"
		"\"resourceSubscriptions\":");
	for (size_t i = 0; i < x->count; i++) {
		buf_char(out, i ? ',' : '[');
		buf_json(out, x->uris[i]);
	}
	buf_str(out, "]}}}");
}

void watch_tick(struct watches *w, int64_t now_ms)
{
	struct deadline *d;

	while ((d = deadlines_due(&w->idle, now_ms)))
		forget(w, DEADLINE_OF(d, struct watch, idle));
}
