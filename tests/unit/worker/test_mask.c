/* Masks: what each does to each kind of value, fixed by known answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "shared/crypto.h"
#include "shared/text.h"
#include "worker/mask.h"

static struct mask m;

static int setup(void **state)
{
	uint8_t secret[32];

	(void)state;
	for (int i = 0; i < 32; i++)
		secret[i] = (uint8_t)i;
	mask_init(&m, secret);
	return 0;
}

static const char *hash(struct value v)
{
	static char texts[8][MASK_TEXT_MAX + 1];
	static int at;
	char *text = texts[at++ % 8];
	struct value out;

	mask_value(&m, MASK_HASH, &v, text, &out);
	assert_int_equal(out.kind, VALUE_TEXT);
	assert_int_equal(out.len, MASK_TEXT_MAX);
	assert_ptr_equal(out.p, text);
	return text;
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
	struct value v = value_text("42", 2), out;
	char text[MASK_TEXT_MAX + 1];

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
	mask_init(&other, other_secret);
	mask_value(&other, MASK_HASH, &v, text, &out);
	assert_string_not_equal(hash(v), text);
}

static void others(void **state)
{
	const struct value values[] = {
		value_int(7), real(0.5), value_text("secret", 6), blob("\1\2", 2)};
	struct value null = {.kind = VALUE_NULL}, out;
	char text[MASK_TEXT_MAX + 1];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		mask_value(&m, MASK_REDACT, &values[i], text, &out);
		assert_int_equal(out.kind, VALUE_TEXT);
		assert_int_equal(out.len, 10);
		assert_memory_equal(out.p, "[redacted]", 10);
		mask_value(&m, MASK_NULL, &values[i], text, &out);
		assert_int_equal(out.kind, VALUE_NULL);
		mask_value(&m, MASK_KEEP, &values[i], text, &out);
		assert_memory_equal(&out, &values[i], sizeof(out));
	}
	for (enum mask_kind k = MASK_KEEP; k <= MASK_NULL; k++) {
		mask_value(&m, k, &null, text, &out);
		assert_int_equal(out.kind, VALUE_NULL);
	}
	assert_int_equal(mask_column_kind(MASK_HASH, COLUMN_INT), COLUMN_TEXT);
	assert_int_equal(mask_column_kind(MASK_REDACT, COLUMN_REAL), COLUMN_TEXT);
	assert_int_equal(mask_column_kind(MASK_NULL, COLUMN_REAL), COLUMN_REAL);
	assert_int_equal(mask_column_kind(MASK_KEEP, COLUMN_ANY), COLUMN_ANY);
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
		cmocka_unit_test_setup(hash_is_as_documented, setup),
		cmocka_unit_test_setup(hash_is_stable_and_separate, setup),
		cmocka_unit_test_setup(others, setup),
		cmocka_unit_test_setup(digest_is_another_thing, setup),
		cmocka_unit_test(integers),
		cmocka_unit_test(lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
