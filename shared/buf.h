/* buf: a growing byte buffer with a cap and a sticky failure: append freely, look
 * at .failed once at the end. */
#ifndef SHARED_BUF_H
#define SHARED_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"

struct buf {
	uint8_t *data; /* NULL while empty */
	size_t len;
	size_t cap;
	size_t max; /* an append that would pass it fails the buffer */
	bool failed;
	size_t mark; /* msg.c: where the message being written began */
};

void buf_init(struct buf *b, size_t max);
/* Frees the memory; the buffer can be used again. Wipe first where it held a secret. */
void buf_free(struct buf *b);
void buf_wipe(struct buf *b);
/* Empties it and keeps the memory. */
void buf_reset(struct buf *b);
/* Room for len more bytes at data + len, or NULL (then failed). buf_commit() takes what was used.
 */
uint8_t *buf_reserve(struct buf *b, size_t len);
void buf_commit(struct buf *b, size_t len);

void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
/* In decimal. */
void buf_int(struct buf *b, int64_t n);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Appends s as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void buf_json(struct buf *b, const char *s);
void buf_json_len(struct buf *b, const char *s, size_t len);
/* Drops the first len bytes. */
void buf_consume(struct buf *b, size_t len);
/* The content as a NUL-terminated string owned by the caller (free()); the buffer is empty after.
 * NULL if failed. */
char *buf_steal(struct buf *b);

#endif
