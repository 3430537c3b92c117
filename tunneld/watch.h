/* watch: the resources that clients of versions before 2026-07-28 have subscribed to. Their
 * subscription is a request, and what it brings comes on another: the GET stream; what joins the
 * two is the key and the client's session. Kept while such a stream is open and for a while
 * without. */
#ifndef TUNNELD_WATCH_H
#define TUNNELD_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/rc.h"
#include "tunneld/deadline.h"
#include "tunneld/map.h"

#define WATCH_URIS_MAX 64 /* of one client */
#define WATCH_URI_MAX 512
#define WATCH_CLIENTS_MAX 4096
#define WATCH_IDLE_MS 600000

struct watches {
	struct map by_client;
	struct deadlines idle;
};

void watches_init(struct watches *w, uint64_t seed);
void watches_free(struct watches *w);
/* RC_LIMIT: the client has too many, or there are too many clients. Taking one off that is not
 * there is RC_OK. */
enum rc watch_set(struct watches *w, const char *key_id, const char *client, const char *uri,
	bool off, int64_t now_ms) MUST_CHECK;
/* Appends a subscriptions/listen for a worker that names them; nothing when there are none. */
void watch_request(struct watches *w, const char *key_id, const char *client, struct buf *out);
/* The client is still there: its time begins anew. */
void watch_keep(struct watches *w, const char *key_id, const char *client, int64_t now_ms);
/* Forgets clients that have not come back. */
void watch_tick(struct watches *w, int64_t now_ms);

#endif
