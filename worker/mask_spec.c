#include "worker/mask_spec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const kinds[MASK_KINDS] = {
	[MASK_KEEP] = "keep",
	[MASK_HASH] = "hash",
	[MASK_REDACT] = "redact",
	[MASK_NULL] = "null",
	[MASK_PARTIAL] = "partial",
	[MASK_EMAIL] = "email",
	[MASK_DATE_SHIFT] = "date_shift",
	[MASK_NOISE] = "noise",
	[MASK_BUCKET] = "bucket",
	[MASK_TOKEN] = "token",
	[MASK_TEXT] = "text",
};

static const char *const units[] = {
	[UNIT_DAY] = "day",
	[UNIT_WEEK] = "week",
	[UNIT_MONTH] = "month",
	[UNIT_QUARTER] = "quarter",
	[UNIT_YEAR] = "year",
};

const char *mask_name(enum mask_kind kind)
{
	return kinds[kind];
}

void mask_spec_text(const struct mask_spec *m, char out[MASK_SPEC_TEXT_MAX + 1])
{
	size_t size = MASK_SPEC_TEXT_MAX + 1;

	switch (m->kind) {
	case MASK_PARTIAL:
		snprintf(out, size, "partial, last %d", m->last);
		break;
	case MASK_DATE_SHIFT:
		snprintf(out, size, "date_shift, %d days", m->days);
		break;
	case MASK_NOISE:
		if (m->amount > 0)
			snprintf(out, size, "noise, %.6g", m->amount);
		else
			snprintf(out, size, "noise, %.6g %%", m->percent);
		break;
	case MASK_BUCKET:
		if (m->size > 0)
			snprintf(out, size, "bucket of %.6g", m->size);
		else
			snprintf(out, size, "bucket to %s", units[m->to]);
		break;
	default:
		snprintf(out, size, "%s", kinds[m->kind]);
	}
}

enum rc mask_kind_parse(const char *name, enum mask_kind *out, const char **nearest)
{
	for (size_t i = 0; i < MASK_KINDS; i++) {
		if (strcmp(kinds[i], name) != 0)
			continue;
		*out = (enum mask_kind)i;
		return RC_OK;
	}
	*nearest = text_nearest(name, kinds, MASK_KINDS);
	return RC_NOTFOUND;
}

struct mask_spec mask_spec_default(enum mask_kind kind)
{
	return (struct mask_spec){.kind = kind, .last = 4, .days = 180, .percent = 10};
}

/* --- options ------------------------------------------------------------------------ */

/* A plain decimal number; neither sign nor exponent. */
static bool number(const char *text, double min, double max, double *out)
{
	size_t len = strlen(text);
	char *end;
	double v;

	if (len == 0 || len > 24 || strspn(text, "0123456789.") != len)
		return false;
	v = strtod(text, &end);
	if (*end || !(v >= min) || !(v <= max))
		return false;
	*out = v;
	return true;
}

static bool whole(const char *text, int min, int max, int *out)
{
	double v;

	if (strchr(text, '.') || !number(text, min, max, &v))
		return false;
	*out = (int)v;
	return true;
}

static bool read_last(struct mask_spec *m, const char *text)
{
	return whole(text, 1, 8, &m->last);
}

static bool read_days(struct mask_spec *m, const char *text)
{
	return whole(text, 1, 3650, &m->days);
}

static bool read_percent(struct mask_spec *m, const char *text)
{
	return number(text, 0.1, 100, &m->percent);
}

static bool read_amount(struct mask_spec *m, const char *text)
{
	return number(text, 1e-6, 1e15, &m->amount);
}

static bool read_size(struct mask_spec *m, const char *text)
{
	return number(text, 1e-6, 1e15, &m->size);
}

static bool read_to(struct mask_spec *m, const char *text)
{
	for (size_t i = UNIT_DAY; i < COUNT(units); i++) {
		if (strcmp(units[i], text) != 0)
			continue;
		m->to = (enum mask_unit)i;
		return true;
	}
	return false;
}

static bool read_canary(struct mask_spec *m, const char *text)
{
	m->no_canary = strcmp(text, "false") == 0;
	return m->no_canary || strcmp(text, "true") == 0;
}

static const struct option {
	const char *name;
	enum mask_kind kind; /* MASK_KEEP: every mask has it */
	bool (*read)(struct mask_spec *m, const char *text);
	const char *form;
} options[] = {
	{"last", MASK_PARTIAL, read_last, "a whole number from 1 to 8"},
	{"days", MASK_DATE_SHIFT, read_days, "a whole number from 1 to 3650"},
	{"percent", MASK_NOISE, read_percent, "a number from 0.1 to 100"},
	{"amount", MASK_NOISE, read_amount, "a number above 0"},
	{"size", MASK_BUCKET, read_size, "a number above 0"},
	{"to", MASK_BUCKET, read_to, "day, week, month, quarter or year"},
	{"canary", MASK_KEEP, read_canary, "true or false"},
};

enum rc mask_spec_option(
	struct mask_spec *m, const char *key, const char *text, char *why, size_t size)
{
	const char *names[COUNT(options)], *nearest;
	size_t count = 0;

	for (size_t i = 0; i < COUNT(options); i++) {
		if (options[i].kind != m->kind && options[i].kind != MASK_KEEP)
			continue;
		names[count++] = options[i].name;
		if (strcmp(options[i].name, key) != 0)
			continue;
		if (options[i].read(m, text))
			return RC_OK;
		snprintf(why, size, "'%s' must be %s", key, options[i].form);
		return RC_INVALID;
	}
	nearest = text_nearest(key, names, count);
	snprintf(why, size, "the mask %s has no option '%.64s'%s%s%s", kinds[m->kind], key,
		nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
	return RC_INVALID;
}

enum rc mask_spec_check(const struct mask_spec *m, char *why, size_t size)
{
	if (m->kind != MASK_BUCKET || (m->size > 0) != (m->to != UNIT_NONE))
		return RC_OK;
	snprintf(why, size,
		"bucket needs either size (of a range of numbers) or to (day, week, month, quarter "
		"or year, for dates), as in {kind: bucket, size: 10}");
	return RC_INVALID;
}

/* --- columns ------------------------------------------------------------------------ */

enum rc mask_spec_fits(const struct mask_spec *m, enum column_kind kind, char *why, size_t size)
{
	bool numbers = kind == COLUMN_INT || kind == COLUMN_REAL;
	bool texts = kind == COLUMN_TEXT || kind == COLUMN_BLOB;
	bool dates_wanted =
		m->kind == MASK_DATE_SHIFT || (m->kind == MASK_BUCKET && m->to != UNIT_NONE);
	bool numbers_wanted = m->kind == MASK_NOISE || (m->kind == MASK_BUCKET && m->size > 0);

	if (dates_wanted && (numbers || kind == COLUMN_BLOB)) {
		snprintf(why, size, "%s%s is for dates and times, and the column holds %s",
			kinds[m->kind], m->kind == MASK_BUCKET ? " with to" : "",
			numbers ? "numbers" : "bytes");
		return RC_INVALID;
	}
	if (numbers_wanted && texts) {
		snprintf(why, size, "%s%s is for numbers, and the column holds %s", kinds[m->kind],
			m->kind == MASK_BUCKET ? " with size" : "",
			kind == COLUMN_BLOB ? "bytes" : "text");
		return RC_INVALID;
	}
	return RC_OK;
}

bool mask_joins(enum mask_kind kind)
{
	return kind == MASK_KEEP || kind == MASK_HASH || kind == MASK_TOKEN || kind == MASK_EMAIL;
}

enum column_kind mask_column_kind(enum mask_kind mask, enum column_kind source)
{
	switch (mask) {
	case MASK_KEEP:
	case MASK_NULL:
	case MASK_DATE_SHIFT:
	case MASK_NOISE:
		return source;
	case MASK_HASH:
	case MASK_REDACT:
	case MASK_PARTIAL:
	case MASK_EMAIL:
	case MASK_BUCKET:
	case MASK_TOKEN:
	case MASK_TEXT:
		break;
	}
	return COLUMN_TEXT;
}
