# A backup of a running control plane, and its restore into an empty state.

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
	call 1 >/dev/null
	# A small one, for what is done with it very often.
	ctl backup "$STACK/small.tar.zst" --with-key
}

teardown_file() { stack_down; }

teardown() {
	state_back
	small_disk_end
}

call() { mcp fintech "$KEY" "$(sql_call "$SUBJECT" "SELECT $1 AS n")" | tail -n 1; }

@test "a backup is made under load, is whole, and is for its owner alone" {
	local stop=$BATS_TEST_TMPDIR/stop n=0
	(while [[ ! -e $stop ]]; do
		call 2 >/dev/null
		admin POST /v1/admin/tenants "{\"slug\":\"load-$((++n))\",\"name\":\"x\"}" >/dev/null
	done) 3>&- &
	local load=$!
	wait_until compgen -G "$STATE/audit-*.jsonl*"
	run ctl backup "$STACK/one.tar" --with-key --json
	assert_success
	assert_equal "$(jq -r .with_key <<<"$output")" true
	run ctl backup "$STACK/two.tar.zst" --quiet
	assert_output "$STACK/two.tar.zst"
	touch "$stop"
	wait "$load"
	assert_equal "$(stat -c %a "$STACK/one.tar")" 600
	run tar -tf "$STACK/one.tar"
	local name
	for name in state.db config.yaml cp_ed25519.pem cp_ed25519.pub.pem audit/audit.jsonl; do
		assert_line "$name"
	done
	assert_line --regexp '^audit/audit-[0-9]+-[0-9]+\.jsonl'
	assert_line --regexp '^snapshots/t_fintech/snap_[a-z0-9]+\.json$'
	assert_equal "${lines[-1]}" manifest.json
	# Nothing of the making is left over.
	assert_equal "$(find "$STACK" -maxdepth 1 -name 'one.tar?*' -o -maxdepth 1 -name 'two.tar.zst?*')" ''
	run ctl backup "$STACK/one.tar"
	assert_failure 1
	assert_output --partial 'it exists already'
}

@test "a restore into an empty state gives the same control plane: keys, workers and log" {
	ctl backup "$STACK/three.tar" --with-key
	local head
	head=$(tar -xOf "$STACK/three.tar" manifest.json | jq -r '"\(.head.seq):\(.head.hash)"')
	run ctl restore "$STACK/three.tar"
	assert_failure 1
	assert_output --partial 'into an empty state only'
	stop fcgi-app
	stop tunneld
	mv "$STATE" "$STACK/old"
	mkdir -m 700 "$STATE"
	run ctl restore "$STACK/three.tar"
	assert_success
	assert_output --partial "$head"
	run find "$STATE" -type f -perm /077
	assert_output ''
	assert_equal "$(find "$STATE" -name '.restore*')" ''
	cmp "$STATE/cp_ed25519.pem" "$STACK/old/cp_ed25519.pem"
	run ctl audit verify --expect "$head"
	assert_success
	tunneld_up
	app_up
	wait_until sessions_are fintech 1
	assert_equal "$(call 3)" 200
	# The log goes on behind what was restored; changes are audited once, as ever.
	admin POST /v1/admin/tenants '{"slug":"after","name":"After"}'
	wait_until audit_count_is '.event == "tenant.create" and .target == "t_after"' 1
	run ctl audit verify --expect "$head"
	assert_success
}

@test "without the key a restore asks for it, and takes no other" {
	ctl backup "$STACK/four.tar.zst"
	run tar --zstd -tf "$STACK/four.tar.zst"
	assert_success
	assert_line cp_ed25519.pub.pem
	refute_line cp_ed25519.pem
	local target=$STACK/target
	mkdir -m 700 "$target"
	elsewhere() { # ACTION: the same configuration in another place
		ctl AIRLOCK_CP_CONFIG="$target/config.yaml" AIRLOCK_CP_SNAPSHOT_DIR="$target/snapshots" restore "$STACK/four.tar.zst"
	}
	mv "$STATE" "$STACK/aside"
	mkdir -m 700 "$STATE"
	run elsewhere
	assert_failure 1
	assert_output --partial 'put the key here, mode 0600'
	openssl genpkey -algorithm ed25519 -out "$STATE/cp_ed25519.pem" 2>/dev/null
	chmod 600 "$STATE/cp_ed25519.pem"
	run elsewhere
	assert_failure 1
	assert_output --partial 'not the key that the backup was made with'
	assert_equal "$(find "$STATE" "$target" -type f | sort)" "$STATE/cp_ed25519.pem"
	cp "$STACK/aside/cp_ed25519.pem" "$STATE/cp_ed25519.pem"
	run elsewhere
	assert_success
	assert_exists "$target/config.yaml"
	rm -rf "$STATE"
	mv "$STACK/aside" "$STATE"
	# The daemon that runs may have missed its state meanwhile; it looks once a second.
	wait_until healthy
}

@test "a backup that was changed, cut off or added to is refused, and leaves nothing" {
	ctl backup "$STACK/five.tar" --with-key
	local empty=$STACK/empty way
	# Right after a rotation there is no row yet in the current file.
	until tar -xOf "$STACK/five.tar" audit/audit.jsonl | grep -q .; do
		call 6 >/dev/null
		rm "$STACK/five.tar"
		ctl backup "$STACK/five.tar" --with-key
	done
	mkdir -p "$STACK/unpacked"
	tar -xf "$STACK/five.tar" -C "$STACK/unpacked"
	for way in changed cut added log; do
		case $way in
		changed) sed 's/run_dir:/run_dIr:/' "$STACK/five.tar" >"$STACK/bad.tar" ;;
		cut) head -c 20000 "$STACK/five.tar" >"$STACK/bad.tar" ;;
		added)
			cp "$STACK/five.tar" "$STACK/bad.tar"
			echo more >"$STACK/unpacked/more"
			tar -rf "$STACK/bad.tar" -C "$STACK/unpacked" more
			;;
		log)
			# A manifest that fits, over a log that does not.
			local sum
			sed -i '1s/"outcome":"ok"/"outcome":"no"/' "$STACK/unpacked/audit/audit.jsonl"
			sed -i '1s/"event":"/"event":"x/' "$STACK/unpacked/audit/audit.jsonl"
			sum=$(sha256sum "$STACK/unpacked/audit/audit.jsonl" | cut -d' ' -f1)
			jq --arg sum "$sum" '(.files[] | select(.name == "audit/audit.jsonl")).sha256 = $sum' "$STACK/unpacked/manifest.json" >"$STACK/m"
			mv "$STACK/m" "$STACK/unpacked/manifest.json"
			(cd "$STACK/unpacked" && find . -type f ! -name more ! -name manifest.json | sed 's#^\./##' | tar -cf "$STACK/bad.tar" -T - && tar -rf "$STACK/bad.tar" manifest.json)
			;;
		esac
		rm -rf "$empty"
		run ctl AIRLOCK_CP_CONFIG="$empty/config.yaml" AIRLOCK_CP_SNAPSHOT_DIR="$empty/snapshots" restore "$STACK/bad.tar"
		assert_failure 1
		refute_output --partial 'it is there already'
		assert_equal "$(find "$empty" -type f 2>/dev/null)" ''
	done
}

# --- a restore that is killed ---

# The daemons' state out of the way, with the daemons; state_back, in teardown, brings both back.
state_away() {
	stop fcgi-app
	stop tunneld
	mv "$STATE" "$STACK/kept"
	[[ -d $STACK/small ]] || {
		mkdir "$STACK/small"
		tar --zstd -xf "$STACK/small.tar.zst" -C "$STACK/small"
	}
}
state_back() {
	[[ -d $STACK/kept ]] || return 0
	rm -rf "$STATE"
	mv "$STACK/kept" "$STATE"
	rm -f "$RUN"/*.sock
	tunneld_up
	app_up
	wait_until healthy
}

# place_new CONFIG_DIR DIR: an empty place, config.yaml to be in the first, everything else in the second, which is what
# $STATE, that the configuration names, becomes a link to.
place_new() {
	CONFIG_DIR=$1 PLACE=$2
	rm -rf "$STATE" "${CONFIG_DIR:?}" "${PLACE:?}"
	mkdir -m 700 "$PLACE"
	ln -s "$PLACE" "$STATE"
	PLACE_ENV=(AIRLOCK_CP_CONFIG="$CONFIG_DIR/config.yaml" AIRLOCK_CP_SNAPSHOT_DIR="$PLACE/snapshots")
	MARK=$CONFIG_DIR/.restore-unfinished
}

# A log that is rotated once more: rows until its last closed file is another one.
last_segment() { find "$STATE" -maxdepth 1 -name 'audit-0*' -printf '%f\n' | sed 's/\.zst$//' | sort | tail -n 1; }
rotate() {
	local before
	before=$(last_segment)
	while [[ $(last_segment) == "$before" ]]; do
		call 4 >/dev/null
	done
}

place_files() { find "$CONFIG_DIR" "$PLACE" -mindepth 1 "$@" -printf '%p %y %s %T@\n' 2>/dev/null | sort -u; }

restore() { ctl "${PLACE_ENV[@]}" restore "$@"; }

# killed_restore N: ended before its N-th step (tests/crash/step.c); succeeds when it has fewer.
killed_restore() {
	preload step
	ctl "${PLACE_ENV[@]}" "${PRELOAD[@]}" KILL_BEFORE="$1" restore "$STACK/small.tar.zst"
}

# daemons_refuse MESSAGE [FLAG]: both say it, and change nothing. (First with -t: where that is not refused, a daemon would
# make a control plane at the default paths of this machine.)
daemons_refuse() {
	local daemon flag flags=("${@:2}") before
	((${#flags[@]} > 0)) || flags=(-t '')
	before=$(place_files)
	mapfile -t STACK_ENV <"$STACK/env"
	for daemon in airlock-tunneld airlock-fcgi-app; do
		for flag in "${flags[@]}"; do
			run timeout 20 env -i "${STACK_ENV[@]}" "${PLACE_ENV[@]}" "$BIN/$daemon" ${flag:+"$flag"}
			assert_failure 1
			assert_output --partial "$1"
		done
	done
	assert_equal "$(place_files)" "$before"
}

# The mark is there: nobody starts, and the doctor has the remedy.
restore_is_unfinished() {
	daemons_refuse "run airlockctl restore $STACK/small.tar.zst again"
	run ctl "${PLACE_ENV[@]}" doctor --json
	assert_failure 1
	assert_equal "$(jq -c '[.findings[] | .check, .result]' <<<"$output")" '["restore","fault"]'
	assert_output --partial "airlockctl restore '$STACK/small.tar.zst' again"
}

# What lies in the place is what the backup has, and nothing else; the log is whole.
restore_is_whole() {
	local member to expected=("$CONFIG_DIR/.boot.lock" "$PLACE/.boot.lock")
	while read -r member; do
		case $member in
		config.yaml) to=$CONFIG_DIR/$member ;;
		*) to=$PLACE/${member#audit/} ;;
		esac
		cmp "$STACK/small/$member" "$to"
		expected+=("$to")
	done < <(find "$STACK/small" -type f ! -name '*.pub.pem' ! -name manifest.json -printf '%P\n')
	assert_equal "$(find "$CONFIG_DIR" "$PLACE" ! -type d | sort -u)" "$(printf '%s\n' "${expected[@]}" | sort -u)"
	run find "$CONFIG_DIR" "$PLACE" -name '.restore*'
	assert_output ''
	run ctl "${PLACE_ENV[@]}" audit verify --expect "$(jq -r '"\(.head.seq):\(.head.hash)"' "$STACK/small/manifest.json")"
	assert_success
}

# Kills a restore before each of its steps, and the next one too; the one after that completes it.
kill_each_step() { # CONFIG_DIR DIR
	local n marked=0 files
	files=$(find "$STACK/small" -type f | wc -l)
	cp "$STACK/small.tar.zst" "$STACK/moved"
	for n in $(seq 500); do
		place_new "$@"
		run killed_restore "$n"
		((status != 0)) || break
		assert_failure 137
		if [[ -e $MARK ]]; then
			marked=$((marked + 1))
			restore_is_unfinished
		else
			# It has not begun: nothing is in its place, and the doctor knows what it left.
			assert_equal "$(place_files ! -path '*/.restore-*' ! -name .boot.lock)" ''
			assert_not_exists "$PLACE/.restore-unfinished"
			run ctl "${PLACE_ENV[@]}" doctor --json
			assert_equal "$(jq -c '.findings[] | select(.check == "restore") | .result' <<<"$output")" '"warning"'
			assert_output --partial "rm -r '$CONFIG_DIR/.restore-"
		fi
		run killed_restore "$n"
		if ((status != 0)); then
			assert_failure 137
			run restore "$STACK/moved"
		fi
		assert_success
		restore_is_whole
	done
	# That one had fewer steps.
	restore_is_whole
	((marked > files))
}

@test "a restore killed before any of its steps: no daemon starts, and the next restore completes it" {
	state_away
	kill_each_step "$STACK/place" "$STACK/place"
}

@test "a restore killed before any of its steps, config.yaml elsewhere and the state on another file system" {
	state_away
	needs_small_disk size=64m
	kill_each_step "$STACK/etc" "$DISK/state"
}

@test "an unfinished restore is completed by its own backup alone, and takes the place of nothing else" {
	local n foreign
	ctl backup "$STACK/other.tar" --with-key
	state_away
	place_new "$STACK/etc" "$STACK/place"
	# As far as the database.
	for n in $(seq 500); do
		[[ ! -e $PLACE/state.db ]] || break
		place_new "$STACK/etc" "$STACK/place"
		run killed_restore "$n"
		assert_failure 137
	done
	restore_is_unfinished
	run restore "$STACK/other.tar"
	assert_failure 1
	assert_output --partial "$MARK: a restore of $STACK/small.tar.zst has begun here and is not complete"
	# What lies where the backup's own file is to be, or where it would become a part of what is restored.
	for foreign in "$CONFIG_DIR/config.yaml" "$STATE/cp_ed25519.pem" "$STATE/state.db-wal" "$PLACE/snapshots/t_x/snap_x.json" \
		"$STATE/audit-000000900001-000000900002.jsonl"; do
		mkdir -p "$(dirname "$foreign")"
		echo foreign >"$foreign"
		run restore "$STACK/small.tar.zst"
		assert_failure 1
		assert_output --partial "$foreign: it is"
		rm "$foreign"
	done
	rmdir "$PLACE/snapshots/t_x"
	restore_is_unfinished
	run restore "$STACK/small.tar.zst"
	assert_success
	restore_is_whole
}

@test "daemons do not start where a mark lies, whoever made it and wherever the configuration is" {
	state_away
	place_new "$STACK/etc" "$STACK/place"
	mkdir -m 700 "$CONFIG_DIR"
	touch "$CONFIG_DIR/.boot.lock" "$PLACE/.boot.lock"
	# No config.yaml yet, and a mark that says nothing.
	touch "$MARK"
	daemons_refuse "$MARK is there: a restore did not finish"
	# Beside the audit log alone, which another configuration names.
	mv "$MARK" "$PLACE/.restore-unfinished"
	cp "$STACK/kept/config.yaml" "$CONFIG_DIR/config.yaml"
	daemons_refuse "$STATE/.restore-unfinished is there: a restore did not finish" ''
	run ctl "${PLACE_ENV[@]}" doctor --json
	assert_failure 1
	assert_equal "$(jq -c '[.findings[] | .check, .result]' <<<"$output")" '["restore","fault"]'
	run restore "$STACK/small.tar.zst"
	assert_failure 1
	assert_output --partial 'a restore of another backup has begun here'
}

# backup_amidst FUNCTION COMMAND: a backup that waits there until the command is through.
backup_amidst() { amidst backup "$1" "$2" "$BIN/airlockctl" backup "$STACK/$1.tar" --with-key; }

@test "a backup in whose midst the log is rotated, or loses its oldest file, is whole" {
	local oldest current at case
	stop tunneld
	stack_config audit.compress false
	tunneld_up
	wait_until healthy
	rotate
	rotate_twice() {
		rotate
		rotate
	}
	# The newest file has been opened, with a row in it or none yet, and gets another name before the closed ones are listed:
	# they are looked for once more.
	for case in rows empty; do
		has() { if [[ $case == rows ]]; then [[ -s $AUDIT ]]; else [[ ! -s $AUDIT ]]; fi; }
		until has; do call 5 >/dev/null; done
		current=$(stat -c %i "$AUDIT")
		backup_amidst opendir rotate_twice
		mv "$STACK/opendir.tar" "$STACK/$case.tar"
		current=$(find "$STATE" -maxdepth 1 -inum "$current" -printf '%f')
		run tar -tf "$STACK/$case.tar"
		assert_line audit/audit.jsonl
		assert_line "audit/$current"
	done

	# The closed ones have been listed, and the oldest goes before it is opened.
	stop tunneld
	stack_config audit.keep_bytes 6000
	rotate_away() {
		tunneld_up
		wait_until healthy
		until [[ ! -e $oldest ]]; do rotate; done
	}
	oldest=$(find "$STATE" -maxdepth 1 -name 'audit-0*' | sort | head -n 1)
	backup_amidst closedir rotate_away
	run tar -tf "$STACK/closedir.tar"
	refute_line "audit/${oldest##*/}"

	state_away
	for at in rows empty closedir; do
		place_new "$STACK/place" "$STACK/place"
		run restore "$STACK/$at.tar"
		assert_success
		run ctl "${PLACE_ENV[@]}" audit verify --expect "$(tar -xOf "$STACK/$at.tar" manifest.json | jq -r '"\(.head.seq):\(.head.hash)"')"
		assert_success
	done
}
