# A database as companies have them: 53 tables in three schemas, every common type, references of all kinds. What `init` proposes for it
# is served as it stands.

load lib/stack.bash

sql() { psql -XqAt -v ON_ERROR_STOP=1 "$PG" "$@"; }

setup_file() {
	stack_new
	# The server is another user, who can't reach the stack's directory.
	PG_DIR=$(mktemp -d /tmp/airlock-pg.XXXXXX)
	chmod 755 "$PG_DIR"
	export PG_DIR PG="postgresql://airlock@/postgres?host=$PG_DIR/pg"
	export READER="postgresql://reader@/postgres?host=$PG_DIR/pg"
	"$REPO/tests/lib/postgres" init "$PG_DIR/pg"
	"$REPO/tests/lib/postgres" run "$PG_DIR/pg" 3>&- 4>&- &
	echo $! >"$STACK/postgres.pid"
	wait_until psql -Xqc 'SELECT 1' "$PG"
	sql -f "$REPO/tests/lib/wide.sql"
	sql <<-'SQL'
		CREATE ROLE reader LOGIN;
		GRANT USAGE ON SCHEMA billing, support TO reader;
		GRANT SELECT ON ALL TABLES IN SCHEMA public, billing, support TO reader;
	SQL
	stack_up
	local dir=$STACK/workers/worker-fintech token
	export PROPOSAL=$dir/proposal.yaml CONFIG=$dir/airlock.yaml
	mkdir -p "$dir"
	DATABASE_URL=$READER "$BIN/airlock-worker" init --output "$PROPOSAL"
	# What init leaves to people: how much of a free text may stay, and of numbers and dates.
	{
		echo "worker: {name: wide, state_dir: $dir/state, data_dir: $dir/data}"
		echo 'tenant_isolation: {column: org_id, value: 2, shared: [countries], columns: {organisations: id}}'
		echo 'strict: false'
		sed -n '/^root_table/,/^tables/p' "$PROPOSAL"
		sed -n '/^  - name: customers$/,/^  - name: "billing.contracts"/p' "$PROPOSAL" | sed '$d' |
			sed 's/date_of_birth: .*/date_of_birth: {kind: bucket, to: year}/; s/phone: partial.*/phone: token/
				s/iban: token.*/iban: {kind: partial, last: 4}/; s/^    mask:/&\n      joined: date_shift/'
		printf '  - {name: organisations, via: customers, via_fk: org_id, mask: {vat_number: hash}}\n'
		printf '  - {name: countries, key: code, via: customers, via_fk: country}\n'
	} >"$dir/tenant.yaml"
	{
		echo "worker: {name: wide, state_dir: $dir/state, data_dir: $dir/data}"
		sed 's/note: text.*/note: redact/' "$PROPOSAL"
	} >"$CONFIG"
	token=$(admin POST /v1/admin/tenants/t_fintech/enrollments '{"name":"wide"}' | jq -er .token)
	AIRLOCK_ENROLLMENT_TOKEN=$token "$BIN/airlock-worker" enroll --url "$URL" --config "$CONFIG" >>"$LOG/worker.log" 2>&1
	start worker-fintech env "DATABASE_URL=$READER" "$BIN/airlock-worker" run --config "$CONFIG"
	wait_until sessions_are fintech 1
	KEY=$(mint_key t_fintech)
	export KEY
}

teardown_file() {
	stack_down
	stop postgres INT || true
	[[ -z ${PG_DIR:-} ]] || rm -rf "$PG_DIR"
}

ask() { mcp fintech "$KEY" "$(sql_call "$1" "$2")" | head -n 1; } # SUBJECT SQL
rows() { ask "$@" | jq -c .result.structuredContent.rows; }

@test "init proposes every table that a reference leads to, each mask with its reason, and names the rest" {
	assert_equal "$(grep -c '^  - name: ' "$PROPOSAL")" 50
	run cat "$PROPOSAL"
	assert_line '      contact_email: email # named like a mail address'
	assert_line --partial 'not followed: referred_by -> customers, which is the table itself'
	assert_line --partial 'not followed: latest_version -> billing.versions, which lies below this table: a circle'
	assert_line --partial '#   billing.clauses (only a key of several columns'
	assert_line '#   support.sessions, where customer_id is named like a reference'
	assert_line '#   support.logs'
	refute_output --partial canary
	# No mask without a reason.
	run grep -E '^      [a-z_"]+: [^#]*$' "$PROPOSAL"
	assert_output ''
}

@test "check counts a subject's rows as PostgreSQL does, and names what is wrong and the nearest right name" {
	export DATABASE_URL=$READER
	run "$BIN/airlock-worker" check --config "$CONFIG" --subject 7
	assert_success
	assert_line --partial 'in all: 50 tables, 185 rows, 300 columns, 55 masked'
	assert_line "billing.part_1: $(sql -c 'SELECT count(*) FROM billing.part_1 WHERE owner_id = 7') rows, 6 columns, 1 masked, 0 left out; below customers, by owner_id"
	refute_output --partial canary
	# All of them at once.
	sed 's/"billing.part_10"/"billing.prat_10"/; s/passport: token/pasport: token/; s/full_name: redact/full_name: noise/' "$CONFIG" \
		>"$BATS_TEST_TMPDIR/airlock.yaml"
	run "$BIN/airlock-worker" check --config "$BATS_TEST_TMPDIR/airlock.yaml"
	assert_failure 1
	assert_output --regexp "airlock.yaml:[0-9]+: the database has no table 'billing.prat_10'; did you mean 'billing.part_10'\?"
	assert_output --regexp "airlock.yaml:[0-9]+: table 'customers' has no column 'pasport' \(in mask\); did you mean 'passport'\?"
	assert_output --partial "'customers.full_name' (text): noise is for numbers, and the column holds text"
	assert_line --partial '3 mistakes'
}

@test "check says when a kept column tells what another one masks" {
	export DATABASE_URL=$READER
	sql -c "UPDATE customers SET note = 'Please call ' || upper(full_name) WHERE id = 8"
	sed 's/note: redact/note: keep/' "$CONFIG" >"$BATS_TEST_TMPDIR/airlock.yaml"
	run "$BIN/airlock-worker" check --config "$BATS_TEST_TMPDIR/airlock.yaml" --subject 8
	assert_failure 1
	assert_output --partial "MASKING FAILED: a value of 'customers.full_name', whose mask is redact, can be read in 'customers.note'"
	refute_output --partial Canary
	run "$BIN/airlock-worker" check --config "$BATS_TEST_TMPDIR/airlock.yaml" --subject 7
	assert_success
}

@test "all masks and tenant isolation work on the server's types" {
	local dir=$STACK/workers/worker-fintech
	export DATABASE_URL=$READER
	run "$BIN/airlock-worker" check --config "$dir/tenant.yaml" --subject 7
	assert_success
	assert_line --partial 'bucket to year date_of_birth date'
	assert_line --partial 'partial, last 4 iban text'
	assert_line --partial "tenant: every row's org_id must be the subject's"
	# Of another tenant.
	run "$BIN/airlock-worker" check --config "$dir/tenant.yaml" --subject 8
	assert_failure 1
	assert_output --partial 'no such subject'
}

@test "every table of the snapshot has the subject's rows, whatever their types" {
	local table schema
	schema=$(mcp fintech "$KEY" '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_schema","arguments":{"subject_id":7}}}' | head -n 1)
	assert_equal "$(jq '.result.structuredContent.tables | length' <<<"$schema")" 50
	jq -r '.result.structuredContent.tables[].name' <<<"$schema" >"$BATS_TEST_TMPDIR/tables"
	while read -r table; do
		echo "SELECT '$table' || ' ' || count(*) FROM \"$table\" UNION ALL"
	done <"$BATS_TEST_TMPDIR/tables" | sed '$s/ UNION ALL$//' >"$BATS_TEST_TMPDIR/counts"
	rows 7 "$(cat "$BATS_TEST_TMPDIR/counts")" | jq -r '.[][0]' | sort >"$BATS_TEST_TMPDIR/got"
	jq -r '.result.structuredContent.tables[] | "\(.name) \(.rows)"' <<<"$schema" | sort >"$BATS_TEST_TMPDIR/want"
	assert_equal "$(cat "$BATS_TEST_TMPDIR/got")" "$(cat "$BATS_TEST_TMPDIR/want")"
	# A table below a table below the root.
	assert_equal "$(rows 7 'SELECT count(*) FROM part_9')" \
		"[[$(sql -c 'SELECT count(*) FROM part_9 p JOIN part_0 q ON q.id = p.owner_id WHERE q.owner_id = 7')]]"
	while read -r table; do
		assert_equal "$(ask 7 "SELECT * FROM \"$table\"" | jq .result.isError)" false
	done < <(awk 'NR % 5 == 0' "$BATS_TEST_TMPDIR/tables")
}

@test "the sidecar reaches the control plane with names and counts alone, and goes with the snapshot" {
	local id
	rows 9 'SELECT 1'
	run admin GET /v1/admin/tenants/t_fintech/snapshots
	assert_output --partial 'billing.part_10'
	assert_output --partial 'masked_columns'
	refute_output --partial canary
	run find "$STATE/snapshots/t_fintech" -name '*.json'
	assert_output
	run grep -rlaiE 'canary-|canary[a-z]na|canarypass' "$STATE" "$LOG" "$STACK/workers"
	assert_output ''
	stop worker-fintech
	wait_until sessions_are fintech 0
	run find "$STACK/workers" -name '*.db'
	assert_output ''
	no_sidecars() { [[ -z $(find "$STATE/snapshots/t_fintech" -name '*.json') ]]; }
	wait_until no_sidecars
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
