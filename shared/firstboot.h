/* firstboot: makes what a new state volume lacks, safely under two daemons booting at once and a
 * kill at any instant: an exclusive flock on <state dir>/.boot.lock, each file written beside its
 * name, fsynced and renamed (or linked, where it must not be overwritten), directories fsynced. */
#ifndef SHARED_FIRSTBOOT_H
#define SHARED_FIRSTBOOT_H

#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/db.h"

/* Seeds config.yaml from the example (built into the program by the Makefile from
 * conf/config.example.yaml) when the path does not exist. */
enum rc firstboot_config(const char *path) MUST_CHECK;
/* Where this file is, beside the audit log, a restore did not finish; no daemon starts there. */
#define FIRSTBOOT_RESTORING ".restore-unfinished"
/* The lock that firstboot() holds, beside the audit log, which must have a directory. -1 with
 * errno.
 */
int firstboot_lock(const struct config *c);
/* Directories (0700: state, snapshots, run_dir 0750), key pair, database with migrations, import of
 * the state YAML (once), demo tenants when asked for, an empty audit.jsonl. Idempotent. Exits
 * through die() with the path and the reason when the volume can't be written. *id is the CP's
 * identity, caller wipes. */
void firstboot(const struct config *c, struct crypto_identity *id);

#endif
