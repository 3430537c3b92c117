# A worker whose snapshots are DuckDB files, on a PostgreSQL server of its own, through the whole stack.

load lib/stack.bash

LIBRARY=$REPO/tests/node_modules/@duckdb/node-bindings-linux-x64/libduckdb.so

pg_up() {
	"$REPO/tests/lib/postgres" run "$PG_DIR/pg" 3>&- 4>&- &
	echo $! >"$STACK/postgres.pid"
	wait_until psql -Xqc 'SELECT 1' "$PG"
}

worker_up() {
	start worker-fintech env "DATABASE_URL=postgresql://reader@/postgres?host=$PG_DIR/pg" "$BIN/airlock-worker" run --config "$CONFIG"
	wait_until sessions_are fintech 1
}

setup_file() {
	stack_new
	export LIBRARY
	[[ -f $LIBRARY ]] || return 0 # npm has none for this machine
	# The server is another user, who can't reach the stack's directory.
	PG_DIR=$(mktemp -d /tmp/airlock-pg.XXXXXX)
	chmod 755 "$PG_DIR"
	export PG_DIR PG="postgresql://airlock@/postgres?host=$PG_DIR/pg"
	"$REPO/tests/lib/postgres" init "$PG_DIR/pg"
	pg_up
	psql -XqAt -v ON_ERROR_STOP=1 "$PG" <<-'SQL'
		CREATE ROLE reader LOGIN;
		CREATE TABLE people (id int PRIMARY KEY, name text, email text, phone text, born date, pay numeric(10,2), joined timestamptz, note text);
		CREATE TABLE visits (id bigint PRIMARY KEY, person_id int REFERENCES people, seen_at timestamptz, cost numeric, tags text[], raw bytea, code uuid);
		GRANT SELECT ON people, visits TO reader;
		INSERT INTO people SELECT i, 'Canary Nameof' || chr(97 + i % 26), 'canary-mail-' || i || '@example.org', '+49 170 ' || 1000000 + i,
			date '1960-01-01' + i * 97, 50000 + i, timestamptz '2020-01-01 00:00+00' + i * interval '1 day 01:02:03.5', 'x' FROM generate_series(1, 50) i;
		UPDATE people SET note = name || ' wrote from ' || email;
		INSERT INTO visits SELECT i, 1 + i % 50, timestamptz '2024-05-01 12:00:00+02', i / 4.0, ARRAY['a', 'b'], '\x00ff', md5(i::text)::uuid
			FROM generate_series(1, 5000) i;
	SQL
	stack_up
	local dir=$STACK/workers/worker-fintech token
	export CONFIG=$dir/airlock.yaml DATA=$dir/data
	mkdir -p "$dir"
	cat >"$CONFIG" <<-YAML
		worker: {name: duck, state_dir: $dir/state, data_dir: $DATA, duckdb_library: $LIBRARY}
		snapshot_engine: duckdb
		root_table: people
		tables:
		  - name: people
		    mask: {name: redact, email: email, phone: partial, born: date_shift, pay: noise, joined: {kind: bucket, to: year}, note: text}
		  - {name: visits, parent: people, fk: person_id, mask: {code: token}}
	YAML
	token=$(admin POST /v1/admin/tenants/t_fintech/enrollments '{"name":"duck"}' | jq -er .token)
	AIRLOCK_ENROLLMENT_TOKEN=$token "$BIN/airlock-worker" enroll --url "$URL" --config "$CONFIG" >>"$LOG/worker.log" 2>&1
	worker_up
	KEY=$(mint_key t_fintech)
	export KEY
}

teardown_file() {
	stack_down
	stop postgres INT || true
	[[ -z ${PG_DIR:-} ]] || rm -rf "$PG_DIR"
}

setup() { [[ -f $LIBRARY ]] || skip 'npm has no DuckDB for this machine'; }

rows() { mcp fintech "$KEY" "$(sql_call "$1" "$2")" | head -n 1 | jq -c '.result | if .isError then .content[0].text else .structuredContent.rows end'; }
helpers() { pgrep -P "$(pid_of worker-fintech)" -f duckdb; }

@test "an agent reads masked rows in DuckDB's dialect, with the types of PostgreSQL" {
	assert_equal "$(rows 7 "SELECT id, name, email SIMILAR TO 'u_.*@example.org', phone, born BETWEEN '1961-01-01' AND '1962-12-31', pay != 50007, joined, note FROM people")" \
		'[[7,"[redacted]",1,"****0007",1,1,"2020-01-01","[redacted] wrote from [email]"]]'
	assert_equal "$(rows 7 "SELECT count(*), sum(cost), min(seen_at), any_value(tags), hex(any_value(raw)) FROM visits")" \
		'[[100,62025,"2024-05-01T10:00:00Z","[\"a\",\"b\"]","00FF"]]'
	assert_equal "$(rows 7 'SELECT nme FROM people')" "\"no such column: nme; did you mean 'name'?\""
	assert_equal "$(rows 7 "SELECT * FROM read_csv('/etc/passwd')")" "\"function 'read_csv' is not available here\""
}

@test "nothing raw is in the snapshots or the logs, and files are for their owner alone" {
	run grep -rlaiE 'canary' "$DATA" "$LOG" "$STATE"
	assert_output ''
	assert_equal "$(stat -c %a "$DATA"/*.db | sort -u)" 600
	assert_equal "$(stat -c %a "$DATA")" 700
}

@test "processes wait for work without a database, files or an environment; killed, they cost nothing" {
	local pid before
	before=$(helpers)
	[[ $(wc -l <<<"$before") -ge 3 ]]
	for pid in $before; do
		assert_equal "$(environ_of "$pid")" ''
		run bash -c "ls -l /proc/$pid/fd | grep -c -E 'airlock.yaml|state|socket:.*5432'"
		assert_output 0
		kill -KILL "$pid"
	done
	assert_equal "$(rows 7 'SELECT count(*) FROM visits')" '[[100]]'
	assert_equal "$(rows 8 'SELECT count(*) FROM visits')" '[[100]]'
}

@test "a worker that is killed leaves no process, and the next one removes its snapshots" {
	local pids pid
	pids=$(helpers)
	stop worker-fintech KILL
	for pid in $pids; do
		wait_until gone "$pid"
	done
	run find "$DATA" -name 's_*.db'
	assert_output
	wait_until sessions_are fintech 0
	worker_up
	run find "$DATA" -name 's_*'
	assert_output ''
	assert_equal "$(rows 9 'SELECT count(*) FROM visits')" '[[100]]'
	pids=$(helpers)
	stop worker-fintech
	for pid in $pids; do
		wait_until gone "$pid"
	done
	run find "$DATA" -name 's_*'
	assert_output ''
}

@test "a missing library and a directory that DuckDB can't use are said at the start" {
	sed 's/libduckdb.so/nothing.so/' "$CONFIG" >"$BATS_TEST_TMPDIR/a.yaml"
	run env "DATABASE_URL=postgresql://reader@/postgres?host=$PG_DIR/pg" timeout 30 "$BIN/airlock-worker" run --config "$BATS_TEST_TMPDIR/a.yaml"
	assert_failure 1
	assert_output --partial 'nothing.so was not found; download '
	sed "s|data_dir: [^,]*|data_dir: '/tmp/a?b'|" "$CONFIG" >"$BATS_TEST_TMPDIR/a.yaml"
	run "$BIN/airlock-worker" check --config "$BATS_TEST_TMPDIR/a.yaml"
	assert_failure 1
	assert_output --partial "a.yaml:1: worker.data_dir can't have a '?' in it with snapshot_engine duckdb"
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
