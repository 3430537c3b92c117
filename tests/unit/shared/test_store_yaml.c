#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "shared/crypto.h"
#include "shared/file.h"
#include "tests/unit/shared/store_fixture.h"

#define HASH "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAA"
#define KEY_A "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_B "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static char err[512];

static enum rc import_text(const struct fixture *f, struct db *db, const void *text, size_t len)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/state.yaml", f->dir);
	assert_int_equal(file_write_atomic(path, text, len, 0600), RC_OK);
	err[0] = '\0';
	return state_import(db, path, err, sizeof(err));
}

static enum rc import(const struct fixture *f, const char *text)
{
	return import_text(f, f->db, text, strlen(text));
}

static char *export(struct db *db)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	assert_int_equal(state_export(db, &b), RC_OK);
	return buf_steal(&b);
}

/* A second, empty database in the same directory. */
static struct db *another(const struct fixture *f)
{
	struct fixture other = *f;

	snprintf(other.path, sizeof(other.path), "%s/two.db", f->dir);
	return fixture_open(&other);
}

static void the_original_form_is_read(void **state)
{
	struct fixture *f = fixture_of(state);
	struct audit_record r;
	struct api_key_row row;
	struct worker w;
	struct tenant t;

	assert_int_equal(
		import(f,
			"tenants:\n"
			"  - id: t_acme\n"
			"    slug: acme\n"
			"    name: Acme \xc3\xa9\n"
			"    api_keys:\n"
			"      - {id: k-1, name: first, hash: '" HASH
			"', created_at: '2026-01-02T03:04:05.678901+00:00'}\n"
			"      - {name: no id, hash: '" HASH "', created_at: 1700000000.5}\n"
			"    workers:\n"
			"      - id: w_one\n"
			"        public_key: " KEY_A "\n"
			"        name: db one\n"
			"  - slug: empty\n"
			"    api_keys:\n"
			"    workers: null\n"
			"    unknown: [1, 2]\n"),
		RC_OK);
	assert_int_equal(tenant_get(f->db, "t_acme", &t), RC_OK);
	assert_string_equal(t.name, "Acme \xc3\xa9");
	assert_int_equal(tenant_by_slug(f->db, "empty", &t), RC_OK);
	assert_string_equal(t.name, "empty");
	assert_int_equal(api_key_find(f->db, "k-1", &row), RC_OK);
	assert_int_equal(row.key.created_at, 1767323045);
	assert_string_equal(row.key.hash, HASH);
	assert_null(row.key.tools);
	assert_int_equal(row.key.rate_per_minute, -1);
	api_key_clear(&row.key);
	assert_int_equal(worker_get(f->db, "w_one", &w), RC_OK);
	assert_string_equal(w.name, "db one");
	assert_int_equal(w.public_key[0], 1);
	assert_int_equal(fixture_records(f->db, "state.import", &r), 1);
	assert_string_equal(r.change, "{\"tenants\":2,\"api_keys\":2,\"workers\":1}");
	assert_string_equal(r.actor_kind, "system");
}

static void mappings_keyed_by_id_are_read(void **state)
{
	struct fixture *f = fixture_of(state);
	struct api_key_row row;
	struct worker w;
	struct tenant t;

	assert_int_equal(import(f,
				 "tenants:\n"
				 "  t_acme:\n"
				 "    name: Acme\n"
				 "    api_keys:\n"
				 "      k1: {hash: '" HASH "'}\n"
				 "    workers:\n"
				 "      w_one: {public_key: " KEY_A "}\n"
				 "  plain:\n"),
		RC_OK);
	assert_int_equal(tenant_get(f->db, "t_acme", &t), RC_OK);
	assert_int_equal(tenant_get(f->db, "t_plain", &t), RC_OK);
	assert_int_equal(api_key_find(f->db, "k1", &row), RC_OK);
	assert_string_equal(row.key.tenant_id, "t_acme");
	api_key_clear(&row.key);
	assert_int_equal(worker_get(f->db, "w_one", &w), RC_OK);
	assert_string_equal(w.name, "w_one");
}

static void nothing_to_import_is_fine(void **state)
{
	static const char *const nothing[] = {
		"", "# a comment\n", "tenants:\n", "tenants: []\n", "other: 1\n", "~\n"};
	struct fixture *f = fixture_of(state);

	for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
		db_close(f->db);
		unlink(f->path);
		f->db = fixture_open(f);
		assert_int_equal(import(f, nothing[i]), RC_OK);
	}
}

/* Wrong in one place: the message names the line, nothing is imported, and the file can be mended.
 */
static void mistakes_name_their_line_and_import_nothing(void **state)
{
	static const struct {
		int line;
		const char *text;
	} cases[] = {
		{1, "just a text\n"},
		{1, "- a list\n"},
		{3, "tenants:\n  - slug: good\n  - slug: Not Good\n"},
		{3, "tenants:\n  - slug: good\n  - name: no slug\n"},
		{3, "tenants:\n  - slug: good\n  - slug: good\n"},
		{3, "tenants:\n  - slug: good\n  - {id: t_a, slug: b}\n"},
		{3, "tenants:\n  - slug: good\n  - [not, a, mapping]\n"},
		{2, "tenants:\n  - {slug: a, name: \"line\\nbreak\"}\n"},
		{2, "tenants:\n  - {slug: a, name: \"nul\\0byte\"}\n"},
		{2, "tenants:\n  - {slug: a, name: {a: b}}\n"},
		{2, "tenants:\n  - {slug: a, suspended: perhaps}\n"},
		{2, "tenants:\n  - {slug: a, org_id: 'a b'}\n"},
		{2, "tenants:\n  - {slug: a, created_at: yesterday}\n"},
		{2, "tenants:\n  - {slug: a, created_at: 99999999999999999999999}\n"},
		{2, "tenants:\n  - {slug: a, created_at: '2026-01-02T03:04:05+02:00'}\n"},
		{2, "tenants:\n  - {slug: a, api_keys: text}\n"},
		{4, "tenants:\n  - slug: a\n    api_keys:\n      - {id: k1, name: no hash}\n"},
		{4, "tenants:\n  - slug: a\n    api_keys:\n      - {hash: plain}\n"},
		{4,
			"tenants:\n  - slug: a\n    api_keys:\n      - {hash: "
			"'$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$AAAA'}\n"},
		{4, "tenants:\n  - slug: a\n    api_keys:\n      - {id: K1, hash: '" HASH "'}\n"},
		{5,
			"tenants:\n  - slug: a\n    api_keys:\n      - {id: k1, hash: '" HASH
			"'}\n      - {id: k1, hash: '" HASH "'}\n"},
		{4,
			"tenants:\n  - slug: a\n    api_keys:\n      - {hash: '" HASH
			"', rate_per_minute: -5}\n"},
		{4,
			"tenants:\n  - slug: a\n    api_keys:\n      - {hash: '" HASH
			"', tools: all}\n"},
		{4,
			"tenants:\n  - slug: a\n    api_keys:\n      - {hash: '" HASH
			"', tools: [[a]]}\n"},
		{4, "tenants:\n  - slug: a\n    workers:\n      - {id: w}\n"},
		{4, "tenants:\n  - slug: a\n    workers:\n      - {id: w, public_key: short}\n"},
		{4,
			"tenants:\n  - slug: a\n    workers:\n      - {id: 'a/b', "
			"public_key: " KEY_A "}\n"},
		{5,
			"tenants:\n  - slug: a\n    workers:\n      - {id: w, public_key: " KEY_A
			"}\n      - {id: v, public_key: " KEY_A "}\n"},
		{4, "tenants:\n  - slug: a\n    tool_pins:\n      - {tool: a}\n"},
		{4, "tenants:\n  - slug: a\n    tool_pins:\n      - {definition: '{}'}\n"},
		{4,
			"tenants:\n  - slug: a\n    tool_pins:\n      - {definition: "
			"'{\"name\":\"a b\"}'}\n"},
		{5,
			"tenants:\n  - slug: a\n    tool_pins:\n      - {definition: "
			"'{\"name\":\"a\"}'}\n      - {definition: '{\"name\": \"a\"}'}\n"},
		{4, "tenants:\n  - slug: a\n    name: 'open\n"},
		{3, "tenants:\n  - slug: a\n \tname: tab\n"},
	};
	struct fixture *f = fixture_of(state);
	char place[32];
	struct tenant t;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(import(f, cases[i].text), RC_INVALID);
		snprintf(place, sizeof(place), "state.yaml:%d: ", cases[i].line);
		if (!strstr(err, place))
			fail_msg("case %zu: %s", i, err);
		assert_int_equal(tenant_get(f->db, "t_good", &t), RC_NOTFOUND);
		assert_int_equal(tenant_get(f->db, "t_a", &t), RC_NOTFOUND);
	}
	assert_int_equal(fixture_records(f->db, "state.import", NULL), 0);
	assert_int_equal(import(f, "tenants: [{slug: good}]\n"), RC_OK);
	assert_int_equal(tenant_get(f->db, "t_good", &t), RC_OK);
}

static void it_is_imported_once(void **state)
{
	struct fixture *f = fixture_of(state);
	struct audit_record who = fixture_who();
	struct tenant t;

	assert_int_equal(import(f, "tenants: [{slug: acme}]\n"), RC_OK);
	assert_int_equal(tenant_delete(f->db, "t_acme", &who), RC_OK);
	assert_int_equal(import(f, "tenants: [{slug: acme}]\n"), RC_OK);
	assert_int_equal(tenant_get(f->db, "t_acme", &t), RC_NOTFOUND);
	assert_int_equal(fixture_records(f->db, "state.import", NULL), 1);
}

/* A volume that ran before: its tenants stay as they are and get the keys and workers of the file.
 */
static void a_tenant_that_is_there_gets_the_keys(void **state)
{
	struct fixture *f = fixture_of(state);
	struct api_key_row row;
	struct tenant t;

	fixture_tenant(f->db, "acme");
	assert_int_equal(
		import(f,
			"tenants: [{slug: acme, name: Other, api_keys: [{id: k1, hash: '" HASH
			"'}]}]\n"),
		RC_OK);
	assert_int_equal(tenant_get(f->db, "t_acme", &t), RC_OK);
	assert_string_equal(t.name, "A name");
	assert_int_equal(api_key_find(f->db, "k1", &row), RC_OK);
	api_key_clear(&row.key);
}

static void what_is_too_long_is_refused_before_it_is_read(void **state)
{
	struct fixture *f = fixture_of(state);
	size_t len = 8 * 1024 * 1024 + 1;
	char *text = xmalloc(len);

	memset(text, '#', len);
	assert_int_equal(import_text(f, f->db, text, len), RC_LIMIT);
	assert_non_null(strstr(err, "longer than"));
	free(text);
	assert_int_equal(
		state_import(f->db, "/tmp/no/such/file.yaml", err, sizeof(err)), RC_NOTFOUND);
	assert_non_null(strstr(err, "/tmp/no/such/file.yaml"));
}

/* Aliases can say one part a million times in a few bytes. */
static void aliases_do_not_multiply_without_end(void **state)
{
	struct fixture *f = fixture_of(state);
	struct buf b;

	buf_init(&b, 1 << 20);
	buf_str(&b, "keys: &k\n");
	for (int i = 0; i < 1000; i++)
		buf_str(&b, "  - {hash: '" HASH "'}\n");
	buf_str(&b, "tenants:\n");
	for (int i = 0; i < 300; i++)
		buf_printf(&b, "  - {slug: s%d, api_keys: *k}\n", i);
	assert_int_equal(import_text(f, f->db, b.data, b.len), RC_INVALID);
	assert_non_null(strstr(err, "too many"));
	buf_free(&b);
}

/* --- export ------------------------------------------------------------------------------ */

static void the_export_is_exactly_this(void **state)
{
	struct fixture *f = fixture_of(state);
	char *text;

	text = export(f->db);
	assert_string_equal(text, "tenants: []\n");
	free(text);
	assert_int_equal(import(f,
				 "tenants:\n"
				 "  - slug: acme\n"
				 "    name: \"A \\\"name\\\" \\\\ \\u2028\"\n"
				 "    created_at: 1700000000\n"
				 "    suspended: yes\n"
				 "    org_id: o_two\n"
				 "    api_keys:\n"
				 "      - {id: k1, name: n, hash: '" HASH
				 "', created_at: 1700000000, expires_at: 4000000000,\n"
				 "         rate_per_minute: 5, tools: [get_schema, 'a \"b\"']}\n"
				 "    workers:\n"
				 "      - {id: w_one, name: w, public_key: " KEY_A
				 ", enrolled_at: 1700000000}\n"
				 "  - {slug: zero, created_at: 0}\n"),
		RC_OK);
	text = export(f->db);
	assert_string_equal(text,
		"tenants:\n"
		"  - id: \"t_acme\"\n"
		"    slug: \"acme\"\n"
		"    name: \"A \\\"name\\\" \\\\ \\U00002028\"\n"
		"    org_id: \"o_two\"\n"
		"    suspended: true\n"
		"    created_at: \"2023-11-14T22:13:20.000Z\"\n"
		"    api_keys:\n"
		"      - id: \"k1\"\n"
		"        name: \"n\"\n"
		"        hash: \"" HASH "\"\n"
		"        created_at: \"2023-11-14T22:13:20.000Z\"\n"
		"        expires_at: \"2096-10-02T07:06:40.000Z\"\n"
		"        rate_per_minute: 5\n"
		"        tools: [\"get_schema\", \"a \\\"b\\\"\"]\n"
		"    workers:\n"
		"      - id: \"w_one\"\n"
		"        name: \"w\"\n"
		"        public_key: \"" KEY_A "\"\n"
		"        enrolled_at: \"2023-11-14T22:13:20.000Z\"\n"
		"  - id: \"t_zero\"\n"
		"    slug: \"zero\"\n"
		"    name: \"zero\"\n"
		"    created_at: \"1970-01-01T00:00:00.000Z\"\n"
		"    api_keys: []\n"
		"    workers: []\n");
	free(text);
}

/* Names of people are whatever people write. */
static const char *const names[] = {
	"plain",
	"null",
	"~",
	"true",
	"1e3",
	"- dash",
	"# hash",
	"a: b",
	"'quoted' \"twice\" \\n",
	"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80",
	"line\xe2\x80\xa8separator \xe2\x80\xa9 paragraph",
	"bom\xef\xbb\xbf nonchar\xef\xbf\xbf \xf0\x9f\xbf\xbe",
	" leading and trailing ",
};

static void make_many(struct db *db)
{
	struct audit_record who = fixture_who();
	char slug[16], id[16], empty[] = "[]";
	struct tenant t;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(slug, sizeof(slug), "s%zu", i);
		assert_int_equal(tenant_create(db, slug, names[i], NULL, &who, &t), RC_OK);
		snprintf(id, sizeof(id), "k%zu", i);
		fixture_key(db, t.id, id, HASH, 1700000000 + (int64_t)i);
	}
	/* More than one page of keys in one tenant, and one that may call nothing. */
	for (int i = 0; i < 230; i++) {
		snprintf(id, sizeof(id), "many%d", i);
		fixture_key(db, "t_s0", id, HASH, 1700000000 + i / 9);
	}
	struct api_key k = {
		.id = "none", .tenant_id = "t_s1", .name = "n", .hash = HASH, .tools = empty};
	assert_int_equal(api_key_create(db, &k, &who), RC_OK);
}

#define PINNED "{\"description\":\"\\\"\xc3\xbc\\n: #\",\"name\":\"a\"}"

static void an_export_imports_to_the_same(void **state)
{
	struct fixture *f = fixture_of(state);
	struct db *two = another(f);
	char *first, *second;
	struct audit_record who;
	bool changed;
	struct api_key_row row;
	struct tenant t;
	char slug[16];

	make_many(f->db);
	who = fixture_who();
	assert_int_equal(
		tool_pin_put(f->db, "t_s0", "a", PINNED, strlen(PINNED), &who, &changed), RC_OK);
	first = export(f->db);
	assert_non_null(strstr(first, "    tool_pins:\n      - definition: \"{"));
	assert_int_equal(import_text(f, two, first, strlen(first)), RC_OK);
	second = export(two);
	assert_string_equal(first, second);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(slug, sizeof(slug), "s%zu", i);
		assert_int_equal(tenant_by_slug(two, slug, &t), RC_OK);
		assert_string_equal(t.name, names[i]);
	}
	assert_int_equal(api_key_find(two, "none", &row), RC_OK);
	assert_string_equal(row.key.tools, "[]");
	assert_int_equal(row.key.rate_per_minute, 0);
	api_key_clear(&row.key);
	free(first);
	free(second);
	db_close(two);
}

/* A reader that does not know of revocation or expiry must not bring a key back to life. */
static void what_works_no_more_is_not_exported(void **state)
{
	struct fixture *f = fixture_of(state);
	struct audit_record who = fixture_who();
	struct api_key k = {.id = "expired",
		.tenant_id = "t_acme",
		.name = "n",
		.hash = HASH,
		.expires_at = 1000};
	char *text;

	assert_int_equal(
		import(f,
			"tenants:\n"
			"  - slug: acme\n"
			"    api_keys:\n"
			"      - {id: gone, hash: '" HASH "', revoked: true}\n"
			"      - {id: gone2, hash: '" HASH "', revoked_at: 1700000000}\n"
			"      - {id: good, hash: '" HASH "', revoked: false, revoked_at: null}\n"
			"    workers:\n"
			"      - {id: w_gone, public_key: " KEY_A ", revoked: true}\n"
			"      - {id: w_good, public_key: " KEY_B "}\n"),
		RC_OK);
	assert_int_equal(api_key_create(f->db, &k, &who), RC_OK);
	text = export(f->db);
	assert_null(strstr(text, "gone"));
	assert_null(strstr(text, "expired"));
	assert_non_null(strstr(text, "\"good\""));
	assert_non_null(strstr(text, "\"w_good\""));
	free(text);
}

static void an_export_that_does_not_fit_says_so(void **state)
{
	struct fixture *f = fixture_of(state);
	struct buf b;

	fixture_tenant(f->db, "acme");
	buf_init(&b, 20);
	assert_int_equal(state_export(f->db, &b), RC_LIMIT);
	buf_free(&b);
	fixture_tenant(f->db, "still-writable");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(the_original_form_is_read),
		FIXTURE_TEST(mappings_keyed_by_id_are_read),
		FIXTURE_TEST(nothing_to_import_is_fine),
		FIXTURE_TEST(mistakes_name_their_line_and_import_nothing),
		FIXTURE_TEST(it_is_imported_once),
		FIXTURE_TEST(a_tenant_that_is_there_gets_the_keys),
		FIXTURE_TEST(what_is_too_long_is_refused_before_it_is_read),
		FIXTURE_TEST(aliases_do_not_multiply_without_end),
		FIXTURE_TEST(the_export_is_exactly_this),
		FIXTURE_TEST(an_export_imports_to_the_same),
		FIXTURE_TEST(what_works_no_more_is_not_exported),
		FIXTURE_TEST(an_export_that_does_not_fit_says_so),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
