# Many API keys that are not verified yet, as after a restart of the pool: they wait in one line, and hold nobody up.

load lib/stack.bash

PING='{"jsonrpc":"2.0","id":1,"method":"ping"}'
KEYS=40

# One slot for Argon2, and hardly a thread: whatever waited in one would be noticed.
setup_file() {
	stack_new
	stack_config pool.processes 1
	stack_config pool.threads 2
	stack_config limits.argon2_concurrency 1
	stack_config limits.key_wait_ms 60000
	preload hold
	stack_env AIRLOCK_CP_LOG_LEVEL=DEBUG "${PRELOAD[@]}" HOLD_FILE="$STACK/hold"
	touch "$STACK/hold"
	stack_up
	worker_up fintech
	CALL=$(sql_call "$(first_subject fintech)" 'SELECT 1')
	KNOWN=$(mint_key t_fintech)
	export CALL KNOWN
}

teardown_file() { stack_down; }

teardown() { assert_logs_clean; }

# A new pool, that knows one key.
restart() {
	stop fcgi-app
	: >"$LOG/fcgi-app.log"
	app_up
	wait_until healthy
	run mcp fintech "$KNOWN" "$PING"
	assert_line --index 1 200
	: >"$STACK/hold"
}

# From now on no verification begins, until go_on.
hold() {
	exec {HOLD}>>"$STACK/hold"
	flock -x "$HOLD"
}
go_on() { flock -u "$HOLD"; }

# ping KEY FILE: in the background; its status and its headers.
ping() {
	mcp fintech "$1" "$PING" -o /dev/null -D "$2.headers" >"$2" 3>&- 4>&- &
	PINGS+=($!)
}

# Verifications that have begun, or are held.
runs_are() { [[ $(stat -c %s "$STACK/hold") == "$1" ]]; }
waiting() { grep -c 'the key waits to be verified' "$LOG/fcgi-app.log"; }
waiting_is() { [[ $(waiting) == "$1" ]]; }

@test "different keys at once after a restart all get through, and others meanwhile" {
	local keys=() i out=$BATS_TEST_TMPDIR/out
	for ((i = 0; i < KEYS; i++)); do
		keys+=("$(mint_key t_fintech)")
	done
	restart
	hold
	mkdir "$out"
	PINGS=()
	for ((i = 0; i < KEYS; i++)); do
		ping "${keys[i]}" "$out/$i"
	done
	# One of them has its turn.
	wait_until waiting_is $((KEYS - 1))
	run mcp fintech "$KNOWN" "$PING"
	assert_line --index 1 200
	run mcp fintech "$KNOWN" "$CALL"
	assert_line --index 1 200
	run mcp fintech "alk_nobody_${KNOWN##*_}" "$PING"
	assert_line --index 1 401
	run mcp fintech "$(wrong_key "$KNOWN")" "$PING"
	assert_line --index 1 401
	admin GET /v1/admin/tenants
	mint_key t_fintech
	assert_equal "$(cat "$out"/* | wc -c)" 0
	go_on
	wait "${PINGS[@]}"
	assert_equal "$(cat "$out"/[0-9]*[0-9] "$out"/[0-9] | grep . | sort | uniq -c | xargs)" "$KEYS 200"
	# From memory from now on.
	for i in 0 $((KEYS - 1)); do
		run mcp fintech "${keys[i]}" "$PING"
		assert_line --index 1 200
	done
	assert_equal "$(waiting)" $((KEYS - 1))
	runs_are "$KEYS"
	assert_equal "$(audit_count '.event == "access.refused" and .outcome == "overloaded"')" 0
}

@test "an agent that hangs up while its key waits leaves the line" {
	local first second out=$BATS_TEST_TMPDIR
	first=$(mint_key t_fintech)
	second=$(mint_key t_fintech)
	restart
	hold
	PINGS=()
	ping "$first" "$out/first"
	wait_until runs_are 1
	curl -sS -m 60 -H "Authorization: Bearer $second" -H 'Content-Type: application/json' -H 'Accept: application/json' \
		--data-binary "$PING" "$URL/mcp/fintech" 3>&- 4>&- &
	wait_until waiting_is 1
	kill $!
	wait_until grep -q 'hung up before its key was verified' "$LOG/fcgi-app.log"
	go_on
	wait "${PINGS[@]}"
	assert_equal "$(xargs <"$out/first")" 200
	# Nobody verified it.
	runs_are 1
	run mcp fintech "$second" "$PING"
	assert_line --index 1 200
	runs_are 2
}

@test "a key that is revoked while it waits is refused" {
	local first second out=$BATS_TEST_TMPDIR
	first=$(mint_key t_fintech)
	second=$(mint_key t_fintech)
	restart
	hold
	PINGS=()
	ping "$first" "$out/first"
	wait_until runs_are 1
	ping "$second" "$out/second"
	wait_until waiting_is 1
	admin DELETE "/v1/admin/tenants/t_fintech/keys/$(cut -d_ -f2 <<<"$second")"
	go_on
	wait "${PINGS[@]}"
	assert_equal "$(xargs <"$out/first")" 200
	assert_equal "$(xargs <"$out/second")" 401
}

@test "a key that has waited too long is told that there is too much, and may come again" {
	local first second out=$BATS_TEST_TMPDIR row='.event == "access.refused" and .outcome == "overloaded"'
	first=$(mint_key t_fintech)
	second=$(mint_key t_fintech)
	stack_config limits.key_wait_ms 100
	restart
	hold
	PINGS=()
	ping "$first" "$out/first"
	wait_until runs_are 1
	run mcp fintech "$second" "$PING" -D "$out/headers"
	assert_line --index 1 429
	assert_equal "$(jq -r .code <<<"${lines[0]}")" overloaded
	run grep -i '^retry-after: [1-9]' "$out/headers"
	assert_success
	assert_equal "$(audit_count "$row")" 1
	assert_equal "$(cat "$out/first")" ''
	go_on
	wait "${PINGS[@]}"
	assert_equal "$(xargs <"$out/first")" 200
	run mcp fintech "$second" "$PING"
	assert_line --index 1 200
}
