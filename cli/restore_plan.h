/* restore_plan: which file of an unpacked backup goes where, whether there is room for it, and
 * putting it there. Each file appears in its place whole, on the disk, or not at all; a kill at any
 * instant leaves what the same plan completes. Prints what is wrong. */
#ifndef CLI_RESTORE_PLAN_H
#define CLI_RESTORE_PLAN_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/commands.h"
#include "shared/config.h"

struct restore_plan;

/* From the manifest's list of files (borrowed), unpacked in dir, to the places that c says; both
 * must outlive the plan. config.yaml comes last. NULL, printed: a path is too long. */
struct restore_plan *restore_plan_new(
	const char *dir, const json_t *manifest, const struct config *c);
void restore_plan_free(struct restore_plan *p);
/* Is nothing there that a restored state would have to replace? With again, what is there already
 * must be this backup's own, byte for byte: then a restore of it was killed here. */
enum status restore_plan_check(const struct restore_plan *p, bool again);
/* Moves all. */
enum status restore_plan_place(const struct restore_plan *p);

#endif
