# Everything that is refused: its status, its body, its one audit row, and no other effect.

load lib/stack.bash

setup_file() {
	stack_new
	stack_up
	worker_up fintech
	KEY=$(mint_key t_fintech)
	SUBJECT=$(first_subject fintech)
	export KEY SUBJECT
	CALL=$(sql_call "$SUBJECT" 'SELECT 1')
	export CALL
}

teardown_file() { stack_down; }

setup() { ROWS_BEFORE=$(rows | wc -l); }

# The journal without the lines that come by time.
rows() { grep -vE '"event":"(checkpoint|worker\.vouch)"' "$AUDIT"; }

# Only one row came into the journal since setup(), and it matches.
assert_one_row() {
	assert_equal "$(rows | wc -l)" $((ROWS_BEFORE + 1))
	assert_equal "$(rows | tail -n 1 | jq -c "$1")" "$2"
}

@test "a wrong key is 401 with the way to the metadata" {
	run mcp fintech "$(wrong_key "$KEY")" "$CALL" -D "$BATS_TEST_TMPDIR/headers"
	assert_line --index 1 401
	assert_equal "$(jq -r .code <<<"${lines[0]}")" unauthorized
	run grep -i '^www-authenticate: Bearer resource_metadata=' "$BATS_TEST_TMPDIR/headers"
	assert_output --partial "/.well-known/oauth-protected-resource/mcp/fintech"
	assert_one_row '[.event, .outcome]' '["access.refused","unauthorized"]'
}

@test "no key at all is 401" {
	run curl -sS -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' --data "$CALL" "$URL/mcp/fintech"
	assert_output 401
	assert_one_row '[.event, .outcome]' '["access.refused","unauthorized"]'
}

@test "another tenant's key and an unknown tenant look the same" {
	local other
	other=$(mint_key t_hr)
	ROWS_BEFORE=$(rows | wc -l)
	run mcp fintech "$other" "$CALL"
	assert_line --index 1 401
	local first
	first=$(jq -c 'del(.request_id)' <<<"${lines[0]}")
	assert_one_row '[.event, .outcome]' '["access.refused","unauthorized"]'
	ROWS_BEFORE=$((ROWS_BEFORE + 1))
	run mcp no-such-tenant "$other" "$CALL"
	assert_line --index 1 401
	assert_one_row '[.event, .outcome, .tenant_id]' '["access.refused","unauthorized",null]'
	assert_equal "$(jq -c 'del(.request_id)' <<<"${lines[0]}")" "$first"
}

@test "a revoked key is refused on the very next request by every process of the pool" {
	local key id i
	key=$(mint_key t_fintech)
	id=$(cut -d_ -f2 <<<"$key")
	for i in $(seq 40); do
		run mcp fintech "$key" '{"jsonrpc":"2.0","id":1,"method":"ping"}'
		assert_line --index 1 200
	done
	admin DELETE "/v1/admin/tenants/t_fintech/keys/$id"
	for i in $(seq 40); do
		ROWS_BEFORE=$(rows | wc -l)
		run mcp fintech "$key" '{"jsonrpc":"2.0","id":1,"method":"ping"}'
		assert_line --index 1 401
		assert_equal "$(jq -r .code <<<"${lines[0]}")" unauthorized
		assert_one_row '[.event, .outcome]' '["access.refused","unauthorized"]'
	done
}

@test "a key that may not call a tool is denied, and the worker never hears of it" {
	local key
	key=$(mint_key t_fintech '"tools":["get_schema"]')
	ROWS_BEFORE=$(rows | wc -l)
	run mcp fintech "$key" "$CALL"
	assert_line --index 1 403
	assert_equal "$(jq -c '[.id, .error.data.code]' <<<"${lines[0]}")" '[1,"denied"]'
	assert_one_row '[.event, .outcome, .tool]' '["tool.call","denied","execute_sql"]'
	run mcp fintech "$key" '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
	assert_equal "$(jq -c '[.result.tools[].name]' <<<"${lines[0]}")" '["get_schema"]'
}

@test "an expired key is refused" {
	local key
	key=$(mint_key t_fintech '"expires_in_s":1')
	expired() { [[ $(mcp fintech "$key" '{"jsonrpc":"2.0","id":1,"method":"ping"}' | tail -n 1) == 401 ]]; }
	wait_until expired
}

@test "a key over its rate gets 429 and Retry-After" {
	local key
	key=$(mint_key t_fintech '"rate_per_minute":2')
	mcp fintech "$key" "$CALL"
	mcp fintech "$key" "$CALL"
	run mcp fintech "$key" "$CALL" -D "$BATS_TEST_TMPDIR/headers"
	assert_line --index 1 429
	assert_equal "$(jq -c .error.data.code <<<"${lines[0]}")" '"rate_limited"'
	assert grep -qi '^retry-after: [1-9]' "$BATS_TEST_TMPDIR/headers"
}

@test "a body over the limit is 413" {
	head -c $((5 * 1024 * 1024)) /dev/zero | tr '\0' ' ' >"$BATS_TEST_TMPDIR/big"
	run curl -sS -w '\n%{http_code}\n' -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \
		-H 'Expect:' --data-binary @"$BATS_TEST_TMPDIR/big" "$URL/mcp/fintech"
	assert_line --index 1 413
	assert_equal "$(jq -r .code <<<"${lines[0]}")" too_large
	assert_one_row '[.event, .outcome, .tenant_id]' '["mcp.refused","too_large","t_fintech"]'
}

@test "a body that even the web server won't take is 413 in the same form" {
	head -c $((9 * 1024 * 1024)) /dev/zero | tr '\0' ' ' >"$BATS_TEST_TMPDIR/big"
	run curl -sS -w '\n%{http_code}\n' -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \
		-H 'Expect:' --data-binary @"$BATS_TEST_TMPDIR/big" "$URL/mcp/fintech"
	assert_line --index 1 413
	assert_equal "$(jq -r .code <<<"${lines[0]}")" too_large
}

@test "a chunked body over the limit is 413 too" {
	run bash -c 'head -c 5242880 /dev/zero | tr "\0" " " | curl -sS -w "\n%{http_code}\n" -H "Authorization: Bearer $KEY" \
		-H "Content-Type: application/json" -H "Transfer-Encoding: chunked" -H "Expect:" --data-binary @- "$URL/mcp/fintech"'
	assert_line --index 1 413
}

@test "malformed JSON is 400 with -32700, and nothing is relayed" {
	run mcp fintech "$KEY" '{"jsonrpc":"2.0","id":1,"method":"tools/call"'
	assert_line --index 1 400
	assert_output --partial -32700
	assert_one_row '[.event, .outcome, .tenant_id]' '["mcp.refused","invalid_json","t_fintech"]'
}

@test "a body that is no JSON by its type is 415" {
	run curl -sS -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $KEY" -H 'Content-Type: text/plain' --data "$CALL" "$URL/mcp/fintech"
	assert_output 415
	assert_one_row '[.event, .outcome]' '["mcp.refused","unsupported_media_type"]'
}

@test "a duplicated protocol header is refused by name" {
	run mcp fintech "$KEY" "$CALL" -H 'Mcp-Method: tools/call' -H 'Mcp-Method: ping'
	assert_line --index 1 400
	assert_equal "$(jq -r .code <<<"${lines[0]}")" ambiguous_header
	assert_one_row '[.event, .outcome]' '["mcp.refused","ambiguous_header"]'
}

@test "a duplicated Authorization header is refused" {
	run curl -sS -w '\n%{http_code}\n' -H "Authorization: Bearer $KEY" -H 'Authorization: Bearer x' \
		-H 'Content-Type: application/json' --data "$CALL" "$URL/mcp/fintech"
	assert_line --regexp '^(400|401)$'
	refute_output --partial structuredContent
}

@test "a header smuggled with an underscore does not count" {
	run curl -sS -o /dev/null -w '%{http_code}' -H "Mcp_Method: ping" -H "Authorization: Bearer $KEY" \
		-H 'Content-Type: application/json' --data '{"jsonrpc":"2.0","id":1,"method":"ping"}' "$URL/mcp/fintech"
	assert_output 200
}

@test "a foreign Origin is 403, a foreign Host is refused" {
	run mcp fintech "$KEY" "$CALL" -H 'Origin: https://evil.example'
	assert_line --index 1 403
	run mcp fintech "$KEY" "$CALL" -H 'Host: evil.example'
	refute_output --partial structuredContent
	assert_line --regexp '^4[0-9][0-9]$'
}

@test "what is not there is a quick 404 problem" {
	local path
	for path in /v1/nothing /.well-known/oauth-authorization-server /.well-known/openid-configuration/mcp/fintech \
		/mcp/fintech/.well-known/openid-configuration; do
		run curl -sS -w '\n%{http_code}\n' "$URL$path"
		assert_line --index 1 404
		assert_equal "$(jq -r .code <<<"${lines[0]}")" not_found
	done
}

@test "the admin API refuses a wrong token, once in the journal, and an API key there" {
	run curl -sS -w '\n%{http_code}\n' -H 'Authorization: Bearer wrong' "$URL/v1/admin/tenants"
	assert_line --index 1 401
	assert_equal "$(jq -r .code <<<"${lines[0]}")" unauthorized
	assert_one_row '[.event, .outcome]' '["access.refused","unauthorized"]'
	run curl -sS -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $KEY" "$URL/v1/admin/tenants"
	assert_output 401
}

@test "the operator token is no API key" {
	run mcp fintech "$OPERATOR_TOKEN" "$CALL"
	assert_line --index 1 401
}

@test "a suspended tenant is refused and its tunnel drops; resumed, it serves again" {
	admin PATCH /v1/admin/tenants/t_fintech '{"suspended":true}'
	run mcp fintech "$KEY" "$CALL"
	assert_line --index 1 403
	assert_equal "$(sessions_of fintech)" 0
	admin PATCH /v1/admin/tenants/t_fintech '{"suspended":false}'
	wait_until sessions_are fintech 1
	run mcp fintech "$KEY" "$CALL"
	assert_line --index 1 200
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
