#include "shared/clock.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

/* The years 0000 to 9999: what four digits can say. */
#define WALL_MS_MIN (-62167219200000LL)
#define WALL_MS_MAX 253402300799999LL

static int64_t clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_mono_ms(void)
{
	return clock_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_mono_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
	return clock_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_wall_s(void)
{
	return clock_us(CLOCK_REALTIME) / 1000000;
}

static void put_digits(char *dst, int count, int64_t n)
{
	while (count-- > 0) {
		dst[count] = (char)('0' + n % 10);
		n /= 10;
	}
}

void clock_text(int64_t wall_ms, char out[CLOCK_TEXT_LEN + 1])
{
	if (wall_ms < WALL_MS_MIN)
		wall_ms = WALL_MS_MIN;
	if (wall_ms > WALL_MS_MAX)
		wall_ms = WALL_MS_MAX;
	/* Rounds down before 1970 too. */
	int64_t ms = (wall_ms % 1000 + 1000) % 1000;
	time_t s = (time_t)((wall_ms - ms) / 1000);
	struct tm tm = {0};

	gmtime_r(&s, &tm);
	memcpy(out, "0000-00-00T00:00:00.000Z", CLOCK_TEXT_LEN + 1);
	put_digits(out, 4, tm.tm_year + 1900);
	put_digits(out + 5, 2, tm.tm_mon + 1);
	put_digits(out + 8, 2, tm.tm_mday);
	put_digits(out + 11, 2, tm.tm_hour);
	put_digits(out + 14, 2, tm.tm_min);
	put_digits(out + 17, 2, tm.tm_sec);
	put_digits(out + 20, 3, ms);
}

/* Matches s against a pattern in which 'd' is a digit; returns how many characters matched. */
static size_t match(const char *s, const char *pattern)
{
	size_t i = 0;

	while (pattern[i] && (pattern[i] == 'd' ? s[i] >= '0' && s[i] <= '9' : s[i] == pattern[i]))
		i++;
	return i;
}

static int number(const char *s, int digits)
{
	int n = 0;

	for (int i = 0; i < digits; i++)
		n = n * 10 + (s[i] - '0');
	return n;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar; the year starts in March so that the
 * leap day is last. */
static int64_t days_from_civil(int year, int month, int day)
{
	int64_t y = year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* ".d" to ".ddddddddd"; what is finer than a millisecond is dropped. */
static const char *fraction(const char *p, int *ms)
{
	int scale = 100;
	int digits = 0;

	*ms = 0;
	if (*p != '.')
		return p;
	for (p++; *p >= '0' && *p <= '9' && digits < 9; p++, digits++) {
		*ms += (*p - '0') * scale;
		scale /= 10;
	}
	return digits ? p : NULL;
}

enum rc clock_parse(const char *text, int64_t *wall_ms)
{
	static const char pattern[] = "dddd-dd-ddTdd:dd:dd";
	int ms;

	if (match(text, pattern) != sizeof(pattern) - 1)
		return RC_INVALID;
	const char *rest = fraction(text + sizeof(pattern) - 1, &ms);
	if (!rest || (strcmp(rest, "Z") != 0 && strcmp(rest, "+00:00") != 0))
		return RC_INVALID;
	int year = number(text, 4);
	int month = number(text + 5, 2);
	int day = number(text + 8, 2);
	int hour = number(text + 11, 2);
	int minute = number(text + 14, 2);
	int second = number(text + 17, 2);
	if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 ||
		minute > 59 || second > 59)
		return RC_INVALID;
	*wall_ms = ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60000LL +
		second * 1000LL + ms;
	return RC_OK;
}
