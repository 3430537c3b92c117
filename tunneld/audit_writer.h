/* audit_writer: the thread that writes the audit journal. Rows come in from the loop and from the
 * state writer; it appends all that wait, syncs once, and only then lets go of the answers that
 * depend on them (group commit). While the disk works, a helper makes the lines of the rows that
 * come. The hash chain is kept here, and every so many rows or seconds a
 * signed checkpoint is added. While the journal can't be written it says so, tries once a second,
 * and comes back by itself. */
#ifndef TUNNELD_AUDIT_WRITER_H
#define TUNNELD_AUDIT_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/audit.h"
#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/rc.h"

struct audit_group;

/* One row on its way; embedded in what waits for it, or on its own. The caller fills record, done
 * and patient. */
struct audit_entry {
	struct audit_record record;
	/* Called by audit_writer_reap() in the order the rows were added; may free the entry. */
	void (*done)(struct audit_entry *e, bool durable);
	/* Nobody waits: the row is kept until the journal takes it again instead of failing. */
	bool patient;

	bool durable;
	int64_t wall_ms; /* when it was added */
	struct audit_entry *next;
	struct audit_group *group;
};

struct audit_writer_options {
	const char *path;
	enum config_fsync fsync;
	int fsync_interval_ms;
	int64_t min_free_bytes;
	/* Signs the checkpoints; NULL: there are none. Stays valid until the writer is closed. */
	const struct crypto_identity *identity;
	int checkpoint_rows;
	int checkpoint_seconds;
	int64_t rotate_bytes; /* 0: never for its size */
	int rotate_hours; /* 0: never for its age */
	/* Called from the thread when there is something to reap. */
	void (*notify)(void *ctx);
	void *ctx;
	/* Called from the thread when rows up to seq are on disk; NULL: nobody asks. */
	void (*durable)(void *durable_ctx, int64_t seq);
	void *durable_ctx;
};

#define AUDIT_FSYNC_BUCKETS 12
struct audit_stats {
	bool ok;
	size_t queue; /* rows that are not written yet */
	int64_t free_bytes; /* of the volume; at most a second old */
	int64_t seq;
	/* The last checkpoint since the start; 0: none yet. */
	int64_t head_seq, head_ms;
	char head_hash[AUDIT_HASH_LEN + 1];
	int64_t durable_seq; /* the last row on disk */
	uint64_t rows, batches, failures, lost, checkpoints, rotations;
	uint64_t fsync_count, fsync_us;
	uint64_t fsync_bucket[AUDIT_FSYNC_BUCKETS +
		1]; /* by audit_fsync_bounds_us, the last one is above all */
};
extern const int64_t audit_fsync_bounds_us[AUDIT_FSYNC_BUCKETS];

struct audit_writer;
/* Opens the journal and starts the thread. RC_CONFLICT, RC_INVALID, RC_UNAVAILABLE as
 * journal_open(). o->path is copied. */
enum rc audit_writer_open(
	const struct audit_writer_options *o, struct audit_writer **out) MUST_CHECK;
/* Writes what waits, stops the thread, reaps. Rows that still can't be written then are reported as
 * not durable. */
void audit_writer_close(struct audit_writer *w);

/* Hands a row over until its done() is called. From the loop's thread. */
void audit_writer_add(struct audit_writer *w, struct audit_entry *e);
/* The same for a copy that nobody waits for. */
void audit_writer_note(struct audit_writer *w, const struct audit_record *r);
/* Calls done() of the rows that are through. From the loop's thread. */
void audit_writer_reap(struct audit_writer *w);
/* Appends rows in order and waits for the disk; for other threads than the loop's. *written gets
 * how many of them, from the first on, are durable. RC_UNAVAILABLE when not all are. */
enum rc audit_writer_append(struct audit_writer *w, const struct audit_record *const *records,
	size_t count, size_t *written) MUST_CHECK;
/* Can rows be written, as far as is known? From any thread, without waiting. */
bool audit_writer_ok(const struct audit_writer *w);
void audit_writer_stats(struct audit_writer *w, struct audit_stats *out);

#endif
