/* file: whole files, written so that they are complete or absent, and the directories they are in.
 * Nothing is logged here: after a failure errno says why. */
#ifndef SHARED_FILE_H
#define SHARED_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "shared/rc.h"

/* Writes bytes to path so that it is complete or absent: temporary file, fsync, rename, fsync of
 * the directory. */
enum rc file_write_atomic(
	const char *path, const void *bytes, size_t len, unsigned mode) MUST_CHECK;
/* The same for a file that must not be there yet: RC_CONFLICT when it is, and it stays as it was.
 */
enum rc file_write_new(const char *path, const void *bytes, size_t len, unsigned mode) MUST_CHECK;
/* Removes the temporary files that killed writers of path left behind. Only where no writer of path
 * can be at work. */
void file_sweep(const char *path);
/* Reads a whole file of at most max bytes; caller frees *data (NUL-terminated one past len).
 * RC_NOTFOUND, RC_DENIED (permissions), RC_LIMIT (longer than max), RC_UNAVAILABLE. */
enum rc file_read(const char *path, size_t max, char **data, size_t *len) MUST_CHECK;
/* Reads exactly len bytes at a place of an open file. False with errno: they can't be read, or
 * (EIO) the file has fewer. */
bool file_read_at(int fd, void *bytes, size_t len, off_t at) MUST_CHECK;
/* fsyncs the directory that holds path. */
enum rc file_sync_dir(const char *path) MUST_CHECK;
/* The directory part of path ("." when it has none). False when it does not fit. */
bool file_dir(const char *path, char out[PATH_MAX]);
/* Makes path and the directories above it where they are missing; those that exist keep their mode.
 */
enum rc file_make_dirs(const char *path, unsigned mode) MUST_CHECK;
/* Waits for the exclusive lock on path, which is made when missing. Closing the fd, or the end of
 * the process, releases it. -1 on failure. */
int file_lock(const char *path);
/* The same for a lock that must be there already: -1 with ENOENT when it is not. Makes nothing. */
int file_lock_existing(const char *path);
/* Takes an open file, as its only writer, for as long as it is open, without waiting. False:
 * somebody else has it, or it can't be taken. */
bool file_claim(int fd) MUST_CHECK;
/* Has somebody else taken this file so? Asking takes nothing. */
bool file_claimed(int fd);
/* Are the directories of these two files one and the same? False also where one is missing. */
bool file_same_dir(const char *a, const char *b);

#endif
