# The audit log as evidence: what a whole control plane wrote holds, over restarts and rotations, and a change is found.

load lib/stack.bash

setup_file() {
	stack_new
	stack_config audit.checkpoint_rows 2
	stack_config audit.rotate_bytes 3000
	stack_up
}

teardown_file() { stack_down; }

verify() { ctl audit verify "$@"; }

@test "a log that was rotated holds, while it is written and after the end" {
	for name in one two three four five six seven eight nine ten; do
		run admin POST /v1/admin/tenants "{\"slug\":\"$name\",\"name\":\"$name\"}"
	done
	wait_until compgen -G "$STATE/audit-*.jsonl"
	stop tunneld
	run verify
	assert_success
	assert_line --index 0 --regexp '^good: rows 1 to [0-9]+, [0-9]+ checkpoints'
	assert_line --index 2 --regexp '^head: [0-9]+:[0-9a-f]{64}$'
	# Everything is signed after a clean end.
	refute_output --partial 'not signed yet'
	assert_regex "${lines[-1]}" '^proved: rows 1 to [0-9]+ are what the control plane signed.*; not proved: that nothing was cut off'
	echo "${lines[2]#head: }" >"$STACK/head"
}

@test "after a restart the log goes on, and holds the old head" {
	tunneld_up
	wait_until healthy
	run admin POST /v1/admin/tenants '{"slug":"later","name":"later"}'
	stop tunneld KILL
	tunneld_up
	wait_until healthy # the killed one's socket is there still
	stop tunneld
	run verify --json --expect "$(cat "$STACK/head")"
	assert_success
	assert_equal "$(jq -c '[.ok, .seq == .signed_seq, .unsigned_rows, .end_proved]' <<<"$output")" '[true,true,0,false]'
	run verify --expect "$(jq -r '"\(.seq):\(.hash)"' <<<"$output")"
	assert_success
	assert_regex "${lines[-1]}" '; nothing was cut off the end: row [0-9]+ is the one that was expected$'
	refute_output --partial 'not proved'
}

@test "calls are vouched for by the worker that answered them" {
	tunneld_up
	wait_until healthy
	worker_up fintech
	key=$(mint_key t_fintech)
	subject=$(first_subject fintech)
	for id in 1 2 3; do
		run mcp fintech "$key" "$(sql_call "$subject" 'SELECT count(*) AS n FROM customers' "$id")"
		assert_line --index 1 200
	done
	stop worker-fintech # it leaves in good order: what it has not signed yet it signs now
	wait_until sessions_are fintech 0
	stop tunneld
	run verify --json
	assert_success
	assert_equal "$(jq -c '.vouched | [.calls, .unsigned, .unknown, .workers, .unenrolled]' <<<"$output")" '[3,0,0,1,0]'
}

@test "a third party finds the changed line with files and the public key alone" {
	openssl pkey -in "$STATE/cp_ed25519.pem" -pubout -out "$STACK/cp.pem"
	mkdir "$STACK/copy"
	cp "$STATE"/audit.jsonl "$STATE"/audit-* "$STACK/copy/"
	run "$BIN/airlockctl" audit verify --file "$STACK/copy" --public-key "$STACK/cp.pem"
	assert_success
	segment=$(ls "$STACK"/copy/audit-*.jsonl | head -n 1)
	sed -i '2s/"outcome":"ok"/"outcome":"no"/;2s/"ts":"2/"ts":"3/' "$segment"
	run "$BIN/airlockctl" audit verify --file "$STACK/copy" --public-key "$STACK/cp.pem"
	assert_failure 1
	assert_line --index 0 --partial "$segment:2: "
	rm "$segment"
	run "$BIN/airlockctl" audit verify --file "$STACK/copy" --public-key "$STACK/cp.pem"
	assert_failure 1
	assert_output --partial 'are missing before this line'
}

@test "closed files are archived, once the archive takes them, and compressed then; a tenant has a rule of its own" {
	mkdir -p "$STACK/archive"
	# It fails twice, and is tried again by itself, later each time.
	cat >"$STACK/archive.sh" <<-END
		echo try >>"$STACK/tries"
		[ "\$(wc -l <"$STACK/tries")" -gt 2 ] || exit 1
		cp "\$1" "$STACK/archive/.\$2.part" && mv "$STACK/archive/.\$2.part" "$STACK/archive/\$2"
	END
	stack_config audit.archive_command "sh $STACK/archive.sh %p %f"
	stack_config audit.head_command "echo %s:%h >$STACK/pushed"
	tunneld_up
	wait_until healthy
	run admin PATCH /v1/admin/tenants/t_one '{"audit_keep_days":30}'
	assert_equal "$(jq .audit_keep_days <<<"$output")" 30
	for name in a b c d e f g h; do
		run admin POST /v1/admin/tenants "{\"slug\":\"more-$name\",\"name\":\"$name\"}"
	done
	wait_until archived
	wait_until test -s "$STACK/pushed"
	wait_until compressed
	# A reload of the configuration takes none of it away.
	for times in 1 2; do
		kill -HUP "$(pid_of tunneld)"
		wait_until reloaded "$times"
	done
	before=$(newest_closed)
	for name in i j k l m n o p; do
		run admin POST /v1/admin/tenants "{\"slug\":\"more-$name\",\"name\":\"$name\"}"
	done
	wait_until newest_is_archived_after "$before"
	run admin GET /v1/admin/status
	assert_equal "$(jq -c '[.audit.archive_ok, .audit.head_ok, .audit.segments > 3]' <<<"$output")" '[true,true,true]'
	run curl -fsS "http://127.0.0.1:$METRICS_PORT/metrics"
	assert_line 'airlock_cp_audit_archive_failures_total 2'
	stop tunneld
	# The head that was pushed is one of the log, with what is compressed and what is not.
	run verify --expect "$(cat "$STACK/pushed")"
	assert_success
	# And so is the archive, by itself.
	run "$BIN/airlockctl" audit verify --file "$STACK/archive" --public-key "$STACK/cp.pem"
	assert_success
	assert_logs_clean
}

archived() { [[ $(find "$STACK/archive" -name 'audit-*' | wc -l) -ge 4 ]]; }
newest_closed() { find "$STATE" -name 'audit-*.jsonl' -printf '%f\n' | sort -V | tail -n 1; }
newest_is_archived_after() {
	local newest
	newest=$(newest_closed)
	[[ $newest != "$1" && -f $STACK/archive/$newest ]]
}
reloaded() { (($(grep -c 'what can be reloaded was reloaded' "$LOG/tunneld.log") >= $1)); }
compressed() { compgen -G "$STATE/audit-*.jsonl.zst"; }

# Until the log has another closed file.
rotate() {
	local before
	before=$(newest_closed)
	while [[ $(newest_closed) == "$before" ]]; do
		curl -sS -o /dev/null -H 'Authorization: Bearer wrong' "$URL/v1/admin/status"
	done
}

# verify_amidst FUNCTION COMMAND: the check waits there until the command is through.
verify_amidst() {
	rm -f "$LOG/verify.log"
	run amidst verify "$1" "$2" "$BIN/airlockctl" audit verify --json
	assert_success
	run jq -e .ok "$LOG/verify.log"
	assert_success
}

@test "a log in which files are closed, compressed or deleted amidst a check is good" {
	local file
	tunneld_up
	wait_until healthy
	rotate
	rotate_twice() {
		rotate
		rotate
	}
	verify_amidst opendir rotate_twice
	verify_amidst closedir rotate_twice
	# What was listed is gone when it is to be opened.
	rotate_away() { while [[ -e $file ]]; do rotate; done; }
	file=$STATE/$(newest_closed)
	verify_amidst closedir rotate_away
	assert_exists "$file.zst"
	stop tunneld
	stack_config audit.keep_bytes 6000
	delete() {
		tunneld_up
		wait_until healthy
		rotate_away
	}
	file=$(find "$STATE" -maxdepth 1 -name 'audit-0*' | sort | head -n 1)
	verify_amidst closedir delete
	assert_equal "$(jq '.first_seq > 1' "$LOG/verify.log")" true
}
