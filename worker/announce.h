/* announce: which snapshots the control plane has been told of. The tools report from any thread;
 * the loop's thread sends. A new session is told of every snapshot that is alive. */
#ifndef WORKER_ANNOUNCE_H
#define WORKER_ANNOUNCE_H

#include <stddef.h>

#include "worker/link.h"

struct announce;

/* At most max snapshots are remembered; the oldest is forgotten first. wake is called from any
 * thread when there is news. */
struct announce *announce_new(size_t max, void (*wake)(void *ctx), void *ctx);
void announce_free(struct announce *a);
/* A tools_snapshot_fn; any thread. */
void announce_note(void *announce, const char *snapshot_id, const char *json, size_t len);
/* A session begins: everything is news. */
void announce_session(struct announce *a);
/* Sends the news as long as the link takes it. */
void announce_send(struct announce *a, struct link *l);

#endif
