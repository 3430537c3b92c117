/* The plan: order of tables, and the ways in which a file and a schema do not fit. */
#include "tests/unit/worker/snapfix.h"

#include "worker/plan.h"

static struct source_schema *schema;
static struct wconfig *config;

#define INT "INTEGER", COLUMN_INT
#define TEXT "TEXT", COLUMN_TEXT
#define REAL "REAL", COLUMN_REAL
static struct source_column customers[] = {
	{"id", INT}, {"email", TEXT}, {"name", TEXT}, {"boss", INT}};
static struct source_column orders[] = {
	{"id", INT}, {"customer_id", INT}, {"product_id", INT}, {"note", TEXT}};
static struct source_column items[] = {{"order_id", INT}, {"price", REAL}};
static struct source_column products[] = {{"id", INT}, {"label", TEXT}};
static struct source_table tables[] = {
	{.name = "customers", .columns = customers, .column_count = 4},
	{.name = "orders", .columns = orders, .column_count = 4},
	{.name = "items", .columns = items, .column_count = 2},
	{.name = "products", .columns = products, .column_count = 2}};
static struct source_schema whole = {tables, 4};

static enum rc build(const char *yaml, struct plan **p, struct wconfig_error *err)
{
	schema = &whole;
	*p = NULL;
	wconfig_free(config);
	config = NULL;
	if (wconfig_parse("a.yaml", yaml, strlen(yaml), &config, err) != RC_OK)
		fail_msg("%s", err->text);
	return plan_build(config, schema, p, err);
}

#define HEAD "root_table: customers\ntables:\n"
#define ROOT "  - {name: customers}\n"
#define ORDERS "  - {name: orders, parent: customers, fk: customer_id}\n"

static void order(void **state)
{
	/* Written children first: the plan puts parents first and keeps the rest as written. */
	static const char yaml[] =
		HEAD "  - {name: items, parent: orders, fk: order_id}\n"
		     "  - {name: products, via: orders, via_fk: product_id}\n" ORDERS ROOT;
	static const char *const expected[] = {"customers", "orders", "items", "products"};
	struct wconfig_error err = {.text = ""};
	struct plan *p;

	(void)state;
	if (build(yaml, &p, &err) != RC_OK)
		fail_msg("%s", err.text);
	assert_int_equal(p->table_count, 4);
	for (int i = 0; i < 4; i++)
		assert_string_equal(p->tables[i].conf->name, expected[i]);
	assert_int_equal(p->tables[0].keys, 0);
	assert_string_equal(p->tables[0].filter, "id");
	assert_int_equal(p->subject_kind, COLUMN_INT);
	assert_int_equal(p->tables[1].how, PLAN_CHILD);
	assert_string_equal(p->tables[1].filter, "customer_id");
	assert_int_equal(p->tables[1].keys, p->tables[0].columns[0].collect);
	assert_int_equal(p->tables[3].how, PLAN_VIA);
	assert_string_equal(p->tables[3].filter, "id");
	assert_int_equal(p->tables[3].keys, p->tables[1].columns[2].collect);
	assert_int_equal(p->shape.table_count, 4);
	plan_release(plan_hold(p));
	plan_release(p);
}

static void masks(void **state)
{
	static const char yaml[] =
		"root_table: customers\ndefault_mask: redact\ntables:\n"
		"  - {name: customers, mask: {boss: keep}, exclude_columns: [email]}\n"
		"  - {name: orders, parent: customers, fk: customer_id, mask: {note: null}}\n";
	struct wconfig_error err = {.text = ""};
	struct plan *p;

	(void)state;
	if (build(yaml, &p, &err) != RC_OK)
		fail_msg("%s", err.text);
	/* The columns that join are hashed, not redacted. */
	assert_int_equal(p->tables[0].columns[0].mask.kind, MASK_HASH);
	assert_int_equal(p->tables[1].columns[1].mask.kind, MASK_HASH);
	assert_int_equal(p->tables[1].columns[0].mask.kind, MASK_REDACT);
	assert_int_equal(p->tables[0].columns[2].mask.kind, MASK_REDACT);
	assert_int_equal(p->tables[0].columns[3].mask.kind, MASK_KEEP);
	assert_int_equal(p->tables[1].columns[3].mask.kind, MASK_NULL);
	assert_false(p->tables[0].columns[1].shown);
	assert_int_equal(p->shape.tables[0].column_count, 3);
	assert_int_equal(p->shape.tables[0].columns[0].kind, COLUMN_TEXT);
	assert_int_equal(p->shape.tables[1].columns[3].kind, COLUMN_TEXT);
	plan_release(p);
}

static void refusals(void **state)
{
	static const struct {
		const char *yaml, *message;
	} cases[] = {
		{"root_table: customer\ntables: [{name: customer}]\n",
			"a.yaml:2: the database has no table 'customer'; did you mean "
			"'customers'?"},
		{"root_table: customers\nroot_filter_col: mail\ntables: [{name: customers}]\n",
			"table 'customers' has no column 'mail' (root_filter_col); did you mean "
			"'email'?"},
		{HEAD "  - {name: customers, mask: {emial: hash}}\n",
			"a.yaml:3: table 'customers' has no column 'emial' (in mask); did you mean "
			"'email'?"},
		{HEAD "  - {name: customers, mask: {Email: hash}}\n",
			"has no column 'Email' (in mask); did you mean 'email'?"},
		{HEAD "  - {name: customers, exclude_columns: [nam]}\n",
			"has no column 'nam' (in exclude_columns)"},
		{HEAD ROOT "  - {name: orders, parent: customers, fk: customerid}\n",
			"a.yaml:4: table 'orders' has no column 'customerid' (fk); did you mean "
			"'customer_id'?"},
		{HEAD "  - {name: customers, key: uid}\n" ORDERS,
			"table 'customers' has no column 'uid' ("},
		{HEAD ROOT ORDERS "  - {name: products, via: orders, via_fk: prod_id}\n",
			"table 'orders' has no column 'prod_id' (via_fk)"},
		{HEAD ROOT "  - {name: products}\n",
			"a.yaml:4: nothing leads from root_table 'customers' to table 'products'"},
		{HEAD ROOT "  - {name: products}\n  - {name: orders, parent: products, fk: "
			   "product_id}\n",
			"nothing leads from root_table 'customers' to table 'products'"},
		{HEAD ROOT "  - {name: orders, parent: items, fk: id}\n  - {name: items, parent: "
			   "orders, fk: order_id}\n",
			"a.yaml:4: table 'orders' is part of a cycle"},
		{HEAD "  - {name: customers, exclude_columns: [id, email, name, boss]}\n",
			"would have 0 columns"},
		{HEAD "  - {name: customers, mask: {id: hash}}\n" ORDERS,
			"'orders.customer_id' would show what the mask of 'customers.id' hides"},
		{HEAD ROOT "  - {name: orders, parent: customers, fk: customer_id, mask: "
			   "{customer_id: redact}}\n",
			"'customers.id' would show what the mask of 'orders.customer_id' hides"},
		{HEAD ROOT ORDERS
			"  - {name: products, via: orders, via_fk: product_id, mask: {id: hash}}\n",
			"'orders.product_id' would show what the mask of 'products.id' hides"},
		{"strict: true\n" HEAD ROOT,
			"a.yaml:4: strict: table 'customers' says nothing about column 'id'"},
		{"strict: true\n" HEAD "  - {name: customers, mask: {id: keep, email: hash}, "
		 "exclude_columns: [name]}\n",
			"says nothing about column 'boss'"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wconfig_error err = {.text = ""};
		struct plan *p;

		assert_int_equal(build(cases[i].yaml, &p, &err), RC_INVALID);
		assert_null(p);
		if (!strstr(err.text, cases[i].message))
			fail_msg("case %zu: %s", i, err.text);
	}
}

static void strict(void **state)
{
	struct wconfig_error err = {.text = ""};
	struct plan *p;

	(void)state;
	assert_int_equal(build("strict: true\n" HEAD
			       "  - {name: customers, mask: {id: keep, email: hash, boss: keep}, "
			       "exclude_columns: [name]}\n",
				 &p, &err),
		RC_OK);
	plan_release(p);
	assert_int_equal(build("strict: false\n" HEAD ROOT, &p, &err), RC_OK);
	plan_release(p);
}

static void live_schema(void **state)
{
	static const char sql[] = "CREATE TABLE \"we\"\"ird t\xc3\xa4"
				  "ble\"(\"se\"\"lect\" INTEGER, \"\xe2\x82\xac\" VARCHAR(20), b, "
				  "c DATE, g AS (c) STORED);"
				  "CREATE VIEW v AS SELECT c AS d FROM \"we\"\"ird t\xc3\xa4"
				  "ble\"; CREATE INDEX i ON \"we\"\"ird t\xc3\xa4"
				  "ble\"(c)";
	struct budget unlimited = {NULL, NULL};
	struct source_error err = {.text = ""};
	struct source_schema *s;
	struct source *source;
	const struct source_table *t;
	struct fix f;

	(void)state;
	fix_dirs(&f, sql);
	assert_int_equal(source_sqlite.open(f.url, &source, &err), RC_OK);
	assert_int_equal(source_sqlite.schema(source, &unlimited, &s, &err), RC_OK);
	assert_int_equal(s->table_count, 2);
	t = source_schema_table(s,
		"we\"ird t\xc3\xa4"
		"ble");
	assert_non_null(t);
	assert_int_equal(t->column_count, 5);
	assert_int_equal(source_table_column(t, "se\"lect")->kind, COLUMN_INT);
	assert_int_equal(source_table_column(t, "\xe2\x82\xac")->kind, COLUMN_TEXT);
	assert_string_equal(source_table_column(t, "\xe2\x82\xac")->type, "VARCHAR(20)");
	assert_int_equal(source_table_column(t, "b")->kind, COLUMN_ANY);
	assert_int_equal(source_table_column(t, "c")->kind, COLUMN_NUMERIC);
	assert_non_null(source_table_column(t, "g"));
	assert_non_null(source_schema_table(s, "v"));
	source_schema_free(s);
	source_sqlite.close(source);
	fix_close(&f);
}

static void urls(void **state)
{
	static const struct {
		const char *url;
		enum rc rc;
		const char *message;
	} cases[] = {
		{"postgres://u:secret@127.0.0.1:1/db", RC_UNAVAILABLE, "can't be reached"},
		{"postgresql://u:secret@127.0.0.1:1/db", RC_UNAVAILABLE, "can't be reached"},
		{"postgresql://u:sec%zzret@h/secret", RC_INVALID, "not a well-formed URL"},
		{"postgresql:secret", RC_INVALID, "unknown kind of database"},
		{"mysql://u:secret@h/db", RC_INVALID, "unknown kind of database"},
		{"", RC_INVALID, "unknown kind of database"},
		{"sqlite:secret.db", RC_INVALID, "absolute path"},
		{"sqlite://host/secret.db", RC_INVALID, "absolute path"},
		{"sqlite:", RC_INVALID, "absolute path"},
		{"sqlite:/", RC_INVALID, "absolute path"},
		{"sqlite:/nonexistent/secret.db", RC_UNAVAILABLE, "can't be read"},
		{"sqlite:///nonexistent/secret.db", RC_UNAVAILABLE, "can't be read"},
		{"sqlite:/etc/hostname", RC_INVALID, "not an SQLite database"},
	};

	(void)state;
	assert_int_equal(heap_install(), RC_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct source_error err = {.text = ""};
		const struct source_ops *ops;
		struct source *s = NULL;
		enum rc rc = source_for_url(cases[i].url, &ops, &err);

		if (rc == RC_OK) {
			rc = ops->open(cases[i].url, &s, &err);
			ops->close(s);
		}
		assert_int_equal(rc, cases[i].rc);
		if (!strstr(err.text, cases[i].message) || strstr(err.text, "secret"))
			fail_msg("%s: %s", cases[i].url, err.text);
	}
}

static int clean(void **state)
{
	(void)state;
	wconfig_free(config);
	config = NULL;
	return 0;
}

static void keep_mistake(void *ctx, const char *text)
{
	struct buf *all = ctx;

	buf_str(all, text);
	buf_char(all, '\n');
}

/* Who asks for all mistakes is told them all; what hangs on a table that is missing is not one. */
static void all_mistakes(void **state)
{
	static const char yaml[] =
		"root_table: customers\nroot_filter_col: ide\ntables:\n"
		"  - {name: customers, mask: {emial: hash, name: noise}, exclude_columns: [bos]}\n"
		"  - {name: ordres, parent: customers, fk: customer_id}\n"
		"  - {name: items, parent: ordres, fk: order_id, mask: {prize: hash}}\n"
		"  - {name: orders, parent: customers, fk: custmer_id}\n"
		"  - {name: products, via: orders, via_fk: produkt_id}\n";
	struct wconfig_error err = {.each = keep_mistake};
	struct plan *p;
	struct buf all;

	(void)state;
	buf_init(&all, 1 << 16);
	err.ctx = &all;
	assert_int_equal(build(yaml, &p, &err), RC_INVALID);
	assert_null(p);
	buf_char(&all, '\0');
	assert_string_equal((const char *)all.data,
		"a.yaml:4: table 'customers' has no column 'emial' (in mask); did you mean "
		"'email'?\n"
		"a.yaml:4: 'customers.name' (TEXT): noise is for numbers, and the column holds "
		"text\n"
		"a.yaml:4: table 'customers' has no column 'bos' (in exclude_columns); did you "
		"mean 'boss'?\n"
		"a.yaml:4: table 'customers' has no column 'ide' (root_filter_col); did you mean "
		"'id'?\n"
		"a.yaml:5: the database has no table 'ordres'; did you mean 'orders'?\n"
		"a.yaml:6: table 'items' has no column 'prize' (in mask); did you mean 'price'?\n"
		"a.yaml:7: table 'orders' has no column 'custmer_id' (fk); did you mean "
		"'customer_id'?\n"
		"a.yaml:8: table 'orders' has no column 'produkt_id' (via_fk); did you mean "
		"'product_id'?\n");
	buf_free(&all);
	/* Those of the order are told with the rest. */
	buf_init(&all, 1 << 16);
	err = (struct wconfig_error){.each = keep_mistake, .ctx = &all};
	assert_int_equal(build(HEAD ROOT "  - {name: items, parent: orders, fk: order_id}\n"
					 "  - {name: orders, parent: items, fk: id}\n"
					 "  - {name: products}\n",
				 &p, &err),
		RC_INVALID);
	buf_char(&all, '\0');
	assert_non_null(
		strstr((const char *)all.data, "a.yaml:4: table 'items' is part of a cycle"));
	assert_non_null(strstr((const char *)all.data, "a.yaml:6: nothing leads from root_table"));
	buf_free(&all);
}

/* Names that a server tells apart and a snapshot does not. */
static void names_of_a_snapshot(void **state)
{
	static struct source_column twins[] = {{"id", INT}, {"Name", TEXT}, {"name", TEXT}};
	static struct source_table named[] = {
		{.name = "people", .columns = twins, .column_count = 3},
		{.name = "People", .columns = customers, .column_count = 4},
		{.name = "sqlite_people", .columns = customers, .column_count = 4}};
	static const struct {
		const char *yaml, *message;
	} cases[] = {
		{"root_table: people\ntables: [{name: people}]\n",
			"columns 'Name' and 'name' of table 'people' differ in case alone"},
		{"root_table: people\ntables: [{name: people, exclude_columns: [Name]}]\n", NULL},
		{"root_table: people\ntables: [{name: people, exclude_columns: [name]}, {name: "
		 "People, parent: people, fk: id}]\n",
			"tables 'people' and 'People' differ in case alone"},
		{"root_table: sqlite_people\ntables: [{name: sqlite_people}]\n",
			"names that begin with sqlite_ are taken"},
	};
	struct source_schema s = {named, 3};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wconfig_error err = {.text = ""};
		struct plan *p = NULL;
		enum rc rc;

		wconfig_free(config);
		config = NULL;
		if (wconfig_parse("a.yaml", cases[i].yaml, strlen(cases[i].yaml), &config, &err) !=
			RC_OK)
			fail_msg("%s", err.text);
		rc = plan_build(config, &s, &p, &err);
		assert_int_equal(rc, cases[i].message ? RC_INVALID : RC_OK);
		if (cases[i].message && !strstr(err.text, cases[i].message))
			fail_msg("case %zu: %s", i, err.text);
		plan_release(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_mistakes),
		cmocka_unit_test_teardown(order, clean),
		cmocka_unit_test_teardown(masks, clean),
		cmocka_unit_test_teardown(refusals, clean),
		cmocka_unit_test_teardown(names_of_a_snapshot, clean),
		cmocka_unit_test_teardown(strict, clean),
		cmocka_unit_test(live_schema),
		cmocka_unit_test(urls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
