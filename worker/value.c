#include "worker/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"

struct value value_int(int64_t i)
{
	return (struct value){.kind = VALUE_INT, .i = i};
}

struct value value_text(const char *s, size_t len)
{
	return (struct value){.kind = VALUE_TEXT, .p = s, .len = len};
}

enum rc value_parse_int(const char *text, size_t len, int64_t *out)
{
	char copy[24], again[24];
	char *end;
	long long n;

	if (len == 0 || !str_copy_len(copy, sizeof(copy), text, len))
		return RC_INVALID;
	n = strtoll(copy, &end, 10);
	/* Printing it again catches overflow, spaces, plus signs and leading zeros at once. */
	snprintf(again, sizeof(again), "%lld", n);
	if (*end || strlen(again) != len || memcmp(again, text, len) != 0)
		return RC_INVALID;
	*out = n;
	return RC_OK;
}

void value_list_init(struct value_list *l, size_t max_items, size_t max_bytes)
{
	memset(l, 0, sizeof(*l));
	l->max = max_items;
	buf_init(&l->bytes, max_bytes);
}

void value_list_free(struct value_list *l)
{
	mem_wipe(l->items, l->count * sizeof(*l->items));
	free(l->items);
	free(l->at);
	buf_wipe(&l->bytes);
	buf_free(&l->bytes);
	memset(l, 0, sizeof(*l));
}

static bool has_bytes(const struct value *v)
{
	return v->kind == VALUE_TEXT || v->kind == VALUE_BLOB;
}

static bool same(const struct value *a, const struct value *b)
{
	if (a->kind != b->kind)
		return false;
	if (has_bytes(a))
		return a->len == b->len && (a->len == 0 || memcmp(a->p, b->p, a->len) == 0);
	return a->kind == VALUE_INT && a->i == b->i;
}

static enum rc grow(struct value_list *l)
{
	size_t cap = l->cap ? l->cap * 2 : 64;
	struct value *items = realloc(l->items, cap * sizeof(*items));
	size_t *at;

	if (!items)
		return RC_LIMIT;
	l->items = items;
	at = realloc(l->at, cap * sizeof(*at));
	if (!at)
		return RC_LIMIT;
	l->at = at;
	l->cap = cap;
	return RC_OK;
}

enum rc value_list_add(struct value_list *l, const struct value *v)
{
	struct value last;

	if (v->kind == VALUE_NULL)
		return RC_OK;
	if (l->count > 0) {
		last = value_list_get(l, l->count - 1);
		if (same(&last, v))
			return RC_OK;
	}
	if (l->count == l->max || (l->count == l->cap && grow(l) != RC_OK))
		return RC_LIMIT;
	l->items[l->count] = *v;
	l->at[l->count] = l->bytes.len;
	if (has_bytes(v)) {
		/* The buffer moves as it grows, so only the offset is kept. */
		l->items[l->count].p = NULL;
		buf_add(&l->bytes, v->p, v->len);
		if (l->bytes.failed)
			return RC_LIMIT;
	}
	l->count++;
	return RC_OK;
}

struct value value_list_get(const struct value_list *l, size_t i)
{
	struct value v = l->items[i];

	if (has_bytes(&v))
		v.p = v.len ? (const void *)(l->bytes.data + l->at[i]) : "";
	return v;
}
