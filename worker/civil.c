#include "worker/civil.h"

#include <ctype.h>
#include <stdio.h>

static bool digits(const char *text, int count, int *out)
{
	*out = 0;
	for (int i = 0; i < count; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		*out = *out * 10 + (text[i] - '0');
	}
	return true;
}

static int month_days(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* The length of two digits behind the character before, or 0. */
static size_t pair_after(const char *text, size_t len, char before)
{
	int n;

	return len >= 3 && text[0] == before && digits(text + 1, 2, &n) ? 3 : 0;
}

/* " 04:30", with seconds, a fraction and an offset as far as they are there; nothing behind it. */
static bool is_clock(const char *text, size_t len)
{
	size_t at = pair_after(text, len, *text == 'T' ? 'T' : ' '), step;

	if (at == 0 || (step = pair_after(text + at, len - at, ':')) == 0)
		return false;
	at += step;
	at += pair_after(text + at, len - at, ':');
	if (at < len && text[at] == '.')
		for (at++; at < len && isdigit((unsigned char)text[at]); at++)
			;
	if (at < len && text[at] == 'Z')
		return at + 1 == len;
	if (at < len && (text[at] == '+' || text[at] == '-')) {
		if ((step = pair_after(text + at, len - at, text[at])) == 0)
			return false;
		for (; step > 0; step = pair_after(text + at, len - at, ':'))
			at += step;
	}
	return at == len;
}

bool civil_parse(const char *text, size_t len, struct civil *out)
{
	struct civil c;

	if (len < CIVIL_LEN || text[4] != '-' || text[7] != '-' ||
		(len > CIVIL_LEN && !is_clock(text + CIVIL_LEN, len - CIVIL_LEN)))
		return false;
	if (!digits(text, 4, &c.year) || !digits(text + 5, 2, &c.month) ||
		!digits(text + 8, 2, &c.day))
		return false;
	if (c.year < 1 || c.month < 1 || c.month > 12 || c.day < 1 ||
		c.day > month_days(c.year, c.month))
		return false;
	*out = c;
	return true;
}

/* Years are counted from March, so that the leap day is the last of its year. */
int64_t civil_days(struct civil c)
{
	int64_t y = c.month > 2 ? c.year : c.year - 1;
	int64_t era = y / 400, of_era = y - era * 400;
	int64_t of_year = (153 * (c.month > 2 ? c.month - 3 : c.month + 9) + 2) / 5 + c.day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool civil_from_days(int64_t days, struct civil *out)
{
	int64_t z = days + 719468, era, of_era, y, of_year, m;

	if (z < 306 || z > 3652364) /* 0001-01-01 and 9999-12-31 */
		return false;
	era = z / 146097;
	of_era = z - era * 146097;
	y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	of_year = of_era - (365 * y + y / 4 - y / 100);
	m = (5 * of_year + 2) / 153;
	out->day = (int)(of_year - (153 * m + 2) / 5 + 1);
	out->month = (int)(m < 10 ? m + 3 : m - 9);
	out->year = (int)(y + era * 400 + (out->month <= 2));
	return out->year >= 1 && out->year <= 9999;
}

void civil_text(struct civil c, char out[CIVIL_LEN + 1])
{
	/* The bounds are the struct's own; said again for the compiler. */
	snprintf(out, CIVIL_LEN + 1, "%04u-%02u-%02u", (unsigned)c.year % 10000U,
		(unsigned)c.month % 100U, (unsigned)c.day % 100U);
}
