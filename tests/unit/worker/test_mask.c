/* Masks: what each does to each kind of value, fixed by known answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/crypto.h"
#include "shared/text.h"
#include "worker/civil.h"
#include "worker/mask.h"

static struct mask m;
static struct mask_run run;
static struct buf room;

static int setup(void **state)
{
	uint8_t secret[32];

	(void)state;
	for (int i = 0; i < 32; i++)
		secret[i] = (uint8_t)i;
	mask_init(&m, secret);
	mask_run_init(&run, &m, &(struct value){.kind = VALUE_INT, .i = 7});
	buf_init(&room, MASK_ROOM_MAX);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	mask_run_free(&run);
	buf_free(&room);
	return 0;
}

static struct value masked(enum mask_kind kind, struct value in)
{
	struct mask_spec spec = mask_spec_default(kind);
	struct value out;

	mask_value(&run, &spec, &in, &room, &out);
	return out;
}

/* A copy of the masked text, good for eight calls. */
static const char *text_of(struct value v)
{
	static char texts[8][512];
	static int at;
	char *text = texts[at++ % 8];

	if (v.kind == VALUE_NULL)
		return "NULL";
	assert_int_equal(v.kind, VALUE_TEXT);
	assert_true(v.len < 512);
	memcpy(text, v.p, v.len);
	text[v.len] = '\0';
	return text;
}

static const char *hash(struct value v)
{
	struct value out = masked(MASK_HASH, v);

	assert_int_equal(out.len, MASK_HASH_LEN);
	return text_of(out);
}

static struct value real(double r)
{
	return (struct value){.kind = VALUE_REAL, .r = r};
}

static struct value blob(const char *s, size_t len)
{
	return (struct value){.kind = VALUE_BLOB, .p = s, .len = len};
}

/* The construction as docs/masking.md gives it: a stored hash must never change its meaning by
 * accident. */
static void hash_is_as_documented(void **state)
{
	uint8_t secret[32], key[32], digest[32];
	char text[64] = "h_";

	(void)state;
	for (int i = 0; i < 32; i++)
		secret[i] = (uint8_t)i;
	crypto_blake2b(secret, 32, "airlock mask text", 17, key);
	crypto_blake2b(key, 32, "ada@example.com", 15, digest);
	text_b32(digest, 15, text + 2);
	assert_string_equal(hash(value_text("ada@example.com", 15)), text);
	assert_int_equal(strlen(text), 26);
}

static void hash_is_stable_and_separate(void **state)
{
	uint8_t other_secret[32] = {9};
	struct mask other;
	struct value v = value_text("42", 2);
	const char *text;

	(void)state;
	assert_string_equal(hash(value_text("x", 1)), hash(value_text("x", 1)));
	assert_string_not_equal(hash(value_text("x", 1)), hash(value_text("X", 1)));
	assert_string_not_equal(hash(value_text("", 0)), hash(value_text("\0", 1)));
	/* Equal in SQL is equal in hash; what is only alike is not. */
	assert_string_equal(hash(value_int(42)), hash(real(42.0)));
	assert_string_not_equal(hash(value_int(42)), hash(value_text("42", 2)));
	assert_string_not_equal(hash(value_int(42)), hash(real(42.5)));
	assert_string_not_equal(hash(value_text("ab", 2)), hash(blob("ab", 2)));
	assert_string_not_equal(hash(real(1e300)), hash(real(2e300)));
	assert_string_not_equal(hash(value_int(INT64_MIN)), hash(value_int(INT64_MAX)));
	text = hash(v);
	mask_init(&other, other_secret);
	run.m = &other;
	assert_string_not_equal(hash(v), text);
}

static void others(void **state)
{
	const struct value values[] = {
		value_int(7), real(0.5), value_text("secret", 6), blob("\1\2", 2)};
	struct value null = {.kind = VALUE_NULL}, out;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_string_equal(text_of(masked(MASK_REDACT, values[i])), "[redacted]");
		assert_int_equal(masked(MASK_NULL, values[i]).kind, VALUE_NULL);
		out = masked(MASK_KEEP, values[i]);
		assert_memory_equal(&out, &values[i], sizeof(out));
	}
	for (int k = 0; k < MASK_KINDS; k++)
		assert_int_equal(masked((enum mask_kind)k, null).kind, VALUE_NULL);
	assert_int_equal(mask_column_kind(MASK_HASH, COLUMN_INT), COLUMN_TEXT);
	assert_int_equal(mask_column_kind(MASK_REDACT, COLUMN_REAL), COLUMN_TEXT);
	assert_int_equal(mask_column_kind(MASK_NULL, COLUMN_REAL), COLUMN_REAL);
	assert_int_equal(mask_column_kind(MASK_KEEP, COLUMN_ANY), COLUMN_ANY);
}

static struct value str(const char *s)
{
	return value_text(s, strlen(s));
}

static struct value with(enum mask_kind kind, const char *key, const char *option, struct value in)
{
	struct mask_spec spec = mask_spec_default(kind);
	struct value out;
	char why[256];

	if (mask_spec_option(&spec, key, option, why, sizeof(why)) != RC_OK)
		fail_msg("%s", why);
	assert_int_equal(mask_spec_check(&spec, why, sizeof(why)), RC_OK);
	mask_value(&run, &spec, &in, &room, &out);
	return out;
}

static void partial(void **state)
{
	static const char *const cases[][3] = {
		{"4111111111111111", "4", "****1111"},
		{"12345678", "4", "****5678"},
		{"1234567", "4", "****"},
		{"abc", "1", "****c"},
		{"a", "1", "****"},
		{"", "4", "****"},
		{"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", "2", "****\xc3\xa9\xc3\xa9"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(
			text_of(with(MASK_PARTIAL, "last", cases[i][1], str(cases[i][0]))),
			cases[i][2]);
	assert_string_equal(text_of(masked(MASK_PARTIAL, value_int(123456789))), "****6789");
	assert_string_equal(text_of(masked(MASK_PARTIAL, blob("12345678", 8))), "[redacted]");
	/* Of another encoding: nobody knows where a character ends. */
	assert_string_equal(text_of(masked(MASK_PARTIAL, str("ABCDEFG\xa1\xa2\xa3\xa4\xa5\xa6H"))),
		"[redacted]");
}

static void email(void **state)
{
	const char *a = text_of(masked(MASK_EMAIL, str("Ada.Byron@Example.org")));

	(void)state;
	assert_memory_equal(a, "u_", 2);
	assert_string_equal(a + 26, "@example.org");
	assert_string_equal(a, text_of(masked(MASK_EMAIL, str("ada.byron@example.ORG"))));
	assert_string_not_equal(a, text_of(masked(MASK_EMAIL, str("ada.byron@example.com"))));
	assert_string_not_equal(a, text_of(masked(MASK_EMAIL, str("ada@example.org"))));
	/* What is no address keeps nothing. */
	assert_memory_equal(text_of(masked(MASK_EMAIL, str("Ada Byron"))), "h_", 2);
	assert_memory_equal(text_of(masked(MASK_EMAIL, str("@ada"))), "h_", 2);
	assert_memory_equal(text_of(masked(MASK_EMAIL, str("ada@"))), "h_", 2);
	assert_memory_equal(text_of(masked(MASK_EMAIL, str("a@b@c.org"))), "h_", 2);
	assert_memory_equal(text_of(masked(MASK_EMAIL, str("a@b.org Ada Byron"))), "h_", 2);
	assert_memory_equal(text_of(masked(MASK_EMAIL, str("a@b.org,Ada-Byron"))), "h_", 2);
	assert_memory_equal(text_of(masked(MASK_EMAIL, str("a@b.org\tAda"))), "h_", 2);
	assert_memory_equal(text_of(masked(MASK_EMAIL,
				    str("a@b.org\xc2\xa0"
					"Ada"))),
		"h_", 2);
	assert_memory_equal(text_of(masked(MASK_EMAIL,
				    str("a@b.org\xe2\x80\xaf"
					"Ada"))),
		"h_", 2);
	assert_memory_equal(text_of(masked(MASK_EMAIL, str("me@AdaByron"))), "h_", 2);
	assert_string_equal(
		text_of(masked(MASK_EMAIL, str("a@m\xc3\xbcller.de"))) + 26, "@m\xc3\xbcller.de");
}

static bool same_format(const char *a, const char *b)
{
	if (strlen(a) != strlen(b))
		return false;
	for (; *a; a++, b++) {
		if (isdigit((unsigned char)*a)               ? !isdigit((unsigned char)*b)
				: islower((unsigned char)*a) ? !islower((unsigned char)*b)
				: isupper((unsigned char)*a) ? !isupper((unsigned char)*b)
							     : (unsigned char)*a < 0x80 && *a != *b)
			return false;
	}
	return true;
}

static void tokens(void **state)
{
	static const char *const values[] = {"4111-1111-1111-1111", "+49 170 1234567",
		"GB82 WEST 1234 5698 7654 32", "MRN-100001", "Ann-Marie O'Neill",
		"J\xc3\xbcrgen \xc3\x96st", "\xe7\x8e\x8b\xe5\xb0\x8f\xe6\x98\x8e"};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		const char *t = text_of(masked(MASK_TOKEN, str(values[i])));

		if (!same_format(values[i], t))
			fail_msg("%s became %s", values[i], t);
		assert_string_not_equal(values[i], t);
		assert_string_equal(t, text_of(masked(MASK_TOKEN, str(values[i]))));
		assert_true(text_utf8_ok(t, strlen(t)));
	}
	/* A number and its text have one token, so that columns of both types can be joined. */
	assert_string_equal(text_of(masked(MASK_TOKEN, value_int(1234567))),
		text_of(masked(MASK_TOKEN, str("1234567"))));
	/* Too few possible values, letters unknown here, no text. */
	assert_memory_equal(text_of(masked(MASK_TOKEN, str("12345"))), "h_", 2);
	assert_memory_equal(text_of(masked(MASK_TOKEN, str(""))), "h_", 2);
	assert_memory_equal(text_of(masked(MASK_TOKEN,
				    str("\xe1\x82\xa0"
					"12345678"))),
		"h_", 2);
	assert_memory_equal(text_of(masked(MASK_TOKEN,
				    str("\xff"
					"12345678"))),
		"h_", 2);
	assert_memory_equal(text_of(masked(MASK_TOKEN, blob("12345678", 8))), "h_", 2);
}

/* Different values of a format have different tokens: it is a permutation. All of a small part of
 * the format are tried, and every digit takes every value. */
static void tokens_permute(void **state)
{
	static uint8_t seen[1000000 / 8 + 1];
	unsigned digits[6][10] = {{0}};

	(void)state;
	for (int i = 0; i < 20000; i++) {
		char text[16];
		const char *t;
		long n;

		snprintf(text, sizeof(text), "%06d", i);
		t = text_of(masked(MASK_TOKEN, str(text)));
		n = strtol(t, NULL, 10);
		assert_true(n >= 0 && n < 1000000);
		assert_false(seen[n / 8] & 1 << n % 8);
		seen[n / 8] = (uint8_t)(seen[n / 8] | 1 << n % 8);
		for (int k = 0; k < 6; k++)
			digits[k][t[k] - '0']++;
	}
	for (int k = 0; k < 6; k++)
		for (int d = 0; d < 10; d++)
			assert_in_range(digits[k][d], 1700, 2300);
}

static int64_t days_of(const char *text)
{
	struct civil c;

	assert_true(civil_parse(text, strlen(text), &c));
	return civil_days(c);
}

static void date_shift(void **state)
{
	static const char *const times[] = {"", " 04:30", "T04:30:59", " 04:30:59.123456",
		"T04:30:59Z", " 04:30:59+00", " 04:30:59.5-05:30", "T04:30Z"};
	static const char *const tails[] = {" Ada Byron", " 04:30 Ada", " BC", " 04:30:59+00 BC",
		" ", "T", " 04", " 04:3x", " 04:30:59Zulu", " 04:30+", " 04:30+0a"};
	char born[32], died[32];
	struct mask_run other;
	struct mask_spec spec = mask_spec_default(MASK_DATE_SHIFT);
	struct value in = str("1980-02-29"), out;
	int64_t by;

	(void)state;
	strcpy(born, text_of(masked(MASK_DATE_SHIFT, in)));
	strcpy(died, text_of(masked(MASK_DATE_SHIFT, str("2024-03-01T04:30:00.125Z"))));
	by = days_of(born) - days_of("1980-02-29");
	assert_true(by != 0 && by >= -180 && by <= 180);
	assert_true(days_of(died) - days_of("2024-03-01") == by);
	assert_string_equal(died + 10, "T04:30:00.125Z");
	/* Another subject's dates move by other days: of 40, at least 20 differ. */
	by = 0;
	for (int i = 0; i < 40; i++) {
		mask_run_init(&other, &m, &(struct value){.kind = VALUE_INT, .i = i + 100});
		mask_value(&other, &spec, &in, &room, &out);
		by += strcmp(text_of(out), born) != 0;
		assert_string_not_equal(text_of(out), "1980-02-29");
		mask_run_free(&other);
	}
	assert_true(by > 20);
	by = days_of(text_of(with(MASK_DATE_SHIFT, "days", "1", in))) - days_of("1980-02-29");
	assert_true(by == 1 || by == -1);
	assert_string_equal(text_of(masked(MASK_DATE_SHIFT, str("infinity"))), "NULL");
	assert_string_equal(text_of(masked(MASK_DATE_SHIFT, str("2024-02-30"))), "NULL");
	assert_string_equal(text_of(masked(MASK_DATE_SHIFT, str("2024-02-3012"))), "NULL");
	assert_string_equal(text_of(masked(MASK_DATE_SHIFT, value_int(20240301))), "NULL");
	/* Only a time of day may stand behind a date and stay. */
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		char text[64];

		snprintf(text, sizeof(text), "2024-03-01%s", times[i]);
		assert_string_equal(text_of(masked(MASK_DATE_SHIFT, str(text))) + 10, times[i]);
	}
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		char text[64];

		snprintf(text, sizeof(text), "2024-03-01%s", tails[i]);
		assert_string_equal(text_of(masked(MASK_DATE_SHIFT, str(text))), "NULL");
	}
}

static void noise(void **state)
{
	int changed = 0;

	(void)state;
	for (int64_t v = -500; v <= 500; v += 7) {
		struct value out = masked(MASK_NOISE, value_int(v)),
			     again = masked(MASK_NOISE, value_int(v));
		int64_t most = v / 10 < 0 ? -(v / 10) : v / 10;

		assert_int_equal(out.kind, VALUE_INT);
		assert_true(out.i != v && llabs(out.i - v) <= (most ? most : 1));
		assert_true(out.i == again.i);
		changed += out.i > v;
	}
	assert_in_range(changed, 30, 110); /* of 143, in both directions */
	assert_true(masked(MASK_NOISE, value_int(0)).i == 0);
	for (int i = 0; i < 30; i++) {
		double v = 0.5 * pow(1.7, i);
		struct value out = masked(MASK_NOISE, real(v));

		assert_int_equal(out.kind, VALUE_REAL);
		assert_true(out.r != v && out.r >= v * 0.89999 && out.r <= v * 1.10001);
	}
	/* As many decimals as the value. */
	assert_true(masked(MASK_NOISE, real(12.25)).r * 100 ==
		floor(masked(MASK_NOISE, real(12.25)).r * 100));
	assert_true(llabs(with(MASK_NOISE, "amount", "5", value_int(1000)).i - 1000) <= 5);
	assert_int_equal(masked(MASK_NOISE, str("123456789012345678.5")).kind, VALUE_REAL);
	assert_int_equal(masked(MASK_NOISE, str("NaN")).kind, VALUE_NULL);
	assert_int_equal(masked(MASK_NOISE, str("12 apples")).kind, VALUE_NULL);
	/* Not past the end of integers. */
	assert_true(masked(MASK_NOISE, value_int(INT64_MAX)).kind <= VALUE_INT);
}

static void buckets(void **state)
{
	static const struct {
		const char *key, *option;
		struct value in;
		const char *out;
	} cases[] = {
		{"size", "10", {.kind = VALUE_INT, .i = 34}, "[30,40)"},
		{"size", "10", {.kind = VALUE_INT, .i = -1}, "[-10,0)"},
		{"size", "10", {.kind = VALUE_INT, .i = 40}, "[40,50)"},
		{"size", "10", {.kind = VALUE_INT, .i = INT64_MAX}, "NULL"},
		{"size", "2.5", {.kind = VALUE_INT, .i = 6}, "[5,7.5)"},
		{"size", "1000", {.kind = VALUE_REAL, .r = 12345.67}, "[12000,13000)"},
		{"to", "year", {.kind = VALUE_TEXT, .p = "1980-05-17", .len = 10}, "1980-01-01"},
		{"to", "quarter", {.kind = VALUE_TEXT, .p = "1980-05-17", .len = 10}, "1980-04-01"},
		{"to", "month", {.kind = VALUE_TEXT, .p = "1980-05-17 12:00", .len = 16},
			"1980-05-01"},
		{"to", "week", {.kind = VALUE_TEXT, .p = "2024-03-03", .len = 10}, "2024-02-26"},
		{"to", "week", {.kind = VALUE_TEXT, .p = "1969-12-29", .len = 10}, "1969-12-29"},
		{"to", "day", {.kind = VALUE_TEXT, .p = "2024-03-03T01:02:03Z", .len = 20},
			"2024-03-03"},
		{"to", "year", {.kind = VALUE_TEXT, .p = "soon", .len = 4}, "NULL"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(
			text_of(with(MASK_BUCKET, cases[i].key, cases[i].option, cases[i].in)),
			cases[i].out);
}

/* Days and dates are each other's inverse over all years there are. */
static void calendar(void **state)
{
	struct civil c, again;
	char text[CIVIL_LEN + 1];
	int64_t day = -719162;

	(void)state;
	assert_true(civil_from_days(0, &c));
	civil_text(c, text);
	assert_string_equal(text, "1970-01-01");
	assert_true(civil_from_days(day, &c));
	civil_text(c, text);
	assert_string_equal(text, "0001-01-01");
	for (; civil_from_days(day, &c); day += 13) {
		civil_text(c, text);
		assert_true(civil_parse(text, CIVIL_LEN, &again));
		assert_true(civil_days(again) == day);
	}
	assert_true(day > 2932896 && day <= 2932896 + 13);
	assert_false(civil_from_days(-719163, &c));
}

/* A subject's digest, which leaves the network, can't be matched with a hash of the same value in a
 * snapshot. */
static void digest_is_another_thing(void **state)
{
	char digest[65];
	uint8_t bytes[32];
	char b32[64];

	(void)state;
	mask_subject_digest(&m, "x", 1, digest);
	assert_int_equal(strlen(digest), 64);
	assert_int_equal(text_unhex(digest, bytes, 32), RC_OK);
	text_b32(bytes, 15, b32);
	assert_string_not_equal(hash(value_text("x", 1)) + 2, b32);
}

static void integers(void **state)
{
	static const char *const bad[] = {"", "-", "+1", "01", "-0", " 1", "1 ", "1.0", "1e3",
		"9223372036854775808", "0x10", "99999999999999999999999"};
	int64_t n;

	(void)state;
	assert_int_equal(value_parse_int("-9223372036854775808", 20, &n), RC_OK);
	assert_true(n == INT64_MIN);
	assert_int_equal(value_parse_int("0", 1, &n), RC_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(value_parse_int(bad[i], strlen(bad[i]), &n), RC_INVALID);
	assert_int_equal(value_parse_int("1\0", 2, &n), RC_INVALID);
}

static void lists(void **state)
{
	struct value_list l;
	struct value v, null = {.kind = VALUE_NULL};

	(void)state;
	value_list_init(&l, 1000, 8000);
	for (int i = 0; i < 500; i++) {
		char text[16] = "";

		memset(text, 'a' + i % 26, 10);
		v = value_text(text, 10);
		assert_int_equal(value_list_add(&l, &v), RC_OK);
		assert_int_equal(value_list_add(&l, &v), RC_OK); /* the same again */
		assert_int_equal(value_list_add(&l, &null), RC_OK);
	}
	assert_int_equal(l.count, 500);
	v = value_list_get(&l, 27);
	assert_memory_equal(v.p, "bbbbbbbbbb", 10);
	for (int i = 0; i < 500; i++) {
		v = value_int(i);
		assert_int_equal(value_list_add(&l, &v), RC_OK);
	}
	v = value_int(-1);
	assert_int_equal(value_list_add(&l, &v), RC_LIMIT);
	value_list_free(&l);
	value_list_init(&l, 10, 16);
	v = value_text("0123456789abcdefg", 17);
	assert_int_equal(value_list_add(&l, &v), RC_LIMIT);
	value_list_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(hash_is_as_documented, setup, teardown),
		cmocka_unit_test_setup_teardown(hash_is_stable_and_separate, setup, teardown),
		cmocka_unit_test_setup_teardown(others, setup, teardown),
		cmocka_unit_test_setup_teardown(digest_is_another_thing, setup, teardown),
		cmocka_unit_test_setup_teardown(partial, setup, teardown),
		cmocka_unit_test_setup_teardown(email, setup, teardown),
		cmocka_unit_test_setup_teardown(tokens, setup, teardown),
		cmocka_unit_test_setup_teardown(tokens_permute, setup, teardown),
		cmocka_unit_test_setup_teardown(date_shift, setup, teardown),
		cmocka_unit_test_setup_teardown(noise, setup, teardown),
		cmocka_unit_test_setup_teardown(buckets, setup, teardown),
		cmocka_unit_test(calendar),
		cmocka_unit_test(integers),
		cmocka_unit_test(lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
