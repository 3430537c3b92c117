/* journal: the file audit.jsonl as bytes: opening it with its last line understood, repairing a
 * torn end, appending all or nothing. What is in a row, and who waits for it, is audit_writer's
 * matter. One thread at a time. */
#ifndef TUNNELD_JOURNAL_H
#define TUNNELD_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/audit_form.h"
#include "shared/buf.h"
#include "shared/crypto.h"
#include "shared/rc.h"
#include "tunneld/logfile.h"

/* Where the chain stands after some line. */
struct journal_head {
	int64_t seq; /* of that line, which may be in a closed segment; 0 in an empty journal */
	char prev[AUDIT_HASH_LEN + 1]; /* its hash; 64 zeros in an empty journal */
	struct audit_tally tally; /* of the lines since the last checkpoint */
};

struct journal {
	struct logfile file; /* every line is whole and chained */
	char *path;
	struct journal_head head;
	int64_t first_seq; /* of the first line in this file, or of the one that will be */
	int64_t begun_ms; /* when that was written; 0: there is none yet */
	bool unnamed; /* the directory was not synced since the file got its name */
};

/* Opens (making it with mode 0600 where missing) and locks; an empty one continues the last closed
 * segment. An unfinished last line is set aside (torn.h). RC_CONFLICT: another process writes it.
 * RC_INVALID: its last line is no row of a journal. All are logged. */
enum rc journal_open(const char *path, struct journal *out) MUST_CHECK;
void journal_close(struct journal *j);
/* Adds a row's line to b and moves the head on; the journal itself is not touched. */
void journal_line(
	struct buf *b, const struct audit_record *r, int64_t wall_ms, struct journal_head *h);
/* The same with a checkpoint. */
void journal_checkpoint(
	struct buf *b, const struct crypto_identity *id, int64_t wall_ms, struct journal_head *h);
/* Appends the lines made with journal_line() starting at j's head, which becomes h; with sync,
 * returns once they are on disk. RC_UNAVAILABLE (errno says why): nothing was appended. */
enum rc journal_append(struct journal *j, const struct buf *lines, const struct journal_head *h,
	bool sync) MUST_CHECK;
enum rc journal_sync(struct journal *j) MUST_CHECK;
/* Can it be appended to? Tries with room for some rows and takes that back. */
bool journal_probe(struct journal *j);
/* Closes the file under its segment's name (shared/audit_segments.h) and goes on in an empty one.
 * At any instant path is one of the two, and a crash leaves a state that journal_open()
 * understands. Only when there is a line in it. RC_INTERNAL, logged: nothing has changed. */
enum rc journal_rotate(struct journal *j) MUST_CHECK;
/* The last line that came through the outbox: its id and its text (caller frees). RC_NOTFOUND when
 * there is none, in the closed segments neither. Reads backwards from the end. */
enum rc journal_last_outbox(const char *path, int64_t *id, char **line) MUST_CHECK;

#endif
