# Answers that take their time: streams and heartbeats. (Hang-ups and cancellation: cancel.bats.)

load lib/stack.bash

setup_file() {
	stack_new
	stack_up
	worker_enroll fintech
	cat >>"$STACK/workers/worker-fintech/airlock.yaml" <<YAML

upstreams:
  - {name: server, prefix: "", command: ["$NODE", "$REPO/tests/e2e/lib/legacy-server.mjs"]}
YAML
	worker_start fintech
	wait_until sessions_are fintech 1
	KEY=$(mint_key t_fintech)
	SUBJECT=$(first_subject fintech)
	export KEY SUBJECT
}

teardown_file() { stack_down; }

# A call that lasts until the file is there.
lasting() { # FILE ID
	jq -cn --arg f "$1" --argjson id "$2" '{jsonrpc:"2.0",id:$id,method:"tools/call",params:{name:"wait",arguments:{file:$f}}}'
}

in_flight() { [[ $(admin GET /v1/admin/status | jq -e '.. | .calls_in_flight? // .calls? // empty | numbers') == "$1" ]]; }

# In the background, so that the test can go on: mcp's output is in $BATS_TEST_TMPDIR/NAME, its pid in $AGENT.
agent() { # NAME mcp-arguments
	local name=$1
	shift
	mcp fintech "$KEY" "$@" >"$BATS_TEST_TMPDIR/$name" 3>&- &
	AGENT=$!
}

@test "a quick answer is plain JSON, although a stream would do" {
	run mcp fintech "$KEY" "$(sql_call "$SUBJECT" 'SELECT 1 AS one')" -D "$BATS_TEST_TMPDIR/headers"
	assert_line --index 1 200
	assert grep -qi '^content-type: application/json' "$BATS_TEST_TMPDIR/headers"
}

@test "a slow answer becomes a stream with a first event and the result, or stays JSON for who accepts nothing else" {
	local go=$BATS_TEST_TMPDIR/go plain
	ACCEPT=application/json agent json "$(lasting "$go" 6)" -D "$BATS_TEST_TMPDIR/json-headers"
	plain=$AGENT
	wait_until in_flight 1
	agent stream "$(lasting "$go" 5)" -D "$BATS_TEST_TMPDIR/headers" -H 'MCP-Protocol-Version: 2025-11-25' -N
	# The later one is slow enough to be a stream by now, and so the earlier one would be.
	wait_until grep -q '^id: req_' "$BATS_TEST_TMPDIR/stream"
	touch "$go"
	wait "$AGENT" "$plain"
	assert grep -qi '^content-type: text/event-stream' "$BATS_TEST_TMPDIR/headers"
	run cat "$BATS_TEST_TMPDIR/stream"
	assert_line 'retry: 1000'
	assert_equal "$(grep '^data: {' <<<"$output" | sed 's/^data: //' | jq -c '[.id, (.result != null)]')" '[5,true]'
	assert grep -qi '^content-type: application/json' "$BATS_TEST_TMPDIR/json-headers"
	assert_equal "$(head -n 1 "$BATS_TEST_TMPDIR/json" | jq -c '[.id, (.result != null)]')" '[6,true]'
}

@test "initialize names the client's session" {
	mcp fintech "$KEY" '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}' \
		-D "$BATS_TEST_TMPDIR/headers"
	assert grep -qi '^mcp-session-id: mcp_' "$BATS_TEST_TMPDIR/headers"
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
