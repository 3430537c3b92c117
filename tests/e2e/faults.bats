# Things that break: each has its answer and its one audit row, and service returns by itself.

load lib/stack.bash

setup() {
	# A status tells more than a stream.
	ACCEPT=application/json
	stack_new
	stack_config audit.min_free_bytes 0
}

teardown() {
	stack_down
	small_disk_end
}

ready() {
	stack_up
	worker_up fintech
	KEY=$(mint_key t_fintech)
	SUBJECT=$(first_subject fintech)
	CALL=$(sql_call "$SUBJECT" 'SELECT 1')
	# A statement that runs until somebody stops it.
	SLOW=$(sql_call "$SUBJECT" 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n')
}

call_status() { mcp fintech "$KEY" "$CALL" | tail -n 1; }
call_is() { [[ $(call_status) == "$1" ]]; }

call_in_flight() { admin GET /v1/admin/status | jq -e '.. | .calls_in_flight? // .calls? // empty | numbers | . > 0'; }

@test "no worker: 503 no_worker" {
	ready
	stop worker-fintech
	wait_until sessions_are fintech 0
	run mcp fintech "$KEY" "$CALL"
	assert_line --index 1 503
	assert_equal "$(jq -c '[.id, .error.data.code]' <<<"${lines[0]}")" '[1,"no_worker"]'
	assert_equal "$(audit_count '.event == "tool.call" and .outcome == "no_worker"')" 1
}

@test "a worker that never answers: 504 timeout" {
	stack_config limits.call_timeout_ms 2000
	ready
	wait_until call_is 200
	kill -STOP "$(pid_of worker-fintech)"
	run mcp fintech "$KEY" "$CALL"
	assert_line --index 1 504
	assert_equal "$(jq -c .error.data.code <<<"${lines[0]}")" '"timeout"'
	assert_equal "$(audit_rows '.event == "tool.call"' | tail -n 1 | jq -r .outcome)" timeout
	kill -CONT "$(pid_of worker-fintech)"
	wait_until call_is 200
}

@test "a worker killed in mid-call: 503, one row, and it may come back" {
	ready
	mcp fintech "$KEY" "$SLOW" >"$STACK/answer" &
	local agent=$!
	wait_until call_in_flight
	kill -KILL "$(pid_of worker-fintech)"
	wait "$agent"
	assert_equal "$(tail -n 1 "$STACK/answer")" 503
	assert_equal "$(head -n 1 "$STACK/answer" | jq -c .error.data.code)" '"no_worker"'
	assert_equal "$(audit_count '.event == "tool.call"')" 1
	worker_start fintech
	wait_until call_is 200
}

@test "an agent that hangs up in mid-call: the worker is told, one row says cancelled" {
	ready
	local modern='{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}'
	curl -sS -m 30 -o /dev/null -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' -H 'MCP-Protocol-Version: 2026-07-28' \
		-H 'Mcp-Method: tools/call' -H 'Mcp-Name: execute_sql' \
		--data-binary "$(jq -c --argjson meta "$modern" '.params._meta = $meta' <<<"$SLOW")" "$URL/mcp/fintech" &
	local agent=$!
	wait_until call_in_flight
	kill -KILL "$agent"
	wait_until audit_count_is '.event == "tool.call" and .outcome == "cancelled"' 1
	assert_equal "$(audit_count '.event == "tool.call"')" 1
	assert_equal "$(call_status)" 200
}

@test "a dead tunnel daemon: 503 for agents, writes and health; a new one serves again within moments" {
	ready
	kill -KILL "$(pid_of tunneld)"
	run mcp fintech "$KEY" "$CALL"
	assert_line --index 1 503
	assert_equal "$(jq -c .error.data.code <<<"${lines[0]}")" '"tunnel_daemon_unreachable"'
	local refused
	refused=$(jq -er .error.data.request_id <<<"${lines[0]}")
	# What can't even be kept for later is said to be the audit log's want.
	sqlite3 "$STATE/state.db" "CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'full'); END"
	run mcp fintech "$KEY" "$CALL"
	assert_line --index 1 503
	assert_equal "$(jq -c .error.data.code <<<"${lines[0]}")" '"audit_unavailable"'
	sqlite3 "$STATE/state.db" 'DROP TRIGGER full'
	run admin POST /v1/admin/tenants '{"slug":"lost","name":"Lost"}'
	assert_failure
	assert_equal "$(jq -r .code <<<"$output")" tunnel_daemon_unreachable
	run curl -sS -o /dev/null -w '%{http_code}' "$URL/health"
	assert_output 503
	rm -f "$RUN/dispatch.sock"
	tunneld_up
	wait_until call_is 200
	run admin GET /v1/admin/tenants/t_lost
	assert_failure
	# The refused call's row waited in the state, and is there once.
	wait_until audit_count_is '.event == "mcp.refused" and .outcome == "tunnel_daemon_unreachable" and .request_id == "'"$refused"'"' 1
}

@test "a full disk under the audit log: calls and writes are refused, reads go on, service returns by itself" {
	needs_small_disk size=8m
	AUDIT=$DISK/audit.jsonl
	stack_config server.audit_log_path "$AUDIT"
	stack_env "AIRLOCK_CP_STATE_PATH=$STATE/state.db"
	ready
	assert_equal "$(call_status)" 200
	dd if=/dev/zero of="$DISK/filler" bs=4k 2>/dev/null || true
	local refused=0 i answers
	# What is left of the journal's last page may still take a few rows.
	for i in $(seq 30); do
		[[ $(call_status) != 503 ]] || refused=$((refused + 1))
	done
	((refused > 0))
	run mcp fintech "$KEY" "$CALL"
	assert_line --index 1 503
	assert_equal "$(jq -c .error.data.code <<<"${lines[0]}")" '"audit_unavailable"'
	local last
	last=$(jq -er .error.data.request_id <<<"${lines[0]}")
	assert_equal "$(curl -fsS "http://127.0.0.1:$METRICS_PORT/metrics" | sed -n 's/^airlock_cp_audit_ok //p')" 0
	run grep -c "can't be written (No space left on device): calls and changes are refused" "$LOG/tunneld.log"
	assert_output 1
	run curl -sS -w '\n%{http_code}' "$URL/health"
	assert_line --index 1 503
	run admin POST /v1/admin/tenants '{"slug":"lost","name":"Lost"}'
	assert_equal "$(jq -r .code <<<"$output")" audit_unavailable
	run admin GET /v1/admin/tenants
	assert_success
	answers=$((30 - refused))
	rm "$DISK/filler"
	wait_until call_is 200
	# Every answer that was given has its row, those refused meanwhile too, and the journal is whole lines.
	wait_until audit_count_is '.request_id == "'"$last"'"' 1
	assert_equal "$(audit_rows '.request_id == "'"$last"'"' | jq -c '[.event, .outcome]')" '["mcp.refused","audit_unavailable"]'
	# One before, those that still went through, one after.
	assert_equal "$(audit_count '.event == "tool.call"')" $((answers + 2))
	run jq -ern '[inputs | select(.event == "mcp.refused") | .request_id] | length >= $n and length == (unique | length)' \
		--argjson n $((refused + 1)) "$AUDIT"
	assert_output true
	run jq -es 'map(.seq) == [range(.[0].seq; .[0].seq + length)]' "$AUDIT"
	assert_output true
}

# The journal's writes or syncs fail while "$STACK/fault" says how (tests/crash/fault.c).
failing_disk() {
	preload fault
	stack_env "${PRELOAD[@]}" FAULT_CONTROL="$STACK/fault" FAULT_FILE=audit.jsonl
}

@test "a failing disk under the audit log: refused while it fails, nothing lost, service returns by itself" {
	failing_disk
	ready
	local word answered
	for word in eio enospc sync; do
		assert_equal "$(call_status)" 200
		answered=$(audit_count '.event == "tool.call" and .outcome == "ok"')
		echo "$word" >"$STACK/fault"
		run mcp fintech "$KEY" "$CALL"
		assert_line --index 1 503
		assert_equal "$(jq -c .error.data.code <<<"${lines[0]}")" '"audit_unavailable"'
		run admin GET /v1/admin/tenants
		assert_success
		rm "$STACK/fault"
		wait_until call_is 200
		assert_equal "$(audit_count '.event == "tool.call" and .outcome == "ok"')" $((answered + 1))
	done
	stop tunneld
	run ctl LD_PRELOAD= audit verify
	assert_success
}

@test "rows that were not synced when a sync failed are written again" {
	stack_config audit.fsync interval
	stack_config audit.fsync_interval_ms 1000
	failing_disk
	ready
	local calls=1
	assert_equal "$(call_status)" 200
	echo sync >"$STACK/fault"
	# Answered before the sync that fails; what it lost reads back as zeros then.
	until grep -q "can't be written" "$LOG/tunneld.log"; do
		[[ $(call_status) != 200 ]] || calls=$((calls + 1))
	done
	rm "$STACK/fault"
	wait_until call_is 200
	stop tunneld
	run grep -caP '\x00' "$AUDIT"
	assert_output 0
	assert_equal "$(audit_count '.event == "tool.call" and .outcome == "ok"')" $((calls + 1))
	run ctl LD_PRELOAD= audit verify
	assert_success
}

@test "a last line that a crash tore is set aside, and a row says so" {
	ready
	stop tunneld KILL
	printf '{"v":1,"seq":99' >>"$AUDIT"
	rm -f "$RUN/dispatch.sock"
	tunneld_up
	wait_until audit_count_is '.event == "journal.repaired"' 1
	assert_equal "$(audit_rows '.event == "journal.repaired"' | jq -c '[.actor_kind, .outcome, .change]')" '["system","ok",{"bytes":15}]'
	recorded() { [[ -e $STATE/$(audit_rows '.event == "journal.repaired"' | jq -r .target) ]]; }
	wait_until recorded
	wait_until call_is 200
	stop tunneld
	run ctl LD_PRELOAD= audit verify
	assert_success
}

@test "the pool survives the death of a process" {
	ready
	local child
	child=$(pgrep -P "$(pid_of fcgi-app)" | head -n 1)
	kill -KILL "$child"
	wait_until call_is 200
	two() { [[ $(pgrep -cP "$(pid_of fcgi-app)") == 2 ]]; }
	wait_until two
}

@test "the control plane drains on SIGTERM: a running call is finished, the worker comes back to the next one" {
	ready
	local medium
	medium=$(sql_call "$SUBJECT" 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000000) SELECT count(*) FROM n')
	mcp fintech "$KEY" "$medium" >"$STACK/answer" &
	local agent=$!
	wait_until call_in_flight
	stop tunneld
	wait "$agent"
	assert_equal "$(tail -n 1 "$STACK/answer")" 200
	tunneld_up
	wait_until sessions_are fintech 1
	assert_equal "$(call_status)" 200
}
