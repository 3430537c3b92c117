/* logfile: a file that only grows at its end, on a disk that may be full or failing. Bytes, no
 * lines.
 *
 * When writing or syncing fails, the kernel may have dropped what it could not write and call those
 * pages clean: another fdatasync() would succeed and prove nothing. So the last block that is
 * certain, and all that was taken over since without a sync, stay in memory. After a failure
 * nothing is appended until these bytes were written again, what came behind them was cut off, both
 * are on the disk, and read back from it the same. One thread at a time. */
#ifndef TUNNELD_LOGFILE_H
#define TUNNELD_LOGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "shared/buf.h"

struct logfile {
	int fd; /* opened without O_APPEND; -1: none */
	off_t size; /* what was appended ends here */
	off_t synced; /* up to here it is on the disk for certain */
	off_t kept_at; /* where kept begins, in the file; at a multiple of a block */
	struct buf kept; /* all from there to size */
	bool doubt; /* something failed since the last time that all was certain */
};

/* Takes fd over, with what is in the file so far as certain. False with errno: it can't be read. */
bool logfile_init(struct logfile *f, int fd, off_t size);
void logfile_close(struct logfile *f);
/* All or nothing; with sync, returns once it is on the disk. False with errno: nothing was
 * appended. */
bool logfile_append(struct logfile *f, const void *bytes, size_t len, bool sync);
/* Brings all to the disk that is not there for certain. */
bool logfile_sync(struct logfile *f);
/* Cuts bytes off the end, for good. */
bool logfile_cut(struct logfile *f, off_t size);
/* Can len bytes be appended? Tries, and takes them back. Should the process die meanwhile, some of
 * them are at the end: spaces. */
bool logfile_probe(struct logfile *f, size_t len);

#endif
