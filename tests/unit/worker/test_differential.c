/* For a thousand random legitimate queries in the dialect that the three share, snapshots in both
 * engines give the rows that PostgreSQL gives. */
#include "tests/unit/worker/pgfix.h"

#include <math.h>

#include "tests/unit/worker/duckfix.h"

#define QUERIES 1000
#define CELLS_MAX ((size_t)32000)
#define CELL 96

static struct pgfix server;
static struct fix sqlite, duckdb;
static PGconn *conn;

/* The schema `mine` is what a snapshot of subject 1 should hold, in the types that snapshots have.
 */
#define DATA                                                                                       \
	"CREATE TABLE customers(id int PRIMARY KEY, name text NOT NULL, city text, score float8, " \
	"vip boolean, age int, note varchar(40));"                                                 \
	"CREATE TABLE products(id int PRIMARY KEY, title text, price numeric(10,2), kind text);"   \
	"CREATE TABLE orders(id int PRIMARY KEY, customer_id int, product_id int, quantity int, "  \
	"amount numeric(12,2), placed_at timestamptz, status text, note text, paid boolean);"      \
	"CREATE TABLE items(id bigint PRIMARY KEY, order_id int, sku text, cents bigint, weight "  \
	"float8, gift boolean);"                                                                   \
	"INSERT INTO customers SELECT i, 'Customer ' || i, CASE WHEN i % 4 > 0 THEN 'City ' || i " \
	"% 7 END, i * 0.25, i % 2 = 1, 20 + i % 50, NULLIF('n' || i % 3, 'n0') FROM "              \
	"generate_series(1, 50) i;"                                                                \
	"INSERT INTO products SELECT i, 'Product ' || chr(65 + i % 26) || i, i * 1.37, "           \
	"(ARRAY['book','toy','tool',NULL])[1 + i % 4] FROM generate_series(1, 40) i;"              \
	"INSERT INTO orders SELECT i, CASE WHEN i <= 150 THEN 1 ELSE 1 + i % 50 END, 1 + i * 7 % " \
	"40, i * 13 % 9, CASE WHEN i % 11 > 0 THEN (i * 7919 % 100000) / 100.0 END, timestamptz "  \
	"'2024-01-01 00:00:00+00' + i * interval '7 hours', (ARRAY['open','paid','sent',"          \
	"'lost'])[1 + i * 31 % 4], CASE WHEN i % 3 = 0 THEN NULL WHEN i % 5 = 0 THEN '' ELSE "     \
	"'note ' || i * 17 % 23 END, CASE WHEN i % 6 > 0 THEN i % 2 = 0 END FROM "                 \
	"generate_series(1, 600) i;"                                                               \
	"INSERT INTO items SELECT i, 1 + i * 3 % 600, 'sku-' || i * 29 % 17, CASE WHEN i % 9 > 0 " \
	"THEN i * 104729 % 50000 - 5000 END, (i % 64) / 8.0, i % 5 = 0 FROM generate_series(1, "   \
	"1500) i;"                                                                                 \
	"CREATE SCHEMA mine;"                                                                      \
	"CREATE TABLE mine.customers AS SELECT id, name, city, score, vip::int AS vip, age, note " \
	"FROM customers WHERE id = 1;"                                                             \
	"CREATE TABLE mine.orders AS SELECT id, customer_id, product_id, quantity, amount, "       \
	"to_char(placed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS placed_at, "   \
	"status, note, paid::int AS paid FROM orders WHERE customer_id = 1;"                       \
	"CREATE TABLE mine.items AS SELECT id, order_id, sku, cents, weight, gift::int AS gift "   \
	"FROM items WHERE order_id IN (SELECT id FROM mine.orders);"                               \
	"CREATE TABLE mine.products AS SELECT * FROM products WHERE id IN (SELECT product_id "     \
	"FROM mine.orders)"

#define YAML                                                       \
	"root_table: customers\n"                                  \
	"tables:\n"                                                \
	"  - {name: customers}\n"                                  \
	"  - {name: orders, parent: customers, fk: customer_id}\n" \
	"  - {name: items, parent: orders, fk: order_id}\n"        \
	"  - {name: products, via: orders, via_fk: product_id}\n"  \
	"limits: {result_max_rows: 10000, result_max_bytes: 4000000}\n"

static void open_worker(struct fix *f, const char *yaml)
{
	struct wconfig_error err = {.text = ""};

	fix_dirs(f, NULL);
	pgfix_url(&server, "airlock", "", f->url, sizeof(f->url));
	fix_config(f, yaml);
	if (fix_tools(f, &err) != RC_OK)
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	char yaml[2048];

	(void)state;
	pgfix_init(&server);
	pgfix_sql(&server, DATA, NULL);
	conn = pgfix_connect(&server);
	PQclear(PQexec(conn, "SET search_path = mine"));
	open_worker(&sqlite, YAML);
	if (duckfix_library()) {
		snprintf(yaml, sizeof(yaml), "  duckdb_library: %s\nsnapshot_engine: duckdb\n%s",
			duckfix_library(), YAML);
		open_worker(&duckdb, yaml);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	PQfinish(conn);
	fix_close(&sqlite);
	if (duckdb.t)
		fix_close(&duckdb);
	pgfix_free(&server);
	return 0;
}

/* --- random queries ------------------------------------------------------------------- */

static uint64_t seed = 20240229;

static unsigned draw(unsigned below)
{
	uint64_t z = (seed += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (unsigned)((z ^ (z >> 31)) % below);
}

#define PICK(list) list[draw(sizeof(list) / sizeof((list)[0]))]

static struct buf q;

static void put(const char *s)
{
	buf_str(&q, s);
}

/* Columns of a query over orders o, items i and products p, as far as they are joined. */
static bool has_items, has_products;

static const char *int_column(void)
{
	static const char *const orders[] = {
		"o.id", "o.quantity", "o.product_id", "o.paid", "length(o.status)"};
	static const char *const items[] = {"i.cents", "i.gift", "i.id", "length(i.sku)"};

	if (has_items && draw(2))
		return PICK(items);
	return PICK(orders);
}

static const char *text_column(void)
{
	static const char *const orders[] = {"o.status", "o.note", "o.placed_at",
		"substr(o.placed_at, 1, 7)", "upper(o.status)"};
	static const char *const items[] = {"i.sku", "replace(i.sku, 'sku', 'x')"};
	static const char *const products[] = {"p.title", "p.kind", "lower(p.title)"};

	if (has_items && draw(3) == 0)
		return PICK(items);
	if (has_products && draw(2))
		return PICK(products);
	return PICK(orders);
}

static const char *real_column(void)
{
	if (has_items && draw(2))
		return "i.weight";
	return has_products && draw(2) ? "p.price" : "o.amount";
}

/* An expression that is an integer in all three. */
static void put_int(int depth)
{
	static const char *const operators[] = {" + ", " - ", " * "};

	switch (depth > 0 ? draw(6) : 0) {
	case 1:
		buf_printf(&q, "(%s%s%u)", int_column(), PICK(operators), draw(20));
		break;
	case 2:
		put("coalesce(");
		put_int(depth - 1);
		buf_printf(&q, ", %u)", draw(100));
		break;
	case 3:
		put("CASE WHEN ");
		buf_printf(&q, "%s > %u THEN ", int_column(), draw(50));
		put_int(depth - 1);
		put(" ELSE 0 END");
		break;
	case 4:
		buf_printf(&q, "abs(%s - %u)", int_column(), draw(200));
		break;
	case 5:
		buf_printf(&q, "%s %% %u", int_column(), 2 + draw(9));
		break;
	default:
		put(int_column());
	}
}

static void put_text(void)
{
	switch (draw(5)) {
	case 0:
		buf_printf(&q, "%s || '-' || %s", text_column(), text_column());
		break;
	case 1:
		buf_printf(&q, "coalesce(%s, 'none')", text_column());
		break;
	case 2:
		buf_printf(&q, "nullif(%s, 'open')", text_column());
		break;
	default:
		put(text_column());
	}
}

static void put_condition(int depth);

static void put_simple_condition(void)
{
	static const char *const compare[] = {" = ", " <> ", " < ", " <= ", " > ", " >= "};
	static const char *const words[] = {
		"'open'", "'paid'", "'note 5'", "''", "'toy'", "'sku-3'"};
	static const char *const patterns[] = {"'%o%'", "'note%'", "'%_1'", "'p%d'", "'%'"};

	switch (draw(9)) {
	case 0:
		buf_printf(&q, "%s IS %sNULL", text_column(), draw(2) ? "NOT " : "");
		break;
	case 1:
		buf_printf(&q, "%s IN (%s, %s, %s)", text_column(), PICK(words), PICK(words),
			PICK(words));
		break;
	case 2:
		buf_printf(&q, "%s BETWEEN %u AND %u", int_column(), draw(40), 40 + draw(500));
		break;
	case 3:
		buf_printf(&q, "lower(%s) %sLIKE %s", text_column(), draw(3) ? "" : "NOT ",
			PICK(patterns));
		break;
	case 4:
		buf_printf(&q, "%s%s%u.%02u", real_column(), PICK(compare), draw(900), draw(100));
		break;
	case 5:
		buf_printf(&q, "%s%s%s", text_column(), PICK(compare), PICK(words));
		break;
	case 6:
		buf_printf(&q, "o.id IN (SELECT order_id FROM items WHERE cents%s%u)",
			PICK(compare), draw(40000));
		break;
	case 7:
		buf_printf(&q,
			"%sEXISTS (SELECT 1 FROM products x WHERE x.id = o.product_id AND x.price "
			"> "
			"%u)",
			draw(2) ? "NOT " : "", draw(50));
		break;
	default:
		put_int(1);
		buf_printf(&q, "%s%u", PICK(compare), draw(200));
	}
}

static void put_condition(int depth)
{
	if (depth == 0 || draw(3) == 0) {
		put_simple_condition();
		return;
	}
	put(draw(5) ? "(" : "NOT (");
	put_condition(depth - 1);
	put(draw(2) ? ") AND (" : ") OR (");
	put_condition(depth - 1);
	put(")");
}

static void put_from(void)
{
	has_items = draw(3) == 0;
	has_products = draw(3) == 0;
}

static void put_tables(void)
{
	put(" FROM orders o");
	if (has_items)
		put(draw(2) ? " JOIN items i ON i.order_id = o.id"
			    : " LEFT JOIN items i ON i.order_id = o.id AND i.gift = 1");
	if (has_products)
		put(draw(2) ? " LEFT JOIN products p ON p.id = o.product_id AND p.kind = 'toy'"
			    : " JOIN products p ON p.id = o.product_id");
	if (draw(3)) {
		put(" WHERE ");
		put_condition(2);
	}
}

/* Every output column by its position, so that only equal rows can change places. */
static void put_order(unsigned columns, bool limit)
{
	for (unsigned i = 1; i <= columns; i++)
		buf_printf(&q, "%s%u%s%s", i > 1 ? ", " : " ORDER BY ", i, draw(2) ? " DESC" : "",
			draw(2) ? " NULLS LAST" : " NULLS FIRST");
	if (limit)
		buf_printf(&q, " LIMIT %u", 1 + draw(30));
	if (limit && draw(2))
		buf_printf(&q, " OFFSET %u", draw(20));
}

static void put_plain(void)
{
	unsigned columns = 1 + draw(4);

	put_from();
	put(draw(4) ? "SELECT " : "SELECT DISTINCT ");
	for (unsigned i = 0; i < columns; i++) {
		put(i ? ", " : "");
		if (draw(2))
			put_int(2);
		else
			put_text();
		buf_printf(&q, " AS c%u", i);
	}
	put_tables();
	put_order(columns, draw(2));
}

static void put_aggregate(void)
{
	unsigned columns = 1 + draw(3);

	switch (draw(7)) {
	case 0:
		put("count(*)");
		break;
	case 1:
		buf_printf(&q, "count(DISTINCT %s)", text_column());
		break;
	case 2:
		buf_printf(&q, "max(%s)", text_column());
		break;
	case 3:
		buf_printf(&q, "sum(%s)", real_column());
		break;
	case 4:
		buf_printf(&q, "avg(%s)", columns > 2 ? int_column() : real_column());
		break;
	case 5:
		buf_printf(&q, "min(%s)", real_column());
		break;
	default:
		put("sum(");
		put_int(1);
		put(")");
	}
}

static void put_grouped(void)
{
	static const char *const keys[] = {"o.status", "o.quantity", "o.note",
		"substr(o.placed_at, 1, 7)", "coalesce(o.paid, 2)"};
	const char *first = PICK(keys), *second = draw(2) ? "o.product_id" : NULL;

	put_from();
	buf_printf(&q, "SELECT %s AS k0%s%s%s", first, second ? ", " : "", second ? second : "",
		second ? " AS k1" : "");
	for (unsigned i = 0; i < 1 + draw(3); i++) {
		put(", ");
		put_aggregate();
		buf_printf(&q, " AS a%u", i);
	}
	put_tables();
	buf_printf(&q, " GROUP BY %s%s%s", first, second ? ", " : "", second ? second : "");
	if (draw(3) == 0)
		buf_printf(&q, " HAVING count(*) > %u", draw(6));
	/* By the keys alone: sums of reals may differ in their last digit. */
	put_order(second ? 2 : 1, draw(2));
}

static void put_all_rows(void)
{
	put_from();
	put("SELECT ");
	put_aggregate();
	put(" AS a, ");
	put_aggregate();
	put(" AS b");
	put_tables();
}

static void put_set(void)
{
	static const char *const operators[] = {
		" UNION ", " UNION ALL ", " EXCEPT ", " INTERSECT "};

	has_items = has_products = false;
	put("SELECT ");
	put_int(1);
	buf_printf(&q, " AS c0, %s AS c1", text_column());
	put_tables();
	put(PICK(operators));
	put("SELECT ");
	put_int(1);
	buf_printf(&q, ", %s", text_column());
	put_tables();
	put_order(2, draw(2));
}

static void put_window(void)
{
	static const char *const functions[] = {"row_number()", "rank()", "dense_rank()",
		"sum(o.quantity)", "lag(o.status)", "first_value(o.note)", "count(*)"};

	has_items = has_products = false;
	buf_printf(&q,
		"SELECT o.id AS c0, %s OVER (PARTITION BY %s ORDER BY o.quantity, o.id) AS c1",
		PICK(functions), draw(2) ? "o.status" : "o.product_id");
	put_tables();
	put_order(2, draw(2));
}

static void put_with(void)
{
	has_items = has_products = false;
	put("WITH t AS (SELECT o.product_id AS p, count(*) AS n, sum(o.quantity) AS s");
	put_tables();
	put(" GROUP BY o.product_id) SELECT x.title AS c0, t.n AS c1, (SELECT max(y.n) FROM t y "
	    "WHERE y.p <= t.p) AS c2 FROM t ");
	put(draw(2) ? "JOIN" : "LEFT JOIN");
	buf_printf(&q, " products x ON x.id = t.p AND t.n > %u", draw(3));
	put_order(3, draw(2));
}

static const char *next_query(void)
{
	static void (*const kinds[])(void) = {put_plain, put_plain, put_plain, put_grouped,
		put_grouped, put_all_rows, put_set, put_window, put_with};

	buf_reset(&q);
	PICK(kinds)();
	buf_char(&q, '\0');
	assert_false(q.failed);
	return (const char *)q.data;
}

/* --- answers ---------------------------------------------------------------------------- */

struct answer {
	char (*cells)[CELL];
	size_t count, width;
};

/* One spelling for numbers that are the same, however they are printed. */
static void put_number(char *out, const char *text)
{
	double r = strtod(text, NULL);

	if (r == (double)(long long)r && r < 1e15 && r > -1e15)
		snprintf(out, CELL, "n:%lld", (long long)r);
	else
		snprintf(out, CELL, "n:%.15g", r);
}

static void ask_pg(const char *sql, struct answer *a)
{
	PGresult *res = PQexec(conn, sql);

	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(conn));
	a->width = (size_t)PQnfields(res);
	a->count = (size_t)PQntuples(res) * a->width;
	assert_true(a->count <= CELLS_MAX);
	for (int i = 0; i < PQntuples(res); i++)
		for (int k = 0; k < PQnfields(res); k++) {
			char *out = a->cells[(size_t)i * a->width + (size_t)k];
			const char *text = PQgetvalue(res, i, k);
			unsigned type = PQftype(res, k);

			if (PQgetisnull(res, i, k))
				snprintf(out, CELL, "null");
			else if (type == 25 || type == 1043) /* text, varchar */
				snprintf(out, CELL, "t:%s", text);
			else
				put_number(out, text);
		}
	PQclear(res);
}

static void read_cell(struct jscan v, char *out)
{
	char text[CELL - 3];

	if (v.kind == JSCAN_NULL) {
		snprintf(out, CELL, "null");
	} else if (v.kind == JSCAN_STRING) {
		assert_int_equal(jscan_str(v, text, sizeof(text)), RC_OK);
		snprintf(out, CELL, "t:%s", text);
	} else {
		assert_true(v.kind == JSCAN_NUMBER && v.len < sizeof(text));
		snprintf(text, sizeof(text), "%.*s", (int)v.len, v.p);
		put_number(out, text);
	}
}

static void ask_worker(struct fix *f, const char *sql, struct answer *a)
{
	struct jscan root, rows, row, key, v, truncated;
	struct jscan_iter it, cells;
	struct tool_result r;
	struct buf arguments;

	buf_init(&arguments, 1 << 16);
	buf_str(&arguments, "{\"subject_id\":1,\"sql\":");
	buf_json(&arguments, sql);
	buf_str(&arguments, "}");
	buf_char(&arguments, '\0');
	fix_call(f, "execute_sql", (const char *)arguments.data, &r);
	if (r.outcome != TOOL_OK)
		fail_msg("%s: %s: %s", f == &duckdb ? "DuckDB" : "SQLite", sql, fix_text(&r));
	assert_int_equal(jscan_parse(fix_text(&r), r.json.len, &root), RC_OK);
	assert_int_equal(jscan_path(root, &rows, "structuredContent", "rows", NULL), RC_OK);
	assert_int_equal(
		jscan_path(root, &truncated, "structuredContent", "truncated", NULL), RC_OK);
	assert_int_equal(truncated.kind, JSCAN_FALSE);
	a->count = 0;
	it = jscan_iter(rows);
	while (jscan_next(&it, &key, &row)) {
		cells = jscan_iter(row);
		while (jscan_next(&cells, &key, &v)) {
			assert_true(a->count < CELLS_MAX);
			read_cell(v, a->cells[a->count++]);
		}
	}
	buf_free(&r.json);
	buf_free(&arguments);
}

/* The three differ in the last digits of averages, and of sums of reals. */
static bool same(const char *a, const char *b)
{
	double x, y;

	if (strcmp(a, b) == 0)
		return true;
	if (strncmp(a, "n:", 2) != 0 || strncmp(b, "n:", 2) != 0 || !strpbrk(a, ".e") ||
		!strpbrk(b, ".e"))
		return false;
	x = strtod(a + 2, NULL);
	y = strtod(b + 2, NULL);
	return fabs(x - y) <= 1e-9 * fabs(x);
}

static void compare(
	const char *who, const char *sql, const struct answer *want, const struct answer *got)
{
	if (want->count != got->count)
		fail_msg("%s: %s: %zu cells, not %zu", who, sql, got->count, want->count);
	for (size_t i = 0; i < want->count; i++)
		if (!same(want->cells[i], got->cells[i]))
			fail_msg("%s: %s: row %zu, column %zu: '%s', not '%s'", who, sql,
				i / want->width, i % want->width, got->cells[i], want->cells[i]);
}

static void agree(void **state)
{
	struct answer want = {.cells = calloc(CELLS_MAX, CELL)};
	struct answer got = {.cells = calloc(CELLS_MAX, CELL)};
	size_t rows = 0, empty = 0;

	(void)state;
	buf_init(&q, 1 << 16);
	for (int i = 0; i < QUERIES; i++) {
		const char *sql = next_query();

		ask_pg(sql, &want);
		rows += want.count / want.width;
		empty += want.count == 0;
		ask_worker(&sqlite, sql, &got);
		compare("SQLite", sql, &want, &got);
		if (!duckdb.t)
			continue;
		ask_worker(&duckdb, sql, &got);
		compare("DuckDB", sql, &want, &got);
	}
	print_message("%d queries, %zu rows, %zu without any%s\n", QUERIES, rows, empty,
		duckdb.t ? "" : "; without DuckDB, which npm does not have for this machine");
	/* The queries are worth something. */
	assert_true(rows > (size_t)10 * QUERIES && empty < (size_t)QUERIES / 3);
	free(want.cells);
	free(got.cells);
	buf_free(&q);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(agree)};

	DUCKFIX_MAIN(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
