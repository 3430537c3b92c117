# Searching and exporting the audit log of a whole control plane.

load lib/stack.bash

setup_file() {
	stack_new
	stack_config audit.rotate_bytes 3000
	stack_config audit.compress false # the tests read the lines
	stack_config audit.checkpoint_seconds 86400 # and change them: nothing is written by itself
	stack_config audit.checkpoint_seconds 3600 # and count them
	stack_up
	for name in one two three four five; do
		admin POST /v1/admin/tenants "{\"slug\":\"$name\",\"name\":\"=Tenant \\\"$name\\\"\"}" >/dev/null
	done
	for i in 1 2 3 4 5 6 7 8 9; do
		mint_key t_one >/dev/null
		curl -sS -o /dev/null -H 'Authorization: Bearer wrong' "$URL/v1/admin/status"
	done
	wait_until compgen -G "$STATE/audit-0*.jsonl"
}

teardown_file() { stack_down; }

@test "a search gives the log's own lines, newest first, page by page" {
	run admin GET '/v1/admin/audit?event=key.create&limit=4'
	assert_success
	lines=$(log_lines | grep '"event":"key.create"' | tac)
	[[ $(grep -c . <<<"$lines") == 9 ]]
	got=$(sed -n 's/^\({"v":1.*}\)\(,\|\].*\)$/\1/p' <<<"$output")
	cursor=$(jq -r .next_cursor <<<"$output")
	for _ in 1 2; do
		page=$(admin GET "/v1/admin/audit?event=key.create&limit=4&cursor=$cursor")
		got+=$'\n'$(sed -n 's/^\({"v":1.*}\)\(,\|\].*\)$/\1/p' <<<"$page")
		cursor=$(jq -r .next_cursor <<<"$page")
	done
	assert_equal "$cursor" null
	assert_equal "$got" "$lines"
}

@test "filters narrow, alone and together" {
	found() { admin GET "/v1/admin/audit?limit=200&$1" | jq -r '.rows | length'; }
	assert_equal "$(found tenant=one)" "$(log_lines | grep -c '"tenant_id":"t_one"')"
	assert_equal "$(found tenant=t_one\&event=tenant.*)" 1
	assert_equal "$(found event=access.refused\&outcome=unauthorized)" 9
	assert_equal "$(found actor=operator\&tenant=two)" 1
	assert_equal "$(found q=key.create+t_one)" "$(found q=T_ONE+Key.Create)"
	assert_equal "$(found 'q=nowhere+two')" 0
	assert_equal "$(found 'q=tenant.create+TWO')" 1
	assert_equal "$(found since=2099-01-01)" 0
	assert_equal "$(found until=2001-01-01T00:00:00Z)" 0
	assert_equal "$(found since=2001-01-01)" "$(log_lines | wc -l)"
	id=$(log_lines | jq -r 'select(.event == "tenant.create" and .tenant_id == "t_three") | .request_id')
	assert_equal "$(found "q=$id")" "$(log_lines | grep -c "$id")"
}

@test "what can't be a filter is refused, and names the parameter" {
	for query in tennant=one limit=0 limit=201 cursor=x since=yesterday until=2026-13-01 q=%22 tenant=one\&tenant=two \
		format=csv; do
		run admin GET "/v1/admin/audit?$query"
		assert_failure
		assert_output --partial '"status":422,"code":"invalid_field"'
	done
}

@test "a row is found before the index has it, and after the daemon ended" {
	admin POST /v1/admin/tenants '{"slug":"fresh","name":"fresh"}'
	run admin GET '/v1/admin/audit?tenant=fresh'
	assert_output --partial '"event":"tenant.create"'
	stop tunneld
	run admin GET '/v1/admin/audit?tenant=fresh'
	assert_output --partial '"event":"tenant.create"'
	tunneld_up
	wait_until healthy
}

@test "a session sees its own org's rows alone" {
	sqlite3 "$STATE/state.db" "INSERT INTO orgs VALUES ('o_other', 'Other', 0); UPDATE tenants SET org_id = 'o_other' WHERE id = 't_two'"
	as() { curl -sS -H "Authorization: Bearer $(session "$1" viewer)" "$URL/v1/admin/audit?limit=200&$2"; }
	assert_equal "$(as o_other '' | jq -r '[.rows[].tenant_id] | unique | join(" ")')" t_two
	assert_equal "$(as o_other tenant=one | jq -r '.rows | length')" 0
	assert_equal "$(as o_nobody '' | jq -r '.rows | length')" 0
	refute [ "$(as o_default '' | jq -r '[.rows[] | select(.tenant_id == "t_two" or .tenant_id == null)] | length')" -gt 0 ]
	assert_equal "$(as '*' '' | jq -r '.rows | length')" "$(log_lines | wc -l)"
	# A tenant that has the id of a deleted one does not inherit its rows.
	sqlite3 "$STATE/state.db" "UPDATE tenants SET created_at = unixepoch() + 60 WHERE id = 't_two'"
	assert_equal "$(as o_other '' | jq -r '.rows | length')" 0
}

@test "an export as JSONL is the log, and is in the log" {
	curl -sS -f -D "$STACK/head" -H "Authorization: Bearer $OPERATOR_TOKEN" "$URL/v1/admin/audit/export" >"$STACK/export"
	grep -qi '^content-type: application/x-ndjson' "$STACK/head"
	grep -qi '^content-disposition: attachment; filename="audit.jsonl"' "$STACK/head"
	log_lines | head -n "$(wc -l <"$STACK/export")" | cmp - "$STACK/export"
	run admin GET '/v1/admin/audit/export?event=key.*&format=csv&q=one'
	assert_success
	assert_equal "$(audit_rows '.event == "audit.export"' | tail -n 1 | jq -c .change)" \
		'{"format":"csv","event":"key.*","q":"one"}'
	assert_equal "$(head -n 1 <<<"$output" | tr -d '\r' | cut -d , -f 1-3)" seq,ts,event
}

@test "a CSV export reads back, and no name becomes a formula" {
	curl -sS -f -H "Authorization: Bearer $OPERATOR_TOKEN" "$URL/v1/admin/audit/export?event=tenant.create&format=csv" >"$STACK/csv"
	run python3 - "$STACK/csv" <<-'EOF_PY'
		import csv, json, sys
		rows = list(csv.DictReader(open(sys.argv[1], newline="")))
		two = next(row for row in rows if row["tenant_id"] == "t_two")
		print(json.loads(two["change"])["name"])
		print(any(cell[:1] in "=+-@" for row in rows for cell in row.values() if cell))
	EOF_PY
	assert_line --index 0 '=Tenant "two"'
	assert_line --index 1 False
}

# As an operator's shell has it.
@test "airlockctl searches, as a table and as the log's lines" {
	run ctl audit search --event key.create --limit 3
	assert_success
	assert_line --index 0 --regexp '^ROW +TIME +EVENT +TENANT +ACTOR'
	assert_equal "${#lines[@]}" 4
	run ctl audit search --tenant one --event 'key.*' --since 1h --json -n 0
	assert_equal "$output" "$(log_lines | grep '"event":"key.create"' | tac)"
	run ctl audit search --text "$(jq -r .request_id <<<"${lines[0]}")" --quiet
	assert_success
	assert_output --regexp '^[0-9]+'
	run ctl audit search --since never
	assert_failure 1
	assert_output --partial 'since must be a time'
}

@test "airlockctl exports to a file that is there when it is whole" {
	run ctl audit export --event 'tenant.*' --format csv --out "$STACK/rows.csv"
	assert_success
	assert_equal "$(stat -c %a "$STACK/rows.csv")" 600
	assert_equal "$(grep -c tenant.create "$STACK/rows.csv")" "$(log_lines | grep -c '"event":"tenant.create","tenant_id"')"
	assert_file_not_exist "$STACK/rows.csv.part"
	run ctl audit export --format xml --out "$STACK/no"
	assert_failure 1
	assert_file_not_exist "$STACK/no"
	assert_file_not_exist "$STACK/no.part"
}

@test "the index is made anew beside a running daemon" {
	rm "$STATE/audit-index.db"
	run admin GET '/v1/admin/audit?event=key.create'
	assert_success
	run ctl audit reindex
	assert_success
	assert_output --partial 'indexed up to row'
	assert_equal "$(sqlite3 "$STATE/audit-index.db" 'SELECT max(last) FROM block')" "$(grep -oE 'row [0-9]+' <<<"$output" | tr -dc 0-9)"
	run ctl audit search --event key.create --json -n 0
	assert_equal "$output" "$(log_lines | grep '"event":"key.create"' | tac)"
}

# changed_at LINE WORDS: the fault is there.
changed_at() {
	run "$BIN/airlockctl" audit verify --file "$STACK/changed" --public-key "$STACK/cp.pem"
	assert_failure 1
	assert_line --index 0 --regexp "^$STACK/changed:$1: .*$2"
}

@test "a bundle of one tenant proves itself, and holds nothing of the others" {
	openssl pkey -in "$STATE/cp_ed25519.pem" -pubout -out "$STACK/cp.pem"
	run ctl audit export --tenant one --event 'key.*' --format bundle --out "$STACK/bundle"
	assert_success
	run "$BIN/airlockctl" audit verify --file "$STACK/bundle" --public-key "$STACK/cp.pem" --json
	assert_success
	assert_equal "$(jq -c '[.ok, .bundle, .end_proved, .unsigned_rows]' <<<"$output")" '[true,true,true,0]'
	assert_equal "$(tail -n 1 "$STACK/bundle" | jq -c '[.event, .end]')" '["stamp",true]'
	assert_equal "$(grep -c '"event":"key.create"' "$STACK/bundle")" 9
	assert_equal "$(head -n 1 "$STACK/bundle" | jq -c .filter)" '{"tenant":"one","event":"key.*"}'
	run grep -E 't_(two|three)' "$STACK/bundle"
	assert_failure
	# What was asked for, the end, a row, and a row withheld afterwards with the hash that it has.
	sed '1s/"tenant":"one"/"tenant":"two"/' "$STACK/bundle" >"$STACK/changed"
	changed_at 1 'the first line of the bundle is not the one that was signed'
	sed '1s/,"ts"/,"org":1,"ts"/' "$STACK/bundle" >"$STACK/changed"
	changed_at 1 'the first line of the bundle has a member that is not known: "org"'
	head -n -1 "$STACK/bundle" >"$STACK/changed"
	changed_at "$(wc -l <"$STACK/changed")" 'the stamp that says that it ends is not here'
	line=$(grep -n -m 1 '"event":"key.create"' "$STACK/bundle" | cut -d : -f 1)
	sed "${line}s/\"tenant_id\":\"t_one\"/\"tenant_id\":\"t_two\"/" "$STACK/bundle" >"$STACK/changed"
	changed_at "[0-9]*" ''
	hash=$(sed -n "${line}p" "$STACK/bundle" | tr -d '\n' | sha256sum | cut -c 1-64)
	sed -E "${line}s/,\"ts\".*(,\"prev\":.*)/,\"event\":\"withheld\",\"hash\":\"$hash\"\1/" "$STACK/bundle" >"$STACK/changed"
	changed_at "$line" 'is withheld here, and was in full when the bundle was signed'
	run ctl audit export --text nowhere --format bundle
	assert_failure 1
	assert_output --partial 'No row is as it was asked for'
}

@test "the server checks its log, and says where it was changed" {
	run admin GET /v1/admin/audit/verify
	assert_success
	assert_equal "$(jq -c '[.ok, .complete, .first_seq]' <<<"$output")" '[true,true,1]'
	assert_equal "$(jq .seq <<<"$output")" "$(log_lines | wc -l)"
	assert_equal "$(jq '.unsigned_rows + .signed_seq == .seq' <<<"$output")" true
	assert_equal "$(jq -r .hash <<<"$output")" "$(log_lines | tail -n 1 | tr -d '\n' | sha256sum | cut -c 1-64)"
	# As the next part of a long log goes on.
	segment=$(ls "$STATE"/audit-0*.jsonl | head -n 1)
	last=$(tail -n 1 "$segment" | jq .seq)
	hash=$(tail -n 1 "$segment" | tr -d '\n' | sha256sum | cut -c 1-64)
	run admin GET "/v1/admin/audit/verify?after=$last:$hash"
	assert_equal "$(jq -c '[.ok, .complete, .first_seq]' <<<"$output")" "[true,true,$((last + 1))]"
	run admin GET "/v1/admin/audit/verify?after=$last:${hash//[0-9]/f}"
	assert_equal "$(jq -c '[.ok, .fault, .line]' <<<"$output")" '[false,"broken_prev",1]'
	run admin GET "/v1/admin/audit/verify?after=$((last - 1)):$hash"
	assert_output --partial 'is not where a closed file of the log ends'
	run admin GET '/v1/admin/audit/verify?after=3:5f'
	assert_output --partial '"code":"invalid_field"'
	run curl -sS -H "Authorization: Bearer $(session o_default admin)" "$URL/v1/admin/audit/verify"
	assert_output --partial '"code":"forbidden"'
	cp "$segment" "$STACK/kept"
	sed -i '3s/"outcome":"ok"/"outcome":"no"/' "$segment"
	run admin GET /v1/admin/audit/verify
	cp "$STACK/kept" "$segment"
	assert_success
	assert_equal "$(jq -c '[.ok, .complete, .fault, .file, .line]' <<<"$output")" "[false,false,\"changed\",\"${segment##*/}\",3]"
}

@test "the server finds that the end of its log was cut off" {
	until [[ -s $AUDIT ]]; do
		curl -sS -o /dev/null -H 'Authorization: Bearer wrong' "$URL/v1/admin/status"
	done
	cp "$AUDIT" "$STACK/kept"
	last=$(tail -n 1 "$STACK/kept")
	truncate -s -$((${#last} + 1)) "$AUDIT"
	run admin GET /v1/admin/audit/verify
	cat "$STACK/kept" >"$AUDIT"
	assert_success
	assert_equal "$(jq -c '[.ok, .fault, .seq]' <<<"$output")" "[false,\"truncated\",$(($(jq .seq <<<"$last") - 1))]"
	mv "$AUDIT" "$STACK/aside"
	run admin GET /v1/admin/audit/verify
	mv "$STACK/aside" "$AUDIT"
	assert_equal "$(jq -c '[.ok, .fault]' <<<"$output")" '[false,"truncated"]'
	run admin GET /v1/admin/audit/verify
	assert_equal "$(jq -c .ok <<<"$output")" true
}

@test "without the daemon nothing is exported: it could not be written down" {
	stop tunneld
	run admin GET /v1/admin/audit/export
	assert_failure
	assert_output --partial '"code":"audit_unavailable"'
	tunneld_up
	wait_until healthy
	run admin GET '/v1/admin/audit/export?format=xml'
	assert_output --partial '"code":"invalid_field"'
	assert_logs_clean
}
