/* file: whole files, written so that they are complete or absent. */
#ifndef SHARED_FILE_H
#define SHARED_FILE_H

#include <stddef.h>

#include "shared/rc.h"

/* Writes bytes to path so that it is complete or absent: temporary file, fsync, rename, fsync of the directory. */
enum rc file_write_atomic(const char *path, const void *bytes, size_t len, unsigned mode) MUST_CHECK;
/* Reads a whole file of at most max bytes; caller frees *data (NUL-terminated one past len). */
enum rc file_read(const char *path, size_t max, char **data, size_t *len) MUST_CHECK;
/* fsyncs the directory that holds path. */
enum rc file_sync_dir(const char *path) MUST_CHECK;

#endif
