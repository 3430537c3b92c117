/* duckdb_process: the worker's end of a duckdb_helper: starting it, talking to it, ending it. Every
 * wait looks at a budget or has an end of its own; a process that does not keep to the protocol is
 * killed. */
#ifndef WORKER_DUCKDB_PROCESS_H
#define WORKER_DUCKDB_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/buf.h"
#include "shared/rc.h"
#include "worker/budget.h"
#include "worker/duckdb_wire.h"

struct duckdb_process;

/* Starts one that loads the library (NULL: where it usually is) and then waits; it is not waited
 * for. */
enum rc duckdb_process_spawn(const char *library, struct duckdb_process **out) MUST_CHECK;

struct duckdb_start {
	enum wire_mode mode;
	const char *path;
	int64_t max_memory, max_file;
};
/* Gives it its work and waits until it is ready. RC_INVALID with why: it said why it can't;
 * RC_INTERNAL: logged. It is the caller's to end, whatever the result. */
enum rc duckdb_process_start(struct duckdb_process *p, const struct duckdb_start *start, char *why,
	size_t why_size) MUST_CHECK;
/* Kills and reaps. NULL is fine. */
void duckdb_process_end(struct duckdb_process *p);

/* Whether it is there, and has said nothing unasked. */
bool duckdb_process_alive(const struct duckdb_process *p);

/* Where the next frames are written: wire_begin() and so on, then send. */
struct buf *duckdb_process_out(struct duckdb_process *p);
/* RC_UNAVAILABLE: the process is gone, or said something already: ask it what. */
enum rc duckdb_process_send(struct duckdb_process *p) MUST_CHECK;
/* The next frame, valid until the next call. RC_UNAVAILABLE: it is gone, or broke the protocol.
 * RC_LIMIT: the budget says no (ask it why), or with a budget without a check, a minute has
 * passed. */
enum rc duckdb_process_receive(
	struct duckdb_process *p, const struct budget *budget, struct wire_frame *out) MUST_CHECK;

#endif
