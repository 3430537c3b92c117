/* Canaries: raw values that reach a snapshot are found, whatever stands around them; what is shown
 * on purpose, or too short to tell, raises no alarm. */
#include "tests/unit/worker/snapfix.h"

#include "worker/canary.h"

static struct words room;
static int pairs;
static uint32_t pair_raw, pair_stored;

static void found(void *ctx, uint32_t raw, uint32_t stored)
{
	(void)ctx;
	pairs++;
	pair_raw = raw;
	pair_stored = stored;
}

static struct value str(const char *s)
{
	return value_text(s, strlen(s));
}

/* What one raw value and one stored one come to. */
static struct canaries *of(const char *raw, const char *stored, bool kept)
{
	struct canary_watch *w = canary_watch_new();
	struct value r = str(raw), s = str(stored);
	struct canaries *c;

	pairs = 0;
	canary_raw(w, 3, &r);
	canary_stored(w, 4, kept, &s);
	c = canary_result(w, found, NULL);
	canary_watch_free(w);
	return c;
}

static void found_in_longer_text(void **state)
{
	static const char *const cases[][2] = {
		{"Ann Smith", "Spoke with ann  SMITH, twice"},
		{"ann.smith@example.org", "mailto:Ann.Smith@Example.org?x"},
		{"Jos\xc3\xa9 Garc\xc3\xad"
		 "a",
			"JOSE GARCIA called"},
		{"DE89370400440532013000", "at de89370400440532013000"},
		{"123456789", "ssn 123456789."},
		/* The escapes of JSON are the characters they stand for. */
		{"Annabel Vandervelde", "{\"m\": \"Hi\\nAnnabel Vandervelde\"}"},
		{"Annabel Vandervelde", "[\"Hi\\tAnnabel\\u0020Vandervelde\"]"},
		{"J\xc3\xb6rg M\xc3\xbcllermann", "{\"n\":\"J\\u00f6rg M\\u00fcllermann\"}"},
		{"one two three four five six seven eight nine ten eleven twelve thirteen",
			"x one two three four five six seven eight nine ten eleven twelve"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct canaries *c = of(cases[i][0], cases[i][1], true);
		struct value v = str(cases[i][1]), other = str("nothing of it, 12345");

		if (!c)
			fail_msg("%s is not found in %s", cases[i][0], cases[i][1]);
		assert_int_equal(pairs, 1);
		assert_int_equal(pair_raw, 3);
		assert_int_equal(pair_stored, 4);
		assert_true(canary_hit(c, &room, &v));
		assert_false(canary_hit(c, &room, &other));
		canary_free(c);
	}
	words_free(&room);
}

static void no_false_alarm(void **state)
{
	static const char *const cases[][2] = {
		{"NY", "NY is a state"},
		{"1", "1"},
		{"12345678", "12345678 is no secret"}, /* also any date */
		{"1980-05-17", "1980-05-17 and more"},
		{"Ann Smith", "Anne Smithson"},
		{"Smith", "Smith & Sons"},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (of(cases[i][0], cases[i][1], true))
			fail_msg("alarm: %s", cases[i][0]);
	/* A kept column shows the whole value: that was decided. In a masked one it is a failure.
	 */
	assert_null(of("ann.smith@example.org", "ann.smith@example.org", true));
	{
		struct canaries *c = of("ann.smith@example.org", "ann.smith@example.org", false);

		assert_non_null(c);
		canary_free(c);
	}
}

#define SQL                                                                                     \
	"CREATE TABLE people(id INTEGER PRIMARY KEY, full_name TEXT, mail TEXT, note TEXT);"    \
	"CREATE TABLE visits(id INTEGER PRIMARY KEY, person_id INTEGER, host TEXT, room TEXT);" \
	"INSERT INTO people VALUES (1, 'Canary Longname', 'canary@example.org', 'fine'),"       \
	"(2, 'Second Person', 'second@example.org', 'Ask SECOND  person about it'),"            \
	"(3, 'Third Person', 'third@example.org', 'x');"                                        \
	"INSERT INTO visits VALUES (1, 1, 'x', 'blue'), (2, 2, 'second@example.org', 'red'),"   \
	"(3, 3, 'Third Person', 'green');"
#define YAML                                                                            \
	"root_table: people\ntables:\n  - name: people\n    mask: {full_name: redact, " \
	"mail: hash}\n  - {name: visits, parent: people, fk: person_id}\n"

static void answers_are_stopped(void **state)
{
	struct fix f;

	(void)state;
	fix_open(&f, SQL, YAML);
	/* Nothing leaked: also a guess in the statement is answered as any other, since an error
	 * would confirm it. */
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":1,\"sql\":\"SELECT *, 'Canary Longname' FROM people\"}", TOOL_OK,
		"[redacted]");
	fix_expect(&f, "execute_sql", "{\"subject_id\":2,\"sql\":\"SELECT note FROM people\"}",
		TOOL_ERROR, "this answer was stopped");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":2,\"sql\":\"SELECT 'so: ' || lower(note) FROM people\"}",
		TOOL_ERROR, "masking should have hidden");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":2,\"sql\":\"SELECT id, full_name FROM people\"}", TOOL_OK,
		"[redacted]");
	/* The same value in a kept column, whole, is shown on purpose. */
	fix_expect(&f, "execute_sql", "{\"subject_id\":2,\"sql\":\"SELECT host FROM visits\"}",
		TOOL_OK, "second@example.org");
	fix_expect(&f, "execute_sql", "{\"subject_id\":3,\"sql\":\"SELECT host FROM visits\"}",
		TOOL_OK, "Third Person");
	fix_close(&f);
	/* Nor does it leave when a statement reads it out of JSON, where it was escaped. */
	fix_open(&f,
		SQL "UPDATE people SET full_name = 'J\xc3\xb6rg M\xc3\xbcllermann', note = "
		    "'{\"n\":\"Hi\\nJ\\u00f6rg M\\u00fcllermann\"}' WHERE id = 1",
		YAML);
	fix_expect(&f, "execute_sql", "{\"subject_id\":1,\"sql\":\"SELECT note FROM people\"}",
		TOOL_ERROR, "this answer was stopped");
	fix_expect(&f, "execute_sql",
		"{\"subject_id\":1,\"sql\":\"SELECT json_extract(note, '$.n') FROM people\"}",
		TOOL_ERROR, "this answer was stopped");
	fix_close(&f);
}

static void text_mask_heals(void **state)
{
	struct fix f;

	(void)state;
	fix_open(&f, SQL,
		"root_table: people\ntables:\n  - name: people\n    mask: {full_name: redact, "
		"mail: hash, note: text}\n  - {name: visits, parent: people, fk: person_id}\n");
	fix_expect(&f, "execute_sql", "{\"subject_id\":2,\"sql\":\"SELECT note FROM people\"}",
		TOOL_OK, "Ask [redacted] about it");
	fix_close(&f);
	/* A column of ordinary words can be taken out. */
	fix_open(&f, SQL,
		"root_table: people\ntables:\n  - name: people\n    mask: {full_name: {kind: "
		"redact, canary: false}, mail: hash}\n");
	fix_expect(&f, "execute_sql", "{\"subject_id\":2,\"sql\":\"SELECT note FROM people\"}",
		TOOL_OK, "Ask SECOND");
	fix_close(&f);
}

/* --- tenants ---------------------------------------------------------------------------- */

#define TENANTS                                                                                  \
	"CREATE TABLE users(id INTEGER PRIMARY KEY, org INTEGER);"                               \
	"CREATE TABLE orders(id INTEGER PRIMARY KEY, user_id INTEGER, owner TEXT, product "      \
	"INTEGER);"                                                                              \
	"CREATE TABLE products(id INTEGER PRIMARY KEY, title TEXT);"                             \
	"INSERT INTO users VALUES (1, 7), (2, 7), (3, 8), (4, NULL), (5, 7);"                    \
	"INSERT INTO products VALUES (1, 'a');"                                                  \
	"INSERT INTO orders VALUES (1, 1, '7', 1), (2, 2, '7', 1), (3, 2, '8', 1), (4, 3, '8', " \
	"1), (5, 5, NULL, 1);"
#define TENANTS_YAML                                                                          \
	"root_table: users\ntables:\n  - name: users\n  - {name: orders, parent: users, fk: " \
	"user_id}\n"                                                                          \
	"  - {name: products, via: orders, via_fk: product}\n"

static void tenants(void **state)
{
	struct fix f;

	(void)state;
	fix_open(&f, TENANTS,
		TENANTS_YAML "tenant_isolation:\n  column: org\n  columns: {orders: owner}\n  "
			     "shared: [products]\n");
	fix_expect(&f, "execute_sql", "{\"subject_id\":1,\"sql\":\"SELECT count(*) FROM orders\"}",
		TOOL_OK, "[[1]]");
	fix_expect(&f, "execute_sql", "{\"subject_id\":3,\"sql\":\"SELECT count(*) FROM orders\"}",
		TOOL_OK, "[[1]]");
	for (int id = 2; id <= 5; id += id == 2 ? 2 : 1) { /* another's, no tenant, a row of none */
		char arguments[64];

		snprintf(arguments, sizeof(arguments), "{\"subject_id\":%d}", id);
		fix_expect(&f, "get_schema", arguments, TOOL_ERROR, "belong to another tenant");
	}
	assert_int_equal(fix_files(&f, ".tmp"), 0);
	assert_int_equal(fix_files(&f, ".db"), 2);
	assert_int_equal(atomic_load(&f.made), 2);
	fix_close(&f);
	fix_open(&f, TENANTS,
		TENANTS_YAML "tenant_isolation: {column: org, value: 7, columns: {orders: owner}, "
			     "shared: [products]}\n");
	fix_expect(&f, "get_schema", "{\"subject_id\":1}", TOOL_OK, "orders");
	fix_expect(&f, "get_schema", "{\"subject_id\":3}", TOOL_ERROR, "no such subject");
	fix_close(&f);
}

static void tenants_must_fit(void **state)
{
	static const char *const cases[][2] = {
		{"tenant_isolation: {column: org}\n",
			"test.yaml:8: tenant_isolation: table 'orders' has no column 'org': name "
			"its own under columns"},
		{"tenant_isolation:\n  column: org\n  columns: {orders: ownr}\n",
			"test.yaml:10: table 'orders' has no column 'ownr' (in tenant_isolation); "
			"did you mean 'owner'?"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wconfig_error err = {.text = ""};
		char yaml[512];
		struct fix f;

		fix_dirs(&f, TENANTS);
		snprintf(yaml, sizeof(yaml), "%s%s", TENANTS_YAML, cases[i][0]);
		fix_config(&f, yaml);
		assert_int_equal(fix_tools(&f, &err), RC_INVALID);
		if (!strstr(err.text, cases[i][1]))
			fail_msg("%s", err.text);
		fix_close(&f);
	}
}

/* What is beyond the bound is said, never silently left out: raw values are not watched for, and
 * of what was written too much to look at, everything is suspected. */
static void more_than_can_be_watched(void **state)
{
	struct canary_watch *w = canary_watch_new();
	size_t len = (size_t)1 << 20;
	char *text = malloc(len), name[64];
	struct canaries *c;
	struct value v;

	(void)state;
	for (int i = 0; !canary_full(w); i++) {
		assert_true(i < 500000);
		snprintf(name, sizeof(name), "name%d a b c d e f g h i j k", i);
		v = str(name);
		canary_raw(w, 3, &v);
	}
	c = canary_result(w, found, NULL);
	assert_null(c);
	canary_watch_free(w);

	w = canary_watch_new();
	v = str("Ann Vandervelde");
	canary_raw(w, 3, &v);
	assert_false(canary_full(w));
	for (const char *letter = "abcdefghij"; *letter; letter++) {
		for (size_t i = 0; i < len; i++)
			text[i] = i % 2 ? ' ' : *letter;
		v = value_text(text, len);
		canary_stored(w, 4, true, &v);
	}
	c = canary_result(w, found, NULL);
	assert_non_null(c);
	v = str("It was Ann Vandervelde.");
	assert_true(canary_hit(c, &room, &v));
	canary_free(c);
	canary_watch_free(w);
	words_free(&room);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_in_longer_text),
		cmocka_unit_test(no_false_alarm),
		cmocka_unit_test(answers_are_stopped),
		cmocka_unit_test(more_than_can_be_watched),
		cmocka_unit_test(text_mask_heals),
		cmocka_unit_test(tenants),
		cmocka_unit_test(tenants_must_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
