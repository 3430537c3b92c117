#include "worker/mask_number.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"
#include "worker/civil.h"

#define EXACT 9007199254740992.0 /* whole numbers up to it are doubles */

/* A real, or a text that is one from end to end. */
static bool real_of(const struct value *in, double *out)
{
	char text[400] = "", *end = text;

	if (in->kind == VALUE_INT)
		*out = (double)in->i;
	else if (in->kind == VALUE_REAL)
		*out = in->r;
	else if (in->kind == VALUE_TEXT && in->len > 0 &&
		str_copy_len(text, sizeof(text), in->p, in->len) && text[0] != ' ')
		*out = strtod(text, &end);
	else
		return false;
	return !*end && isfinite(*out);
}

/* -1 to 1. */
static double unit(uint64_t random)
{
	return (double)(random >> 11) / (double)(1ULL << 52) - 1.0;
}

static bool noise_int(const struct mask_spec *s, uint64_t random, int64_t v, struct value *out)
{
	double most = s->amount > 0 ? floor(s->amount) : floor(fabs((double)v) * s->percent / 100);
	uint64_t bound = most < 1 ? 1 : most > 4e18 ? (uint64_t)4e18 : (uint64_t)most;
	int64_t by;

	if (v == 0 && s->amount <= 0) {
		*out = value_int(0);
		return true;
	}
	by = (int64_t)(random % (2 * bound));
	by = by < (int64_t)bound ? by - (int64_t)bound : by - (int64_t)bound + 1;
	if (__builtin_add_overflow(v, by, &v))
		return false;
	*out = value_int(v);
	return true;
}

/* How many digits the value has behind its point. */
static int decimals(double v)
{
	char text[400];
	const char *dot;

	snprintf(text, sizeof(text), "%.15g", v);
	dot = strchr(text, '.');
	return strchr(text, 'e') ? -1 : dot ? (int)strlen(dot + 1) : 0;
}

static bool noise_real(const struct mask_spec *s, uint64_t random, double v, struct value *out)
{
	double most = s->amount > 0 ? s->amount : fabs(v) * s->percent / 100;
	int places = decimals(v);
	double scale = places >= 0 ? pow(10, places) : 0, r = v + most * unit(random);

	/* As many digits as the value has, where the bound leaves room for such a step. */
	if (scale > 0 && most * scale >= 1) {
		r = round(r * scale) / scale;
		if (r == v) /* which would be no noise */
			r = round(v * scale + (random & 1 ? 1 : -1)) / scale;
	}
	if (r == v && most > 0)
		r = nextafter(v, random & 1 ? HUGE_VAL : -HUGE_VAL);
	if (!isfinite(r))
		return false;
	*out = (struct value){.kind = VALUE_REAL, .r = r};
	return true;
}

bool mask_noise(
	const struct mask_spec *s, uint64_t random, const struct value *in, struct value *out)
{
	double v;

	if (in->kind == VALUE_INT)
		return noise_int(s, random, in->i, out);
	return real_of(in, &v) && noise_real(s, random, v, out);
}

/* --- ranges --------------------------------------------------------------------------- */

bool mask_range(
	const struct mask_spec *s, const struct value *in, struct buf *room, struct value *out)
{
	bool whole = in->kind == VALUE_INT && s->size == floor(s->size);
	double v, low;

	buf_reset(room);
	if (whole) {
		int64_t size = (int64_t)s->size, below = in->i % size, from, to;

		if (below < 0)
			below += size;
		if (__builtin_sub_overflow(in->i, below, &from) ||
			__builtin_add_overflow(from, size, &to))
			return false;
		buf_printf(room, "[%" PRId64 ",%" PRId64 ")", from, to);
	} else {
		if (!real_of(in, &v))
			return false;
		low = floor(v / s->size) * s->size;
		if (fabs(low) >= EXACT)
			return false;
		/* Rounding may have put the value just outside. */
		if (v < low)
			low -= s->size;
		else if (v >= low + s->size)
			low += s->size;
		buf_printf(room, "[%.15g,%.15g)", low, low + s->size);
	}
	*out = value_text((const char *)room->data, room->len);
	return true;
}

/* --- dates ------------------------------------------------------------------------------ */

static bool with_date(
	struct civil c, const char *rest, size_t len, struct buf *room, struct value *out)
{
	char text[CIVIL_LEN + 1];

	civil_text(c, text);
	buf_reset(room);
	buf_add(room, text, CIVIL_LEN);
	buf_add(room, rest, len);
	if (room->failed)
		return false;
	*out = value_text((const char *)room->data, room->len);
	return true;
}

bool mask_shift(const struct mask_spec *s, uint64_t random, const struct value *in,
	struct buf *room, struct value *out)
{
	struct civil c;
	int64_t by;

	if (in->kind != VALUE_TEXT || !civil_parse(in->p, in->len, &c))
		return false;
	by = (int64_t)(random % (2 * (uint64_t)s->days)) - s->days;
	if (by >= 0)
		by++;
	return civil_from_days(civil_days(c) + by, &c) &&
		with_date(c, (const char *)in->p + CIVIL_LEN, in->len - CIVIL_LEN, room, out);
}

bool mask_truncate(
	const struct mask_spec *s, const struct value *in, struct buf *room, struct value *out)
{
	struct civil c;
	int64_t days;

	if (in->kind != VALUE_TEXT || !civil_parse(in->p, in->len, &c))
		return false;
	switch (s->to) {
	case UNIT_WEEK:
		/* 1970-01-01 was a Thursday, and weeks begin on Monday (ISO 8601). */
		days = civil_days(c);
		if (!civil_from_days(days - ((days + 3) % 7 + 7) % 7, &c))
			return false;
		break;
	case UNIT_YEAR:
		c.month = 1;
		c.day = 1;
		break;
	case UNIT_QUARTER:
		c.month -= (c.month - 1) % 3;
		c.day = 1;
		break;
	case UNIT_MONTH:
		c.day = 1;
		break;
	case UNIT_DAY:
	case UNIT_NONE:
		break;
	}
	return with_date(c, "", 0, room, out);
}
