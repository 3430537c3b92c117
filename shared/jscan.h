/* jscan: reads JSON text (RFC 8259) without building anything and without changing it.
 * The relay needs the method and the routing fields of a message and passes the bytes on
 * untouched, so numbers of any size, duplicate keys deep inside and odd spacing survive.
 * Pure: no allocation, no state. A slice points into the text it was scanned from. */
#ifndef SHARED_JSCAN_H
#define SHARED_JSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/rc.h"

#define JSCAN_DEPTH_MAX 128

enum jscan_kind {
	JSCAN_NONE,
	JSCAN_OBJECT,
	JSCAN_ARRAY,
	JSCAN_STRING,
	JSCAN_NUMBER,
	JSCAN_TRUE,
	JSCAN_FALSE,
	JSCAN_NULL,
};

/* The exact bytes of one value, quotes and brackets included, no space around. */
struct jscan {
	const char *p;
	size_t len;
	enum jscan_kind kind;
};

/* One complete JSON value with nothing but white space around it, valid UTF-8, nested at most
 * JSCAN_DEPTH_MAX deep; string escapes checked, of which half a surrogate pair is one (programs
 * that cut strings leave those behind). RC_INVALID otherwise. */
enum rc jscan_parse(const char *text, size_t len, struct jscan *out) MUST_CHECK;

/* The same of an object, with its own members told on the way: one walk instead of two. */
struct jscan_reader {
	const char *start, *p, *end;
};
struct jscan_reader jscan_reader(const char *text, size_t len);
/* RC_NOTFOUND behind the last member: *whole is the object then. RC_INVALID: jscan_parse() would
 * refuse the text, or it is no object; it is of no more use then. */
enum rc jscan_read(struct jscan_reader *r, struct jscan *key, struct jscan *value,
	struct jscan *whole) MUST_CHECK;

/* One value that was checked before: its exact bytes again. */
struct jscan jscan_checked(const char *p, size_t len);

/* Walks the members of an object or the elements of an array that jscan_parse() accepted. */
struct jscan_iter {
	const char *p, *end;
	enum jscan_kind kind;
};
struct jscan_iter jscan_iter(struct jscan container);
/* False at the end. key is JSCAN_NONE for arrays. */
bool jscan_next(struct jscan_iter *it, struct jscan *key, struct jscan *value);

/* The member of that name (compared after unescaping). RC_NOTFOUND when absent or v is no
 * object; RC_CONFLICT when it is there twice. *out is JSCAN_NONE unless RC_OK. */
enum rc jscan_get(struct jscan v, const char *name, struct jscan *out);
/* Follows names down nested objects: jscan_path(v, &out, "params", "name", NULL). */
enum rc jscan_path(struct jscan v, struct jscan *out, ...) __attribute__((sentinel));

/* Unescapes a string value into dst, NUL-terminated. RC_INVALID when it is no string, holds
 * U+0000 or half a surrogate pair, or does not fit; dst is then "". */
enum rc jscan_str(struct jscan v, char *dst, size_t cap) MUST_CHECK;
/* A number that is a whole int64. */
enum rc jscan_int(struct jscan v, int64_t *out) MUST_CHECK;
/* The string says s once unescaped. v is a string. */
bool jscan_says(struct jscan v, const char *s);
/* The same of any value. Most names that are compared differ in their first character. */
static inline bool jscan_is_str(struct jscan v, const char *s)
{
	return v.kind == JSCAN_STRING && (v.len == 2 || v.p[1] == s[0] || v.p[1] == '\\') &&
		jscan_says(v, s);
}
/* Two strings that say the same once unescaped. */
bool jscan_same_str(struct jscan a, struct jscan b);

#endif
