/* firstboot: makes what a new state volume lacks, safely under two daemons booting at once and a
 * kill at any instant: an exclusive flock on <state dir>/.boot.lock, each file written beside its
 * name, fsynced and renamed (or linked, where it must not be overwritten), directories fsynced. */
#ifndef SHARED_FIRSTBOOT_H
#define SHARED_FIRSTBOOT_H

#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/db.h"

/* Seeds config.yaml from the example (built into the program by the Makefile from
 * conf/config.example.yaml) when the path does not exist. Exits through die() where a restore has
 * begun beside it and is not complete (shared/restoremark.h): so nobody reads or makes anything
 * there. RC_UNAVAILABLE and the like with errno. */
enum rc firstboot_config(const char *path) MUST_CHECK;
/* Exits through die(), with the remedy, where an unfinished restore lies beside that file. */
void firstboot_refuse_restoring(const char *beside);
/* The boot lock of the directory of that file, which must exist: one boot, or one restore, at a
 * time. -1 with errno. */
int firstboot_lock(const char *beside);
/* Directories (0700: state, snapshots, run_dir 0750), key pair, database with migrations, import of
 * the state YAML (once), demo tenants when asked for, an empty audit.jsonl. Idempotent. Exits
 * through die() with the path and the reason when the volume can't be written. *id is the CP's
 * identity, caller wipes. */
void firstboot(const struct config *c, struct crypto_identity *id);

#endif
