/* value_sqlite: what a row of SQLite holds, as a value. */
#ifndef WORKER_VALUE_SQLITE_H
#define WORKER_VALUE_SQLITE_H

#include <sqlite3.h>

#include "worker/value.h"

/* Column i of the row that stmt is at; good until its next step. */
struct value value_sqlite(sqlite3_stmt *stmt, int i);

#endif
