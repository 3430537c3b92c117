# docs/audit-log.schema.json against the log of a control plane that has been through what there is to write down.

load lib/stack.bash

SCHEMA=$BATS_TEST_DIRNAME/../../docs/audit-log.schema.json
CHECK=$BATS_TEST_DIRNAME/lib/audit-schema.mjs
ACME=/v1/admin/tenants/t_acme
FINTECH=/v1/admin/tenants/t_fintech

teardown() { stack_down; }

# in_schema JQ: the texts of a list in the schema, sorted.
in_schema() { jq -er "$1" "$SCHEMA" | LC_ALL=C sort; }

patch_acme() { admin PATCH "$ACME" "$1"; }

# A tool, of a server behind the worker, whose title is that from now on.
changing_tool() {
	mkdir -p "$STACK/changing"
	jq -cn --arg t "$1" '[{name:"alpha",title:$t,inputSchema:{type:"object"}}]' >"$STACK/changing.json"
	mv "$STACK/changing.json" "$STACK/changing/tools.json"
}

# What operators do, with everything that a row may say about it.
administer() {
	local key id
	admin POST /v1/admin/tenants '{"slug":"acme","name":"Acmé & \"Söhne\""}'
	patch_acme '{"name":"Acme"}'
	patch_acme '{"audit_keep_days":30}'
	patch_acme '{"suspended":true}'
	patch_acme '{"suspended":false}'
	key=$(admin POST "$ACME/keys" '{"name":"all","expires_in_s":3600,"rate_per_minute":9,"tools":["execute_sql"]}')
	admin DELETE "$ACME/keys/$(jq -er .id <<<"$key")"
	admin POST "$FINTECH/tools/pins" '{"tool":"alpha"}'
	changing_tool second
	wait_until audit_count_is '.event == "tool.changed"' 1
	admin POST "$FINTECH/tools/pins" '{"tool":"alpha"}'
	admin DELETE "$FINTECH/tools/pins?tool=alpha"
	id=$(admin POST "$ACME/enrollments" '{"name":"db-1"}' | jq -er .id)
	admin DELETE "$ACME/enrollments/$id"
	admin DELETE "$ACME"
	curl -fsS -o /dev/null -H 'Content-Type: application/json' -H "Origin: $URL" \
		--data "{\"operator_token\":\"$OPERATOR_TOKEN\"}" "$URL/v1/session"
	admin GET '/v1/admin/audit/export?format=csv&tenant=fintech&q=key' >/dev/null
}

status_of() { # EXPECTED mcp-arguments
	local expected=$1
	shift
	run mcp "$@"
	assert_line --index 1 "$expected"
}

# What agents do: calls that go well, calls that don't, and what is refused before it is one.
call() {
	local limited call
	call=$(sql_call "$(first_subject fintech)" 'SELECT count(*) AS n FROM customers')
	limited=$(mint_key t_fintech '"tools":["some_other"]')
	status_of 200 fintech "$KEY" "$call"
	status_of 200 fintech "$KEY" "$(sql_call nobody 'SELECT 1')"
	status_of 200 fintech "$KEY" '{"jsonrpc":"2.0","id":2,"method":"prompts/list"}'
	status_of 403 fintech "$limited" "$call"
	status_of 401 fintech "$(wrong_key "$KEY")" "$call"
	status_of 503 hr "$(mint_key t_hr)" "$call"
	status_of 400 fintech "$KEY" '{'
	# Its result comes when the call has ended.
	kill -STOP "$(pid_of worker-fintech)"
	run mcp fintech "$KEY" "$call"
	assert_output --partial '"code":"timeout"'
	kill -CONT "$(pid_of worker-fintech)"
	wait_until audit_count_is '.event == "call.late"' 1
}

# A stream, one more than there may be, and the end of the first; and somebody who watches the log.
listen() {
	local pid
	curl -sSN -m 60 -o "$STACK/stream" -H "Authorization: Bearer $KEY" -H 'Accept: text/event-stream' "$URL/mcp/fintech" 3>&- &
	pid=$!
	wait_until grep -q : "$STACK/stream"
	status_of 429 fintech "$KEY" '' -X GET -H 'Accept: text/event-stream'
	kill "$pid"
	wait_until audit_count_is '.event == "stream.close"' 1
	curl -sSN -m 60 -o /dev/null -H "Authorization: Bearer $OPERATOR_TOKEN" "$URL/v1/admin/audit/stream?event=tool.call" 3>&- &
	pid=$!
	wait_until audit_count_is '.event == "audit.stream"' 1
	kill "$pid"
}

# As soon as a checkpoint vouches for the last of its rows.
bundle() {
	curl -fsS -m 30 -o "$STACK/bundle.jsonl" -H "Authorization: Bearer $OPERATOR_TOKEN" "$URL/v1/admin/audit/export?format=bundle&tenant=acme"
}

# The worker leaves, signing for its calls, and is refused when it comes again.
revoke() {
	local id
	stop worker-fintech
	wait_until audit_count_is '.event == "session.close"' 1
	id=$(audit_rows '.event == "worker.enroll"' | jq -er .worker_id)
	admin DELETE "/v1/admin/tenants/t_fintech/workers/$id"
	worker_start fintech
	wait_until audit_rows_any '.event == "session.refused"'
}

audit_rows_any() { [[ $(audit_count "$1") -ge 1 ]]; }

# Lines that a log has only after days, as docs/audit-log.md has them; and a checkpoint of an older version.
lines_of_old_logs() {
	local hash head key sig
	hash=$(sha256sum </dev/null | cut -d' ' -f1)
	key=$(head -c 32 /dev/zero | base64 -w 0)
	sig=$(head -c 64 /dev/zero | base64 -w 0)
	head='"ts":"2026-11-23T21:04:05.678Z","event"'
	cat <<-END
		{"v":1,"seq":1,$head:"seal","last":4711,"count":90,"digest":"$hash","key":"$key","sig":"$sig","prev":"$hash"}
		{"v":1,"seq":1,"event":"expired","hash":"$hash","prev":"$hash"}
		{"v":1,"seq":2,$head:"checkpoint","count":1,"head":"$hash","key":"$key","sig":"$sig","prev":"$hash"}
		{"v":1,"seq":3,$head:"audit.expire","actor_kind":"system","outcome":"ok","target":"audit-1-9.jsonl","change":{"first":1,"last":9,"rows":3},"prev":"$hash"}
		{"v":1,"seq":4,$head:"audit.delete","actor_kind":"system","outcome":"ok","target":"audit-1-9.jsonl","change":{"first":1,"last":9,"hash":"$hash","reason":"age"},"prev":"$hash"}
	END
}

@test "each line of a log is what the schema says, and nothing near to it is" {
	stack_new
	printf 'tenants:\n  t_old: {name: Old}\n' >"$STATE/state.yaml"
	stack_env "AIRLOCK_CP_STATE_PATH=$STATE/state.yaml"
	stack_config limits.call_timeout_ms 3000
	stack_config limits.streams_per_tenant 1
	stack_config limits.stream_keepalive_ms 300
	stack_config audit.checkpoint_rows 5
	stack_up
	worker_enroll fintech
	changing_tool first
	cat >>"$STACK/workers/worker-fintech/airlock.yaml" <<-YAML
		upstreams:
		  - {name: t, prefix: "", command: ["$NODE", "$BATS_TEST_DIRNAME/lib/tools-server.mjs", "$STACK/changing/tools.json"]}
	YAML
	worker_start fintech
	wait_until sessions_are fintech 1
	KEY=$(mint_key t_fintech)
	administer >/dev/null
	call
	listen
	revoke >/dev/null
	stop tunneld KILL
	printf '{"v":1,"seq":' >>"$AUDIT"
	tunneld_up
	wait_until healthy
	wait_until audit_count_is '.event == "journal.repaired"' 1
	wait_until bundle
	stack_down
	lines_of_old_logs >"$STACK/old.jsonl"

	run "$NODE" "$CHECK" "$SCHEMA" "$AUDIT" "$STACK/bundle.jsonl" "$STACK/old.jsonl"
	assert_success
	# Every event there is, and every other form of a line.
	assert_output --regexp "^[0-9]+ lines: $(in_schema '.["$defs"].row.properties.event.enum[], "bundle", "checkpoint", "seal", "stamp", "expired", "withheld"' | paste -sd ' ')\$"
	# Beside ok: what the calls, and the streams, came to.
	run jq -r 'select(.outcome) | .outcome' "$AUDIT"
	for outcome in ok tool_error denied no_worker timeout unauthorized invalid_json overloaded client_gone revoked; do
		assert_line "$outcome"
	done
	assert_logs_clean
}

# table FILE MACRO: the texts of an X table, sorted.
table() {
	sed -n "/define $2(X)/,/[^\\\\]\$/p" "$REPO/$1" | sed -n 's/.*X([A-Z_]*, "\([a-z_.]*\)".*/\1/p' | LC_ALL=C sort
}

enum_for() { in_schema ".[\"\$defs\"].row.allOf[] | select(.if.properties.event.const == \"$1\") | .then.properties.outcome.enum // empty | .[]"; }

# members NAME...: those of the schema, sorted.
members() { in_schema ".[\"\$defs\"].$1.properties | keys[]"; }

# of_table FIRST LAST: the members that the documentation's table between two lines names, and those of every line.
of_table() {
	{
		sed -n "/$1/,/$2/p" "$REPO/docs/audit-log.md" | sed -n 's/^| \(`[^|]*\) |.*/\1/p' | grep -oE '[a-z]+'
		printf '%s\n' v event
	} | LC_ALL=C sort -u
}

@test "the schema has the members of a stamp and of a bundle's first line that the documentation has" {
	assert_equal "$(members stamp)" "$(of_table '"event":"stamp","from"' '^What is signed')"
	assert_equal "$(members bundle)" "$(grep -m 1 -oE '"format":"airlock-cp audit bundle v1".*' "$REPO/docs/audit-log.md" | grep -oE '"[a-z]+":' | tr -d '":' | cat - <(echo v) | LC_ALL=C sort)"
}

@test "the schema knows the outcomes that the program has, and the events of the documentation" {
	assert_equal "$(in_schema '.["$defs"].call_outcome.enum[]')" "$(table tunneld/outcome.h OUTCOME_TABLE)"
	assert_equal "$(enum_for session.close)" "$(table tunneld/tunnel.h TUNNEL_END_TABLE)"
	assert_equal "$(enum_for session.refused)" "$(table shared/handshake.h NACK_TABLE)"
	assert_equal "$(enum_for stream.close)" "$(table tunneld/listen.h LISTEN_END_TABLE)"
	assert_equal "$(in_schema '.["$defs"].row.properties.event.enum[], "checkpoint"')" \
		"$(sed -n '/^## Events/,/^What `change`/p' "$REPO/docs/audit-log.md" | grep -oE '`[a-z]+\.[a-z]+`|`checkpoint`' | tr -d '`' | LC_ALL=C sort -u)"
}
