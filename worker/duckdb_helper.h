/* duckdb_helper: the process in which DuckDB runs, one for each snapshot that is written or read.
 * It has no database, no keys and no network; it is confined by the kernel, may be killed at any
 * instant, and whatever goes wrong in it (a statement that won't end, one that takes all memory, a
 * crash) goes wrong in it alone. The worker starts it from its own program and speaks duckdb_wire
 * with it. */
#ifndef WORKER_DUCKDB_HELPER_H
#define WORKER_DUCKDB_HELPER_H

#define DUCKDB_HELPER_COMMAND "duckdb-engine" /* of airlock-worker; for itself alone */
#define DUCKDB_HELPER_FD 3

/* What main() of a program that uses the engine calls when this command is its only argument.
 * Serves the worker at DUCKDB_HELPER_FD until that closes it. The exit status. */
int duckdb_helper_run(void);

#endif
