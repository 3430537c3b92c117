/* state_writer: the thread that writes everything but the journal: it moves the outbox into the
 * audit journal exactly once, remembers workers that were seen, and keeps the snapshot sidecars. It
 * has a database handle of its own, so that the loop never waits for a lock or a disk. */
#ifndef TUNNELD_STATE_WRITER_H
#define TUNNELD_STATE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/config.h"
#include "shared/rc.h"
#include "shared/store.h"
#include "tunneld/audit_writer.h"
#include "tunneld/catalog.h"

struct state_writer_options {
	const char *state_path;
	const char *snapshot_dir;
	const char *audit_path;
	enum config_pinning pinning;
	struct audit_writer *audit;
	/* Called from the thread when there is something to reap. */
	void (*notify)(void *notify_ctx);
	void *notify_ctx;
	/* The rest is called by state_writer_reap(). Rows of this tenant came out of the outbox:
	 * its sessions may have to go. */
	void (*changed)(void *ctx, const char *tenant_id);
	/* A manifest handed to state_writer_seen() is no longer needed. */
	void (*release)(void *ctx, struct catalog_entry *manifest);
	void *ctx;
};

/* Waits for every outbox row committed before it was asked for. */
struct flush_ticket {
	/* Called by state_writer_reap(), after the changed() calls it depends on; may free the
	 * ticket. */
	void (*done)(struct flush_ticket *t, bool ok);
	uint64_t round;
	struct flush_ticket *next;
};

struct state_writer;
/* Finds out which outbox rows are in the journal already, then starts the thread. The journal must
 * be open. */
enum rc state_writer_open(
	const struct state_writer_options *o, struct state_writer **out) MUST_CHECK;
/* Does what was handed over, stops the thread, reaps. */
void state_writer_close(struct state_writer *w);

/* All from the loop's thread. */
void state_writer_flush(struct state_writer *w, struct flush_ticket *t);
struct state_seen {
	const char *tenant_id, *worker_id, *version;
	int64_t at; /* UTC seconds */
	struct catalog_entry *manifest; /* given back through release() */
	bool announced; /* just now: its tools are compared with what was pinned */
};
void state_writer_seen(struct state_writer *w, const struct state_seen *seen);
/* json is taken over and emptied. RC_LIMIT when too much waits: it is dropped. */
enum rc state_writer_sidecar(
	struct state_writer *w, const char *tenant_id, const char *snapshot_id, struct buf *json);
enum rc state_writer_sidecar_gone(
	struct state_writer *w, const char *tenant_id, const char *snapshot_id);
void state_writer_reap(struct state_writer *w);

#endif
