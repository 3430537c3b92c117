# Answers that take their time: streams and heartbeats. (Hang-ups and cancellation: cancel.bats.)

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

# A statement that takes a few seconds.
lasting() { sql_call "$SUBJECT" "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT count(*) AS n FROM n" "$2"; }

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

@test "initialize names the client's session" {
	mcp fintech "$KEY" '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}' \
		-D "$BATS_TEST_TMPDIR/headers"
	assert grep -qi '^mcp-session-id: mcp_' "$BATS_TEST_TMPDIR/headers"
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
