/* torn: last lines without an end, which a crash in the middle of an append leaves in the journal.
 * Each is kept in <journal>.torn-<ms>, and a row journal.repaired tells of it. Until that row is on
 * the disk the file's name has ".unrecorded" behind it, so that a crash in between loses neither.
 */
#ifndef TUNNELD_TORN_H
#define TUNNELD_TORN_H

#include <stddef.h>

#include "shared/rc.h"

struct audit_writer;

/* Keeps the bytes, unrecorded; the caller then cuts them off. Logged, also a failure (RC_INTERNAL).
 */
enum rc torn_set_aside(const char *journal, const void *bytes, size_t len) MUST_CHECK;
/* Adds a row for each unrecorded one. From the loop's thread. */
void torn_record(struct audit_writer *w, const char *journal);

#endif
