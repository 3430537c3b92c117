/* duckdb_wire: what the worker and its DuckDB process say to each other over a socket pair: frames
 * of a 4-byte little-endian length, a byte that says what it is, and a payload. Pure: no
 * descriptor, no clock. Either end takes the other's bytes for hostile.
 *
 *   worker       LOAD   library str
 *                HELLO  mode u8, memory i64, file bytes i64, path str
 *                TABLE  name str, then for each column: kind u8, name str
 *                ROWS   table u16, then rows of as many values as the table has columns
 *                SEAL
 *                QUERY  memory i64, sql (the rest)
 *                STOP   ends the statement in hand
 *   process      READY  version of the library (the rest)
 *                NAMES  str for each column of the result
 *                ROWS   rows
 *                DONE   status u8, message (the rest)
 *
 * str: u32 length and bytes. A value: kind u8, then 8 bytes, or a str, or nothing. */
#ifndef WORKER_DUCKDB_WIRE_H
#define WORKER_DUCKDB_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "worker/value.h"

#define WIRE_HEAD 5
#define WIRE_FRAME_MAX ((size_t)32 << 20)
/* A frame of rows is sent once it has grown to this. */
#define WIRE_BATCH ((size_t)64 << 10)

enum wire_kind {
	WIRE_LOAD = 'l',
	WIRE_HELLO = 'h',
	WIRE_TABLE = 't',
	WIRE_ROWS = 'r',
	WIRE_SEAL = 's',
	WIRE_QUERY = 'q',
	WIRE_STOP = 'x',
	WIRE_READY = 'y',
	WIRE_NAMES = 'n',
	WIRE_DONE = 'd',
};

/* What READ mode may do with the file, and BUILD mode. PROBE only loads the library. */
enum wire_mode { WIRE_PROBE, WIRE_BUILD, WIRE_READ };

/* Writing: wire_begin(), the payload, wire_end(). A frame above WIRE_FRAME_MAX fails the buffer. */
size_t wire_begin(struct buf *b, enum wire_kind kind);
void wire_end(struct buf *b, size_t begin);
void wire_u8(struct buf *b, unsigned v);
void wire_u16(struct buf *b, unsigned v);
void wire_i64(struct buf *b, int64_t v);
void wire_str(struct buf *b, const char *s, size_t len);
void wire_value(struct buf *b, const struct value *v);

/* Reading. A cursor that ran out stays out: ask wire_ok() at the end. */
struct wire_cursor {
	const uint8_t *p, *end;
	bool bad;
};
unsigned wire_get_u8(struct wire_cursor *c);
unsigned wire_get_u16(struct wire_cursor *c);
int64_t wire_get_i64(struct wire_cursor *c);
/* Borrowed from the frame. */
const char *wire_get_str(struct wire_cursor *c, size_t *len);
struct value wire_get_value(struct wire_cursor *c);
static inline bool wire_more(const struct wire_cursor *c)
{
	return !c->bad && c->p < c->end;
}
/* Copies a str as a NUL-terminated string (free()); NULL when the cursor is bad or it holds a NUL.
 */
char *wire_dup_str(struct wire_cursor *c);

enum wire_status { WIRE_MORE, WIRE_FRAME, WIRE_BAD };
struct wire_frame {
	enum wire_kind kind;
	struct wire_cursor payload;
	size_t size; /* bytes that it took in all */
};
/* The first frame of what has arrived. WIRE_MORE: it is not whole yet. */
enum wire_status wire_parse(const uint8_t *p, size_t len, struct wire_frame *out);

#endif
