#include "shared/jscan.h"

#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "shared/json_word.h"
#include "shared/text.h"

/* --- checking a text ------------------------------------------------------- */

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The four digits after \u, or -1. */
static int hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int d = hex_digit(p[i]);

		if (d < 0)
			return -1;
		v = v * 16 + d;
	}
	return v;
}

static bool is_high(int unit)
{
	return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low(int unit)
{
	return unit >= 0xdc00 && unit <= 0xdfff;
}

/* p stands behind a backslash. Where the escape ends, or NULL. */
static const char *check_escape(const char *p, const char *end)
{
	if (p >= end)
		return NULL;
	if (*p != 'u')
		return *p != '\0' && strchr("\"\\/bfnrt", *p) ? p + 1 : NULL;
	return hex4(p + 1, end) >= 0 ? p + 5 : NULL;
}

/* Where the next quote, backslash or control character is, or end. *high collects the bits of what
 * was passed over. */
static const char *skip_plain(const char *p, const char *end, uint64_t *high)
{
	for (; end - p >= JSON_WORD_LEN; p += JSON_WORD_LEN) {
		uint64_t word = json_word_get(p), special = json_word_special(word);

		if (special) {
			*high |= word & ((special & (~special + 1)) - 1);
			return p + json_word_at(special);
		}
		*high |= word;
	}
	for (; p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\'; p++)
		*high |= (unsigned char)*p;
	return p;
}

/* p stands on the opening quote. Where the string ends, or NULL. */
static const char *check_string(const char *p, const char *end)
{
	const char *start = ++p;
	uint64_t high = 0;

	for (;;) {
		p = skip_plain(p, end, &high);
		if (p >= end)
			return NULL;
		if (*p == '"')
			break;
		if (*p != '\\' || !(p = check_escape(p + 1, end)))
			return NULL;
	}
	if ((high & JSON_WORD_EACH(0x80)) && !text_utf8_ok(start, (size_t)(p - start)))
		return NULL;
	return p + 1;
}

static const char *skip_digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

static const char *check_number(const char *p, const char *end)
{
	const char *start;

	if (p < end && *p == '-')
		p++;
	start = p;
	p = skip_digits(p, end);
	if (p == start || (*start == '0' && p - start > 1))
		return NULL;
	if (p < end && *p == '.') {
		start = ++p;
		p = skip_digits(p, end);
		if (p == start)
			return NULL;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		start = p;
		p = skip_digits(p, end);
		if (p == start)
			return NULL;
	}
	return p;
}

static const char *check_word(const char *p, const char *end, const char *word)
{
	size_t len = strlen(word);

	return (size_t)(end - p) >= len && !memcmp(p, word, len) ? p + len : NULL;
}

static const char *check_scalar(const char *p, const char *end)
{
	switch (*p) {
	case '"':
		return check_string(p, end);
	case 't':
		return check_word(p, end, "true");
	case 'f':
		return check_word(p, end, "false");
	case 'n':
		return check_word(p, end, "null");
	default:
		return check_number(p, end);
	}
}

/* A member's name and its colon. Where its value starts, or NULL. */
static const char *check_key(const char *p, const char *end)
{
	p = skip_space(p, end);
	if (p >= end || *p != '"' || !(p = check_string(p, end)))
		return NULL;
	p = skip_space(p, end);
	return p < end && *p == ':' ? p + 1 : NULL;
}

/* Behind a complete value: closes what closes here. Where the next value starts, or the end of the
 * whole when *depth became 0, or NULL. */
static const char *check_after(const char *p, const char *end, const char *stack, int *depth)
{
	while (*depth > 0) {
		char open = stack[*depth - 1];

		p = skip_space(p, end);
		if (p >= end)
			return NULL;
		if (*p == ',')
			return open == '{' ? check_key(p + 1, end) : p + 1;
		if (*p != (open == '{' ? '}' : ']'))
			return NULL;
		p++;
		--*depth;
	}
	return p;
}

/* Where the value at p, inside of outside others, ends, or NULL. Iterative: what a peer sends must
 * not choose how deep our stack goes. */
static const char *check_value(const char *p, const char *end, int outside)
{
	char stack[JSCAN_DEPTH_MAX];
	int depth = 0;

	do {
		p = skip_space(p, end);
		if (p >= end)
			return NULL;
		if (*p == '{' || *p == '[') {
			char open = *p;
			const char *inside = skip_space(p + 1, end);

			if (depth + outside == JSCAN_DEPTH_MAX || inside >= end)
				return NULL;
			if (*inside != (open == '{' ? '}' : ']')) {
				stack[depth++] = open;
				p = open == '{' ? check_key(inside, end) : inside;
				if (!p)
					return NULL;
				continue;
			}
			p = inside + 1;
		} else if (!(p = check_scalar(p, end))) {
			return NULL;
		}
		p = check_after(p, end, stack, &depth);
	} while (p && depth > 0);
	return p;
}

static enum jscan_kind kind_of(char first)
{
	switch (first) {
	case '{':
		return JSCAN_OBJECT;
	case '[':
		return JSCAN_ARRAY;
	case '"':
		return JSCAN_STRING;
	case 't':
		return JSCAN_TRUE;
	case 'f':
		return JSCAN_FALSE;
	case 'n':
		return JSCAN_NULL;
	default:
		return JSCAN_NUMBER;
	}
}

enum rc jscan_parse(const char *text, size_t len, struct jscan *out)
{
	const char *end = text + len, *start, *stop;

	if (len == 0)
		return RC_INVALID;
	start = skip_space(text, end);
	stop = check_value(start, end, 0);
	if (!stop || skip_space(stop, end) != end)
		return RC_INVALID;
	*out = (struct jscan){start, (size_t)(stop - start), kind_of(*start)};
	return RC_OK;
}

struct jscan jscan_checked(const char *p, size_t len)
{
	return (struct jscan){p, len, kind_of(*p)};
}

struct jscan_reader jscan_reader(const char *text, size_t len)
{
	return (struct jscan_reader){.p = text, .end = text + len};
}

/* Before the first member or behind one: where the next one's name is to be. NULL where none can
 * follow; *over says that the object ends here. */
static const char *find_member(struct jscan_reader *r, bool *over)
{
	const char *p = skip_space(r->p, r->end);
	bool first = !r->start;

	*over = false;
	if (first) {
		if (p >= r->end || *p != '{')
			return NULL;
		r->start = p;
		p = skip_space(p + 1, r->end);
	}
	if (p < r->end && *p == '}') {
		r->p = p + 1;
		*over = true;
		return NULL;
	}
	if (first)
		return p;
	return p < r->end && *p == ',' ? skip_space(p + 1, r->end) : NULL;
}

enum rc jscan_read(
	struct jscan_reader *r, struct jscan *key, struct jscan *value, struct jscan *whole)
{
	const char *end = r->end, *name, *stop, *start;
	bool over;

	name = find_member(r, &over);
	if (over) {
		*whole = (struct jscan){r->start, (size_t)(r->p - r->start), JSCAN_OBJECT};
		return skip_space(r->p, end) == end ? RC_NOTFOUND : RC_INVALID;
	}
	if (!name || name >= end || *name != '"' || !(stop = check_string(name, end)))
		return RC_INVALID;
	*key = (struct jscan){name, (size_t)(stop - name), JSCAN_STRING};
	stop = skip_space(stop, end);
	if (stop >= end || *stop != ':')
		return RC_INVALID;
	start = skip_space(stop + 1, end);
	stop = check_value(start, end, 1);
	if (!stop)
		return RC_INVALID;
	*value = (struct jscan){start, (size_t)(stop - start), kind_of(*start)};
	r->p = stop;
	return RC_OK;
}

/* --- walking a checked text ------------------------------------------------- */

static const char *skip_string(const char *p, const char *end)
{
	uint64_t high = 0;

	for (p++;; p += *p == '\\' && end - p > 1 ? 2 : 1) {
		p = skip_plain(p, end, &high);
		if (p >= end)
			return end;
		if (*p == '"')
			return p + 1;
	}
}

static const char *skip_container(const char *p, const char *end)
{
	int depth = 0;

	while (p < end) {
		if (*p == '"') {
			p = skip_string(p, end);
			continue;
		}
		if (*p == '{' || *p == '[')
			depth++;
		else if ((*p == '}' || *p == ']') && --depth == 0)
			return p + 1;
		p++;
	}
	return end;
}

static const char *skip_value(const char *p, const char *end)
{
	if (*p == '"')
		return skip_string(p, end);
	if (*p == '{' || *p == '[')
		return skip_container(p, end);
	while (p < end && !strchr(",]} \t\r\n", *p))
		p++;
	return p;
}

struct jscan_iter jscan_iter(struct jscan container)
{
	struct jscan_iter it = {NULL, NULL, JSCAN_NONE};

	if (container.kind == JSCAN_OBJECT || container.kind == JSCAN_ARRAY)
		it = (struct jscan_iter){
			container.p + 1, container.p + container.len - 1, container.kind};
	return it;
}

static struct jscan take(struct jscan_iter *it)
{
	const char *start = skip_space(it->p, it->end);

	it->p = skip_value(start, it->end);
	return (struct jscan){start, (size_t)(it->p - start), kind_of(*start)};
}

bool jscan_next(struct jscan_iter *it, struct jscan *key, struct jscan *value)
{
	if (it->kind == JSCAN_NONE)
		return false;
	it->p = skip_space(it->p, it->end);
	if (it->p >= it->end)
		return false;
	*key = (struct jscan){NULL, 0, JSCAN_NONE};
	if (it->kind == JSCAN_OBJECT) {
		*key = take(it);
		it->p = skip_space(it->p, it->end) + 1; /* the colon */
	}
	*value = take(it);
	it->p = skip_space(it->p, it->end);
	if (it->p < it->end)
		it->p++; /* the comma */
	return true;
}

enum rc jscan_get(struct jscan v, const char *name, struct jscan *out)
{
	struct jscan_iter it;
	struct jscan key, value, found = {NULL, 0, JSCAN_NONE};

	*out = found;
	if (v.kind != JSCAN_OBJECT)
		return RC_NOTFOUND;
	it = jscan_iter(v);
	while (jscan_next(&it, &key, &value)) {
		if (!jscan_is_str(key, name))
			continue;
		if (found.kind != JSCAN_NONE)
			return RC_CONFLICT;
		found = value;
	}
	*out = found;
	return found.kind == JSCAN_NONE ? RC_NOTFOUND : RC_OK;
}

enum rc jscan_path(struct jscan v, struct jscan *out, ...)
{
	enum rc rc = RC_OK;
	const char *name;
	va_list names;

	*out = v;
	va_start(names, out);
	while (rc == RC_OK && (name = va_arg(names, const char *)))
		rc = jscan_get(*out, name, out);
	va_end(names);
	return rc;
}

/* --- values ------------------------------------------------------------------ */

static size_t put_utf8(unsigned code, char out[4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

/* The low half of a pair stands at s. */
static bool low_follows(const char *s, const char *end)
{
	return end - s >= 6 && s[0] == '\\' && s[1] == 'u' && is_low(hex4(s + 2, end));
}

/* The next character of a checked string's inside: one plain byte, or one escape as UTF-8. Half of
 * a surrogate pair comes out as three bytes that are no UTF-8, and so equal no text but themselves.
 */
static size_t unescape(const char **p, const char *end, char out[4])
{
	static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
	const char *s = *p, *hit;
	unsigned code;

	if (*s != '\\') {
		out[0] = *s;
		*p = s + 1;
		return 1;
	}
	if (s[1] != 'u') {
		hit = strchr(names, s[1]);
		out[0] = hit ? values[hit - names] : s[1];
		*p = s + 2;
		return 1;
	}
	code = (unsigned)hex4(s + 2, end);
	*p = s + 6;
	if (is_high((int)code) && low_follows(s + 6, end)) {
		code = 0x10000 + ((code - 0xd800) << 10) + ((unsigned)hex4(s + 8, end) - 0xdc00);
		*p = s + 12;
	}
	return put_utf8(code, out);
}

/* Nearly every string is spelt as it is: those are copied and compared whole. */
static bool is_plain(struct jscan v)
{
	return !memchr(v.p + 1, '\\', v.len - 2);
}

static enum rc copy_plain(struct jscan v, char *dst, size_t cap)
{
	size_t len = v.len - 2;

	if (len >= cap)
		return RC_INVALID;
	memcpy(dst, v.p + 1, len);
	dst[len] = '\0';
	return RC_OK;
}

static bool is_half(const char c[4], size_t n)
{
	return n == 3 && (unsigned char)c[0] == 0xed && (unsigned char)c[1] >= 0xa0;
}

enum rc jscan_str(struct jscan v, char *dst, size_t cap)
{
	const char *p, *end;
	size_t len = 0, n;
	char c[4];

	if (cap == 0)
		return RC_INVALID;
	dst[0] = '\0';
	if (v.kind != JSCAN_STRING)
		return RC_INVALID;
	if (is_plain(v))
		return copy_plain(v, dst, cap);
	p = v.p + 1;
	end = v.p + v.len - 1;
	while (p < end) {
		n = unescape(&p, end, c);
		if (n >= cap - len || (n == 1 && c[0] == '\0') || is_half(c, n)) {
			dst[0] = '\0';
			return RC_INVALID;
		}
		memcpy(dst + len, c, n);
		len += n;
	}
	dst[len] = '\0';
	return RC_OK;
}

enum rc jscan_int(struct jscan v, int64_t *out)
{
	bool negative = v.kind == JSCAN_NUMBER && v.p[0] == '-';
	int64_t n = 0;

	if (v.kind != JSCAN_NUMBER)
		return RC_INVALID;
	/* Counted downwards: INT64_MIN has no positive twin. */
	for (size_t i = negative; i < v.len; i++) {
		int digit = v.p[i] - '0';

		if (digit < 0 || digit > 9 || n < (INT64_MIN + digit) / 10)
			return RC_INVALID;
		n = n * 10 - digit;
	}
	if (!negative && n == INT64_MIN)
		return RC_INVALID;
	*out = negative ? n : -n;
	return RC_OK;
}

bool jscan_says(struct jscan v, const char *s)
{
	const char *p, *end;
	char c[4];

	if (is_plain(v))
		/* It has no NUL, so s is at least as long when they are equal so far. */
		return !strncmp(v.p + 1, s, v.len - 2) && s[v.len - 2] == '\0';
	p = v.p + 1;
	end = v.p + v.len - 1;
	while (p < end) {
		size_t n = unescape(&p, end, c);

		/* strncmp stops at the end of s, and U+0000 matches nothing. */
		if (c[0] == '\0' || strncmp(s, c, n) != 0)
			return false;
		s += n;
	}
	return *s == '\0';
}

/* The bytes of a string one at a time, whichever way it spells its characters. */
struct chars {
	const char *p, *end;
	char pending[4];
	size_t len, at;
};

static struct chars chars_of(struct jscan v)
{
	return (struct chars){.p = v.p + 1, .end = v.p + v.len - 1};
}

/* The next byte, or -1. */
static int chars_next(struct chars *c)
{
	if (c->at == c->len) {
		if (c->p >= c->end)
			return -1;
		c->len = unescape(&c->p, c->end, c->pending);
		c->at = 0;
	}
	return (unsigned char)c->pending[c->at++];
}

bool jscan_same_str(struct jscan a, struct jscan b)
{
	struct chars ca, cb;
	int x, y;

	if (a.kind != JSCAN_STRING || b.kind != JSCAN_STRING)
		return false;
	if (a.len == b.len && !memcmp(a.p, b.p, a.len))
		return true;
	if (a.p[1] != '\\' && b.p[1] != '\\' && a.p[1] != b.p[1])
		return false;
	if (is_plain(a) && is_plain(b))
		return false;
	ca = chars_of(a);
	cb = chars_of(b);
	do {
		x = chars_next(&ca);
		y = chars_next(&cb);
	} while (x == y && x >= 0);
	return x == y;
}
