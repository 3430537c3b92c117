/* restoremark: the file that says "a restore has begun here and is not complete", and of which
 * backup. It lies beside config.yaml, where every daemon looks before anything else, and beside the
 * audit log, for daemons that are started with another config.yaml; from before the first file is
 * put in its place until after the last. Decides nothing: who finds one refuses or goes on. */
#ifndef SHARED_RESTOREMARK_H
#define SHARED_RESTOREMARK_H

#include <limits.h>
#include <stdbool.h>

#include "shared/rc.h"

#define RESTOREMARK_NAME ".restore-unfinished"
#define RESTOREMARK_DIGEST_LEN 64 /* SHA-256 in hexadecimal */

struct restoremark {
	char path[PATH_MAX]; /* of the mark */
	char digest[RESTOREMARK_DIGEST_LEN +
		1]; /* of the backup's manifest; "": it can't be read */
	char backup[PATH_MAX]; /* the backup's file; "": it can't be read */
};

/* The mark in the directory of that file. False: there is none. */
bool restoremark_find(const char *beside, struct restoremark *out);
/* Writes it, or writes it anew, durably; clears what a killed writer of it left. Only under the
 * boot lock of that directory. RC_UNAVAILABLE with errno. */
enum rc restoremark_lay(const char *beside, const char *digest, const char *backup) MUST_CHECK;
/* Durably; one that is not there is as good. RC_UNAVAILABLE with errno. */
enum rc restoremark_remove(const char *beside) MUST_CHECK;

#endif
