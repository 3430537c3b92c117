# What `airlockctl doctor` says of a control plane, sound and not: each finding has its remedy.

load lib/stack.bash

setup_file() {
	stack_new
	stack_config audit.rotate_bytes 3000
	stack_config audit.checkpoint_rows 5
	stack_up
	worker_up fintech
	KEY=$(mint_key t_fintech)
	SUBJECT=$(first_subject fintech)
	export KEY SUBJECT
	wait_until pool_told
}

# Once a call was the loop's own and not a thread's (the key is known, the state at rest), tunneld knows the pool.
pool_told() {
	mcp fintech "$KEY" "$(sql_call "$SUBJECT" 'SELECT 1 AS n')" >/dev/null
	ctl doctor --json | jq -e 'any(.findings[]; .check == "pool")'
}

teardown_file() { stack_down; }

# A test that needs another disk has a stack of its own on it.
teardown() {
	[[ -z ${DISK:-} ]] || stack_down
	small_disk_end
}

# doctor_says ok|warning|fault CHECK WORDS [NAME=VALUE...]: a finding of that kind; what is wrong has a remedy.
doctor_says() {
	run ctl "${@:4}" doctor --json
	assert_equal "$(jq -r --arg r "$1" --arg c "$2" '[.findings[] | select(.check == $c and .result == $r)] | length > 0 and all($r == "ok" or .remedy != null)' <<<"$output")" true
	assert_output --partial "$3"
}
doctor_finds() {
	doctor_says fault "$@"
	assert_failure 1
}

@test "the doctor finds a healthy control plane healthy" {
	run ctl doctor --json --full
	assert_success
	assert_equal "$(jq -c '[.ok, [.findings[] | select(.result == "fault") | .check]]' <<<"$output")" '[true,[]]'
	assert_equal "$(jq -r '[.findings[] | select(.result == "ok") | .check] | unique | join(" ")' <<<"$output" | sed 's/ clock//')" \
		'audit_chain audit_index config disk front front_tunnel key permissions pool schema socket tunneld'
}

# The daemons start again, the same programs but for what they call themselves. daemons_of VERSION
daemons_of() {
	local name
	mkdir "$STACK/other"
	for name in airlock-tunneld airlock-fcgi-app; do
		LC_ALL=C sed "s/${OWN//./\\.}/$1/g" "$BIN/$name" >"$STACK/other/$name"
		chmod 700 "$STACK/other/$name"
	done
	daemons_end
	BIN=$STACK/other daemons_begin
}
daemons_end() {
	stop fcgi-app
	stop tunneld
}
daemons_begin() {
	tunneld_up
	app_up
	wait_until healthy
}

@test "the doctor finds daemons of another version" {
	local other
	OWN=$("$BIN/airlockctl" --version)
	OWN=${OWN#* }
	other=${OWN//[0-9]/9}
	daemons_of "$other"
	wait_until pool_told
	doctor_says warning tunneld "airlock-tunneld is version $other, and this is $OWN"
	assert_output --partial 'Restart the daemons after an upgrade'
	assert_success
	doctor_says warning pool "airlock-fcgi-app is version $other, and this is $OWN"
	daemons_end
	daemons_begin
	wait_until pool_told
	doctor_says ok pool "version $OWN"
}

@test "the doctor finds a run_dir that is too long for sockets" {
	local long
	long=$STACK/$(printf 'd%.0s' {1..100})
	cp "$STATE/config.yaml" "$STACK/config.good"
	stack_config server.run_dir "$long"
	doctor_finds socket "fcgi.sock in $long: the path is too long"
	assert_output --partial "tunnel.sock in $long: the path is too long"
	assert_output --partial 'Give server.run_dir a shorter path'
	cp "$STACK/config.good" "$STATE/config.yaml"
}

current_empty() { [[ -e $STATE/audit.jsonl && ! -s $STATE/audit.jsonl ]]; }

@test "the doctor finds a clock that is behind the log, or that nobody sets" {
	local bytes
	preload clock
	# With a byte as the limit, each row is in a closed file at once and the current one is empty.
	for bytes in 256MiB 1; do
		daemons_end
		stack_config audit.rotate_bytes "$bytes"
		daemons_begin
		admin POST /v1/admin/tenants/t_fintech/keys '{"name":"row"}' >/dev/null
		[[ $bytes != 1 ]] || wait_until current_empty
		doctor_says ok clock 'no audit row is in the future' "${PRELOAD[@]}"
		doctor_finds clock 's in the future' "${PRELOAD[@]}" CLOCK_AHEAD_S=-3600
		assert_output --partial 'Set the clock'
	done
	daemons_end
	stack_config audit.rotate_bytes 3000
	daemons_begin
	doctor_says warning clock 'the clock is not synchronised' "${PRELOAD[@]}" CLOCK_UNSYNC=1
	assert_output --partial 'Run a time service'
}

@test "a log whose files are closed, or compressed, amidst the doctor's look is good" {
	local option file
	mkdir "$STACK/etc"
	cp "$STATE/config.yaml" "$STACK/etc"
	closed() { find "$STATE" -name 'audit-0*.jsonl' -printf '%f\n' | sort | tail -n 1; }
	rotate() {
		local before
		before=$(closed)
		while [[ $(closed) == "$before" ]]; do
			curl -sS -o /dev/null -H 'Authorization: Bearer wrong' "$URL/v1/admin/status"
		done
	}
	# The newest of the listed ones is compressed, and the current one closed, before they are opened.
	rotate_away() { while [[ -e $file ]]; do rotate; done; }
	for option in --json --full; do
		rotate
		file=$STATE/$(closed)
		rm -f "$LOG/doctor.log"
		run amidst doctor closedir rotate_away env STOP_IN="$STATE" AIRLOCK_CP_CONFIG="$STACK/etc/config.yaml" \
			"$BIN/airlockctl" doctor --json "$option"
		assert_equal "$(jq -r '.findings[] | select(.check == "audit_chain") | .result' "$LOG/doctor.log")" ok
		assert_exists "$file.zst"
	done
}

@test "the doctor finds a web server that does not pass tunnels on" {
	local change
	local -A says=([404]='/v1/tunnel answers 404: it does not reach the tunnel daemon' [closed]='/v1/tunnel: ')
	cp "$STACK/front/conf" "$STACK/front.good"
	for change in 404 closed; do
		case $change in
		404) sed 's#location = /v1/tunnel {#location = /v1/somewhere {#' "$STACK/front.good" >"$STACK/front/conf" ;;
		closed) sed 's#proxy_pass http://airlock_tunnel;#return 444;#' "$STACK/front.good" >"$STACK/front/conf" ;;
		esac
		stop front
		front_start
		wait_until healthy
		doctor_finds front_tunnel "${says[$change]}"
		assert_equal "$(jq -r '.findings[] | select(.check == "front") | .result' <<<"$output")" ok
		assert_equal "$(jq -r '.findings[] | select(.check == "front_tunnel") | .remedy' <<<"$output")" \
			'See that the web server passes /v1/tunnel to tunnel.sock with WebSocket upgrade (docs/install.md).'
	done
	cp "$STACK/front.good" "$STACK/front/conf"
	stop front
	front_start
	wait_until healthy
}

# fill LEFT: a file that leaves so many bytes on the small disk.
fill() {
	rm -f "$DISK/filler"
	fallocate -l $(($(df -B1 --output=avail "$DISK" | tail -n 1) - $1)) "$DISK/filler"
}

@test "the doctor finds a volume that has few files or little room left" {
	local mib=1048576 used
	stack_new
	stack_config audit.min_free_bytes 2MiB
	state_on_disk size=32m,nr_inodes=5000 || skip "mounting a small tmpfs is not allowed here"
	stack_up
	doctor_says ok disk "the state's volume: "
	assert_output --partial "the audit log's volume: "

	used=$(df --output=iused "$DISK" | tail -n 1)
	mount -o remount,nr_inodes=$((used + 500)) "$DISK"
	doctor_finds disk "the state's volume: only 500 more files can be made"
	assert_output --partial "the audit log's volume: only 500 more files can be made"
	assert_output --partial 'more inodes'
	mount -o remount,nr_inodes=5000 "$DISK"

	fill $((2 * mib + mib / 2))
	doctor_says warning disk "the audit log's volume: 7% is left"
	assert_success
	fill $((mib + mib / 2))
	doctor_finds disk 'bytes are left, fewer than audit.min_free_bytes: calls are refused'
	assert_equal "$(jq -r '[.findings[] | select(.check == "disk") | .result] | join(" ")' <<<"$output")" 'warning fault'
	refused() { admin POST /v1/admin/tenants '{"slug":"refused","name":"r"}' | jq -e '.code == "audit_unavailable"'; }
	wait_until refused
	fill $((mib / 2))
	doctor_finds disk "the state's volume: only"
	assert_equal "$(jq -r '[.findings[] | select(.check == "disk") | .result] | join(" ")' <<<"$output")" 'fault fault'
	rm "$DISK/filler"
	doctor_says ok disk "the state's volume: "
	wait_until healthy
}

@test "the doctor finds an archive that does not keep up" {
	local i
	mkfifo "$STACK/gate"
	stop tunneld
	# One file for each line that comes through the gate.
	stack_config audit.archive_command "'read -r go <$STACK/gate'"
	stack_config audit.rotate_bytes 1000
	# Files are closed while the first of them waits for its command: the daemon that comes next finds all of them.
	tunneld_up
	wait_until healthy
	four_closed() { (($(find "$STATE" -maxdepth 1 -name 'audit-0*' | wc -l) > 3)); }
	for i in $(seq 100); do
		! four_closed || break
		admin POST /v1/admin/tenants "{\"slug\":\"closed-$i\",\"name\":\"c\"}" >/dev/null
	done
	four_closed
	stop tunneld
	tunneld_up
	wait_until healthy
	doctor_is() { ctl doctor --json | jq -e --arg r "$1" '.findings[] | select(.check == "audit_archive" and .result == $r)'; }
	wait_until doctor_is warning
	doctor_says warning audit_archive 'closed files wait for audit.archive_command'
	assert_output --partial 'See how long the command takes for one file'
	assert_success
	exec 8<>"$STACK/gate"
	printf 'go\n%.0s' {1..200} >&8
	wait_until doctor_is ok
	exec 8>&-
	stop tunneld
	stack_config audit.archive_command '""'
	stack_config audit.rotate_bytes 3000
	tunneld_up
	wait_until healthy
}

@test "the doctor finds what is wrong, each with a remedy" {
	chmod 644 "$STATE/cp_ed25519.pem"
	doctor_finds permissions 'chmod 600'
	chmod 600 "$STATE/cp_ed25519.pem"

	cp "$STATE/config.yaml" "$STACK/config.good"
	sed -i 's/audit_log_path:/audit_log_pth:/' "$STATE/config.yaml"
	doctor_finds config 'did you mean'
	cp "$STACK/config.good" "$STATE/config.yaml"

	mv "$STATE/cp_ed25519.pem" "$STACK/key.good"
	openssl genpkey -algorithm ed25519 -out "$STATE/cp_ed25519.pem" 2>/dev/null
	chmod 600 "$STATE/cp_ed25519.pem"
	doctor_finds audit_chain 'signed with another key'
	mv "$STACK/key.good" "$STATE/cp_ed25519.pem"

	stop front
	doctor_finds front "$URL/health"
	front_up
	wait_until healthy

	stop fcgi-app
	doctor_finds socket airlock-fcgi-app
	app_up
	wait_until healthy

	stop tunneld
	doctor_finds tunneld 'Start airlock-tunneld'
	# A row that stays in the open file.
	stack_config audit.rotate_bytes 0
	tunneld_up
	wait_until healthy
	admin POST /v1/admin/tenants '{"slug":"doctor","name":"d"}' >/dev/null
	stop tunneld
	cp "$AUDIT" "$STACK/audit.good"
	sed -i '1s/"outcome":"ok"/"outcome":"no"/' "$AUDIT"
	sed -i '1s/"ts":"2/"ts":"3/' "$AUDIT"
	doctor_finds audit_chain 'find out who changed them'
	cp "$STACK/audit.good" "$AUDIT"

	cp "$STATE/state.db" "$STACK/state.good"
	sqlite3 "$STATE/state.db" 'PRAGMA user_version = 999'
	doctor_finds schema 'schema 999'
}

@test "the doctor looks at the search index, and at the archive" {
	sqlite3 "$STATE/state.db" "PRAGMA user_version = $(sqlite3 "$STACK/state.good" 'PRAGMA user_version')"
	stack_config audit.rotate_bytes 3000
	stack_config audit.archive_command 'exit 1'
	tunneld_up
	wait_until healthy
	for i in $(seq 12); do
		admin POST /v1/admin/tenants "{\"slug\":\"doctor-$i\",\"name\":\"d\"}" >/dev/null
	done
	wait_until compgen -G "$STATE/audit-0*.jsonl"
	archive_fails() { ctl doctor --json | jq -e '.findings[] | select(.check == "audit_archive" and .result == "fault" and .remedy)' >/dev/null; }
	wait_until archive_fails
	doctor_finds audit_archive 'audit.archive_command fails'
	stack_config audit.archive_command 'true'
	stop tunneld
	tunneld_up
	wait_until healthy
	archive_works() { ctl doctor --json | jq -e '.findings[] | select(.check == "audit_archive" and .result == "ok")' >/dev/null; }
	wait_until archive_works

	stop tunneld
	rm "$STATE/audit-index.db"
	doctor_says warning audit_index 'is missing'
	echo 'no database' >"$STATE/audit-index.db"
	doctor_says warning audit_index 'is damaged'
	run ctl audit reindex
	assert_success
	run ctl doctor --json --full
	assert_equal "$(jq -r '.findings[] | select(.check == "audit_index") | .result' <<<"$output")" ok
	# A page of it that is not what it was, which only a closer look finds.
	dd if=/dev/zero of="$STATE/audit-index.db" bs=8192 seek=2 count=3 conv=notrunc status=none
	run ctl doctor --json --full
	assert_equal "$(jq -r '.findings[] | select(.check == "audit_index") | .result' <<<"$output")" warning
	run ctl audit reindex
	rm "$STATE"/audit-0*.jsonl*
	/usr/bin/python3 - "$AUDIT" <<-'EOF_PY'
		import hashlib, sys
		prev = "0" * 64
		with open(sys.argv[1], "w") as log:
		    for seq in range(1, 30001):
		        line = f'{{"v":1,"seq":{seq},"ts":"2026-11-23T21:04:05.678Z","event":"tool.call","prev":"{prev}"}}'
		        prev = hashlib.sha256(line.encode()).hexdigest()
		        log.write(line + "\n")
	EOF_PY
	doctor_says warning audit_index 'rows behind the log'
}
