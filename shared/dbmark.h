/* dbmark: tells without a query whether anything was committed to the state database, by whatever
 * process. In WAL mode every commit becomes visible by rewriting the header of the wal-index (the
 * -shm file), which all processes map; this reads that header (sqlite.org/walformat.html, "The
 * WAL-Index Header") and nothing else. */
#ifndef SHARED_DBMARK_H
#define SHARED_DBMARK_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/rc.h"

#define DBMARK_WORDS 12 /* one copy of the header: 48 bytes */

struct dbmark {
	uint32_t words[DBMARK_WORDS];
};

struct dbmark_watch;

/* Maps the wal-index of a database that this process has open and will keep open as long as the
 * watch lives; the file descriptor is never closed before the process ends, since that would drop
 * SQLite's own locks on it. RC_UNAVAILABLE when it can't be mapped. */
enum rc dbmark_open(const char *db_path, struct dbmark_watch **out) MUST_CHECK;
/* False: nothing can be said (ask the database). Two equal marks with true each: no commit came
 * between. A mark must be read before the query whose answer it stands for. Safe from any thread,
 * no system call. */
bool dbmark_read(const struct dbmark_watch *w, struct dbmark *out);
bool dbmark_equal(const struct dbmark *a, const struct dbmark *b);

#endif
