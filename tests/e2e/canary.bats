# Nothing that must stay secret is ever found where it must not be.

load lib/stack.bash

setup_file() {
	stack_new
	stack_env AIRLOCK_CP_LOG_LEVEL=DEBUG
	stack_up
	worker_up fintech
	KEY=$(mint_key t_fintech)
	SUBJECT=$(first_subject fintech)
	export KEY SUBJECT
	# The raw values of every masked column of the subject's own row.
	MASKED=$(mcp fintech "$KEY" "$(sql_call "$SUBJECT" 'SELECT * FROM customers')" | head -n 1)
	export MASKED
	mcp fintech "$KEY" "$(sql_call "$SUBJECT" "SELECT 'canary-in-sql-4711' AS c")" >/dev/null
	mcp fintech "$KEY" "$(sql_call "$SUBJECT" "SELECT canary_bad_column_4712 FROM customers WHERE full_name = 'canary-literal-4713'")" >/dev/null
	mcp fintech "$(wrong_key "$KEY")" "$(sql_call canary-subject-4714 'SELECT 1')" >/dev/null
	curl -sS -o /dev/null -H 'Authorization: Bearer canary-token-4715' "$URL/v1/admin/tenants?canary=query-4716"
	curl -sS -o /dev/null -H 'Content-Type: application/json' --data '{"token":"ale_canary4717canary_canary4717canary4717"}' "$URL/v1/enroll"
	curl -fsS "http://127.0.0.1:$METRICS_PORT/metrics" >"$STACK/metrics"
	for pid in $(cat "$STACK"/*.pid) $(pgrep -P "$(pid_of fcgi-app)"); do
		tr '\0' '\n' <"/proc/$pid/cmdline"
	done >"$STACK/argv"
}

teardown_file() { stack_down; }

# Where the text occurs below the stack's directory, but for the places given.
found() {
	local text=$1
	shift
	grep -rlaF -- "$text" "$STATE" "$LOG" "$STACK/metrics" "$STACK/argv" "$@" 2>/dev/null || true
}

@test "the rows that reached the agent are masked" {
	local raw
	raw=$(sqlite3 -json "$DATA/fintech.db" "SELECT * FROM customers ORDER BY 1 LIMIT 1" 2>/dev/null ||
		sqlite3 -json "$BATS_RUN_TMPDIR/demo-data/fintech.db" "SELECT * FROM customers ORDER BY 1 LIMIT 1")
	local email
	email=$(jq -r '.[0].email' <<<"$raw")
	[[ $email == *@* ]]
	refute [ -z "$MASKED" ]
	run grep -cF -- "$email" <<<"$MASKED"
	assert_output 0
	assert_equal "$(found "$email" "$STACK/workers")" ""
}

@test "no SQL text, literal or column of it is kept anywhere" {
	local text
	for text in canary-in-sql-4711 canary_bad_column_4712 canary-literal-4713 'SELECT * FROM customers'; do
		assert_equal "$(found "$text" "$STACK/workers")" ""
	done
}

@test "no argument of a refused call is kept anywhere" { assert_equal "$(found canary-subject-4714)" ""; }

@test "no credential is found in state, logs, metrics or arguments" {
	local text
	for text in "$(cut -d_ -f3 <<<"$KEY")" "$OPERATOR_TOKEN" canary-token-4715 query-4716 canary4717canary4717; do
		assert_equal "$(found "$text")" ""
	done
}

@test "the daemons' environment no longer shows the secrets" {
	local pid
	for pid in $(pid_of tunneld) $(pid_of fcgi-app) $(pgrep -P "$(pid_of fcgi-app)"); do
		environ_of "$pid" >"$BATS_TEST_TMPDIR/environ"
		run grep -cF "$OPERATOR_TOKEN" "$BATS_TEST_TMPDIR/environ"
		assert_output 0
	done
}

@test "the worker's environment no longer shows the database URL" {
	environ_of "$(pid_of worker-fintech)" >"$BATS_TEST_TMPDIR/environ"
	run grep -caF "sqlite:" "$BATS_TEST_TMPDIR/environ"
	assert_output 0
}

@test "secrets and state are readable by their owner alone" {
	run find "$STATE" -type f -not -name config.yaml -perm /077
	assert_output ""
	run find "$STACK/workers" -type f -not -name airlock.yaml -perm /077
	assert_output ""
}
