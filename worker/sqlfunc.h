/* sqlfunc: instr, replace, trim and printf for guarded SQLite connections. The built-in ones can
 * spend minutes on one opcode, where no deadline is looked at: the first three take quadratic time,
 * and printf writes up to two thousand million characters one by one. These are linear and bounded.
 * Same results otherwise. */
#ifndef WORKER_SQLFUNC_H
#define WORKER_SQLFUNC_H

struct sqlite3;

/* An SQLite result code. */
int sqlfunc_register(struct sqlite3 *db);

#endif
