/* keeper: the thread that does the tools' housekeeping, so that no file or database work ever
 * happens on the loop's thread: removing expired snapshots, and all of them at the end. */
#ifndef WORKER_KEEPER_H
#define WORKER_KEEPER_H

#include <stdbool.h>

#include "shared/rc.h"
#include "worker/tools.h"

struct keeper;

/* Takes the tools over on RC_OK. wake is called from its thread when keeper_stopped() has become
 * true. */
enum rc keeper_new(
	struct tools *tools, void (*wake)(void *ctx), void *ctx, struct keeper **out) MUST_CHECK;
/* Asks the thread to close the tools; keeper_stopped() tells when it has. No tool call may be begun
 * any more. */
void keeper_stop(struct keeper *k);
bool keeper_stopped(struct keeper *k);
/* Stops if need be, and waits for it. NULL is fine. */
void keeper_free(struct keeper *k);

#endif
