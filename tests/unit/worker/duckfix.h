/* duckfix: DuckDB's library for tests of the engine that uses it. Run from the repository's root. A
 * test program that includes it starts itself again for DuckDB, so its main() begins with
 * DUCKFIX_MAIN. */
#ifndef TESTS_DUCKFIX_H
#define TESTS_DUCKFIX_H

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/duckdb_helper.h"
#include "worker/engine.h"

#define DUCKFIX_MAIN(argc, argv)                                              \
	do {                                                                  \
		if ((argc) == 2 && !strcmp((argv)[1], DUCKDB_HELPER_COMMAND)) \
			return duckdb_helper_run();                           \
	} while (0)

/* Its absolute path, or NULL where npm has none for this machine. */
static inline const char *duckfix_library(void)
{
	static char path[PATH_MAX];

	return realpath("tests/node_modules/@duckdb/node-bindings-linux-x64/libduckdb.so", path);
}

#endif
