#include "worker/duckdb_wire.h"

#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"

/* --- writing ---------------------------------------------------------------------- */

static void put_le(struct buf *b, uint64_t v, size_t bytes)
{
	uint8_t le[8];

	for (size_t i = 0; i < bytes; i++)
		le[i] = (uint8_t)(v >> (8 * i));
	buf_add(b, le, bytes);
}

size_t wire_begin(struct buf *b, enum wire_kind kind)
{
	size_t begin = b->len;

	put_le(b, 0, 4);
	buf_char(b, (char)kind);
	return begin;
}

void wire_end(struct buf *b, size_t begin)
{
	size_t len;

	if (b->failed)
		return;
	len = b->len - begin - WIRE_HEAD;
	if (len > WIRE_FRAME_MAX) {
		b->failed = true;
		return;
	}
	for (size_t i = 0; i < 4; i++)
		b->data[begin + i] = (uint8_t)(len >> (8 * i));
}

void wire_u8(struct buf *b, unsigned v)
{
	put_le(b, v, 1);
}

void wire_u16(struct buf *b, unsigned v)
{
	put_le(b, v, 2);
}

void wire_i64(struct buf *b, int64_t v)
{
	put_le(b, (uint64_t)v, 8);
}

void wire_str(struct buf *b, const char *s, size_t len)
{
	put_le(b, len, 4);
	buf_add(b, s, len);
}

void wire_value(struct buf *b, const struct value *v)
{
	uint64_t bits;

	wire_u8(b, (unsigned)v->kind);
	switch (v->kind) {
	case VALUE_NULL:
		break;
	case VALUE_INT:
		wire_i64(b, v->i);
		break;
	case VALUE_REAL:
		memcpy(&bits, &v->r, sizeof(bits));
		put_le(b, bits, 8);
		break;
	case VALUE_TEXT:
	case VALUE_BLOB:
		wire_str(b, v->p, v->len);
		break;
	}
}

/* --- reading ------------------------------------------------------------------------ */

static uint64_t get_le(struct wire_cursor *c, size_t bytes)
{
	uint64_t v = 0;

	if (c->bad || (size_t)(c->end - c->p) < bytes) {
		c->bad = true;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)c->p[i] << (8 * i);
	c->p += bytes;
	return v;
}

unsigned wire_get_u8(struct wire_cursor *c)
{
	return (unsigned)get_le(c, 1);
}

unsigned wire_get_u16(struct wire_cursor *c)
{
	return (unsigned)get_le(c, 2);
}

int64_t wire_get_i64(struct wire_cursor *c)
{
	return (int64_t)get_le(c, 8);
}

const char *wire_get_str(struct wire_cursor *c, size_t *len)
{
	uint64_t n = get_le(c, 4);
	const char *s = (const char *)c->p;

	*len = 0;
	if (c->bad || n > (uint64_t)(c->end - c->p)) {
		c->bad = true;
		return "";
	}
	*len = (size_t)n;
	c->p += n;
	return s;
}

char *wire_dup_str(struct wire_cursor *c)
{
	size_t len;
	const char *s = wire_get_str(c, &len);

	if (c->bad || memchr(s, '\0', len)) {
		c->bad = true;
		return NULL;
	}
	return xstrndup(s, len);
}

struct value wire_get_value(struct wire_cursor *c)
{
	struct value v = {.kind = VALUE_NULL};
	unsigned kind = wire_get_u8(c);
	uint64_t bits;

	switch (kind) {
	case VALUE_NULL:
		break;
	case VALUE_INT:
		v = value_int(wire_get_i64(c));
		break;
	case VALUE_REAL:
		bits = get_le(c, 8);
		v.kind = VALUE_REAL;
		memcpy(&v.r, &bits, sizeof(v.r));
		break;
	case VALUE_TEXT:
	case VALUE_BLOB:
		v.kind = (enum value_kind)kind;
		v.p = wire_get_str(c, &v.len);
		break;
	default:
		c->bad = true;
	}
	return v;
}

enum wire_status wire_parse(const uint8_t *p, size_t len, struct wire_frame *out)
{
	struct wire_cursor head = {.p = p, .end = p + len};
	uint64_t size;

	if (len < WIRE_HEAD)
		return WIRE_MORE;
	size = get_le(&head, 4);
	if (size > WIRE_FRAME_MAX)
		return WIRE_BAD;
	if (len - WIRE_HEAD < size)
		return WIRE_MORE;
	*out = (struct wire_frame){.kind = (enum wire_kind)wire_get_u8(&head),
		.payload = {.p = p + WIRE_HEAD, .end = p + WIRE_HEAD + size},
		.size = WIRE_HEAD + (size_t)size};
	return WIRE_FRAME;
}
