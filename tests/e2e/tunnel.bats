# The tunnel as a third party meets it: a worker written from the protocol's documentation alone.

load lib/stack.bash

setup_file() {
	stack_new
	stack_config tunnel.handshake_timeout_ms 4000 # long enough for a busy machine; one test waits for it
	stack_env AIRLOCK_CP_MAX_SESSIONS_PER_TENANT=2
	stack_up
	KEY=$(mint_key t_fintech)
	export KEY
	identity first
	identity second
	identity third
}

teardown_file() { stack_down; }

identity() { # NAME: enrolls a JS worker
	AIRLOCK_ENROLLMENT_TOKEN=$(admin POST /v1/admin/tenants/t_fintech/enrollments '{"name":"js"}' | jq -er .token) \
		"$NODE" "$BATS_TEST_DIRNAME/clients/worker.mjs" "$URL" t_fintech "$STACK/$1.json" enroll-only </dev/null
}

# Runs the worker until the control plane closes the connection.
visit() { # NAME FAULT
	timeout 20 "$NODE" "$BATS_TEST_DIRNAME/clients/worker.mjs" "$URL" t_fintech "$STACK/$1.json" "$2" < <(tail -f /dev/null --pid=$$)
}

# Runs the worker in the background and waits for its session.
attend() { # NAME FAULT
	mkfifo "$STACK/$1.in" 2>/dev/null || true
	"$NODE" "$BATS_TEST_DIRNAME/clients/worker.mjs" "$URL" t_fintech "$STACK/$1.json" "$2" <"$STACK/$1.in" >"$STACK/$1.out" 2>&1 3>&- &
	exec {ATTEND_FD}>"$STACK/$1.in"
	wait_until grep -q HELLO_ACK "$STACK/$1.out"
}

leave() {
	exec {ATTEND_FD}>&-
	wait_until sessions_are fintech 0
}

assert_nacked() { # FAULT REASON
	run visit first "$1"
	assert_line --partial "\"reason\":\"$2\""
	assert_line '{"closed":4401}'
	assert_equal "$(audit_rows '.event == "session.refused"' | tail -n 1 | jq -r .outcome)" "$2"
}

@test "a worker written from the documentation is accepted and answers a call byte for byte" {
	attend first none
	run mcp fintech "$KEY" '{"jsonrpc":"2.0","id":9007199254740993,"method":"tools/call","params":{"name":"echo","arguments":{"a":"ü\u0000"}}}'
	leave
	assert_line --index 1 200
	assert_line --partial '"jsonrpc":"2.0"'
}

@test "NACK unknown_worker" { assert_nacked unknown-worker unknown_worker; }
@test "NACK bad_signature" { assert_nacked other-key bad_signature; }
@test "NACK unsupported_version" { assert_nacked version unsupported_version; }
@test "NACK clock_or_nonce for an old clock" { assert_nacked old-clock clock_or_nonce; }
@test "NACK clock_or_nonce for a wrong echo" { assert_nacked echo clock_or_nonce; }
@test "NACK bad_manifest" { assert_nacked bad-manifest bad_manifest; }
@test "NACK database_url_rejected, and the URL is kept nowhere" {
	assert_nacked database-url database_url_rejected
	run grep -rlaF 'u:p@db' "$STATE" "$LOG"
	assert_failure
}

@test "NACK tenant_suspended" {
	admin PATCH /v1/admin/tenants/t_fintech '{"suspended":true}'
	assert_nacked none tenant_suspended
	admin PATCH /v1/admin/tenants/t_fintech '{"suspended":false}'
}

@test "NACK tenant_session_cap_reached" {
	attend second none
	local second_fd=$ATTEND_FD
	attend third none
	assert_nacked none tenant_session_cap_reached
	leave_fd=$ATTEND_FD
	exec {second_fd}>&-
	exec {leave_fd}>&-
	wait_until sessions_are fintech 0
}

@test "NACK revoked, and a live session of a revoked worker drops at once" {
	identity doomed
	attend doomed none
	admin DELETE "/v1/admin/tenants/t_fintech/workers/$(jq -r .worker_id "$STACK/doomed.json")"
	wait_until grep -q '"closed":4403' "$STACK/doomed.out"
	run visit doomed none
	assert_line --partial '"reason":"revoked"'
}

@test "a second handshake of the same worker replaces the first" {
	attend first none
	local old_fd=$ATTEND_FD
	cp "$STACK/first.out" "$STACK/old.out"
	cp "$STACK/first.json" "$STACK/again.json"
	attend again none
	wait_until grep -q '"closed":4409' "$STACK/first.out"
	assert_equal "$(sessions_of fintech)" 1
	exec {old_fd}>&-
	leave
}

@test "the upgrade without the subprotocol is refused" {
	run visit first no-subprotocol
	refute_output --partial CHALLENGE
}

@test "silence in the handshake ends at its timeout" {
	run visit first silent
	assert_line '{"closed":4408}'
}

@test "garbage ends the connection with 4400 and harms nobody" {
	run visit first garbage
	assert_line '{"closed":4400}'
	assert healthy
}

@test "a worker that breaks the protocol in a call: 502 protocol_error" {
	attend first garbage-result
	run mcp fintech "$KEY" '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}'
	assert_line --index 1 502
	assert_equal "$(jq -c .error.data.code <<<"${lines[0]}")" '"protocol_error"'
	wait_until sessions_are fintech 0
	exec {ATTEND_FD}>&-
}

@test "unknown message types are ignored" {
	attend first unknown-types
	run mcp fintech "$KEY" '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}'
	leave
	assert_line --index 1 200
}

@test "a used enrollment token is refused, once in the journal" {
	local token
	token=$(admin POST /v1/admin/tenants/t_fintech/enrollments '{"name":"once"}' | jq -er .token)
	AIRLOCK_ENROLLMENT_TOKEN=$token "$NODE" "$BATS_TEST_DIRNAME/clients/worker.mjs" "$URL" t_fintech "$STACK/once.json" enroll-only </dev/null
	run env AIRLOCK_ENROLLMENT_TOKEN="$token" "$NODE" "$BATS_TEST_DIRNAME/clients/worker.mjs" "$URL" t_fintech "$STACK/twice.json" enroll-only </dev/null
	assert_failure
	assert_output --partial enrollment_invalid
	assert_equal "$(audit_count '.outcome == "enrollment_invalid"')" 1
}

@test "an impostor control plane learns nothing from a worker" {
	jq '.cp_public_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="' "$STACK/first.json" >"$STACK/pinned.json"
	run visit pinned none
	assert_output --partial impostor
	refute_output --partial HELLO_ACK
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
