# An agent that stops reading while its worker talks without end: its call ends, what waits for it is bounded, and neither
# the worker's tunnel nor anybody else's call waits with it.

load lib/stack.bash

setup_file() {
	stack_new nginx
	stack_config pool.processes 1
	stack_config limits.call_backlog_bytes 2MiB
	# What a sanitizer keeps of freed memory, to find who uses it, is not what a program keeps.
	stack_env ASAN_OPTIONS=quarantine_size_mb=8
	stack_up
	second_front caddy
	worker_of_upstreams hr both <<YAML
  - {name: spy, prefix: "", command: ["$NODE", "$REPO/tests/e2e/lib/legacy-server.mjs"]}
  - {name: fix, command: ["$NODE", "$REPO/tests/conformance/fixture.mjs"]}
YAML
}

teardown_file() { stack_down; }

neighbour() { # KEY
	run mcp hr "$1" '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"fix_test_simple_text"}}'
	assert_line --index 1 200
	assert_equal "$(jq -r '.result.content[0].text' <<<"${lines[0]}")" 'This is a simple text response for testing.'
}

cut_off() { curl -fsS "http://127.0.0.1:$METRICS_PORT/metrics" | sed -n 's/^airlock_cp_refused_total{reason="call_backlog"} //p'; }
ended() { audit_count '.event == "tool.call" and .tool == "flood" and .outcome == "cancelled"'; }
ended_is() { [[ $(ended) == "$1" ]]; }

# The program never held more than this many KiB (twice as many with a sanitizer, which needs room for itself).
assert_bounded() { # PID LIMIT
	run awk -v limit="$(($2 * (${SAN:+1} + 1)))" '/^VmHWM/ { print ($2 < limit ? "bounded" : $2) }' "/proc/$1/status"
	assert_output bounded
}

stops_reading() { # URL KEY
	local before cut agent
	before=$(ended)
	cut=$(cut_off)
	rm -f "$BATS_TEST_TMPDIR/flood"
	curl -sSN -m 100 -o "$BATS_TEST_TMPDIR/flood" -H "Authorization: Bearer $2" -H 'Content-Type: application/json' \
		-H 'Accept: application/json, text/event-stream' "$1/mcp/hr" \
		-d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"flood","arguments":{}}}' 2>/dev/null 3>&- &
	agent=$!
	wait_until test -s "$BATS_TEST_TMPDIR/flood"
	kill -STOP "$agent"
	neighbour "$KEY"
	wait_until ended_is $((before + 1))
	neighbour "$KEY"
	assert_equal "$(cut_off)" $((cut + 1))
	kill -KILL "$agent"
	# The server has been told: it is quiet again.
	run mcp hr "$KEY" '{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"whoami","arguments":{}}}'
	assert_line --index 1 200
}

# A key's first call waits in a thread of the pool, the others in its loop.
both_ways() { # URL
	KEY=$(mint_key t_hr)
	neighbour "$KEY"
	stops_reading "$1" "$(mint_key t_hr)"
	stops_reading "$1" "$KEY"
}

@test "nginx: an agent that stops reading is let go, and nobody waits with it" { both_ways "$URL"; }
@test "Caddy: an agent that stops reading is let go, and nobody waits with it" { both_ways "$URL2"; }

@test "the tunnel was never lost, and no program has kept the flood" {
	assert_equal "$(audit_count '.event == "session.open"')" 1
	assert_bounded "$(pid_of tunneld)" 65536
	assert_bounded "$(pgrep -P "$(pid_of fcgi-app)" | head -n 1)" 65536
	assert_bounded "$(pid_of worker-both)" 65536
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
