/* audit_csv: a line of the audit log as a row of CSV (RFC 4180), in which no cell can be taken for
 * a formula by a spreadsheet. Pure. */
#ifndef SHARED_AUDIT_CSV_H
#define SHARED_AUDIT_CSV_H

#include <stddef.h>

#include "shared/buf.h"
#include "shared/rc.h"

/* The row of titles, with its line end. */
void audit_csv_head(struct buf *b);
/* One row with its line end. RC_INVALID, and nothing is added: the line is no JSON object. */
enum rc audit_csv_row(struct buf *b, const char *line, size_t len) MUST_CHECK;

#endif
