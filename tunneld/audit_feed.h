/* audit_feed: the thread that reads the audit log for those who watch it. It follows what is on
 * disk, line by line over rotations, sees for each watcher whether a row is asked for and may be
 * seen, and puts it into the watcher's queue as Server-Sent Events; who comes back after a while is
 * given what was missed from the log first. The queue is bounded: whoever does not keep up is let
 * go with a word about where to go on. The loop only takes text from queues. */
#ifndef TUNNELD_AUDIT_FEED_H
#define TUNNELD_AUDIT_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/audit_filter.h"
#include "shared/buf.h"
#include "shared/rc.h"

struct audit_feed_options {
	const char *log_path, *index_path, *state_path;
	size_t backlog_bytes; /* of each queue */
	/* Called from the thread when there is something for audit_feed_reap(). */
	void (*notify)(void *ctx);
	void *ctx;
};

struct audit_feed;
/* Starts the thread. The paths are copied. RC_INTERNAL, logged. */
enum rc audit_feed_open(const struct audit_feed_options *o, struct audit_feed **out) MUST_CHECK;
/* No watcher may be left. NULL is fine. */
void audit_feed_close(struct audit_feed *f);
/* Rows up to seq are on disk. From any thread. */
void audit_feed_durable(struct audit_feed *f, int64_t seq);

/* --- from the loop's thread ---------------------------------------------------------------- */

struct audit_watcher;
/* org_id "": rows of every org. after: the last row that the watcher has; -1: from now on. The
 * first event is "start" with the row that the rest comes after. */
struct audit_watcher *audit_feed_watch(struct audit_feed *f, const struct audit_filter *filter,
	const char *org_id, int64_t after, void *owner);
void audit_feed_unwatch(struct audit_feed *f, struct audit_watcher *w);
/* Moves the queue to out. False: the watcher was too slow, and out ends with a word about it. */
bool audit_feed_take(struct audit_feed *f, struct audit_watcher *w, struct buf *out);
/* Calls for each watcher whose queue has filled since. */
void audit_feed_reap(struct audit_feed *f, void (*ready)(void *owner));

#endif
