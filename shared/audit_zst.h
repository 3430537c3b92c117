/* audit_zst: compressed files of the audit log: zstd frames of a mebibyte each and a table of them
 * at the end (the "seekable format" of zstd's contrib folder), so that one row can be read without
 * the rest, and `zstd -d` reads the whole. Descriptors are the caller's. */
#ifndef SHARED_AUDIT_ZST_H
#define SHARED_AUDIT_ZST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"

#define AUDIT_ZST_SUFFIX ".zst"

/* Do these first bytes of a file begin a zstd file? */
bool audit_zst_is(const uint8_t *bytes, size_t len);

struct audit_zst_writer;
struct audit_zst_writer *audit_zst_writer_new(int fd, int level);
/* RC_UNAVAILABLE with errno; nothing more can be written then. */
enum rc audit_zst_write(struct audit_zst_writer *w, const void *bytes, size_t len) MUST_CHECK;
/* Writes the rest and the table; does not sync. */
enum rc audit_zst_end(struct audit_zst_writer *w) MUST_CHECK;
void audit_zst_writer_free(struct audit_zst_writer *w);

struct audit_zst_reader;
/* Reads from the beginning of the file, which may also come from another zstd program. */
struct audit_zst_reader *audit_zst_reader_new(int fd);
/* Plain bytes; *len is how many there is room for, then how many have come: 0 at the end.
 * RC_INVALID: no whole zstd file. RC_UNAVAILABLE with errno. */
enum rc audit_zst_read(struct audit_zst_reader *r, void *bytes, size_t *len) MUST_CHECK;
/* Goes on where so many plain bytes are before it, by the table when there is one. The same
 * results. */
enum rc audit_zst_seek(struct audit_zst_reader *r, int64_t offset) MUST_CHECK;
void audit_zst_reader_free(struct audit_zst_reader *r);

#endif
