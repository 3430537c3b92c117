/* Which names and values look personal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "worker/pii.h"

static struct pii by_name(const char *name, enum column_kind kind)
{
	static const struct pii_shapes none;

	return pii_judge(name, kind, &none);
}

static void names(void **state)
{
	static const struct {
		const char *name;
		enum mask_kind mask;
		bool exclude;
	} cases[] = {
		{"email", MASK_EMAIL, false},
		{"work_email", MASK_EMAIL, false},
		{"WorkEmail", MASK_EMAIL, false},
		{"e_mail_address", MASK_EMAIL, false},
		{"mobile_phone", MASK_PARTIAL, false},
		{"firstName", MASK_REDACT, false},
		{"last_name", MASK_REDACT, false},
		{"password_hash", MASK_REDACT, true},
		{"api_key", MASK_REDACT, true},
		{"cvv", MASK_REDACT, true},
		{"date_of_birth", MASK_DATE_SHIFT, false},
		{"ip_address", MASK_HASH, false},
		{"card_number", MASK_PARTIAL, false},
		{"iban", MASK_TOKEN, false},
		{"tax_id", MASK_TOKEN, false},
		{"delivery_notes", MASK_TEXT, false},
		{"POSTCODE", MASK_REDACT, false},
		{"religion", MASK_REDACT, false},
		/* Parts of other words are not words. */
		{"shipped", MASK_KEEP, false},
		{"description_id", MASK_TEXT, false},
		{"panel", MASK_KEEP, false},
		{"page", MASK_KEEP, false},
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
		struct pii p = by_name(cases[i].name, COLUMN_TEXT);

		if (p.mask.kind != cases[i].mask || p.exclude != cases[i].exclude)
			fail_msg("%s: %s", cases[i].name, mask_name(p.mask.kind));
		assert_true((p.reason != NULL) == (p.mask.kind != MASK_KEEP));
	}
	for (size_t i = 0; i < sizeof(longest) - 1; i++)
		longest[i] = i % 2 ? 'A' : 'b';
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(by_name(longest, COLUMN_TEXT).mask.kind, MASK_KEEP);
}

/* What the column holds decides whether it can be blurred or must be hidden. */
static void kinds(void **state)
{
	static const struct {
		const char *name;
		enum column_kind kind;
		const char *value; /* NULL: none */
		int64_t number;
		enum mask_kind mask;
	} cases[] = {
		{"birth_date", COLUMN_TEXT, "1980-02-29", 0, MASK_DATE_SHIFT},
		{"birth_date", COLUMN_NUMERIC, "1980-02-29 10:00:00", 0, MASK_DATE_SHIFT},
		{"birth_date", COLUMN_TEXT, "29.2.1980", 0, MASK_NULL},
		{"birth_year", COLUMN_INT, NULL, 1980, MASK_BUCKET},
		{"born", COLUMN_ANY, NULL, 1980, MASK_BUCKET},
		{"born", COLUMN_INT, NULL, 319939200, MASK_NULL},
		{"age", COLUMN_INT, NULL, 44, MASK_BUCKET},
		{"age", COLUMN_TEXT, "44", 0, MASK_REDACT},
		{"salary", COLUMN_REAL, NULL, 52000, MASK_NOISE},
		{"salary", COLUMN_ANY, NULL, 52000, MASK_NOISE},
		{"salary", COLUMN_TEXT, "52k", 0, MASK_REDACT},
		{"phone", COLUMN_INT, NULL, 442079460958, MASK_PARTIAL},
		{"phone", COLUMN_BLOB, NULL, 0, MASK_REDACT},
		{"email", COLUMN_BLOB, NULL, 0, MASK_HASH},
		{"reason", COLUMN_INT, NULL, 3, MASK_REDACT},
		{"reason", COLUMN_TEXT, "late", 0, MASK_TEXT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pii_shapes s = {.values = 0};
		struct value v = value_int(cases[i].number);
		char why[256];
		struct pii p;

		if (cases[i].value)
			v = value_text(cases[i].value, strlen(cases[i].value));
		if (cases[i].value || cases[i].number)
			pii_sample(&s, &v);
		p = pii_judge(cases[i].name, cases[i].kind, &s);
		if (p.mask.kind != cases[i].mask)
			fail_msg("%s, case %zu: %s", cases[i].name, i, mask_name(p.mask.kind));
		/* What is proposed is also accepted. */
		assert_int_equal(mask_spec_check(&p.mask, why, sizeof(why)), RC_OK);
		assert_int_equal(mask_spec_fits(&p.mask, cases[i].kind, why, sizeof(why)), RC_OK);
	}
}

static void values(void **state)
{
	static const struct {
		const char *value, *reason; /* a part of it; NULL: nothing found */
	} cases[] = {
		{"a.b@example.org", "mail"},
		{"@example.org", NULL},
		{"write to a@b.c please", NULL},
		{"Rang twice about the order of last week", "free text"},
		{"one two three four five", NULL},
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
		p = pii_judge("x", COLUMN_TEXT, &s);
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
	assert_int_equal(pii_judge("x", COLUMN_TEXT, &s).mask.kind, MASK_KEEP);
	pii_sample(&s, &mail);
	for (int i = 0; i < 10; i++)
		pii_sample(&s, &null);
	assert_int_equal(pii_judge("x", COLUMN_TEXT, &s).mask.kind, MASK_EMAIL);
	for (int i = 0; i < 3; i++)
		pii_sample(&s, i ? &other : &number);
	assert_int_equal(pii_judge("x", COLUMN_TEXT, &s).mask.kind, MASK_KEEP);
}

static void tables_of_people(void **state)
{
	static const char *const yes[] = {
		"people", "Customers", "crm.client", "salesContacts", "app_user"};
	static const char *const no[] = {
		"customer_groups", "products", "userland", "", ".", "____"};

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(pii_table_of_people(yes[i]));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(pii_table_of_people(no[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(names),
		cmocka_unit_test(tables_of_people), cmocka_unit_test(kinds),
		cmocka_unit_test(values), cmocka_unit_test(shares)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
