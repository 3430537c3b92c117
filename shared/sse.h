/* sse: the text of Server-Sent Events (WHATWG HTML, 9.2). Pure. */
#ifndef SHARED_SSE_H
#define SHARED_SSE_H

#include <stddef.h>

#include "shared/buf.h"

/* A comment: a sign of life that clients ignore. */
#define SSE_COMMENT ":\n\n"

/* Appends one event: a "data: " line for each line of json, since a line break would end the field;
 * in JSON line breaks are only white space. */
void sse_event(struct buf *out, const void *json, size_t len);

#endif
