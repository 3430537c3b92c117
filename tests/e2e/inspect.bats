# `airlock-worker init` and `check`, on an SQLite file.

load lib/stack.bash

setup() {
	DB=$BATS_TEST_TMPDIR/shop.db
	export DATABASE_URL=sqlite:$DB
	cd "$BATS_TEST_TMPDIR" || return 1
	sqlite3 "$DB" <<-'SQL'
		CREATE TABLE customers (id INTEGER PRIMARY KEY, full_name TEXT, contact TEXT, password_hash TEXT, city TEXT, boss_id REFERENCES customers);
		CREATE TABLE orders (nr INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers, product_id INTEGER REFERENCES products(id), shop_id);
		CREATE TABLE "order items" (order_nr INTEGER REFERENCES orders, label TEXT);
		CREATE TABLE products (id INTEGER PRIMARY KEY, title TEXT);
		CREATE TABLE two (a, b, PRIMARY KEY (a, b));
		CREATE TABLE lonely (a, b, FOREIGN KEY (a, b) REFERENCES two);
		INSERT INTO customers VALUES (1, 'canary-name', 'canary@example.org', 'x', 'Rome', NULL), (2, 'n', 'c@example.org', 'x', 'Oslo', 1);
		ALTER TABLE customers ADD COLUMN name TEXT;
		INSERT INTO products VALUES (1, 'a'), (2, 'b');
		INSERT INTO orders VALUES (10, 1, 1, 7), (11, 1, 1, 7), (12, 2, 2, 7);
		INSERT INTO "order items" VALUES (10, 'x'), (10, 'y'), (11, 'z'), (12, 'q');
	SQL
}

worker() { "$BIN/airlock-worker" "$@"; }

@test "init proposes a file that check finds good, with reasons and without a value" {
	run worker init --output airlock.yaml
	assert_success
	run cat airlock.yaml
	assert_output --partial 'root_table: customers # guessed'
	assert_output --partial 'full_name: redact # named like a person'
	assert_output --partial '      name: redact # the name of a person'
	assert_output --partial 'contact: email # values look like mail addresses'
	assert_output --partial '- password_hash # named like a secret'
	assert_output --partial 'not followed: boss_id -> customers, which is the table itself'
	assert_output --partial 'shop_id: named like a reference'
	assert_output --partial 'lonely (only a key of several columns'
	assert_line '  - name: "order items"'
	assert_line '    via_fk: product_id'
	assert_line '    key: nr'
	refute_output --partial canary
	run worker check
	assert_success
	assert_output --partial 'customers: 6 columns, 3 masked, 1 left out; the subject, by id'
	assert_output --partial 'is good and fits the database'
}

@test "check counts what one subject's snapshot would hold" {
	worker init --output airlock.yaml
	run worker check --subject 1
	assert_success
	assert_line --partial 'customers: 1 rows'
	assert_line --partial 'orders: 2 rows'
	assert_line --partial 'order items: 3 rows'
	assert_line --partial 'products: 1 rows'
	refute_output --partial canary
	run worker check --subject 9
	assert_failure 1
	assert_output --partial 'no such subject'
}

@test "init takes a root, names the nearest one, and writes over nothing" {
	run worker init --root orders
	assert_success
	assert_line 'root_table: orders'
	run worker init --root order
	assert_failure 1
	assert_output --partial "no table 'order'; did you mean 'orders'?"
	run worker init --root two
	assert_failure 1
	assert_output --partial 'no primary key of one column'
	echo mine >airlock.yaml
	run worker init --output airlock.yaml
	assert_failure 1
	assert_equal "$(cat airlock.yaml)" mine
}

@test "check names what is wrong, where, and the nearest right name" {
	printf 'root_table: customers\ntables:\n  - name: customers\n    mask: {full_nane: redact}\n' >airlock.yaml
	run worker check
	assert_failure 1
	assert_output --partial "airlock.yaml:4: table 'customers' has no column 'full_nane' (in mask); did you mean 'full_name'?"
	printf 'root_table: customers\ntables:\n  - name: customers\n  - {name: products, parent: customers, fk: id}\n' >airlock.yaml
	run worker check
	assert_success
	assert_output --partial 'warning: no foreign key in the database says so'
}

@test "check without a database looks at the file alone; with a bad URL it fails and does not repeat it" {
	worker init --output airlock.yaml
	run env -u DATABASE_URL "$BIN/airlock-worker" check
	assert_success
	assert_output --partial 'good by itself'
	run env DATABASE_URL=sqlite:/nonexistent/canary.db "$BIN/airlock-worker" check
	assert_failure 1
	refute_output --partial canary
	run env -u DATABASE_URL "$BIN/airlock-worker" init
	assert_failure 1
	assert_output --partial 'DATABASE_URL is not set'
}
