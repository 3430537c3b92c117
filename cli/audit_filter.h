/* audit_filter: which rows of the audit log a command asks the control plane for, as the query of
 * an URL, and asking. */
#ifndef CLI_AUDIT_FILTER_H
#define CLI_AUDIT_FILTER_H

#include <stddef.h>

#include "cli/api.h"

#define AUDIT_PATH_BYTES ((size_t)16384)

/* Appends the filter's parameters, or one parameter, percent-encoded. */
void audit_filter_put(struct buf *path, const struct args *args);
void audit_filter_put_parameter(struct buf *path, const char *name, const char *value);
/* GET; a refusal is printed. */
enum status audit_filter_get(const struct api *api, struct buf *path, struct httpclient_request *rq,
	struct httpclient_answer *answer);

#endif
