/* Free text: what is found in it and what is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "worker/known.h"
#include "worker/scrub.h"

static struct known *known;
static struct words room;

static void expect(const char *in, const char *out)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	(void)scrub(in, strlen(in), known ? known_needles(known) : NULL,
		known ? known_key(known) : NULL, &room, &b);
	buf_char(&b, '\0');
	if (strcmp((const char *)b.data, out) != 0)
		fail_msg("'%s' became '%s', not '%s'", in, (const char *)b.data, out);
	buf_free(&b);
}

static void shapes(void **state)
{
	static const char *const cases[][2] = {
		{"", ""},
		{"Nothing here.", "Nothing here."},
		{"Write to ann.smith+x@mail.example.org.", "Write to [email]."},
		{"<ann@example.org>, b@c.de;d@e.fr", "<[email]>, [email];[email]"},
		{"j\xc3\xbcrgen@m\xc3\xbcller.de", "[email]"},
		{"@home and a@b are none", "@home and a@b are none"},
		{"card 4111 1111 1111 1111 ok", "card [card] ok"},
		{"4111-1111-1111-1111", "[card]"},
		{"x4111111111111111.", "x[card]."},
		{"378282246310005, 6011000990139424", "[card], [card]"},
		{"4111111111111112 is none", "4111111111111112 is none"},
		{"IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [iban] please"},
		{"gb82west12345698765432", "[iban]"},
		{"GB82WEST12345698765433 is none", "GB82WEST12345698765433 is none"},
		{"SSN 123-45-6789.", "SSN [ssn]."},
		{"123 45 6789", "[ssn]"},
		{"000-12-3456 and 666-12-3456", "[phone] and [phone]"},
		{"call +49 (0)170 123 45 67 now", "call [phone] now"},
		{"(555) 010-9999", "[phone]"},
		{"555-0123 or 030/12345678", "[phone] or [phone]"},
		{"01701234567", "[phone]"},
		{"0170-1234567", "[phone]"},
		{"555.010.9999", "[phone]"},
		{"on 2024-03-01 at 04:30", "on 2024-03-01 at 04:30"},
		{"01.03.2024 and 3/1/2024", "01.03.2024 and 3/1/2024"},
		{"host 192.168.100.200", "host 192.168.100.200"},
		{"1.234.567 EUR, 1 000 000 units", "1.234.567 EUR, 1 000 000 units"},
		{"order 20240301, ticket 1234567", "order 20240301, ticket 1234567"},
		{"pi is 3.14159265358979", "pi is 3.14159265358979"},
		{"(see note) +1 again (2)", "(see note) +1 again (2)"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect(cases[i][0], cases[i][1]);
}

static void learn(const char *s)
{
	struct value v = value_text(s, strlen(s));

	known_add(known, &v);
}

static void phrases(void **state)
{
	struct value number = value_int(987654), small = value_int(12);

	(void)state;
	known = known_new(10000);
	learn("Ann-Marie O'Neill");
	learn("JOS\xc3\x89 Garc\xc3\xad"
	      "a");
	learn("12 High Street");
	learn("\xe7\x8e\x8b\xe5\xb0\x8f\xe6\x98\x8e"); /* Wang Xiaoming */
	learn("ann.marie@example.org");
	learn("Al");
	learn("von Berg");
	known_add(known, &number);
	known_add(known, &small);
	expect("Spoke with Ann Marie O'Neill today", "Spoke with [redacted] today");
	expect("ANN-MARIE  o'neill", "[redacted]");
	expect("Neill called; Ann was out. Marie too.",
		"[redacted] called; [redacted] was out. [redacted] too.");
	expect("Joanne and Annual are other words", "Joanne and Annual are other words");
	expect("jose garcia", "[redacted]");
	expect("Jose\xcc\x81 GARCI\xcc\x81"
	       "A",
		"[redacted]");
	expect("lives at 12, high street; High priority", "lives at [redacted]; High priority");
	expect("\xe6\x88\x91\xe6\x98\xaf\xe7\x8e\x8b\xe5\xb0\x8f\xe6\x98\x8e\xe3\x80\x82",
		"\xe6\x88\x91\xe6\x98\xaf[redacted]\xe3\x80\x82");
	expect("mail ann.marie@example.org", "mail [email]");
	expect("ann.marie@other.example", "[email]");
	expect("Al paid 12 of 987654", "Al paid 12 of [redacted]");
	expect("A\xe2\x80\x8bnn", "[redacted]"); /* an invisible character inside */
	expect("von hier, Berg", "von hier, [redacted]");
	assert_false(known_full(known));
	known_free(known);
	known = known_new(3);
	learn("one two three four");
	assert_true(known_full(known));
	known_free(known);
	known = NULL;
	words_free(&room);
}

/* In JSON an escape is a character: it neither hides what it belongs to nor sticks to what is
 * behind it, and what is left is JSON still. */
static void json(void **state)
{
	static const char *const cases[][2] = {
		{"{\"a\":\"Dear\\nAnnabel Vandervelde,\\tbye\"}",
			"{\"a\":\"Dear\\n[redacted],\\tbye\"}"},
		{"[\"x\\tAnnabel\",\"y\\rVandervelde\"]",
			"[\"x\\t[redacted]\",\"y\\r[redacted]\"]"},
		{" {\"a\":\"J\\u00f6rg M\\u00FCllermann\"}", " {\"a\":\"[redacted]\"}"},
		{"\"\\u0041nnabel\"", "\"[redacted]\""},
		{"[\"\\nann@example.org\\n\"]", "[\"\\n[email]\\n\"]"},
		{"[\"j\\u00f6rg@m\\u00fcller.de\"]", "[\"[email]\"]"},
		{"[\"http:\\/\\/ann@example.org\\/\"]", "[\"http:\\/\\/[email]\\/\"]"},
		{"[\"\\n01701234567\"]", "[\"\\n[phone]\"]"},
		{"[\"\\u000101701234567\"]", "[\"\\u0001[phone]\"]"},
		{"[\"\\u0030170\\u00201234567\"]", "[\"[phone]\"]"},
		{"[\"\\nGB82WEST12345698765432\"]", "[\"\\n[iban]\"]"},
		{"[\"\\n4111111111111111\"]", "[\"\\n[card]\"]"},
		{"[\"\\n123-45-6789\"]", "[\"\\n[ssn]\"]"},
		/* A backslash that is escaped itself begins no escape. */
		{"[\"c:\\\\nann@example.org\"]", "[\"c:\\\\[email]\"]"},
		{"[\"a\\\\u00f6\"]", "[\"a\\\\u00f6\"]"},
		/* What needs its escape keeps it. */
		{"[\"\\u0022\\u005c\\u0000\\ud83d ann@example.org\"]",
			"[\"\\u0022\\u005c\\u0000\\ud83d [email]\"]"},
		{"[\"\\ud83d\\ude00\"]", "[\"\xf0\x9f\x98\x80\"]"},
		{"[\"\\u12", "[\"\\u12"},
		{"[\"\\", "[\"\\"},
		/* Other texts have no escapes. */
		{"c:\\new and \\u0041nnabel", "c:\\new and \\u0041nnabel"},
	};

	(void)state;
	known = known_new(1000);
	learn("Annabel Vandervelde");
	learn("J\xc3\xb6rg M\xc3\xbcllermann");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect(cases[i][0], cases[i][1]);
	known_free(known);
	known = NULL;
	words_free(&room);
}

/* Whatever the bytes, it ends, and what is not found comes out as it was. */
static void any_bytes(void **state)
{
	uint64_t seed = 42;

	(void)state;
	known = known_new(1000);
	learn("some name");
	for (int i = 0; i < 3000; i++) {
		static const char alphabet[] =
			"0123456789 -.@+()/aZ\\n[\"\xc3\xa9\xe7\xff some name";
		char text[64];
		struct buf b;
		size_t len;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		len = (size_t)(seed >> 58);
		for (size_t k = 0; k < len; k++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			text[k] = alphabet[(seed >> 33) % (sizeof(alphabet) - 1)];
		}
		buf_init(&b, 1 << 16);
		if (!scrub(text, len, known_needles(known), known_key(known), &room, &b)) {
			assert_int_equal(b.len, len);
			assert_true(len == 0 || memcmp(b.data, text, len) == 0);
		}
		assert_false(b.failed);
		buf_free(&b);
	}
	known_free(known);
	known = NULL;
	words_free(&room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shapes),
		cmocka_unit_test(phrases),
		cmocka_unit_test(json),
		cmocka_unit_test(any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
