/* audit_keeper: the thread that looks after the closed files of the audit log, well behind its
 * writer: archives them (audit.archive_command), takes out rows whose retention is over,
 * compresses, and deletes what is too old or too much; and pushes heads elsewhere
 * (audit.head_command). Each step is one rename or unlink: a kill at any instant leaves a log that
 * holds, and the next round goes on. */
#ifndef TUNNELD_AUDIT_KEEPER_H
#define TUNNELD_AUDIT_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/rc.h"
#include "tunneld/audit_writer.h"

struct audit_keeper_stats {
	bool archive_ok, head_ok; /* the last try went well, or there was none */
	int64_t unarchived; /* closed files that the command has not taken; 0 without one */
	int64_t segments, bytes; /* closed files */
	int64_t head_seq; /* pushed last */
	uint64_t archived, archive_failures, pushed, push_failures;
	uint64_t expired_rows, compressed, deleted, damaged;
};

struct audit_keeper;
/* Starts the thread. What it needs of config is copied; identity and writer stay valid until it is
 * closed. RC_INTERNAL, logged. */
enum rc audit_keeper_open(const struct config *config, const struct crypto_identity *identity,
	struct audit_writer *writer, struct audit_keeper **out) MUST_CHECK;
/* A command that runs is killed. NULL is fine. */
void audit_keeper_close(struct audit_keeper *k);
void audit_keeper_stats(struct audit_keeper *k, struct audit_keeper_stats *out);

/* One round without the thread, at that time. For tests. */
void audit_keeper_round(const struct config *config, const struct crypto_identity *identity,
	struct audit_writer *writer, int64_t wall_ms, struct audit_keeper_stats *out);

#endif
