# What a server sent is what the client gets, byte for byte, and the other way round: behind both web servers, as JSON
# and as a stream.

load lib/stack.bash

setup_file() {
	stack_new nginx
	stack_up
	second_front caddy
	start raw-http "$NODE" "$REPO/tests/e2e/lib/raw-server.mjs" modern http
	wait_until grep -q '^http' "$LOG/raw-http.log"
	worker_of_upstreams hr raw <<YAML
  - {name: legacy, command: ["$NODE", "$REPO/tests/e2e/lib/raw-server.mjs", legacy]}
  - {name: modern, command: ["$NODE", "$REPO/tests/e2e/lib/raw-server.mjs", modern]}
  - {name: web, url: "$(head -n 1 "$LOG/raw-http.log")"}
  - {name: told, command: ["$NODE", "$REPO/tests/e2e/lib/raw-server.mjs", modern], forward_identity: true}
YAML
	AIRLOCK_API_KEY=$(mint_key t_hr)
	export AIRLOCK_API_KEY
}

teardown_file() {
	stop raw-http
	stack_down
}

assert_same_bytes() { # URL ERA PREFIX
	run "$NODE" "$BATS_TEST_DIRNAME/clients/bytes.mjs" "$2" "$1/mcp/hr" "$3"
	assert_success
	assert_output '67 messages came back byte for byte'
}

@test "nginx: legacy, a server over stdio" { assert_same_bytes "$URL" legacy legacy_; }
@test "nginx: modern, a server over stdio" { assert_same_bytes "$URL" modern modern_; }
@test "nginx: modern, a server over HTTP" { assert_same_bytes "$URL" modern web_; }
@test "Caddy: legacy, a server over stdio" { assert_same_bytes "$URL2" legacy legacy_; }
@test "Caddy: modern, a server over stdio" { assert_same_bytes "$URL2" modern modern_; }

@test "nginx: legacy, a server that is told who calls" { assert_same_bytes "$URL" legacy told_; }

@test "the trace of the agent's request reaches a server over HTTP in headers, and no other request" {
	local trace=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
	run mcp hr "$AIRLOCK_API_KEY" '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"web_raw","arguments":{}}}' \
		-H "traceparent: $trace" -H 'tracestate: a=1'
	assert_line --index 0 '{"jsonrpc":"2.0","id":1,"result":{}}'
	run mcp hr "$AIRLOCK_API_KEY" '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"web_raw","arguments":{}}}' \
		-H "traceparent: 00-not-a-trace-01"
	run grep ^trace "$LOG/raw-http.log"
	assert_output "trace tools/call $trace a=1"
}

@test "line ends between the tokens of a request become white space for a server over stdio" {
	run mcp hr "$AIRLOCK_API_KEY" $'{"jsonrpc":"2.0",\n"id":1,\r\n"method":"tools/call","params":{"name":"legacy_raw","arguments":{\n\t"a":\n1}}}'
	assert_line --index 0 '{"jsonrpc":"2.0","id":1,"result":{ 	"a": 1}}'
	assert_line --index 1 200
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
