/* Which names and values look personal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "worker/pii.h"

static void names(void **state)
{
	static const struct {
		const char *name;
		enum mask_kind mask;
		bool exclude;
	} cases[] = {
		{"email", MASK_HASH, false},
		{"work_email", MASK_HASH, false},
		{"WorkEmail", MASK_HASH, false},
		{"e_mail_address", MASK_HASH, false},
		{"firstName", MASK_REDACT, false},
		{"last_name", MASK_REDACT, false},
		{"password_hash", MASK_REDACT, true},
		{"api_key", MASK_REDACT, true},
		{"date_of_birth", MASK_NULL, false},
		{"ip_address", MASK_HASH, false},
		{"card_number", MASK_HASH, false},
		{"delivery_notes", MASK_REDACT, false},
		{"POSTCODE", MASK_REDACT, false},
		/* Parts of other words are not words. */
		{"shipped", MASK_KEEP, false},
		{"description_id", MASK_REDACT, false},
		{"panel", MASK_KEEP, false},
		{"cancelled", MASK_KEEP, false},
		{"latest", MASK_KEEP, false},
		{"product_name", MASK_KEEP, false},
		{"status", MASK_KEEP, false},
		{"", MASK_KEEP, false},
		{"____", MASK_KEEP, false},
	};
	char longest[2000];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pii p = pii_by_name(cases[i].name);

		if (p.mask != cases[i].mask || p.exclude != cases[i].exclude)
			fail_msg("%s: %d", cases[i].name, (int)p.mask);
		assert_true((p.reason != NULL) == (p.mask != MASK_KEEP));
	}
	for (size_t i = 0; i < sizeof(longest) - 1; i++)
		longest[i] = i % 2 ? 'A' : 'b';
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(pii_by_name(longest).mask, MASK_KEEP);
}

static void values(void **state)
{
	static const struct {
		const char *value, *reason; /* a part of it; NULL: nothing found */
	} cases[] = {
		{"a.b@example.org", "mail"},
		{"@example.org", NULL},
		{"write to a@b.c please", NULL},
		{"4111 1111 1111 1111", "card"},
		{"4111 1111 1111 1112", NULL},
		{"DE89 3704 0044 0532 0130 00", "IBAN"},
		{"DE89370400440532013001", NULL},
		{"123-45-6789", "social security"},
		{"+49 30 1234567", "phone"},
		{"(555) 010-9999", "phone"},
		{"2024-02-29", NULL},
		{"12345678", NULL},
		{"192.168.0.1", "IP"},
		{"1.2.3", NULL},
		{"", NULL},
		{"open", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct value v = value_text(cases[i].value, strlen(cases[i].value));
		struct pii_shapes s = {.values = 0};
		struct pii p;

		pii_sample(&s, &v);
		p = pii_by_shape(&s);
		if ((p.reason == NULL) != (cases[i].reason == NULL) ||
			(p.reason && !strstr(p.reason, cases[i].reason)))
			fail_msg("%s: %s", cases[i].value, p.reason ? p.reason : "nothing");
	}
}

/* One odd value among many says nothing about a column, and NULLs say nothing at all. */
static void shares(void **state)
{
	struct value mail = value_text("a@b.cd", 6), other = value_text("open", 4);
	struct value null = {.kind = VALUE_NULL}, number = value_int(4111111111111111);
	struct pii_shapes s = {.values = 0};

	(void)state;
	assert_int_equal(pii_by_shape(&s).mask, MASK_KEEP);
	pii_sample(&s, &mail);
	for (int i = 0; i < 10; i++)
		pii_sample(&s, &null);
	assert_int_equal(pii_by_shape(&s).mask, MASK_HASH);
	for (int i = 0; i < 3; i++)
		pii_sample(&s, i ? &other : &number);
	assert_int_equal(pii_by_shape(&s).mask, MASK_KEEP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names), cmocka_unit_test(values), cmocka_unit_test(shares)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
