# A worker on a PostgreSQL server of its own: masked answers through the whole stack.

load lib/stack.bash

pg_up() {
	"$REPO/tests/lib/postgres" run "$PG_DIR/pg" 3>&- 4>&- &
	echo $! >"$STACK/postgres.pid"
	wait_until psql -Xqc 'SELECT 1' "$PG"
}

sql() { psql -XqAt -v ON_ERROR_STOP=1 "$PG" "$@"; }

setup_file() {
	stack_new
	# The server is another user, who can't reach the stack's directory.
	PG_DIR=$(mktemp -d /tmp/airlock-pg.XXXXXX)
	chmod 755 "$PG_DIR"
	export PG_DIR PG="postgresql://airlock@/postgres?host=$PG_DIR/pg"
	"$REPO/tests/lib/postgres" init "$PG_DIR/pg"
	pg_up
	sql <<-'SQL'
		CREATE ROLE reader LOGIN;
		CREATE SCHEMA billing;
		GRANT USAGE ON SCHEMA billing TO reader;
		ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader;
		CREATE TABLE customers (id int PRIMARY KEY, full_name text, email text, born date, referred_by int REFERENCES customers);
		CREATE TABLE billing.invoices (id uuid PRIMARY KEY, customer_id int REFERENCES customers, total numeric(12,2), issued timestamptz,
			lines jsonb, note text);
		INSERT INTO customers SELECT i, 'canary-name-' || i, 'canary-mail-' || i || '@example.org', '1980-01-01', nullif(i - 1, 0)
			FROM generate_series(1, 500) i;
		INSERT INTO billing.invoices SELECT md5(i::text)::uuid, 1 + i % 500, i, '2024-05-01 12:00:00+02', '[{"qty":1}]', 'canary-note-' || i
			FROM generate_series(1, 5000) i;
	SQL
	stack_up
	local dir=$STACK/workers/worker-fintech token
	mkdir -p "$dir"
	cat >"$dir/airlock.yaml" <<-YAML
		worker: {name: pg, state_dir: $dir/state, data_dir: $dir/data}
		root_table: customers
		tables:
		  - name: customers
		    mask: {full_name: redact, email: hash, born: "null"}
		  - name: billing.invoices
		    parent: customers
		    fk: customer_id
		    mask: {note: redact}
	YAML
	token=$(admin POST /v1/admin/tenants/t_fintech/enrollments '{"name":"pg"}' | jq -er .token)
	AIRLOCK_ENROLLMENT_TOKEN=$token "$BIN/airlock-worker" enroll --url "$URL" --config "$dir/airlock.yaml" >>"$LOG/worker.log" 2>&1
	start worker-fintech env "DATABASE_URL=postgresql://reader@/postgres?host=$PG_DIR/pg" \
		"$BIN/airlock-worker" run --config "$dir/airlock.yaml"
	wait_until sessions_are fintech 1
	KEY=$(mint_key t_fintech)
	export KEY
}

teardown_file() {
	stack_down
	stop postgres INT || true
	[[ -z ${PG_DIR:-} ]] || rm -rf "$PG_DIR"
}

ask() { # SUBJECT SQL
	mcp fintech "$KEY" "$(sql_call "$1" "$2")" | head -n 1
}
rows() { ask "$@" | jq -c .result.structuredContent.rows; }
message() { ask "$@" | jq -r 'select(.result.isError) | .result.content[0].text'; }

@test "an agent reads one subject's masked rows" {
	assert_equal "$(rows 7 "SELECT id, full_name, email LIKE 'h~_%' ESCAPE '~', born, referred_by FROM customers")" \
		'[[7,"[redacted]",1,null,6]]'
	assert_equal "$(rows 7 'SELECT count(*), sum(total), min(issued), min(lines ->> 0), min(note) FROM "billing.invoices"')" \
		'[[10,22560,"2024-05-01T10:00:00Z","{\"qty\":1}","[redacted]"]]'
}

@test "a table with a dot needs quotes, and the error says so" {
	run message 7 'SELECT * FROM billing.invoices'
	assert_output --partial 'in double quotes'
}

@test "nothing raw is in the snapshots, the logs or the state" {
	rows 8 'SELECT 1'
	run find "$STACK/workers" -name '*.db'
	assert_output
	run grep -rlaE 'canary-(name|mail|note)' "$STACK/workers" "$STATE" "$LOG"
	assert_output ''
}

@test "the database URL is in no log and no environment" {
	environ_of "$(pid_of worker-fintech)" >"$BATS_TEST_TMPDIR/environ"
	run grep -rlaF 'postgresql://reader' "$LOG" "$STATE" "$STACK/workers" "$BATS_TEST_TMPDIR/environ"
	assert_output ''
}

@test "no connection is kept between calls, and a call while the server is away says so; the next after it is back is answered" {
	rows 9 'SELECT 1'
	assert_equal "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'")" 0
	stop postgres INT
	assert_equal "$(rows 9 'SELECT 1')" '[[1]]'
	run message 10 'SELECT 1'
	assert_output --partial 'try again in a minute'
	refute_output --partial "$PG_DIR"
	pg_up
	assert_equal "$(rows 10 'SELECT id FROM customers')" '[[10]]'
}

@test "a full server and a changed schema are told apart" {
	sql -c 'ALTER ROLE reader CONNECTION LIMIT 0'
	run message 11 'SELECT 1'
	assert_output --partial 'no free connection'
	sql -c 'ALTER ROLE reader CONNECTION LIMIT -1' -c 'ALTER TABLE customers RENAME email TO mail'
	run message 11 'SELECT 1'
	assert_output --partial 'does not fit'
	sql -c 'ALTER TABLE customers RENAME mail TO email'
	assert_equal "$(rows 11 'SELECT id FROM customers')" '[[11]]'
}

@test "calls at once for many subjects are all answered" {
	local pids=() i
	for i in $(seq 20 31); do
		rows "$i" 'SELECT id FROM customers' >"$BATS_TEST_TMPDIR/$i" &
		pids+=($!)
	done
	wait "${pids[@]}"
	for i in $(seq 20 31); do
		assert_equal "$(cat "$BATS_TEST_TMPDIR/$i")" "[[$i]]"
	done
}

@test "init proposes a file for the database, and check says what it holds and masks" {
	export DATABASE_URL="postgresql://reader@/postgres?host=$PG_DIR/pg"
	cd "$BATS_TEST_TMPDIR"
	run "$BIN/airlock-worker" init --output airlock.yaml
	assert_success
	run cat airlock.yaml
	assert_line --partial 'root_table: customers'
	assert_line '  - name: "billing.invoices"'
	assert_line '      note: text # named like free text; redact hides all of it'
	assert_output --partial 'not followed: referred_by -> customers, which is the table itself'
	refute_output --partial canary
	run "$BIN/airlock-worker" check --subject 7
	assert_success
	assert_line 'customers: 1 rows, 5 columns, 3 masked, 0 left out; the subject, by id'
	assert_line 'billing.invoices: 10 rows, 6 columns, 1 masked, 0 left out; below customers, by customer_id'
	refute_output --partial canary
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
