/* spare: memory of long answers, kept for a moment for the next ones: the kernel takes longer to
 * make fresh pages than we take to fill them. Bounded, and given back when nobody wants it. Any
 * thread may use it. */
#ifndef FCGI_APP_SPARE_H
#define FCGI_APP_SPARE_H

#include <stdint.h>

#include "shared/buf.h"

/* Smaller memory is not worth keeping. */
#define SPARE_MIN ((size_t)128 * 1024)
/* In all, in bytes and in pieces. */
#define SPARE_MAX ((size_t)32 * 1024 * 1024)
#define SPARE_PIECES 16
#define SPARE_MS 1000

struct spare;

struct spare *spare_new(void);
void spare_free(struct spare *s);
/* Gives an empty buffer without memory a kept piece, if there is one. The one used last is the
 * first to go out again. */
void spare_take(struct spare *s, struct buf *b);
/* Empties b for good: its memory is kept or freed. */
void spare_give(struct spare *s, struct buf *b, int64_t now_ms);
/* Frees what lay unused for SPARE_MS. Returns when to come again, INT64_MAX when nothing is kept.
 */
int64_t spare_trim(struct spare *s, int64_t now_ms);

#endif
