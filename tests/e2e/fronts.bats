# The main job and the refusals that depend on the web server, behind Caddy (the other files run behind nginx).

load lib/stack.bash

setup_file() {
	stack_new caddy
	stack_up
	worker_up hr
	KEY=$(mint_key t_hr)
	SUBJECT=$(first_subject hr)
	CALL=$(sql_call "$SUBJECT" 'SELECT 1 AS one')
	export KEY SUBJECT CALL
}

teardown_file() { stack_down; }

@test "a call crosses the tunnel" {
	run mcp hr "$KEY" "$CALL"
	assert_line --index 1 200
	assert_equal "$(jq -c .result.structuredContent.rows <<<"${lines[0]}")" '[[1]]'
}

@test "official clients of both eras get their answers" {
	export AIRLOCK_API_KEY=$KEY
	local mode
	for mode in sdk1 modern; do
		run "$NODE" "$BATS_TEST_DIRNAME/clients/call.mjs" "$mode" "$URL/mcp/hr" "$SUBJECT" 'SELECT 1 AS one'
		assert_success
		assert_equal "$(tail -n 1 <<<"$output" | jq -c .rows)" '[[1]]'
	done
}

@test "a wrong key is 401" {
	run mcp hr nonsense "$CALL"
	assert_line --index 1 401
}

@test "a duplicated Authorization header is refused" {
	run curl -sS -w '\n%{http_code}\n' -H "Authorization: Bearer $KEY" -H 'Authorization: Bearer x' \
		-H 'Content-Type: application/json' --data "$CALL" "$URL/mcp/hr"
	assert_line --regexp '^(400|401)$'
	refute_output --partial structuredContent
}

@test "an underscore header cannot pose as the real one" {
	local i
	for i in $(seq 20); do
		run curl -sS -w '\n%{http_code}\n' -H 'Mcp-Method: ping' -H 'Mcp_Method: tools/call' -H 'MCP-Protocol-Version: 2026-07-28' \
			-H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' --data "$CALL" "$URL/mcp/hr"
		assert_line --index 1 400
	done
}

@test "chunked bodies are read to their end, and bounded" {
	run bash -c 'printf %s "$CALL" | curl -sS -w "\n%{http_code}\n" -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \
		-H "Transfer-Encoding: chunked" --data-binary @- "$URL/mcp/hr"'
	assert_line --index 1 200
	run bash -c 'head -c 5242880 /dev/zero | tr "\0" " " | curl -sS -w "\n%{http_code}\n" -H "Authorization: Bearer $KEY" \
		-H "Content-Type: application/json" -H "Transfer-Encoding: chunked" -H "Expect:" --data-binary @- "$URL/mcp/hr"'
	assert_line --regexp '413$'
}

@test "the journal names the client's address" {
	assert_equal "$(audit_rows '.event == "tool.call"' | head -n 1 | jq -r .remote_ip | sed 's/^::1$/127.0.0.1/')" 127.0.0.1
}

@test "a forwarded address counts only from a trusted proxy: the loopback client is one" {
	mcp hr "$KEY" "$CALL" -H 'X-Forwarded-For: 203.0.113.9'
	run jq -rn 'last(inputs | select(.event == "tool.call")) | .remote_ip' "$AUDIT"
	assert_output --regexp '^(127\.0\.0\.1|::1|203\.0\.113\.9)$'
}

@test "the static pages are served" {
	run curl -sS -o /dev/null -w '%{http_code} %{content_type}' "$URL/"
	assert_output --partial '200 text/html'
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
