#include "worker/sqlfunc.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "shared/buf.h"
#include "worker/value.h"

#define TRIM_SET_MAX 16
#define WIDTH_MAX 1000 /* of one conversion of printf */

/* A text or blob argument's bytes; anything else as its text. False for NULL. */
static bool bytes_of(sqlite3_value *v, const unsigned char **p, size_t *len)
{
	int type = sqlite3_value_type(v);

	if (type == SQLITE_NULL)
		return false;
	*p = type == SQLITE_BLOB ? sqlite3_value_blob(v) : sqlite3_value_text(v);
	*len = (size_t)sqlite3_value_bytes(v);
	if (!*p) {
		*p = (const unsigned char *)"";
		*len = 0;
	}
	return true;
}

static bool continues(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

static int64_t count_chars(const unsigned char *p, size_t len)
{
	int64_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += !continues(p[i]);
	return n;
}

static void sql_instr(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	const unsigned char *hay, *needle, *found;
	size_t hay_len, needle_len;
	bool blobs = sqlite3_value_type(argv[0]) == SQLITE_BLOB &&
		sqlite3_value_type(argv[1]) == SQLITE_BLOB;

	(void)argc;
	if (!bytes_of(argv[0], &hay, &hay_len) || !bytes_of(argv[1], &needle, &needle_len))
		return;
	found = memmem(hay, hay_len, needle, needle_len);
	if (!found)
		sqlite3_result_int(ctx, 0);
	else if (blobs)
		sqlite3_result_int64(ctx, found - hay + 1);
	else
		sqlite3_result_int64(ctx, count_chars(hay, (size_t)(found - hay)) + 1);
}

static void sql_replace(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	const unsigned char *text, *from, *to, *found;
	size_t text_len, from_len, to_len;
	struct buf out;

	(void)argc;
	if (!bytes_of(argv[0], &text, &text_len) || !bytes_of(argv[1], &from, &from_len))
		return;
	if (from_len == 0) {
		sqlite3_result_value(ctx, argv[0]);
		return;
	}
	if (!bytes_of(argv[2], &to, &to_len))
		return;
	buf_init(&out, VALUE_BYTES_MAX);
	while ((found = memmem(text, text_len, from, from_len))) {
		buf_add(&out, text, (size_t)(found - text));
		buf_add(&out, to, to_len);
		text_len -= (size_t)(found - text) + from_len;
		text = found + from_len;
	}
	buf_add(&out, text, text_len);
	if (out.failed)
		sqlite3_result_error_toobig(ctx);
	else
		sqlite3_result_text(
			ctx, out.len ? (const char *)out.data : "", (int)out.len, SQLITE_TRANSIENT);
	buf_free(&out);
}

/* The characters to trim: ASCII by a table, a few others by place and length. */
struct trim_set {
	bool ascii[128];
	const unsigned char *at[TRIM_SET_MAX];
	size_t len[TRIM_SET_MAX];
	size_t count;
};

static bool trim_set(struct trim_set *set, const unsigned char *p, size_t len)
{
	memset(set, 0, sizeof(*set));
	for (size_t i = 0; i < len;) {
		size_t n = 1;

		if (p[i] < 128) {
			set->ascii[p[i++]] = true;
			continue;
		}
		while (i + n < len && continues(p[i + n]))
			n++;
		if (set->count == TRIM_SET_MAX)
			return false;
		set->at[set->count] = p + i;
		set->len[set->count++] = n;
		i += n;
	}
	return true;
}

/* The length of the set's character that starts (or ends) p[len], or 0. */
static size_t trim_match(
	const struct trim_set *set, const unsigned char *p, size_t len, bool at_end)
{
	unsigned char c;

	if (len == 0)
		return 0;
	c = at_end ? p[len - 1] : p[0];
	if (c < 128)
		return set->ascii[c];
	for (size_t i = 0; i < set->count; i++) {
		size_t n = set->len[i];

		if (n <= len && memcmp(at_end ? p + len - n : p, set->at[i], n) == 0)
			return n;
	}
	return 0;
}

/* What the trim functions get as user data: the ends they trim. */
static const int left_end = 1, right_end = 2, both_ends = 3;

static void sql_trim(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	int ends = *(const int *)sqlite3_user_data(ctx);
	const unsigned char *text, *chars = (const unsigned char *)" ";
	size_t text_len, chars_len = 1, n;
	struct trim_set set;

	if (!bytes_of(argv[0], &text, &text_len) ||
		(argc == 2 && !bytes_of(argv[1], &chars, &chars_len)))
		return;
	if (!trim_set(&set, chars, chars_len)) {
		sqlite3_result_error(ctx, "too many characters to trim", -1);
		return;
	}
	while ((ends & 1) && (n = trim_match(&set, text, text_len, false)) > 0) {
		text += n;
		text_len -= n;
	}
	while ((ends & 2) && (n = trim_match(&set, text, text_len, true)) > 0)
		text_len -= n;
	sqlite3_result_text(ctx, (const char *)text, (int)text_len, SQLITE_TRANSIENT);
}

/* One conversion of a format: %[flags][width][.precision][l..]letter. */
struct conversion {
	char flags[8];
	int64_t width, precision; /* -1: none */
	char letter;
};

struct arguments {
	sqlite3_value **v;
	int count, at;
};

static sqlite3_value *next_argument(struct arguments *a)
{
	return a->at < a->count ? a->v[a->at++] : NULL;
}

static int64_t next_int(struct arguments *a)
{
	sqlite3_value *v = next_argument(a);

	return v ? sqlite3_value_int64(v) : 0;
}

/* Reads a number or a '*'. Numbers stop growing once they are past every bound. */
static const char *read_number(const char *f, struct arguments *a, int64_t *out)
{
	if (*f == '*') {
		*out = next_int(a);
		return f + 1;
	}
	for (*out = 0; *f >= '0' && *f <= '9'; f++)
		if (*out <= WIDTH_MAX)
			*out = *out * 10 + (*f - '0');
	return f;
}

/* f is just after the '%'. NULL when the conversion is malformed or too wide. */
static const char *read_conversion(const char *f, struct arguments *a, struct conversion *c)
{
	size_t flags = strspn(f, "-+ #0!,");

	*c = (struct conversion){.width = -1, .precision = -1};
	if (flags >= sizeof(c->flags))
		return NULL;
	memcpy(c->flags, f, flags);
	f += flags;
	if (*f == '*' || (*f >= '1' && *f <= '9'))
		f = read_number(f, a, &c->width);
	if (*f == '.')
		f = read_number(f + 1, a, &c->precision);
	while (*f == 'l')
		f++;
	c->letter = *f;
	/* A negative width from a '*' means '-', a negative precision none, as in SQLite. */
	if (c->width < -WIDTH_MAX || c->width > WIDTH_MAX || c->precision > WIDTH_MAX)
		return NULL;
	return *f ? f + 1 : NULL;
}

/* The conversion as SQLite's own formatter wants it, with long integers. */
static void write_format(const struct conversion *c, const char *letters, char out[64])
{
	char width[24] = "", precision[24] = "";

	if (c->width >= 0)
		snprintf(width, sizeof(width), "%d", (int)c->width);
	else if (c->width < -1)
		snprintf(width, sizeof(width), "-%d", (int)-c->width);
	if (c->precision >= 0)
		snprintf(precision, sizeof(precision), ".%d", (int)c->precision);
	snprintf(out, 64, "%%%s%s%s%s", c->flags, width, precision, letters);
}

static void put_char(sqlite3_str *out, const struct conversion *c, const char *text)
{
	size_t len = text && *text ? 1 : 0;
	int64_t times = c->precision > 1 ? c->precision : 1;

	while (len && continues((unsigned char)text[len]))
		len++;
	if (!strchr(c->flags, '-') && c->width > times)
		sqlite3_str_appendchar(out, (int)(c->width - times), ' ');
	for (int64_t i = 0; i < times && len; i++)
		sqlite3_str_append(out, text, (int)len);
	if (strchr(c->flags, '-') && c->width > times)
		sqlite3_str_appendchar(out, (int)(c->width - times), ' ');
}

/* False for a letter that is not supported. */
static bool put_conversion(sqlite3_str *out, const struct conversion *c, struct arguments *a)
{
	char format[64], letters[4] = {'l', 'l', c->letter};
	sqlite3_value *v;

	if (c->letter == '%') {
		sqlite3_str_appendchar(out, 1, '%');
		return true;
	}
	if (strchr("diuxXo", c->letter)) {
		write_format(c, letters, format);
		sqlite3_str_appendf(out, format, (long long)next_int(a));
		return true;
	}
	/* The formatter would free the text of a z. */
	if (c->letter == 'z')
		letters[2] = 's';
	write_format(c, letters + 2, format);
	if (strchr("feEgG", c->letter)) {
		v = next_argument(a);
		sqlite3_str_appendf(out, format, v ? sqlite3_value_double(v) : 0.0);
		return true;
	}
	if (!strchr("szqQwc", c->letter))
		return false;
	v = next_argument(a);
	if (c->letter == 'c')
		put_char(out, c, v ? (const char *)sqlite3_value_text(v) : NULL);
	else
		sqlite3_str_appendf(out, format, v ? (const char *)sqlite3_value_text(v) : NULL);
	return true;
}

static void sql_printf(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	struct arguments a = {.v = argv, .count = argc, .at = 1};
	const char *f = argc > 0 ? (const char *)sqlite3_value_text(argv[0]) : NULL;
	struct conversion c;
	sqlite3_str *out;
	char *text;
	int len, code;

	if (!f)
		return;
	out = sqlite3_str_new(sqlite3_context_db_handle(ctx));
	while (f && *f && sqlite3_str_errcode(out) == SQLITE_OK) {
		size_t plain = strcspn(f, "%");

		sqlite3_str_append(out, f, (int)plain);
		f += plain;
		if (*f != '%')
			break;
		f = read_conversion(f + 1, &a, &c);
		if (f && !put_conversion(out, &c, &a))
			f = NULL;
	}
	code = f ? sqlite3_str_errcode(out) : SQLITE_ERROR;
	len = sqlite3_str_length(out);
	text = sqlite3_str_finish(out);
	if (code == SQLITE_OK)
		sqlite3_result_text(ctx, text ? text : "", len, SQLITE_TRANSIENT);
	else if (code == SQLITE_TOOBIG)
		sqlite3_result_error_toobig(ctx);
	else if (code == SQLITE_NOMEM)
		sqlite3_result_error_nomem(ctx);
	else
		sqlite3_result_error(
			ctx, "a conversion in the format of printf is unknown or too wide", -1);
	sqlite3_free(text);
}

int sqlfunc_register(struct sqlite3 *db)
{
	static const struct {
		const char *name;
		int args;
		const int *data;
		void (*call)(sqlite3_context *, int, sqlite3_value **);
	} functions[] = {
		{"instr", 2, NULL, sql_instr},
		{"replace", 3, NULL, sql_replace},
		{"ltrim", 1, &left_end, sql_trim},
		{"ltrim", 2, &left_end, sql_trim},
		{"rtrim", 1, &right_end, sql_trim},
		{"rtrim", 2, &right_end, sql_trim},
		{"trim", 1, &both_ends, sql_trim},
		{"trim", 2, &both_ends, sql_trim},
		{"printf", -1, NULL, sql_printf},
		{"format", -1, NULL, sql_printf},
	};
	int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		int code = sqlite3_create_function_v2(db, functions[i].name, functions[i].args,
			flags, (void *)functions[i].data, functions[i].call, NULL, NULL, NULL);

		if (code != SQLITE_OK)
			return code;
	}
	return SQLITE_OK;
}
