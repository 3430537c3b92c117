# Answers that take their time: streams, heartbeats, hang-ups, cancellation.

load lib/stack.bash

setup_file() {
	stack_new
	stack_up
	worker_up fintech
	KEY=$(mint_key t_fintech)
	SUBJECT=$(first_subject fintech)
	export KEY SUBJECT
}

teardown_file() { stack_down; }

# A statement that takes a few seconds, and one that ends only when somebody stops it.
lasting() { sql_call "$SUBJECT" "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT count(*) AS n FROM n" "$2"; }

in_flight() { [[ $(admin GET /v1/admin/status | jq -e '.. | .calls_in_flight? // .calls? // empty | numbers') == "$1" ]]; }

@test "a quick answer is plain JSON, although a stream would do" {
	run mcp fintech "$KEY" "$(sql_call "$SUBJECT" 'SELECT 1 AS one')" -D "$BATS_TEST_TMPDIR/headers"
	assert_line --index 1 200
	assert grep -qi '^content-type: application/json' "$BATS_TEST_TMPDIR/headers"
}

@test "a slow answer becomes a stream with a first event and the result" {
	run mcp fintech "$KEY" "$(lasting 12000000 5)" -D "$BATS_TEST_TMPDIR/headers" -H 'MCP-Protocol-Version: 2025-11-25'
	assert grep -qi '^content-type: text/event-stream' "$BATS_TEST_TMPDIR/headers"
	assert_line --regexp '^id: req_'
	assert_line 'retry: 1000'
	assert_equal "$(grep '^data: {' <<<"$output" | sed 's/^data: //' | jq -c '[.id, (.result != null)]')" '[5,true]'
}

@test "a slow answer stays one JSON object for who accepts nothing else" {
	run curl -sS -m 60 -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' -H 'Accept: application/json' \
		--data-binary "$(lasting 12000000 6)" "$URL/mcp/fintech"
	assert_equal "$(jq -c .id <<<"$output")" 6
}

@test "an old client's hang-up is no cancellation: the call is finished, and its row says so" {
	local before
	before=$(audit_count '.event == "tool.call"')
	mcp fintech "$KEY" "$(lasting 8000000 7)" >/dev/null 3>&- &
	local agent=$!
	wait_until in_flight 1
	pkill -KILL -P "$agent" || kill -KILL "$agent"
	wait_until 30 audit_count_is '.event == "tool.call"' $((before + 1))
	assert_equal "$(audit_count '.outcome == "cancelled"')" 0
}

@test "notifications/cancelled stops the call that it names, and no other" {
	local eight nine
	mcp fintech "$KEY" "$(lasting 4000000000 8)" >"$STACK/eight" 3>&- &
	eight=$!
	mcp fintech "$KEY" "$(lasting 12000000 9)" >"$STACK/nine" 3>&- &
	nine=$!
	wait_until in_flight 2
	run mcp fintech "$KEY" '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":8}}'
	assert_line 202
	wait "$eight" "$nine"
	assert_equal "$(audit_count '.event == "tool.call" and .outcome == "cancelled"')" 1
	run cat "$STACK/nine"
	assert_output --partial '"id":9'
	assert_output --partial '"result"'
}

@test "a modern client's hang-up cancels, and the statement stops" {
	local before meta
	before=$(audit_count '.event == "tool.call" and .outcome == "cancelled"')
	meta='{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}'
	mcp fintech "$KEY" "$(lasting 4000000000 10 | jq -c --argjson meta "$meta" '.params._meta = $meta')" -H 'MCP-Protocol-Version: 2026-07-28' \
		-H 'Mcp-Method: tools/call' -H 'Mcp-Name: execute_sql' >/dev/null 3>&- &
	local agent=$!
	wait_until in_flight 1
	pkill -KILL -P "$agent" || kill -KILL "$agent"
	wait_until audit_count_is '.event == "tool.call" and .outcome == "cancelled"' $((before + 1))
	wait_until in_flight 0
}

@test "initialize names the client's session" {
	mcp fintech "$KEY" '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}' \
		-D "$BATS_TEST_TMPDIR/headers"
	assert grep -qi '^mcp-session-id: mcp_' "$BATS_TEST_TMPDIR/headers"
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
