# A cancelled call stops its statement; what is no cancellation lets it finish. Behind both web servers: nginx passes a
# hang-up on at once, Caddy with the next sign of life on the stream.

load lib/stack.bash

setup_file() {
	stack_new nginx
	stack_up
	second_front caddy
	worker_enroll fintech
	printf '\nlimits:\n  query_timeout_ms: 50000\n' >>"$STACK/workers/worker-fintech/airlock.yaml"
	worker_start fintech --verbose
	wait_until sessions_are fintech 1
	KEY=$(mint_key t_fintech)
	SUBJECT=$(first_subject fintech)
	export KEY SUBJECT
	# From here on there is a snapshot, and a call is its statement.
	mcp fintech "$KEY" "$(sql_call "$SUBJECT" 'SELECT 1')" >/dev/null
}

teardown_file() { stack_down; }

META='{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}'
ENDLESS=4000000000

counting() { # ROWS ID
	sql_call "$SUBJECT" "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT count(*) AS n FROM n" "$2"
}

said() { grep -c -- "$1" "$LOG/worker-fintech.log" || true; }
has_said() { (($(said "$1") >= $2)); }
in_output() { grep -q -- "$1" "$BATS_TEST_TMPDIR/$2"; }

# agent NAME URL JSON [curl args]: a call in the background, in $AGENT; returns once its statement runs.
agent() {
	local name=$1 url=$2 body=$3 running
	shift 3
	running=$(said 'a statement begins')
	curl -sSN -m 60 -o "$BATS_TEST_TMPDIR/$name" -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \
		-H 'Accept: application/json, text/event-stream' --data-binary "$body" "$@" "$url/mcp/fintech" 2>/dev/null 3>&- &
	AGENT=$!
	wait_until has_said 'a statement begins' $((running + 1))
}

modern_agent() { # NAME URL
	agent "$1" "$2" "$(counting "$ENDLESS" 1 | jq -c --argjson meta "$META" '.params._meta = $meta')" \
		-H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tools/call' -H 'Mcp-Name: execute_sql'
}

# The agent is gone, and the only thing that can stop its statement is that the worker has been told.
hang_up() {
	local stopped cancelled
	stopped=$(said 'the statement was stopped')
	cancelled=$(audit_count '.event == "tool.call" and .outcome == "cancelled"')
	kill -KILL "$AGENT"
	wait_until 14 has_said 'the statement was stopped' $((stopped + 1))
	wait_until audit_count_is '.event == "tool.call" and .outcome == "cancelled"' $((cancelled + 1))
}

modern_hang_ups() { # URL
	modern_agent early "$1"
	hang_up
	assert [ ! -s "$BATS_TEST_TMPDIR/early" ]
	modern_agent late "$1"
	wait_until in_output '^:' late
	hang_up
}

@test "nginx: a modern client's hang-up stops the statement, before its answer has begun and after" { modern_hang_ups "$URL"; }
@test "Caddy: a modern client's hang-up stops the statement, before its answer has begun and after" { modern_hang_ups "$URL2"; }

legacy_hang_up() { # URL
	local finished stopped
	finished=$(audit_count '.event == "tool.call" and .outcome == "ok"')
	stopped=$(said 'the statement was stopped')
	agent old "$1" "$(counting 4000000 2)"
	kill -KILL "$AGENT"
	wait_until 40 audit_count_is '.event == "tool.call" and .outcome == "ok"' $((finished + 1))
	assert_equal "$(said 'the statement was stopped')" "$stopped"
}

@test "nginx: an old client's hang-up is no cancellation: the call is finished, and its row says so" { legacy_hang_up "$URL"; }
@test "Caddy: an old client's hang-up is no cancellation: the call is finished, and its row says so" { legacy_hang_up "$URL2"; }

notified() { # URL
	local eight nine stopped cancelled
	stopped=$(said 'the statement was stopped')
	cancelled=$(audit_count '.event == "tool.call" and .outcome == "cancelled"')
	agent eight "$1" "$(counting "$ENDLESS" 8)"
	eight=$AGENT
	agent nine "$1" "$(counting 3000000 9)"
	nine=$AGENT
	URL=$1 run mcp fintech "$KEY" '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":8}}'
	assert_line 202
	wait "$eight" "$nine"
	assert has_said 'the statement was stopped' $((stopped + 1))
	assert_equal "$(audit_count '.event == "tool.call" and .outcome == "cancelled"')" $((cancelled + 1))
	assert in_output '"id":9,"result"' nine
}

@test "nginx: notifications/cancelled stops the statement of the call that it names, and no other" { notified "$URL"; }
@test "Caddy: notifications/cancelled stops the statement of the call that it names, and no other" { notified "$URL2"; }

@test "no log holds a sanitizer's report" { assert_logs_clean; }
