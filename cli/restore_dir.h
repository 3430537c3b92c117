/* restore_dir: the directory beside config.yaml in which a restore unpacks a backup. It may hold
 * the private key, so what a killed restore left of it is to be found and removed. */
#ifndef CLI_RESTORE_DIR_H
#define CLI_RESTORE_DIR_H

#include <limits.h>
#include <stdbool.h>

#include "shared/rc.h"

struct restore_dir {
	char path[PATH_MAX]; /* "": none */
	int hold; /* a lock that lasts as long as this process */
};

/* Makes one beside that file, with the directories above it, and removes those that nobody holds.
 * RC_UNAVAILABLE with errno; d is then fit for restore_dir_remove(). */
enum rc restore_dir_make(const char *beside, struct restore_dir *d) MUST_CHECK;
/* With everything in it. */
void restore_dir_remove(struct restore_dir *d);
/* One beside that file that nobody holds; false: there is none. */
bool restore_dir_left(const char *beside, char out[PATH_MAX]);

#endif
