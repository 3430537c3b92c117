# The main job: an agent's call crosses the tunnel and comes back.

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

@test "execute_sql answers from the masked snapshot, and its row is in the journal" {
	run mcp fintech "$KEY" "$(sql_call "$SUBJECT" 'SELECT count(*) AS n FROM customers' 41)"
	assert_line --index 1 200
	assert_equal "$(jq -c '[.id, .result.structuredContent.rows, .result.isError // false]' <<<"${lines[0]}")" '[41,[[1]],false]'

	run audit_rows '.event == "tool.call" and .tool == "execute_sql"'
	assert_equal "${#lines[@]}" 1
	assert_equal "$(jq -r '[.tenant_id, .outcome, .actor_kind, (.latency_ms >= 0), (.worker_id | startswith("w_")),
		(.snapshot_id | startswith("snap_")), (.request_id | startswith("req_"))] | @csv' <<<"${lines[0]}")" \
		'"t_fintech","ok","agent",true,true,true,true'
}

@test "the snapshot holds the subject alone" {
	run mcp fintech "$KEY" "$(sql_call "$SUBJECT" 'SELECT count(DISTINCT customer_id) AS n FROM accounts')"
	assert_line --index 1 200
	assert_equal "$(jq -c .result.structuredContent.rows <<<"${lines[0]}")" '[[1]]'
}

@test "a subject that does not exist is a tool error, not a protocol error" {
	run mcp fintech "$KEY" "$(sql_call no-such-subject 'SELECT 1')"
	assert_line --index 1 200
	assert_equal "$(jq -c .result.isError <<<"${lines[0]}")" true
}

@test "a write is refused with a reason, and the snapshot still answers" {
	run mcp fintech "$KEY" "$(sql_call "$SUBJECT" 'DELETE FROM customers')"
	assert_line --index 1 200
	assert_equal "$(jq -c .result.isError <<<"${lines[0]}")" true
	run mcp fintech "$KEY" "$(sql_call "$SUBJECT" 'SELECT count(*) AS n FROM customers')"
	assert_equal "$(jq -c .result.structuredContent.rows <<<"${lines[0]}")" '[[1]]'
}

@test "the tools are listed from the worker's manifest" {
	run mcp fintech "$KEY" '{"jsonrpc":"2.0","id":"a","method":"tools/list"}'
	assert_line --index 1 200
	assert_equal "$(jq -c '[.id, ([.result.tools[].name] | sort)]' <<<"${lines[0]}")" \
		'["a",["execute_sql","get_schema","null_rates"]]'
}

@test "get_schema names the tables and what is masked" {
	run mcp fintech "$KEY" "$(jq -cn --arg s "$SUBJECT" '{jsonrpc:"2.0",id:1,method:"tools/call",params:{name:"get_schema",arguments:{subject_id:$s}}}')"
	assert_line --index 1 200
	assert_equal "$(jq -c '[.result.structuredContent.tables[].name] | index("customers") != null' <<<"${lines[0]}")" true
	assert_output --partial redact
}

@test "the snapshot's meta sidecar is listed for the operator and holds no value" {
	mcp fintech "$KEY" "$(sql_call "$SUBJECT" 'SELECT 1')"
	snapshots() { admin GET /v1/admin/tenants/t_fintech/snapshots | jq -e '.snapshots | length > 0'; }
	wait_until snapshots
	run admin GET /v1/admin/tenants/t_fintech/snapshots
	assert_output --partial masked_columns
	refute_output --partial "$SUBJECT@"
}

@test "/v1/tenants counts the sessions, and /metrics has the guide's four" {
	assert_equal "$(sessions_of fintech)" 1
	assert_equal "$(sessions_of hr)" 0
	run curl -fsS "http://127.0.0.1:$METRICS_PORT/metrics"
	assert_line --regexp '^airlock_cp_tool_calls_total\{tool="execute_sql",outcome="ok"\} [1-9]'
	assert_line --regexp '^airlock_cp_tool_latency_seconds_count\{tool="execute_sql"\} [1-9]'
	assert_line --regexp '^airlock_cp_active_sessions\{tenant_id="t_fintech"\} 1'
	assert_line --regexp '^airlock_cp_hello_total [1-9]'
}

@test "an idle control plane, pool of two and the tunnel daemon, is under 20 MiB" {
	[[ ! $BUILD == */san ]] || skip "a sanitizer build is larger by design"
	[[ $EUID == 0 ]] || skip "the daemons keep secrets, so only root may look at their memory"
	local kib=0 pid
	for pid in $(pid_of tunneld) $(pid_of fcgi-app) $(pgrep -P "$(pid_of fcgi-app)"); do
		kib=$((kib + $(awk '/^Pss:/ { n = $2 } END { print n }' "/proc/$pid/smaps_rollup")))
	done
	echo "PSS: $kib KiB"
	((kib < 20 * 1024))
}

@test "get_schema and the tools cost a model what the manual says" {
	local slug key bytes low high said
	worker_up hr
	worker_up healthcare
	said=$(grep -oE '[0-9.]+ to [0-9.]+ KB of' "$REPO/docs/worker.md")
	read -r low high < <(sed -E 's/([0-9.]+) to ([0-9.]+) KB of/\1 \2/' <<<"$said")
	for slug in fintech hr healthcare; do
		key=$(mint_key "t_$slug")
		bytes=$(mcp "$slug" "$key" "$(jq -cn --arg s "$(first_subject "$slug")" \
			'{jsonrpc:"2.0",id:1,method:"tools/call",params:{name:"get_schema",arguments:{subject_id:$s}}}')" | head -n 1 |
			jq -j '.result.content[0].text' | wc -c)
		# A tenth more or less is no news.
		run awk -v n="$bytes" -v low="$low" -v high="$high" 'BEGIN { print (n > low * 900 && n < high * 1100 ? "as said" : n) }'
		assert_output 'as said'
	done
	bytes=$(mcp fintech "$KEY" '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' | head -n 1 | jq -cj .result.tools | wc -c)
	said=$(grep -oE 'another [0-9.]+ KB, about' "$REPO/docs/worker.md" | grep -oE '[0-9.]+')
	run awk -v n="$bytes" -v kb="$said" 'BEGIN { print (n > kb * 900 && n < kb * 1100 ? "as said" : n) }'
	assert_output 'as said'
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
