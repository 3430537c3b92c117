# Watching the audit log of a whole control plane, behind both web servers.

load lib/stack.bash

setup_file() {
	stack_new
	stack_config audit.rotate_bytes 20000
	stack_config audit.stream_keepalive_ms 200
	stack_config audit.stream_backlog_bytes 16KiB
	stack_up
}

# The last test has a stack of its own.
setup() { SHARED=$STACK; }
teardown() { [[ $STACK == "$SHARED" ]] || stack_down; }
teardown_file() { stack_down; }

# watch NAME [QUERY [curl options]]: follows the stream into $STACK/NAME; returns when it has begun.
watch() {
	local name=$1 query=${2:-}
	shift $(($# < 2 ? $# : 2))
	curl -sSN -H "Authorization: Bearer $OPERATOR_TOKEN" "$@" "$URL/v1/admin/audit/stream?$query" >"$STACK/$name" 2>/dev/null &
	echo $! >"$STACK/$name.pid"
	wait_until grep -q '^event: start' "$STACK/$name"
}
unwatch() { kill "$(cat "$STACK/$1.pid")" 2>/dev/null || true; }
rows_of() { sed -n 's/^data: \({"v":1.*\)/\1/p' "$STACK/$1"; }
has_row() { rows_of "$1" | grep -qF "$2"; }
streams_are() { [[ $(curl -fsS "http://127.0.0.1:$METRICS_PORT/metrics" | sed -n 's/^airlock_cp_audit_streams //p') == "$1" ]]; }
tenant() { admin POST /v1/admin/tenants "{\"slug\":\"$1\",\"name\":\"$1\"}" >/dev/null; }

@test "rows come as they are written, the log's own lines, with signs of life" {
	watch all
	watch some 'event=tenant.*&tenant=red'
	tenant red
	tenant blue
	wait_until has_row all '"target":"t_blue"'
	wait_until has_row some '"target":"t_red"'
	wait_until grep -q '^:$' "$STACK/some"
	unwatch all
	unwatch some
	assert_equal "$(rows_of some | wc -l)" 1
	# Byte for byte, and without a gap from the first to the last.
	first=$(rows_of all | head -n 1 | jq .seq)
	assert_equal "$(rows_of all)" "$(log_lines | tail -n "+$first" | head -n "$(rows_of all | wc -l)")"
	assert_equal "$(grep -c '^id: ' "$STACK/all")" $(($(rows_of all | wc -l) + 1))
}

@test "who comes back is given what was missed, over rotations" {
	watch before
	unwatch before
	last=$(sed -n 's/^id: //p' "$STACK/before" | tail -n 1)
	for i in $(seq 60); do
		tenant "t$i"
	done
	wait_until compgen -G "$STATE/audit-0*.jsonl"
	stop tunneld
	tunneld_up
	wait_until healthy
	watch again 'event=tenant.create' -H "Last-Event-ID: $last"
	wait_until has_row again '"target":"t_t60"'
	tenant after
	wait_until has_row again '"target":"t_after"'
	unwatch again
	assert_equal "$(rows_of again | jq -r .tenant_id | tr '\n' ' ')" "$(printf 't_t%d ' $(seq 60))t_after "
}

@test "nobody is let in without a credential, and a ticket is no address" {
	run curl -sS -o /dev/null -w '%{http_code}' "$URL/v1/admin/audit/stream"
	assert_output 401
	run curl -sS -o /dev/null -w '%{http_code}' "$URL/.airlock/audit/aaaaaaaaaaaaaaaaaaaaaaaaaa"
	assert_output 404
	run curl -sS --unix-socket "$RUN/audit.sock" -o /dev/null -w '%{http_code}' http://x/.airlock/audit/aaaaaaaaaaaaaaaaaaaaaaaaaa
	assert_output 404
	run admin GET '/v1/admin/audit/stream?since=2026-01-01'
	assert_output --partial '"code":"invalid_field"'
	run curl -sS -H "Authorization: Bearer $OPERATOR_TOKEN" -H 'Last-Event-ID: x' "$URL/v1/admin/audit/stream"
	assert_output --partial 'Last-Event-ID must be'
}

@test "a session is told its own org's rows alone" {
	tenant ours
	tenant theirs
	sqlite3 "$STATE/state.db" "INSERT INTO orgs VALUES ('o_other', 'Other', 0); UPDATE tenants SET org_id = 'o_other' WHERE id = 't_theirs'"
	OPERATOR_TOKEN=$(session o_other viewer) watch theirs
	OPERATOR_TOKEN=$(session o_default viewer) watch ours
	rename() { admin PATCH "/v1/admin/tenants/t_$1" "{\"name\":\"$2\"}" >/dev/null; }
	rename ours one
	rename theirs two
	rename ours three
	wait_until has_row theirs tenant.rename
	wait_until eval '(($(rows_of ours | grep -c tenant.rename) == 2))'
	unwatch theirs
	unwatch ours
	assert_equal "$(rows_of theirs | jq -r .tenant_id | sort -u)" t_theirs
	assert_equal "$(rows_of ours | jq -r .tenant_id | sort -u)" t_ours
}

@test "airlockctl follows, over a restart" {
	wait_until streams_are 0
	AIRLOCK_CP_PUBLIC_URL=$URL AIRLOCK_CP_OPERATOR_TOKEN=$OPERATOR_TOKEN "$BIN/airlockctl" audit tail --event tenant.create >"$STACK/tail" 2>"$STACK/tail.err" &
	tail=$!
	wait_until streams_are 1
	tenant first-one
	wait_until grep -q '"t_first-one"' "$STACK/tail"
	stop tunneld
	tunneld_up
	wait_until healthy
	wait_until streams_are 1
	tenant second-one
	wait_until grep -q '"t_second-one"' "$STACK/tail"
	kill "$tail"
	assert_equal "$(cat "$STACK/tail")" "$(audit_rows '.event == "tenant.create"' | tail -n 2)"
	run env AIRLOCK_CP_PUBLIC_URL="$URL" AIRLOCK_CP_OPERATOR_TOKEN=wrong "$BIN/airlockctl" audit tail
	assert_failure 1
}

@test "a restart of the daemon says so to those who watch" {
	watch until
	stop tunneld
	wait_until grep -q '^data: {"reason":"draining"}' "$STACK/until"
	tunneld_up
	wait_until healthy
	assert_equal "$(audit_count '.event == "audit.stream"')" "$(audit_count '.event == "audit.stream" and .outcome == "ok"')"
	assert_logs_clean
}

# tunneld_memory VmRSS|VmHWM: what it has, and the most it had.
tunneld_memory() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(pid_of tunneld)/status"; }

# AUDIT_LISTENERS=1000 is what `make soak` asks for.
@test "very many watch, and each is given every row" {
	local count=${AUDIT_LISTENERS:-100} before
	wait_until streams_are 0
	before=$(tunneld_memory VmRSS)
	coproc MANY { /usr/bin/python3 "$REPO/tests/e2e/lib/streams.py" many "$URL" "$OPERATOR_TOKEN" "$count" 2>&1; }
	exec {said}<&"${MANY[0]}" # bash closes its own when the program ends, read or not
	read -r -t 120 line <&"$said"
	assert_equal "$line" open
	assert streams_are "$count"
	for i in $(seq 5); do
		tenant "many-$i"
	done
	tenant last
	echo >&"${MANY[1]}"
	read -r -t 120 line <&"$said"
	exec {said}<&-
	assert_equal "$line" "$count streams, 6 rows each"
	[[ -z ${AUDIT_LISTENERS:-} ]] || echo "# $line through $FRONT; memory of airlock-tunneld: $before before, $(tunneld_memory VmHWM) at most" >&3
	wait_until streams_are 0
}

@test "a reader that does not keep up is let go with a word, and can go on from there; the others lose nothing" {
	stop tunneld
	stack_config audit.stream_keepalive_ms 60000 # so that it is the backlog that counts
	tunneld_up
	wait_until healthy
	watch others
	run /usr/bin/python3 "$REPO/tests/e2e/lib/streams.py" slow "$URL" "$OPERATOR_TOKEN" "$RUN"
	assert_success
	local row
	row=$(jq .last_row <<<"$output")
	assert_equal "$(jq -c '[.whole, .last_event]' <<<"$output")" \
		"[true,[\"event: dropped\",\"id: $row\",\"data: {\\\"reason\\\":\\\"too_slow\\\",\\\"after\\\":$row}\"]]"
	watch again '' -H "Last-Event-ID: $row"
	wait_until has_row again "\"seq\":$((row + 1)),"
	unwatch again
	assert_equal "$(rows_of again | head -n 1 | jq .seq)" $((row + 1))
	tenant after-all
	wait_until has_row others '"target":"t_after-all"'
	unwatch others
	run jq -n '[inputs.seq] | . == [range(.[0]; .[0] + length)]' <<<"$(rows_of others)"
	assert_output true
}

@test "the same behind Caddy" {
	stack_down
	stack_new caddy
	stack_config audit.stream_keepalive_ms 200 # Caddy notices with the next one that a reader left
	stack_up
	watch caddy 'event=tenant.create'
	tenant green
	wait_until has_row caddy '"target":"t_green"'
	unwatch caddy
	run curl -sS -o /dev/null -w '%{http_code}' "$URL/.airlock/audit/aaaaaaaaaaaaaaaaaaaaaaaaaa"
	assert_output 404
}
